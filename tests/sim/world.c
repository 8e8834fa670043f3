/* SPDX-License-Identifier: Apache-2.0 */

/* Building and taking down follow daemon/supervisor.c step by step, and so does the end: a signal
 * lets queries run to theirs, a second one withdraws them, then connections are closed, then the
 * loop stops.
 *
 * Nothing may be left after that: no operation, no descriptor, no timer, no block of the arena, no
 * process, and, once all that travels has arrived, no peer. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "answer-check.h"
#include "askers.h"
#include "clock.h"
#include "crew.h"
#include "io-backend.h"
#include "network.h"
#include "report.h"
#include "resolver-double.h"
#include "watch.h"
#include "world.h"

#define TURNS_MAX   2000000u /* of a run; more is a loop that never sleeps */
#define SHORT_SPAN  NSEC_PER_SEC
#define MAX_DATA    65536u
#define DESCRIPTORS 16384u

/* After the stop: the longest deadline in runs that are not calm, then replies that are not
 * read. */
#define END_WITHIN (60 * NSEC_PER_SEC)

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

        DEMAND(watch_open() == 0, "drained with %zu queries open", watch_open());
        control_drain(world->control, on_control_drained, world);
}

static void on_second_signal(Io *io, void *userdata) {
        World *world = userdata;

        if (world->phase != WORLD_DRAINING)
                return;
        world->cancelled_all = true;
        query_engine_cancel_all(world->queries);
}

/* All that was asked is over, and so is what waits for a time. */
static void check_quiet(const World *world) {
        size_t deaf = 0;

        for (size_t i = 0; i < world->scenario.n_queries; i++)
                deaf += world->scenario.queries[i].asker == ASKER_DEAF;
        DEMAND(query_open(world->queries) == 0, "a query never ends");
        DEMAND(pool_queued(world->pool) == 0 && pool_held(world->pool) == 0,
               "%zu tasks queued and %zu held without a query", pool_queued(world->pool),
               pool_held(world->pool));
        DEMAND(net_connections(world->net) == 0, "%zu connections are kept for ever",
               net_connections(world->net));
        DEMAND(control_connections(world->control) <= deaf, "%zu clients, %zu of them deaf",
               control_connections(world->control), deaf);
        DEMAND(arena_used(world->arena) == world->arena_rules, "%zu bytes of the arena are lost",
               arena_used(world->arena) - world->arena_rules);
        for (size_t i = 0; i < world->sources->count; i++)
                DEMAND(world->sources->sources[i]->in_flight == 0, "a fetch is counted for ever");
        if (!world->scenario.calm)
                return;
        DEMAND(world->deaths == 0 || world->scenario.poisoned, "%zu workers died", world->deaths);
        DEMAND(pool_ready(world->pool) == pool_size(world->pool), "a worker is missing");
}

static void on_signal(Io *io, void *userdata) {
        World *world = userdata;

        if (world->phase != WORLD_RUNNING)
                return;
        if (world->scenario.stop_late) {
                check_quiet(world);
                askers_check(world->askers);
        }
        world->phase = WORLD_DRAINING;
        query_engine_stop(world->queries);
        if (world->scenario.second_ns > 0)
                sim_at(io, io_now(io) + world->scenario.second_ns, on_second_signal, world);
}

/* ---- what else happens ---- */

static void on_descriptors_back(Io *io, void *userdata) {
        sim_limit_descriptors(io, DESCRIPTORS);
}

static void on_descriptors_short(Io *io, void *userdata) {
        World *world = userdata;

        if (world->phase != WORLD_RUNNING)
                return;
        sim_limit_descriptors(io, chance_below(&world->chance, 4));
        sim_at(io, io_now(io) + SHORT_SPAN, on_descriptors_back, world);
}

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

static int build_sources(World *world) {
        int r = source_table_new(
                        &world->sources, world->scenario.config, world->arena, io_random(world->io));
        world->arena_rules = arena_used(world->arena);
        return r;
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
        const QueryEngineOptions options = {
                .fetch = { world->io, world->net, world->arena },
                .pool = world->pool,
                .sources = world->sources,
                .default_deadline_ns = 15 * NSEC_PER_SEC,
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

static int world_build(World *world) {
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
static void world_take_down(World *world) {
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
static void world_settle(World *world) {
        world->phase = WORLD_GONE;
        for (unsigned turns = 0; !sim_idle(world->io); turns++) {
                DEMAND(turns < TURNS_MAX, "it does not come to rest");
                (void) io_turn(world->io);
        }
        DEMAND(sim_leaks(world->io).peers == 0, "%zu peers are left", sim_leaks(world->io).peers);
        check_nothing_left(world);
        crew_free(world->crew);
        network_free(world->network);
        if (world->askers)
                askers_free(world->askers);
        report_io(NULL);
        io_free(world->io);
}

/* ---- running ---- */

static void world_live(World *world) {
        const Scenario *scenario = &world->scenario;
        uint64_t latest = world->start + scenario->stop_ns + END_WITHIN;

        world->askers = askers_new(world);
        sim_at(world->io, world->start + scenario->stop_ns, on_signal, world);
        if (scenario->descriptors_short_ns > 0)
                sim_at(world->io, world->start + scenario->descriptors_short_ns,
                       on_descriptors_short, world);

        for (unsigned turns = 0; world->phase < WORLD_CLOSED; turns++) {
                int r = io_turn(world->io);

                DEMAND(r != -EDEADLK,
                       "deadlock: nothing can happen, %zu queries are open, %zu operations",
                       watch_open(), io_in_flight(world->io));
                DEMAND(r >= 0, "the loop failed: %s", strerrorname_np(-r));
                DEMAND(turns < TURNS_MAX, "livelock: %u turns", turns);
                DEMAND(io_now(world->io) <= latest, "it does not stop: %zu queries are open",
                       watch_open());
        }
        watch_end();
}

/* Only what was refused at the start may keep it from running. */
static void check_refused(const World *world, int error) {
        const Scenario *scenario = &world->scenario;
        bool explained = (error == -EAGAIN && scenario->sim.faults[SIM_NO_SPAWN] > 0) ||
                        (error == -EMFILE &&
                         (scenario->sim.faults[SIM_NO_DESCRIPTOR] > 0 ||
                          scenario->sim.max_descriptors > 0)) ||
                        (error == -ENOBUFS && scenario->arena_tight);

        DEMAND(explained, "it does not start: %s", strerrorname_np(-error));
}

uint64_t world_run(uint64_t seed) {
        World *world = calloc(1, sizeof(*world));

        assert(world);
        scenario_make(&world->scenario, seed);
        world->chance.state = seed ^ UINT64_C(0x5bf03635a1c1e2d7);
        watch_begin(world);
        int r = world_build(world);
        if (r >= 0)
                world_live(world);
        else
                check_refused(world, r);
        world_take_down(world);
        world_settle(world);
        scenario_deinit(&world->scenario);
        free(world);
        return report_hash();
}
