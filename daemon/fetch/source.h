/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A configured source made ready: templates compiled, connection key parsed, constant request
 * headers written once; and what is known of it at run time. */

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "config.h"
#include "hash-map.h"
#include "json-writer.h"
#include "latency.h"
#include "simulate.h"
#include "template.h"
#include "url.h"
#include "vocabulary.h"

typedef struct Source {
        const SourceConfig *config;
        const char *name;     /* config->name */
        Url url;              /* its target is a sample; requests have their own */
        Template target;      /* renders the whole URL */
        size_t target_offset; /* where in the rendered URL the request target begins */
        Template body;
        char *head; /* " HTTP/1.1\r\nHost: …\r\n", all constant headers, each with its line end */
        Simulation simulation;
        ArenaBlock *rules; /* [Result] keys for workers; NULL: none */
        EngineKind engine;

        /* run time */
        unsigned in_flight;
        Latency latency; /* of fetches that brought a document */
        uint64_t requests;
        uint64_t verdicts[VERDICT_COUNT];
        uint64_t bytes;
        uint64_t failures; /* consecutive ones, of the kinds that would open a breaker */
} Source;

typedef struct SourceTable {
        Source **sources; /* by falling priority, then by name */
        size_t count;
        HashMap by_name;
} SourceTable;

/* Rules go into the arena. The configuration must outlive the table. Negative errno; the URLs have
 * been checked with source_check_url() and source_check_body() before. */
int source_table_new(SourceTable **ret, const Config *config, Arena *arena, uint64_t hash_seed);
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

/* The request as it goes over the wire. -ENOENT: a parameter without a default is missing. */
int source_render_request(
                const Source *source, const TemplateValue values[], size_t n_values, Buffer *out,
                const char **ret_missing);
/* The URL that would be asked, secrets masked. The same errors. */
int source_render_url(
                const Source *source, const TemplateValue values[], size_t n_values, Buffer *out,
                const char **ret_missing);

/* Counts what became of the source in one query. `latency_ns` counts only for answered ones. */
void source_record(Source *source, Verdict verdict, uint64_t bytes, uint64_t latency_ns);

/* Members of an open object: the short form of ListSources; with `details` everything of
 * DescribeSource. */
void source_write(const Source *source, JsonWriter *w, bool details);
