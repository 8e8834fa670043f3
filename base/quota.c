/* SPDX-License-Identifier: Apache-2.0 */

/* Why the k-th never has more than bound / k: after a grant within the bound that is so for any
 * division of it. After a grant within a share, who got it has at most bound / holders, and k is no
 * greater than that number; and whoever it has overtaken, and who is now the k-th, has no more than
 * it. Giving back makes none of them greater. */

#include <assert.h>

#include "quota.h"

/* `have + more` is no more than `most`, without an overflow. */
static bool fits(size_t have, size_t more, size_t most) {
        return have <= most && more <= most - have;
}

bool quota_grants(const Quota *quota, size_t held, size_t amount) {
        size_t holders = quota->holders + (held == 0);

        return fits(quota->total, amount, quota->bound) || fits(held, amount, quota->bound / holders);
}

bool quota_take(Quota *quota, size_t *held, size_t amount) {
        if (amount == 0)
                return true;
        if (!quota_grants(quota, *held, amount))
                return false;
        quota->holders += *held == 0;
        quota->total += amount;
        *held += amount;
        return true;
}

void quota_give_back(Quota *quota, size_t *held, size_t amount) {
        assert(amount <= *held && *held <= quota->total);
        if (amount == 0)
                return;
        quota->total -= amount;
        *held -= amount;
        quota->holders -= *held == 0;
}
