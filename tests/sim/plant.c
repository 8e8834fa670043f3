/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "arena.h"
#include "clock.h"
#include "doorbell.h"
#include "io.h"
#include "plant.h"
#include "pool.h"

/* How often the call has to come before the bug strikes is drawn below this. */
#define STRIKES_WITHIN 6u

/* Of each function: what the linker calls the real one, and what is called instead. */
#define WRAPPED(type, name, ...)         \
        type __real_##name(__VA_ARGS__); \
        type __wrap_##name(__VA_ARGS__)

WRAPPED(void, io_cancel, Io *io, int fd);
WRAPPED(int, io_timer_set, Io *io, IoTimer *timer, uint64_t deadline);
WRAPPED(int, pool_submit, Pool *pool, PoolTask *task);
WRAPPED(bool, doorbell_wake_worker, WorkerState *state);
WRAPPED(ArenaBlock *, arena_block_unref, ArenaBlock *block);

typedef enum Plant {
        PLANT_LOST_CANCEL,   /* operations on a descriptor do not end when they are cancelled */
        PLANT_DONE_TWICE,    /* the pool tells a task's end twice */
        PLANT_DONE_NEVER,    /* or not at all */
        PLANT_LATE_DEADLINE, /* a query's timer is set 1 ms late */
        PLANT_LOST_WAKE,     /* a worker is not woken for a task */
        PLANT_LOST_BLOCK,    /* a block of the arena is not given back */
        PLANT_COUNT,         /* as a choice: none */
} Plant;

static const char *const names[] = {
        [PLANT_LOST_CANCEL] = "lost-cancel", [PLANT_DONE_TWICE] = "done-twice",
        [PLANT_DONE_NEVER] = "done-never",   [PLANT_LATE_DEADLINE] = "late-deadline",
        [PLANT_LOST_WAKE] = "lost-wake",     [PLANT_LOST_BLOCK] = "lost-block",
};

static struct {
        Plant plant;
        unsigned countdown;
        bool query_starts;
        void (*done)(PoolTask *task, const PoolResult *result); /* of the task that was hit */
} planted = { .plant = PLANT_COUNT };

bool plant_choose(const char *name) {
        for (unsigned i = 0; i < PLANT_COUNT; i++)
                if (strcmp(names[i], name) == 0) {
                        planted.plant = (Plant) i;
                        return true;
                }
        return false;
}

const char *plant_name(unsigned number) {
        return number < PLANT_COUNT ? names[number] : NULL;
}

void plant_begin(uint64_t seed) {
        planted.countdown = 1 + (unsigned) (seed % STRIKES_WITHIN);
        planted.query_starts = false;
}

void plant_query_starts(void) {
        planted.query_starts = true;
}

static bool strikes(Plant plant) {
        return planted.plant == plant && planted.countdown > 0 && --planted.countdown == 0;
}

void __wrap_io_cancel(Io *io, int fd) {
        if (!strikes(PLANT_LOST_CANCEL))
                __real_io_cancel(io, fd);
}

int __wrap_io_timer_set(Io *io, IoTimer *timer, uint64_t deadline) {
        if (planted.query_starts && strikes(PLANT_LATE_DEADLINE))
                deadline += NSEC_PER_MSEC;
        planted.query_starts = false;
        return __real_io_timer_set(io, timer, deadline);
}

static void done_twice(PoolTask *task, const PoolResult *result) {
        planted.done(task, result);
        planted.done(task, result);
}

static void done_never(PoolTask *task, const PoolResult *result) {
}

int __wrap_pool_submit(Pool *pool, PoolTask *task) {
        bool twice = strikes(PLANT_DONE_TWICE);

        if (twice || strikes(PLANT_DONE_NEVER)) {
                planted.done = task->done;
                task->done = twice ? done_twice : done_never;
        }
        return __real_pool_submit(pool, task);
}

bool __wrap_doorbell_wake_worker(WorkerState *state) {
        return strikes(PLANT_LOST_WAKE) ? false : __real_doorbell_wake_worker(state);
}

ArenaBlock *__wrap_arena_block_unref(ArenaBlock *block) {
        if (block && block->references == 1 && strikes(PLANT_LOST_BLOCK))
                return NULL;
        return __real_arena_block_unref(block);
}
