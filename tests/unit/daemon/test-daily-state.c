/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "daily-state.h"
#include "make-config.h"

static Arena *arena;
static Config *config;
static SourceTable *table;

static int setup(void **state) {
        assert_int_equal(arena_new(&arena, 1 << 20), 0);
        config = make_config();
        make_config_source(config, "a", SETTINGS("URL=simulate:", "Daily=10"));
        make_config_source(config, "b-2", SETTINGS("URL=simulate:", "Daily=10"));
        make_config_source(config, "unlimited", SETTINGS("URL=simulate:"));
        assert_int_equal(source_table_new(&table, config, arena, NULL, 1), 0);
        return 0;
}

static int teardown(void **state) {
        source_table_free(table);
        config_free(config);
        arena_free(arena);
        return 0;
}

static void expect(const char *name, uint32_t day, uint32_t used) {
        const Source *source = source_table_find(table, name);

        assert_non_null(source);
        assert_int_equal(source->daily.day, day);
        assert_int_equal(source->daily.used, used);
}

/* What was written is read, and sources that were not asked or have no limit are not in it. */
static void test_round_trip(void **state) {
        CLEANUP(buffer_deinit) Buffer text = {};

        source_table_find(table, "b-2")->daily = (DailyQuota){ .day = 20000, .used = 7 };
        source_table_find(table, "unlimited")->daily = (DailyQuota){ .day = 20000, .used = 9 };
        daily_state_write(table, &text);
        assert_int_equal(text.error, 0);
        assert_int_equal(text.size, strlen("20000 7 b-2\n"));
        assert_memory_equal(text.data, "20000 7 b-2\n", text.size);
        source_table_find(table, "b-2")->daily = (DailyQuota){};
        daily_state_read(table, text.data, text.size);
        expect("b-2", 20000, 7);
        expect("a", 0, 0);
}

static void test_bad_lines(void **state) {
        static const char text[] = "1 2 gone\n"
                                   "x 2 a\n"
                                   "5\n"
                                   "\n"
                                   "-1\n"
                                   "3 4 a\n"
                                   "6 8"; /* no name, no line end */
        char huge[2000];

        daily_state_read(table, text, strlen(text));
        expect("a", 3, 4);
        memset(huge, 'a', sizeof(huge));
        daily_state_read(table, huge, sizeof(huge));
        daily_state_read(table, NULL, 0);
        expect("a", 3, 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
                cmocka_unit_test_setup_teardown(test_bad_lines, setup, teardown),
        };
        return cmocka_run_group_tests_name("daily-state", tests, NULL, NULL);
}
