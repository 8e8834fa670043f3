/* SPDX-License-Identifier: Apache-2.0 */

/* One row per attempt of a source, a row being: mark, name, bar, length. A cell of the bar shows
 * the stage that covers most of it, so a stage much shorter than a cell appears only where nothing
 * longer is. Every stage has its own character, so that the drawing does without colour. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "macro.h"
#include "timeline.h"

#define COLUMNS_PIPED 80
#define COLUMNS_MOST  140 /* a longer bar is harder to read, not easier */
#define BAR_LEAST     10
#define LABEL_MOST    28
#define TICK_SPACE    9 /* columns from one tick to the next, at least */
#define ROWS_LEAST    8 /* shown on however low a terminal */
#define ROWS_AROUND   8 /* lines of the drawing that are no bars, and the prompt */
#define MARK_COLUMNS  2
#define GAP           2

static const struct {
        const char *unicode, *ascii;
        Tone tone;
        bool moment; /* a decision, which takes no time and is seen all the same */
} fills[STAGE_KINDS] = {
        [STAGE_CACHE] = { "◆", "C", TONE_GOOD, true },
        [STAGE_SHARE] = { "◇", "S", TONE_GOOD, true },
        [STAGE_BREAKER] = { "×", "X", TONE_BAD, true },
        [STAGE_QUOTA] = { "¤", "Q", TONE_BAD, true },
        [STAGE_HEDGE] = { "‖", "H", TONE_WARN, true },
        [STAGE_FALLBACK] = { "↪", "F", TONE_WARN, true },
        [STAGE_QUEUE] = { "·", ".", TONE_FAINT, false },
        [STAGE_BACKOFF] = { "∙", ",", TONE_FAINT, false },
        [STAGE_RESOLVE] = { "▁", "n", TONE_CYAN, false },
        [STAGE_CONNECT] = { "▂", "c", TONE_CYAN, false },
        [STAGE_TLS] = { "▃", "t", TONE_CYAN, false },
        [STAGE_SEND] = { "▄", "s", TONE_CYAN, false },
        [STAGE_WAIT] = { "░", "-", TONE_BLUE, false },
        [STAGE_RECEIVE] = { "▒", "=", TONE_BLUE, false },
        [STAGE_LANE] = { "╌", "~", TONE_WARN, false },
        [STAGE_DECODE] = { "▓", "d", TONE_MAGENTA, false },
        [STAGE_ENGINE] = { "█", "#", TONE_GOOD, false },
        [STAGE_PAUSE] = { " ", " ", TONE_PLAIN, false },
        [STAGE_UNKNOWN] = { "?", "?", TONE_PLAIN, false },
};

_Static_assert(STAGE_COUNT == 17, "a new stage needs a character of its own");

/* One attempt of a source. */
typedef struct Row {
        const Span *spans;
        size_t count;
        double start, end;
        double source_start, source_end;
        bool several; /* the source had more than one attempt */
} Row;

typedef struct Drawing {
        const View *view;
        Row *rows;
        size_t n_rows;
        size_t n_shown;
        const char *critical; /* the source whose rows are marked */
        size_t label;         /* columns of the names */
        size_t figure;        /* columns of the lengths */
        size_t bar;
        double end_ms; /* what the bar stands for */
        bool seconds;  /* unit of the axis */
} Drawing;

static const char *fill_of(const View *view, int stage) {
        return view->utf8 ? fills[stage].unicode : fills[stage].ascii;
}

/* The name of a row; the caller frees. Work on the answer as a whole has no source. */
static char *row_label(const Row *row) {
        char *label = NULL;
        const char *source = row->spans->source;
        int n;

        if (!*source)
                return strdup("(answer)");
        if (row->several)
                n = asprintf(&label, "%s #%u", source, row->spans->attempt);
        else
                n = asprintf(&label, "%s", source);
        return n < 0 ? NULL : label;
}

/* Spans are sorted by source and attempt: each run of equal ones is a row. */
static void rows_collect(Drawing *d, const Spans *spans) {
        for (size_t i = 0; i < spans->count; i++) {
                const Span *span = &spans->items[i];
                Row *row = d->n_rows > 0 ? &d->rows[d->n_rows - 1] : NULL;

                if (!row || strcmp(row->spans->source, span->source) != 0 ||
                    row->spans->attempt != span->attempt) {
                        row = &d->rows[d->n_rows++];
                        *row = (Row){ .spans = span, .start = span->start, .end = span->end };
                }
                row->count++;
                row->end = MAX(row->end, span->end);
        }
}

