/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "clock.h"
#include "cmocka.h"
#include "macro.h"
#include "parse.h"

#define MS NSEC_PER_MSEC
#define S  NSEC_PER_SEC

static void test_u64(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "007", 0, 7 },
                { "18446744073709551615", 0, UINT64_MAX },
                { "18446744073709551616", -ERANGE, 0 },
                { "99999999999999999999999", -ERANGE, 0 },
                { "99999999999999999999999x", -EINVAL, 0 },
                { "", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "+1", -EINVAL, 0 },
                { " 1", -EINVAL, 0 },
                { "1 ", -EINVAL, 0 },
                { "1x", -EINVAL, 0 },
                { "0x1", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 99;

                assert_int_equal(parse_u64(cases[i].text, &value), cases[i].r);
                assert_true(value == (cases[i].r == 0 ? cases[i].value : 99));
        }
}

static void test_duration(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t ns;
        } cases[] = {
                { "0", 0, 0 },
                { "5", 0, 5 * S },
                { "1.5s", 0, 1500 * MS },
                { "0.1", 0, 100 * MS },
                { "500ms", 0, 500 * MS },
                { "500 ms", 0, 500 * MS },
                { "1min 30s", 0, 90 * S },
                { "1min30s", 0, 90 * S },
                { "1min30", 0, 90 * S },
                { " 2h ", 0, 7200 * S },
                { "2hours 3minutes", 0, 7380 * S },
                { "1d", 0, 86400 * S },
                { "1w 1day", 0, 8 * 86400 * S },
                { "1month", 0, 2629800 * S },
                { "1M", 0, 2629800 * S },
                { "1m", 0, 60 * S },
                { "1y", 0, 31557600 * S },
                { "7us", 0, 7000 },
                { "7µs", 0, 7000 },
                { "7usec", 0, 7000 },
                { "9ns", 0, 9 },
                { "0.5ns", 0, 0 },
                { "0.25min", 0, 15 * S },
                { "1.0000000009s", 0, S },
                { "infinity", 0, TIME_INFINITY },
                { " infinity", 0, TIME_INFINITY },
                { "500y", 0, UINT64_C(500) * 31557600 * S },
                { "1000y", -ERANGE, 0 },
                { "400y 400y", -ERANGE, 0 },
                { "18446744073.709551615", -ERANGE, 0 },
                { "18446744073.9", -ERANGE, 0 },
                { "99999999999999999999999s", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { " ", -EINVAL, 0 },
                { "s", -EINVAL, 0 },
                { "5x", -EINVAL, 0 },
                { "5sx", -EINVAL, 0 },
                { "-5", -EINVAL, 0 },
                { "+5", -EINVAL, 0 },
                { "5.", -EINVAL, 0 },
                { ".5", -EINVAL, 0 },
                { "5.s", -EINVAL, 0 },
                { "1.5.5", -EINVAL, 0 },
                { "1e3", -EINVAL, 0 },
                { "5 5 x", -EINVAL, 0 },
                { "infinity 5", -EINVAL, 0 },
                { "5 infinity", -EINVAL, 0 },
                { "5S", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t ns = 99;

                int r = parse_duration(cases[i].text, &ns);
                if (r != cases[i].r || ns != (r == 0 ? cases[i].ns : 99))
                        fail_msg("\"%s\": %d, %llu", cases[i].text, r, (unsigned long long) ns);
        }
}

static void test_format_duration(void **state) {
        static const struct {
                uint64_t ns;
                const char *text;
        } cases[] = {
                { 0, "0" },
                { 1, "1ns" },
                { 999, "999ns" },
                { 1001, "1.001us" },
                { 500 * MS, "500ms" },
                { 5 * S, "5s" },
                { 1500 * MS, "1.5s" },
                { 12345678, "12.345678ms" },
                { 1000000001, "1.000000001s" },
                { 90 * S, "1min 30s" },
                { 90500 * MS, "1min 30.5s" },
                { 3600 * S, "1h" },
                { 3600 * S + 1, "1h 1ns" },
                { 93784 * S, "1d 2h 3min 4s" },
                { 31557600 * S, "1y" },
                { TIME_INFINITY, "infinity" },
        };
        char text[DURATION_TEXT_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t again = 99;

                assert_string_equal(format_duration(text, cases[i].ns), cases[i].text);
                assert_int_equal(parse_duration(text, &again), 0);
                assert_true(again == cases[i].ns);
        }
}

/* What is written is read back as the same span, for spans of all sizes, the longest text
 * included. */
static void test_duration_round_trip(void **state) {
        char text[DURATION_TEXT_MAX];
        uint64_t seed = 1, again;

        for (int i = 0; i < 20000; i++) {
                seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                uint64_t ns = seed >> seed % 64;

                assert_int_equal(parse_duration(format_duration(text, ns), &again), 0);
                assert_true(again == ns);
        }
        assert_int_equal(parse_duration(format_duration(text, UINT64_MAX - 1), &again), 0);
        assert_true(again == UINT64_MAX - 1);
}

static void test_size(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t value;
        } cases[] = {
                { "0", 0, 0 },
                { "512", 0, 512 },
                { "1K", 0, 1024 },
                { "64M", 0, 64 << 20 },
                { "2G", 0, UINT64_C(2) << 30 },
                { "17179869183G", 0, UINT64_MAX >> 30 << 30 },
                { "17179869184G", -ERANGE, 0 },
                { "18446744073709551616", -ERANGE, 0 },
                { "99999999999999999999K", -ERANGE, 0 },
                { "", -EINVAL, 0 },
                { "M", -EINVAL, 0 },
                { "1k", -EINVAL, 0 },
                { "1MB", -EINVAL, 0 },
                { "1 M", -EINVAL, 0 },
                { "1.5M", -EINVAL, 0 },
                { "-1", -EINVAL, 0 },
                { "99999999999999999999x", -EINVAL, 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 99;

                int r = parse_size(cases[i].text, &value);
                if (r != cases[i].r || value != (r == 0 ? cases[i].value : 99))
                        fail_msg("\"%s\": %d, %llu", cases[i].text, r, (unsigned long long) value);
        }
}

static void test_bool(void **state) {
        static const char *const yes[] = { "yes", "true", "on", "1", "YES", "True", "oN" };
        static const char *const no[] = { "no", "false", "off", "0", "No", "FALSE", "Off" };
        static const char *const neither[] = { "", "2", "yess", "y es", " yes", "enabled", "10" };
        bool value;

        for (size_t i = 0; i < ELEMENTSOF(yes); i++) {
                value = false;
                assert_int_equal(parse_bool(yes[i], &value), 0);
                assert_true(value);
        }
        for (size_t i = 0; i < ELEMENTSOF(no); i++) {
                value = true;
                assert_int_equal(parse_bool(no[i], &value), 0);
                assert_false(value);
        }
        for (size_t i = 0; i < ELEMENTSOF(neither); i++)
                assert_int_equal(parse_bool(neither[i], &value), -EINVAL);
}

static void test_hex(void **state) {
        uint64_t value = 99;

        assert_int_equal(parse_hex("0", 1, &value), 0);
        assert_true(value == 0);
        assert_int_equal(parse_hex("fFaA09", 6, &value), 0);
        assert_true(value == 0xffaa09);
        assert_int_equal(parse_hex("1fz", 2, &value), 0);
        assert_true(value == 0x1f);
        assert_int_equal(parse_hex("ffffffffffffffff", 16, &value), 0);
        assert_true(value == UINT64_MAX);
        assert_int_equal(parse_hex("0000ffffffffffffffff", 20, &value), 0);
        assert_true(value == UINT64_MAX);
        value = 99;
        assert_int_equal(parse_hex("10000000000000000", 17, &value), -ERANGE);
        assert_int_equal(parse_hex("000000000000000000001", 21, &value), -EINVAL);
        assert_int_equal(parse_hex("", 0, &value), -EINVAL);
        assert_int_equal(parse_hex("1g", 2, &value), -EINVAL);
        assert_int_equal(parse_hex("-1", 2, &value), -EINVAL);
        assert_int_equal(parse_hex("0x1", 3, &value), -EINVAL);
        assert_int_equal(parse_hex("@`", 2, &value), -EINVAL);
        assert_true(value == 99);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_u64),
                cmocka_unit_test(test_duration),
                cmocka_unit_test(test_format_duration),
                cmocka_unit_test(test_duration_round_trip),
                cmocka_unit_test(test_size),
                cmocka_unit_test(test_bool),
                cmocka_unit_test(test_hex),
        };
        return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
