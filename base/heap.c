/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "heap.h"

void heap_deinit(Heap *heap) {
        free(heap->nodes);
        heap->nodes = NULL;
        heap->count = heap->capacity = 0;
}

int heap_reserve(Heap *heap, size_t count) {
        if (count < heap->capacity)
                return 0;

        size_t capacity = heap->capacity ? heap->capacity : 32;
        while (capacity <= count)
                capacity *= 2;

        HeapNode **nodes = reallocarray(heap->nodes, capacity, sizeof(*nodes));
        if (!nodes)
                return -ENOMEM;

        heap->nodes = nodes;
        heap->capacity = capacity;
        return 0;
}

static void heap_place(Heap *heap, size_t place, HeapNode *node) {
        heap->nodes[place] = node;
        node->place = place;
}

static void heap_rise(Heap *heap, size_t place, HeapNode *node) {
        while (place > 1 && heap->less(node, heap->nodes[place / 2])) {
                heap_place(heap, place, heap->nodes[place / 2]);
                place /= 2;
        }
        heap_place(heap, place, node);
}

static void heap_sink(Heap *heap, size_t place, HeapNode *node) {
        for (;;) {
                size_t child = place * 2;

                if (child > heap->count)
                        break;
                if (child < heap->count && heap->less(heap->nodes[child + 1], heap->nodes[child]))
                        child++;
                if (!heap->less(heap->nodes[child], node))
                        break;
                heap_place(heap, place, heap->nodes[child]);
                place = child;
        }
        heap_place(heap, place, node);
}

int heap_insert(Heap *heap, HeapNode *node) {
        assert(node->place == 0);

        int r = heap_reserve(heap, heap->count + 1);
        if (r < 0)
                return r;

        heap_rise(heap, ++heap->count, node);
        return 0;
}

void heap_remove(Heap *heap, HeapNode *node) {
        size_t place = node->place;

        if (place == 0)
                return;
        assert(place <= heap->count && heap->nodes[place] == node);
        node->place = 0;

        HeapNode *last = heap->nodes[heap->count--];
        if (last == node)
                return;
        if (place > 1 && heap->less(last, heap->nodes[place / 2]))
                heap_rise(heap, place, last);
        else
                heap_sink(heap, place, last);
}
