/* SPDX-License-Identifier: Apache-2.0 */

/* The texts, and that they have no member that the interface does not describe. */

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "interface.h"
#include "monitor-events.h"

#define ID "01ARZ3NDEKTSV4RRFFQ69G5FAV"

static const FetchOutcome good_fetch = {
        .attempts = 2,
        .start = NSEC_PER_SEC,
        .end = NSEC_PER_SEC + 1500 * NSEC_PER_USEC,
};

static const AnswerSource sources[] = {
        { .name = "good", .verdict = VERDICT_EMPTY, .origin = ORIGIN_LIVE, .asked = &good_fetch },
        { .name = "off", .verdict = VERDICT_SHED, .error = "private" },
};

static bool described(const char *name) {
        size_t n;
        const InterfaceField *fields = interface_fields(USE_OUTPUT, "Monitor", &n);

        for (size_t i = 0; i < n; i++)
                if (strcmp(fields[i].name, name) == 0)
                        return true;
        return false;
}

static void expect(Buffer *out, const char *expected) {
        CLEANUP_FREE char *text = buffer_steal(out);
        const char *name;
        json_t *value;

        assert_non_null(text);
        assert_string_equal(text, expected);
        json_t *event = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(event);
        assert_true(interface_value("EventKind",
                                    json_string_value(json_object_get(event, "kind"))) >= 0);
        json_object_foreach(event, name, value) {
                if (!described(name))
                        fail_msg("no member %s is described", name);
        }
        json_decref(event);
}

static void expect_query(Completeness completeness, bool withdrawn, const char *expected) {
        const AnswerInput input = {
                .question = "private",
                .question_size = 7,
                .query_id = ID,
                .start_ns = NSEC_PER_SEC,
                .end_ns = NSEC_PER_SEC + 2500 * NSEC_PER_USEC,
                .sources = sources,
                .n_sources = 2,
        };
        const QuerySummary summary = { .input = &input,
                                       .completeness = completeness,
                                       .withdrawn = withdrawn };
        Buffer out = {};

        event_query(&summary, 1700000000123, &out);
        expect(&out, expected);
}

static void test_query(void **state) {
        expect_query(COMPLETENESS_PARTIAL, /* withdrawn= */ false,
                     "{\"kind\":\"query\",\"time\":1700000000123,\"query_id\":\"" ID
                     "\",\"success\":true,\"completeness\":\"partial\",\"asked\":2,\"answered\":1,"
                     "\"execution_ms\":2.5}");
        expect_query(COMPLETENESS_FAILED, /* withdrawn= */ false,
                     "{\"kind\":\"query\",\"time\":1700000000123,\"query_id\":\"" ID
                     "\",\"success\":false,\"completeness\":\"failed\",\"asked\":2,\"answered\":1,"
                     "\"execution_ms\":2.5}");
        expect_query(COMPLETENESS_FAILED, /* withdrawn= */ true,
                     "{\"kind\":\"query\",\"time\":1700000000123,\"query_id\":\"" ID
                     "\",\"asked\":2,\"answered\":1,\"execution_ms\":2.5}");
}

static void test_source(void **state) {
        Buffer out = {};

        event_source(ID, &sources[0], 7, &out);
        expect(&out,
               "{\"kind\":\"source\",\"time\":7,\"query_id\":\"" ID
               "\",\"source\":\"good\",\"verdict\":\"empty\",\"origin\":\"live\",\"attempts\":2,"
               "\"fetch_ms\":1.5}");
        event_source(ID, &sources[1], 7, &out);
        expect(&out,
               "{\"kind\":\"source\",\"time\":7,\"query_id\":\"" ID
               "\",\"source\":\"off\",\"verdict\":\"shed\",\"attempts\":0}");
}

/* One that a substitute serves has its verdict and the origin of what is shown. */
static void test_served(void **state) {
        static const ResultHeader result;
        const AnswerSource served = {
                .name = "down", .verdict = VERDICT_CONNECT, .origin = ORIGIN_STALE, .result = &result
        };
        Buffer out = {};

        event_source(ID, &served, 7, &out);
        expect(&out,
               "{\"kind\":\"source\",\"time\":7,\"query_id\":\"" ID
               "\",\"source\":\"down\",\"verdict\":\"connect\",\"origin\":\"stale\",\"attempts\":0}");
}

static void test_breaker(void **state) {
        Source source = { .name = "down" };
        const BreakerPolicy policy = { .failures = 1, .open_ns = 60 * NSEC_PER_SEC };
        BreakerTicket ticket;
        Buffer out = {};

        assert_true(breaker_admit(&source.breaker, &policy, NSEC_PER_SEC, NSEC_PER_SEC, &ticket));
        assert_int_equal(
                        breaker_failure(&source.breaker, &policy, ticket, NSEC_PER_SEC, false),
                        BREAKER_HAS_OPENED);
        event_breaker(&source, 2 * NSEC_PER_SEC, 7, &out);
        expect(&out,
               "{\"kind\":\"breaker\",\"time\":7,\"source\":\"down\",\"state\":\"open\","
               "\"failures\":1,\"open_ms\":59000}");
}

static void test_worker(void **state) {
        Buffer out = {};

        event_worker(3, 4711, SIGKILL, /* overrun= */ true, 250 * NSEC_PER_MSEC, 7, &out);
        expect(&out,
               "{\"kind\":\"worker\",\"time\":7,\"worker\":3,\"pid\":4711,\"status\":"
               "\"by signal KILL (it overran [Inference] TimeoutSec=)\",\"backoff_ms\":250}");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_query),  cmocka_unit_test(test_source),
                cmocka_unit_test(test_served), cmocka_unit_test(test_breaker),
                cmocka_unit_test(test_worker),
        };
        return cmocka_run_group_tests_name("monitor-events", tests, NULL, NULL);
}
