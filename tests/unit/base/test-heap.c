/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "cmocka.h"
#include "heap.h"
#include "macro.h"

typedef struct Item {
        HeapNode node;
        unsigned key;
} Item;

static bool less(const HeapNode *a, const HeapNode *b) {
        const Item *x = CONTAINER_OF(a, const Item, node), *y = CONTAINER_OF(b, const Item, node);
        return x->key < y->key;
}

static unsigned first_key(const Heap *heap) {
        HeapNode *node = heap_first(heap);

        assert_non_null(node);
        return node ? CONTAINER_OF(node, Item, node)->key : 0;
}

static void test_order(void **state) {
        enum {
                N = 2000
        };
        static Item items[N];
        Heap heap = HEAP_INIT(less);
        unsigned seed = 1, last = 0, left = 0;

        assert_null(heap_first(&heap));
        for (int i = 0; i < N; i++) {
                seed = seed * 1664525 + 1013904223;
                items[i].key = seed >> 16;
                assert_int_equal(heap_insert(&heap, &items[i].node), 0);
                assert_true(heap_contains(&items[i].node));
        }
        /* Any node may leave, from anywhere. */
        for (int i = 0; i < N; i += 3) {
                heap_remove(&heap, &items[i].node);
                assert_false(heap_contains(&items[i].node));
                heap_remove(&heap, &items[i].node);
        }
        for (; heap_first(&heap); left++) {
                assert_true(first_key(&heap) >= last);
                last = first_key(&heap);
                heap_remove(&heap, heap_first(&heap));
        }
        assert_int_equal(left, N - (N + 2) / 3);
        heap_deinit(&heap);
}

/* The node that takes the place of a removed one may have to rise. */
static void test_replacement_rises(void **state) {
        static const unsigned keys[] = { 1, 50, 2, 60, 51, 3, 4 };
        Item items[ELEMENTSOF(keys)] = {};
        Heap heap = HEAP_INIT(less);

        for (size_t i = 0; i < ELEMENTSOF(keys); i++) {
                items[i].key = keys[i];
                assert_int_equal(heap_insert(&heap, &items[i].node), 0);
        }
        heap_remove(&heap, &items[3].node); /* 60, a child of 50; the last, 4, comes there */
        for (unsigned last = 0; heap_first(&heap); heap_remove(&heap, heap_first(&heap))) {
                assert_true(first_key(&heap) > last);
                last = first_key(&heap);
        }
        heap_deinit(&heap);
}

static void test_reserve(void **state) {
        Heap heap = HEAP_INIT(less);
        Item item = {};

        assert_int_equal(heap_reserve(&heap, 1000), 0);
        assert_true(heap.capacity > 1000);
        size_t capacity = heap.capacity;
        assert_int_equal(heap_reserve(&heap, 10), 0);
        assert_int_equal(heap_insert(&heap, &item.node), 0);
        assert_int_equal(heap.capacity, capacity);
        heap_deinit(&heap);
        assert_int_equal(heap.count, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_replacement_rises),
                cmocka_unit_test(test_reserve),
        };
        return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
