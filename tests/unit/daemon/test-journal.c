/* SPDX-License-Identifier: Apache-2.0 */

/* Entries as they go to stderr at level debug: the message, then the fields. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "capture.h"
#include "clock.h"
#include "journal.h"

static int setup(void **state) {
        log_open("test", LOG_TARGET_STDERR, LOG_DEBUG);
        return 0;
}

static void assert_line(const char *text, const char *expected) {
        if (!strstr(text, expected))
                fail_msg("\"%s\" is not in: %s", expected, text);
}

static size_t count_lines(const char *text) {
        size_t n = 0;

        for (; *text; text++)
                n += *text == '\n';
        return n;
}

static void test_event(void **state) {
        const LogField fields[] = { { "NAME", "a value" }, { "LEFT_OUT", NULL }, {} };
        Capture capture = capture_begin(stderr);

        journal_event(EVENT_STARTED, fields, "Ready: %d", 7);
        const char *text = capture_end(&capture);
        assert_string_equal(text, "test: Ready: 7 NAME=a value\n");
}

/* ---- queries ---- */

static StorySpan retried[] = {
        { .stage = STAGE_WAIT, .attempt = 1 }, { .stage = STAGE_BACKOFF, .attempt = 2 },
        { .stage = STAGE_WAIT, .attempt = 2 }, { .stage = STAGE_BACKOFF, .attempt = 3 },
        { .stage = STAGE_WAIT, .attempt = 3 },
};
static StorySpan cached[] = { { .stage = STAGE_CACHE } };
static const Story own_story = { .spans = cached, .count = ELEMENTSOF(cached) };

static const FetchOutcome good_fetch = { .attempts = 1, .status = 200 };
static const FetchOutcome bad_fetch = {
        .attempts = 3,
        .status = 503,
        .start = NSEC_PER_SEC,
        .end = NSEC_PER_SEC + 1500 * NSEC_PER_USEC,
        .story = { .spans = retried, .count = ELEMENTSOF(retried) },
};

static const AnswerSource sources[] = {
        { .name = "good", .verdict = VERDICT_OK, .asked = &good_fetch },
        { .name = "bad",
          .verdict = VERDICT_HTTP,
          .stage = STAGE_WAIT,
          .error = "the source answered 503\nand a line of its own",
          .asked = &bad_fetch },
        { .name = "off", .verdict = VERDICT_SHED, .stage = STAGE_QUEUE, .story = &own_story },
};

static const char *log_query(size_t n_sources, Completeness completeness, bool withdrawn) {
        const AnswerInput input = {
                .query_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV",
                .start_ns = NSEC_PER_SEC,
                .end_ns = NSEC_PER_SEC + 2500 * NSEC_PER_USEC,
                .sources = sources,
                .n_sources = n_sources,
        };
        const QuerySummary summary = { .input = &input,
                                       .completeness = completeness,
                                       .withdrawn = withdrawn };
        Capture capture = capture_begin(stderr);

        journal_query(&summary);
        return capture_end(&capture);
}

static void test_query_done(void **state) {
        const char *text = log_query(1, COMPLETENESS_COMPLETE, /* withdrawn= */ false);

        assert_string_equal(
                        text,
                        "test: Query 01ARZ3NDEKTSV4RRFFQ69G5FAV: complete, 1 of 1 sources answered in 2.500 ms"
                        " QUERY_ID=01ARZ3NDEKTSV4RRFFQ69G5FAV COMPLETENESS=complete SOURCES_ASKED=1"
                        " SOURCES_ANSWERED=1 EXECUTION_MS=2.500\n");
}

