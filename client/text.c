/* SPDX-License-Identifier: Apache-2.0 */

/* Glyphs: text is taken apart into characters, and each becomes what may safely be shown. A control
 * character, a bidirectional or invisible format character and an invalid byte become a visible
 * escape; any kind of blank becomes one space; a character that the locale cannot show becomes a
 * question mark. Widths come from Unicode's tables and not from the C library, so that they do not
 * depend on which locales are installed. */

#include <assert.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include "text.h"
#include "utf8.h"

#define SOFT_HYPHEN           0x00ad
#define ZERO_WIDTH_SPACE      0x200b
#define ZERO_WIDTH_NON_JOINER 0x200c
#define ZERO_WIDTH_JOINER     0x200d
#define WORD_JOINER           0x2060
#define BYTE_ORDER_MARK       0xfeff

typedef struct Glyph {
        char bytes[16];
        size_t size;
        size_t width;
        bool blank;
} Glyph;

static bool environment_wants_color(void) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return !(no_color && *no_color) && term && !(strcmp(term, "dumb") == 0);
}

View view_of(int fd) {
        View view = { .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 };
        struct winsize size;

        if (!isatty(fd)) {
                view.utf8 = true; /* files and programs take UTF-8 */
                return view;
        }
        view.terminal = true;
        view.color = environment_wants_color();
        view.columns = 80;
        view.rows = 24;
        if (ioctl(fd, TIOCGWINSZ, &size) >= 0 && size.ws_col > 0 && size.ws_row > 0) {
                view.columns = size.ws_col;
                view.rows = size.ws_row;
        }
        return view;
}

static const char *const tones[TONE_COUNT] = {
        [TONE_PLAIN] = "",        [TONE_STRONG] = "\033[1m", [TONE_FAINT] = "\033[2m",
        [TONE_GOOD] = "\033[32m", [TONE_WARN] = "\033[33m",  [TONE_BAD] = "\033[31m",
        [TONE_BLUE] = "\033[34m", [TONE_CYAN] = "\033[36m",  [TONE_MAGENTA] = "\033[35m",
};

void tone_begin(Buffer *out, const View *view, Tone tone) {
        if (view->color)
                (void) buffer_append_string(out, tones[tone]);
}

void tone_end(Buffer *out, const View *view, Tone tone) {
        if (view->color && tone != TONE_PLAIN)
                (void) buffer_append_string(out, "\033[0m");
}

void text_own(Buffer *out, const View *view, Tone tone, const char *format, ...) {
        char line[512];
        va_list arguments;

        va_start(arguments, format);
        int n = vsnprintf(line, sizeof(line), format, arguments);
        va_end(arguments);
        assert(n >= 0 && (size_t) n < sizeof(line));

        tone_begin(out, view, tone);
        (void) buffer_append(out, line, (size_t) n);
        tone_end(out, view, tone);
}

void text_fill(Buffer *out, const char *piece, size_t count) {
        for (size_t i = 0; i < count; i++)
                (void) buffer_append_string(out, piece);
}

/* \xNN for a byte or one of the first 256 characters, \u{N…} for the others. */
static Glyph glyph_escape(uint32_t value) {
        Glyph glyph = { 0 };
        bool small = value < 0x100;

        glyph.size = (size_t) snprintf(
                        glyph.bytes, sizeof(glyph.bytes), "\\%s%02x%s", small ? "x" : "u{", value,
                        small ? "" : "}");
        glyph.width = glyph.size;
        return glyph;
}

static bool character_is_blank(uint32_t c) {
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t) c);

        return (c >= '\t' && c <= '\r') || category == UTF8PROC_CATEGORY_ZS ||
                        category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

static bool character_is_unsafe(uint32_t c) {
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t) c);

        if (c == ZERO_WIDTH_JOINER || c == ZERO_WIDTH_NON_JOINER)
                return false; /* scripts and emoji need them, terminals ignore them */
        return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
                        category == UTF8PROC_CATEGORY_CO;
}

