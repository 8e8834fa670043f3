/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "arena.h"
#include "cache.h"
#include "clock.h"
#include "doorbell.h"
#include "flight.h"
#include "gate.h"
#include "io.h"
#include "plant.h"
#include "pool.h"

/* Of each function: what the linker calls the real one, and what is called instead. */
#define WRAPPED(type, name, ...)         \
        type __real_##name(__VA_ARGS__); \
        type __wrap_##name(__VA_ARGS__)

WRAPPED(void, io_cancel, Io *io, int fd);
WRAPPED(int, io_timer_set, Io *io, IoTimer *timer, uint64_t deadline);
WRAPPED(int, pool_submit, Pool *pool, PoolTask *task);
WRAPPED(bool, doorbell_wake_worker, WorkerState *state);
WRAPPED(ArenaBlock *, arena_block_unref, ArenaBlock *block);
WRAPPED(bool, breaker_would_admit, const Breaker *breaker, const BreakerPolicy *policy, uint64_t now);
WRAPPED(void, gate_leave, Gate *gate, GatePass *pass, bool unused);
WRAPPED(void, flight_leave, FlightFollower *follower, bool harvest);
WRAPPED(Finding *, finding_new, Source *source, FetchOutcome *outcome, char **key, uint64_t now);
WRAPPED(void, cache_init, Cache *cache, size_t max_entries, size_t max_bytes, uint64_t hash_seed);

typedef enum Plant {
        PLANT_LOST_CANCEL,   /* operations on a descriptor do not end when they are cancelled */
        PLANT_DONE_TWICE,    /* the pool tells a task's end twice */
        PLANT_DONE_NEVER,    /* or not at all */
        PLANT_LATE_DEADLINE, /* a query's timer is set 1 ms late */
        PLANT_LOST_WAKE,     /* a worker is not woken for a task */
        PLANT_LOST_BLOCK,    /* a block of the arena is not given back */
        PLANT_TWO_PROBES,    /* a half-open breaker lets another request through beside the probe */
        PLANT_LOST_PLACE,    /* who leaves a gate does not give its place back */
        PLANT_BUDGET_IGNORED, /* a retry or hedge that the budget does not allow */
        PLANT_KEPT_FAILURE,   /* the cache takes a failure for an answer */
        PLANT_LOST_FOLLOWERS, /* who leaves a flight takes the others along */
        PLANT_COUNT,          /* as a choice: none */
} Plant;

/* How often the occasion has to come before the bug strikes is drawn from 1 to `within`. */
static const struct {
        const char *name;
        unsigned within;
} plants[] = {
        [PLANT_LOST_CANCEL] = { "lost-cancel", 6 },
        [PLANT_DONE_TWICE] = { "done-twice", 6 },
        [PLANT_DONE_NEVER] = { "done-never", 6 },
        [PLANT_LATE_DEADLINE] = { "late-deadline", 6 },
        [PLANT_LOST_WAKE] = { "lost-wake", 6 },
        [PLANT_LOST_BLOCK] = { "lost-block", 6 },
        [PLANT_TWO_PROBES] = { "two-probes", 1 },
        [PLANT_LOST_PLACE] = { "lost-place", 6 },
        [PLANT_BUDGET_IGNORED] = { "budget-ignored", 3 },
        [PLANT_KEPT_FAILURE] = { "kept-failure", 3 },
        [PLANT_LOST_FOLLOWERS] = { "lost-followers", 1 },
};

static struct {
        Plant plant;
        unsigned countdown;
        bool query_starts;
        void (*done)(PoolTask *task, const PoolResult *result); /* of the task that was hit */
        Cache *cache;
} planted = { .plant = PLANT_COUNT };

bool plant_choose(const char *name) {
        for (unsigned i = 0; i < PLANT_COUNT; i++)
                if (strcmp(plants[i].name, name) == 0) {
                        planted.plant = (Plant) i;
                        return true;
                }
        return false;
}

const char *plant_name(unsigned number) {
        return number < PLANT_COUNT ? plants[number].name : NULL;
}

void plant_begin(uint64_t seed) {
        if (planted.plant < PLANT_COUNT)
                planted.countdown = 1 + (unsigned) (seed % plants[planted.plant].within);
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

/* ---- the rules of fetches ---- */

/* Its lease is forgotten while the probe is under way. */
bool __wrap_breaker_would_admit(const Breaker *breaker, const BreakerPolicy *policy, uint64_t now) {
        Source *source = CONTAINER_OF(breaker, Source, breaker);

        if (breaker_state(breaker, now) == BREAKER_HALF_OPEN && now < breaker->lease_until &&
            strikes(PLANT_TWO_PROBES))
                source->breaker.lease_until = 0;
        return __real_breaker_would_admit(breaker, policy, now);
}

void __wrap_gate_leave(Gate *gate, GatePass *pass, bool unused) {
        if (pass->inside && strikes(PLANT_LOST_PLACE))
                pass->inside = false;
        __real_gate_leave(gate, pass, unused);
}

bool plant_ignores_budget(void) {
        return strikes(PLANT_BUDGET_IGNORED);
}

void __wrap_flight_leave(FlightFollower *follower, bool harvest) {
        List *all = follower->flight ? &follower->flight->followers : NULL;

        if (all && all->next != all->prev && strikes(PLANT_LOST_FOLLOWERS))
                LIST_FOREACH_SAFE(node, all)
                        if (node != &follower->node)
                                __real_flight_leave(LIST_ENTRY(node, FlightFollower, node), harvest);
        __real_flight_leave(follower, harvest);
}

/* ---- the cache ---- */

void __wrap_cache_init(Cache *cache, size_t max_entries, size_t max_bytes, uint64_t hash_seed) {
        planted.cache = cache;
        __real_cache_init(cache, max_entries, max_bytes, hash_seed);
}

Finding *__wrap_finding_new(Source *source, FetchOutcome *outcome, char **key, uint64_t now) {
        Finding *finding = __real_finding_new(source, outcome, key, now);

        if (finding && finding->key && !verdict_answered(finding->fetch.verdict) &&
            strikes(PLANT_KEPT_FAILURE))
                cache_store(planted.cache, finding, /* empty= */ false, /* unix_ms= */ 0);
        return finding;
}
