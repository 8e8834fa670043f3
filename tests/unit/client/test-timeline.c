/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "timeline.h"

#define SPAN(source, stage, attempt, start, end)                                   \
        "{\"source\":\"" source "\",\"stage\":\"" stage "\",\"attempt\":" #attempt \
        ",\"start_ms\":" #start ",\"end_ms\":" #end "}"

/* The tutorial's query on one worker, the news asked twice. */
static const char tutorial[] =
                "[" SPAN("weather", "connect", 1, 0, 1) "," SPAN("weather", "wait", 1, 1, 2000) "," SPAN("weather", "engine", 1, 2000, 4000) "," SPAN("news", "wait", 1, 0, 700) "," SPAN("news", "wait", 2, 800, 1500) "," SPAN("news", "lane", 2, 1500, 4000) "," SPAN(
                                "news", "engine", 2, 4000,
                                6000) "," SPAN("kb", "wait", 1, 0, 3000) "," SPAN("kb", "receive", 1, 3000, 3400) "," SPAN("kb", "lane", 1, 3400, 6000) "," SPAN("kb", "decode", 1, 6000, 6100) "," SPAN("kb", "engine", 1, 6100, 8100) "]";

static char *drawn(const View *view, const char *timeline) {
        json_t *tree = json_loads(timeline, JSON_DECODE_ANY, NULL);
        Buffer out = BUFFER_INIT(0);

        assert_non_null(tree);
        assert_int_equal(timeline_render(&out, view, tree), 0);
        json_decref(tree);
        return buffer_steal(&out);
}

static void expect(const View *view, const char *timeline, const char *expected) {
        char *text = drawn(view, timeline);

        assert_string_equal(text, expected);
        free(text);
}

static void test_unicode(void **state) {
        expect(&(View){ .utf8 = true, .columns = 60 }, tutorial,
               "           0 ms     2000     4000      6000     8000\n"
               "           ├────────┴────────┴─────────┴────────┴\n"
               "▸ kb       ░░░░░░░░░░░░░░▒▒╌╌╌╌╌╌╌╌╌╌╌╌▓█████████  8100.0 ms\n"
               "  news #1  ░░░░                                     700.0 ms\n"
               "  news #2     ░░░░╌╌╌╌╌╌╌╌╌╌╌╌██████████           5200.0 ms\n"
               "  weather  ░░░░░░░░░██████████                     4000.0 ms\n"
               "  ░ wait  ▒ receive  ╌ lane  ▓ decode  █ engine\n"
               "\n"
               "Critical path\n"
               "  kb wait 3000.0 → receive 400.0 → lane 2600.0 →\n"
               "  decode 100.0 → engine 2000.0 → 8100.0 ms\n");
}

static void test_ascii(void **state) {
        expect(&(View){ 0 }, tutorial,
               "           0 ms          2000          4000          6000           8000\n"
               "           +-------------+-------------+-------------+--------------+\n"
               "> kb       ---------------------===~~~~~~~~~~~~~~~~~~~d##############  8100.0 ms\n"
               "  news #1  ------                                                       700.0 ms\n"
               "  news #2       ------~~~~~~~~~~~~~~~~~~##############                 5200.0 ms\n"
               "  weather  --------------###############                               4000.0 ms\n"
               "  - wait  = receive  ~ lane  d decode  # engine\n"
               "\n"
               "Critical path\n"
               "  kb wait 3000.0 -> receive 400.0 -> lane 2600.0 -> decode 100.0 ->\n"
               "  engine 2000.0 -> 8100.0 ms\n");
}

/* Every line fits, whatever the width, and no row disappears. */
static void test_widths(void **state) {
        for (unsigned columns = 40; columns < 200; columns += 7) {
                const View view = { .utf8 = true, .columns = columns };
                char *text = drawn(&view, tutorial), *rest = text, *line;
                unsigned rows = 0;

                while ((line = strsep(&rest, "\n"))) {
                        assert_true(text_width(&view, line, strlen(line)) <= columns);
                        rows += strstr(line, "░") && !strstr(line, "wait");
                }
                assert_int_equal(rows, 4);
                free(text);
        }
        free(drawn(&(View){ .columns = 5 }, tutorial));
}

static void test_crowd(void **state) {
        const View view = { .utf8 = true, .columns = 80, .rows = 24 };
        Buffer timeline = BUFFER_INIT(0);

        (void) buffer_append_char(&timeline, '[');
        for (unsigned i = 0; i < 1000; i++)
                (void) buffer_printf(
                                &timeline,
                                "%s{\"source\":\"s%03u\",\"stage\":\"wait\",\"start_ms\":0,\"end_ms\":%u}",
                                i > 0 ? "," : "", i, i + 1);
        (void) buffer_append_char(&timeline, ']');
        char *json = buffer_steal(&timeline), *text = drawn(&view, json);

        assert_non_null(strstr(text, "▸ s999"));
        assert_non_null(strstr(text, "  s984"));
        assert_null(strstr(text, "s983"));
        assert_non_null(strstr(
                        text,
                        "and 984 more, which ended between 1.0 and 984.0 ms (a pipe shows all)"));
        free(text);
        text = drawn(&(View){ 0 }, json); /* a pipe */
        assert_non_null(strstr(text, "  s000"));
        assert_null(strstr(text, "more"));
        free(text);
        free(json);
}

static void test_odd(void **state) {
        expect(&(View){ 0 }, "[]", "The timeline is empty: nothing was asked.\n");
        char *text = drawn(
                        &(View){ .columns = 60 },
                        "[{\"source\":\"a\\u001b[2J\",\"stage\":\"x\",\"start_ms\":0,\"end_ms\":0}]");
        assert_null(strchr(text, '\033'));
        free(text);
        /* Work on the answer as a whole, in seconds. */
        text = drawn(&(View){ .columns = 60 },
                     "[{\"stage\":\"engine\",\"start_ms\":0,\"end_ms\":20000}]");
        assert_non_null(strstr(text, "(answer)"));
        assert_non_null(strstr(text, "0 s"));
        free(text);
        assert_int_equal(timeline_render(&(Buffer){ 0 }, &(View){ 0 }, NULL), -EINVAL);
}

static void test_colors(void **state) {
        char *text = drawn(&(View){ .color = true, .columns = 60 }, tutorial);

        assert_non_null(strstr(text, "\033[34m-"));
        assert_non_null(strstr(text, "\033[32m#"));
        assert_non_null(strstr(text, "\033[1mkb\033[0m"));
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_unicode), cmocka_unit_test(test_ascii),
                cmocka_unit_test(test_widths),  cmocka_unit_test(test_crowd),
                cmocka_unit_test(test_odd),     cmocka_unit_test(test_colors),
        };

        return cmocka_run_group_tests_name("timeline", tests, NULL, NULL);
}
