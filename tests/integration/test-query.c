/* SPDX-License-Identifier: Apache-2.0 */

/* Questions to the real daemon over its socket, real HTTP sources, real workers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

static SourceServer server;
static Daemon daemon_one; /* serves all tests that need no configuration of their own */

/* name, path and query, further lines */
static const struct {
        const char *name, *target, *keys;
} sources[] = {
        { "weather", "/weather?delay=50ms&q={question}", "Description=Weather\nTimeoutSec=30" },
        { "news", "/news?delay=20ms&city={city:New York}",
          "TimeoutSec=30\n[Result]\nSelect=/articles\nTitle=/title\nLink=/link" },
        { "bytes", "/bytes?n=1024", "Engine=none\nTimeoutSec=30" },
        { "text", "/text", "TimeoutSec=30" },
        { "html", "/html", "TimeoutSec=30" },
        { "empty", "/empty", "TimeoutSec=30" },
        { "gzip", "/gzip?n=20000", "Engine=none\nTimeoutSec=30" },
        { "chunked", "/chunked?n=5000&pieces=7", "Engine=none\nTimeoutSec=30" },
        { "eof", "/close-delimited?n=3000", "Engine=none\nTimeoutSec=30" },
        { "interim", "/interim?hints=3", "Engine=none\nTimeoutSec=30" },
        { "closing", "/bytes?n=512&close=1", "Engine=none\nTimeoutSec=30" },
        { "unavailable", "/status?code=503", "TimeoutSec=30" },
        { "limited", "/status?code=429", "TimeoutSec=30" },
        { "missing", "/nothing-here", "TimeoutSec=30" },
        { "moved", "/status?code=302", "TimeoutSec=30" },
        { "cut", "/cut?at=100", "TimeoutSec=30" },
        { "reset", "/reset?at=100", "TimeoutSec=30" },
        { "garbage", "/garbage", "TimeoutSec=30" },
        { "large", "/bytes?n=5000", "TimeoutSec=30\n[Limits]\nMaxBytes=4096" },
        { "large-chunked", "/chunked?n=5000", "TimeoutSec=30\n[Limits]\nMaxBytes=4096" },
        { "bomb", "/gzip?n=100000", "TimeoutSec=30\n[Limits]\nMaxBytes=4096" },
        { "selected", "/news?delay=1ms",
          "Engine=none\nTimeoutSec=30\n[Result]\nSelect=/articles/1/title" },
        { "unselected", "/news?delay=1ms", "TimeoutSec=30\n[Result]\nSelect=/nothing" },
        { "unsuccessful", "/news?delay=1ms", "TimeoutSec=30\n[Result]\nSuccess=/ok" },
        { "nothing-found", "/news?delay=1ms", "TimeoutSec=30\n[Result]\nEmpty=/hits" },
        { "not-json", "/status?code=200", "TimeoutSec=30\n[Result]\nSelect=/x" },
        { "bad-json", "/bad-json", "TimeoutSec=30" },
        { "hang", "/hang", "TimeoutSec=300ms" },
        { "needs-city", "/bytes?city={city}", "Engine=none\nTimeoutSec=30" },
        { "disabled", "/bytes", "Enabled=no" },
        { "echo", "/echo?q={question}",
          "Engine=none\nMethod=POST\nHeader=X-Key: secret value\nHeader=Accept: text/plain\nBody={\"ask\":\"{question}\"}" },
};

