/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "json-scan.h"
#include "json-slice.h"

static JsonSlice slice(const char *json) {
        assert_int_equal(json_scan(json, strlen(json), JSON_DEPTH_MAX, NULL), 0);
        return json_slice(json, strlen(json));
}

static void expect(const Buffer *out, const char *text) {
        assert_int_equal(out->size, strlen(text));
        if (out->size > 0)
                assert_memory_equal(out->data, text, out->size);
}

/* The examples of RFC 6901, section 5, and more. */
static const char document[] =
                "{ \"foo\": [\"bar\", \"baz\"], \"\": 0, \"a/b\": 1, \"c%d\": 2, \"e^f\": 3,"
                "\"g|h\": 4, \"i\\\\j\": 5, \"k\\\"l\": 6, \" \": 7, \"m~n\": 8,"
                "\"twice\": 1, \"twice\" : {\"x\":9}, \"caf\\u00e9\": 10,"
                "\"\\ud83d\\ude00\": 11, \"deep\":[[ [12] ], {}]}";

static void test_resolve(void **state) {
        static const char *const cases[][2] = {
                { "", document },
                { "/foo", "[\"bar\", \"baz\"]" },
                { "/foo/0", "\"bar\"" },
                { "/foo/1", "\"baz\"" },
                { "/", "0" },
                { "/a~1b", "1" },
                { "/c%d", "2" },
                { "/e^f", "3" },
                { "/g|h", "4" },
                { "/i\\j", "5" },
                { "/k\"l", "6" },
                { "/ ", "7" },
                { "/m~0n", "8" },
                { "/twice", "{\"x\":9}" }, /* the last counts */
                { "/twice/x", "9" },
                { "/caf\u00e9", "10" },
                { "/\U0001f600", "11" },
                { "/deep/0/0/0", "12" },
                { "/deep/1", "{}" },
                { "/foo/2", NULL },
                { "/foo/-", NULL },
                { "/foo/01", NULL },
                { "/foo/0x", NULL },
                { "/foo/", NULL },
                { "/foo/99999999999999999999", NULL },
                { "/foo/0/x", NULL },
                { "/fo", NULL },
                { "/fooo", NULL },
                { "/m~n", NULL },
                { "/m~2n", NULL },
                { "/m~", NULL },
                { "foo", NULL },
                { "/deep/1/x", NULL },
        };
        JsonSlice root = slice(document), value;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                bool found = json_resolve(root, cases[i][0], &value);
                assert_int_equal(found, cases[i][1] != NULL);
                if (!found)
                        continue;
                assert_int_equal(value.size, strlen(cases[i][1]));
                assert_memory_equal(value.text, cases[i][1], value.size);
        }
}

static void test_empty(void **state) {
        static const struct {
                const char *json;
                bool empty, content;
        } cases[] = {
                { "null", true, false },
                { "\"\"", true, false },
                { "[ ]", true, false },
                { "{ }", true, false },
                { "false", false, true },
                { "0", false, true },
                { "\" \"", false, false },
                { "[null]", false, false },
                { "{\"a\":\"\"}", false, false },
                { "[[],{}]", false, false },
                { "{\"a\":[\"x\"]}", false, true },
                { " 1 ", false, true },
                { "{\"key\":{\"key\":null}}", false, false },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(json_is_empty(slice(cases[i].json)), cases[i].empty);
                assert_int_equal(json_has_content(slice(cases[i].json)), cases[i].content);
        }
}

static void test_compact(void **state) {
        Buffer out = BUFFER_INIT(0);

        assert_int_equal(json_compact(slice(" { \"a b\" : [ 1 , 2.50,\n\t\"x \\\" y\" ] } "), &out), 0);
        expect(&out, "{\"a b\":[1,2.50,\"x \\\" y\"]}");
        buffer_clear(&out);
        assert_int_equal(json_compact(slice("12345678901234567890123"), &out), 0);
        expect(&out, "12345678901234567890123");
        buffer_deinit(&out);
}

