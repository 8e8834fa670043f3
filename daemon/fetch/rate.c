/* SPDX-License-Identifier: Apache-2.0 */

/* A bucket of N tokens that gets one back every token_ns() is known by the time at which it will be
 * full. Every token taken moves that time on by one token's, and k tokens are in it as soon as no
 * more than N - k tokens' time is left until then. */

#include "clock.h"
#include "macro.h"
#include "rate.h"

#define DAY_MS UINT64_C(86400000)

static uint64_t time_mul(uint64_t ns, uint64_t n) {
        uint64_t product;
        return __builtin_mul_overflow(ns, n, &product) ? TIME_INFINITY : product;
}

/* Rounded up, so that a period never has more tokens than it may; 0: there is no bucket. */
static uint64_t token_ns(const RatePolicy *policy) {
        if (policy->tokens == 0)
                return 0;
        return policy->period_ns / policy->tokens + (policy->period_ns % policy->tokens > 0);
}

/* When the `n`-th token from now is there, if the bucket will be full at `full_at`. */
static uint64_t token_at(const RatePolicy *policy, uint64_t full_at, uint64_t n) {
        uint64_t token = token_ns(policy);

        if (token == 0)
                return 0;
        if (n > policy->tokens)
                return time_add(full_at, time_mul(token, n - policy->tokens));
        return time_sub(full_at, time_mul(token, policy->tokens - n));
}

uint64_t rate_next(const Rate *rate, const RatePolicy *policy, uint64_t now) {
        uint64_t next = MAX(now, token_at(policy, rate->full_at, 1));

        return rate->last > 0 ? MAX(next, time_add(rate->last, policy->interval_ns)) : next;
}

void rate_take(Rate *rate, const RatePolicy *policy, uint64_t now) {
        rate->full_at = time_add(MAX(rate->full_at, now), token_ns(policy));
        rate->last = now;
}

/* The one before the last was an interval earlier at least, so it holds nothing up any more. */
void rate_return(Rate *rate, const RatePolicy *policy) {
        rate->full_at = time_sub(rate->full_at, token_ns(policy));
        rate->last = 0;
}

/* The bucket and the interval each bound it; that the first can be late counts for both. */
uint64_t rate_nth(const Rate *rate, const RatePolicy *policy, uint64_t now, uint64_t n) {
        uint64_t first = rate_next(rate, policy, now);
        uint64_t full_at = MAX(rate->full_at, first);

        return MAX(token_at(policy, full_at, n),
                   time_add(first, time_mul(policy->interval_ns, n - 1)));
}

/* ---- a number a day ---- */

static uint32_t day_of(uint64_t unix_ms) {
        return (uint32_t) (unix_ms / DAY_MS);
}

uint32_t daily_used(const DailyQuota *quota, uint64_t unix_ms) {
        return day_of(unix_ms) > quota->day ? 0 : quota->used;
}

bool daily_take(DailyQuota *quota, uint64_t limit, uint64_t unix_ms) {
        uint32_t used = daily_used(quota, unix_ms);

        quota->day = MAX(quota->day, day_of(unix_ms));
        quota->used = used;
        if (limit > 0 && used >= limit)
                return false;
        quota->used += used < UINT32_MAX;
        return true;
}

void daily_return(DailyQuota *quota) {
        quota->used -= quota->used > 0;
}

uint64_t daily_reset_in(uint64_t unix_ms) {
        return (DAY_MS - unix_ms % DAY_MS) * NSEC_PER_MSEC;
}
