/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "clock.h"
#include "journal.h"
#include "parse.h"

void journal_event(Event event, const LogField fields[], const char *format, ...) {
        CLEANUP_FREE char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&text, format, arguments) < 0)
                text = NULL;
        va_end(arguments);
        log_fields(event_priority(event), event_message_id(event), fields, "%s",
                   text ? text : event_subject(event));
}

static void journal_failed_source(const AnswerInput *input, const AnswerSource *source) {
        char attempts[16], status[16], ms[32];
        const LogField fields[] = {
                { "QUERY_ID", input->query_id },
                { "SOURCE", source->name },
                { "VERDICT", verdict_name(source->verdict) },
                { "STAGE", stage_error_stage(source->stage) },
                { "ATTEMPTS", attempts },
                { "HTTP_STATUS", source->fetch->status > 0 ? status : NULL },
                { "FETCH_MS", ms },
                {},
        };

        (void) snprintf(attempts, sizeof(attempts), "%u", source->fetch->attempts);
        (void) snprintf(status, sizeof(status), "%d", source->fetch->status);
        (void) snprintf(ms, sizeof(ms), "%.3f",
                        time_to_ms(time_sub(source->fetch->attempt.end, source->fetch->attempt.start)));
        journal_event(EVENT_SOURCE_FAILED, fields, "Source %s: %s: %s", source->name,
                      verdict_name(source->verdict),
                      source->error ? source->error : verdict_help(source->verdict));
}

void journal_query(const QuerySummary *summary) {
        const AnswerInput *input = summary->input;
        bool failed = summary->completeness == COMPLETENESS_FAILED;
        size_t answered = 0;
        char asked_text[24], answered_text[24], ms[32];

        for (size_t i = 0; i < input->n_sources; i++) {
                if (verdict_answered(input->sources[i].verdict))
                        answered++;
                else if (!summary->withdrawn)
                        journal_failed_source(input, &input->sources[i]);
        }
        (void) snprintf(asked_text, sizeof(asked_text), "%zu", input->n_sources);
        (void) snprintf(answered_text, sizeof(answered_text), "%zu", answered);
        (void) snprintf(ms, sizeof(ms), "%.3f", time_to_ms(time_sub(input->end_ns, input->start_ns)));

        const LogField fields[] = {
                { "QUERY_ID", input->query_id },
                { "COMPLETENESS",
                  summary->withdrawn ? NULL : completeness_name(summary->completeness) },
                { "SOURCES_ASKED", asked_text },
                { "SOURCES_ANSWERED", answered_text },
                { "EXECUTION_MS", ms },
                {},
        };
        if (summary->withdrawn)
                journal_event(EVENT_QUERY_GONE, fields,
                              "Query %s withdrawn by its client after %s ms", input->query_id, ms);
        else
                journal_event(failed ? EVENT_QUERY_FAILED : EVENT_QUERY_DONE, fields,
                              "Query %s: %s, %s of %s sources answered in %s ms", input->query_id,
                              completeness_name(summary->completeness), answered_text, asked_text,
                              ms);
}

void journal_worker_died(unsigned worker, pid_t pid, int status, bool overrun, uint64_t backoff_ns) {
        char number[16], pid_text[16], signal_text[32], pause[DURATION_TEXT_MAX];

        (void) snprintf(number, sizeof(number), "%u", worker);
        (void) snprintf(pid_text, sizeof(pid_text), "%d", (int) pid);
        if (WIFSIGNALED(status))
                (void) snprintf(signal_text, sizeof(signal_text), "by signal %s",
                                sigabbrev_np(WTERMSIG(status)));
        else
                (void) snprintf(signal_text, sizeof(signal_text), "with status %d",
                                WEXITSTATUS(status));

        const LogField fields[] = {
                { "WORKER", number },
                { "WORKER_PID", pid_text },
                { "OVERRUN", overrun ? "1" : "0" },
                {},
        };
        journal_event(EVENT_WORKER_DIED, fields,
                      "Worker %s (pid %s) ended %s%s; the next one starts in %s", number, pid_text,
                      signal_text, overrun ? " (it overran [Inference] TimeoutSec=)" : "",
                      format_duration(pause, backoff_ns));
}
