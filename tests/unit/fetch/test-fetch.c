/* SPDX-License-Identifier: Apache-2.0 */

/* Whole fetches: attempts, pauses, times and hedges. What leave they need is in
 * test-fetch-leave.c. */

#include <stdio.h>
#include <string.h>

#include "calls.h"
#include "macro.h"

/* ---- the plain case ---- */

static void test_plain(void **state) {
        Source *source = world_only(SETTINGS("URL=http://10.0.0.1/"));
        Call call;

        SAYS(1,
             { "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=ISO-8859-1\r\n"
               "Cache-Control: max-age=7\r\nContent-Length: 5\r\n\r\nhello" });
        call_begin(&call, source);
        assert_false(fetch_under_way(&call.fetch));
        world_turn();
        assert_true(fetch_under_way(&call.fetch));
        call_wait(&call);

        const FetchOutcome *outcome = &call.fetch.outcome;
        expect_end(&call, VERDICT_OK, NULL);
        assert_int_equal(outcome->document->size, 5);
        assert_int_equal(outcome->status, 200);
        assert_int_equal(outcome->bytes, 5);
        assert_int_equal(outcome->media, MEDIA_HTML);
        assert_string_equal(outcome->charset, "iso-8859-1");
        assert_int_equal(outcome->cache.max_age_s, 7);
        assert_int_equal(outcome->attempts, 1);
        assert_int_equal(outcome->start, call.begun);
        assert_int_equal(outcome->end, call.ended);
        expect_story(&outcome->story, "connect:1 send:1 wait:1 receive:1");
        assert_int_equal(source->counters[COUNTER_REQUESTS], 1);
        assert_int_equal(source->counters[COUNTER_QUEUED], 0);
        assert_int_equal(source->latency.count, 1);
        assert_int_equal(source->asked_at, call.begun);
        call_drop(&call);
}

static void test_empty(void **state) {
        Call call;

        call_run(&call, world_only(SETTINGS("URL=simulate:?bytes=0&delay=10ms")));
        expect_end(&call, VERDICT_EMPTY, NULL);
        assert_int_equal(call.fetch.outcome.attempts, 1);
        call_drop(&call);
}

static void test_net_closed(void **state) {
        Source *source = world_only(SETTINGS("URL=http://10.0.0.1/", "Daily=5"));
        Call call;

        world_close_net();
        call_run(&call, source);
        expect_end(&call, VERDICT_SHED, "no memory or descriptor to start the request");
        assert_int_equal(call.fetch.outcome.attempts, 0);
        assert_int_equal(source->counters[COUNTER_REQUESTS], 0);
        assert_int_equal(source_daily_left(source, io_unix_ms(world->io)), 5);
        call_drop(&call);
}

/* ---- what is tried again ---- */

#define HEAD(more) "HTTP/1.1 200 OK\r\n" more "\r\n"

static void test_tried_again(void **state) {
        static const struct {
                Reply reply;
                bool again;
                Verdict verdict; /* when not */
        } rows[] = {
                { { NULL }, true, 0 }, /* AttemptTimeoutSec= */
                { { HEAD("Content-Length: 5\r\n") "hel" }, true, 0 },
                { { NULL, 0, REPLY_CLOSES }, true, 0 },
                { { NULL, 0, REPLY_RESETS }, true, 0 },
                { { HEAD("Content-Length: 5\r\n") "hel", 0, REPLY_CLOSES }, true, 0 },
                { { HEAD("Content-Length: 5\r\n") "hel", 0, REPLY_RESETS }, true, 0 },
                { { REPLY_STATUS(429) }, true, 0 },
                { { REPLY_STATUS(502) }, true, 0 },
                { { REPLY_STATUS(503) }, true, 0 },
                { { REPLY_STATUS(504) }, true, 0 },

                { { REPLY_STATUS(301) }, false, VERDICT_HTTP },
                { { REPLY_STATUS(400) }, false, VERDICT_HTTP },
                { { REPLY_STATUS(404) }, false, VERDICT_HTTP },
                { { REPLY_STATUS(408) }, false, VERDICT_HTTP },
                { { REPLY_STATUS(500) }, false, VERDICT_HTTP },
                { { REPLY_STATUS(501) }, false, VERDICT_HTTP },
                { { REPLY_STATUS(505) }, false, VERDICT_HTTP },
                { { HEAD("Content-Length: 6\r\n") "hello!" }, false, VERDICT_TOO_LARGE },
                { { HEAD("Transfer-Encoding: chunked\r\n") "xyz\r\n" }, false, VERDICT_HTTP },
                { { HEAD("Content-Length: 1\r\nContent-Length: 2\r\n") }, false, VERDICT_HTTP },
                { { "220 mail.example ESMTP\r\n" }, false, VERDICT_HTTP },
                { { HEAD("Content-Encoding: br\r\nContent-Length: 1\r\n") "x" }, false, VERDICT_DECODE },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Call call;

                world_anew();
                Source *source = world_only(
                                SETTINGS("URL=http://10.0.0.1/", "AttemptTimeoutSec=1s",
                                         "MaxBytes=5", "BackoffSec=1ms"));

                SAYS(1, rows[i].reply, { REPLY_OK });
                call_run(&call, source);
                const FetchOutcome *outcome = &call.fetch.outcome;
                Verdict expected = rows[i].again ? VERDICT_OK : rows[i].verdict;
                if (outcome->verdict != expected || outcome->attempts != 1u + rows[i].again)
                        fail_msg("row %zu: %s after %u", i, verdict_name(outcome->verdict),
                                 outcome->attempts);
                assert_int_equal(source->counters[COUNTER_REQUESTS], outcome->attempts);
                assert_int_equal(source->counters[COUNTER_RETRIES], rows[i].again);
                assert_int_equal(world->servers[1].n_requests, outcome->attempts);
                call_drop(&call);
        }
}

static void test_no_connection(void **state) {
        static const struct {
                const char *url;
                Verdict verdict;
                unsigned attempts;
        } rows[] = {
                { "URL=http://10.0.0.1:81/", VERDICT_CONNECT, 3 },
                { "URL=simulate:?fail=1", VERDICT_CONNECT, 3 },
                { "URL=http://unknown/", VERDICT_DNS, 1 },
        };
        Call call;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                call_run(&call, world_only(SETTINGS(rows[i].url)));
                expect_end(&call, rows[i].verdict, "");
                assert_null(strstr(call.fetch.outcome.error, "not tried again"));
                assert_int_equal(call.fetch.outcome.attempts, rows[i].attempts);
                call_drop(&call);
        }

        /* What is missing here is not theirs. */
        sim_limit_descriptors(world->io, 0);
        call_run(&call, world_only(SETTINGS("URL=http://10.0.0.1/")));
        expect_end(&call, VERDICT_SHED, "");
        assert_int_equal(call.fetch.outcome.attempts, 1);
        call_drop(&call);
}

