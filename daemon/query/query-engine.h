/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The supervisor's side of queries: making the engine, stopping it, looking at it. */

#include "aggregate.h"
#include "fetch.h"
#include "pool.h"
#include "query.h"
#include "source.h"

/* What ended, for the log and the counters; valid during the call. */
typedef struct QuerySummary {
        const AnswerInput *input;
        Completeness completeness;
        bool withdrawn; /* the client went away: there is no answer */
        bool stored;    /* answered from the cache as a whole; `input` names no sources */
} QuerySummary;

typedef struct QueryEngineOptions {
        FetchContext fetch; /* its gate, blame and make_room are the engine's */
        Pool *pool;
        SourceTable *sources;
        uint64_t max_concurrent; /* requests in flight to all sources; 0: no bound */
        size_t max_queries;
        size_t cache_entries; /* 0: no cache */
        uint64_t default_deadline_ns;
        uint64_t max_deadline_ns;
        /* A query has ended / no query is left after query_engine_stop(). */
        void (*ended)(void *userdata, const QuerySummary *summary);
        void (*drained)(void *userdata);
        void *userdata;
} QueryEngineOptions;

typedef struct QueryCounters {
        uint64_t total;
        uint64_t failed; /* `success` false */
        uint64_t withdrawn;
        uint64_t refused; /* MaxQueries= */
        uint64_t stored;  /* answered from the cache as a whole */
        size_t cache_entries;
        size_t cache_bytes; /* on the heap; documents lie in the arena */
        size_t alone;       /* requests that nobody waits for any more */
} QueryCounters;

int query_engine_new(QueryEngine **ret, const QueryEngineOptions *options);
/* New queries are refused from now on; running ones go on to their end. */
void query_engine_stop(QueryEngine *engine);
/* Cancels what runs; then `drained` comes as after the last one's end. */
void query_engine_cancel_all(QueryEngine *engine);
/* No query may be open. */
QueryEngine *query_engine_free(QueryEngine *engine);

/* Returns how many entries it had. */
size_t query_engine_flush_cache(QueryEngine *engine);

QueryCounters query_engine_counters(const QueryEngine *engine);
