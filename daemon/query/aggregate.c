/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "aggregate.h"
#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "fuse.h"
#include "json-writer.h"

/* Summaries of the best sources that together make the answer's. */
#define SUMMARY_SOURCES 3u

const char *completeness_name(Completeness completeness) {
        static const char *const names[] = {
                [COMPLETENESS_COMPLETE] = "complete",
                [COMPLETENESS_PARTIAL] = "partial",
                [COMPLETENESS_FAILED] = "failed",
        };
        return names[completeness];
}

Completeness answer_completeness(const AnswerInput *input) {
        size_t answered = 0;
        bool required_missing = false;

        for (size_t i = 0; i < input->n_sources; i++) {
                if (verdict_answered(input->sources[i].verdict))
                        answered++;
                else if (input->sources[i].required)
                        required_missing = true;
        }
        if (answered == 0 || required_missing)
                return COMPLETENESS_FAILED;
        return answered == input->n_sources ? COMPLETENESS_COMPLETE : COMPLETENESS_PARTIAL;
}

/* ---- passages and summary ---- */

static void take_passages(const AnswerSource *source, size_t number, FusePassage out[]) {
        const ResultHeader *result = source->result;

        for (uint32_t i = 0; i < result->n_passages; i++) {
                const PassageRecord *passage = &result->passages[i];

                out[i] = (FusePassage){
                        .score = passage->score,
                        .source = number,
                        .text = result_text(result, passage->text),
                        .text_size = passage->text.size,
                        .title = result_text(result, passage->title),
                        .title_size = passage->title.size,
                        .link = result_text(result, passage->link),
                        .link_size = passage->link.size,
                };
        }
}

/* All passages, fused; *ret_kept of them count. NULL when there is none (or no memory: the answer
 * is still one). */
static FusePassage *fuse_all(const AnswerInput *input, size_t limit, size_t *ret_kept) {
        FusePassage *passages;
        size_t n = 0, at = 0;

        *ret_kept = 0;
        for (size_t i = 0; i < input->n_sources; i++)
                if (input->sources[i].result)
                        n += input->sources[i].result->n_passages;
        passages = n > 0 ? calloc(n, sizeof(*passages)) : NULL;
        if (!passages)
                return NULL;
        for (size_t i = 0; i < input->n_sources; i++)
                if (input->sources[i].result) {
                        take_passages(&input->sources[i], i, passages + at);
                        at += input->sources[i].result->n_passages;
                }
        *ret_kept = fuse_passages(passages, n, limit);
        return passages;
}

static void write_passage(JsonWriter *w, const FusePassage *passage, const char *source) {
        json_begin_object(w, NULL);
        json_put_string_n(w, "text", passage->text, passage->text_size);
        json_put_double(w, "score", passage->score, 4);
        json_put_string(w, "source", source);
        if (passage->title_size > 0)
                json_put_string_n(w, "title", passage->title, passage->title_size);
        if (passage->link_size > 0)
                json_put_string_n(w, "link", passage->link, passage->link_size);
        json_end_object(w);
}

/* The summaries of the sources with the best passages, best first. */
static void
write_summary(JsonWriter *w, const AnswerInput *input, const FusePassage passages[], size_t n) {
        Buffer summary = {};
        unsigned taken = 0;

        for (size_t i = 0; i < n && taken < SUMMARY_SOURCES; i++) {
                const ResultHeader *result = input->sources[passages[i].source].result;
                bool seen = false;

                for (size_t k = 0; k < i && !seen; k++)
                        seen = passages[k].source == passages[i].source;
                if (seen || result->summary.size == 0)
                        continue;
                if (taken++ > 0)
                        (void) buffer_append_char(&summary, ' ');
                (void) buffer_append(
                                &summary, result_text(result, result->summary), result->summary.size);
        }
        json_put_string_n(w, "summary", summary.data ? summary.data : "", summary.size);
        buffer_deinit(&summary);
}

static void write_answer(JsonWriter *w, const AnswerInput *input) {
        size_t kept = 0;
        /* One passage at least is fused, also for a caller who wants none: the summary needs its
         * source. */
        CLEANUP_FREE FusePassage *passages = fuse_all(input, MAX(input->max_passages, 1u), &kept);

        json_begin_object(w, "answer");
        json_begin_array(w, "passages");
        for (size_t i = 0; i < MIN(kept, (size_t) input->max_passages); i++)
                write_passage(w, &passages[i], input->sources[passages[i].source].name);
        json_end_array(w);
        write_summary(w, input, passages, kept);
        json_end_object(w);
}

/* ---- per source ---- */

