/* SPDX-License-Identifier: Apache-2.0 */

/* Takes tasks from the submission lane and puts results into the completion lane.
 *
 * The result area is a bump allocator: results are laid one behind the other, and when the
 * supervisor has taken all of them, the next one starts at the beginning again. A result that finds
 * no room waits for that; it will come, as the supervisor takes whatever is published, or kills.
 * All waits here are bounded and end with another look at the lane.
 *
 * A result is whole or says why not: passages, titles and the summary are cut at the end of a
 * character when together they exceed RESULT_STRINGS_MAX, a link (useless when cut) is left out;
 * data that does not fit into the area makes the outcome "too large".
 *
 * A task whose deadline has passed is worked on like any other: its query has been answered without
 * it, but its result is still harvested, and process_document() cuts short what it can.
 *
 * A worker trusts the supervisor, so a task that breaks the rules is a defect in muster: the worker
 * ends itself with WORKER_EXIT_PROTOCOL rather than guess. (It cannot say more: stderr is closed.)
 */

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "doorbell.h"
#include "hash-map.h"
#include "log.h"
#include "process.h"
#include "record.h"
#include "runner.h"
#include "sandbox.h"
#include "segment.h"
#include "utf8.h"

#define SPIN_NS \
        (5 * NSEC_PER_USEC) /* a wake costs about 20 us; longer spins steal CPU from others */
#define SPIN_CPUS    4      /* with fewer they steal it at once */
#define ROOM_WAIT_NS NSEC_PER_MSEC

static uint64_t now_ns(void) {
        struct timespec now;
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * NSEC_PER_SEC + (uint64_t) now.tv_nsec;
}

/* ---- mapping ---- */

static int map_arena(Runner *runner, int fd, uint64_t size) {
        struct stat st;

        if (fstat(fd, &st) < 0)
                return log_errno(-errno, "no arena on descriptor %d", fd);
        if ((uint64_t) st.st_size != size)
                return log_errno(-EBADMSG, "the arena is not of the size that the segment says");
        void *arena = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (arena == MAP_FAILED)
                return log_errno(-errno, "cannot map the arena");
        runner->arena = arena;
        runner->arena_size = size;
        return 0;
}

/* Spinning saves a wake-up only where nobody else waits for this CPU: the supervisor, another
 * worker and a client have work at the same time. */
static uint64_t choose_spin(void) {
        cpu_set_t cpus;
        if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0 && CPU_COUNT(&cpus) < SPIN_CPUS)
                return 0;
        return SPIN_NS;
}

int runner_init(Runner *runner, int arena_fd, int segment_fd, int doorbell) {
        Segment *segment;
        int r = segment_map(&segment, segment_fd);
        if (r < 0)
                return log_errno(r, "no lane segment on descriptor %d", segment_fd);

        *runner = (Runner){
                .segment = segment,
                .doorbell = doorbell,
                .spin_ns = choose_spin(),
                .area_offset = segment->header.result_offset,
                .area_size = segment->header.result_size,
        };
        r = map_arena(runner, arena_fd, segment->header.arena_size);
        if (r < 0)
                runner_deinit(runner);
        return r;
}

void runner_deinit(Runner *runner) {
        if (runner->arena)
                (void) munmap((void *) (uintptr_t) runner->arena, runner->arena_size);
        segment_unmap(runner->segment);
        *runner = (Runner){};
}

/* ---- writing results ---- */

typedef struct ResultWriter {
        char *base; /* the ResultHeader's first byte */
        uint64_t size;
        uint64_t strings_left; /* of RESULT_STRINGS_MAX */
} ResultWriter;

static void put_bytes(ResultWriter *writer, const char *text, size_t size) {
        if (size > 0)
                memcpy(writer->base + writer->size, text, size);
        writer->size += size;
}

static ResultString put_string(ResultWriter *writer, ProcessText text) {
        size_t size = utf8_truncate(text.text, text.size, writer->strings_left);
        if (size == 0)
                return (ResultString){};

        ResultString string = { .offset = (uint32_t) writer->size, .size = (uint32_t) size };
        put_bytes(writer, text.text, size);
        writer->strings_left -= size;
        return string;
}

