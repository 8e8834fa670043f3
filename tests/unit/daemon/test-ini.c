/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "cmocka.h"
#include "ini.h"
#include "macro.h"

/* The events as text: "[Section]@line:column", "key=value@line:column", "!line:column message". */
static int on_section(void *userdata, const char *name, unsigned line, unsigned column) {
        return buffer_printf(userdata, "[%s]@%u:%u\n", name, line, column);
}

static int on_assignment(void *userdata, const IniAssignment *assignment) {
        return buffer_printf(
                        userdata, "%u:%u %s=%s@%u:%u\n", assignment->line, assignment->column,
                        assignment->key, assignment->value, assignment->places[0].line,
                        assignment->places[0].column);
}

static int on_error(void *userdata, unsigned line, unsigned column, const char *message) {
        return buffer_printf(userdata, "!%u:%u %.24s\n", line, column, message);
}

static const IniHandler handler = { on_section, on_assignment, on_error };

static void expect_n(const char *text, size_t size, const char *events) {
        Buffer buffer = BUFFER_INIT(0);

        /* A copy of the exact size: the sanitizer sees what is read behind it. */
        char *copy = malloc(size + (size == 0));
        assert_non_null(copy);
        memcpy(copy, text, size);
        assert_int_equal(ini_parse(copy, size, &handler, &buffer), 0);
        free(copy);
        char *seen = buffer_steal(&buffer);
        assert_string_equal(seen, events);
        free(seen);
}

static void expect(const char *text, const char *events) {
        expect_n(text, strlen(text), events);
}

static void test_plain(void **state) {
        expect("", "");
        expect("\n\n", "");
        expect("[A]\nk=v\n", "[A]@1:1\n2:1 k=v@2:3\n");
        expect("[A]\nk=v", "[A]@1:1\n2:1 k=v@2:3\n");
        expect("[A]\n[B]\n\n[A]\n", "[A]@1:1\n[B]@2:1\n[A]@4:1\n");
        expect(" \t[A] \n \t k \t=\t v w \t\n", "[A]@1:3\n2:4 k=v w@2:10\n");
        expect("[A]\nk=\nk = \n", "[A]@1:1\n2:1 k=@2:3\n3:1 k=@3:4\n");
        expect("[A b]\nk l=m\n", "[A b]@1:1\n2:1 k l=m@2:5\n");
}

static void test_comments(void **state) {
        expect("# c\n; c\n[A]\n  # c\n\t; c\nk=v\n", "[A]@3:1\n6:1 k=v@6:3\n");
        expect("[A]\nHeader=Accept: a ;q=1 # no\n", "[A]@1:1\n2:1 Header=Accept: a ;q=1 # no@2:8\n");
        expect("[A]\nk=#v\nurl=x?a=b&c=d\n", "[A]@1:1\n2:1 k=#v@2:3\n3:1 url=x?a=b&c=d@3:5\n");
        expect("# c \\\n[A]\n", "[A]@2:1\n");
}

static void test_continuation(void **state) {
        expect("[A]\nk=a\\\n  b\n", "[A]@1:1\n2:1 k=a b@2:3\n");
        expect("[A]\nk=a \\\n# comment\n ; another\n  b \\\n c\nl=m\n",
               "[A]@1:1\n2:1 k=a  b  c@2:3\n7:1 l=m@7:3\n");
        expect("[A]\nk=\\\n  v\n", "[A]@1:1\n2:1 k=v@3:3\n");
        expect("[A]\nk\\\n=v\n", "[A]@1:1\n2:1 k=v@3:2\n");
        expect("[A]\nk=a\\\\\nl=b\\\\\\\nc\n", "[A]@1:1\n2:1 k=a\\\\@2:3\n3:1 l=b\\\\ c@3:3\n");
        expect("[A]\nk=a\\\n\nl=b\n", "[A]@1:1\n2:1 k=a@2:3\n4:1 l=b@4:3\n");
        /* The file ends within. */
        expect("[A]\nk=a\\\n", "[A]@1:1\n2:1 k=a@2:3\n");
        expect("[A]\nk=a\\", "[A]@1:1\n2:1 k=a@2:3\n");
        expect("\\\n", "");
        /* A line that begins with nothing. */
        expect("\\\n=v\n", "!2:1 the key before the = is \n");
        expect("[A]\n \\\n\\\n  k=v\n", "[A]@1:1\n4:3 k=v@4:5\n");
        /* A trailing blank is no part of a value, so this backslash is not at the end of the
         * line. */
        expect("[A]\nk=a\\ \n", "[A]@1:1\n2:1 k=a\\@2:3\n");
}

static void test_syntax_errors_and_going_on(void **state) {
        expect("k=v\n[A]\nk=v\n", "!1:1 this stands before the f\n[A]@2:1\n3:1 k=v@3:3\n");
        expect("[A]\nrubbish\nk=v\n", "[A]@1:1\n!2:1 this is neither Key=valu\n3:1 k=v@3:3\n");
        expect("[A]\n  =v\nk=v\n", "[A]@1:1\n!2:3 the key before the = is \n3:1 k=v@3:3\n");
        /* What stands below a broken header belongs to nobody. */
        expect("[A]\n[B\nk=v\n[C]\nl=w\n",
               "[A]@1:1\n!2:1 the ] that ends the sect\n[C]@4:1\n5:1 l=w@5:3\n");
        expect("[]\nk=v\n", "!1:1 the section has no name\n");
        expect("[A] x\nk=v\n[B]\n", "!1:4 nothing may stand behind\n[B]@3:1\n");
        expect("[A]]\n", "!1:4 nothing may stand behind\n");
        expect("[A]\nx\ny\n",
               "[A]@1:1\n!2:1 this is neither Key=valu\n!3:1 this is neither Key=valu\n");
}

