/* SPDX-License-Identifier: Apache-2.0 */

/* The leave that a fetch needs: of the breaker, of quotas, of the gates. */

#include <string.h>

#include "calls.h"
#include "macro.h"

/* ---- the breaker ---- */

static unsigned n_changes;
static const Source *changed;

static void on_breaker_changed(void *userdata, const Source *source) {
        assert_ptr_equal(userdata, world);
        n_changes++;
        changed = source;
}

static int setup(void **state) {
        int r = calls_setup(state);

        n_changes = 0;
        changed = NULL;
        world->context.breaker_changed = on_breaker_changed;
        world->context.userdata = world;
        return r;
}

static BreakerState state_of(const Source *source) {
        return breaker_state(&source->breaker, world_now());
}

static void expect_refused(Source *source, const char *error) {
        uint64_t refused = source->counters[COUNTER_BREAKER_REFUSED];
        uint64_t requests = source->counters[COUNTER_REQUESTS];
        Call call;

        call_run(&call, source);
        expect_end(&call, VERDICT_BREAKER_OPEN, error);
        assert_int_equal(call.ended, call.begun);
        assert_int_equal(call.fetch.outcome.attempts, 0);
        expect_story(&call.fetch.outcome.story, "breaker:0");
        assert_int_equal(source->counters[COUNTER_BREAKER_REFUSED], refused + 1);
        assert_int_equal(source->counters[COUNTER_REQUESTS], requests);
        call_drop(&call);
}

static void test_fifth_failure_opens(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?fail=1&delay=1ms", "Attempts=1"));

        for (unsigned i = 1; i <= 5; i++) {
                assert_int_equal(state_of(source), BREAKER_CLOSED);
                assert_int_equal(n_changes, 0);
                assert_int_equal(ask(source), VERDICT_CONNECT);
                assert_int_equal(source->breaker.failures, i);
        }
        assert_int_equal(state_of(source), BREAKER_OPEN);
        assert_int_equal(n_changes, 1);
        assert_ptr_equal(changed, source);
        assert_int_equal(source->counters[COUNTER_BREAKER_OPENED], 1);
        expect_refused(source, "its breaker is open for another 1min");

        /* The probe fails: for twice as long. */
        world_run_for(60 * SEC);
        assert_int_equal(state_of(source), BREAKER_HALF_OPEN);
        assert_int_equal(ask(source), VERDICT_CONNECT);
        assert_int_equal(n_changes, 2);
        assert_int_equal(source->counters[COUNTER_BREAKER_OPENED], 2);
        expect_refused(source, "its breaker is open for another 2min");

        /* It succeeds. */
        world_run_for(120 * SEC);
        source->simulation.fail = 0;
        assert_int_equal(ask(source), VERDICT_OK);
        assert_int_equal(state_of(source), BREAKER_CLOSED);
        assert_int_equal(n_changes, 3);
        assert_int_equal(source->counters[COUNTER_BREAKER_OPENED], 2);
        assert_int_equal(ask(source), VERDICT_OK);
}

static void test_held_open(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1ms"));

        assert_true(breaker_force(&source->breaker, BREAKER_FORCED_OPEN, world_now()));
        expect_refused(source, "its breaker is held open");
}

/* Attempts are counted, and so are those of one fetch. */
static void test_retries_open(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?fail=1&delay=1ms", "Attempts=10", "BackoffSec=0"));
        Call call;

        fill_budget(source);
        unsigned budget = retry_budget_left(&source->budget, world_now());
        call_run(&call, source);
        expect_end(&call, VERDICT_CONNECT,
                   "simulated failure; not tried again: its breaker is open for another 1min");
        assert_int_equal(call.fetch.outcome.attempts, 5);
        assert_int_equal(state_of(source), BREAKER_OPEN);
        assert_int_equal(source->counters[COUNTER_REQUESTS], 5);
        assert_int_equal(source->counters[COUNTER_RETRIES], 4); /* that were made */
        assert_int_equal(source->counters[COUNTER_BREAKER_REFUSED], 1);
        assert_int_equal(budget - retry_budget_left(&source->budget, world_now()), 4);
        call_drop(&call);
}

