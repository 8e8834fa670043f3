/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A world for cases that are written by hand: a few sources, workers that do as they should, and a
 * network in which nothing goes wrong but for what sources do. Every call ends the program when
 * something fails. */

#include <jansson.h>

#include "world.h"

typedef struct Lab {
        World world;
        size_t n_asked;
} Lab;

/* ---- building ---- */

/* Empty; the scenario's configuration and circumstances may be changed until lab_start(). */
Lab *lab_new(void);
/* One more source with a server of its own: what it does, after which time, and "Key=value" lines
 * up to NULL. */
SourceScript *
lab_source(Lab *lab, const char *name, Behaviour behaviour, uint64_t think_ns,
           const char *const settings[]);
/* The parts are made; the workers are ready. */
void lab_start(Lab *lab);
/* Goes on until nothing can be under way any more, then ends; nothing may be left. */
void lab_free(Lab *lab);

/* ---- running ---- */

uint64_t lab_now(const Lab *lab);
void lab_run(Lab *lab, uint64_t length_ns);
void lab_run_until(Lab *lab, uint64_t when);

/* ---- asking ---- */

typedef struct Reply {
        Lab *lab;
        Query *query; /* NULL: it has ended */
        QueryRefusal refusal;
        QueryRefused refused;
        uint64_t start;
        uint64_t end;
        json_t *answer; /* NULL: none yet, or none at all */
} Reply;

/* Starts a query. Of `request`, question_size is filled in, and what is 0 gets a default: the
 * question one of its own, the sources all, the deadline 10 s. The reply stays where it is until it
 * is dropped. */
void lab_ask(Lab *lab, Reply *reply, QueryRequest request);
/* The same, and runs until it has ended. */
void lab_ask_and_wait(Lab *lab, Reply *reply, QueryRequest request);
void reply_wait(Reply *reply);
/* The client goes. */
void reply_withdraw(Reply *reply);
void reply_drop(Reply *reply);

/* "" when the answer has none. */
const char *reply_verdict(const Reply *reply, const char *source);
const char *reply_origin(const Reply *reply, const char *source);
const char *reply_completeness(const Reply *reply);

/* ---- looking ---- */

Source *lab_find(const Lab *lab, const char *source);
BreakerState lab_breaker(const Lab *lab, const char *source);
/* Requests to it so far. */
unsigned lab_requests(const char *source);