static void test_no_room(void **state) {
        ArenaBlock *all = NULL;
        Call call;

        assert_int_equal(arena_alloc(world->arena, WORLD_ARENA, &all), 0);
        call_run(&call, world_only(SETTINGS("URL=simulate:?bytes=10")));
        expect_end(&call, VERDICT_SHED, "no room for the document");
        assert_int_equal(call.fetch.outcome.attempts, 1);
        arena_block_unref(all);
        call_drop(&call);
}

static void test_attempts(void **state) {
        for (unsigned n = 1; n <= 10; n++) {
                char setting[32];
                Call call;

                (void) snprintf(setting, sizeof(setting), "Attempts=%u", n);
                Source *source = world_only(
                                SETTINGS("URL=simulate:?fail=1&delay=10ms", setting, "BackoffSec=0",
                                         "Failures=0"));
                fill_budget(source);
                call_run(&call, source);
                expect_end(&call, VERDICT_CONNECT, "simulated failure");
                assert_string_equal(call.fetch.outcome.error, "simulated failure");
                assert_int_equal(call.fetch.outcome.attempts, n);
                assert_int_equal(source->counters[COUNTER_REQUESTS], n);
                assert_int_equal(source->counters[COUNTER_RETRIES], n - 1);
                assert_int_equal(call.ended, call.begun + n * 10 * MSEC);
                call_drop(&call);
        }
}

/* The last one counts, with what it said. */
static void test_last_outcome_counts(void **state) {
        Source *source = world_only(SETTINGS("URL=http://10.0.0.1/", "BackoffSec=0"));
        Call call;

        SAYS(1, { REPLY_STATUS(503) }, { NULL, 0, REPLY_CLOSES }, { REPLY_STATUS(404) });
        call_run(&call, source);
        expect_end(&call, VERDICT_HTTP, "the source answered 404 Not Found");
        assert_int_equal(call.fetch.outcome.attempts, 3);
        assert_int_equal(call.fetch.outcome.status, 404);
        assert_int_equal(call.fetch.outcome.start, call_asked(&call, 3));
        expect_story(&call.fetch.outcome.story,
                     "connect:1 send:1 wait:1 receive:1 backoff:2 connect:2 send:2 wait:2 "
                     "backoff:3 connect:3 send:3 wait:3 receive:3");
        call_drop(&call);
}

/* ---- pauses ---- */

/* From the end of one attempt to the beginning of the next. */
static uint64_t pause_before(const Call *call, unsigned attempt) {
        StorySpan span = call_span(call, STAGE_BACKOFF, attempt);

        assert_int_equal(span.end, call_asked(call, attempt));
        return span.end - span.start;
}

/* Evenly in [0, min(max, first * 2^(n-1))]. */
static void test_pauses(void **state) {
        static const uint64_t most[] = { 100 * MSEC, 200 * MSEC, 250 * MSEC, 250 * MSEC };
        Source *source = world_only(
                        SETTINGS("URL=simulate:?fail=1&delay=1ms", "Attempts=5", "BackoffSec=100ms",
                                 "BackoffMaxSec=250ms", "Failures=0"));
        uint64_t least_seen[ELEMENTSOF(most)], most_seen[ELEMENTSOF(most)] = {};

        memset(least_seen, 0xff, sizeof(least_seen));
        for (unsigned run = 0; run < 200; run++) {
                Call call;

                fill_budget(source);
                call_run(&call, source);
                for (unsigned i = 0; i < ELEMENTSOF(most); i++) {
                        uint64_t pause = pause_before(&call, i + 2);
                        assert_true(pause <= most[i]);
                        least_seen[i] = MIN(least_seen[i], pause);
                        most_seen[i] = MAX(most_seen[i], pause);
                }
                call_drop(&call);
        }
        for (unsigned i = 0; i < ELEMENTSOF(most); i++) {
                assert_true(least_seen[i] < most[i] / 10);
                assert_true(most_seen[i] > most[i] - most[i] / 10);
        }
}

#define RETRY(status, when) \
        "HTTP/1.1 " status " x\r\nRetry-After: " when "\r\nContent-Length: 0\r\n\r\n"
#define DATE(rest) "Thu, 01 Jan 2026 00:00:" rest " GMT" /* the simulator begins at 00 */

/* What the source says is the least. */
static void test_retry_after(void **state) {
        static const struct {
                const char *reply;
                uint64_t least; /* ns since the world began; 0: it is not tried again */
        } rows[] = {
                { RETRY("503", "2"), 2 * SEC },
                { RETRY("429", "2"), 2 * SEC },
                { RETRY("503", DATE("03")), 3 * SEC },
                { RETRY("429", DATE("03")), 3 * SEC },
                { RETRY("503", "8"), 8 * SEC },
                { RETRY("503", "9"), 0 },
                { RETRY("429", "9"), 0 },
                { RETRY("503", DATE("09")), 0 },
                { RETRY("503", "4294967296"), 0 },
                { RETRY("503", "Fri, 31 Dec 9999 23:59:59 GMT"), 0 },
                /* In so many seconds that their nanoseconds are a few, modulo 2^64. */
                { RETRY("429", "Sun, 22 Jul 2610 23:34:34 GMT"), 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Call call;

                world_anew();
                Source *source = world_only(
                                SETTINGS("URL=http://10.0.0.1/", "BackoffSec=0", "TimeoutSec=8.5"));
                SAYS(1, { rows[i].reply }, { REPLY_OK });
                call_run(&call, source);
                if (rows[i].least > 0) {
                        expect_end(&call, VERDICT_OK, NULL);
                        uint64_t waited = world->servers[1].asked[1] - call.begun;
                        if (waited < rows[i].least || waited > rows[i].least + 10 * MSEC)
                                fail_msg("row %zu: %llu", i, (unsigned long long) waited);
                } else {
                        if (call.fetch.outcome.verdict == VERDICT_OK)
                                fail_msg("row %zu: ok", i);
                        expect_end(&call, rows[i].reply[9] == '4' ? VERDICT_QUOTA : VERDICT_HTTP,
                                   "; not tried again: no time is left for that");
                        assert_int_equal(call.fetch.outcome.attempts, 1);
                        assert_true(call.ended - call.begun < 10 * MSEC);
                }
                call_drop(&call);
        }
}

/* A date that has passed asks for nothing. */
static void test_retry_after_the_past(void **state) {
        Source *source = world_only(SETTINGS("URL=http://10.0.0.1/", "BackoffSec=0"));
        Call call;

        world_run_for(10 * SEC);
        SAYS(1, { RETRY("503", DATE("05")) }, { RETRY("503", "0") }, { REPLY_OK });
        call_run(&call, source);
        expect_end(&call, VERDICT_OK, NULL);
        assert_int_equal(pause_before(&call, 2), 0);
        assert_int_equal(pause_before(&call, 3), 0);
        call_drop(&call);
}

/* Longer than BackoffMaxSec=, and never shorter than chance says. */
static void test_retry_after_is_a_bound(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=http://10.0.0.1/", "Attempts=2", "BackoffSec=10",
                                 "BackoffMaxSec=10", "TimeoutSec=100", "Failures=0"));
        unsigned longer = 0;

        SAYS(1, { RETRY("503", "5") });
        for (unsigned i = 0; i < 50; i++) {
                Call call;

                fill_budget(source);
                call_run(&call, source);
                uint64_t pause = pause_before(&call, 2);
                assert_true(pause >= 5 * SEC && pause <= 10 * SEC);
                longer += pause > 5 * SEC;
                call_drop(&call);
        }
        assert_in_range(longer, 10, 40);
}

