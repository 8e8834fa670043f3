/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "json-text.h"

static void expect_member(const char *text, const char *key, const char *expected) {
        const char *found = NULL;
        size_t size = 0;
        int r = json_text_member(text, strlen(text), key, &found, &size);

        if (!expected) {
                assert_int_equal(r, -ENOENT);
                return;
        }
        assert_int_equal(r, 0);
        assert_int_equal(size, strlen(expected));
        assert_memory_equal(found, expected, size);
}

static void test_member(void **state) {
        expect_member("{\"a\":1,\"b\":{\"c\":[1,{\"a\":2}]},\"c\":3}", "a", "1");
        expect_member("{\"a\":1,\"b\":{\"c\":[1,{\"a\":2}]},\"c\":3}", "b", "{\"c\":[1,{\"a\":2}]}");
        expect_member("{\"a\":1,\"b\":{\"c\":[1,{\"a\":2}]},\"c\":3}", "c", "3");
        expect_member(" { \"a\" : \"x}\\\"y\" , \"b\" : true } ", "a", "\"x}\\\"y\"");
        expect_member(" { \"a\" : \"x}\\\"y\" , \"b\" : true } ", "b", "true");
        expect_member("{\"a\":1,\"a\":2}", "a", "2");
        expect_member("{\"a\\\\\":[],\"b\":\"\\\\\"}", "b", "\"\\\\\"");
        expect_member("{}", "a", NULL);
        expect_member("[1]", "a", NULL);
        expect_member("\"a\"", "a", NULL);
        expect_member("", "a", NULL);
        expect_member("{\"ab\":1}", "a", NULL);
}

static void test_blank(void **state) {
        static const char text[] =
                        "{\"data\":1,\"sources\":{\"data\":{\"verdict\":\"ok\",\"data\" : {\"data\":[1e999]},"
                        "\"x\":\"data\"},\"b\":{\"data\":\"}\"}}}";
        Buffer out = BUFFER_INIT(0);

        json_text_blank(&out, text, strlen(text), 3, "data");
        char *written = buffer_steal(&out);
        assert_string_equal(
                        written,
                        "{\"data\":1,\"sources\":{\"data\":{\"verdict\":\"ok\",\"data\":null,"
                        "\"x\":\"data\"},\"b\":{\"data\":null}}}");
        free(written);
}

static void expect_format(const char *text, bool pretty, const char *expected) {
        Buffer out = BUFFER_INIT(0);

        json_text_format(&out, text, strlen(text), pretty);
        char *written = buffer_steal(&out);
        assert_string_equal(written, expected);
        free(written);
}

static void test_format(void **state) {
        static const char text[] =
                        " { \"a\" : [ 1 , 2.50 , { } , [ ] ] , \"b\" : { \"c\" : null , \"d\" : \"x y\" } } ";

        expect_format(text, false, "{\"a\":[1,2.50,{},[]],\"b\":{\"c\":null,\"d\":\"x y\"}}");
        expect_format(text, true,
                      "{\n  \"a\": [\n    1,\n    2.50,\n    {},\n    []\n  ],\n"
                      "  \"b\": {\n    \"c\": null,\n    \"d\": \"x y\"\n  }\n}");
        /* Figures stay as they are, however large. */
        expect_format("[12345678901234567890123,1e999]", false, "[12345678901234567890123,1e999]");
        expect_format("7", true, "7");
}

static void test_format_is_harmless(void **state) {
        expect_format("\"\\u001b[31m \xc2\x9b \x7f \xe2\x80\xae \xf3\xa0\x81\xa1 \xc3\xa9\"", false,
                      "\"\\u001b[31m \\u009b \\u007f \\u202e \\udb40\\udc61 \xc3\xa9\"");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_member),
                cmocka_unit_test(test_blank),
                cmocka_unit_test(test_format),
                cmocka_unit_test(test_format_is_harmless),
        };

        return cmocka_run_group_tests_name("json-text", tests, NULL, NULL);
}
