/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "charset.h"
#include "cmocka.h"

static Buffer converted, error;

static int setup_group(void **state) {
        charset_init();
        return 0;
}

static int teardown_group(void **state) {
        charset_deinit();
        buffer_deinit(&converted);
        buffer_deinit(&error);
        return 0;
}

static int
decode(const char *label, bool html, const char *in, size_t size, const char **text, size_t *n) {
        converted.limit = 100000;
        buffer_clear(&converted);
        buffer_clear(&error);
        return charset_decode(label, html, in, size, &converted, &error, text, n);
}

typedef struct Case {
        const char *label;
        const char *in;
        size_t size;
        const char *out; /* NULL: -EBADMSG */
} Case;

#define CASE(label, in, out) \
        { label, in, sizeof(in) - 1, out }

static void test_labels(void **state) {
        static const Case cases[] = {
                CASE("", "caf\u00e9", "caf\u00e9"),
                CASE("utf-8", "caf\u00e9", "caf\u00e9"),
                CASE("UTF8", "caf\u00e9", "caf\u00e9"),
                CASE("", "caf\xe9", NULL),
                CASE("utf-8", "a\xc0\xaf", NULL),                       /* overlong */
                CASE("utf-8", "a\xed\xa0\x80", NULL),                   /* a surrogate */
                CASE("iso-8859-1", "caf\xe9 \x80", "caf\u00e9 \u20ac"), /* as windows-1252 */
                CASE("us-ascii", "\x93quoted\x94", "\u201cquoted\u201d"),
                CASE("iso-8859-2", "\xb3\xf3\xbc", "\u0142\u00f3\u017a"),
                CASE("iso-8859-15", "\xa4", "\u20ac"),
                CASE("windows-1251", "\xcf\xf0\xe8\xe2\xe5\xf2",
                     "\u041f\u0440\u0438\u0432\u0435\u0442"),
                CASE("koi8-r", "\xf0\xd2\xc9\xd7\xc5\xd4", "\u041f\u0440\u0438\u0432\u0435\u0442"),
                CASE("shift_jis", "\x93\xfa\x96\x7b", "\u65e5\u672c"),
                CASE("euc-jp", "\xc6\xfc\xcb\xdc", "\u65e5\u672c"),
                CASE("euc-kr", "\xc7\xd1", "\ud55c"),
                CASE("gb2312", "\xd6\xd0", "\u4e2d"),
                CASE("gb18030", "\xd6\xd0", "\u4e2d"),
                CASE("big5", "\xa4\xa4", "\u4e2d"),
                CASE("windows-1258", "a\xcc", "\u00e0"),
                CASE("windows-1258", "a", "a"), /* held back for a combining mark */
                CASE("utf-16", "a\0b\0", "ab"),
                CASE("utf-16be", "\0a\0b", "ab"),
                CASE("utf-16le", "a\0b", NULL), /* cut off */
                CASE("utf-16le",
                     "\x00\xd8"
                     "a\0",
                     NULL),                      /* half a pair */
                CASE("shift_jis", "\x81", NULL), /* cut off */
                CASE("klingon", "abc", NULL),
                CASE("8859", "abc", NULL), /* a part of a label is none */
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *text = NULL;
                size_t n = 0;
                int r = decode(cases[i].label, false, cases[i].in, cases[i].size, &text, &n);
                assert_int_equal(r, cases[i].out ? 0 : -EBADMSG);
                assert_int_equal(error.size > 0, cases[i].out == NULL);
                if (!cases[i].out)
                        continue;
                assert_int_equal(n, strlen(cases[i].out));
                assert_memory_equal(text, cases[i].out, n);
        }
}