static void write_data(JsonWriter *w, const AnswerSource *source) {
        const ResultHeader *result = source->result;
        const ArenaBlock *document = source->fetch->document;
        const char *data = (const char *) result + result->data_offset;

        switch ((DataKind) result->data_kind) {
        case DATA_JSON:
                json_put_raw(w, "data", data, result->data_size);
                break;
        case DATA_TEXT:
                json_put_string_n(w, "data", data, result->data_size);
                break;
        case DATA_JSON_DOCUMENT:
                json_put_raw(w, "data", arena_block_data(document), document->size);
                break;
        case DATA_TEXT_DOCUMENT:
                json_put_string_n(w, "data", arena_block_data(document), document->size);
                break;
        case DATA_NONE:
        case DATA_COUNT:
                json_put_null(w, "data");
                break;
        }
}

static const PoolTry *last_try(const AnswerSource *source) {
        return source->task->n_tries > 0 ? &source->task->tries[source->task->n_tries - 1] : NULL;
}

/* When a worker began the task; 0: not yet. One that died did not tell, so all of its time
 * counts. */
static uint64_t try_begun(const PoolTry *try) {
        return try->started_ns == 0 && try->finished_ns > 0 ? try->dispatched_ns : try->started_ns;
}

static void write_result_members(JsonWriter *w, const AnswerInput *input, const AnswerSource *source) {
        const Fetch *fetch = source->fetch;
        const PoolTry *try = last_try(source);

        json_put_string(w, "verdict", verdict_name(source->verdict));
        if (verdict_answered(source->verdict))
                json_put_string(w, "origin", "live");
        json_put_u64(w, "attempts", fetch->attempts);
        if (fetch->status > 0) {
                json_put_i64(w, "status", fetch->status);
                json_put_u64(w, "bytes", fetch->bytes);
        }
        if (fetch->attempts > 0)
                json_put_ms(w, "fetch_ms", time_sub(fetch->attempt.end, fetch->attempt.start));
        if (try && try->finished_ns > 0)
                json_put_ms(w, "infer_ms", time_sub(try->finished_ns, try_begun(try)));
        if (source->result && source->verdict == VERDICT_OK && !input->omit_data)
                write_data(w, source);
        else if (source->result && source->verdict == VERDICT_OK)
                json_put_bool(w, "data_omitted", true);
        if (source->error)
                json_put_string(w, "error", source->error);
}

/* Only of a source that a worker has answered for. */
static void write_inference(JsonWriter *w, const char *key, const AnswerSource *source) {
        const ResultHeader *result = source->result;
        FusePassage passages[MAX_PASSAGES];

        json_begin_object(w, key);
        json_put_string(w, "source", source->name);
        json_put_string(w, "engine", engine_name((int) source->engine));
        json_put_u64(w, "worker", source->task->tries[source->task->n_tries - 1].worker);
        json_put_u64(w, "tokens", result->tokens);
        json_put_u64(w, "sentences", result->sentences);
        json_put_string_n(w, "summary", result_text(result, result->summary), result->summary.size);
        take_passages(source, 0, passages);
        json_begin_array(w, "passages");
        for (uint32_t i = 0; i < result->n_passages; i++)
                write_passage(w, &passages[i], source->name);
        json_end_array(w);
        json_end_object(w);
}

static bool has_inference(const AnswerSource *source) {
        return source->result && verdict_answered(source->verdict);
}

static void write_error(JsonWriter *w, const AnswerSource *source) {
        json_begin_object(w, NULL);
        json_put_string(w, "source", source->name);
        json_put_string(w, "stage", stage_error_stage(source->stage));
        json_put_string(w, "kind", verdict_name(source->verdict));
        json_put_bool(w, "transient", verdict_transient(source->verdict));
        json_put_string(w, "message", source->error ? source->error : verdict_help(source->verdict));
        json_end_object(w);
}

/* ---- the timeline ---- */

typedef struct Span {
        Stage stage;
        uint64_t start;
        uint64_t end;
} Span;

static void
write_span(JsonWriter *w, const AnswerInput *input, const AnswerSource *source, unsigned attempt,
           Span span, const PoolTry *try) {
        /* An end that is missing is that of the query: the step was still under way. */
        uint64_t end = span.end > 0 ? span.end : input->end_ns;

        if (span.start == 0)
                return;
        json_begin_object(w, NULL);
        json_put_string(w, "source", source->name);
        json_put_string(w, "stage", stage_name(span.stage));
        json_put_u64(w, "attempt", attempt);
        json_put_ms(w, "start_ms", time_sub(span.start, input->start_ns));
        json_put_ms(w, "end_ms", time_sub(MAX(end, span.start), input->start_ns));
        if (try)
                json_put_u64(w, "worker", try->worker);
        json_end_object(w);
}

