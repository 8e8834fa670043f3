/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "clock.h"
#include "macro.h"
#include "rate.h"

#define NOW (1000 * NSEC_PER_SEC)

/* ---- token bucket and interval ---- */

/* Takes the next one at the earliest time, and returns that. */
static uint64_t take_early(Rate *rate, const RatePolicy *policy, uint64_t now) {
        uint64_t next = rate_next(rate, policy, now);

        assert_true(next >= now);
        rate_take(rate, policy, next);
        return next;
}

static void test_no_bound(void **state) {
        static const RatePolicy policies[] = {
                {},
                { .tokens = 5 },
                { .period_ns = NSEC_PER_SEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(policies); i++) {
                Rate rate = {};
                for (unsigned n = 0; n < 1000; n++)
                        assert_int_equal(take_early(&rate, &policies[i], NOW), NOW);
                assert_int_equal(rate_nth(&rate, &policies[i], NOW, UINT64_MAX), NOW);
                /* a debt from before the policy was changed does not count */
                rate.full_at = TIME_INFINITY;
                assert_int_equal(rate_next(&rate, &policies[i], NOW), NOW);
        }
}

static void test_bucket(void **state) {
        const RatePolicy policy = { .tokens = 4, .period_ns = NSEC_PER_SEC };
        Rate rate = {};

        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(take_early(&rate, &policy, NOW), NOW);
        uint64_t fifth = NOW + NSEC_PER_SEC / 4;
        assert_int_equal(rate_next(&rate, &policy, NOW), fifth);
        assert_int_equal(rate_next(&rate, &policy, fifth - 1), fifth);
        assert_int_equal(take_early(&rate, &policy, fifth), fifth);
        assert_int_equal(rate_next(&rate, &policy, fifth), NOW + NSEC_PER_SEC / 2);

        /* full again a period after it was empty, and no fuller later */
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(take_early(&rate, &policy, fifth + NSEC_PER_SEC), fifth + NSEC_PER_SEC);
        assert_true(rate_next(&rate, &policy, fifth + NSEC_PER_SEC) > fifth + NSEC_PER_SEC);
        for (unsigned i = 0; i < 4; i++)
                assert_int_equal(take_early(&rate, &policy, 5 * NOW), 5 * NOW);
        assert_int_equal(rate_next(&rate, &policy, 5 * NOW), 5 * NOW + NSEC_PER_SEC / 4);
}

static void test_bucket_partly_filled(void **state) {
        const RatePolicy policy = { .tokens = 4, .period_ns = NSEC_PER_SEC };
        Rate rate = {};

        for (unsigned i = 0; i < 4; i++)
                rate_take(&rate, &policy, NOW);
        uint64_t later = NOW + NSEC_PER_SEC / 2 + 1; /* two tokens and a bit */
        assert_int_equal(take_early(&rate, &policy, later), later);
        assert_int_equal(take_early(&rate, &policy, later), later);
        assert_int_equal(rate_next(&rate, &policy, later), NOW + 3 * NSEC_PER_SEC / 4);
}

/* A token's time that is no whole number of ns is rounded up. */
static void test_bucket_rounding(void **state) {
        const RatePolicy policy = { .tokens = 3, .period_ns = 10 };
        const RatePolicy dense = { .tokens = 10, .period_ns = 3 };
        Rate rate = {};

        for (unsigned i = 0; i < 3; i++)
                assert_int_equal(take_early(&rate, &policy, NOW), NOW);
        assert_int_equal(rate_next(&rate, &policy, NOW), NOW + 4);
        rate = (Rate){};
        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(take_early(&rate, &dense, NOW), NOW);
        assert_int_equal(rate_next(&rate, &dense, NOW), NOW + 1);
}

static void test_interval(void **state) {
        const RatePolicy policy = { .interval_ns = NSEC_PER_SEC };
        Rate rate = {};

        assert_int_equal(take_early(&rate, &policy, NOW), NOW);
        assert_int_equal(rate_next(&rate, &policy, NOW), NOW + NSEC_PER_SEC);
        assert_int_equal(rate_next(&rate, &policy, NOW + NSEC_PER_SEC - 1), NOW + NSEC_PER_SEC);
        assert_int_equal(rate_next(&rate, &policy, NOW + NSEC_PER_SEC), NOW + NSEC_PER_SEC);
        /* counted from when it was taken, not from when it could have been */
        rate_take(&rate, &policy, 2 * NOW);
        assert_int_equal(rate_next(&rate, &policy, 2 * NOW), 2 * NOW + NSEC_PER_SEC);
}

static void test_both(void **state) {
        const RatePolicy policy = { 3, 3 * NSEC_PER_SEC, NSEC_PER_SEC / 10 };
        Rate rate = {};

        /* the interval while there are tokens, then the bucket */
        assert_int_equal(take_early(&rate, &policy, NOW), NOW);
        assert_int_equal(take_early(&rate, &policy, NOW), NOW + NSEC_PER_SEC / 10);
        assert_int_equal(take_early(&rate, &policy, NOW), NOW + 2 * NSEC_PER_SEC / 10);
        assert_int_equal(take_early(&rate, &policy, NOW), NOW + NSEC_PER_SEC);
        assert_int_equal(take_early(&rate, &policy, NOW), NOW + 2 * NSEC_PER_SEC);
}

static void test_return(void **state) {
        const RatePolicy policy = { .tokens = 2, .period_ns = 2 * NSEC_PER_SEC };
        const RatePolicy interval = { .interval_ns = NSEC_PER_SEC };
        Rate rate = {};

        rate_take(&rate, &policy, NOW);
        rate_take(&rate, &policy, NOW);
        assert_int_equal(rate_next(&rate, &policy, NOW), NOW + NSEC_PER_SEC);
        rate_return(&rate, &policy);
        assert_int_equal(take_early(&rate, &policy, NOW), NOW);
        assert_int_equal(rate_next(&rate, &policy, NOW), NOW + NSEC_PER_SEC);
        /* what is returned to a full bucket does not make it fuller */
        for (unsigned i = 0; i < 5; i++)
                rate_return(&rate, &policy);
        assert_int_equal(take_early(&rate, &policy, NOW), NOW);
        assert_int_equal(take_early(&rate, &policy, NOW), NOW);
        assert_int_equal(rate_next(&rate, &policy, NOW), NOW + NSEC_PER_SEC);

        rate = (Rate){};
        rate_take(&rate, &interval, NOW);
        rate_take(&rate, &interval, NOW + NSEC_PER_SEC);
        rate_return(&rate, &interval);
        assert_int_equal(rate_next(&rate, &interval, NOW + NSEC_PER_SEC), NOW + NSEC_PER_SEC);
}

/* For many policies and from several states, empty and full. */
static void test_nth_is_what_taking_gives(void **state) {
        static const uint64_t tokens[] = { 0, 1, 2, 5, 17 };
        static const uint64_t periods[] = { 0, 1, 10, 1000, 1001 };
        static const uint64_t intervals[] = { 0, 1, 50, 333, 5000 };

        for (unsigned i = 0; i < 5 * 5 * 5; i++) {
                const RatePolicy policy = { tokens[i % 5], periods[i / 5 % 5], intervals[i / 25] };
                Rate rate = {};
                for (uint64_t now = NOW; now < NOW + 2000; now += 100) {
                        Rate early = rate;
                        for (uint64_t n = 1; n <= 40; n++)
                                assert_int_equal(
                                                rate_nth(&rate, &policy, now, n),
                                                take_early(&early, &policy, now));
                        (void) take_early(&rate, &policy, now);
                }
        }
}

static void test_overflow(void **state) {
        const RatePolicy second = { .tokens = 2, .period_ns = NSEC_PER_SEC };
        const RatePolicy ever = { .tokens = 2, .period_ns = UINT64_MAX, .interval_ns = UINT64_MAX };
        const RatePolicy many = { .tokens = UINT64_MAX / 2 + 2, .period_ns = UINT64_MAX };
        Rate rate = {};

        /* a clock that is about to end */
        assert_int_equal(take_early(&rate, &second, UINT64_MAX - 1), UINT64_MAX - 1);
        assert_true(rate_next(&rate, &second, UINT64_MAX - 1) >= UINT64_MAX - 1);
        assert_int_equal(rate_nth(&rate, &second, UINT64_MAX - 1, 3), TIME_INFINITY);

        rate = (Rate){};
        assert_int_equal(rate_nth(&rate, &second, NOW, 2), NOW);
        assert_int_equal(rate_nth(&rate, &second, NOW, UINT64_MAX), TIME_INFINITY);
        assert_int_equal(take_early(&rate, &ever, NOW), NOW);
        assert_int_equal(rate_next(&rate, &ever, NOW), TIME_INFINITY);
        assert_int_equal(rate_nth(&rate, &ever, NOW, 5), TIME_INFINITY);

        /* a token's time, rounded up, times their number is more than can be counted */
        rate = (Rate){};
        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(take_early(&rate, &many, NOW), NOW);
}

/* ---- a number a day ---- */

#define DAY_MS   UINT64_C(86400000)
#define MIDNIGHT (20000 * DAY_MS)

static void test_daily(void **state) {
        DailyQuota quota = {};

        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(daily_used(&quota, MIDNIGHT - 1), i);
                assert_true(daily_take(&quota, 3, MIDNIGHT - 1));
        }
        assert_false(daily_take(&quota, 3, MIDNIGHT - 1));
        assert_int_equal(daily_used(&quota, MIDNIGHT - 1), 3);
        assert_true(daily_take(&quota, 4, MIDNIGHT - 1)); /* the limit was raised */

        assert_int_equal(daily_used(&quota, MIDNIGHT), 0);
        assert_true(daily_take(&quota, 3, MIDNIGHT));
        assert_int_equal(daily_used(&quota, MIDNIGHT), 1);
        assert_int_equal(daily_used(&quota, MIDNIGHT + DAY_MS - 1), 1);
        assert_int_equal(daily_used(&quota, MIDNIGHT + DAY_MS), 0);
}

