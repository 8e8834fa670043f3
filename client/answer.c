/* SPDX-License-Identifier: Apache-2.0 */

/* The answer of a query, in the order in which a person reads: what was found, where from, what is
 * missing and why, and as the last line how complete it is. On a terminal the lists of many sources
 * are cut, problems first, and say so; into a pipe they are whole. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fields.h"
#include "render.h"
#include "table.h"
#include "vocabulary.h"

#define LIST_LEAST 10 /* rows shown on however low a terminal */

bool verdict_is_answered(const char *verdict) {
        for (int i = 0; verdict && i < VERDICT_COUNT; i++)
                if (strcmp(verdict, verdict_name((Verdict) i)) == 0)
                        return verdict_answered((Verdict) i);
        return false;
}

Tone verdict_tone(const char *verdict) {
        static const Verdict mild[] = {
                VERDICT_EMPTY, VERDICT_LATE,     VERDICT_BREAKER_OPEN,
                VERDICT_SHED,  VERDICT_UNCACHED, VERDICT_CANCELLED,
        };

        if (!verdict)
                return TONE_PLAIN;
        for (size_t i = 0; i < ELEMENTSOF(mild); i++)
                if (strcmp(verdict, verdict_name(mild[i])) == 0)
                        return TONE_WARN;
        return verdict_is_answered(verdict) ? TONE_GOOD : TONE_BAD;
}

static size_t list_limit(const View *view) {
        return view->rows > 0 ? MAX((size_t) view->rows / 2, (size_t) LIST_LEAST) : SIZE_MAX;
}

static void put_string(Buffer *out, const View *view, Tone tone, const char *text) {
        tone_begin(out, view, tone);
        (void) text_put(out, view, text, strlen(text), 0);
        tone_end(out, view, tone);
}

static void render_passage(Buffer *out, const View *view, const json_t *passage, size_t number) {
        const json_t *text = json_object_get(passage, "text");
        const char *source = field_text(passage, "source");
        static const char *const origins[] = { "title", "link" };
        double score = field_number(passage, "score");

        text_own(out, view, TONE_STRONG, "%3zu. ", number);
        if (json_is_string(text))
                text_wrap(out, view, json_string_value(text), json_string_length(text), 5);
        else
                (void) buffer_append_char(out, '\n');

        (void) buffer_append_string(out, "     ");
        put_string(out, view, TONE_CYAN, source ? source : "?");
        if (isfinite(score))
                text_own(out, view, TONE_FAINT, "  %.2f", score);
        for (size_t i = 0; i < ELEMENTSOF(origins); i++) {
                const char *origin = field_text(passage, origins[i]);

                if (!origin || !*origin)
                        continue;
                (void) buffer_append_string(out, "  ");
                put_string(out, view, TONE_FAINT, origin);
        }
        (void) buffer_append_char(out, '\n');
}

static void render_found(Buffer *out, const View *view, const json_t *answer) {
        const json_t *passages = json_object_get(answer, "passages");
        const json_t *summary = json_object_get(answer, "summary");

        for (size_t i = 0; i < json_array_size(passages); i++)
                render_passage(out, view, json_array_get(passages, i), i + 1);
        if (json_array_size(passages) > 0)
                (void) buffer_append_char(out, '\n');
        if (json_is_string(summary) && json_string_length(summary) > 0) {
                text_own(out, view, TONE_STRONG, "Summary\n");
                (void) buffer_append_string(out, "  ");
                text_wrap(out, view, json_string_value(summary), json_string_length(summary), 2);
                (void) buffer_append_char(out, '\n');
        }
}

/* A source's row before it is known whether there is room for it. */
typedef struct Entry {
        const char *name;
        const json_t *result;
        size_t place; /* in the answer */
} Entry;

static double entry_ms(const Entry *entry) {
        double fetch = field_number(entry->result, "fetch_ms");
        double infer = field_number(entry->result, "infer_ms");

        return (isfinite(fetch) ? fetch : 0) + (isfinite(infer) ? infer : 0);
}

/* Those that failed first, then the slowest. */
static int order_of_interest(const void *left, const void *right) {
        const Entry *a = left, *b = right;
        int answered_a = verdict_is_answered(field_text(a->result, "verdict"));
        int answered_b = verdict_is_answered(field_text(b->result, "verdict"));
        double ms_a = entry_ms(a), ms_b = entry_ms(b);

        if (answered_a != answered_b)
                return answered_a - answered_b;
        return (ms_a < ms_b) - (ms_a > ms_b);
}

