/* SPDX-License-Identifier: Apache-2.0 */

/* The rule, in no particular language: a sentence ends after a stop (. ! ? and their like),
 * closing quotes and brackets, and white space, when what follows may begin one: a capital, a
 * letter of a script without capitals, an opening quote or bracket, a digit. Full stops of
 * Chinese and Japanese need no white space. A line end also ends a sentence; in wrapped text
 * only when the next line is empty or begins as a sentence does and the line before it was short
 * or stopped.
 *
 * A full stop does not end one after an initial ("J. Smith"), within dotted letters ("U.S.
 * Army"), after the usual titles ("Dr. Who"), and after those that announce a number when one
 * follows ("No. 5"). Decimals and names such as "node.js" have no white space after the stop, so
 * they need no rule. */

#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "macro.h"
#include "sentences.h"
#include "utf8.h"

#define WRAPPED_LINE_MIN 40u /* a shorter line was ended on purpose */

static const char titles[] =
                " mr mrs ms dr prof st sr jr gen col sgt capt lt rev hon gov sen rep vs mt "
                "messrs approx dept univ assn bros ca cf al ";
static const char numbered[] =
                " no nos p pp vol fig figs sec ch art op eq para jan feb mar apr jun jul "
                "aug sep sept oct nov dec ";

typedef enum Stop {
        STOP_NONE,
        STOP_POINT, /* may belong to an abbreviation */
        STOP_SURE,
        STOP_WIDE, /* ends the sentence without white space */
} Stop;

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static Stop stop_kind(uint32_t c) {
        switch (c) {
        case '.':
                return STOP_POINT;
        case '!':
        case '?':
        case 0x203d: /* interrobang */
        case 0x2026: /* ellipsis */
        case 0x061f: /* Arabic question mark */
        case 0x06d4: /* Urdu full stop */
        case 0x0964: /* danda */
        case 0x0965: /* double danda */
        case 0x1362: /* Ethiopic full stop */
        case 0x104b: /* Myanmar section */
        case 0x17d4: /* Khmer khan */
                return STOP_SURE;
        case 0x3002: /* ideographic full stop */
        case 0xff01: /* full-width ! */
        case 0xff1f: /* full-width ? */
        case 0xff61: /* half-width ideographic full stop */
                return STOP_WIDE;
        default:
                return STOP_NONE;
        }
}

/* The text is valid; a pure ASCII character is the common case. */
static size_t char_at(const SentenceIterator *it, size_t i, uint32_t *ret) {
        unsigned char c = (unsigned char) it->text[i];

        if (c < 0x80) {
                *ret = c;
                return 1;
        }
        size_t length = utf8_decode(it->text + i, it->size - i, ret);
        if (length > 0)
                return length;
        *ret = ' ';
        return 1;
}

static bool may_close(uint32_t c) {
        if (c == '"' || c == '\'')
                return true;
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t) c);
        return category == UTF8PROC_CATEGORY_PE || category == UTF8PROC_CATEGORY_PF;
}

static bool may_begin(const SentenceIterator *it, size_t i) {
        uint32_t c;

        (void) char_at(it, i, &c);
        if (c == '"' || c == '\'')
                return true;
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t) c);
        return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT ||
                        category == UTF8PROC_CATEGORY_LO || category == UTF8PROC_CATEGORY_ND ||
                        category == UTF8PROC_CATEGORY_PS || category == UTF8PROC_CATEGORY_PI ||
                        category == UTF8PROC_CATEGORY_SO || c == 0xbf || c == 0xa1;
}

static bool word_in(const char *word, size_t size, const char *list) {
        char key[10] = " ";

        if (size == 0 || size > sizeof(key) - 3)
                return false;
        memcpy(key + 1, word, size);
        key[size + 1] = ' ';
        return strcasestr(list, key) != NULL;
}

static bool is_letter(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char) c >= 0x80;
}

/* Does the point at `point` belong to the word before it? `next` is what follows the white
 * space. */
