/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What happened on the way to a document, step by step: the spans of the timeline. Decisions (a
 * retry, a hedge, a breaker that refuses) are spans, too; those that take no time begin and end at
 * once. */

#include <stddef.h>
#include <stdint.h>

#include "vocabulary.h"

typedef struct StorySpan {
        uint64_t start; /* ns */
        uint64_t end;
        uint8_t stage;   /* Stage */
        uint8_t attempt; /* from 1; 0: before the first */
} StorySpan;

typedef struct Story {
        StorySpan *spans;
        uint16_t count;
        uint16_t capacity;
} Story;

/* Without memory the span is left out: a timeline is worth no query. */
void story_add(Story *story, Stage stage, unsigned attempt, uint64_t start, uint64_t end);
/* Appends what is in `from`. */
void story_copy(Story *story, const Story *from);
void story_deinit(Story *story);
