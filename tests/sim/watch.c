/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "answer-check.h"
#include "clock.h"
#include "list.h"
#include "plant.h"
#include "report.h"
#include "watch.h"

typedef struct Watched {
        List node; /* of the open ones */
        Query *query;
        QueryCallbacks callbacks;
        Asked asked;
        uint64_t failed_at; /* when a required source failed under fail_fast; 0: none has */
        uint64_t quorum_at; /* when the quorum was reached; 0: it was not */
} Watched;

static struct {
        World *world;
        List open;
        size_t n_open;
        size_t accepted;
        size_t withdrawn;
        size_t overloaded; /* refused, as too many are open */
} watch;

QueryRefusal __real_query_start(
                QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
                Query **ret, QueryRefused *ret_refused);
QueryRefusal __wrap_query_start(
                QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
                Query **ret, QueryRefused *ret_refused);
void __real_query_cancel(Query *query);
void __wrap_query_cancel(Query *query);

void watch_begin(World *world) {
        watch.world = world;
        list_init(&watch.open);
        watch.n_open = watch.accepted = watch.withdrawn = watch.overloaded = 0;
}

void watch_end(void) {
        QueryCounters counters = query_engine_counters(watch.world->queries);

        DEMAND(watch.n_open == 0, "%zu queries never ended", watch.n_open);
        DEMAND(watch.world->ended == watch.accepted, "%zu queries were accepted, %zu ended",
               watch.accepted, watch.world->ended);
        DEMAND(counters.total == watch.accepted && counters.withdrawn == watch.withdrawn,
               "the engine counts %lu queries and %lu withdrawn", counters.total, counters.withdrawn);
        DEMAND(counters.refused == watch.overloaded,
               "the engine counts %lu queries refused, not %zu", counters.refused, watch.overloaded);
}

size_t watch_open(void) {
        return watch.n_open;
}

bool watch_overloaded(void) {
        return watch.overloaded > 0;
}

static void watched_free(Watched *watched) {
        list_remove(&watched->node);
        watch.n_open--;
        free(watched->asked.question);
        free(watched);
}

/* ---- what comes back ---- */

/* One that a substitute serves is not missing. */
static bool required_failed(const Asked *asked) {
        const World *world = watch.world;

        for (size_t i = 0; i < world->scenario.n_sources; i++) {
                const char *name = world->scenario.sources[i].name;
                if (asked->policy == QUERY_FAIL_FAST && asked->reported[i] &&
                    !verdict_answered(asked->verdicts[i]) && !asked->served[i] &&
                    source_table_find(world->sources, name)->config->class == CLASS_REQUIRED)
                        return true;
        }
        return false;
}

static void on_event(Query *query, const char *json, size_t size, void *userdata) {
        Watched *watched = userdata;
        Asked *asked = &watched->asked;
        uint64_t now = io_now(watch.world->io);

        DEMAND(watched->query == query, "%s: an event of another query", asked->token);
        report_mix(json, size);
        report_note("%s: event %.*s", asked->token, (int) size, json);
        answer_check_event(asked, json, size, now);
        if (watched->failed_at == 0 && required_failed(asked))
                watched->failed_at = now;
        if (watched->quorum_at == 0 && asked_quorum_reached(asked, asked->reported, asked->verdicts))
                watched->quorum_at = now;
        watched->callbacks.event(query, json, size, watched->callbacks.userdata);
}

static void on_done(Query *query, const char *json, size_t size, void *userdata) {
        Watched *watched = userdata;
        Asked *asked = &watched->asked;
        uint64_t now = io_now(watch.world->io);
        QueryCallbacks callbacks = watched->callbacks;

        DEMAND(watched->query == query, "%s: the answer of another query", asked->token);
        DEMAND(watched->failed_at == 0 || watched->failed_at == now,
               "%s: went on for %.6f ms after a required source had failed", asked->token,
               time_to_ms(now - watched->failed_at));
        DEMAND(watched->quorum_at == 0 || watched->quorum_at == now,
               "%s: went on for %.6f ms after the quorum was reached", asked->token,
               time_to_ms(now - watched->quorum_at));
        report_mix(json, size);
        report_note("%s: answer %.*s", asked->token, (int) size, json);
        answer_check(asked, json, size, now);
        watched_free(watched);
        callbacks.done(query, json, size, callbacks.userdata);
}