/* Tells each row about its source, whose rows stand together. */
static void rows_relate(Drawing *d) {
        for (size_t first = 0, next; first < d->n_rows; first = next) {
                double start = d->rows[first].start, end = 0;

                for (next = first; next < d->n_rows; next++) {
                        const Row *row = &d->rows[next];

                        if (strcmp(row->spans->source, d->rows[first].spans->source) != 0)
                                break;
                        start = MIN(start, row->start);
                        end = MAX(end, row->end);
                }
                for (size_t i = first; i < next; i++) {
                        d->rows[i].source_start = start;
                        d->rows[i].source_end = end;
                        d->rows[i].several = next - first > 1;
                }
        }
}

static int order_of_numbers(double a, double b) {
        return (a > b) - (a < b);
}

/* The answer's own row last, sources in the order in which they began. */
static int order_of_rows(const void *left, const void *right) {
        const Row *a = left, *b = right;
        int r = (*a->spans->source == '\0') - (*b->spans->source == '\0');

        if (r == 0)
                r = order_of_numbers(a->source_start, b->source_start);
        if (r == 0)
                r = strcmp(a->spans->source, b->spans->source);
        return r != 0 ? r : (int) a->spans->attempt - (int) b->spans->attempt;
}

static int order_of_ends(const void *left, const void *right) {
        const Row *a = left, *b = right;
        int r = order_of_numbers(b->source_end, a->source_end);

        return r != 0 ? r : order_of_rows(left, right);
}

/* Where there is no room for all, those that ended last are shown: they made the answer wait. */
static void rows_choose(Drawing *d) {
        size_t most = SIZE_MAX, rows = d->view->rows;

        if (rows > 0)
                most = rows > ROWS_LEAST + ROWS_AROUND ? rows - ROWS_AROUND : ROWS_LEAST;
        d->n_shown = MIN(d->n_rows, most);
        if (d->n_shown < d->n_rows)
                qsort(d->rows, d->n_rows, sizeof(*d->rows), order_of_ends);
        qsort(d->rows, d->n_shown, sizeof(*d->rows), order_of_rows);
}

static int drawing_measure(Drawing *d) {
        size_t columns = d->view->columns > 0 ? d->view->columns : COLUMNS_PIPED;

        columns = MIN(columns, (size_t) COLUMNS_MOST);
        for (size_t i = 0; i < d->n_shown; i++) {
                const Row *row = &d->rows[i];
                char figure[64];
                CLEANUP_FREE char *label = row_label(row);

                if (!label)
                        return -ENOMEM;
                int n = snprintf(figure, sizeof(figure), "%.1f ms", row->end - row->start);
                d->figure = MAX(d->figure, (size_t) n);
                d->label = MAX(d->label, text_width(d->view, label, strlen(label)));
        }
        d->label = MIN(d->label, columns / 3);
        d->label = MIN(d->label, (size_t) LABEL_MOST);

        size_t taken = MARK_COLUMNS + d->label + GAP + GAP + d->figure;
        d->bar = columns > taken + BAR_LEAST ? columns - taken : BAR_LEAST;
        return 0;
}

/* A decision that fell within [from, to), else the stage that covers most of it, or -1. */
static int cell_stage(const Row *row, double from, double to) {
        double most = 0;
        int stage = -1;

        for (size_t i = 0; i < row->count; i++) {
                const Span *span = &row->spans[i];
                double covered = MIN(span->end, to) - MAX(span->start, from);

                if (fills[span->stage].moment && span->start >= from && span->start < to)
                        return span->stage;
                if (covered > most) {
                        most = covered;
                        stage = span->stage;
                }
        }
        return stage;
}

