/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench.h"
#include "cleanup.h"
#include "fake-daemon.h"

#define ANSWER                                                                                  \
        "{\"parameters\":{\"success\":true,\"completeness\":\"partial\",\"sources\":{"          \
        "\"a\":{\"verdict\":\"ok\"},\"b\":{\"verdict\":\"http\"}},\"timeline\":["               \
        "{\"source\":\"a\",\"stage\":\"wait\",\"attempt\":1,\"start_ms\":0,\"end_ms\":10},"     \
        "{\"source\":\"a\",\"stage\":\"lane\",\"attempt\":1,\"start_ms\":10,\"end_ms\":40},"    \
        "{\"source\":\"a\",\"stage\":\"unheard\",\"attempt\":1,\"start_ms\":40,\"end_ms\":41}," \
        "{\"source\":\"b\",\"stage\":\"wait\",\"attempt\":1,\"start_ms\":0,\"end_ms\":30}]}}"

static int run(const FakeReply *reply, unsigned repeat, Bench *ret, Reply *ret_refusal) {
        FakeDaemon fake = fake_start(reply, 1);
        Caller caller = CALLER_NULL;
        json_t *names = json_pack("[ss]", "a", "b");
        json_t *parameters = json_pack("{s:s}", "question", "q");

        assert_int_equal(caller_open(&caller, fake.socket, NSEC_PER_SEC), 0);
        int r = bench_run(&caller, parameters, names, repeat, ret, ret_refusal);
        if (r == 0) {
                const char *calls = fake_requests(&fake);
                size_t lines = 0;

                for (const char *c = calls; *c; c++)
                        lines += *c == '\n';
                assert_int_equal(lines, 3 * repeat);
                assert_non_null(strstr(calls, "\"question\":\"q\",\"sources\":[\"a\"]}}\n"));
                assert_non_null(strstr(calls, "\"question\":\"q\",\"sources\":[\"a\",\"b\"]}}\n"));
        }
        json_decref(names);
        json_decref(parameters);
        caller_close(&caller);
        fake_stop(&fake);
        return r;
}

static void test_run(void **state) {
        CLEANUP(bench_deinit) Bench bench = { 0 };
        Reply refusal = { 0 };

        assert_int_equal(run(&(FakeReply){ .texts = { ANSWER } }, 3, &bench, &refusal), 0);
        assert_int_equal(bench.n_sources, 2);
        assert_true(bench.sequential_ms > 0 && bench.joint_ms > 0);
        assert_string_equal(bench.sources[1].verdict, "http");
        assert_true(bench.stages[STAGE_WAIT].alone_ms > 19.9);
        assert_true(bench.stages[STAGE_WAIT].joint_ms < 20.1);
        assert_true(bench.stages[STAGE_LANE].joint_ms > 29.9);
        assert_string_equal(bench.path.source, "a");
        assert_int_equal(critical_path_bottleneck(&bench.path), STAGE_LANE);
}

/* With figures of its own, so that the text is always the same. */
static void test_render(void **state) {
        CLEANUP(bench_deinit) Bench bench = { 0 };
        Buffer out = BUFFER_INIT(0);

        assert_int_equal(run(&(FakeReply){ .texts = { ANSWER } }, 2, &bench, &(Reply){ 0 }), 0);
        bench.sources[0].ms = 40;
        bench.sources[1].ms = 30;
        bench.sequential_ms = 70;
        bench.joint_ms = 40;
        assert_int_equal(bench_render(&out, &(View){ .utf8 = true }, &bench), 0);
        char *text = buffer_steal(&out);
        assert_string_equal(
                        text,
                        "Times (medians of 2)\n"
                        "  SOURCE               MS  VERDICT\n"
                        "  a                  40.0  ok\n"
                        "  b                  30.0  http\n"
                        "  one after another  70.0\n"
                        "  all together       40.0  partial\n"
                        "\n"
                        "  1.75 times as fast together\n"
                        "\n"
                        "Means of a stage\n"
                        "  STAGE  ALONE MS  TOGETHER MS\n"
                        "  wait     20.000       20.000  request written to first byte of the response\n"
                        "  lane     30.000       30.000  document handed over, not yet begun\n"
                        "\n"
                        "Critical path\n"
                        "  a wait 10.0 → lane 30.0 → other 1.0 → 41.0 ms\n"
                        "\n"
                        "Bottleneck\n"
                        "  lane: 30.0 of 41.0 ms (73 %)\n"
                        "  Documents wait for a worker: raise Workers= in muster.conf, give the service more "
                        "CPUs, or choose a lighter Engine=.\n");
        free(text);

        json_t *tree = bench_json(&bench);
        assert_non_null(tree);
        assert_int_equal(json_array_size(json_object_get(tree, "sources")), 2);
        assert_int_equal(json_array_size(json_object_get(tree, "stages")), 2);
        assert_int_equal(json_array_size(json_object_get(tree, "critical_path")), 3);
        assert_string_equal(
                        json_string_value(json_object_get(
                                        json_object_get(tree, "bottleneck"), "stage")),
                        "lane");
        double ratio = json_real_value(json_object_get(tree, "ratio"));
        assert_true(ratio > 1.749 && ratio < 1.751);
        json_decref(tree);
}

static void test_without_spans(void **state) {
        static const FakeReply reply = { .texts = { "{\"parameters\":{\"timeline\":[]}}" } };
        CLEANUP(bench_deinit) Bench bench = { 0 };
        Buffer out = BUFFER_INIT(0);

        assert_int_equal(run(&reply, 1, &bench, &(Reply){ 0 }), 0);
        assert_int_equal(bench_render(&out, &(View){ 0 }, &bench), 0);
        buffer_deinit(&out);
        json_t *tree = bench_json(&bench);
        assert_true(json_is_null(json_object_get(tree, "bottleneck")));
        json_decref(tree);
}

static void test_refused(void **state) {
        static const FakeReply refused = { .texts = { "{\"error\":\"io.muster.Stopping\"}" } };
        static const FakeReply shapeless = { .texts = { "{\"parameters\":{}}" } };
        Bench bench = { 0 };
        CLEANUP(reply_deinit) Reply refusal = { 0 };

        assert_int_equal(run(&refused, 1, &bench, &refusal), 1);
        assert_string_equal(refusal.error, "io.muster.Stopping");
        assert_int_equal(run(&shapeless, 1, &bench, &refusal), -EBADMSG);
        assert_int_equal(run(&(FakeReply){ 0 }, 1, &bench, &refusal), -ECONNRESET);
        assert_null(bench.sources);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_run),
                cmocka_unit_test(test_render),
                cmocka_unit_test(test_without_spans),
                cmocka_unit_test(test_refused),
        };

        return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
