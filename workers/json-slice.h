/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Looking into JSON without building a tree. Everything here works on slices of text that
 * json_scan() has passed, nested at most JSON_DEPTH_MAX deep; the results of lookups are slices
 * of the same text, so that numbers and duplicate members stay exactly as they were sent. */

#include <stdbool.h>
#include <stddef.h>

#include "text-writer.h"

#define JSON_DEPTH_MAX 64u

/* One value, without the blanks around it. `text` NULL: there is none. */
typedef struct JsonSlice {
        const char *text;
        size_t size;
} JsonSlice;

JsonSlice json_slice(const char *text, size_t size);

/* Goes through the elements of an array or the members of an object. */
typedef struct JsonIterator {
        const char *p; /* NULL: at the end */
        const char *end;
        bool object;
} JsonIterator;

/* A scalar has no elements. */
JsonIterator json_elements(JsonSlice value);
bool json_next(JsonIterator *iterator, JsonSlice *ret_key, JsonSlice *ret_value);

/* The value at a JSON Pointer (RFC 6901). The last of several members of one name counts. False:
 * there is none, or the pointer is no pointer. */
bool json_resolve(JsonSlice value, const char *pointer, JsonSlice *ret);

/* null, "", [] and {}. */
bool json_is_empty(JsonSlice value);

/* Is there any number, boolean or string with something in it? */
bool json_has_content(JsonSlice value);

/* Appends the value without blanks between its parts. Negative errno. */
int json_compact(JsonSlice value, Buffer *out);

/* Appends what a string stands for; of an array its first element; numbers as they are; of
 * anything else nothing. */
int json_scalar_text(JsonSlice value, Buffer *out);

/* Writes what a reader would want of a value: its strings and numbers in document order, short
 * ones with their key. Markup within strings is taken out, links are left out. */
void json_write_text(JsonSlice value, TextWriter *out);
