/* SPDX-License-Identifier: Apache-2.0 */

/* One source within one query.
 *
 *     kept, fresh or stale ────────────────┐
 *                                          ▼
 *     FETCHING ──landed with a document─▶ READING ──▶ ENDED
 *         │                                │            ▲
 *         └─────────── failed ─────────────┴─▶ substitute? ── none
 *                                               a kept copy, [Fallback] Text= or Source=
 *
 * Every source walks this line on its own; there is no barrier. It leaves the query's group in
 * source_end(), once. A substitute changes what the answer shows, never the verdict: that is what
 * went wrong. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "query-internal.h"

static void source_read(QuerySource *source, Finding *finding);

/* ---- the end ---- */

/* One that a substitute serves is no reason to give up the query. */
static bool source_has_answer(const QuerySource *source) {
        AnswerSource answer = query_source_answer(source);

        return verdict_answered(source->verdict) || answer_source_served(&answer);
}

static void source_end(QuerySource *source, Verdict verdict, Stage stage, char *error) {
        Query *query = source->query;

        assert(source->state != SOURCE_ENDED);
        source->state = SOURCE_ENDED;
        if (!source->failed) {
                source->verdict = verdict;
                source->stage = stage;
                source->error = error;
        } else
                free(error);
        source->source->verdicts[source->verdict]++;
        query_source_ended(query, source);
        group_leave(&source->member, source_has_answer(source) ? 0 : -ENODATA);
}

/* From the loop: nothing ends within query_start(). Of one whose substitute fails, this is the
 * loop. */
static void source_fail_later(QuerySource *source, Verdict verdict, Stage stage, char *error) {
        if (source->failed)
                return source_end(source, verdict, stage, error);
        source->state = SOURCE_FAILING;
        source->verdict = verdict;
        source->stage = stage;
        source->error = error;
        io_post(source->query->engine->io, &source->step);
}

/* ---- substitutes ---- */

static void source_show(QuerySource *source, Finding *finding, Origin origin) {
        finding_unref(source->shown);
        source->shown = finding_ref(finding);
        source->origin = origin;
}

static void story_mark(QuerySource *source, Stage stage) {
        uint64_t now = io_now(source->query->engine->io);

        story_add(&source->story, stage, 0, now, now);
}

static bool substitute_kept(QuerySource *source) {
        QueryEngine *engine = source->query->engine;
        const char *key = source->asked ? source->asked->key : NULL;

        if (!key || source->query->cache == QUERY_CACHE_BYPASS)
                return false;
        CacheHit hit = cache_find(&engine->cache, key, io_now(engine->io));
        if (hit.state == CACHE_NOTHING || hit.finding == source->asked)
                return false;
        source->age_ns = hit.age_ns;
        source_count(source->source, COUNTER_CACHE_STALE);
        source_show(source, hit.finding, ORIGIN_STALE);
        story_mark(source, STAGE_CACHE);
        source_read(source, hit.finding);
        return true;
}

static bool substitute_text(QuerySource *source) {
        QueryEngine *engine = source->query->engine;
        const char *text = source->source->config->fallback_text;
        FetchOutcome outcome = { .verdict = VERDICT_OK, .media = MEDIA_TEXT };
        char *key = NULL;

        if (!text || engine_alloc(engine, strlen(text), &outcome.document) < 0)
                return false;
        outcome.document->size = strlen(text);
        memcpy(arena_block_data(outcome.document), text, outcome.document->size);
        Finding *finding = finding_new(source->source, &outcome, &key, io_now(engine->io));
        if (!finding) {
                fetch_outcome_deinit(&outcome);
                return false;
        }
        source_show(source, finding, ORIGIN_FALLBACK);
        source_read(source, finding);
        finding_unref(finding);
        return true;
}

static void on_fallback_landed(FlightFollower *follower, Finding *finding) {
        QuerySource *source = CONTAINER_OF(follower, QuerySource, flight);

        if (!finding || finding->fetch.verdict != VERDICT_OK)
                return source_end(source, source->verdict, source->stage, NULL);
        source_show(source, finding, ORIGIN_FALLBACK);
        source_read(source, finding);
}

