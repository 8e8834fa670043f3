/* SPDX-License-Identifier: Apache-2.0 */

/* What administrators see when sources fail: breakers, the cache, fallbacks, quotas over a restart,
 * queries refused, those who look on. Times and edges are the simulator's business. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

static SourceServer server;

static int setup(void **state) {
        server_start(&server);
        return 0;
}

static int teardown(void **state) {
        server_stop(&server);
        return 0;
}

static void expect_text(const json_t *json, const char *path, const char *expected) {
        const char *found = string_at(json, path);

        if (!found || strcmp(found, expected) != 0)
                fail_msg("%s is %s, not %s", path, found ? found : "nothing", expected);
}

static json_t *describe(const Daemon *daemon, const char *source) {
        char parameters[128];

        (void) snprintf(parameters, sizeof(parameters), "{\"source\":\"%s\"}", source);
        return daemon_call(daemon, "io.muster.DescribeSource", parameters);
}

static double counter(const Daemon *daemon, const char *source, const char *name) {
        char path[128];
        json_t *reply = describe(daemon, source);

        (void) snprintf(path, sizeof(path), "/parameters/counters/%s", name);
        double value = number_at(reply, path);
        json_decref(reply);
        return value;
}

static void set_breaker(const Daemon *daemon, const char *source, const char *to) {
        char parameters[128];

        (void) snprintf(parameters, sizeof(parameters), "{\"source\":\"%s\",\"state\":\"%s\"}",
                        source, to);
        json_t *reply = daemon_call(daemon, "io.muster.SetBreaker", parameters);
        assert_null(json_object_get(reply, "error"));
        json_decref(reply);
}

static void expect_verdict(const Daemon *daemon, const char *parameters, const char *verdict) {
        json_t *answer = daemon_query(daemon, parameters);

        expect_text(answer, "/sources/s/verdict", verdict);
        json_decref(answer);
}

/* ---- breakers ---- */

/* The fifth failure opens it; then nothing is sent, until somebody lets it go. */
static void test_breaker(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "s", "[Source]\nURL=http://127.0.0.1:1/\n[Retry]\nAttempts=1\n");
        daemon_start(&daemon, NULL);
        for (unsigned i = 0; i < 5; i++)
                expect_verdict(&daemon, "{\"question\":\"x\"}", "connect");
        expect_verdict(&daemon, "{\"question\":\"x\"}", "breaker_open");
        json_t *reply = describe(&daemon, "s");
        expect_text(reply, "/parameters/breaker/state", "open");
        assert_true(number_at(reply, "/parameters/breaker/open_ms") > 1000);
        json_decref(reply);
        reply = daemon_call(&daemon, "io.muster.Explain", "{\"question\":\"x\"}");
        assert_false(true_at(reply, "/parameters/sources/0/would_ask"));
        expect_text(reply, "/parameters/sources/0/breaker/state", "open");
        json_decref(reply);
        assert_int_equal(counter(&daemon, "s", "requests"), 5);
        assert_int_equal(counter(&daemon, "s", "breaker_opened"), 1);

        set_breaker(&daemon, "s", "closed");
        for (unsigned i = 0; i < 7; i++)
                expect_verdict(&daemon, "{\"question\":\"x\"}", "connect");
        set_breaker(&daemon, "s", "open");
        expect_verdict(&daemon, "{\"question\":\"x\"}", "breaker_open");
        set_breaker(&daemon, "s", "auto");
        expect_verdict(&daemon, "{\"question\":\"x\"}", "connect");
        daemon_stop(&daemon);

        char *log = daemon_log(&daemon);
        assert_non_null(strstr(log, "Source s: breaker open for 1min after 5 consecutive failures"));
        free(log);
        daemon_cleanup(&daemon);
}

/* ---- the cache ---- */

