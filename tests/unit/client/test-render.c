/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "cleanup.h"
#include "render.h"

typedef int (*Render)(Buffer *out, const View *view, const json_t *reply);

static const View pipe_view = { .utf8 = true };

static char *rendered(Render render, const View *view, const char *text) {
        json_t *tree = json_loads(text, 0, NULL);
        Buffer out = BUFFER_INIT(0);

        assert_non_null(tree);
        assert_int_equal(render(&out, view, tree), 0);
        json_decref(tree);
        return buffer_steal(&out);
}

static void expect(Render render, const View *view, const char *text, const char *expected) {
        char *written = rendered(render, view, text);

        assert_string_equal(written, expected);
        free(written);
}

static const char answer[] =
                "{\"query\":\"q\",\"query_id\":\"01JD8F3Q6ZK4B7Y9M2N5P8R1ST\",\"success\":true,"
                "\"completeness\":\"partial\",\"answer\":{\"passages\":["
                "{\"text\":\"Partly cloudy,\\n21 degrees.\",\"score\":0.914,\"source\":\"weather\","
                "\"title\":\"Forecast\",\"link\":\"http://w/\\u001b]0;x\\u0007\"},"
                "{\"text\":\"The strike ends.\",\"score\":0.5,\"source\":\"news\",\"title\":\"\"}],"
                "\"summary\":\"Cloudy; the strike ends.\"},\"sources\":{"
                "\"weather\":{\"verdict\":\"ok\",\"origin\":\"live\",\"attempts\":1,\"status\":200,"
                "\"bytes\":512,\"fetch_ms\":2003.14,\"infer_ms\":12.4},"
                "\"news\":{\"verdict\":\"ok\",\"origin\":\"stale\",\"attempts\":2,\"status\":200,"
                "\"bytes\":64,\"fetch_ms\":1.25,\"infer_ms\":0.04},"
                "\"blogs\":{\"verdict\":\"timeout\",\"attempts\":3},"
                "\"notes\":{\"verdict\":\"timeout\",\"attempts\":3}},"
                "\"errors\":[{\"source\":\"blogs\",\"stage\":\"fetch\",\"kind\":\"timeout\","
                "\"transient\":true,\"message\":\"no response within 5 s\"},"
                "{\"source\":\"notes\",\"stage\":\"fetch\",\"kind\":\"timeout\",\"transient\":true,"
                "\"message\":\"no response within 5 s\"},"
                "{\"source\":\"x\",\"stage\":\"odd\",\"kind\":\"worker\",\"transient\":false}],"
                "\"execution_time\":5.0004,\"cores_used\":1}";

static void test_answer(void **state) {
        expect(render_answer, &pipe_view, answer,
               "  1. Partly cloudy, 21 degrees.\n"
               "     weather  0.91  Forecast  http://w/\\x1b]0;x\\x07\n"
               "  2. The strike ends.\n"
               "     news  0.50\n"
               "\n"
               "Summary\n"
               "  Cloudy; the strike ends.\n"
               "\n"
               "Sources\n"
               "  SOURCE   VERDICT  ORIGIN  ATTEMPTS  STATUS  BYTES  FETCH MS  INFER MS\n"
               "  weather  ok                      1     200    512    2003.1      12.4\n"
               "  news     ok       stale          2     200     64       1.2       0.0\n"
               "  blogs    timeout                 3\n"
               "  notes    timeout                 3\n"
               "\n"
               "Errors\n"
               "  blogs, notes: timeout while fetching: no response within 5 s (may go better "
               "next time)\n"
               "  x: worker\n"
               "\n"
               "partial: 2 of 4 sources answered in 5.000 s on 1 core  query "
               "01JD8F3Q6ZK4B7Y9M2N5P8R1ST\n");
}

static void test_answer_narrow(void **state) {
        const View view = { .utf8 = true, .columns = 40, .rows = 24 };
        char *text = rendered(render_answer, &view, answer), *rest = text, *line;

        assert_non_null(strstr(text, "on 1 core\nquery 01JD8F3Q6ZK4B7Y9M2N5P8R1ST\n"));
        assert_non_null(strstr(text, "(no room for"));
        while ((line = strsep(&rest, "\n")))
                if (!strstr(line, "sources answered") && !strstr(line, "http://") &&
                    !strstr(line, "no room"))
                        assert_true(text_width(&view, line, strlen(line)) <= 40);
        free(text);
}

