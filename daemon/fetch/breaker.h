/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A circuit breaker: keeps a source that fails from being asked until it may have recovered. Pure:
 * time is passed in.
 *
 *     CLOSED ──`failures` consecutive failed attempts──▶ OPEN ──open time over──▶ HALF_OPEN
 *       ▲                                                 ▲                           │
 *       └──────────────────── its probe succeeds ─────────┼───────────────────────────┤
 *                                                         └──── its probe fails ──────┘
 *
 * While it is half open, one attempt goes through, the probe. It holds a lease, so that one whose
 * end is never told cannot jam the breaker. The open time doubles with every probe that fails, up
 * to ten times the configured one. An attempt is known by the ticket that it was admitted with: one
 * admitted before the breaker opened says nothing about what came after. A policy that turns the
 * breaker off while it is open lets every attempt through; the first that succeeds closes it. */

#include <stdbool.h>
#include <stdint.h>

typedef enum BreakerState {
        BREAKER_CLOSED,
        BREAKER_OPEN,
        BREAKER_HALF_OPEN, /* the open time is over: a probe is under way or the next attempt is one */
        BREAKER_STATE_COUNT,
} BreakerState;

/* SetBreaker: an administrator's word goes before what is measured, and nothing is measured while
 * it holds. */
typedef enum BreakerForce {
        BREAKER_AUTO,
        BREAKER_FORCED_OPEN,
        BREAKER_FORCED_CLOSED,
} BreakerForce;

typedef struct BreakerPolicy {
        uint64_t failures; /* consecutive ones that open it; 0: it never opens */
        uint64_t open_ns;
} BreakerPolicy;

/* All-zero is a closed breaker. */
typedef struct Breaker {
        BreakerForce force;
        uint64_t failures; /* consecutive ones */
        bool opened;       /* by itself, and not closed since */
        unsigned openings; /* consecutive ones: how far the open time has grown */
        uint64_t open_until;
        uint64_t lease_until; /* of the probe under way; 0: none is */
        uint64_t ticket;      /* changes whenever outcomes of earlier attempts stop to count */
} Breaker;

typedef struct BreakerTicket {
        uint64_t number;
        bool probe;
} BreakerTicket;

/* What an outcome has changed: for the log and for who watches. */
typedef enum BreakerChange {
        BREAKER_UNCHANGED,
        BREAKER_HAS_OPENED, /* also: again, by a probe that failed */
        BREAKER_HAS_CLOSED,
} BreakerChange;

BreakerState breaker_state(const Breaker *breaker, uint64_t now);
const char *breaker_state_name(BreakerState state); /* closed, open, half_open */
const char *breaker_force_name(BreakerForce force); /* auto, open, closed */
/* -EINVAL */
int breaker_force_from_name(const char *name, BreakerForce *ret);

/* How long it stays open, ns; 0 unless it is open by itself. */
uint64_t breaker_open_left(const Breaker *breaker, uint64_t now);

/* Would breaker_admit() let an attempt through now? Takes nothing. */
bool breaker_would_admit(const Breaker *breaker, const BreakerPolicy *policy, uint64_t now);

/* May an attempt begin? When it may and the breaker is half open, it is the probe and holds the
 * lease for `lease_ns`. An attempt that was admitted ends with exactly one of the three below. */
bool breaker_admit(
                Breaker *breaker, const BreakerPolicy *policy, uint64_t now, uint64_t lease_ns,
                BreakerTicket *ret);

BreakerChange breaker_success(Breaker *breaker, BreakerTicket ticket, uint64_t now);
/* `defer`: count it, yet do not open now even when the count is reached (our own network may be to
 * blame); breaker_open_deferred() does when that turns out wrong. A probe that fails is not
 * deferred: the breaker is open anyway. */
BreakerChange
breaker_failure(Breaker *breaker, const BreakerPolicy *policy, BreakerTicket ticket, uint64_t now,
                bool defer);
/* It ended without a word about the source (cancelled, no place, no memory, 429): a probe gives its
 * lease back, so that the next attempt may be one; nothing is counted. */
void breaker_abandon(Breaker *breaker, BreakerTicket ticket);

/* Opens it when its count had been reached while opening was deferred. */
BreakerChange breaker_open_deferred(Breaker *breaker, const BreakerPolicy *policy, uint64_t now);
/* Forgets the failures counted so far; only of a closed one. */
void breaker_forgive(Breaker *breaker);

/* AUTO starts from a clean count, unless it is AUTO already. True when the state has changed. */
bool breaker_force(Breaker *breaker, BreakerForce force, uint64_t now);
