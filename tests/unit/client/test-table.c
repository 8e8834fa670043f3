/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "table.h"

static const TableColumn columns[] = {
        { "NAME", TABLE_SHRINK },
        { "NEVER", 0 },
        { "MS", TABLE_RIGHT | TABLE_EXTRA },
        { "NOTE", TABLE_SHRINK | TABLE_EXTRA },
};

static Table sample(void) {
        Table table = TABLE_INIT(columns);

        table_text(&table, TONE_GOOD, "weather");
        table_text(&table, TONE_PLAIN, NULL);
        table_printf(&table, TONE_PLAIN, "%.1f", 2000.12);
        table_text(&table, TONE_PLAIN, "a note that is somewhat long");
        table_text(&table, TONE_PLAIN, "a-source-with-a-rather-long-name");
        table_text(&table, TONE_PLAIN, NULL);
        table_text(&table, TONE_PLAIN, "7");
        table_text(&table, TONE_PLAIN, NULL);
        return table;
}

static void expect(const View *view, size_t indent, const char *expected) {
        Table table = sample();
        Buffer out = BUFFER_INIT(0);

        assert_int_equal(table_render(&table, &out, view, indent), 0);
        char *written = buffer_steal(&out);
        assert_string_equal(written, expected);
        free(written);
        table_deinit(&table);
}

static void test_whole(void **state) {
        expect(&(View){ .utf8 = true }, 0,
               "NAME                                  MS  NOTE\n"
               "weather                           2000.1  a note that is somewhat long\n"
               "a-source-with-a-rather-long-name       7\n");
}

static void test_cut(void **state) {
        expect(&(View){ .utf8 = true, .columns = 54 }, 2,
               "  NAME                       MS  NOTE\n"
               "  weather                2000.1  a note that is somew…\n"
               "  a-source-with-a-rath…       7\n");
}

static void test_left_out(void **state) {
        expect(&(View){ .utf8 = true, .columns = 34 }, 0,
               "NAME                            MS\n"
               "weather                     2000.1\n"
               "a-source-with-a-rather-lo…       7\n"
               "(no room for NOTE)\n");
        expect(&(View){ .utf8 = true, .columns = 12 }, 1,
               " NAME\n"
               " weather\n"
               " a-source-w…\n"
               " (no room for MS, NOTE)\n");
        expect(&(View){ .columns = 4 }, 0,
               "NAME\n"
               "weather\n"
               "a-sourc~\n"
               "(no room for MS, NOTE)\n");
}

static void test_colors(void **state) {
        static const TableColumn one[] = { { "X", TABLE_RIGHT } };
        Table table = TABLE_INIT(one);
        Buffer out = BUFFER_INIT(0);

        table_text(&table, TONE_BAD, "\033[2Jbad");
        assert_int_equal(table_render(&table, &out, &(View){ .color = true }, 0), 0);
        char *written = buffer_steal(&out);
        assert_string_equal(written, "         \033[2mX\033[0m\n\033[31m\\x1b[2Jbad\033[0m\n");
        free(written);
        table_deinit(&table);
}

static void test_empty_and_failed(void **state) {
        Table table = TABLE_INIT(columns);
        Buffer out = BUFFER_INIT(0);

        assert_int_equal(table_render(&table, &out, &(View){ 0 }, 0), 0);
        assert_int_equal(out.size, 0);
        table.error = -ENOMEM;
        assert_int_equal(table_render(&table, &out, &(View){ 0 }, 0), -ENOMEM);
        table_deinit(&table);
}

static void test_many(void **state) {
        static const TableColumn one[] = { { "N", 0 } };
        Table table = TABLE_INIT(one);
        Buffer out = BUFFER_INIT(0);

        for (unsigned i = 0; i < 1000; i++)
                table_printf(&table, TONE_PLAIN, "%03u", i);
        assert_int_equal(table_render(&table, &out, &(View){ 0 }, 0), 0);
        assert_int_equal(out.size, 2 + 4 * 1000);
        buffer_deinit(&out);
        table_deinit(&table);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_whole),
                cmocka_unit_test(test_cut),
                cmocka_unit_test(test_left_out),
                cmocka_unit_test(test_colors),
                cmocka_unit_test(test_empty_and_failed),
                cmocka_unit_test(test_many),
        };

        return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
