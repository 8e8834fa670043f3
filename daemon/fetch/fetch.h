/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Fetching one document from one source, with all that it takes: leave (breaker, quota, places,
 * rate), attempts, pauses, a hedge; at most TimeoutSec in whole. Ends once, by `done` with a
 * verdict, or silently by fetch_cancel().
 *
 * Nothing starts that cannot finish: an attempt begins only when what is left of the time is at
 * least the source's median. */

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "attempt.h"
#include "blame.h"
#include "gate.h"
#include "source.h"
#include "story.h"
#include "vocabulary.h"

/* What all fetches share. */
typedef struct FetchContext {
        AttemptContext attempt;
        SourceTable *sources;
        Gate gate; /* MaxConcurrent= */
        Blame blame;
        /* A breaker has changed; Daily= has been drawn upon. May be NULL. */
        void (*breaker_changed)(void *userdata, const Source *source);
        void (*quota_changed)(void *userdata);
        void *userdata;
} FetchContext;

/* What a fetch has brought; whoever takes it over from a Fetch deinits it. */
typedef struct FetchOutcome {
        Verdict verdict;      /* OK: there is a document (EMPTY: there is none, 204) */
        char *error;          /* for people; NULL when ok */
        int status;           /* HTTP status of the last response, 0: none */
        uint64_t bytes;       /* of its body as received */
        ArenaBlock *document; /* NULL when there is none */
        MediaType media;
        ContentCoding coding;
        char charset[CHARSET_MAX];
        CacheControl cache;
        unsigned attempts; /* requests made, hedges included */
        uint64_t start;    /* of the attempt that this is the outcome of, ns; 0: none was made */
        uint64_t end;
        Story story;
} FetchOutcome;

void fetch_outcome_deinit(FetchOutcome *outcome);

typedef struct Fetch Fetch;
struct Fetch {
        /* Set by the caller. */
        FetchContext *context;
        Source *source;
        const char *request; /* as source_render_request() made it; borrowed until it ends */
        size_t request_size;
        bool batch;       /* interactive ones go first */
        uint64_t give_up; /* ns; nobody waits longer, so nothing is begun that may end later. May be
                           * moved while it runs */
        void (*done)(Fetch *fetch);

        FetchOutcome outcome; /* valid in and after `done` */

        /* private */
        enum {
                FETCH_ENDED, /* or not begun */
                FETCH_IN_LINE,
                FETCH_TRYING,
                FETCH_PAUSING,
        } state;
        bool hedged;    /* there has been a hedge */
        unsigned tries; /* attempts but for the hedge, those under way included */
        uint64_t start;
        uint64_t deadline;      /* TimeoutSec */
        uint64_t waiting_since; /* in line or pausing */
        Attempt first;
        Attempt *hedge; /* NULL until there is one */
        IoTimer timer;  /* deadline */
        IoTimer pause;  /* the next attempt, or the hedge, begins */
        IoTask begin;
};

/* 0 when `done` will be called, from the loop; otherwise a negative errno. */
int fetch_start(Fetch *fetch);
/* Afterwards `done` is not called. Harmless when it has ended. */
void fetch_cancel(Fetch *fetch);
/* Cancels it and drops what the outcome holds. */
void fetch_deinit(Fetch *fetch);

/* A request is on its way. */
bool fetch_under_way(const Fetch *fetch);

/* How it stands, of one that goes on: a copy for someone who cannot wait for the end. */
void fetch_look(const Fetch *fetch, FetchOutcome *ret);

/* What an attempt would get, for Explain: its time, and when it would be hedged (0: not). */
uint64_t fetch_attempt_timeout(const Source *source);
uint64_t fetch_hedge_delay(const Source *source);
