/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "call.h"
#include "cleanup.h"
#include "fake-daemon.h"

#define PATIENCE (20 * NSEC_PER_SEC)

static void test_parse(void **state) {
        static const char text[] =
                        "{\"continues\":true,\"parameters\":{\"sources\":{\"a\":{\"verdict\":\"ok\","
                        "\"data\":{\"n\":1e999,\"k\\u0000y\":1}}}}}";
        CLEANUP(reply_deinit) Reply reply = { 0 };

        assert_int_equal(reply_parse(text, strlen(text), &reply), 0);
        assert_true(reply.continues);
        assert_null(reply.error);
        assert_string_equal(
                        reply.text,
                        "{\"sources\":{\"a\":{\"verdict\":\"ok\",\"data\":{\"n\":1e999,\"k\\u0000y\":1}}}}");
        const json_t *a = json_object_get(json_object_get(reply.parameters, "sources"), "a");
        assert_string_equal(json_string_value(json_object_get(a, "verdict")), "ok");
        assert_true(json_is_null(json_object_get(a, "data")));
}

static void test_parse_without_parameters(void **state) {
        static const char *const texts[] = { "{}", "{\"parameters\":null}", "{\"parameters\":{}}" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                CLEANUP(reply_deinit) Reply reply = { 0 };

                assert_int_equal(reply_parse(texts[i], strlen(texts[i]), &reply), 0);
                assert_string_equal(reply.text, "{}");
                assert_true(json_is_object(reply.parameters));
                assert_false(reply.continues);
        }
}

static void test_parse_error(void **state) {
        static const char text[] =
                        "{\"error\":\"io.muster.NoSuchSource\",\"parameters\":{\"source\":\"x\"}}";
        CLEANUP(reply_deinit) Reply reply = { 0 };

        assert_int_equal(reply_parse(text, strlen(text), &reply), 0);
        assert_string_equal(reply.error, "io.muster.NoSuchSource");
}

static void test_parse_refuses(void **state) {
        static const char *const texts[] = {
                "",
                "7",
                "[]",
                "{",
                "{\"error\":7}",
                "{\"error\":\"\\u0000\",\"parameters\":[]}",
                "{\"parameters\":[]}",
                "{\"parameters\":7}",
                "{\"parameters\":{\"a\":1e999}}",
                "{\"parameters\":{\"a\":\"\xff\"}}",
        };
        char deep[2000];

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Reply reply = { 0 };

                assert_int_equal(reply_parse(texts[i], strlen(texts[i]), &reply), -EBADMSG);
                assert_null(reply.text);
        }
        memset(deep, '[', sizeof(deep));
        assert_int_equal(reply_parse(deep, sizeof(deep), &(Reply){ 0 }), -EBADMSG);
}

static void test_call(void **state) {
        static const FakeReply script[] = {
                { "io.muster.GetStatus", { "{\"parameters\":{\"version\":\"1\"}}" } },
                { "io.muster.Query", { "{\"error\":\"io.muster.Stopping\"}" } },
        };
        FakeDaemon fake = FAKE_START(script);
        Caller caller = CALLER_NULL;
        Reply reply = { 0 };
        json_t *parameters = json_pack("{s:s}", "question", "caf\xc3\xa9\n?");

        assert_int_equal(caller_open(&caller, fake.socket, PATIENCE), 0);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(caller_call(&caller, "io.muster.GetStatus", NULL, PATIENCE, &reply), 0);
                assert_string_equal(reply.text, "{\"version\":\"1\"}");
                reply_deinit(&reply);
        }
        assert_int_equal(caller_call(&caller, "io.muster.Query", parameters, PATIENCE, &reply), 0);
        assert_string_equal(reply.error, "io.muster.Stopping");
        reply_deinit(&reply);
        assert_non_null(
                        strstr(fake_requests(&fake),
                               "{\"method\":\"io.muster.Query\","
                               "\"parameters\":{\"question\":\"caf\xc3\xa9\\n?\"}}\n"));
        assert_non_null(strstr(fake_requests(&fake), "{\"method\":\"io.muster.GetStatus\"}\n"));
        json_decref(parameters);
        caller_close(&caller);
        fake_stop(&fake);
}

