/* SPDX-License-Identifier: Apache-2.0 */

/* Kills workers at every named instant of the lane code and demands that no task is lost, none
 * accepted twice and none stuck.
 *
 *     lane-kill KILLS [SEED]
 *
 * The parent plays the supervisor: its task table says who holds what, and is the truth. The
 * children play the worker's side, on the real code of shm/, built with failpoints. Each child is
 * armed with one failpoint and the number of passes after which it raises SIGKILL there; a child
 * armed with a number that it never reaches is retired at the end, like a worker. Random kills
 * hardly ever hit the instants that matter; these all do.
 *
 * What a task computes is checked too: the result is a known function of the task. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "doorbell.h"
#include "failpoint.h"
#include "lane.h"
#include "parse.h"
#include "segment.h"

#define WORKERS     2u
#define SLOTS       16u
#define PASSES_MAX  40u
#define STUCK_NS    (30 * NSEC_PER_SEC) /* a task older than that is stuck */
#define RESULT_AREA 4096u
#define REVOKE_EACH 7u /* one task of so many is taken back while it waits */

static const char *const failpoints[] = {
        "pop-before-claim",   "pop-after-claim",   "pop-before-head",  "pop-after-head",
        "push-before-record", "push-before-tail",  "push-after-tail",  "sleep-before-flag",
        "sleep-after-flag",   "awake-before-flag", "awake-after-flag", "ring-before-flag",
        "ring-after-flag",    "ring-after-write",
};
#define N_FAILPOINTS ((unsigned) ELEMENTSOF(failpoints))

/* ---- the worker: what failpoint() knows is set before the fork ---- */

static unsigned armed_point;
static unsigned armed_passes;

void failpoint(const char *name) {
        if (strcmp(name, failpoints[armed_point]) == 0 && armed_passes-- == 0)
                (void) raise(SIGKILL);
}

static uint64_t result_of(const TaskRecord *task) {
        return (task->spin_ns ^ UINT64_C(0x9e3779b97f4a7c15)) * 31 + task->generation;
}

static void worker_wait(Segment *segment, const LaneEnd *submission) {
        doorbell_worker_prepare(&segment->state);
        if (!submission_empty(&segment->submission, submission) ||
            atomic_load_explicit(&segment->state.retire.value, memory_order_acquire) != 0)
                doorbell_worker_cancel(&segment->state);
        else
                doorbell_worker_sleep(&segment->state, TIME_INFINITY);
}

static int worker_run(Segment *segment, int doorbell) {
        LaneEnd submission = {}, completion = {};
        uint64_t *area = segment_result_area(segment, segment->header.result_offset);

        for (;;) {
                TaskRecord task;
                bool retire = atomic_load_explicit(
                                              &segment->state.retire.value, memory_order_acquire) !=
                                0;
                int r = submission_pop(&segment->submission, &submission, &task);
                if (r == -EAGAIN && retire)
                        return 0;
                if (r == -EAGAIN) {
                        worker_wait(segment, &submission);
                        continue;
                }
                if (r < 0)
                        return 1;

                unsigned place = completion.own % LANE_DEPTH;
                area[place] = result_of(&task);
                const CompletionRecord record = {
                        .slot = task.slot,
                        .generation = task.generation,
                        .result_offset = place * sizeof(*area),
                        .checksum = area[place],
                };
                r = completion_push(&segment->completion, &completion, &record);
                if (r < 0)
                        return 2; /* the supervisor never has more than LANE_DEPTH with us */
                (void) doorbell_wake_supervisor(&segment->state, doorbell);
        }
}

/* ---- the supervisor ---- */

typedef struct Worker {
        pid_t pid;
        unsigned point;
        Segment *segment;
        int doorbell;
        LaneEnd submission;
        LaneEnd completion;
        unsigned held;
} Worker;

typedef struct Task {
        enum {
                TASK_QUEUED,
                TASK_HELD
        } state;
        unsigned worker;
        uint32_t generation;
        uint32_t index;  /* in its worker's submission lane */
        uint64_t number; /* which piece of work this is */
        uint64_t since_ns;
        bool revoke;
} Task;

static struct Supervisor {
        Worker workers[WORKERS];
        Task tasks[SLOTS];
        uint64_t begun;    /* pieces of work given to slots */
        uint64_t accepted; /* pieces of work whose result counted */
        uint64_t revoked;
        uint64_t redone; /* held by a worker that died */
        unsigned kills[ELEMENTSOF(failpoints)];
        unsigned n_kills;
} sv;

