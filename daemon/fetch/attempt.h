/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One attempt to get a document: resolve, connect, request, response, or the simulation of that.
 * Ends once, by `done`, or silently by attempt_cancel(). Whether there is another one is decided in
 * fetch.c. */

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "breaker.h"
#include "exchange.h"
#include "gate.h"
#include "io.h"
#include "source.h"
#include "story.h"
#include "vocabulary.h"

/* What attempts need of the daemon. */
typedef struct AttemptContext {
        Io *io;
        Net *net;
        Arena *arena;
        /* The arena is full: gives some of it back, if it can. */
        bool (*make_room)(void *userdata);
        void *userdata;
} AttemptContext;

typedef struct Attempt Attempt;
struct Attempt {
        /* Set by the caller. */
        const AttemptContext *context;
        Source *source;
        const char *request; /* borrowed while it runs */
        size_t request_size;
        uint64_t timeout_ns;
        bool untimed; /* the caller ends it before that anyway, so it needs no timer */
        void (*done)(Attempt *attempt);
        void *userdata;

        /* The caller's, for what it got leave for. */
        unsigned number; /* from 1 */
        GatePass own;    /* a place at the source … */
        GatePass all;    /* … and among all sources */
        BreakerTicket ticket;

        /* The outcome, valid in and after `done`. */
        Verdict verdict; /* OK: there is a document; EMPTY: there is none (204) */
        bool transient;  /* of a kind that may go better when tried again */
        bool responded;  /* the head of a response has come, of whatever status */
        char *error;     /* for people; NULL when ok */
        HttpHead head;   /* when `responded` */
        uint64_t bytes;  /* of the body as received */
        ArenaBlock *document;
        uint64_t start; /* ns; 0: never begun */
        uint64_t end;

        /* private */
        Exchange exchange;
        IoTimer timer;     /* timeout_ns */
        IoTimer latency;   /* simulate: only */
        uint64_t expected; /* Content-Length, 0: unknown */
        bool running;
};

/* 0 when `done` will be called, from the loop; otherwise a negative errno. */
int attempt_start(Attempt *attempt);
/* Afterwards `done` is not called. Harmless when it has ended. */
void attempt_cancel(Attempt *attempt);
/* Drops what the outcome holds; it may be started again. */
void attempt_clear(Attempt *attempt);

/* Its steps so far as spans; what is under way ends now. */
void attempt_tell(const Attempt *attempt, Story *story, uint64_t now);
