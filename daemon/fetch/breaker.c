/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "breaker.h"
#include "clock.h"
#include "macro.h"

const char *breaker_state_name(BreakerState state) {
        static const char *const names[] = {
                [BREAKER_CLOSED] = "closed",
                [BREAKER_OPEN] = "open",
                [BREAKER_HALF_OPEN] = "half_open",
        };
        return names[state];
}

static const char *const force_names[] = {
        [BREAKER_AUTO] = "auto",
        [BREAKER_FORCED_OPEN] = "open",
        [BREAKER_FORCED_CLOSED] = "closed",
};

const char *breaker_force_name(BreakerForce force) {
        return force_names[force];
}

int breaker_force_from_name(const char *name, BreakerForce *ret) {
        for (size_t i = 0; i < ELEMENTSOF(force_names); i++)
                if (strcmp(force_names[i], name) == 0) {
                        *ret = (BreakerForce) i;
                        return 0;
                }
        return -EINVAL;
}

/* A forced breaker is never `opened`: breaker_force() starts anew, and nothing counts after it. */
BreakerState breaker_state(const Breaker *breaker, uint64_t now) {
        if (breaker->force == BREAKER_FORCED_OPEN)
                return BREAKER_OPEN;
        if (!breaker->opened)
                return BREAKER_CLOSED;
        return now < breaker->open_until ? BREAKER_OPEN : BREAKER_HALF_OPEN;
}

uint64_t breaker_open_left(const Breaker *breaker, uint64_t now) {
        return breaker->opened ? time_sub(breaker->open_until, now) : 0;
}

/* ---- attempts begin ---- */

/* The policy has turned it off since it opened. */
static bool breaker_is_ignored(const Breaker *breaker, const BreakerPolicy *policy) {
        return breaker->opened && policy->failures == 0;
}

bool breaker_would_admit(const Breaker *breaker, const BreakerPolicy *policy, uint64_t now) {
        BreakerState state = breaker_state(breaker, now);

        return state == BREAKER_CLOSED || breaker_is_ignored(breaker, policy) ||
                        (state == BREAKER_HALF_OPEN && now >= breaker->lease_until);
}

bool breaker_admit(
                Breaker *breaker, const BreakerPolicy *policy, uint64_t now, uint64_t lease_ns,
                BreakerTicket *ret) {
        if (!breaker_would_admit(breaker, policy, now))
                return false;

        bool probe = breaker->opened && !breaker_is_ignored(breaker, policy);
        if (probe) {
                breaker->lease_until = time_add(now, lease_ns);
                breaker->ticket++; /* a probe that lost its lease is nobody's word any more */
        }
        *ret = (BreakerTicket){ .number = breaker->ticket, .probe = probe };
        return true;
}

/* ---- attempts end ---- */

static bool ticket_counts(const Breaker *breaker, BreakerTicket ticket) {
        return breaker->force == BREAKER_AUTO && ticket.number == breaker->ticket;
}

static BreakerChange breaker_open(Breaker *breaker, const BreakerPolicy *policy, uint64_t now) {
        static const unsigned growth[] = { 1, 2, 4, 8, 10 };
        uint64_t factor = growth[MIN(breaker->openings, ELEMENTSOF(growth) - 1)], open_ns;

        if (__builtin_mul_overflow(policy->open_ns, factor, &open_ns))
                open_ns = TIME_INFINITY;
        breaker->opened = true;
        breaker->openings++;
        breaker->open_until = time_add(now, open_ns);
        breaker->ticket++;
        return BREAKER_HAS_OPENED;
}

BreakerChange breaker_success(Breaker *breaker, BreakerTicket ticket, uint64_t now) {
        if (!ticket_counts(breaker, ticket))
                return BREAKER_UNCHANGED;

        bool opened = breaker->opened;
        *breaker = (Breaker){ .ticket = breaker->ticket };
        return opened ? BREAKER_HAS_CLOSED : BREAKER_UNCHANGED;
}

BreakerChange
breaker_failure(Breaker *breaker, const BreakerPolicy *policy, BreakerTicket ticket, uint64_t now,
                bool defer) {
        if (!ticket_counts(breaker, ticket))
                return BREAKER_UNCHANGED;

        breaker->failures++;
        if (!breaker->opened)
                return defer ? BREAKER_UNCHANGED : breaker_open_deferred(breaker, policy, now);

        breaker_abandon(breaker, ticket);
        if (ticket.probe && policy->failures > 0)
                return breaker_open(breaker, policy, now);
        return BREAKER_UNCHANGED;
}

void breaker_abandon(Breaker *breaker, BreakerTicket ticket) {
        if (ticket.probe && ticket.number == breaker->ticket)
                breaker->lease_until = 0;
}

BreakerChange breaker_open_deferred(Breaker *breaker, const BreakerPolicy *policy, uint64_t now) {
        bool reached = policy->failures > 0 && breaker->failures >= policy->failures;

        return reached && !breaker->opened ? breaker_open(breaker, policy, now) : BREAKER_UNCHANGED;
}

void breaker_forgive(Breaker *breaker) {
        if (!breaker->opened)
                breaker->failures = 0;
}

/* ---- an administrator's word ---- */

bool breaker_force(Breaker *breaker, BreakerForce force, uint64_t now) {
        if (force == breaker->force)
                return false;

        BreakerState before = breaker_state(breaker, now);
        *breaker = (Breaker){ .force = force, .ticket = breaker->ticket + 1 };
        return breaker_state(breaker, now) != before;
}
