/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Numbers that follow from a seed alone (splitmix64). */

#include <stdbool.h>
#include <stdint.h>

typedef struct Chance {
        uint64_t state;
} Chance;

static inline uint64_t chance_next(Chance *chance) {
        uint64_t x = chance->state += UINT64_C(0x9e3779b97f4a7c15);

        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        return x ^ x >> 31;
}

/* 0 to n - 1 */
static inline uint64_t chance_below(Chance *chance, uint64_t n) {
        return chance_next(chance) % n;
}

/* low to high, both included */
static inline uint64_t chance_between(Chance *chance, uint64_t low, uint64_t high) {
        return low + chance_below(chance, high - low + 1);
}

/* Small and large numbers are equally likely: the number of digits is what is drawn. */
static inline uint64_t chance_scale(Chance *chance, uint64_t high) {
        uint64_t bits = 64 - (uint64_t) __builtin_clzll(high | 1);
        uint64_t less = chance_below(chance, bits);

        return chance_below(chance, high + 1) >> less;
}

static inline bool chance_percent(Chance *chance, unsigned percent) {
        return chance_below(chance, 100) < percent;
}
