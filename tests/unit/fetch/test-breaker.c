/* SPDX-License-Identifier: Apache-2.0 */

/* Every rule of the breaker at its edge, then random histories against a model that keeps a list of
 * attempts instead of tickets. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "breaker.h"
#include "clock.h"
#include "macro.h"

#define NOW     (1000 * NSEC_PER_SEC)
#define OPEN_NS (5 * NSEC_PER_SEC)
#define LEASE   (3 * NSEC_PER_SEC)

static const BreakerPolicy policy = { .failures = 3, .open_ns = OPEN_NS };
static const BreakerPolicy policy_off = { .failures = 0, .open_ns = OPEN_NS };

static BreakerTicket admit(Breaker *breaker, uint64_t now) {
        BreakerTicket ticket;

        assert_true(breaker_would_admit(breaker, &policy, now));
        assert_true(breaker_admit(breaker, &policy, now, LEASE, &ticket));
        return ticket;
}

static void assert_refuses(Breaker *breaker, uint64_t now) {
        BreakerTicket ticket;

        assert_false(breaker_would_admit(breaker, &policy, now));
        assert_false(breaker_admit(breaker, &policy, now, LEASE, &ticket));
}

static void assert_state(const Breaker *breaker, uint64_t now, BreakerState state) {
        assert_string_equal(
                        breaker_state_name(breaker_state(breaker, now)), breaker_state_name(state));
}

static BreakerChange fail_once(Breaker *breaker, uint64_t now) {
        return breaker_failure(breaker, &policy, admit(breaker, now), now, false);
}

static void fail_deferred(Breaker *breaker, unsigned times) {
        for (unsigned i = 0; i < times; i++)
                assert_int_equal(
                                breaker_failure(breaker, &policy, admit(breaker, NOW), NOW, true),
                                BREAKER_UNCHANGED);
}

static BreakerChange succeed_once(Breaker *breaker, uint64_t now) {
        return breaker_success(breaker, admit(breaker, now), now);
}

static Breaker opened_at(uint64_t now) {
        Breaker breaker = {};

        assert_int_equal(fail_once(&breaker, now), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, now), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, now), BREAKER_HAS_OPENED);
        return breaker;
}

/* ---- closed ---- */

static void test_opens_at_the_count(void **state) {
        Breaker breaker = {};

        for (unsigned i = 1; i < policy.failures; i++) {
                assert_int_equal(fail_once(&breaker, NOW), BREAKER_UNCHANGED);
                assert_state(&breaker, NOW, BREAKER_CLOSED);
        }
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_HAS_OPENED);
        assert_state(&breaker, NOW, BREAKER_OPEN);
        assert_refuses(&breaker, NOW);
}

static void test_one_failure_suffices(void **state) {
        const BreakerPolicy strict = { .failures = 1, .open_ns = OPEN_NS };
        Breaker breaker = {};

        assert_int_equal(
                        breaker_failure(&breaker, &strict, admit(&breaker, NOW), NOW, false),
                        BREAKER_HAS_OPENED);
}

static void test_success_resets_the_count(void **state) {
        Breaker breaker = {};

        for (unsigned round = 0; round < 10; round++) {
                fail_once(&breaker, NOW);
                fail_once(&breaker, NOW);
                assert_int_equal(succeed_once(&breaker, NOW), BREAKER_UNCHANGED);
                assert_int_equal(breaker.failures, 0);
        }
        assert_state(&breaker, NOW, BREAKER_CLOSED);
}

static void test_off_never_opens(void **state) {
        Breaker breaker = {};
        BreakerTicket ticket;

        for (unsigned i = 0; i < 1000; i++) {
                assert_true(breaker_admit(&breaker, &policy_off, NOW, LEASE, &ticket));
                assert_int_equal(
                                breaker_failure(&breaker, &policy_off, ticket, NOW, false),
                                BREAKER_UNCHANGED);
        }
        assert_state(&breaker, NOW, BREAKER_CLOSED);
}

static void test_abandoned_attempts_count_nothing(void **state) {
        Breaker breaker = {};

        fail_once(&breaker, NOW);
        fail_once(&breaker, NOW);
        for (unsigned i = 0; i < 10; i++)
                breaker_abandon(&breaker, admit(&breaker, NOW));
        assert_state(&breaker, NOW, BREAKER_CLOSED);
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_HAS_OPENED);
}

