/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hash-map.h"

/* Linear probing over a table of which at most three quarters are in use. A removed entry leaves a
 * tombstone, because the chains that pass over it must not be cut; tombstones count as used and go
 * away when the table is rebuilt, which happens in place (same capacity) when they are the reason
 * that it is full. The hash is kept with the key, so that a rebuild reads no key. */

struct HashEntry {
        uint64_t hash;
        const char *key; /* NULL: free; tombstone: removed */
        void *value;
};

typedef struct HashEntry HashEntry;

static const char tombstone[] = "";

static bool entry_live(const HashEntry *entry) {
        return entry->key && entry->key != tombstone;
}

void hash_map_deinit(HashMap *map) {
        free(map->entries);
        *map = (HashMap){ .seed = map->seed };
}

static void hash_map_place(HashEntry *entries, size_t capacity, HashEntry entry) {
        size_t i = entry.hash & (capacity - 1);

        while (entries[i].key)
                i = (i + 1) & (capacity - 1);
        entries[i] = entry;
}

static int hash_map_make_room(HashMap *map) {
        if (map->used < map->capacity / 4 * 3)
                return 0;

        size_t capacity = map->capacity ? map->capacity : 16;
        while (map->count >= capacity / 2)
                capacity *= 2;

        HashEntry *entries = calloc(capacity, sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        for (size_t i = 0; i < map->capacity; i++)
                if (entry_live(&map->entries[i]))
                        hash_map_place(entries, capacity, map->entries[i]);

        free(map->entries);
        map->entries = entries;
        map->capacity = capacity;
        map->used = map->count;
        return 0;
}

static HashEntry *hash_map_find(const HashMap *map, const char *key, size_t size, uint64_t hash) {
        if (map->count == 0)
                return NULL;

        for (size_t i = hash & (map->capacity - 1);; i = (i + 1) & (map->capacity - 1)) {
                HashEntry *entry = &map->entries[i];

                if (!entry->key)
                        return NULL;
                if (entry->hash == hash && entry->key != tombstone &&
                    strncmp(entry->key, key, size) == 0 && entry->key[size] == '\0')
                        return entry;
        }
}

int hash_map_put(HashMap *map, const char *key, void *value) {
        size_t size = strlen(key);
        uint64_t hash = hash_bytes(key, size, map->seed);

        assert(value);
        if (hash_map_find(map, key, size, hash))
                return -EEXIST;

        int r = hash_map_make_room(map);
        if (r < 0)
                return r;
        hash_map_place(map->entries, map->capacity,
                       (HashEntry){ .hash = hash, .key = key, .value = value });
        map->count++;
        map->used++;
        return 0;
}

void *hash_map_get_n(const HashMap *map, const char *key, size_t size) {
        /* A key with a NUL inside equals none: the keys of entries end at theirs. */
        if (memchr(key, '\0', size))
                return NULL;

        const HashEntry *entry = hash_map_find(map, key, size, hash_bytes(key, size, map->seed));
        return entry ? entry->value : NULL;
}

void *hash_map_get(const HashMap *map, const char *key) {
        return hash_map_get_n(map, key, strlen(key));
}

void *hash_map_remove(HashMap *map, const char *key) {
        size_t size = strlen(key);
        HashEntry *entry = hash_map_find(map, key, size, hash_bytes(key, size, map->seed));
        if (!entry)
                return NULL;

        void *value = entry->value;
        *entry = (HashEntry){ .key = tombstone };
        map->count--;
        return value;
}

void *hash_map_next(const HashMap *map, size_t *cursor) {
        while (*cursor < map->capacity) {
                const HashEntry *entry = &map->entries[(*cursor)++];
                if (entry_live(entry))
                        return entry->value;
        }
        return NULL;
}

/* One multiplication to 128 bits whose halves are folded: every input bit reaches every output bit
 * in one step, which shifts and additions take several for. The factors are odd, with half of their
 * bits set, and have no other meaning. */
static uint64_t hash_mix(uint64_t a, uint64_t b) {
        __extension__ unsigned __int128 product = (unsigned __int128) a * b;
        return (uint64_t) product ^ (uint64_t) (product >> 64);
}

uint64_t hash_bytes(const void *data, size_t size, uint64_t seed) {
        const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15), final = UINT64_C(0xc2b2ae3d27d4eb4f);
        const unsigned char *at = data;
        uint64_t hash = hash_mix(seed ^ final, factor), word;
        size_t left = size;

        for (; left >= sizeof(word); at += sizeof(word), left -= sizeof(word)) {
                memcpy(&word, at, sizeof(word));
                hash = hash_mix(hash ^ le64toh(word), factor);
        }
        word = 0;
        if (left > 0)
                memcpy(&word, at, left);
        /* The size tells a tail of zeros from none. */
        return hash_mix(hash_mix(hash ^ le64toh(word), factor) ^ size, final);
}
