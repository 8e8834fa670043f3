/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "arguments.h"
#include "clock.h"
#include "cmocka.h"
#include "interface.h"
#include "layout.h"
#include "macro.h"

#define Q "\"question\":\"why\""

static const struct {
        const char *input;
        const char *parameters; /* NULL: none */
        const char *invalid;    /* NULL: all is well */
} checks[] = {
        { "GetStatus", NULL, NULL },
        { "GetStatus", "{}", NULL },
        { "GetStatus", "{\"x\":1}", "x" },
        { "DescribeSource", NULL, "source" },
        { "DescribeSource", "{\"source\":\"a\"}", NULL },
        { "DescribeSource", "{\"source\":\"\"}", "source" },
        { "DescribeSource", "{\"source\":\"a\\u0000\"}", "source" },

        { "Query", NULL, "question" },
        { "Query", "{}", "question" },
        { "Query", "{" Q "}", NULL },
        { "Query", "{\"question\":null}", "question" },
        { "Query", "{\"question\":\"\"}", "question" },
        { "Query", "{\"question\":1}", "question" },
        { "Query", "{\"question\":[\"why\"]}", "question" },
        { "Query", "{\"question\":\"a\\u0000b\"}", "question" },
        { "Query", "{" Q ",\"sources\":null,\"parameters\":null,\"policy\":null}", NULL },
        { "Query", "{" Q ",\"deadline_ms\":null,\"max_passages\":null}", NULL },

        { "Query", "{" Q ",\"sources\":[]}", "sources" },
        { "Query", "{" Q ",\"sources\":[\"a\",\"b\"]}", NULL },
        { "Query", "{" Q ",\"sources\":[\"a\",1]}", "sources" },
        { "Query", "{" Q ",\"sources\":[null]}", "sources" },
        { "Query", "{" Q ",\"sources\":\"a\"}", "sources" },
        { "Query", "{" Q ",\"sources\":{}}", "sources" },

        { "Query", "{" Q ",\"parameters\":{}}", NULL },
        { "Query", "{" Q ",\"parameters\":{\"city\":\"Oslo\"}}", NULL },
        { "Query", "{" Q ",\"parameters\":{\"n\":1}}", "parameters" },
        { "Query", "{" Q ",\"parameters\":{\"n\":true}}", "parameters" },
        { "Query", "{" Q ",\"parameters\":{\"n\":null}}", "parameters" },
        { "Query", "{" Q ",\"parameters\":[]}", "parameters" },

        { "Query", "{" Q ",\"deadline_ms\":1}", NULL },
        { "Query", "{" Q ",\"deadline_ms\":3600000}", NULL },
        { "Query", "{" Q ",\"deadline_ms\":0}", "deadline_ms" },
        { "Query", "{" Q ",\"deadline_ms\":-1}", "deadline_ms" },
        { "Query", "{" Q ",\"deadline_ms\":3600001}", "deadline_ms" },
        { "Query", "{" Q ",\"deadline_ms\":1000000000000000000}", "deadline_ms" },
        { "Query", "{" Q ",\"deadline_ms\":1.0}", "deadline_ms" },
        { "Query", "{" Q ",\"deadline_ms\":\"5\"}", "deadline_ms" },

        { "Query", "{" Q ",\"policy\":\"best_effort\"}", NULL },
        { "Query", "{" Q ",\"policy\":\"fail_fast\"}", NULL },
        { "Query", "{" Q ",\"policy\":\"\"}", "policy" },
        { "Query", "{" Q ",\"policy\":\"gather\"}", "policy" },
        { "Query", "{" Q ",\"policy\":1}", "policy" },

        { "Query", "{" Q ",\"max_passages\":0}", NULL },
        { "Query", "{" Q ",\"max_passages\":32}", NULL },
        { "Query", "{" Q ",\"max_passages\":33}", "max_passages" },
        { "Query", "{" Q ",\"max_passages\":-1}", "max_passages" },

        { "Query", "{" Q ",\"quorum\":1}", NULL },
        { "Query", "{" Q ",\"quorum\":100000}", NULL },
        { "Query", "{" Q ",\"quorum\":0}", "quorum" },
        { "Query", "{" Q ",\"quorum\":100001}", "quorum" },
        { "Query", "{" Q ",\"quorum\":\"all\"}", "quorum" },

        { "Query", "{" Q ",\"cache\":\"use\"}", NULL },
        { "Query", "{" Q ",\"cache\":\"only\",\"priority\":null}", NULL },
        { "Query", "{" Q ",\"cache\":\"no\"}", "cache" },
        { "Query", "{" Q ",\"cache\":false}", "cache" },

        { "Query", "{" Q ",\"priority\":\"interactive\",\"cache\":null}", NULL },
        { "Query", "{" Q ",\"priority\":\"batch\",\"quorum\":null}", NULL },
        { "Query", "{" Q ",\"priority\":\"high\"}", "priority" },
        { "Query", "{" Q ",\"priority\":1}", "priority" },

        { "Query", "{" Q ",\"Question\":\"x\"}", "Question" },
        { "Query", "{" Q ",\"\":1}", "" },
        /* the first offender is named, and what is wrong before what is missing */
        { "Query", "{\"policy\":1,\"sources\":1}", "policy" },
        { "Query", "{\"sources\":1,\"policy\":1}", "sources" },
};

static json_t *parse(const char *text) {
        json_t *value = json_loads(text, JSON_ALLOW_NUL, NULL);

        assert_non_null(value);
        return value;
}

