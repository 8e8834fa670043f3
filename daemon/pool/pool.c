/* SPDX-License-Identifier: Apache-2.0 */

/* The pool's outside. Its inside has three parts:
 *
 *     dispatch.c   the task table, the queue, who gets what
 *     collect.c    the lanes: handing out, results, and what the dead held
 *     worker.c     processes: start, readiness, retirement, overrun, death, back-off
 *
 * A task's row is in just one of three states: queued (in both heaps), held (in one worker's
 * `held`), or held without a task (cancelled, yet a worker may still read its blocks). */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "pool-internal.h"

DEFINE_CLEANUP(Pool, pool_free)

#define START_TIMEOUT_NS (UINT64_C(10) * NSEC_PER_SEC)
#define SEGMENT_GRAIN    ((size_t) 65536)

/* ---- making ---- */

static int pool_allocate(Pool *pool, const PoolOptions *options) {
        size_t needed = sizeof(ResultHeader) + RESULT_STRINGS_MAX + options->max_data;

        /* Segments come in whole pages; the copy can take all that fits into one. */
        pool->result_capacity = ALIGN_UP(sizeof(Segment) + needed, SEGMENT_GRAIN) - sizeof(Segment);
        pool->result = malloc(pool->result_capacity);
        pool->options.worker_path = strdup(options->worker_path);
        pool->places = calloc(options->workers, sizeof(*pool->places));
        if (!pool->result || !pool->options.worker_path || !pool->places)
                return -ENOMEM;

        for (; pool->n_places < options->workers; pool->n_places++)
                place_init(&pool->places[pool->n_places], pool, pool->n_places);
        return 0;
}

int pool_new(Pool **ret, Io *io, Arena *arena, const PoolOptions *options) {
        CLEANUP(cleanup_pool_free) Pool *pool = calloc(1, sizeof(*pool));

        assert(options->workers > 0);
        if (!pool)
                return -ENOMEM;
        pool->io = io;
        pool->arena = arena;
        pool->options = *options;
        pool->options.worker_path = NULL; /* until it is ours */
        if (pool->options.start_timeout_ns == 0)
                pool->options.start_timeout_ns = START_TIMEOUT_NS;
        list_init(&pool->workers);
        dispatch_init(pool);

        int r = pool_allocate(pool, options);
        for (unsigned i = 0; r >= 0 && i < pool->n_places; i++)
                r = place_start(&pool->places[i]);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(pool);
        return 0;
}

/* ---- freeing ---- */

/* Some row in a worker's hands whose task has not ended, or NULL. */
static PoolEntry *pool_some_held(const Pool *pool) {
        LIST_FOREACH(node, &pool->workers) {
                const Worker *worker = LIST_ENTRY(node, Worker, node);
                for (unsigned i = 0; i < worker->n_held; i++)
                        if (worker->held[i]->task)
                                return worker->held[i];
        }
        return NULL;
}

/* Any of these callbacks may cancel others, so each time we look anew. */
static void pool_end_tasks(Pool *pool) {
        static const PoolResult ended = { .error = -ESHUTDOWN };
        PoolEntry *entry;

        while ((entry = dispatch_first(pool))) {
                dispatch_unqueue(pool, entry);
                entry_end(pool, entry, &ended);
        }
        while ((entry = pool_some_held(pool))) {
                PoolTask *task = entry_orphan(entry);
                task->done(task, &ended);
        }
}

/* Their exits come through the loop, which has to be turned for it. What is waited for is only the
 * kernel: nobody can refuse SIGKILL, and workers do nothing that could delay it. */
static void pool_end_workers(Pool *pool) {
        LIST_FOREACH(node, &pool->workers) {
                Worker *worker = LIST_ENTRY(node, Worker, node);
                worker->killed = true;
                io_kill(pool->io, &worker->process, SIGKILL);
        }
        while (!list_empty(&pool->workers))
                if (io_turn(pool->io) < 0)
                        break;
}

Pool *pool_free(Pool *pool) {
        if (!pool)
                return NULL;

        pool->stopping = true;
        for (unsigned i = 0; i < pool->n_places; i++)
                place_deinit(&pool->places[i]);
        pool_end_tasks(pool);
        pool_end_workers(pool);
        dispatch_deinit(pool);
        free(pool->places);
        free(pool->result);
        free((char *) (uintptr_t) pool->options.worker_path);
        free(pool);
        return NULL;
}

/* ---- tasks ---- */

int pool_submit(Pool *pool, PoolTask *task) {
        PoolEntry *entry;

        if (pool->stopping)
                return -ESHUTDOWN;
        assert(task->document && task->done && !task->entry);
        int r = entry_new(pool, task, &entry);
        if (r < 0)
                return r;

        task->entry = entry;
        task->queued = (HeapNode){};
        task->order = pool->next_order++;
        task->submitted_ns = io_now(pool->io);
        task->n_tries = 0;
        dispatch_queue(pool, entry);
        return 0;
}

void pool_postpone(Pool *pool, PoolTask *task, uint64_t deadline_ns, int priority) {
        PoolEntry *entry = task->entry;

        if (!entry || entry->worker ||
            (deadline_ns <= task->record.deadline_ns && priority <= task->priority))
                return;
        dispatch_unqueue(pool, entry);
        task->record.deadline_ns = MAX(task->record.deadline_ns, deadline_ns);
        task->priority = MAX(task->priority, priority);
        dispatch_queue(pool, entry);
}

void pool_cancel(Pool *pool, PoolTask *task) {
        PoolEntry *entry = task->entry;

        if (!entry)
                return;
        if (!entry->worker) {
                dispatch_unqueue(pool, entry);
                (void) entry_orphan(entry);
                entry_free(pool, entry);
                return;
        }
        (void) entry_orphan(entry);
        worker_abandon(entry->worker, entry);
}

/* ---- status ---- */

unsigned pool_size(const Pool *pool) {
        return pool->n_places;
}

unsigned pool_ready(const Pool *pool) {
        unsigned n = 0;

        for (unsigned i = 0; i < pool->n_places; i++) {
                const Worker *worker = pool->places[i].active;
                n += worker && !worker->killed;
        }
        return n;
}

size_t pool_queued(const Pool *pool) {
        return pool->queue.count;
}

size_t pool_held(const Pool *pool) {
        return pool->n_held;
}

static WorkerPhase place_phase(const Place *place) {
        if (!place->active)
                return place->coming ? WORKER_STARTING : WORKER_BACKOFF;
        if (place->coming)
                return WORKER_RETIRING;
        return place->active->n_held > 0 ? WORKER_BUSY : WORKER_IDLE;
}

void pool_worker_status(const Pool *pool, unsigned number, WorkerStatus *ret) {
        assert(number < pool->n_places);
        const Place *place = &pool->places[number];
        const Worker *worker = place->active ? place->active : place->coming;

        *ret = (WorkerStatus){
                .pid = worker ? worker->process.pid : 0,
                .phase = place_phase(place),
                .tasks = place->tasks,
                .restarts = place->restarts,
        };
}
