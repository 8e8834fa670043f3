/* SPDX-License-Identifier: Apache-2.0 */

/* The lanes, seen from the supervisor: giving tasks, taking results, and what becomes of the tasks
 * of the dead.
 *
 * The truth is private: Worker.held says what a worker has, in the order in which it was given. As
 * the worker works in that order, the next completion can only be that of held[0], with its slot
 * and its generation; anything else is garbage, as are an impossible index, bytes that do not match
 * their checksum, and a result that does not validate. Everything is copied first and looked at
 * afterwards. A worker that wrote garbage is killed, what it wrote is not read any further, and
 * nobody else notices.
 *
 * A worker's death is settled only after it has been reaped, for then none of its stores can
 * follow. What it had published counts. Of the rest, held[0] is the one that it was running, and
 * has lost a try; what stands behind goes back to the queue as if it had never left. The claim word
 * in the lane may say that not even held[0] was begun; as the dead could have forged it, a task is
 * forgiven so only once. A worker can also spoil a result that it has published but we have not yet
 * taken, and the wrong task pays; so whatever a dead worker held gets a lane to itself the next
 * time, where it can harm, and be harmed by, nobody.
 *
 * A cancelled task that a worker may be reading stays in `held` as a row without a task until the
 * worker is through with it. */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "doorbell.h"
#include "hash-map.h"
#include "pool-internal.h"

/* An honest worker rings once for what it has published; a few empty rings come from renewed
 * polls. */
#define EMPTY_RINGS_MAX 10000u

/* ---- giving ---- */

static void worker_garbage(Worker *worker, const char *what) {
        worker->garbage = true;
        worker_kill(worker, what);
}

bool worker_has_room(Worker *worker, uint64_t expected_ns) {
        if (worker->killed || worker->life != LIFE_SERVING || worker->n_held == LANE_DEPTH)
                return false;
        if (worker->n_held > 0 && worker->backlog_ns + expected_ns >= LANE_BACKLOG_NS)
                return false;
        if (worker->n_revoked == 0)
                return true;

        /* What was taken back keeps its place in the lane until the worker has passed it. */
        int pending = submission_pending(&worker->segment->submission, &worker->submission);
        if (pending < 0) {
                worker_garbage(worker, "has moved its submission index out of bounds");
                return false;
        }
        worker->n_revoked = MIN(worker->n_revoked, (unsigned) pending);
        return (unsigned) pending < LANE_DEPTH;
}

static void worker_hold(Worker *worker, PoolEntry *entry, uint64_t now) {
        entry->worker = worker;
        if (worker->n_held == 0)
                worker->begun_ns = now;
        worker->held[worker->n_held++] = entry;
        worker->backlog_ns += entry->expected_ns;
        worker->pool->n_held++;
}

static PoolEntry *worker_release(Worker *worker, unsigned i) {
        PoolEntry *entry = worker->held[i];

        assert(i < worker->n_held && entry->worker == worker);
        worker->n_held--;
        memmove(&worker->held[i], &worker->held[i + 1],
                (worker->n_held - i) * sizeof(worker->held[0]));
        worker->backlog_ns -= entry->expected_ns;
        worker->pool->n_held--;
        entry->worker = NULL;
        return entry;
}

int worker_push(Worker *worker, PoolEntry *entry, uint64_t now) {
        PoolTask *task = entry->task;

        task->record.generation = ++entry->generation;
        int r =
                        submission_push(&worker->segment->submission, &worker->submission,
                                        &task->record, &entry->lane_index);
        if (r < 0) {
                worker_garbage(worker, "has moved its submission index out of bounds");
                return r;
        }

        assert(task->n_tries < POOL_MAX_TRIES);
        entry->dispatched_ns = now;
        task->tries[task->n_tries++] = (PoolTry){
                .worker = worker->place->number,
                .dispatched_ns = now,
        };
        worker_hold(worker, entry, now);
        worker->taken++;
        worker->ring = true;
        worker_watch(worker);
        return 0;
}

/* ---- taking back ---- */

/* True when it will never begin held[i]. */
static bool worker_revoke(Worker *worker, unsigned i) {
        return submission_revoke(&worker->segment->submission, worker->held[i]->lane_index);
}

/* Back to the queue, as if it had never been handed out. */
static void entry_return(Pool *pool, PoolEntry *entry) {
        if (!entry->task) {
                entry_free(pool, entry);
                return;
        }
        entry->task->n_tries--;
        dispatch_queue(pool, entry);
}

void worker_take_back(Worker *worker) {
        for (unsigned i = worker->n_held; i-- > 1;) {
                if (!worker_revoke(worker, i))
                        continue;
                worker->n_revoked++;
                entry_return(worker->pool, worker_release(worker, i));
        }

        /* Nothing goes behind this one again. */
        PoolEntry *head = worker->held[0];
        worker->backlog_ns += LANE_BACKLOG_NS - head->expected_ns;
        head->expected_ns = LANE_BACKLOG_NS;
        worker->stuck = true;
}

/* Held[0] is never taken back from the living: it has been begun or will be at once. So something
 * that is completed stands before every place that is not free, and a full lane never waits for
 * nothing. */
void worker_abandon(Worker *worker, PoolEntry *entry) {
        for (unsigned i = 1; i < worker->n_held; i++) {
                if (worker->held[i] != entry || !worker_revoke(worker, i))
                        continue;
                worker->n_revoked++;
                entry_free(worker->pool, worker_release(worker, i));
                dispatch_post(worker->pool);
                return;
        }
}

/* ---- collecting ---- */

