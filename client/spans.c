/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fields.h"
#include "macro.h"
#include "spans.h"

#define PAUSE_LEAST_MS 0.001 /* the resolution of the timeline */

const char *stage_kind_name(int stage) {
        if (stage == STAGE_PAUSE)
                return "pause";
        return stage < STAGE_COUNT ? stage_name((Stage) stage) : "other";
}

static int stage_from_name(const char *name) {
        for (int i = 0; name && i < STAGE_COUNT; i++)
                if (strcmp(name, stage_name((Stage) i)) == 0)
                        return i;
        return STAGE_UNKNOWN;
}

static int order_of_numbers(double a, double b) {
        return (a > b) - (a < b);
}

static int order_of_spans(const void *left, const void *right) {
        const Span *a = left, *b = right;
        int r = strcmp(a->source, b->source);

        if (r == 0)
                r = (a->attempt > b->attempt) - (a->attempt < b->attempt);
        if (r == 0)
                r = order_of_numbers(a->start, b->start);
        return r != 0 ? r : order_of_numbers(a->end, b->end);
}

static int order_of_starts(const void *left, const void *right) {
        const Span *a = left, *b = right;
        int r = order_of_numbers(a->start, b->start);

        return r != 0 ? r : order_of_numbers(a->end, b->end);
}

static int span_parse(const json_t *item, Span *ret) {
        double start = field_number(item, "start_ms"), end = field_number(item, "end_ms");
        double attempt = field_number(item, "attempt");
        const char *source = field_text(item, "source");

        if (!isfinite(start) || !isfinite(end) || start < 0 || end < start)
                return -EINVAL;
        *ret = (Span){
                .source = source ? source : "",
                .stage = stage_from_name(field_text(item, "stage")),
                .attempt = attempt >= 1 && attempt < 1000000 ? (unsigned) attempt : 1,
                .start = start,
                .end = end,
        };
        return 0;
}

int spans_parse(const json_t *timeline, Spans *ret) {
        if (!json_is_array(timeline))
                return -EINVAL;

        size_t count = json_array_size(timeline);
        CLEANUP_FREE Span *items = calloc(MAX(count, (size_t) 1), sizeof(*items));
        double end = 0;

        if (!items)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                int r = span_parse(json_array_get(timeline, i), &items[i]);

                if (r < 0)
                        return r;
                end = MAX(end, items[i].end);
        }
        qsort(items, count, sizeof(*items), order_of_spans);
        *ret = (Spans){ .items = TAKE_PTR(items), .count = count, .end = end };
        return 0;
}

void spans_deinit(Spans *spans) {
        free(spans->items);
        *spans = (Spans){ 0 };
}

/* The source that ended last; "" when there are only spans of the whole. */
static const char *last_source(const Spans *spans) {
        const Span *last = NULL;

        for (size_t i = 0; i < spans->count; i++) {
                const Span *span = &spans->items[i];

                if (*span->source && (!last || span->end > last->end))
                        last = span;
        }
        return last ? last->source : "";
}

/* Adds [from, to) to the path, as part of `span`. */
static void path_add(CriticalPath *path, const Span *span, int stage, double from, double to) {
        Span *step = &path->steps[path->count++];

        *step = *span;
        step->stage = stage;
        step->start = from;
        step->end = to;
        path->total_ms = to;
        path->stage_ms[stage] += to - from;
}

int critical_path_find(const Spans *spans, CriticalPath *ret) {
        CriticalPath path = { .source = last_source(spans) };
        CLEANUP_FREE Span *own = calloc(spans->count + 1, sizeof(*own));
        size_t n_own = 0;

        /* Each span may bring a pause with it. */
        path.steps = calloc(spans->count * 2 + 1, sizeof(*path.steps));
        if (!own || !path.steps) {
                free(path.steps);
                return -ENOMEM;
        }
        for (size_t i = 0; i < spans->count; i++) {
                const Span *span = &spans->items[i];

                if (!*span->source || strcmp(span->source, path.source) == 0)
                        own[n_own++] = *span;
        }
        qsort(own, n_own, sizeof(*own), order_of_starts);
        for (size_t i = 0; i < n_own; i++) {
                if (own[i].start - path.total_ms > PAUSE_LEAST_MS)
                        path_add(&path, &own[i], STAGE_PAUSE, path.total_ms, own[i].start);
                if (own[i].end > path.total_ms)
                        path_add(&path, &own[i], own[i].stage, path.total_ms, own[i].end);
        }
        *ret = path;
        return 0;
}

void critical_path_deinit(CriticalPath *path) {
        free(path->steps);
        *path = (CriticalPath){ .source = "" };
}

int critical_path_bottleneck(const CriticalPath *path) {
        int most = 0;

        for (int i = 1; i < STAGE_KINDS; i++)
                if (path->stage_ms[i] > path->stage_ms[most])
                        most = i;
        return most;
}
