/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* JSON as text, without a tree: what a person asked for with --json is what the daemon sent, figure
 * for figure, in another layout. All functions expect text that json_scan() has accepted. */

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/* Finds the value of a member of the outermost object; the last one when there are several. -ENOENT
 * when there is none or the text is no object. */
int json_text_member(const char *text, size_t size, const char *key, const char **ret, size_t *ret_size);

/* Copies, with null for the value of every member `key` of the objects at `depth` (the outermost is
 * at 1). */
void json_text_blank(Buffer *out, const char *text, size_t size, unsigned depth, const char *key);

/* Copies on one line, or indented. Characters that a terminal might obey are written as \uXXXX.
 * Ends without a newline. */
void json_text_format(Buffer *out, const char *text, size_t size, bool pretty);
