/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "macro.h"
#include "quota.h"

#define HOLDERS_MAX 40u

static uint64_t seed;

/* xorshift64*, so that a failure comes again. */
static size_t chance_below(size_t limit) {
        seed ^= seed >> 12;
        seed ^= seed << 25;
        seed ^= seed >> 27;
        return (size_t) (seed * UINT64_C(2685821657736338717) >> 33) % limit;
}

static size_t take_all(Quota *quota, size_t *held) {
        size_t n = 0;

        while (quota_take(quota, held, 1))
                n++;
        return n;
}

/* ---- examples ---- */

static void test_one_alone_has_all(void **state) {
        Quota quota = { .bound = 10 };
        size_t held = 0;

        assert_int_equal(take_all(&quota, &held), 10);
        quota_give_back(&quota, &held, 3);
        assert_int_equal(held, 7);
        assert_int_equal(quota.total, 7);
        assert_int_equal(take_all(&quota, &held), 3);
        quota_give_back(&quota, &held, 10);
        assert_int_equal(quota.holders, 0);
}

static void test_newcomers_get_their_share(void **state) {
        static const size_t shares[] = { 12, 6, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1, 0, 0 };
        Quota quota = { .bound = 12 };
        size_t held[ELEMENTSOF(shares)] = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(shares); i++)
                assert_int_equal(take_all(&quota, &held[i]), shares[i]);
        assert_int_equal(quota.holders, 12);
}

/* Who is over its share gets nothing until others have left enough. */
static void test_the_greedy_wait(void **state) {
        Quota quota = { .bound = 10 };
        size_t greedy = 0, modest = 0;

        assert_true(quota_take(&quota, &greedy, 10));
        assert_true(quota_take(&quota, &modest, 4));
        quota_give_back(&quota, &greedy, 3);
        assert_int_equal(quota.total, 11);
        assert_false(quota_grants(&quota, greedy, 1));
        assert_true(quota_grants(&quota, modest, 1));
        assert_false(quota_grants(&quota, modest, 2));
        quota_give_back(&quota, &modest, 4);
        assert_int_equal(take_all(&quota, &greedy), 3);
}

static void test_extremes(void **state) {
        Quota none = { .bound = 0 }, endless = { .bound = SIZE_MAX };
        size_t held = 0;

        assert_false(quota_take(&none, &held, 1));
        assert_true(quota_take(&none, &held, 0));
        assert_int_equal(none.holders, 0);
        quota_give_back(&none, &held, 0);
        assert_int_equal(none.holders, 0);

        assert_true(quota_take(&endless, &held, SIZE_MAX - 1));
        assert_false(quota_take(&endless, &held, SIZE_MAX));
        assert_true(quota_take(&endless, &held, 1));
        assert_false(quota_take(&endless, &held, 1));
}

/* ---- properties, of any holders that take and give back anything ---- */

typedef struct Model {
        Quota quota;
        size_t held[HOLDERS_MAX];
        size_t n;
} Model;

static void check_books(const Model *m) {
        size_t total = 0, holders = 0;

        for (size_t i = 0; i < m->n; i++) {
                total += m->held[i];
                holders += m->held[i] > 0;
        }
        assert_int_equal(m->quota.total, total);
        assert_int_equal(m->quota.holders, holders);
}

/* For every k there are fewer than k holders of more than bound / k; hence the harmonic sum. */
static void check_bounds(const Model *m) {
        size_t sum = 0;

        for (size_t k = 1; k <= m->n; k++) {
                size_t above = 0;

                for (size_t i = 0; i < m->n; i++)
                        above += m->held[i] > m->quota.bound / k;
                assert_true(above < k);
                sum += m->quota.bound / k;
        }
        assert_true(m->quota.total <= sum);
}

/* What was refused would have gone past the bound, and past the share of who asked. */
static void check_refusal(const Model *m, size_t held, size_t amount) {
        size_t holders = m->quota.holders + (held == 0);

        assert_true(m->quota.total + amount > m->quota.bound);
        assert_true((held + amount) * holders > m->quota.bound);
}

static void model_step(Model *m) {
        size_t *held = &m->held[chance_below(m->n)];
        size_t amount = chance_below(chance_below(4) == 0 ? m->quota.bound + 2 : 4);

        if (chance_below(3) == 0)
                quota_give_back(&m->quota, held, MIN(amount, *held));
        else if (!quota_take(&m->quota, held, amount))
                check_refusal(m, *held, amount);
}

static void test_properties(void **state) {
        for (uint64_t run = 1; run <= 2000; run++) {
                seed = run;
                Model m = { .quota.bound = chance_below(200), .n = 1 + chance_below(HOLDERS_MAX) };

                for (unsigned i = 0; i < 300; i++) {
                        model_step(&m);
                        check_books(&m);
                        check_bounds(&m);
                }
        }
}

/* The sum is reached, so no smaller bound would be true. */
static void test_worst_case(void **state) {
        Model m = { .quota.bound = 1000, .n = HOLDERS_MAX };
        size_t sum = 0;

        for (size_t i = 0; i < m.n; i++) {
                (void) take_all(&m.quota, &m.held[i]);
                sum += m.quota.bound / (i + 1);
        }
        assert_int_equal(m.quota.total, sum);
        check_bounds(&m);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_alone_has_all),
                cmocka_unit_test(test_newcomers_get_their_share),
                cmocka_unit_test(test_the_greedy_wait),
                cmocka_unit_test(test_extremes),
                cmocka_unit_test(test_properties),
                cmocka_unit_test(test_worst_case),
        };

        return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}
