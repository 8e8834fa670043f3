/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "gate.h"
#include "io-sim.h"
#include "macro.h"

#define SEC NSEC_PER_SEC

typedef struct Visitor {
        GatePass pass;
        char name;
        uint64_t entered; /* ns; 0: not by `granted` */
        void (*then)(struct Visitor *visitor);
} Visitor;

static Io *io;
static Gate gate;
static char entered[64]; /* names, in the order of `granted` */

static int setup(void **state) {
        memset(entered, 0, sizeof(entered));
        return io_new_sim(&io, &(SimOptions){ .seed = 1 });
}

static int teardown(void **state) {
        assert_int_equal(gate.inside, 0);
        assert_int_equal(gate.line.count, 0);
        gate_deinit(&gate);
        gate = (Gate){};
        io_free(io);
        return 0;
}

static void open_gate(uint64_t places, RatePolicy policy) {
        gate_init(&gate, io, places, &policy);
}

static void on_granted(GatePass *pass) {
        Visitor *visitor = CONTAINER_OF(pass, Visitor, pass);

        assert_true(pass->inside);
        assert_int_equal(visitor->entered, 0);
        visitor->entered = io_now(io);
        entered[strlen(entered)] = visitor->name;
        if (visitor->then)
                visitor->then(visitor);
}

static Visitor visitor(char name, bool batch, int priority) {
        return (Visitor){
                .pass = { .batch = batch, .priority = priority, .granted = on_granted },
                .name = name,
        };
}

static void nothing(IoTimer *timer) {
}

static void settle(void) {
        while (!sim_idle(io))
                assert_int_equal(io_turn(io), 0);
}

static void leave(Visitor *v) {
        gate_leave(&gate, &v->pass, /* unused= */ false);
}

/* ---- places ---- */

static void test_places(void **state) {
        Visitor a = visitor('a', false, 0), b = visitor('b', false, 0), c = visitor('c', false, 0);

        open_gate(2, (RatePolicy){});
        assert_int_equal(gate_enter(&gate, &a.pass), 0);
        assert_int_equal(gate_enter(&gate, &b.pass), 0);
        assert_int_equal(gate.inside, 2);
        assert_int_equal(gate_enter(&gate, &c.pass), -EINPROGRESS);
        settle();
        assert_string_equal(entered, ""); /* who is inside at once is told so at once */
        assert_false(c.pass.inside);

        leave(&a);
        assert_string_equal(entered, ""); /* never from within the call */
        settle();
        assert_string_equal(entered, "c");
        assert_int_equal(gate.inside, 2);
        leave(&a); /* outside: harmless */
        assert_int_equal(gate.inside, 2);
        leave(&b);
        leave(&c);
}