/* ---- time ---- */

static void test_timeout(void **state) {
        static const struct {
                const char *timeout, *attempt_timeout;
                unsigned attempts;
                uint64_t end;
                const char *error;
        } rows[] = {
                { "TimeoutSec=1", "AttemptTimeoutSec=", 1, SEC, "no response within 1s" },
                { "TimeoutSec=1", "AttemptTimeoutSec=300ms", 3, 900 * MSEC,
                  "no response within 300ms" },
                { "TimeoutSec=1", "AttemptTimeoutSec=400ms", 3, SEC, "no response within 1s" },
                /* The end of the attempt is that of all. */
                { "TimeoutSec=1", "AttemptTimeoutSec=500ms", 2, SEC, "no response within 1s" },
                { "TimeoutSec=1", "AttemptTimeoutSec=1", 1, SEC, "no response within 1s" },
                { "TimeoutSec=1", "AttemptTimeoutSec=2", 1, SEC, "no response within 1s" },
        };
        static const char *const urls[] = { "URL=simulate:?delay=1h", "URL=http://10.0.0.1/" };

        SAYS(1, { NULL });
        for (size_t k = 0; k < ELEMENTSOF(urls); k++)
                for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                        Source *source = world_only(
                                        SETTINGS(urls[k], rows[i].timeout, rows[i].attempt_timeout,
                                                 "BackoffSec=0"));
                        Call call;

                        call_run(&call, source);
                        expect_end(&call, VERDICT_TIMEOUT, rows[i].error);
                        assert_int_equal(call.fetch.outcome.attempts, rows[i].attempts);
                        assert_int_equal(call.ended - call.begun, rows[i].end);
                        assert_int_equal(call.fetch.outcome.end, call.ended);
                        call_drop(&call);
                }
}

/* An answer in the turn before the time is over is one. */
static void test_just_in_time(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1s", "TimeoutSec=1"));
        Call call;

        source->simulation.delay_ns = SEC - 1;
        call_run(&call, source);
        expect_end(&call, VERDICT_OK, NULL);
        assert_int_equal(call.ended - call.begun, SEC - 1);
        call_drop(&call);
}

/* The time goes on in pauses. */
static void test_timeout_over_attempts(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=400ms&status=503", "TimeoutSec=1",
                                 "Attempts=10", "BackoffSec=0"));
        Call call;

        call_run(&call, source);
        expect_end(&call, VERDICT_TIMEOUT, "no response within 1s");
        assert_int_equal(call.ended - call.begun, SEC);
        assert_int_equal(call.fetch.outcome.attempts, 3);
        assert_int_equal(call.fetch.outcome.status, 503);
        call_drop(&call);
}

/* ---- nothing begins that cannot end ---- */

static uint64_t median(const Source *source) {
        return latency_least(&source->latency, .5);
}

typedef struct TooLate {
        unsigned samples;
        uint64_t ago;  /* the last request */
        int64_t spare; /* what is left, over the median */
        bool asked;
} TooLate;

static const TooLate too_late[] = {
        { LATENCY_ENOUGH, 0, 0, true },
        { LATENCY_ENOUGH, 0, -1, false },
        { LATENCY_ENOUGH - 1, 0, -1, true }, /* not known well enough */
        { LATENCY_ENOUGH, 10 * SEC - 1, -1, false },
        { LATENCY_ENOUGH, 10 * SEC, -1, true }, /* it may have become faster */
};

static void expect_too_late(Call *call, const TooLate *row) {
        if (row->asked) {
                expect_end(call, VERDICT_OK, NULL);
                assert_int_equal(call->fetch.outcome.attempts, 1);
                return;
        }
        expect_end(call, VERDICT_SHED, "are left, and half of its answers take ");
        assert_int_equal(call->fetch.outcome.attempts, 0);
        assert_int_equal(call->fetch.outcome.story.count, 0);
        assert_int_equal(call->ended, call->begun); /* at once */
        assert_int_equal(call->fetch.source->counters[COUNTER_REQUESTS], 0);
}

static void test_too_late_by_give_up(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(too_late); i++) {
                Source *source = world_only(SETTINGS("URL=simulate:?delay=1ms", "TimeoutSec=60"));
                Call call;

                teach(source, SEC, too_late[i].samples);
                world_run_for(too_late[i].ago);
                call_init(&call, source);
                call.fetch.give_up = world_now() + median(source) + (uint64_t) too_late[i].spare;
                call_start(&call);
                call_wait(&call);
                expect_too_late(&call, &too_late[i]);
                call_drop(&call);
        }
}

static void test_too_late_by_timeout(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(too_late); i++) {
                Source *source = world_only(SETTINGS("URL=simulate:?delay=1ms"));
                Call call;

                teach(source, SEC, too_late[i].samples);
                world->config->sources[0]->timeout = median(source) + (uint64_t) too_late[i].spare;
                world_run_for(too_late[i].ago);
                call_run(&call, source);
                expect_too_late(&call, &too_late[i]);
                call_drop(&call);
        }
}

static void test_no_time_at_all(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1ms"));
        Call call;

        call_init(&call, source);
        call.fetch.give_up = world_now();
        call_start(&call);
        call_wait(&call);
        expect_end(&call, VERDICT_SHED, "0 are left");
        assert_int_equal(call.ended, call.begun);
        call_drop(&call);
}

/* The bound may be moved while it runs, both ways. */
static void test_give_up_moves(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s&status=503", "Attempts=2", "BackoffSec=0"));
        Call calls[3];

        for (size_t i = 0; i < 3; i++)
                call_begin(&calls[i], source);
        world_run_for(SEC / 2);
        calls[1].fetch.give_up = 0; /* nobody waits for it: what is under way may end */
        calls[2].fetch.give_up = world_now() + SEC / 2 + 1;
        for (size_t i = 0; i < 3; i++)
                call_wait(&calls[i]);
        expect_end(&calls[0], VERDICT_HTTP, "503");
        assert_int_equal(calls[0].fetch.outcome.attempts, 2);
        expect_end(&calls[1], VERDICT_HTTP, "503 Service Unavailable");
        assert_string_equal(
                        calls[1].fetch.outcome.error, "the source answered 503 Service Unavailable");
        assert_int_equal(calls[1].fetch.outcome.attempts, 1);
        assert_int_equal(calls[1].ended, calls[1].begun + SEC);
        assert_int_equal(calls[2].fetch.outcome.attempts, 2); /* it was 1 ns early */
        calls_drop(calls, 3);
}

