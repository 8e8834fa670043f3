/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* UTF-8 as RFC 3629 defines it: no overlong forms, no surrogates, nothing above U+10FFFF. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool utf8_valid(const char *text, size_t size);

/* Decodes one character at `text` (size > 0). Returns its length in bytes, or 0 when it is
 * invalid. */
size_t utf8_decode(const char *text, size_t size, uint32_t *ret);

/* Writes one character (at most 4 bytes); returns its length. `c` must be a valid scalar value. */
size_t utf8_encode(uint32_t c, char out[static 4]);

/* The greatest length <= `size` that does not cut a character of valid UTF-8. */
size_t utf8_truncate(const char *text, size_t size, size_t limit);
