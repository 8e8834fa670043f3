/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "admission.h"
#include "clock.h"
#include "macro.h"

#define TICKETS_MAX 64

static Admission admission;
static AdmissionTicket tickets[TICKETS_MAX];
static size_t n_tickets;
static uint64_t retry_ms; /* of the last refusal */

static void begin(size_t max_open) {
        admission_init(&admission, max_open);
        n_tickets = 0;
}

static bool enter(uint32_t user, bool batch) {
        assert_true(n_tickets < TICKETS_MAX);
        retry_ms = UINT64_MAX;
        if (!admission_enter(&admission, user, batch, &tickets[n_tickets], &retry_ms))
                return false;
        assert_int_equal(retry_ms, UINT64_MAX);
        n_tickets++;
        return true;
}

static unsigned enter_all(uint32_t user, bool batch) {
        unsigned n = 0;

        while (enter(user, batch))
                n++;
        return n;
}

static void leave(size_t i, uint64_t open_ns) {
        admission_leave(&admission, &tickets[i], open_ns);
        assert_null(tickets[i].user);
        tickets[i] = tickets[--n_tickets];
}

static void end(void) {
        while (n_tickets > 0)
                leave(0, 0);
        assert_int_equal(admission.open.total, 0);
        assert_int_equal(admission.open.holders, 0);
        admission_deinit(&admission);
}

static void test_bound(void **state) {
        for (size_t bound = 1; bound <= 9; bound++) {
                begin(bound);
                assert_int_equal(enter_all(7, false), bound);
                assert_false(enter(7, false));
                assert_int_equal(admission.refused, 2);
                leave(0, 0);
                assert_true(enter(7, false));
                end();
        }
}

/* Batch queries leave a quarter to the others, who may have all; one may always go on. */
static void test_batch(void **state) {
        static const struct {
                size_t bound, batch;
        } cases[] = { { 1, 1 }, { 2, 1 }, { 3, 2 }, { 4, 3 }, { 8, 6 }, { 10, 7 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                begin(cases[i].bound);
                assert_int_equal(enter_all(7, true), cases[i].batch);
                assert_int_equal(enter_all(7, false), cases[i].bound - cases[i].batch);
                leave(0, 0); /* a batch one */
                assert_true(enter(7, true));
                end();

                begin(cases[i].bound);
                assert_int_equal(enter_all(7, false), cases[i].bound);
                assert_false(enter(7, true));
                end();
        }
}

/* One who has taken everything keeps nobody out, but gets nothing back beyond the share. */
static void test_users(void **state) {
        begin(8);
        assert_int_equal(enter_all(1, false), 8);
        assert_int_equal(enter_all(2, false), 4);
        assert_int_equal(enter_all(3, false), 2);
        for (unsigned i = 0; i < 4; i++) {
                leave(0, 0); /* of the first one */
                assert_false(enter(1, false));
        }
        end();
}

/* The same among batch queries: theirs are shared as well. */
static void test_batch_users(void **state) {
        begin(8);
        assert_int_equal(enter_all(1, true), 6);
        assert_int_equal(enter_all(2, true), 3);
        assert_int_equal(enter_all(3, true), 2);
        leave(0, 0);
        assert_false(enter(1, true));
        assert_true(enter(4, false));
        end();
}

/* A user who has no place leaves nothing behind, whether it was refused or has left. */
static void test_users_forgotten(void **state) {
        begin(1);
        assert_true(enter(1, false));
        assert_false(enter(2, false));
        assert_ptr_equal(admission.users.next, admission.users.prev); /* one */
        leave(0, 0);
        assert_true(list_empty(&admission.users));
        end();
}

static void test_without_ticket(void **state) {
        AdmissionTicket none = {};

        begin(1);
        admission_leave(&admission, &none, NSEC_PER_SEC);
        assert_int_equal(admission.mean_ns, 0);
        end();
}

/* ---- when to come again ---- */

/* What is told after many queries that were open for so long. */
static uint64_t told_after(uint64_t open_ns) {
        begin(1);
        for (unsigned i = 0; i < 200; i++) {
                assert_true(enter(1, false));
                leave(0, open_ns);
        }
        assert_true(enter(1, false));
        assert_false(enter(1, false));
        end();
        return retry_ms;
}

static void test_retry(void **state) {
        begin(1);
        assert_true(enter(1, false));
        assert_false(enter(1, false));
        assert_int_equal(retry_ms, 10); /* nothing is known yet */
        end();

        assert_int_equal(told_after(0), 10);
        assert_int_equal(told_after(NSEC_PER_MSEC), 10);
        assert_in_range(told_after(400 * NSEC_PER_MSEC), 390, 400);
        assert_in_range(told_after(9 * NSEC_PER_SEC), 8900, 9000);
        assert_int_equal(told_after(11 * NSEC_PER_SEC), 10000);
        assert_int_equal(told_after(3600 * NSEC_PER_SEC), 10000);
}

/* The present counts for a sixteenth; an hour after an hour is no overflow. */
static void test_mean(void **state) {
        begin(1);
        assert_true(enter(1, false));
        leave(0, 1600 * NSEC_PER_MSEC);
        assert_int_equal(admission.mean_ns, 100 * NSEC_PER_MSEC);
        assert_true(enter(1, false));
        leave(0, 1700 * NSEC_PER_MSEC);
        assert_int_equal(admission.mean_ns, 200 * NSEC_PER_MSEC);
        assert_true(enter(1, false));
        leave(0, 0);
        assert_int_equal(admission.mean_ns, 187500000);
        end();
}

/* ---- whatever comes ---- */

#define USERS 5

static uint64_t chance_state;

static unsigned chance(unsigned below) {
        chance_state = chance_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned) (chance_state >> 33) % below;
}

