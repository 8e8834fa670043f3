/* SPDX-License-Identifier: Apache-2.0 */

/* Text is copied in runs: only blanks, C0 and DEL, and the lead byte 0xC2 (before C1 controls, the
 * no-break space and the soft hyphen) end one. A soft hyphen vanishes; the others become a gap. */

#include <stdint.h>

#include "text-writer.h"

#define LEAD_C2 0xc2

static bool is_plain(unsigned char c) {
        return c > ' ' && c != 0x7f && c != LEAD_C2;
}

static void put_run(TextWriter *writer, const char *text, size_t size) {
        if (writer->gap != '\0' && writer->out->size > writer->start)
                (void) buffer_append_char(writer->out, writer->gap);
        writer->gap = '\0';
        (void) buffer_append(writer->out, text, size);
}

void text_put(TextWriter *writer, const char *text, size_t size) {
        size_t i = 0;

        while (i < size) {
                size_t start = i;
                while (i < size && is_plain((unsigned char) text[i]))
                        i++;
                if (i > start)
                        put_run(writer, text + start, i - start);
                if (i == size)
                        return;

                if ((unsigned char) text[i] != LEAD_C2 || i + 1 == size) {
                        text_space(writer);
                        i++;
                        continue;
                }
                unsigned char second = (unsigned char) text[i + 1];
                if (second <= 0xa0)
                        text_space(writer);
                else if (second != 0xad)
                        put_run(writer, text + i, 2);
                i += 2;
        }
}

/* The length of the control character at text[i], or 0. */
static size_t control_length(const char *text, size_t size, size_t i) {
        unsigned char c = (unsigned char) text[i];

        if (c == LEAD_C2)
                return i + 1 < size && (unsigned char) text[i + 1] < 0xa0 ? 2 : 0;
        if (c == '\t' || c == '\n' || c == '\r')
                return 0;
        return c < ' ' || c == 0x7f ? 1 : 0;
}

/* Where the next one stands, or `size`. */
static size_t find_control(const char *text, size_t size, size_t i) {
        while (i < size && control_length(text, size, i) == 0)
                i++;
        return i;
}

bool text_has_controls(const char *text, size_t size) {
        return find_control(text, size, 0) < size;
}

int text_replace_controls(const char *text, size_t size, Buffer *out) {
        for (size_t i = 0; i < size;) {
                size_t next = find_control(text, size, i);
                (void) buffer_append(out, text + i, next - i);
                if (next == size)
                        break;
                (void) buffer_append_char(out, ' ');
                i = next + control_length(text, size, next);
        }
        return out->error;
}