static void draw_bar(const Drawing *d, const Row *row, Buffer *out, bool seen[]) {
        double cell_ms = d->end_ms / (double) d->bar;
        Tone tone = TONE_PLAIN;

        for (size_t i = 0; i < d->bar; i++) {
                double to = i + 1 < d->bar ? cell_ms * (double) (i + 1) : HUGE_VAL;
                int stage = cell_stage(row, cell_ms * (double) i, to);
                Tone next = stage < 0 ? TONE_PLAIN : fills[stage].tone;

                if (next != tone) {
                        tone_end(out, d->view, tone);
                        tone_begin(out, d->view, next);
                        tone = next;
                }
                (void) buffer_append_string(out, stage < 0 ? " " : fill_of(d->view, stage));
                if (stage >= 0)
                        seen[stage] = true;
        }
        tone_end(out, d->view, tone);
}

static int draw_row(const Drawing *d, const Row *row, Buffer *out, bool seen[]) {
        bool critical = strcmp(row->spans->source, d->critical) == 0 && *d->critical;
        Tone tone = critical ? TONE_STRONG : TONE_PLAIN;
        CLEANUP_FREE char *label = row_label(row);

        if (!label)
                return -ENOMEM;
        text_own(out, d->view, tone, "%s ", !critical ? " " : d->view->utf8 ? "▸" : ">");
        tone_begin(out, d->view, tone);
        size_t width = text_put(out, d->view, label, strlen(label), d->label);
        tone_end(out, d->view, tone);
        text_fill(out, " ", d->label - width + GAP);
        draw_bar(d, row, out, seen);
        text_own(out, d->view, tone, "  %*.1f ms\n", (int) d->figure - 3, row->end - row->start);
        return 0;
}

/* The smallest of 1, 2, 5, 10, 20, … (ms) that leaves the ticks their space. */
static double tick_step(const Drawing *d) {
        double least = d->end_ms * TICK_SPACE / (double) d->bar;
        double power = pow(10, floor(log10(least)));
        static const double multiples[] = { 1, 2, 5 };

        for (size_t i = 0; i < ELEMENTSOF(multiples); i++)
                if (multiples[i] * power >= least)
                        return multiples[i] * power;
        return 10 * power;
}

/* Numbers above the ticks, each beginning at its tick. */
static void draw_axis(const Drawing *d, Buffer *out) {
        double step = tick_step(d), cell_ms = d->end_ms / (double) d->bar;
        size_t column = 0, margin = MARK_COLUMNS + d->label + GAP;
        char number[64];

        text_fill(out, " ", margin);
        tone_begin(out, d->view, TONE_FAINT);
        for (size_t i = 0;; i++) {
                double at = step * (double) i;
                size_t place = (size_t) (at / cell_ms);
                int n = snprintf(
                                number, sizeof(number), "%.10g%s", d->seconds ? at / 1000 : at,
                                i > 0                      ? "" :
                                                d->seconds ? " s" :
                                                             " ms");

                if (place >= d->bar || place + (size_t) n > d->bar + GAP + d->figure)
                        break;
                text_fill(out, " ", place - column);
                (void) buffer_append_string(out, number);
                column = place + (size_t) n;
        }
        (void) buffer_append_char(out, '\n');
        tone_end(out, d->view, TONE_FAINT);

        text_fill(out, " ", margin);
        tone_begin(out, d->view, TONE_FAINT);
        size_t tick = 0;
        for (size_t i = 0; i < d->bar; i++) {
                bool here = (size_t) (step * (double) tick / cell_ms) == i;

                if (d->view->utf8)
                        (void) buffer_append_string(out, !here ? "─" : i == 0 ? "├" : "┴");
                else
                        (void) buffer_append_char(out, here ? '+' : '-');
                tick += here;
        }
        (void) buffer_append_char(out, '\n');
        tone_end(out, d->view, TONE_FAINT);
}

static void draw_left_out(const Drawing *d, Buffer *out) {
        double first = INFINITY, last = 0;

        if (d->n_shown == d->n_rows)
                return;
        for (size_t i = d->n_shown; i < d->n_rows; i++) {
                first = MIN(first, d->rows[i].end);
                last = MAX(last, d->rows[i].end);
        }
        text_own(out, d->view, TONE_FAINT,
                 "  and %zu more, which ended between %.1f and %.1f ms (a pipe shows all)\n",
                 d->n_rows - d->n_shown, first, last);
}

