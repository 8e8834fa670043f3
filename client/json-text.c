/* SPDX-License-Identifier: Apache-2.0 */

/* Since the text is known to be valid, a scanner needs little: a string ends at the first quote
 * that no backslash escapes, a string followed by a colon is a key, and brackets match. */

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <utf8proc.h>

#include "json-text.h"
#include "utf8.h"

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_blanks(const char *text, size_t size, size_t i) {
        while (i < size && is_blank(text[i]))
                i++;
        return i;
}

/* `i` is at the opening quote; returns the place after the closing one. */
static size_t skip_string(const char *text, size_t size, size_t i) {
        assert(text[i] == '"');
        for (i++; i < size && text[i] != '"'; i++)
                if (text[i] == '\\')
                        i++;
        return MIN(i + 1, size);
}

static size_t skip_value(const char *text, size_t size, size_t i) {
        unsigned depth = 0;

        for (i = skip_blanks(text, size, i); i < size;) {
                char c = text[i];

                if (c == '"')
                        i = skip_string(text, size, i);
                else if (depth == 0 && (c == ',' || c == '}' || c == ']' || is_blank(c)))
                        return i;
                else {
                        depth += c == '{' || c == '[';
                        depth -= c == '}' || c == ']';
                        i++;
                }
                if (depth == 0 && (c == '"' || c == '}' || c == ']'))
                        return i;
        }
        return i;
}

/* `from` is at the opening quote of a string that ends before `to`. */
static bool string_is(const char *text, size_t from, size_t to, const char *key) {
        size_t length = strlen(key);

        return to - from == length + 2 && memcmp(text + from + 1, key, length) == 0;
}

int json_text_member(const char *text, size_t size, const char *key, const char **ret, size_t *ret_size) {
        size_t i = skip_blanks(text, size, 0);
        bool found = false;

        if (i >= size || text[i] != '{')
                return -ENOENT;
        for (i = skip_blanks(text, size, i + 1); i < size && text[i] == '"';) {
                size_t key_end = skip_string(text, size, i);
                size_t value = skip_blanks(text, size, skip_blanks(text, size, key_end) + 1);
                size_t value_end = skip_value(text, size, value);

                if (string_is(text, i, key_end, key)) {
                        *ret = text + value;
                        *ret_size = value_end - value;
                        found = true;
                }
                i = skip_blanks(text, size, value_end);
                if (i < size && text[i] == ',')
                        i = skip_blanks(text, size, i + 1);
        }
        return found ? 0 : -ENOENT;
}

void json_text_blank(Buffer *out, const char *text, size_t size, unsigned depth, const char *key) {
        unsigned here = 0;

        for (size_t i = 0; i < size;) {
                if (text[i] != '"') {
                        here += text[i] == '{' || text[i] == '[';
                        here -= text[i] == '}' || text[i] == ']';
                        (void) buffer_append_char(out, text[i++]);
                        continue;
                }

                size_t end = skip_string(text, size, i), next = skip_blanks(text, size, end);
                bool blank = here == depth && next < size && text[next] == ':' &&
                                string_is(text, i, end, key);

                (void) buffer_append(out, text + i, end - i);
                if (blank)
                        (void) buffer_append_string(out, ":null");
                i = blank ? skip_value(text, size, next + 1) : end;
        }
}

static bool character_is_unsafe(uint32_t c) {
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t) c);

        return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF;
}

static void format_string(Buffer *out, const char *text, size_t size) {
        for (size_t i = 0; i < size;) {
                uint32_t c = 0;
                size_t length = utf8_decode(text + i, size - i, &c);

                assert(length > 0);
                if (!character_is_unsafe(c))
                        (void) buffer_append(out, text + i, length);
                else if (c < 0x10000)
                        (void) buffer_printf(out, "\\u%04x", c);
                else
                        (void) buffer_printf(
                                        out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                                        0xdc00 + ((c - 0x10000) & 0x3ff));
                i += length;
        }
}

static void format_newline(Buffer *out, bool pretty, unsigned depth) {
        if (!pretty)
                return;
        (void) buffer_append_char(out, '\n');
        for (unsigned i = 0; i < depth; i++)
                (void) buffer_append_string(out, "  ");
}

/* Writes an opening bracket and what belongs behind it; returns where to go on. */
static size_t
format_open(Buffer *out, const char *text, size_t size, size_t i, bool pretty, unsigned *depth) {
        size_t next = skip_blanks(text, size, i + 1);

        (void) buffer_append_char(out, text[i]);
        if (next < size && (text[next] == '}' || text[next] == ']')) {
                (void) buffer_append_char(out, text[next]);
                return next + 1;
        }
        format_newline(out, pretty, ++*depth);
        return next;
}

void json_text_format(Buffer *out, const char *text, size_t size, bool pretty) {
        unsigned depth = 0;

        for (size_t i = skip_blanks(text, size, 0); i < size; i = skip_blanks(text, size, i)) {
                size_t end;

                switch (text[i]) {
                case '"':
                        end = skip_string(text, size, i);
                        format_string(out, text + i, end - i);
                        i = end;
                        break;
                case '{':
                case '[':
                        i = format_open(out, text, size, i, pretty, &depth);
                        break;
                case '}':
                case ']':
                        format_newline(out, pretty, --depth);
                        (void) buffer_append_char(out, text[i++]);
                        break;
                case ',':
                        (void) buffer_append_char(out, text[i++]);
                        format_newline(out, pretty, depth);
                        break;
                case ':':
                        (void) buffer_append_string(out, pretty ? ": " : ":");
                        i++;
                        break;
                default:
                        (void) buffer_append_char(out, text[i++]);
                        break;
                }
        }
}
