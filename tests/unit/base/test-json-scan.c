/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka.h"
#include "json-scan.h"
#include "macro.h"

static int scan(const char *text, size_t *ret_offset) {
        return json_scan(text, strlen(text), 32, ret_offset);
}

/* jansson is the judge of what JSON is. */
static int jansson_accepts(const char *text, size_t size) {
        json_t *value = json_loadb(text, size, JSON_DECODE_ANY, NULL);

        if (!value)
                return 0;
        json_decref(value);
        return 1;
}

static const char *const valid[] = {
        "0",
        "-0",
        "1",
        "-1",
        "10",
        "1234567890",
        "0.5",
        "-0.5e-3",
        "1e0",
        "1E+2",
        "1.0E-2",
        "0e1",
        "0e+1",
        "20e1",
        "123.456e78",
        "-1e-7",
        "1.5",
        " 1",
        "1 ",
        "\t\r\n1\r\n\t",
        "true",
        "false",
        "null",
        " null ",
        "\"\"",
        "\"a\"",
        "\" \"",
        "\"\x7f\"",
        "\"a/b\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0041\"",
        "\"\\u00e9\\uABCD\\uabcd\"",
        "\"\\u0020\"",
        "\"\\ud834\\udd1e\"",
        "\"\\uD83D\\uDE00x\"",
        "\"\\ud800\\udc00\\udbff\\udfff\"",
        "\"\\uffff\\ufffe\"",
        "\"\\\\u0000\"",
        "\"\\\\\\\\\"",
        "\"é\"",
        "\"€\"",
        "\"😀\"",
        "\"\xef\xbf\xbf\"",
        "\"\xf4\x8f\xbf\xbf\"",
        "\"\xed\x9f\xbf\xee\x80\x80\"",
        "\"\xe2\x80\xa8\xe2\x80\xa9\"",
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        "\"aaaaaaa\\\"aaaaaaaa\\\\aaaaaaaaé\"",
        "[]",
        "[ ]",
        "[1]",
        "[1,2]",
        "[ 1 , 2 ]",
        "[[]]",
        "[[],[]]",
        "[{}]",
        "[\"a\",null,true,false,-1.5e3]",
        "{}",
        "{ }",
        "{\"a\":1}",
        "{ \"a\" : 1 }",
        "{\"\":0}",
        "{\"a\":1,\"b\":2}",
        "{\"a\":[],\"b\":{\"c\":[{}]}}",
        "[[[[[[[[[[1]]]]]]]]]]",
        "[1\n]",
        "{\"a\":{\"a\":{\"a\":{\"a\":[[[]],{}]}}}}",
        "{\"a\":[1,{\"b\":2}],\"c\":3}",
        "\"\\ud83d\\ude00\\u00e9\"",
};

