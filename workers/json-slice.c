/* SPDX-License-Identifier: Apache-2.0 */

/* The text is known to be well-formed, so that a value ends where its brackets balance, and
 * whatever is not a string or a bracket can be stepped over. Nothing recurses, and all functions
 * are linear in the size of what they are given (json_resolve(): for each step of the pointer).
 * Malformed text is out of contract, but nothing here reads past a closed string or bracket, and
 * the first value of scanned text always closes.
 *
 * Text for readers: an object's scalars become lines "key: value", the scalars of one array
 * share a line, long strings stand alone, since a label would only disturb them. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "html-text.h"
#include "json-slice.h"
#include "parse.h"
#include "utf8.h"

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *p) {
        while (is_blank(*p))
                p++;
        return p;
}

/* Stands at the opening quote; returns what follows the closing one. */
/* A quote ends the string unless the backslashes before it are odd in number. */
static const char *skip_string(const char *p) {
        const char *first = p + 1, *quote = first;

        for (;; quote++) {
                const char *q = quote = rawmemchr(quote, '"');

                while (q > first && q[-1] == '\\')
                        q--;
                if ((quote - q) % 2 == 0)
                        return quote + 1;
        }
}

static bool is_scalar_char(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' ||
                        c == '.' || c == 'E';
}

static const char *skip_container(const char *p) {
        for (unsigned depth = 0;;) {
                switch (*p) {
                case '"':
                        p = skip_string(p);
                        continue;
                case '{':
                case '[':
                        depth++;
                        break;
                case '}':
                case ']':
                        depth--;
                        break;
                default:
                        break;
                }
                p++;
                if (depth == 0)
                        return p;
        }
}

/* `end` is the end of the text at hand: only a bare number can reach it. */
static const char *skip_value(const char *p, const char *end) {
        if (*p == '"')
                return skip_string(p);
        if (*p == '{' || *p == '[')
                return skip_container(p);
        while (p < end && is_scalar_char(*p))
                p++;
        return p;
}

JsonSlice json_slice(const char *text, size_t size) {
        while (size > 0 && is_blank(*text)) {
                text++;
                size--;
        }
        while (size > 0 && is_blank(text[size - 1]))
                size--;
        return (JsonSlice){ .text = text, .size = size };
}

JsonIterator json_elements(JsonSlice value) {
        if (*value.text != '{' && *value.text != '[')
                return (JsonIterator){ 0 };
        return (JsonIterator){ .p = value.text + 1,
                               .end = value.text + value.size,
                               .object = *value.text == '{' };
}

bool json_next(JsonIterator *iterator, JsonSlice *ret_key, JsonSlice *ret_value) {
        if (!iterator->p)
                return false;

        const char *p = skip_blanks(iterator->p);
        JsonSlice key = { 0 };
        if (*p == ',')
                p = skip_blanks(p + 1);
        if (*p == '}' || *p == ']') {
                iterator->p = NULL;
                return false;
        }
        if (iterator->object) {
                const char *end = skip_string(p);
                key = (JsonSlice){ .text = p, .size = (size_t) (end - p) };
                p = skip_blanks(skip_blanks(end) + 1); /* the colon */
        }
        iterator->p = skip_value(p, iterator->end);
        *ret_key = key;
        *ret_value = (JsonSlice){ .text = p, .size = (size_t) (iterator->p - p) };
        return true;
}

/* ---- strings ---- */

static uint32_t read_hex4(const char *p) {
        uint64_t value = 0;

        (void) parse_hex(p, 4, &value);
        return (uint32_t) value;
}

/* Stands after a backslash; returns what follows the escape. */
static const char *read_escape(const char *p, uint32_t *ret) {
        static const char letters[] = "\"\\/bfnrt";
        static const char meanings[] = "\"\\/\b\f\n\r\t";

        if (*p != 'u') {
                const char *letter = strchr(letters, *p);
                *ret = (uint32_t) meanings[letter ? letter - letters : 0];
                return p + 1;
        }
        uint32_t c = read_hex4(p + 1);
        p += 5;
        if (c >= 0xd800 && c < 0xdc00) { /* json_scan() saw the other half */
                c = 0x10000 + ((c - 0xd800) << 10) + (read_hex4(p + 2) - 0xdc00);
                p += 6;
        }
        *ret = c;
        return p;
}