static void ask(const Daemon *daemon, const char *parameters, const char *origin) {
        json_t *answer = daemon_query(daemon, parameters);

        assert_true(true_at(answer, "/success"));
        expect_text(answer, "/sources/s/origin", origin);
        assert_non_null(json_at(answer, "/sources/s/data"));
        json_decref(answer);
}

static void test_cache(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "s",
                      "[Source]\nURL=http://%s/news?delay=1ms&q={question}\n[Cache]\nTTLSec=60\n",
                      server.address);
        daemon_start(&daemon, NULL);
        json_t *answer = daemon_query(&daemon, "{\"question\":\"x\",\"cache\":\"only\"}");
        expect_text(answer, "/sources/s/verdict", "uncached");
        assert_false(true_at(answer, "/success"));
        json_decref(answer);
        ask(&daemon, "{\"question\":\"x\"}", "live");
        for (unsigned i = 0; i < 3; i++)
                ask(&daemon, "{\"question\":\"x\"}", "cache");
        ask(&daemon, "{\"question\":\"x\",\"cache\":\"only\"}", "cache");
        ask(&daemon, "{\"question\":\"y\"}", "live");
        ask(&daemon, "{\"question\":\"x\",\"cache\":\"bypass\"}", "live");
        assert_int_equal(counter(&daemon, "s", "requests"), 3);

        json_t *reply = daemon_call(&daemon, "io.muster.FlushCache", NULL);
        assert_int_equal(number_at(reply, "/parameters/entries"), 2);
        json_decref(reply);
        ask(&daemon, "{\"question\":\"x\"}", "live");
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* Every one who asks the same has an answer of his own, and an identifier. */
static void test_whole_answer(void **state) {
        char id[27] = "";
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "s", "[Source]\nURL=http://%s/news?delay=1ms\n[Cache]\nTTLSec=60\n",
                      server.address);
        daemon_start(&daemon, NULL);
        ask(&daemon, "{\"question\":\"x\"}", "live");
        for (unsigned i = 0; i < 4; i++) {
                json_t *answer = daemon_query(&daemon, "{\"question\":\"x\"}");

                assert_string_not_equal(string_at(answer, "/query_id"), id);
                (void) snprintf(id, sizeof(id), "%s", string_at(answer, "/query_id"));
                expect_text(answer, "/completeness", "complete");
                expect_text(answer, "/timeline/0/stage", "cache");
                assert_true(number_at(answer, "/execution_time") < 5);
                json_decref(answer);
        }
        json_t *reply = daemon_call(&daemon, "io.muster.GetStatus", NULL);
        assert_int_equal(number_at(reply, "/parameters/queries/stored"), 3);
        assert_int_equal(number_at(reply, "/parameters/queries/open"), 0);
        assert_int_equal(number_at(reply, "/parameters/queries/total"), 5);
        json_decref(reply);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* ---- substitutes ---- */

static void test_fallback(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "s",
                      "[Source]\nURL=http://127.0.0.1:1/\nClass=required\n[Fallback]\nText=Nothing today.\n");
        daemon_source(&daemon, "t", "[Source]\nURL=http://127.0.0.1:1/\n[Fallback]\nSource=u\n");
        daemon_source(&daemon, "u", "[Source]\nURL=http://%s/text\n", server.address);
        daemon_start(&daemon, NULL);
        json_t *answer = daemon_query(&daemon, "{\"question\":\"x\",\"sources\":[\"s\",\"t\"]}");
        expect_text(answer, "/completeness", "partial");
        assert_true(true_at(answer, "/success"));
        expect_text(answer, "/sources/s/verdict", "connect");
        expect_text(answer, "/sources/s/origin", "fallback");
        expect_text(answer, "/sources/s/data", "Nothing today.");
        expect_text(answer, "/sources/t/verdict", "connect");
        expect_text(answer, "/sources/t/origin", "fallback");
        assert_non_null(strstr(string_at(answer, "/sources/t/data"), "harbour"));
        assert_int_equal(json_array_size(json_at(answer, "/errors")), 2);
        json_decref(answer);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* ---- limits ---- */

