/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The two ways out: data to stdout, words to stderr. */

#include "text.h"

/* Writes everything to stdout, through a pager when `page` is set, stdout is a terminal and the
 * text is longer than it. Negative errno. */
int output_write(const Buffer *text, const View *view, bool page);

/* One sentence to stderr, headed by the program's name; what it quotes may come from outside. */
void complain(const char *format, ...) PRINTF_LIKE(1, 2);

/* Replaces the line that the last call wrote to a terminal on stderr, or clears it (NULL); nothing
 * where stderr is no terminal. The text may come from outside. */
void status_line(const char *text);
