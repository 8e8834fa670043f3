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
} QuerySummary;

typedef struct QueryEngineOptions {
        FetchContext fetch;
        Pool *pool;
        SourceTable *sources;
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
} QueryCounters;

int query_engine_new(QueryEngine **ret, const QueryEngineOptions *options);
/* New queries are refused from now on; running ones go on to their end. */
void query_engine_stop(QueryEngine *engine);
/* Cancels what runs; then `drained` comes as after the last one's end. */
void query_engine_cancel_all(QueryEngine *engine);
/* No query may be open. */
QueryEngine *query_engine_free(QueryEngine *engine);

QueryCounters query_engine_counters(const QueryEngine *engine);
