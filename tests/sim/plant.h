/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bugs planted on purpose, to see that the simulator finds them. They sit between parts of the
 * program (--wrap), in the test binary alone, and strike once in a run. */

#include <stdbool.h>
#include <stdint.h>

/* None unless called. False: there is no such bug. */
bool plant_choose(const char *name);
/* The names, one by one; NULL behind the last. */
const char *plant_name(unsigned number);

void plant_begin(uint64_t seed);
/* The next timer to be set is a query's deadline. */
void plant_query_starts(void);
/* The budget of retries has said no. */
bool plant_ignores_budget(void);
