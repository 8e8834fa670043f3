/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A bound that several holders share, such that none can take all from the others.
 *
 * Something is granted while all together stay within the bound, or while whoever asks for it stays
 * within its share: the bound divided by the number of those who hold some. So nothing is kept free
 * for nobody, one alone may have all, and a newcomer gets its share even when another has taken
 * everything; nothing is taken back for that.
 *
 * The price is that the total may pass the bound. By how much is bounded, too: of the holders in
 * the order of what they hold, the k-th has never more than bound / k, so all of n have at most
 * bound * (1 + 1/2 + ... + 1/n), and those behind the bound-th have nothing. */

#include <stdbool.h>
#include <stddef.h>

/* Set `bound` and leave the rest at 0; then only quota_take() and quota_give_back() change it. */
typedef struct Quota {
        size_t bound;
        size_t total;   /* that is held */
        size_t holders; /* who hold more than nothing */
} Quota;

/* Whether one who holds `held` may have `amount` more, which is not 0. */
bool quota_grants(const Quota *quota, size_t held, size_t amount);

/* *held belongs to one holder and begins at 0. False: not granted, nothing has changed. */
bool quota_take(Quota *quota, size_t *held, size_t amount);
void quota_give_back(Quota *quota, size_t *held, size_t amount);
