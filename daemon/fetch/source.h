/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A configured source made ready: templates compiled, connection key parsed, constant request
 * headers written once; and what is known of it at run time. */

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "breaker.h"
#include "config.h"
#include "freshness.h"
#include "gate.h"
#include "hash-map.h"
#include "json-writer.h"
#include "latency.h"
#include "rate.h"
#include "retry.h"
#include "simulate.h"
#include "template.h"
#include "url.h"
#include "vocabulary.h"

typedef struct Source {
        const SourceConfig *config;
        const char *name;     /* config->name */
        Url url;              /* its target is a sample; requests have their own */
        size_t target_offset; /* where in the configured URL the request target begins */
        Template target;      /* of what stands from there on */
        Template body;
        char *head; /* " HTTP/1.1\r\nHost: …\r\n", all constant headers, each with its line end */
        Simulation simulation;
        ArenaBlock *rules; /* [Result] keys for workers; NULL: none */
        EngineKind engine;

        uint64_t origin; /* hash of scheme, host and port, never 0 */
        BreakerPolicy breaker_policy;
        FreshnessPolicy freshness;
        struct Source *fallback; /* [Fallback] Source= */

        /* run time */
        unsigned in_flight; /* attempts */
        Gate gate;          /* Concurrency=, Rate=, MinIntervalSec= */
        Breaker breaker;
        RetryBudget budget;
        DailyQuota daily;
        Latency latency;       /* of attempts that brought a document, or took too long to */
        uint64_t asked_at;     /* ns; the start of the last attempt */
        uint64_t hold_until;   /* ns; it answered 429 and wants no request before that */
        bool network_failures; /* some failures that its breaker has counted may be our network's */
        uint64_t counters[COUNTER_COUNT];
        uint64_t verdicts[VERDICT_COUNT]; /* in queries */
        uint64_t bytes;                   /* of bodies, as received */
} Source;

typedef struct SourceTable {
        Source **sources; /* by falling priority, then by name */
        size_t count;
        HashMap by_name;
} SourceTable;

/* Rules go into the arena. The configuration must outlive the table. Negative errno; the URLs have
 * been checked with source_check_url() and source_check_body() before. */
int source_table_new(SourceTable **ret, const Config *config, Arena *arena, Io *io, uint64_t hash_seed);
/* No request may be in flight or wait. */
SourceTable *source_table_free(SourceTable *table);
Source *source_table_find(const SourceTable *table, const char *name);

/* Everything about a source's URL and Body that only this layer understands. -EINVAL with the key,
 * the offset in its value and a message that the caller frees. `userdata` is not used. */
int source_check_url(
                const SourceConfig *config, void *userdata, const char **ret_key,
                size_t *ret_offset, char **ret_message);
int source_check_body(
                const SourceConfig *config, void *userdata, const char **ret_key,
                size_t *ret_offset, char **ret_message);

/* Appends the request as it goes over the wire; for simulate: the question alone, on which its
 * answer depends. -ENOENT: a parameter without a default is missing; -EMSGSIZE: too long. */
int source_render_request(
                const Source *source, const TemplateValue values[], size_t n_values, Buffer *out,
                const char **ret_missing);
/* The URL that would be asked, secrets masked. The same errors. */
int source_render_url(
                const Source *source, const TemplateValue values[], size_t n_values, Buffer *out,
                const char **ret_missing);

/* What is left of Daily= today; UINT64_MAX without a limit. */
uint64_t source_daily_left(const Source *source, uint64_t unix_ms);

static inline void source_count(Source *source, SourceCounter counter) {
        source->counters[counter]++;
}

/* Members of an open object: the short form of ListSources; with `details` everything of
 * DescribeSource. */
void source_write(const Source *source, uint64_t now, uint64_t unix_ms, JsonWriter *w, bool details);
/* The breaker as one member. */
void source_write_breaker(const Source *source, uint64_t now, JsonWriter *w);