/* With the offset of the first offence. */
static const struct {
        const char *text;
        size_t offset;
} invalid[] = {
        { "", 0 },
        { " ", 1 },
        { "\n\t", 2 },
        { "nul", 3 },
        { "nulll", 4 },
        { "True", 0 },
        { "truE", 3 },
        { "tru", 3 },
        { "fals", 4 },
        { "nan", 1 },
        { "NaN", 0 },
        { "Infinity", 0 },
        { "-Infinity", 1 },
        { "undefined", 0 },
        { "'a'", 0 },
        { "a", 0 },
        { "*", 0 },
        { "//c\n1", 0 },
        { "1//c", 1 },
        { "/**/1", 0 },
        { "+1", 0 },
        { "01", 1 },
        { "-01", 2 },
        { "00", 1 },
        { "-", 1 },
        { "--1", 1 },
        { "- 1", 1 },
        { "1.", 2 },
        { ".5", 0 },
        { "-.5", 1 },
        { "1.e1", 2 },
        { "1e", 2 },
        { "1e+", 3 },
        { "1e+-1", 3 },
        { "1.5.5", 3 },
        { "1e1.5", 3 },
        { "0x10", 1 },
        { "1_000", 1 },
        { "1a", 1 },
        { "1 2", 2 },
        { "1,2", 1 },
        { "\"", 1 },
        { "\"a", 2 },
        { "\"a\\", 3 },
        { "\"\\\"", 3 },
        { "\"\\a\"", 2 },
        { "\"\\x41\"", 2 },
        { "\"\\'\"", 2 },
        { "\"\\u\"", 3 },
        { "\"\\u12\"", 5 },
        { "\"\\u123g\"", 6 },
        { "\"\\U0041\"", 2 },
        { "\"\\ud800\\u12\"", 11 },
        { "\"a\nb\"", 2 },
        { "\"\t\"", 1 },
        { "\"\x1f\"", 1 },
        { "\"\x01\"", 1 },
        { "\"12345678\x0b\"", 9 },
        { "\"a\"b", 3 },
        { "\"a\"\"b\"", 3 },
        { "[", 1 },
        { "]", 0 },
        { "[1", 2 },
        { "[1,", 3 },
        { "[1,]", 3 },
        { "[,1]", 1 },
        { "[,]", 1 },
        { "[1,,2]", 3 },
        { "[1 2]", 3 },
        { "[1}", 2 },
        { "[}", 1 },
        { "[1]]", 3 },
        { "[1],", 3 },
        { "[]{}", 2 },
        { "[\"a\":1]", 4 },
        { "[1;2]", 2 },
        { "{", 1 },
        { "}", 0 },
        { "{]", 1 },
        { "{\"a\"", 4 },
        { "{\"a\"}", 4 },
        { "{\"a\":", 5 },
        { "{\"a\":}", 5 },
        { "{\"a\":1", 6 },
        { "{\"a\":1,", 7 },
        { "{\"a\":1,}", 7 },
        { "{,}", 1 },
        { "{1:1}", 1 },
        { "{a:1}", 1 },
        { "{'a':1}", 1 },
        { "{null:1}", 1 },
        { "{\"a\",1}", 4 },
        { "{\"a\"=1}", 4 },
        { "{\"a\"::1}", 5 },
        { "{\"a\":1 \"b\":2}", 7 },
        { "{\"a\":1]", 6 },
        { "{[]:1}", 1 },
        { "{\"a\":1}}", 7 },
        { "{\"a\":1}x", 7 },
        { "[{\"a\":1]", 7 },
        { "[[]", 3 },
        { "{\"a\":[}", 6 },
        { "\xef\xbb\xbf{}", 0 },
        { "[\xff]", 1 },
        { "\xc3\xa9", 0 },
        { "[1]\xe2\x81\xa0", 3 },
        { "[\x0c]", 1 },
        { "[\x0b]", 1 },
        { "\xa0", 0 },
        { "[1\x01]", 2 },
};

/* Broken text within strings: told apart, because sources with a wrong charset are common. */
static const struct {
        const char *text;
        size_t offset;
} unreadable[] = {
        { "\"\xff\"", 1 },
        { "\"\x80\"", 1 },
        { "\"\xc0\xaf\"", 1 },
        { "\"\xc3\"", 1 },
        { "\"\xe9\"", 1 },
        { "\"\xe2\x82\"", 1 },
        { "\"\xe0\x80\xaf\"", 1 },
        { "\"\xf0\x80\x80\x80\"", 1 },
        { "\"\xed\xa0\x80\"", 1 },
        { "\"\xed\xbf\xbf\"", 1 },
        { "\"\xf4\x90\x80\x80\"", 1 },
        { "\"\xf8\x88\x80\x80\x80\"", 1 },
        { "\"\xfe\"", 1 },
        { "\"12345678\xff\"", 9 },
        { "\"caf\xe9\"", 4 },
        { "{\"\xff\":1}", 2 },
        { "\"\\ud800\"", 1 },
        { "\"\\udc00\"", 1 },
        { "\"a\\ud834x\"", 2 },
        { "\"\\ud800\\n\"", 1 },
        { "\"\\ud800\\ud800\"", 1 },
        { "\"\\ud800\\u0041\"", 1 },
        { "\"\\udfff\\ud800\"", 1 },
        { "\"\\ud800\\\"", 1 },
};

static void test_valid(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(valid); i++) {
                size_t offset = 99;

                if (scan(valid[i], &offset) != 0)
                        fail_msg("%s refused at %zu", valid[i], offset);
                assert_int_equal(offset, 99);
                if (!jansson_accepts(valid[i], strlen(valid[i])))
                        fail_msg("jansson refuses %s", valid[i]);
        }
}

static void test_invalid(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(invalid); i++) {
                size_t offset = 99;

                if (scan(invalid[i].text, &offset) != -EINVAL)
                        fail_msg("%s accepted", invalid[i].text);
                if (offset != invalid[i].offset)
                        fail_msg("%s refused at %zu", invalid[i].text, offset);
                if (jansson_accepts(invalid[i].text, strlen(invalid[i].text)))
                        fail_msg("jansson accepts %s", invalid[i].text);
        }
}

static void test_unreadable(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(unreadable); i++) {
                size_t offset = 99;

                int r = scan(unreadable[i].text, &offset);
                if (r != -EILSEQ || offset != unreadable[i].offset)
                        fail_msg("%s: %d at %zu", unreadable[i].text, r, offset);
                if (jansson_accepts(unreadable[i].text, strlen(unreadable[i].text)))
                        fail_msg("jansson accepts %s", unreadable[i].text);
        }
}

