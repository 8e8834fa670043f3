/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "make-config.h"
#include "plan.h"

static Arena *arena;
static Config *config;
static SourceTable *table;

static int setup(void **state) {
        assert_int_equal(arena_new(&arena, 4096), 0);
        config = make_config();
        make_config_source(config, "plain", SETTINGS("URL=http://x/?q={question}&key={secret:k}"));
        make_config_source(
                        config, "first",
                        SETTINGS("URL=http://x/", "Priority=10", "Method=POST", "TimeoutSec=2"));
        make_config_source(config, "last", SETTINGS("URL=http://x/", "Priority=-10"));
        make_config_source(config, "city", SETTINGS("URL=http://x/{city}"));
        make_config_source(config, "off", SETTINGS("URL=http://x/", "Enabled=no"));
        return source_table_new(&table, config, arena, 3);
}

static int teardown(void **state) {
        source_table_free(table);
        config_free(config);
        arena_free(arena);
        return 0;
}

/* Plans for these names (NULL-ended; NULL: all) and compares with the names of `expected`. */
static void check_plan(const char *const names[], bool all, const char *const expected[]) {
        QueryRequest request = { .sources = names, .all_sources = !names };
        QueryRefused refused = {};
        Plan plan = {};

        while (names && names[request.n_sources])
                request.n_sources++;
        assert_int_equal(plan_make(&plan, table, &request, all, &refused), QUERY_ACCEPTED);
        for (size_t i = 0; i < plan.count; i++) {
                bool off = strcmp(plan.entries[i].source->name, "off") == 0;

                assert_non_null(expected[i]);
                assert_string_equal(plan.entries[i].source->name, expected[i]);
                if (off)
                        assert_string_equal(plan.entries[i].refusal, "disabled by Enabled=no");
                else
                        assert_null(plan.entries[i].refusal);
        }
        assert_null(expected[plan.count]);
        plan_deinit(&plan);
        assert_null(plan.entries);
}

static void test_all(void **state) {
        check_plan(NULL, /* all= */ false, SETTINGS("first", "city", "plain", "last"));
        check_plan(NULL, /* all= */ true, SETTINGS("first", "city", "off", "plain", "last"));
}

/* A disabled source that is named is told about, whoever asks. */
static void test_named(void **state) {
        check_plan(SETTINGS("last", "off", "plain", "first"), /* all= */ false,
                   SETTINGS("first", "off", "plain", "last"));
        check_plan(SETTINGS("plain", "last", "plain", "plain"), /* all= */ true,
                   SETTINGS("plain", "last"));
        check_plan(SETTINGS("city"), /* all= */ false, SETTINGS("city"));
}

static void test_unknown(void **state) {
        const char *const names[] = { "plain", "nobody", "nothing" };
        const QueryRequest request = { .sources = names, .n_sources = ELEMENTSOF(names) };
        QueryRefused refused = {};
        Plan plan = {};

        assert_int_equal(plan_make(&plan, table, &request, false, &refused), QUERY_NO_SUCH_SOURCE);
        assert_string_equal(refused.which, "nobody");
        assert_null(plan.entries);
}

static void test_values(void **state) {
        const QueryParameter parameters[] = { { "city", "Oslo" }, { "question", "another" } };
        const QueryRequest request = {
                .question = "why?",
                .question_size = 3,
                .parameters = parameters,
                .n_parameters = ELEMENTSOF(parameters),
        };
        size_t n = 0;
        CLEANUP_FREE TemplateValue *values = plan_values(&request, &n);

        assert_int_equal(n, 3);
        assert_string_equal(values[0].name, "question");
        assert_int_equal(values[0].size, 3);
        assert_ptr_equal(values[0].value, request.question);
        assert_string_equal(values[1].name, "city");
        assert_string_equal(values[1].value, "Oslo");
        assert_int_equal(values[1].size, 4);
        assert_string_equal(values[2].value, "another");
}

/* ---- Explain ---- */

static json_t *write_plan(const QueryRequest *request, uint64_t deadline_ns) {
        QueryRefused refused = {};
        Buffer out = {};
        Plan plan = {};

        assert_int_equal(plan_make(&plan, table, request, /* all= */ true, &refused), QUERY_ACCEPTED);
        plan_write(&plan, request, deadline_ns, &out);
        CLEANUP_FREE char *text = buffer_steal(&out);
        plan_deinit(&plan);
        assert_non_null(text);
        json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        assert_int_equal(json_object_size(json), 1);
        return json;
}

static void
check_entry(const json_t *json, size_t i, const char *source, const char *method, const char *url,
            json_int_t timeout_ms, const char *reason) {
        const json_t *entry = json_array_get(json_object_get(json, "sources"), i);
        const json_t *reason_given = json_object_get(entry, "reason");
        const json_t *url_given = json_object_get(entry, "url");

        assert_int_equal(json_object_size(entry), 6);
        assert_string_equal(json_string_value(json_object_get(entry, "source")), source);
        assert_string_equal(json_string_value(json_object_get(entry, "method")), method);
        assert_int_equal(json_integer_value(json_object_get(entry, "timeout_ms")), timeout_ms);
        assert_int_equal(json_is_true(json_object_get(entry, "would_ask")), reason == NULL);
        if (url)
                assert_string_equal(json_string_value(url_given), url);
        else
                assert_true(json_is_null(url_given));
        if (reason)
                assert_string_equal(json_string_value(reason_given), reason);
        else
                assert_true(json_is_null(reason_given));
}

static void test_write(void **state) {
        const QueryParameter city = { "city", "São Paulo" };
        QueryRequest request = { .question = "a \"b\"", .question_size = 5, .all_sources = true };

        json_t *json = write_plan(&request, 3 * NSEC_PER_SEC);
        assert_int_equal(json_array_size(json_object_get(json, "sources")), 5);
        check_entry(json, 0, "first", "POST", "http://x/", 2000, NULL);
        check_entry(json, 1, "city", "GET", NULL, 3000,
                    "parameter \"city\" was not given and has no default");
        check_entry(json, 2, "off", "GET", "http://x/", 3000, "disabled by Enabled=no");
        check_entry(json, 3, "plain", "GET", "http://x/?q=a%20%22b%22&key=***", 3000, NULL);
        check_entry(json, 4, "last", "GET", "http://x/", 3000, NULL);
        json_decref(json);

        request.parameters = &city;
        request.n_parameters = 1;
        json = write_plan(&request, 60 * NSEC_PER_SEC);
        check_entry(json, 1, "city", "GET", "http://x/S%C3%A3o%20Paulo", 5000, NULL);
        json_decref(json);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all),     cmocka_unit_test(test_named),
                cmocka_unit_test(test_unknown), cmocka_unit_test(test_values),
                cmocka_unit_test(test_write),
        };
        return cmocka_run_group_tests_name("plan", tests, setup, teardown);
}
