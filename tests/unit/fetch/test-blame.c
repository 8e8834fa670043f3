/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "blame.h"
#include "clock.h"

#define NOW (1000 * NSEC_PER_SEC)

/* Origins: A to C fail, D does not unless a test says so. */
enum {
        A = 1,
        B,
        C,
        D,
};

static Blame suspicious(void) {
        Blame blame = {};

        blame_failure(&blame, A, true, NOW);
        blame_failure(&blame, B, true, NOW);
        assert_true(blame_suspects_network(&blame, NOW));
        return blame;
}

/* ---- suspicion ---- */

static void test_innocent_at_first(void **state) {
        Blame blame = {};

        assert_false(blame_suspects_network(&blame, NOW));
        assert_int_equal(blame_response(&blame, A, NOW), BLAME_NONE);
}

static void test_two_origins(void **state) {
        Blame blame = {};

        blame_failure(&blame, A, true, NOW);
        assert_false(blame_suspects_network(&blame, NOW));
        blame_failure(&blame, A, true, NOW + 1);
        assert_false(blame_suspects_network(&blame, NOW + 1));
        blame_failure(&blame, B, true, NOW + 2);
        assert_true(blame_suspects_network(&blame, NOW + 2));
}

static void test_other_failures_do_not_join(void **state) {
        Blame blame = {};

        blame_failure(&blame, A, true, NOW);
        blame_failure(&blame, B, false, NOW);
        blame_failure(&blame, C, false, NOW);
        assert_false(blame_suspects_network(&blame, NOW));
        assert_int_equal(blame_response(&blame, B, NOW + 1), BLAME_NONE);
}

static void test_other_failure_takes_nothing_back(void **state) {
        Blame blame = suspicious();

        blame_failure(&blame, A, false, NOW + 1);
        assert_true(blame_suspects_network(&blame, NOW + 1));

        /* Nor does it revive one that an answer has refuted. */
        blame_response(&blame, D, NOW + 2);
        blame_failure(&blame, A, false, NOW + 3);
        blame_failure(&blame, B, true, NOW + 3);
        assert_false(blame_suspects_network(&blame, NOW + 3));
}

static void test_expires(void **state) {
        Blame blame = suspicious();

        assert_true(blame_suspects_network(&blame, NOW + BLAME_EXPIRES));
        assert_false(blame_suspects_network(&blame, NOW + BLAME_EXPIRES + 1));

        blame_failure(&blame, C, true, NOW + BLAME_EXPIRES + 1);
        assert_false(blame_suspects_network(&blame, NOW + BLAME_EXPIRES + 1));
        blame_failure(&blame, A, true, NOW + BLAME_EXPIRES + 2);
        assert_true(blame_suspects_network(&blame, NOW + BLAME_EXPIRES + 2));
}

static void test_expired_failure_is_not_renewed(void **state) {
        Blame blame = {};
        const uint64_t later = NOW + BLAME_EXPIRES + 1;

        blame_failure(&blame, A, true, NOW);
        blame_failure(&blame, A, false, later);
        blame_failure(&blame, B, true, later);
        assert_false(blame_suspects_network(&blame, later));
}

static void test_response_ends_suspicion(void **state) {
        Blame blame = suspicious();

        blame_response(&blame, D, NOW + 1);
        assert_false(blame_suspects_network(&blame, NOW + 1));

        /* What failed before it joins nothing that fails after. */
        blame_failure(&blame, C, true, NOW + 2);
        assert_false(blame_suspects_network(&blame, NOW + 2));
        blame_failure(&blame, A, true, NOW + 3);
        assert_true(blame_suspects_network(&blame, NOW + 3));
}

static void test_response_at_the_same_time(void **state) {
        Blame blame = {};

        blame_response(&blame, D, NOW);
        blame_failure(&blame, A, true, NOW);
        blame_failure(&blame, B, true, NOW);
        assert_false(blame_suspects_network(&blame, NOW));
}

/* ---- verdicts ---- */

static void test_network_is_back(void **state) {
        Blame blame = suspicious();

        assert_int_equal(blame_response(&blame, A, NOW + 1), BLAME_NETWORK);
        assert_memory_equal(blame.failures, (BlameFailure[BLAME_ORIGINS]){}, sizeof(blame.failures));
        assert_int_equal(blame_response(&blame, B, NOW + 2), BLAME_NONE);
}

static void test_network_is_back_for_one_that_timed_out(void **state) {
        Blame blame = suspicious();

        blame_failure(&blame, C, false, NOW);
        assert_int_equal(blame_response(&blame, C, NOW + 1), BLAME_NETWORK);
}

static void test_sources_are_down(void **state) {
        Blame blame = suspicious();

        assert_int_equal(blame_response(&blame, D, NOW + BLAME_RECENT), BLAME_SOURCES);
        assert_int_equal(blame_response(&blame, D, NOW + BLAME_RECENT), BLAME_NONE);
}

static void test_sources_were_down_long_ago(void **state) {
        Blame blame = suspicious();

        assert_int_equal(blame_response(&blame, D, NOW + BLAME_RECENT + 1), BLAME_NETWORK);
        assert_int_equal(blame_response(&blame, D, NOW + BLAME_RECENT + 1), BLAME_NONE);
}