/* What the breaker will refuse is not waited for. */
static void test_no_pause_before_refusal(void **state) {
        static const struct {
                const char *open;
                unsigned attempts;
        } rows[] = {
                { "OpenSec=5", 2 }, /* over before the pause is: a probe */
                { "OpenSec=10001ms", 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                world_anew();
                Source *source = world_only(
                                SETTINGS("URL=http://10.0.0.1/", "BackoffSec=0", "TimeoutSec=60",
                                         "Failures=1", rows[i].open, "Attempts=2"));
                Call call;

                SAYS(1, { "HTTP/1.1 503 x\r\nRetry-After: 10\r\nContent-Length: 0\r\n\r\n" },
                     { REPLY_OK });
                call_run(&call, source);
                assert_int_equal(call.fetch.outcome.attempts, rows[i].attempts);
                assert_int_equal(call.ended > call.begun + 10 * SEC, rows[i].attempts == 2);
                call_drop(&call);
        }
}

#define HEAD(more) "HTTP/1.1 200 OK\r\n" more "\r\n"

/* What is a failure, what shows health, and what says nothing. */
static void test_what_counts(void **state) {
        static const struct {
                Reply reply;
                unsigned failures; /* after two before it */
        } rows[] = {
                { { NULL }, 3 },
                { { REPLY_STATUS(500) }, 3 },
                { { REPLY_STATUS(502) }, 3 },
                { { REPLY_STATUS(503) }, 3 },
                { { REPLY_STATUS(599) }, 3 },
                { { HEAD("Content-Length: 5\r\n") "hel" }, 3 }, /* time out within the body */

                { { REPLY_OK }, 0 },
                { { "HTTP/1.1 204 x\r\n\r\n" }, 0 },
                { { REPLY_STATUS(301) }, 0 },
                { { REPLY_STATUS(404) }, 0 },
                { { HEAD("Content-Length: 6\r\n") "hello!" }, 0 }, /* over MaxBytes= */
                { { HEAD("Content-Encoding: br\r\nContent-Length: 1\r\n") "x" }, 0 },

                { { REPLY_STATUS(429) }, 2 },
                { { NULL, 0, REPLY_CLOSES }, 2 },
                { { NULL, 0, REPLY_RESETS }, 2 },
                { { HEAD("Content-Length: 5\r\n") "hel", 0, REPLY_CLOSES }, 2 },
                { { HEAD("Transfer-Encoding: chunked\r\n") "xyz\r\n" }, 2 },
                { { "220 mail.example ESMTP\r\n" }, 2 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                world_anew();
                Source *source = world_only(SETTINGS(
                                "URL=http://10.0.0.1/", "Attempts=1", "MaxBytes=5", "TimeoutSec=1"));

                SAYS(1, { REPLY_STATUS(500) }, { REPLY_STATUS(500) }, rows[i].reply);
                for (unsigned k = 0; k < 3; k++)
                        (void) ask(source);
                if (source->breaker.failures != rows[i].failures)
                        fail_msg("row %zu: %u failures", i, (unsigned) source->breaker.failures);
        }
}

static void test_no_connection_counts(void **state) {
        static const char *const urls[] = { "URL=http://10.0.0.1:81/", "URL=http://unknown/" };

        for (size_t i = 0; i < ELEMENTSOF(urls); i++) {
                world_anew();
                Source *source = world_only(SETTINGS(urls[i], "Attempts=1"));

                for (unsigned k = 0; k < 5; k++) {
                        assert_int_equal(state_of(source), BREAKER_CLOSED);
                        (void) ask(source);
                }
                assert_int_equal(state_of(source), BREAKER_OPEN); /* it alone is to blame */
        }
}

static void half_open(Source *source) {
        for (unsigned i = 0; i < 5; i++)
                (void) breaker_failure(
                                &source->breaker, &source->breaker_policy,
                                (BreakerTicket){ source->breaker.ticket, false }, world_now(), false);
        source->breaker.open_until = world_now();
        assert_int_equal(state_of(source), BREAKER_HALF_OPEN);
}

/* A probe that says nothing lets the next one be one, at once. */
static void test_probe_without_a_word(void **state) {
        Source *source = world_only(SETTINGS("URL=http://10.0.0.1/", "Attempts=1"));

        half_open(source);
        SAYS(1, { REPLY_STATUS(429) }, { NULL, 0, REPLY_RESETS }, { REPLY_OK });
        assert_int_equal(ask(source), VERDICT_QUOTA);
        assert_int_equal(state_of(source), BREAKER_HALF_OPEN);
        assert_int_equal(ask(source), VERDICT_HTTP);
        assert_int_equal(state_of(source), BREAKER_HALF_OPEN);
        assert_int_equal(ask(source), VERDICT_OK);
        assert_int_equal(state_of(source), BREAKER_CLOSED);
}

#define CROWD 1000u

static Call crowd[CROWD];

static void crowd_begin(Source *source) {
        for (unsigned i = 0; i < CROWD; i++)
                call_begin(&crowd[i], source);
}

/* One of them has gone through, as the probe. */
static void expect_one_probe(Source *source, Verdict verdict) {
        unsigned refused = 0, asked = 0;

        for (unsigned i = 0; i < CROWD; i++) {
                const FetchOutcome *outcome = &crowd[i].fetch.outcome;

                call_wait(&crowd[i]);
                asked += outcome->attempts;
                refused += outcome->verdict == VERDICT_BREAKER_OPEN;
                if (outcome->attempts > 0)
                        assert_int_equal(outcome->verdict, verdict);
        }
        assert_int_equal(asked, 1);
        assert_int_equal(refused, CROWD - 1);
        assert_int_equal(source->counters[COUNTER_REQUESTS], 1);
        assert_int_equal(source->counters[COUNTER_BREAKER_REFUSED], CROWD - 1);
        calls_drop(crowd, CROWD);
}

static void test_one_probe(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1s"));

        half_open(source);
        crowd_begin(source);
        expect_one_probe(source, VERDICT_OK);
        assert_int_equal(state_of(source), BREAKER_CLOSED);

        source = world_only(SETTINGS("URL=simulate:?delay=1s&status=503", "Attempts=1"));
        half_open(source);
        crowd_begin(source);
        expect_one_probe(source, VERDICT_HTTP);
        assert_int_equal(state_of(source), BREAKER_OPEN);
}

static void occupy(GatePass passes[], unsigned n) {
        for (unsigned i = 0; i < n; i++) {
                passes[i] = (GatePass){};
                assert_int_equal(gate_try(&world->context.gate, &passes[i]), 0);
        }
}

static void vacate(GatePass passes[], unsigned n) {
        for (unsigned i = 0; i < n; i++)
                gate_leave(&world->context.gate, &passes[i], /* unused= */ true);
}

/* They waited for places, and all of them get one at the same time. */
static void test_one_probe_of_those_in_line(void **state) {
        static GatePass passes[CROWD];

        Source *source = world_only(SETTINGS("URL=simulate:?delay=1s", "TimeoutSec=60"));
        world->context.gate.places = CROWD;
        occupy(passes, CROWD);
        half_open(source);
        crowd_begin(source);
        world_run_for(SEC);
        assert_int_equal(world->context.gate.line.count, CROWD);
        assert_int_equal(source->counters[COUNTER_QUEUED], CROWD);
        vacate(passes, CROWD);
        expect_one_probe(source, VERDICT_OK);
}

/* It opens while they wait. */
static void test_opens_meanwhile(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s&status=500", "Concurrency=1", "Failures=1",
                                 "TimeoutSec=60"));

        crowd_begin(source);
        expect_one_probe(source, VERDICT_HTTP);
        assert_int_equal(state_of(source), BREAKER_OPEN);
}

