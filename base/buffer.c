/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"

void buffer_deinit(Buffer *buffer) {
        free(buffer->data);
        *buffer = (Buffer){ .limit = buffer->limit };
}

void buffer_clear(Buffer *buffer) {
        buffer->size = 0;
        buffer->error = 0;
}

static int buffer_fail(Buffer *buffer, int error) {
        if (buffer->error == 0)
                buffer->error = error;
        return error;
}

int buffer_reserve(Buffer *buffer, size_t more) {
        if (buffer->error < 0)
                return buffer->error;
        if (more <= buffer->capacity - buffer->size)
                return 0;

        size_t needed;
        if (__builtin_add_overflow(buffer->size, more, &needed))
                return buffer_fail(buffer, -EMSGSIZE);
        if (buffer->limit > 0 && needed > buffer->limit)
                return buffer_fail(buffer, -EMSGSIZE);

        size_t capacity = MAX(buffer->capacity, (size_t) 64);
        while (capacity < needed)
                capacity += capacity / 2;
        if (buffer->limit > 0 && capacity > buffer->limit)
                capacity = buffer->limit;

        char *data = realloc(buffer->data, capacity);
        if (!data)
                return buffer_fail(buffer, -ENOMEM);
        buffer->data = data;
        buffer->capacity = capacity;
        return 0;
}

int buffer_append(Buffer *buffer, const void *data, size_t size) {
        int r = buffer_reserve(buffer, size);
        if (r < 0)
                return r;
        if (size > 0)
                memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
        return 0;
}

int buffer_printf(Buffer *buffer, const char *format, ...) {
        va_list arguments, again;
        int n, r = 0;

        va_start(arguments, format);
        va_copy(again, arguments);
        /* A failed reservation leaves no room, and vsnprintf() must not be given any. */
        n = vsnprintf(NULL, 0, format, arguments);
        va_end(arguments);
        if (n < 0)
                r = buffer_fail(buffer, -EINVAL);
        else
                r = buffer_reserve(buffer, (size_t) n + 1);
        if (r >= 0) {
                (void) vsnprintf(buffer->data + buffer->size, (size_t) n + 1, format, again);
                buffer->size += (size_t) n;
        }
        va_end(again);
        return r;
}

void buffer_consume(Buffer *buffer, size_t count) {
        assert(count <= buffer->size);
        buffer->size -= count;
        if (buffer->size > 0 && count > 0)
                memmove(buffer->data, buffer->data + count, buffer->size);
}

char *buffer_steal(Buffer *buffer) {
        size_t limit = buffer->limit;

        buffer->limit = 0; /* the terminator is not counted against it */
        int r = buffer_append_char(buffer, '\0');
        buffer->limit = limit;
        if (r < 0) {
                buffer_deinit(buffer);
                return NULL;
        }

        char *data = buffer->data;
        *buffer = (Buffer){ .limit = limit };
        return data;
}
