/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Stands between whoever asks (control/, or a caller without it) and daemon/query/: the linker
 * sends calls of query_start() and query_cancel() here first (--wrap). Every query is held to its
 * contract: one answer by the deadline that passes answer_check(), or none after query_cancel(). */

#include "world.h"

void watch_begin(World *world);
/* All must have ended by now. */
void watch_end(void);

size_t watch_open(void);
/* Some have been refused because too many were open. */
bool watch_overloaded(void);
