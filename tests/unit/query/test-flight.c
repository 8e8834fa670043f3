/* SPDX-License-Identifier: Apache-2.0 */

/* Flights to simulated sources. Two functions are wrapped, to let memory run out. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "flight.h"
#include "query-world.h"

#define FOLLOWERS 5u
#define ALONE_MAX 256u

typedef struct Follower {
        FlightFollower base;
        unsigned n_landed;
        Finding *finding; /* a reference; NULL: none, or no memory */
        uint64_t at;
        void (*then)(struct Follower *follower);
} Follower;

static FetchContext context;
static Flights flights;
static ArenaBlock *question;
static Follower followers[FOLLOWERS];
static unsigned n_landed, n_told; /* flights; followers */
static bool last_harvest;

/* ---- memory that runs out ---- */

static bool no_start, no_finding;

int __real_fetch_start(Fetch *fetch);
/* With link time optimization nothing else tells that they are used. */
__attribute__((used)) int __wrap_fetch_start(Fetch *fetch);
Finding *__real_finding_new(Source *source, FetchOutcome *outcome, char **key, uint64_t now);
__attribute__((used)) Finding *
__wrap_finding_new(Source *source, FetchOutcome *outcome, char **key, uint64_t now);

int __wrap_fetch_start(Fetch *fetch) {
        return no_start ? -ENOMEM : __real_fetch_start(fetch);
}

Finding *__wrap_finding_new(Source *source, FetchOutcome *outcome, char **key, uint64_t now) {
        return no_finding ? NULL : __real_finding_new(source, outcome, key, now);
}

/* ---- fixture ---- */

static void on_flight_landed(void *userdata, const Flight *flight, Finding *finding) {
        assert_ptr_equal(userdata, &flights);
        assert_true(list_empty(&flight->followers));
        assert_non_null(finding);
        n_landed++;
        last_harvest = flight->harvest;
}

static void on_landed(FlightFollower *base, Finding *finding) {
        Follower *follower = CONTAINER_OF(base, Follower, base);

        assert_null(base->flight);
        follower->n_landed++;
        follower->at = io_now(world.io);
        follower->finding = finding_unref(follower->finding);
        if (finding)
                follower->finding = finding_ref(finding);
        n_told++;
        if (follower->then)
                follower->then(follower);
}

static int setup(void **state) {
        world_new(4 << 20);
        world_add("slow", SETTINGS("URL=simulate:?delay=100ms"));
        world_add("other", SETTINGS("URL=simulate:?delay=100ms"));
        world_add("fails",
                  SETTINGS("URL=simulate:?delay=100ms&fail=1", "Attempts=3", "BackoffSec=0.1",
                           "BackoffMaxSec=0.1"));
        world_add("narrow", SETTINGS("URL=simulate:?delay=100ms", "Concurrency=1"));
        world_begin();
        question = world_block("why?");
        context = (FetchContext){
                .attempt = { .io = world.io, .arena = world.arena },
                .sources = world.sources,
        };
        gate_init(&context.gate, world.io, 0, &(RatePolicy){});
        flights_init(&flights, &context, 3);
        flights.landed = on_flight_landed;
        flights.userdata = &flights;
        n_landed = n_told = 0;
        no_start = no_finding = last_harvest = false;
        for (unsigned i = 0; i < FOLLOWERS; i++) {
                followers[i] = (Follower){ .base.landed = on_landed };
                list_init(&followers[i].base.node);
                followers[i].base.deadline = io_now(world.io) + NSEC_PER_SEC;
        }
        return 0;
}

static int teardown(void **state) {
        for (unsigned i = 0; i < FOLLOWERS; i++) {
                flight_leave(&followers[i].base, false);
                followers[i].finding = finding_unref(followers[i].finding);
        }
        flights_stop(&flights);
        assert_int_equal(flights.n_alone, 0);
        assert_int_equal(flights.by_key.count, 0);
        flights_deinit(&flights);
        world_settle();
        gate_deinit(&context.gate);
        assert_int_equal(question->references, 1);
        question = arena_block_unref(question);
        world_free();
        return 0;
}

