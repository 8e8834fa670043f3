/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Texts with placeholders: {question}, {name} and {name:default}, where a name is a letter followed
 * by letters, digits, '_' or '-'. Any other brace stands for itself, so that JSON bodies need no
 * escaping. Values are escaped by the place where they go: percent-encoding in a URL, JSON string
 * escapes in a body. Pure. */

#include <stdbool.h>
#include <stddef.h>

#include "buffer.h"

typedef enum TemplatePlace {
        TEMPLATE_URL,  /* percent-encoded, RFC 3986; stray braces are refused */
        TEMPLATE_BODY, /* escaped as within a JSON string */
} TemplatePlace;

typedef struct TemplateValue {
        const char *name;
        const char *value;
        size_t size;
} TemplateValue;

typedef struct TemplatePiece {
        char *literal; /* NULL: a placeholder */
        char *name;
        char *default_value; /* NULL: must be given */
} TemplatePiece;

typedef struct Template {
        TemplatePlace place;
        TemplatePiece *pieces;
        size_t n_pieces;
} Template;

/* -EINVAL with the offence's offset and a static reason; -ENOMEM. */
int template_compile(
                Template *ret, const char *text, TemplatePlace place, size_t *ret_offset,
                const char **ret_reason);
void template_deinit(Template *template);

/* Appends the text. -ENOENT: a value without a default was not given (`ret_missing`, borrowed from
 * the template); else the buffer's error. */
int template_render(
                const Template *template, const TemplateValue values[], size_t n_values,
                Buffer *out, const char **ret_missing);
