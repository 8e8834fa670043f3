/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "clock.h"
#include "latency.h"

static void assert_near(uint64_t value, uint64_t expected) {
        /* Never too low by more than the rounding to microseconds, too high by at most one
         * bucket. */
        assert_true(value + NSEC_PER_USEC >= expected);
        assert_true(value <= expected + expected / 7 + 2 * NSEC_PER_USEC);
}

static void test_empty(void **state) {
        Latency latency = {};

        assert_int_equal(latency_quantile(&latency, .5), 0);
        assert_int_equal(latency_least(&latency, .5), 0);
        assert_false(latency_trusted(&latency));
}

static void test_one(void **state) {
        static const uint64_t samples[] = {
                0, 1000, 7000, 8000, 999000, 2 * NSEC_PER_MSEC, NSEC_PER_SEC, 3600 * NSEC_PER_SEC
        };

        for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
                Latency latency = {};

                latency_add(&latency, samples[i]);
                assert_near(latency_quantile(&latency, 0), samples[i]);
                assert_near(latency_quantile(&latency, 1), samples[i]);
        }
}

static void test_quantiles(void **state) {
        Latency latency = {};

        for (uint64_t ms = 1; ms <= 1000; ms++)
                latency_add(&latency, ms * NSEC_PER_MSEC);
        assert_int_equal(latency.count, 1000);
        assert_near(latency_quantile(&latency, .5), 500 * NSEC_PER_MSEC);
        assert_near(latency_quantile(&latency, .95), 950 * NSEC_PER_MSEC);
}

static void test_fades(void **state) {
        Latency latency = {};

        for (unsigned i = 0; i < 1024; i++)
                latency_add(&latency, NSEC_PER_SEC);
        for (unsigned i = 0; i < 20000; i++)
                latency_add(&latency, NSEC_PER_MSEC);
        assert_near(latency_quantile(&latency, .99), NSEC_PER_MSEC);
        assert_true(latency.held <= LATENCY_FULL);
}

/* The two hold the sample between them, and are a bucket apart. */
static void test_least(void **state) {
        for (uint64_t ns = 0; ns < 3600 * NSEC_PER_SEC; ns += 1 + ns / 50) {
                Latency latency = {};

                latency_add(&latency, ns);
                uint64_t least = latency_least(&latency, .5), most = latency_quantile(&latency, .5);
                assert_true(least <= ns && ns < most);
                assert_true(most - least <= ns / 8 + 2 * NSEC_PER_USEC);
        }
}

static void test_least_of_many(void **state) {
        Latency latency = {};

        for (unsigned i = 0; i < 10; i++) {
                latency_add(&latency, NSEC_PER_MSEC);
                latency_add(&latency, NSEC_PER_SEC);
                latency_add(&latency, NSEC_PER_SEC);
        }
        assert_true(latency_least(&latency, .3) <= NSEC_PER_MSEC);
        assert_true(latency_least(&latency, .5) <= NSEC_PER_SEC);
        assert_true(latency_least(&latency, .5) > NSEC_PER_SEC - NSEC_PER_SEC / 7);
}

/* The samples that are held count, not those ever seen. */
static void test_trusted(void **state) {
        Latency latency = {};

        for (unsigned i = 0; i < LATENCY_ENOUGH; i++) {
                assert_false(latency_trusted(&latency));
                latency_add(&latency, NSEC_PER_MSEC);
        }
        assert_true(latency_trusted(&latency));
        for (unsigned i = 0; i < 3 * LATENCY_FULL; i++) {
                latency_add(&latency, i * NSEC_PER_MSEC);
                assert_true(latency_trusted(&latency));
        }
}

static void test_longest(void **state) {
        Latency latency = {};

        latency_add(&latency, UINT64_MAX);
        assert_true(latency_quantile(&latency, .5) > 3600 * NSEC_PER_SEC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty),     cmocka_unit_test(test_one),
                cmocka_unit_test(test_quantiles), cmocka_unit_test(test_fades),
                cmocka_unit_test(test_least),     cmocka_unit_test(test_least_of_many),
                cmocka_unit_test(test_trusted),   cmocka_unit_test(test_longest),
        };
        return cmocka_run_group_tests_name("latency", tests, NULL, NULL);
}
