/* SPDX-License-Identifier: Apache-2.0 */
#include "http-text.h"

bool span_equals(Span span, const char *lower) {
        size_t i = 0;
        while (i < span.size && lower[i] != '\0' && to_lower(span.data[i]) == lower[i])
                i++;
        return i == span.size && lower[i] == '\0';
}

Span span_trim(Span span) {
        while (span.size > 0 && is_blank(span.data[0])) {
                span.data++;
                span.size--;
        }
        while (span.size > 0 && is_blank(span.data[span.size - 1]))
                span.size--;
        return span;
}

bool span_next(Span *rest, char separator, Span *ret) {
        bool quoted = false;
        size_t n = 0;

        if (rest->size == 0)
                return false;
        for (; n < rest->size && (quoted || rest->data[n] != separator); n++) {
                if (rest->data[n] == '"')
                        quoted = !quoted;
                else if (quoted && rest->data[n] == '\\' && n + 1 < rest->size)
                        n++;
        }
        *ret = span_trim((Span){ rest->data, n });
        n += n < rest->size;
        *rest = (Span){ rest->data + n, rest->size - n };
        return true;
}
