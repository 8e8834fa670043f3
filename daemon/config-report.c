/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config-report.h"
#include "log.h"

void config_report_deinit(ConfigReport *report) {
        for (size_t i = 0; i < report->n_problems; i++)
                free(report->problems[i]);
        free(report->problems);
        *report = (ConfigReport){};
}

static int add(ConfigReport *report, char *problem) {
        if (report->n_problems == report->capacity) {
                size_t capacity = report->capacity > 0 ? 2 * report->capacity : 16;
                char **problems = reallocarray(report->problems, capacity, sizeof(*problems));
                if (!problems)
                        return -ENOMEM;
                report->problems = problems;
                report->capacity = capacity;
        }
        report->problems[report->n_problems++] = problem;
        return 0;
}

/* "path:line:column: message", escaped: paths and what a message quotes may hold anything. */
PRINTF_LIKE(4, 0)
static char *
format_problem(const char *path, unsigned line, unsigned column, const char *format,
               va_list arguments) {
        CLEANUP_FREE char *message = NULL, *whole = NULL;

        if (vasprintf(&message, format, arguments) < 0) {
                message = NULL;
                return NULL;
        }
        int size = asprintf(&whole, "%s:%u:%u: %s", path, line, column, message);
        if (size < 0) {
                whole = NULL;
                return NULL;
        }
        /* An escaped byte takes four. */
        char *escaped = malloc(4 * (size_t) size + 1);
        return escaped ? log_escape(escaped, 4 * (size_t) size + 1, whole, (size_t) size) : NULL;
}

void config_report_add(
                ConfigReport *report, const char *path, unsigned line, unsigned column,
                const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        char *problem = format_problem(path, line, column, format, arguments);
        va_end(arguments);
        if (!problem || add(report, problem) < 0) {
                free(problem);
                report->error = -ENOMEM;
        }
}

void config_report_print(const ConfigReport *report, FILE *out) {
        for (size_t i = 0; i < report->n_problems; i++)
                (void) fprintf(out, "%s\n", report->problems[i]);
}

void config_report_log(const ConfigReport *report) {
        for (size_t i = 0; i < report->n_problems; i++)
                log_error("%s", report->problems[i]);
}
