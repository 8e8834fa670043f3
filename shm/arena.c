/* SPDX-License-Identifier: Apache-2.0 */

/* A buddy system over one shared-memory object.
 *
 * The tree of all aligned blocks is an array: node 1 is the whole arena, the halves of node n are
 * 2n and 2n+1, the last level are blocks of 512 bytes. tree[n] says how great a block can be had
 * within n: its order + 1 (order 0: 512 bytes), or 0 when there is none. A wholly free node
 * therefore holds its own order + 1, and the nodes below a wholly free or handed-out node all read
 * as wholly free. Taking and giving back walk one path between root and block: O(log n), two bytes
 * of private memory for 512 of the arena, and nothing that a worker could reach.
 *
 * Not done: returning pages to the system (they are reserved for good), and use by several threads.
 */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "arena.h"
#include "cleanup.h"
#include "segment.h"

#define BLOCK_SHIFT 9u /* 512 bytes: a small JSON answer or a question */
#define BLOCK_MIN   ((size_t) 1 << BLOCK_SHIFT)
#define ARENA_MIN   ((size_t) 4096)
#define ARENA_MAX   ((size_t) 1 << 36)

struct Arena {
        uint8_t *memory;
        size_t size;
        size_t used;
        int read_fd;
        unsigned order; /* of the whole */
        uint8_t *tree;
};

DEFINE_CLEANUP(Arena, arena_free)

/* ---- the tree ---- */

static unsigned order_of(size_t capacity) {
        size_t blocks = (capacity + BLOCK_MIN - 1) >> BLOCK_SHIFT;
        return blocks <= 1 ? 0 : (unsigned) (64 - __builtin_clzl(blocks - 1));
}

static size_t node_of(const Arena *arena, uint64_t offset, unsigned order) {
        return ((size_t) 1 << (arena->order - order)) + (size_t) (offset >> (BLOCK_SHIFT + order));
}

static uint64_t offset_of(const Arena *arena, size_t node, unsigned order) {
        return (uint64_t) (node - ((size_t) 1 << (arena->order - order))) << (BLOCK_SHIFT + order);
}

/* Sets a node and brings all above it up to date. */
static void tree_set(Arena *arena, size_t node, unsigned order, uint8_t value) {
        arena->tree[node] = value;
        for (node /= 2; node > 0; node /= 2) {
                uint8_t left = arena->tree[2 * node], right = arena->tree[2 * node + 1];
                bool both_free = left == order + 1 && right == order + 1;
                order++;
                arena->tree[node] = both_free ? (uint8_t) (order + 1) : MAX(left, right);
        }
}

static void tree_init(Arena *arena) {
        size_t node = 1;
        for (unsigned level = 0; level <= arena->order; level++)
                for (; node < (size_t) 2 << level; node++)
                        arena->tree[node] = (uint8_t) (arena->order - level + 1);
}

/* The tightest fit on the way down keeps great blocks whole. */
static int tree_take(Arena *arena, unsigned order, uint64_t *ret_offset) {
        uint8_t wanted = (uint8_t) (order + 1);
        size_t node = 1;

        if (arena->tree[1] < wanted)
                return -ENOBUFS;
        for (unsigned at = arena->order; at > order; at--) {
                uint8_t left = arena->tree[2 * node], right = arena->tree[2 * node + 1];
                bool go_right = left < wanted || (right >= wanted && right < left);
                node = 2 * node + go_right;
        }
        tree_set(arena, node, order, 0);
        arena->used += BLOCK_MIN << order;
        *ret_offset = offset_of(arena, node, order);
        return 0;
}

static void tree_give(Arena *arena, uint64_t offset, unsigned order) {
        size_t node = node_of(arena, offset, order);
        assert(arena->tree[node] == 0);
        tree_set(arena, node, order, (uint8_t) (order + 1));
        arena->used -= BLOCK_MIN << order;
}

