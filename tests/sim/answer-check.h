/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Is the answer to a query what DESIGN.md's contract says, given what its sources did? */

#include "world.h"

/* What one query asked for, and what was heard of it. */
typedef struct Asked {
        const World *world;
        char token[TOKEN_SIZE];
        char *question;
        QueryPolicy policy;
        unsigned max_passages;
        unsigned quorum;
        QueryCacheUse cache;
        uint64_t start;
        uint64_t deadline;
        bool asked[SCENARIO_SOURCES];
        size_t n_asked;
        bool reported[SCENARIO_SOURCES]; /* by an event, with this verdict */
        Verdict verdicts[SCENARIO_SOURCES];
        bool served[SCENARIO_SOURCES]; /* something is shown of it, be it a substitute */
        size_t n_reported;
} Asked;

/* With what has ended so far, in `verdicts` where `ended`: enough is there. */
bool asked_quorum_reached(const Asked *asked, const bool ended[], const Verdict verdicts[]);

/* Both end the program when something is wrong. */
void answer_check_event(Asked *asked, const char *json, size_t size, uint64_t now);
void answer_check(const Asked *asked, const char *json, size_t size, uint64_t now);
