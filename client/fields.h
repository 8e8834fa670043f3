/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reading replies without trusting their shape: what is missing or of another type reads as
 * nothing. */

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

static inline const char *field_text(const json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key));
}

/* NAN when there is no number. */
static inline double field_number(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);

        return json_is_number(value) ? json_number_value(value) : NAN;
}

static inline bool field_true(const json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}

/* For json_object_foreach(), which only reads but does not say so. */
static inline json_t *field_each(const json_t *object) {
        return (json_t *) (uintptr_t) object;
}
