/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The best passages over all sources: scores of one question are on one scale, near-duplicates are
 * told once (the better one stays). Pure. */

#include <stddef.h>
#include <stdint.h>

typedef struct FusePassage {
        double score;
        size_t source; /* the caller's number */
        const char *text;
        size_t text_size;
        const char *title;
        size_t title_size;
        const char *link;
        size_t link_size;
} FusePassage;

/* Sorts `passages` by falling score (ties keep their order) and moves the best `limit` that are no
 * near-duplicates of one another to the front; returns how many there are. */
size_t fuse_passages(FusePassage passages[], size_t n, size_t limit);
