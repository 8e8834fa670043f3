/* SPDX-License-Identifier: Apache-2.0 */

/* The runner in a thread, with this test as its supervisor and a process_document() of the test's
 * own: what is tested is the carrying, not what documents mean. */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "arena.h"
#include "clock.h"
#include "cmocka.h"
#include "doorbell.h"
#include "hash-map.h"
#include "process.h"
#include "record.h"
#include "runner.h"
#include "segment.h"

/* ---- stands in for workers/process.c ---- */

static struct Script {
        int error;
        ProcessOutput output;
        bool echo; /* the document is the data */
        SourceRules seen_rules;
        char seen_charset[CHARSET_MAX];
        unsigned calls;
        unsigned deinits;
} script;

int process_init(void) {
        return 0;
}

void process_deinit(void) {
}

int process_document(const ProcessInput *input, ProcessOutput *output) {
        script.calls++;
        script.seen_rules = input->rules;
        memcpy(script.seen_charset, input->charset, CHARSET_MAX);
        if (script.error < 0)
                return script.error;
        *output = script.output;
        if (script.echo) {
                output->data_kind = DATA_TEXT;
                output->data = (ProcessText){ (const char *) input->document, input->document_size };
        }
        return 0;
}

void process_output_deinit(ProcessOutput *output) {
        script.deinits++;
        *output = (ProcessOutput){};
}

/* ---- the supervisor ---- */

typedef struct Fixture {
        Arena *arena;
        Segment *segment;
        uint64_t area_size;
        int fd;
        int doorbell;
        LaneEnd push;
        LaneEnd take;
        ArenaBlock *document;
        Runner runner;
        pthread_t thread;
        int returned;
} Fixture;

static ArenaBlock *block_with(Arena *arena, const char *text, size_t size) {
        ArenaBlock *block = NULL;
        assert_int_equal(arena_alloc(arena, size, &block), 0);
        memcpy(arena_block_data(block), text, size);
        block->size = size;
        return block;
}

static void prepare(Fixture *f, size_t area_size) {
        *f = (Fixture){};
        script = (struct Script){};
        assert_int_equal(arena_new(&f->arena, 1 << 20), 0);
        assert_int_equal(segment_new(&f->segment, &f->fd, area_size, arena_size(f->arena)), 0);
        f->area_size = f->segment->header.result_size;
        f->doorbell = eventfd(0, EFD_CLOEXEC);
        assert_true(f->doorbell >= 0);
        f->document = block_with(f->arena, "a document", 10);
        assert_int_equal(runner_init(&f->runner, arena_read_fd(f->arena), f->fd, f->doorbell), 0);
}

static void dispose(Fixture *f) {
        runner_deinit(&f->runner);
        arena_block_unref(f->document);
        segment_unmap(f->segment);
        arena_free(f->arena);
        assert_int_equal(close(f->fd), 0);
        assert_int_equal(close(f->doorbell), 0);
}

static void *run(void *userdata) {
        Fixture *f = userdata;
        f->returned = runner_run(&f->runner);
        return NULL;
}

