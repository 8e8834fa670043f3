/* SPDX-License-Identifier: Apache-2.0 */

/* A worker that does what the document's first word says; see `commands`. Without a command it
 * echoes. It is the test program itself, started under another name. */

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "clock.h"
#include "doorbell.h"
#include "hash-map.h"
#include "lane.h"
#include "segment.h"
#include "test-worker.h"

typedef struct TestWorker {
        Segment *segment;
        const char *arena;
        LaneEnd submission;
        LaneEnd completion;
        uint64_t used; /* of the result area */
} TestWorker;

/* What a command may change before it is published. */
typedef struct Answer {
        CompletionRecord completion;
        ResultHeader header;
        const char *text;
        size_t size;
        bool bad_checksum;
} Answer;

static uint64_t now_ns(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * NSEC_PER_SEC + (uint64_t) now.tv_nsec;
}

static void publish(TestWorker *worker, Answer *answer) {
        char *area = segment_result_area(worker->segment, worker->segment->header.result_offset);
        uint64_t size = sizeof(ResultHeader) + answer->size;

        if (completion_drained(&worker->segment->completion, &worker->completion))
                worker->used = 0;
        char *base = area + worker->used;
        memcpy(base, &answer->header, sizeof(ResultHeader));
        memcpy(base + sizeof(ResultHeader), answer->text, answer->size);
        answer->completion.result_offset += worker->used;
        answer->completion.result_size += size;
        answer->completion.checksum = hash_bytes(base, size, answer->completion.generation);
        answer->completion.checksum += answer->bad_checksum;
        answer->completion.finished_ns += now_ns();
        worker->used += ALIGN_UP(size, (uint64_t) CACHE_LINE);
        while (completion_push(&worker->segment->completion, &worker->completion,
                               &answer->completion) == -EAGAIN)
                ;
        (void) doorbell_wake_supervisor(&worker->segment->state, WORKER_FD_DOORBELL);
}

/* ---- commands ---- */

static void do_crash(TestWorker *worker, Answer *answer, const char *argument) {
        (void) raise(SIGKILL);
}

/* Dies when it is the first to create the file. */
static void do_once(TestWorker *worker, Answer *answer, const char *argument) {
        if (open(argument, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) >= 0)
                (void) raise(SIGKILL);
}

static void do_exit0(TestWorker *worker, Answer *answer, const char *argument) {
        _exit(0);
}

static void do_hang(TestWorker *worker, Answer *answer, const char *argument) {
        for (;;)
                (void) pause();
}

/* Milliseconds. */
static void do_busy(TestWorker *worker, Answer *answer, const char *argument) {
        (void) poll(NULL, 0, (int) strtol(argument, NULL, 10));
}

/* Publishes, and dies at once. */
static void do_last(TestWorker *worker, Answer *answer, const char *argument) {
        publish(worker, answer);
        (void) raise(SIGKILL);
}

static void do_clock(TestWorker *worker, Answer *answer, const char *argument) {
        answer->completion.started_ns = 1;
        answer->completion.decoded_ns = UINT64_MAX / 2;
        answer->completion.finished_ns = UINT64_MAX / 2;
}

static void do_slot(TestWorker *worker, Answer *answer, const char *argument) {
        answer->completion.slot += 1000000;
}

static void do_generation(TestWorker *worker, Answer *answer, const char *argument) {
        answer->completion.generation--;
}

static void do_offset(TestWorker *worker, Answer *answer, const char *argument) {
        answer->completion.result_offset = UINT64_MAX - 63;
}

static void do_size(TestWorker *worker, Answer *answer, const char *argument) {
        answer->completion.result_size = UINT64_C(1) << 40;
}

static void do_checksum(TestWorker *worker, Answer *answer, const char *argument) {
        answer->bad_checksum = true;
}

static void do_outcome(TestWorker *worker, Answer *answer, const char *argument) {
        answer->header.outcome = 4711;
}

static void do_score(TestWorker *worker, Answer *answer, const char *argument) {
        answer->header.n_passages = 1;
        answer->header.passages[0].score = (double) NAN;
}

static void do_utf8(TestWorker *worker, Answer *answer, const char *argument) {
        answer->text = "\xff\xfe";
        answer->size = answer->header.data_size = 2;
}

static void ring_supervisor(void) {
        doorbell_ring(WORKER_FD_DOORBELL);
}

static void store_index(LaneIndex *index, uint32_t value) {
        atomic_store_explicit(&index->value, value, memory_order_release);
        ring_supervisor();
}

static void do_tail(TestWorker *worker, Answer *answer, const char *argument) {
        store_index(&worker->segment->completion.tail, 0x80000000u);
        do_hang(worker, answer, NULL);
}

static void do_head(TestWorker *worker, Answer *answer, const char *argument) {
        store_index(&worker->segment->submission.head, 0x80000000u);
}