static void draw_legend(const Drawing *d, Buffer *out, const bool seen[]) {
        size_t columns = d->view->columns > 0 ? d->view->columns : COLUMNS_PIPED, column = 0;

        for (int i = 0; i < STAGE_KINDS; i++) {
                const char *name = stage_kind_name(i);
                size_t width = strlen(name) + 4;

                if (!seen[i])
                        continue;
                if (column + width > columns && column > MARK_COLUMNS) {
                        (void) buffer_append_char(out, '\n');
                        column = 0;
                }
                /* Two things, be they equal or not. NOLINTNEXTLINE(bugprone-branch-clone) */
                text_fill(out, " ", column == 0 ? MARK_COLUMNS : GAP);
                text_own(out, d->view, fills[i].tone, "%s", fill_of(d->view, i));
                (void) buffer_printf(out, " %s", name);
                column += width;
        }
        (void) buffer_append_char(out, '\n');
}

static int draw(Drawing *d, const Spans *spans, Buffer *out) {
        bool seen[STAGE_KINDS] = { false };
        int r;

        rows_collect(d, spans);
        rows_relate(d);
        rows_choose(d);
        r = drawing_measure(d);
        if (r < 0)
                return r;
        draw_axis(d, out);
        for (size_t i = 0; i < d->n_shown; i++) {
                r = draw_row(d, &d->rows[i], out, seen);
                if (r < 0)
                        return r;
        }
        draw_left_out(d, out);
        draw_legend(d, out, seen);
        return 0;
}

/* A name, an arrow or a length with its stage: pieces that a line is broken between. */
static void path_piece(Buffer *out, const View *view, size_t *column, Tone tone, const char *text) {
        size_t columns = view->columns > 0 ? view->columns : COLUMNS_PIPED;
        size_t width = text_width(view, text, strlen(text));

        if (*column > MARK_COLUMNS && *column + 1 + width > columns) {
                (void) buffer_append_string(out, "\n  ");
                *column = MARK_COLUMNS;
        } else if (*column > MARK_COLUMNS) {
                (void) buffer_append_char(out, ' ');
                *column += 1;
        }
        tone_begin(out, view, tone);
        *column += text_put(out, view, text, strlen(text), 0);
        tone_end(out, view, tone);
}

void timeline_render_path(Buffer *out, const View *view, const CriticalPath *path) {
        size_t column = MARK_COLUMNS;
        char piece[64];

        if (path->count == 0)
                return;
        text_own(out, view, TONE_STRONG, "Critical path\n");
        (void) buffer_append_string(out, "  ");
        path_piece(out, view, &column, TONE_STRONG, *path->source ? path->source : "(answer)");
        for (size_t i = 0; i < path->count; i++) {
                const Span *step = &path->steps[i];
                double ms = step->end - step->start;

                /* Less than a thousandth of the whole is not worth a word. */
                if (ms < path->total_ms / 1000)
                        continue;
                (void) snprintf(piece, sizeof(piece), "%s %.1f", stage_kind_name(step->stage), ms);
                path_piece(out, view, &column, fills[step->stage].tone, piece);
                if (view->utf8)
                        path_piece(out, view, &column, TONE_FAINT, "→");
                else
                        path_piece(out, view, &column, TONE_FAINT, "->");
        }
        (void) snprintf(piece, sizeof(piece), "%.1f ms", path->total_ms);
        path_piece(out, view, &column, TONE_STRONG, piece);
        (void) buffer_append_char(out, '\n');
}

int timeline_render(Buffer *out, const View *view, const json_t *timeline) {
        CLEANUP(spans_deinit) Spans spans = { 0 };
        CLEANUP(critical_path_deinit) CriticalPath path = { .source = "" };
        int r;

        r = spans_parse(timeline, &spans);
        if (r < 0)
                return r;
        if (spans.count == 0) {
                text_own(out, view, TONE_FAINT, "The timeline is empty: nothing was asked.\n");
                return 0;
        }
        r = critical_path_find(&spans, &path);
        if (r < 0)
                return r;

        CLEANUP_FREE Row *rows = calloc(spans.count, sizeof(*rows));
        Drawing drawing = {
                .view = view,
                .rows = rows,
                .critical = path.source,
                .end_ms = MAX(spans.end, 0.001),
                .seconds = spans.end >= 10000,
        };
        if (!rows)
                return -ENOMEM;
        r = draw(&drawing, &spans, out);
        if (r < 0)
                return r;
        (void) buffer_append_char(out, '\n');
        timeline_render_path(out, view, &path);
        return 0;
}
