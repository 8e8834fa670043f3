/* SPDX-License-Identifier: Apache-2.0 */

/* What the query engine does is judged in watch.c; here it is whether the control interface brings
 * it to the client: each call gets one last reply, in the order of the calls, and events only
 * before it and only when they were asked for.
 *
 * When descriptors run out, connections break or the service stops, a client may get less than it
 * wants; in calm runs it may not. */

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "askers.h"
#include "buffer.h"
#include "cleanup.h"
#include "clock.h"
#include "report.h"
#include "watch.h"

#define SLOW_BYTES 12u

static const struct {
        unsigned replies;
        const char *text;
} calls_around[] = {
        { 1, "{\"method\":\"org.varlink.service.GetInfo\"}" },
        { 0, "{\"method\":\"org.varlink.service.GetInfo\",\"oneway\":true}" },
        { 1, "{\"method\":\"io.muster.ListSources\",\"parameters\":{}}" },
        { 1, "{\"method\":\"io.muster.DescribeSource\",\"parameters\":{\"source\":\"nobody\"}}" },
        { 1, "{\"method\":\"io.muster.GetStatus\"}" },
        { 1, "{\"method\":\"io.muster.FlushCache\"}" },
        { 1, "{\"method\":\"io.muster.Nothing\"}" },
        { 1, "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":7}}" },
};

typedef struct AskerState {
        World *world;
        const QueryScript *script;
        Query *query;  /* of a caller, while it runs */
        SimPeer *peer; /* of a client, while it is connected */
        Buffer input;
        unsigned expected; /* last replies */
        unsigned got;
        unsigned query_reply; /* the number of the one that answers the query */
        size_t events;
        bool left; /* of its own accord */
} AskerState;

struct Askers {
        World *world;
        AskerState states[SCENARIO_QUERIES];
};

/* ---- callers ---- */

static void caller_leave(Io *io, void *userdata) {
        AskerState *asker = userdata;

        if (asker->query)
                query_cancel(TAKE_PTR(asker->query));
}

static void caller_event(Query *query, const char *json, size_t size, void *userdata) {
        AskerState *asker = userdata;

        /* A client can go at any moment, this one included. */
        if (asker->script->leave_ns % 3 == 1)
                caller_leave(asker->world->io, asker);
}

static void caller_done(Query *query, const char *json, size_t size, void *userdata) {
        AskerState *asker = userdata;

        asker->query = NULL;
        asker->got++;
}

static void caller_ask(AskerState *asker) {
        const QueryScript *script = asker->script;
        const QueryCallbacks callbacks = { caller_event, caller_done, asker };
        const QueryRequest request = {
                .question = script->question,
                .question_size = strlen(script->question),
                .sources = script->names,
                .n_sources = script->n_names,
                .all_sources = script->all,
                .deadline_ns = script->deadline_ns,
                .policy = script->policy,
                .max_passages = script->max_passages,
                .quorum = script->quorum,
                .cache = script->cache,
                .batch = script->batch,
                .user = script->user,
                .want_events = script->events,
        };
        QueryRefused refused = {};

        (void) query_start(asker->world->queries, &request, &callbacks, &asker->query, &refused);
}

/* ---- what clients say ---- */

static json_t *json_names(const QueryScript *script) {
        json_t *names = json_array();

        for (size_t i = 0; i < script->n_names; i++)
                (void) json_array_append_new(names, json_string(script->names[i]));
        return names;
}

static void write_call(const QueryScript *script, const char *method, Buffer *out) {
        static const char *const uses[] = {
                [QUERY_CACHE_USE] = "use",
                [QUERY_CACHE_BYPASS] = "bypass",
                [QUERY_CACHE_ONLY] = "only",
        };
        json_t *parameters = json_pack(
                        "{s:s, s:I, s:s, s:i, s:s, s:s}", "question", script->question,
                        "deadline_ms", (json_int_t) (script->deadline_ns / NSEC_PER_MSEC), "policy",
                        script->policy == QUERY_FAIL_FAST ? "fail_fast" : "best_effort",
                        "max_passages", (int) script->max_passages, "cache", uses[script->cache],
                        "priority", script->batch ? "batch" : "interactive");
        if (script->quorum > 0)
                (void) json_object_set_new(parameters, "quorum", json_integer(script->quorum));
        if (!script->all)
                (void) json_object_set_new(parameters, "sources", json_names(script));

        json_t *call =
                        json_pack("{s:s, s:o, s:b}", "method", method, "parameters", parameters,
                                  "more", script->events && strcmp(method, "io.muster.Query") == 0);
        char *text = json_dumps(call, JSON_COMPACT);
        assert(text);
        (void) buffer_append(out, text, strlen(text) + 1);
        free(text);
        json_decref(call);
}

