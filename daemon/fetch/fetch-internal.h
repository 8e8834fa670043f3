/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to daemon/fetch/: the rooms of a fetch. fetch.c is its state machine; what keeps it from
 * asking is in fetch-leave.c, what an attempt teaches in fetch-learn.c, what it brings in
 * fetch-outcome.c. */

#include <stdbool.h>
#include <stdint.h>

#include "fetch.h"
#include "macro.h"

static inline Io *fetch_io(const Fetch *fetch) {
        return fetch->context->attempt.io;
}

/* ---- fetch-outcome.c ---- */

void outcome_fail(FetchOutcome *outcome, Verdict verdict, const char *format, ...) PRINTF_LIKE(3, 4);
/* The verdict is that of the last attempt; why there is no further one is said with it. */
void outcome_add_note(FetchOutcome *outcome, const char *note);
/* The attempt is the last word so far; it hands over what it has. */
void outcome_take(FetchOutcome *outcome, Attempt *attempt);

/* ---- fetch-leave.c ---- */

/* Why an attempt does not begin. */
typedef struct Refusal {
        Verdict verdict;
        Stage stage;
        char *text; /* NULL: the verdict's own words */
} Refusal;

/* The time within which an attempt has to end, ns. */
uint64_t fetch_room(const Fetch *fetch, uint64_t now);
/* No time for an attempt that begins after `pause`. */
bool fetch_too_late(const Fetch *fetch, uint64_t now, uint64_t pause);

/* What keeps an attempt from beginning now, of what can be known without waiting: breaker, 429,
 * Daily=, time. */
bool fetch_refused(const Fetch *fetch, uint64_t now, Refusal *ret);
/* The rate alone would let one who joins the line now begin too late. */
bool fetch_rate_too_slow(const Fetch *fetch, uint64_t now, Refusal *ret);
/* The breaker is open, and will be after `pause`; of a half open one nobody knows yet. */
bool fetch_breaker_refuses(const Fetch *fetch, uint64_t now, uint64_t pause, Refusal *ret);
/* Counts and tells it, and makes it the outcome when there was no attempt before. */
void fetch_refuse(Fetch *fetch, Refusal *refusal);

/* Takes one of Daily=; false: none is left. */
bool fetch_take_quota(const Fetch *fetch);

/* ---- fetch-learn.c ---- */

/* An attempt has ended: breaker, blame and latency learn of it. */
void fetch_learn(Fetch *fetch, const Attempt *attempt);
/* Nobody waited for its end, which says nothing about the source but that it took that long. */
void fetch_learn_withdrawn(Fetch *fetch, const Attempt *attempt);
