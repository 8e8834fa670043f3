/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "clock.h"
#include "cmocka.h"
#include "json-scan.h"
#include "json-writer.h"

/* Each test writes into its own buffer and says what must be in it; the scanner says that it is
 * JSON. */
static void expect(Buffer *buffer, const char *text) {
        assert_int_equal(buffer->error, 0);
        assert_int_equal(json_scan(buffer->data, buffer->size, 32, NULL), 0);
        char *written = buffer_steal(buffer);
        assert_string_equal(written, text);
        free(written);
}

static void test_structure(void **state) {
        Buffer buffer = BUFFER_INIT(0);
        JsonWriter w = json_writer(&buffer);

        json_begin_object(&w, NULL);
        json_put_string(&w, "a", "x");
        json_begin_array(&w, "b");
        json_put_u64(&w, NULL, 1);
        json_begin_object(&w, NULL);
        json_end_object(&w);
        json_begin_array(&w, NULL);
        json_end_array(&w);
        json_put_null(&w, NULL);
        json_end_array(&w);
        json_put_bool(&w, "c", true);
        json_put_bool(&w, "d", false);
        json_put_raw(&w, "e", "{\"f\":1}", 7);
        json_put_string(&w, "g", NULL);
        json_put_key(&w, "out\"side");
        json_begin_object(&w, NULL);
        json_put_key(&w, "k");
        json_put_i64(&w, NULL, -1);
        json_put_key(&w, "l");
        json_put_i64(&w, NULL, 2);
        json_end_object(&w);
        json_end_object(&w);
        expect(&buffer,
               "{\"a\":\"x\",\"b\":[1,{},[],null],\"c\":true,\"d\":false,\"e\":{\"f\":1},\"g\":null,"
               "\"out\\\"side\":{\"k\":-1,\"l\":2}}");
}

static void test_integers(void **state) {
        Buffer buffer = BUFFER_INIT(0);
        JsonWriter w = json_writer(&buffer);

        json_begin_array(&w, NULL);
        json_put_u64(&w, NULL, 0);
        json_put_u64(&w, NULL, UINT64_MAX);
        json_put_i64(&w, NULL, 0);
        json_put_i64(&w, NULL, INT64_MIN);
        json_put_i64(&w, NULL, INT64_MAX);
        json_end_array(&w);
        expect(&buffer, "[0,18446744073709551615,0,-9223372036854775808,9223372036854775807]");
}

static void test_strings(void **state) {
        static const char raw[] = "\"\\/\b\t\n\f\r\x01\x1f\0é😀\x7f";
        Buffer buffer = BUFFER_INIT(0);
        JsonWriter w = json_writer(&buffer);

        json_put_string_n(&w, NULL, raw, sizeof(raw) - 1);
        expect(&buffer, "\"\\\"\\\\/\\b\\t\\n\\f\\r\\u0001\\u001f\\u0000é😀\x7f\"");
        w = json_writer(&buffer);
        json_put_string_n(&w, NULL, NULL, 0);
        expect(&buffer, "\"\"");
}

static void test_invalid_utf8_is_replaced(void **state) {
        Buffer buffer = BUFFER_INIT(0);
        JsonWriter w = json_writer(&buffer);

        json_begin_array(&w, NULL);
        json_put_string(&w, NULL,
                        "a\xff"
                        "b");
        json_put_string(&w, NULL, "\xc3");
        json_put_string(&w, NULL, "\xed\xa0\x80");
        json_put_string(&w, NULL, "caf\xe9 ok");
        json_end_array(&w);
        expect(&buffer,
               "[\"a\xef\xbf\xbd"
               "b\",\"\xef\xbf\xbd\",\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
               "\"caf\xef\xbf\xbd ok\"]");
}

