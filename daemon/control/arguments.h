/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a method is given, checked against its table (schema/fields.def), without I/O. */

#include <stdint.h>

#include "query.h"

struct json_t; /* jansson's */

/* The name of the first parameter that is unknown, of the wrong type or out of range, or else of
 * one that is missing; NULL when all is well. `input` owns the rows, `parameters` may be NULL. The
 * name is borrowed from `parameters` or the table. */
const char *arguments_invalid(const char *input, struct json_t *parameters);

/* A string parameter by its name, NULL when it is not given. */
const char *arguments_string(const struct json_t *parameters, const char *name);

/* The parameters of Query as query.h wants them. */
typedef struct QueryArguments {
        QueryRequest request; /* borrows from the parameters */
        const char **sources;
        QueryParameter *values;
} QueryArguments;

/* The parameters must have passed arguments_invalid(). `seed` guards the look-up of duplicates.
 * -ENOMEM. */
int query_arguments_init(QueryArguments *ret, struct json_t *parameters, uint64_t seed);
void query_arguments_deinit(QueryArguments *arguments);
