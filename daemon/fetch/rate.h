/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How often something may happen: a token bucket, a least interval, a number a day. Pure: time is
 * passed in. */

#include <stdbool.h>
#include <stdint.h>

/* ---- token bucket and interval ---- */

/* tokens or period_ns 0: no bucket. */
typedef struct RatePolicy {
        uint64_t tokens;      /* so many in … */
        uint64_t period_ns;   /* … that time, and at once when none was taken for as long */
        uint64_t interval_ns; /* least time from one to the next; 0: none */
} RatePolicy;

/* All-zero is a full bucket. Kept as the time at which the bucket would be full (the "generic cell
 * rate algorithm", ITU-T I.371), so nothing has to be topped up. */
typedef struct Rate {
        uint64_t full_at; /* the bucket's debt ends then */
        uint64_t last;    /* when the last one was taken; 0: never */
} Rate;

/* When the next one may be taken, at `now` or later. Takes nothing. */
uint64_t rate_next(const Rate *rate, const RatePolicy *policy, uint64_t now);
/* Takes one; the caller has made sure that rate_next() is not later than `now`. */
void rate_take(Rate *rate, const RatePolicy *policy, uint64_t now);
/* Gives back the one taken last, which was not used. */
void rate_return(Rate *rate, const RatePolicy *policy);
/* When the `n`-th from now (1: the next) may be taken if all before it are taken as early as they
 * may: no caller can have it earlier. TIME_INFINITY on overflow. */
uint64_t rate_nth(const Rate *rate, const RatePolicy *policy, uint64_t now, uint64_t n);

/* ---- a number a day ---- */

/* Days are those of UTC, counted from 1970. All-zero is valid. */
typedef struct DailyQuota {
        uint32_t day;
        uint32_t used;
} DailyQuota;

uint32_t daily_used(const DailyQuota *quota, uint64_t unix_ms);
/* False when `limit` have been taken that day (0: no bound; it is counted all the same). A clock
 * that goes back to an earlier day does not refill it. */
bool daily_take(DailyQuota *quota, uint64_t limit, uint64_t unix_ms);
/* The one taken last was not used. */
void daily_return(DailyQuota *quota);
/* Time until it is full again, ns. */
uint64_t daily_reset_in(uint64_t unix_ms);
