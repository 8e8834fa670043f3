/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The worker pool: a fixed number of processes started ahead of time, a private heap of queued
 * tasks, shallow lanes, and the task table that is the truth about who holds what.
 *
 * A task ends exactly once, by its `done` callback, or silently by pool_cancel(). It is tried on at
 * most two workers; a worker that dies or overruns costs the task it was running one try, and the
 * tasks behind it in the lane none. */

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "heap.h"
#include "io.h"
#include "layout.h"
#include "record.h"

#define POOL_MAX_TRIES 2u

typedef struct Pool Pool;
typedef struct PoolTask PoolTask;

typedef struct PoolTry {
        unsigned worker; /* number of the place in the pool, from 0 */
        uint64_t dispatched_ns;
        uint64_t started_ns; /* 0: unknown (the worker died) */
        uint64_t decoded_ns;
        uint64_t finished_ns;
} PoolTry;

typedef struct PoolResult {
        /* 0: `header` holds a validated result. -EOWNERDEAD: every try's worker died or overran.
         * -ETIME: the deadline passed while it was queued. -ESHUTDOWN: the pool is being freed. */
        int error;
        const ResultHeader *header; /* private copy, valid during the callback only */
        size_t size;
} PoolResult;

struct PoolTask {
        /* Set by the caller before pool_submit(). Of `record` the pool itself sets slot, generation
         * and the three ranges. */
        TaskRecord record;
        ArenaBlock *document; /* the pool takes references of its own and keeps them as long */
        ArenaBlock *question; /* as a worker may read the block, also after a cancel */
        ArenaBlock *rules;    /* NULL: no rules */
        int priority;         /* higher first; then the earlier deadline; then first come */
        void (*done)(PoolTask *task, const PoolResult *result);

        /* The story so far, for the timeline. */
        uint64_t submitted_ns;
        PoolTry tries[POOL_MAX_TRIES];
        unsigned n_tries;

        /* private */
        HeapNode queued;
        uint64_t order;
        struct PoolEntry *entry;
};

typedef enum WorkerPhase {
        WORKER_STARTING,
        WORKER_IDLE,
        WORKER_BUSY,
        WORKER_RETIRING,
        WORKER_BACKOFF, /* dead; the next one starts after a pause */
} WorkerPhase;

typedef struct WorkerStatus {
        pid_t pid; /* 0 while there is none */
        WorkerPhase phase;
        uint64_t tasks;    /* done by this place in the pool, all its processes together */
        uint64_t restarts; /* after a death; retirement not counted */
} WorkerStatus;

typedef struct PoolEvents {
        /* All workers have been ready at least once / a worker died (status as from waitpid(2),
         * `overrun` when we killed it for that) and its replacement starts after `backoff_ns`. May
         * be NULL. */
        void (*ready)(void *userdata);
        void (*worker_died)(
                        void *userdata, unsigned worker, pid_t pid, int status, bool overrun,
                        uint64_t backoff_ns);
        void *userdata;
} PoolEvents;

typedef struct PoolOptions {
        unsigned workers;
        const char *worker_path; /* the muster-worker binary */
        uint64_t task_timeout_ns; /* [Inference] TimeoutSec: a task that runs longer costs its worker */
        uint64_t start_timeout_ns; /* for becoming ready, and for leaving when retired; 0: 10 s */
        uint64_t worker_tasks;     /* a worker retires after that many; 0: never */
        size_t max_data;           /* greatest `data` of a result: sizes the result area */
        PoolEvents events;
} PoolOptions;

/* Starts the workers; they become ready later. Negative errno: shared memory or processes cannot be
 * had. */
int pool_new(Pool **ret, Io *io, Arena *arena, const PoolOptions *options);
/* Every task still there ends with -ESHUTDOWN; workers are killed and reaped, for which the loop is
 * turned: so not from within a callback. */
Pool *pool_free(Pool *pool);

/* -ENOMEM, -ESHUTDOWN (the pool is being freed); otherwise `done` will be called, never from within
 * this call. */
int pool_submit(Pool *pool, PoolTask *task);
/* Someone else waits for it, too: it gets the later deadline and the higher priority of the two, as
 * long as it is queued. */
void pool_postpone(Pool *pool, PoolTask *task, uint64_t deadline_ns, int priority);
/* Afterwards `done` is not called and the task's memory is the caller's again. Harmless when it has
 * ended. */
void pool_cancel(Pool *pool, PoolTask *task);

unsigned pool_size(const Pool *pool);
unsigned pool_ready(const Pool *pool); /* workers that can take tasks now */
size_t pool_queued(const Pool *pool);  /* tasks waiting in the private heap */
size_t pool_held(const Pool *pool);    /* tasks in lanes */
void pool_worker_status(const Pool *pool, unsigned number, WorkerStatus *ret);
