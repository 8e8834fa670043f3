/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "ulid.h"

static void test_known(void **state) {
        /* Time and digits of the specification's example. */
        assert_memory_equal(ulid_make(UINT64_C(1469918176385), 0, 0).text, "01ARYZ6S41", 10);
        assert_string_equal(ulid_make(0, 0, 0).text, "00000000000000000000000000");
        assert_string_equal(
                        ulid_make((UINT64_C(1) << 48) - 1, UINT64_MAX, UINT64_MAX).text,
                        "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_string_equal(ulid_make(0, 0, 1).text, "00000000000000000000000001");
        assert_string_equal(ulid_make(0, 1, 0).text, "0000000000000G000000000000");
}

static void test_bits_beyond_are_cut(void **state) {
        assert_string_equal(
                        ulid_make(UINT64_C(1) << 48, 1 << 16, 0).text, "00000000000000000000000000");
}

static void test_every_random_bit_counts(void **state) {
        const Ulid zero = ulid_make(0, 0, 0);

        for (int bit = 0; bit < 64; bit++) {
                Ulid ulid = ulid_make(0, bit < 16 ? UINT64_C(1) << bit : 0, UINT64_C(1) << bit);

                assert_int_equal(strlen(ulid.text), ULID_LENGTH);
                assert_true(strcmp(ulid.text, zero.text) > 0);
                assert_string_not_equal(
                                ulid.text, ulid_make(0, 0, UINT64_C(1) << (bit + 1) % 64).text);
        }
}

static void test_sorts_by_time(void **state) {
        for (uint64_t ms = 1; ms < UINT64_C(1) << 47; ms *= 3) {
                Ulid early = ulid_make(ms - 1, UINT64_MAX, UINT64_MAX), late = ulid_make(ms, 0, 0);
                assert_true(strcmp(early.text, late.text) < 0);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_known),
                cmocka_unit_test(test_bits_beyond_are_cut),
                cmocka_unit_test(test_every_random_bit_counts),
                cmocka_unit_test(test_sorts_by_time),
        };
        return cmocka_run_group_tests_name("ulid", tests, NULL, NULL);
}