static void test_stream(void **state) {
        static const FakeReply script[] = {
                { "io.muster.Query",
                  { "{\"continues\":true,\"parameters\":{\"n\":1}}",
                    "{\"continues\":true,\"parameters\":{\"n\":2}}", "{\"parameters\":{\"n\":3}}" },
                  .pause_ms = 20 },
        };
        FakeDaemon fake = FAKE_START(script);
        Caller caller = CALLER_NULL;
        Reply reply = { 0 };
        int r;

        assert_int_equal(caller_open(&caller, fake.socket, PATIENCE), 0);
        assert_int_equal(caller_send(&caller, "io.muster.Query", NULL, /* more= */ true), 0);
        for (json_int_t n = 1; n <= 3; n++) {
                do
                        r = caller_receive(&caller, NSEC_PER_MSEC, &reply);
                while (r == -ETIMEDOUT);
                assert_int_equal(r, 0);
                assert_int_equal(json_integer_value(json_object_get(reply.parameters, "n")), n);
                assert_int_equal(reply.continues, n < 3);
                reply_deinit(&reply);
        }
        assert_int_equal(caller_receive(&caller, NSEC_PER_MSEC, &reply), -ETIMEDOUT);
        assert_non_null(strstr(fake_requests(&fake), "\"more\":true"));
        caller_close(&caller);
        caller_close(&caller);
        fake_stop(&fake);
}

static void expect_failure(const FakeReply *reply, int error) {
        FakeDaemon fake = fake_start(reply, 1);
        Caller caller = CALLER_NULL;

        assert_int_equal(caller_open(&caller, fake.socket, PATIENCE), 0);
        assert_int_equal(
                        caller_call(&caller, "io.muster.GetStatus", NULL, PATIENCE, &(Reply){ 0 }),
                        error);
        caller_close(&caller);
        fake_stop(&fake);
}

static void test_failures(void **state) {
        expect_failure(&(FakeReply){ 0 }, -ECONNRESET);
        expect_failure(&(FakeReply){ .texts = { "nonsense" } }, -EBADMSG);
        expect_failure(&(FakeReply){ .blanks = 1000 }, -ECONNRESET);
        expect_failure(&(FakeReply){ .blanks = CALL_MESSAGE_MAX + 1 }, -EMSGSIZE);
}

static void test_timeout(void **state) {
        static const FakeReply script[] = { { .texts = { "{}" }, .pause_ms = 10000 } };
        FakeDaemon fake = FAKE_START(script);
        Caller caller = CALLER_NULL;

        assert_int_equal(caller_open(&caller, fake.socket, PATIENCE), 0);
        assert_int_equal(
                        caller_call(&caller, "io.muster.GetStatus", NULL, 30 * NSEC_PER_MSEC,
                                    &(Reply){ 0 }),
                        -ETIMEDOUT);
        caller_close(&caller);
        fake_stop(&fake);
}

/* A listener that never accepts: the queue fills, and the wait has an end. */
static void test_connect_timeout(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char path[] = "/tmp/muster-call-XXXXXX";
        Caller callers[4] = { CALLER_NULL, CALLER_NULL, CALLER_NULL, CALLER_NULL };
        int r = 0, listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_non_null(mkdtemp(path));
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", path);
        assert_int_equal(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 0), 0);
        for (size_t i = 0; i < ELEMENTSOF(callers) && r == 0; i++)
                r = caller_open(&callers[i], address.sun_path, 20 * NSEC_PER_MSEC);
        assert_int_equal(r, -EAGAIN);
        for (size_t i = 0; i < ELEMENTSOF(callers); i++)
                caller_close(&callers[i]);
        (void) close(listener);
        assert_int_equal(caller_open(&callers[0], address.sun_path, PATIENCE), -ECONNREFUSED);
        (void) unlink(address.sun_path);
        assert_int_equal(caller_open(&callers[0], address.sun_path, PATIENCE), -ENOENT);
        (void) rmdir(path);
}

static void test_too_long(void **state) {
        static const FakeReply script[] = { { .texts = { "{}" } } };
        FakeDaemon fake = FAKE_START(script);
        Caller caller = CALLER_NULL;
        char path[200], *big = malloc(CALL_MESSAGE_MAX + 1);

        memset(path, 'x', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(caller_open(&caller, path, PATIENCE), -ENAMETOOLONG);

        memset(big, 'x', CALL_MESSAGE_MAX);
        big[CALL_MESSAGE_MAX] = '\0';
        json_t *parameters = json_pack("{s:s}", "question", big);
        assert_int_equal(caller_open(&caller, fake.socket, PATIENCE), 0);
        assert_int_equal(caller_send(&caller, "io.muster.Query", parameters, false), -EMSGSIZE);
        json_decref(parameters);
        free(big);
        caller_close(&caller);
        fake_stop(&fake);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_parse_without_parameters),
                cmocka_unit_test(test_parse_error),
                cmocka_unit_test(test_parse_refuses),
                cmocka_unit_test(test_call),
                cmocka_unit_test(test_stream),
                cmocka_unit_test(test_failures),
                cmocka_unit_test(test_timeout),
                cmocka_unit_test(test_connect_timeout),
                cmocka_unit_test(test_too_long),
        };

        return cmocka_run_group_tests_name("call", tests, NULL, NULL);
}