/* What was drawn on a day is known after a restart. */
static void test_daily(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "s", "[Source]\nURL=simulate:\n[Limits]\nDaily=3\n");
        daemon_start(&daemon, NULL);
        expect_verdict(&daemon, "{\"question\":\"x\"}", "ok");
        daemon_stop(&daemon);
        daemon_start(&daemon, NULL);
        expect_verdict(&daemon, "{\"question\":\"x\"}", "ok");
        expect_verdict(&daemon, "{\"question\":\"x\"}", "ok");
        expect_verdict(&daemon, "{\"question\":\"x\"}", "quota");
        daemon_stop(&daemon);
        daemon_start(&daemon, NULL);
        expect_verdict(&daemon, "{\"question\":\"x\"}", "quota");
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

static void test_max_queries(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_config(&daemon, "[Supervisor]\nMaxQueries=2\n");
        daemon_source(&daemon, "s", "[Source]\nURL=simulate:?delay=1min\nTimeoutSec=2min\n");
        daemon_start(&daemon, NULL);
        int first = client_connect(&daemon), second = client_connect(&daemon);
        client_send(first, "io.muster.Query", "{\"question\":\"x\",\"deadline_ms\":60000}");
        client_send(second, "io.muster.Query", "{\"question\":\"y\",\"deadline_ms\":60000}");
        for (uint64_t end = monotonic_ms() + 10000;; pause_ms(10)) {
                json_t *reply = daemon_call(&daemon, "io.muster.GetStatus", NULL);
                double open = number_at(reply, "/parameters/queries/open");

                json_decref(reply);
                if (open >= 2)
                        break;
                assert_true(monotonic_ms() < end);
        }
        json_t *reply = daemon_call(&daemon, "io.muster.Query", "{\"question\":\"z\"}");
        expect_text(reply, "/error", "io.muster.Overloaded");
        assert_true(number_at(reply, "/parameters/retry_after_ms") > 0);
        json_decref(reply);
        (void) close(first);
        (void) close(second);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* ---- who looks on ---- */

static json_t *next_event(int fd, const char *kind) {
        for (;;) {
                json_t *reply = client_receive(fd);

                assert_non_null(reply);
                assert_true(true_at(reply, "/continues"));
                if (strcmp(string_at(reply, "/parameters/kind"), kind) == 0)
                        return reply;
                json_decref(reply);
        }
}

static void test_monitor(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "s",
                      "[Source]\nURL=http://127.0.0.1:1/\n[Retry]\nAttempts=1\n[Breaker]\nFailures=1\n");
        daemon_start(&daemon, NULL);
        int fd = client_connect(&daemon);
        client_send_flags(fd, "io.muster.Monitor", "{}", ",\"more\":true");
        pause_ms(100); /* another connection's call must not come first */
        expect_verdict(&daemon, "{\"question\":\"x\"}", "connect");
        json_t *reply = next_event(fd, "breaker");
        expect_text(reply, "/parameters/source", "s");
        expect_text(reply, "/parameters/state", "open");
        json_decref(reply);
        reply = next_event(fd, "source");
        expect_text(reply, "/parameters/verdict", "connect");
        json_decref(reply);
        reply = next_event(fd, "query");
        expect_text(reply, "/parameters/completeness", "failed");
        assert_int_equal(strlen(string_at(reply, "/parameters/query_id")), 26);
        json_decref(reply);
        (void) close(fd);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_breaker),      cmocka_unit_test(test_cache),
                cmocka_unit_test(test_whole_answer), cmocka_unit_test(test_fallback),
                cmocka_unit_test(test_daily),        cmocka_unit_test(test_max_queries),
                cmocka_unit_test(test_monitor),
        };
        return cmocka_run_group_tests_name("trouble", tests, setup, teardown);
}
