/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What happens in one run, all of it derived from the seed: sources and what they do, queries,
 * clients, faults, workers and resources. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chance.h"
#include "config.h"
#include "io-sim.h"
#include "query.h"
#include "vocabulary.h"

#define SCENARIO_SOURCES 30u
#define SCENARIO_QUERIES 24u
#define POISON           "poison!" /* within a document */
#define TOKEN_SIZE       8u /* "Q000001" and its NUL: names a query wherever its question goes */

/* BEHAVIOUR(NAME, verdicts): what a source does, and every verdict that this alone explains. */
#define BEHAVIOURS(BEHAVIOUR)                                                   \
        BEHAVIOUR(ANSWERS, V(OK))                                               \
        BEHAVIOUR(CLOSES_KEPT, V(OK)) /* its connections, after a while */      \
        BEHAVIOUR(DRIPS, V(OK))                                                 \
        BEHAVIOUR(EARLY, V(OK))           /* before it has the whole request */ \
        BEHAVIOUR(INTERIM, V(OK))         /* 1xx responses first */             \
        BEHAVIOUR(EXTRA, V(OK) | V(HTTP)) /* bytes after the response */        \
        BEHAVIOUR(NO_CONTENT, V(EMPTY))                                         \
        BEHAVIOUR(NOTHING, V(EMPTY))                                            \
        BEHAVIOUR(STATUS, V(HTTP))                                              \
        BEHAVIOUR(TOO_MANY, V(QUOTA))                                           \
        BEHAVIOUR(NEVER, V(TIMEOUT))                                            \
        BEHAVIOUR(STOPS, V(TIMEOUT)) /* somewhere in its response */            \
        BEHAVIOUR(CUT, V(HTTP))                                                 \
        BEHAVIOUR(RESET, V(HTTP))                                               \
        BEHAVIOUR(GARBAGE, V(HTTP))                                             \
        BEHAVIOUR(TOO_LARGE, V(TOO_LARGE))                                      \
        BEHAVIOUR(BROKEN_JSON, V(DECODE))                                       \
        BEHAVIOUR(CODING, V(DECODE))        /* one that was not asked for */    \
        BEHAVIOUR(REFUSED, V(REJECTED))     /* by the source's rules */         \
        BEHAVIOUR(POISON, V(WORKER))        /* its documents kill workers */    \
        BEHAVIOUR(LACKS_VALUE, V(REJECTED)) /* for a placeholder */             \
        BEHAVIOUR(UNREACHABLE, V(CONNECT))                                      \
        BEHAVIOUR(NO_NAME, V(DNS))                                              \
        BEHAVIOUR(NAME_NEVER, V(TIMEOUT))                                       \
        BEHAVIOUR(SIMULATED, V(OK))                                             \
        BEHAVIOUR(SIMULATED_FAILS, V(OK) | V(CONNECT))

typedef enum Behaviour {
#define BEHAVIOUR(name, verdicts) BEHAVIOUR_##name,
        BEHAVIOURS(BEHAVIOUR)
#undef BEHAVIOUR
        BEHAVIOUR_COUNT,
} Behaviour;

typedef enum Framing {
        FRAMING_LENGTH,
        FRAMING_CHUNKED,
        FRAMING_CLOSE,
        FRAMING_COUNT,
} Framing;

typedef enum Format {
        FORMAT_JSON,
        FORMAT_TEXT,
        FORMAT_HTML,
        FORMAT_COUNT,
} Format;

typedef struct SourceScript {
        char name[8]; /* "s07" */
        Behaviour behaviour;
        Framing framing;
        Format format;
        uint32_t verdicts;         /* the mask of those that its behaviour explains */
        uint64_t think_ns;         /* before it responds, at most … */
        bool exact;                /* … or exactly */
        unsigned well_percent;     /* of the requests: answered as if nothing were wrong */
        int status;                /* of STATUS; 0: one that is drawn each time */
        unsigned retry_after_s;    /* said with 429 and 503; 0: not */
        const char *cache_control; /* said with every response; NULL: nothing */
        uint64_t fresh_ns;         /* what that allows; UINT64_MAX: it leaves it to TTLSec= */
        unsigned past_answers;     /* known from before: so many answers … */
        uint64_t past_ns;          /* … that took one to so many times as long */
        size_t body_size;
        bool rules; /* Select=/data and Success=/data */
        unsigned server;
} SourceScript;

/* Who asks. */
typedef enum Asker {
        ASKER_CALLER, /* query_start(), no control server between */
        ASKER_POLITE, /* a client that asks, waits for the reply, and closes */
        ASKER_HALF_CLOSES,
        ASKER_PIPELINES, /* other calls before and after the query */
        ASKER_VANISHES,
        ASKER_DEAF,  /* never reads */
        ASKER_SLOW,  /* a byte a second */
        ASKER_TALKS, /* no Varlink */
        ASKER_COUNT,
} Asker;

typedef struct QueryScript {
        char token[TOKEN_SIZE];
        char question[256];
        Asker asker;
        uint64_t start_ns; /* after the beginning of the run */
        uint64_t deadline_ns;
        uint64_t leave_ns; /* after the start: withdrawn; 0: not */
        QueryPolicy policy;
        unsigned max_passages;
        unsigned quorum;
        QueryCacheUse cache;
        bool batch;
        uint32_t user;
        bool events;
        bool all;
        bool unknown; /* one of the names is that of no source */
        const char *names[SCENARIO_SOURCES + 1];
        size_t n_names;
} QueryScript;

typedef struct Scenario {
        bool calm; /* nothing goes wrong but for what sources do: verdicts are determined */
        SimOptions sim;
        Config *config;
        SourceScript sources[SCENARIO_SOURCES];
        size_t n_sources;
        unsigned n_servers;
        QueryScript queries[SCENARIO_QUERIES];
        size_t n_queries;

        size_t arena_size;
        bool arena_tight;
        size_t max_unread; /* reply bytes of one client; 0: the server's default */
        unsigned workers;
        uint64_t worker_tasks;
        uint64_t task_timeout_ns;
        uint64_t start_timeout_ns;
        uint64_t service_ns;        /* of a task, at most */
        unsigned misdeed_permyriad; /* tasks that go wrong, of 10,000 */
        unsigned bad_start_percent; /* workers that never become ready */

        bool busy;                     /* many queries to few sources */
        bool crowded;                  /* MaxConcurrent= holds requests up */
        bool poisoned;                 /* there is a source that kills workers */
        uint64_t stop_ns;              /* SIGTERM, after the beginning */
        bool stop_late;                /* all is over by then */
        uint64_t second_ns;            /* a second one, after the first; 0: none */
        uint64_t descriptors_short_ns; /* when descriptors run out for a while; 0: never */
} Scenario;

void scenario_make(Scenario *ret, uint64_t seed);
void scenario_deinit(Scenario *scenario);

const SourceScript *scenario_source(const Scenario *scenario, const char *name, size_t size);
/* Verdicts that the circumstances explain, whatever the source does. */
uint32_t scenario_verdicts(const Scenario *scenario);
/* Verdicts that the source explains: by what it does, and by what is configured for it. */
uint32_t scenario_source_verdicts(const Scenario *scenario, const SourceScript *script);
/* How long its answers are fresh; 0: they are not kept. */
uint64_t scenario_fresh_ns(const Scenario *scenario, const SourceScript *script);

static inline uint32_t verdict_bit(Verdict verdict) {
        return UINT32_C(1) << verdict;
}
