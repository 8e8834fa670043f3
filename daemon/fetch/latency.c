/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"
#include "latency.h"
#include "macro.h"

/* Bucket numbers are floating-point numbers of microseconds in small: the position of the highest
 * bit and the three bits below it. */
#define SUB_BITS 3u

static unsigned bucket_of(uint64_t ns) {
        uint64_t us = ns / NSEC_PER_USEC + (1u << SUB_BITS);
        unsigned exponent = 63u - (unsigned) __builtin_clzll(us);
        unsigned mantissa = (unsigned) (us >> (exponent - SUB_BITS)) & ((1u << SUB_BITS) - 1);

        return MIN(((exponent - SUB_BITS) << SUB_BITS) | mantissa, LATENCY_BUCKETS - 1);
}

/* The greatest time that falls into the bucket. */
static uint64_t bucket_end(unsigned bucket) {
        unsigned exponent = bucket >> SUB_BITS;
        uint64_t mantissa = (bucket & ((1u << SUB_BITS) - 1)) + (1u << SUB_BITS);

        return (((mantissa + 1) << exponent) - (1u << SUB_BITS)) * NSEC_PER_USEC;
}

static void latency_fade(Latency *latency) {
        latency->held = 0;
        for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
                latency->buckets[i] /= 2;
                latency->held += latency->buckets[i];
        }
}

void latency_add(Latency *latency, uint64_t ns) {
        if (latency->held >= LATENCY_FULL)
                latency_fade(latency);
        latency->buckets[bucket_of(ns)]++;
        latency->held++;
        latency->count++;
}

static unsigned quantile_bucket(const Latency *latency, double quantile) {
        uint32_t rank = (uint32_t) (quantile * (double) (latency->held - 1)), seen = 0;
        unsigned bucket = 0;

        for (; bucket < LATENCY_BUCKETS - 1; bucket++) {
                seen += latency->buckets[bucket];
                if (seen > rank)
                        break;
        }
        return bucket;
}

uint64_t latency_quantile(const Latency *latency, double quantile) {
        return latency->held > 0 ? bucket_end(quantile_bucket(latency, quantile)) : 0;
}

uint64_t latency_least(const Latency *latency, double quantile) {
        unsigned bucket = latency->held > 0 ? quantile_bucket(latency, quantile) : 0;

        return bucket > 0 ? bucket_end(bucket - 1) : 0;
}
