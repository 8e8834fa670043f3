/* SPDX-License-Identifier: Apache-2.0 */

/* One query from question to answer, and the engine that all queries share.
 *
 * Every source is a member of the query's task group and leaves it when it has ended
 * (query-source.c). The group ends when all have left: by themselves, by the query's deadline, by
 * the first failure of a required source under fail_fast, when the quorum is reached, or because
 * the client has gone. Then, and only then, the answer is written and the query is freed. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "query-internal.h"

/* A Varlink peer takes no longer message than 16 MiB; some of it is the envelope's. */
#define ANSWER_MAX ((UINT64_C(16) << 20) - 4096)

/* All answers that are kept as a whole, bytes. */
#define ANSWERS_MAX (UINT64_C(32) << 20)

/* ---- answers ---- */

static AnswerInput answer_input(const Query *query, const AnswerSource *sources) {
        return (AnswerInput){
                .question = query->question ? arena_block_data(query->question) : "",
                .question_size = query->question ? query->question->size : 0,
                .query_id = query->id.text,
                .start_ns = query->start,
                .end_ns = io_now(query->engine->io),
                .max_passages = query->max_passages,
                .sources = sources,
                .n_sources = query->n_sources,
        };
}

static void query_send_event(Query *query, const QuerySource *source) {
        AnswerSource one = query_source_answer(source);
        AnswerInput input = answer_input(query, &one);
        Buffer json = BUFFER_INIT(ANSWER_MAX);

        answer_write_event(&input, &one, &json);
        if (json.error == -EMSGSIZE) {
                input.omit_data = true;
                buffer_clear(&json);
                answer_write_event(&input, &one, &json);
        }
        if (json.error == 0)
                query->callbacks.event(query, json.data, json.size, query->callbacks.userdata);
        buffer_deinit(&json);
}

/* What goes out when there is no memory for the answer, or when even without data it is too
 * long. */
static const char no_answer[] =
                "{\"success\":false,\"completeness\":\"failed\",\"answer\":{\"passages\":[],\"summary\":"
                "\"\"},\"sources\":{},\"inferences\":[],\"errors\":[{\"source\":\"\",\"stage\":\"merge\",\"kind\":"
                "\"shed\",\"transient\":true,\"message\":\"no room for the answer; ask fewer sources at once\"}],"
                "\"execution_time\":0,\"cores_used\":0,\"timeline\":[]}";

/* The time until which the answer is good as a whole; 0: it is not, for there was something to do
 * for it, which will not have to be done again. */
static uint64_t query_fresh_until(const Query *query) {
        uint64_t until = UINT64_MAX;

        for (size_t i = 0; i < query->n_sources; i++) {
                const QuerySource *source = &query->sources[i];

                if (source->origin != ORIGIN_CACHE || !source->reused ||
                    !verdict_answered(source->verdict))
                        return 0;
                until = MIN(until, source->fresh_until);
        }
        return query->n_sources > 0 ? until : 0;
}

static void query_keep_answer(Query *query, const Buffer *json, const AnswerMarks *marks) {
        uint64_t until = query->answer_key ? query_fresh_until(query) : 0;

        if (until > 0)
                answer_store_put(
                                &query->engine->answers, TAKE_PTR(query->answer_key), json, marks,
                                until);
}

static void query_write_answer(Query *query, AnswerInput *input, Buffer *json) {
        AnswerMarks marks;

        if (query->stored)
                return stored_answer_write(
                                query->stored, query->id.text,
                                time_sub(input->end_ns, input->start_ns), json);
        answer_write(input, json, &marks);
        if (json->error == -EMSGSIZE) {
                input->omit_data = true;
                buffer_clear(json);
                answer_write(input, json, &marks);
        }
        if (json->error == 0)
                query_keep_answer(query, json, &marks);
}

static void query_send_answer(Query *query, AnswerInput *input) {
        Buffer json = BUFFER_INIT(ANSWER_MAX);

        query_write_answer(query, input, &json);
        if (json.error == 0)
                query->callbacks.done(query, json.data, json.size, query->callbacks.userdata);
        else
                query->callbacks.done(
                                query, no_answer, sizeof(no_answer) - 1, query->callbacks.userdata);
        buffer_deinit(&json);
}

/* ---- the end ---- */

static void query_free(Query *query) {
        for (size_t i = 0; i < query->n_sources; i++)
                query_source_deinit(&query->sources[i]);
        arena_block_unref(query->question);
        stored_answer_unref(query->stored);
        free(query->answer_key);
        list_remove(&query->node);
        free(query);
}

/* With the last query goes what went on without one. */
static void engine_check_drained(QueryEngine *engine) {
        if (!engine->stopping || engine->open > 0 || engine->drained)
                return;
        flights_stop(&engine->flights);
        readings_stop(&engine->reading);
        io_post(engine->io, &engine->drain);
}

