/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whole answers kept for the next one who asks the same. Only an answer that came from the cache in
 * all its parts is kept (every source answered, every copy fresh), and no longer than the first of
 * its copies is fresh; so it is what composing it again would give, but for the identifier and the
 * time it took, which are put in anew. The least recently used goes first. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aggregate.h"
#include "buffer.h"
#include "hash-map.h"
#include "list.h"
#include "query.h"

typedef struct StoredAnswer {
        List node; /* least recently used first */
        unsigned references;
        char *key;
        char *json;
        size_t size;
        AnswerMarks marks;
        uint64_t fresh_until; /* ns */
} StoredAnswer;

typedef struct AnswerStore {
        HashMap map;
        List used;
        size_t max_entries;
        size_t max_bytes;
        size_t bytes;
} AnswerStore;

void answer_store_init(AnswerStore *store, size_t max_entries, size_t max_bytes, uint64_t hash_seed);
void answer_store_deinit(AnswerStore *store);
void answer_store_flush(AnswerStore *store);

/* What an answer depends on, as text; freed by the caller. NULL when it must not be shared, or is
 * too long to be worth it. */
char *answer_key(const QueryRequest *request);

/* A reference, or NULL. */
StoredAnswer *answer_store_find(AnswerStore *store, const char *key, uint64_t now);
StoredAnswer *stored_answer_unref(StoredAnswer *answer); /* takes NULL; returns NULL */
/* Copies the answer; takes over the key. */
void answer_store_put(
                AnswerStore *store, char *key, const Buffer *json, const AnswerMarks *marks,
                uint64_t fresh_until);

/* The answer's text with another identifier (of the same length) and another time. */
void stored_answer_write(
                const StoredAnswer *answer, const char *query_id, uint64_t execution_ns, Buffer *out);