/* Neither does a retry. */
static void test_retry_too_late(void **state) {
        for (unsigned late = 0; late < 2; late++) {
                Source *source = world_only(
                                SETTINGS("URL=simulate:?status=503", "TimeoutSec=60",
                                         "BackoffSec=0", "Attempts=2"));
                Call call;

                teach(source, SEC, LATENCY_ENOUGH);
                source->simulation.delay_ns = 3 * SEC + late;
                call_init(&call, source);
                call.fetch.give_up = world_now() + 3 * SEC + median(source);
                call_start(&call);
                call_wait(&call);
                expect_end(&call, VERDICT_HTTP, "503 Service Unavailable");
                assert_int_equal(call.fetch.outcome.attempts, late ? 1 : 2);
                assert_int_equal(
                                strstr(call.fetch.outcome.error,
                                       "; not tried again: no time is left") != NULL,
                                late);
                call_drop(&call);
        }
}

/* ---- the budget of retries ---- */

static void test_budget(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?fail=1&delay=1ms", "BackoffSec=0", "Failures=0"));
        static const unsigned attempts[] = { 3, 2, 1 };
        Call call;

        for (size_t i = 0; i < ELEMENTSOF(attempts); i++) {
                call_run(&call, source);
                expect_end(&call, VERDICT_CONNECT, "simulated failure");
                assert_string_equal(
                                call.fetch.outcome.error,
                                attempts[i] == 3 ? "simulated failure" :
                                                   "simulated failure; not tried again: the source's "
                                                   "budget of retries is used up");
                assert_int_equal(call.fetch.outcome.attempts, attempts[i]);
                call_drop(&call);
        }
        assert_int_equal(source->counters[COUNTER_BUDGET_REFUSED], 2);
        assert_int_equal(source->counters[COUNTER_RETRIES], RETRY_BUDGET_LEAST);
        assert_int_equal(source->counters[COUNTER_REQUESTS], 6);

        world_run_for(10 * SEC);
        call_run(&call, source);
        assert_int_equal(call.fetch.outcome.attempts, 3);
        call_drop(&call);
}

/* A fifth of the requests. */
static void test_budget_grows_with_requests(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?delay=1ms", "BackoffSec=0", "Failures=0"));
        Call call;

        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(ask(source), VERDICT_OK);
        source->simulation.fail = 1;
        for (unsigned i = 0; i < 4; i++)
                (void) ask(source);
        assert_int_equal(source->counters[COUNTER_RETRIES], 4);
        assert_int_equal(source->counters[COUNTER_BUDGET_REFUSED], 2);
        call_run(&call, source);
        assert_int_equal(call.fetch.outcome.attempts, 2); /* 25 requests, 5 retries */
        call_drop(&call);
}

/* ---- hedges ---- */

#define KNOWN (100 * MSEC)

/* A simulated source that is known to take KNOWN and is to be hedged. */
static Source *hedged_source(const char *url, const char *setting) {
        Source *source = world_only(
                        SETTINGS(url, "Percentile=90", "TimeoutSec=10", "Attempts=1",
                                 "BackoffSec=0", setting));

        teach(source, KNOWN, LATENCY_ENOUGH);
        return source;
}

#define NEVER_AND_OK "URL=simulate:?delay=1h", "Concurrency=0"

/* Whoever is asked from now on answers after so long. */
static void answers_in(Source *source, uint64_t from, uint64_t delay) {
        becomes_at(from, source, (Simulation){ .status = 200, .bytes = 10, .delay_ns = delay });
}

static void test_hedge_wins(void **state) {
        Source *source = hedged_source(NEVER_AND_OK);
        uint64_t delay = fetch_hedge_delay(source);
        Call call;

        assert_true(delay >= KNOWN && delay < KNOWN + KNOWN / 8);
        call_begin(&call, source);
        answers_in(source, call.begun + delay - 1, 5 * MSEC);
        world_run_to(call.begun + delay - 1);
        assert_int_equal(source->in_flight, 1);
        world_run_to(call.begun + delay); /* exactly then */
        assert_int_equal(source->in_flight, 2);
        call_wait(&call);

        expect_end(&call, VERDICT_OK, NULL);
        assert_int_equal(call.ended, call.begun + delay + 5 * MSEC);
        assert_int_equal(call.fetch.outcome.attempts, 2);
        assert_int_equal(call.fetch.outcome.start, call.begun + delay);
        assert_int_equal(call.fetch.outcome.end, call.ended);
        assert_int_equal(source->counters[COUNTER_HEDGES], 1);
        assert_int_equal(source->counters[COUNTER_HEDGES_WON], 1);
        assert_int_equal(source->counters[COUNTER_REQUESTS], 2);
        assert_int_equal(source->counters[COUNTER_RETRIES], 0);
        assert_int_equal(retry_budget_left(&source->budget, world_now()), RETRY_BUDGET_LEAST - 1);
        StorySpan hedge = call_span(&call, STAGE_HEDGE, 2);
        assert_int_equal(hedge.start, call.begun + delay);
        assert_int_equal(hedge.end, hedge.start);
        expect_story(&call.fetch.outcome.story, "hedge:2 send:2 wait:2 receive:2 send:1 wait:1");
        call_drop(&call);
}

static void test_first_wins(void **state) {
        Source *source = hedged_source("URL=simulate:?delay=150ms", "Concurrency=0");
        Call call;

        answers_in(source, world_now() + 1, SEC);
        call_run(&call, source);
        expect_end(&call, VERDICT_OK, NULL);
        assert_int_equal(call.ended, call.begun + 150 * MSEC);
        assert_int_equal(call.fetch.outcome.attempts, 2);
        assert_int_equal(call.fetch.outcome.start, call.begun);
        assert_int_equal(source->counters[COUNTER_HEDGES], 1);
        assert_int_equal(source->counters[COUNTER_HEDGES_WON], 0);
        call_drop(&call);
}

