/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

static bool continues(unsigned char c) {
        return (c & 0xc0) == 0x80;
}

size_t utf8_decode(const char *text, size_t size, uint32_t *ret) {
        const unsigned char *t = (const unsigned char *) text;
        uint32_t c = t[0], least;
        size_t length;

        if (c < 0x80) {
                *ret = c;
                return 1;
        }
        if (c >= 0xc2 && c <= 0xdf) {
                length = 2;
                least = 0x80;
                c &= 0x1f;
        } else if ((c & 0xf0) == 0xe0) {
                length = 3;
                least = 0x800;
                c &= 0x0f;
        } else if (c >= 0xf0 && c <= 0xf4) {
                length = 4;
                least = 0x10000;
                c &= 0x07;
        } else
                return 0;

        if (size < length)
                return 0;
        for (size_t i = 1; i < length; i++) {
                if (!continues(t[i]))
                        return 0;
                c = c << 6 | (t[i] & 0x3f);
        }
        if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0;
        *ret = c;
        return length;
}

bool utf8_valid(const char *text, size_t size) {
        size_t at = 0;

        while (at < size) {
                uint64_t word;
                uint32_t c;

                if (size - at >= sizeof(word)) {
                        memcpy(&word, text + at, sizeof(word));
                        if ((word & HIGH_BITS) == 0) {
                                at += sizeof(word);
                                continue;
                        }
                }
                size_t length = utf8_decode(text + at, size - at, &c);
                if (length == 0)
                        return false;
                at += length;
        }
        return true;
}

size_t utf8_encode(uint32_t c, char out[static 4]) {
        assert(c <= 0x10ffff && (c < 0xd800 || c > 0xdfff));

        if (c < 0x80) {
                out[0] = (char) c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char) (0xc0 | c >> 6);
                out[1] = (char) (0x80 | (c & 0x3f));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char) (0xe0 | c >> 12);
                out[1] = (char) (0x80 | (c >> 6 & 0x3f));
                out[2] = (char) (0x80 | (c & 0x3f));
                return 3;
        }
        out[0] = (char) (0xf0 | c >> 18);
        out[1] = (char) (0x80 | (c >> 12 & 0x3f));
        out[2] = (char) (0x80 | (c >> 6 & 0x3f));
        out[3] = (char) (0x80 | (c & 0x3f));
        return 4;
}

size_t utf8_truncate(const char *text, size_t size, size_t limit) {
        if (limit >= size)
                return size;
        while (limit > 0 && continues((unsigned char) text[limit]))
                limit--;
        return limit;
}