static void write_around(AskerState *asker, Buffer *out) {
        Chance *chance = &asker->world->chance;

        for (uint64_t n = chance_below(chance, 4); n > 0; n--) {
                size_t i = chance_below(chance, ELEMENTSOF(calls_around));

                (void) buffer_append(out, calls_around[i].text, strlen(calls_around[i].text) + 1);
                asker->expected += calls_around[i].replies;
        }
        if (chance_percent(chance, 50)) {
                write_call(asker->script, "io.muster.Explain", out);
                asker->expected++;
        }
}

static void write_all(AskerState *asker, Buffer *out) {
        bool pipelines = asker->script->asker == ASKER_PIPELINES;

        if (pipelines)
                write_around(asker, out);
        asker->query_reply = asker->expected++;
        write_call(asker->script, "io.muster.Query", out);
        if (pipelines)
                write_around(asker, out);
}

static void write_noise(Chance *chance, Buffer *out) {
        for (uint64_t n = chance_between(chance, 1, 200); n > 0; n--)
                (void) buffer_append_char(out, (char) chance_next(chance));
        if (chance_percent(chance, 70))
                (void) buffer_append_char(out, '\0');
}

/* ---- what they hear ---- */

static void client_leave(Io *io, void *userdata) {
        AskerState *asker = userdata;

        if (!asker->peer)
                return;
        asker->left = true;
        if (chance_percent(&asker->world->chance, 50))
                sim_peer_close(asker->peer, 0);
        else
                sim_peer_reset(asker->peer, 0);
}

/* Also when nothing goes wrong. */
static bool error_is_due(const AskerState *asker, const char *error) {
        if (strcmp(error, "io.muster.NoSuchSource") == 0)
                return asker->script->unknown;
        return strcmp(error, "io.muster.Overloaded") == 0 && watch_overloaded();
}

static void check_answer(AskerState *asker, const json_t *reply) {
        const json_t *parameters = json_object_get(reply, "parameters");
        const char *question = json_string_value(json_object_get(parameters, "query"));
        const char *error = json_string_value(json_object_get(reply, "error"));

        if (!error)
                DEMAND(question && strcmp(question, asker->script->question) == 0,
                       "%s: the client got the reply to something else", asker->script->token);
        else
                DEMAND(!asker->world->scenario.calm || error_is_due(asker, error),
                       "%s: the client got %s", asker->script->token, error);
        DEMAND(error || !asker->script->events ||
                               asker->events == json_object_size(json_object_get(parameters, "sources")),
               "%s: %zu events", asker->script->token, asker->events);
}

static void client_take(AskerState *asker, const char *frame, size_t size) {
        json_t *reply = json_loadb(frame, size, JSON_REJECT_DUPLICATES, NULL);

        DEMAND(reply, "%s: the client got no JSON: %.*s", asker->script->token, (int) size, frame);
        DEMAND(asker->got < asker->expected, "%s: the client got a reply too many",
               asker->script->token);
        if (json_is_true(json_object_get(reply, "continues"))) {
                DEMAND(asker->script->events && asker->got == asker->query_reply,
                       "%s: the client got an event that it had not asked for", asker->script->token);
                asker->events++;
        } else {
                if (asker->got == asker->query_reply)
                        check_answer(asker, reply);
                asker->got++;
        }
        json_decref(reply);
}