/* The loser's connection is closed, the winner's is kept. */
static void test_loser_is_closed(void **state) {
        static const struct {
                Reply first, second;
                unsigned won;
        } rows[] = {
                { { NULL }, { REPLY_OK }, 1 },
                { { REPLY_OK, 200 * MSEC }, { REPLY_OK, 200 * MSEC }, 0 },
                { { HEAD("Content-Length: 5\r\n") "hel" }, { REPLY_OK }, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Call call;

                world_anew();
                Source *source = hedged_source("URL=http://10.0.0.1/", "Concurrency=2");
                SAYS(1, rows[i].first, rows[i].second);
                call_run(&call, source);
                expect_end(&call, VERDICT_OK, NULL);
                assert_int_equal(source->counters[COUNTER_HEDGES_WON], rows[i].won);
                assert_int_equal(source->gate.inside, 0);
                world_run_for(SEC);
                assert_int_equal(world->servers[1].n_connects, 2);
                assert_int_equal(world->servers[1].n_closed, 1);
                assert_int_equal(net_idle(world->net), 1);
                assert_int_equal(net_connections(world->net), 1);
                call_drop(&call);
        }
}

static void test_no_hedge_needed(void **state) {
        static const struct {
                const char *url, *setting;
                unsigned samples;
        } rows[] = {
                { "URL=simulate:?delay=50ms", "Percentile=90", LATENCY_ENOUGH },
                { "URL=simulate:?delay=1s", "Percentile=0", LATENCY_ENOUGH },
                { "URL=simulate:?delay=1s", "Percentile=90", LATENCY_ENOUGH - 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Source *source = world_only(SETTINGS(rows[i].url, rows[i].setting));
                Call call;

                teach(source, KNOWN, rows[i].samples);
                call_run(&call, source);
                expect_end(&call, VERDICT_OK, NULL);
                assert_int_equal(call.fetch.outcome.attempts, 1);
                assert_int_equal(source->counters[COUNTER_HEDGES], 0);
                call_drop(&call);
        }
}

/* What keeps a hedge from beginning; the first goes on. */
static void breaker_opens(Source *source) {
        for (unsigned i = 0; i < 5; i++)
                (void) breaker_failure(
                                &source->breaker, &source->breaker_policy,
                                (BreakerTicket){ source->breaker.ticket, false }, world_now(), false);
        assert_int_equal(breaker_state(&source->breaker, world_now()), BREAKER_OPEN);
}

static void breaker_half_opens(Source *source) {
        breaker_opens(source);
        source->breaker.open_until = world_now();
        assert_int_equal(breaker_state(&source->breaker, world_now()), BREAKER_HALF_OPEN);
}

static void budget_is_empty(Source *source) {
        while (retry_budget_take(&source->budget, world_now()))
                ;
}

static void source_holds(Source *source) {
        source->hold_until = world_now() + 10 * SEC;
}

static void quota_is_used_up(Source *source) {
        source->daily.used = 100;
        world->config->sources[0]->daily = 100;
}

static GatePass occupant;

static void place_for_all_is_taken(Source *source) {
        world->context.gate.places = 2;
        assert_int_equal(gate_try(&world->context.gate, &occupant), 0);
}

static void nothing_else(Source *source) {
}

static void test_no_hedge_allowed(void **state) {
        static const struct {
                const char *setting;
                void (*happens)(Source *source); /* while the first is under way */
        } rows[] = {
                { "Concurrency=1", nothing_else },  { "MinIntervalSec=10", nothing_else },
                { "Rate=1/10s", nothing_else },     { "Daily=1", nothing_else },
                { "Concurrency=2", breaker_opens }, { "Concurrency=2", breaker_half_opens },
                { "Concurrency=2", source_holds },  { "Concurrency=2", budget_is_empty },
                { "Daily=9", quota_is_used_up },    { "Concurrency=2", place_for_all_is_taken },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Source *source = hedged_source("URL=simulate:?delay=1s", rows[i].setting);
                Call call;

                occupant = (GatePass){};
                call_begin(&call, source);
                world_run_for(10 * MSEC);
                rows[i].happens(source);
                world_run_for(500 * MSEC);
                if (source->in_flight != 1 || source->counters[COUNTER_HEDGES] > 0)
                        fail_msg("row %zu: a hedge", i);
                assert_int_equal(source->gate.inside, 1);
                assert_true(source->breaker.lease_until == 0);
                call_wait(&call);
                expect_end(&call, VERDICT_OK, NULL);
                assert_int_equal(call.ended, call.begun + SEC);
                assert_int_equal(call.fetch.outcome.attempts, 1);
                gate_leave(&world->context.gate, &occupant, false);
                call_drop(&call);
        }
}

/* Nor when there is no time left for it. */
static void test_hedge_too_late(void **state) {
        for (unsigned spare = 0; spare < 2; spare++) {
                Source *source = hedged_source("URL=simulate:?delay=1s", "Concurrency=0");
                Call call;

                call_init(&call, source);
                call.fetch.give_up =
                                world_now() + fetch_hedge_delay(source) + median(source) - 1 + spare;
                call_start(&call);
                call_wait(&call);
                expect_end(&call, VERDICT_OK, NULL);
                assert_int_equal(call.fetch.outcome.attempts, 1 + spare);
                call_drop(&call);
        }
}

/* All at one instant: what ends goes before what begins. */
static void test_hedge_at_the_same_instant(void **state) {
        enum {
                ANSWER,
                ATTEMPT_TIMEOUT,
                TIMEOUT,
                EVENTS
        };

        for (int event = 0; event < EVENTS; event++) {
                Source *source = hedged_source(NEVER_AND_OK);
                SourceConfig *config = world->config->sources[0];
                uint64_t delay = fetch_hedge_delay(source);
                Call call;

                if (event == ANSWER)
                        source->simulation.delay_ns = delay;
                else if (event == ATTEMPT_TIMEOUT)
                        config->attempt_timeout = delay;
                else
                        config->timeout = delay;
                call_run(&call, source);
                expect_end(&call, event == ANSWER ? VERDICT_OK : VERDICT_TIMEOUT,
                           event == ANSWER ? NULL : "no response within");
                assert_int_equal(call.ended, call.begun + delay);
                assert_int_equal(call.fetch.outcome.attempts, 1);
                assert_int_equal(source->counters[COUNTER_HEDGES], 0);
                call_drop(&call);
        }
}

/* The hedge's answer comes when the time is over, in either order. */
static void test_hedge_races_with_deadline(void **state) {
        for (int early = 0; early < 2; early++) {
                Source *source = hedged_source(NEVER_AND_OK);
                uint64_t delay = fetch_hedge_delay(source);
                Call call;

                call_begin(&call, source);
                answers_in(source, call.begun + 1, 10 * SEC - delay - (uint64_t) early);
                call_wait(&call);
                expect_end(&call, early ? VERDICT_OK : VERDICT_TIMEOUT,
                           early ? NULL : "no response within 10s");
                assert_int_equal(call.ended, call.begun + 10 * SEC - (uint64_t) early);
                assert_int_equal(call.fetch.outcome.attempts, 2);
                call_drop(&call);
        }
}

/* Both are cut off. */
static void test_deadline_with_hedge(void **state) {
        Source *source = hedged_source("URL=http://10.0.0.1/", "Concurrency=2");
        Call call;

        SAYS(1, { NULL });
        call_run(&call, source);
        expect_end(&call, VERDICT_TIMEOUT, "no response within 10s");
        assert_int_equal(call.fetch.outcome.attempts, 2);
        assert_int_equal(source->breaker.failures, 2);
        world_run_for(SEC);
        assert_int_equal(world->servers[1].n_closed, 2);
        call_drop(&call);
}

/* A failure that may pass leaves it to the other; one that is the source's word ends both. */
static void test_one_of_two_fails(void **state) {
        static const struct {
                Reply first, second; /* the hedge begins after 100 ms, or a bit more */
                Verdict verdict;
                uint64_t least, most;
        } rows[] = {
                { { REPLY_STATUS(503), 200 * MSEC },
                  { REPLY_OK, 200 * MSEC },
                  VERDICT_OK,
                  300 * MSEC,
                  320 * MSEC },
                { { REPLY_OK, 300 * MSEC }, { REPLY_STATUS(503) }, VERDICT_OK, 300 * MSEC, 310 * MSEC },
                { { REPLY_OK, 300 * MSEC }, { NULL, 0, REPLY_RESETS }, VERDICT_OK, 300 * MSEC, 310 * MSEC },
                { { NULL, 200 * MSEC, REPLY_CLOSES },
                  { REPLY_OK, 200 * MSEC },
                  VERDICT_OK,
                  300 * MSEC,
                  320 * MSEC },
                { { REPLY_STATUS(503), 200 * MSEC },
                  { REPLY_STATUS(502), 200 * MSEC },
                  VERDICT_HTTP,
                  300 * MSEC,
                  320 * MSEC },
                { { REPLY_OK, 300 * MSEC }, { REPLY_STATUS(404) }, VERDICT_HTTP, 100 * MSEC, 120 * MSEC },
                { { REPLY_STATUS(404), 200 * MSEC },
                  { REPLY_OK, 300 * MSEC },
                  VERDICT_HTTP,
                  200 * MSEC,
                  210 * MSEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Source *source = hedged_source("URL=http://10.0.0.1/", "Concurrency=2");
                Call call;

                SAYS(1, rows[i].first, rows[i].second);
                call_run(&call, source);
                uint64_t took = call.ended - call.begun;
                if (call.fetch.outcome.verdict != rows[i].verdict || took < rows[i].least ||
                    took > rows[i].most || call.fetch.outcome.attempts != 2)
                        fail_msg("row %zu: %s after %llu", i,
                                 verdict_name(call.fetch.outcome.verdict), (unsigned long long) took);
                call_drop(&call);
                world_run_for(10 * SEC); /* kept connections are as good as new ones */
        }
}

/* What a hedge lacks here is no reason to give up the first. */
static void test_hedge_without_descriptor(void **state) {
        Source *source = hedged_source("URL=http://10.0.0.1/", "Concurrency=2");
        Call call;

        SAYS(1, { REPLY_OK, 500 * MSEC });
        call_begin(&call, source);
        world_run_for(50 * MSEC);
        sim_limit_descriptors(world->io, 0);
        call_wait(&call);
        expect_end(&call, VERDICT_OK, NULL);
        assert_int_equal(call.fetch.outcome.attempts, 2);
        call_drop(&call);
}

/* Both fail: a retry, but no second hedge. */
static void test_retry_after_hedge(void **state) {
        Source *source = hedged_source("URL=simulate:?delay=200ms&status=503", "Attempts=2");
        Call call;

        call_run(&call, source);
        expect_end(&call, VERDICT_HTTP, "503");
        assert_int_equal(source->counters[COUNTER_HEDGES], 1);
        assert_int_equal(source->counters[COUNTER_RETRIES], 1);
        assert_int_equal(call.fetch.outcome.attempts, 3);
        assert_true(call_asked(&call, 3) >= call_asked(&call, 2) + 200 * MSEC);
        expect_story(&call.fetch.outcome.story,
                     "hedge:2 send:1 wait:1 receive:1 send:2 wait:2 receive:2 backoff:3 "
                     "send:3 wait:3 receive:3");
        call_drop(&call);
}

/* ---- adaptive time outs ---- */

static void test_adaptive_timeout(void **state) {
        static const struct {
                const char *setting, *attempt_timeout;
                uint64_t known;
                unsigned samples;
                uint64_t bound; /* 0: 2 * p95 */
        } rows[] = {
                { "Timeout=yes", "AttemptTimeoutSec=", 100 * MSEC, LATENCY_ENOUGH, 0 },
                { "Timeout=yes", "AttemptTimeoutSec=", 100 * MSEC, LATENCY_ENOUGH - 1, 2 * SEC },
                { "Timeout=no", "AttemptTimeoutSec=", 100 * MSEC, LATENCY_ENOUGH, 2 * SEC },
                { "Timeout=yes", "AttemptTimeoutSec=", 1900 * MSEC, LATENCY_ENOUGH, 2 * SEC },
                { "Timeout=yes", "AttemptTimeoutSec=1", 1900 * MSEC, LATENCY_ENOUGH, SEC },
                { "Timeout=yes", "AttemptTimeoutSec=1", 100 * MSEC, LATENCY_ENOUGH, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Source *source = world_only(
                                SETTINGS("URL=simulate:?delay=1h", "TimeoutSec=2", "Attempts=1",
                                         rows[i].setting, rows[i].attempt_timeout));
                Call call;

                teach(source, rows[i].known, rows[i].samples);
                uint64_t p95 = latency_quantile(&source->latency, .95);
                uint64_t bound = rows[i].bound ? rows[i].bound : 2 * p95;
                assert_true(p95 >= rows[i].known);
                assert_int_equal(fetch_attempt_timeout(source), bound);
                call_run(&call, source);
                expect_end(&call, VERDICT_TIMEOUT, "no response within");
                assert_int_equal(call.ended - call.begun, bound);
                call_drop(&call);
        }
}

/* One in twenty that is slow moves it. */
static void test_adaptive_timeout_follows(void **state) {
        Source *source = world_only(SETTINGS("URL=simulate:?", "TimeoutSec=60", "Timeout=yes"));

        teach(source, 100 * MSEC, 180);
        uint64_t before = fetch_attempt_timeout(source);
        teach(source, SEC, 20);
        uint64_t after = fetch_attempt_timeout(source);
        assert_true(before < 250 * MSEC);
        assert_true(after >= 2 * SEC && after < 2 * SEC + SEC / 2);
}

/* ---- what is learnt of its speed ---- */

static void test_latency(void **state) {
        static const struct {
                const char *url;
                uint64_t sample; /* 0: none */
        } rows[] = {
                { "URL=simulate:?delay=100ms", 100 * MSEC },
                { "URL=simulate:?delay=100ms&bytes=0", 100 * MSEC },
                { "URL=simulate:?delay=1h", SEC },
                { "URL=simulate:?delay=100ms&fail=1", 0 },
                { "URL=simulate:?delay=100ms&status=500", 0 },
                { "URL=simulate:?delay=100ms&status=429", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Source *source = world_only(SETTINGS(rows[i].url, "TimeoutSec=1", "Attempts=1"));

                (void) ask(source);
                assert_int_equal(source->latency.count, rows[i].sample > 0);
                assert_true(latency_least(&source->latency, .5) <= rows[i].sample);
                assert_true(latency_quantile(&source->latency, .5) >= rows[i].sample);
        }
}

/* One that nobody waits for any more took as long at least: if that was long, it is learnt. */
static void test_latency_of_cancelled(void **state) {
        static const struct {
                unsigned samples;
                uint64_t after;
                unsigned learnt;
        } rows[] = {
                { LATENCY_ENOUGH, SEC, 1 },
                { LATENCY_ENOUGH, SEC / 2, 0 },
                { LATENCY_ENOUGH - 1, SEC, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Source *source = world_only(SETTINGS("URL=simulate:?delay=1h"));
                Call call;

                teach(source, SEC, rows[i].samples);
                call_begin(&call, source);
                world_run_for(rows[i].after);
                call_drop(&call);
                assert_int_equal(source->latency.count, rows[i].samples + rows[i].learnt);
        }
}

/* ---- looking at it ---- */

static void expect_look(const Call *call, unsigned attempts, const char *story) {
        FetchOutcome look;

        fetch_look(&call->fetch, &look);
        assert_int_equal(look.attempts, attempts);
        assert_null(look.document);
        assert_null(look.error);
        expect_story(&look.story, story);
        if (attempts == 0)
                assert_int_equal(look.start + look.end, 0);
        else
                assert_true(look.start >= call->begun && look.start <= look.end &&
                            look.end <= world_now());
        fetch_outcome_deinit(&look);
}

static void test_look(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=http://10.0.0.1/", "Concurrency=1", "BackoffSec=0",
                                 "TimeoutSec=60", "Attempts=2"));
        Call first, call;
        FetchOutcome look;

        SAYS(1, { REPLY_OK, SEC }, { RETRY("503", "2"), SEC }, { REPLY_OK, SEC });
        call_begin(&first, source);
        call_begin(&call, source);
        expect_look(&call, 0, ""); /* not a turn has passed */
        world_run_for(SEC / 2);
        expect_look(&first, 1, "connect:1 send:1 wait:1");
        expect_look(&call, 0, "queue:1");
        world_run_for(SEC);
        expect_look(&call, 1, "queue:1 send:1 wait:1");
        world_run_for(SEC);
        expect_look(&call, 1, "queue:1 send:1 wait:1 receive:1 backoff:2");
        fetch_look(&call.fetch, &look);
        assert_int_equal(look.status, 503);
        assert_true(look.end < world_now()); /* it was the last attempt's */
        fetch_outcome_deinit(&look);
        world_run_for(2 * SEC);
        expect_look(&call, 2, "queue:1 send:1 wait:1 receive:1 backoff:2 connect:2 send:2 wait:2");
        call_wait(&call);
        expect_end(&call, VERDICT_OK, NULL);
        expect_story(&call.fetch.outcome.story,
                     "queue:1 send:1 wait:1 receive:1 backoff:2 connect:2 send:2 wait:2 receive:2");
        call_drop(&call);
        call_drop(&first);
}

/* In line for another attempt: the last one counts still. */
static void test_look_in_line_again(void **state) {
        Source *source = world_only(
                        SETTINGS("URL=simulate:?delay=1s&status=503", "Concurrency=1",
                                 "BackoffSec=0", "TimeoutSec=60"));
        Call call, other;
        FetchOutcome look;

        call_begin(&call, source);
        call_begin(&other, source); /* goes next */
        world_run_for(SEC + SEC / 2);
        expect_look(&call, 1, "send:1 wait:1 receive:1 backoff:2 queue:2");
        fetch_look(&call.fetch, &look);
        assert_int_equal(look.start, call.begun);
        assert_int_equal(look.end, call.begun + SEC);
        fetch_outcome_deinit(&look);
        call_drop(&call);
        call_drop(&other);
}

static void test_look_at_hedge(void **state) {
        Source *source = hedged_source(NEVER_AND_OK);
        Call call;
        FetchOutcome look;

        call_begin(&call, source);
        world_run_for(SEC);
        expect_look(&call, 2, "hedge:2 send:1 wait:1 send:2 wait:2");
        call_drop(&call);

        /* The first has failed. */
        source = hedged_source("URL=http://10.0.0.1/", "Concurrency=0");
        SAYS(1, { REPLY_STATUS(503), SEC }, { REPLY_OK, 5 * SEC });
        call_begin(&call, source);
        world_run_for(2 * SEC);
        expect_look(&call, 2, "hedge:2 connect:1 send:1 wait:1 receive:1 connect:2 send:2 wait:2");
        fetch_look(&call.fetch, &look);
        assert_true(look.start > call.begun && look.end == world_now());
        fetch_outcome_deinit(&look);
        call_drop(&call);
}

/* ---- cancelling ---- */

static void cancel_at(Call *call, Source *source, uint64_t after) {
        call_begin(call, source);
        if (after > 0)
                world_run_for(after);
        unsigned before = call->n_done;
        fetch_cancel(&call->fetch);
        fetch_cancel(&call->fetch); /* harmless */
        assert_false(fetch_under_way(&call->fetch));
        assert_int_equal(source->in_flight, 0);
        assert_int_equal(source->gate.inside + source->gate.line.count, 0);
        assert_int_equal(world->context.gate.inside + world->context.gate.line.count, 0);
        assert_true(source->breaker.lease_until == 0);
        world_run_for(60 * SEC);
        assert_int_equal(call->n_done, before);
        assert_int_equal(source->in_flight, 0);
        assert_null(call->fetch.outcome.document);
        call_drop(call);
        assert_int_equal(net_connections(world->net), net_idle(world->net));
}

/* Silent, and nothing stays behind: no operation, descriptor, place, lease. */
static void test_cancel(void **state) {
        static const char *const urls[] = { "URL=http://10.0.0.1/", "URL=http://known/",
                                            "URL=http://10.0.0.1:81/", "URL=simulate:?delay=1s" };
        static const uint64_t times[] = {
                0,      1,      49999, 50000,      99999,   100000,
                150000, 200000, MSEC,  100 * MSEC, SEC / 2, SEC - 1,
        };

        for (size_t i = 0; i < ELEMENTSOF(urls); i++)
                for (size_t k = 0; k < ELEMENTSOF(times); k++) {
                        Source *source = world_only(
                                        SETTINGS(urls[i], "Concurrency=1", "TimeoutSec=10",
                                                 "BackoffSec=10", "BackoffMaxSec=10"));
                        Call call;

                        SAYS(1, { REPLY_OK, SEC });
                        cancel_at(&call, source, times[k]);
                }
}

/* In a pause, during a retry, with a hedge beside, as the probe. */
static void test_cancel_later(void **state) {
        Call call;

        Source *source = world_only(SETTINGS("URL=http://10.0.0.1/", "BackoffSec=0"));
        SAYS(1, { RETRY("503", "2") }, { NULL });
        cancel_at(&call, source, SEC);
        SAYS(1, { RETRY("503", "2") }, { NULL });
        cancel_at(&call, source, 3 * SEC);

        source = world_only(SETTINGS("URL=http://10.0.0.1/", "TimeoutSec=20"));
        source_holds(source);
        cancel_at(&call, source, SEC);

        for (uint64_t after = 50 * MSEC; after < 200 * MSEC; after += 5 * MSEC) {
                source = hedged_source("URL=http://10.0.0.1/", "Concurrency=2");
                SAYS(1, { NULL });
                cancel_at(&call, source, after);
        }

        source = world_only(SETTINGS("URL=http://10.0.0.1/"));
        SAYS(1, { NULL }, { REPLY_OK });
        breaker_half_opens(source);
        cancel_at(&call, source, SEC);
        assert_int_equal(ask(source), VERDICT_OK); /* the probe's place was free */
}

static void test_cancel_in_line(void **state) {
        static const struct {
                const char *setting;
                uint64_t places;
        } rows[] = { { "Concurrency=1", 9 }, { "Concurrency=9", 1 }, { "MinIntervalSec=2", 9 } };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                Source *source = world_only(SETTINGS("URL=simulate:?delay=1s", rows[i].setting));
                Call calls[3];

                world->context.gate.places = rows[i].places;
                for (size_t k = 0; k < 3; k++)
                        call_begin(&calls[k], source);
                world_run_for(SEC / 2);
                assert_int_equal(source->in_flight, 1);
                fetch_cancel(&calls[1].fetch);
                call_wait(&calls[2]);
                expect_end(&calls[2], VERDICT_OK, NULL);
                assert_int_equal(calls[1].n_done, 0);
                calls_drop(calls, 3);
        }
}

/* `done` may cancel others and free its own. */
static Call *victim;

static void cancel_victim(Call *call) {
        fetch_cancel(&victim->fetch);
        call_drop(call);
}

static void test_done_cancels(void **state) {
        for (int in_line = 0; in_line < 2; in_line++) {
                Source *source = world_only(SETTINGS(
                                "URL=simulate:?delay=1s", in_line ? "Concurrency=1" : "Daily=0"));
                Call first, second;

                victim = &second;
                call_init(&first, source);
                first.then = cancel_victim;
                call_start(&first);
                call_begin(&second, source);
                world_run_for(10 * SEC);
                assert_int_equal(first.n_done, 1);
                assert_int_equal(second.n_done, 0);
                call_drop(&second);
        }
}

/* ---- all at once ---- */

#define STORM 40u

static void storm_open(void) {
        world_add("a",
                  SETTINGS("URL=http://10.0.0.1/", "Concurrency=3", "TimeoutSec=3", "Percentile=50",
                           "AttemptTimeoutSec=1"));
        world_add("b",
                  SETTINGS("URL=http://10.0.0.2/", "MinIntervalSec=50ms", "TimeoutSec=2",
                           "Timeout=yes", "Failures=3", "OpenSec=500ms"));
        world_add("c",
                  SETTINGS("URL=http://10.0.0.3/", "TimeoutSec=4", "Priority=5", "Daily=20",
                           "Percentile=90", "Attempts=6"));
        world_open(5);
        SAYS(1, { REPLY_OK, 30 * MSEC }, { REPLY_STATUS(503), 10 * MSEC }, { NULL }, { REPLY_OK },
             { NULL, 5 * MSEC, REPLY_RESETS }, { REPLY_OK, 20 * MSEC });
        SAYS(2, { REPLY_STATUS(503) }, { NULL, 0, REPLY_CLOSES }, { REPLY_STATUS(500), SEC },
             { RETRY("429", "1") }, { REPLY_OK, 10 * MSEC }, { REPLY_OK, 300 * MSEC });
        SAYS(3, { REPLY_OK, 10 * MSEC });
        for (size_t i = 0; i < world->table->count; i++)
                teach(world->table->sources[i], 20 * MSEC, LATENCY_ENOUGH);
}

/* Whatever happens, each ends once and in time, or was cancelled, and nothing is left. */
static void storm(uint64_t seed) {
        static Call calls[STORM];
        bool cancelled[STORM] = {};

        world_anew_with(&(SimOptions){
                        .seed = seed,
                        .jitter = 100 * MSEC,
                        .faults = { [SIM_NO_DESCRIPTOR] = 20000,
                                    [SIM_CONNECT_REFUSED] = 100000,
                                    [SIM_CONNECT_HANG] = 50000,
                                    [SIM_RECV_RESET] = 50000,
                                    [SIM_SEND_RESET] = 20000,
                                    [SIM_SPLIT] = 200000,
                                    [SIM_DELAY] = 300000,
                                    [SIM_REORDER] = 300000,
                                    [SIM_PEER_HANG] = 50000 },
        });
        storm_open();
        for (unsigned i = 0; i < STORM; i++) {
                Source *source = world->table->sources[io_random(world->io) % world->table->count];

                call_init(&calls[i], source);
                calls[i].fetch.batch = io_random(world->io) % 2;
                if (io_random(world->io) % 4 == 0)
                        calls[i].fetch.give_up = world_now() + SEC;
                call_start(&calls[i]);
                world_run_for(io_random(world->io) % (100 * MSEC));
                unsigned other = (unsigned) (io_random(world->io) % (8 * STORM));
                if (other <= i && calls[other].n_done == 0) {
                        fetch_cancel(&calls[other].fetch);
                        cancelled[other] = true;
                }
        }
        world_run_for(5 * SEC);
        for (unsigned i = 0; i < STORM; i++) {
                const Fetch *fetch = &calls[i].fetch;

                if (calls[i].n_done != !cancelled[i])
                        fail_msg("seed %u, call %u: ended %u times", (unsigned) seed, i,
                                 calls[i].n_done);
                assert_true(calls[i].ended <= calls[i].begun + fetch->source->config->timeout);
                assert_true(fetch->outcome.attempts <= fetch->source->config->attempts + 1);
                assert_int_equal(
                                fetch->outcome.document != NULL,
                                !cancelled[i] && fetch->outcome.verdict == VERDICT_OK);
        }
        calls_drop(calls, STORM);
}

static void test_storm(void **state) {
        for (uint64_t seed = 1; seed <= 200; seed++)
                storm(seed);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                CALL_TEST(test_plain),
                CALL_TEST(test_empty),
                CALL_TEST(test_net_closed),
                CALL_TEST(test_tried_again),
                CALL_TEST(test_no_connection),
                CALL_TEST(test_no_room),
                CALL_TEST(test_attempts),
                CALL_TEST(test_last_outcome_counts),
                CALL_TEST(test_pauses),
                CALL_TEST(test_retry_after),
                CALL_TEST(test_retry_after_the_past),
                CALL_TEST(test_retry_after_is_a_bound),
                CALL_TEST(test_timeout),
                CALL_TEST(test_just_in_time),
                CALL_TEST(test_timeout_over_attempts),
                CALL_TEST(test_too_late_by_give_up),
                CALL_TEST(test_too_late_by_timeout),
                CALL_TEST(test_no_time_at_all),
                CALL_TEST(test_give_up_moves),
                CALL_TEST(test_retry_too_late),
                CALL_TEST(test_budget),
                CALL_TEST(test_budget_grows_with_requests),
                CALL_TEST(test_hedge_wins),
                CALL_TEST(test_first_wins),
                CALL_TEST(test_loser_is_closed),
                CALL_TEST(test_no_hedge_needed),
                CALL_TEST(test_no_hedge_allowed),
                CALL_TEST(test_hedge_too_late),
                CALL_TEST(test_hedge_at_the_same_instant),
                CALL_TEST(test_hedge_races_with_deadline),
                CALL_TEST(test_deadline_with_hedge),
                CALL_TEST(test_one_of_two_fails),
                CALL_TEST(test_hedge_without_descriptor),
                CALL_TEST(test_retry_after_hedge),
                CALL_TEST(test_adaptive_timeout),
                CALL_TEST(test_adaptive_timeout_follows),
                CALL_TEST(test_latency),
                CALL_TEST(test_latency_of_cancelled),
                CALL_TEST(test_look),
                CALL_TEST(test_look_in_line_again),
                CALL_TEST(test_look_at_hedge),
                CALL_TEST(test_cancel),
                CALL_TEST(test_cancel_later),
                CALL_TEST(test_cancel_in_line),
                CALL_TEST(test_done_cancels),
                CALL_TEST(test_storm),
        };
        return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