/* Every byte sequence gives valid JSON. */
static void test_all_pairs_of_bytes(void **state) {
        for (unsigned pair = 0; pair < 65536; pair++) {
                char text[2] = { (char) (pair >> 8), (char) pair };
                Buffer buffer = BUFFER_INIT(0);
                JsonWriter w = json_writer(&buffer);

                json_put_string_n(&w, NULL, text, 2);
                assert_int_equal(json_scan(buffer.data, buffer.size, 0, NULL), 0);
                buffer_deinit(&buffer);
        }
}

static void test_doubles(void **state) {
        static const struct {
                double value;
                unsigned decimals;
                const char *text;
        } cases[] = {
                { 0.0, 3, "0" },
                { -0.0, 3, "0" },
                { 1.0, 0, "1" },
                { 1.5, 0, "2" },
                { 0.1, 6, "0.1" },
                { 3.0211, 3, "3.021" },
                { 2003.1, 1, "2003.1" },
                { 0.0005, 3, "0.001" },
                { 0.0004, 3, "0" },
                { -0.0004, 3, "0" },
                { -1.25, 2, "-1.25" },
                { 0.999999, 3, "1" },
                { 12.0304, 4, "12.0304" },
                { 0.000001, 6, "0.000001" },
                { 1e15, 6, "1000000000000000" },
                { 1e18, 3, "1000000000000000000" },
                { -1e18, 0, "-1000000000000000000" },
                { 1e9, 6, "1000000000" },
                { (double) NAN, 2, "null" },
                { (double) INFINITY, 2, "null" },
                { -(double) INFINITY, 2, "null" },
                { 0x1p60, 0, "1152921504606846976" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Buffer buffer = BUFFER_INIT(0);
                JsonWriter w = json_writer(&buffer);

                json_put_double(&w, NULL, cases[i].value, cases[i].decimals);
                expect(&buffer, cases[i].text);
        }
}

/* The decimal point is JSON's, whatever the user's language writes. */
static void test_locale(void **state) {
        Buffer buffer = BUFFER_INIT(0);
        JsonWriter w = json_writer(&buffer);

        if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8"))
                (void) setlocale(LC_ALL, "");
        json_begin_array(&w, NULL);
        json_put_double(&w, NULL, 1.5, 2);
        json_put_double(&w, NULL, 1e300, 2);
        json_end_array(&w);
        assert_int_equal(json_scan(buffer.data, buffer.size, 1, NULL), 0);
        assert_memory_equal(buffer.data, "[1.5,", 5);
        (void) setlocale(LC_ALL, "C");
        buffer_deinit(&buffer);
}

static void test_ms(void **state) {
        static const struct {
                uint64_t ns;
                const char *text;
        } cases[] = {
                { 0, "0" },
                { 499, "0" },
                { 500, "0.001" },
                { 1000, "0.001" },
                { 1500000, "1.5" },
                { 2003100000, "2003.1" },
                { 12345678, "12.346" },
                { 999999500, "1000" },
                { NSEC_PER_SEC, "1000" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Buffer buffer = BUFFER_INIT(0);
                JsonWriter w = json_writer(&buffer);

                json_put_ms(&w, NULL, cases[i].ns);
                expect(&buffer, cases[i].text);
        }
}

static void test_error_stays(void **state) {
        Buffer buffer = BUFFER_INIT(64);
        JsonWriter w = json_writer(&buffer);

        json_begin_array(&w, NULL);
        for (int i = 0; i < 100; i++)
                json_put_string(&w, NULL, "more than fits");
        json_end_array(&w);
        assert_int_equal(buffer.error, -EMSGSIZE);
        buffer_deinit(&buffer);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_structure),
                cmocka_unit_test(test_integers),
                cmocka_unit_test(test_strings),
                cmocka_unit_test(test_invalid_utf8_is_replaced),
                cmocka_unit_test(test_all_pairs_of_bytes),
                cmocka_unit_test(test_doubles),
                cmocka_unit_test(test_locale),
                cmocka_unit_test(test_ms),
                cmocka_unit_test(test_error_stays),
        };
        return cmocka_run_group_tests_name("json-writer", tests, NULL, NULL);
}
