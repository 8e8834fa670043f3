/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Varlink wire format as it goes out, without I/O. Each function appends one message with its
 * NUL; failures stay in out->error. */

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "interface.h"

/* `json` is the text of an object: the reply's parameters, or its `event`. The last two of these
 * three say that another reply follows. */
void reply_write(Buffer *out, const char *json, size_t size);
void reply_write_continued(Buffer *out, const char *json, size_t size);
void reply_write_event(Buffer *out, const char *json, size_t size);

/* The error's parameter, if it has one, is `text` or `number` as its table says. */
void reply_write_error(Buffer *out, InterfaceError error, const char *text, uint64_t number);
