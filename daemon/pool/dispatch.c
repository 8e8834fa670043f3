/* SPDX-License-Identifier: Apache-2.0 */

/* Which task next, and to whom.
 *
 * Everything that a worker has not been given waits in one private heap, so that cancelling is a
 * heap delete and no task stands behind another worker's long one. A task is given to the worker
 * that will begin it first: the sum of what is expected to be in front of it, plus the wake-up if
 * it sleeps. That fills a lane that is awake with tasks of some microseconds (a wake-up costs more
 * than several of them) and spreads everything longer, one a worker.
 *
 * What a task will take is learnt: a moving average per engine and size of document, and the time
 * to burn is known beforehand. When the guess was wrong, worker_take_back() corrects it.
 *
 * Nothing is handed out from within pool_submit() or a completion: all of it happens once at the
 * end of the loop's turn, so that a worker is rung once for all that it was given.
 *
 * Memory: rows are never released before the pool is, and both heaps have room for all rows, so
 * queueing a task again cannot fail. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "doorbell.h"
#include "pool-internal.h"

#define WORKER_WAKE_NS (UINT64_C(25) * NSEC_PER_USEC)
#define SERVICE_WEIGHT 8u /* of the past in the moving average, against 1 for the present */

/* ---- rows of the task table ---- */

static uint64_t *service_cell(Pool *pool, const PoolTask *task) {
        unsigned bits = 64u - (unsigned) __builtin_clzll((uint64_t) task->document->size | 1023u);
        unsigned class = MIN((bits - 10u) / 2u, SIZE_CLASSES - 1u);

        assert(task->record.engine < ENGINE_COUNT);
        return &pool->service_ns[task->record.engine][class];
}

static ArenaBlock *block_ref(ArenaBlock *block) {
        return block ? arena_block_ref(block) : NULL;
}

static ShmRange block_range(const ArenaBlock *block) {
        return block ? arena_block_range(block) : (ShmRange){};
}

/* A row that was used before, or a new one with room for it in both heaps. */
static PoolEntry *entry_obtain(Pool *pool) {
        PoolEntry *entry = LIST_FIRST(&pool->free_entries, PoolEntry, node);

        if (entry) {
                list_remove(&entry->node);
                return entry;
        }
        if (heap_reserve(&pool->queue, pool->n_entries + 1) < 0 ||
            heap_reserve(&pool->expiries, pool->n_entries + 1) < 0)
                return NULL;
        entry = calloc(1, sizeof(*entry));
        if (!entry)
                return NULL;

        list_init(&entry->node);
        entry->slot = pool->n_entries++;
        return entry;
}

int entry_new(Pool *pool, PoolTask *task, PoolEntry **ret) {
        PoolEntry *entry = entry_obtain(pool);
        if (!entry)
                return -ENOMEM;

        entry->task = task;
        entry->spared = false;
        entry->alone = false;
        entry->service_ns = service_cell(pool, task);
        entry->spin_ns = task->record.engine == ENGINE_SPIN ? task->record.spin_ns : 0;
        entry->document = block_ref(task->document);
        entry->question = block_ref(task->question);
        entry->rules = block_ref(task->rules);
        task->record.slot = entry->slot;
        task->record.document = block_range(task->document);
        task->record.question = block_range(task->question);
        task->record.rules = block_range(task->rules);
        *ret = entry;
        return 0;
}

void entry_free(Pool *pool, PoolEntry *entry) {
        assert(!entry->worker && !heap_contains(&entry->expires));
        entry->task = NULL;
        entry->document = arena_block_unref(entry->document);
        entry->question = arena_block_unref(entry->question);
        entry->rules = arena_block_unref(entry->rules);
        list_prepend(&pool->free_entries, &entry->node);
}

PoolTask *entry_orphan(PoolEntry *entry) {
        PoolTask *task = TAKE_PTR(entry->task);

        task->entry = NULL;
        return task;
}

void entry_end(Pool *pool, PoolEntry *entry, const PoolResult *result) {
        PoolTask *task = entry_orphan(entry);

        task->done(task, result);
        entry_free(pool, entry);
}

/* ---- the queue ---- */

static PoolTask *task_of(const HeapNode *node) {
        return CONTAINER_OF(node, PoolTask, queued);
}

static bool task_before(const HeapNode *a, const HeapNode *b) {
        const PoolTask *x = task_of(a), *y = task_of(b);

        if (x->priority != y->priority)
                return x->priority > y->priority;
        if (x->record.deadline_ns != y->record.deadline_ns)
                return x->record.deadline_ns < y->record.deadline_ns;
        return x->order < y->order;
}

static PoolEntry *entry_of(const HeapNode *node) {
        return CONTAINER_OF(node, PoolEntry, expires);
}

static uint64_t entry_deadline(const PoolEntry *entry) {
        return entry->task->record.deadline_ns;
}

static bool expires_before(const HeapNode *a, const HeapNode *b) {
        return entry_deadline(entry_of(a)) < entry_deadline(entry_of(b));
}

void dispatch_queue(Pool *pool, PoolEntry *entry) {
        int r = heap_insert(&pool->queue, &entry->task->queued);
        assert(r >= 0);
        r = heap_insert(&pool->expiries, &entry->expires);
        assert(r >= 0);
        (void) r;
        dispatch_post(pool);
}

