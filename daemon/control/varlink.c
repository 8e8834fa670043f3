/* SPDX-License-Identifier: Apache-2.0 */

/* Varlink (varlink.org): JSON objects, each ended by one NUL byte.
 *
 * What is done with a frame that is not as it should be:
 *
 *   - not JSON, not UTF-8, nested deeper than 64, no object, or without a `method` string: nobody
 *     can say what was asked nor whether a reply is wanted, so the connection is closed (-EBADMSG)
 *   - JSON that this program cannot keep exactly, a number out of range or a member given twice:
 *     InvalidParameter(parameters), then the connection is closed (-ERANGE)
 *   - a call whose `parameters` is no object, or a flag no boolean: InvalidParameter with that name
 *
 * json_scan() stands before jansson, which recurses. An escaped NUL is data, never framing: it is
 * let through in strings here and refused by the checks of arguments, which can name the field;
 * in a method's name it makes the frame no call. Members that are not known are ignored. */

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "json-scan.h"
#include "varlink.h"

#define CALL_DEPTH_MAX 64

/* ---- frames ---- */

void varlink_frames_deinit(VarlinkFrames *frames) {
        buffer_deinit(&frames->bytes);
        *frames = (VarlinkFrames){};
}

int varlink_frames_push(VarlinkFrames *frames, const void *data, size_t size) {
        buffer_consume(&frames->bytes, frames->start);
        frames->scanned -= frames->start;
        frames->start = 0;
        return buffer_append(&frames->bytes, data, size);
}

bool varlink_frames_next(VarlinkFrames *frames, const char **ret, size_t *ret_size) {
        const Buffer *bytes = &frames->bytes;

        if (frames->scanned == bytes->size)
                return false;
        const char *end = memchr(bytes->data + frames->scanned, '\0', bytes->size - frames->scanned);
        if (!end) {
                frames->scanned = bytes->size;
                return false;
        }
        *ret = bytes->data + frames->start;
        *ret_size = (size_t) (end - *ret);
        frames->start = frames->scanned = (size_t) (end - bytes->data) + 1;
        return true;
}

/* ---- calls ---- */

static int parse_json(json_t **ret, const char *text, size_t size) {
        json_error_t error;

        if (json_scan(text, size, CALL_DEPTH_MAX, NULL) < 0)
                return -EBADMSG;
        *ret = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        if (*ret)
                return 0;

        enum json_error_code code = json_error_code(&error);
        if (code == json_error_numeric_overflow || code == json_error_duplicate_key)
                return -ERANGE;
        /* Else a NUL in the name of a member, which jansson cannot have. */
        return code == json_error_out_of_memory ? -ENOMEM : -EBADMSG;
}

/* The text of a string that has no NUL within, else NULL. */
static const char *plain_string(const json_t *value) {
        const char *text = json_string_value(value);

        return text && strlen(text) == json_string_length(value) ? text : NULL;
}

static void take_flag(VarlinkCall *call, const char *name, bool *ret) {
        const json_t *value = json_object_get(call->root, name);

        *ret = json_is_true(value);
        if (value && !json_is_boolean(value) && !json_is_null(value))
                call->invalid = name;
}

int varlink_call_parse(VarlinkCall *ret, const char *frame, size_t size) {
        VarlinkCall call = {};

        int r = parse_json(&call.root, frame, size);
        if (r < 0)
                return r;
        call.method = plain_string(json_object_get(call.root, "method"));
        if (!call.method) {
                json_decref(call.root);
                return -EBADMSG;
        }

        take_flag(&call, "more", &call.more);
        take_flag(&call, "oneway", &call.oneway);
        take_flag(&call, "upgrade", &call.upgrade);
        call.parameters = json_object_get(call.root, "parameters");
        if (json_is_null(call.parameters))
                call.parameters = NULL;
        if (call.parameters && !json_is_object(call.parameters))
                call.invalid = "parameters";
        *ret = call;
        return 0;
}

void varlink_call_deinit(VarlinkCall *call) {
        json_decref(call->root);
        *call = (VarlinkCall){};
}
