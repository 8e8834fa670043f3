/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "macro.h"
#include "reply.h"
#include "varlink.h"

/* ---- frames ---- */

static const char two_frames[] = "{\"method\":\"a.b.C\"}\0{\"method\":\"a.b.D\",\"more\":true}";

static unsigned take_frames(VarlinkFrames *frames, unsigned n) {
        static const char *const expected[] = { two_frames, two_frames + 19 };
        const char *frame;
        size_t size;

        while (varlink_frames_next(frames, &frame, &size)) {
                assert_true(n < 2);
                assert_int_equal(size, strlen(expected[n]));
                assert_memory_equal(frame, expected[n], size);
                n++;
        }
        return n;
}

static void test_split_at_every_byte(void **state) {
        for (size_t at = 0; at <= sizeof(two_frames); at++) {
                VarlinkFrames frames = {};

                assert_int_equal(varlink_frames_push(&frames, two_frames, at), 0);
                unsigned n = take_frames(&frames, 0);
                assert_int_equal(
                                varlink_frames_push(&frames, two_frames + at, sizeof(two_frames) - at),
                                0);
                assert_int_equal(take_frames(&frames, n), 2);
                assert_int_equal(varlink_frames_pending(&frames), 0);
                varlink_frames_deinit(&frames);
        }
}

static void test_byte_by_byte(void **state) {
        VarlinkFrames frames = {};
        unsigned n = 0;

        for (size_t i = 0; i < sizeof(two_frames); i++) {
                assert_int_equal(varlink_frames_push(&frames, &two_frames[i], 1), 0);
                n = take_frames(&frames, n);
        }
        assert_int_equal(n, 2);
        varlink_frames_deinit(&frames);
}

static void test_frames_in_one_read(void **state) {
        VarlinkFrames frames = {};
        const char *frame;
        size_t size;

        assert_false(varlink_frames_next(&frames, &frame, &size));
        assert_int_equal(varlink_frames_push(&frames, "a\0\0bc\0rest", 10), 0);
        assert_int_equal(varlink_frames_pending(&frames), 10);
        assert_true(varlink_frames_next(&frames, &frame, &size));
        assert_int_equal(size, 1);
        assert_true(varlink_frames_next(&frames, &frame, &size));
        assert_int_equal(size, 0);
        assert_true(varlink_frames_next(&frames, &frame, &size));
        assert_memory_equal(frame, "bc", size);
        assert_false(varlink_frames_next(&frames, &frame, &size));
        assert_int_equal(varlink_frames_pending(&frames), 4);
        assert_int_equal(varlink_frames_push(&frames, "\0", 1), 0);
        assert_true(varlink_frames_next(&frames, &frame, &size));
        assert_memory_equal(frame, "rest", size);
        varlink_frames_deinit(&frames);
}

/* ---- calls ---- */

static const struct {
        const char *frame;
        int result;
        const char *method;
        const char *invalid;
        bool more, oneway, upgrade, parameters;
} calls[] = {
        { "{\"method\":\"a.b.C\"}", 0, "a.b.C" },
        { " {\"method\":\"a.b.C\", \"parameters\":{}} ", 0, "a.b.C", .parameters = true },
        { "{\"method\":\"a.b.C\",\"parameters\":null}", 0, "a.b.C" },
        { "{\"method\":\"\"}", 0, "" },
        { "{\"method\":\"M\",\"more\":true,\"oneway\":true,\"upgrade\":true}", 0, "M", NULL, true,
          true, true },
        { "{\"method\":\"M\",\"more\":false,\"oneway\":null}", 0, "M" },
        { "{\"method\":\"M\",\"org.example.trace\":[1]}", 0, "M" },
        { "{\"method\":\"M\",\"parameters\":{\"a\":\"x\\u0000y\"}}", 0, "M", .parameters = true },

        { "{\"method\":\"M\",\"parameters\":[]}", 0, "M", "parameters", .parameters = true },
        { "{\"method\":\"M\",\"parameters\":\"x\"}", 0, "M", "parameters", .parameters = true },
        { "{\"method\":\"M\",\"more\":1}", 0, "M", "more" },
        { "{\"method\":\"M\",\"oneway\":\"yes\"}", 0, "M", "oneway" },
        { "{\"method\":\"M\",\"upgrade\":{}}", 0, "M", "upgrade" },

        { "{\"method\":\"M\",\"parameters\":{\"a\":1,\"a\":2}}", -ERANGE },
        { "{\"method\":\"M\",\"method\":\"N\"}", -ERANGE },
        { "{\"method\":\"M\",\"parameters\":{\"a\":1e999}}", -ERANGE },
        { "{\"method\":\"M\",\"parameters\":{\"a\":99999999999999999999}}", -ERANGE },

        { "", -EBADMSG },
        { " ", -EBADMSG },
        { "null", -EBADMSG },
        { "[]", -EBADMSG },
        { "\"method\"", -EBADMSG },
        { "{}", -EBADMSG },
        { "{\"method\":1}", -EBADMSG },
        { "{\"method\":null}", -EBADMSG },
        { "{\"method\":\"a\\u0000b\"}", -EBADMSG },
        { "{\"method\":\"M\"", -EBADMSG },
        { "{\"method\":\"M\"}x", -EBADMSG },
        { "{\"method\":\"M\",}", -EBADMSG },
        { "{method:\"M\"}", -EBADMSG },
        { "{\"method\":\"M\xff\"}", -EBADMSG },
        { "{\"method\":\"\xc0\x80\"}", -EBADMSG },
        { "{\"method\":\"\\ud800\"}", -EBADMSG },
        { "{\"method\":\"M\",\"a\\u0000b\":1}", -EBADMSG },
        { "{\"method\":\"M\",\"parameters\":{\"a\":NaN}}", -EBADMSG },
        { "GET / HTTP/1.1\r\n\r\n", -EBADMSG },
};

