/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <locale.h>
#include <pty.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

#include "text.h"

static const View pipe_view = { .utf8 = true };
static const View ascii_view = { .columns = 80 };
static const View color_view = { .columns = 20, .color = true, .utf8 = true };

static void expect_put(const View *view, const char *text, size_t limit, const char *expected) {
        Buffer out = BUFFER_INIT(0);
        size_t width = text_put(&out, view, text, strlen(text), limit);
        char *written = buffer_steal(&out);

        assert_string_equal(written, expected);
        assert_true(limit == 0 || width <= limit);
        free(written);
}

static void test_escapes(void **state) {
        static const struct {
                const char *text, *expected;
        } cases[] = {
                { "plain text", "plain text" },
                { "\033[31mred\033[0m", "\\x1b[31mred\\x1b[0m" },
                { "a\tb\nc\rd\ve", "a b c d e" },
                { "bell\a nul-ish\x01 del\x7f", "bell\\x07 nul-ish\\x01 del\\x7f" },
                { "\xc2\x9b"
                  "31m",
                  "\\x9b31m" }, /* C1 CSI */
                { "\xe2\x80\xae"
                  "evil",
                  "\\u{202e}evil" },
                { "\xe2\x81\xa6iso\xe2\x81\xa9", "\\u{2066}iso\\u{2069}" },
                { "\xf3\xa0\x81\xa1tag", "\\u{e0061}tag" },
                { "\xee\x80\x80private", "\\u{e000}private" },
                { "bad\xff\xfe", "bad\\xff\\xfe" },
                { "\xc0\x9b overlong", "\\xc0\\x9b overlong" },
                { "cut \xe2\x82", "cut \\xe2\\x82" },
                { "soft\xc2\xadhyphen\xe2\x80\x8b", "softhyphen" },
                { "no\xc2\xa0"
                  "break\xe2\x80\xa8line",
                  "no break line" },
                { "a\xe2\x80\x8d"
                  "b",
                  "a\xe2\x80\x8d"
                  "b" },
                { "caf\xc3\xa9 \xe5\xa4\xa9", "caf\xc3\xa9 \xe5\xa4\xa9" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                expect_put(&pipe_view, cases[i].text, 0, cases[i].expected);
        expect_put(&ascii_view, "caf\xc3\xa9", 0, "caf?");
}

/* Whatever bytes come, nothing is written that a terminal obeys. */
static void test_never_controls(void **state) {
        uint32_t seed = 1;

        for (unsigned round = 0; round < 2000; round++) {
                char text[64];
                Buffer out = BUFFER_INIT(0);

                for (size_t i = 0; i < sizeof(text); i++) {
                        seed = seed * 1664525 + 1013904223;
                        text[i] = (char) (seed >> 24);
                }
                (void) text_put(&out, &pipe_view, text, sizeof(text), round % 40);
                for (size_t i = 0; i < out.size; i++) {
                        unsigned char c = (unsigned char) out.data[i];

                        assert_true(c >= 0x20 && c != 0x7f);
                        if (c == 0xc2 && i + 1 < out.size)
                                assert_true((unsigned char) out.data[i + 1] >= 0xa0);
                }
                buffer_deinit(&out);
        }
}

static void test_cut(void **state) {
        expect_put(&pipe_view, "exactly10!", 10, "exactly10!");
        expect_put(&pipe_view, "eleven long", 10, "eleven lo\xe2\x80\xa6");
        expect_put(&ascii_view, "eleven long", 10, "eleven lo~");
        expect_put(&pipe_view, "\xe5\xa4\xa9\xe6\xb0\x97", 3, "\xe5\xa4\xa9\xe2\x80\xa6");
        expect_put(&pipe_view, "\xe5\xa4\xa9\xe6\xb0\x97", 2, "\xe2\x80\xa6");
        expect_put(&pipe_view, "ab", 1, "\xe2\x80\xa6");
}

static void test_width(void **state) {
        assert_int_equal(text_width(&pipe_view, "abc", 3), 3);
        assert_int_equal(text_width(&pipe_view, "\xe5\xa4\xa9", 3), 2);
        assert_int_equal(text_width(&pipe_view, "e\xcc\x81", 3), 1);
        assert_int_equal(text_width(&pipe_view, "\033", 1), 4);
}

static void expect_wrap(const View *view, const char *text, size_t indent, const char *expected) {
        Buffer out = BUFFER_INIT(0);

        text_wrap(&out, view, text, strlen(text), indent);
        char *written = buffer_steal(&out);
        assert_string_equal(written, expected);
        free(written);
}

static void test_wrap(void **state) {
        const View narrow = { .columns = 20, .utf8 = true };

        expect_wrap(&narrow, "one two three four five six", 2, "one two three four\n  five six\n");
        expect_wrap(&narrow, "  spaced\n\nout  ", 0, "spaced out\n");
        expect_wrap(&narrow, "a averyveryverylongword-without-end b", 0,
                    "a\naveryveryverylongword-without-end\nb\n");
        expect_wrap(&narrow, "", 4, "\n");
        expect_wrap(&pipe_view, "one two three four five six seven", 2,
                    "one two three four five six seven\n");
        /* 20 columns exactly */
        expect_wrap(&narrow, "12345 7890 2345 7890 x", 0, "12345 7890 2345 7890\nx\n");
}

static void test_tones(void **state) {
        Buffer out = BUFFER_INIT(0);

        text_own(&out, &color_view, TONE_BAD, "%d", 7);
        text_own(&out, &color_view, TONE_PLAIN, "p");
        text_own(&out, &pipe_view, TONE_BAD, "q");
        text_fill(&out, "-", 3);
        char *written = buffer_steal(&out);
        assert_string_equal(written, "\033[31m7\033[0mpq---");
        free(written);
}

/* What a terminal, an environment and a pipe make of a View. */
static void test_view(void **state) {
        struct winsize size = { .ws_row = 30, .ws_col = 111 };
        int master, slave, null = open("/dev/null", O_WRONLY | O_CLOEXEC);

        assert_true(null >= 0);
        View view = view_of(null);
        assert_false(view.terminal || view.color);
        assert_true(view.utf8);
        assert_int_equal(view.columns, 0);
        (void) close(null);

        assert_int_equal(openpty(&master, &slave, NULL, NULL, &size), 0);
        (void) unsetenv("NO_COLOR");
        (void) setenv("TERM", "xterm", 1);
        (void) setlocale(LC_ALL, "C");
        view = view_of(slave);
        assert_true(view.terminal && view.color && !view.utf8);
        assert_int_equal(view.columns, 111);
        assert_int_equal(view.rows, 30);

        (void) setenv("NO_COLOR", "1", 1);
        assert_false(view_of(slave).color);
        (void) setenv("NO_COLOR", "", 1);
        assert_true(view_of(slave).color);
        (void) setenv("TERM", "dumb", 1);
        assert_false(view_of(slave).color);
        (void) unsetenv("TERM");
        assert_false(view_of(slave).color);

        size = (struct winsize){ 0 };
        assert_int_equal(ioctl(slave, TIOCSWINSZ, &size), 0);
        assert_int_equal(view_of(slave).columns, 80);
        assert_int_equal(view_of(slave).rows, 24);
        (void) close(master);
        (void) close(slave);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escapes), cmocka_unit_test(test_never_controls),
                cmocka_unit_test(test_cut),     cmocka_unit_test(test_width),
                cmocka_unit_test(test_wrap),    cmocka_unit_test(test_tones),
                cmocka_unit_test(test_view),
        };

        return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