static int setup(void **state) {
        server_start(&server);
        daemon_prepare(&daemon_one);
        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                daemon_source(&daemon_one, sources[i].name,
                              "[Source]\nURL=http://%s%s\n%s\n[Breaker]\nFailures=0\n",
                              server.address, sources[i].target, sources[i].keys);
        daemon_source(&daemon_one, "v6", "[Source]\nEngine=none\nURL=http://%s/bytes\n",
                      server.address_v6);
        daemon_source(&daemon_one, "by-name",
                      "[Source]\nEngine=none\nTimeoutSec=30\nURL=http://localhost:%s/bytes\n",
                      strchr(server.address, ':') + 1);
        char path[256] = "";
        for (const char *c = server.unix_path; *c; c++)
                (void) snprintf(path + strlen(path), sizeof(path) - strlen(path),
                                *c == '/' ? "%%2F" : "%c", *c);
        daemon_source(&daemon_one, "unix", "[Source]\nEngine=none\nURL=http+unix://%s/bytes\n", path);
        daemon_source(&daemon_one, "refused",
                      "[Source]\nURL=http://127.0.0.1:1/\n[Breaker]\nFailures=0\n");
        daemon_source(&daemon_one, "no-name",
                      "[Source]\nURL=http://no-such-host.invalid/\nTimeoutSec=20\n");
        daemon_source(&daemon_one, "simulated", "[Source]\nURL=simulate:?delay=10ms&bytes=300\n");
        daemon_source(&daemon_one, "simulated-error",
                      "[Source]\nURL=simulate:?status=500\n[Breaker]\nFailures=0\n");
        daemon_source(&daemon_one, "simulated-failure",
                      "[Source]\nURL=simulate:?fail=1\n[Breaker]\nFailures=0\n");
        daemon_start(&daemon_one, NULL);
        return 0;
}

static int teardown(void **state) {
        daemon_stop(&daemon_one);
        daemon_cleanup(&daemon_one);
        server_stop(&server);
        return 0;
}

__attribute__((format(printf, 1, 2))) static json_t *ask(const char *format, ...) {
        char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        assert_true(vasprintf(&text, format, arguments) >= 0);
        va_end(arguments);
        json_t *answer = daemon_query(&daemon_one, text);
        free(text);
        return answer;
}

static void assert_verdict(const json_t *answer, const char *source, const char *verdict) {
        char path[128];

        (void) snprintf(path, sizeof(path), "/sources/%s/verdict", source);
        const char *found = string_at(answer, path);
        if (!found || strcmp(found, verdict) != 0)
                fail_msg("%s: expected %s, found %s: %s", source, verdict,
                         found ? found : "nothing", json_dumps(json_at(answer, "/errors"), 0));
}

/* ---- the answer as a whole ---- */

static void test_answer(void **state) {
        json_t *answer = ask(
                        "{\"question\":\"What is the weather in New York?\",\"sources\":[\"weather\",\"news\"]}");

        assert_string_equal(string_at(answer, "/query"), "What is the weather in New York?");
        assert_int_equal(strlen(string_at(answer, "/query_id")), 26);
        assert_true(true_at(answer, "/success"));
        assert_string_equal(string_at(answer, "/completeness"), "complete");
        assert_verdict(answer, "weather", "ok");
        assert_verdict(answer, "news", "ok");
        assert_string_equal(string_at(answer, "/sources/weather/origin"), "live");
        assert_int_equal(number_at(answer, "/sources/weather/attempts"), 1);
        assert_int_equal(number_at(answer, "/sources/weather/status"), 200);
        assert_true(number_at(answer, "/sources/weather/fetch_ms") >= 50);
        assert_string_equal(string_at(answer, "/sources/weather/data/city"), "New York");
        assert_int_equal(json_array_size(json_at(answer, "/inferences")), 2);
        assert_int_equal(json_array_size(json_at(answer, "/errors")), 0);
        assert_true(json_array_size(json_at(answer, "/answer/passages")) >= 1);
        assert_string_equal(string_at(answer, "/answer/passages/0/source"), "weather");
        assert_true(strlen(string_at(answer, "/answer/summary")) > 0);
        assert_true(number_at(answer, "/execution_time") >= .05);
        assert_true(number_at(answer, "/cores_used") >= 1);
        json_decref(answer);
}

static void test_timeline(void **state) {
        static const char *const stages[] = { "connect", "send",   "wait",  "receive",
                                              "lane",    "decode", "engine" };
        /* Its origin is asked here for the first time, so there is no kept connection. */
        json_t *answer = ask("{\"question\":\"x\",\"sources\":[\"v6\"]}");
        double last = 0;

        for (size_t i = 0; i < ELEMENTSOF(stages); i++) {
                json_t *span = json_array_get(json_at(answer, "/timeline"), i);

                assert_string_equal(string_at(span, "/stage"), stages[i]);
                assert_string_equal(string_at(span, "/source"), "v6");
                assert_int_equal(number_at(span, "/attempt"), 1);
                assert_true(number_at(span, "/start_ms") >= last - .001);
                assert_true(number_at(span, "/end_ms") >= number_at(span, "/start_ms"));
                last = number_at(span, "/end_ms");
        }
        assert_true(last <= number_at(answer, "/execution_time") * 1000 + .01);
        json_decref(answer);
}