/* Appends what the string stands for. */
static void decode_string(JsonSlice string, Buffer *out) {
        const char *p = string.text + 1, *end = string.text + string.size - 1;

        while (p < end) {
                const char *escape = memchr(p, '\\', (size_t) (end - p));
                const char *stop = escape ? escape : end;
                (void) buffer_append(out, p, (size_t) (stop - p));
                p = stop;
                if (!escape)
                        return;

                char bytes[4];
                uint32_t c;
                p = read_escape(p + 1, &c);
                (void) buffer_append(out, bytes, utf8_encode(c, bytes));
        }
}

int json_scalar_text(JsonSlice value, Buffer *out) {
        JsonSlice key;

        while (*value.text == '[') {
                JsonIterator iterator = json_elements(value);
                if (!json_next(&iterator, &key, &value))
                        return 0;
        }
        if (*value.text == '"')
                decode_string(value, out);
        else if (*value.text != '{' && *value.text != 'n')
                (void) buffer_append(out, value.text, value.size);
        return out->error;
}

/* ---- JSON Pointer ---- */

/* The next character of a reference token; false at its end, or at a '~' that is no escape. */
static bool read_token(const char **token, const char *end, char *ret) {
        const char *p = *token;

        if (p == end)
                return false;
        *ret = *p++;
        if (*ret == '~') {
                if (p == end || (*p != '0' && *p != '1'))
                        return false;
                *ret = *p++ == '0' ? '~' : '/';
        }
        *token = p;
        return true;
}

/* Does the key (a JSON string) equal a reference token? */
static bool key_equals(JsonSlice key, const char *token, size_t size) {
        const char *p = key.text + 1, *end = key.text + key.size - 1;
        const char *token_end = token + size;

        while (p < end) {
                char bytes[4] = { *p }, c;
                size_t length = 1;
                if (*p == '\\') {
                        uint32_t escaped;
                        p = read_escape(p + 1, &escaped);
                        length = utf8_encode(escaped, bytes);
                } else
                        p++;
                for (size_t k = 0; k < length; k++)
                        if (!read_token(&token, token_end, &c) || c != bytes[k])
                                return false;
        }
        return token == token_end;
}

static bool find_member(JsonSlice object, const char *token, size_t size, JsonSlice *ret) {
        JsonIterator iterator = json_elements(object);
        JsonSlice key, value;
        bool found = false;

        while (json_next(&iterator, &key, &value))
                if (key_equals(key, token, size)) {
                        *ret = value;
                        found = true;
                }
        return found;
}

static bool find_element(JsonSlice array, const char *token, size_t size, JsonSlice *ret) {
        JsonIterator iterator = json_elements(array);
        JsonSlice key, value;
        uint64_t index = 0;

        if (size == 0 || size > 18 || (size > 1 && *token == '0'))
                return false;
        for (size_t i = 0; i < size; i++) {
                if (token[i] < '0' || token[i] > '9')
                        return false;
                index = index * 10 + (uint64_t) (token[i] - '0');
        }
        for (uint64_t i = 0; json_next(&iterator, &key, &value); i++)
                if (i == index) {
                        *ret = value;
                        return true;
                }
        return false;
}

bool json_resolve(JsonSlice value, const char *pointer, JsonSlice *ret) {
        while (*pointer == '/') {
                const char *token = pointer + 1;
                size_t size = strcspn(token, "/");
                bool found = false;
                if (*value.text == '{')
                        found = find_member(value, token, size, &value);
                else if (*value.text == '[')
                        found = find_element(value, token, size, &value);
                if (!found)
                        return false;
                pointer = token + size;
        }
        if (*pointer != '\0')
                return false;
        *ret = value;
        return true;
}