/* Nobody ever tells of its end: after its time and a little more another one may try. */
static void test_lost_probe(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1s", "TimeoutSec=5"));
        BreakerTicket lost;

        half_open(source);
        uint64_t lease = fetch_attempt_timeout(source) + SEC;
        assert_true(breaker_admit(
                        &source->breaker, &source->breaker_policy, world_now(), lease, &lost));
        expect_refused(source, "its breaker is half open and the probe is under way");
        world_run_for(lease - 1);
        expect_refused(source, "its breaker is half open and the probe is under way");
        world_run_for(1);
        assert_int_equal(ask(source), VERDICT_OK);
        assert_int_equal(state_of(source), BREAKER_CLOSED);
}

/* The lease of a probe is as long as it may take. */
static void test_lease(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1h", "TimeoutSec=5", "AttemptTimeoutSec=3"));
        Call call;

        half_open(source);
        call_begin(&call, source);
        world_run_for(SEC);
        assert_int_equal(source->breaker.lease_until, call.begun + 4 * SEC);
        call_drop(&call);
}

/* ---- whose fault it is ---- */

/* Two that cannot be reached, one that can, of origins of their own. */
static void open_three(const char *first, const char *second, const char *third) {
        world_add("a", SETTINGS(first, "Attempts=1"));
        world_add("b", SETTINGS(second, "Attempts=1"));
        world_add("c", SETTINGS(third, "Attempts=1"));
        world_open(0);
}

static void fail_both(unsigned times) {
        for (unsigned i = 0; i < times; i++) {
                assert_int_equal(ask(world_source("a")), VERDICT_CONNECT);
                assert_int_equal(ask(world_source("b")), VERDICT_CONNECT);
        }
}

static void expect_states(BreakerState a, BreakerState b) {
        assert_int_equal(state_of(world_source("a")), a);
        assert_int_equal(state_of(world_source("b")), b);
}

static void test_two_fail_and_none_opens(void **state) {
        open_three("URL=http://10.0.0.1:81/", "URL=http://10.0.0.2:81/", "URL=http://10.0.0.3/");
        fail_both(20);
        expect_states(BREAKER_CLOSED, BREAKER_CLOSED);
        assert_int_equal(n_changes, 0);
}

/* A third one answers: the network was there all along. */
static void test_theirs(void **state) {
        open_three("URL=http://10.0.0.1:81/", "URL=http://10.0.0.2:81/", "URL=http://10.0.0.3/");
        SAYS(3, { REPLY_STATUS(404) });
        fail_both(4);
        assert_int_equal(ask(world_source("a")), VERDICT_CONNECT);
        assert_int_equal(ask(world_source("c")), VERDICT_HTTP); /* of whatever status */
        expect_states(BREAKER_OPEN, BREAKER_CLOSED);            /* 5 and 4 failures */
        assert_int_equal(n_changes, 1);
        assert_int_equal(world_source("a")->counters[COUNTER_BREAKER_OPENED], 1);
        assert_int_equal(ask(world_source("b")), VERDICT_CONNECT);
        expect_states(BREAKER_OPEN, BREAKER_OPEN);
}

/* One of them answers again: ours was down. */
static void test_ours(void **state) {
        open_three("URL=http://10.0.0.1:81/", "URL=http://10.0.0.2:81/", "URL=http://10.0.0.3/");
        fail_both(10);
        world_listen(1, 81);
        SAYS(1, { REPLY_OK });
        assert_int_equal(ask(world_source("a")), VERDICT_OK);
        expect_states(BREAKER_CLOSED, BREAKER_CLOSED);
        assert_int_equal(world_source("b")->breaker.failures, 0);
        assert_int_equal(n_changes, 0);
        for (unsigned i = 0; i < 5; i++) {
                expect_states(BREAKER_CLOSED, BREAKER_CLOSED);
                assert_int_equal(ask(world_source("b")), VERDICT_CONNECT);
        }
        expect_states(BREAKER_CLOSED, BREAKER_OPEN); /* by itself */
}

