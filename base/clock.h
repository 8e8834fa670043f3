/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Arithmetic of time. All times inside muster are nanoseconds of CLOCK_MONOTONIC in a uint64_t, and
 * come from io_now() in the daemon; nothing here reads a clock. */

#include <stdint.h>

#define NSEC_PER_USEC UINT64_C(1000)
#define NSEC_PER_MSEC UINT64_C(1000000)
#define NSEC_PER_SEC  UINT64_C(1000000000)

/* Later than any deadline: "never". */
#define TIME_INFINITY UINT64_MAX

static inline uint64_t time_add(uint64_t a, uint64_t b) {
        uint64_t sum;
        return __builtin_add_overflow(a, b, &sum) ? TIME_INFINITY : sum;
}

/* a - b, or 0 when b is later. */
static inline uint64_t time_sub(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

static inline double time_to_ms(uint64_t ns) {
        return (double) ns / (double) NSEC_PER_MSEC;
}
