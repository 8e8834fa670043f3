/* SPDX-License-Identifier: Apache-2.0 */

/* Building and taking down follow daemon/supervisor.c step by step, and so does the end: queries
 * run to theirs, then connections are closed, then the loop stops.
 *
 * Nothing may be left after that: no operation, no descriptor, no timer, no block of the arena, no
 * process, and, once all that travels has arrived, no peer. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "crew.h"
#include "io-backend.h"
#include "network.h"
#include "query-internal.h"
#include "report.h"
#include "resolver-double.h"
#include "watch-fetch.h"
#include "world.h"

#define MAX_DATA  65536u
#define TURNS_MAX 200000u /* at one time; more is a loop that never sleeps */

/* ---- the end ---- */

static void check_closed(World *world) {
        if (!world->control_closed || !world->net_closed)
                return;
        world->phase = WORLD_CLOSED;
}

static void on_control_closed(void *userdata) {
        World *world = userdata;

        DEMAND(!world->control_closed, "the control server closed twice");
        world->control_closed = true;
        check_closed(world);
}

static void on_net_closed(void *userdata) {
        World *world = userdata;

        DEMAND(!world->net_closed, "the network closed twice");
        world->net_closed = true;
        check_closed(world);
}

static void on_control_drained(void *userdata) {
        World *world = userdata;

        DEMAND(world->phase == WORLD_DRAINING, "the control server drained twice");
        world->phase = WORLD_CLOSING;
        control_close(world->control, on_control_closed, world);
        net_close(world->net, on_net_closed, world);
}

static void on_queries_drained(void *userdata) {
        World *world = userdata;

        DEMAND(query_open(world->queries) == 0, "drained with %zu queries open",
               query_open(world->queries));
        control_drain(world->control, on_control_drained, world);
}

/* ---- what else happens ---- */

static void on_query_ended(void *userdata, const QuerySummary *summary) {
        World *world = userdata;

        world->ended++;
}

static void
on_worker_died(void *userdata, unsigned worker, pid_t pid, int status, bool overrun,
               uint64_t backoff_ns) {
        World *world = userdata;

        world->deaths++;
}

static int on_status(void *userdata, Buffer *out) {
        return buffer_append_string(out, "{}");
}

static int on_list_sources(void *userdata, Buffer *out) {
        return buffer_append_string(out, "{\"sources\":[]}");
}

static int on_describe_source(void *userdata, const char *name, Buffer *out) {
        return -ENOENT;
}

static int on_set_breaker(void *userdata, const char *source, const char *state) {
        const World *world = userdata;

        return source_table_find(world->sources, source) ? 0 : -ENOENT;
}

static size_t on_flush_cache(void *userdata) {
        return 0;
}

/* ---- building ---- */

static int build_io(World *world) {
        SimOptions options = world->scenario.sim;

        options.spawn = crew_spawn;
        options.kill = crew_kill;
        options.userdata = world;
        int r = io_new_sim(&world->io, &options);
        if (r < 0)
                return r;
        report_io(world->io);
        world->start = io_now(world->io);
        world->crew = crew_new(world);
        world->network = network_new(world);
        return 0;
}

static int build_arena(World *world) {
        return arena_new(&world->arena, world->scenario.arena_size);
}

/* What is known of sources that have been asked before. */
static void remember_past(World *world) {
        const Scenario *scenario = &world->scenario;

        for (size_t i = 0; i < scenario->n_sources; i++) {
                const SourceScript *script = &scenario->sources[i];
                Source *source = source_table_find(world->sources, script->name);

                for (unsigned k = 0; k < script->past_answers; k++)
                        latency_add(&source->latency, (k + 1) * script->past_ns);
        }
}

static int build_sources(World *world) {
        int r = source_table_new(
                        &world->sources, world->scenario.config, world->arena, world->io,
                        io_random(world->io));
        if (r < 0)
                return r;
        world->arena_rules = arena_used(world->arena);
        remember_past(world);
        watch_fetch_begin(world);
        return 0;
}

static int build_net(World *world) {
        world->resolver = resolver_double_new(world);
        return net_new(&world->net, world->io, world->resolver);
}

static int build_pool(World *world) {
        const PoolOptions options = {
                .workers = world->scenario.workers,
                .worker_path = "simulated-worker",
                .task_timeout_ns = world->scenario.task_timeout_ns,
                .start_timeout_ns = world->scenario.start_timeout_ns,
                .worker_tasks = world->scenario.worker_tasks,
                .max_data = MAX_DATA,
                .events = { .worker_died = on_worker_died, .userdata = world },
        };

        return pool_new(&world->pool, world->io, world->arena, &options);
}

static int build_queries(World *world) {
        const Config *config = world->scenario.config;
        const QueryEngineOptions options = {
                .fetch = {
                        .attempt = { world->io, world->net, world->arena },
                        .sources = world->sources,
                        .breaker_changed = watch_breaker_changed,
                        .userdata = world,
                },
                .max_concurrent = config->max_concurrent,
                .max_queries = config->max_queries,
                .cache_entries = config->cache_entries,
                .pool = world->pool,
                .sources = world->sources,
                .default_deadline_ns = config->query_timeout,
                .max_deadline_ns = 3600 * NSEC_PER_SEC,
                .ended = on_query_ended,
                .drained = on_queries_drained,
                .userdata = world,
        };

        return query_engine_new(&world->queries, &options);
}

