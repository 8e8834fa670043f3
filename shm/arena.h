/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The arena: one POSIX shared-memory object that holds what workers read: documents, questions,
 * rules. Only the supervisor writes it; workers map it from a descriptor opened O_RDONLY. The
 * allocator's state is private to the supervisor (a buddy system over blocks of 512 bytes and up).
 *
 * A block has an owner count: whoever keeps a reference (fetch, task, answer) may read it. Freed
 * blocks may be handed out again at once, so a task in a worker's hands holds one. */

#include <stddef.h>
#include <stdint.h>

#include "layout.h"

typedef struct Arena Arena;

typedef struct ArenaBlock {
        Arena *arena;
        unsigned references;
        uint64_t offset;
        size_t capacity;
        size_t size; /* bytes in use; the owner's to set */
} ArenaBlock;

/* Creates it: O_EXCL, 0600, unlinked at once, its pages reserved (so that no touch can raise
 * SIGBUS). -ENOSPC names a full /dev/shm. `size` is rounded up to a power of two. */
int arena_new(Arena **ret, size_t size);
Arena *arena_free(Arena *arena);

/* Opened O_RDONLY, for workers; stays the arena's. */
int arena_read_fd(const Arena *arena);
size_t arena_size(const Arena *arena);
size_t arena_used(const Arena *arena); /* bytes in blocks that are handed out */

/* -ENOBUFS when there is no room (now), -EMSGSIZE when there never will be. */
int arena_alloc(Arena *arena, size_t capacity, ArenaBlock **ret);
/* Grows to at least `capacity`, keeping the content; the block may move. Only for a sole owner. */
int arena_grow(ArenaBlock *block, size_t capacity);

ArenaBlock *arena_block_ref(ArenaBlock *block);
ArenaBlock *arena_block_unref(ArenaBlock *block); /* takes NULL; returns NULL */

void *arena_block_data(const ArenaBlock *block);
static inline ShmRange arena_block_range(const ArenaBlock *block) {
        return (ShmRange){ .offset = block->offset, .size = block->size };
}
