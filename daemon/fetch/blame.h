/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Is it the source, or is it our own network? When requests to at least two origins fail at `dns`
 * or `connect` and none succeeds, no source is to blame, and no breaker may open for it. Pure.
 *
 * What has failed is only known to be joint once the second origin has failed too, and to be the
 * sources' own fault only once another origin has answered, maybe later. So while two or more
 * origins have failed since anything succeeded, opening is deferred (breaker.h); the next response
 * settles it:
 *
 *   - it comes from an origin that had failed as well: the network was down and is back; what
 *     failed meanwhile is forgiven;
 *   - it comes from one that had not: the network was up all along; the others have failed by
 *     themselves, and the breakers whose count is reached open now, provided their failure is
 *     recent (BLAME_RECENT); older ones are forgiven.
 *
 * A doubt does not pass by itself: after hours without a request, the next response still settles
 * what was deferred. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLAME_ORIGINS 16u /* failing at once that are told apart; more are as good as that many */
#define BLAME_RECENT  (UINT64_C(15) * 1000000000)
#define BLAME_EXPIRES (UINT64_C(60) * 1000000000) /* a failure older than that joins no other */

typedef struct BlameFailure {
        uint64_t origin; /* hash of scheme, host and port, never 0 */
        uint64_t when;   /* of its last failure; 0: the place is free */
        bool network;    /* at `dns` or `connect`: this one, or one before it that still counted */
} BlameFailure;

/* All-zero is valid. */
typedef struct Blame {
        BlameFailure failures[BLAME_ORIGINS]; /* of origins since they answered last */
        uint64_t last_response;               /* of any origin; 0: never */
} Blame;

typedef enum BlameVerdict {
        BLAME_NONE,    /* nothing was in doubt */
        BLAME_NETWORK, /* ours was down: forgive */
        BLAME_SOURCES, /* theirs: open what was deferred */
} BlameVerdict;

/* An attempt has failed. `network`: at dns or connect; otherwise (time out, reset) it is only noted
 * that this origin does not answer. */
void blame_failure(Blame *blame, uint64_t origin, bool network, uint64_t now);

/* A response has come, of whatever status. */
BlameVerdict blame_response(Blame *blame, uint64_t origin, uint64_t now);

/* Two origins at least have failed at dns or connect since the last response, within
 * BLAME_EXPIRES. */
bool blame_suspects_network(const Blame *blame, uint64_t now);
