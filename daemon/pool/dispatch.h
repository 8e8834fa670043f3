/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to the pool: the task table, the queue, and the choice of a worker. */

#include "list.h"
#include "pool.h"

typedef struct Worker Worker;

/* One row of the task table. It lives from pool_submit() until the task has ended and no worker can
 * read its blocks any more; then it waits on the free list for the next task. */
typedef struct PoolEntry {
        List node;      /* on the free list */
        PoolTask *task; /* NULL: free, or cancelled while a worker holds it */
        Worker *worker; /* who holds it; NULL: nobody */
        uint32_t slot;
        uint32_t generation; /* new at every hand-out, so that no answer fits an earlier one */
        uint32_t lane_index; /* in the holder's submission lane */
        bool spared;         /* a worker died before it began this one; forgiven once */
        bool alone;          /* was held by one that died: shares a lane with nobody from now on */
        uint64_t dispatched_ns;
        uint64_t expected_ns; /* service time, see dispatch_learn() */
        uint64_t *service_ns;
        uint64_t spin_ns;
        ArenaBlock *document;
        ArenaBlock *question;
        ArenaBlock *rules;
        HeapNode expires;
} PoolEntry;

/* What may lie in one lane: as much as takes this long. A task that takes longer is alone in its
 * lane. */
#define LANE_BACKLOG_NS (UINT64_C(200) * NSEC_PER_USEC)

/* Makes the pool's private parts of this file / releases them; no task may be left. */
void dispatch_init(Pool *pool);
void dispatch_deinit(Pool *pool);

/* A row for the task, with references on its blocks / back to the free list. -ENOMEM. */
int entry_new(Pool *pool, PoolTask *task, PoolEntry **ret);
void entry_free(Pool *pool, PoolEntry *entry);
/* Parts the row from its task, whose memory is the caller's again. */
PoolTask *entry_orphan(PoolEntry *entry);
/* Tells the task, which has been parted from its row by then, and frees the row. */
void entry_end(Pool *pool, PoolEntry *entry, const PoolResult *result);

/* Into the queue, where its priority, deadline and age put it; cannot fail. / Out of it. */
void dispatch_queue(Pool *pool, PoolEntry *entry);
void dispatch_unqueue(Pool *pool, PoolEntry *entry);
PoolEntry *dispatch_first(const Pool *pool); /* NULL: empty */

/* Later in this turn of the loop: end what is late, hand out what can be, ring once per worker. */
void dispatch_post(Pool *pool);

/* A task took `service_ns` from its start to its end. */
void dispatch_learn(const PoolEntry *entry, uint64_t service_ns);