static void test_answer_with_nothing(void **state) {
        expect(render_answer, &pipe_view, "{}", "Sources\n\nanswer: 0 of 0 sources answered\n");
        expect(render_answer, &pipe_view,
               "{\"completeness\":\"failed\",\"answer\":{\"passages\":[{}],\"summary\":\"\"},"
               "\"sources\":{\"a\":7},\"errors\":[{}],\"cores_used\":0,\"execution_time\":1}",
               "  1. \n     ?\n\nSources\n  SOURCE\n  a\n\nErrors\n  ?: error\n\n"
               "failed: 0 of 1 sources answered in 1.000 s on 0 cores\n");
}

static char *crowd(unsigned count) {
        Buffer text = BUFFER_INIT(0);

        (void) buffer_append_string(&text, "{\"completeness\":\"partial\",\"sources\":{");
        for (unsigned i = 0; i < count; i++)
                (void) buffer_printf(
                                &text, "%s\"s%04u\":{\"verdict\":\"%s\",\"fetch_ms\":%u}",
                                i > 0 ? "," : "", i, i % 100 == 7 ? "http" : "ok", i);
        (void) buffer_append_string(&text, "},\"errors\":[");
        for (unsigned i = 0; i < 60; i++)
                (void) buffer_printf(
                                &text,
                                "%s{\"source\":\"s%04u\",\"stage\":\"decode\",\"kind\":\"decode\","
                                "\"message\":\"reason %u\"}",
                                i > 0 ? "," : "", i, i < 20 ? 0 : i);
        (void) buffer_append_string(&text, "]}");
        return buffer_steal(&text);
}

/* On a terminal: problems first, then the slowest, and a count of the rest. A pipe gets all. */
static void test_crowd(void **state) {
        const View view = { .utf8 = true, .columns = 80, .rows = 30 };
        CLEANUP_FREE char *json = crowd(1000);
        char *text = rendered(render_answer, &view, json);

        assert_non_null(strstr(text, "  s0007   http"));
        assert_non_null(strstr(text, "  s0907   http"));
        assert_non_null(strstr(text, "  s0999   ok"));
        assert_null(strstr(text, "  s0990   ok"));
        assert_non_null(strstr(
                        text,
                        "and 985 more: 985 answered, 0 not (a pipe or --json=pretty shows all)\n"));
        assert_non_null(strstr(
                        text,
                        "  s0000, s0001, s0002, s0003 and 16 more: decode while decoding: reason 0\n"));
        assert_non_null(strstr(text, "  and 26 more (a pipe or --json=pretty shows all)\n"));
        free(text);

        text = rendered(render_answer, &pipe_view, json);
        assert_non_null(strstr(text, "  s0500   ok"));
        assert_non_null(strstr(text, "s0018, s0019: decode while decoding: reason 0\n"));
        assert_non_null(strstr(text, "s0059: decode"));
        assert_null(strstr(text, " more"));
        free(text);
}

static void test_explain(void **state) {
        expect(render_explain, &pipe_view,
               "{\"sources\":[{\"source\":\"weather\",\"method\":\"GET\",\"url\":\"http://w/?q=a\","
               "\"timeout_ms\":5000,\"would_ask\":true},{\"source\":\"news\",\"url\":\"http://n/\","
               "\"timeout_ms\":null,\"would_ask\":false,\"reason\":\"not enabled\"}]}",
               "SOURCE   ASK  TIMEOUT  METHOD  URL            REASON\n"
               "weather  yes       5s  GET     http://w/?q=a\n"
               "news     no                    http://n/      not enabled\n"
               "\n1 of 2 sources would be asked. Nothing was sent.\n");
        expect(render_explain, &pipe_view, "{}",
               "0 of 0 sources would be asked. Nothing was sent.\n");
}

static void test_sources(void **state) {
        expect(render_sources, &pipe_view,
               "{\"sources\":[{\"name\":\"weather\",\"description\":\"Sky\",\"url\":\"http://w/\","
               "\"enabled\":true,\"class\":\"optional\",\"engine\":\"digest\",\"in_flight\":1,"
               "\"breaker\":{\"state\":\"open\"},"
               "\"latency\":{\"count\":3,\"p50_ms\":1.26,\"p95_ms\":9}},"
               "{\"name\":\"news\",\"enabled\":false}]}",
               "NAME     ENABLED  CLASS     ENGINE  BREAKER  RUNNING  FETCHES  P50 MS  P95 MS  "
               "URL        DESCRIPTION\n"
               "weather  yes      optional  digest  open           1        3     1.3     9.0  "
               "http://w/  Sky\n"
               "news     no\n"
               "\n2 sources.\n");
        expect(render_sources, &pipe_view, "{\"sources\":[]}",
               "There are no sources. Write one: /etc/muster/sources.d/NAME.source, see "
               "muster.source(5).\n");
}