/* Each source that did not answer has an entry, which no source can break into two. */
static void test_query_failed(void **state) {
        const char *text = log_query(3, COMPLETENESS_FAILED, /* withdrawn= */ false);

        assert_int_equal(count_lines(text), 3);
        assert_line(text,
                    "test: Source bad: http: the source answered 503\\x0Aand a line of its own"
                    " QUERY_ID=01ARZ3NDEKTSV4RRFFQ69G5FAV SOURCE=bad VERDICT=http STAGE=fetch"
                    " ATTEMPTS=3 HTTP_STATUS=503 FETCH_MS=1.500\n");
        assert_line(text, "test: Source off: shed: ");
        assert_line(text, verdict_help(VERDICT_SHED));
        assert_line(text, "ATTEMPTS=0 FETCH_MS=0.000\n");
        assert_line(text, "Query 01ARZ3NDEKTSV4RRFFQ69G5FAV: failed, 1 of 3 sources answered");
        assert_line(text, "COMPLETENESS=failed SOURCES_ASKED=3 SOURCES_ANSWERED=1");
        assert_line(text, "EXECUTION_MS=2.500 CACHED=1 RETRIES=2\n");
}

/* Nobody waits for it any more: one entry, and no completeness. */
static void test_query_withdrawn(void **state) {
        const char *text = log_query(3, COMPLETENESS_PARTIAL, /* withdrawn= */ true);

        assert_int_equal(count_lines(text), 1);
        assert_line(text, "Query 01ARZ3NDEKTSV4RRFFQ69G5FAV withdrawn by its client after 2.500 ms");
        assert_null(strstr(text, "COMPLETENESS="));
}

/* As many a second as there are clients: not worth an entry. */
static void test_query_stored(void **state) {
        const AnswerInput input = { .query_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV" };
        const QuerySummary summary = { .input = &input, .stored = true };
        Capture capture = capture_begin(stderr);

        journal_query(&summary);
        assert_null(strstr(capture_end(&capture), "sources answered"));
}

/* ---- breakers ---- */

static const char *log_breaker(const Source *source) {
        Capture capture = capture_begin(stderr);

        journal_breaker(source, 2 * NSEC_PER_SEC);
        return capture_end(&capture);
}

static void test_breaker(void **state) {
        Source source = { .name = "down" };
        const BreakerPolicy policy = { .failures = 1, .open_ns = 60 * NSEC_PER_SEC };
        BreakerTicket ticket;

        assert_true(breaker_admit(&source.breaker, &policy, NSEC_PER_SEC, NSEC_PER_SEC, &ticket));
        (void) breaker_failure(&source.breaker, &policy, ticket, 2 * NSEC_PER_SEC, false);
        assert_string_equal(
                        log_breaker(&source),
                        "test: Source down: breaker open for 1min after 1 consecutive failures"
                        " SOURCE=down BREAKER=open FAILURES=1 OPEN_MS=60000.000\n");
        (void) breaker_force(&source.breaker, BREAKER_FORCED_OPEN, NSEC_PER_SEC);
        assert_line(log_breaker(&source), "Source down: breaker held open");
        (void) breaker_force(&source.breaker, BREAKER_AUTO, NSEC_PER_SEC);
        assert_line(log_breaker(&source), "Source down: breaker closed");
}

/* ---- workers ---- */

static const char *log_death(int status, bool overrun) {
        Capture capture = capture_begin(stderr);

        journal_worker_died(3, 4711, status, overrun, 250 * NSEC_PER_MSEC);
        return capture_end(&capture);
}

static void test_worker_died(void **state) {
        const char *text = log_death(SIGSEGV, /* overrun= */ false);

        assert_string_equal(
                        text,
                        "test: Worker 3 (pid 4711) ended by signal SEGV; the next one starts in 250ms"
                        " WORKER=3 WORKER_PID=4711 OVERRUN=0\n");
        text = log_death(SIGKILL, /* overrun= */ true);
        assert_line(text, "by signal KILL (it overran [Inference] TimeoutSec=); the next");
        assert_line(text, "OVERRUN=1\n");
        text = log_death(W_EXITCODE(71, 0), /* overrun= */ false);
        assert_line(text, "ended with status 71; the next");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_event),        cmocka_unit_test(test_query_done),
                cmocka_unit_test(test_query_failed), cmocka_unit_test(test_query_withdrawn),
                cmocka_unit_test(test_query_stored), cmocka_unit_test(test_breaker),
                cmocka_unit_test(test_worker_died),
        };
        return cmocka_run_group_tests_name("journal", tests, setup, NULL);
}
