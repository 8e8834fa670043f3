/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An intrusive doubly linked list with a sentinel head. A node that is on no list points at itself,
 * so list_remove() may be called twice. */

#include <stdbool.h>

#include "macro.h"

typedef struct List {
        struct List *next;
        struct List *prev;
} List;

#define LIST_INIT(list) \
        { .next = &(list), .prev = &(list) }

static inline void list_init(List *list) {
        list->next = list->prev = list;
}

static inline bool list_empty(const List *list) {
        return list->next == list;
}

static inline void list_insert_before(List *position, List *node) {
        node->prev = position->prev;
        node->next = position;
        position->prev->next = node;
        position->prev = node;
}

static inline void list_append(List *list, List *node) {
        list_insert_before(list, node);
}

static inline void list_prepend(List *list, List *node) {
        list_insert_before(list->next, node);
}

static inline void list_remove(List *node) {
        node->prev->next = node->next;
        node->next->prev = node->prev;
        list_init(node);
}

/* Moves all of `from` to `to`, which must be empty. */
static inline void list_move(List *to, List *from) {
        if (list_empty(from)) {
                list_init(to);
                return;
        }
        *to = *from;
        to->next->prev = to;
        to->prev->next = to;
        list_init(from);
}

#define LIST_ENTRY(node, type, member) CONTAINER_OF(node, type, member)
#define LIST_FIRST(list, type, member) \
        (list_empty(list) ? NULL : LIST_ENTRY((list)->next, type, member))

/* `node` is a List *; the list must not change meanwhile. */
#define LIST_FOREACH(node, list) for (List *node = (list)->next; node != (list); node = node->next)
/* The same; the current node may be removed. */
#define LIST_FOREACH_SAFE(node, list)                                               \
        for (List *node = (list)->next, *_next_##node = node->next; node != (list); \
             node = _next_##node, _next_##node = node->next)
