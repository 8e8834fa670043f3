/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What clients that have called Monitor are told, as the journal is: each appends the text of one
 * object, whose members fields.def explains (OUTPUT rows of Monitor). `unix_ms` is the time of the
 * event. Errors stay in the buffer. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buffer.h"
#include "query-engine.h"

void event_query(const QuerySummary *summary, uint64_t unix_ms, Buffer *out);
void event_source(const char *query_id, const AnswerSource *source, uint64_t unix_ms, Buffer *out);
/* `now`: of the monotonic clock. */
void event_breaker(const Source *source, uint64_t now, uint64_t unix_ms, Buffer *out);
void event_worker(
                unsigned worker, pid_t pid, int status, bool overrun, uint64_t backoff_ns,
                uint64_t unix_ms, Buffer *out);