/* Only what the network may have done is forgiven, and that is over with the next answer. */
static void test_own_failures_stay(void **state) {
        open_three("URL=http://10.0.0.1:81/", "URL=http://10.0.0.2:81/", "URL=http://10.0.0.3:81/");
        assert_int_equal(ask(world_source("a")), VERDICT_CONNECT);
        world_listen(1, 81);
        SAYS(1, { REPLY_OK }, { REPLY_STATUS(500) });
        assert_int_equal(ask(world_source("a")), VERDICT_OK);
        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(ask(world_source("a")), VERDICT_HTTP);

        assert_int_equal(ask(world_source("b")), VERDICT_CONNECT);
        assert_int_equal(ask(world_source("c")), VERDICT_CONNECT);
        world_listen(2, 81);
        SAYS(2, { REPLY_OK });
        assert_int_equal(ask(world_source("b")), VERDICT_OK);
        assert_int_equal(world_source("c")->breaker.failures, 0);
        assert_int_equal(world_source("a")->breaker.failures, 3);
}

/* One origin is no network, however many sources it has. */
static void test_one_origin(void **state) {
        open_three("URL=http://10.0.0.1:81/x", "URL=http://10.0.0.1:81/y", "URL=http://10.0.0.3/");
        fail_both(5);
        expect_states(BREAKER_OPEN, BREAKER_OPEN);
}

/* Only what fails at dns or connect is in doubt. */
static void test_time_outs_are_theirs(void **state) {
        open_three("URL=http://10.0.0.1:81/", "URL=http://10.0.0.2:81/", "URL=http://10.0.0.3/");
        SAYS(3, { NULL });
        fail_both(1);
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(ask(world_source("c")), VERDICT_TIMEOUT);
        assert_int_equal(state_of(world_source("c")), BREAKER_OPEN);
        expect_states(BREAKER_CLOSED, BREAKER_CLOSED);
}

/* Simulated failures are nobody's network: neither in doubt themselves nor a reason for it. */
static void test_simulated_are_apart(void **state) {
        open_three("URL=http://10.0.0.1:81/", "URL=http://10.0.0.2:81/", "URL=simulate:?fail=1");
        fail_both(1);
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(ask(world_source("c")), VERDICT_CONNECT);
        assert_int_equal(state_of(world_source("c")), BREAKER_OPEN);

        world_anew();
        open_three("URL=http://10.0.0.1:81/", "URL=simulate:?fail=1", "URL=simulate:?fail=1");
        fail_both(5);
        expect_states(BREAKER_OPEN, BREAKER_OPEN);
}

/* ---- 429 ---- */

#define RETRY(status, when) \
        "HTTP/1.1 " status " x\r\nRetry-After: " when "\r\nContent-Length: 0\r\n\r\n"

/* Others wait until then, those who can. */
static void test_holds(void **state) {
        Source *source = world_only(SETTINGS("URL=http://10.0.0.1/", "TimeoutSec=5", "Attempts=1"));
        Call patient, hasty;

        SAYS(1, { RETRY("429", "2") }, { REPLY_OK });
        assert_int_equal(ask(source), VERDICT_QUOTA);
        uint64_t hold = source->hold_until;
        assert_true(hold == world_now() + 2 * SEC);

        call_begin(&patient, source);
        call_init(&hasty, source);
        hasty.fetch.give_up = hold;
        call_start(&hasty);
        call_wait(&hasty);
        expect_end(&hasty, VERDICT_QUOTA, "it answered 429 and wants no request for another 2s");
        assert_int_equal(hasty.ended, hasty.begun);
        expect_story(&hasty.fetch.outcome.story, "quota:0");
        assert_int_equal(source->counters[COUNTER_QUOTA_REFUSED], 1);

        world_run_to(hold - 1);
        assert_int_equal(world->servers[1].n_requests, 1);
        call_wait(&patient);
        expect_end(&patient, VERDICT_OK, NULL);
        assert_int_equal(call_asked(&patient, 1), hold);
        assert_int_equal(call_span(&patient, STAGE_BACKOFF, 1).start, patient.begun);
        call_drop(&patient);
        call_drop(&hasty);
}

/* Those in line as well. */
static void test_holds_those_in_line(void **state) {
        Source *source = world_only(SETTINGS(
                        "URL=http://10.0.0.1/", "TimeoutSec=10", "Attempts=1", "Concurrency=1"));
        Call calls[3];

        SAYS(1, { RETRY("429", "2"), SEC }, { REPLY_OK, SEC });
        for (unsigned i = 0; i < 2; i++)
                call_begin(&calls[i], source);
        call_init(&calls[2], source);
        calls[2].fetch.give_up = world_now() + 3 * SEC;
        call_start(&calls[2]);
        for (unsigned i = 0; i < 3; i++)
                call_wait(&calls[i]);
        expect_end(&calls[0], VERDICT_QUOTA, "429");
        expect_end(&calls[1], VERDICT_OK, NULL);
        assert_true(call_asked(&calls[1], 1) >= calls[0].ended + 2 * SEC);
        expect_end(&calls[2], VERDICT_QUOTA, "it answered 429 and wants no request");
        assert_int_equal(calls[2].ended, calls[0].ended);
        assert_int_equal(world->servers[1].n_requests, 2);
        calls_drop(calls, 3);
}

