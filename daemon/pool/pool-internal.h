/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "clock.h"
#include "dispatch.h"
#include "worker.h"

/* Service times are kept per engine and size of document: sizes of one class differ by a factor of
 * 4. */
#define SIZE_CLASSES 8u

struct Pool {
        Io *io;
        Arena *arena;
        PoolOptions options; /* worker_path is ours */
        bool stopping;

        /* dispatch.c */
        Heap queue;    /* of PoolTask.queued */
        Heap expiries; /* of PoolEntry.expires: the same tasks, by deadline */
        IoTimer expiry;
        IoTask turn;
        uint64_t next_order;
        List free_entries;
        uint32_t n_entries;
        uint64_t service_ns[ENGINE_COUNT][SIZE_CLASSES];

        /* worker.c */
        Place *places;
        unsigned n_places;
        unsigned n_were_ready;
        List workers; /* all processes, and what is left of those that ended */

        /* collect.c */
        size_t n_held;
        ResultHeader *result; /* the private copy that is validated and shown to `done` */
        size_t result_capacity;
};
