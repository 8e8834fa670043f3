/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "clock.h"
#include "json-writer.h"
#include "utf8.h"

static void begin_value(JsonWriter *w, const char *key) {
        if (w->comma)
                (void) buffer_append_char(w->buffer, ',');
        if (key) {
                (void) buffer_append_char(w->buffer, '"');
                (void) buffer_append_string(w->buffer, key);
                (void) buffer_append(w->buffer, "\":", 2);
        }
        w->comma = true;
}

static void begin_container(JsonWriter *w, const char *key, char bracket) {
        begin_value(w, key);
        (void) buffer_append_char(w->buffer, bracket);
        w->comma = false;
}

static void end_container(JsonWriter *w, char bracket) {
        (void) buffer_append_char(w->buffer, bracket);
        w->comma = true;
}

void json_begin_object(JsonWriter *w, const char *key) {
        begin_container(w, key, '{');
}

void json_end_object(JsonWriter *w) {
        end_container(w, '}');
}

void json_begin_array(JsonWriter *w, const char *key) {
        begin_container(w, key, '[');
}

void json_end_array(JsonWriter *w) {
        end_container(w, ']');
}

static void append_control(Buffer *buffer, unsigned char c) {
        static const char digits[] = "0123456789abcdef";
        static const char letters[32] = {
                ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r',
        };

        if (letters[c] != '\0')
                (void) buffer_append(buffer, (const char[]){ '\\', letters[c] }, 2);
        else
                (void) buffer_append(
                                buffer,
                                (const char[]){ '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] },
                                6);
}

/* The number of bytes at `text` that stand for themselves in a string: up to a quote, a backslash,
 * a control character or invalid UTF-8. */
static size_t plain_span(const char *text, size_t size) {
        size_t at = 0;

        while (at < size) {
                unsigned char c = (unsigned char) text[at];
                uint32_t character;
                size_t length = 1;

                if (c < 0x20 || c == '"' || c == '\\')
                        break;
                if (c >= 0x80)
                        length = utf8_decode(text + at, size - at, &character);
                if (length == 0)
                        break;
                at += length;
        }
        return at;
}

static void append_quoted(Buffer *buffer, const char *text, size_t size) {
        (void) buffer_append_char(buffer, '"');
        while (size > 0) {
                size_t span = plain_span(text, size);

                (void) buffer_append(buffer, text, span);
                text += span;
                size -= span;
                if (size == 0)
                        break;

                unsigned char c = (unsigned char) *text++;
                size--;
                if (c < 0x20)
                        append_control(buffer, c);
                else if (c >= 0x80)
                        (void) buffer_append_string(buffer, "\xef\xbf\xbd"); /* U+FFFD */
                else
                        (void) buffer_append(buffer, (const char[]){ '\\', (char) c }, 2);
        }
        (void) buffer_append_char(buffer, '"');
}

void json_put_string_n(JsonWriter *w, const char *key, const char *value, size_t size) {
        begin_value(w, key);
        append_quoted(w->buffer, value, size);
}

void json_put_string(JsonWriter *w, const char *key, const char *value) {
        if (value)
                json_put_string_n(w, key, value, strlen(value));
        else
                json_put_null(w, key);
}

void json_put_key(JsonWriter *w, const char *key) {
        json_put_string(w, NULL, key);
        (void) buffer_append_char(w->buffer, ':');
        w->comma = false;
}

static void append_u64(Buffer *buffer, uint64_t value) {
        char digits[20];
        size_t at = sizeof(digits);

        do {
                digits[--at] = (char) ('0' + value % 10);
                value /= 10;
        } while (value > 0);
        (void) buffer_append(buffer, digits + at, sizeof(digits) - at);
}

/* value / 10^decimals */
static void append_fixed(Buffer *buffer, uint64_t value, unsigned decimals) {
        uint64_t scale = 1;

        for (unsigned i = 0; i < decimals; i++)
                scale *= 10;
        append_u64(buffer, value / scale);
        if (value % scale == 0)
                return;
        (void) buffer_append_char(buffer, '.');
        for (value %= scale; value > 0; value %= scale) {
                scale /= 10;
                (void) buffer_append_char(buffer, (char) ('0' + value / scale));
        }
}

void json_put_u64(JsonWriter *w, const char *key, uint64_t value) {
        begin_value(w, key);
        append_u64(w->buffer, value);
}

void json_put_i64(JsonWriter *w, const char *key, int64_t value) {
        begin_value(w, key);
        if (value < 0)
                (void) buffer_append_char(w->buffer, '-');
        append_u64(w->buffer, value < 0 ? -(uint64_t) value : (uint64_t) value);
}

void json_put_bool(JsonWriter *w, const char *key, bool value) {
        begin_value(w, key);
        (void) buffer_append_string(w->buffer, value ? "true" : "false");
}

void json_put_null(JsonWriter *w, const char *key) {
        begin_value(w, key);
        (void) buffer_append_string(w->buffer, "null");
}

void json_put_double(JsonWriter *w, const char *key, double value, unsigned decimals) {
        static const double scales[] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6 };

        assert(decimals < ELEMENTSOF(scales));
        if (!__builtin_isfinite(value)) {
                json_put_null(w, key);
                return;
        }
        begin_value(w, key);
        /* From 2^53 on a double is a whole number, and "%.0f" writes no decimal point, which would
         * be the locale's. */
        if (__builtin_fabs(value) * scales[decimals] >= 0x1p53) {
                (void) buffer_printf(w->buffer, "%.0f", value);
                return;
        }
        uint64_t fixed = (uint64_t) (__builtin_fabs(value) * scales[decimals] + 0.5);
        if (value < 0 && fixed > 0)
                (void) buffer_append_char(w->buffer, '-');
        append_fixed(w->buffer, fixed, decimals);
}

void json_put_ms(JsonWriter *w, const char *key, uint64_t ns) {
        begin_value(w, key);
        append_fixed(w->buffer, ns / NSEC_PER_USEC + (ns % NSEC_PER_USEC >= NSEC_PER_USEC / 2), 3);
}

void json_put_raw(JsonWriter *w, const char *key, const char *json, size_t size) {
        begin_value(w, key);
        (void) buffer_append(w->buffer, json, size);
}