static void test_max_passages(void **state) {
        json_t *answer = ask(
                        "{\"question\":\"weather\",\"sources\":[\"weather\"],\"max_passages\":0}");

        assert_int_equal(json_array_size(json_at(answer, "/answer/passages")), 0);
        assert_true(true_at(answer, "/success"));
        json_decref(answer);
}

static void test_parameters(void **state) {
        json_t *answer = ask(
                        "{\"question\":\"x\",\"sources\":[\"needs-city\"],\"parameters\":{\"city\":\"Oslo & more\"}}");

        assert_verdict(answer, "needs-city", "ok");
        json_decref(answer);
        answer = ask("{\"question\":\"x\",\"sources\":[\"needs-city\"]}");
        assert_verdict(answer, "needs-city", "rejected");
        assert_int_equal(number_at(answer, "/sources/needs-city/attempts"), 0);
        json_decref(answer);
}

static void test_request(void **state) {
        json_t *answer = ask("{\"question\":\"say \\\"hi\\\" & où\",\"sources\":[\"echo\"]}");

        assert_verdict(answer, "echo", "ok");
        assert_string_equal(string_at(answer, "/sources/echo/data/method"), "POST");
        assert_string_equal(
                        string_at(answer, "/sources/echo/data/query"),
                        "q=say%20%22hi%22%20%26%20o%C3%B9");
        assert_string_equal(
                        string_at(answer, "/sources/echo/data/body"),
                        "{\"ask\":\"say \\\"hi\\\" & où\"}");
        const char *headers = string_at(answer, "/sources/echo/data/headers");
        assert_non_null(strstr(headers, "X-Key: secret value\r\n"));
        assert_non_null(strstr(headers, "Accept: text/plain\r\n"));
        assert_null(strstr(headers, "application/json, text/html"));
        assert_non_null(strstr(headers, "User-Agent: muster/"));
        assert_non_null(strstr(headers, "Content-Type: application/json\r\n"));
        json_decref(answer);
}

/* ---- every verdict ---- */

static const struct {
        const char *source, *verdict, *stage;
        bool transient;
} verdicts[] = {
        { "bytes", "ok", NULL, false },
        { "text", "ok", NULL, false },
        { "html", "ok", NULL, false },
        { "gzip", "ok", NULL, false },
        { "chunked", "ok", NULL, false },
        { "eof", "ok", NULL, false },
        { "interim", "ok", NULL, false },
        { "selected", "ok", NULL, false },
        { "v6", "ok", NULL, false },
        { "unix", "ok", NULL, false },
        { "by-name", "ok", NULL, false },
        { "simulated", "ok", NULL, false },
        { "empty", "empty", NULL, false },
        { "nothing-found", "empty", NULL, false },
        { "hang", "timeout", "fetch", true },
        { "no-name", "dns", "fetch", true },
        { "refused", "connect", "fetch", true },
        { "simulated-failure", "connect", "fetch", true },
        { "unavailable", "http", "fetch", false },
        { "missing", "http", "fetch", false },
        { "moved", "http", "fetch", false },
        { "cut", "http", "fetch", false },
        { "reset", "http", "fetch", false },
        { "garbage", "http", "fetch", false },
        { "simulated-error", "http", "fetch", false },
        { "limited", "quota", "fetch", true },
        { "large", "too_large", "fetch", false },
        { "large-chunked", "too_large", "fetch", false },
        { "bomb", "too_large", "decode", false },
        { "unselected", "rejected", "decode", false },
        { "unsuccessful", "rejected", "decode", false },
        { "not-json", "rejected", "decode", false },
        { "bad-json", "decode", "decode", false },
        { "disabled", "shed", "fetch", true },
};

static const json_t *find_error(const json_t *answer, const char *source) {
        const json_t *errors = json_at(answer, "/errors");

        for (size_t i = 0; i < json_array_size(errors); i++)
                if (strcmp(string_at(json_array_get(errors, i), "/source"), source) == 0)
                        return json_array_get(errors, i);
        return NULL;
}