static void fail(const char *what) {
        fprintf(stderr, "lane-kill: %s\n", what);
        exit(EXIT_FAILURE);
}

static uint64_t now_ns(void) {
        struct timespec now;
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * NSEC_PER_SEC + (uint64_t) now.tv_nsec;
}

/* The point that has had the fewest kills is next, so that all come to the same count. */
static unsigned choose_point(void) {
        unsigned least = (unsigned) rand() % N_FAILPOINTS;
        for (unsigned i = 0; i < N_FAILPOINTS; i++)
                if (sv.kills[i] < sv.kills[least])
                        least = i;
        return least;
}

static void worker_start(Worker *w) {
        int fd = -1;

        *w = (Worker){ .point = choose_point() };
        w->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->doorbell < 0 || segment_new(&w->segment, &fd, RESULT_AREA, 4096) < 0)
                fail("no segment or eventfd");
        doorbell_supervisor_prepare(&w->segment->state);

        armed_point = w->point;
        armed_passes = (unsigned) rand() % PASSES_MAX;
        w->pid = fork();
        if (w->pid < 0)
                fail("no fork");
        if (w->pid == 0) {
                Segment *segment;
                if (segment_map(&segment, fd) < 0)
                        _exit(3);
                _exit(worker_run(segment, w->doorbell));
        }
        (void) close(fd);
}

static void worker_release(Worker *w) {
        segment_unmap(w->segment);
        (void) close(w->doorbell);
}

static void task_begin(Task *task) {
        *task = (Task){
                .state = TASK_QUEUED,
                .generation = task->generation + 1,
                .number = sv.begun++,
                .since_ns = now_ns(),
                .revoke = rand() % REVOKE_EACH == 0,
        };
}

static TaskRecord task_record(const Task *task) {
        return (TaskRecord){
                .slot = (uint32_t) (task - sv.tasks),
                .generation = task->generation,
                .spin_ns = task->number,
        };
}

/* A completion counts when slot, generation and worker agree with the table. As what the dead
 * published is taken before their tasks are given on, one that does not agree is a fault here. */
static void accept_completion(unsigned worker, const CompletionRecord *c, uint64_t bytes) {
        Task *task = c->slot < SLOTS ? &sv.tasks[c->slot] : NULL;

        if (!task || task->state != TASK_HELD || task->worker != worker ||
            task->generation != c->generation)
                fail("a result came for a task that its worker does not hold");
        const TaskRecord record = task_record(task);
        if (c->checksum != result_of(&record) || bytes != c->checksum)
                fail("a result is wrong");
        sv.workers[worker].held--;
        sv.accepted++;
        task_begin(task);
}

static void worker_collect(unsigned i) {
        Worker *w = &sv.workers[i];
        CompletionRecord completion;
        int r;

        while ((r = completion_peek(&w->segment->completion, &w->completion, &completion)) >= 0) {
                if (completion.result_offset > RESULT_AREA - sizeof(uint64_t))
                        fail("a result is outside its area");
                const uint64_t *bytes = segment_result_area(
                                w->segment, sizeof(Segment) + completion.result_offset);
                uint64_t copy = *bytes;
                completion_release(&w->segment->completion, &w->completion);
                accept_completion(i, &completion, copy);
        }
        if (r != -EAGAIN)
                fail("an index is impossible");
}

static void worker_dispatch(unsigned i) {
        Worker *w = &sv.workers[i];

        for (unsigned slot = 0; slot < SLOTS && w->held < LANE_DEPTH; slot++) {
                Task *task = &sv.tasks[slot];
                if (task->state != TASK_QUEUED)
                        continue;
                const TaskRecord record = task_record(task);
                int r = submission_push(
                                &w->segment->submission, &w->submission, &record, &task->index);
                if (r == -EAGAIN)
                        break;
                if (r < 0)
                        fail("an index is impossible");
                task->state = TASK_HELD;
                task->worker = i;
                w->held++;
        }
        (void) doorbell_wake_worker(&w->segment->state);
}

/* Takes some waiting tasks back. When that succeeds, the worker never reports them. */
static void revoke_some(void) {
        for (unsigned slot = 0; slot < SLOTS; slot++) {
                Task *task = &sv.tasks[slot];
                if (task->state != TASK_HELD || !task->revoke)
                        continue;
                Worker *w = &sv.workers[task->worker];
                task->revoke = false;
                if (!submission_revoke(&w->segment->submission, task->index))
                        continue;
                task->state = TASK_QUEUED;
                task->generation++;
                w->held--;
                sv.revoked++;
        }
}

/* Only now, after the reap, no store of that process can follow. First take what it published, then
 * give the rest to others, under a new generation. */