static ResultString put_link(ResultWriter *writer, ProcessText text) {
        return put_string(writer, text.size <= writer->strings_left ? text : (ProcessText){});
}

/* Writes the result at `base`, where there is room for it; returns its size. */
static uint64_t put_result(char *base, const ProcessOutput *output) {
        ResultWriter writer = {
                .base = base,
                .size = result_header_size(output->n_passages),
                .strings_left = RESULT_STRINGS_MAX,
        };
        ResultHeader header = {
                .outcome = (uint32_t) output->outcome,
                .data_kind = (uint32_t) output->data_kind,
                .tokens = output->tokens,
                .sentences = output->sentences,
        };

        header.error = put_string(&writer, output->error);
        header.title = put_string(&writer, output->title);
        header.summary = put_string(&writer, output->summary);
        for (unsigned i = 0; i < output->n_passages && writer.strings_left > 0; i++) {
                const ProcessPassage *passage = &output->passages[i];
                header.passages[header.n_passages++] = (PassageRecord){
                        .score = passage->score,
                        .text = put_string(&writer, passage->text),
                        .title = put_string(&writer, passage->title),
                        .link = put_link(&writer, passage->link),
                };
        }
        if (output->data_kind == DATA_JSON || output->data_kind == DATA_TEXT) {
                header.data_offset = writer.size;
                header.data_size = output->data.size;
                put_bytes(&writer, output->data.text, output->data.size);
        }
        memcpy(base, &header, result_header_size(output->n_passages));
        return writer.size;
}

/* What put_result() takes at most. */
static uint64_t result_bound(const ProcessOutput *output) {
        uint64_t strings = output->error.size + output->title.size + output->summary.size;

        for (unsigned i = 0; i < output->n_passages; i++) {
                const ProcessPassage *passage = &output->passages[i];
                strings += passage->text.size + passage->title.size + passage->link.size;
        }
        strings = MIN(strings, (uint64_t) RESULT_STRINGS_MAX);
        return result_header_size(output->n_passages) + strings + output->data.size;
}

/* ---- waiting ---- */

/* Sleeps until there may be something to do. */
static void wait_for_task(Runner *runner) {
        WorkerState *state = &runner->segment->state;
        const SubmissionLane *lane = &runner->segment->submission;
        uint64_t until = time_add(now_ns(), runner->spin_ns);

        while (submission_empty(lane, &runner->submission) && now_ns() < until)
                ;
        while (submission_empty(lane, &runner->submission) &&
               atomic_load_explicit(&state->retire.value, memory_order_acquire) == 0) {
                doorbell_worker_prepare(state);
                if (!submission_empty(lane, &runner->submission) ||
                    atomic_load_explicit(&state->retire.value, memory_order_acquire) != 0)
                        doorbell_worker_cancel(state);
                else
                        doorbell_worker_sleep(state, TIME_INFINITY);
        }
}

/* Sleeps a little while the supervisor takes what is there; it does not ring for that. */
static void wait_for_supervisor(Runner *runner) {
        doorbell_worker_prepare(&runner->segment->state);
        doorbell_worker_sleep(&runner->segment->state, ROOM_WAIT_NS);
}

/* Returns the offset of `size` free bytes. */
static uint64_t reserve_room(Runner *runner, uint64_t size) {
        const CompletionLane *lane = &runner->segment->completion;

        for (;;) {
                if (completion_drained(lane, &runner->completion))
                        runner->area_used = 0;
                if (size <= runner->area_size - runner->area_used)
                        return runner->area_used;
                wait_for_supervisor(runner);
        }
}

static int publish(Runner *runner, const CompletionRecord *completion) {
        int r;

        while ((r = completion_push(&runner->segment->completion, &runner->completion, completion)) ==
               -EAGAIN)
                wait_for_supervisor(runner);
        if (r >= 0)
                (void) doorbell_wake_supervisor(&runner->segment->state, runner->doorbell);
        return r;
}

/* ---- tasks ---- */

