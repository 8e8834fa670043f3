/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "io-sim.h"
#include "make-config.h"
#include "plan.h"

#define NOW (100 * NSEC_PER_SEC)

static Io *io;
static Arena *arena;
static Config *config;
static SourceTable *table;

static int setup(void **state) {
        assert_int_equal(io_new_sim(&io, &(SimOptions){ .seed = 1 }), 0);
        assert_int_equal(arena_new(&arena, 4096), 0);
        config = make_config();
        make_config_source(config, "plain", SETTINGS("URL=http://x/?q={question}&key={secret:k}"));
        make_config_source(
                        config, "first",
                        SETTINGS("URL=http://x/", "Priority=10", "Method=POST", "TimeoutSec=2"));
        make_config_source(config, "last", SETTINGS("URL=http://x/", "Priority=-10"));
        make_config_source(config, "city", SETTINGS("URL=http://x/{city}"));
        make_config_source(config, "off", SETTINGS("URL=http://x/", "Enabled=no"));
        make_config_source(
                        config, "limited",
                        SETTINGS("URL=http://x/", "Priority=-1000", "Daily=2", "Attempts=2",
                                 "Percentile=90", "Timeout=yes"));
        return source_table_new(&table, config, arena, io, 3);
}

static int teardown(void **state) {
        source_table_free(table);
        config_free(config);
        arena_free(arena);
        io_free(io);
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
        check_plan(NULL, /* all= */ false, SETTINGS("first", "city", "plain", "last", "limited"));
        check_plan(NULL, /* all= */ true,
                   SETTINGS("first", "city", "off", "plain", "last", "limited"));
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

/* What the cache has for all sources but "last", for which it has nothing. */
static CacheState kept;
static unsigned n_looked_up;

static CacheState
cached(void *userdata, const Source *source, const TemplateValue values[], size_t n_values,
       uint64_t *ret_age_ns) {
        assert_ptr_equal(userdata, &kept);
        assert_string_equal(values[0].name, "question");
        n_looked_up++;
        if (strcmp(source->name, "last") == 0)
                return CACHE_NOTHING;
        *ret_age_ns = 1500 * NSEC_PER_MSEC;
        return kept;
}

static json_t *write_plan(const QueryRequest *request, uint64_t deadline_ns) {
        const PlanView view = {
                .deadline_ns = deadline_ns,
                .now = NOW,
                .unix_ms = 86400000,
                .cached = cached,
                .userdata = &kept,
        };
        QueryRefused refused = {};
        Buffer out = {};
        Plan plan = {};

        n_looked_up = 0;
        assert_int_equal(plan_make(&plan, table, request, /* all= */ true, &refused), QUERY_ACCEPTED);
        plan_write(&plan, request, &view, &out);
        CLEANUP_FREE char *text = buffer_steal(&out);
        plan_deinit(&plan);
        assert_non_null(text);
        json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        assert_int_equal(json_object_size(json), 1);
        return json;
}

static const json_t *entry_at(const json_t *json, size_t i) {
        return json_array_get(json_object_get(json, "sources"), i);
}

static const char *text_of(const json_t *json, const char *name) {
        return json_string_value(json_object_get(json, name));
}

/* In whole ones; -1: it is not there. */
static long number_of(const json_t *json, const char *name) {
        const json_t *number = json_object_get(json, name);

        return json_is_number(number) ? (long) json_number_value(number) : -1;
}

/* `reason` NULL: it would be asked. */
static void check_reason(const json_t *entry, const char *reason) {
        assert_int_equal(json_is_true(json_object_get(entry, "would_ask")), reason == NULL);
        if (reason)
                assert_string_equal(text_of(entry, "reason"), reason);
        else
                assert_true(json_is_null(json_object_get(entry, "reason")));
}

static void
check_entry(const json_t *json, size_t i, const char *source, const char *method, const char *url,
            int timeout_ms, const char *reason) {
        const json_t *entry = entry_at(json, i);

        assert_string_equal(text_of(entry, "source"), source);
        assert_string_equal(text_of(entry, "method"), method);
        assert_int_equal(number_of(entry, "timeout_ms"), timeout_ms);
        check_reason(entry, reason);
        if (url)
                assert_string_equal(text_of(entry, "url"), url);
        else
                assert_true(json_is_null(json_object_get(entry, "url")));
}

static void test_write(void **state) {
        const QueryParameter city = { "city", "São Paulo" };
        QueryRequest request = { .question = "a \"b\"", .question_size = 5, .all_sources = true };

        json_t *json = write_plan(&request, 3 * NSEC_PER_SEC);
        assert_int_equal(json_array_size(json_object_get(json, "sources")), 6);
        check_entry(json, 0, "first", "POST", "http://x/", 2000, NULL);
        check_entry(json, 1, "city", "GET", NULL, 3000,
                    "parameter \"city\" was not given and has no default");
        check_entry(json, 2, "off", "GET", "http://x/", 3000, "disabled by Enabled=no");
        check_entry(json, 3, "plain", "GET", "http://x/?q=a%20%22b%22&key=***", 3000, NULL);
        check_entry(json, 4, "last", "GET", "http://x/", 3000, NULL);
        assert_int_equal(n_looked_up, 5); /* there is no request to look for */
        json_decref(json);

        request.parameters = &city;
        request.n_parameters = 1;
        json = write_plan(&request, 60 * NSEC_PER_SEC);
        check_entry(json, 1, "city", "GET", "http://x/S%C3%A3o%20Paulo", 5000, NULL);
        json_decref(json);
}

/* What the cache has, in each of its states. */
static void test_cached(void **state) {
        static const struct {
                CacheState state;
                const char *name;
                int age_ms;
                const char *reason;
        } cases[] = {
                { CACHE_NOTHING, "nothing", -1, NULL },
                { CACHE_FRESH, "fresh", 1500, "a fresh copy is in the cache" },
                { CACHE_STALE, "stale", 1500, NULL },
                { CACHE_STALE_IF_ERROR, "stale_if_error", 1500, NULL },
        };
        QueryRequest request = { .question = "why", .question_size = 3, .all_sources = true };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                kept = cases[i].state;
                json_t *json = write_plan(&request, NSEC_PER_SEC);
                assert_string_equal(text_of(entry_at(json, 0), "cached"), cases[i].name);
                assert_int_equal(number_of(entry_at(json, 0), "age_ms"), cases[i].age_ms);
                check_reason(entry_at(json, 0), cases[i].reason);
                assert_string_equal(text_of(entry_at(json, 4), "cached"), "nothing");
                check_reason(entry_at(json, 4), NULL);
                json_decref(json);
        }

        kept = CACHE_STALE_IF_ERROR;
        request.cache = QUERY_CACHE_ONLY;
        json_t *only = write_plan(&request, NSEC_PER_SEC);
        check_reason(entry_at(only, 0), "only the cache is asked");
        check_reason(entry_at(only, 2), "disabled by Enabled=no");
        check_reason(entry_at(only, 4), "only the cache is asked");
        json_decref(only);

        kept = CACHE_FRESH;
        request.cache = QUERY_CACHE_BYPASS;
        json_t *json = write_plan(&request, NSEC_PER_SEC);
        assert_int_equal(n_looked_up, 0);
        assert_string_equal(text_of(entry_at(json, 0), "cached"), "nothing");
        check_reason(entry_at(json, 0), NULL);
        json_decref(json);
        kept = CACHE_NOTHING;
}

