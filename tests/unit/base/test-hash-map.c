/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka.h"
#include "hash-map.h"

typedef struct Item {
        char name[24];
        bool seen;
} Item;

static void test_put_get_remove(void **state) {
        HashMap map = { .seed = 7 };
        Item a = { "a", false }, b = { "b", false }, empty = { "", false };

        assert_null(hash_map_get(&map, "a"));
        assert_null(hash_map_remove(&map, "a"));
        assert_int_equal(hash_map_put(&map, a.name, &a), 0);
        assert_int_equal(hash_map_put(&map, b.name, &b), 0);
        assert_int_equal(hash_map_put(&map, empty.name, &empty), 0);
        assert_int_equal(hash_map_put(&map, "a", &b), -EEXIST);
        assert_ptr_equal(hash_map_get(&map, "a"), &a);
        assert_ptr_equal(hash_map_get(&map, ""), &empty);
        assert_ptr_equal(hash_map_get_n(&map, "abc", 1), &a);
        assert_null(hash_map_get_n(&map, "abc", 2));
        assert_null(hash_map_get_n(&map, "a\0b", 3));
        assert_int_equal(map.count, 3);

        assert_ptr_equal(hash_map_remove(&map, "a"), &a);
        assert_null(hash_map_get(&map, "a"));
        assert_ptr_equal(hash_map_get(&map, "b"), &b);
        assert_int_equal(hash_map_put(&map, a.name, &a), 0);
        assert_ptr_equal(hash_map_get(&map, "a"), &a);
        hash_map_deinit(&map);
        assert_int_equal(map.seed, 7);
        assert_null(hash_map_get(&map, "a"));
}

static void test_many_and_iteration(void **state) {
        enum {
                N = 5000
        };
        static Item items[N];
        HashMap map = { .seed = 42 };

        for (int i = 0; i < N; i++) {
                snprintf(items[i].name, sizeof(items[i].name), "source-%d", i);
                assert_int_equal(hash_map_put(&map, items[i].name, &items[i]), 0);
        }
        for (int i = 0; i < N; i += 2)
                assert_ptr_equal(hash_map_remove(&map, items[i].name), &items[i]);
        for (int i = 0; i < N; i++)
                assert_ptr_equal(hash_map_get(&map, items[i].name), i % 2 ? &items[i] : NULL);

        size_t cursor = 0, n = 0;
        for (Item *item; (item = hash_map_next(&map, &cursor)); n++) {
                assert_false(item->seen);
                item->seen = true;
        }
        assert_int_equal(n, N / 2);
        assert_int_equal(map.count, N / 2);
        hash_map_deinit(&map);
}

/* Entries that come and go must not make the table grow without end. */
static void test_churn_keeps_capacity(void **state) {
        HashMap map = { .seed = 1 };
        char name[24];

        for (int i = 0; i < 20000; i++) {
                snprintf(name, sizeof(name), "q%d", i);
                assert_int_equal(hash_map_put(&map, name, name), 0);
                assert_ptr_equal(hash_map_remove(&map, name), name);
        }
        assert_int_equal(map.count, 0);
        assert_true(map.capacity <= 16);
        hash_map_deinit(&map);
}

static void test_hash_depends_on_everything(void **state) {
        char text[64], zeros[64] = { 0 };

        for (size_t i = 0; i < sizeof(text); i++)
                text[i] = (char) i;
        for (size_t size = 0; size < sizeof(text); size++) {
                uint64_t hash = hash_bytes(text, size, 5);

                assert_true(hash == hash_bytes(text, size, 5));
                assert_true(hash != hash_bytes(text, size, 6));
                assert_true(hash != hash_bytes(text, size + 1, 5));
                assert_true(hash_bytes(zeros, size, 5) != hash_bytes(zeros, size + 1, 5));
                for (size_t bit = 0; bit < size * 8; bit++) {
                        text[bit / 8] = (char) (text[bit / 8] ^ 1 << bit % 8);
                        assert_true(hash != hash_bytes(text, size, 5));
                        text[bit / 8] = (char) (text[bit / 8] ^ 1 << bit % 8);
                }
        }
}

/* One changed bit changes about half of the bits of the hash, whichever it is. */
static void test_hash_avalanche(void **state) {
        uint64_t changed[64] = { 0 };
        enum {
                ROUNDS = 2000
        };

        for (uint64_t i = 0; i < ROUNDS; i++) {
                uint64_t key = i * UINT64_C(0x123456789abcdef), other = key ^ UINT64_C(1) << i % 64;
                uint64_t difference = hash_bytes(&key, 8, 0) ^ hash_bytes(&other, 8, 0);

                for (int bit = 0; bit < 64; bit++)
                        changed[bit] += difference >> bit & 1;
        }
        for (int bit = 0; bit < 64; bit++)
                assert_in_range(changed[bit], ROUNDS * 2 / 5, ROUNDS * 3 / 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_put_get_remove),
                cmocka_unit_test(test_many_and_iteration),
                cmocka_unit_test(test_churn_keeps_capacity),
                cmocka_unit_test(test_hash_depends_on_everything),
                cmocka_unit_test(test_hash_avalanche),
        };
        return cmocka_run_group_tests_name("hash-map", tests, NULL, NULL);
}
