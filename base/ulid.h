/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* ULIDs (github.com/ulid/spec): 48 bits of milliseconds since 1970, 80 random bits, as 26
 * characters of Crockford's base 32. They sort by time. */

#include <stdint.h>

#define ULID_LENGTH 26

typedef struct Ulid {
        char text[ULID_LENGTH + 1];
} Ulid;

Ulid ulid_make(uint64_t unix_ms, uint64_t random_high, uint64_t random_low);