/* No failure, and no success either. */
static void test_429_and_the_breaker(void **state) {
        Source *source = world_only(SETTINGS("URL=http://10.0.0.1/", "Attempts=1"));

        SAYS(1, { REPLY_STATUS(500) }, { REPLY_STATUS(500) }, { REPLY_STATUS(429) });
        for (unsigned i = 0; i < 20; i++)
                (void) ask(source);
        assert_int_equal(source->breaker.failures, 2);
        assert_int_equal(state_of(source), BREAKER_CLOSED);
        assert_int_equal(source->counters[COUNTER_REQUESTS], 20); /* without Retry-After no hold */
}

/* It is believed for an hour; 503 with the same speaks to the one who asked. */
static void test_length_of_hold(void **state) {
        static const struct {
                const char *reply;
                uint64_t hold; /* ns; 0: none */
        } rows[] = {
                { RETRY("429", "3599"), 3599 * SEC },
                { RETRY("429", "3601"), 3600 * SEC },
                { RETRY("429", "Sun, 22 Jul 2610 23:34:34 GMT"), 3600 * SEC },
                { RETRY("429", "0"), 0 },
                { RETRY("429", "soon"), 0 },
                { REPLY_STATUS(429), 0 },
                { RETRY("503", "5"), 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                world_anew();
                Source *source = world_only(SETTINGS("URL=http://10.0.0.1/", "Attempts=1"));
                uint64_t start = world_now();

                SAYS(1, { rows[i].reply });
                (void) ask(source);
                uint64_t hold = source->hold_until > 0 ? source->hold_until - start : 0;
                assert_true(hold >= rows[i].hold && hold <= rows[i].hold + (hold ? 10 * MSEC : 0));
        }
}

/* A later, shorter one does not lift it. */
static void test_holds_add_up(void **state) {
        Source *source = world_only(SETTINGS("URL=http://10.0.0.1/", "Attempts=1"));
        Call calls[2];

        SAYS(1, { RETRY("429", "10") }, { RETRY("429", "1"), 10 * MSEC });
        for (unsigned i = 0; i < 2; i++)
                call_begin(&calls[i], source);
        for (unsigned i = 0; i < 2; i++)
                call_wait(&calls[i]);
        assert_true(source->hold_until >= calls[0].begun + 10 * SEC);
        calls_drop(calls, 2);
}

/* ---- Daily= ---- */

static unsigned n_quota_changes;

static void on_quota_changed(void *userdata) {
        n_quota_changes++;
}

#define DAY (86400 * SEC)

static void test_daily(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1s", "Daily=3"));
        Call call;

        n_quota_changes = 0;
        world->context.quota_changed = on_quota_changed;
        uint64_t midnight = world_now() + DAY;
        for (unsigned i = 1; i <= 3; i++) {
                assert_int_equal(ask(source), VERDICT_OK);
                assert_int_equal(n_quota_changes, i);
        }
        for (unsigned i = 0; i < 2; i++) {
                call_run(&call, source);
                expect_end(&call, VERDICT_QUOTA, "Daily=3 is used up until midnight UTC");
                assert_int_equal(call.ended, call.begun);
                assert_int_equal(call.fetch.outcome.attempts, 0);
                expect_story(&call.fetch.outcome.story, "quota:0");
                call_drop(&call);
                world_run_to(midnight - MSEC);
        }
        assert_int_equal(source->counters[COUNTER_QUOTA_REFUSED], 2);
        assert_int_equal(n_quota_changes, 3);
        world_run_to(midnight);
        assert_int_equal(ask(source), VERDICT_OK);
}

/* Retries draw on it, too. */
static void test_daily_and_retries(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1ms&fail=1", "Daily=2", "BackoffSec=0"));
        Call call;

        call_run(&call, source);
        expect_end(&call, VERDICT_CONNECT,
                   "simulated failure; not tried again: Daily=2 is used up until midnight UTC");
        assert_int_equal(call.fetch.outcome.attempts, 2);
        assert_int_equal(source->counters[COUNTER_REQUESTS], 2);
        assert_int_equal(source->counters[COUNTER_RETRIES], 1);
        call_drop(&call);
}

/* Those in line when it is used up. */
static void test_daily_and_line(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1s", "Daily=2", "Concurrency=1"));
        Call calls[4];

        for (unsigned i = 0; i < 4; i++)
                call_begin(&calls[i], source);
        for (unsigned i = 0; i < 4; i++) {
                call_wait(&calls[i]);
                expect_end(&calls[i], i < 2 ? VERDICT_OK : VERDICT_QUOTA, i < 2 ? NULL : "Daily=2");
        }
        calls_drop(calls, 4);
}

/* ---- Concurrency= ---- */

/* When the attempts of `n` began, in units of `unit` since the first of the calls was begun. */
static void expect_asked(const Call calls[], size_t n, uint64_t unit, const unsigned expected[]) {
        for (size_t i = 0; i < n; i++) {
                uint64_t asked = call_asked(&calls[i], 1) - calls[0].begun;

                if (asked != expected[i] * unit)
                        fail_msg("call %zu: %llu", i, (unsigned long long) asked);
        }
}

static void wait_all(Call calls[], size_t n) {
        for (size_t i = 0; i < n; i++)
                call_wait(&calls[i]);
}

static void test_concurrency(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s", "Concurrency=2", "TimeoutSec=60"));
        static const unsigned expected[] = { 0, 0, 1, 1, 2, 2, 3 };
        Call calls[7];

        for (unsigned i = 0; i < 7; i++)
                call_begin(&calls[i], source);
        world_run_for(SEC / 2);
        assert_int_equal(source->in_flight, 2);
        wait_all(calls, 7);
        expect_asked(calls, 7, SEC, expected);
        for (unsigned i = 0; i < 7; i++) {
                expect_end(&calls[i], VERDICT_OK, NULL);
                assert_int_equal(calls[i].order, i + 1);
        }
        assert_int_equal(source->counters[COUNTER_QUEUED], 5);
        StorySpan queue = call_span(&calls[6], STAGE_QUEUE, 1);
        assert_int_equal(queue.start, calls[6].begun);
        assert_int_equal(queue.end, calls[6].begun + 3 * SEC);
        calls_drop(calls, 7);
}

static void test_interactive_before_batch(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s", "Concurrency=1", "TimeoutSec=60"));
        static const unsigned expected[] = { 0, 4, 1, 5, 2, 3 };
        Call calls[6];

        for (unsigned i = 0; i < 6; i++) {
                call_init(&calls[i], source);
                calls[i].fetch.batch = i == 0 || i == 1 || i == 3;
                call_start(&calls[i]);
        }
        wait_all(calls, 6);
        expect_asked(calls, 6, SEC, expected);
        calls_drop(calls, 6);
}

/* Their time is over while they wait. */
static void test_over_in_line(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s", "Concurrency=1", "TimeoutSec=2500ms"));
        Call calls[4];

        for (unsigned i = 0; i < 4; i++)
                call_begin(&calls[i], source);
        wait_all(calls, 4);
        expect_end(&calls[0], VERDICT_OK, NULL);
        expect_end(&calls[1], VERDICT_OK, NULL);
        expect_end(&calls[2], VERDICT_TIMEOUT, "no response within 2.5s");
        expect_end(&calls[3], VERDICT_SHED, "no place for it within 2.5s");
        assert_int_equal(calls[3].fetch.outcome.attempts, 0);
        assert_int_equal(calls[3].ended, calls[3].begun + 2500 * MSEC);
        expect_story(&calls[3].fetch.outcome.story, "queue:1");
        calls_drop(calls, 4);
}

/* In line for a retry. */
static void test_over_in_line_again(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s&fail=1", "Concurrency=1",
                                 "TimeoutSec=1500ms", "BackoffSec=0"));
        Call calls[2];

        becomes_at(world_now() + SEC + 1, source, (Simulation){ .delay_ns = SEC, .status = 200 });
        for (unsigned i = 0; i < 2; i++)
                call_begin(&calls[i], source);
        wait_all(calls, 2);
        expect_end(&calls[0], VERDICT_CONNECT,
                   "simulated failure; not tried again: no place for it in time");
        assert_int_equal(calls[0].ended, calls[0].begun + 1500 * MSEC);
        expect_story(&calls[0].fetch.outcome.story, "send:1 wait:1 receive:1 backoff:2 queue:2");
        expect_end(&calls[1], VERDICT_TIMEOUT, "no response within 1.5s");
        calls_drop(calls, 2);
}

