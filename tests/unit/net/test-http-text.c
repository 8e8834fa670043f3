/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http-text.h"
#include "macro.h"

static Span span_of(const char *text) {
        return (Span){ text, strlen(text) };
}

static void assert_span(Span span, const char *expected) {
        assert_int_equal(span.size, strlen(expected));
        assert_memory_equal(span.data, expected, span.size);
}

static void test_equals(void **state) {
        assert_true(span_equals(span_of("Max-AGE"), "max-age"));
        assert_true(span_equals(span_of(""), ""));
        assert_false(span_equals(span_of("max-ag"), "max-age"));
        assert_false(span_equals(span_of("max-age="), "max-age"));
        assert_false(
                        span_equals(span_of("max\x0d"
                                            "age"),
                                    "max-age")); /* only letters have a case */
        assert_false(span_equals((Span){ "a\0b", 3 }, "a"));
}

static void test_trim(void **state) {
        assert_span(span_trim(span_of(" \t a b\t ")), "a b");
        assert_span(span_trim(span_of("a")), "a");
        assert_span(span_trim(span_of(" \t")), "");
        assert_span(span_trim(span_of("")), "");
}

static void test_next(void **state) {
        static const struct {
                const char *text;
                const char *parts[4];
        } lists[] = {
                { "", { NULL } },
                { "a", { "a" } },
                { " a , b ", { "a", "b" } },
                { ",a,,b,", { "", "a", "", "b" } },
                { "a=\"b,c\",d", { "a=\"b,c\"", "d" } },
                { "\"a\\\",b\",c", { "\"a\\\",b\"", "c" } },
                { "a\\,b", { "a\\", "b" } }, /* a backslash means something in quotes only */
                { "\"a,b", { "\"a,b" } },
                { "\"a\\", { "\"a\\" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(lists); i++) {
                Span rest = span_of(lists[i].text), part;
                for (size_t n = 0; n < ELEMENTSOF(lists[i].parts) && lists[i].parts[n]; n++) {
                        assert_true(span_next(&rest, ',', &part));
                        assert_span(part, lists[i].parts[n]);
                }
                assert_false(span_next(&rest, ',', &part));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_equals),
                cmocka_unit_test(test_trim),
                cmocka_unit_test(test_next),
        };
        return cmocka_run_group_tests_name("http-text", tests, NULL, NULL);
}
