/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "pool.h"
#include "query-world.h"

World world;

/* ---- the loop ---- */

void world_turn(void) {
        assert_int_equal(io_turn(world.io), 0);
}

static void on_time(IoTimer *timer) {
        timer->fire = NULL;
}

void world_run(uint64_t ns) {
        IoTimer timer = { .fire = on_time };

        assert_int_equal(io_timer_set(world.io, &timer, io_now(world.io) + ns), 0);
        while (timer.fire)
                world_turn();
}

void world_settle(void) {
        while (!sim_idle(world.io))
                world_turn();
}

/* ---- beginning and end ---- */

void world_new(size_t arena_size) {
        world = (World){ .service_ns = NSEC_PER_MSEC };
        assert_int_equal(io_new_sim(&world.io, &(SimOptions){ .seed = 1 }), 0);
        assert_int_equal(arena_new(&world.arena, arena_size), 0);
        world.config = make_config();
}

void world_add(const char *name, const char *const settings[]) {
        make_config_source(world.config, name, settings);
}

void world_begin(void) {
        assert_int_equal(source_table_new(&world.sources, world.config, world.arena, world.io, 1), 0);
        /* Not at 0, where an age would be cut short. */
        world_run(1000 * NSEC_PER_SEC);
}

void world_free(void) {
        assert_true(sim_idle(world.io));
        assert_int_equal(world.n_running, 0);
        source_table_free(world.sources);
        config_free(world.config);
        assert_int_equal(arena_used(world.arena), 0);
        arena_free(world.arena);
        io_free(world.io);
        world = (World){};
}

Source *world_source(const char *name) {
        Source *source = source_table_find(world.sources, name);

        assert_non_null(source);
        return source;
}

ArenaBlock *world_block(const char *text) {
        ArenaBlock *block = NULL;

        assert_int_equal(arena_alloc(world.arena, strlen(text), &block), 0);
        memcpy(arena_block_data(block), text, strlen(text));
        block->size = strlen(text);
        return block;
}

/* ---- workers ---- */

typedef struct Work {
        IoTimer timer;
        PoolTask *task;
        uint64_t due;
        ArenaBlock *document; /* a worker reads it, whatever becomes of the task */
} Work;

/* With link time optimization nothing else tells that they are used. */
#define WRAPPER __attribute__((used))
WRAPPER int __wrap_pool_submit(Pool *pool, PoolTask *task);
WRAPPER void __wrap_pool_postpone(Pool *pool, PoolTask *task, uint64_t deadline_ns, int priority);
WRAPPER void __wrap_pool_cancel(Pool *pool, PoolTask *task);

static Work *work_of(const PoolTask *task) {
        return (Work *) (void *) task->entry;
}

static void work_end(Work *work) {
        work->task->entry = NULL;
        io_timer_cancel(world.io, &work->timer);
        arena_block_unref(work->document);
        free(work);
        world.n_running--;
}

/* What a worker says: the whole document as data, and its beginning as passage and summary. */
static ResultHeader *result_new(const ArenaBlock *document, uint32_t outcome, size_t *ret_size) {
        static const char error[] = "the worker says so";
        uint32_t size = (uint32_t) MIN(document->size, (size_t) 40);
        ResultHeader *header = calloc(1, sizeof(*header) + sizeof(error) + size);

        assert_non_null(header);
        header->outcome = outcome;
        *ret_size = sizeof(*header) + sizeof(error) + size;
        memcpy(header + 1, error, sizeof(error));
        memcpy((char *) (header + 1) + sizeof(error), arena_block_data(document), size);
        if (outcome == OUTCOME_OK) {
                header->data_kind = DATA_TEXT_DOCUMENT;
                header->summary = (ResultString){ sizeof(*header) + sizeof(error), size };
                header->n_passages = 1;
                header->passages[0].score = .5;
                header->passages[0].text = header->summary;
        } else if (outcome != OUTCOME_EMPTY)
                header->error = (ResultString){ sizeof(*header), sizeof(error) - 1 };
        return header;
}

static bool is_poison(const ArenaBlock *document) {
        return world.poison &&
                        memmem(arena_block_data(document), document->size, world.poison,
                               strlen(world.poison));
}

static void on_worked(IoTimer *timer) {
        Work *work = CONTAINER_OF(timer, Work, timer);
        PoolTask *task = work->task;
        ArenaBlock *document = arena_block_ref(work->document);
        uint64_t now = io_now(world.io);
        bool poison = is_poison(document);
        PoolResult result = { .error = now < work->due ? -ETIME : poison ? world.poison_error : 0 };
        ResultHeader *header = NULL;

        if (result.error == 0) {
                header = result_new(
                                document, poison ? world.poison_outcome : OUTCOME_OK, &result.size);
                result.header = header;
                task->n_tries = 1;
                task->tries[0] = (PoolTry){ .dispatched_ns = task->submitted_ns,
                                            .started_ns = task->submitted_ns,
                                            .decoded_ns = task->submitted_ns,
                                            .finished_ns = now };
        }
        work_end(work);
        task->done(task, &result);
        free(header);
        arena_block_unref(document);
}

static void work_schedule(Work *work) {
        uint64_t deadline = world.queued ? work->task->record.deadline_ns : UINT64_MAX;

        assert_int_equal(io_timer_set(world.io, &work->timer, MIN(work->due, deadline)), 0);
}

int __wrap_pool_submit(Pool *pool, PoolTask *task) {
        if (world.submit_error < 0)
                return world.submit_error;

        Work *work = calloc(1, sizeof(*work));
        assert_non_null(work);
        assert_null(task->entry);
        assert_non_null(task->question);
        *work = (Work){
                .timer.fire = on_worked,
                .task = task,
                .due = io_now(world.io) + world.service_ns,
                .document = arena_block_ref(task->document),
        };
        task->entry = (struct PoolEntry *) (void *) work;
        task->submitted_ns = io_now(world.io);
        task->n_tries = 0;
        world.n_submitted++;
        world.n_running++;
        work_schedule(work);
        return 0;
}

void __wrap_pool_postpone(Pool *pool, PoolTask *task, uint64_t deadline_ns, int priority) {
        if (!task->entry || !world.queued)
                return;
        task->record.deadline_ns = MAX(task->record.deadline_ns, deadline_ns);
        task->priority = MAX(task->priority, priority);
        work_schedule(work_of(task));
}

void __wrap_pool_cancel(Pool *pool, PoolTask *task) {
        if (!task->entry)
                return;
        work_end(work_of(task));
        world.n_cancelled++;
}