static int order_of_places(const void *left, const void *right) {
        const Entry *a = left, *b = right;

        return (a->place > b->place) - (a->place < b->place);
}

static void number_cell(Table *table, const json_t *object, const char *key, int decimals) {
        double value = field_number(object, key);

        if (isfinite(value))
                table_printf(table, TONE_PLAIN, "%.*f", decimals, value);
        else
                table_text(table, TONE_PLAIN, NULL);
}

static void entry_row(Table *table, const Entry *entry) {
        const char *verdict = field_text(entry->result, "verdict");
        const char *origin = field_text(entry->result, "origin");
        bool live = origin && strcmp(origin, "live") == 0;

        table_text(table, TONE_PLAIN, entry->name);
        table_text(table, verdict_tone(verdict), verdict);
        table_text(table, TONE_PLAIN, live ? NULL : origin);
        number_cell(table, entry->result, "attempts", 0);
        number_cell(table, entry->result, "status", 0);
        number_cell(table, entry->result, "bytes", 0);
        number_cell(table, entry->result, "fetch_ms", 1);
        number_cell(table, entry->result, "infer_ms", 1);
}

static void
render_left_out(Buffer *out, const View *view, const Entry entries[], size_t shown, size_t count) {
        size_t answered = 0;

        if (shown == count)
                return;
        for (size_t i = shown; i < count; i++)
                answered += verdict_is_answered(field_text(entries[i].result, "verdict"));
        text_own(out, view, TONE_FAINT,
                 "  and %zu more: %zu answered, %zu not (a pipe or --json=pretty shows all)\n",
                 count - shown, answered, count - shown - answered);
}

static int render_results(Buffer *out, const View *view, const json_t *results) {
        static const TableColumn columns[] = {
                { "SOURCE", TABLE_SHRINK },
                { "VERDICT", 0 },
                { "ORIGIN", TABLE_EXTRA },
                { "ATTEMPTS", TABLE_RIGHT | TABLE_EXTRA },
                { "STATUS", TABLE_RIGHT | TABLE_EXTRA },
                { "BYTES", TABLE_RIGHT | TABLE_EXTRA },
                { "FETCH MS", TABLE_RIGHT | TABLE_EXTRA },
                { "INFER MS", TABLE_RIGHT | TABLE_EXTRA },
        };
        CLEANUP(table_deinit) Table table = TABLE_INIT(columns);
        size_t count = json_object_size(results), n = 0;
        size_t shown = MIN(count, list_limit(view));
        CLEANUP_FREE Entry *entries = calloc(MAX(count, (size_t) 1), sizeof(*entries));
        const char *name;
        json_t *result;

        if (!entries)
                return -ENOMEM;
        json_object_foreach(field_each(results), name, result) {
                entries[n] = (Entry){ .name = name, .result = result, .place = n };
                n++;
        }
        if (shown < count) {
                qsort(entries, count, sizeof(*entries), order_of_interest);
                qsort(entries, shown, sizeof(*entries), order_of_places);
        }
        for (size_t i = 0; i < shown; i++)
                entry_row(&table, &entries[i]);

        text_own(out, view, TONE_STRONG, "Sources\n");
        int r = table_render(&table, out, view, 2);
        render_left_out(out, view, entries, shown, count);
        (void) buffer_append_char(out, '\n');
        return r;
}

static bool same_text(const json_t *a, const json_t *b, const char *key) {
        const json_t *left = json_object_get(a, key), *right = json_object_get(b, key);

        return (!left && !right) || json_equal(left, right);
}

static bool same_reason(const json_t *a, const json_t *b) {
        return same_text(a, b, "stage") && same_text(a, b, "kind") && same_text(a, b, "message") &&
                        same_text(a, b, "transient");
}

static const char *stage_in_words(const char *stage) {
        static const struct {
                const char *stage, *words;
        } table[] = {
                { "fetch", " while fetching" },
                { "worker", " in a worker" },
                { "decode", " while decoding" },
                { "merge", " while merging" },
        };

        for (size_t i = 0; stage && i < ELEMENTSOF(table); i++)
                if (strcmp(stage, table[i].stage) == 0)
                        return table[i].words;
        return "";
}