static void test_daily_clock_goes_back(void **state) {
        DailyQuota quota = {};

        assert_true(daily_take(&quota, 1, MIDNIGHT));
        assert_int_equal(daily_used(&quota, MIDNIGHT - 1), 1);
        assert_false(daily_take(&quota, 1, MIDNIGHT - 1));
        assert_false(daily_take(&quota, 1, MIDNIGHT - 5 * DAY_MS));
        /* and the day that it went back from has not been forgotten */
        assert_false(daily_take(&quota, 1, MIDNIGHT + 1));
        assert_true(daily_take(&quota, 1, MIDNIGHT + DAY_MS));
}

static void test_daily_no_limit(void **state) {
        DailyQuota quota = {};

        for (unsigned i = 0; i < 1000; i++)
                assert_true(daily_take(&quota, 0, MIDNIGHT));
        assert_int_equal(daily_used(&quota, MIDNIGHT), 1000);
        assert_false(daily_take(&quota, 1000, MIDNIGHT));
        quota.used = UINT32_MAX;
        assert_true(daily_take(&quota, 0, MIDNIGHT));
        assert_int_equal(daily_used(&quota, MIDNIGHT), UINT32_MAX);
}

static void test_daily_return(void **state) {
        DailyQuota quota = {};

        daily_return(&quota);
        assert_int_equal(daily_used(&quota, 0), 0);
        assert_true(daily_take(&quota, 1, MIDNIGHT));
        daily_return(&quota);
        assert_true(daily_take(&quota, 1, MIDNIGHT));
        assert_false(daily_take(&quota, 1, MIDNIGHT));
        /* one of yesterday is no business of today */
        daily_return(&quota);
        assert_int_equal(daily_used(&quota, MIDNIGHT + DAY_MS), 0);
}

static void test_daily_reset_in(void **state) {
        assert_int_equal(daily_reset_in(MIDNIGHT), DAY_MS * NSEC_PER_MSEC);
        assert_int_equal(daily_reset_in(MIDNIGHT - 1), NSEC_PER_MSEC);
        assert_int_equal(daily_reset_in(MIDNIGHT + DAY_MS / 4), DAY_MS / 4 * 3 * NSEC_PER_MSEC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_bound),
                cmocka_unit_test(test_bucket),
                cmocka_unit_test(test_bucket_partly_filled),
                cmocka_unit_test(test_bucket_rounding),
                cmocka_unit_test(test_interval),
                cmocka_unit_test(test_both),
                cmocka_unit_test(test_return),
                cmocka_unit_test(test_nth_is_what_taking_gives),
                cmocka_unit_test(test_overflow),
                cmocka_unit_test(test_daily),
                cmocka_unit_test(test_daily_clock_goes_back),
                cmocka_unit_test(test_daily_no_limit),
                cmocka_unit_test(test_daily_return),
                cmocka_unit_test(test_daily_reset_in),
        };
        return cmocka_run_group_tests_name("rate", tests, NULL, NULL);
}
