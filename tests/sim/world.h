/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of the daemon put together as the supervisor does it, on the simulator, and everything
 * around them. */

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "chance.h"
#include "exchange.h"
#include "io-sim.h"
#include "pool.h"
#include "query-engine.h"
#include "resolver.h"
#include "scenario.h"
#include "server.h"
#include "source.h"

#define SOCKET_PATH "/run/muster/io.muster"

typedef enum WorldPhase {
        WORLD_BUILDING,
        WORLD_RUNNING,
        WORLD_DRAINING,
        WORLD_CLOSING,
        WORLD_CLOSED,
        WORLD_GONE, /* nothing of the program is left; what still travels may arrive */
} WorldPhase;

typedef struct World {
        Scenario scenario;
        Chance chance; /* of what happens on the way */
        WorldPhase phase;
        uint64_t start;

        Io *io;
        Arena *arena;
        SourceTable *sources;
        Resolver *resolver;
        Net *net;
        Pool *pool;
        QueryEngine *queries;
        ControlServer *control;
        bool control_closed;
        bool net_closed;
        bool cancelled_all;
        size_t arena_rules; /* bytes that sources hold for good */
        size_t deaths;      /* of workers */
        size_t ended;       /* queries, as the engine tells it */

        struct Crew *crew;
        struct Network *network;
        uint64_t turned; /* the time of the last turn … */
        unsigned turns;  /* … and how many there have been at that time */
} World;

/* `scenario` and `chance` are there. 0, or the errno of the part that could not be made. */
int world_build(World *world);
/* One turn of the loop. Here and below the program ends when something is wrong. */
void world_turn(World *world);
/* No query is open and nothing can be under way any more, harvests included: nothing may be left,
 * once the cache has been flushed. */
void world_check_quiet(World *world);
/* The end begins; it has come when the phase is WORLD_CLOSED. */
void world_stop(World *world);
/* Also of what was built half. Nothing may be left. */
void world_take_down(World *world);
