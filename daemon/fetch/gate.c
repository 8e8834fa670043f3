/* SPDX-License-Identifier: Apache-2.0 */

/* The line is a heap, so leaving it is as cheap as joining. It moves when somebody leaves a place
 * and when the rate allows the next: both through gate_open(), which runs from the loop.
 *
 * Whoever has come in may have to wait elsewhere before it begins (fetch.c: at the gate for all). A
 * rate is one of beginnings, and those who wait together must not begin together, so such a gate
 * lets nobody follow until the one before has begun or gone. */

#include <assert.h>
#include <errno.h>

#include "clock.h"
#include "gate.h"
#include "macro.h"

static GatePass *pass_of(const HeapNode *node) {
        return CONTAINER_OF(node, GatePass, node);
}

static bool pass_before(const HeapNode *a, const HeapNode *b) {
        const GatePass *x = pass_of(a), *y = pass_of(b);

        if (x->batch != y->batch)
                return y->batch;
        if (x->priority != y->priority)
                return x->priority > y->priority;
        return x->order < y->order;
}

static bool gate_has_rate(const Gate *gate) {
        return gate->policy.tokens > 0 || gate->policy.interval_ns > 0;
}

/* Without limits a gate is a counter, and needs no clock. */
static bool gate_limited(const Gate *gate) {
        return gate->places > 0 || gate_has_rate(gate);
}

/* When somebody may go in as far as the rate goes; TIME_INFINITY: not before one leaves or
 * begins. */
static uint64_t gate_next(const Gate *gate, uint64_t now) {
        if (gate->threshold || (gate->places > 0 && gate->inside >= gate->places))
                return TIME_INFINITY;
        return rate_next(&gate->rate, &gate->policy, now);
}

static void line_leave(Gate *gate, GatePass *pass) {
        if (!heap_contains(&pass->node))
                return;
        heap_remove(&gate->line, &pass->node);
        gate->interactive -= !pass->batch;
}

static void let_in(Gate *gate, GatePass *pass, uint64_t now) {
        if (gate_has_rate(gate)) {
                rate_take(&gate->rate, &gate->policy, now);
                gate->threshold = pass;
        }
        gate->inside++;
        pass->inside = true;
}

static void gate_open(Gate *gate) {
        while (gate->line.count > 0) {
                uint64_t now = io_now(gate->io), next = gate_next(gate, now);
                GatePass *pass = pass_of(heap_first(&gate->line));

                if (next > now) {
                        /* Without memory for the timer the next one who leaves moves the line. */
                        if (next != TIME_INFINITY)
                                (void) io_timer_set(gate->io, &gate->timer, next);
                        return;
                }
                line_leave(gate, pass);
                let_in(gate, pass, now);
                pass->granted(pass);
        }
        io_timer_cancel(gate->io, &gate->timer);
}

static void on_task(IoTask *task) {
        gate_open(CONTAINER_OF(task, Gate, task));
}

static void on_timer(IoTimer *timer) {
        gate_open(CONTAINER_OF(timer, Gate, timer));
}

void gate_init(Gate *gate, Io *io, uint64_t places, const RatePolicy *policy) {
        *gate = (Gate){
                .io = io,
                .places = places,
                .policy = *policy,
                .line = HEAP_INIT(pass_before),
                .timer.fire = on_timer,
                .task.run = on_task,
        };
        list_init(&gate->task.node);
}

void gate_deinit(Gate *gate) {
        if (!gate->io)
                return;
        assert(gate->inside == 0 && gate->line.count == 0);
        io_timer_cancel(gate->io, &gate->timer);
        io_unpost(&gate->task);
        heap_deinit(&gate->line);
}

int gate_try(Gate *gate, GatePass *pass) {
        bool limited = gate_limited(gate);
        uint64_t now = limited ? io_now(gate->io) : 0;

        assert(!pass->inside && !heap_contains(&pass->node));
        if (limited && (gate->line.count > 0 || gate_next(gate, now) > now))
                return -EAGAIN;
        let_in(gate, pass, now);
        return 0;
}

int gate_enter(Gate *gate, GatePass *pass) {
        if (gate_try(gate, pass) >= 0)
                return 0;
        if (gate->line.count >= GATE_LINE_MAX)
                return -EBUSY;
        pass->order = gate->order++;
        int r = heap_insert(&gate->line, &pass->node);
        if (r < 0)
                return r;
        gate->interactive += !pass->batch;
        if (!io_timer_armed(&gate->timer))
                io_post(gate->io, &gate->task);
        return -EINPROGRESS;
}

static void line_move(Gate *gate) {
        if (gate->line.count > 0)
                io_post(gate->io, &gate->task);
}

void gate_begin(Gate *gate, GatePass *pass) {
        if (gate->threshold != pass)
                return;
        gate->threshold = NULL;
        rate_return(&gate->rate, &gate->policy);
        rate_take(&gate->rate, &gate->policy, io_now(gate->io));
        line_move(gate);
}

void gate_leave(Gate *gate, GatePass *pass, bool unused) {
        line_leave(gate, pass);
        if (!pass->inside)
                return;
        pass->inside = false;
        gate->inside--;
        if (gate->threshold == pass)
                gate->threshold = NULL;
        if (unused)
                rate_return(&gate->rate, &gate->policy);
        line_move(gate);
}

uint64_t gate_earliest(const Gate *gate, bool batch) {
        size_t before = batch ? gate->line.count : gate->interactive;

        if (!gate_has_rate(gate))
                return 0;
        return rate_nth(&gate->rate, &gate->policy, io_now(gate->io), before + 1);
}
