/* SPDX-License-Identifier: Apache-2.0 */

/* The lanes and the doorbell with two threads, for ThreadSanitizer (whose memory of who touched
 * what is per process, so that it sees nothing between processes), and for what it costs.
 *
 *     lane-threads TASKS
 *
 * Checks that every task arrives, once, in order and whole, though both sides sleep whenever they
 * find nothing, and that a task that was taken back never arrives. */

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "doorbell.h"
#include "lane.h"
#include "parse.h"
#include "segment.h"

#define REVOKE_EACH 64u /* one task of so many is taken back, when it is still waiting */

static struct Shared {
        Segment *segment;
        int doorbell;
} shared;

static void fail(const char *what) {
        fprintf(stderr, "lane-threads: %s\n", what);
        exit(EXIT_FAILURE);
}

/* ---- the worker ---- */

static uint64_t digest(const TaskRecord *task) {
        return task->spin_ns * 31 + task->deadline_ns + task->slot;
}

static void worker_wait(Segment *segment, const LaneEnd *submission) {
        doorbell_worker_prepare(&segment->state);
        if (submission_empty(&segment->submission, submission) &&
            atomic_load_explicit(&segment->state.retire.value, memory_order_acquire) == 0)
                doorbell_worker_sleep(&segment->state, TIME_INFINITY);
        else
                doorbell_worker_cancel(&segment->state);
}

static void *worker(void *userdata) {
        Segment *segment = shared.segment;
        LaneEnd submission = {}, completion = {};
        uint64_t *area = segment_result_area(segment, segment->header.result_offset);

        for (;;) {
                TaskRecord task;
                bool retire = atomic_load_explicit(
                                              &segment->state.retire.value, memory_order_acquire) !=
                                0;
                int r = submission_pop(&segment->submission, &submission, &task);
                if (r == -EAGAIN && retire)
                        return NULL;
                if (r == -EAGAIN) {
                        worker_wait(segment, &submission);
                        continue;
                }
                if (r < 0)
                        fail("the submission lane is broken");

                unsigned place = completion.own % LANE_DEPTH;
                area[place] = digest(&task);
                const CompletionRecord record = {
                        .slot = task.slot,
                        .generation = task.generation,
                        .result_offset = place,
                        .finished_ns = task.spin_ns,
                };
                if (completion_push(&segment->completion, &completion, &record) < 0)
                        fail("the completion lane is full or broken");
                (void) doorbell_wake_supervisor(&segment->state, shared.doorbell);
        }
}

/* ---- the supervisor ---- */

typedef struct Counts {
        uint64_t pushed;
        uint64_t taken;
        uint64_t revoked;
        uint64_t wakes;
        uint64_t sleeps;
} Counts;

/* Numbers of the tasks that are out, in order; those taken back are gone from it. */
typedef struct Window {
        uint64_t numbers[LANE_DEPTH];
        unsigned n;
} Window;

static TaskRecord task_of(uint64_t number) {
        return (TaskRecord){
                .slot = (uint32_t) (number * 7),
                .generation = (uint32_t) number,
                .spin_ns = number,
                .deadline_ns = ~number,
        };
}

static void push_all(Segment *segment, LaneEnd *end, Window *window, uint64_t tasks, Counts *counts) {
        while (counts->pushed < tasks && window->n < LANE_DEPTH) {
                TaskRecord task = task_of(counts->pushed);
                uint32_t index;
                int r = submission_push(&segment->submission, end, &task, &index);
                if (r == -EAGAIN)
                        break; /* a task taken back still has its place */
                if (r < 0)
                        fail("the submission lane is broken");
                if (counts->pushed++ % REVOKE_EACH == 0 &&
                    submission_revoke(&segment->submission, index))
                        counts->revoked++;
                else
                        window->numbers[window->n++] = task.spin_ns;
        }
        counts->wakes += doorbell_wake_worker(&segment->state);
}

static void take_all(Segment *segment, LaneEnd *end, Window *window, Counts *counts) {
        const uint64_t *area = segment_result_area(segment, sizeof(Segment));
        CompletionRecord record;
        int r;

        while ((r = completion_peek(&segment->completion, end, &record)) >= 0) {
                if (window->n == 0)
                        fail("a result that nobody waits for");
                TaskRecord task = task_of(window->numbers[0]);
                if (record.finished_ns != task.spin_ns || record.slot != task.slot ||
                    record.generation != task.generation ||
                    area[record.result_offset] != digest(&task))
                        fail("a result is wrong or out of order");
                completion_release(&segment->completion, end);
                counts->taken++;
                window->n--;
                for (unsigned i = 0; i < window->n; i++)
                        window->numbers[i] = window->numbers[i + 1];
        }
        if (r != -EAGAIN)
                fail("the completion lane is broken");
}

/* Without a bound: a ring that got lost stops the test, and its time limit fails it. */
static void wait_for_ring(Segment *segment, const LaneEnd *end, Counts *counts) {
        doorbell_supervisor_prepare(&segment->state);
        if (completion_empty(&segment->completion, end)) {
                uint64_t rings;
                if (read(shared.doorbell, &rings, sizeof(rings)) < 0)
                        fail("cannot read the eventfd");
                counts->sleeps++;
        }
        doorbell_supervisor_cancel(&segment->state);
}

static void supervise(uint64_t tasks, Counts *counts) {
        Segment *segment = shared.segment;
        LaneEnd submission = {}, completion = {};
        Window window = {};

        while (counts->taken + counts->revoked < tasks) {
                push_all(segment, &submission, &window, tasks, counts);
                take_all(segment, &completion, &window, counts);
                if (window.n > 0)
                        wait_for_ring(segment, &completion, counts);
        }
        if (window.n > 0 || !completion_empty(&segment->completion, &completion))
                fail("something is left over");
        atomic_store_explicit(&segment->state.retire.value, 1, memory_order_release);
        (void) doorbell_wake_worker(&segment->state);
}

int main(int argc, char **argv) {
        uint64_t tasks = 200000;
        Counts counts = {};
        pthread_t thread;
        int fd = -1;

        if (argc > 2 || (argc == 2 && parse_u64(argv[1], &tasks) < 0))
                fail("usage: lane-threads [TASKS]");
        shared.doorbell = eventfd(0, EFD_CLOEXEC);
        if (shared.doorbell < 0 || segment_new(&shared.segment, &fd, 4096, 4096) < 0)
                fail("no segment or eventfd");
        if (pthread_create(&thread, NULL, worker, NULL) != 0)
                fail("no thread");

        supervise(tasks, &counts);
        if (pthread_join(thread, NULL) != 0)
                fail("the worker does not end");
        printf("%llu tasks: %llu done in order, %llu taken back; woken: worker %llu, supervisor %llu\n",
               (unsigned long long) tasks, (unsigned long long) counts.taken,
               (unsigned long long) counts.revoked, (unsigned long long) counts.wakes,
               (unsigned long long) counts.sleeps);
        segment_unmap(shared.segment);
        (void) close(fd);
        (void) close(shared.doorbell);
        return EXIT_SUCCESS;
}