static FlightRequest flight_request(const QuerySource *source, Source *from, char **key) {
        const Query *query = source->query;

        return (FlightRequest){
                .source = from,
                .key = key,
                .question = query->question,
                .max_passages = query->max_passages,
                .batch = query->batch,
                .alone = query->cache == QUERY_CACHE_BYPASS || from->freshness.ttl_ns == 0,
        };
}

/* The other source's own breaker and limits hold for it here, too; its own fallback does not. */
static bool substitute_source(QuerySource *source) {
        QueryEngine *engine = source->query->engine;
        CLEANUP_FREE char *key = TAKE_PTR(source->fallback_key);

        if (!key || !source->source->fallback->config->enabled)
                return false;
        FlightRequest request = flight_request(source, source->source->fallback, &key);
        CacheHit hit = { CACHE_NOTHING };
        if (source->query->cache != QUERY_CACHE_BYPASS)
                hit = cache_find(&engine->cache, key, io_now(engine->io));
        if (hit.state == CACHE_FRESH) {
                source_show(source, hit.finding, ORIGIN_FALLBACK);
                source_read(source, hit.finding);
                return true;
        }
        if (source->query->cache == QUERY_CACHE_ONLY)
                return false;
        source->flight.landed = on_fallback_landed;
        source->state = SOURCE_FETCHING;
        return flight_follow(&engine->flights, &request, &source->flight) >= 0;
}

/* It has failed; that stays its verdict. What can be shown instead? */
static void source_fail(QuerySource *source, Verdict verdict, Stage stage, char *error) {
        if (source->failed) /* so has the substitute */
                return source_end(source, verdict, stage, error);
        source->failed = true;
        source->verdict = verdict;
        source->stage = stage;
        source->error = error;
        finding_unref(TAKE_PTR(source->shown));
        source->origin = ORIGIN_NONE;
        if (source->refusal || verdict == VERDICT_UNCACHED || verdict == VERDICT_LATE ||
            verdict == VERDICT_CANCELLED)
                return source_end(source, verdict, stage, NULL);
        if (substitute_kept(source))
                return;
        if (substitute_text(source) || substitute_source(source)) {
                source_count(source->source, COUNTER_FALLBACKS);
                story_mark(source, STAGE_FALLBACK);
                return;
        }
        source_end(source, verdict, stage, NULL);
}

/* ---- reading ---- */

static void source_take_reading(QuerySource *source) {
        const Reading *reading = source->reading.reading;

        source->read = true;
        if (verdict_answered(reading->verdict))
                source_end(source, reading->verdict, reading->stage, NULL);
        else
                source_fail(source, reading->verdict, reading->stage,
                            reading->error ? strdup(reading->error) : NULL);
}

static void on_read(ReadingFollower *follower) {
        source_take_reading(CONTAINER_OF(follower, QuerySource, reading));
}

static void source_read(QuerySource *source, Finding *finding) {
        Query *query = source->query;
        int64_t priority = source->source->config->priority;
        const ReadingRequest request = {
                .question = query->question,
                .max_passages = query->max_passages,
                .priority = (int) (query->batch ? priority + READING_PRIORITY_BATCH : priority),
                .deadline_ns = query->deadline,
        };

        reading_unfollow(&source->reading, /* keep= */ false);
        source->read = false;
        source->state = SOURCE_READING;
        source->reused = !finding->fetch.document; /* a kept one that said "nothing" without a body */
        if (source->reused)
                return io_post(query->engine->io, &source->step);
        source->reading.done = on_read;
        int r = reading_follow(&query->engine->reading, finding, &request, &source->reading);
        source->reused = r == 1;
        if (source->reused)
                io_post(query->engine->io, &source->step);
        else if (r < 0)
                source_fail_later(
                                source, VERDICT_SHED, STAGE_LANE,
                                strdup("no memory to queue the document"));
}

/* ---- asking ---- */

