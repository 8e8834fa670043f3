/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Writes readable text into a Buffer: white space collapsed, control characters taken out. A gap
 * (blank or line break) is remembered and written only when more text follows, so text never
 * begins or ends with one. Failures stay in the buffer (buffer->error). */

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

typedef struct TextWriter {
        Buffer *out;
        size_t start; /* of the text of this writer in `out`: no gap is written here */
        char gap;     /* NUL: none, ' ' or '\n' */
} TextWriter;

static inline TextWriter text_writer(Buffer *out) {
        return (TextWriter){ .out = out, .start = out->size };
}

/* Appends UTF-8; white space, control characters and no-break spaces count as blanks. */
void text_put(TextWriter *writer, const char *text, size_t size);

static inline void text_space(TextWriter *writer) {
        if (writer->gap == '\0')
                writer->gap = ' ';
}

static inline void text_break(TextWriter *writer) {
        writer->gap = '\n';
}

/* Does UTF-8 text hold control characters besides tab and line ends? */
bool text_has_controls(const char *text, size_t size);

/* Appends a copy in which each of these is a blank. Negative errno. */
int text_replace_controls(const char *text, size_t size, Buffer *out);
