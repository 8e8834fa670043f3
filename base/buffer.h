/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A growing byte buffer with a hard limit. A failed append is remembered in `error`, so that a
 * writer may append many times and check once. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "macro.h"

typedef struct Buffer {
        char *data;
        size_t size;     /* bytes in use */
        size_t capacity; /* bytes allocated */
        size_t limit;    /* never more than this; 0: no limit */
        int error;       /* 0, or the first error: -ENOMEM, -EMSGSIZE */
} Buffer;

#define BUFFER_INIT(max) \
        { .limit = (max) }

void buffer_deinit(Buffer *buffer);

/* Forgets the content and the error, keeps the memory. */
void buffer_clear(Buffer *buffer);

/* Makes room for `more` further bytes. -ENOMEM, -EMSGSIZE (over the limit). */
int buffer_reserve(Buffer *buffer, size_t more);

int buffer_append(Buffer *buffer, const void *data, size_t size);
int buffer_printf(Buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

static inline int buffer_append_string(Buffer *buffer, const char *string) {
        return buffer_append(buffer, string, strlen(string));
}

static inline int buffer_append_char(Buffer *buffer, char c) {
        if (buffer->size < buffer->capacity && buffer->error == 0) {
                buffer->data[buffer->size++] = c;
                return 0;
        }
        return buffer_append(buffer, &c, 1);
}

/* Drops the first `count` bytes. */
void buffer_consume(Buffer *buffer, size_t count);

/* Appends a NUL that is not counted in size and hands the memory to the caller, who frees it; the
 * buffer is empty afterwards. NULL after any error. */
char *buffer_steal(Buffer *buffer);