static void worker_buried(unsigned i, int status) {
        Worker *w = &sv.workers[i];

        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
                fail("a worker ended by itself");
        sv.kills[w->point]++;
        sv.n_kills++;
        worker_collect(i);
        for (unsigned slot = 0; slot < SLOTS; slot++) {
                Task *task = &sv.tasks[slot];
                if (task->state != TASK_HELD || task->worker != i)
                        continue;
                task->state = TASK_QUEUED;
                task->generation++;
                sv.redone++;
        }
        worker_release(w);
        worker_start(w);
}

static void bury_the_dead(void) {
        for (unsigned i = 0; i < WORKERS; i++) {
                int status;
                if (waitpid(sv.workers[i].pid, &status, WNOHANG) == sv.workers[i].pid)
                        worker_buried(i, status);
        }
}

static void check_stuck(void) {
        uint64_t now = now_ns();
        for (unsigned slot = 0; slot < SLOTS; slot++)
                if (time_sub(now, sv.tasks[slot].since_ns) > STUCK_NS)
                        fail("a task is stuck");
}

/* Sleeps as the supervisor's loop does: flag, look again, wait on the eventfds, bounded. */
static void supervisor_wait(void) {
        struct pollfd fds[WORKERS];
        bool idle = true;

        for (unsigned i = 0; i < WORKERS; i++) {
                Worker *w = &sv.workers[i];
                doorbell_supervisor_prepare(&w->segment->state);
                idle = idle && completion_empty(&w->segment->completion, &w->completion);
                fds[i] = (struct pollfd){ .fd = w->doorbell, .events = POLLIN };
        }
        if (idle && poll(fds, WORKERS, 1) > 0)
                for (unsigned i = 0; i < WORKERS; i++) {
                        uint64_t count;
                        if ((fds[i].revents & POLLIN) != 0 &&
                            read(fds[i].fd, &count, sizeof(count)) < 0)
                                fail("cannot read an eventfd");
                }
        for (unsigned i = 0; i < WORKERS; i++)
                doorbell_supervisor_cancel(&sv.workers[i].segment->state);
}

/* Workers that are still alive finish what is in their lanes and exit 0. */
static void retire_all(void) {
        for (unsigned i = 0; i < WORKERS; i++) {
                Worker *w = &sv.workers[i];
                int status;
                atomic_store_explicit(&w->segment->state.retire.value, 1, memory_order_release);
                (void) doorbell_wake_worker(&w->segment->state);
                if (waitpid(w->pid, &status, 0) != w->pid)
                        fail("a worker is gone");
                bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
                if (!killed && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
                        fail("a worker did not retire");
                worker_collect(i);
                if (!killed && w->held > 0)
                        fail("a worker retired with work undone");
                worker_release(w);
        }
}

static void report(void) {
        for (unsigned i = 0; i < N_FAILPOINTS; i++)
                printf("%-20s %6u kills\n", failpoints[i], sv.kills[i]);
        printf("%-20s %6u kills, %llu tasks accepted, %llu done again, %llu taken back;"
               " 0 lost, 0 accepted twice, 0 stuck\n",
               "total", sv.n_kills, (unsigned long long) sv.accepted,
               (unsigned long long) sv.redone, (unsigned long long) sv.revoked);
}

int main(int argc, char **argv) {
        uint64_t kills = 300, seed = 1;

        if ((argc > 1 && parse_u64(argv[1], &kills) < 0) ||
            (argc > 2 && parse_u64(argv[2], &seed) < 0) || argc > 3)
                fail("usage: lane-kill [KILLS [SEED]]");
        srand((unsigned) seed);
        for (unsigned slot = 0; slot < SLOTS; slot++)
                task_begin(&sv.tasks[slot]);
        for (unsigned i = 0; i < WORKERS; i++)
                worker_start(&sv.workers[i]);

        while (sv.n_kills < kills) {
                for (unsigned i = 0; i < WORKERS; i++) {
                        worker_collect(i);
                        worker_dispatch(i);
                }
                revoke_some();
                supervisor_wait();
                bury_the_dead();
                check_stuck();
        }
        retire_all();

        /* Every piece of work is either accepted, once, or still in a slot. */
        if (sv.begun != sv.accepted + SLOTS)
                fail("tasks were lost or accepted twice");
        for (unsigned i = 0; i < N_FAILPOINTS; i++)
                if (sv.kills[i] < kills / N_FAILPOINTS / 2)
                        fail("a failpoint was hardly ever passed");
        report();
        return EXIT_SUCCESS;
}
