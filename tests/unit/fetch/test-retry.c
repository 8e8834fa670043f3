/* SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "clock.h"
#include "macro.h"
#include "retry.h"

#define FIRST (100 * NSEC_PER_MSEC)
#define MOST  (10 * NSEC_PER_SEC)
#define NOW   (1000 * NSEC_PER_SEC)

/* Well spread 64 bits (splitmix64), the same in every run. */
static uint64_t random_of(uint64_t n) {
        n *= UINT64_C(0x9e3779b97f4a7c15);
        n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
        return n ^ n >> 31;
}

/* ---- the pause ---- */

/* The longest pause: chance cannot give more than all ones. */
static uint64_t longest(uint64_t first, uint64_t max, unsigned attempts) {
        return retry_pause(first, max, attempts, 0, UINT64_MAX);
}

/* All ones as a fraction of 2^64 are a hair less than one. */
static void assert_just_below(uint64_t value, uint64_t limit) {
        assert_int_equal(value, limit - 1);
}

static void test_pause_doubles(void **state) {
        assert_just_below(longest(FIRST, MOST, 1), FIRST);
        assert_just_below(longest(FIRST, MOST, 2), 2 * FIRST);
        assert_just_below(longest(FIRST, MOST, 3), 4 * FIRST);
        assert_just_below(longest(FIRST, MOST, 7), 64 * FIRST);
        assert_just_below(longest(FIRST, MOST, 8), MOST);
        assert_just_below(longest(FIRST, 128 * FIRST, 8), 128 * FIRST);
        assert_just_below(longest(FIRST, 128 * FIRST - 1, 8), 128 * FIRST - 1);
        assert_just_below(longest(MOST + 1, MOST, 1), MOST);
}

static void test_pause_without_overflow(void **state) {
        static const unsigned attempts[] = { 38, 63, 64, 65, 66, 1000, UINT_MAX };

        for (size_t i = 0; i < ELEMENTSOF(attempts); i++) {
                assert_just_below(longest(FIRST, MOST, attempts[i]), MOST);
                assert_int_equal(longest(0, MOST, attempts[i]), 0);
                assert_int_equal(longest(FIRST, 0, attempts[i]), 0);
        }
        assert_just_below(longest(1, UINT64_MAX, 64), UINT64_C(1) << 63);
        assert_just_below(longest(2, UINT64_MAX, 64), UINT64_MAX);
        assert_just_below(longest(UINT64_MAX, UINT64_MAX, 1), UINT64_MAX);
}

static void test_pause_full_jitter(void **state) {
        const unsigned n = 10000;
        unsigned lower_tenth = 0, upper_tenth = 0;
        double sum = 0;

        assert_int_equal(retry_pause(FIRST, MOST, 3, 0, 0), 0);
        assert_int_equal(retry_pause(FIRST, MOST, 3, 0, UINT64_C(1) << 63), 2 * FIRST);
        for (unsigned i = 0; i < n; i++) {
                uint64_t pause = retry_pause(FIRST, MOST, 3, 0, random_of(i));
                assert_true(pause < 4 * FIRST);
                lower_tenth += pause < 4 * FIRST / 10;
                upper_tenth += pause >= 4 * FIRST / 10 * 9;
                sum += (double) pause;
        }
        assert_true(sum / n > 0.98 * 2 * FIRST && sum / n < 1.02 * 2 * FIRST);
        assert_in_range(lower_tenth, n / 10 - n / 100, n / 10 + n / 100);
        assert_in_range(upper_tenth, n / 10 - n / 100, n / 10 + n / 100);
}

static void test_pause_retry_after(void **state) {
        assert_int_equal(retry_pause(FIRST, MOST, 1, 5 * NSEC_PER_SEC, UINT64_MAX), 5 * NSEC_PER_SEC);
        assert_int_equal(retry_pause(FIRST, MOST, 1, 1, 0), 1);
        assert_int_equal(retry_pause(FIRST, MOST, 1, 2 * MOST, UINT64_MAX), 2 * MOST);
        assert_int_equal(retry_pause(FIRST, MOST, 1, FIRST / 4, UINT64_C(1) << 63), FIRST / 2);
}

/* ---- the budget ---- */

static void request(RetryBudget *budget, unsigned n, uint64_t now) {
        while (n-- > 0)
                retry_budget_request(budget, now);
}

/* Takes all that are left, as many as was said. */
static unsigned drain(RetryBudget *budget, uint64_t now) {
        unsigned left = retry_budget_left(budget, now), n = 0;

        while (retry_budget_take(budget, now))
                n++;
        assert_int_equal(n, left);
        assert_int_equal(retry_budget_left(budget, now), 0);
        return n;
}

