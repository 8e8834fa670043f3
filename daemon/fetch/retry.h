/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* When and whether to try again. Pure: time and chance are passed in. */

#include <stdbool.h>
#include <stdint.h>

/* ---- the pause before the next attempt ---- */

/* Exponential backoff with full jitter (M. Brooker, "Exponential Backoff And Jitter", AWS 2015):
 * evenly between 0 and min(max, first * 2^(attempts-1)), for `attempts` that have failed (from 1);
 * `random` is 64 random bits. Never less than what the source asked for in Retry-After
 * (`retry_after_ns`, 0: nothing), even if that is longer than `max_ns`. */
uint64_t
retry_pause(uint64_t first_ns, uint64_t max_ns, unsigned attempts, uint64_t retry_after_ns,
            uint64_t random);

/* ---- the budget ---- */

/* Retries and hedges together may be a fifth of the requests of the last ten seconds, and three at
 * least, so that a source in trouble gets little more than its share. */
#define RETRY_BUDGET_SHARE   0.2
#define RETRY_BUDGET_LEAST   3u
#define RETRY_BUDGET_BUCKETS 10u /* of one second */

/* All-zero is valid. */
typedef struct RetryBudget {
        uint64_t second;                         /* of the newest bucket */
        uint32_t requests[RETRY_BUDGET_BUCKETS]; /* first attempts */
        uint32_t retries[RETRY_BUDGET_BUCKETS];
} RetryBudget;

/* A first attempt has begun. */
void retry_budget_request(RetryBudget *budget, uint64_t now);
/* One more than the first: false when the budget is used up. */
bool retry_budget_take(RetryBudget *budget, uint64_t now);
/* How many could be taken now. */
unsigned retry_budget_left(const RetryBudget *budget, uint64_t now);
