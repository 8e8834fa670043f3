/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text for a terminal or a pipe. Whatever comes from outside (questions, sources, the daemon) is
 * written through text_put() or text_wrap(), which leave nothing in it that a terminal would
 * obey. */

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/* What is known of the place that the text goes to. */
typedef struct View {
        unsigned columns; /* 0: no limit, as in a pipe */
        unsigned rows;    /* 0: no limit */
        bool terminal;
        bool color;
        bool utf8; /* characters outside ASCII can be shown */
} View;

typedef enum Tone {
        TONE_PLAIN,
        TONE_STRONG,
        TONE_FAINT,
        TONE_GOOD,
        TONE_WARN,
        TONE_BAD,
        TONE_BLUE,
        TONE_CYAN,
        TONE_MAGENTA,
        TONE_COUNT,
} Tone;

View view_of(int fd);

void tone_begin(Buffer *out, const View *view, Tone tone);
void tone_end(Buffer *out, const View *view, Tone tone);

/* Text of our own: never escaped, so never text from outside. */
void text_own(Buffer *out, const View *view, Tone tone, const char *format, ...) PRINTF_LIKE(4, 5);

void text_fill(Buffer *out, const char *piece, size_t count);

/* Columns that text_put() would fill. */
size_t text_width(const View *view, const char *text, size_t size);

/* Appends outside text on one line, cut with an ellipsis to at most `limit` columns (0: no limit).
 * Returns the columns filled. */
size_t text_put(Buffer *out, const View *view, const char *text, size_t size, size_t limit);

/* Appends outside text as a paragraph that ends with a newline. Lines after the first are indented;
 * the first begins where the caller stands, which is column `indent`. */
void text_wrap(Buffer *out, const View *view, const char *text, size_t size, size_t indent);