/* "a, b and 3 more" of the errors with the same reason, marking each as told. */
static void
collect_names(Buffer *line, const View *view, const json_t *errors, size_t first, bool told[]) {
        const json_t *error = json_array_get(errors, first);
        size_t named = 0, more = 0, most = view->rows > 0 ? 4 : SIZE_MAX;

        for (size_t i = first; i < json_array_size(errors); i++) {
                const json_t *other = json_array_get(errors, i);
                const char *source = field_text(other, "source");

                if (told[i] || !same_reason(error, other))
                        continue;
                told[i] = true;
                if (named == most) {
                        more++;
                        continue;
                }
                if (named++ > 0)
                        (void) buffer_append_string(line, ", ");
                (void) buffer_append_string(line, source ? source : "?");
        }
        if (more > 0)
                (void) buffer_printf(line, " and %zu more", more);
}

static void
render_reason(Buffer *out, const View *view, const json_t *errors, size_t first, bool told[]) {
        const json_t *error = json_array_get(errors, first);
        const char *kind = field_text(error, "kind"), *message = field_text(error, "message");
        Buffer line = BUFFER_INIT(0);

        collect_names(&line, view, errors, first, told);
        (void) buffer_printf(
                        &line, ": %s%s", kind ? kind : "error",
                        stage_in_words(field_text(error, "stage")));
        if (message && *message)
                (void) buffer_printf(&line, ": %s", message);
        if (field_true(error, "transient"))
                (void) buffer_append_string(&line, " (may go better next time)");

        (void) buffer_append_string(out, "  ");
        text_wrap(out, view, line.data, line.size, 4);
        if (line.error < 0)
                out->error = line.error;
        buffer_deinit(&line);
}

static int render_errors(Buffer *out, const View *view, const json_t *errors) {
        size_t count = json_array_size(errors), lines = 0, untold = 0;
        CLEANUP_FREE bool *told = calloc(count + 1, sizeof(*told));

        if (!told)
                return -ENOMEM;
        if (count == 0)
                return 0;
        text_own(out, view, TONE_STRONG, "Errors\n");
        for (size_t i = 0; i < count; i++) {
                if (told[i])
                        continue;
                if (lines == list_limit(view)) {
                        untold++;
                        continue;
                }
                render_reason(out, view, errors, i, told);
                lines++;
        }
        if (untold > 0)
                text_own(out, view, TONE_FAINT,
                         "  and %zu more (a pipe or --json=pretty shows all)\n", untold);
        (void) buffer_append_char(out, '\n');
        return 0;
}

static Tone completeness_tone(const char *word) {
        static const struct {
                const char *word;
                Tone tone;
        } tones[] = {
                { "complete", TONE_GOOD },
                { "partial", TONE_WARN },
                { "failed", TONE_BAD },
        };

        for (size_t i = 0; i < ELEMENTSOF(tones); i++)
                if (strcmp(word, tones[i].word) == 0)
                        return tones[i].tone;
        return TONE_PLAIN;
}

static void render_last_line(Buffer *out, const View *view, const json_t *answer) {
        const json_t *results = json_object_get(answer, "sources");
        const char *word = field_text(answer, "completeness"), *id = field_text(answer, "query_id");
        double seconds = field_number(answer, "execution_time");
        double cores = field_number(answer, "cores_used");
        size_t answered = 0;
        const char *name;
        json_t *result;
        char text[160];

        json_object_foreach(field_each(results), name, result) answered +=
                        verdict_is_answered(field_text(result, "verdict"));
        int n =
                        snprintf(text, sizeof(text), ": %zu of %zu sources answered", answered,
                                 json_object_size(results));
        if (seconds >= 0 && seconds < 1e9)
                n += snprintf(text + n, sizeof(text) - (size_t) n, " in %.3f s", seconds);
        if (cores >= 0 && cores < 1e6)
                n += snprintf(text + n, sizeof(text) - (size_t) n, " on %.0f core%s", cores,
                              (int) cores == 1 ? "" : "s");

        word = word ? word : "answer";
        put_string(out, view, completeness_tone(word), word);
        (void) buffer_append_string(out, text);
        if (id) {
                size_t width = strlen(word) + (size_t) n + strlen("  query ") + strlen(id);
                bool fits = view->columns == 0 || width <= view->columns;

                text_own(out, view, TONE_FAINT, fits ? "  query " : "\nquery ");
                put_string(out, view, TONE_FAINT, id);
        }
        (void) buffer_append_char(out, '\n');
}

int render_answer(Buffer *out, const View *view, const json_t *answer) {
        int r;

        render_found(out, view, json_object_get(answer, "answer"));
        r = render_results(out, view, json_object_get(answer, "sources"));
        if (r < 0)
                return r;
        r = render_errors(out, view, json_object_get(answer, "errors"));
        if (r < 0)
                return r;
        render_last_line(out, view, answer);
        return out->error;
}
