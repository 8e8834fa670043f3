/* SPDX-License-Identifier: Apache-2.0 */

/* iconv(3) converts; iconv_open(3) reads files and loads modules, which a worker may not do
 * later, so a descriptor of every character set of the table is opened at start and reset before
 * each use.
 *
 * Labels mean what browsers take them for (encoding.spec.whatwg.org): "iso-8859-1" and
 * "us-ascii" are windows-1252, "shift_jis" is Microsoft's, "gb2312" is GB 18030. UTF-8 is
 * checked, not repaired, and no other set is repaired either: a document that is not what it
 * says is a fault of its source. */

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdio.h>
#include <strings.h>

#include "charset.h"
#include "utf8.h"

#define SNIFF_MAX 1024u /* a page must say it this early */
#define CHUNK_MIN 4096u

#define NO_CONVERTER ((iconv_t) (intptr_t) -1)

/* `name` is iconv's; labels are separated and surrounded by blanks. */
typedef struct Charset {
        const char *name;
        const char *labels;
} Charset;

static const Charset charsets[] = {
        { "CP1252", " windows-1252 cp1252 iso-8859-1 iso8859-1 iso_8859-1 latin1 l1 us-ascii ascii " },
        { "ISO-8859-2", " iso-8859-2 iso8859-2 latin2 " },
        { "ISO-8859-3", " iso-8859-3 iso8859-3 latin3 " },
        { "ISO-8859-4", " iso-8859-4 iso8859-4 latin4 " },
        { "ISO-8859-5", " iso-8859-5 iso8859-5 cyrillic " },
        { "ISO-8859-6", " iso-8859-6 iso8859-6 arabic " },
        { "ISO-8859-7", " iso-8859-7 iso8859-7 greek " },
        { "ISO-8859-8", " iso-8859-8 iso8859-8 iso-8859-8-i hebrew " },
        { "ISO-8859-10", " iso-8859-10 iso8859-10 latin6 " },
        { "ISO-8859-13", " iso-8859-13 iso8859-13 " },
        { "ISO-8859-14", " iso-8859-14 iso8859-14 " },
        { "ISO-8859-15", " iso-8859-15 iso8859-15 latin9 " },
        { "ISO-8859-16", " iso-8859-16 iso8859-16 " },
        { "CP1250", " windows-1250 cp1250 " },
        { "CP1251", " windows-1251 cp1251 " },
        { "CP1253", " windows-1253 cp1253 " },
        { "CP1254", " windows-1254 cp1254 iso-8859-9 iso8859-9 latin5 " },
        { "CP1255", " windows-1255 cp1255 " },
        { "CP1256", " windows-1256 cp1256 " },
        { "CP1257", " windows-1257 cp1257 " },
        { "CP1258", " windows-1258 cp1258 " },
        { "CP874", " windows-874 cp874 tis-620 iso-8859-11 iso8859-11 " },
        { "KOI8-R", " koi8-r koi8 koi " },
        { "KOI8-U", " koi8-u koi8-ru " },
        { "IBM866", " ibm866 cp866 866 " },
        { "MACINTOSH", " macintosh mac x-mac-roman " },
        { "CP932", " shift_jis shift-jis sjis x-sjis windows-31j ms932 cp932 " },
        { "EUC-JP", " euc-jp x-euc-jp " },
        { "ISO-2022-JP", " iso-2022-jp " },
        { "CP949", " euc-kr windows-949 cp949 ks_c_5601-1987 ksc5601 korean " },
        { "GB18030", " gb18030 gbk gb2312 x-gbk cp936 gb_2312-80 chinese " },
        { "BIG5-HKSCS", " big5 big5-hkscs x-x-big5 cn-big5 " },
        { "UTF-16LE", " utf-16le utf-16 ucs-2 unicode " },
        { "UTF-16BE", " utf-16be unicodefffe " },
        { "UTF-32LE", " utf-32le utf-32 " },
        { "UTF-32BE", " utf-32be " },
};

static iconv_t converters[ELEMENTSOF(charsets)];

/* The longer mark stands before the shorter that it begins with. */
static const struct {
        const char *bytes;
        size_t size;
        const char *label;
} marks[] = {
        { "\xef\xbb\xbf", 3, "utf-8" },    { "\xff\xfe\0\0", 4, "utf-32le" },
        { "\0\0\xfe\xff", 4, "utf-32be" }, { "\xff\xfe", 2, "utf-16le" },
        { "\xfe\xff", 2, "utf-16be" },
};

void charset_init(void) {
        for (size_t i = 0; i < ELEMENTSOF(charsets); i++)
                converters[i] = iconv_open("UTF-8", charsets[i].name);
}

void charset_deinit(void) {
        for (size_t i = 0; i < ELEMENTSOF(charsets); i++) {
                if (converters[i] && converters[i] != NO_CONVERTER)
                        (void) iconv_close(converters[i]);
                converters[i] = NULL;
        }
}

static bool label_in(const char *label, const char *labels) {
        size_t size = strlen(label);

        for (const char *p = labels; (p = strcasestr(p, label)); p++)
                if (p[-1] == ' ' && p[size] == ' ')
                        return true;
        return false;
}

static bool is_utf8_label(const char *label) {
        return label_in(label, " utf-8 utf8 unicode-1-1-utf-8 ");
}

static iconv_t find_converter(const char *label) {
        for (size_t i = 0; i < ELEMENTSOF(charsets); i++)
                if (converters[i] && label_in(label, charsets[i].labels))
                        return converters[i];
        return NO_CONVERTER;
}

/* ---- what a page says of itself ---- */

static bool is_label_char(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        c == '-' || c == '_' || c == ':' || c == '.';
}

