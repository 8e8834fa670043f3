/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json-writer.h"
#include "template.h"

static bool name_begins(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool name_continues(char c) {
        return name_begins(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Length of the placeholder at `text` (which begins with '{'), or 0 when it is none. */
static size_t placeholder_length(const char *text, size_t *ret_name_size) {
        size_t n = 1;

        if (!name_begins(text[n]))
                return 0;
        while (name_continues(text[n]))
                n++;
        *ret_name_size = n - 1;
        if (text[n] == ':')
                n += strcspn(text + n, "}");
        return text[n] == '}' ? n + 1 : 0;
}

static TemplatePiece *template_add(Template *template) {
        TemplatePiece *pieces =
                        reallocarray(template->pieces, template->n_pieces + 1, sizeof(*pieces));
        if (!pieces)
                return NULL;
        template->pieces = pieces;
        pieces[template->n_pieces] = (TemplatePiece){};
        return &pieces[template->n_pieces++];
}

static int template_add_literal(Template *template, const char *text, size_t size) {
        if (size == 0)
                return 0;

        TemplatePiece *piece = template_add(template);
        if (!piece)
                return -ENOMEM;
        piece->literal = strndup(text, size);
        return piece->literal ? 0 : -ENOMEM;
}

static int template_add_placeholder(Template *template, const char *text, size_t size, size_t name_size) {
        TemplatePiece *piece = template_add(template);
        if (!piece)
                return -ENOMEM;

        piece->name = strndup(text + 1, name_size);
        if (!piece->name)
                return -ENOMEM;
        if (text[1 + name_size] != ':')
                return 0;
        piece->default_value = strndup(text + name_size + 2, size - name_size - 3);
        return piece->default_value ? 0 : -ENOMEM;
}

static int
template_parse(Template *template, const char *text, size_t *ret_offset, const char **ret_reason) {
        const char *literal = text, *at = text;

        while ((at = strpbrk(at, template->place == TEMPLATE_URL ? "{}" : "{"))) {
                size_t name_size = 0, size = *at == '{' ? placeholder_length(at, &name_size) : 0;

                if (size == 0 && template->place == TEMPLATE_URL) {
                        *ret_offset = (size_t) (at - text);
                        *ret_reason = "a brace that is no placeholder; write {name}, {name:default} or %7B";
                        return -EINVAL;
                }
                if (size == 0) {
                        at++;
                        continue;
                }
                if (name_size == strlen("credential") &&
                    strncmp(at + 1, "credential", name_size) == 0) {
                        *ret_offset = (size_t) (at - text);
                        *ret_reason = "credentials are not available in this version";
                        return -EINVAL;
                }
                int r = template_add_literal(template, literal, (size_t) (at - literal));
                if (r >= 0)
                        r = template_add_placeholder(template, at, size, name_size);
                if (r < 0)
                        return r;
                literal = at += size;
        }
        return template_add_literal(template, literal, strlen(literal));
}

int template_compile(
                Template *ret, const char *text, TemplatePlace place, size_t *ret_offset,
                const char **ret_reason) {
        Template template = { .place = place };
        size_t offset = 0;
        const char *reason = NULL;

        int r = template_parse(&template, text, &offset, &reason);
        if (r < 0) {
                template_deinit(&template);
                if (ret_offset)
                        *ret_offset = offset;
                if (ret_reason)
                        *ret_reason = reason;
                return r;
        }
        *ret = template;
        return 0;
}

void template_deinit(Template *template) {
        for (size_t i = 0; i < template->n_pieces; i++) {
                free(template->pieces[i].literal);
                free(template->pieces[i].name);
                free(template->pieces[i].default_value);
        }
        free(template->pieces);
        *template = (Template){};
}

static int append_percent_encoded(Buffer *out, const char *value, size_t size) {
        static const char hex[] = "0123456789ABCDEF";
        int r = 0;

        for (size_t i = 0; i < size && r >= 0; i++) {
                unsigned char c = (unsigned char) value[i];

                if (name_continues((char) c) || c == '.' || c == '~')
                        r = buffer_append_char(out, (char) c);
                else
                        r = buffer_append(out, (char[]){ '%', hex[c >> 4], hex[c & 15] }, 3);
        }
        return r;
}

/* As the writer quotes it, without the quotes. */
static int append_json_escaped(Buffer *out, const char *value, size_t size) {
        size_t start = out->size;
        JsonWriter writer = json_writer(out);

        json_put_string_n(&writer, NULL, value, size);
        if (out->error < 0)
                return out->error;
        memmove(out->data + start, out->data + start + 1, out->size - start - 2);
        out->size -= 2;
        return 0;
}

static const TemplateValue *find_value(const TemplateValue values[], size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(values[i].name, name) == 0)
                        return &values[i];
        return NULL;
}

int template_render(
                const Template *template, const TemplateValue values[], size_t n_values,
                Buffer *out, const char **ret_missing) {
        for (size_t i = 0; i < template->n_pieces; i++) {
                const TemplatePiece *piece = &template->pieces[i];
                const TemplateValue *given;
                TemplateValue fallback;
                int r;

                if (piece->literal) {
                        r = buffer_append_string(out, piece->literal);
                        if (r < 0)
                                return r;
                        continue;
                }
                given = find_value(values, n_values, piece->name);
                if (!given && !piece->default_value) {
                        *ret_missing = piece->name;
                        return -ENOENT;
                }
                if (!given) {
                        fallback = (TemplateValue){ .value = piece->default_value,
                                                    .size = strlen(piece->default_value) };
                        given = &fallback;
                }
                r = template->place == TEMPLATE_URL ?
                                append_percent_encoded(out, given->value, given->size) :
                                append_json_escaped(out, given->value, given->size);
                if (r < 0)
                        return r;
        }
        return 0;
}