/* ---- open ---- */

static void test_stays_open(void **state) {
        Breaker breaker = opened_at(NOW);
        const uint64_t end = NOW + OPEN_NS;

        assert_int_equal(breaker_open_left(&breaker, NOW), OPEN_NS);
        assert_int_equal(breaker_open_left(&breaker, end - 1), 1);
        assert_state(&breaker, end - 1, BREAKER_OPEN);
        assert_refuses(&breaker, end - 1);

        assert_int_equal(breaker_open_left(&breaker, end), 0);
        assert_state(&breaker, end, BREAKER_HALF_OPEN);
        assert_true(breaker_would_admit(&breaker, &policy, end));
}

static void test_earlier_attempts_count_nothing(void **state) {
        Breaker breaker = {};
        const uint64_t end = NOW + OPEN_NS;
        BreakerTicket early = admit(&breaker, NOW);

        for (unsigned i = 0; i < policy.failures; i++)
                fail_once(&breaker, NOW);

        /* Open: neither longer nor shorter. */
        assert_int_equal(breaker_failure(&breaker, &policy, early, end - 1, false), BREAKER_UNCHANGED);
        assert_int_equal(breaker_success(&breaker, early, end - 1), BREAKER_UNCHANGED);
        assert_int_equal(breaker_open_left(&breaker, end - 1), 1);

        /* Half open, before the probe and under it. */
        assert_int_equal(breaker_success(&breaker, early, end), BREAKER_UNCHANGED);
        assert_int_equal(breaker_failure(&breaker, &policy, early, end, false), BREAKER_UNCHANGED);
        BreakerTicket probe = admit(&breaker, end);
        assert_int_equal(breaker_success(&breaker, early, end), BREAKER_UNCHANGED);
        assert_int_equal(breaker_failure(&breaker, &policy, early, end, false), BREAKER_UNCHANGED);
        breaker_abandon(&breaker, early);
        assert_refuses(&breaker, end);

        /* And closed again: what is counted now began after the probe. */
        assert_int_equal(breaker_success(&breaker, probe, end), BREAKER_HAS_CLOSED);
        for (unsigned i = 0; i < policy.failures; i++)
                breaker_failure(&breaker, &policy, early, end, false);
        assert_state(&breaker, end, BREAKER_CLOSED);
        assert_int_equal(breaker.failures, 0);
}

/* ---- half open ---- */

static void test_one_probe_of_many(void **state) {
        Breaker breaker = opened_at(NOW);
        unsigned admitted = 0;
        BreakerTicket ticket = {};

        for (unsigned i = 0; i < 1000; i++)
                admitted += breaker_admit(&breaker, &policy, NOW + OPEN_NS, LEASE, &ticket);
        assert_int_equal(admitted, 1);
        assert_true(ticket.probe);
        assert_state(&breaker, NOW + OPEN_NS, BREAKER_HALF_OPEN);
}

static void test_asking_takes_nothing(void **state) {
        Breaker breaker = opened_at(NOW);

        for (unsigned i = 0; i < 1000; i++)
                assert_true(breaker_would_admit(&breaker, &policy, NOW + OPEN_NS));
}

static void test_probe_success_closes(void **state) {
        Breaker breaker = opened_at(NOW);
        uint64_t now = NOW + OPEN_NS;

        assert_int_equal(fail_once(&breaker, now), BREAKER_HAS_OPENED);
        now += 2 * OPEN_NS;
        assert_int_equal(succeed_once(&breaker, now), BREAKER_HAS_CLOSED);
        assert_state(&breaker, now, BREAKER_CLOSED);
        assert_int_equal(breaker_open_left(&breaker, now), 0);

        /* Count and growth begin anew. */
        assert_false(admit(&breaker, now).probe);
        assert_int_equal(fail_once(&breaker, now), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, now), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, now), BREAKER_HAS_OPENED);
        assert_int_equal(breaker_open_left(&breaker, now), OPEN_NS);
}

