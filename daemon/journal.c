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
        const FetchOutcome *asked = source->asked;
        char attempts[16], status[16], ms[32];
        const LogField fields[] = {
                { "QUERY_ID", input->query_id },
                { "SOURCE", source->name },
                { "VERDICT", verdict_name(source->verdict) },
                { "STAGE", stage_error_stage(source->stage) },
                { "ATTEMPTS", attempts },
                { "HTTP_STATUS", asked && asked->status > 0 ? status : NULL },
                { "ORIGIN", answer_source_served(source) ? origin_name(source->origin) : NULL },
                { "FETCH_MS", ms },
                {},
        };

        (void) snprintf(attempts, sizeof(attempts), "%u", asked ? asked->attempts : 0);
        (void) snprintf(status, sizeof(status), "%d", asked ? asked->status : 0);
        (void) snprintf(ms, sizeof(ms), "%.3f",
                        asked ? time_to_ms(time_sub(asked->end, asked->start)) : 0.0);
        journal_event(EVENT_SOURCE_FAILED, fields, "Source %s: %s: %s", source->name,
                      verdict_name(source->verdict),
                      source->error ? source->error : verdict_help(source->verdict));
}

/* What was decided on the way, counted over all sources of a query. */
static const struct {
        Stage stage;
        const char *field;
} decisions[] = {
        { STAGE_CACHE, "CACHED" },
        { STAGE_SHARE, "SHARED" },
        { STAGE_BACKOFF, "RETRIES" },
        { STAGE_HEDGE, "HEDGES" },
        { STAGE_BREAKER, "BREAKER_REFUSED" },
        { STAGE_QUOTA, "QUOTA_REFUSED" },
        { STAGE_FALLBACK, "FALLBACKS" },
};

typedef struct DecisionTexts {
        char texts[ELEMENTSOF(decisions)][16];
} DecisionTexts;

static unsigned count_stage(const Story *story, Stage stage) {
        unsigned n = 0;

        for (unsigned i = 0; story && i < story->count; i++)
                n += story->spans[i].stage == stage;
        return n;
}

/* Those that there were, as fields from `fields` on. */
static void journal_decisions(const AnswerInput *input, DecisionTexts *texts, LogField fields[]) {
        size_t used = 0;

        for (size_t i = 0; i < ELEMENTSOF(decisions); i++) {
                unsigned n = 0;

                for (size_t k = 0; k < input->n_sources; k++) {
                        const AnswerSource *source = &input->sources[k];
                        n += count_stage(source->story, decisions[i].stage);
                        n +=
                                        count_stage(source->asked ? &source->asked->story : NULL,
                                                    decisions[i].stage);
                }
                if (n == 0)
                        continue;
                (void) snprintf(texts->texts[i], sizeof(texts->texts[i]), "%u", n);
                fields[used++] = (LogField){ decisions[i].field, texts->texts[i] };
        }
}

void journal_query(const QuerySummary *summary) {
        const AnswerInput *input = summary->input;
        DecisionTexts texts;

        if (summary->stored) /* as many a second as there are clients */
                return log_debug("Query %s: answered from the cache as a whole", input->query_id);
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

        LogField fields[6 + ELEMENTSOF(decisions)] = {
                { "QUERY_ID", input->query_id },
                { "COMPLETENESS",
                  summary->withdrawn ? NULL : completeness_name(summary->completeness) },
                { "SOURCES_ASKED", asked_text },
                { "SOURCES_ANSWERED", answered_text },
                { "EXECUTION_MS", ms },
        };
        journal_decisions(input, &texts, fields + 5);
        if (summary->withdrawn)
                journal_event(EVENT_QUERY_GONE, fields,
                              "Query %s withdrawn by its client after %s ms", input->query_id, ms);
        else
                journal_event(failed ? EVENT_QUERY_FAILED : EVENT_QUERY_DONE, fields,
                              "Query %s: %s, %s of %s sources answered in %s ms", input->query_id,
                              completeness_name(summary->completeness), answered_text, asked_text,
                              ms);
}

void journal_breaker(const Source *source, uint64_t now) {
        const Breaker *breaker = &source->breaker;
        BreakerState state = breaker_state(breaker, now);
        uint64_t open = breaker_open_left(breaker, now);
        char failures[24], open_ms[32], length[DURATION_TEXT_MAX];

        (void) snprintf(failures, sizeof(failures), "%llu", (unsigned long long) breaker->failures);
        (void) snprintf(open_ms, sizeof(open_ms), "%.3f", time_to_ms(open));

        const LogField fields[] = {
                { "SOURCE", source->name },
                { "BREAKER", breaker_state_name(state) },
                { "FAILURES", failures },
                { "OPEN_MS", open_ms },
                {},
        };
        if (state == BREAKER_CLOSED)
                journal_event(EVENT_BREAKER_CLOSED, fields, "Source %s: breaker closed",
                              source->name);
        else if (breaker->force != BREAKER_AUTO)
                journal_event(EVENT_BREAKER_OPENED, fields, "Source %s: breaker held open",
                              source->name);
        else
                journal_event(EVENT_BREAKER_OPENED, fields,
                              "Source %s: breaker open for %s after %s consecutive failures",
                              source->name, format_about(length, open), failures);
}

const char *worker_end_text(char text[WORKER_END_MAX], int status, bool overrun) {
        const char *why = overrun ? " (it overran [Inference] TimeoutSec=)" : "";

        if (WIFSIGNALED(status))
                (void) snprintf(text, WORKER_END_MAX, "by signal %s%s",
                                sigabbrev_np(WTERMSIG(status)), why);
        else
                (void) snprintf(text, WORKER_END_MAX, "with status %d%s", WEXITSTATUS(status), why);
        return text;
}

void journal_worker_died(unsigned worker, pid_t pid, int status, bool overrun, uint64_t backoff_ns) {
        char number[16], pid_text[16], end[WORKER_END_MAX], pause[DURATION_TEXT_MAX];

        (void) snprintf(number, sizeof(number), "%u", worker);
        (void) snprintf(pid_text, sizeof(pid_text), "%d", (int) pid);

        const LogField fields[] = {
                { "WORKER", number },
                { "WORKER_PID", pid_text },
                { "OVERRUN", overrun ? "1" : "0" },
                {},
        };
        journal_event(EVENT_WORKER_DIED, fields,
                      "Worker %s (pid %s) ended %s; the next one starts in %s", number, pid_text,
                      worker_end_text(end, status, overrun), format_duration(pause, backoff_ns));
}
