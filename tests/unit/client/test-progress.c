/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fake-daemon.h"
#include "progress.h"

static const View wide = { .columns = 80, .rows = 24, .terminal = true, .utf8 = true };

static Progress planned(unsigned count) {
        Progress progress;
        json_t *sources = json_array();

        for (unsigned i = 0; i < count; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "source-%u", i);
                (void) json_array_append_new(
                                sources, json_pack("{s:s, s:b}", "source", name, "would_ask", 1));
        }
        json_t *plan = json_pack("{s:o}", "sources", sources);
        assert_int_equal(progress_init(&progress, plan), 0);
        json_decref(plan);
        return progress;
}

static int tell(Progress *progress, const char *source, const char *verdict, double ms) {
        json_t *event = json_pack("{s:s, s:{s:s}}", "source", source, "result", "verdict", verdict);
        int r = progress_event(progress, event, ms);

        json_decref(event);
        return r;
}

static char *drawn(const Progress *progress, const View *view, double ms, size_t *ret_lines) {
        Buffer out = BUFFER_INIT(0);
        size_t lines = progress_draw(progress, &out, view, ms), newlines = 0;

        for (size_t i = 0; i < out.size; i++)
                newlines += out.data[i] == '\n';
        assert_int_equal(newlines, lines);
        if (ret_lines)
                *ret_lines = lines;
        return buffer_steal(&out);
}

static void test_picture(void **state) {
        CLEANUP(progress_deinit) Progress progress = planned(3);

        assert_int_equal(tell(&progress, "source-1", "ok", 1500), 0);
        assert_int_equal(tell(&progress, "source-2", "timeout", 2040), 0);
        char *text = drawn(&progress, &wide, 2300, NULL);
        assert_string_equal(
                        text,
                        "  ⠸ source-0     2.3 s\n"
                        "  ✓ source-1     1.5 s  ok\n"
                        "  ✗ source-2     2.0 s  timeout\n"
                        "2 of 3 sources done, 1 failed, 2.3 s\n");
        free(text);
        text = drawn(&progress, &(View){ .columns = 80, .rows = 24 }, 2300, NULL);
        assert_string_equal(
                        text,
                        "  \\ source-0     2.3 s\n"
                        "  + source-1     1.5 s  ok\n"
                        "  x source-2     2.0 s  timeout\n"
                        "2 of 3 sources done, 1 failed, 2.3 s\n");
        free(text);
}

static void test_events(void **state) {
        CLEANUP(progress_deinit) Progress progress = planned(1);

        assert_int_equal(tell(&progress, "not-planned", "ok", 1), 0);
        assert_int_equal(progress.count, 2);
        assert_int_equal(tell(&progress, "not-planned", "ok", 2), -EINVAL);
        assert_int_equal(progress_event(&progress, NULL, 3), -EINVAL);
        assert_int_equal(progress.done, 1);
        assert_int_equal(progress.answered, 1);
}

static void test_plan(void **state) {
        CLEANUP(progress_deinit) Progress progress = { 0 };
        json_t *plan =
                        json_loads("{\"sources\":[{\"source\":\"a\",\"would_ask\":false},{},"
                                   "{\"source\":\"b\",\"would_ask\":true}]}",
                                   0, NULL);

        assert_int_equal(progress_init(&progress, plan), 0);
        assert_int_equal(progress.count, 1);
        assert_string_equal(progress.rows[0].source, "b");
        json_decref(plan);
}

/* Whatever the window, the picture fits. */
static void test_fits(void **state) {
        CLEANUP(progress_deinit) Progress progress = planned(40);

        for (unsigned i = 0; i < 40; i += 3)
                assert_int_equal(tell(&progress, progress.rows[i].source, "breaker_open", 9e6), 0);
        for (unsigned columns = 1; columns < 100; columns += 3)
                for (unsigned rows = 1; rows < 50; rows += 4) {
                        const View view = { .columns = columns, .rows = rows, .utf8 = true };
                        size_t lines;
                        char *text = drawn(&progress, &view, 9.9e6, &lines), *rest = text, *line;

                        assert_true(lines <= MAX(rows, 2U) - 1);
                        while ((line = strsep(&rest, "\n")))
                                assert_true(text_width(&view, line, strlen(line)) <= columns);
                        free(text);
                }
}

static void test_crowd(void **state) {
        CLEANUP(progress_deinit) Progress progress = planned(1000);
        size_t lines;

        for (unsigned i = 0; i < 500; i++)
                assert_int_equal(tell(&progress, progress.rows[i].source, "ok", 1), 0);
        char *text = drawn(&progress, &wide, 1000, &lines);
        assert_int_equal(lines, 13);
        assert_non_null(strstr(text, "source-500 "));
        assert_null(strstr(text, "source-499 "));
        assert_non_null(strstr(text, "500 of 1000 sources done, 488 more running, 1.0 s\n"));
        free(text);
}

/* The loop, with a file in the terminal's place. */
static void test_query(void **state) {
        static const FakeReply script[] = {
                { "io.muster.Query",
                  { "{\"continues\":true,\"parameters\":{\"event\":{\"source\":\"source-0\","
                    "\"result\":{\"verdict\":\"ok\"},\"inference\":null}}}",
                    "{\"continues\":true,\"parameters\":{}}", "{\"parameters\":{\"success\":true}}" },
                  .pause_ms = 120 },
        };
        CLEANUP(progress_deinit) Progress progress = planned(2);
        FakeDaemon fake = FAKE_START(script);
        Caller caller = CALLER_NULL;
        Reply reply = { 0 };
        char path[] = "/tmp/muster-progress-XXXXXX", text[8192] = "";
        int number = 0, fd = mkstemp(path);

        assert_true(fd >= 0);
        assert_int_equal(caller_open(&caller, fake.socket, NSEC_PER_SEC), 0);
        assert_int_equal(progress_query(&caller, NULL, &progress, fd, &reply, &number), 0);
        assert_string_equal(reply.text, "{\"success\":true}");
        assert_int_equal(progress.done, 1);
        assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
        assert_non_null(strstr(text, "0 of 2 sources done"));
        assert_non_null(strstr(text, "1 of 2 sources done"));
        assert_non_null(strstr(fake_requests(&fake), "\"more\":true"));
        reply_deinit(&reply);
        caller_close(&caller);
        fake_stop(&fake);
        (void) close(fd);
        (void) unlink(path);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_picture), cmocka_unit_test(test_events),
                cmocka_unit_test(test_plan),    cmocka_unit_test(test_fits),
                cmocka_unit_test(test_crowd),   cmocka_unit_test(test_query),
        };

        return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