static void check_verdict(const json_t *answer, size_t i) {
        const json_t *error = find_error(answer, verdicts[i].source);

        assert_verdict(answer, verdicts[i].source, verdicts[i].verdict);
        if (!verdicts[i].stage) {
                assert_null(error);
                return;
        }
        assert_non_null(error);
        assert_string_equal(string_at(error, "/kind"), verdicts[i].verdict);
        assert_string_equal(string_at(error, "/stage"), verdicts[i].stage);
        assert_int_equal(true_at(error, "/transient"), verdicts[i].transient);
        assert_true(strlen(string_at(error, "/message")) > 0);
}

static void test_verdicts_alone(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(verdicts); i++) {
                bool answered = !verdicts[i].stage;
                json_t *answer = ask(
                                "{\"question\":\"When does the harbour open?\",\"sources\":[\"%s\"]}",
                                verdicts[i].source);

                check_verdict(answer, i);
                assert_int_equal(true_at(answer, "/success"), answered);
                assert_string_equal(
                                string_at(answer, "/completeness"), answered ? "complete" : "failed");
                json_decref(answer);
        }
}

static void test_verdicts_together(void **state) {
        char names[2048] = "";

        for (size_t i = 0; i < ELEMENTSOF(verdicts); i++)
                (void) snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s\"%s\"",
                                i ? "," : "", verdicts[i].source);
        for (unsigned round = 0; round < 5; round++) {
                json_t *answer =
                                ask("{\"question\":\"When does the harbour open?\",\"sources\":[%s]}",
                                    names);

                for (size_t i = 0; i < ELEMENTSOF(verdicts); i++)
                        check_verdict(answer, i);
                assert_string_equal(string_at(answer, "/completeness"), "partial");
                assert_true(true_at(answer, "/success"));
                json_decref(answer);
        }
}

static void test_bodies(void **state) {
        json_t *answer = ask(
                        "{\"question\":\"x\",\"sources\":[\"bytes\",\"gzip\",\"chunked\",\"eof\",\"selected\",\"text\"]}");

        /* {"text":"…"}: eleven bytes around the text */
        assert_int_equal(strlen(string_at(answer, "/sources/bytes/data/text")), 1024 - 11);
        assert_int_equal(strlen(string_at(answer, "/sources/gzip/data/text")), 20000 - 11);
        assert_int_equal(strlen(string_at(answer, "/sources/chunked/data/text")), 5000 - 11);
        assert_int_equal(strlen(string_at(answer, "/sources/eof/data/text")), 3000 - 11);
        assert_string_equal(string_at(answer, "/sources/selected/data"), "City opens a new park");
        assert_non_null(strstr(string_at(answer, "/sources/text/data"), "The harbour opens at six."));
        json_decref(answer);
}

/* ---- time ---- */

static void test_deadline(void **state) {
        json_t *answer = ask(
                        "{\"question\":\"x\",\"sources\":[\"bytes\",\"hang\",\"weather\"],\"deadline_ms\":30}");

        assert_verdict(answer, "hang", "late");
        assert_verdict(answer, "weather", "late");
        assert_string_equal(
                        string_at(answer, "/sources/hang/error"),
                        "no response by the query's deadline");
        assert_true(number_at(answer, "/execution_time") >= .03);
        json_decref(answer);
}

static void test_timeout_is_partial(void **state) {
        json_t *answer = ask("{\"question\":\"x\",\"sources\":[\"bytes\",\"hang\"]}");

        assert_verdict(answer, "bytes", "ok");
        assert_verdict(answer, "hang", "timeout");
        assert_string_equal(string_at(answer, "/sources/hang/error"), "no response within 300ms");
        assert_string_equal(string_at(answer, "/completeness"), "partial");
        assert_true(number_at(answer, "/execution_time") >= .3);
        assert_true(number_at(answer, "/execution_time") < 10);
        json_decref(answer);
}

/* ---- policies ---- */

static void test_required(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "must", "[Source]\nURL=http://127.0.0.1:1/\nClass=required\n");
        daemon_source(&daemon, "may", "[Source]\nURL=http://%s/bytes\n", server.address);
        daemon_source(&daemon, "slow", "[Source]\nURL=http://%s/bytes?delay=20s\nTimeoutSec=30\n",
                      server.address);
        daemon_start(&daemon, NULL);

        json_t *answer = daemon_query(&daemon, "{\"question\":\"x\",\"sources\":[\"must\",\"may\"]}");
        assert_false(true_at(answer, "/success"));
        assert_string_equal(string_at(answer, "/completeness"), "failed");
        assert_verdict(answer, "may", "ok");
        json_decref(answer);

        answer = daemon_query(&daemon, "{\"question\":\"x\",\"policy\":\"fail_fast\"}");
        assert_false(true_at(answer, "/success"));
        assert_verdict(answer, "must", "connect");
        assert_verdict(answer, "slow", "cancelled");
        assert_true(number_at(answer, "/execution_time") < 10);
        json_decref(answer);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

