/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "macro.h"
#include "story.h"

#define STORY_FIRST 4u    /* a request over a kept connection has three */
#define STORY_MAX   1024u /* far more than ten attempts have */

void story_add(Story *story, Stage stage, unsigned attempt, uint64_t start, uint64_t end) {
        if (story->count == story->capacity) {
                unsigned capacity = story->capacity ? story->capacity * 2u : STORY_FIRST;
                StorySpan *spans = capacity > STORY_MAX ?
                                NULL :
                                realloc(story->spans, capacity * sizeof(*spans));

                if (!spans)
                        return;
                story->spans = spans;
                story->capacity = (uint16_t) capacity;
        }
        story->spans[story->count++] = (StorySpan){
                .start = start,
                .end = MAX(start, end),
                .stage = (uint8_t) stage,
                .attempt = (uint8_t) attempt,
        };
}

void story_copy(Story *story, const Story *from) {
        for (unsigned i = 0; i < from->count; i++) {
                const StorySpan *span = &from->spans[i];
                story_add(story, (Stage) span->stage, span->attempt, span->start, span->end);
        }
}

void story_deinit(Story *story) {
        free(story->spans);
        *story = (Story){};
}
