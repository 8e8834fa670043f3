/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Logging for programs: to the journal with structured fields when stderr is connected to it
 * (JOURNAL_STREAM), else to stderr, one line an entry. It never blocks the caller for long: the
 * journal's socket is a datagram socket, and entries over the rate limit are counted, not written.
 * Text from outside is escaped, so that no source and no client can make a line of its own. */

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

#include "macro.h"

typedef enum LogTarget {
        LOG_TARGET_AUTO,
        LOG_TARGET_STDERR,
        LOG_TARGET_JOURNAL,
        LOG_TARGET_NULL,
} LogTarget;

/* `identifier` is borrowed. */
void log_open(const char *identifier, LogTarget target, int max_level);
int log_max_level(void);

/* A field is NAME and value; the last has a NULL name. Values may be NULL (left out). */
typedef struct LogField {
        const char *name;
        const char *value;
} LogField;

/* `message_id` is 32 hexadecimal digits or NULL. `text` is one line; control characters in it and
 * in the fields are escaped. */
void log_fields(int level, const char *message_id, const LogField fields[], const char *format, ...)
                PRINTF_LIKE(4, 5);

#define log_message(level, ...) log_fields((level), NULL, NULL, __VA_ARGS__)
#define log_error(...)          log_message(LOG_ERR, __VA_ARGS__)
#define log_warning(...)        log_message(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)         log_message(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)           log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...)          log_message(LOG_DEBUG, __VA_ARGS__)

/* Logs "what: strerror" at LOG_ERR and returns `error` (a negative errno). */
int log_errno(int error, const char *format, ...) PRINTF_LIKE(2, 3);

/* Copies at most size-1 bytes of `text`, C0, C1, ESC, DEL, bidirectional controls and invalid bytes
 * written as \xNN; always ends with NUL. Returns `out`. */
char *log_escape(char *out, size_t size, const char *text, size_t text_size);
