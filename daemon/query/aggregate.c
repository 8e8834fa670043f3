/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

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

const char *origin_name(Origin origin) {
        static const char *const names[] = {
                [ORIGIN_LIVE] = "live",
                [ORIGIN_CACHE] = "cache",
                [ORIGIN_STALE] = "stale",
                [ORIGIN_FALLBACK] = "fallback",
        };
        return names[origin];
}

bool answer_source_served(const AnswerSource *source) {
        return !verdict_answered(source->verdict) && source->result && source->origin != ORIGIN_NONE;
}

Completeness answer_completeness(const AnswerInput *input) {
        size_t answered = 0, served = 0;
        bool required_missing = false;

        for (size_t i = 0; i < input->n_sources; i++) {
                if (verdict_answered(input->sources[i].verdict))
                        answered++;
                else if (answer_source_served(&input->sources[i]))
                        served++;
                else if (input->sources[i].required)
                        required_missing = true;
        }
        if (answered + served == 0 || required_missing)
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
        const ArenaBlock *document = source->shown->document;
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

/* When a worker began the task; 0: not yet. One that died did not tell, so all of its time
 * counts. */
static uint64_t try_begun(const PoolTry *try) {
        return try->started_ns == 0 && try->finished_ns > 0 ? try->dispatched_ns : try->started_ns;
}

/* The last try; NULL when there was none, or when all was over before the query began. */
static const PoolTry *last_try(const AnswerInput *input, const AnswerSource *source) {
        const PoolTask *task = source->task;
        const PoolTry *try = task && task->n_tries > 0 ? &task->tries[task->n_tries - 1] : NULL;

        return try && (try->finished_ns == 0 || try->finished_ns > input->start_ns) ? try : NULL
                ;
}

static bool shows_data(const AnswerSource *source) {
        return source->result && (source->verdict == VERDICT_OK || answer_source_served(source));
}

static bool is_shown(const AnswerSource *source) {
        return source->origin != ORIGIN_NONE &&
                        (verdict_answered(source->verdict) || answer_source_served(source));
}

static void write_fetch_members(JsonWriter *w, const AnswerInput *input, const AnswerSource *source) {
        const FetchOutcome *asked = source->asked;
        /* The response that there was: to this query, else the one that is shown. */
        const FetchOutcome *response = asked && asked->status > 0 ? asked :
                        is_shown(source)                          ? source->shown :
                                                                    NULL;

        json_put_u64(w, "attempts", asked ? asked->attempts : 0);
        if (response && response->status > 0) {
                json_put_i64(w, "status", response->status);
                json_put_u64(w, "bytes", response->bytes);
        }
        if (asked && asked->attempts > 0)
                json_put_ms(w, "fetch_ms", time_sub(asked->end, MAX(asked->start, input->start_ns)));
        else if (source->origin == ORIGIN_CACHE || source->origin == ORIGIN_STALE)
                json_put_ms(w, "fetch_ms", 0);
}

static void write_result_members(JsonWriter *w, const AnswerInput *input, const AnswerSource *source) {
        const PoolTry *try = last_try(input, source);
        bool shown = is_shown(source);

        json_put_string(w, "verdict", verdict_name(source->verdict));
        if (shown)
                json_put_string(w, "origin", origin_name(source->origin));
        if (shown && source->origin == ORIGIN_STALE)
                json_put_ms(w, "age_ms", source->age_ns);
        write_fetch_members(w, input, source);
        if (try && try->finished_ns > 0)
                json_put_ms(w, "infer_ms",
                            time_sub(try->finished_ns, MAX(try_begun(try), input->start_ns)));
        if (shows_data(source) && !input->omit_data)
                write_data(w, source);
        else if (shows_data(source))
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
        return source->result && (verdict_answered(source->verdict) || answer_source_served(source));
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
        unsigned attempt;
        uint64_t start;
        uint64_t end; /* 0: the step was still under way when the answer was given */
} Span;

/* What was over before the query began, or began after its end, is of another one's story. */
static void
write_span(JsonWriter *w, const AnswerInput *input, const char *source, Span span,
           const PoolTry *try) {
        uint64_t end = span.end > 0 ? MIN(span.end, input->end_ns) : input->end_ns;

        if (span.start == 0 || end < input->start_ns || span.start > input->end_ns)
                return;
        json_begin_object(w, NULL);
        json_put_string(w, "source", source);
        json_put_string(w, "stage", stage_name(span.stage));
        json_put_u64(w, "attempt", MAX(span.attempt, 1u));
        json_put_ms(w, "start_ms", time_sub(span.start, input->start_ns));
        json_put_ms(w, "end_ms", time_sub(MAX(end, span.start), input->start_ns));
        if (try)
                json_put_u64(w, "worker", try->worker);
        json_end_object(w);
}

static void write_story(JsonWriter *w, const AnswerInput *input, const char *source, const Story *story) {
        for (unsigned i = 0; i < story->count; i++) {
                const StorySpan *span = &story->spans[i];

                write_span(w, input, source,
                           (Span){ (Stage) span->stage, span->attempt, span->start, span->end },
                           NULL);
        }
}

static void write_task_spans(JsonWriter *w, const AnswerInput *input, const AnswerSource *source) {
        const PoolTask *task = source->task;
        uint64_t waiting_since = task->submitted_ns;

        for (unsigned i = 0; i < task->n_tries; i++) {
                const PoolTry *try = &task->tries[i];
                uint64_t begun = try_begun(try);
                const Span spans[] = {
                        { STAGE_LANE, i + 1, waiting_since, begun },
                        { STAGE_DECODE, i + 1, try->started_ns, try->decoded_ns },
                        { STAGE_ENGINE, i + 1, try->decoded_ns ? try->decoded_ns : begun,
                          try->finished_ns },
                };

                for (size_t k = 0; k < ELEMENTSOF(spans); k++)
                        write_span(w, input, source->name, spans[k], try);
                waiting_since = try->finished_ns > 0 ? try->finished_ns : try->dispatched_ns;
        }
        if (task->n_tries == 0)
                write_span(w, input, source->name, (Span){ STAGE_LANE, 1, waiting_since, 0 }, NULL);
}

static void write_timeline(JsonWriter *w, const AnswerInput *input) {
        json_begin_array(w, "timeline");
        for (size_t i = 0; i < input->n_sources; i++) {
                const AnswerSource *source = &input->sources[i];

                if (source->story)
                        write_story(w, input, source->name, source->story);
                if (source->asked)
                        write_story(w, input, source->name, &source->asked->story);
                if (source->task)
                        write_task_spans(w, input, source);
        }
        json_end_array(w);
}

/* ---- the whole ---- */

static uint64_t tried_by(const PoolTask *task) {
        uint64_t places = 0;

        for (unsigned i = 0; i < task->n_tries; i++)
                places |= UINT64_C(1) << (task->tries[i].worker & 63);
        return places;
}

static unsigned count_workers(const AnswerInput *input) {
        uint64_t seen = 0; /* a pool has at most 64 places */

        for (size_t i = 0; i < input->n_sources; i++)
                if (last_try(input, &input->sources[i]))
                        seen |= tried_by(input->sources[i].task);
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

static void write_identity(JsonWriter *w, const AnswerInput *input, AnswerMarks *marks) {
        json_put_string_n(w, "query", input->question, input->question_size);
        json_put_string(w, "query_id", input->query_id);
        marks->id_at = w->buffer->size - strlen(input->query_id) - 1;
}

static void write_time(JsonWriter *w, const AnswerInput *input, AnswerMarks *marks) {
        static const char name[] = ",\"execution_time\":";

        marks->time_at = w->buffer->size + strlen(name);
        json_put_double(w, "execution_time",
                        (double) time_sub(input->end_ns, input->start_ns) / (double) NSEC_PER_SEC, 6);
        marks->time_end = w->buffer->size;
}

void answer_write(const AnswerInput *input, Buffer *out, AnswerMarks *ret_marks) {
        Completeness completeness = answer_completeness(input);
        JsonWriter w = json_writer(out);
        AnswerMarks marks;

        json_begin_object(&w, NULL);
        write_identity(&w, input, &marks);
        json_put_bool(&w, "success", completeness != COMPLETENESS_FAILED);
        json_put_string(&w, "completeness", completeness_name(completeness));
        write_answer(&w, input);
        write_sources(&w, input);
        write_lists(&w, input);
        write_time(&w, input, &marks);
        json_put_u64(&w, "cores_used", count_workers(input));
        write_timeline(&w, input);
        json_end_object(&w);
        if (ret_marks)
                *ret_marks = marks;
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
