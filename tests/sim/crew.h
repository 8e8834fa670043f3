/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The simulated workers: they share memory with the pool as the real ones do, and die, hang and
 * write nonsense as the scenario has it. */

#include "world.h"

typedef struct Crew Crew;

Crew *crew_new(World *world);
Crew *crew_free(Crew *crew);

/* For SimOptions; `userdata` is the World. */
int crew_spawn(Io *io, IoProcess *process, const IoSpawn *spawn, void *userdata);
void crew_kill(Io *io, IoProcess *process, int signal, void *userdata);