/* What a source without any limit says, and no more than that. */
static void test_budgets(void **state) {
        static const char *const names[] = { "first" };
        const QueryRequest request = {
                .question = "why", .question_size = 3, .sources = names, .n_sources = 1
        };
        Source *source = source_table_find(table, "first");

        json_t *json = write_plan(&request, 1500 * NSEC_PER_MSEC);
        const json_t *entry = entry_at(json, 0), *breaker = json_object_get(entry, "breaker");
        assert_int_equal(number_of(entry, "attempts"), 3);
        assert_int_equal(number_of(entry, "attempt_timeout_ms"), 1500);
        assert_int_equal(number_of(entry, "retries_left"), RETRY_BUDGET_LEAST);
        assert_string_equal(text_of(breaker, "state"), "closed");
        assert_null(json_object_get(entry, "hedge_ms"));
        assert_null(json_object_get(entry, "daily_left"));
        assert_null(json_object_get(entry, "hold_ms"));
        json_decref(json);

        source->hold_until = NOW + 250 * NSEC_PER_MSEC;
        retry_budget_request(&source->budget, NOW);
        assert_true(retry_budget_take(&source->budget, NOW));
        json = write_plan(&request, 10 * NSEC_PER_SEC);
        entry = entry_at(json, 0);
        assert_int_equal(number_of(entry, "attempt_timeout_ms"), 2000);
        assert_int_equal(number_of(entry, "retries_left"), RETRY_BUDGET_LEAST - 1);
        assert_int_equal(number_of(entry, "hold_ms"), 250);
        json_decref(json);
        source->hold_until = NOW; /* over */
        json = write_plan(&request, 10 * NSEC_PER_SEC);
        assert_null(json_object_get(entry_at(json, 0), "hold_ms"));
        json_decref(json);
}

static void test_limits(void **state) {
        static const char *const names[] = { "limited" };
        const QueryRequest request = {
                .question = "why", .question_size = 3, .sources = names, .n_sources = 1
        };
        Source *source = source_table_find(table, "limited");

        for (unsigned i = 0; i < LATENCY_ENOUGH; i++)
                latency_add(&source->latency, 40 * NSEC_PER_MSEC);
        json_t *json = write_plan(&request, 10 * NSEC_PER_SEC);
        const json_t *entry = entry_at(json, 0);
        check_reason(entry, NULL);
        assert_int_equal(number_of(entry, "attempts"), 2);
        assert_int_equal(number_of(entry, "daily_left"), 2);
        assert_true(number_of(entry, "hedge_ms") >= 40 && number_of(entry, "hedge_ms") < 45);
        assert_true(number_of(entry, "attempt_timeout_ms") >= 80);
        assert_true(number_of(entry, "attempt_timeout_ms") < 90);
        json_decref(json);

        assert_true(daily_take(&source->daily, 2, 86400000));
        assert_true(daily_take(&source->daily, 2, 86400000));
        json = write_plan(&request, 10 * NSEC_PER_SEC);
        check_reason(entry_at(json, 0), "Daily= is used up until midnight UTC");
        assert_int_equal(number_of(entry_at(json, 0), "daily_left"), 0);
        json_decref(json);

        assert_true(breaker_force(&source->breaker, BREAKER_FORCED_OPEN, NOW));
        json = write_plan(&request, 10 * NSEC_PER_SEC);
        entry = entry_at(json, 0);
        check_reason(entry, "its breaker is open");
        assert_string_equal(text_of(json_object_get(entry, "breaker"), "state"), "open");
        json_decref(json);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all),     cmocka_unit_test(test_named),
                cmocka_unit_test(test_unknown), cmocka_unit_test(test_values),
                cmocka_unit_test(test_write),   cmocka_unit_test(test_cached),
                cmocka_unit_test(test_budgets), cmocka_unit_test(test_limits),
        };
        return cmocka_run_group_tests_name("plan", tests, setup, teardown);
}