static void query_finish(Query *query) {
        QueryEngine *engine = query->engine;
        CLEANUP_FREE AnswerSource *sources = calloc(query->n_sources + 1, sizeof(*sources));
        AnswerInput input = answer_input(query, sources);
        QuerySummary summary = {
                .input = &input,
                .withdrawn = query->withdrawn,
                .stored = query->stored != NULL,
        };

        if (!sources)
                input.n_sources = 0;
        for (size_t i = 0; i < input.n_sources; i++)
                sources[i] = query_source_answer(&query->sources[i]);
        summary.completeness = query->stored ? COMPLETENESS_COMPLETE : answer_completeness(&input);

        io_timer_cancel(engine->io, &query->timer);
        admission_leave(&engine->admission, &query->admission, time_sub(input.end_ns, query->start));
        engine->open--;
        engine->counters.stored += summary.stored;
        if (query->withdrawn)
                engine->counters.withdrawn++;
        else if (summary.completeness == COMPLETENESS_FAILED)
                engine->counters.failed++;
        if (!query->withdrawn)
                query_send_answer(query, &input);
        engine->options.ended(engine->options.userdata, &summary);
        query_free(query);
        engine_check_drained(engine);
}

static void on_group_ended(Group *group) {
        query_finish(CONTAINER_OF(group, Query, group));
}

/* ---- one query ---- */

static void query_conclude(Query *query) {
        query->cancel_verdict = VERDICT_LATE;
        group_cancel(&query->group);
}

static void on_deadline(IoTimer *timer) {
        query_conclude(CONTAINER_OF(timer, Query, timer));
}

/* A quorum does not do without those that are required. */
void query_source_ended(Query *query, QuerySource *source) {
        query->n_ok += source->verdict == VERDICT_OK;
        query->n_required -= source->member.required;
        if (query->want_events && !query->withdrawn)
                query_send_event(query, source);
        if (query->quorum == 0 || query->n_ok < query->quorum || query->n_required > 0 ||
            query->group.cancelled)
                return;
        query->quorum_reached = true;
        query_conclude(query);
}

int engine_alloc(QueryEngine *engine, size_t size, ArenaBlock **ret) {
        int r;

        do
                r = arena_alloc(engine->fetch.attempt.arena, size, ret);
        while (r == -ENOBUFS && cache_evict(&engine->cache));
        return r;
}

static int query_place_question(Query *query, const QueryRequest *request) {
        int r = engine_alloc(query->engine, request->question_size, &query->question);
        if (r < 0)
                return r;
        memcpy(arena_block_data(query->question), request->question, request->question_size);
        query->question->size = request->question_size;
        return 0;
}

static Query *
query_new(QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
          size_t n_sources) {
        Query *query = calloc(1, sizeof(*query) + n_sources * sizeof(QuerySource));
        if (!query)
                return NULL;

        uint64_t length = request->deadline_ns ? request->deadline_ns :
                                                 engine->options.default_deadline_ns;
        /* One after the other: as arguments, their order would be the compiler's. */
        uint64_t high = io_random(engine->io);
        uint64_t low = io_random(engine->io);
        *query = (Query){
                .engine = engine,
                .callbacks = *callbacks,
                .want_events = request->want_events,
                .batch = request->batch,
                .cache = request->cache,
                .cancel_verdict = VERDICT_CANCELLED,
                .max_passages = request->max_passages,
                .quorum = request->quorum,
                .id = ulid_make(io_unix_ms(engine->io), high, low),
                .start = io_now(engine->io),
                .timer.fire = on_deadline,
                .n_sources = n_sources,
        };
        query->deadline = time_add(query->start, length);
        list_init(&query->node);
        group_init(&query->group, engine->io,
                   request->policy == QUERY_FAIL_FAST ? GROUP_FAIL_FAST : GROUP_GATHER,
                   on_group_ended);
        return query;
}

static void query_open_up(Query *query) {
        QueryEngine *engine = query->engine;

        list_append(&engine->queries, &query->node);
        engine->open++;
        engine->counters.total++;
}

/* A query with sources to ask. */
static Query *query_new_asking(
                QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
                const Plan *plan) {
        Query *query = query_new(engine, request, callbacks, plan->count);

        if (!query)
                return NULL;
        if (query_place_question(query, request) < 0 ||
            io_timer_set(engine->io, &query->timer, query->deadline) < 0) {
                arena_block_unref(query->question);
                free(query);
                return NULL;
        }
        for (size_t i = 0; i < plan->count; i++) {
                query_source_init(query, &query->sources[i], &plan->entries[i]);
                query->n_required += query->sources[i].member.required;
        }
        return query;
}

/* An answer that is there as a whole takes no place, and no time worth a deadline. NULL: there is
 * none. */