static void on_landed(FlightFollower *follower, Finding *finding) {
        QuerySource *source = CONTAINER_OF(follower, QuerySource, flight);

        if (!finding)
                return source_fail(
                                source, VERDICT_SHED, STAGE_WAIT, strdup("no memory for its answer"));
        source->asked = finding_ref(finding);
        if (verdict_answered(finding->fetch.verdict))
                source_show(source, finding, ORIGIN_LIVE);
        if (finding->fetch.verdict == VERDICT_OK)
                source_read(source, finding);
        else if (finding->fetch.verdict == VERDICT_EMPTY)
                source_end(source, VERDICT_EMPTY, STAGE_RECEIVE, NULL);
        else
                source_fail(source, finding->fetch.verdict, STAGE_WAIT,
                            finding->fetch.error ? strdup(finding->fetch.error) : NULL);
}

/* From the loop: what was known when the query began. */
static void on_step(IoTask *task) {
        QuerySource *source = CONTAINER_OF(task, QuerySource, step);

        if (source->state == SOURCE_FAILING)
                source_fail(source, source->verdict, source->stage, TAKE_PTR(source->error));
        else if (source->reading.reading)
                source_take_reading(source);
        else
                source_end(source, VERDICT_EMPTY, STAGE_RECEIVE, NULL);
}

int query_source_key(
                const Source *source, const TemplateValue values[], size_t n_values, char **ret,
                const char **ret_missing) {
        Buffer key = {};

        int r = buffer_append_string(&key, source->name);
        if (r >= 0)
                r = buffer_append_char(&key, '\n');
        if (r >= 0)
                r = source_render_request(source, values, n_values, &key, ret_missing);
        if (r < 0) {
                buffer_deinit(&key);
                return r;
        }
        *ret = buffer_steal(&key);
        return *ret ? 0 : -ENOMEM;
}

/* A request that cannot be made is an outcome as any other. */
static void source_unrenderable(QuerySource *source, int error, const char *missing) {
        char *text = NULL;

        if (error == -ENOENT &&
            asprintf(&text, "parameter \"%s\" was not given and has no default", missing) < 0)
                text = NULL;
        else if (error == -EMSGSIZE)
                text = strdup("the request would be too long");
        if (error == -ENOENT || error == -EMSGSIZE)
                source_fail_later(source, VERDICT_REJECTED, STAGE_QUEUE, text);
        else
                source_fail_later(source, VERDICT_SHED, STAGE_QUEUE, strdup("no memory to ask it"));
}

/* What the cache has, and whether that is enough. */
static bool source_use_cache(QuerySource *source, char **key) {
        QueryEngine *engine = source->query->engine;
        bool only = source->query->cache == QUERY_CACHE_ONLY;

        if (source->query->cache == QUERY_CACHE_BYPASS ||
            (source->source->freshness.ttl_ns == 0 && !only))
                return false;
        CacheHit hit = cache_find(&engine->cache, *key, io_now(engine->io));
        if (hit.state == CACHE_NOTHING || (hit.state == CACHE_STALE_IF_ERROR && !only)) {
                source_count(source->source, COUNTER_CACHE_MISSES);
                if (only)
                        source_fail_later(source, VERDICT_UNCACHED, STAGE_CACHE, NULL);
                return only;
        }
        source_show(source, hit.finding, hit.state == CACHE_FRESH ? ORIGIN_CACHE : ORIGIN_STALE);
        source->age_ns = hit.age_ns;
        source->fresh_until = hit.fresh_until;
        source_count(source->source,
                     hit.state == CACHE_FRESH ? COUNTER_CACHE_HITS : COUNTER_CACHE_STALE);
        story_mark(source, STAGE_CACHE);
        if (hit.state == CACHE_STALE && !only) {
                FlightRequest request = flight_request(source, source->source, key);
                request.batch = true;
                (void) flight_follow(&engine->flights, &request, NULL);
        }
        source_read(source, hit.finding);
        return true;
}