static void test_scalar_text(void **state) {
        static const char *const cases[][2] = {
                { "\"a\\n\\t\\\"\\\\\\/\\b\\f\\r\"", "a\n\t\"\\/\b\f\r" },
                { "\"\\u0041\\u00E9\\u20ac\\uD83D\\uDE00\"", "A\u00e9\u20ac\U0001f600" },
                { "12.5e3", "12.5e3" },
                { "true", "true" },
                { "null", "" },
                { "{\"a\":1}", "" },
                { "[]", "" },
                { "[[\"first\"],\"second\"]", "first" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Buffer out = BUFFER_INIT(0);
                assert_int_equal(json_scalar_text(slice(cases[i][0]), &out), 0);
                expect(&out, cases[i][1]);
                buffer_deinit(&out);
        }
}

static void test_elements(void **state) {
        JsonIterator it = json_elements(slice("{ \"a\" : 1 , \"b\":[ 2 ] }"));
        JsonSlice key, value;

        assert_true(json_next(&it, &key, &value));
        assert_memory_equal(key.text, "\"a\"", 3);
        assert_memory_equal(value.text, "1", value.size);
        assert_true(json_next(&it, &key, &value));
        assert_memory_equal(value.text, "[ 2 ]", value.size);
        assert_false(json_next(&it, &key, &value));
        assert_false(json_next(&it, &key, &value));
        it = json_elements(slice("7"));
        assert_false(json_next(&it, &key, &value));
}

static void test_text(void **state) {
        static const char *const cases[][2] = {
                { "{\"city\":\"Fargo\",\"temp_c\":3.5,\"windSpeed\":12,\"ok\":true,\"none\":null}",
                  "city: Fargo\ntemp c: 3.5\nwind Speed: 12\nok: true" },
                { "{\"title\":\"A storm\",\"text\":\"short\"}", "A storm\nshort" },
                { "{\"days\":[1,2,3],\"more\":[\"a\",\"b\"]}", "days: 1, 2, 3\nmore: a, b" },
                { "{\"note\":\"This sentence is long enough to stand without its label.\"}",
                  "This sentence is long enough to stand without its label." },
                { "[\"A first sentence that is long enough to stand alone.\",\"short\"]",
                  "A first sentence that is long enough to stand alone.\nshort" },
                { "{\"url\":\"https://example.org/x\",\"b\":\"see https://example.org\"}",
                  "b: see https://example.org" },
                { "{\"excerpt\":\"a <span class=\\\"m\\\">hit</span> &amp; more\"}", "a hit & more" },
                { "{\"a\":{\"b\":{\"c\":1}},\"d\":2}", "c: 1\nd: 2" },
                { "{\"a\":[{\"b\":1},{\"b\":2}]}", "b: 1\nb: 2" },
                { "{\"a\":[[1,2],[3]]}", "a: 1, 2\na: 3" },
                { "{\"\":1}", "1" },
                { "{\"a\":\"x\\u0000y\"}", "a: x y" },
                { "{\"a\":\"\",\"b\":\"  \"}", "" },
                { "\"alone\"", "alone" },
                { "-1.5", "-1.5" },
                { "[]", "" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Buffer out = BUFFER_INIT(0);
                TextWriter writer = text_writer(&out);
                json_write_text(slice(cases[i][0]), &writer);
                expect(&out, cases[i][1]);
                buffer_deinit(&out);
        }
}

static void test_deepest(void **state) {
        char json[2 * JSON_DEPTH_MAX + 2] = "";
        Buffer out = BUFFER_INIT(0);
        TextWriter writer = text_writer(&out);

        memset(json, '[', JSON_DEPTH_MAX);
        json[JSON_DEPTH_MAX] = '1';
        memset(json + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX);
        JsonSlice root = json_slice(json, sizeof(json) - 1);
        assert_int_equal(json_scan(root.text, root.size, JSON_DEPTH_MAX, NULL), 0);
        json_write_text(root, &writer);
        expect(&out, "1");
        buffer_deinit(&out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_resolve),  cmocka_unit_test(test_empty),
                cmocka_unit_test(test_compact),  cmocka_unit_test(test_scalar_text),
                cmocka_unit_test(test_elements), cmocka_unit_test(test_text),
                cmocka_unit_test(test_deepest),
        };
        return cmocka_run_group_tests_name("json-slice", tests, NULL, NULL);
}
