/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "ini.h"
#include "utf8.h"

/* The format: `[Section]`, `Key=value`, empty lines, and comments, which are whole lines that begin
 * with '#' or ';'. Blanks around a line, a key and a value do not count. A backslash at the end of
 * a line (an odd number of them) becomes a blank and the next line goes on there, without its own
 * indentation; comments in between are skipped. Nothing else is special: no quotes, no escapes, and
 * '#' and ';' within a value are part of it.
 *
 * That is what systemd reads, and its users know it. Libraries for INI differ where it hurts: inih,
 * for one, cuts lines at 200 bytes and takes " ;" within a line for a comment, which breaks
 * `Header=Accept: a ;q=1` in silence.
 *
 * Text is UTF-8 without control characters but the tab. Whatever is not of the format is an error
 * with its place, and the next line is read as if nothing had been, so that one run finds all
 * errors. What stands below a broken section header is left out, because nobody knows where it
 * belongs. */

typedef struct Ini {
        const IniHandler *handler;
        void *userdata;
        Buffer line; /* a whole line, joined, ended by NUL when it is looked at */
        IniPlace *places;
        size_t n_places, places_capacity;
        enum {
                NO_SECTION, /* none yet */
                IN_SECTION,
                BROKEN_SECTION,
        } state;
        bool told_cr; /* once a file is enough: all its lines will have it */
} Ini;

static bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static int ini_error(Ini *ini, unsigned line, unsigned column, const char *message) {
        return ini->handler->error(ini->userdata, line, column, message);
}

IniPlace ini_place(const IniPlace *places, size_t n_places, size_t offset) {
        assert(n_places > 0);
        while (n_places > 1 && places[n_places - 1].offset > offset)
                n_places--;

        IniPlace place = places[n_places - 1];
        return (IniPlace){
                .offset = offset,
                .line = place.line,
                .column = place.column + (unsigned) (offset - place.offset),
        };
}

/* An error at an offset of the joined line. */
static int ini_error_at(Ini *ini, size_t offset, const char *message) {
        IniPlace place = ini_place(ini->places, ini->n_places, offset);
        return ini_error(ini, place.line, place.column, message);
}

static int add_place(Ini *ini, IniPlace place) {
        if (ini->n_places == ini->places_capacity) {
                size_t capacity = ini->places_capacity > 0 ? 2 * ini->places_capacity : 8;
                IniPlace *places = reallocarray(ini->places, capacity, sizeof(*places));
                if (!places)
                        return -ENOMEM;
                ini->places = places;
                ini->places_capacity = capacity;
        }
        ini->places[ini->n_places++] = place;
        return 0;
}

static int parse_section(Ini *ini, char *text, size_t size) {
        const IniPlace *place = &ini->places[0];
        const char *close = memchr(text, ']', size);

        ini->state = BROKEN_SECTION;
        if (!close)
                return ini_error_at(ini, 0, "the ] that ends the section's name is missing");
        if (close == text + 1)
                return ini_error_at(ini, 0, "the section has no name");
        if (close != text + size - 1)
                return ini_error_at(
                                ini, (size_t) (close - text) + 1,
                                "nothing may stand behind the section's name");

        text[size - 1] = '\0';
        ini->state = IN_SECTION;
        return ini->handler->section(ini->userdata, text + 1, place->line, place->column);
}

/* Turns the places of the line into those of a value that begins at `start` of it. */
static void places_of_value(Ini *ini, size_t start) {
        size_t kept = 1;
        IniPlace first = ini_place(ini->places, ini->n_places, start);

        for (size_t i = 1; i < ini->n_places; i++)
                if (ini->places[i].offset > start) {
                        ini->places[kept] = ini->places[i];
                        ini->places[kept++].offset -= start;
                }
        first.offset = 0;
        ini->places[0] = first;
        ini->n_places = kept;
}

static int parse_assignment(Ini *ini, char *text, size_t size) {
        const unsigned line = ini->places[0].line, column = ini->places[0].column;
        char *equals = memchr(text, '=', size);

        if (!equals)
                return ini_error_at(ini, 0, "this is neither Key=value nor [Section] nor a # comment");
        if (equals == text)
                return ini_error_at(ini, 0, "the key before the = is missing");
        if (ini->state == NO_SECTION)
                return ini_error_at(ini, 0, "this stands before the first [Section]");
        if (ini->state == BROKEN_SECTION)
                return 0;

        char *key_end = equals, *value = equals + 1;
        while (is_blank(key_end[-1]))
                key_end--;
        while (is_blank(*value))
                value++;
        *key_end = '\0';
        places_of_value(ini, (size_t) (value - text));

        const IniAssignment assignment = {
                .key = text,
                .value = value,
                .line = line,
                .column = column,
                .places = ini->places,
                .n_places = ini->n_places,
        };
        return ini->handler->assignment(ini->userdata, &assignment);
}