static void test_budget_least(void **state) {
        RetryBudget budget = {};

        assert_int_equal(drain(&budget, 0), 3);
        assert_false(retry_budget_take(&budget, NSEC_PER_SEC));

        budget = (RetryBudget){};
        request(&budget, 19, NOW); /* a fifth is less than four */
        assert_int_equal(drain(&budget, NOW), 3);
        request(&budget, 1, NOW);
        assert_int_equal(drain(&budget, NOW), 1);
}

static void test_budget_share(void **state) {
        for (unsigned n = 20; n < 3000; n += 7) {
                RetryBudget budget = {};
                request(&budget, n, NOW);
                assert_int_equal(drain(&budget, NOW), n / 5);
        }
}

/* Ten requests a second: with every second that ends, two retries slide out. */
static void test_budget_slides(void **state) {
        RetryBudget budget = {};

        for (unsigned second = 0; second < 10; second++) {
                request(&budget, 10, NOW + second * NSEC_PER_SEC);
                if (second == 0 || second == 9)
                        (void) drain(&budget, NOW + second * NSEC_PER_SEC);
        }
        /* 100 requests; of 20 retries, 3 are of the first second and 17 of the tenth */
        uint64_t end = NOW + 10 * NSEC_PER_SEC;
        assert_int_equal(retry_budget_left(&budget, end - 1), 0);
        assert_int_equal(retry_budget_left(&budget, end), 1); /* 90 requests, 17 retries */
        assert_int_equal(retry_budget_left(&budget, end + NSEC_PER_SEC - 1), 1);
        assert_int_equal(retry_budget_left(&budget, end + NSEC_PER_SEC), 0);     /* 80, 17 */
        assert_int_equal(retry_budget_left(&budget, end + 8 * NSEC_PER_SEC), 0); /* 10, 17 */
        assert_int_equal(retry_budget_left(&budget, end + 9 * NSEC_PER_SEC), 3); /* 0, 0 */
        /* nothing of this was written down */
        assert_int_equal(retry_budget_left(&budget, end - 1), 0);
}

static void test_budget_silence(void **state) {
        static const uint64_t seconds[] = { 10, 11, 19, 20, 25, 1000000 };

        for (size_t i = 0; i < ELEMENTSOF(seconds); i++) {
                RetryBudget budget = {};
                for (unsigned second = 0; second < 10; second++)
                        request(&budget, 100, NOW + second * NSEC_PER_SEC);
                assert_int_equal(drain(&budget, NOW + 9 * NSEC_PER_SEC), 200);
                /* from the last second on, so that all ten are over */
                assert_int_equal(drain(&budget, NOW + (9 + seconds[i]) * NSEC_PER_SEC), 3);
        }
}

static void test_budget_end_of_time(void **state) {
        RetryBudget budget = {};

        request(&budget, 100, UINT64_MAX);
        assert_int_equal(drain(&budget, UINT64_MAX), 20);
}

/* A source of which every second request fails is never asked for more than a fifth more, over the
 * whole time and over any ten seconds. */
static void test_budget_amplification(void **state) {
        RetryBudget budget = {};
        unsigned requests = 0, retries = 0, refused = 0, retries_in[60] = {};

        for (unsigned i = 0; i < 60 * 100; i++) {
                uint64_t now = NOW + i * (NSEC_PER_SEC / 100);
                retry_budget_request(&budget, now);
                requests++;
                /* the attempt fails, and each retry may, too */
                for (uint64_t chance = i; random_of(chance) % 2 == 0; chance += 1000000) {
                        if (!retry_budget_take(&budget, now)) {
                                refused++;
                                break;
                        }
                        retries++;
                        retries_in[i / 100]++;
                }
        }
        assert_true(refused > 0);
        assert_true(5 * retries <= requests);
        assert_true(5 * retries > requests - requests / 10); /* it was used, too */
        for (unsigned second = 9, in_ten; second < 60; second++) {
                in_ten = 0;
                for (unsigned i = 0; i < 10; i++)
                        in_ten += retries_in[second - i];
                assert_true(5 * in_ten <= 10 * 100);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_pause_doubles),
                cmocka_unit_test(test_pause_without_overflow),
                cmocka_unit_test(test_pause_full_jitter),
                cmocka_unit_test(test_pause_retry_after),
                cmocka_unit_test(test_budget_least),
                cmocka_unit_test(test_budget_share),
                cmocka_unit_test(test_budget_slides),
                cmocka_unit_test(test_budget_silence),
                cmocka_unit_test(test_budget_end_of_time),
                cmocka_unit_test(test_budget_amplification),
        };
        return cmocka_run_group_tests_name("retry", tests, NULL, NULL);
}