static void test_any_number(void **state) {
        Visitor visitors[1000];

        open_gate(0, (RatePolicy){});
        for (size_t i = 0; i < ELEMENTSOF(visitors); i++) {
                visitors[i] = visitor('x', true, 0);
                assert_int_equal(gate_enter(&gate, &visitors[i].pass), 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(visitors); i++)
                leave(&visitors[i]);
}

/* Interactive before batch, then the higher priority, then first come, first served. */
static void test_order(void **state) {
        Visitor first = visitor('.', false, 0);
        Visitor line[] = {
                visitor('g', true, 9),   visitor('d', false, 0), visitor('a', false, 3),
                visitor('h', true, 0),   visitor('e', false, 0), visitor('b', false, 3),
                visitor('f', false, -1), visitor('c', false, 1), visitor('i', true, 0),
        };

        open_gate(1, (RatePolicy){});
        assert_int_equal(gate_enter(&gate, &first.pass), 0);
        for (size_t i = 0; i < ELEMENTSOF(line); i++) {
                line[i].then = leave;
                assert_int_equal(gate_enter(&gate, &line[i].pass), -EINPROGRESS);
        }
        assert_int_equal(gate.line.count, ELEMENTSOF(line));
        leave(&first);
        settle();
        assert_string_equal(entered, "abcdefghi");
}

static void test_leaves_the_line(void **state) {
        Visitor a = visitor('a', false, 0), b = visitor('b', false, 0), c = visitor('c', false, 0);

        open_gate(1, (RatePolicy){});
        assert_int_equal(gate_enter(&gate, &a.pass), 0);
        assert_int_equal(gate_enter(&gate, &b.pass), -EINPROGRESS);
        assert_int_equal(gate_enter(&gate, &c.pass), -EINPROGRESS);
        leave(&b);
        assert_int_equal(gate.line.count, 1);
        assert_int_equal(gate.inside, 1);
        leave(&a);
        settle();
        assert_string_equal(entered, "c");

        assert_int_equal(gate_enter(&gate, &b.pass), -EINPROGRESS); /* again, as a new one */
        leave(&c);
        settle();
        assert_string_equal(entered, "cb");
        leave(&b);
}

/* Whoever is let in may send others away. */
static Visitor others[3];

static void send_away(Visitor *v) {
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                leave(&others[i]);
        leave(v);
}

static void test_granted_changes_the_line(void **state) {
        Visitor inside = visitor('.', false, 0), first = visitor('a', false, 5);

        open_gate(1, (RatePolicy){});
        assert_int_equal(gate_enter(&gate, &inside.pass), 0);
        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                others[i] = visitor((char) ('b' + i), false, 0);
                assert_int_equal(gate_enter(&gate, &others[i].pass), -EINPROGRESS);
        }
        first.then = send_away;
        assert_int_equal(gate_enter(&gate, &first.pass), -EINPROGRESS);
        leave(&inside);
        settle();
        assert_string_equal(entered, "a");
}

static void test_line_is_bounded(void **state) {
        Visitor *line = calloc(GATE_LINE_MAX, sizeof(*line)), inside = visitor('.', false, 0);
        Visitor more = visitor('!', false, 99);

        assert_non_null(line);
        open_gate(1, (RatePolicy){});
        assert_int_equal(gate_enter(&gate, &inside.pass), 0);
        for (unsigned i = 0; i < GATE_LINE_MAX; i++) {
                line[i] = visitor('x', false, 0);
                assert_int_equal(gate_enter(&gate, &line[i].pass), -EINPROGRESS);
        }
        assert_int_equal(gate_enter(&gate, &more.pass), -EBUSY);
        leave(&more); /* harmless */
        leave(&line[7]);
        assert_int_equal(gate_enter(&gate, &more.pass), -EINPROGRESS);
        leave(&more);
        for (unsigned i = 0; i < GATE_LINE_MAX; i++)
                leave(&line[i]);
        leave(&inside);
        free(line);
}

/* ---- without standing in line ---- */

static void test_try(void **state) {
        Visitor a = visitor('a', false, 0), b = visitor('b', false, 0), c = visitor('c', false, 9);

        open_gate(1, (RatePolicy){});
        assert_int_equal(gate_try(&gate, &a.pass), 0);
        assert_int_equal(gate_try(&gate, &b.pass), -EAGAIN);
        assert_int_equal(gate.line.count, 0);
        assert_int_equal(gate_enter(&gate, &b.pass), -EINPROGRESS);
        leave(&a);
        assert_int_equal(gate_try(&gate, &c.pass), -EAGAIN); /* one who waits goes first */
        settle();
        assert_string_equal(entered, "b");
        leave(&b);
        assert_int_equal(gate_try(&gate, &c.pass), 0);
        leave(&c);
}

/* ---- rates ---- */

/* Lets `n` come at once, each leaving as soon as it is inside; when they entered, from now. */
static void enter_many(Visitor visitors[], uint64_t times[], size_t n) {
        uint64_t now = io_now(io);

        for (size_t i = 0; i < n; i++) {
                visitors[i] = visitor((char) ('a' + i), false, 0);
                visitors[i].then = leave;
                if (gate_enter(&gate, &visitors[i].pass) == 0) {
                        visitors[i].entered = now;
                        leave(&visitors[i]);
                }
        }
        settle();
        for (size_t i = 0; i < n; i++)
                times[i] = visitors[i].entered - now;
}

