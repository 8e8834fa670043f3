/* SPDX-License-Identifier: Apache-2.0 */

/* The course of a seeded run. A signal lets queries run to their end, a second one withdraws them,
 * as in daemon/supervisor.c. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "askers.h"
#include "clock.h"
#include "report.h"
#include "run.h"
#include "watch-fetch.h"
#include "watch.h"

#define SHORT_SPAN  NSEC_PER_SEC
#define DESCRIPTORS 16384u

/* After the stop: the longest deadline in runs that are not calm, then replies that are not
 * read. */
#define END_WITHIN (60 * NSEC_PER_SEC)

/* ---- the end ---- */

typedef struct Run {
        World world;
        Askers *askers;
} Run;

static void on_second_signal(Io *io, void *userdata) {
        World *world = &((Run *) userdata)->world;

        if (world->phase != WORLD_DRAINING)
                return;
        world->cancelled_all = true;
        query_engine_cancel_all(world->queries);
}

/* All that was asked is over, and so is what waits for a time. */
static void check_quiet(World *world) {
        size_t deaf = 0;

        world_check_quiet(world);
        for (size_t i = 0; i < world->scenario.n_queries; i++)
                deaf += world->scenario.queries[i].asker == ASKER_DEAF;
        DEMAND(net_connections(world->net) == 0, "%zu connections are kept for ever",
               net_connections(world->net));
        DEMAND(control_connections(world->control) <= deaf, "%zu clients, %zu of them deaf",
               control_connections(world->control), deaf);
        if (!world->scenario.calm)
                return;
        DEMAND(world->deaths == 0 || world->scenario.poisoned, "%zu workers died", world->deaths);
        DEMAND(pool_ready(world->pool) == pool_size(world->pool), "a worker is missing");
}

static void on_signal(Io *io, void *userdata) {
        Run *run = userdata;
        World *world = &run->world;

        if (world->phase != WORLD_RUNNING)
                return;
        if (world->scenario.stop_late) {
                check_quiet(world);
                askers_check(run->askers);
        }
        world_stop(world);
        if (world->scenario.second_ns > 0)
                sim_at(io, io_now(io) + world->scenario.second_ns, on_second_signal, run);
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

/* ---- the whole ---- */

static void run_live(Run *run) {
        World *world = &run->world;
        const Scenario *scenario = &world->scenario;
        uint64_t latest = world->start + scenario->stop_ns + END_WITHIN;

        run->askers = askers_new(world);
        sim_at(world->io, world->start + scenario->stop_ns, on_signal, run);
        if (scenario->descriptors_short_ns > 0)
                sim_at(world->io, world->start + scenario->descriptors_short_ns,
                       on_descriptors_short, world);
        while (world->phase < WORLD_CLOSED) {
                world_turn(world);
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

uint64_t run_seed(uint64_t seed) {
        Run *run = calloc(1, sizeof(*run));
        World *world = &run->world;

        assert(run);
        scenario_make(&world->scenario, seed);
        world->chance.state = seed ^ UINT64_C(0x5bf03635a1c1e2d7);
        watch_begin(world);
        int r = world_build(world);
        if (r >= 0)
                run_live(run);
        else
                check_refused(world, r);
        world_take_down(world);
        if (run->askers)
                askers_free(run->askers);
        scenario_deinit(&world->scenario);
        free(run);
        return report_hash();
}
