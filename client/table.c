/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"

#define GAP          2  /* blanks between columns */
#define SHRINK_EASY  20 /* a column is cut to this before others are left out for it */
#define SHRINK_LEAST 8  /* and to this when nothing else helps */

void table_deinit(Table *table) {
        for (size_t i = 0; i < table->n_cells; i++)
                free(table->cells[i].text);
        free(table->cells);
        *table = (Table){ .columns = table->columns, .n_columns = table->n_columns };
}

/* Takes the text over. */
static void table_add(Table *table, Tone tone, char *text) {
        if (table->n_cells == table->capacity) {
                size_t capacity = MAX(table->capacity * 2, (size_t) 64);
                TableCell *cells = reallocarray(table->cells, capacity, sizeof(*cells));

                if (!cells) {
                        table->error = -ENOMEM;
                        free(text);
                        return;
                }
                table->cells = cells;
                table->capacity = capacity;
        }
        table->cells[table->n_cells++] = (TableCell){ .text = text, .tone = tone };
}

void table_text(Table *table, Tone tone, const char *text) {
        char *copy = text ? strdup(text) : NULL;

        if (text && !copy)
                table->error = -ENOMEM;
        table_add(table, tone, copy);
}

void table_printf(Table *table, Tone tone, const char *format, ...) {
        va_list arguments;
        char *text = NULL;

        va_start(arguments, format);
        if (vasprintf(&text, format, arguments) < 0) {
                table->error = -ENOMEM;
                text = NULL;
        }
        va_end(arguments);
        table_add(table, tone, text);
}

static size_t cell_width(const TableCell *cell, const View *view) {
        return cell->text ? text_width(view, cell->text, strlen(cell->text)) : 0;
}

/* Width of each column; 0 for those that are not shown. */
static void table_measure(const Table *table, const View *view, size_t widths[]) {
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t *width = &widths[i % table->n_columns];

                *width = MAX(*width, cell_width(&table->cells[i], view));
        }
        for (size_t c = 0; c < table->n_columns; c++)
                if (widths[c] > 0)
                        widths[c] = MAX(widths[c], strlen(table->columns[c].title));
}

static size_t table_width(const Table *table, const size_t widths[], size_t indent) {
        size_t sum = 0;

        for (size_t c = 0; c < table->n_columns; c++)
                if (widths[c] > 0)
                        sum += widths[c] + (sum > 0 ? GAP : 0);
        return sum + indent;
}

/* The widest column that may be cut and is over `least`, or n_columns. */
static size_t table_widest(const Table *table, const size_t widths[], size_t least) {
        size_t widest = table->n_columns, most = least;

        for (size_t c = 0; c < table->n_columns; c++) {
                if ((table->columns[c].flags & TABLE_SHRINK) && widths[c] > most) {
                        widest = c;
                        most = widths[c];
                }
        }
        return widest;
}

/* Cuts the widest column again and again. False when that is not enough. */
static bool
table_shrink(const Table *table, const View *view, size_t indent, size_t widths[], size_t least) {
        while (table_width(table, widths, indent) > view->columns) {
                size_t c = table_widest(table, widths, least);

                if (c == table->n_columns)
                        return false;
                widths[c]--;
        }
        return true;
}

static size_t table_last_extra(const Table *table, const size_t widths[]) {
        for (size_t c = table->n_columns; c-- > 0;)
                if (widths[c] > 0 && (table->columns[c].flags & TABLE_EXTRA))
                        return c;
        return table->n_columns;
}

/* Cuts columns a little; if that is not enough, leaves extra ones out, the last first; cuts what is
 * left as far as it must be. What does not fit even so is left to the terminal to break. */
static void
table_fit(const Table *table, const View *view, size_t indent, size_t widths[], bool omitted[]) {
        size_t natural[TABLE_COLUMNS_MAX];

        memcpy(natural, widths, sizeof(natural));
        if (view->columns == 0)
                return;
        while (!table_shrink(table, view, indent, widths, SHRINK_EASY)) {
                size_t c = table_last_extra(table, widths);

                if (c == table->n_columns) {
                        (void) table_shrink(table, view, indent, widths, SHRINK_LEAST);
                        return;
                }
                natural[c] = 0;
                omitted[c] = true;
                memcpy(widths, natural, sizeof(natural));
        }
}

static void
table_line(const Table *table, Buffer *out, const View *view, size_t indent, const size_t widths[],
           const TableCell cells[]) {
        size_t due = indent; /* blanks that stand before the next thing written */

        for (size_t c = 0; c < table->n_columns; c++) {
                if (widths[c] == 0)
                        continue;

                const TableCell *cell = &cells[c];
                size_t width = MIN(cell_width(cell, view), widths[c]);
                size_t space = widths[c] - width;
                bool right = table->columns[c].flags & TABLE_RIGHT;

                if (width > 0) {
                        text_fill(out, " ", due + (right ? space : 0));
                        tone_begin(out, view, cell->tone);
                        (void) text_put(out, view, cell->text, strlen(cell->text), widths[c]);
                        tone_end(out, view, cell->tone);
                        due = right ? 0 : space;
                } else
                        due += space;
                due += GAP;
        }
        (void) buffer_append_char(out, '\n');
}

static void
table_omissions(const Table *table, Buffer *out, const View *view, size_t indent,
                const bool omitted[]) {
        bool any = false;

        for (size_t c = 0; c < table->n_columns; c++) {
                if (!omitted[c])
                        continue;
                if (!any)
                        text_fill(out, " ", indent);
                text_own(out, view, TONE_FAINT, "%s%s", any ? ", " : "(no room for ",
                         table->columns[c].title);
                any = true;
        }
        if (any)
                text_own(out, view, TONE_FAINT, ")\n");
}

int table_render(const Table *table, Buffer *out, const View *view, size_t indent) {
        size_t widths[TABLE_COLUMNS_MAX] = { 0 };
        bool omitted[TABLE_COLUMNS_MAX] = { false };
        TableCell titles[TABLE_COLUMNS_MAX];

        assert(table->n_columns <= TABLE_COLUMNS_MAX);
        if (table->error < 0)
                return table->error;
        assert(table->n_cells % table->n_columns == 0);
        if (table->n_cells == 0)
                return 0;

        table_measure(table, view, widths);
        table_fit(table, view, indent, widths, omitted);
        for (size_t c = 0; c < table->n_columns; c++)
                titles[c] = (TableCell){ .tone = TONE_FAINT };
        for (size_t c = 0; c < table->n_columns; c++) {
                /* Written by us and only read below; a cell owns its text elsewhere. */
                titles[c].text = (char *) (uintptr_t) table->columns[c].title;
        }
        table_line(table, out, view, indent, widths, titles);
        for (size_t i = 0; i < table->n_cells; i += table->n_columns)
                table_line(table, out, view, indent, widths, table->cells + i);
        table_omissions(table, out, view, indent, omitted);
        return 0;
}