void dispatch_unqueue(Pool *pool, PoolEntry *entry) {
        heap_remove(&pool->queue, &entry->task->queued);
        heap_remove(&pool->expiries, &entry->expires);
}

PoolEntry *dispatch_first(const Pool *pool) {
        const HeapNode *node = heap_first(&pool->queue);
        return node ? task_of(node)->entry : NULL;
}

/* ---- the choice ---- */

static uint64_t entry_expected(const PoolEntry *entry) {
        if (entry->alone)
                return LANE_BACKLOG_NS;
        return MIN(time_add(*entry->service_ns, entry->spin_ns), LANE_BACKLOG_NS);
}

void dispatch_learn(const PoolEntry *entry, uint64_t service_ns) {
        uint64_t own = time_sub(service_ns, entry->spin_ns);

        *entry->service_ns = (*entry->service_ns * (SERVICE_WEIGHT - 1) + own) / SERVICE_WEIGHT;
}

/* How long until it would begin another task. The flag is the worker's word and worth no more than
 * that. */
static uint64_t worker_delay(const Worker *worker) {
        const LaneIndex *sleeps = &worker->segment->state.worker_sleeps;
        bool asleep = atomic_load_explicit(&sleeps->value, memory_order_relaxed) != 0;

        return worker->backlog_ns + (asleep ? WORKER_WAKE_NS : 0);
}

/* The one that begins it first; of equals the one that has been idle for longest. NULL: none has
 * room. */
static Worker *dispatch_choose(const Pool *pool, const PoolEntry *entry) {
        Worker *best = NULL;
        uint64_t best_delay = 0;

        for (unsigned i = 0; i < pool->n_places; i++) {
                Worker *worker = pool->places[i].active;
                if (!worker || !worker_has_room(worker, entry->expected_ns))
                        continue;

                uint64_t delay = worker_delay(worker);
                if (!best || delay < best_delay ||
                    (delay == best_delay && worker->idle_ns < best->idle_ns)) {
                        best = worker;
                        best_delay = delay;
                }
        }
        return best;
}

/* ---- the turn ---- */

static void dispatch_expire(Pool *pool, uint64_t now) {
        static const PoolResult late = { .error = -ETIME };
        const HeapNode *node;

        while ((node = heap_first(&pool->expiries))) {
                PoolEntry *entry = entry_of(node);
                if (entry_deadline(entry) > now)
                        break;
                dispatch_unqueue(pool, entry);
                entry_end(pool, entry, &late);
        }
}

static void dispatch_hand_out(Pool *pool, uint64_t now) {
        PoolEntry *entry;

        while ((entry = dispatch_first(pool))) {
                entry->expected_ns = entry_expected(entry);
                Worker *worker = dispatch_choose(pool, entry);
                if (!worker)
                        break;
                if (worker_push(worker, entry, now) >= 0)
                        dispatch_unqueue(pool, entry);
        }
}

static void dispatch_ring(Pool *pool) {
        LIST_FOREACH(node, &pool->workers) {
                Worker *worker = LIST_ENTRY(node, Worker, node);
                if (!worker->ring)
                        continue;
                worker->ring = false;
                (void) doorbell_wake_worker(&worker->segment->state);
        }
}

/* One timer for the earliest deadline of what is left in the queue. */
static void dispatch_watch(Pool *pool) {
        const HeapNode *node = heap_first(&pool->expiries);

        if (!node) {
                io_timer_cancel(pool->io, &pool->expiry);
                return;
        }
        uint64_t deadline = entry_deadline(entry_of(node));
        if (io_timer_armed(&pool->expiry) && pool->expiry.deadline == deadline)
                return;
        /* Without memory for the timer, every turn looks. */
        if (io_timer_set(pool->io, &pool->expiry, deadline) < 0)
                dispatch_post(pool);
}

static void dispatch_turn(IoTask *task) {
        Pool *pool = CONTAINER_OF(task, Pool, turn);
        uint64_t now = io_now(pool->io);

        dispatch_expire(pool, now);
        dispatch_hand_out(pool, now);
        dispatch_ring(pool);
        dispatch_watch(pool);
}

static void dispatch_expiry_fired(IoTimer *timer) {
        dispatch_turn(&CONTAINER_OF(timer, Pool, expiry)->turn);
}

void dispatch_post(Pool *pool) {
        io_post(pool->io, &pool->turn);
}

void dispatch_init(Pool *pool) {
        pool->queue = (Heap) HEAP_INIT(task_before);
        pool->expiries = (Heap) HEAP_INIT(expires_before);
        pool->expiry.fire = dispatch_expiry_fired;
        list_init(&pool->turn.node);
        pool->turn.run = dispatch_turn;
        list_init(&pool->free_entries);
        for (unsigned e = 0; e < ENGINE_COUNT; e++)
                for (unsigned c = 0; c < SIZE_CLASSES; c++)
                        pool->service_ns[e][c] = LANE_BACKLOG_NS; /* unknown is long */
}

void dispatch_deinit(Pool *pool) {
        assert(pool->queue.count == 0);
        io_unpost(&pool->turn);
        io_timer_cancel(pool->io, &pool->expiry);
        LIST_FOREACH_SAFE(node, &pool->free_entries)
                free(LIST_ENTRY(node, PoolEntry, node));
        heap_deinit(&pool->queue);
        heap_deinit(&pool->expiries);
}
