/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The lock-free single-producer single-consumer rings of a segment.
 *
 * Each side keeps the index that it writes in private memory (LaneEnd.own) and never reads it back
 * from the shared page; the other side's index is loaded with acquire and refused when it is
 * impossible. The publishing store is a release store. Nothing else is subtle.
 *
 * The steps of push and pop carry failpoints (see failpoint.h) in builds for tests. */

#include <stdbool.h>

#include "layout.h"

/* One side's private view of one lane. */
typedef struct LaneEnd {
        uint32_t own; /* the index that this side writes */
} LaneEnd;

/* ---- supervisor's side of the submission lane ---- */

/* -EAGAIN: full. -EBADMSG: the worker's index is impossible (kill it). On success *ret_index is the
 * entry's index, for submission_revoke(). */
int submission_push(SubmissionLane *lane, LaneEnd *end, const TaskRecord *task, uint32_t *ret_index);
/* True when the worker had not begun it and never will; the entry still occupies its place until
 * the worker passes it. */
bool submission_revoke(SubmissionLane *lane, uint32_t index);
/* Entries the worker has not consumed yet, 0 to LANE_DEPTH; -EBADMSG. */
int submission_pending(const SubmissionLane *lane, const LaneEnd *end);

/* ---- worker's side of the submission lane ---- */

/* Copies the next task that was not revoked. -EAGAIN: none. -EBADMSG: impossible index. The entry's
 * place is given back at once: who holds the task from now on is known to the supervisor alone. */
int submission_pop(SubmissionLane *lane, LaneEnd *end, TaskRecord *ret);
bool submission_empty(const SubmissionLane *lane, const LaneEnd *end);

/* ---- worker's side of the completion lane ---- */

int completion_push(CompletionLane *lane, LaneEnd *end, const CompletionRecord *completion);
/* All that was pushed has been taken by the supervisor: the result area is free again. */
bool completion_drained(const CompletionLane *lane, const LaneEnd *end);

/* ---- supervisor's side of the completion lane ---- */

/* Copies the next one without giving its place back: its bytes in the result area stay until
 * completion_release(). -EAGAIN, -EBADMSG. */
int completion_peek(const CompletionLane *lane, const LaneEnd *end, CompletionRecord *ret);
void completion_release(CompletionLane *lane, LaneEnd *end);
bool completion_empty(const CompletionLane *lane, const LaneEnd *end);