static int
follow_with(Follower *follower, const char *source, const char *request, bool batch, bool alone) {
        CLEANUP_FREE char *key = NULL;

        assert_true(asprintf(&key, "%s\n%s", source, request) >= 0);
        const FlightRequest what = {
                .source = world_source(source),
                .key = &key,
                .question = question,
                .max_passages = 5,
                .batch = batch,
                .alone = alone,
        };
        return flight_follow(&flights, &what, follower ? &follower->base : NULL);
}

static int follow(unsigned i, const char *source, const char *request) {
        return follow_with(&followers[i], source, request, false, false);
}

/* One that nobody follows. */
static int start(const char *source, const char *request) {
        return follow_with(NULL, source, request, true, false);
}

static void leave(unsigned i, bool harvest) {
        flight_leave(&followers[i].base, harvest);
        assert_null(followers[i].base.flight);
}

static uint64_t requests(const char *source) {
        return world_source(source)->counters[COUNTER_REQUESTS];
}

/* ---- one request for all ---- */

static void test_shared(void **state) {
        uint64_t begun = io_now(world.io);

        assert_int_equal(follow(0, "slow", "x"), 0);
        for (unsigned i = 1; i < FOLLOWERS; i++) {
                world_run(10 * NSEC_PER_MSEC);
                assert_int_equal(follow(i, "slow", "x"), 1);
        }
        assert_int_equal(n_told, 0);
        world_settle();
        assert_int_equal(requests("slow"), 1);
        assert_int_equal(n_told, FOLLOWERS);
        assert_int_equal(n_landed, 1);
        assert_false(last_harvest);
        for (unsigned i = 0; i < FOLLOWERS; i++) {
                assert_int_equal(followers[i].n_landed, 1);
                assert_int_equal(followers[i].at, begun + 100 * NSEC_PER_MSEC);
                assert_ptr_equal(followers[i].finding, followers[0].finding);
        }
        const Finding *finding = followers[0].finding;
        assert_int_equal(finding->fetch.verdict, VERDICT_OK);
        assert_string_equal(finding->key, "slow\nx");
        assert_int_equal(finding->arrived, begun + 100 * NSEC_PER_MSEC);
        assert_int_equal(finding->references, FOLLOWERS);

        assert_int_equal(follow(0, "slow", "x"), 0); /* what has landed cannot be joined */
        assert_int_equal(requests("slow"), 1);
        world_settle();
        assert_int_equal(requests("slow"), 2);
}

/* The same request, or the same source, is not enough. */
static void test_not_shared(void **state) {
        assert_int_equal(follow(0, "slow", "x"), 0);
        assert_int_equal(follow(1, "slow", "y"), 0);
        assert_int_equal(follow(2, "other", "x"), 0);
        assert_int_equal(follow(3, "slow", "y"), 1);
        world_settle();
        assert_int_equal(requests("slow"), 2);
        assert_int_equal(requests("other"), 1);
        assert_int_equal(n_told, 4);
        assert_int_equal(n_landed, 3);
}

static void test_failure_shared(void **state) {
        world_source("slow")->simulation.status = 404;
        assert_int_equal(follow(0, "slow", "x"), 0);
        assert_int_equal(follow(1, "slow", "x"), 1);
        world_settle();
        assert_int_equal(n_told, 2);
        assert_int_equal(n_landed, 1);
        assert_int_equal(followers[1].finding->fetch.verdict, VERDICT_HTTP);
        assert_int_equal(followers[1].finding->fetch.status, 404);
        assert_null(followers[1].finding->fetch.document);
}