/* ---- whole values ---- */

bool json_is_empty(JsonSlice value) {
        JsonIterator iterator;
        JsonSlice key, element;

        switch (*value.text) {
        case '"':
                return value.size == 2;
        case 'n':
                return true;
        case '[':
        case '{':
                iterator = json_elements(value);
                return !json_next(&iterator, &key, &element);
        default:
                return false;
        }
}

static bool string_is_blank(JsonSlice string) {
        for (size_t i = 1; i + 1 < string.size; i++)
                if (!is_blank(string.text[i]))
                        return false;
        return true;
}

/* Calls for each part of a value: a key, a scalar or a bracket. The commas and colons are left
 * out. */
typedef struct JsonWalk {
        const char *p;
        const char *end;
        unsigned depth;
        bool in_object[JSON_DEPTH_MAX + 1]; /* at depth d; nothing is at depth 0 */
        bool key_next;                      /* the next string is a key */
} JsonWalk;

typedef enum JsonPart {
        JSON_KEY,
        JSON_SCALAR,
        JSON_OPEN,
        JSON_CLOSE,
} JsonPart;

static JsonWalk json_walk(JsonSlice value) {
        return (JsonWalk){ .p = value.text, .end = value.text + value.size };
}

static JsonPart take_bracket(JsonWalk *walk) {
        char c = *walk->p++;

        if (c == '{' || c == '[') {
                assert(walk->depth < JSON_DEPTH_MAX);
                walk->in_object[++walk->depth] = c == '{';
                walk->key_next = c == '{';
                return JSON_OPEN;
        }
        assert(walk->depth > 0);
        walk->depth--;
        return JSON_CLOSE;
}

static bool walk_next(JsonWalk *walk, JsonPart *ret_part, JsonSlice *ret) {
        for (; walk->p < walk->end; walk->p++) {
                if (*walk->p == ',')
                        walk->key_next = walk->in_object[walk->depth];
                else if (!is_blank(*walk->p) && *walk->p != ':')
                        break;
        }
        if (walk->p == walk->end)
                return false;

        const char *start = walk->p;
        if (strchr("{}[]", *start))
                *ret_part = take_bracket(walk);
        else {
                walk->p = skip_value(start, walk->end);
                *ret_part = walk->key_next ? JSON_KEY : JSON_SCALAR;
                walk->key_next = false;
        }
        *ret = (JsonSlice){ .text = start, .size = (size_t) (walk->p - start) };
        return true;
}

bool json_has_content(JsonSlice value) {
        JsonWalk walk = json_walk(value);
        JsonPart part;
        JsonSlice slice;

        while (walk_next(&walk, &part, &slice)) {
                if (part != JSON_SCALAR || *slice.text == 'n')
                        continue;
                if (*slice.text != '"' || !string_is_blank(slice))
                        return true;
        }
        return false;
}

int json_compact(JsonSlice value, Buffer *out) {
        const char *p = value.text, *end = value.text + value.size;

        (void) buffer_reserve(out, value.size);
        while (p < end) {
                const char *start = p;
                if (*p == '"')
                        p = skip_string(p);
                else
                        while (p < end && *p != '"' && !is_blank(*p))
                                p++;
                (void) buffer_append(out, start, (size_t) (p - start));
                while (p < end && is_blank(*p))
                        p++;
        }
        return out->error;
}

/* ---- text for readers ---- */

#define LABELLED_MAX 40u /* longer strings stand without their key */

typedef struct Reader {
        TextWriter *out;
        JsonSlice labels[JSON_DEPTH_MAX + 1]; /* the key in force at each depth */
        Buffer string;                        /* scratch: a decoded string */
        bool in_row;                          /* the last part was a scalar of the same array */
} Reader;

static bool is_upper(char c) {
        return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c) {
        return c >= 'a' && c <= 'z';
}