static void test_no_sources(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_start(&daemon, NULL);
        json_t *answer = daemon_query(&daemon, "{\"question\":\"x\"}");
        assert_false(true_at(answer, "/success"));
        assert_string_equal(string_at(answer, "/completeness"), "failed");
        json_decref(answer);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* ---- refusals ---- */

static void test_refusals(void **state) {
        static const struct {
                const char *parameters, *error, *member, *value;
        } calls[] = {
                { "{}", "org.varlink.service.InvalidParameter", "parameter", "question" },
                { "{\"question\":\"\"}", "org.varlink.service.InvalidParameter", "parameter",
                  "question" },
                { "{\"question\":7}", "org.varlink.service.InvalidParameter", "parameter",
                  "question" },
                { "{\"question\":\"x\",\"sources\":[\"nobody\"]}", "io.muster.NoSuchSource",
                  "source", "nobody" },
                { "{\"question\":\"x\",\"sources\":\"weather\"}",
                  "org.varlink.service.InvalidParameter", "parameter", "sources" },
                { "{\"question\":\"x\",\"deadline_ms\":0}", "org.varlink.service.InvalidParameter",
                  "parameter", "deadline_ms" },
                { "{\"question\":\"x\",\"deadline_ms\":\"5\"}",
                  "org.varlink.service.InvalidParameter", "parameter", "deadline_ms" },
                { "{\"question\":\"x\",\"policy\":\"hope\"}",
                  "org.varlink.service.InvalidParameter", "parameter", "policy" },
                { "{\"question\":\"x\",\"max_passages\":-1}",
                  "org.varlink.service.InvalidParameter", "parameter", "max_passages" },
                { "{\"question\":\"x\",\"parameters\":{\"a\":1}}",
                  "org.varlink.service.InvalidParameter", "parameter", "parameters" },
                { "{\"question\":\"x\",\"colour\":\"blue\"}",
                  "org.varlink.service.InvalidParameter", "parameter", "colour" },
        };

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                char path[64];
                json_t *reply = daemon_call(&daemon_one, "io.muster.Query", calls[i].parameters);

                assert_string_equal(string_at(reply, "/error"), calls[i].error);
                (void) snprintf(path, sizeof(path), "/parameters/%s", calls[i].member);
                assert_string_equal(string_at(reply, path), calls[i].value);
                json_decref(reply);
        }
}

static void test_question_sizes(void **state) {
        static char question[8200];
        char *parameters = NULL;

        memset(question, 'q', 8192);
        assert_true(asprintf(&parameters, "{\"question\":\"%s\",\"sources\":[\"bytes\"]}",
                             question) > 0);
        json_t *answer = daemon_query(&daemon_one, parameters);
        assert_verdict(answer, "bytes", "ok");
        json_decref(answer);
        free(parameters);

        question[8192] = 'q';
        assert_true(asprintf(&parameters, "{\"question\":\"%s\"}", question) > 0);
        json_t *reply = daemon_call(&daemon_one, "io.muster.Query", parameters);
        assert_string_equal(string_at(reply, "/error"), "org.varlink.service.InvalidParameter");
        json_decref(reply);
        free(parameters);
}

/* ---- the other methods ---- */

static void test_explain(void **state) {
        json_t *reply = daemon_call(
                        &daemon_one, "io.muster.Explain",
                        "{\"question\":\"a b\",\"sources\":[\"weather\",\"needs-city\",\"disabled\",\"weather\"]}");
        const json_t *plan = json_at(reply, "/parameters/sources");

        assert_int_equal(json_array_size(plan), 3);
        for (size_t i = 0; i < 3; i++) {
                const json_t *entry = json_array_get(plan, i);
                bool asked = strcmp(string_at(entry, "/source"), "weather") == 0;

                assert_int_equal(true_at(entry, "/would_ask"), asked);
                assert_string_equal(string_at(entry, "/method"), "GET");
                if (asked) {
                        assert_non_null(strstr(
                                        string_at(entry, "/url"), "/weather?delay=50ms&q=a%20b"));
                        assert_int_equal(number_at(entry, "/timeout_ms"), 15000);
                } else
                        assert_true(strlen(string_at(entry, "/reason")) > 0);
        }
        json_decref(reply);
}