/* Extends a block over its right-hand neighbours when all of them are free. */
static bool tree_extend(Arena *arena, uint64_t offset, unsigned order, unsigned wanted) {
        for (unsigned at = order; at < wanted; at++) {
                size_t node = node_of(arena, offset, at);
                if (node % 2 != 0 || arena->tree[node + 1] != at + 1)
                        return false;
        }
        tree_give(arena, offset, order);
        tree_set(arena, node_of(arena, offset, wanted), wanted, 0);
        arena->used += BLOCK_MIN << wanted;
        return true;
}

/* ---- the arena ---- */

static int arena_map(Arena *arena, size_t size) {
        CLEANUP_CLOSE int fd = shm_create(size, &arena->read_fd);
        if (fd < 0)
                return fd;

        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
                return -errno;
        arena->memory = memory;
        arena->size = size;
        /* Documents stay out of core dumps and out of children. */
        if (madvise(memory, size, MADV_DONTDUMP) < 0 || madvise(memory, size, MADV_DONTFORK) < 0)
                return -errno;
        return 0;
}

int arena_new(Arena **ret, size_t size) {
        if (size > ARENA_MAX)
                return -EINVAL;

        CLEANUP(cleanup_arena_free) Arena *arena = calloc(1, sizeof(Arena));
        if (!arena)
                return -ENOMEM;
        arena->read_fd = -1;
        arena->order = order_of(MAX(size, ARENA_MIN));
        arena->tree = malloc((size_t) 2 << arena->order);
        if (!arena->tree)
                return -ENOMEM;
        tree_init(arena);

        int r = arena_map(arena, BLOCK_MIN << arena->order);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(arena);
        return 0;
}

Arena *arena_free(Arena *arena) {
        if (!arena)
                return NULL;

        assert(arena->used == 0); /* a block left behind has an owner that still means to read it */
        if (arena->memory)
                (void) munmap(arena->memory, arena->size);
        cleanup_close(&arena->read_fd);
        free(arena->tree);
        free(arena);
        return NULL;
}

int arena_read_fd(const Arena *arena) {
        return arena->read_fd;
}

size_t arena_size(const Arena *arena) {
        return arena->size;
}

size_t arena_used(const Arena *arena) {
        return arena->used;
}

/* ---- blocks ---- */

int arena_alloc(Arena *arena, size_t capacity, ArenaBlock **ret) {
        if (capacity > arena->size)
                return -EMSGSIZE;

        CLEANUP_FREE ArenaBlock *block = malloc(sizeof(ArenaBlock));
        if (!block)
                return -ENOMEM;

        unsigned order = order_of(capacity);
        *block = (ArenaBlock){
                .arena = arena,
                .references = 1,
                .capacity = BLOCK_MIN << order,
        };
        int r = tree_take(arena, order, &block->offset);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(block);
        return 0;
}

int arena_grow(ArenaBlock *block, size_t capacity) {
        Arena *arena = block->arena;
        assert(block->references == 1 && block->size <= block->capacity);

        if (capacity <= block->capacity)
                return 0;
        if (capacity > arena->size)
                return -EMSGSIZE;

        unsigned order = order_of(block->capacity), wanted = order_of(capacity);
        if (!tree_extend(arena, block->offset, order, wanted)) {
                uint64_t offset;
                int r = tree_take(arena, wanted, &offset);
                if (r < 0)
                        return r;
                memcpy(arena->memory + offset, arena->memory + block->offset, block->size);
                tree_give(arena, block->offset, order);
                block->offset = offset;
        }
        block->capacity = BLOCK_MIN << wanted;
        return 0;
}

ArenaBlock *arena_block_ref(ArenaBlock *block) {
        assert(block->references > 0);
        block->references++;
        return block;
}

ArenaBlock *arena_block_unref(ArenaBlock *block) {
        if (!block)
                return NULL;

        assert(block->references > 0);
        if (--block->references == 0) {
                tree_give(block->arena, block->offset, order_of(block->capacity));
                free(block);
        }
        return NULL;
}

void *arena_block_data(const ArenaBlock *block) {
        return block->arena->memory + block->offset;
}
