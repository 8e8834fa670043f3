/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Content-Encoding gzip and deflate. */

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "layout.h"

/* Appends at most `max` bytes to `out`. -EBADMSG: broken, truncated, or followed by something else;
 * -EMSGSIZE: over `max`, or so compressible that it must be a bomb; -ENOMEM. For the first two a
 * message for people is appended to `error`. */
int inflate_document(
                ContentCoding coding, const uint8_t *data, size_t size, size_t max, Buffer *out,
                Buffer *error);