static bool is_abbreviation(const SentenceIterator *it, size_t start, size_t point, size_t next) {
        size_t word = point;

        while (word > start && point - word <= 8 && is_letter(it->text[word - 1]))
                word--;
        size_t length = point - word;
        char before = word > start ? it->text[word - 1] : ' ';
        if (length == 1 && it->text[word] >= 'A' && it->text[word] <= 'Z' && before != '\'')
                return true;
        if (length == 1 && before == '.')
                return true;
        if (word_in(it->text + word, length, titles))
                return true;
        bool digit = it->text[next] >= '0' && it->text[next] <= '9';
        return digit && word_in(it->text + word, length, numbered);
}

/* `*position` stands after a stop and is moved past the stops and closing characters that
 * follow. Returns where the sentence ends, or 0 when it goes on. */
static size_t
end_after_stop(const SentenceIterator *it, size_t start, size_t stop, Stop kind, size_t *position) {
        size_t limit = MIN(it->size, start + SENTENCE_MAX + 1); /* so is a run of stops */
        size_t i = *position;
        uint32_t c;

        while (i < limit) {
                size_t length = char_at(it, i, &c);
                if (stop_kind(c) == STOP_NONE && !may_close(c))
                        break;
                i += length;
        }
        *position = i;
        if (i >= limit || kind == STOP_WIDE)
                return i;
        if (!is_blank(it->text[i]))
                return 0;

        size_t next = i;
        while (next < it->size && is_blank(it->text[next]))
                next++;
        if (next == it->size)
                return i;
        if (!may_begin(it, next))
                return 0;
        return kind == STOP_POINT && is_abbreviation(it, start, stop, next) ? 0 : i;
}

/* Does the line end at `i` end the sentence as well? */
static bool line_ends_sentence(const SentenceIterator *it, size_t start, size_t i) {
        size_t next = i + 1;

        if (!it->wrapped)
                return true;
        while (next < it->size &&
               (it->text[next] == ' ' || it->text[next] == '\t' || it->text[next] == '\r'))
                next++;
        if (next == it->size || it->text[next] == '\n')
                return true;
        const char *line = it->text + start;
        const char *last = memrchr(line, '\n', i - start);
        size_t length = last ? (size_t) (it->text + i - last) : i - start;
        if (length >= WRAPPED_LINE_MIN)
                return it->text[next] == '-' || it->text[next] == '*';
        return may_begin(it, next) || it->text[next] == '-' || it->text[next] == '*';
}

/* The greatest cut within SENTENCE_MAX: after the last blank, else between characters. */
static size_t cut_long(const SentenceIterator *it, size_t start) {
        size_t limit = start + utf8_truncate(it->text + start, it->size - start, SENTENCE_MAX);

        for (size_t i = limit; i > start + SENTENCE_MAX / 2; i--)
                if (is_blank(it->text[i - 1]))
                        return i;
        return limit;
}

static size_t find_end(const SentenceIterator *it, size_t start) {
        for (size_t i = start; i < it->size;) {
                if (i - start >= SENTENCE_MAX)
                        return cut_long(it, start);
                uint32_t c;
                size_t stop = i;
                i += char_at(it, i, &c);
                if (c == '\n' && line_ends_sentence(it, start, stop))
                        return stop;
                Stop kind = stop_kind(c);
                if (kind == STOP_NONE)
                        continue;
                size_t end = end_after_stop(it, start, stop, kind, &i);
                if (end > 0)
                        return start + utf8_truncate(it->text + start, end - start, SENTENCE_MAX);
        }
        return it->size - start > SENTENCE_MAX ? cut_long(it, start) : it->size;
}

bool sentence_next(SentenceIterator *it, size_t *ret_start, size_t *ret_end) {
        size_t start = it->position;

        while (start < it->size && is_blank(it->text[start]))
                start++;
        it->position = start;
        if (start == it->size)
                return false;

        size_t end = find_end(it, start);
        it->position = end;
        while (end > start && is_blank(it->text[end - 1]))
                end--;
        *ret_start = start;
        *ret_end = end;
        return true;
}
