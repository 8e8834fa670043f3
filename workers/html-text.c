/* SPDX-License-Identifier: Apache-2.0 */

/* A tokenizer, not a tree builder: text is what stands outside tags; a tag only matters by its
 * name, which may break the line (block elements), separate (cells), or drop what follows up to
 * its end tag (script, style and what is not shown). There is no nesting and so no recursion,
 * and every search runs forward from where the last one ended, or drops the rest of the document
 * when it finds nothing: the time is linear in the size.
 *
 * Text never grows: a character reference is at least as long as what it stands for. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "html-text.h"
#include "utf8.h"

#define NAME_MAX_LENGTH 10u /* of the names in the table: "blockquote", "figcaption" */

typedef enum TagKind {
        TAG_INLINE,
        TAG_BLOCK, /* breaks the line */
        TAG_CELL,  /* separates by a blank */
        TAG_DROP,  /* its content is not text for readers */
        TAG_TITLE,
} TagKind;

typedef struct Tag {
        const char *name;
        TagKind kind;
} Tag;

/* Sorted by name. What is not here is inline. */
static const Tag tags[] = {
        { "address", TAG_BLOCK },    { "article", TAG_BLOCK }, { "aside", TAG_BLOCK },
        { "blockquote", TAG_BLOCK }, { "body", TAG_BLOCK },    { "br", TAG_BLOCK },
        { "button", TAG_CELL },      { "caption", TAG_BLOCK }, { "dd", TAG_BLOCK },
        { "details", TAG_BLOCK },    { "dialog", TAG_BLOCK },  { "div", TAG_BLOCK },
        { "dl", TAG_BLOCK },         { "dt", TAG_BLOCK },      { "fieldset", TAG_BLOCK },
        { "figcaption", TAG_BLOCK }, { "figure", TAG_BLOCK },  { "footer", TAG_BLOCK },
        { "form", TAG_BLOCK },       { "h1", TAG_BLOCK },      { "h2", TAG_BLOCK },
        { "h3", TAG_BLOCK },         { "h4", TAG_BLOCK },      { "h5", TAG_BLOCK },
        { "h6", TAG_BLOCK },         { "head", TAG_BLOCK },    { "header", TAG_BLOCK },
        { "hr", TAG_BLOCK },         { "html", TAG_BLOCK },    { "iframe", TAG_DROP },
        { "item", TAG_BLOCK },       { "jats:p", TAG_BLOCK },  { "jats:title", TAG_BLOCK },
        { "legend", TAG_BLOCK },     { "li", TAG_BLOCK },      { "link", TAG_BLOCK },
        { "main", TAG_BLOCK },       { "nav", TAG_BLOCK },     { "noscript", TAG_DROP },
        { "object", TAG_DROP },      { "ol", TAG_BLOCK },      { "option", TAG_BLOCK },
        { "p", TAG_BLOCK },          { "pre", TAG_BLOCK },     { "script", TAG_DROP },
        { "section", TAG_BLOCK },    { "select", TAG_BLOCK },  { "style", TAG_DROP },
        { "summary", TAG_BLOCK },    { "svg", TAG_DROP },      { "table", TAG_BLOCK },
        { "tbody", TAG_BLOCK },      { "td", TAG_CELL },       { "template", TAG_DROP },
        { "textarea", TAG_DROP },    { "tfoot", TAG_BLOCK },   { "th", TAG_CELL },
        { "thead", TAG_BLOCK },      { "title", TAG_TITLE },   { "tr", TAG_BLOCK },
        { "ul", TAG_BLOCK },
};

typedef struct Entity {
        const char *name;
        uint16_t c;
} Entity;

