/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Fetching one document from one source: at most TimeoutSec, one attempt in this version. Ends
 * once, by `done` with a verdict, or silently by fetch_cancel(). */

#include <stdint.h>

#include "arena.h"
#include "exchange.h"
#include "io.h"
#include "source.h"
#include "vocabulary.h"

typedef struct FetchContext {
        Io *io;
        Net *net;
        Arena *arena;
} FetchContext;

/* One attempt, for the timeline. */
typedef struct FetchAttempt {
        uint64_t start;
        uint64_t end;
        ExchangeTimes times;
        bool reused; /* went over a kept connection */
} FetchAttempt;

typedef struct Fetch Fetch;
struct Fetch {
        /* Set by the caller. */
        const FetchContext *context;
        Source *source;
        void (*done)(Fetch *fetch);

        /* The outcome, valid in and after `done`. */
        Verdict verdict; /* VERDICT_OK: there is a document (or VERDICT_EMPTY: there is none, 204) */
        char *error;     /* for people; NULL when ok; freed by fetch_deinit() */
        int status;      /* HTTP status, 0: none */
        uint64_t bytes;  /* of the body as received */
        ArenaBlock *document; /* NULL when there is none; a reference of the fetch */
        MediaType media;
        ContentCoding coding;
        char charset[CHARSET_MAX];
        FetchAttempt attempt;
        unsigned attempts; /* begun */

        /* private */
        Exchange exchange;
        IoTimer timer;   /* TimeoutSec */
        IoTimer latency; /* simulate: only */
        IoTask task;
        char *request;
        size_t question_size; /* simulate: only; the question is `request` then */
        uint64_t expected;    /* Content-Length, 0: unknown */
        bool running;
};

/* `values` hold the question and the parameters, for this call only. 0 when `done` will be called,
 * from the loop; otherwise a negative errno. */
int fetch_start(Fetch *fetch, const TemplateValue values[], size_t n_values);
/* Afterwards `done` is not called. Harmless when it has ended. */
void fetch_cancel(Fetch *fetch);
/* Drops what the outcome holds. */
void fetch_deinit(Fetch *fetch);
