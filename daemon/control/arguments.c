/* SPDX-License-Identifier: Apache-2.0 */

/* The check reads the very type texts that the interface description shows to clients, so what a
 * client is told and what is accepted are the same by construction. An optional parameter may be
 * null, which is the same as leaving it out. No string may hold a NUL: below here strings are C's.
 * Checked parameters can then be taken out without further doubt. */

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "clock.h"
#include "hash-map.h"
#include "interface.h"
#include "macro.h"

#define MAX_PASSAGES_DEFAULT 5

/* ---- the check ---- */

static bool in_range(const InterfaceField *field, json_int_t value) {
        return value >= field->min && value <= field->max;
}

static bool string_valid(const json_t *value) {
        const char *text = json_string_value(value);

        return text && strlen(text) == json_string_length(value);
}

static bool strings_valid(const json_t *array) {
        size_t i;
        json_t *value;

        json_array_foreach(array, i, value) {
                if (!string_valid(value))
                        return false;
        }
        return true;
}

static bool map_valid(json_t *object) {
        const char *key;
        json_t *value;

        json_object_foreach(object, key, value) {
                if (!string_valid(value))
                        return false;
        }
        return true;
}

static bool choice_valid(const char *type, const json_t *value) {
        size_t n;

        (void) interface_fields(USE_VALUE, type, &n);
        assert(n > 0); /* a type that inputs do not know yet */
        return string_valid(value) && interface_value(type, json_string_value(value)) >= 0;
}

static bool value_valid(const InterfaceField *field, json_t *value) {
        bool optional = field->type[0] == '?';
        const char *type = field->type + optional;

        if (json_is_null(value))
                return optional;
        if (strcmp(type, "string") == 0)
                return string_valid(value) && in_range(field, (json_int_t) json_string_length(value));
        if (strcmp(type, "int") == 0)
                return json_is_integer(value) && in_range(field, json_integer_value(value));
        if (strcmp(type, "[]string") == 0)
                return json_is_array(value) && in_range(field, (json_int_t) json_array_size(value)) &&
                                strings_valid(value);
        if (strcmp(type, "[string]string") == 0)
                return json_is_object(value) &&
                                in_range(field, (json_int_t) json_object_size(value)) &&
                                map_valid(value);
        return choice_valid(type, value);
}

static const InterfaceField *find_field(const InterfaceField *fields, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(fields[i].name, name) == 0)
                        return &fields[i];
        return NULL;
}

const char *arguments_invalid(const char *input, json_t *parameters) {
        size_t n;
        const InterfaceField *fields = interface_fields(USE_INPUT, input, &n);
        const char *name;
        json_t *value;

        json_object_foreach(parameters, name, value) {
                const InterfaceField *field = find_field(fields, n, name);
                if (!field || !value_valid(field, value))
                        return name;
        }
        for (size_t i = 0; i < n; i++)
                if (fields[i].type[0] != '?' && !json_object_get(parameters, fields[i].name))
                        return fields[i].name;
        return NULL;
}

const char *arguments_string(const json_t *parameters, const char *name) {
        return json_string_value(json_object_get(parameters, name));
}

/* ---- Query ---- */

/* Each name once, in the order of their first mention. */
static int take_sources(QueryArguments *a, const json_t *names, uint64_t seed) {
        HashMap seen = { .seed = seed };
        size_t i;
        json_t *name;
        int r = 0;

        a->request.all_sources = !json_is_array(names);
        if (a->request.all_sources)
                return 0;
        a->sources = reallocarray(NULL, json_array_size(names), sizeof(*a->sources));
        if (!a->sources)
                return -ENOMEM;

        json_array_foreach(names, i, name) {
                r = hash_map_put(&seen, json_string_value(name), name);
                if (r >= 0)
                        a->sources[a->request.n_sources++] = json_string_value(name);
                else if (r != -EEXIST)
                        break;
                r = 0;
        }
        hash_map_deinit(&seen);
        a->request.sources = a->sources;
        return r;
}

static int take_values(QueryArguments *a, json_t *values) {
        const char *name;
        json_t *value;

        if (json_object_size(values) == 0)
                return 0;
        a->values = calloc(json_object_size(values), sizeof(*a->values));
        if (!a->values)
                return -ENOMEM;
        json_object_foreach(values, name, value) {
                a->values[a->request.n_parameters++] =
                                (QueryParameter){ .name = name, .value = json_string_value(value) };
        }
        a->request.parameters = a->values;
        return 0;
}

/* `otherwise` when it is not given. */
static uint64_t take_number(const json_t *parameters, const char *name, uint64_t otherwise) {
        const json_t *value = json_object_get(parameters, name);

        return json_is_integer(value) ? (uint64_t) json_integer_value(value) : otherwise;
}

/* The enumerations of query.h have the order of the rows in fields.def, the default first. */
static unsigned take_choice(const json_t *parameters, const char *name, const char *type) {
        const char *value = arguments_string(parameters, name);

        return value ? (unsigned) interface_value(type, value) : 0;
}

int query_arguments_init(QueryArguments *ret, json_t *parameters, uint64_t seed) {
        const json_t *question = json_object_get(parameters, "question");

        QueryArguments a = {
                .request = {
                        .question = json_string_value(question),
                        .question_size = json_string_length(question),
                        .deadline_ns = take_number(parameters, "deadline_ms", 0) * NSEC_PER_MSEC,
                        .policy = take_choice(parameters, "policy", "Policy"),
                        .max_passages = (unsigned) take_number(
                                        parameters, "max_passages", MAX_PASSAGES_DEFAULT),
                        .quorum = (unsigned) take_number(parameters, "quorum", 0),
                        .cache = take_choice(parameters, "cache", "CacheUse"),
                        .batch = take_choice(parameters, "priority", "Priority") > 0,
                },
        };

        int r = take_sources(&a, json_object_get(parameters, "sources"), seed);
        if (r >= 0)
                r = take_values(&a, json_object_get(parameters, "parameters"));
        if (r < 0) {
                query_arguments_deinit(&a);
                return r;
        }
        *ret = a;
        return 0;
}

void query_arguments_deinit(QueryArguments *arguments) {
        free(arguments->sources);
        free(arguments->values);
        *arguments = (QueryArguments){};
}