static void forget_line(Ini *ini) {
        buffer_clear(&ini->line);
        ini->n_places = 0;
}

/* The joined line is complete. It begins with no blank. */
static int end_line(Ini *ini) {
        Buffer *line = &ini->line;
        int r = 0;

        if (line->error < 0)
                r = line->error == -ENOMEM ? -ENOMEM :
                                             ini_error_at(ini, 0, "the line is longer than 64 KiB");
        else {
                while (line->size > 0 && is_blank(line->data[line->size - 1]))
                        line->size--;
                if (line->size > 0) {
                        size_t size = line->size;

                        line->data[size] = '\0'; /* there is room: see add_line() */
                        r = line->data[0] == '[' ? parse_section(ini, line->data, size) :
                                                   parse_assignment(ini, line->data, size);
                }
        }
        forget_line(ini);
        return r;
}

/* Finds what may stand in no line. Returns what ini_error() does and sets `*ret_good`. */
static int check_line(Ini *ini, const char *text, size_t size, unsigned line, bool *ret_good) {
        const char *message = NULL;
        size_t at = 0, length = 1;
        bool told = false;

        for (; at < size; at += length) {
                unsigned char c = (unsigned char) text[at];
                uint32_t character;

                length = utf8_decode(text + at, size - at, &character);
                if (length == 0)
                        message = "invalid UTF-8; save the file in this encoding";
                else if (c == '\0')
                        message = "a NUL byte; this is no text";
                else if (c == '\r' && at == size - 1) {
                        message = "the line ends in CR LF; save the file with line ends of LF alone";
                        told = ini->told_cr;
                        ini->told_cr = true;
                } else if ((c < 0x20 && c != '\t') || c == 0x7f)
                        message = "a control character; remove it";
                else if (line == 1 && at == 0 && character == 0xfeff)
                        message = "a byte order mark; save the file without it";
                if (message)
                        break;
        }
        *ret_good = !message;
        return message && !told ? ini_error(ini, line, (unsigned) at + 1, message) : 0;
}

/* Joins one physical line to what is there of the logical one, and ends that unless it goes on. */
static int add_line(Ini *ini, const char *text, size_t size, unsigned line) {
        const char *begin = text, *end = text + size;
        bool good = true, goes_on = false;

        int r = check_line(ini, text, size, line, &good);
        if (!good)
                forget_line(ini);
        if (r != 0 || !good)
                return r;

        while (begin < end && is_blank(*begin))
                begin++;
        if (begin < end && (*begin == '#' || *begin == ';'))
                return 0;
        for (const char *c = end; c > begin && c[-1] == '\\'; c--)
                goes_on = !goes_on;
        if (goes_on)
                end--;
        /* Nothing yet: the line begins with the next one, and so never with a blank. */
        if (goes_on && begin == end && ini->line.size == 0)
                return 0;

        r = add_place(ini, (IniPlace){ ini->line.size, line, (unsigned) (begin - text) + 1 });
        if (r < 0)
                return r;
        (void) buffer_append(&ini->line, begin, (size_t) (end - begin));
        /* A blank for the backslash, or room for the NUL. */
        (void) buffer_append_char(&ini->line, ' ');
        return goes_on ? 0 : end_line(ini);
}

int ini_parse(const char *text, size_t size, const IniHandler *handler, void *userdata) {
        Ini ini = {
                .handler = handler,
                .userdata = userdata,
                .line = BUFFER_INIT(INI_LINE_MAX),
        };
        const char *end = text + size;
        int r = 0;

        for (unsigned line = 1; text < end && r == 0; line++) {
                const char *newline = memchr(text, '\n', (size_t) (end - text));
                const char *line_end = newline ? newline : end;

                r = add_line(&ini, text, (size_t) (line_end - text), line);
                text = newline ? newline + 1 : end;
        }
        /* The file ends in the middle of a continued line. */
        if (r == 0 && ini.n_places > 0)
                r = end_line(&ini);

        buffer_deinit(&ini.line);
        free(ini.places);
        return r;
}