static void test_nul_bytes(void **state) {
        assert_int_equal(json_scan("1\0", 2, 4, NULL), -EINVAL);
        assert_int_equal(json_scan("\0", 1, 4, NULL), -EINVAL);
        assert_int_equal(json_scan("\"a\0b\"", 5, 4, NULL), -EINVAL);
        assert_int_equal(json_scan("\"\\\0\"", 4, 4, NULL), -EINVAL);
        assert_int_equal(json_scan("nul\0", 4, 4, NULL), -EINVAL);
        assert_int_equal(json_scan("\"\\u0000\"", 8, 4, NULL), 0);
}

/* Never a byte behind the end, wherever that is: the sanitizer watches the copies. */
static void test_every_prefix(void **state) {
        static const char text[] =
                        "{\"key é\\u00e9\\ud83d\\ude00\":[1.5e-3,true,null,\"0123456789\xf0\x9f\x98\x80\"]}";

        for (size_t size = 0; size < sizeof(text) - 1; size++) {
                char *copy = malloc(size + (size == 0));
                size_t offset = 0;

                assert_non_null(copy);
                memcpy(copy, text, size);
                assert_true(json_scan(copy, size, 32, &offset) < 0);
                assert_true(offset <= size);
                free(copy);
        }
        assert_int_equal(json_scan(text, sizeof(text) - 1, 2, NULL), 0);
}

static void test_specials_at_every_place_of_a_word(void **state) {
        for (size_t place = 0; place < 24; place++) {
                static const char specials[] = { '\n', '"', '\\', '\x80', '\x1f', '\0' };
                char text[26] = "\"xxxxxxxxxxxxxxxxxxxxxxxx\"";

                assert_int_equal(json_scan(text, sizeof(text), 1, NULL), 0);
                for (size_t i = 0; i < sizeof(specials); i++) {
                        text[place + 1] = specials[i];
                        if (place == 23 && specials[i] == '"')
                                continue;
                        assert_true(json_scan(text, sizeof(text), 1, NULL) < 0);
                }
        }
}

static void test_depth(void **state) {
        char text[2 * 1100];
        size_t offset = 0;

        assert_int_equal(json_scan("1", 1, 0, NULL), 0);
        assert_int_equal(json_scan("[]", 2, 0, &offset), -E2BIG);
        assert_int_equal(offset, 0);
        assert_int_equal(json_scan("[{}]", 4, 1, &offset), -E2BIG);
        assert_int_equal(offset, 1);
        for (size_t depth = 1; depth <= 1024; depth++) {
                memset(text, '[', depth);
                memset(text + depth, ']', depth);
                assert_int_equal(json_scan(text, 2 * depth, (unsigned) depth, NULL), 0);
                assert_int_equal(json_scan(text, 2 * depth, (unsigned) depth - 1, &offset), -E2BIG);
                assert_int_equal(offset, depth - 1);
                text[depth] = '}';
                assert_int_equal(json_scan(text, 2 * depth, 1024, &offset), -EINVAL);
                assert_int_equal(offset, depth);
        }
        memset(text, '[', 1025);
        assert_int_equal(json_scan(text, 1025, 1024, &offset), -E2BIG);
}

/* Objects and arrays in turn, at every depth: each level must remember its own kind. */
static void test_mixed_nesting(void **state) {
        char text[8 * 1024], *at = text;

        for (int i = 0; i < 1024; i++)
                at = i % 3 == 0 ? stpcpy(at, "{\"a\":") : stpcpy(at, "[");
        *at++ = '1';
        for (int i = 1023; i >= 0; i--)
                *at++ = i % 3 == 0 ? '}' : ']';
        size_t size = (size_t) (at - text);
        assert_int_equal(json_scan(text, size, 1024, NULL), 0);
        for (size_t i = size - 1024; i < size; i++) {
                char was = text[i];

                text[i] = was == '}' ? ']' : '}';
                assert_int_equal(json_scan(text, size, 1024, NULL), -EINVAL);
                text[i] = was;
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),
                cmocka_unit_test(test_invalid),
                cmocka_unit_test(test_unreadable),
                cmocka_unit_test(test_nul_bytes),
                cmocka_unit_test(test_every_prefix),
                cmocka_unit_test(test_specials_at_every_place_of_a_word),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_mixed_nesting),
        };
        return cmocka_run_group_tests_name("json-scan", tests, NULL, NULL);
}