/* An interactive query makes it an interactive request, a batch one not a batch one. */
static void test_batch(void **state) {
        assert_int_equal(follow_with(&followers[0], "slow", "x", true, false), 0);
        const Flight *flight = followers[0].base.flight;
        assert_true(flight->fetch.batch);
        assert_int_equal(follow_with(&followers[1], "slow", "x", true, false), 1);
        assert_true(flight->fetch.batch);
        assert_int_equal(follow_with(&followers[2], "slow", "x", false, false), 1);
        assert_false(flight->fetch.batch);
        assert_int_equal(follow_with(&followers[3], "slow", "x", true, false), 1);
        assert_false(flight->fetch.batch);
}

/* ---- those who must not share ---- */

static void test_bypass(void **state) {
        assert_int_equal(follow_with(&followers[0], "slow", "x", false, true), 0);
        assert_int_equal(follow_with(&followers[1], "slow", "x", false, true), 0);
        assert_int_equal(follow(2, "slow", "x"), 0);
        assert_int_equal(follow_with(&followers[3], "slow", "x", false, true), 0);
        assert_int_equal(follow(4, "slow", "x"), 1);
        world_settle();
        assert_int_equal(requests("slow"), 4);
        assert_int_equal(n_told, 5);
        assert_ptr_equal(followers[2].finding, followers[4].finding);
        assert_ptr_not_equal(followers[0].finding, followers[1].finding);
        assert_string_equal(followers[0].finding->key, "slow\nx"); /* can be kept */
}

/* It does not take the other one's place when it leaves or lands. */
static void test_bypass_goes_first(void **state) {
        assert_int_equal(follow_with(&followers[0], "slow", "x", false, true), 0);
        world_run(50 * NSEC_PER_MSEC);
        assert_int_equal(follow(1, "slow", "x"), 0);
        assert_int_equal(follow_with(&followers[2], "slow", "x", false, true), 0);
        leave(2, false);
        world_run(60 * NSEC_PER_MSEC);
        assert_int_equal(followers[0].n_landed, 1);
        assert_int_equal(follow(3, "slow", "x"), 1);
        world_settle();
        assert_int_equal(requests("slow"), 2);
}

/* Left alone it goes on to be harvested, and is joined by nobody. */
static void test_bypass_harvested(void **state) {
        assert_int_equal(follow_with(&followers[0], "slow", "x", false, true), 0);
        world_run(10 * NSEC_PER_MSEC);
        leave(0, true);
        assert_int_equal(flights.n_alone, 1);
        assert_int_equal(follow(1, "slow", "x"), 0);
        assert_int_equal(flights.n_alone, 1);
        world_settle();
        assert_int_equal(n_landed, 2);
        assert_int_equal(flights.n_alone, 0);
}

/* ---- leaving ---- */

static void test_leave(void **state) {
        for (unsigned i = 0; i < FOLLOWERS; i++)
                assert_int_equal(follow(i, "slow", "x"), i > 0);
        world_run(10 * NSEC_PER_MSEC);
        leave(0, false);
        leave(3, false);
        leave(3, false); /* harmless */
        world_settle();
        assert_int_equal(n_told, FOLLOWERS - 2);
        assert_int_equal(followers[0].n_landed + followers[3].n_landed, 0);
        assert_int_equal(requests("slow"), 1);
}

/* At any time of its flight. */
static void test_withdrawn(void **state) {
        for (unsigned ms = 0; ms < 100; ms += 9) {
                assert_int_equal(follow(0, "slow", "x"), 0);
                assert_int_equal(follow(1, "slow", "x"), 1);
                world_run(ms * NSEC_PER_MSEC);
                leave(0, false);
                leave(1, false);
                assert_int_equal(world_source("slow")->in_flight, 0);
                assert_true(list_empty(&flights.all));
                assert_int_equal(flights.by_key.count, 0);
                assert_int_equal(flights.n_alone, 0);
                world_settle();
                assert_int_equal(n_landed + n_told, 0);
        }
}