static Query *query_start_stored(
                QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
                const char *key) {
        StoredAnswer *stored =
                        key ? answer_store_find(&engine->answers, key, io_now(engine->io)) : NULL;
        Query *query = stored ? query_new(engine, request, callbacks, 0) : NULL;

        if (!query) {
                stored_answer_unref(stored);
                return NULL;
        }
        query->stored = stored;
        query_open_up(query);
        group_close(&query->group);
        return query;
}

static QueryRefusal
query_check(const QueryEngine *engine, const QueryRequest *request, QueryRefused *ret_refused) {
        if (engine->stopping)
                return QUERY_STOPPING;
        ret_refused->which = request->question_size == 0 || request->question_size > QUESTION_MAX ?
                        "question" :
                        request->deadline_ns > engine->options.max_deadline_ns ? "deadline_ms" :
                        request->max_passages > MAX_PASSAGES                   ? "max_passages" :
                                                                                 NULL;
        return ret_refused->which ? QUERY_INVALID_PARAMETER : QUERY_ACCEPTED;
}

static QueryRefusal query_start_asking(
                QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
                const Plan *plan, Query **ret, QueryRefused *ret_refused) {
        AdmissionTicket ticket = {};
        size_t n_values = 0;

        if (!admission_enter(
                            &engine->admission, request->user, request->batch, &ticket,
                            &ret_refused->retry_after_ms))
                return QUERY_OVERLOADED;
        CLEANUP_FREE TemplateValue *values = plan_values(request, &n_values);
        Query *query = values ? query_new_asking(engine, request, callbacks, plan) : NULL;
        if (!query) {
                admission_leave(&engine->admission, &ticket, 0);
                ret_refused->retry_after_ms = 1000;
                return QUERY_OVERLOADED;
        }
        query->admission = ticket;
        query_open_up(query);
        for (size_t i = 0; i < query->n_sources; i++)
                query_source_start(&query->sources[i], values, n_values);
        group_close(&query->group);
        *ret = query;
        return QUERY_ACCEPTED;
}

QueryRefusal
query_start(QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
            Query **ret, QueryRefused *ret_refused) {
        Plan plan = {};

        QueryRefusal refusal = query_check(engine, request, ret_refused);
        if (refusal != QUERY_ACCEPTED)
                return refusal;
        CLEANUP_FREE char *key = engine->caches ? answer_key(request) : NULL;
        *ret = query_start_stored(engine, request, callbacks, key);
        if (*ret)
                return QUERY_ACCEPTED;
        refusal = plan_make(&plan, engine->options.sources, request, /* all= */ false, ret_refused);
        if (refusal == QUERY_ACCEPTED)
                refusal = query_start_asking(engine, request, callbacks, &plan, ret, ret_refused);
        if (refusal == QUERY_ACCEPTED)
                (*ret)->answer_key = TAKE_PTR(key);
        plan_deinit(&plan);
        return refusal;
}

void query_cancel(Query *query) {
        query->withdrawn = true;
        query->cancel_verdict = VERDICT_CANCELLED;
        group_cancel(&query->group);
}

/* What the cache has for the request that a source would get. */
static CacheState
plan_cached(void *userdata, const Source *source, const TemplateValue values[], size_t n_values,
            uint64_t *ret_age_ns) {
        QueryEngine *engine = userdata;
        CLEANUP_FREE char *key = NULL;
        const char *missing = NULL;

        if (query_source_key(source, values, n_values, &key, &missing) < 0)
                return CACHE_NOTHING;
        CacheHit hit = cache_find(&engine->cache, key, io_now(engine->io));
        *ret_age_ns = hit.age_ns;
        return hit.state;
}

QueryRefusal
query_explain(QueryEngine *engine, const QueryRequest *request, char **ret_json, size_t *ret_size,
              QueryRefused *ret_refused) {
        const PlanView view = {
                .deadline_ns = request->deadline_ns ? request->deadline_ns :
                                                      engine->options.default_deadline_ns,
                .now = io_now(engine->io),
                .unix_ms = io_unix_ms(engine->io),
                .cached = plan_cached,
                .userdata = engine,
        };
        Plan plan = {};
        Buffer json = BUFFER_INIT(ANSWER_MAX);

        QueryRefusal refusal = query_check(engine, request, ret_refused);
        if (refusal == QUERY_ACCEPTED)
                refusal =
                                plan_make(&plan, engine->options.sources, request, /* all= */ true,
                                          ret_refused);
        if (refusal != QUERY_ACCEPTED)
                return refusal;
        plan_write(&plan, request, &view, &json);
        plan_deinit(&plan);
        *ret_size = json.size;
        *ret_json = buffer_steal(&json);
        return *ret_json ? QUERY_ACCEPTED : QUERY_NO_MEMORY;
}

/* ---- the engine ---- */