/* Sorted by name, capitals first. The common ones; others stay as they are written. */
static const Entity entities[] = {
        { "AElig", 0xc6 },   { "Aacute", 0xc1 },   { "Acirc", 0xc2 },    { "Agrave", 0xc0 },
        { "Alpha", 0x391 },  { "Aring", 0xc5 },    { "Atilde", 0xc3 },   { "Auml", 0xc4 },
        { "Beta", 0x392 },   { "Ccedil", 0xc7 },   { "Dagger", 0x2021 }, { "Delta", 0x394 },
        { "ETH", 0xd0 },     { "Eacute", 0xc9 },   { "Ecirc", 0xca },    { "Egrave", 0xc8 },
        { "Euml", 0xcb },    { "Gamma", 0x393 },   { "Iacute", 0xcd },   { "Icirc", 0xce },
        { "Igrave", 0xcc },  { "Iuml", 0xcf },     { "Lambda", 0x39b },  { "Ntilde", 0xd1 },
        { "OElig", 0x152 },  { "Oacute", 0xd3 },   { "Ocirc", 0xd4 },    { "Ograve", 0xd2 },
        { "Omega", 0x3a9 },  { "Oslash", 0xd8 },   { "Otilde", 0xd5 },   { "Ouml", 0xd6 },
        { "Phi", 0x3a6 },    { "Pi", 0x3a0 },      { "Prime", 0x2033 },  { "Psi", 0x3a8 },
        { "Scaron", 0x160 }, { "Sigma", 0x3a3 },   { "THORN", 0xde },    { "Theta", 0x398 },
        { "Uacute", 0xda },  { "Ucirc", 0xdb },    { "Ugrave", 0xd9 },   { "Uuml", 0xdc },
        { "Yacute", 0xdd },  { "Yuml", 0x178 },    { "aacute", 0xe1 },   { "acirc", 0xe2 },
        { "acute", 0xb4 },   { "aelig", 0xe6 },    { "agrave", 0xe0 },   { "alpha", 0x3b1 },
        { "amp", '&' },      { "apos", '\'' },     { "aring", 0xe5 },    { "asymp", 0x2248 },
        { "atilde", 0xe3 },  { "auml", 0xe4 },     { "bdquo", 0x201e },  { "beta", 0x3b2 },
        { "brvbar", 0xa6 },  { "bull", 0x2022 },   { "ccedil", 0xe7 },   { "cedil", 0xb8 },
        { "cent", 0xa2 },    { "copy", 0xa9 },     { "curren", 0xa4 },   { "dagger", 0x2020 },
        { "darr", 0x2193 },  { "deg", 0xb0 },      { "delta", 0x3b4 },   { "divide", 0xf7 },
        { "eacute", 0xe9 },  { "ecirc", 0xea },    { "egrave", 0xe8 },   { "emsp", 0x2003 },
        { "ensp", 0x2002 },  { "epsilon", 0x3b5 }, { "eth", 0xf0 },      { "euml", 0xeb },
        { "euro", 0x20ac },  { "frac12", 0xbd },   { "frac14", 0xbc },   { "frac34", 0xbe },
        { "gamma", 0x3b3 },  { "ge", 0x2265 },     { "gt", '>' },        { "hArr", 0x21d4 },
        { "harr", 0x2194 },  { "hellip", 0x2026 }, { "iacute", 0xed },   { "icirc", 0xee },
        { "iexcl", 0xa1 },   { "igrave", 0xec },   { "infin", 0x221e },  { "iquest", 0xbf },
        { "iuml", 0xef },    { "lambda", 0x3bb },  { "laquo", 0xab },    { "larr", 0x2190 },
        { "ldquo", 0x201c }, { "le", 0x2264 },     { "lsaquo", 0x2039 }, { "lsquo", 0x2018 },
        { "lt", '<' },       { "macr", 0xaf },     { "mdash", 0x2014 },  { "micro", 0xb5 },
        { "middot", 0xb7 },  { "minus", 0x2212 },  { "mu", 0x3bc },      { "nbsp", 0xa0 },
        { "ndash", 0x2013 }, { "ne", 0x2260 },     { "not", 0xac },      { "ntilde", 0xf1 },
        { "oacute", 0xf3 },  { "ocirc", 0xf4 },    { "oelig", 0x153 },   { "ograve", 0xf2 },
        { "omega", 0x3c9 },  { "ordf", 0xaa },     { "ordm", 0xba },     { "oslash", 0xf8 },
        { "otilde", 0xf5 },  { "ouml", 0xf6 },     { "para", 0xb6 },     { "permil", 0x2030 },
        { "phi", 0x3c6 },    { "pi", 0x3c0 },      { "plusmn", 0xb1 },   { "pound", 0xa3 },
        { "prime", 0x2032 }, { "psi", 0x3c8 },     { "quot", '"' },      { "radic", 0x221a },
        { "raquo", 0xbb },   { "rarr", 0x2192 },   { "rdquo", 0x201d },  { "reg", 0xae },
        { "rho", 0x3c1 },    { "rsaquo", 0x203a }, { "rsquo", 0x2019 },  { "sbquo", 0x201a },
        { "scaron", 0x161 }, { "sect", 0xa7 },     { "shy", 0xad },      { "sigma", 0x3c3 },
        { "sum", 0x2211 },   { "sup1", 0xb9 },     { "sup2", 0xb2 },     { "sup3", 0xb3 },
        { "szlig", 0xdf },   { "tau", 0x3c4 },     { "theta", 0x3b8 },   { "thinsp", 0x2009 },
        { "thorn", 0xfe },   { "times", 0xd7 },    { "trade", 0x2122 },  { "uacute", 0xfa },
        { "uarr", 0x2191 },  { "ucirc", 0xfb },    { "ugrave", 0xf9 },   { "uml", 0xa8 },
        { "uuml", 0xfc },    { "yacute", 0xfd },   { "yen", 0xa5 },      { "yuml", 0xff },
        { "zwj", 0x200d },   { "zwnj", 0x200c },
};