static const char *find_word(const char *text, const char *end, const char *word) {
        size_t size = strlen(word);

        for (; (size_t) (end - text) >= size; text++)
                if (strncasecmp(text, word, size) == 0)
                        return text;
        return NULL;
}

/* The value after "charset", blanks, "=", blanks, perhaps a quote. */
static bool read_label(const char *p, const char *end, char ret_label[static CHARSET_LABEL_MAX]) {
        char label[CHARSET_LABEL_MAX] = "";
        size_t n = 0;

        while (p < end && *p == ' ')
                p++;
        if (p == end || *p != '=')
                return false;
        for (p++; p < end && (*p == ' ' || *p == '"' || *p == '\'');)
                p++;
        for (; p < end && is_label_char(*p); p++) {
                if (n == sizeof(label) - 1)
                        return false;
                label[n++] = (char) (*p >= 'A' && *p <= 'Z' ? *p - 'A' + 'a' : *p);
        }
        memcpy(ret_label, label, sizeof(label));
        return n > 0;
}

void charset_sniff(const char *html, size_t size, char ret_label[static CHARSET_LABEL_MAX]) {
        const char *end = html + MIN(size, (size_t) SNIFF_MAX);

        for (const char *p = html; (p = find_word(p, end, "<meta"));) {
                p += strlen("<meta");
                const char *close = memchr(p, '>', (size_t) (end - p));
                const char *word = close ? find_word(p, close, "charset") : NULL;
                if (!word || !read_label(word + strlen("charset"), close, ret_label))
                        continue;
                /* A page whose head could be read is none of UTF-16. */
                if (strncasecmp(ret_label, "utf-16", 6) == 0)
                        (void) snprintf(ret_label, CHARSET_LABEL_MAX, "utf-8");
                return;
        }
        ret_label[0] = '\0';
}

/* ---- conversion ---- */

/* One call of iconv(): -EAGAIN when it wants more room. */
static int convert_some(iconv_t converter, char **input, size_t *left, Buffer *out) {
        int r = buffer_reserve(out, 8); /* more than one character ever takes */
        if (r < 0)
                return r;

        char *output = out->data + out->size;
        size_t room = out->capacity - out->size;
        size_t n = iconv(converter, input, left, &output, &room);
        out->size = (size_t) (output - out->data);
        if (n != (size_t) -1)
                return 0;
        return errno == E2BIG ? -EAGAIN : -EBADMSG;
}

static int
convert(iconv_t converter, const char *document, size_t size, Buffer *out, const char **ret_stop) {
        char *input = (char *) (uintptr_t) document; /* iconv() does not write to it */
        size_t left = size;
        int r;

        (void) buffer_reserve(out, MAX(size, (size_t) CHUNK_MIN));
        if (out->error == -EMSGSIZE)
                out->error = 0; /* it may still fit */
        (void) iconv(converter, NULL, NULL, NULL, NULL);
        do {
                r = convert_some(converter, &input, &left, out);
                if (r == -EAGAIN && buffer_reserve(out, out->capacity - out->size + 8) < 0)
                        r = out->error;
        } while (r == -EAGAIN);
        if (r == 0) /* what it held back for a combining mark */
                r = convert_some(converter, NULL, NULL, out);
        *ret_stop = input;
        return r;
}

static int
decode_other(const char *label, const char *document, size_t size, Buffer *converted, Buffer *error,
             const char **ret_text, size_t *ret_size) {
        const char *stop;

        iconv_t converter = find_converter(label);
        if (converter == NO_CONVERTER) {
                (void) buffer_printf(
                                error,
                                "character set \"%s\" is not known; UTF-8 is always understood",
                                label);
                return -EBADMSG;
        }
        size_t start = converted->size;
        int r = convert(converter, document, size, converted, &stop);
        if (r == -EBADMSG)
                (void) buffer_printf(
                                error, "not valid %s (at byte %zu of the document)", label,
                                (size_t) (stop - document));
        if (r == -EMSGSIZE)
                (void) buffer_printf(error, "document is larger in UTF-8 than MaxBytes= allows");
        if (r < 0)
                return r;
        *ret_text = converted->data + start;
        *ret_size = converted->size - start;
        return 0;
}

/* Where valid UTF-8 ends. Only reached with text that is not. */
static size_t utf8_stop(const char *text, size_t size) {
        size_t i = 0, length;
        uint32_t c;

        while (i < size && (length = utf8_decode(text + i, size - i, &c)) > 0)
                i += length;
        return i;
}

static int check_utf8(const char *document, size_t size, const char *given, Buffer *error) {
        if (utf8_valid(document, size))
                return 0;
        (void) buffer_printf(
                        error, "not valid UTF-8 (at byte %zu of the document)%s",
                        utf8_stop(document, size),
                        *given ? "" : "; the source names no character set");
        return -EBADMSG;
}

int charset_decode(
                const char *label, bool html, const char *document, size_t size, Buffer *converted,
                Buffer *error, const char **ret_text, size_t *ret_size) {
        char sniffed[CHARSET_LABEL_MAX] = "";
        size_t mark = 0;

        for (size_t i = 0; i < ELEMENTSOF(marks) && mark == 0; i++)
                if (size >= marks[i].size && memcmp(document, marks[i].bytes, marks[i].size) == 0) {
                        label = marks[i].label;
                        mark = marks[i].size;
                }
        document += mark;
        size -= mark;
        if (!*label && html) {
                charset_sniff(document, size, sniffed);
                label = sniffed;
        }
        if (*label && !is_utf8_label(label))
                return decode_other(label, document, size, converted, error, ret_text, ret_size);

        int r = check_utf8(document, size, label, error);
        if (r < 0)
                return r;
        *ret_text = document;
        *ret_size = size;
        return 0;
}
