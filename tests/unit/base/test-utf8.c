/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka.h"
#include "macro.h"
#include "utf8.h"

static bool is_scalar(uint32_t c) {
        return c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

static void test_every_character(void **state) {
        for (uint32_t c = 0; c <= 0x10ffff; c++) {
                uint32_t again = 0;
                char text[4];

                if (!is_scalar(c))
                        continue;
                size_t length = utf8_encode(c, text);
                if (utf8_decode(text, length, &again) != length || again != c ||
                    !utf8_valid(text, length) || (length > 1 && utf8_valid(text, length - 1)))
                        fail_msg("U+%04X", c);
        }
}

/* All sequences of up to three bytes: a valid one is what its character is encoded to, no other. */
static void test_every_short_sequence(void **state) {
        for (uint32_t bytes = 0; bytes < 1 << 24; bytes += bytes % 256 == 0xff ? 0x3f01 : 1) {
                char text[3] = { (char) (bytes >> 16), (char) (bytes >> 8), (char) bytes }, again[4];
                uint32_t c = 0;

                size_t length = utf8_decode(text, sizeof(text), &c);
                if (length == 0)
                        continue;
                if (!is_scalar(c) || utf8_encode(c, again) != length ||
                    memcmp(text, again, length) != 0)
                        fail_msg("%06x", bytes);
        }
}

static void test_invalid(void **state) {
        static const char *const cases[] = {
                "\x80",
                "\xbf",
                "\xc0\x80",
                "\xc1\xbf",
                "\xc2",
                "\xc2\x41",
                "\xe0\x80\x80",
                "\xe0\x9f\xbf",
                "\xe1\x80",
                "\xe1\x80\x41",
                "\xed\xa0\x80",
                "\xed\xbf\xbf",
                "\xf0\x80\x80\x80",
                "\xf0\x8f\xbf\xbf",
                "\xf4\x90\x80\x80",
                "\xf5\x80\x80\x80",
                "\xf0\x9f\x98",
                "\xfe",
                "\xff",
                "\xf8\x88\x80\x80\x80",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint32_t c = 99;
                char padded[32] = "0123456789";

                assert_int_equal(utf8_decode(cases[i], strlen(cases[i]), &c), 0);
                assert_int_equal(c, 99);
                assert_false(utf8_valid(cases[i], strlen(cases[i])));
                strncat(padded, cases[i], 8);
                assert_false(utf8_valid(padded, strlen(padded)));
        }
        assert_true(utf8_valid("", 0));
        assert_true(utf8_valid(
                        "0123456789é€😀0123456789abcdef", strlen("0123456789é€😀0123456789abcdef")));
}

static void test_truncate(void **state) {
        static const char text[] = "aé€😀z";
        static const size_t expected[] = { 0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11 };

        for (size_t limit = 0; limit < ELEMENTSOF(expected); limit++)
                assert_int_equal(utf8_truncate(text, sizeof(text) - 1, limit), expected[limit]);
        assert_int_equal(utf8_truncate("", 0, 5), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_character),
                cmocka_unit_test(test_every_short_sequence),
                cmocka_unit_test(test_invalid),
                cmocka_unit_test(test_truncate),
        };
        return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