/* Hints for line breaking, common on the web and without any look of their own: left out. */
static bool character_is_hint(uint32_t c) {
        return c == SOFT_HYPHEN || c == ZERO_WIDTH_SPACE || c == WORD_JOINER || c == BYTE_ORDER_MARK;
}

/* Takes the first character of `text`; returns its length in bytes. */
static size_t glyph_take(const char *text, size_t size, const View *view, Glyph *ret) {
        uint32_t c = 0;
        size_t length = utf8_decode(text, size, &c);

        if (length == 0) {
                *ret = glyph_escape((unsigned char) *text);
                return 1;
        }
        if (character_is_blank(c))
                *ret = (Glyph){ .bytes = " ", .size = 1, .width = 1, .blank = true };
        else if (character_is_hint(c))
                *ret = (Glyph){ 0 };
        else if (character_is_unsafe(c))
                *ret = glyph_escape(c);
        else if (c >= 0x80 && !view->utf8)
                *ret = (Glyph){ .bytes = "?", .size = 1, .width = 1 };
        else {
                int width = utf8proc_charwidth((utf8proc_int32_t) c);

                *ret = (Glyph){ .size = length, .width = width > 0 ? (size_t) width : 0 };
                memcpy(ret->bytes, text, length);
        }
        return length;
}

size_t text_width(const View *view, const char *text, size_t size) {
        size_t width = 0;
        Glyph glyph;

        for (size_t i = 0; i < size; width += glyph.width)
                i += glyph_take(text + i, size - i, view, &glyph);
        return width;
}

size_t text_put(Buffer *out, const View *view, const char *text, size_t size, size_t limit) {
        bool cut = limit > 0 && text_width(view, text, size) > limit;
        size_t room = cut ? limit - 1 : SIZE_MAX, width = 0;
        Glyph glyph;

        for (size_t i = 0; i < size;) {
                i += glyph_take(text + i, size - i, view, &glyph);
                if (glyph.width > room - width)
                        break;
                (void) buffer_append(out, glyph.bytes, glyph.size);
                width += glyph.width;
        }
        if (cut) {
                (void) buffer_append_string(out, view->utf8 ? "…" : "~");
                width++;
        }
        return width;
}

/* The length in bytes and the width of the word at `text`, up to the next blank. */
static size_t word_take(const char *text, size_t size, const View *view, size_t *ret_width) {
        size_t length = 0, width = 0;
        Glyph glyph;

        while (length < size) {
                size_t n = glyph_take(text + length, size - length, view, &glyph);

                if (glyph.blank)
                        break;
                length += n;
                width += glyph.width;
        }
        *ret_width = width;
        return length;
}

static size_t blanks_skip(const char *text, size_t size, const View *view) {
        size_t length = 0;
        Glyph glyph;

        while (length < size) {
                size_t n = glyph_take(text + length, size - length, view, &glyph);

                if (!glyph.blank)
                        break;
                length += n;
        }
        return length;
}

/* A word wider than a line is left to the terminal to break, so that it can be copied whole. */
void text_wrap(Buffer *out, const View *view, const char *text, size_t size, size_t indent) {
        size_t limit = view->columns > 0 ? MIN((size_t) view->columns, (size_t) 100) : SIZE_MAX;
        size_t column = indent, i = blanks_skip(text, size, view);

        while (i < size) {
                size_t width, length = word_take(text + i, size - i, view, &width);

                if (column > indent && (width >= limit || column + 1 > limit - width)) {
                        (void) buffer_append_char(out, '\n');
                        text_fill(out, " ", indent);
                        column = indent;
                } else if (column > indent) {
                        (void) buffer_append_char(out, ' ');
                        column++;
                }
                column += text_put(out, view, text + i, length, 0);
                i += length;
                i += blanks_skip(text + i, size - i, view);
        }
        (void) buffer_append_char(out, '\n');
}
