/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "answer-store.h"
#include "cleanup.h"
#include "clock.h"
#include "json-writer.h"

#define KEY_MAX 4096u

void answer_store_init(AnswerStore *store, size_t max_entries, size_t max_bytes, uint64_t hash_seed) {
        *store = (AnswerStore){
                .map.seed = hash_seed,
                .max_entries = max_entries,
                .max_bytes = max_bytes,
        };
        list_init(&store->used);
}

StoredAnswer *stored_answer_unref(StoredAnswer *answer) {
        if (!answer || --answer->references > 0)
                return NULL;
        free(answer->key);
        free(answer->json);
        free(answer);
        return NULL;
}

static size_t answer_bytes(const StoredAnswer *answer) {
        return sizeof(*answer) + strlen(answer->key) + answer->size;
}

static void store_drop(AnswerStore *store, StoredAnswer *answer) {
        store->bytes -= answer_bytes(answer);
        (void) hash_map_remove(&store->map, answer->key);
        list_remove(&answer->node);
        stored_answer_unref(answer);
}

void answer_store_flush(AnswerStore *store) {
        LIST_FOREACH_SAFE(node, &store->used)
                store_drop(store, LIST_ENTRY(node, StoredAnswer, node));
}

void answer_store_deinit(AnswerStore *store) {
        answer_store_flush(store);
        hash_map_deinit(&store->map);
}

/* ---- keys ---- */

/* A number in characters that are no NUL. */
static void key_put_number(Buffer *key, size_t number) {
        do {
                (void) buffer_append_char(key, (char) ('0' + (number & 63)));
                number >>= 6;
        } while (number > 0);
        (void) buffer_append_char(key, ' ');
}

/* With its length before it, no text can run into the next one. */
static void key_put(Buffer *key, const char *text, size_t size) {
        key_put_number(key, size);
        (void) buffer_append(key, text, size);
}

char *answer_key(const QueryRequest *request) {
        Buffer key = BUFFER_INIT(KEY_MAX);

        if (request->cache != QUERY_CACHE_USE || request->want_events)
                return NULL;
        key_put_number(&key, request->max_passages);
        key_put_number(&key, request->quorum);
        key_put_number(&key, request->policy);
        key_put_number(&key, request->all_sources);
        key_put(&key, request->question, request->question_size);
        for (size_t i = 0; i < request->n_sources; i++)
                key_put(&key, request->sources[i], strlen(request->sources[i]));
        for (size_t i = 0; i < request->n_parameters; i++) {
                (void) buffer_append_char(&key, '=');
                key_put(&key, request->parameters[i].name, strlen(request->parameters[i].name));
                key_put(&key, request->parameters[i].value, strlen(request->parameters[i].value));
        }
        char *text = buffer_steal(&key);
        if (!text)
                buffer_deinit(&key);
        return text;
}

/* ---- answers ---- */

StoredAnswer *answer_store_find(AnswerStore *store, const char *key, uint64_t now) {
        StoredAnswer *answer = hash_map_get(&store->map, key);

        if (!answer)
                return NULL;
        if (now >= answer->fresh_until) {
                store_drop(store, answer);
                return NULL;
        }
        list_remove(&answer->node);
        list_append(&store->used, &answer->node);
        answer->references++;
        return answer;
}

static StoredAnswer *answer_new(const Buffer *json, const AnswerMarks *marks, uint64_t fresh_until) {
        StoredAnswer *answer = calloc(1, sizeof(*answer));
        char *copy = malloc(json->size);

        if (!answer || !copy) {
                free(answer);
                free(copy);
                return NULL;
        }
        memcpy(copy, json->data, json->size);
        *answer = (StoredAnswer){
                .references = 1,
                .json = copy,
                .size = json->size,
                .marks = *marks,
                .fresh_until = fresh_until,
        };
        list_init(&answer->node);
        return answer;
}

void answer_store_put(
                AnswerStore *store, char *key, const Buffer *json, const AnswerMarks *marks,
                uint64_t fresh_until) {
        StoredAnswer *old = hash_map_get(&store->map, key);
        StoredAnswer *answer;

        if (old)
                store_drop(store, old);
        answer = store->max_entries > 0 ? answer_new(json, marks, fresh_until) : NULL;
        if (!answer) {
                free(key);
                return;
        }
        answer->key = key;
        list_append(&store->used, &answer->node);
        store->bytes += answer_bytes(answer);
        if (hash_map_put(&store->map, answer->key, answer) < 0)
                return store_drop(store, answer);
        LIST_FOREACH_SAFE(node, &store->used) {
                if (store->map.count <= store->max_entries && store->bytes <= store->max_bytes)
                        return;
                store_drop(store, LIST_ENTRY(node, StoredAnswer, node));
        }
}

void stored_answer_write(
                const StoredAnswer *answer, const char *query_id, uint64_t execution_ns, Buffer *out) {
        const AnswerMarks *marks = &answer->marks;
        size_t after_id = marks->id_at + strlen(query_id);
        JsonWriter w = json_writer(out);

        (void) buffer_reserve(out, answer->size + 32);
        (void) buffer_append(out, answer->json, marks->id_at);
        (void) buffer_append_string(out, query_id);
        (void) buffer_append(out, answer->json + after_id, marks->time_at - after_id);
        json_put_double(&w, NULL, (double) execution_ns / (double) NSEC_PER_SEC, 6);
        (void) buffer_append(out, answer->json + marks->time_end, answer->size - marks->time_end);
}
