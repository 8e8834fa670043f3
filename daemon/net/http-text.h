/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Pieces of HTTP text (RFC 9110 section 5.6): they stand inside a line and are not ended by NUL. */

#include <stdbool.h>
#include <stddef.h>

typedef struct Span {
        const char *data;
        size_t size;
} Span;

static inline bool is_blank(char c) {
        return c == ' ' || c == '\t';
}

static inline char to_lower(char c) {
        return c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
}

/* `lower` is in lower case, the span in any. */
bool span_equals(Span span, const char *lower);

Span span_trim(Span span);

/* Cuts off what stands before the next `separator` outside quotes, and the separator; false
 * when nothing is left. */
bool span_next(Span *rest, char separator, Span *ret);
