/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "lab.h"
#include "make-config.h"
#include "report.h"
#include "watch-fetch.h"

#define DEADLINE    (10 * NSEC_PER_SEC)
#define BODY_SIZE   500u
#define SERVICE     NSEC_PER_MSEC         /* of a worker, at most */
#define QUIET_AFTER (4000 * NSEC_PER_SEC) /* longer than any TimeoutSec= and any kept connection */

/* ---- building ---- */

Lab *lab_new(void) {
        Lab *lab = calloc(1, sizeof(*lab));

        assert(lab);
        lab->world.scenario = (Scenario){
                .calm = true,
                .sim = { .seed = 1 },
                .config = make_config(),
                .arena_size = (size_t) 64 << 20,
                .workers = 4,
                .task_timeout_ns = 5 * NSEC_PER_SEC,
                .start_timeout_ns = 10 * NSEC_PER_SEC,
                .service_ns = SERVICE,
        };
        return lab;
}

SourceScript *
lab_source(Lab *lab, const char *name, Behaviour behaviour, uint64_t think_ns,
           const char *const settings[]) {
        Scenario *scenario = &lab->world.scenario;
        SourceScript *script = &scenario->sources[scenario->n_sources++];
        SourceConfig *config = make_source(name, settings);

        assert(scenario->n_sources <= SCENARIO_SOURCES && strlen(name) < sizeof(script->name));
        *script = (SourceScript){
                .behaviour = behaviour,
                .format = FORMAT_TEXT,
                .think_ns = think_ns,
                .exact = true,
                .body_size = BODY_SIZE,
                .fresh_ns = UINT64_MAX,
                .server = scenario->n_servers++,
        };
        memcpy(script->name, name, strlen(name));
        int r = behaviour == BEHAVIOUR_UNREACHABLE ?
                        asprintf(&config->url, "http://10.9.%u.1:1/%s?q={question}", script->server,
                                 name) :
                        asprintf(&config->url, "http+unix://%%2Frun%%2Fs%u.sock/%s?q={question}%s",
                                 script->server, name,
                                 behaviour == BEHAVIOUR_LACKS_VALUE ? "&place={place}" : "");
        if (r < 0)
                abort();
        r = config_add_source(scenario->config, config);
        if (r < 0)
                abort();
        return script;
}

void lab_start(Lab *lab) {
        World *world = &lab->world;

        int r = world_build(world);
        DEMAND(r >= 0, "it does not start: %d", r);
        while (pool_ready(world->pool) < pool_size(world->pool))
                world_turn(world);
}

void lab_free(Lab *lab) {
        World *world = &lab->world;

        lab_run(lab, QUIET_AFTER);
        world_check_quiet(world);
        world_stop(world);
        while (world->phase < WORLD_CLOSED)
                world_turn(world);
        world_take_down(world);
        scenario_deinit(&world->scenario);
        free(lab);
}

/* ---- running ---- */

uint64_t lab_now(const Lab *lab) {
        return io_now(lab->world.io);
}

static void on_time(Io *io, void *userdata) {
        *(bool *) userdata = true;
}

void lab_run_until(Lab *lab, uint64_t when) {
        bool there = false;

        sim_at(lab->world.io, when, on_time, &there);
        while (!there)
                world_turn(&lab->world);
}

void lab_run(Lab *lab, uint64_t length_ns) {
        lab_run_until(lab, lab_now(lab) + length_ns);
}

/* ---- asking ---- */

static void on_event(Query *query, const char *json, size_t size, void *userdata) {
        report_note("event %.*s", (int) size, json);
}

static void on_done(Query *query, const char *json, size_t size, void *userdata) {
        Reply *reply = userdata;

        DEMAND(reply->query == query, "a query ends twice");
        reply->query = NULL;
        reply->end = lab_now(reply->lab);
        reply->answer = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
        DEMAND(reply->answer, "an answer is no JSON: %.*s", (int) size, json);
        report_note("at %.6f ms: answer %.*s", time_to_ms(reply->end - reply->lab->world.start),
                    (int) size, json);
        report_mix(json, size);
}

void lab_ask(Lab *lab, Reply *reply, QueryRequest request) {
        const QueryCallbacks callbacks = { on_event, on_done, reply };
        char question[TOKEN_SIZE + 8];

        *reply = (Reply){ .lab = lab, .start = lab_now(lab) };
        (void) snprintf(question, sizeof(question), "Q%06zu", lab->n_asked++);
        if (!request.question)
                request.question = question;
        request.question_size = strlen(request.question);
        request.all_sources = request.n_sources == 0;
        if (request.deadline_ns == 0)
                request.deadline_ns = DEADLINE;
        reply->refusal = query_start(
                        lab->world.queries, &request, &callbacks, &reply->query, &reply->refused);
}

void reply_wait(Reply *reply) {
        while (reply->query)
                world_turn(&reply->lab->world);
}

void lab_ask_and_wait(Lab *lab, Reply *reply, QueryRequest request) {
        lab_ask(lab, reply, request);
        reply_wait(reply);
}

void reply_withdraw(Reply *reply) {
        query_cancel(reply->query);
        reply->query = NULL;
}

void reply_drop(Reply *reply) {
        json_decref(reply->answer);
        *reply = (Reply){};
}

static const char *reply_member(const Reply *reply, const char *source, const char *member) {
        const json_t *result = json_object_get(json_object_get(reply->answer, "sources"), source);
        const char *text = json_string_value(json_object_get(result, member));

        return text ? text : "";
}

const char *reply_verdict(const Reply *reply, const char *source) {
        return reply_member(reply, source, "verdict");
}

const char *reply_origin(const Reply *reply, const char *source) {
        return reply_member(reply, source, "origin");
}

const char *reply_completeness(const Reply *reply) {
        const char *text = json_string_value(json_object_get(reply->answer, "completeness"));

        return text ? text : "";
}

/* ---- looking ---- */

Source *lab_find(const Lab *lab, const char *source) {
        return source_table_find(lab->world.sources, source);
}

BreakerState lab_breaker(const Lab *lab, const char *source) {
        return breaker_state(&lab_find(lab, source)->breaker, lab_now(lab));
}

unsigned lab_requests(const char *source) {
        FetchCount count = watch_fetch_count(source);

        return count.firsts + count.extras;
}