static void test_one_of_them_long_ago(void **state) {
        Blame blame = suspicious();
        const uint64_t now = NOW + BLAME_RECENT + 1;

        blame_failure(&blame, B, true, now);
        assert_int_equal(blame_response(&blame, D, now), BLAME_NETWORK);
}

/* What was deferred is settled however long nothing is asked. */
static void test_settled_after_silence(void **state) {
        Blame blame = suspicious();

        assert_int_equal(blame_response(&blame, D, NOW + 100 * BLAME_EXPIRES), BLAME_NETWORK);

        blame = suspicious();
        assert_int_equal(blame_response(&blame, A, TIME_INFINITY), BLAME_NETWORK);

        /* A failure of another kind after the silence changes nothing about it. */
        blame = suspicious();
        blame_failure(&blame, C, false, NOW + BLAME_EXPIRES + 1);
        assert_int_equal(blame_response(&blame, D, NOW + BLAME_EXPIRES + 1), BLAME_NETWORK);
}

static void test_nothing_in_doubt(void **state) {
        Blame blame = {};

        blame_failure(&blame, A, true, NOW);
        assert_int_equal(blame_response(&blame, D, NOW + 1), BLAME_NONE);

        /* Failures too far apart have never been suspect. */
        blame_failure(&blame, A, true, NOW + 2);
        blame_failure(&blame, B, true, NOW + BLAME_EXPIRES + 3);
        assert_int_equal(blame_response(&blame, D, NOW + BLAME_EXPIRES + 4), BLAME_NONE);
}

static void test_response_takes_back_the_failure(void **state) {
        Blame blame = {};

        blame_failure(&blame, A, true, NOW);
        assert_int_equal(blame_response(&blame, A, NOW + 1), BLAME_NONE);

        /* A has answered since it failed, so it is a witness against the others. */
        blame_failure(&blame, B, true, NOW + 2);
        blame_failure(&blame, C, true, NOW + 2);
        assert_int_equal(blame_response(&blame, A, NOW + 3), BLAME_SOURCES);
}

static void test_failed_until_it_answers(void **state) {
        Blame blame = {};

        blame_failure(&blame, A, true, NOW);
        assert_int_equal(blame_response(&blame, D, NOW + 1), BLAME_NONE);

        /* A is back, so what failed may be back as well. */
        blame_failure(&blame, B, true, NOW + 2);
        blame_failure(&blame, C, true, NOW + 2);
        assert_int_equal(blame_response(&blame, A, NOW + 3), BLAME_NETWORK);
}

/* ---- many origins ---- */

static void test_oldest_is_replaced(void **state) {
        Blame blame = {};

        for (uint64_t i = 0; i < BLAME_ORIGINS; i++)
                blame_failure(&blame, 100 + i, true, NOW + i);
        blame_failure(&blame, 100, true, NOW + BLAME_ORIGINS); /* 101 is the oldest now */
        blame_failure(&blame, A, true, NOW + BLAME_ORIGINS + 1);
        assert_true(blame_suspects_network(&blame, NOW + BLAME_ORIGINS + 1));

        /* Each on a copy: of all these, only 101 is not known to have failed. */
        for (uint64_t i = 0; i < BLAME_ORIGINS; i++) {
                Blame copy = blame;
                assert_int_equal(
                                blame_response(&copy, 100 + i, NOW + BLAME_ORIGINS + 2),
                                i == 1 ? BLAME_SOURCES : BLAME_NETWORK);
        }
}

static void test_replaced_failure_is_not_inherited(void **state) {
        Blame blame = {};

        blame_failure(&blame, A, true, NOW);
        for (uint64_t i = 1; i < BLAME_ORIGINS; i++)
                blame_failure(&blame, 100 + i, false, NOW + i);
        blame_failure(&blame, B, false, NOW + BLAME_ORIGINS); /* in the place of A */
        blame_failure(&blame, C, true, NOW + BLAME_ORIGINS + 1);
        assert_false(blame_suspects_network(&blame, NOW + BLAME_ORIGINS + 1));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_innocent_at_first),
                cmocka_unit_test(test_two_origins),
                cmocka_unit_test(test_other_failures_do_not_join),
                cmocka_unit_test(test_other_failure_takes_nothing_back),
                cmocka_unit_test(test_expires),
                cmocka_unit_test(test_expired_failure_is_not_renewed),
                cmocka_unit_test(test_response_ends_suspicion),
                cmocka_unit_test(test_response_at_the_same_time),
                cmocka_unit_test(test_network_is_back),
                cmocka_unit_test(test_network_is_back_for_one_that_timed_out),
                cmocka_unit_test(test_sources_are_down),
                cmocka_unit_test(test_sources_were_down_long_ago),
                cmocka_unit_test(test_one_of_them_long_ago),
                cmocka_unit_test(test_settled_after_silence),
                cmocka_unit_test(test_nothing_in_doubt),
                cmocka_unit_test(test_response_takes_back_the_failure),
                cmocka_unit_test(test_failed_until_it_answers),
                cmocka_unit_test(test_oldest_is_replaced),
                cmocka_unit_test(test_replaced_failure_is_not_inherited),
        };
        return cmocka_run_group_tests_name("blame", tests, NULL, NULL);
}
