/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "json-scan.h"
#include "utf8.h"

/* One pass from left to right. What may stand at the current byte depends on two things only: the
 * kind of the container around it, one bit a level, and what of it has been seen (Expect). So the
 * whole state is a bit stack and an enum, and a hostile document costs as much as an honest one.
 *
 * Strings are most of a document, and most of their bytes are plain ASCII: eight of them are looked
 * at in one step, until one stands out (a quote, a backslash, a control character, a byte above
 * 0x7f). */

#define DEPTH_MAX 1024

typedef enum Expect {
        EXPECT_VALUE,
        EXPECT_VALUE_OR_END, /* after '[' */
        EXPECT_KEY,
        EXPECT_KEY_OR_END,   /* after '{' */
        EXPECT_COMMA_OR_END, /* after a value; at depth 0: nothing more */
} Expect;

typedef struct Scan {
        const char *text;
        size_t size, at;
        Expect expect;
        unsigned depth, max_depth;
        uint64_t objects[DEPTH_MAX / 64]; /* bit d - 1: the container at depth d is an object */
} Scan;

/* The byte at the cursor, or 0, which stands for no part of JSON, at the end. */
static char peek(const Scan *s) {
        return s->at < s->size ? s->text[s->at] : '\0';
}

static bool in_object(const Scan *s) {
        unsigned bit = s->depth - 1;
        return s->objects[bit / 64] >> bit % 64 & 1;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static void skip_blanks(Scan *s) {
        while (s->at < s->size) {
                char c = s->text[s->at];
                if (c != ' ' && c != '\n' && c != '\t' && c != '\r')
                        return;
                s->at++;
        }
}

static void skip_plain(Scan *s) {
        const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;

        while (s->size - s->at >= sizeof(uint64_t)) {
                uint64_t word;

                memcpy(&word, s->text + s->at, sizeof(word));
                word = le64toh(word);
                /* A subtraction sets the high bit of the bytes below its operand, and by a borrow
                 * perhaps those of bytes behind one; so the first one that is marked is right. */
                uint64_t marks = (word | (word - ones * 0x20) | ((word ^ ones * '"') - ones) |
                                  ((word ^ ones * '\\') - ones)) &
                                highs;
                if (marks != 0) {
                        s->at += (size_t) __builtin_ctzll(marks) / 8;
                        return;
                }
                s->at += sizeof(word);
        }
}

static int hex_digits(Scan *s, uint32_t *ret) {
        uint32_t value = 0;

        for (unsigned i = 0; i < 4; i++, s->at++) {
                char c = peek(s);

                if (is_digit(c))
                        value = value << 4 | (uint32_t) (c - '0');
                else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
                        value = value << 4 | (uint32_t) ((c | 0x20) - 'a' + 10);
                else
                        return -EINVAL;
        }
        *ret = value;
        return 0;
}

/* At the four digits of \uXXXX. */
static int scan_unicode_escape(Scan *s) {
        size_t start = s->at - 2;
        uint32_t high, low;

        int r = hex_digits(s, &high);
        if (r < 0 || high < 0xd800 || high > 0xdfff)
                return r;
        if (high <= 0xdbff && s->size - s->at >= 2 && memcmp(s->text + s->at, "\\u", 2) == 0) {
                s->at += 2;
                r = hex_digits(s, &low);
                if (r < 0 || (low >= 0xdc00 && low <= 0xdfff))
                        return r;
        }
        s->at = start;
        return -EILSEQ;
}

/* At the byte behind a backslash. */
static int scan_escape(Scan *s) {
        char c = peek(s);

        if (c == '\0' || !strchr("\"\\/bfnrtu", c))
                return -EINVAL;
        s->at++;
        return c == 'u' ? scan_unicode_escape(s) : 0;
}

/* At the opening quote. */
static int scan_string(Scan *s) {
        s->at++;
        for (;;) {
                skip_plain(s);
                if (s->at >= s->size)
                        return -EINVAL;

                unsigned char c = (unsigned char) s->text[s->at];
                uint32_t character;
                size_t length = 1;

                if (c == '"') {
                        s->at++;
                        return 0;
                }
                if (c < 0x20)
                        return -EINVAL;
                if (c >= 0x80) {
                        length = utf8_decode(s->text + s->at, s->size - s->at, &character);
                        if (length == 0)
                                return -EILSEQ;
                }
                s->at += length;
                if (c == '\\') {
                        int r = scan_escape(s);
                        if (r < 0)
                                return r;
                }
        }
}

static int scan_digits(Scan *s) {
        if (!is_digit(peek(s)))
                return -EINVAL;
        while (is_digit(peek(s)))
                s->at++;
        return 0;
}

static int scan_number(Scan *s) {
        int r = 0;

        if (peek(s) == '-')
                s->at++;
        if (peek(s) == '0')
                s->at++; /* a digit behind it is no number's beginning, so what follows refuses it */
        else
                r = scan_digits(s);
        if (r == 0 && peek(s) == '.') {
                s->at++;
                r = scan_digits(s);
        }
        if (r == 0 && (peek(s) | 0x20) == 'e') {
                s->at++;
                if (peek(s) == '+' || peek(s) == '-')
                        s->at++;
                r = scan_digits(s);
        }
        return r;
}

static int scan_word(Scan *s, const char *word) {
        for (; *word != '\0'; word++, s->at++)
                if (peek(s) != *word)
                        return -EINVAL;
        return 0;
}

static int scan_open(Scan *s, bool object) {
        if (s->depth == s->max_depth)
                return -E2BIG;

        uint64_t bit = UINT64_C(1) << s->depth % 64, *word = &s->objects[s->depth / 64];
        *word = object ? *word | bit : *word & ~bit;
        s->at++;
        s->depth++;
        s->expect = object ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
        return 0;
}

static int scan_close(Scan *s) {
        s->at++;
        s->depth--;
        s->expect = EXPECT_COMMA_OR_END;
        return 0;
}

static int scan_value(Scan *s) {
        s->expect = EXPECT_COMMA_OR_END;
        switch (s->text[s->at]) {
        case '{':
                return scan_open(s, true);
        case '[':
                return scan_open(s, false);
        case '"':
                return scan_string(s);
        case 't':
                return scan_word(s, "true");
        case 'f':
                return scan_word(s, "false");
        case 'n':
                return scan_word(s, "null");
        default:
                return scan_number(s);
        }
}

static int scan_key(Scan *s) {
        if (s->text[s->at] != '"')
                return -EINVAL;
        int r = scan_string(s);
        if (r < 0)
                return r;
        skip_blanks(s);
        if (peek(s) != ':')
                return -EINVAL;
        s->at++;
        s->expect = EXPECT_VALUE;
        return 0;
}

static int scan_comma_or_end(Scan *s) {
        if (s->depth == 0)
                return -EINVAL;

        bool object = in_object(s);
        if (s->text[s->at] == (object ? '}' : ']'))
                return scan_close(s);
        if (s->text[s->at] != ',')
                return -EINVAL;
        s->at++;
        s->expect = object ? EXPECT_KEY : EXPECT_VALUE;
        return 0;
}

static int scan_step(Scan *s) {
        switch (s->expect) {
        case EXPECT_VALUE_OR_END:
                if (s->text[s->at] == ']')
                        return scan_close(s);
                return scan_value(s);
        case EXPECT_VALUE:
                return scan_value(s);
        case EXPECT_KEY_OR_END:
                if (s->text[s->at] == '}')
                        return scan_close(s);
                return scan_key(s);
        case EXPECT_KEY:
                return scan_key(s);
        case EXPECT_COMMA_OR_END:
                return scan_comma_or_end(s);
        default:
                assert(false);
                return -EINVAL;
        }
}

int json_scan(const char *text, size_t size, unsigned max_depth, size_t *ret_offset) {
        assert(max_depth <= DEPTH_MAX);

        Scan s = { .text = text, .size = size, .max_depth = max_depth };
        int r = 0;

        while (r == 0) {
                skip_blanks(&s);
                if (s.at == s.size)
                        break;
                r = scan_step(&s);
        }
        if (r == 0 && (s.depth > 0 || s.expect != EXPECT_COMMA_OR_END))
                r = -EINVAL; /* it ends too early */
        if (r < 0 && ret_offset)
                *ret_offset = s.at;
        return r;
}
