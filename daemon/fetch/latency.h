/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How long a source takes: quantiles over its recent past. A histogram with eight buckets to the
 * doubling of time (so a quantile is at most 9% too high), halved when it is full, so that old
 * samples fade. Pure. */

#include <stdbool.h>
#include <stdint.h>

#define LATENCY_BUCKETS 256u
#define LATENCY_FULL    1024u

typedef struct Latency {
        uint64_t count; /* samples ever */
        uint32_t held;  /* samples in the buckets */
        uint16_t buckets[LATENCY_BUCKETS];
} Latency;

void latency_add(Latency *latency, uint64_t ns);

/* The `quantile` (0 to 1) in ns; 0 when there is no sample. */
uint64_t latency_quantile(const Latency *latency, double quantile);
/* The same from below: it is that or more. */
uint64_t latency_least(const Latency *latency, double quantile);

/* Enough samples to decide by. */
#define LATENCY_ENOUGH 16u
static inline bool latency_trusted(const Latency *latency) {
        return latency->held >= LATENCY_ENOUGH;
}
