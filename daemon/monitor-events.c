/* SPDX-License-Identifier: Apache-2.0 */

/* Whoever may use the control socket may look on, whoever has asked. So there is nothing in here of
 * what a query asks or what sources say to it. */

#include "clock.h"
#include "journal.h"
#include "json-writer.h"
#include "monitor-events.h"

static JsonWriter event_begin(Buffer *out, const char *kind, uint64_t unix_ms) {
        JsonWriter w = json_writer(out);

        json_begin_object(&w, NULL);
        json_put_string(&w, "kind", kind);
        json_put_u64(&w, "time", unix_ms);
        return w;
}

void event_query(const QuerySummary *summary, uint64_t unix_ms, Buffer *out) {
        const AnswerInput *input = summary->input;
        JsonWriter w = event_begin(out, "query", unix_ms);
        size_t answered = 0;

        for (size_t i = 0; i < input->n_sources; i++)
                answered += verdict_answered(input->sources[i].verdict);
        json_put_string(&w, "query_id", input->query_id);
        if (!summary->withdrawn) {
                json_put_bool(&w, "success", summary->completeness != COMPLETENESS_FAILED);
                json_put_string(&w, "completeness", completeness_name(summary->completeness));
        }
        if (!summary->stored) {
                json_put_u64(&w, "asked", input->n_sources);
                json_put_u64(&w, "answered", answered);
        }
        json_put_ms(&w, "execution_ms", time_sub(input->end_ns, input->start_ns));
        json_end_object(&w);
}

void event_source(const char *query_id, const AnswerSource *source, uint64_t unix_ms, Buffer *out) {
        const FetchOutcome *asked = source->asked;
        bool served = answer_source_served(source);
        JsonWriter w = event_begin(out, "source", unix_ms);

        json_put_string(&w, "query_id", query_id);
        json_put_string(&w, "source", source->name);
        json_put_string(&w, "verdict", verdict_name(source->verdict));
        if ((verdict_answered(source->verdict) || served) && source->origin != ORIGIN_NONE)
                json_put_string(&w, "origin", origin_name(source->origin));
        json_put_u64(&w, "attempts", asked ? asked->attempts : 0);
        if (asked && asked->attempts > 0)
                json_put_ms(&w, "fetch_ms", time_sub(asked->end, asked->start));
        json_end_object(&w);
}

void event_breaker(const Source *source, uint64_t now, uint64_t unix_ms, Buffer *out) {
        const Breaker *breaker = &source->breaker;
        JsonWriter w = event_begin(out, "breaker", unix_ms);

        json_put_string(&w, "source", source->name);
        json_put_string(&w, "state", breaker_state_name(breaker_state(breaker, now)));
        json_put_u64(&w, "failures", breaker->failures);
        json_put_ms(&w, "open_ms", breaker_open_left(breaker, now));
        json_end_object(&w);
}

void event_worker(
                unsigned worker, pid_t pid, int status, bool overrun, uint64_t backoff_ns,
                uint64_t unix_ms, Buffer *out) {
        char end[WORKER_END_MAX];
        JsonWriter w = event_begin(out, "worker", unix_ms);

        json_put_u64(&w, "worker", worker);
        json_put_i64(&w, "pid", pid);
        json_put_string(&w, "status", worker_end_text(end, status, overrun));
        json_put_ms(&w, "backoff_ms", backoff_ns);
        json_end_object(&w);
}
