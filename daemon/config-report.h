/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is wrong with a configuration: a list of "file:line:column: message". */

#include <stddef.h>
#include <stdio.h>

#include "macro.h"

typedef struct ConfigReport {
        char **problems;
        size_t n_problems;
        size_t capacity;
        int error; /* 0, or -ENOMEM: a problem could not be kept */
} ConfigReport;

void config_report_deinit(ConfigReport *report);

/* Adds one. Columns count bytes; line and column are 1 when it is about the file as a whole. */
void config_report_add(
                ConfigReport *report, const char *path, unsigned line, unsigned column,
                const char *format, ...) PRINTF_LIKE(5, 6);

/* One problem a line. */
void config_report_print(const ConfigReport *report, FILE *out);
/* One error in the log each. */
void config_report_log(const ConfigReport *report);
