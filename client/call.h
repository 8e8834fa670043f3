/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The calling side of one Varlink connection: blocking, one call at a time. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "clock.h"

#define CALL_MESSAGE_MAX ((size_t) 16 << 20) /* what either side takes as one message */

typedef struct Caller {
        int fd;
        Buffer in;
        size_t scanned; /* bytes at the front of `in` that hold no NUL */
} Caller;

#define CALLER_NULL \
        { .fd = -1, .in = BUFFER_INIT(CALL_MESSAGE_MAX + 1) }

typedef struct Reply {
        char *text; /* `parameters` as they were received: a JSON object */
        size_t size;
        json_t *parameters; /* the same as a tree, but with null for what a source sent (`data`) */
        char *error;        /* name of a Varlink error, or NULL */
        bool continues;     /* another reply follows */
} Reply;

void reply_deinit(Reply *reply);

/* Takes the text of one message apart. -EBADMSG when it is no Varlink reply. */
int reply_parse(const char *message, size_t size, Reply *ret);

/* Negative errno; -EAGAIN when nobody accepted in time. */
int caller_open(Caller *caller, const char *path, uint64_t timeout_ns);
void caller_close(Caller *caller);

/* `parameters` may be NULL. -EMSGSIZE, or what send(2) says. */
int caller_send(Caller *caller, const char *method, const json_t *parameters, bool more);

/* The next reply. -ETIMEDOUT when `timeout_ns` passes first and -EINTR when a signal came: call
 * again, nothing is lost. -ECONNRESET: closed before a whole reply; -EMSGSIZE; -EBADMSG. */
int caller_receive(Caller *caller, uint64_t timeout_ns, Reply *ret);

/* One call with one reply. */
int caller_call(Caller *caller, const char *method, const json_t *parameters, uint64_t timeout_ns,
                Reply *ret);

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t caller_now(void);