/* ---- what goes in ---- */

static void read_request(Asked *asked, const QueryRequest *request) {
        const World *world = asked->world;

        asked->question = strndup(request->question, request->question_size);
        assert(asked->question);
        memcpy(asked->token, request->question, TOKEN_SIZE - 1);
        asked->policy = request->policy;
        asked->max_passages = request->max_passages;
        asked->quorum = request->quorum;
        asked->cache = request->cache;
        asked->start = io_now(world->io);
        asked->deadline = asked->start + request->deadline_ns;
        for (size_t i = 0; i < world->scenario.n_sources; i++) {
                const char *name = world->scenario.sources[i].name;

                asked->asked[i] = request->all_sources &&
                                source_table_find(world->sources, name)->config->enabled;
                for (size_t k = 0; k < request->n_sources && !request->all_sources; k++)
                        asked->asked[i] |= strcmp(request->sources[k], name) == 0;
                asked->n_asked += asked->asked[i];
        }
}

/* Queries that are withdrawn are open until the loop has come to them. */
static void check_overloaded(const QueryRequest *request, const QueryRefused *refused) {
        const World *world = watch.world;
        size_t open = watch.accepted - world->ended, most = world->scenario.config->max_queries;

        DEMAND(refused->retry_after_ms > 0,
               "refused as overloaded without a word on when to come again");
        if (query_engine_counters(world->queries).refused == watch.overloaded) {
                DEMAND(world->scenario.arena_tight, "refused as overloaded, but there is room");
                return;
        }
        watch.overloaded++;
        DEMAND(open >= (request->batch ? MAX(most * 3 / 4, (size_t) 1) : most),
               "refused as overloaded, but %zu queries are open, of MaxQueries=%zu", open, most);
}

static void
check_refusal(QueryRefusal refusal, const QueryRequest *request, const QueryRefused *refused) {
        switch (refusal) {
        case QUERY_STOPPING:
                DEMAND(watch.world->phase >= WORLD_DRAINING,
                       "refused as stopping, but nothing stops");
                break;
        case QUERY_OVERLOADED:
                check_overloaded(request, refused);
                break;
        case QUERY_NO_SUCH_SOURCE:
                DEMAND(!scenario_source(&watch.world->scenario, refused->which, strlen(refused->which)),
                       "the source %s is not known", refused->which);
                break;
        case QUERY_ACCEPTED:
        case QUERY_INVALID_PARAMETER:
        case QUERY_NO_MEMORY:
                report_failure("refused with %d", (int) refusal);
        }
}

/* One alone keeps within the bound; users who share it pass it by less than it is wide for each. */
static void check_accepted(void) {
        size_t open = watch.accepted - watch.world->ended;
        size_t most = watch.world->scenario.config->max_queries;

        DEMAND(open <= most * 2, "%zu queries are open, of MaxQueries=%zu", open, most);
}

QueryRefusal __wrap_query_start(
                QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
                Query **ret, QueryRefused *ret_refused) {
        Watched *watched = calloc(1, sizeof(*watched));

        assert(watched && request->deadline_ns > 0);
        watched->asked.world = watch.world;
        watched->callbacks = *callbacks;
        read_request(&watched->asked, request);
        list_append(&watch.open, &watched->node);
        watch.n_open++;

        const QueryCallbacks mine = { .event = on_event, .done = on_done, .userdata = watched };
        plant_query_starts();
        QueryRefusal refusal =
                        __real_query_start(engine, request, &mine, &watched->query, ret_refused);
        if (refusal != QUERY_ACCEPTED) {
                check_refusal(refusal, request, ret_refused);
                watched_free(watched);
                return refusal;
        }
        *ret = watched->query;
        watch.accepted++;
        check_accepted();
        return QUERY_ACCEPTED;
}

void __wrap_query_cancel(Query *query) {
        LIST_FOREACH_SAFE(node, &watch.open) {
                Watched *watched = LIST_ENTRY(node, Watched, node);
                if (watched->query != query)
                        continue;
                watched_free(watched);
                watch.withdrawn++;
                __real_query_cancel(query);
                return;
        }
        report_failure("a query is cancelled that is not open");
}
