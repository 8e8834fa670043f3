/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Queries, as the control interface sees them: a question goes in, one reply in JSON comes out,
 * exactly once, by its deadline. What a query is made of (plan, fetches, tasks, aggregate) is not
 * seen here. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct QueryEngine QueryEngine; /* made by the supervisor */
typedef struct Query Query;

typedef enum QueryPolicy {
        QUERY_BEST_EFFORT,
        QUERY_FAIL_FAST,
} QueryPolicy;

typedef enum QueryCacheUse {
        QUERY_CACHE_USE,    /* a fresh copy stands in for its source */
        QUERY_CACHE_BYPASS, /* all are asked */
        QUERY_CACHE_ONLY,   /* none is */
} QueryCacheUse;

typedef struct QueryParameter {
        const char *name;
        const char *value;
} QueryParameter;

/* All strings are borrowed for the duration of the call. */
typedef struct QueryRequest {
        const char *question; /* UTF-8, 1 to 8,192 bytes, not ended by NUL */
        size_t question_size;
        const char *const *sources; /* names */
        size_t n_sources;
        bool all_sources; /* `sources` was not given: all that are enabled */
        const QueryParameter *parameters;
        size_t n_parameters;
        uint64_t deadline_ns; /* length, from now; 0: QueryTimeoutSec */
        QueryPolicy policy;
        unsigned max_passages; /* 0 to MAX_PASSAGES */
        unsigned quorum;       /* answer when that many sources are ok; 0: all */
        QueryCacheUse cache;
        bool batch;       /* interactive ones go first */
        uint32_t user;    /* uid of who asks */
        bool want_events; /* call `event` for each source */
} QueryRequest;

typedef struct QueryCallbacks {
        /* A source has been processed: the text of {"source":…,"result":…,"inference":…}. */
        void (*event)(Query *query, const char *json, size_t size, void *userdata);
        /* The answer, once, last: the text of one JSON object. Afterwards `query` is gone. */
        void (*done)(Query *query, const char *json, size_t size, void *userdata);
        void *userdata;
} QueryCallbacks;

typedef enum QueryRefusal {
        QUERY_ACCEPTED,
        QUERY_NO_SUCH_SOURCE,    /* `which` is its name */
        QUERY_INVALID_PARAMETER, /* `which` is the field's name */
        QUERY_STOPPING,
        QUERY_OVERLOADED, /* retry_after_ms */
        QUERY_NO_MEMORY,
} QueryRefusal;

typedef struct QueryRefused {
        const char *which; /* borrowed from the request or static */
        uint64_t retry_after_ms;
} QueryRefused;

/* Callbacks come from the loop, never from within this call. */
QueryRefusal
query_start(QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
            Query **ret, QueryRefused *ret_refused);

/* The client is gone: no callback any more; fetches, sockets and tasks are cancelled. */
void query_cancel(Query *query);

/* The plan, nothing is sent: the text of {"sources":[…]}; *ret_json is freed by the caller. */
QueryRefusal
query_explain(QueryEngine *engine, const QueryRequest *request, char **ret_json, size_t *ret_size,
              QueryRefused *ret_refused);

size_t query_open(const QueryEngine *engine); /* now running */
