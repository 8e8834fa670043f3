/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The root object: owns every part, builds them in one visible order and takes them down in the
 * reverse. The only place that knows all of them. */

#include "config.h"
#include "exchange.h"
#include "io.h"
#include "pool.h"
#include "query-engine.h"
#include "resolver.h"
#include "server.h"
#include "signals.h"
#include "source.h"
#include "state-file.h"

typedef struct SupervisorOptions {
        const Config *config;
        const char *socket_path; /* used when no socket was handed in */
        const char *state_dir;   /* NULL: keeps no state */
        const char *worker_path;
} SupervisorOptions;

/* The phases of a life, each left once. */
typedef enum SupervisorPhase {
        SUPERVISOR_STARTING, /* workers come up */
        SUPERVISOR_RUNNING,
        SUPERVISOR_DRAINING, /* queries under way are brought to their end */
        SUPERVISOR_CLOSING,  /* connections are closed */
        SUPERVISOR_CLOSED,
} SupervisorPhase;

typedef struct Supervisor {
        SupervisorOptions options;
        SupervisorPhase phase;
        Io *io;
        Arena *arena;
        SourceTable *sources;
        Resolver *resolver;
        Net *net;
        Pool *pool;
        QueryEngine *queries;
        ControlServer *control;
        IoSignals signals;
        IoTimer status_timer; /* armed while the status text may be out of date */
        uint64_t started;
        int64_t descriptor_limit;
        StateFile *daily; /* NULL: keeps no state */
        int state_lock;   /* descriptor that holds the lock of the state directory; -1: none */
        bool control_closed;
        bool net_closed;
        bool daily_closed;
} Supervisor;

/* Builds everything and serves until a signal ends it. 0 or a negative errno, logged. */
int supervisor_run(const SupervisorOptions *options);
