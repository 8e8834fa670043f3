/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a source has said to one request, and what workers have read in it. Shared by all queries
 * that asked at once, and kept by the cache; never changed but for its readings. */

#include <stdbool.h>
#include <stdint.h>

#include "fetch.h"
#include "list.h"

typedef struct Finding {
        unsigned references;
        Source *source;
        char *key; /* names source and request; NULL: it is no answer to one */
        FetchOutcome fetch;
        uint64_t arrived; /* ns */

        List readings;            /* under way, or done and worth keeping (reading.h) */
        size_t kept;              /* bytes of those that are done */
        struct CacheEntry *entry; /* where the cache keeps it; NULL: not */
        bool dropped;             /* the cache has let it go, for good */
} Finding;

/* Takes over the outcome and the key when it succeeds; NULL: no memory. The caller has one
 * reference. */
Finding *finding_new(Source *source, FetchOutcome *outcome, char **key, uint64_t now);
Finding *finding_ref(Finding *finding);
Finding *finding_unref(Finding *finding); /* takes NULL; returns NULL */