static void test_marks(void **state) {
        static const Case cases[] = {
                CASE("windows-1252",
                     "\xef\xbb\xbf"
                     "caf\u00e9",
                     "caf\u00e9"),
                CASE("utf-8",
                     "\xff\xfe"
                     "a\0b\0",
                     "ab"),
                CASE("", "\xfe\xff\0a\0b", "ab"),
                CASE("",
                     "\xff\xfe\0\0"
                     "a\0\0\0",
                     "a"),
                CASE("", "\0\0\xfe\xff\0\0\0a", "a"),
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *text = NULL;
                size_t n = 0;
                assert_int_equal(
                                decode(cases[i].label, false, cases[i].in, cases[i].size, &text, &n),
                                0);
                assert_int_equal(n, strlen(cases[i].out));
                assert_memory_equal(text, cases[i].out, n);
        }
}

static void test_utf8_is_not_copied(void **state) {
        static const char in[] = "caf\u00e9";
        const char *text = NULL;
        size_t n = 0;

        assert_int_equal(decode("utf-8", true, in, strlen(in), &text, &n), 0);
        assert_ptr_equal(text, in);
        assert_int_equal(converted.size, 0);
}

static void test_sniff(void **state) {
        static const struct {
                const char *html, *label;
        } cases[] = {
                { "<html><meta charset=\"KOI8-R\">", "koi8-r" },
                { "<META http-equiv='Content-Type' content='text/html; charset = iso-8859-2'>",
                  "iso-8859-2" },
                { "<meta charset=utf-16le>", "utf-8" },
                { "<meta name=x><meta charset=big5>", "big5" },
                { "<meta charset>", "" },
                { "<meta charset=>", "" },
                { "<meta charset=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa>", "" },
                { "<meta charset=big5", "" },
                { "<p>no charset=big5</p>", "" },
                { "", "" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char label[CHARSET_LABEL_MAX] = "unset";
                charset_sniff(cases[i].html, strlen(cases[i].html), label);
                assert_string_equal(label, cases[i].label);
        }
}

static void test_sniffed_page(void **state) {
        static const char in[] = "<meta charset=windows-1252>caf\xe9";
        const char *text = NULL;
        size_t n = 0;

        assert_int_equal(decode("", true, in, strlen(in), &text, &n), 0);
        assert_memory_equal(text + n - 5, "caf\u00e9", 5);
        assert_int_equal(decode("", false, in, strlen(in), &text, &n), -EBADMSG); /* not looked for */
}

static void test_limit(void **state) {
        char in[200];
        const char *text = NULL;
        size_t n = 0;

        memset(in, 0xe9, sizeof(in));
        buffer_deinit(&converted);
        buffer_clear(&error);
        converted.limit = 400;
        assert_int_equal(charset_decode("latin1", false, in, 180, &converted, &error, &text, &n), 0);
        assert_int_equal(n, 360);
        buffer_clear(&converted);
        converted.limit = 300;
        assert_int_equal(
                        charset_decode("latin1", false, in, 200, &converted, &error, &text, &n),
                        -EMSGSIZE);
}

/* No file may be opened once the converters are: a second use must find them reset. */
static void test_state_is_reset(void **state) {
        static const char shifted[] = "\x1b$B\x46\x7c"; /* ISO-2022-JP, not shifted back */
        const char *text = NULL;
        size_t n = 0;

        assert_int_equal(decode("iso-2022-jp", false, shifted, strlen(shifted), &text, &n), 0);
        assert_memory_equal(text, "\u65e5", 3);
        assert_int_equal(decode("iso-2022-jp", false, "F|", 2, &text, &n), 0);
        assert_int_equal(n, 2);
        assert_memory_equal(text, "F|", 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_labels),         cmocka_unit_test(test_marks),
                cmocka_unit_test(test_sniff),          cmocka_unit_test(test_utf8_is_not_copied),
                cmocka_unit_test(test_sniffed_page),   cmocka_unit_test(test_limit),
                cmocka_unit_test(test_state_is_reset),
        };
        return cmocka_run_group_tests_name("charset", tests, setup_group, teardown_group);
}