/* The place comes too late for an attempt. */
static void test_place_comes_too_late(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s", "Concurrency=1", "TimeoutSec=2500ms"));
        Call calls[3];

        teach(source, SEC, LATENCY_ENOUGH);
        for (unsigned i = 0; i < 3; i++)
                call_begin(&calls[i], source);
        wait_all(calls, 3);
        expect_end(&calls[1], VERDICT_OK, NULL);
        expect_end(&calls[2], VERDICT_SHED, "500ms are left, and half of its answers take");
        assert_int_equal(calls[2].ended, calls[2].begun + 2 * SEC);
        expect_story(&calls[2].fetch.outcome.story, "queue:1");
        calls_drop(calls, 3);
}

/* The line is bounded. */
static void test_full_line(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1s", "Concurrency=1"));
        GatePass *passes = calloc(GATE_LINE_MAX + 1, sizeof(*passes));
        Call call;

        assert_non_null(passes);
        for (unsigned i = 0; i <= GATE_LINE_MAX; i++)
                (void) gate_enter(&source->gate, &passes[i]);
        call_run(&call, source);
        expect_end(&call, VERDICT_SHED, "too many requests wait for their turn at it");
        assert_int_equal(call.ended, call.begun);
        for (unsigned i = 0; i <= GATE_LINE_MAX; i++)
                gate_leave(&source->gate, &passes[i], false);

        world->context.gate.places = 1;
        for (unsigned i = 0; i <= GATE_LINE_MAX; i++) {
                passes[i] = (GatePass){};
                (void) gate_enter(&world->context.gate, &passes[i]);
        }
        call_drop(&call);
        call_run(&call, source);
        expect_end(&call, VERDICT_SHED, "too many requests wait for a place among MaxConcurrent=");
        for (unsigned i = 0; i <= GATE_LINE_MAX; i++)
                gate_leave(&world->context.gate, &passes[i], false);
        call_drop(&call);
        free(passes);
}

