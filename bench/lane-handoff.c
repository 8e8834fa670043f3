/* SPDX-License-Identifier: Apache-2.0 */

/* How many empty tasks a second go through the lanes: usage: lane-handoff TASKS.
 *
 * One supervisor, two forked workers, 16 tasks in flight. A task is what it is in the service with
 * the engine taken out: a record in the submission lane, a document of 64 bytes in the arena, a
 * result of 64 bytes in the result area, a completion. The supervisor copies each result, checks
 * slot, generation and checksum, and only then gives the place back. Both sides spin for 5 us
 * before they sleep.
 *
 * Prints: tasks per second, CPU time per task of all three processes in us, wakes per 1,000
 * tasks. */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "clock.h"
#include "doorbell.h"
#include "hash-map.h"
#include "lane.h"
#include "parse.h"
#include "segment.h"

#define WORKERS       2u
#define IN_FLIGHT     16u
#define PER_WORKER    (IN_FLIGHT / WORKERS)
#define DOCUMENT_SIZE 64u
#define RESULTS       (2 * LANE_DEPTH) /* one is written while a full lane of them waits to be read */
#define SPIN_NS       (5 * NSEC_PER_USEC)
#define WAIT_MS       50

typedef struct Peer {
        Segment *segment;
        LaneEnd submission;
        LaneEnd completion;
        int doorbell;
        pid_t pid;
        uint32_t sent; /* also the generation of the next task, and `received` that of the next result */
        uint32_t received;
} Peer;

static uint64_t now_ns(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * NSEC_PER_SEC + (uint64_t) now.tv_nsec;
}

static _Noreturn void die(const char *what) {
        fprintf(stderr, "lane-handoff: %s: %m\n", what);
        exit(EXIT_FAILURE);
}

/* ---- worker ---- */

static void work(Peer *peer, const char *arena, const TaskRecord *task) {
        uint64_t offset = (uint64_t) (peer->completion.own % RESULTS) * DOCUMENT_SIZE;
        char *result = segment_result_area(peer->segment, sizeof(Segment) + offset);
        int r;

        memcpy(result, arena + task->document.offset, DOCUMENT_SIZE);
        CompletionRecord completion = {
                .slot = task->slot,
                .generation = task->generation,
                .result_offset = offset,
                .result_size = DOCUMENT_SIZE,
                .checksum = hash_bytes(result, DOCUMENT_SIZE, task->generation),
        };
        while ((r = completion_push(&peer->segment->completion, &peer->completion, &completion)) ==
               -EAGAIN)
                (void) sched_yield();
        assert(r == 0);
        (void) doorbell_wake_supervisor(&peer->segment->state, peer->doorbell);
}

static void worker_wait(Peer *peer) {
        const SubmissionLane *lane = &peer->segment->submission;
        WorkerState *state = &peer->segment->state;
        uint64_t until = now_ns() + SPIN_NS;

        while (now_ns() < until)
                if (!submission_empty(lane, &peer->submission))
                        return;
        doorbell_worker_prepare(state);
        if (submission_empty(lane, &peer->submission))
                doorbell_worker_sleep(state, TIME_INFINITY);
        else
                doorbell_worker_cancel(state);
}

static _Noreturn void worker_run(Peer *peer, const Arena *arena) {
        const char *base =
                        mmap(NULL, arena_size(arena), PROT_READ, MAP_SHARED, arena_read_fd(arena), 0);
        TaskRecord task;

        if (base == MAP_FAILED)
                die("cannot map the arena");
        for (;;) {
                int r = submission_pop(&peer->segment->submission, &peer->submission, &task);
                if (r == -EAGAIN)
                        worker_wait(peer);
                else if (r == 0)
                        work(peer, base, &task);
                else
                        abort();
        }
}

/* The segment is mapped by its descriptor, as a worker of the service does it. */
static void peer_start(Peer *peer, const Arena *arena) {
        int fd;

        if (segment_new(&peer->segment, &fd, RESULTS * DOCUMENT_SIZE, arena_size(arena)) < 0)
                die("no shared memory");
        peer->doorbell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        peer->pid = fork();
        if (peer->doorbell < 0 || peer->pid < 0)
                die("no worker");
        if (peer->pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (segment_map(&peer->segment, fd) < 0)
                        die("cannot map the segment");
                worker_run(peer, arena);
        }
        (void) close(fd);
}

static void peer_stop(Peer *peer) {
        (void) kill(peer->pid, SIGKILL);
        (void) waitpid(peer->pid, NULL, 0);
        (void) close(peer->doorbell);
        segment_unmap(peer->segment);
}

/* ---- supervisor ---- */

typedef struct Bench {
        Peer peers[WORKERS];
        ArenaBlock *blocks[IN_FLIGHT];
        uint64_t wanted;
        uint64_t sent;
        uint64_t received;
        uint64_t wakes; /* of either side */
} Bench;

