/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "clock.h"

void cache_init(Cache *cache, size_t max_entries, size_t max_bytes, uint64_t hash_seed) {
        *cache = (Cache){
                .map.seed = hash_seed,
                .max_entries = max_entries,
                .max_bytes = max_bytes,
        };
        list_init(&cache->used);
}

/* Bytes on the heap, more or less. */
static size_t entry_size(const CacheEntry *entry) {
        return sizeof(*entry) + sizeof(*entry->finding) + strlen(entry->finding->key) +
                        entry->finding->kept;
}

static void entry_drop(Cache *cache, CacheEntry *entry) {
        cache->bytes -= entry_size(entry);
        cache->changes++;
        (void) hash_map_remove(&cache->map, entry->finding->key);
        list_remove(&entry->node);
        entry->finding->entry = NULL;
        entry->finding->dropped = true;
        finding_unref(entry->finding);
        free(entry);
}

bool cache_evict(Cache *cache) {
        CacheEntry *entry = LIST_FIRST(&cache->used, CacheEntry, node);

        if (!entry)
                return false;
        entry_drop(cache, entry);
        return true;
}

size_t cache_flush(Cache *cache) {
        size_t n = cache->map.count;

        while (cache_evict(cache))
                ;
        return n;
}

void cache_deinit(Cache *cache) {
        (void) cache_flush(cache);
        hash_map_deinit(&cache->map);
}

static void cache_shrink(Cache *cache) {
        while (cache->map.count > cache->max_entries || cache->bytes > cache->max_bytes)
                if (!cache_evict(cache))
                        return;
}

/* How old it is and what that means. The stale windows begin where the fresh one ends. */
static CacheState entry_state(const CacheEntry *entry, uint64_t age) {
        const Freshness *freshness = &entry->freshness;
        uint64_t stale = time_sub(age, freshness->fresh_ns);

        if (age < freshness->fresh_ns)
                return CACHE_FRESH;
        if (stale < freshness->stale_while_revalidate_ns)
                return CACHE_STALE;
        return stale < freshness->stale_if_error_ns ? CACHE_STALE_IF_ERROR : CACHE_NOTHING;
}

CacheHit cache_find(Cache *cache, const char *key, uint64_t now) {
        CacheEntry *entry = hash_map_get(&cache->map, key);
        if (!entry)
                return (CacheHit){};

        uint64_t age = time_sub(now, entry->finding->arrived);
        CacheState state = entry_state(entry, age);
        if (state == CACHE_NOTHING) {
                entry_drop(cache, entry);
                return (CacheHit){};
        }
        list_remove(&entry->node);
        list_append(&cache->used, &entry->node);
        return (CacheHit){
                .state = state,
                .finding = entry->finding,
                .age_ns = age,
                .fresh_until = time_add(entry->finding->arrived, entry->freshness.fresh_ns),
        };
}

void cache_store(Cache *cache, Finding *finding, bool empty, uint64_t unix_ms) {
        Freshness freshness = freshness_of(
                        &finding->fetch.cache, &finding->source->freshness, empty, unix_ms);

        if (!finding->key || finding->entry || finding->dropped || !freshness.store ||
            cache->max_entries == 0)
                return;
        CacheEntry *old = hash_map_get(&cache->map, finding->key);
        if (old && old->finding->arrived > finding->arrived)
                return;
        if (old)
                entry_drop(cache, old);
        CacheEntry *entry = calloc(1, sizeof(*entry));
        if (!entry)
                return;
        *entry = (CacheEntry){ .finding = finding_ref(finding), .freshness = freshness };
        finding->entry = entry;
        list_append(&cache->used, &entry->node);
        cache->bytes += entry_size(entry);
        cache->changes++;
        if (hash_map_put(&cache->map, finding->key, entry) < 0)
                return entry_drop(cache, entry);
        cache_shrink(cache);
}

void cache_account(Cache *cache, Finding *finding, size_t kept_before) {
        cache->bytes += finding->kept - kept_before;
        cache_shrink(cache);
}