#define ENTITY_LENGTH_MAX 10u /* with room for leading zeros of a number */

/* What numbers 0x80 to 0x9f mean on the web: windows-1252. 0: undefined there. */
static const uint16_t c1_meaning[32] = {
        0x20ac, 0,      0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
        0x2039, 0x152,  0,      0x17d,  0,      0,      0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0,      0x17e,  0x178,
};

#define REPLACEMENT 0xfffdu

static bool is_letter(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

/* ---- character references ---- */

static int compare_entity(const void *key, const void *entry) {
        return strcmp(key, ((const Entity *) entry)->name);
}

static uint32_t named_reference(const char *name, size_t size) {
        char key[ENTITY_LENGTH_MAX + 1] = "";

        if (size > ENTITY_LENGTH_MAX)
                return 0;
        memcpy(key, name, size);
        const Entity *entity = bsearch(
                        key, entities, ELEMENTSOF(entities), sizeof(*entities), compare_entity);
        return entity ? entity->c : 0;
}

static int digit_value(char c) {
        if (is_digit(c))
                return c - '0';
        char lower = (char) (c | 0x20);
        return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

/* `digits` is what stands after "&#". 0: no number. */
static uint32_t numeric_reference(const char *digits, size_t size) {
        int base = size > 0 && (*digits | 0x20) == 'x' ? 16 : 10;
        uint32_t c = 0;

        if (base == 16) {
                digits++;
                size--;
        }
        if (size == 0)
                return 0;
        for (size_t i = 0; i < size; i++) {
                int value = digit_value(digits[i]);
                if (value >= base)
                        return 0;
                c = MIN(c * (uint32_t) base + (uint32_t) value, UINT32_C(0x110000));
        }
        if (c >= 0x80 && c < 0xa0)
                c = c1_meaning[c - 0x80];
        bool scalar = c > 0 && c < 0x110000 && !(c >= 0xd800 && c < 0xe000);
        return scalar ? c : REPLACEMENT;
}

/* Text stands at '&'. Returns the length of the reference, or 0 when it is none. */
static size_t read_reference(const char *text, size_t size, uint32_t *ret) {
        const char *end = memchr(text, ';', MIN(size, (size_t) ENTITY_LENGTH_MAX + 2));
        if (!end || end < text + 2)
                return 0;
        size_t length = (size_t) (end - text) - 1;
        uint32_t c = text[1] == '#' ? numeric_reference(text + 2, length - 1) :
                                      named_reference(text + 1, length);
        if (c == 0)
                return 0;
        *ret = c;
        return length + 2;
}

/* Text without tags. */
static void put_text(const char *text, size_t size, TextWriter *out) {
        while (size > 0) {
                const char *amp = memchr(text, '&', size);
                size_t plain = amp ? (size_t) (amp - text) : size;
                text_put(out, text, plain);
                text += plain;
                size -= plain;
                if (size == 0)
                        return;

                char bytes[4] = "&";
                uint32_t c = '&';
                size_t length = read_reference(text, size, &c);
                text_put(out, bytes, utf8_encode(c, bytes));
                text += MAX(length, (size_t) 1);
                size -= MAX(length, (size_t) 1);
        }
}

/* ---- tags ---- */

typedef struct Html {
        const char *p;
        const char *end;
        TextWriter *out;
        TextWriter *title; /* NULL: not wanted, or seen already */
} Html;

static int compare_tag(const void *key, const void *entry) {
        return strcmp(key, ((const Tag *) entry)->name);
}

static const Tag *find_tag(const char *name, size_t size) {
        char key[NAME_MAX_LENGTH + 1] = "";

        if (size > NAME_MAX_LENGTH)
                return NULL;
        for (size_t i = 0; i < size; i++)
                key[i] = (char) (name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
        return bsearch(key, tags, ELEMENTSOF(tags), sizeof(*tags), compare_tag);
}

/* Stands inside a tag, leaves it; a '>' in a quoted value does not end it. */
static void skip_attributes(Html *html) {
        while (html->p < html->end) {
                char c = *html->p++;
                if (c == '>')
                        return;
                if (c != '=')
                        continue;
                while (html->p < html->end && is_blank(*html->p))
                        html->p++;
                if (html->p == html->end || (*html->p != '"' && *html->p != '\''))
                        continue;
                size_t left = (size_t) (html->end - html->p) - 1;
                const char *quote = memchr(html->p + 1, *html->p, left);
                html->p = quote ? quote + 1 : html->end;
        }
}

/* The '<' of the next end tag of that name, or the end of the document. */
static const char *find_end_tag(const Html *html, const char *name) {
        size_t size = strlen(name);

        for (const char *p = html->p; (p = memchr(p, '<', (size_t) (html->end - p))); p++) {
                if ((size_t) (html->end - p) < size + 2)
                        break;
                if (p[1] != '/' || strncasecmp(p + 2, name, size) != 0)
                        continue;
                const char *after = p + 2 + size;
                if (after == html->end || is_blank(*after) || *after == '>' || *after == '/')
                        return p;
        }
        return html->end;
}

static void begin_title(Html *html) {
        const char *end = find_end_tag(html, "title");

        put_text(html->p, (size_t) (end - html->p), html->title);
        html->title = NULL;
        html->p = end;
}

static void act_on_tag(Html *html, const Tag *tag, bool closing) {
        switch (tag->kind) {
        case TAG_BLOCK:
                text_break(html->out);
                break;
        case TAG_CELL:
                text_space(html->out);
                break;
        case TAG_DROP:
                text_space(html->out);
                if (!closing)
                        html->p = find_end_tag(html, tag->name);
                break;
        case TAG_TITLE:
                text_break(html->out);
                if (!closing && html->title)
                        begin_title(html);
                break;
        case TAG_INLINE:
        default:
                break;
        }
}

static void skip_past(Html *html, const char *mark) {
        const char *found = memmem(html->p, (size_t) (html->end - html->p), mark, strlen(mark));

        html->p = found ? found + strlen(mark) : html->end;
}

/* Stands at a '<'. One that begins no tag is text. */
static void read_markup(Html *html) {
        const char *p = html->p + 1;
        size_t left = (size_t) (html->end - p);
        bool closing = left > 0 && *p == '/';

        if (left >= 3 && memcmp(p, "!--", 3) == 0) {
                html->p = p + 1; /* "<!-->" is a whole comment */
                skip_past(html, "-->");
                return;
        }
        if (left > 0 && (*p == '!' || *p == '?')) {
                skip_past(html, ">");
                return;
        }
        if (closing)
                p++;
        if (p == html->end || !is_letter(*p)) {
                text_put(html->out, "<", 1);
                html->p++;
                return;
        }
        const char *name = p;
        while (p < html->end && !is_blank(*p) && *p != '>' && *p != '/')
                p++;
        const Tag *tag = find_tag(name, (size_t) (p - name));
        html->p = p;
        skip_attributes(html);
        if (tag)
                act_on_tag(html, tag, closing);
}

void html_write_text(const char *html, size_t size, TextWriter *out, TextWriter *title) {
        Html state = { .p = html, .end = html + size, .out = out, .title = title };

        while (state.p < state.end) {
                const char *tag = memchr(state.p, '<', (size_t) (state.end - state.p));
                const char *stop = tag ? tag : state.end;
                put_text(state.p, (size_t) (stop - state.p), out);
                state.p = stop;
                if (tag)
                        read_markup(&state);
        }
}

/* ---- looks ---- */

bool html_begins(const char *text, size_t size) {
        size_t i = 0;

        while (i < size && is_blank(text[i]))
                i++;
        if (size - i < 3 || text[i] != '<')
                return false;
        return is_letter(text[i + 1]) || text[i + 1] == '!' || text[i + 1] == '?';
}

static bool has_tag(const char *text, size_t size) {
        return memmem(text, size, "</", 2) || memmem(text, size, "/>", 2) ||
                        memmem(text, size, "<br", 3) || memmem(text, size, "<p>", 3);
}

/* "if a < b" is no markup: a tag counts when something is closed or broken. */
bool html_is_fragment(const char *text, size_t size) {
        const char *end = text + size;
        uint32_t c;

        if (memchr(text, '<', size) && has_tag(text, size))
                return true;
        for (const char *p = text; (p = memchr(p, '&', (size_t) (end - p))); p++)
                if (read_reference(p, (size_t) (end - p), &c) > 0)
                        return true;
        return false;
}
