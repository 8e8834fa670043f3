/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cleanup.h"
#include "macro.h"
#include "spans.h"

static json_t *load(const char *text) {
        json_t *tree = json_loads(text, 0, NULL);

        assert_non_null(tree);
        return tree;
}

/* Two sources on one worker: b waits for a's engine, and is there last. */
static const char two[] =
                "[{\"source\":\"b\",\"stage\":\"engine\",\"attempt\":1,\"start_ms\":3000,\"end_ms\":4000},"
                "{\"source\":\"a\",\"stage\":\"wait\",\"attempt\":1,\"start_ms\":0,\"end_ms\":1000},"
                "{\"source\":\"a\",\"stage\":\"engine\",\"attempt\":1,\"start_ms\":1000,\"end_ms\":3000},"
                "{\"source\":\"b\",\"stage\":\"wait\",\"attempt\":2,\"start_ms\":700,\"end_ms\":1500},"
                "{\"source\":\"b\",\"stage\":\"wait\",\"attempt\":1,\"start_ms\":0,\"end_ms\":500},"
                "{\"source\":\"b\",\"stage\":\"lane\",\"attempt\":1,\"start_ms\":1500,\"end_ms\":3000},"
                "{\"stage\":\"polish\",\"start_ms\":4000,\"end_ms\":4001}]";

static void test_path(void **state) {
        static const struct {
                int stage;
                double start, end;
        } expected[] = {
                { STAGE_WAIT, 0, 500 },       { STAGE_PAUSE, 500, 700 },
                { STAGE_WAIT, 700, 1500 },    { STAGE_LANE, 1500, 3000 },
                { STAGE_ENGINE, 3000, 4000 }, { STAGE_UNKNOWN, 4000, 4001 },
        };
        CLEANUP(spans_deinit) Spans spans = { 0 };
        CLEANUP(critical_path_deinit) CriticalPath path = { 0 };
        json_t *tree = load(two);

        assert_int_equal(spans_parse(tree, &spans), 0);
        assert_int_equal(spans.count, 7);
        assert_true(spans.end > 4000.5);
        assert_string_equal(spans.items[0].source, "");
        assert_string_equal(spans.items[1].source, "a");
        assert_int_equal(critical_path_find(&spans, &path), 0);
        assert_string_equal(path.source, "b");
        assert_int_equal(path.count, ELEMENTSOF(expected));
        for (size_t i = 0; i < path.count; i++) {
                assert_int_equal(path.steps[i].stage, expected[i].stage);
                assert_true(path.steps[i].start >= expected[i].start - 0.01);
                assert_true(path.steps[i].end <= expected[i].end + 0.01);
        }
        assert_int_equal(critical_path_bottleneck(&path), STAGE_LANE);
        assert_string_equal(stage_kind_name(STAGE_LANE), "lane");
        assert_string_equal(stage_kind_name(STAGE_PAUSE), "pause");
        assert_string_equal(stage_kind_name(STAGE_UNKNOWN), "other");
        json_decref(tree);
}

/* Attempts that overlap are not counted twice: the path is as long as the time that passed. */
static void test_overlap(void **state) {
        CLEANUP(spans_deinit) Spans spans = { 0 };
        CLEANUP(critical_path_deinit) CriticalPath path = { 0 };
        json_t *tree = load(
                        "[{\"source\":\"a\",\"stage\":\"wait\",\"attempt\":1,\"start_ms\":0,\"end_ms\":100},"
                        "{\"source\":\"a\",\"stage\":\"wait\",\"attempt\":2,\"start_ms\":50,\"end_ms\":90},"
                        "{\"source\":\"a\",\"stage\":\"wait\",\"attempt\":3,\"start_ms\":60,\"end_ms\":130}]");
        double sum = 0;

        assert_int_equal(spans_parse(tree, &spans), 0);
        assert_int_equal(critical_path_find(&spans, &path), 0);
        assert_int_equal(path.count, 2);
        for (int i = 0; i < STAGE_KINDS; i++)
                sum += path.stage_ms[i];
        assert_true(sum > 129.99 && sum < 130.01);
        json_decref(tree);
}

static void test_empty(void **state) {
        CLEANUP(spans_deinit) Spans spans = { 0 };
        CLEANUP(critical_path_deinit) CriticalPath path = { 0 };
        json_t *tree = load("[]");

        assert_int_equal(spans_parse(tree, &spans), 0);
        assert_int_equal(critical_path_find(&spans, &path), 0);
        assert_int_equal(path.count, 0);
        assert_string_equal(path.source, "");
        json_decref(tree);
}

static void test_refused(void **state) {
        static const char *const bad[] = {
                "{}",
                "[1]",
                "[{\"source\":\"a\"}]",
                "[{\"source\":\"a\",\"start_ms\":1}]",
                "[{\"source\":\"a\",\"start_ms\":\"1\",\"end_ms\":2}]",
                "[{\"source\":\"a\",\"start_ms\":2,\"end_ms\":1}]",
                "[{\"source\":\"a\",\"start_ms\":-1,\"end_ms\":1}]",
        };

        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Spans spans = { 0 };
                json_t *tree = load(bad[i]);

                assert_int_equal(spans_parse(tree, &spans), -EINVAL);
                assert_null(spans.items);
                json_decref(tree);
        }
        assert_int_equal(spans_parse(NULL, &(Spans){ 0 }), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_path),
                cmocka_unit_test(test_overlap),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests_name("spans", tests, NULL, NULL);
}