static bool collect(Bench *bench, Peer *peer) {
        CompletionLane *lane = &peer->segment->completion;
        CompletionRecord completion;
        char result[DOCUMENT_SIZE];
        bool any = false;

        while (completion_peek(lane, &peer->completion, &completion) == 0) {
                assert(completion.slot == peer->received % PER_WORKER);
                assert(completion.generation == peer->received);
                assert(completion.result_size == DOCUMENT_SIZE);
                assert(completion.result_offset <= (RESULTS - 1) * DOCUMENT_SIZE);
                memcpy(result,
                       segment_result_area(peer->segment, sizeof(Segment) + completion.result_offset),
                       sizeof(result));
                if (hash_bytes(result, sizeof(result), completion.generation) != completion.checksum)
                        abort();
                completion_release(lane, &peer->completion);
                peer->received++;
                bench->received++;
                any = true;
        }
        return any;
}

static bool submit(Bench *bench, Peer *peer) {
        unsigned first = (unsigned) (peer - bench->peers) * PER_WORKER;
        bool any = false;

        while (bench->sent < bench->wanted && peer->sent - peer->received < PER_WORKER) {
                uint32_t slot = peer->sent % PER_WORKER, index;
                TaskRecord task = {
                        .slot = slot,
                        .generation = peer->sent,
                        .engine = ENGINE_NONE,
                        .document = arena_block_range(bench->blocks[first + slot]),
                };
                if (submission_push(&peer->segment->submission, &peer->submission, &task, &index) < 0)
                        break;
                peer->sent++;
                bench->sent++;
                any = true;
        }
        if (any)
                bench->wakes += doorbell_wake_worker(&peer->segment->state);
        return any;
}

static void supervisor_wait(Bench *bench) {
        struct pollfd fds[WORKERS];
        bool ready = false;

        for (unsigned i = 0; i < WORKERS; i++) {
                Peer *peer = &bench->peers[i];
                doorbell_supervisor_prepare(&peer->segment->state);
                ready |= !completion_empty(&peer->segment->completion, &peer->completion);
                fds[i] = (struct pollfd){ .fd = peer->doorbell, .events = POLLIN };
        }
        if (!ready && poll(fds, WORKERS, WAIT_MS) > 0)
                bench->wakes++;
        for (unsigned i = 0; i < WORKERS; i++) {
                uint64_t count;
                doorbell_supervisor_cancel(&bench->peers[i].segment->state);
                if ((fds[i].revents & POLLIN) && read(fds[i].fd, &count, sizeof(count)) < 0)
                        die("read of a doorbell");
        }
}

static void supervisor_run(Bench *bench) {
        uint64_t until = 0;

        while (bench->received < bench->wanted) {
                bool any = false;
                for (unsigned i = 0; i < WORKERS; i++) {
                        any |= collect(bench, &bench->peers[i]);
                        any |= submit(bench, &bench->peers[i]);
                }
                if (any)
                        until = 0;
                else if (until == 0)
                        until = now_ns() + SPIN_NS;
                else if (now_ns() >= until) {
                        supervisor_wait(bench);
                        until = 0;
                }
        }
}

static uint64_t cpu_ns(void) {
        uint64_t ns = 0;

        for (int who = RUSAGE_CHILDREN; who <= RUSAGE_SELF; who++) {
                struct rusage usage;
                (void) getrusage(who, &usage);
                ns += (uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NSEC_PER_SEC +
                                (uint64_t) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) *
                                                NSEC_PER_USEC;
        }
        return ns;
}

int main(int argc, char **argv) {
        Bench bench = {};
        Arena *arena;

        if (argc != 2 || parse_u64(argv[1], &bench.wanted) < 0 || bench.wanted == 0) {
                fprintf(stderr, "usage: lane-handoff TASKS\n");
                return 2;
        }
        if (arena_new(&arena, 1 << 20) < 0)
                die("no shared memory");
        for (unsigned i = 0; i < IN_FLIGHT; i++) {
                if (arena_alloc(arena, DOCUMENT_SIZE, &bench.blocks[i]) < 0)
                        die("no room in the arena");
                bench.blocks[i]->size = DOCUMENT_SIZE;
                memset(arena_block_data(bench.blocks[i]), 'a' + (int) i, DOCUMENT_SIZE);
        }
        for (unsigned i = 0; i < WORKERS; i++)
                peer_start(&bench.peers[i], arena);

        uint64_t start = now_ns();
        supervisor_run(&bench);
        uint64_t elapsed = now_ns() - start;

        for (unsigned i = 0; i < WORKERS; i++)
                peer_stop(&bench.peers[i]);
        for (unsigned i = 0; i < IN_FLIGHT; i++)
                arena_block_unref(bench.blocks[i]);
        arena_free(arena);
        double tasks = (double) bench.received;
        printf("%.0f %.3f %.1f\n", tasks * 1e9 / (double) elapsed, (double) cpu_ns() / 1e3 / tasks,
               (double) bench.wakes * 1e3 / tasks);
        return 0;
}
