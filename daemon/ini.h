/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A strict reader of INI text as systemd writes it. Pure: text in, callbacks out. */

#include <stddef.h>

/* One line of a file, its continuation lines included, at most. */
#define INI_LINE_MAX 65536

/* From `offset` of a value on its text stands at that place of the file (lines and columns count
 * from 1, columns in bytes). A value that goes on over several lines has one for each. */
typedef struct IniPlace {
        size_t offset;
        unsigned line, column;
} IniPlace;

typedef struct IniAssignment {
        const char *key;
        const char *value;
        unsigned line, column;  /* of the key */
        const IniPlace *places; /* of the value; at least one */
        size_t n_places;
} IniAssignment;

/* All return 0 to go on; anything else ends ini_parse(), which returns it. */
typedef struct IniHandler {
        /* Following assignments belong to it. The name lives until the call returns. */
        int (*section)(void *userdata, const char *name, unsigned line, unsigned column);
        /* Called only after a section. */
        int (*assignment)(void *userdata, const IniAssignment *assignment);
        /* The line is left out; reading goes on behind it. */
        int (*error)(void *userdata, unsigned line, unsigned column, const char *message);
} IniHandler;

/* 0, -ENOMEM, or what a callback returned. */
int ini_parse(const char *text, size_t size, const IniHandler *handler, void *userdata);

/* Where the byte at `offset` of a value stands. */
IniPlace ini_place(const IniPlace *places, size_t n_places, size_t offset);
