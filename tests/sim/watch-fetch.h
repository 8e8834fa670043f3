/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Stands between the rules of daemon/fetch/ and the requests: the linker sends calls of
 * attempt_start() and of a few others here first (--wrap). Every request is held to what is
 * configured for its source, by books that are kept here and not by those of the daemon. */

#include "world.h"

/* The sources are there, nothing has been asked. */
void watch_fetch_begin(World *world);

/* Of one source, so far. */
typedef struct FetchCount {
        unsigned firsts; /* requests that were the first of their fetch */
        unsigned extras; /* retries and hedges */
        unsigned probes;
        unsigned openings; /* of its breaker */
} FetchCount;
FetchCount watch_fetch_count(const char *name);

/* For FetchContext. */
void watch_breaker_changed(void *userdata, const Source *source);