/* A key that says no more than that a text is a text. */
static bool is_empty_label(JsonSlice key) {
        static const char keys[] =
                        " \"title\" \"headline\" \"text\" \"content\" \"summary\" \"body\" "
                        "\"description\" \"snippet\" \"excerpt\" \"extract\" \"abstract\" ";
        return key.size == 2 || memmem(keys, sizeof(keys) - 1, key.text, key.size);
}

/* "windSpeed_kmh" reads "wind Speed kmh: ". */
static void put_label(Reader *reader, JsonSlice key) {
        size_t start = reader->string.size;

        if (!key.text || is_empty_label(key))
                return;
        decode_string(key, &reader->string);
        const char *text = reader->string.data + start;
        size_t size = reader->string.error < 0 ? 0 : reader->string.size - start;
        for (size_t i = 0, word = 0; i <= size && size > 0; i++) {
                bool seam = i > 0 && i < size && is_lower(text[i - 1]) && is_upper(text[i]);
                if (i < size && text[i] != '_' && !seam)
                        continue;
                text_put(reader->out, text + word, i - word);
                if (i < size)
                        text_space(reader->out);
                word = i < size && text[i] == '_' ? i + 1 : i;
        }
        text_put(reader->out, ": ", 2);
        reader->string.size = start;
}

static bool is_link(const char *text, size_t size) {
        static const char *const schemes[] = { "http://", "https://" };

        for (size_t i = 0; i < ELEMENTSOF(schemes); i++) {
                size_t length = strlen(schemes[i]);
                if (size > length && strncasecmp(text, schemes[i], length) == 0)
                        return !memchr(text, ' ', size);
        }
        return false;
}

/* Opens the line of a scalar: a new one with its label, or the row of its array. */
static void begin_scalar(Reader *reader, JsonSlice label, bool labelled) {
        if (reader->in_row)
                text_put(reader->out, ", ", 2);
        else {
                text_break(reader->out);
                if (labelled)
                        put_label(reader, label);
        }
}

static void read_string(Reader *reader, JsonSlice string, JsonSlice label) {
        buffer_clear(&reader->string);
        decode_string(string, &reader->string);
        const char *text = reader->string.data;
        size_t size = reader->string.error < 0 ? 0 : reader->string.size;

        if (size == 0 || string_is_blank(string) || is_link(text, size))
                return;
        if (size > LABELLED_MAX)
                reader->in_row = false;
        begin_scalar(reader, label, size <= LABELLED_MAX);
        text = reader->string.data; /* the label may have moved it */
        if (html_is_fragment(text, size))
                html_write_text(text, size, reader->out, NULL);
        else
                text_put(reader->out, text, size);
        reader->in_row = size <= LABELLED_MAX;
}

static void read_scalar(Reader *reader, JsonSlice value, JsonSlice label) {
        if (*value.text == 'n')
                return;
        if (*value.text == '"') {
                read_string(reader, value, label);
                return;
        }
        buffer_clear(&reader->string);
        begin_scalar(reader, label, true);
        text_put(reader->out, value.text, value.size);
        reader->in_row = true;
}

void json_write_text(JsonSlice value, TextWriter *out) {
        Reader reader = { .out = out };
        JsonWalk walk = json_walk(value);
        JsonPart part;
        JsonSlice slice;

        while (walk_next(&walk, &part, &slice)) {
                unsigned depth = walk.depth;
                switch (part) {
                case JSON_KEY:
                        reader.labels[depth] = slice;
                        reader.in_row = false;
                        break;
                case JSON_SCALAR:
                        read_scalar(&reader, slice, reader.labels[depth]);
                        break;
                case JSON_OPEN: /* an array's elements go by the name of the array */
                        reader.labels[depth] = reader.labels[depth - 1];
                        reader.in_row = false;
                        break;
                case JSON_CLOSE:
                default:
                        reader.in_row = false;
                        break;
                }
        }
        if (reader.string.error < 0 && out->out->error == 0)
                out->out->error = reader.string.error;
        buffer_deinit(&reader.string);
}
