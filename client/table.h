/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A table that fits its place: columns without any content are not shown, wide ones are cut when
 * the terminal is narrow, and what still does not fit is left out with a line that names it. */

#include <stddef.h>

#include "text.h"

typedef enum TableFlags {
        TABLE_RIGHT = 1 << 0,  /* figures */
        TABLE_SHRINK = 1 << 1, /* may be cut */
        TABLE_EXTRA = 1 << 2,  /* may be left out when the terminal is narrow, the last first */
} TableFlags;

typedef struct TableColumn {
        const char *title;
        unsigned flags;
} TableColumn;

#define TABLE_COLUMNS_MAX 16

typedef struct TableCell {
        char *text; /* NULL: nothing to show */
        Tone tone;
} TableCell;

typedef struct Table {
        const TableColumn *columns;
        size_t n_columns;
        TableCell *cells;
        size_t n_cells;
        size_t capacity;
        int error; /* remembered, as in Buffer */
} Table;

#define TABLE_INIT(array) \
        { .columns = (array), .n_columns = ELEMENTSOF(array) }

void table_deinit(Table *table);

/* Adds the next cell, row by row. The text may come from outside; NULL is an empty cell. */
void table_text(Table *table, Tone tone, const char *text);
void table_printf(Table *table, Tone tone, const char *format, ...) PRINTF_LIKE(3, 4);

/* Every row must be full. Writes nothing when there are no rows. 0 or the table's error. */
int table_render(const Table *table, Buffer *out, const View *view, size_t indent);