static void test_open_time_grows(void **state) {
        static const unsigned growth[] = { 1, 2, 4, 8, 10, 10, 10 };
        Breaker breaker = opened_at(NOW);
        uint64_t now = NOW;

        for (size_t i = 0; i < ELEMENTSOF(growth); i++) {
                assert_int_equal(breaker_open_left(&breaker, now), growth[i] * OPEN_NS);
                now += growth[i] * OPEN_NS;
                assert_refuses(&breaker, now - 1);
                assert_int_equal(fail_once(&breaker, now), BREAKER_HAS_OPENED);
        }
}

static void test_probe_is_not_deferred(void **state) {
        Breaker breaker = opened_at(NOW);
        const uint64_t now = NOW + OPEN_NS;

        assert_int_equal(
                        breaker_failure(&breaker, &policy, admit(&breaker, now), now, true),
                        BREAKER_HAS_OPENED);
        assert_int_equal(breaker_open_left(&breaker, now), 2 * OPEN_NS);
}

static void test_lost_probe(void **state) {
        Breaker breaker = opened_at(NOW);
        const uint64_t now = NOW + OPEN_NS, later = now + LEASE;
        BreakerTicket lost = admit(&breaker, now);

        assert_refuses(&breaker, later - 1);
        BreakerTicket probe = admit(&breaker, later);

        /* The lost one comes back. */
        assert_int_equal(breaker_success(&breaker, lost, later), BREAKER_UNCHANGED);
        assert_int_equal(breaker_failure(&breaker, &policy, lost, later, false), BREAKER_UNCHANGED);
        breaker_abandon(&breaker, lost);
        assert_state(&breaker, later, BREAKER_HALF_OPEN);
        assert_refuses(&breaker, later);

        assert_int_equal(breaker_success(&breaker, probe, later), BREAKER_HAS_CLOSED);
}

/* Nobody has taken its place yet: its word is the latest there is. */
static void test_late_probe(void **state) {
        Breaker breaker = opened_at(NOW);
        BreakerTicket late = admit(&breaker, NOW + OPEN_NS);

        assert_int_equal(breaker_success(&breaker, late, NOW + OPEN_NS + 2 * LEASE), BREAKER_HAS_CLOSED);
}

static void test_abandoned_probe(void **state) {
        Breaker breaker = opened_at(NOW);
        const uint64_t now = NOW + OPEN_NS;

        for (unsigned i = 0; i < 10; i++) {
                BreakerTicket probe = admit(&breaker, now);
                assert_true(probe.probe);
                assert_refuses(&breaker, now);
                breaker_abandon(&breaker, probe);
        }
        assert_int_equal(fail_once(&breaker, now), BREAKER_HAS_OPENED);
        assert_int_equal(breaker_open_left(&breaker, now), 2 * OPEN_NS);
}

/* ---- the ends of time ---- */

static void test_clock_jumps(void **state) {
        Breaker breaker = opened_at(NOW);
        const uint64_t end = TIME_INFINITY - 1;

        assert_state(&breaker, end, BREAKER_HALF_OPEN);
        BreakerTicket probe = admit(&breaker, end);
        assert_refuses(&breaker, end);
        assert_int_equal(breaker_failure(&breaker, &policy, probe, end, false), BREAKER_HAS_OPENED);
        assert_state(&breaker, end, BREAKER_OPEN);
        assert_int_equal(breaker_open_left(&breaker, end), 1);
        assert_refuses(&breaker, end);
}

static void test_open_for_ever(void **state) {
        const BreakerPolicy patient = { .failures = 3, .open_ns = TIME_INFINITY / 2 + 2 };
        Breaker breaker = opened_at(NOW);
        const uint64_t now = NOW + OPEN_NS;

        /* Twice that is more than there is, and would be 2 ns. */
        breaker_failure(&breaker, &patient, admit(&breaker, now), now, false);
        assert_int_equal(breaker_open_left(&breaker, now), TIME_INFINITY - now);
        assert_refuses(&breaker, TIME_INFINITY - 1);
}

/* ---- forced ---- */