static void test_source(void **state) {
        expect(render_source, &pipe_view,
               "{\"name\":\"weather\",\"latency\":{\"p50_ms\":0.1,\"deep\":{\"x\":null}},"
               "\"enabled\":true,\"headers\":[\"A: b\",\"C: \\u001b[2J\"],\"list\":[[1],2],\"no\":{}}",
               "name     weather\n"
               "enabled  true\n"
               "headers  A: b\n"
               "         C: \\x1b[2J\n"
               "list     [[1],2]\n"
               "no       {}\n"
               "latency\n"
               "  p50_ms  0.1\n"
               "  deep\n"
               "    x  null\n");
}

static void test_nesting(void **state) {
        Buffer text = BUFFER_INIT(0);

        for (unsigned i = 0; i < 400; i++)
                (void) buffer_append_string(&text, "{\"a\":");
        (void) buffer_append_string(&text, "1");
        text_fill(&text, "}", 400);
        CLEANUP_FREE char *json = buffer_steal(&text);
        CLEANUP_FREE char *written = rendered(render_source, &pipe_view, json);
        assert_non_null(strstr(written, "{\"a\":{\"a\":"));
}

static void test_status(void **state) {
        expect(render_status, &pipe_view,
               "{\"version\":\"0.1.0\",\"io_backend\":\"io_uring\",\"uptime_ms\":65000.5,"
               "\"queries\":{\"open\":1,\"total\":5,\"failed\":0},\"connections\":2,"
               "\"workers\":[{\"pid\":42,\"state\":\"idle\",\"tasks\":7,\"restarts\":0}]}",
               "● musterd 0.1.0, up 1min 5s, I/O by io_uring\n"
               "\n"
               "connections  2\n"
               "queries\n"
               "  open    1\n"
               "  total   5\n"
               "  failed  0\n"
               "\n"
               "Workers\n"
               "  PID  STATE  TASKS  RESTARTS\n"
               "   42  idle       7         0\n");
        expect(render_status, &(View){ 0 }, "{}", "* musterd ?\n");
}

static void test_changes(void **state) {
        Buffer out = BUFFER_INIT(0);

        expect(render_flush, &pipe_view, "{\"entries\":0}", "0 entries dropped.\n");
        expect(render_flush, &pipe_view, "{\"entries\":1}", "1 entry dropped.\n");
        expect(render_flush, &pipe_view, "{\"entries\":null}", "0 entries dropped.\n");

        render_breaker(&out, &pipe_view, "a\033", "auto");
        CLEANUP_FREE char *text = buffer_steal(&out);
        assert_string_equal(
                        text,
                        "The breaker of a\\x1b is set to auto. It opens when the source fails and "
                        "closes when it has recovered.\n");
}

static void test_events(void **state) {
        static const struct {
                const char *event, *line;
        } events[] = {
                { "{\"kind\":\"query\",\"time\":1700000000123,\"query_id\":"
                  "\"01JD8F3Q6ZK4B7Y9M2N5P8R1ST\",\"success\":true,\"completeness\":\"partial\","
                  "\"asked\":3,\"answered\":2,\"execution_ms\":12.34}",
                  "22:13:20.123  query    01JD8F3Q6ZK4B7Y9M2N5P8R1ST  partial: 2 of 3 sources "
                  "answered in 12.3 ms\n" },
                { "{\"kind\":\"query\",\"time\":1700000000000,\"query_id\":\"ID\",\"asked\":3,"
                  "\"answered\":2,\"execution_ms\":5}",
                  "22:13:20.000  query    ID                          withdrawn after 5.0 ms\n" },
                { "{\"kind\":\"source\",\"time\":1700000000007,\"query_id\":\"ID\",\"source\":"
                  "\"we\\u001bather\",\"verdict\":\"ok\",\"origin\":\"live\",\"attempts\":1,"
                  "\"fetch_ms\":2.25}",
                  "22:13:20.007  source   we\\x1bather                 ok, live, attempts: 1, 2.2 ms\n" },
                { "{\"kind\":\"source\",\"source\":\"off\",\"verdict\":\"shed\",\"attempts\":0}",
                  "              source   off                         shed, attempts: 0\n" },
                { "{\"kind\":\"breaker\",\"source\":\"news\",\"state\":\"open\",\"failures\":5,"
                  "\"open_ms\":30000}",
                  "              breaker  news                        open for 30s, failures: 5\n" },
                { "{\"kind\":\"worker\",\"worker\":0,\"pid\":4711,\"status\":\"by signal SEGV\","
                  "\"backoff_ms\":250}",
                  "              worker   0                           pid 4711 ended by signal SEGV; "
                  "the next one starts in 250ms\n" },
                { "{\"kind\":\"lost\",\"events\":12}",
                  "              lost     12                          events lost: they came faster "
                  "than they were read\n" },
                { "{\"kind\":\"moon\",\"full\":true}",
                  "              moon     {\"kind\":\"moon\",\"full\":true}\n" },
                { "{}", "              ?        {}\n" },
        };

        assert_int_equal(setenv("TZ", "UTC", 1), 0);
        tzset();
        for (size_t i = 0; i < ELEMENTSOF(events); i++)
                expect(render_event, &pipe_view, events[i].event, events[i].line);
}

