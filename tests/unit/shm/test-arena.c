/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "arena.h"
#include "cmocka.h"

#define KIB(n) ((size_t) (n) << 10)

static Arena *arena_of(size_t size) {
        Arena *arena = NULL;
        assert_int_equal(arena_new(&arena, size), 0);
        return arena;
}

static ArenaBlock *block_of(Arena *arena, size_t capacity) {
        ArenaBlock *block = NULL;
        assert_int_equal(arena_alloc(arena, capacity, &block), 0);
        assert_true(block->capacity >= capacity);
        assert_int_equal(block->size, 0);
        assert_int_equal(block->references, 1);
        return block;
}

static void test_sizes(void **state) {
        static const struct {
                size_t asked;
                size_t given;
        } cases[] = {
                { 0, 4096 }, { 1, 4096 }, { 4096, 4096 }, { 4097, 8192 }, { 100000, 131072 },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Arena *arena = arena_of(cases[i].asked);
                assert_int_equal(arena_size(arena), cases[i].given);
                assert_int_equal(arena_used(arena), 0);
                arena_free(arena);
        }
        Arena *arena = NULL;
        assert_int_equal(arena_new(&arena, SIZE_MAX), -EINVAL);
        assert_null(arena);
        assert_null(arena_free(NULL));
}

static void test_capacities(void **state) {
        static const struct {
                size_t asked;
                size_t given;
        } cases[] = {
                { 0, 512 },    { 1, 512 },     { 512, 512 },
                { 513, 1024 }, { 1025, 2048 }, { 40000, 65536 },
        };
        Arena *arena = arena_of(KIB(64));

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                ArenaBlock *block = block_of(arena, cases[i].asked);
                assert_int_equal(block->capacity, cases[i].given);
                assert_int_equal(block->offset % block->capacity, 0);
                assert_int_equal(arena_used(arena), block->capacity);
                arena_block_unref(block);
        }
        arena_free(arena);
}

static void test_exhaustion(void **state) {
        Arena *arena = arena_of(KIB(4));
        ArenaBlock *blocks[8];
        ArenaBlock *block = NULL;

        assert_int_equal(arena_alloc(arena, KIB(4) + 1, &block), -EMSGSIZE);
        for (size_t i = 0; i < ELEMENTSOF(blocks); i++)
                blocks[i] = block_of(arena, 512);
        assert_int_equal(arena_alloc(arena, 1, &block), -ENOBUFS);
        assert_null(block);

        /* Two free blocks that are no buddies do not make a greater one. */
        arena_block_unref(blocks[1]);
        arena_block_unref(blocks[2]);
        assert_int_equal(arena_alloc(arena, 1024, &block), -ENOBUFS);
        arena_block_unref(blocks[3]);
        assert_int_equal(arena_alloc(arena, 1024, &block), 0);
        assert_int_equal(block->offset, 1024);

        arena_block_unref(block);
        arena_block_unref(blocks[0]);
        for (size_t i = 4; i < ELEMENTSOF(blocks); i++)
                arena_block_unref(blocks[i]);
        arena_block_unref(block_of(arena, KIB(4)));
        arena_free(arena);
}

static void test_references(void **state) {
        Arena *arena = arena_of(KIB(4));
        ArenaBlock *block = block_of(arena, KIB(4));

        assert_ptr_equal(arena_block_ref(block), block);
        assert_null(arena_block_unref(block));
        assert_int_equal(arena_used(arena), KIB(4));
        assert_null(arena_block_unref(block));
        assert_int_equal(arena_used(arena), 0);
        assert_null(arena_block_unref(NULL));
        arena_free(arena);
}

static void test_grow(void **state) {
        Arena *arena = arena_of(KIB(64));
        ArenaBlock *block = block_of(arena, 512);
        uint64_t offset = block->offset;

        block->size = 300;
        memset(arena_block_data(block), 'x', block->size);
        assert_int_equal(arena_grow(block, 100), 0);
        assert_int_equal(block->capacity, 512);

        /* All to the right of it is free: it stays where it is. */
        assert_int_equal(arena_grow(block, 5000), 0);
        assert_int_equal(block->capacity, KIB(8));
        assert_int_equal(block->offset, offset);

        /* A neighbour stands in the way: it moves, with its content. */
        ArenaBlock *neighbour = block_of(arena, KIB(8));
        assert_int_equal(neighbour->offset, offset + KIB(8));
        assert_int_equal(arena_grow(block, KIB(16)), 0);
        assert_int_not_equal(block->offset, offset);
        assert_int_equal(block->size, 300);
        for (size_t i = 0; i < block->size; i++)
                assert_int_equal(((const char *) arena_block_data(block))[i], 'x');
        assert_int_equal(arena_used(arena), KIB(24));

        /* A right half cannot grow in place. */
        ArenaBlock *filler = block_of(arena, KIB(8));
        assert_int_equal(arena_grow(neighbour, KIB(32)), 0);

        /* No room, never room: nothing changes. */
        ArenaBlock before = *block;
        assert_int_equal(arena_grow(block, KIB(64)), -ENOBUFS);
        assert_int_equal(arena_grow(block, KIB(64) + 1), -EMSGSIZE);
        assert_memory_equal(&before, block, sizeof(before));

        arena_block_unref(filler);
        arena_block_unref(neighbour);
        assert_int_equal(arena_grow(block, KIB(32)), 0);
        arena_block_unref(block);
        assert_int_equal(arena_used(arena), 0);
        arena_free(arena);
}

