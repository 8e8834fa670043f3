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

static Fetch good_fetch = { .attempts = 1, .status = 200 };
static Fetch bad_fetch = { .attempts = 1,
                           .status = 503,
                           .attempt = { .start = NSEC_PER_SEC,
                                        .end = NSEC_PER_SEC + 1500 * NSEC_PER_USEC } };
static Fetch unasked_fetch;

static const AnswerSource sources[] = {
        { .name = "good", .verdict = VERDICT_OK, .fetch = &good_fetch },
        { .name = "bad",
          .verdict = VERDICT_HTTP,
          .stage = STAGE_WAIT,
          .error = "the source answered 503\nand a line of its own",
          .fetch = &bad_fetch },
        { .name = "off", .verdict = VERDICT_SHED, .stage = STAGE_QUEUE, .fetch = &unasked_fetch },
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
                    " ATTEMPTS=1 HTTP_STATUS=503 FETCH_MS=1.500\n");
        assert_line(text, "test: Source off: shed: ");
        assert_line(text, verdict_help(VERDICT_SHED));
        assert_line(text, "ATTEMPTS=0 FETCH_MS=0.000\n");
        assert_line(text, "Query 01ARZ3NDEKTSV4RRFFQ69G5FAV: failed, 1 of 3 sources answered");
        assert_line(text, "COMPLETENESS=failed SOURCES_ASKED=3 SOURCES_ANSWERED=1");
}

/* Nobody waits for it any more: one entry, and no completeness. */
static void test_query_withdrawn(void **state) {
        const char *text = log_query(3, COMPLETENESS_PARTIAL, /* withdrawn= */ true);

        assert_int_equal(count_lines(text), 1);
        assert_line(text, "Query 01ARZ3NDEKTSV4RRFFQ69G5FAV withdrawn by its client after 2.500 ms");
        assert_null(strstr(text, "COMPLETENESS="));
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
                cmocka_unit_test(test_worker_died),
        };
        return cmocka_run_group_tests_name("journal", tests, setup, NULL);
}