static void test_sources(void **state) {
        json_t *reply = daemon_call(&daemon_one, "io.muster.ListSources", "null");

        assert_int_equal(
                        json_array_size(json_at(reply, "/parameters/sources")),
                        ELEMENTSOF(sources) + 8);
        json_decref(reply);

        reply = daemon_call(&daemon_one, "io.muster.DescribeSource", "{\"source\":\"echo\"}");
        assert_string_equal(string_at(reply, "/parameters/name"), "echo");
        assert_string_equal(string_at(reply, "/parameters/configuration/Header/0"), "X-Key: ***");
        assert_string_equal(string_at(reply, "/parameters/configuration/Method"), "POST");
        assert_true(number_at(reply, "/parameters/counters/requests") >= 1);
        json_decref(reply);

        reply = daemon_call(&daemon_one, "io.muster.DescribeSource", "{\"source\":\"nobody\"}");
        assert_string_equal(string_at(reply, "/error"), "io.muster.NoSuchSource");
        json_decref(reply);
}

static void test_status(void **state) {
        json_t *reply = daemon_call(&daemon_one, "io.muster.GetStatus", NULL);

        assert_string_equal(string_at(reply, "/parameters/io_backend"), "io_uring");
        assert_true(number_at(reply, "/parameters/queries/total") > 0);
        assert_int_equal(number_at(reply, "/parameters/queries/open"), 0);
        assert_true(json_array_size(json_at(reply, "/parameters/workers")) >= 1);
        /* Every question and document has been given back; rules of sources stay. */
        assert_true(number_at(reply, "/parameters/arena/used") < 16 * 1024);
        assert_int_equal(number_at(reply, "/parameters/fetches/in_flight"), 0);
        json_decref(reply);
}

static void test_streaming(void **state) {
        int fd = client_connect(&daemon_one);
        unsigned events = 0;

        client_send_flags(
                        fd, "io.muster.Query",
                        "{\"question\":\"weather\",\"sources\":[\"weather\",\"news\",\"refused\"]}",
                        ",\"more\":true");
        for (json_t *reply; (reply = client_receive(fd));) {
                bool continues = true_at(reply, "/continues");

                if (continues) {
                        events++;
                        assert_non_null(string_at(reply, "/parameters/event/source"));
                        assert_non_null(string_at(reply, "/parameters/event/result/verdict"));
                } else
                        assert_string_equal(string_at(reply, "/parameters/completeness"), "partial");
                json_decref(reply);
                if (!continues)
                        break;
        }
        assert_int_equal(events, 3);
        (void) close(fd);
}

static void test_keep_alive(void **state) {
        for (unsigned i = 0; i < 50; i++) {
                json_t *answer = ask("{\"question\":\"x\",\"sources\":[\"bytes\"]}");

                assert_verdict(answer, "bytes", "ok");
                json_decref(answer);
        }
        /* A kept connection needs no connect step. */
        json_t *answer = ask("{\"question\":\"x\",\"sources\":[\"bytes\"]}");
        assert_string_equal(string_at(answer, "/timeline/0/stage"), "send");
        json_decref(answer);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answer),
                cmocka_unit_test(test_timeline),
                cmocka_unit_test(test_max_passages),
                cmocka_unit_test(test_parameters),
                cmocka_unit_test(test_request),
                cmocka_unit_test(test_verdicts_alone),
                cmocka_unit_test(test_verdicts_together),
                cmocka_unit_test(test_bodies),
                cmocka_unit_test(test_deadline),
                cmocka_unit_test(test_timeout_is_partial),
                cmocka_unit_test(test_required),
                cmocka_unit_test(test_no_sources),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_question_sizes),
                cmocka_unit_test(test_explain),
                cmocka_unit_test(test_sources),
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_streaming),
                cmocka_unit_test(test_keep_alive),
        };
        return cmocka_run_group_tests_name("query", tests, setup, teardown);
}
