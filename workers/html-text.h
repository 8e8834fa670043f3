/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* HTML (and, well enough, other markup) to readable text. */

#include <stdbool.h>
#include <stddef.h>

#include "text-writer.h"

/* Writes the text of a page or fragment; the content of the first <title> goes to `title`
 * instead when that is not NULL. Any bytes of valid UTF-8 are accepted. */
void html_write_text(const char *html, size_t size, TextWriter *out, TextWriter *title);

/* Does a document without a type begin like markup? */
bool html_begins(const char *text, size_t size);

/* Does a string (of a JSON document) hold tags or character references? */
bool html_is_fragment(const char *text, size_t size);