static void test_forced_open(void **state) {
        Breaker breaker = {};

        assert_true(breaker_force(&breaker, BREAKER_FORCED_OPEN, NOW));
        assert_state(&breaker, NOW, BREAKER_OPEN);
        assert_int_equal(breaker_open_left(&breaker, NOW), 0);
        assert_refuses(&breaker, NOW);
        assert_refuses(&breaker, TIME_INFINITY);

        BreakerTicket ticket;
        assert_false(breaker_admit(&breaker, &policy_off, NOW, LEASE, &ticket));

        assert_true(breaker_force(&breaker, BREAKER_AUTO, NOW));
        assert_state(&breaker, NOW, BREAKER_CLOSED);
        assert_false(admit(&breaker, NOW).probe);
}

static void test_forced_closed(void **state) {
        Breaker breaker = opened_at(NOW);

        assert_true(breaker_force(&breaker, BREAKER_FORCED_CLOSED, NOW));
        for (unsigned i = 0; i < 1000; i++) {
                assert_state(&breaker, NOW, BREAKER_CLOSED);
                assert_int_equal(fail_once(&breaker, NOW), BREAKER_UNCHANGED);
        }
        BreakerTicket forced = admit(&breaker, NOW);
        assert_int_equal(breaker_open_deferred(&breaker, &policy, NOW), BREAKER_UNCHANGED);

        /* What failed under force does not open it later, not even when it ends later. */
        assert_false(breaker_force(&breaker, BREAKER_AUTO, NOW));
        for (unsigned i = 0; i < policy.failures; i++)
                assert_int_equal(
                                breaker_failure(&breaker, &policy, forced, NOW, false),
                                BREAKER_UNCHANGED);
        assert_int_equal(breaker.failures, 0);
        assert_int_equal(breaker_open_deferred(&breaker, &policy, NOW), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_HAS_OPENED);
        assert_int_equal(breaker_open_left(&breaker, NOW), OPEN_NS);
}

static void test_force_under_a_probe(void **state) {
        Breaker breaker = opened_at(NOW);
        const uint64_t now = NOW + OPEN_NS;
        BreakerTicket probe = admit(&breaker, now);

        assert_true(breaker_force(&breaker, BREAKER_FORCED_OPEN, now));
        assert_int_equal(breaker_success(&breaker, probe, now), BREAKER_UNCHANGED);
        assert_state(&breaker, now, BREAKER_OPEN);
        assert_true(breaker_force(&breaker, BREAKER_FORCED_CLOSED, now));
        assert_int_equal(breaker_failure(&breaker, &policy, probe, now, false), BREAKER_UNCHANGED);
        breaker_abandon(&breaker, probe);
        assert_state(&breaker, now, BREAKER_CLOSED);
}

static void test_force_again(void **state) {
        Breaker breaker = opened_at(NOW);

        assert_false(breaker_force(&breaker, BREAKER_AUTO, NOW));
        assert_int_equal(breaker_open_left(&breaker, NOW), OPEN_NS);
        assert_false(breaker_force(&breaker, BREAKER_FORCED_OPEN, NOW)); /* it was open */
        assert_false(breaker_force(&breaker, BREAKER_FORCED_OPEN, NOW));
        assert_refuses(&breaker, NOW + OPEN_NS);
}

static void test_names(void **state) {
        static const BreakerForce forces[] = { BREAKER_AUTO, BREAKER_FORCED_OPEN,
                                               BREAKER_FORCED_CLOSED };
        BreakerForce force;

        for (size_t i = 0; i < ELEMENTSOF(forces); i++) {
                assert_int_equal(breaker_force_from_name(breaker_force_name(forces[i]), &force), 0);
                assert_int_equal(force, forces[i]);
        }
        assert_int_equal(breaker_force_from_name("half_open", &force), -EINVAL);
        assert_int_equal(breaker_force_from_name("", &force), -EINVAL);
        assert_string_equal(breaker_force_name(BREAKER_AUTO), "auto");
        assert_string_equal(breaker_force_name(BREAKER_FORCED_OPEN), "open");
        assert_string_equal(breaker_force_name(BREAKER_FORCED_CLOSED), "closed");
        assert_string_equal(breaker_state_name(BREAKER_CLOSED), "closed");
        assert_string_equal(breaker_state_name(BREAKER_OPEN), "open");
        assert_string_equal(breaker_state_name(BREAKER_HALF_OPEN), "half_open");
}

