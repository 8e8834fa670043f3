/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Cuts text into sentences. */

#include <stdbool.h>
#include <stddef.h>

/* A sentence has no more bytes than this; a longer one is cut, at a blank where there is one. */
#define SENTENCE_MAX 600u

typedef struct SentenceIterator {
        const char *text; /* valid UTF-8 */
        size_t size;
        size_t position;
        bool wrapped; /* line ends may stand within sentences: wrapped plain text */
} SentenceIterator;

/* False at the end. The range has no blanks at its ends and is not empty. */
bool sentence_next(SentenceIterator *iterator, size_t *ret_start, size_t *ret_end);
