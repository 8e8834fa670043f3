/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "fuse.h"

static FusePassage passage(double score, size_t source, const char *text) {
        return (FusePassage){
                .score = score, .source = source, .text = text, .text_size = strlen(text)
        };
}

static void test_order(void **state) {
        FusePassage passages[] = {
                passage(.1, 0, "a slow river runs south"),
                passage(.9, 1, "bright stars over the desert"),
                passage(.5, 2, "green hills in the morning"),
        };

        assert_int_equal(fuse_passages(passages, 3, 5), 3);
        assert_int_equal(passages[0].source, 1);
        assert_int_equal(passages[1].source, 2);
        assert_int_equal(passages[2].source, 0);
}

static void test_limit(void **state) {
        FusePassage passages[] = { passage(.1, 0, "one two"), passage(.2, 1, "three four") };

        assert_int_equal(fuse_passages(passages, 2, 1), 1);
        assert_int_equal(passages[0].source, 1);
        assert_int_equal(fuse_passages(passages, 2, 0), 0);
        assert_int_equal(fuse_passages(passages, 0, 3), 0);
}

static void test_ties_keep_order(void **state) {
        FusePassage passages[] = { passage(.5, 3, "alpha beta"), passage(.5, 1, "gamma delta") };

        assert_int_equal(fuse_passages(passages, 2, 2), 2);
        assert_int_equal(passages[0].source, 1);
}

static void test_near_duplicates(void **state) {
        FusePassage passages[] = {
                passage(.8, 0, "The storm reached the coast of Norway on Monday evening."),
                passage(.7, 1, "the STORM reached the coast of norway, on monday evening"),
                passage(.6, 2, "Markets opened higher after the announcement."),
                passage(.5, 3, "Reuters: The storm reached the coast of Norway on Monday evening."),
        };

        assert_int_equal(fuse_passages(passages, 4, 4), 2);
        assert_int_equal(passages[0].source, 0);
        assert_int_equal(passages[1].source, 2);
}

static void test_long_and_wordless(void **state) {
        static char text[20000];
        FusePassage passages[] = { passage(.5, 0, text), passage(.4, 1, "..."),
                                   passage(.3, 2, "???") };

        for (size_t i = 0; i < sizeof(text) - 1; i++)
                text[i] = i % 5 == 4 ? ' ' : (char) ('a' + i % 23);
        passages[0].text_size = sizeof(text) - 1;
        assert_int_equal(fuse_passages(passages, 3, 3), 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_limit),
                cmocka_unit_test(test_ties_keep_order),
                cmocka_unit_test(test_near_duplicates),
                cmocka_unit_test(test_long_and_wordless),
        };
        return cmocka_run_group_tests_name("fuse", tests, NULL, NULL);
}
