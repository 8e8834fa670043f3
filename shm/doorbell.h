/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Sleeping and waking without lost wake-ups, with as few wakes as can be: whoever is about to sleep
 * sets its flag, looks at its lane once more and only then sleeps; whoever publishes takes the flag
 * afterwards and wakes only a sleeper. (doorbell.c says why that is enough.)
 *
 * supervisor → worker: futex on worker_sleeps. worker → supervisor: eventfd, polled edge-triggered
 * by the loop and never read.
 *
 * A worker that waits for work may wait for ever, so that an idle service makes no system call:
 * no wake-up can be lost, and a supervisor that dies between publishing and waking takes its
 * workers along (they ask the kernel for a death signal). The supervisor never waits for a
 * worker at all. */

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

/* Worker: announces sleep. The caller looks at its lane afterwards and calls one of the next two.
 * TIME_INFINITY sleeps until it is woken. */
void doorbell_worker_prepare(WorkerState *state);
void doorbell_worker_cancel(WorkerState *state);
void doorbell_worker_sleep(WorkerState *state, uint64_t timeout_ns);

/* Supervisor: wakes the worker if it sleeps; returns true when a wake was needed. */
bool doorbell_wake_worker(WorkerState *state);

/* Supervisor: wants the eventfd rung for the next completion (call, then look at the completion
 * lane again) / is awake anyway. */
void doorbell_supervisor_prepare(WorkerState *state);
void doorbell_supervisor_cancel(WorkerState *state);

/* Worker: rings the eventfd if the supervisor asked for it; returns true when it rang. */
bool doorbell_wake_supervisor(WorkerState *state, int eventfd);
/* Worker: rings it in any case: once, when it is ready. */
void doorbell_ring(int eventfd);