static void test_errors(void **state) {
        static const struct {
                const char *name, *parameters, *expected;
        } cases[] = {
                { "io.muster.NoSuchSource", "{\"source\":\"x%s\"}",
                  "io.muster.NoSuchSource: there is no source \"x%s\" that may be "
                  "asked; musterctl sources lists them" },
                { "io.muster.Overloaded", "{\"retry_after_ms\":250}",
                  "io.muster.Overloaded: too many queries are open; try again in 250 ms" },
                { "io.muster.NoSuchSource", "{}",
                  "io.muster.NoSuchSource: there is no source \"?\" that may be "
                  "asked; musterctl sources lists them" },
                { "org.varlink.service.PermissionDenied", "{}",
                  "org.varlink.service.PermissionDenied: you may not do this; use sudo, or "
                  "have yourself added to the group muster-clients" },
                { "io.other.Strange", "{\"a\":[1]}",
                  "io.other.Strange: musterd refused the call with {\"a\":[1]}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                json_t *parameters = json_loads(cases[i].parameters, 0, NULL);
                CLEANUP_FREE char *text = render_error(cases[i].name, parameters);

                assert_string_equal(text, cases[i].expected);
                json_decref(parameters);
        }
}

/* Every error that the daemon knows has a sentence of its own. */
static void test_errors_all(void **state) {
        static const char IO_MUSTER[] = "io.muster", ORG_VARLINK_SERVICE[] = "org.varlink.service";
        static const struct {
                const char *interface, *name;
        } all[] = {
#define ERROR(interface, id, name, ...) { interface, #name },
#include "errors.def"
#undef ERROR
        };
        json_t *parameters = json_object();

        for (size_t i = 0; i < ELEMENTSOF(all); i++) {
                char name[128];

                (void) snprintf(name, sizeof(name), "%s.%s", all[i].interface, all[i].name);
                CLEANUP_FREE char *text = render_error(name, parameters);
                assert_null(strstr(text, "refused the call with"));
        }
        json_decref(parameters);
}

static void test_verdicts(void **state) {
        assert_int_equal(verdict_tone("ok"), TONE_GOOD);
        assert_int_equal(verdict_tone("empty"), TONE_WARN);
        assert_int_equal(verdict_tone("breaker_open"), TONE_WARN);
        assert_int_equal(verdict_tone("timeout"), TONE_BAD);
        assert_int_equal(verdict_tone("new one"), TONE_BAD);
        assert_int_equal(verdict_tone(NULL), TONE_PLAIN);
        assert_true(verdict_is_answered("empty"));
        assert_false(verdict_is_answered("late"));
        assert_false(verdict_is_answered(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answer),
                cmocka_unit_test(test_answer_narrow),
                cmocka_unit_test(test_answer_with_nothing),
                cmocka_unit_test(test_crowd),
                cmocka_unit_test(test_explain),
                cmocka_unit_test(test_sources),
                cmocka_unit_test(test_source),
                cmocka_unit_test(test_nesting),
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_changes),
                cmocka_unit_test(test_events),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_errors_all),
                cmocka_unit_test(test_verdicts),
        };

        return cmocka_run_group_tests_name("render", tests, NULL, NULL);
}
