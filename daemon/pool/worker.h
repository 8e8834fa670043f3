/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to the pool: worker processes, their lanes, and the places that they fill. */

#include "dispatch.h"
#include "io.h"
#include "lane.h"
#include "segment.h"

typedef enum WorkerLife {
        LIFE_STARTING,
        LIFE_SERVING,
        LIFE_LEAVING, /* asked to retire: finishes what it holds and exits with 0 */
        LIFE_GONE,    /* reaped; only its doorbell is still being taken down */
} WorkerLife;

typedef struct Place Place;

/* One process. */
struct Worker {
        List node; /* of the pool's processes */
        Pool *pool;
        Place *place;
        WorkerLife life;
        bool killed;  /* SIGKILL is on its way: gets nothing any more */
        bool overrun; /* that is why */
        bool garbage; /* wrote something impossible: nothing of its is read any more */
        IoProcess process;
        int eventfd;
        IoOp bell;
        Segment *segment;
        uint64_t result_size; /* of the result area; the shared header's copy can be overwritten */
        LaneEnd submission;
        LaneEnd completion;

        /* What it holds, oldest first. It works in this order, so held[0] is the one it is at. */
        PoolEntry *held[LANE_DEPTH];
        unsigned n_held;
        uint64_t backlog_ns; /* sum of their expected_ns */
        unsigned n_revoked;  /* taken back; may still occupy their places in the lane */
        bool stuck;          /* held[0] takes too long to put anything behind it */
        bool ring;           /* its doorbell is to be rung at the end of this turn */

        uint64_t since_ns; /* spawned, or asked to retire */
        uint64_t ready_ns; /* 0: not yet */
        uint64_t begun_ns; /* held[0] was begun then or later */
        uint64_t idle_ns;  /* has been idle since */
        uint64_t taken;    /* tasks handed to it */
        unsigned empty_rings;
        IoTimer watch; /* start, overrun, retirement: whichever applies */
};

/* A numbered place in the pool: processes come and go in it. */
struct Place {
        Pool *pool;
        unsigned number;
        Worker *active; /* gets the tasks; NULL: none is ready */
        Worker *coming; /* starts; takes over once it is ready */
        IoTimer restart;
        IoTask restart_now; /* when the timer cannot be had */
        uint64_t backoff_ns;
        uint64_t tasks;
        uint64_t restarts;
        bool was_ready;
};

void place_init(Place *place, Pool *pool, unsigned number);
void place_deinit(Place *place);
/* Starts a process that will take the place over. Negative errno. */
int place_start(Place *place);

/* ---- lanes (collect.c) ---- */

/* Room for a task that is expected to take `expected_ns`? */
bool worker_has_room(Worker *worker, uint64_t expected_ns);
/* Hands the task out. Negative errno: the worker is no good (and being killed), ask another. */
int worker_push(Worker *worker, PoolEntry *entry, uint64_t now);
/* The entry's task has been cancelled. */
void worker_abandon(Worker *worker, PoolEntry *entry);
/* Held[0] overstays: what stands behind it goes back to the queue. */
void worker_take_back(Worker *worker);
/* Takes all that it has finished and asks to be rung for more. Returns how many. */
unsigned worker_collect(Worker *worker);
/* It has been reaped: what it still holds goes back to the queue or ends. */
void worker_reclaim(Worker *worker);

/* ---- processes (worker.c) ---- */

/* `why` completes the sentence "Worker 1 (pid 2) …". */
void worker_kill(Worker *worker, const char *why);
/* Moves the timer to what has to be watched now. */
void worker_watch(Worker *worker);
