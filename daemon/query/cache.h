/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Findings kept for the next query, by source and request. How long is said by freshness.h; that it
 * was an answer is the caller's to see to: failures are never kept.
 *
 * Documents stay where they are, in the arena, and give way when it is needed (cache_evict()); what
 * workers have read in them is on the heap, bounded in bytes. The least recently used goes
 * first. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "finding.h"
#include "freshness.h"
#include "hash-map.h"

typedef struct CacheEntry {
        List node;        /* least recently used first */
        Finding *finding; /* its key is that of the entry */
        Freshness freshness;
} CacheEntry;

typedef struct Cache {
        HashMap map;
        List used;
        size_t max_entries; /* 0: keeps nothing */
        size_t max_bytes;   /* on the heap */
        size_t bytes;
        uint64_t changes; /* entries stored, replaced or dropped, ever */
} Cache;

typedef enum CacheState {
        CACHE_NOTHING,
        CACHE_FRESH,
        CACHE_STALE,          /* may be used while a new one is fetched */
        CACHE_STALE_IF_ERROR, /* may be used when a new one cannot be had */
} CacheState;

typedef struct CacheHit {
        CacheState state;
        Finding *finding; /* borrowed */
        uint64_t age_ns;
        uint64_t fresh_until; /* ns */
} CacheHit;

void cache_init(Cache *cache, size_t max_entries, size_t max_bytes, uint64_t hash_seed);
void cache_deinit(Cache *cache);

CacheHit cache_find(Cache *cache, const char *key, uint64_t now);
/* Keeps it in place of what was there, unless that has arrived later: what is read in documents is
 * not done in the order in which they came. What was dropped once does not come back. `empty`: it
 * says that nothing was found. Not kept without memory. */
void cache_store(Cache *cache, Finding *finding, bool empty, uint64_t unix_ms);
/* More has been read in a finding that is kept. */
void cache_account(Cache *cache, Finding *finding, size_t kept_before);

/* Drops the least recently used one; false: there was none. */
bool cache_evict(Cache *cache);
/* Drops all; returns how many. */
size_t cache_flush(Cache *cache);