/* ---- Rate=, MinIntervalSec= ---- */

static void test_rate(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1ms", "Rate=2/1s", "TimeoutSec=60"));
        static const unsigned expected[] = { 0, 0, 1, 2, 3, 4 };
        Call calls[6];

        for (unsigned i = 0; i < 6; i++)
                call_begin(&calls[i], source);
        wait_all(calls, 6);
        expect_asked(calls, 6, SEC / 2, expected);
        assert_int_equal(source->counters[COUNTER_QUEUED], 4);
        calls_drop(calls, 6);
}

static void test_interval(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s", "MinIntervalSec=300ms", "TimeoutSec=60"));
        static const unsigned expected[] = { 0, 1, 2, 3 };
        Call calls[4];

        for (unsigned i = 0; i < 4; i++)
                call_begin(&calls[i], source);
        wait_all(calls, 4);
        expect_asked(calls, 4, 300 * MSEC, expected);
        calls_drop(calls, 4);
}

/* Retries are requests like any other. */
static void test_interval_of_retries(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1ms&fail=1", "MinIntervalSec=2",
                                 "TimeoutSec=60", "BackoffSec=0"));
        Call call;

        call_run(&call, source);
        assert_int_equal(call.fetch.outcome.attempts, 3);
        for (unsigned i = 1; i <= 3; i++)
                assert_int_equal(call_asked(&call, i), call.begun + (i - 1) * 2 * SEC);
        call_drop(&call);
}

