/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "json-writer.h"
#include "reply.h"

static void
write_wrapped(Buffer *out, const char *before, const char *json, size_t size, const char *after) {
        size_t after_size = strlen(after) + 1; /* its NUL ends the message */

        (void) buffer_reserve(out, strlen(before) + size + after_size);
        (void) buffer_append_string(out, before);
        (void) buffer_append(out, json, size);
        (void) buffer_append(out, after, after_size);
}

void reply_write(Buffer *out, const char *json, size_t size) {
        write_wrapped(out, "{\"parameters\":", json, size, "}");
}

void reply_write_continued(Buffer *out, const char *json, size_t size) {
        write_wrapped(out, "{\"parameters\":", json, size, ",\"continues\":true}");
}

void reply_write_event(Buffer *out, const char *json, size_t size) {
        write_wrapped(out, "{\"parameters\":{\"event\":", json, size, "},\"continues\":true}");
}

void reply_write_error(Buffer *out, InterfaceError error, const char *text, uint64_t number) {
        const InterfaceErrorInfo *info = &interface_errors[error];
        JsonWriter w = json_writer(out);

        json_begin_object(&w, NULL);
        json_put_string(&w, "error", info->full_name);
        json_begin_object(&w, "parameters");
        if (strcmp(info->type, "string") == 0)
                json_put_string(&w, info->detail, text);
        else if (strcmp(info->type, "int") == 0)
                json_put_u64(&w, info->detail, number);
        json_end_object(&w);
        json_end_object(&w);
        (void) buffer_append_char(out, '\0');
}
