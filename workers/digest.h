/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The engine: what a text says to a question. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "layout.h"

#define PASSAGE_MAX 600u /* bytes; not less than SENTENCE_MAX */
#define SUMMARY_MAX 600u

/* A part of the text that stands by itself: a page, or one element of a list. Passages never
 * cross its ends. */
typedef struct DigestItem {
        size_t start;
        size_t end;
} DigestItem;

typedef struct DigestInput {
        const char *question;
        size_t question_size;
        const char *text; /* UTF-8 */
        const DigestItem *items;
        size_t n_items;
        bool wrapped; /* see SentenceIterator */
        unsigned max_passages;
        uint64_t deadline_ns; /* CLOCK_MONOTONIC: stop reading when it is near */
} DigestInput;

typedef struct DigestPassage {
        double score; /* 0 to 1 */
        size_t item;
        size_t start; /* of the text */
        size_t end;
} DigestPassage;

typedef struct DigestResult {
        DigestPassage passages[MAX_PASSAGES]; /* the best first; scores never rise */
        unsigned n_passages;
        uint64_t words;
        uint64_t sentences;
} DigestResult;

/* Appends the summary (at most SUMMARY_MAX bytes, one line) to `summary`. -ENOMEM. */
int digest(const DigestInput *input, Buffer *summary, DigestResult *ret);
