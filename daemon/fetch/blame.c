/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "blame.h"
#include "clock.h"
#include "macro.h"

/* The place of the origin; when it has none, one that is free, or else that of the oldest failure.
 * A free place is as old as can be. */
static BlameFailure *blame_place(Blame *blame, uint64_t origin) {
        BlameFailure *oldest = &blame->failures[0];

        for (size_t i = 0; i < ELEMENTSOF(blame->failures); i++) {
                BlameFailure *failure = &blame->failures[i];
                if (failure->origin == origin)
                        return failure;
                if (failure->when < oldest->when)
                        oldest = failure;
        }
        return oldest;
}

/* A response at the very time of a failure shows that the network was up. */
static bool failure_stands(const Blame *blame, const BlameFailure *failure) {
        return failure->when > blame->last_response;
}

/* Can it make, with another one, the network suspect at `now`? */
static bool failure_joins(const Blame *blame, const BlameFailure *failure, uint64_t now) {
        return failure->network && failure_stands(blame, failure) &&
                        time_sub(now, failure->when) <= BLAME_EXPIRES;
}

void blame_failure(Blame *blame, uint64_t origin, bool network, uint64_t now) {
        BlameFailure *place = blame_place(blame, origin);
        bool joined = place->origin == origin && failure_joins(blame, place, now);

        *place = (BlameFailure){ .origin = origin, .when = now, .network = network || joined };
}

bool blame_suspects_network(const Blame *blame, uint64_t now) {
        unsigned origins = 0;

        for (size_t i = 0; i < ELEMENTSOF(blame->failures); i++)
                origins += failure_joins(blame, &blame->failures[i], now);
        return origins >= 2;
}

/* Was the network suspect when it was last seen to fail? */
static bool blame_suspected_network(const Blame *blame) {
        uint64_t last = 0;

        for (size_t i = 0; i < ELEMENTSOF(blame->failures); i++)
                if (blame->failures[i].network)
                        last = MAX(last, blame->failures[i].when);
        return blame_suspects_network(blame, last);
}

static bool blame_is_recent(const Blame *blame, uint64_t now) {
        for (size_t i = 0; i < ELEMENTSOF(blame->failures); i++) {
                const BlameFailure *failure = &blame->failures[i];
                if (failure_stands(blame, failure) && time_sub(now, failure->when) > BLAME_RECENT)
                        return false;
        }
        return true;
}

BlameVerdict blame_response(Blame *blame, uint64_t origin, uint64_t now) {
        BlameFailure *place = blame_place(blame, origin);
        bool failed = place->origin == origin;
        BlameVerdict verdict = BLAME_NONE;

        if (blame_suspected_network(blame))
                verdict = failed || !blame_is_recent(blame, now) ? BLAME_NETWORK : BLAME_SOURCES;

        if (verdict == BLAME_NETWORK)
                memset(blame->failures, 0, sizeof(blame->failures));
        else if (failed)
                *place = (BlameFailure){};
        blame->last_response = now;
        return verdict;
}
