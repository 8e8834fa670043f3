/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One run: the parts of the daemon put together as the supervisor does it, on the simulator, and
 * everything around them. */

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
        struct Askers *askers;
} World;

/* Runs a seed from start to end and returns its hash; ends the program when something is wrong. */
uint64_t world_run(uint64_t seed);
