/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to daemon/query/: a query and its sources, and what all queries share. */

#include <stdbool.h>

#include "admission.h"
#include "answer-store.h"
#include "cache.h"
#include "flight.h"
#include "group.h"
#include "plan.h"
#include "query-engine.h"
#include "reading.h"
#include "ulid.h"

typedef struct QuerySource {
        Query *query;
        Source *source;
        enum {
                SOURCE_FETCHING, /* or about to */
                SOURCE_READING,
                SOURCE_FAILING, /* about to: `step` tells it */
                SOURCE_ENDED,
        } state;
        GroupMember member;
        IoTask step; /* what can be told at once is told from the loop, as everything is */
        FlightFollower flight;
        ReadingFollower reading;
        bool read; /* it was waited for: its result counts */

        Finding *asked; /* what the source said to this query; NULL: it was not asked, or is silent */
        Finding *shown; /* what the answer shows of it: that, a kept one, or a substitute */
        Origin origin;  /* of `shown` */
        uint64_t age_ns;
        uint64_t fresh_until; /* of one from the cache, ns */
        bool reused;          /* all that is shown was there when the query began */
        Story story;          /* decisions of this query */

        Verdict verdict;
        Stage stage;
        char *error;         /* NULL: that of `asked`, or the verdict's own words */
        const char *refusal; /* static text: why the plan does not ask it */
        char *fallback_key;  /* of [Fallback] Source=, until it is needed */
        bool failed;         /* verdict, stage and error are final; a substitute is looked for */
} QuerySource;

struct Query {
        QueryEngine *engine;
        List node;
        Ulid id;
        QueryCallbacks callbacks;
        bool want_events;
        bool withdrawn;
        bool batch;
        QueryCacheUse cache;
        Verdict cancel_verdict; /* of sources that a cancel ends */
        bool quorum_reached;
        unsigned max_passages;
        unsigned quorum; /* 0: all */
        unsigned n_ok;
        unsigned n_required; /* still going on */
        uint64_t start;
        uint64_t deadline;
        IoTimer timer;
        Group group;
        ArenaBlock *question;
        AdmissionTicket admission;
        char *answer_key;     /* NULL: its answer is not kept as a whole */
        StoredAnswer *stored; /* the answer is there already; then no source is asked */
        size_t n_sources;
        QuerySource sources[];
};

struct QueryEngine {
        QueryEngineOptions options;
        Io *io;
        FetchContext fetch;
        Flights flights;
        ReadingContext reading;
        bool caches; /* there is a source whose answers are kept */
        Cache cache;
        AnswerStore answers;
        Admission admission;
        List queries;
        size_t open;
        QueryCounters counters;
        bool stopping;
        bool drained;
        IoTask drain;
};

/* ---- query-source.c ---- */

/* What a request is known by: "source\nrequest"; freed by the caller. Errors as from
 * source_render_request(). */
int query_source_key(
                const Source *source, const TemplateValue values[], size_t n_values, char **ret,
                const char **ret_missing);

void query_source_init(Query *query, QuerySource *source, const PlanEntry *entry);
/* Asks, or says from the loop why not. `values` are for this call only. */
void query_source_start(QuerySource *source, const TemplateValue values[], size_t n_values);
void query_source_deinit(QuerySource *source);
AnswerSource query_source_answer(const QuerySource *source);

/* ---- query.c ---- */

/* The source has ended; called once for each, before it leaves the group. */
void query_source_ended(Query *query, QuerySource *source);
/* A block of the arena; entries of the cache give way. */
int engine_alloc(QueryEngine *engine, size_t size, ArenaBlock **ret);
