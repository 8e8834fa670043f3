/* SPDX-License-Identifier: Apache-2.0 */

/* An event of Monitor on one line: when, what kind, of what, and the rest in words. A kind that
 * this program does not know is shown as its JSON. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "fields.h"
#include "parse.h"
#include "render.h"

#define TIME_COLUMNS    12
#define KIND_COLUMNS    7
#define SUBJECT_COLUMNS 26 /* of a query's identifier */

/* Text from outside, filled up with blanks. */
static void put_column(Buffer *out, const View *view, const char *text, size_t columns) {
        size_t width = text_put(out, view, text, strlen(text), columns);

        text_fill(out, " ", columns - width + 2);
}

static void put_time(Buffer *out, const View *view, const json_t *event) {
        json_int_t ms = json_integer_value(json_object_get(event, "time"));
        time_t seconds = (time_t) (ms / 1000);
        char text[32] = "";
        struct tm parts;

        if (ms > 0 && localtime_r(&seconds, &parts))
                (void) snprintf(text, sizeof(text), "%02d:%02d:%02d.%03d", parts.tm_hour,
                                parts.tm_min, parts.tm_sec, (int) (ms % 1000));
        tone_begin(out, view, TONE_FAINT);
        put_column(out, view, text, TIME_COLUMNS);
        tone_end(out, view, TONE_FAINT);
}

static void put_word(Buffer *out, const View *view, Tone tone, const char *word) {
        tone_begin(out, view, tone);
        (void) text_put(out, view, word ? word : "?", strlen(word ? word : "?"), 0);
        tone_end(out, view, tone);
}

/* A number with a unit or noun behind it; nothing when there is none. */
static void put_number(Buffer *out, const char *before, double value, int decimals, const char *after) {
        if (isfinite(value))
                (void) buffer_printf(out, "%s%.*f%s", before, decimals, value, after);
}

static void put_duration(Buffer *out, const char *before, double ms) {
        char text[DURATION_TEXT_MAX];

        if (ms >= 0 && ms < 1e12)
                (void) buffer_printf(
                                out, "%s%s", before,
                                format_duration(text, (uint64_t) llround(ms) * NSEC_PER_MSEC));
}

static void put_query(Buffer *out, const View *view, const json_t *event) {
        const char *completeness = field_text(event, "completeness");
        double ms = field_number(event, "execution_ms");

        if (!completeness) {
                put_word(out, view, TONE_WARN, "withdrawn");
                put_number(out, " after ", ms, 1, " ms");
                return;
        }
        put_word(out, view, field_true(event, "success") ? TONE_GOOD : TONE_BAD, completeness);
        put_number(out, ": ", field_number(event, "answered"), 0, "");
        put_number(out, " of ", field_number(event, "asked"), 0, " sources answered");
        put_number(out, " in ", ms, 1, " ms");
}

static void put_source(Buffer *out, const View *view, const json_t *event) {
        const char *verdict = field_text(event, "verdict"), *origin = field_text(event, "origin");

        put_word(out, view, verdict ? verdict_tone(verdict) : TONE_PLAIN, verdict);
        if (origin) {
                (void) buffer_append_string(out, ", ");
                put_word(out, view, TONE_PLAIN, origin);
        }
        put_number(out, ", attempts: ", field_number(event, "attempts"), 0, "");
        put_number(out, ", ", field_number(event, "fetch_ms"), 1, " ms");
}

static void put_breaker(Buffer *out, const View *view, const json_t *event) {
        const char *state = field_text(event, "state");
        bool closed = state && strcmp(state, "closed") == 0;

        put_word(out, view, closed ? TONE_GOOD : TONE_WARN, state);
        put_duration(out, " for ", field_number(event, "open_ms"));
        put_number(out, ", failures: ", field_number(event, "failures"), 0, "");
}

static void put_worker(Buffer *out, const View *view, const json_t *event) {
        put_number(out, "pid ", field_number(event, "pid"), 0, " ");
        (void) buffer_append_string(out, "ended ");
        put_word(out, view, TONE_BAD, field_text(event, "status"));
        put_duration(out, "; the next one starts in ", field_number(event, "backoff_ms"));
}

static void put_lost(Buffer *out, const View *view, const json_t *event) {
        put_word(out, view, TONE_WARN, "events lost: they came faster than they were read");
}

static const struct {
        const char *kind;
        const char *subject; /* member that says of what it tells */
        void (*put)(Buffer *out, const View *view, const json_t *event);
} kinds[] = {
        { "query", "query_id", put_query },   { "source", "source", put_source },
        { "breaker", "source", put_breaker }, { "worker", "worker", put_worker },
        { "lost", "events", put_lost },
};

static int put_known(Buffer *out, const View *view, const json_t *event, size_t which) {
        const json_t *subject = json_object_get(event, kinds[which].subject);
        char number[32];

        (void) snprintf(number, sizeof(number), "%lld", (long long) json_integer_value(subject));
        put_column(out, view, json_is_string(subject) ? json_string_value(subject) : number,
                   SUBJECT_COLUMNS);
        kinds[which].put(out, view, event);
        (void) buffer_append_char(out, '\n');
        return out->error;
}

int render_event(Buffer *out, const View *view, const json_t *event) {
        const char *kind = field_text(event, "kind");

        put_time(out, view, event);
        put_column(out, view, kind ? kind : "?", KIND_COLUMNS);
        for (size_t i = 0; kind && i < ELEMENTSOF(kinds); i++)
                if (strcmp(kinds[i].kind, kind) == 0)
                        return put_known(out, view, event, i);

        CLEANUP_FREE char *text = json_dumps(event, JSON_COMPACT | JSON_REAL_PRECISION(15));
        if (!text)
                return -ENOMEM;
        (void) text_put(out, view, text, strlen(text), 0);
        (void) buffer_append_char(out, '\n');
        return out->error;
}
