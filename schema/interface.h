/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Varlink interfaces as the program sees them, expanded from methods.def, errors.def and
 * fields.def. */

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

#define ORG_VARLINK_SERVICE "org.varlink.service"
#define IO_MUSTER           "io.muster"

typedef enum InterfaceError {
#define ERROR(interface, id, ...) ERROR_##id,
#include "errors.def"
#undef ERROR
        ERROR_COUNT,
} InterfaceError;

typedef enum InterfaceUse {
        USE_MEMBER, /* of a structure */
        USE_VALUE,  /* of an enumeration */
        USE_INPUT,
        USE_OUTPUT,
} InterfaceUse;

typedef struct InterfaceField {
        InterfaceUse use;
        const char *owner; /* a type, or a method's Input or Output */
        const char *name;
        const char *type; /* as Varlink writes it; NULL for a value */
        int64_t min, max;
        const char *help;
} InterfaceField;

typedef struct InterfaceMethod {
        const char *interface;
        const char *name;      /* within its interface */
        const char *full_name; /* as it is called */
        const char *input, *output;
        const char *help;
} InterfaceMethod;

typedef struct InterfaceErrorInfo {
        const char *interface;
        const char *name;
        const char *full_name;
        const char *detail; /* its parameter, "" for none */
        const char *type;   /* string, int or "" */
        const char *help;
} InterfaceErrorInfo;

/* In the order of methods.def; a method's place is its number. */
extern const InterfaceMethod interface_methods[];
extern const size_t n_interface_methods;

extern const InterfaceErrorInfo interface_errors[ERROR_COUNT];

/* The rows of one owner: *ret_n of them, 0 when it has none. */
const InterfaceField *interface_fields(InterfaceUse use, const char *owner, size_t *ret_n);

/* The place of a value in its enumeration, from 0, in the order of the rows. -ENOENT. */
int interface_value(const char *type, const char *name);

/* The name of an interface by its number; NULL behind the last. */
const char *interface_name(size_t number);

/* Appends the description of an interface in Varlink's language. -ENOENT, -ENOMEM. */
int interface_describe(const char *name, Buffer *out);