static void start(Fixture *f) {
        assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

static void retire(Fixture *f) {
        atomic_store_explicit(&f->segment->state.retire.value, 1, memory_order_release);
        (void) doorbell_wake_worker(&f->segment->state);
}

static int join(Fixture *f) {
        assert_int_equal(pthread_join(f->thread, NULL), 0);
        return f->returned;
}

static TaskRecord task_of(const Fixture *f, uint32_t slot) {
        return (TaskRecord){
                .slot = slot,
                .generation = slot + 100,
                .document = arena_block_range(f->document),
                .charset = "utf-8",
        };
}

static int push(Fixture *f, const TaskRecord *task) {
        uint32_t index;
        int r = submission_push(&f->segment->submission, &f->push, task, &index);
        (void) doorbell_wake_worker(&f->segment->state);
        return r;
}

/* Waits for the next completion, checks it as a supervisor does and returns a copy of its
 * result. */
static ResultHeader *take(Fixture *f, uint32_t slot, bool release) {
        CompletionRecord c;
        uint64_t rings;

        for (;;) {
                doorbell_supervisor_prepare(&f->segment->state);
                int r = completion_peek(&f->segment->completion, &f->take, &c);
                if (r >= 0)
                        break;
                assert_int_equal(r, -EAGAIN);
                assert_int_equal(read(f->doorbell, &rings, sizeof(rings)), sizeof(rings));
        }
        assert_int_equal(c.slot, slot);
        assert_int_equal(c.generation, slot + 100);
        assert_int_equal(completion_validate(&c, f->area_size), 0);
        assert_true(c.started_ns > 0);

        ResultHeader *result = malloc(c.result_size);
        assert_non_null(result);
        memcpy(result, segment_result_area(f->segment, sizeof(Segment) + c.result_offset),
               c.result_size);
        assert_true(c.checksum == hash_bytes(result, c.result_size, c.generation));
        assert_int_equal(
                        result_validate(result, c.result_size, arena_block_data(f->document),
                                        f->document->size),
                        0);
        if (release)
                completion_release(&f->segment->completion, &f->take);
        return result;
}

static ResultHeader *run_one(Fixture *f) {
        TaskRecord task = task_of(f, 5);
        assert_int_equal(push(f, &task), 0);
        retire(f);
        start(f);
        ResultHeader *result = take(f, 5, true);
        assert_int_equal(join(f), 0);
        return result;
}

static ProcessText text(const char *string) {
        return (ProcessText){ string, strlen(string) };
}

static void assert_text(const ResultHeader *result, ResultString string, const char *expected) {
        assert_int_equal(string.size, strlen(expected));
        assert_memory_equal(result_text(result, string), expected, string.size);
}

/* ---- tests ---- */

static void test_everything_is_carried(void **state) {
        Fixture f;
        prepare(&f, 1 << 20);
        script.output = (ProcessOutput){
                .outcome = OUTCOME_OK,
                .data_kind = DATA_JSON,
                .data = text("{\"a\":1}"),
                .summary = text("A summary."),
                .title = text("Title"),
                .tokens = 7,
                .sentences = 2,
                .n_passages = 2,
                .passages = {
                        { 2.5, text("first"), text("t1"), text("http://l/1") },
                        { 1.5, text("second"), { NULL, 0 }, { NULL, 0 } },
                },
        };
        ResultHeader *r = run_one(&f);

        assert_int_equal(r->outcome, OUTCOME_OK);
        assert_int_equal(r->data_kind, DATA_JSON);
        assert_int_equal(r->tokens, 7);
        assert_int_equal(r->sentences, 2);
        assert_int_equal(r->error.size, 0);
        assert_text(r, r->summary, "A summary.");
        assert_text(r, r->title, "Title");
        assert_int_equal(r->n_passages, 2);
        assert_true(r->passages[0].score > 2.4 && r->passages[0].score < 2.6);
        assert_text(r, r->passages[0].text, "first");
        assert_text(r, r->passages[0].title, "t1");
        assert_text(r, r->passages[0].link, "http://l/1");
        assert_text(r, r->passages[1].text, "second");
        assert_int_equal(r->data_size, 7);
        assert_memory_equal((const char *) r + r->data_offset, "{\"a\":1}", 7);
        assert_string_equal(script.seen_charset, "utf-8");
        assert_int_equal(script.deinits, 1);
        free(r);
        dispose(&f);
}

static void test_errors_and_documents(void **state) {
        static const ProcessOutput outputs[] = {
                { .outcome = OUTCOME_DECODE, .error = { "bad gzip", 8 } },
                { .outcome = OUTCOME_OK, .data_kind = DATA_TEXT_DOCUMENT },
                { .outcome = OUTCOME_EMPTY },
        };
        for (size_t i = 0; i < ELEMENTSOF(outputs); i++) {
                Fixture f;
                prepare(&f, 1 << 20);
                script.output = outputs[i];
                ResultHeader *r = run_one(&f);
                assert_int_equal(r->outcome, outputs[i].outcome);
                assert_int_equal(r->data_kind, outputs[i].data_kind);
                assert_int_equal(r->error.size, outputs[i].error.size);
                free(r);
                dispose(&f);
        }
}

static void test_rules_arrive(void **state) {
        Fixture f;
        Buffer packed = BUFFER_INIT(0);
        prepare(&f, 1 << 20);
        assert_int_equal(rules_pack(&(SourceRules){ .select = "/a", .link = "/l" }, &packed), 0);
        ArenaBlock *rules = block_with(f.arena, packed.data, packed.size);

        TaskRecord task = task_of(&f, 5);
        task.rules = arena_block_range(rules);
        assert_int_equal(push(&f, &task), 0);
        retire(&f);
        start(&f);
        free(take(&f, 5, true));
        assert_int_equal(join(&f), 0);
        assert_string_equal(script.seen_rules.select, "/a");
        assert_null(script.seen_rules.title);
        assert_string_equal(script.seen_rules.link, "/l");

        arena_block_unref(rules);
        buffer_deinit(&packed);
        dispose(&f);
}

/* All strings together are over the limit: the last ones are cut, at a character; links go as a
 * whole. */
static void test_strings_are_cut(void **state) {
        Fixture f;
        prepare(&f, 1 << 20);
        size_t size = RESULT_STRINGS_MAX - 7;
        char *summary = malloc(size);
        assert_non_null(summary);
        memset(summary, 's', size);
        script.output = (ProcessOutput){
                .summary = { summary, size },
                .n_passages = 3,
                .passages = {
                        { 3, text("1234"), { NULL, 0 }, text("http://long") },
                        { 2, text("\xc3\xa9\xc3\xa9"), { NULL, 0 }, { NULL, 0 } },
                        { 1, text("x"), text("yz"), { NULL, 0 } },
                },
        };
        ResultHeader *r = run_one(&f);

        assert_int_equal(r->summary.size, size);
        assert_int_equal(r->n_passages, 3);
        assert_text(r, r->passages[0].text, "1234");
        assert_int_equal(r->passages[0].link.size, 0);
        assert_text(r, r->passages[1].text, "\xc3\xa9"); /* three bytes would have been left */
        assert_text(r, r->passages[2].text, "x");
        assert_int_equal(r->passages[2].title.size, 0);
        free(r);
        free(summary);
        dispose(&f);
}

static void test_passages_without_room_are_left_out(void **state) {
        Fixture f;
        prepare(&f, 1 << 20);
        char *summary = malloc(RESULT_STRINGS_MAX);
        assert_non_null(summary);
        memset(summary, 's', RESULT_STRINGS_MAX);
        script.output = (ProcessOutput){
                .summary = { summary, RESULT_STRINGS_MAX },
                .n_passages = 1,
                .passages = { { 1, text("x"), { NULL, 0 }, { NULL, 0 } } },
        };
        ResultHeader *r = run_one(&f);
        assert_int_equal(r->summary.size, RESULT_STRINGS_MAX);
        assert_int_equal(r->n_passages, 0);
        free(r);
        free(summary);
        dispose(&f);
}

static void assert_too_large(Fixture *f) {
        ResultHeader *r = run_one(f);
        assert_int_equal(r->outcome, OUTCOME_TOO_LARGE);
        assert_int_equal(r->data_kind, DATA_NONE);
        assert_true(r->error.size > 0);
        free(r);
        dispose(f);
}

static void test_too_large(void **state) {
        Fixture f;
        prepare(&f, 64 << 10);
        char *data = calloc(1, f.area_size);
        assert_non_null(data);
        script.output = (ProcessOutput){
                .data_kind = DATA_TEXT,
                .data = { data, f.area_size },
        };
        assert_too_large(&f);
        free(data);
}

static void test_no_memory(void **state) {
        Fixture f;
        prepare(&f, 64 << 10);
        script.error = -ENOMEM;
        assert_too_large(&f);
}

/* Many results through an area that holds three of them; tasks come while the worker works or
 * sleeps. */
static void test_area_is_used_again(void **state) {
        enum {
                TASKS = 3000
        };
        Fixture f;
        prepare(&f, 8 << 10);
        script.echo = true;
        uint32_t pushed = 0;

        start(&f);
        for (uint32_t taken = 0; taken < TASKS; taken++) {
                while (pushed < TASKS && pushed - taken < LANE_DEPTH) {
                        TaskRecord task = task_of(&f, pushed);
                        if (push(&f, &task) == -EAGAIN)
                                break;
                        pushed++;
                }
                ResultHeader *r = take(&f, taken, true);
                assert_int_equal(r->data_size, f.document->size);
                free(r);
        }
        retire(&f);
        assert_int_equal(join(&f), 0);
        assert_int_equal(script.calls, TASKS);
        dispose(&f);
}

/* Results that nobody takes are never overwritten; the worker waits. */
static void test_waits_for_room(void **state) {
        Fixture f;
        prepare(&f, 64 << 10);
        start(&f);
        uint32_t slot = 0;
        for (; slot < 2 * LANE_DEPTH; slot++) {
                TaskRecord task = task_of(&f, slot);
                while (push(&f, &task) == -EAGAIN)
                        continue;
        }
        /* One is taken, so that there is one more wait for a place. */
        for (uint32_t i = 0; i < slot; i++)
                free(take(&f, i, true));
        retire(&f);
        assert_int_equal(join(&f), 0);
        dispose(&f);
}

static void test_retires_after_the_last_task(void **state) {
        Fixture f;
        prepare(&f, 64 << 10);
        for (uint32_t slot = 0; slot < LANE_DEPTH; slot++) {
                TaskRecord task = task_of(&f, slot);
                assert_int_equal(push(&f, &task), 0);
        }
        assert_true(submission_revoke(&f.segment->submission, 1));
        retire(&f);
        start(&f);
        assert_int_equal(join(&f), 0);
        assert_int_equal(script.calls, LANE_DEPTH - 1);
        for (uint32_t slot = 0; slot < LANE_DEPTH; slot++)
                if (slot != 1)
                        free(take(&f, slot, true));
        assert_true(completion_empty(&f.segment->completion, &f.take));
        dispose(&f);
}

/* Asleep, then woken by nothing but the order to retire. */
static void test_retires_from_sleep(void **state) {
        Fixture f;
        prepare(&f, 64 << 10);
        start(&f);
        while (atomic_load(&f.segment->state.worker_sleeps.value) == 0)
                (void) poll(NULL, 0, 1);
        retire(&f);
        assert_int_equal(join(&f), 0);
        dispose(&f);
}

static void test_broken_protocol(void **state) {
        for (unsigned i = 0; i < 4; i++) {
                Fixture f;
                prepare(&f, 64 << 10);
                TaskRecord task = task_of(&f, 1);
                if (i == 0)
                        task.engine = ENGINE_COUNT;
                else if (i == 1)
                        task.rules = task.document; /* no packed rules */
                assert_int_equal(push(&f, &task), 0);
                if (i == 2)
                        atomic_store(&f.segment->submission.tail.value, 1000);
                else if (i == 3)
                        atomic_store(&f.segment->completion.head.value, 1000);
                start(&f);
                assert_int_equal(join(&f), -EBADMSG);
                assert_int_equal(script.calls, i == 3);
                dispose(&f);
        }
}

static void test_init_refusals(void **state) {
        Fixture f;
        Runner runner;
        prepare(&f, 64 << 10);
        assert_int_equal(runner_init(&runner, arena_read_fd(f.arena), -1, f.doorbell), -EBADF);
        assert_int_equal(runner_init(&runner, -1, f.fd, f.doorbell), -EBADF);
        f.segment->header.arena_size *= 2;
        assert_int_equal(runner_init(&runner, arena_read_fd(f.arena), f.fd, f.doorbell), -EBADMSG);
        f.segment->header.arena_size /= 2;
        assert_int_equal(runner_init(&runner, f.doorbell, f.fd, f.doorbell), -EBADMSG);
        dispose(&f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_everything_is_carried),
                cmocka_unit_test(test_errors_and_documents),
                cmocka_unit_test(test_rules_arrive),
                cmocka_unit_test(test_strings_are_cut),
                cmocka_unit_test(test_passages_without_room_are_left_out),
                cmocka_unit_test(test_too_large),
                cmocka_unit_test(test_no_memory),
                cmocka_unit_test(test_area_is_used_again),
                cmocka_unit_test(test_waits_for_room),
                cmocka_unit_test(test_retires_after_the_last_task),
                cmocka_unit_test(test_retires_from_sleep),
                cmocka_unit_test(test_broken_protocol),
                cmocka_unit_test(test_init_refusals),
        };
        return cmocka_run_group_tests_name("runner", tests, NULL, NULL);
}