static void test_calls(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                VarlinkCall call = {};

                int r = varlink_call_parse(&call, calls[i].frame, strlen(calls[i].frame));
                if (r != calls[i].result)
                        fail_msg("%s: %d", calls[i].frame, r);
                if (r < 0) {
                        assert_null(call.root);
                        continue;
                }
                assert_string_equal(call.method, calls[i].method);
                assert_int_equal(call.more, calls[i].more);
                assert_int_equal(call.oneway, calls[i].oneway);
                assert_int_equal(call.upgrade, calls[i].upgrade);
                assert_int_equal(call.parameters != NULL, calls[i].parameters);
                if (calls[i].invalid)
                        assert_string_equal(call.invalid, calls[i].invalid);
                else
                        assert_null(call.invalid);
                varlink_call_deinit(&call);
        }
}

static int parse_nested(unsigned depth) {
        Buffer text = {};
        VarlinkCall call;

        (void) buffer_append_string(&text, "{\"method\":\"M\",\"x\":");
        for (unsigned i = 0; i < depth; i++)
                (void) buffer_append_char(&text, '[');
        for (unsigned i = 0; i < depth; i++)
                (void) buffer_append_char(&text, ']');
        (void) buffer_append_char(&text, '}');
        assert_int_equal(text.error, 0);

        int r = varlink_call_parse(&call, text.data, text.size);
        if (r >= 0)
                varlink_call_deinit(&call);
        buffer_deinit(&text);
        return r;
}

static void test_depth(void **state) {
        assert_int_equal(parse_nested(63), 0);
        assert_int_equal(parse_nested(64), -EBADMSG);
        assert_int_equal(parse_nested(10000), -EBADMSG);
        assert_int_equal(parse_nested(500000), -EBADMSG);
}

/* ---- replies ---- */

static void expect(Buffer *out, const char *text) {
        assert_int_equal(out->error, 0);
        assert_int_equal(out->size, strlen(text) + 1);
        assert_string_equal(out->data, text);
        buffer_deinit(out);
}

static void test_replies(void **state) {
        Buffer out = {};

        reply_write(&out, "{\"a\":1}", 7);
        expect(&out, "{\"parameters\":{\"a\":1}}");
        reply_write_event(&out, "{\"source\":\"x\"}", 14);
        expect(&out, "{\"parameters\":{\"event\":{\"source\":\"x\"}},\"continues\":true}");
        reply_write_error(&out, ERROR_NO_SUCH_SOURCE, "a\"b", 0);
        expect(&out, "{\"error\":\"io.muster.NoSuchSource\",\"parameters\":{\"source\":\"a\\\"b\"}}");
        reply_write_error(&out, ERROR_OVERLOADED, NULL, 250);
        expect(&out, "{\"error\":\"io.muster.Overloaded\",\"parameters\":{\"retry_after_ms\":250}}");
        reply_write_error(&out, ERROR_STOPPING, NULL, 0);
        expect(&out, "{\"error\":\"io.muster.Stopping\",\"parameters\":{}}");
}

static void test_reply_over_the_limit(void **state) {
        Buffer out = BUFFER_INIT(16);

        reply_write(&out, "{\"a\":12345}", 11);
        assert_int_equal(out.error, -EMSGSIZE);
        buffer_deinit(&out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_split_at_every_byte),
                cmocka_unit_test(test_byte_by_byte),
                cmocka_unit_test(test_frames_in_one_read),
                cmocka_unit_test(test_calls),
                cmocka_unit_test(test_depth),
                cmocka_unit_test(test_replies),
                cmocka_unit_test(test_reply_over_the_limit),
        };
        return cmocka_run_group_tests_name("varlink", tests, NULL, NULL);
}