static void test_harvested(void **state) {
        assert_int_equal(follow(0, "slow", "x"), 0);
        assert_int_equal(follow(1, "slow", "x"), 1);
        world_run(10 * NSEC_PER_MSEC);
        leave(0, true); /* late; once is enough */
        assert_int_equal(flights.n_alone, 0);
        leave(1, false); /* withdrawn */
        assert_int_equal(flights.n_alone, 1);
        world_settle();
        assert_int_equal(n_landed, 1);
        assert_int_equal(n_told, 0);
        assert_true(last_harvest);
        assert_int_equal(flights.n_alone, 0);
}

/* Only what is under way is worth waiting for. */
static void test_not_harvested_in_line(void **state) {
        assert_int_equal(follow(0, "narrow", "x"), 0);
        assert_int_equal(follow(1, "narrow", "y"), 0);
        world_run(10 * NSEC_PER_MSEC);
        leave(0, true);
        leave(1, true); /* waits for its place */
        assert_int_equal(flights.n_alone, 1);
        world_settle();
        assert_int_equal(requests("narrow"), 1);
        assert_int_equal(n_landed, 1);

        assert_int_equal(follow(0, "slow", "x"), 0);
        leave(0, true); /* has not even begun */
        assert_true(list_empty(&flights.all));
}

/* What goes on alone is not tried again. */
static void test_alone_fails(void **state) {
        assert_int_equal(follow(0, "fails", "x"), 0);
        world_run(10 * NSEC_PER_MSEC);
        leave(0, true);
        world_settle();
        assert_int_equal(requests("fails"), 1);
        assert_int_equal(n_landed, 1);
        assert_int_equal(flights.n_alone, 0);
}

/* ---- deadlines of their own ---- */

static void test_deadlines(void **state) {
        uint64_t now = io_now(world.io);

        for (unsigned i = 0; i < 3; i++)
                followers[i].base.deadline = now + (i + 1) * NSEC_PER_SEC;
        assert_int_equal(follow(1, "slow", "x"), 0);
        const Fetch *fetch = &followers[1].base.flight->fetch;
        assert_int_equal(fetch->give_up, now + 2 * NSEC_PER_SEC);
        assert_int_equal(follow(0, "slow", "x"), 1);
        assert_int_equal(fetch->give_up, now + 2 * NSEC_PER_SEC);
        assert_int_equal(follow(2, "slow", "x"), 1);
        assert_int_equal(fetch->give_up, now + 3 * NSEC_PER_SEC);
        leave(2, true);
        assert_int_equal(fetch->give_up, now + 2 * NSEC_PER_SEC);
        leave(0, true);
        assert_int_equal(fetch->give_up, now + 2 * NSEC_PER_SEC);
        world_run(10 * NSEC_PER_MSEC);
        leave(1, true);
        assert_int_equal(fetch->give_up, 0);
        assert_int_equal(follow(0, "slow", "x"), 1);
        assert_int_equal(fetch->give_up, now + NSEC_PER_SEC);
}

/* The one with time left is worth another attempt, the one without is not. */
static void test_deadline_bounds_attempts(void **state) {
        followers[0].base.deadline = io_now(world.io) + 100 * NSEC_PER_MSEC;
        assert_int_equal(follow(0, "fails", "x"), 0);
        world_settle();
        assert_int_equal(requests("fails"), 1);
        assert_int_equal(followers[0].n_landed, 1);

        followers[0].base.deadline = io_now(world.io) + 100 * NSEC_PER_MSEC;
        followers[1].base.deadline = io_now(world.io) + 10 * NSEC_PER_SEC;
        assert_int_equal(follow(0, "fails", "x"), 0);
        assert_int_equal(follow(1, "fails", "x"), 1);
        world_settle();
        assert_int_equal(requests("fails"), 4);
}

/* ---- alone ---- */