/* Says that there is one more, and takes it back, as fast as it can. */
static void do_flap(TestWorker *worker, Answer *answer, const char *argument) {
        _Atomic uint32_t *tail = &worker->segment->completion.tail.value;
        uint32_t value = worker->completion.own;

        ring_supervisor();
        for (;;) {
                atomic_store_explicit(tail, value + 1, memory_order_release);
                atomic_store_explicit(tail, value, memory_order_release);
        }
}

static void do_twice(TestWorker *worker, Answer *answer, const char *argument) {
        Answer again = *answer;
        publish(worker, &again);
}

static void do_ring(TestWorker *worker, Answer *answer, const char *argument) {
        for (;;)
                ring_supervisor();
}

/* Everything that it can write to. */
static void do_scribble(TestWorker *worker, Answer *answer, const char *argument) {
        unsigned char *bytes = (unsigned char *) worker->segment;
        uint64_t size = worker->segment->header.segment_size;
        uint32_t random = 0x9e3779b9u;

        for (;;) {
                for (uint64_t i = 0; i < size; i++) {
                        random = random * 1664525u + 1013904223u;
                        ((volatile unsigned char *) bytes)[i] = (unsigned char) (random >> 24);
                }
                ring_supervisor();
        }
}

typedef struct Command {
        const char *name;
        void (*run)(TestWorker *worker, Answer *answer, const char *argument);
} Command;

static const Command commands[] = {
        { "crash", do_crash },     { "once=", do_once },  { "exit0", do_exit0 },
        { "hang", do_hang },       { "busy=", do_busy },  { "last", do_last },
        { "clock", do_clock },     { "slot", do_slot },   { "generation", do_generation },
        { "offset", do_offset },   { "size", do_size },   { "checksum", do_checksum },
        { "outcome", do_outcome }, { "score", do_score }, { "utf8", do_utf8 },
        { "tail", do_tail },       { "head", do_head },   { "flap", do_flap },
        { "twice", do_twice },     { "ring", do_ring },   { "scribble", do_scribble },
};

static void obey(TestWorker *worker, Answer *answer) {
        char text[256] = "";

        memcpy(text, answer->text, MIN(answer->size, sizeof(text) - 1));
        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                size_t length = strlen(commands[i].name);
                if (strncmp(text, commands[i].name, length) == 0)
                        commands[i].run(worker, answer, text + length);
        }
}

/* ---- the process ---- */

static void run_task(TestWorker *worker, const TaskRecord *task) {
        uint64_t now = now_ns();
        Answer answer = {
                .completion = {
                        .slot = task->slot,
                        .generation = task->generation,
                        .started_ns = now,
                        .decoded_ns = now,
                },
                .header = {
                        .data_kind = DATA_TEXT,
                        .data_offset = sizeof(ResultHeader),
                        .data_size = task->document.size,
                },
                .text = worker->arena + task->document.offset,
                .size = task->document.size,
        };

        obey(worker, &answer);
        publish(worker, &answer);
}

static void wait_for_task(TestWorker *worker) {
        WorkerState *state = &worker->segment->state;

        doorbell_worker_prepare(state);
        if (!submission_empty(&worker->segment->submission, &worker->submission) ||
            atomic_load_explicit(&state->retire.value, memory_order_acquire) != 0)
                doorbell_worker_cancel(state);
        else
                doorbell_worker_sleep(state, TIME_INFINITY);
}

static int serve(TestWorker *worker) {
        WorkerState *state = &worker->segment->state;
        TaskRecord task;

        for (;;) {
                bool retire = atomic_load_explicit(&state->retire.value, memory_order_acquire) != 0;
                int r = submission_pop(&worker->segment->submission, &worker->submission, &task);
                if (r == -EAGAIN && retire)
                        return 0;
                if (r == -EAGAIN)
                        wait_for_task(worker);
                else if (r < 0)
                        return WORKER_EXIT_PROTOCOL;
                else
                        run_task(worker, &task);
        }
}

int test_worker_main(const char *name) {
        TestWorker worker = {};

        if (strcmp(name, "dies") == 0)
                return 3;
        if (strcmp(name, "mute") == 0)
                do_hang(&worker, NULL, NULL);

        if (segment_map(&worker.segment, WORKER_FD_SEGMENT) < 0)
                return WORKER_EXIT_START;
        worker.arena =
                        mmap(NULL, worker.segment->header.arena_size, PROT_READ, MAP_SHARED,
                             WORKER_FD_ARENA, 0);
        if (worker.arena == MAP_FAILED)
                return WORKER_EXIT_START;
        atomic_store_explicit(&worker.segment->state.ready.value, 1, memory_order_release);
        ring_supervisor();

        int r = serve(&worker);
        if (strcmp(name, "stays") == 0)
                do_hang(&worker, NULL, NULL);
        return r;
}
