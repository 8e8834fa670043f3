/* SPDX-License-Identifier: Apache-2.0 */

/* The budget is a ring of seconds: second s is in bucket s modulo their number. */

#include "clock.h"
#include "macro.h"
#include "retry.h"

uint64_t
retry_pause(uint64_t first_ns, uint64_t max_ns, unsigned attempts, uint64_t retry_after_ns,
            uint64_t random) {
        unsigned doublings = MIN(attempts - 1, 63u);
        uint64_t most = first_ns > max_ns >> doublings ? max_ns : first_ns << doublings;
        /* The upper half of the product: `random` taken for a fraction of 2^64. */
        __extension__ unsigned __int128 product = (unsigned __int128) random * most;

        return MAX((uint64_t) (product >> 64), retry_after_ns);
}

/* Empties the buckets of the seconds that have passed. */
static void budget_advance(RetryBudget *budget, uint64_t now) {
        uint64_t second = now / NSEC_PER_SEC;
        uint64_t passed = MIN(time_sub(second, budget->second), (uint64_t) RETRY_BUDGET_BUCKETS);

        for (uint64_t i = 0; i < passed; i++) {
                uint64_t bucket = (second - i) % RETRY_BUDGET_BUCKETS;
                budget->requests[bucket] = budget->retries[bucket] = 0;
        }
        budget->second = MAX(budget->second, second);
}

static unsigned budget_left(const RetryBudget *budget) {
        unsigned requests = 0, retries = 0;

        for (unsigned i = 0; i < RETRY_BUDGET_BUCKETS; i++) {
                requests += budget->requests[i];
                retries += budget->retries[i];
        }
        unsigned most = MAX((unsigned) (requests * RETRY_BUDGET_SHARE), RETRY_BUDGET_LEAST);
        return most > retries ? most - retries : 0;
}

void retry_budget_request(RetryBudget *budget, uint64_t now) {
        budget_advance(budget, now);
        budget->requests[budget->second % RETRY_BUDGET_BUCKETS]++;
}

bool retry_budget_take(RetryBudget *budget, uint64_t now) {
        budget_advance(budget, now);
        if (budget_left(budget) == 0)
                return false;
        budget->retries[budget->second % RETRY_BUDGET_BUCKETS]++;
        return true;
}

unsigned retry_budget_left(const RetryBudget *budget, uint64_t now) {
        RetryBudget advanced = *budget;

        budget_advance(&advanced, now);
        return budget_left(&advanced);
}