/* What cannot be in time is not waited for. */
static void test_rate_too_slow(void **state) {
        static const struct {
                const char *setting;
                bool batch; /* the last one is, and those in line before it */
                Verdict verdict;
                const char *error;
        } rows[] = {
                { "MinIntervalSec=2", false, VERDICT_SHED, "its rate allows the next request in 6s" },
                { "MinIntervalSec=1600ms", false, VERDICT_OK, NULL },
                { "Rate=1/2s", false, VERDICT_SHED, "its rate allows the next request in 6s" },
                { "MinIntervalSec=2", true, VERDICT_SHED, "its rate allows the next request in 6s" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Source *source = world_only(SETTINGS(
                                "URL=simulate:?delay=1ms", "TimeoutSec=5", rows[i].setting));
                Call calls[4];

                for (unsigned k = 0; k < 4; k++) {
                        call_init(&calls[k], source);
                        calls[k].fetch.batch = rows[i].batch;
                        call_start(&calls[k]);
                }
                wait_all(calls, 4);
                expect_end(&calls[2], VERDICT_OK, NULL);
                expect_end(&calls[3], rows[i].verdict, rows[i].error);
                if (rows[i].verdict == VERDICT_SHED) {
                        assert_int_equal(calls[3].ended, calls[3].begun);
                        assert_int_equal(source->counters[COUNTER_QUEUED], 2);
                }
                calls_drop(calls, 4);
        }
}

/* Batch in line before it does not make it too slow for who is interactive. */
static void test_rate_and_batch(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1ms", "TimeoutSec=5", "MinIntervalSec=2"));
        static const unsigned expected[] = { 0, 2 };
        Call calls[4];

        for (unsigned k = 0; k < 4; k++) {
                call_init(&calls[k], source);
                calls[k].fetch.batch = k < 3;
                call_start(&calls[k]);
        }
        wait_all(calls, 4);
        expect_end(&calls[3], VERDICT_OK, NULL);
        assert_int_equal(call_asked(&calls[3], 1), calls[3].begun + 2 * SEC);
        expect_asked(calls, 2, 2 * SEC, expected);
        expect_end(&calls[2], VERDICT_SHED, "no place for it within 5s");
        calls_drop(calls, 4);
}

/* Leave that was given and not used is given back. */
static void test_rate_of_refused(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s", "MinIntervalSec=3", "TimeoutSec=60"));
        GatePass pass;
        Call calls[2];

        world->context.gate.places = 1;
        occupy(&pass, 1);
        for (unsigned i = 0; i < 2; i++)
                call_begin(&calls[i], source);
        world_run_for(SEC);
        fetch_cancel(&calls[0].fetch); /* it had its turn at the source */
        vacate(&pass, 1);
        call_wait(&calls[1]);
        assert_int_equal(call_asked(&calls[1], 1), calls[1].begun + SEC);
        calls_drop(calls, 2);
}

/* ---- MaxConcurrent= ---- */

static void test_max_concurrent(void **state) {
        /* In order of priority, then first come. */
        static const unsigned expected[] = { 0, 0, 1, 2, 1, 2 };
        Call calls[6];

        world_add("low", SETTINGS("URL=simulate:?delay=1s", "Priority=-1", "TimeoutSec=60"));
        world_add("usual", SETTINGS("URL=simulate:?delay=1s", "TimeoutSec=60"));
        world_add("high", SETTINGS("URL=simulate:?delay=1s", "Priority=1", "TimeoutSec=60"));
        world_open(2);
        Source *low = world_source("low"), *usual = world_source("usual"),
               *high = world_source("high");
        Source *const sources[] = { low, low, usual, usual, high, low };
        for (unsigned i = 0; i < 6; i++)
                call_begin(&calls[i], sources[i]);
        for (unsigned i = 0; i < 3; i++) {
                world_run_for(SEC / 2);
                assert_int_equal(low->in_flight + usual->in_flight + high->in_flight, 2);
                world_run_for(SEC / 2);
        }
        wait_all(calls, 6);
        expect_asked(calls, 6, SEC, expected);
        assert_int_equal(low->counters[COUNTER_QUEUED], 1);
        assert_int_equal(usual->counters[COUNTER_QUEUED], 2);
        assert_int_equal(high->counters[COUNTER_QUEUED], 1);
        calls_drop(calls, 6);
}

/* Who waits at its own source holds no place that others could have. */
static void test_own_gate_first(void **state) {
        static const unsigned expected[] = { 0, 1, 0 };
        Call calls[3];

        world_add("narrow", SETTINGS("URL=simulate:?delay=1s", "Concurrency=1"));
        world_add("other", SETTINGS("URL=simulate:?delay=1s"));
        world_open(2);
        call_begin(&calls[0], world_source("narrow"));
        call_begin(&calls[1], world_source("narrow"));
        call_begin(&calls[2], world_source("other"));
        wait_all(calls, 3);
        expect_asked(calls, 3, SEC, expected);
        calls_drop(calls, 3);
}

/* Waiting in both lines is one wait. */
static void test_both_lines(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s", "Concurrency=1", "TimeoutSec=60"));
        GatePass pass;
        Call calls[2];

        world->context.gate.places = 1;
        occupy(&pass, 1);
        for (unsigned i = 0; i < 2; i++)
                call_begin(&calls[i], source);
        world_run_for(SEC);
        vacate(&pass, 1);
        wait_all(calls, 2);
        expect_story(&calls[0].fetch.outcome.story, "queue:1 send:1 wait:1 receive:1");
        expect_story(&calls[1].fetch.outcome.story, "queue:1 send:1 wait:1 receive:1");
        assert_int_equal(source->counters[COUNTER_QUEUED], 2);
        calls_drop(calls, 2);
}

/* A rate is one of requests, wherever they waited before. */
static void test_interval_and_max_concurrent(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1ms", "MinIntervalSec=1", "TimeoutSec=60"));
        static const unsigned expected[] = { 10, 11, 12, 13 };
        static GatePass passes[4];
        Call calls[4];

        world->context.gate.places = 4;
        occupy(passes, 4);
        for (unsigned i = 0; i < 4; i++)
                call_begin(&calls[i], source);
        world_run_for(10 * SEC);
        vacate(passes, 4);
        wait_all(calls, 4);
        expect_asked(calls, 4, SEC, expected);
        calls_drop(calls, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, calls_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_fifth_failure_opens),
                TEST(test_held_open),
                TEST(test_retries_open),
                TEST(test_no_pause_before_refusal),
                TEST(test_what_counts),
                TEST(test_no_connection_counts),
                TEST(test_probe_without_a_word),
                TEST(test_one_probe),
                TEST(test_one_probe_of_those_in_line),
                TEST(test_opens_meanwhile),
                TEST(test_lost_probe),
                TEST(test_lease),
                TEST(test_two_fail_and_none_opens),
                TEST(test_theirs),
                TEST(test_ours),
                TEST(test_own_failures_stay),
                TEST(test_one_origin),
                TEST(test_time_outs_are_theirs),
                TEST(test_simulated_are_apart),
                TEST(test_holds),
                TEST(test_holds_those_in_line),
                TEST(test_429_and_the_breaker),
                TEST(test_length_of_hold),
                TEST(test_holds_add_up),
                TEST(test_daily),
                TEST(test_daily_and_retries),
                TEST(test_daily_and_line),
                TEST(test_concurrency),
                TEST(test_interactive_before_batch),
                TEST(test_over_in_line),
                TEST(test_over_in_line_again),
                TEST(test_place_comes_too_late),
                TEST(test_full_line),
                TEST(test_rate),
                TEST(test_interval),
                TEST(test_interval_of_retries),
                TEST(test_rate_too_slow),
                TEST(test_rate_and_batch),
                TEST(test_rate_of_refused),
                TEST(test_max_concurrent),
                TEST(test_own_gate_first),
                TEST(test_both_lines),
                TEST(test_interval_and_max_concurrent),
        };
        return cmocka_run_group_tests_name("fetch-leave", tests, NULL, NULL);
}