/* What USERS may have at most (quota.h). */
static size_t most(size_t bound) {
        size_t sum = 0;

        for (size_t i = 1; i <= USERS; i++)
                sum += bound / i;
        return sum;
}

typedef struct Held {
        uint32_t user;
        bool batch;
} Held;

typedef struct Model {
        size_t bound, batch_bound;
        Held held[TICKETS_MAX]; /* as the tickets are */
        size_t open[USERS], batch[USERS];
} Model;

static size_t sum(const size_t counts[]) {
        size_t n = 0;

        for (size_t i = 0; i < USERS; i++)
                n += counts[i];
        return n;
}

static size_t holders(const size_t counts[]) {
        size_t n = 0;

        for (size_t i = 0; i < USERS; i++)
                n += counts[i] > 0;
        return n;
}

/* Must get a place: there is one, or it has none and its share is one at least. */
static bool deserves(const size_t counts[], uint32_t user, size_t bound) {
        return sum(counts) < bound || (counts[user] == 0 && holders(counts) < bound);
}

static void random_enter(Model *model) {
        uint32_t user = chance(USERS);
        bool batch = chance(2) > 0;
        bool must = deserves(model->open, user, model->bound) &&
                        (!batch || deserves(model->batch, user, model->batch_bound));

        if (!enter(user, batch)) {
                assert_false(must);
                assert_in_range(retry_ms, 10, 10000);
                return;
        }
        model->held[n_tickets - 1] = (Held){ user, batch };
        model->open[user]++;
        model->batch[user] += batch;
}

static void random_leave(Model *model) {
        size_t i = chance((unsigned) n_tickets);

        model->open[model->held[i].user]--;
        model->batch[model->held[i].user] -= model->held[i].batch;
        leave(i, chance(5000) * NSEC_PER_MSEC);
        model->held[i] = model->held[n_tickets];
}

static void test_any_order(void **state) {
        for (chance_state = 1; chance_state < 200; chance_state++) {
                uint64_t seed = chance_state;
                size_t bound = 1 + chance(12);
                Model model = { .bound = bound, .batch_bound = MAX(bound * 3 / 4, (size_t) 1) };

                begin(bound);
                for (unsigned step = 0; step < 500; step++) {
                        if (n_tickets > 0 && chance(5) < 2)
                                random_leave(&model);
                        else
                                random_enter(&model);
                        assert_int_equal(admission.open.total, sum(model.open));
                        assert_true(sum(model.open) <= most(model.bound));
                        assert_true(sum(model.batch) <= most(model.batch_bound));
                }
                end();
                chance_state = seed;
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bound),          cmocka_unit_test(test_batch),
                cmocka_unit_test(test_users),          cmocka_unit_test(test_batch_users),
                cmocka_unit_test(test_without_ticket), cmocka_unit_test(test_users_forgotten),
                cmocka_unit_test(test_retry),          cmocka_unit_test(test_mean),
                cmocka_unit_test(test_any_order),
        };
        return cmocka_run_group_tests_name("admission", tests, NULL, NULL);
}