static void on_drain(IoTask *task) {
        QueryEngine *engine = CONTAINER_OF(task, QueryEngine, drain);

        engine->drained = true;
        engine->options.drained(engine->options.userdata);
}

static bool on_make_room(void *userdata) {
        QueryEngine *engine = userdata;

        return cache_evict(&engine->cache);
}

static void engine_store(QueryEngine *engine, Finding *finding, Verdict verdict) {
        cache_store(&engine->cache, finding, verdict == VERDICT_EMPTY, io_unix_ms(engine->io));
}

/* A worker has read a document, or refused it: only now is it known to be an answer. */
static void on_reading_ended(void *userdata, Reading *reading, size_t kept_before) {
        QueryEngine *engine = userdata;
        Finding *finding = reading->finding;

        if (finding->entry)
                cache_account(&engine->cache, finding, kept_before);
        else if (verdict_answered(reading->verdict))
                engine_store(engine, finding, reading->verdict);
}

/* Nobody may have waited for it; then a worker reads it for the cache's sake. */
static void on_flight_landed(void *userdata, const Flight *flight, Finding *finding) {
        QueryEngine *engine = userdata;
        const ReadingRequest request = {
                .question = flight->question,
                .max_passages = flight->max_passages,
                .priority = READING_PRIORITY_LEAST,
                .deadline_ns = time_add(finding->arrived, engine->options.default_deadline_ns),
        };

        if (flight->alone && verdict_answered(finding->fetch.verdict))
                source_count(finding->source,
                             flight->refresh ? COUNTER_REFRESHED : COUNTER_HARVESTED);
        if (finding->fetch.verdict == VERDICT_EMPTY)
                engine_store(engine, finding, VERDICT_EMPTY);
        else if (finding->fetch.verdict == VERDICT_OK && flight->harvest)
                (void) reading_follow(&engine->reading, finding, &request, NULL);
}

int query_engine_new(QueryEngine **ret, const QueryEngineOptions *options) {
        QueryEngine *engine = calloc(1, sizeof(*engine));
        if (!engine)
                return -ENOMEM;

        engine->options = *options;
        engine->io = options->fetch.attempt.io;
        engine->fetch = options->fetch;
        engine->fetch.attempt.make_room = on_make_room;
        engine->fetch.attempt.userdata = engine;
        gate_init(&engine->fetch.gate, engine->io, options->max_concurrent, &(RatePolicy){});
        flights_init(&engine->flights, &engine->fetch, io_random(engine->io));
        engine->flights.landed = on_flight_landed;
        engine->flights.userdata = engine;
        for (size_t i = 0; i < options->sources->count && options->cache_entries > 0; i++)
                engine->caches |= options->sources->sources[i]->freshness.ttl_ns > 0;
        engine->reading = (ReadingContext){
                .pool = options->pool,
                .ended = on_reading_ended,
                .userdata = engine,
        };
        list_init(&engine->reading.running);
        cache_init(&engine->cache, options->cache_entries, arena_size(options->fetch.attempt.arena),
                   io_random(engine->io));
        answer_store_init(&engine->answers, options->cache_entries, ANSWERS_MAX, io_random(engine->io));
        admission_init(&engine->admission, options->max_queries);
        list_init(&engine->queries);
        list_init(&engine->drain.node);
        engine->drain.run = on_drain;
        *ret = engine;
        return 0;
}

void query_engine_stop(QueryEngine *engine) {
        engine->stopping = true;
        engine_check_drained(engine);
}

void query_engine_cancel_all(QueryEngine *engine) {
        /* Groups end from the loop, so the list does not change here. */
        LIST_FOREACH(node, &engine->queries) {
                Query *query = LIST_ENTRY(node, Query, node);

                query->cancel_verdict = VERDICT_CANCELLED;
                group_cancel(&query->group);
        }
}

QueryEngine *query_engine_free(QueryEngine *engine) {
        if (!engine)
                return NULL;
        assert(engine->open == 0);
        flights_stop(&engine->flights);
        readings_stop(&engine->reading);
        answer_store_deinit(&engine->answers);
        cache_deinit(&engine->cache);
        flights_deinit(&engine->flights);
        gate_deinit(&engine->fetch.gate);
        admission_deinit(&engine->admission);
        io_unpost(&engine->drain);
        free(engine);
        return NULL;
}

size_t query_engine_flush_cache(QueryEngine *engine) {
        answer_store_flush(&engine->answers);
        return cache_flush(&engine->cache);
}

QueryCounters query_engine_counters(const QueryEngine *engine) {
        QueryCounters counters = engine->counters;

        counters.refused = engine->admission.refused;
        counters.cache_entries = engine->cache.map.count;
        counters.cache_bytes = engine->cache.bytes;
        counters.alone = engine->flights.n_alone;
        return counters;
}

size_t query_open(const QueryEngine *engine) {
        return engine->open;
}
