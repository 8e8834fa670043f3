/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Queries and workers as journal entries with structured fields (QUERY_ID=, SOURCE=, VERDICT=
 * …). */

#include <stdbool.h>
#include <sys/types.h>

#include "events.h"
#include "query-engine.h"

#define WORKER_END_MAX 80

/* "by signal KILL (…)", "with status 1": how a worker has ended, `status` as from waitpid(2). */
const char *worker_end_text(char text[WORKER_END_MAX], int status, bool overrun);

void journal_event(Event event, const LogField fields[], const char *format, ...) PRINTF_LIKE(3, 4);
void journal_query(const QuerySummary *summary);
void journal_breaker(const Source *source, uint64_t now);
void journal_worker_died(unsigned worker, pid_t pid, int status, bool overrun, uint64_t backoff_ns);