static void on_data(SimPeer *peer, const void *data, size_t size) {
        AskerState *asker = sim_peer_userdata(peer);
        const char *end;

        report_mix(data, size);
        if (asker->script->asker == ASKER_TALKS || asker->script->asker == ASKER_SLOW)
                return;
        (void) buffer_append(&asker->input, data, size);
        assert(asker->input.error == 0);
        while (asker->input.size > 0 && (end = memchr(asker->input.data, 0, asker->input.size))) {
                size_t n = (size_t) (end - asker->input.data);

                client_take(asker, asker->input.data, n);
                buffer_consume(&asker->input, n + 1);
        }
        if (asker->got == asker->expected && asker->script->asker != ASKER_HALF_CLOSES)
                client_leave(asker->world->io, asker);
}

static void on_close(SimPeer *peer, int error) {
        AskerState *asker = sim_peer_userdata(peer);

        asker->peer = NULL;
}

static const SimPeerOps client_ops = { .on_data = on_data, .on_close = on_close };

/* ---- clients ---- */

static void client_talk(AskerState *asker) {
        Buffer noise = {};

        write_noise(&asker->world->chance, &noise);
        sim_peer_send(asker->peer, noise.data, noise.size, 0);
        if (chance_percent(&asker->world->chance, 50))
                sim_peer_close(asker->peer, 0);
        buffer_deinit(&noise);
}

static void client_ask(AskerState *asker) {
        Buffer calls = {};

        write_all(asker, &calls);
        assert(calls.error == 0);
        if (asker->script->asker == ASKER_SLOW)
                for (unsigned i = 0; i < SLOW_BYTES; i++)
                        sim_peer_send(asker->peer, calls.data + i, 1, i * NSEC_PER_SEC);
        else
                sim_peer_send(asker->peer, calls.data, calls.size, 0);
        if (asker->script->asker == ASKER_HALF_CLOSES)
                sim_peer_shutdown(asker->peer, 0);
        else if (asker->script->asker == ASKER_DEAF)
                sim_peer_hang(asker->peer);
        else if (asker->script->asker == ASKER_VANISHES)
                sim_at(asker->world->io,
                       io_now(asker->world->io) +
                                       chance_scale(&asker->world->chance, 2 * NSEC_PER_SEC),
                       client_leave, asker);
        buffer_deinit(&calls);
}

static void asker_start(Io *io, void *userdata) {
        AskerState *asker = userdata;
        bool caller = asker->script->asker == ASKER_CALLER;

        if (asker->world->phase > WORLD_DRAINING)
                return;
        if (caller)
                caller_ask(asker);
        else {
                asker->peer = sim_connect_unix(io, SOCKET_PATH, &client_ops, asker);
                if (!asker->peer)
                        return;
                sim_peer_set_credentials(
                                asker->peer,
                                &(struct ucred){ .pid = 1, .uid = asker->script->user, .gid = 1 });
                if (asker->script->asker == ASKER_TALKS)
                        client_talk(asker);
                else
                        client_ask(asker);
        }
        if (asker->script->leave_ns > 0)
                sim_at(io, io_now(io) + asker->script->leave_ns,
                       caller ? caller_leave : client_leave, asker);
}

Askers *askers_new(World *world) {
        Askers *askers = calloc(1, sizeof(*askers));

        assert(askers);
        askers->world = world;
        for (size_t i = 0; i < world->scenario.n_queries; i++) {
                const QueryScript *script = &world->scenario.queries[i];

                askers->states[i] = (AskerState){ .world = world, .script = script };
                sim_at(world->io, world->start + script->start_ns, asker_start, &askers->states[i]);
        }
        return askers;
}

void askers_check(const Askers *askers) {
        for (size_t i = 0; i < askers->world->scenario.n_queries; i++) {
                const AskerState *asker = &askers->states[i];
                Asker kind = asker->script->asker;

                DEMAND(kind == ASKER_DEAF || !asker->peer || !askers->world->scenario.calm,
                       "%s: the client is still connected", asker->script->token);
                if (!askers->world->scenario.calm || asker->script->leave_ns > 0)
                        continue;
                if (kind == ASKER_POLITE || kind == ASKER_HALF_CLOSES || kind == ASKER_PIPELINES)
                        DEMAND(asker->got == asker->expected, "%s: the client got %u replies of %u",
                               asker->script->token, asker->got, asker->expected);
        }
}

Askers *askers_free(Askers *askers) {
        for (size_t i = 0; i < SCENARIO_QUERIES; i++)
                buffer_deinit(&askers->states[i].input);
        free(askers);
        return NULL;
}