/* ---- deferred ---- */

static void test_deferred(void **state) {
        Breaker breaker = {};

        fail_deferred(&breaker, 5);
        assert_state(&breaker, NOW, BREAKER_CLOSED);
        assert_int_equal(breaker_open_deferred(&breaker, &policy, NOW + 1), BREAKER_HAS_OPENED);
        assert_int_equal(breaker_open_left(&breaker, NOW + 1), OPEN_NS);

        /* It is open now; there is nothing to open. */
        assert_int_equal(breaker_open_deferred(&breaker, &policy, NOW + 2), BREAKER_UNCHANGED);
        assert_int_equal(breaker_open_left(&breaker, NOW + 2), OPEN_NS - 1);
}

static void test_deferred_below_the_count(void **state) {
        Breaker breaker = {};

        fail_deferred(&breaker, 2);
        assert_int_equal(breaker_open_deferred(&breaker, &policy, NOW), BREAKER_UNCHANGED);
        fail_deferred(&breaker, 1);
        assert_int_equal(breaker_open_deferred(&breaker, &policy_off, NOW), BREAKER_UNCHANGED);
        assert_state(&breaker, NOW, BREAKER_CLOSED);
        assert_int_equal(breaker_open_deferred(&breaker, &policy, NOW), BREAKER_HAS_OPENED);
}

static void test_deferred_no_longer(void **state) {
        Breaker breaker = {};

        fail_deferred(&breaker, 5);
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_HAS_OPENED);
}

static void test_forgive(void **state) {
        Breaker breaker = {};

        fail_deferred(&breaker, 5);
        breaker_forgive(&breaker);
        assert_int_equal(breaker_open_deferred(&breaker, &policy, NOW), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_UNCHANGED);
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_HAS_OPENED);

        breaker_forgive(&breaker);
        assert_int_equal(breaker.failures, policy.failures);
        assert_int_equal(breaker_open_left(&breaker, NOW), OPEN_NS);
}

/* ---- the policy changes ---- */

static void test_policy_tightened(void **state) {
        const BreakerPolicy lax = { .failures = 10, .open_ns = OPEN_NS };
        Breaker breaker = {};

        for (unsigned i = 0; i < 5; i++)
                breaker_failure(&breaker, &lax, admit(&breaker, NOW), NOW, false);
        assert_state(&breaker, NOW, BREAKER_CLOSED);
        assert_int_equal(fail_once(&breaker, NOW), BREAKER_HAS_OPENED);
}

static void test_policy_relaxed(void **state) {
        const BreakerPolicy lax = { .failures = 10, .open_ns = 2 * OPEN_NS };
        Breaker breaker = opened_at(NOW);
        const uint64_t now = NOW + OPEN_NS;

        /* A failed probe opens it again, whatever the count. */
        assert_int_equal(
                        breaker_failure(&breaker, &lax, admit(&breaker, now), now, false),
                        BREAKER_HAS_OPENED);
        assert_int_equal(breaker_open_left(&breaker, now), 4 * OPEN_NS);
}

static void test_policy_turned_off(void **state) {
        Breaker breaker = opened_at(NOW);
        BreakerTicket first, second;

        assert_true(breaker_admit(&breaker, &policy_off, NOW, LEASE, &first));
        assert_true(breaker_admit(&breaker, &policy_off, NOW, LEASE, &second));
        assert_false(first.probe);
        assert_int_equal(breaker_failure(&breaker, &policy_off, first, NOW, false), BREAKER_UNCHANGED);
        assert_int_equal(breaker_success(&breaker, second, NOW), BREAKER_HAS_CLOSED);
        assert_state(&breaker, NOW, BREAKER_CLOSED);
}

static void test_policy_turned_off_under_a_probe(void **state) {
        Breaker breaker = opened_at(NOW);
        const uint64_t now = NOW + OPEN_NS;
        BreakerTicket probe = admit(&breaker, now), other;

        /* Another attempt's end does not end the probe's lease. */
        assert_true(breaker_admit(&breaker, &policy_off, now, LEASE, &other));
        breaker_abandon(&breaker, other);
        assert_refuses(&breaker, now);

        /* The probe's failure does not open it, yet leaves the place to the next one. */
        assert_int_equal(breaker_failure(&breaker, &policy_off, probe, now, false), BREAKER_UNCHANGED);
        assert_true(admit(&breaker, now).probe);
}

