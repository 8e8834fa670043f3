/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Documents to UTF-8. */

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

/* Opens the converters; later calls touch no file. Those that the C library lacks are left out. */
void charset_init(void);
void charset_deinit(void);

/* Finds out the character set and converts. A byte order mark wins over `label` (lower or upper
 * case, may be empty), and that over what an HTML page says of itself (looked for when `html`);
 * else it is UTF-8. `ret_text` is the document itself, without its mark, when that is UTF-8
 * already, else what was appended to `converted`. -EBADMSG: unknown character set or bytes that
 * it does not have; -EMSGSIZE: over the buffer's limit; -ENOMEM. For the first two a message for
 * people is appended to `error`. */
int charset_decode(
                const char *label, bool html, const char *document, size_t size, Buffer *converted,
                Buffer *error, const char **ret_text, size_t *ret_size);

/* Looks for `<meta charset=` or `<meta ... content="...charset=` at the head of a page; copies
 * the label lower-cased, or the empty string. */
#define CHARSET_LABEL_MAX 32
void charset_sniff(const char *html, size_t size, char ret_label[static CHARSET_LABEL_MAX]);