static void test_start_alone(void **state) {
        assert_int_equal(start("slow", "x"), 0);
        assert_int_equal(flights.n_alone, 1);
        assert_int_equal(start("slow", "x"), 0); /* there is one */
        assert_int_equal(flights.n_alone, 1);
        world_settle();
        assert_int_equal(requests("slow"), 1);
        assert_int_equal(n_landed, 1);
        assert_true(last_harvest);
        assert_int_equal(flights.n_alone, 0);

        /* Nor is one needed beside one that is followed. */
        assert_int_equal(follow(0, "slow", "x"), 0);
        assert_int_equal(start("slow", "x"), 0);
        assert_int_equal(flights.n_alone, 0);
        world_settle();
        assert_int_equal(requests("slow"), 2);
}

/* One that nobody has given up is tried again like any other. */
static void test_start_alone_fails(void **state) {
        assert_int_equal(start("fails", "x"), 0);
        world_settle();
        assert_int_equal(requests("fails"), 3);
        assert_int_equal(flights.n_alone, 0);
}

static void test_join_alone(void **state) {
        assert_int_equal(start("slow", "x"), 0);
        world_run(10 * NSEC_PER_MSEC);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(follow(0, "slow", "x"), 1);
                assert_int_equal(flights.n_alone, 0);
                assert_int_equal(follow(1, "slow", "x"), 1);
                assert_int_equal(flights.n_alone, 0);
                leave(0, false);
                assert_int_equal(flights.n_alone, 0);
                leave(1, false);
                assert_int_equal(flights.n_alone, 1); /* it was to be harvested before */
        }
        assert_int_equal(follow(0, "slow", "x"), 1);
        world_settle();
        assert_int_equal(followers[0].n_landed, 1);
        assert_int_equal(flights.n_alone, 0);
        assert_int_equal(requests("slow"), 1);
}

static void test_alone_max(void **state) {
        char request[16];

        for (unsigned i = 0; i < ALONE_MAX; i++) {
                (void) snprintf(request, sizeof(request), "%u", i);
                assert_int_equal(start("slow", request), 0);
        }
        assert_int_equal(start("slow", "one more"), -ECANCELED);
        assert_int_equal(start("slow", "7"), 0); /* there is one */

        /* One that is left now cannot go on; who is waited for does not count. */
        assert_int_equal(follow(0, "other", "x"), 0);
        world_run(10 * NSEC_PER_MSEC);
        leave(0, true);
        assert_int_equal(world_source("other")->in_flight, 0);
        assert_int_equal(flights.n_alone, ALONE_MAX);
        assert_int_equal(follow(0, "slow", "7"), 1);
        assert_int_equal(flights.n_alone, ALONE_MAX - 1);
        assert_int_equal(start("other", "y"), 0);
        leave(0, true); /* and now there is no place for it any more */
        assert_int_equal(flights.n_alone, ALONE_MAX);
        world_settle();
        assert_int_equal(n_landed, ALONE_MAX);
        assert_int_equal(flights.n_alone, 0);
        assert_int_equal(start("slow", "one more"), 0);
}

/* ---- stopping ---- */

static void test_stop(void **state) {
        assert_int_equal(start("slow", "x"), 0);
        assert_int_equal(start("slow", "y"), 0);
        assert_int_equal(follow(0, "slow", "z"), 0);
        assert_int_equal(follow(1, "other", "z"), 0);
        world_run(10 * NSEC_PER_MSEC);
        flights_stop(&flights);
        assert_int_equal(flights.n_alone, 0);
        assert_int_equal(world_source("slow")->in_flight, 1);
        assert_int_equal(start("slow", "x"), -ECANCELED);
        leave(1, /* harvest= */ true);
        assert_int_equal(world_source("other")->in_flight, 0);
        world_settle();
        assert_int_equal(n_landed, 1);
        assert_int_equal(followers[0].n_landed, 1);
        flights_stop(&flights); /* harmless */
}

/* ---- from within ---- */

static unsigned other_one; /* the other follower */

static void leave_other(Follower *follower) {
        leave(other_one, true);
}

static void follow_again(Follower *follower) {
        follower->then = NULL;
        assert_int_equal(follow_with(follower, "slow", "x", false, false), 0);
}

