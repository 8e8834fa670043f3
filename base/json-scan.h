/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A strict check that text is one JSON value (RFC 8259) in valid UTF-8, nested at most `max_depth`
 * deep: no memory, no recursion. It stands before every parser that recurses, and before any text
 * of a worker is copied into an answer. Duplicate keys are not looked for. */

#include <stddef.h>

/* 0; -EINVAL: no JSON; -E2BIG: nested too deep; -EILSEQ: a string is no UTF-8 or holds half a
 * surrogate pair. `ret_offset` (may be NULL) is where the first offence stands. */
int json_scan(const char *text, size_t size, unsigned max_depth, size_t *ret_offset);