void query_source_start(QuerySource *source, const TemplateValue values[], size_t n_values) {
        QueryEngine *engine = source->query->engine;
        CLEANUP_FREE char *key = NULL;
        const char *missing = NULL, *missing_there = NULL;

        (void) group_add(&source->query->group, &source->member);
        if (source->refusal)
                return source_fail_later(source, VERDICT_SHED, STAGE_QUEUE, strdup(source->refusal));
        int r = query_source_key(source->source, values, n_values, &key, &missing);
        if (source->source->fallback)
                (void) query_source_key(
                                source->source->fallback, values, n_values, &source->fallback_key,
                                &missing_there);
        if (r < 0)
                return source_unrenderable(source, r, missing);
        if (source_use_cache(source, &key))
                return;
        FlightRequest request = flight_request(source, source->source, &key);
        r = flight_follow(&engine->flights, &request, &source->flight);
        if (r < 0)
                source_fail_later(
                                source, VERDICT_SHED, STAGE_QUEUE,
                                strdup("no memory or descriptor to start the fetch"));
        else if (r == 1) {
                source_count(source->source, COUNTER_SHARED);
                story_mark(source, STAGE_SHARE);
        }
}

/* ---- cancelling ---- */

/* What had happened by then is told all the same. */
static void source_look(QuerySource *source) {
        const Flight *flight = source->flight.flight;
        FetchOutcome outcome;
        char *key = NULL;

        if (source->asked || !flight || source->query->withdrawn)
                return;
        fetch_look(&flight->fetch, &outcome);
        source->asked = finding_new(source->source, &outcome, &key, io_now(source->query->engine->io));
        if (!source->asked)
                fetch_outcome_deinit(&outcome);
}

static char *text_late(const Query *query, bool reading) {
        return strdup(query->quorum_reached   ? "not waited for: the quorum was reached" :
                                      reading ? "not processed by the query's deadline" :
                                                "no response by the query's deadline");
}

static void source_cancel(GroupMember *member) {
        QuerySource *source = CONTAINER_OF(member, QuerySource, member);
        Query *query = source->query;
        bool late = query->cancel_verdict == VERDICT_LATE, reading = source->state == SOURCE_READING;

        if (source->state == SOURCE_ENDED)
                return; /* the client went away over its event; source_end() has yet to leave the group */
        if (!source->failed)
                source_look(source);
        flight_leave(&source->flight, late);
        io_unpost(&source->step);
        reading_leave(&source->reading, late);
        if (!source->failed)
                free(TAKE_PTR(source->error));
        source_end(source, query->cancel_verdict, reading ? STAGE_ENGINE : STAGE_WAIT,
                   late ? text_late(query, reading) : NULL);
}

/* ---- the rest ---- */

void query_source_init(Query *query, QuerySource *source, const PlanEntry *entry) {
        source->query = query;
        source->source = entry->source;
        source->refusal = entry->refusal;
        source->member.required = entry->source->config->class == CLASS_REQUIRED;
        source->member.cancel = source_cancel;
        list_init(&source->member.node);
        list_init(&source->step.node);
        source->step.run = on_step;
        source->flight.deadline = query->deadline;
        source->flight.landed = on_landed;
        list_init(&source->flight.node);
}

void query_source_deinit(QuerySource *source) {
        assert(source->state == SOURCE_ENDED);
        reading_unfollow(&source->reading, /* keep= */ false);
        finding_unref(source->asked);
        finding_unref(source->shown);
        story_deinit(&source->story);
        free(source->fallback_key);
        free(source->error);
}

AnswerSource query_source_answer(const QuerySource *source) {
        const Reading *reading = source->reading.reading;

        return (AnswerSource){
                .name = source->source->name,
                .required = source->source->config->class == CLASS_REQUIRED,
                .engine = source->source->engine,
                .verdict = source->verdict,
                .stage = source->stage,
                .error = verdict_answered(source->verdict) ? NULL :
                                source->error              ? source->error :
                                                             verdict_help(source->verdict),
                .origin = source->origin,
                .age_ns = source->age_ns,
                .story = &source->story,
                .asked = source->asked ? &source->asked->fetch : NULL,
                .shown = source->shown ? &source->shown->fetch : NULL,
                .task = reading ? &reading->task : NULL,
                .result = reading && source->read ? reading->result : NULL,
        };
}