static void test_rate(void **state) {
        Visitor visitors[8];
        uint64_t times[8];

        open_gate(0, (RatePolicy){ .tokens = 4, .period_ns = SEC });
        enter_many(visitors, times, 8);
        for (size_t i = 0; i < 8; i++)
                assert_int_equal(times[i], i < 4 ? 0 : (i - 3) * SEC / 4);
        assert_string_equal(entered, "efgh");
}

static void test_interval(void **state) {
        Visitor visitors[5];
        uint64_t times[5];

        open_gate(2, (RatePolicy){ .interval_ns = 3 * SEC });
        enter_many(visitors, times, 5);
        for (size_t i = 0; i < 5; i++)
                assert_int_equal(times[i], i * 3 * SEC);
}

/* A place is free before the rate allows it, and the other way round. */
static void test_rate_and_places(void **state) {
        Visitor a = visitor('a', false, 0), b = visitor('b', false, 0), c = visitor('c', false, 0);
        uint64_t start = io_now(io);

        open_gate(1, (RatePolicy){ .interval_ns = SEC });
        assert_int_equal(gate_enter(&gate, &a.pass), 0);
        assert_int_equal(gate_enter(&gate, &b.pass), -EINPROGRESS);
        assert_int_equal(gate_enter(&gate, &c.pass), -EINPROGRESS);
        leave(&a);
        settle();
        assert_int_equal(b.entered, start + SEC);
        assert_false(c.pass.inside);
        leave(&b);
        settle();
        assert_int_equal(c.entered, start + 2 * SEC);
        leave(&c);
}

/* A place in which nothing was done has taken nothing of the rate. */
static void test_unused(void **state) {
        Visitor a = visitor('a', false, 0), b = visitor('b', false, 0), c = visitor('c', false, 0);

        open_gate(0, (RatePolicy){ .tokens = 1, .period_ns = 10 * SEC, .interval_ns = 5 * SEC });
        assert_int_equal(gate_enter(&gate, &a.pass), 0);
        assert_int_equal(gate_try(&gate, &b.pass), -EAGAIN);
        gate_leave(&gate, &a.pass, /* unused= */ true);
        assert_int_equal(gate_try(&gate, &b.pass), 0);
        leave(&b);
        assert_int_equal(gate_try(&gate, &c.pass), -EAGAIN);

        /* The next in line has the good of it. */
        uint64_t start = io_now(io);
        assert_int_equal(gate_enter(&gate, &a.pass), -EINPROGRESS);
        assert_int_equal(gate_enter(&gate, &c.pass), -EINPROGRESS);
        while (!a.pass.inside)
                assert_int_equal(io_turn(io), 0);
        assert_int_equal(a.entered, start + 10 * SEC);
        gate_leave(&gate, &a.pass, /* unused= */ true);
        settle();
        assert_int_equal(c.entered, start + 10 * SEC);
        leave(&c);
}

/* Two who have come in and wait elsewhere must not begin together in the end. */
static void test_begins_late(void **state) {
        Visitor a = visitor('a', false, 0), b = visitor('b', false, 0), c = visitor('c', false, 0);
        uint64_t start = io_now(io), late = start + 10 * SEC + 1;
        IoTimer timer = { .fire = nothing };

        open_gate(0, (RatePolicy){ .interval_ns = SEC });
        assert_int_equal(gate_enter(&gate, &a.pass), 0);
        assert_int_equal(gate_enter(&gate, &b.pass), -EINPROGRESS);
        assert_int_equal(gate_enter(&gate, &c.pass), -EINPROGRESS);
        assert_int_equal(io_timer_set(io, &timer, late), 0);
        settle();
        assert_string_equal(entered, "");
        assert_int_equal(io_now(io), late);
        gate_begin(&gate, &b.pass); /* in line: harmless */
        gate_begin(&gate, &a.pass);
        settle();
        assert_int_equal(b.entered, late + SEC);
        gate_begin(&gate, &a.pass); /* not twice */
        gate_leave(&gate, &b.pass, /* unused= */ true);
        settle();
        assert_int_equal(c.entered, late + SEC);
        leave(&a);
        gate_begin(&gate, &c.pass);
        assert_int_equal(gate_try(&gate, &a.pass), -EAGAIN);
        leave(&c);
}

