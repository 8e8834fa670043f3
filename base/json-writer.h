/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Writes JSON text straight into a Buffer: no tree is built, commas are put by the writer. Errors
 * stay in the buffer (buffer->error), so check once at the end. Strings must be UTF-8; an invalid
 * byte is written as U+FFFD, so the output is always valid. Keys are written as they are and must
 * need no escape. Pass key NULL inside an array (and for the outermost value). */

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"

typedef struct JsonWriter {
        Buffer *buffer;
        bool comma; /* a value has been written at this level */
} JsonWriter;

static inline JsonWriter json_writer(Buffer *buffer) {
        return (JsonWriter){ .buffer = buffer };
}

void json_begin_object(JsonWriter *w, const char *key);
void json_end_object(JsonWriter *w);
void json_begin_array(JsonWriter *w, const char *key);
void json_end_array(JsonWriter *w);

void json_put_string(JsonWriter *w, const char *key, const char *value); /* NULL writes null */
void json_put_string_n(JsonWriter *w, const char *key, const char *value, size_t size);
void json_put_u64(JsonWriter *w, const char *key, uint64_t value);
void json_put_i64(JsonWriter *w, const char *key, int64_t value);
void json_put_bool(JsonWriter *w, const char *key, bool value);
void json_put_null(JsonWriter *w, const char *key);

/* Fixed point with `decimals` (0 to 6) places, trailing zeros dropped; a value that is not finite
 * is written as null. */
void json_put_double(JsonWriter *w, const char *key, double value, unsigned decimals);

/* Nanoseconds as milliseconds with three places. */
void json_put_ms(JsonWriter *w, const char *key, uint64_t ns);

/* Text that is JSON already: checked by the caller (json_scan). */
void json_put_raw(JsonWriter *w, const char *key, const char *json, size_t size);
/* A member whose name comes from outside and is escaped. */
void json_put_key(JsonWriter *w, const char *key);
