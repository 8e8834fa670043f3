/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Strings to pointers, open addressing, seeded by the caller (keys may come from clients). Keys are
 * borrowed: they must live as long as the entry, so use a field of the value. */

#include <stddef.h>
#include <stdint.h>

typedef struct HashMap {
        struct HashEntry *entries;
        size_t count;    /* live entries */
        size_t used;     /* live and removed entries */
        size_t capacity; /* a power of two, or 0 */
        uint64_t seed;
} HashMap;

void hash_map_deinit(HashMap *map);

/* -EEXIST when the key is there already, -ENOMEM. */
int hash_map_put(HashMap *map, const char *key, void *value);
void *hash_map_get(const HashMap *map, const char *key);
void *hash_map_get_n(const HashMap *map, const char *key, size_t size);
/* Returns the value, or NULL. */
void *hash_map_remove(HashMap *map, const char *key);

/* Iterates: start with *cursor = 0; NULL at the end. The map must not change meanwhile. */
void *hash_map_next(const HashMap *map, size_t *cursor);

/* A 64-bit hash of bytes, also used as checksum of results in shared memory (not cryptographic). */
uint64_t hash_bytes(const void *data, size_t size, uint64_t seed);
