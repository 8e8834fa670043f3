/* SPDX-License-Identifier: Apache-2.0 */

/* Single-producer single-consumer rings between two processes of which either may die at any
 * instruction and one (the worker) may be hostile.
 *
 * An index counts entries since the segment was made, wraps at 2^32, and is masked to find the
 * place. Its one writer keeps it in LaneEnd.own and stores it to the shared page only to publish.
 * The pairs are:
 *
 *     entry written     → tail, release      tail, acquire → entry read
 *     entry read, copied → head, release     head, acquire → entry written anew
 *
 * so an entry is never seen half written, nor overwritten while it is read. A side that dies before
 * its publishing store has done nothing; one that dies after it has done all. An index from the
 * other side is good when it is at most LANE_DEPTH away from our own; everything else is -EBADMSG
 * and the end of that worker.
 *
 * A submission can be taken back: both sides try to move its claim word away from "queued", and the
 * word holds the entry's index beside the state, so that a late attempt cannot hit the next task in
 * the same place. The claim orders nothing: it needs atomicity alone. */

#include <errno.h>

#include "failpoint.h"
#include "lane.h"

#define CLAIM_STATE_BITS 2

/* What was copied from shared memory is not read from there again. */
#define COPY_BARRIER() __asm__ volatile("" ::: "memory")

static uint32_t claim_word(uint32_t index, Claim state) {
        return index << CLAIM_STATE_BITS | (uint32_t) state;
}

static bool claim_move(SubmissionEntry *entry, uint32_t index, Claim to) {
        uint32_t expected = claim_word(index, CLAIM_QUEUED);
        return atomic_compare_exchange_strong_explicit(
                        &entry->claim, &expected, claim_word(index, to), memory_order_relaxed,
                        memory_order_relaxed);
}

static uint32_t index_load(const LaneIndex *index) {
        return atomic_load_explicit(&index->value, memory_order_acquire);
}

static void index_publish(LaneIndex *index, uint32_t value) {
        atomic_store_explicit(&index->value, value, memory_order_release);
}

/* Entries between two indices, or -EBADMSG when there cannot be that many. */
static int index_distance(uint32_t from, uint32_t to) {
        uint32_t distance = to - from;
        return distance <= LANE_DEPTH ? (int) distance : -EBADMSG;
}

/* ---- submission: supervisor's side ---- */

int submission_push(SubmissionLane *lane, LaneEnd *end, const TaskRecord *task, uint32_t *ret_index) {
        int n = submission_pending(lane, end);
        if (n < 0)
                return n;
        if (n == (int) LANE_DEPTH)
                return -EAGAIN;

        uint32_t index = end->own;
        SubmissionEntry *entry = &lane->entries[index % LANE_DEPTH];
        entry->task = *task;
        atomic_store_explicit(&entry->claim, claim_word(index, CLAIM_QUEUED), memory_order_relaxed);
        index_publish(&lane->tail, ++end->own);
        *ret_index = index;
        return 0;
}

bool submission_revoke(SubmissionLane *lane, uint32_t index) {
        return claim_move(&lane->entries[index % LANE_DEPTH], index, CLAIM_REVOKED);
}

int submission_pending(const SubmissionLane *lane, const LaneEnd *end) {
        return index_distance(index_load(&lane->head), end->own);
}

/* ---- submission: worker's side ---- */

bool submission_empty(const SubmissionLane *lane, const LaneEnd *end) {
        return index_load(&lane->tail) == end->own;
}

int submission_pop(SubmissionLane *lane, LaneEnd *end, TaskRecord *ret) {
        for (;;) {
                int n = index_distance(end->own, index_load(&lane->tail));
                if (n < 0)
                        return n;
                if (n == 0)
                        return -EAGAIN;

                SubmissionEntry *entry = &lane->entries[end->own % LANE_DEPTH];
                FAILPOINT("pop-before-claim");
                bool claimed = claim_move(entry, end->own, CLAIM_RUNNING);
                FAILPOINT("pop-after-claim");
                if (claimed) {
                        *ret = entry->task;
                        COPY_BARRIER();
                }
                FAILPOINT("pop-before-head");
                index_publish(&lane->head, ++end->own);
                FAILPOINT("pop-after-head");
                if (claimed)
                        return 0;
        }
}

/* ---- completion: worker's side ---- */

int completion_push(CompletionLane *lane, LaneEnd *end, const CompletionRecord *completion) {
        int n = index_distance(index_load(&lane->head), end->own);
        if (n < 0)
                return n;
        if (n == (int) LANE_DEPTH)
                return -EAGAIN;

        FAILPOINT("push-before-record");
        lane->entries[end->own % LANE_DEPTH].record = *completion;
        FAILPOINT("push-before-tail");
        index_publish(&lane->tail, ++end->own);
        FAILPOINT("push-after-tail");
        return 0;
}

bool completion_drained(const CompletionLane *lane, const LaneEnd *end) {
        return index_load(&lane->head) == end->own;
}

/* ---- completion: supervisor's side ---- */

int completion_peek(const CompletionLane *lane, const LaneEnd *end, CompletionRecord *ret) {
        int n = index_distance(end->own, index_load(&lane->tail));
        if (n < 0)
                return n;
        if (n == 0)
                return -EAGAIN;
        *ret = lane->entries[end->own % LANE_DEPTH].record;
        COPY_BARRIER();
        return 0;
}

void completion_release(CompletionLane *lane, LaneEnd *end) {
        index_publish(&lane->head, ++end->own);
}

bool completion_empty(const CompletionLane *lane, const LaneEnd *end) {
        return index_load(&lane->tail) == end->own;
}