static void stop_all(Follower *follower) {
        flights_stop(&flights);
}

static void test_from_within(void **state) {
        /* Another follower of the same. */
        followers[0].then = leave_other;
        other_one = 1;
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(follow(i, "slow", "x"), i > 0);
        world_settle();
        assert_int_equal(followers[0].n_landed + followers[2].n_landed, 2);
        assert_int_equal(followers[1].n_landed, 0);
        assert_int_equal(flights.n_alone, 0);

        /* The last one: nothing is left to be told, and nothing flies on. */
        for (unsigned i = 0; i < 2; i++)
                assert_int_equal(follow(i, "slow", "x"), i > 0);
        world_settle();
        assert_int_equal(followers[1].n_landed, 0);
        assert_int_equal(flights.n_alone, 0);

        /* Another flight, which ends by that. */
        other_one = 3;
        assert_int_equal(follow(0, "slow", "x"), 0);
        world_run(50 * NSEC_PER_MSEC);
        assert_int_equal(follow(3, "slow", "y"), 0);
        world_settle();
        assert_int_equal(followers[3].n_landed, 0);
}

static void test_again_from_within(void **state) {
        followers[0].then = follow_again;
        assert_int_equal(follow(0, "slow", "x"), 0);
        assert_int_equal(follow(1, "slow", "x"), 1);
        world_settle();
        assert_int_equal(followers[0].n_landed, 2);
        assert_int_equal(followers[1].n_landed, 1);
        assert_int_equal(requests("slow"), 2);

        followers[0].then = stop_all;
        assert_int_equal(start("slow", "y"), 0);
        assert_int_equal(follow(0, "slow", "x"), 0);
        assert_int_equal(follow(1, "slow", "x"), 1);
        world_settle();
        assert_int_equal(followers[1].n_landed, 2);
        assert_int_equal(flights.n_alone, 0);
}

/* ---- no memory ---- */

static void test_no_start(void **state) {
        no_start = true;
        assert_int_equal(follow(0, "slow", "x"), -ENOMEM);
        assert_null(followers[0].base.flight);
        assert_int_equal(start("slow", "x"), -ENOMEM);
        assert_int_equal(flights.n_alone, 0);
        assert_int_equal(flights.by_key.count, 0);
        assert_true(list_empty(&flights.all));
        assert_int_equal(question->references, 1);
        no_start = false;
        assert_int_equal(follow(0, "slow", "x"), 0);
        world_settle();
        assert_int_equal(followers[0].n_landed, 1);
}

static void test_no_finding(void **state) {
        no_finding = true;
        assert_int_equal(follow(0, "slow", "x"), 0);
        assert_int_equal(follow(1, "slow", "x"), 1);
        assert_int_equal(start("slow", "y"), 0);
        world_settle();
        assert_int_equal(n_told, 2);
        assert_null(followers[0].finding);
        assert_int_equal(n_landed, 0);
        assert_int_equal(flights.n_alone, 0);
        assert_true(list_empty(&flights.all));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_shared),
                TEST(test_not_shared),
                TEST(test_failure_shared),
                TEST(test_batch),
                TEST(test_bypass),
                TEST(test_bypass_goes_first),
                TEST(test_bypass_harvested),
                TEST(test_leave),
                TEST(test_withdrawn),
                TEST(test_harvested),
                TEST(test_not_harvested_in_line),
                TEST(test_alone_fails),
                TEST(test_deadlines),
                TEST(test_deadline_bounds_attempts),
                TEST(test_start_alone),
                TEST(test_start_alone_fails),
                TEST(test_join_alone),
                TEST(test_alone_max),
                TEST(test_stop),
                TEST(test_from_within),
                TEST(test_again_from_within),
                TEST(test_no_start),
                TEST(test_no_finding),
        };
        return cmocka_run_group_tests_name("flight", tests, NULL, NULL);
}
