/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What tests of this layer have in common: the simulator, simulated sources, and workers that are
 * none. Only one world at a time. */

#include <stdint.h>

#include "arena.h"
#include "io-sim.h"
#include "make-config.h"
#include "source.h"

typedef struct World {
        Io *io;
        Arena *arena;
        Config *config;
        SourceTable *sources;
        bool begun; /* the table of sources is made */

        /* The workers, which stand in for the pool. */
        uint64_t service_ns;     /* that a document takes */
        bool queued;             /* it waits all that time, and is given up at its deadline */
        int submit_error;        /* no task is taken */
        const char *poison;      /* documents with that text … */
        int poison_error;        /* … end in this error, or, if 0, … */
        uint32_t poison_outcome; /* … with this outcome */
        unsigned n_submitted;
        unsigned n_cancelled;
        unsigned n_running;
} World;

extern World world;

void world_new(size_t arena_size);
void world_add(const char *name, const char *const settings[]);
/* No further sources. */
void world_begin(void);
/* Nothing may be under way or held any more. */
void world_free(void);

Source *world_source(const char *name);

void world_turn(void);
/* Turns the loop for that long. */
void world_run(uint64_t ns);
/* Until nothing can happen any more. */
void world_settle(void);

/* A block that holds this text. */
ArenaBlock *world_block(const char *text);