static void test_checks(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(checks); i++) {
                json_t *parameters = checks[i].parameters ? parse(checks[i].parameters) : NULL;
                const char *invalid = arguments_invalid(checks[i].input, parameters);

                if (checks[i].invalid && !invalid)
                        fail_msg("%s is accepted", checks[i].parameters);
                if (checks[i].invalid)
                        assert_string_equal(invalid, checks[i].invalid);
                else if (invalid)
                        fail_msg("%s: %s is refused", checks[i].parameters, invalid);
                json_decref(parameters);
        }
}

static void test_question_bounds(void **state) {
        char question[8194];

        memset(question, 'x', sizeof(question));
        for (size_t size = 8192; size <= 8193; size++) {
                json_t *parameters = json_pack("{s:s%}", "question", question, size);
                const char *invalid = arguments_invalid("Query", parameters);

                assert_int_equal(invalid != NULL, size > 8192);
                json_decref(parameters);
        }
}

/* The greatest max_passages of the table is the one that records have room for. */
static void test_max_passages_is_that_of_the_records(void **state) {
        size_t n;
        const InterfaceField *fields = interface_fields(USE_INPUT, "Query", &n);

        for (size_t i = 0; i < n; i++)
                if (strcmp(fields[i].name, "max_passages") == 0) {
                        assert_int_equal(fields[i].max, MAX_PASSAGES);
                        return;
                }
        fail();
}

/* Every type that an input may have is one that the check knows; an unknown one fails an
 * assertion. */
static void test_every_input_type_is_known(void **state) {
        for (size_t m = 0; m < n_interface_methods; m++) {
                size_t n;
                const InterfaceField *fields =
                                interface_fields(USE_INPUT, interface_methods[m].input, &n);

                for (size_t i = 0; i < n; i++) {
                        json_t *parameters = json_pack("{s:b}", fields[i].name, 1);
                        assert_string_equal(
                                        arguments_invalid(interface_methods[m].input, parameters),
                                        fields[i].name);
                        json_decref(parameters);
                }
        }
}

static void test_query_defaults(void **state) {
        json_t *parameters = parse("{" Q "}");
        QueryArguments a;

        assert_int_equal(query_arguments_init(&a, parameters, 1), 0);
        assert_int_equal(a.request.question_size, 3);
        assert_memory_equal(a.request.question, "why", 3);
        assert_true(a.request.all_sources);
        assert_int_equal(a.request.n_sources, 0);
        assert_int_equal(a.request.n_parameters, 0);
        assert_int_equal(a.request.deadline_ns, 0);
        assert_int_equal(a.request.policy, QUERY_BEST_EFFORT);
        assert_int_equal(a.request.max_passages, 5);
        assert_int_equal(a.request.quorum, 0);
        assert_int_equal(a.request.cache, QUERY_CACHE_USE);
        assert_false(a.request.batch);
        assert_false(a.request.want_events);
        query_arguments_deinit(&a);
        json_decref(parameters);
}

static void test_query_in_full(void **state) {
        json_t *parameters = parse("{" Q ",\"sources\":[\"b\",\"a\",\"b\",\"c\",\"a\"],"
                                   "\"parameters\":{\"city\":\"Oslo\",\"unit\":\"\"},"
                                   "\"deadline_ms\":250,\"policy\":\"fail_fast\",\"max_passages\":0,"
                                   "\"quorum\":2,\"cache\":\"bypass\",\"priority\":\"batch\"}");
        QueryArguments a;

        assert_int_equal(query_arguments_init(&a, parameters, 1), 0);
        assert_false(a.request.all_sources);
        assert_int_equal(a.request.n_sources, 3);
        assert_string_equal(a.request.sources[0], "b");
        assert_string_equal(a.request.sources[1], "a");
        assert_string_equal(a.request.sources[2], "c");
        assert_int_equal(a.request.n_parameters, 2);
        assert_string_equal(a.request.parameters[0].name, "city");
        assert_string_equal(a.request.parameters[0].value, "Oslo");
        assert_string_equal(a.request.parameters[1].value, "");
        assert_int_equal(a.request.deadline_ns, 250 * NSEC_PER_MSEC);
        assert_int_equal(a.request.policy, QUERY_FAIL_FAST);
        assert_int_equal(a.request.max_passages, 0);
        assert_int_equal(a.request.quorum, 2);
        assert_int_equal(a.request.cache, QUERY_CACHE_BYPASS);
        assert_true(a.request.batch);
        query_arguments_deinit(&a);
        json_decref(parameters);
}

/* The table and query.h have their values in one order. */
static void test_choices(void **state) {
        static const struct {
                const char *type, *name;
                int number;
        } choices[] = {
                { "Policy", "best_effort", QUERY_BEST_EFFORT },
                { "Policy", "fail_fast", QUERY_FAIL_FAST },
                { "CacheUse", "use", QUERY_CACHE_USE },
                { "CacheUse", "bypass", QUERY_CACHE_BYPASS },
                { "CacheUse", "only", QUERY_CACHE_ONLY },
                { "Priority", "interactive", false },
                { "Priority", "batch", true },
                { "Priority", "Batch", -ENOENT },
                { "CacheUse", "", -ENOENT },
                { "Nothing", "use", -ENOENT },
        };

        for (size_t i = 0; i < ELEMENTSOF(choices); i++)
                assert_int_equal(interface_value(choices[i].type, choices[i].name), choices[i].number);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_checks),
                cmocka_unit_test(test_question_bounds),
                cmocka_unit_test(test_max_passages_is_that_of_the_records),
                cmocka_unit_test(test_every_input_type_is_known),
                cmocka_unit_test(test_query_defaults),
                cmocka_unit_test(test_query_in_full),
                cmocka_unit_test(test_choices),
        };
        return cmocka_run_group_tests_name("arguments", tests, NULL, NULL);
}