static int build_control(World *world) {
        const ControlBackend backend = {
                .queries = world->queries,
                .status = on_status,
                .list_sources = on_list_sources,
                .describe_source = on_describe_source,
                .set_breaker = on_set_breaker,
                .flush_cache = on_flush_cache,
                .userdata = world,
        };
        ControlLimits limits = control_default_limits;

        if (world->scenario.max_unread > 0)
                limits.max_unread = world->scenario.max_unread;
        int fd = io_listen_unix(world->io, SOCKET_PATH, 0660);
        if (fd < 0)
                return fd;
        int r = control_new(&world->control, world->io, fd, &backend, &limits);
        if (r < 0)
                io_close(world->io, fd);
        return r;
}

int world_build(World *world) {
        static int (*const steps[])(World *) = {
                build_io,   build_arena,   build_sources, build_net,
                build_pool, build_queries, build_control,
        };

        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int r = steps[i](world);
                if (r < 0)
                        return r;
        }
        world->phase = WORLD_RUNNING;
        return 0;
}

/* ---- running ---- */

void world_turn(World *world) {
        int r = io_turn(world->io);

        DEMAND(r != -EDEADLK, "deadlock: nothing can happen, %zu queries are open, %zu operations",
               query_open(world->queries), io_in_flight(world->io));
        DEMAND(r >= 0, "the loop failed: %s", strerrorname_np(-r));
        if (io_now(world->io) != world->turned) {
                world->turned = io_now(world->io);
                world->turns = 0;
        }
        DEMAND(world->turns++ < TURNS_MAX, "livelock at %.6f ms",
               time_to_ms(world->turned - world->start));
}

void world_stop(World *world) {
        world->phase = WORLD_DRAINING;
        query_engine_stop(world->queries);
}

/* ---- what may be left when all that was asked is over ---- */

static void check_gate(const Gate *gate, const char *whose) {
        DEMAND(gate->inside == 0, "%lu places at %s are lost", gate->inside, whose);
        DEMAND(gate->line.count == 0, "%zu stand in line at %s for ever", gate->line.count, whose);
}

static void check_sources_quiet(const World *world) {
        for (size_t i = 0; i < world->sources->count; i++) {
                const Source *source = world->sources->sources[i];

                DEMAND(source->in_flight == 0, "a request to %s is counted for ever", source->name);
                DEMAND(source->counters[COUNTER_BREAKER_OPENED] ==
                                       watch_fetch_count(source->name).openings,
                       "the breaker of %s has opened %u times, but %lu are counted", source->name,
                       watch_fetch_count(source->name).openings,
                       source->counters[COUNTER_BREAKER_OPENED]);
                DEMAND(source->breaker.lease_until == 0,
                       "the breaker of %s waits for a probe that is none", source->name);
                check_gate(&source->gate, source->name);
        }
}

static void check_engine_quiet(const World *world) {
        const QueryEngine *engine = world->queries;
        QueryCounters counters = query_engine_counters(engine);

        DEMAND(query_open(engine) == 0, "a query never ends");
        DEMAND(list_empty(&engine->flights.all) && engine->flights.by_key.count == 0,
               "a flight never lands");
        DEMAND(counters.alone == 0, "%zu flights are said to fly alone", counters.alone);
        DEMAND(list_empty(&engine->reading.running), "a reading never ends");
        DEMAND(counters.cache_entries == 0 && counters.cache_bytes == 0,
               "the cache holds %zu bytes without an entry", counters.cache_bytes);
        DEMAND(engine->admission.open.total == 0 && engine->admission.batch.total == 0,
               "a query is open for ever in the books");
        check_gate(&engine->fetch.gate, "all sources");
}

void world_check_quiet(World *world) {
        size_t kept = query_engine_counters(world->queries).cache_entries;

        DEMAND(query_engine_flush_cache(world->queries) == kept, "the cache has miscounted");
        check_engine_quiet(world);
        check_sources_quiet(world);
        DEMAND(pool_queued(world->pool) == 0 && pool_held(world->pool) == 0,
               "%zu tasks queued and %zu held without a query", pool_queued(world->pool),
               pool_held(world->pool));
        DEMAND(arena_used(world->arena) == world->arena_rules, "%zu bytes of the arena are lost",
               arena_used(world->arena) - world->arena_rules);
}

/* ---- taking down ---- */

static void check_nothing_left(const World *world) {
        SimLeaks leaks = sim_leaks(world->io);

        DEMAND(leaks.operations == 0, "%zu operations are left", leaks.operations);
        DEMAND(leaks.descriptors == 0, "%zu descriptors are left", leaks.descriptors);
        DEMAND(leaks.processes == 0, "%zu processes are left", leaks.processes);
        DEMAND(world->io->timers.count == 0, "%zu timers are left", world->io->timers.count);
        DEMAND(list_empty(&world->io->tasks), "tasks are left");
}

/* As supervisor_teardown() does, also of what was built half. */
static void take_parts_down(World *world) {
        if (world->control)
                control_free(world->control);
        query_engine_free(world->queries);
        pool_free(world->pool);
        net_free(world->net);
        resolver_free(world->resolver);
        source_table_free(world->sources);
        if (world->arena)
                DEMAND(arena_used(world->arena) == 0, "%zu bytes of the arena are left",
                       arena_used(world->arena));
        arena_free(world->arena);
        check_nothing_left(world);
}

/* What travels arrives; then nobody may be there any more. */
static void settle(World *world) {
        world->phase = WORLD_GONE;
        for (unsigned turns = 0; !sim_idle(world->io); turns++) {
                DEMAND(turns < 10 * TURNS_MAX, "it does not come to rest");
                (void) io_turn(world->io);
        }
        DEMAND(sim_leaks(world->io).peers == 0, "%zu peers are left", sim_leaks(world->io).peers);
        check_nothing_left(world);
}

void world_take_down(World *world) {
        take_parts_down(world);
        settle(world);
        crew_free(world->crew);
        network_free(world->network);
        report_io(NULL);
        io_free(world->io);
}
