/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One seeded run of the whole, as scenario.c draws it. */

#include <stdint.h>

/* From start to end; returns its hash. Ends the program when something is wrong. */
uint64_t run_seed(uint64_t seed);
