/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whoever asks the scenario's queries: callers of query_start(), and clients of the control socket
 * that behave or do not. */

#include "world.h"

typedef struct Askers Askers;

/* Their calls stand in the simulator's calendar from then on. */
Askers *askers_new(World *world);
/* All is over: has everybody got what was due? */
void askers_check(const Askers *askers);
Askers *askers_free(Askers *askers);