/* What workers are given: they see what is written, and cannot write. */
static void test_read_descriptor(void **state) {
        Arena *arena = arena_of(KIB(4));
        ArenaBlock *block = block_of(arena, 10);
        int fd = arena_read_fd(arena);
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_size, KIB(4));
        assert_int_equal(st.st_nlink, 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(st.st_blocks * 512, KIB(4)); /* reserved before the first touch */

        assert_ptr_equal(mmap(NULL, KIB(4), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
        assert_int_equal(errno, EACCES);
        const char *seen = mmap(NULL, KIB(4), PROT_READ, MAP_SHARED, fd, 0);
        assert_ptr_not_equal(seen, MAP_FAILED);
        memcpy(arena_block_data(block), "0123456789", 10);
        block->size = 10;
        ShmRange range = arena_block_range(block);
        assert_int_equal(range.size, 10);
        assert_memory_equal(seen + range.offset, "0123456789", 10);

        assert_int_equal(munmap((void *) (uintptr_t) seen, KIB(4)), 0);
        arena_block_unref(block);
        arena_free(arena);
}

/* ---- against a model: one byte for every 512 bytes, saying who has them ---- */

enum {
        MODEL_SIZE = 256,
        MODEL_BLOCKS = 64
};

typedef struct Model {
        Arena *arena;
        uint8_t owner[MODEL_SIZE]; /* 0: free; else place in blocks, plus 1 */
        ArenaBlock *blocks[MODEL_BLOCKS];
} Model;

static void model_mark(Model *m, const ArenaBlock *block, uint8_t from, uint8_t to) {
        for (size_t i = 0; i < block->capacity / 512; i++) {
                assert_int_equal(m->owner[block->offset / 512 + i], from);
                m->owner[block->offset / 512 + i] = to;
        }
}

static bool model_has_room(const Model *m, size_t units) {
        for (size_t at = 0; at + units <= MODEL_SIZE; at += units) {
                size_t i = 0;
                while (i < units && m->owner[at + i] == 0)
                        i++;
                if (i == units)
                        return true;
        }
        return false;
}

static void fill(ArenaBlock *block, uint8_t id) {
        block->size = block->capacity - (size_t) rand() % 512;
        memset(arena_block_data(block), id, block->size);
}

static void check(const ArenaBlock *block, uint8_t id, size_t size) {
        const uint8_t *data = arena_block_data(block);
        for (size_t i = 0; i < size; i++)
                assert_int_equal(data[i], id);
}

static void model_alloc(Model *m, unsigned i, size_t units) {
        uint8_t id = (uint8_t) (i + 1);
        bool room = model_has_room(m, units);

        int r = arena_alloc(m->arena, units * 512 - (size_t) rand() % 256, &m->blocks[i]);
        assert_int_equal(r, room ? 0 : -ENOBUFS);
        if (!room)
                return;
        assert_int_equal(m->blocks[i]->capacity, units * 512);
        model_mark(m, m->blocks[i], 0, id);
        fill(m->blocks[i], id);
}

static void model_grow(Model *m, unsigned i, size_t units) {
        uint8_t id = (uint8_t) (i + 1);
        ArenaBlock *block = m->blocks[i];
        ArenaBlock before = *block;

        int r = arena_grow(block, units * 512);
        check(block, id, before.size);
        if (r < 0) {
                assert_int_equal(r, -ENOBUFS);
                assert_false(model_has_room(m, units));
                return;
        }
        model_mark(m, &before, id, 0);
        model_mark(m, block, 0, id);
        fill(block, id);
}

static void model_free(Model *m, unsigned i) {
        uint8_t id = (uint8_t) (i + 1);
        check(m->blocks[i], id, m->blocks[i]->size);
        model_mark(m, m->blocks[i], id, 0);
        m->blocks[i] = arena_block_unref(m->blocks[i]);
}

static void model_check_used(const Model *m) {
        size_t used = 0;
        for (size_t i = 0; i < MODEL_SIZE; i++)
                used += m->owner[i] != 0 ? 512 : 0;
        assert_int_equal(arena_used(m->arena), used);
}

static void test_against_model(void **state) {
        Model m = { .arena = arena_of((size_t) MODEL_SIZE * 512) };

        srand(2);
        for (unsigned step = 0; step < 30000; step++) {
                unsigned i = (unsigned) rand() % MODEL_BLOCKS;
                size_t units = (size_t) 1 << (rand() % 6);
                if (!m.blocks[i])
                        model_alloc(&m, i, units);
                else if (rand() % 3 == 0)
                        model_grow(&m, i, units);
                else
                        model_free(&m, i);
                model_check_used(&m);
        }
        for (unsigned i = 0; i < MODEL_BLOCKS; i++)
                if (m.blocks[i])
                        model_free(&m, i);

        /* All pieces have come together again. */
        arena_block_unref(block_of(m.arena, arena_size(m.arena)));
        arena_free(m.arena);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sizes),         cmocka_unit_test(test_capacities),
                cmocka_unit_test(test_exhaustion),    cmocka_unit_test(test_references),
                cmocka_unit_test(test_grow),          cmocka_unit_test(test_read_descriptor),
                cmocka_unit_test(test_against_model),
        };
        return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