static void write_fetch_spans(JsonWriter *w, const AnswerInput *input, const AnswerSource *source) {
        const FetchAttempt *attempt = &source->fetch->attempt;
        const ExchangeTimes *t = &attempt->times;
        /* What was under way when the attempt ended, ended with it. */
        uint64_t end = attempt->end > 0 ? attempt->end : input->end_ns;
        const Span spans[] = {
                { STAGE_RESOLVE, t->resolve_start, t->resolve_end ? t->resolve_end : end },
                { STAGE_CONNECT, t->connect_start, t->connect_end ? t->connect_end : end },
                { STAGE_SEND, t->send_start, t->send_end ? t->send_end : end },
                { STAGE_WAIT, t->send_end, t->first_byte ? t->first_byte : end },
                { STAGE_RECEIVE, t->first_byte, t->end ? t->end : end },
        };

        for (size_t i = 0; i < ELEMENTSOF(spans); i++)
                write_span(w, input, source, 1, spans[i], NULL);
}

static void write_task_spans(JsonWriter *w, const AnswerInput *input, const AnswerSource *source) {
        uint64_t waiting_since = source->task->submitted_ns;

        for (unsigned i = 0; i < source->task->n_tries; i++) {
                const PoolTry *try = &source->task->tries[i];
                uint64_t begun = try_begun(try);
                const Span spans[] = {
                        { STAGE_LANE, waiting_since, begun },
                        { STAGE_DECODE, try->started_ns, try->decoded_ns },
                        { STAGE_ENGINE, try->decoded_ns ? try->decoded_ns : begun, try->finished_ns },
                };

                for (size_t k = 0; k < ELEMENTSOF(spans); k++)
                        write_span(w, input, source, i + 1, spans[k], try);
                waiting_since = try->finished_ns > 0 ? try->finished_ns : try->dispatched_ns;
        }
        if (source->task->n_tries == 0)
                write_span(w, input, source, 1, (Span){ STAGE_LANE, waiting_since, 0 }, NULL);
}

/* ---- the whole ---- */

static unsigned count_workers(const AnswerInput *input) {
        uint64_t seen = 0; /* a pool has at most 64 places */

        for (size_t i = 0; i < input->n_sources; i++)
                for (unsigned k = 0; k < input->sources[i].task->n_tries; k++)
                        seen |= UINT64_C(1) << (input->sources[i].task->tries[k].worker & 63);
        return (unsigned) __builtin_popcountll(seen);
}

static void write_sources(JsonWriter *w, const AnswerInput *input) {
        json_begin_object(w, "sources");
        for (size_t i = 0; i < input->n_sources; i++) {
                json_begin_object(w, input->sources[i].name);
                write_result_members(w, input, &input->sources[i]);
                json_end_object(w);
        }
        json_end_object(w);
}

static void write_lists(JsonWriter *w, const AnswerInput *input) {
        json_begin_array(w, "inferences");
        for (size_t i = 0; i < input->n_sources; i++)
                if (has_inference(&input->sources[i]))
                        write_inference(w, NULL, &input->sources[i]);
        json_end_array(w);
        json_begin_array(w, "errors");
        for (size_t i = 0; i < input->n_sources; i++)
                if (!verdict_answered(input->sources[i].verdict))
                        write_error(w, &input->sources[i]);
        json_end_array(w);
}

void answer_write(const AnswerInput *input, Buffer *out) {
        Completeness completeness = answer_completeness(input);
        JsonWriter w = json_writer(out);

        json_begin_object(&w, NULL);
        json_put_string_n(&w, "query", input->question, input->question_size);
        json_put_string(&w, "query_id", input->query_id);
        json_put_bool(&w, "success", completeness != COMPLETENESS_FAILED);
        json_put_string(&w, "completeness", completeness_name(completeness));
        write_answer(&w, input);
        write_sources(&w, input);
        write_lists(&w, input);
        json_put_double(&w, "execution_time",
                        (double) time_sub(input->end_ns, input->start_ns) / (double) NSEC_PER_SEC, 6);
        json_put_u64(&w, "cores_used", count_workers(input));
        json_begin_array(&w, "timeline");
        for (size_t i = 0; i < input->n_sources; i++) {
                if (input->sources[i].fetch->attempts > 0)
                        write_fetch_spans(&w, input, &input->sources[i]);
                if (input->sources[i].task->submitted_ns > 0)
                        write_task_spans(&w, input, &input->sources[i]);
        }
        json_end_array(&w);
        json_end_object(&w);
}

void answer_write_event(const AnswerInput *input, const AnswerSource *source, Buffer *out) {
        JsonWriter w = json_writer(out);

        json_begin_object(&w, NULL);
        json_put_string(&w, "source", source->name);
        json_begin_object(&w, "result");
        write_result_members(&w, input, source);
        json_end_object(&w);
        if (has_inference(source))
                write_inference(&w, "inference", source);
        else
                json_put_null(&w, "inference");
        json_end_object(&w);
}