/* ---- what can be told beforehand ---- */

static void test_earliest(void **state) {
        Visitor a = visitor('a', false, 0), b = visitor('b', false, 0), c = visitor('c', false, 0);
        uint64_t start = io_now(io);

        open_gate(1, (RatePolicy){});
        assert_int_equal(gate_enter(&gate, &a.pass), 0);
        assert_true(gate_earliest(&gate, false) <= start); /* places are not foreseen */
        leave(&a);
        gate_deinit(&gate);

        open_gate(0, (RatePolicy){ .interval_ns = SEC });
        assert_int_equal(gate_earliest(&gate, false), start);
        assert_int_equal(gate_enter(&gate, &a.pass), 0);
        assert_int_equal(gate_earliest(&gate, false), start + SEC);
        assert_int_equal(gate_enter(&gate, &b.pass), -EINPROGRESS);
        assert_int_equal(gate_earliest(&gate, false), start + 2 * SEC);
        assert_int_equal(gate_enter(&gate, &c.pass), -EINPROGRESS);
        assert_int_equal(gate_earliest(&gate, false), start + 3 * SEC);
        leave(&b);
        assert_int_equal(gate_earliest(&gate, false), start + 2 * SEC);
        leave(&a);
        leave(&c);
}

/* Those whom a newcomer would overtake do not count. */
static void test_earliest_of_two_kinds(void **state) {
        Visitor a = visitor('a', false, 0), b = visitor('b', true, 0), c = visitor('c', true, 0);
        Visitor d = visitor('d', false, 0);
        uint64_t start = io_now(io);

        open_gate(0, (RatePolicy){ .interval_ns = SEC });
        assert_int_equal(gate_enter(&gate, &a.pass), 0);
        gate_begin(&gate, &a.pass);
        assert_int_equal(gate_enter(&gate, &b.pass), -EINPROGRESS);
        assert_int_equal(gate_enter(&gate, &c.pass), -EINPROGRESS);
        assert_int_equal(gate_earliest(&gate, /* batch= */ true), start + 3 * SEC);
        assert_int_equal(gate_earliest(&gate, /* batch= */ false), start + SEC);
        assert_int_equal(gate_enter(&gate, &d.pass), -EINPROGRESS);
        assert_int_equal(gate_earliest(&gate, /* batch= */ true), start + 4 * SEC);
        assert_int_equal(gate_earliest(&gate, /* batch= */ false), start + 2 * SEC);
        d.then = b.then = c.then = leave;
        leave(&a);
        settle();
        assert_string_equal(entered, "dbc");
        assert_int_equal(gate_earliest(&gate, /* batch= */ false), start + 4 * SEC);
}

static void test_never_made(void **state) {
        Gate none = {};

        gate_deinit(&none);
        open_gate(1, (RatePolicy){});
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_places),
                TEST(test_any_number),
                TEST(test_order),
                TEST(test_leaves_the_line),
                TEST(test_granted_changes_the_line),
                TEST(test_line_is_bounded),
                TEST(test_try),
                TEST(test_rate),
                TEST(test_interval),
                TEST(test_rate_and_places),
                TEST(test_unused),
                TEST(test_begins_late),
                TEST(test_earliest),
                TEST(test_earliest_of_two_kinds),
                TEST(test_never_made),
        };
        return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