/* Copies the result out and checks it. NULL, or what is wrong with it. */
static const char *
result_fetch(Worker *worker, const PoolEntry *entry, const CompletionRecord *completion) {
        Pool *pool = worker->pool;
        const char *area = segment_result_area(worker->segment, sizeof(Segment));

        assert(completion->result_size <= pool->result_capacity);
        memcpy(pool->result, area + completion->result_offset, completion->result_size);
        if (hash_bytes(pool->result, completion->result_size, completion->generation) !=
            completion->checksum)
                return "has published a result that does not match its checksum";
        if (result_validate(pool->result, completion->result_size,
                            arena_block_data(entry->document), entry->document->size) < 0)
                return "has published an invalid result";
        return NULL;
}

static uint64_t time_clamp(uint64_t time, uint64_t low, uint64_t high) {
        return time < low ? low : MIN(time, high);
}

/* The worker's clock readings, as far as they can be true. */
static void try_record(PoolTask *task, const CompletionRecord *completion, uint64_t now) {
        PoolTry *last = &task->tries[task->n_tries - 1];

        last->started_ns = time_clamp(completion->started_ns, last->dispatched_ns, now);
        last->decoded_ns = time_clamp(completion->decoded_ns, last->started_ns, now);
        last->finished_ns = time_clamp(completion->finished_ns, last->decoded_ns, now);
}

/* Held[0] has been completed; takes it off and tells the task. */
static void worker_completed(Worker *worker, const CompletionRecord *completion, uint64_t now) {
        PoolEntry *entry = worker_release(worker, 0);
        uint64_t begun = time_clamp(completion->started_ns, entry->dispatched_ns, now);

        worker->begun_ns = worker->idle_ns = now;
        worker->stuck = false;
        worker->place->tasks++;
        dispatch_learn(entry, time_clamp(completion->finished_ns, begun, now) - begun);
        if (!entry->task) {
                entry_free(worker->pool, entry);
                return;
        }
        try_record(entry->task, completion, now);
        entry_end(worker->pool, entry,
                  &(PoolResult){
                                  .header = worker->pool->result,
                                  .size = completion->result_size,
                  });
}

/* NULL, or what is wrong with it. */
static const char *worker_take(Worker *worker, const CompletionRecord *completion, uint64_t now) {
        const PoolEntry *head = worker->held[0];

        if (worker->n_held == 0 || completion->slot != head->slot ||
            completion->generation != head->generation)
                return "has completed a task that it does not hold";
        if (completion_validate(completion, worker->result_size) < 0)
                return "has published an invalid completion";

        const char *wrong = head->task ? result_fetch(worker, head, completion) : NULL;
        if (wrong)
                return wrong;
        completion_release(&worker->segment->completion, &worker->completion);
        worker_completed(worker, completion, now);
        return NULL;
}

/* Takes what is there. Returns how many, or a negative errno when the worker wrote garbage. */
static int worker_drain(Worker *worker, uint64_t now) {
        CompletionRecord completion;
        int n = 0, r;

        while ((r = completion_peek(&worker->segment->completion, &worker->completion, &completion)) ==
               0) {
                const char *wrong = worker_take(worker, &completion, now);
                if (wrong) {
                        worker_garbage(worker, wrong);
                        return -EBADMSG;
                }
                n++;
        }
        if (r == -EAGAIN)
                return n;
        worker_garbage(worker, "has moved its completion index out of bounds");
        return r;
}

/* It can be waiting for a task, or for room in the result area. */
static void worker_account(Worker *worker, unsigned taken) {
        if (taken == 0) {
                if (++worker->empty_rings > EMPTY_RINGS_MAX)
                        worker_garbage(worker, "keeps ringing without a result");
                return;
        }
        worker->empty_rings = 0;
        worker->ring = worker->n_held > 0;
        worker_watch(worker);
        dispatch_post(worker->pool);
}

unsigned worker_collect(Worker *worker) {
        Segment *segment = worker->segment;
        uint64_t now = io_now(worker->pool->io);
        unsigned taken = 0;
        bool more = false;

        if (worker->garbage)
                return 0;
        do {
                int n = worker_drain(worker, now);
                if (n == 0 && more) {
                        worker_garbage(worker, "has moved its completion index back");
                        n = -EBADMSG;
                }
                if (n < 0)
                        break;
                taken += (unsigned) n;
                doorbell_supervisor_prepare(&segment->state);
                more = !completion_empty(&segment->completion, &worker->completion);
                if (more)
                        doorbell_supervisor_cancel(&segment->state);
        } while (more);
        worker_account(worker, taken);
        return taken;
}

/* ---- after death ---- */

/* The one it was running: a try is gone. */
static void entry_charge(Pool *pool, PoolEntry *entry) {
        static const PoolResult lost = { .error = -EOWNERDEAD };
        PoolTask *task = entry->task;

        if (!task) {
                entry_free(pool, entry);
                return;
        }
        task->tries[task->n_tries - 1].finished_ns = io_now(pool->io);
        if (task->n_tries < POOL_MAX_TRIES)
                dispatch_queue(pool, entry);
        else
                entry_end(pool, entry, &lost);
}

/* Was held[0] never begun, as far as one can tell? */
static bool worker_spares(Worker *worker) {
        PoolEntry *head = worker->held[0];

        if (head->spared || !worker_revoke(worker, 0))
                return false;
        head->spared = true;
        return true;
}

void worker_reclaim(Worker *worker) {
        Pool *pool = worker->pool;

        for (unsigned i = 0; i < worker->n_held; i++)
                worker->held[i]->alone = true;
        if (worker->n_held > 0) {
                bool spared = worker_spares(worker);
                PoolEntry *head = worker_release(worker, 0);
                if (spared)
                        entry_return(pool, head);
                else
                        entry_charge(pool, head);
        }
        while (worker->n_held > 0)
                entry_return(pool, worker_release(worker, 0));
}
