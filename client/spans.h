/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The timeline of an answer as figures: pure, no output. Strings are borrowed from the JSON. */

#include <jansson.h>
#include <stddef.h>

#include "vocabulary.h"

/* Beside the stages: time between two spans of a source, and a stage that this program does not
 * know. */
#define STAGE_PAUSE   STAGE_COUNT
#define STAGE_UNKNOWN (STAGE_COUNT + 1)
#define STAGE_KINDS   (STAGE_COUNT + 2)

typedef struct Span {
        const char *source; /* "" for work on the answer as a whole */
        int stage;          /* a Stage or STAGE_UNKNOWN */
        unsigned attempt;
        double start, end; /* ms since the query began */
} Span;

typedef struct Spans {
        Span *items; /* by source, attempt and start */
        size_t count;
        double end; /* of the last span */
} Spans;

/* -EINVAL: no array of spans; -ENOMEM. */
int spans_parse(const json_t *timeline, Spans *ret);
void spans_deinit(Spans *spans);

/* The chain of spans that determined when the answer was there: all of the source that ended last,
 * pauses between them included, and what belongs to the answer as a whole. It has no gaps. */
typedef struct CriticalPath {
        Span *steps;
        size_t count;
        double total_ms;
        double stage_ms[STAGE_KINDS];
        const char *source; /* "" when there are no spans */
} CriticalPath;

int critical_path_find(const Spans *spans, CriticalPath *ret);
void critical_path_deinit(CriticalPath *path);

/* The kind of stage with the largest share of the path. */
int critical_path_bottleneck(const CriticalPath *path);

/* As stage_name(), for the kinds too. */
const char *stage_kind_name(int stage);