static int task_input(const Runner *runner, const TaskRecord *task, ProcessInput *ret) {
        if (task_validate(task, runner->arena_size) < 0)
                return -EBADMSG;

        *ret = (ProcessInput){
                .question = (const char *) runner->arena + task->question.offset,
                .question_size = task->question.size,
                .document = runner->arena + task->document.offset,
                .document_size = task->document.size,
                .engine = (EngineKind) task->engine,
                .media = (MediaType) task->media,
                .coding = (ContentCoding) task->coding,
                .charset = task->charset,
                .spin_ns = task->spin_ns,
                .deadline_ns = task->deadline_ns,
                .max_decoded = task->max_decoded,
                .max_passages = task->max_passages,
        };
        if (task->rules.size == 0)
                return 0;
        return rules_unpack(runner->arena + task->rules.offset, task->rules.size, &ret->rules);
}

/* Replaces a result that cannot be carried. */
static void give_up(ProcessOutput *output, const char *why) {
        process_output_deinit(output);
        *output = (ProcessOutput){
                .outcome = OUTCOME_TOO_LARGE,
                .error = { .text = why, .size = strlen(why) },
        };
}

static int run_task(Runner *runner, const TaskRecord *task) {
        ProcessInput input;
        ProcessOutput output = {};

        CompletionRecord completion = {
                .slot = task->slot,
                .generation = task->generation,
                .started_ns = now_ns(),
        };
        int r = task_input(runner, task, &input);
        if (r < 0)
                return r;

        if (process_document(&input, &output) < 0)
                give_up(&output, "the document needs more memory than a worker may use");
        if (result_bound(&output) > runner->area_size)
                give_up(&output, "the result is larger than a worker may hand over");

        /* What failed early never came to the engine, and says 0. */
        completion.decoded_ns = MAX(output.decoded_ns, completion.started_ns);
        completion.finished_ns = MAX(now_ns(), completion.decoded_ns);
        completion.result_offset = reserve_room(runner, result_bound(&output));
        char *base = segment_result_area(
                        runner->segment, runner->area_offset + completion.result_offset);
        completion.result_size = put_result(base, &output);
        completion.checksum = hash_bytes(base, completion.result_size, task->generation);
        runner->area_used = ALIGN_UP(completion.result_offset + completion.result_size, CACHE_LINE);
        process_output_deinit(&output);
        return publish(runner, &completion);
}

int runner_run(Runner *runner) {
        WorkerState *state = &runner->segment->state;

        for (;;) {
                TaskRecord task;
                /* Looked at before the lane: what was pushed before the order to retire is done. */
                bool retire = atomic_load_explicit(&state->retire.value, memory_order_acquire) != 0;
                int r = submission_pop(&runner->segment->submission, &runner->submission, &task);
                if (r >= 0)
                        r = run_task(runner, &task);
                else if (r == -EAGAIN) {
                        if (retire)
                                return 0;
                        wait_for_task(runner);
                        continue;
                }
                if (r < 0)
                        return r;
        }
}

/* ---- the process ---- */

static int start(Runner *runner, pid_t supervisor) {
        int r = sandbox_begin(supervisor);
        if (r < 0)
                return r;
        r = runner_init(runner, WORKER_FD_ARENA, WORKER_FD_SEGMENT, WORKER_FD_DOORBELL);
        if (r < 0)
                return r;
        r = process_init();
        if (r < 0)
                return log_errno(r, "cannot load what documents are decoded with");
        return sandbox_enter(
                        runner->doorbell,
                        runner->arena_size + runner->area_offset + runner->area_size);
}

int runner_main(pid_t supervisor) {
        Runner runner = {};

        if (start(&runner, supervisor) < 0)
                return WORKER_EXIT_START;
        assert(runner.segment);

        atomic_store_explicit(&runner.segment->state.ready.value, 1, memory_order_release);
        doorbell_ring(runner.doorbell);
        /* exit() would flush and free; nothing here is worth a system call that may be
         * forbidden. */
        _exit(runner_run(&runner) < 0 ? WORKER_EXIT_PROTOCOL : 0);
}
