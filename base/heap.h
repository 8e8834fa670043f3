/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An intrusive binary min-heap. Every node knows its place, so that any node is removed in
 * O(log n): cancelling a timer or a queued task is as cheap as adding one. */

#include <stdbool.h>
#include <stddef.h>

typedef struct HeapNode {
        size_t place; /* 1-based; 0 while the node is in no heap */
} HeapNode;

/* True when `a` must leave before `b`. */
typedef bool (*HeapLess)(const HeapNode *a, const HeapNode *b);

typedef struct Heap {
        HeapNode **nodes; /* nodes[0] is unused */
        size_t count;
        size_t capacity;
        HeapLess less;
} Heap;

#define HEAP_INIT(function) \
        { .less = (function) }

void heap_deinit(Heap *heap);

/* Makes room for `count` nodes in all, so that later insertions cannot fail. -ENOMEM. */
int heap_reserve(Heap *heap, size_t count);

/* The node must be in no heap. -ENOMEM. */
int heap_insert(Heap *heap, HeapNode *node);

/* Does nothing when the node is in no heap. */
void heap_remove(Heap *heap, HeapNode *node);

static inline bool heap_contains(const HeapNode *node) {
        return node->place != 0;
}

/* The least node, or NULL. */
static inline HeapNode *heap_first(const Heap *heap) {
        return heap->count > 0 ? heap->nodes[1] : NULL;
}