/* ---- random histories ---- */

/* The model. Where the breaker compares tickets, it strikes attempts off its list. */
typedef struct Attempt {
        BreakerTicket ticket;
        bool under_way, counts, probe;
        uint64_t lease_until;
} Attempt;

typedef struct Model {
        BreakerForce force;
        bool open;
        uint64_t failures, open_until, next_open;
        Attempt attempts[8];
} Model;

static uint64_t chance(uint64_t *seed, uint64_t below) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed % below;
}

static void model_strike_off(Model *model) {
        for (size_t i = 0; i < ELEMENTSOF(model->attempts); i++)
                model->attempts[i].counts = false;
}

static BreakerChange model_open(Model *model, const BreakerPolicy *p, uint64_t now) {
        uint64_t factor = model->open ? model->next_open : 1;

        model->open = true;
        model->open_until = now + factor * p->open_ns;
        model->next_open = MIN(2 * factor, UINT64_C(10));
        model_strike_off(model);
        return BREAKER_HAS_OPENED;
}

static BreakerState model_state(const Model *model, uint64_t now) {
        if (model->force != BREAKER_AUTO)
                return model->force == BREAKER_FORCED_OPEN ? BREAKER_OPEN : BREAKER_CLOSED;
        if (!model->open)
                return BREAKER_CLOSED;
        return now < model->open_until ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

static bool model_admits(const Model *model, const BreakerPolicy *p, uint64_t now) {
        if (model->force != BREAKER_AUTO)
                return model->force == BREAKER_FORCED_CLOSED;
        if (!model->open || p->failures == 0)
                return true;
        if (now < model->open_until)
                return false;
        for (size_t i = 0; i < ELEMENTSOF(model->attempts); i++) {
                const Attempt *attempt = &model->attempts[i];
                if (attempt->under_way && attempt->counts && attempt->probe &&
                    now < attempt->lease_until)
                        return false;
        }
        return true;
}

static void model_admit(Model *model, Attempt *attempt, const BreakerPolicy *p, uint64_t now) {
        bool probe = model->force == BREAKER_AUTO && model->open && p->failures > 0;

        if (probe)
                model_strike_off(model);
        attempt->under_way = true;
        attempt->counts = model->force == BREAKER_AUTO;
        attempt->probe = probe;
        attempt->lease_until = now + LEASE;
}

static BreakerChange model_success(Model *model, const Attempt *attempt) {
        if (!attempt->counts)
                return BREAKER_UNCHANGED;
        model->failures = 0;
        if (!model->open)
                return BREAKER_UNCHANGED;
        model->open = false;
        return BREAKER_HAS_CLOSED;
}

static BreakerChange model_open_deferred(Model *model, const BreakerPolicy *p, uint64_t now) {
        if (model->open || p->failures == 0 || model->failures < p->failures)
                return BREAKER_UNCHANGED;
        return model_open(model, p, now);
}

static BreakerChange
model_failure(Model *model, const Attempt *attempt, const BreakerPolicy *p, uint64_t now, bool defer) {
        if (!attempt->counts)
                return BREAKER_UNCHANGED;
        model->failures++;
        if (model->open && attempt->probe && p->failures > 0)
                return model_open(model, p, now);
        return defer ? BREAKER_UNCHANGED : model_open_deferred(model, p, now);
}

static bool model_force(Model *model, BreakerForce force, uint64_t now) {
        BreakerState before = model_state(model, now);

        if (force != model->force) {
                model_strike_off(model);
                model->open = false;
                model->failures = 0;
        }
        model->force = force;
        return model_state(model, now) != before;
}

static void
end_attempt(Model *model, Breaker *breaker, Attempt *attempt, const BreakerPolicy *p, uint64_t now,
            uint64_t how) {
        attempt->under_way = false;
        if (how == 0)
                breaker_abandon(breaker, attempt->ticket);
        else if (how == 1)
                assert_int_equal(
                                breaker_success(breaker, attempt->ticket, now),
                                model_success(model, attempt));
        else
                assert_int_equal(
                                breaker_failure(breaker, p, attempt->ticket, now, how == 2),
                                model_failure(model, attempt, p, now, how == 2));
}

static void step(Model *model, Breaker *breaker, uint64_t now, uint64_t *seed) {
        const BreakerPolicy p = { chance(seed, 5), chance(seed, 3) * NSEC_PER_SEC };
        Attempt *attempt = &model->attempts[chance(seed, ELEMENTSOF(model->attempts))];
        uint64_t what = chance(seed, 100);

        assert_int_equal(breaker_state(breaker, now), model_state(model, now));
        assert_int_equal(breaker->failures, model->failures);
        assert_int_equal(
                        breaker_open_left(breaker, now),
                        model->open ? time_sub(model->open_until, now) : 0);

        if (what < 2)
                assert_int_equal(
                                breaker_open_deferred(breaker, &p, now),
                                model_open_deferred(model, &p, now));
        else if (what < 4) {
                breaker_forgive(breaker);
                if (!model->open)
                        model->failures = 0;
        } else if (what < 6) {
                BreakerForce force = (BreakerForce) chance(seed, 3);
                assert_int_equal(breaker_force(breaker, force, now), model_force(model, force, now));
        } else if (attempt->under_way)
                end_attempt(model, breaker, attempt, &p, now, chance(seed, 6));
        else {
                bool admits = model_admits(model, &p, now);
                assert_int_equal(breaker_would_admit(breaker, &p, now), admits);
                assert_int_equal(breaker_admit(breaker, &p, now, LEASE, &attempt->ticket), admits);
                if (admits) {
                        model_admit(model, attempt, &p, now);
                        assert_int_equal(attempt->ticket.probe, attempt->probe);
                }
        }
}

static void test_random_histories(void **state) {
        Breaker breaker = {};
        Model model = {};
        uint64_t now = NOW, seed = 42;
        unsigned seen[BREAKER_STATE_COUNT] = {};

        for (unsigned i = 0; i < 200000; i++) {
                now += chance(&seed, 2) * chance(&seed, 2 * NSEC_PER_SEC);
                step(&model, &breaker, now, &seed);
                seen[breaker_state(&breaker, now)]++;
        }
        for (size_t i = 0; i < ELEMENTSOF(seen); i++)
                assert_true(seen[i] > 10000); /* the histories lead everywhere */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_opens_at_the_count),
                cmocka_unit_test(test_one_failure_suffices),
                cmocka_unit_test(test_success_resets_the_count),
                cmocka_unit_test(test_off_never_opens),
                cmocka_unit_test(test_abandoned_attempts_count_nothing),
                cmocka_unit_test(test_stays_open),
                cmocka_unit_test(test_earlier_attempts_count_nothing),
                cmocka_unit_test(test_one_probe_of_many),
                cmocka_unit_test(test_asking_takes_nothing),
                cmocka_unit_test(test_probe_success_closes),
                cmocka_unit_test(test_open_time_grows),
                cmocka_unit_test(test_probe_is_not_deferred),
                cmocka_unit_test(test_lost_probe),
                cmocka_unit_test(test_late_probe),
                cmocka_unit_test(test_abandoned_probe),
                cmocka_unit_test(test_clock_jumps),
                cmocka_unit_test(test_open_for_ever),
                cmocka_unit_test(test_forced_open),
                cmocka_unit_test(test_forced_closed),
                cmocka_unit_test(test_force_under_a_probe),
                cmocka_unit_test(test_force_again),
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_deferred),
                cmocka_unit_test(test_deferred_below_the_count),
                cmocka_unit_test(test_deferred_no_longer),
                cmocka_unit_test(test_forgive),
                cmocka_unit_test(test_policy_tightened),
                cmocka_unit_test(test_policy_relaxed),
                cmocka_unit_test(test_policy_turned_off),
                cmocka_unit_test(test_policy_turned_off_under_a_probe),
                cmocka_unit_test(test_random_histories),
        };
        return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
