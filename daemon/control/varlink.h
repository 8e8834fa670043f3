/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Varlink wire format as it comes in, without I/O: bytes to frames, a frame to a call. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* ---- frames ---- */

/* What a client has sent and nobody has looked at yet. All zero is an empty one. */
typedef struct VarlinkFrames {
        Buffer bytes;
        size_t start;   /* of the first frame that has not been handed out */
        size_t scanned; /* no NUL between `start` and here */
} VarlinkFrames;

void varlink_frames_deinit(VarlinkFrames *frames);

/* -ENOMEM */
int varlink_frames_push(VarlinkFrames *frames, const void *data, size_t size);

/* The next frame that is complete, without its NUL; valid until the next push. False: there is
 * none. */
bool varlink_frames_next(VarlinkFrames *frames, const char **ret, size_t *ret_size);

/* Bytes not handed out. */
static inline size_t varlink_frames_pending(const VarlinkFrames *frames) {
        return frames->bytes.size - frames->start;
}

/* ---- calls ---- */

/* The JSON is jansson's. */
typedef struct VarlinkCall {
        struct json_t *root; /* owns all of it */
        const char *method;
        struct json_t *parameters; /* an object, or NULL for none */
        const char *invalid;       /* the member that is not of its type, or NULL */
        bool more;
        bool oneway;
        bool upgrade;
} VarlinkCall;

/* 0, and the caller must varlink_call_deinit(); -EBADMSG: not a JSON object with a `method`;
 * -ERANGE: JSON that cannot be kept exactly (a number out of range, a member given twice);
 * -ENOMEM. */
int varlink_call_parse(VarlinkCall *ret, const char *frame, size_t size);
void varlink_call_deinit(VarlinkCall *call);