static void test_characters(void **state) {
        expect("[A]\r\nk=v\r\nl=w\n",
               "!1:4 the line ends in CR LF; \n!3:1 this stands before the f\n");
        expect("[A]\nk=a\rb\n", "[A]@1:1\n!2:4 a control character; rem\n");
        expect("[A]\nk=a\x1b[0m\nl=\x7f\nm=n\n",
               "[A]@1:1\n!2:4 a control character; rem\n!3:3 a control character; rem\n4:1 m=n@4:3\n");
        expect("[A]\nk=caf\xe9\nm=é€😀\n", "[A]@1:1\n!2:6 invalid UTF-8; save the \n3:1 m=é€😀@3:3\n");
        expect("# \xff\n[A]\n", "!1:3 invalid UTF-8; save the \n[A]@2:1\n");
        expect("\xef\xbb\xbf[A]\n[B]\n", "!1:1 a byte order mark; save \n[B]@2:1\n");
        expect("[A]\nk=\xef\xbb\xbfv\n", "[A]@1:1\n2:1 k=\xef\xbb\xbfv@2:3\n");
        expect_n("[A]\nk=a\0b\nl=w\n", 15 - 1,
                 "[A]@1:1\n!2:4 a NUL byte; this is no t\n3:1 l=w@3:3\n");
        /* A line that is left out ends what would have gone on in it. */
        expect("[A]\nk=a\\\n\x01\nl=w\n", "[A]@1:1\n!3:1 a control character; rem\n4:1 l=w@4:3\n");
}

static void test_long_lines(void **state) {
        static char text[2 * INI_LINE_MAX + 64];
        char *at = stpcpy(text, "[A]\nk=");
        Buffer buffer = BUFFER_INIT(0);

        /* The longest that is taken: with the blank in place of the line's end. */
        memset(at, 'x', INI_LINE_MAX - 3);
        memcpy(at + INI_LINE_MAX - 3, "\nl=w\n", 5);
        assert_int_equal(ini_parse(text, strlen(text), &handler, &buffer), 0);
        assert_true(buffer.size > INI_LINE_MAX);
        assert_memory_equal(buffer.data + buffer.size - 12, "3:1 l=w@3:3\n", 12);
        buffer_deinit(&buffer);

        memset(at, 'x', INI_LINE_MAX - 2);
        memcpy(at + INI_LINE_MAX - 2, "\nl=w\n", 6);
        expect(text, "[A]@1:1\n!2:1 the line is longer than \n3:1 l=w@3:3\n");

        /* In many pieces. */
        at = stpcpy(text, "[A]\nk=");
        for (size_t i = 0; i < INI_LINE_MAX / 8; i++)
                at = stpcpy(at, "1234567\\\n");
        stpcpy(at, "\nl=w\n");
        expect(text, "[A]@1:1\n!2:1 the line is longer than \n8195:1 l=w@8195:3\n");
}

static int check_places(void *userdata, const IniAssignment *assignment) {
        const struct {
                char letter;
                unsigned line, column;
        } expected[] = { { 'a', 2, 6 }, { 'b', 2, 7 }, { 'c', 3, 2 }, { 'd', 3, 3 }, { 'e', 5, 3 } };

        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                const char *at = strchr(assignment->value, expected[i].letter);
                IniPlace place =
                                ini_place(assignment->places, assignment->n_places,
                                          (size_t) (at - assignment->value));

                assert_int_equal(place.line, expected[i].line);
                assert_int_equal(place.column, expected[i].column);
        }
        ++*(int *) userdata;
        return 0;
}

static int no_section(void *userdata, const char *name, unsigned line, unsigned column) {
        return 0;
}

static int no_error(void *userdata, unsigned line, unsigned column, const char *message) {
        fail_msg("%s", message);
        return 0;
}

static void test_places_in_continued_values(void **state) {
        static const IniHandler places = { no_section, check_places, no_error };
        static const char text[] = "[A]\n k = ab\\\n\tcd\\\n# comment\n  e\n";
        int n = 0;

        assert_int_equal(ini_parse(text, sizeof(text) - 1, &places, &n), 0);
        assert_int_equal(n, 1);
}

static int stop(void *userdata, const IniAssignment *assignment) {
        ++*(int *) userdata;
        return -ECANCELED;
}

static void test_callback_ends_the_reading(void **state) {
        static const IniHandler stopping = { no_section, stop, no_error };
        int n = 0;

        assert_int_equal(ini_parse("[A]\nk=v\nl=w\n", 12, &stopping, &n), -ECANCELED);
        assert_int_equal(n, 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain),
                cmocka_unit_test(test_comments),
                cmocka_unit_test(test_continuation),
                cmocka_unit_test(test_syntax_errors_and_going_on),
                cmocka_unit_test(test_characters),
                cmocka_unit_test(test_long_lines),
                cmocka_unit_test(test_places_in_continued_values),
                cmocka_unit_test(test_callback_ends_the_reading),
        };
        return cmocka_run_group_tests_name("ini", tests, NULL, NULL);
}
