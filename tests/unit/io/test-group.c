/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "group.h"
#include "io-sim.h"
#include "macro.h"

typedef struct Member {
        GroupMember member;
        unsigned cancels;
        bool leave_at_once; /* when cancelled */
        struct Member *takes_along;
} Member;

typedef struct Test {
        Io *io;
        Group group;
        unsigned ends;
        Member members[5];
} Test;

static void ended(Group *group) {
        CONTAINER_OF(group, Test, group)->ends++;
}

static void cancel(GroupMember *member) {
        Member *m = CONTAINER_OF(member, Member, member);

        assert_true(member->cancelled);
        m->cancels++;
        if (m->takes_along && m->takes_along->member.group)
                group_leave(&m->takes_along->member, -ECANCELED);
        if (m->leave_at_once)
                group_leave(member, -ECANCELED);
}

static void start(Test *t, GroupPolicy policy) {
        *t = (Test){ .io = t->io };
        group_init(&t->group, t->io, policy, ended);
        for (size_t i = 0; i < ELEMENTSOF(t->members); i++)
                t->members[i].member.cancel = cancel;
}

static void add(Test *t, size_t i, bool required) {
        t->members[i].member.required = required;
        assert_int_equal(group_add(&t->group, &t->members[i].member), 0);
        assert_ptr_equal(t->members[i].member.group, &t->group);
}

static void leave(Test *t, size_t i, int error) {
        group_leave(&t->members[i].member, error);
        assert_null(t->members[i].member.group);
}

/* It has ended once, and not from within a call. */
static void assert_ends(Test *t) {
        assert_int_equal(t->ends, 0);
        while (!sim_idle(t->io))
                assert_int_equal(io_turn(t->io), 0);
        assert_int_equal(t->ends, 1);
        group_cancel(&t->group);
        group_close(&t->group);
        assert_true(sim_idle(t->io));
        group_deinit(&t->group);
}

static int setup(void **state) {
        Test *t = calloc(1, sizeof(*t));

        assert_non_null(t);
        assert_int_equal(io_new_sim(&t->io, &(SimOptions){ .seed = 1 }), 0);
        *state = t;
        return 0;
}

static int teardown(void **state) {
        Test *t = *state;

        assert_null(io_free(t->io));
        free(t);
        return 0;
}

static void test_empty(void **state) {
        Test *t = *state;

        start(t, GROUP_GATHER);
        assert_true(sim_idle(t->io)); /* open: more may come */
        group_close(&t->group);
        group_close(&t->group);
        assert_ends(t);

        start(t, GROUP_GATHER);
        group_cancel(&t->group);
        group_cancel(&t->group);
        assert_int_equal(group_add(&t->group, &t->members[0].member), -ECANCELED);
        assert_ends(t);

        /* Thrown away before it could tell. */
        start(t, GROUP_GATHER);
        group_close(&t->group);
        group_deinit(&t->group);
        assert_true(sim_idle(t->io));
}

static void test_gather(void **state) {
        Test *t = *state;

        start(t, GROUP_GATHER);
        add(t, 0, true);
        add(t, 1, true);
        leave(t, 0, -EIO);
        assert_int_equal(t->members[1].cancels, 0);
        group_close(&t->group);
        assert_true(sim_idle(t->io));
        leave(t, 1, 0);
        assert_int_equal(t->group.error, 0);
        assert_false(t->group.cancelled);
        assert_ends(t);
}

/* All may leave before it is closed. */
static void test_close_last(void **state) {
        Test *t = *state;

        start(t, GROUP_GATHER);
        add(t, 0, false);
        leave(t, 0, 0);
        assert_true(sim_idle(t->io));
        add(t, 0, false);
        leave(t, 0, 0);
        group_close(&t->group);
        assert_ends(t);
}

static void test_fail_fast(void **state) {
        Test *t = *state;

        start(t, GROUP_FAIL_FAST);
        for (size_t i = 0; i < 4; i++)
                add(t, i, i != 1);
        leave(t, 1, -ENOENT); /* optional: stays with it */
        assert_false(t->group.cancelled);
        leave(t, 0, -ETIMEDOUT);
        assert_int_equal(t->group.error, -ETIMEDOUT);
        assert_true(t->group.cancelled && t->group.closed);
        assert_int_equal(t->members[2].cancels, 1);
        assert_int_equal(t->members[3].cancels, 1);
        leave(t, 2, -EIO); /* the first failure counts */
        assert_int_equal(t->group.error, -ETIMEDOUT);
        assert_true(sim_idle(t->io));
        leave(t, 3, 0);
        assert_ends(t);
}

/* Members leave from within their cancel, and take others along. */
static void test_leave_while_cancelling(void **state) {
        Test *t = *state;

        for (size_t taker = 0; taker < ELEMENTSOF(t->members); taker++) {
                for (size_t taken = 0; taken < ELEMENTSOF(t->members); taken++) {
                        start(t, GROUP_FAIL_FAST);
                        for (size_t i = 0; i < ELEMENTSOF(t->members); i++) {
                                add(t, i, true);
                                t->members[i].leave_at_once = i % 2 == 0 && i != taken;
                        }
                        if (taken != taker)
                                t->members[taker].takes_along = &t->members[taken];
                        group_cancel(&t->group);
                        for (size_t i = 0; i < ELEMENTSOF(t->members); i++) {
                                bool spared = taken > taker && i == taken;

                                assert_int_equal(t->members[i].cancels, !spared);
                                if (t->members[i].member.group)
                                        leave(t, i, -ECANCELED);
                        }
                        assert_int_equal(t->group.error, 0);
                        assert_ends(t);
                }
        }
}

/* Closed and empty, but not told yet. */
static void test_cancel_before_end(void **state) {
        Test *t = *state;

        start(t, GROUP_GATHER);
        group_close(&t->group);
        group_cancel(&t->group);
        assert_ends(t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
                cmocka_unit_test_setup_teardown(test_gather, setup, teardown),
                cmocka_unit_test_setup_teardown(test_close_last, setup, teardown),
                cmocka_unit_test_setup_teardown(test_fail_fast, setup, teardown),
                cmocka_unit_test_setup_teardown(test_leave_while_cancelling, setup, teardown),
                cmocka_unit_test_setup_teardown(test_cancel_before_end, setup, teardown),
        };

        return cmocka_run_group_tests_name("group", tests, NULL, NULL);
}
