/* SPDX-License-Identifier: Apache-2.0 */

/* One set of tables says what the Varlink interfaces are; the text that describes them to clients
 * is written from the same rows by which calls are dispatched and checked, so that it cannot be
 * wrong about them. */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "interface.h"
#include "macro.h"

typedef struct InterfaceNamed {
        const char *name;
        const char *help;
} InterfaceNamed;

static const InterfaceNamed interfaces[] = {
#define INTERFACE(name, help) { name, help },
#include "methods.def"
#undef INTERFACE
};

const InterfaceMethod interface_methods[] = {
#define METHOD(interface, name, handler, input, output, help) \
        { interface, #name, interface "." #name, #input, #output, help },
#include "methods.def"
#undef METHOD
};
const size_t n_interface_methods = ELEMENTSOF(interface_methods);

const InterfaceErrorInfo interface_errors[ERROR_COUNT] = {
#define ERROR(interface, id, name, detail, type, help) \
        [ERROR_##id] = { interface, #name, interface "." #name, detail, type, help },
#include "errors.def"
#undef ERROR
};

#define VALUE(owner, name, help)        FIELD(USE_VALUE, owner, name, NULL, 0, 0, help)
#define MEMBER(owner, name, type, help) FIELD(USE_MEMBER, owner, #name, type, 0, 0, help)
#define OUTPUT(owner, name, type, help) FIELD(USE_OUTPUT, owner, #name, type, 0, 0, help)
#define INPUT(owner, name, type, min, max, help) \
        FIELD(USE_INPUT, owner, #name, type, min, max, help)

static const InterfaceField fields[] = {
#define TYPE(name, help)
#define FIELD(use, owner, name, type, min, max, help) { use, #owner, name, type, min, max, help },
#include "fields.def"
#undef FIELD
#undef TYPE
};

/* The named types are all of io.muster. */
static const InterfaceNamed types[] = {
#define TYPE(name, help) { #name, help },
#define FIELD(...)
#include "fields.def"
#undef FIELD
#undef TYPE
};

const InterfaceField *interface_fields(InterfaceUse use, const char *owner, size_t *ret_n) {
        size_t first = 0, n = 0;

        while (first < ELEMENTSOF(fields) &&
               (fields[first].use != use || strcmp(fields[first].owner, owner) != 0))
                first++;
        while (first + n < ELEMENTSOF(fields) && fields[first + n].use == use &&
               strcmp(fields[first + n].owner, owner) == 0)
                n++;
        *ret_n = n;
        return n > 0 ? &fields[first] : NULL;
}

int interface_value(const char *type, const char *name) {
        size_t n;
        const InterfaceField *values = interface_fields(USE_VALUE, type, &n);

        for (size_t i = 0; i < n; i++)
                if (strcmp(values[i].name, name) == 0)
                        return (int) i;
        return -ENOENT;
}

const char *interface_name(size_t number) {
        return number < ELEMENTSOF(interfaces) ? interfaces[number].name : NULL;
}

/* ---- the description ---- */

static void write_comment(Buffer *out, const char *indent, const char *help) {
        for (const char *line = help; line;) {
                const char *end = strchrnul(line, '\n');

                (void) buffer_printf(out, "%s# %.*s\n", indent, (int) (end - line), line);
                line = *end ? end + 1 : NULL;
        }
}

static void write_fields(Buffer *out, InterfaceUse use, const char *owner) {
        size_t n;
        const InterfaceField *rows = interface_fields(use, owner, &n);

        if (n == 0) {
                (void) buffer_append_string(out, "()");
                return;
        }
        (void) buffer_append_string(out, "(\n");
        for (size_t i = 0; i < n; i++) {
                write_comment(out, "\t", rows[i].help);
                (void) buffer_printf(
                                out, "\t%s%s%s%s\n", rows[i].name, rows[i].type ? ": " : "",
                                rows[i].type ? rows[i].type : "", i + 1 < n ? "," : "");
        }
        (void) buffer_append_char(out, ')');
}

static void write_types(Buffer *out) {
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                size_t n_values;

                (void) interface_fields(USE_VALUE, types[i].name, &n_values);
                (void) buffer_append_char(out, '\n');
                write_comment(out, "", types[i].help);
                (void) buffer_printf(out, "type %s ", types[i].name);
                write_fields(out, n_values > 0 ? USE_VALUE : USE_MEMBER, types[i].name);
                (void) buffer_append_char(out, '\n');
        }
}

static void write_methods(Buffer *out, const char *interface) {
        for (size_t i = 0; i < n_interface_methods; i++) {
                const InterfaceMethod *method = &interface_methods[i];

                if (strcmp(method->interface, interface) != 0)
                        continue;
                (void) buffer_append_char(out, '\n');
                write_comment(out, "", method->help);
                (void) buffer_printf(out, "method %s", method->name);
                write_fields(out, USE_INPUT, method->input);
                (void) buffer_append_string(out, " -> ");
                write_fields(out, USE_OUTPUT, method->output);
                (void) buffer_append_char(out, '\n');
        }
}

static void write_errors(Buffer *out, const char *interface) {
        for (size_t i = 0; i < ERROR_COUNT; i++) {
                const InterfaceErrorInfo *error = &interface_errors[i];

                if (strcmp(error->interface, interface) != 0)
                        continue;
                (void) buffer_append_char(out, '\n');
                write_comment(out, "", error->help);
                (void) buffer_printf(
                                out, "error %s (%s%s%s)\n", error->name, error->detail,
                                error->type[0] ? ": " : "", error->type);
        }
}

int interface_describe(const char *name, Buffer *out) {
        for (size_t i = 0; i < ELEMENTSOF(interfaces); i++) {
                if (strcmp(interfaces[i].name, name) != 0)
                        continue;
                write_comment(out, "", interfaces[i].help);
                (void) buffer_printf(out, "interface %s\n", name);
                if (strcmp(name, IO_MUSTER) == 0)
                        write_types(out);
                write_methods(out, name);
                write_errors(out, name);
                return out->error;
        }
        return -ENOENT;
}
