/* SPDX-License-Identifier: Apache-2.0 */

/* The server on the real loop, with clients that behave and clients that do not. */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control-fixture.h"
#include "log.h"

/* ---- what clients ask ---- */

static const struct {
        const char *call, *reply;
} dialogues[] = {
        { "{\"method\":\"io.muster.GetStatus\"}", "{\"parameters\":{\"version\":\"1\"}}" },
        { "{\"method\":\"io.muster.GetStatus\",\"parameters\":null,\"more\":true}",
          "{\"parameters\":{\"version\":\"1\"}}" },
        { "{\"method\":\"io.muster.ListSources\",\"parameters\":{}}",
          "{\"parameters\":{\"sources\":[]}}" },
        { "{\"method\":\"io.muster.DescribeSource\",\"parameters\":{\"source\":\"weather\"}}",
          "{\"parameters\":{\"name\":\"weather\"}}" },
        { "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"why\"}}", ANSWER },
        { "{\"method\":\"io.muster.Explain\",\"parameters\":{\"question\":\"why\"}}",
          "{\"parameters\":{\"sources\":[]}}" },

        { "{\"method\":\"io.muster.DescribeSource\",\"parameters\":{\"source\":\"x\"}}",
          "{\"error\":\"io.muster.NoSuchSource\",\"parameters\":{\"source\":\"x\"}}" },
        { "{\"method\":\"io.muster.SetBreaker\",\"parameters\":{\"source\":\"x\",\"state\":\"open\"}}",
          "{\"error\":\"io.muster.NoSuchSource\",\"parameters\":{\"source\":\"x\"}}" },
        { "{\"method\":\"io.muster.SetBreaker\",\"parameters\":{\"source\":\"x\",\"state\":\"half_open\"}}",
          INVALID("state") },
        { "{\"method\":\"io.muster.SetBreaker\",\"parameters\":{\"source\":\"x\"}}",
          INVALID("state") },
        { "{\"method\":\"io.muster.FlushCache\"}", "{\"parameters\":{\"entries\":7}}" },
        { "{\"method\":\"io.muster.Nothing\"}",
          "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"io.muster.Nothing\"}}" },
        { "{\"method\":\"io.muster.\"}",
          "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"io.muster.\"}}" },
        { "{\"method\":\"Query\"}",
          "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"Query\"}}" },
        { "{\"method\":\"io.muste.Query\"}",
          "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"io.muste\"}}" },
        { "{\"method\":\"io.muster.x.Query\"}",
          "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"io.muster.x\"}}" },
        { "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"a.b\"}}",
          "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"a.b\"}}" },
        { "{\"method\":\"io.muster.GetStatus\",\"upgrade\":true}",
          "{\"error\":\"org.varlink.service.MethodNotImplemented\",\"parameters\":{\"method\":\"io.muster.GetStatus\"}}" },
        { "{\"method\":\"io.muster.GetStatus\",\"more\":1}", INVALID("more") },
        { "{\"method\":\"io.muster.GetStatus\",\"parameters\":[]}", INVALID("parameters") },
        { "{\"method\":\"io.muster.GetStatus\",\"parameters\":{\"a\":1}}", INVALID("a") },
        { "{\"method\":\"io.muster.Query\"}", INVALID("question") },
        { "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"why\",\"quorum\":0}}",
          INVALID("quorum") },
        { "{\"method\":\"io.muster.Explain\",\"parameters\":{\"question\":\"why\",\"sources\":[]}}",
          INVALID("sources") },
};

static void test_dialogues(void **state) {
        start(&control_default_limits);
        Client c = client();

        for (size_t i = 0; i < ELEMENTSOF(dialogues); i++) {
                say(&c, dialogues[i].call);
                expect(&c, dialogues[i].reply);
        }
        say(&c, GET_INFO);
        expect_part(&c, "\"interfaces\":[\"org.varlink.service\",\"io.muster\"]");
        say(&c,
            "{\"method\":\"org.varlink.service.GetInterfaceDescription\","
            "\"parameters\":{\"interface\":\"io.muster\"}}");
        expect_part(&c, "\\ninterface io.muster\\n");
        assert_int_equal(control_connections(f.server), 1);
        assert_int_equal(control_counters(f.server)->accepted, 1);
        assert_int_equal(control_counters(f.server)->calls, ELEMENTSOF(dialogues) + 2);
        assert_int_equal(control_counters(f.server)->dropped, 0);
        client_leave(&c);
        turn_until(control_connections(f.server) == 0);
        stop();
}

static void test_set_breaker(void **state) {
        static const char *const settings[] = { "open", "closed", "auto" };
        char call[128];

        start(&control_default_limits);
        Client c = client();
        for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
                (void) snprintf(call, sizeof(call),
                                "{\"method\":\"io.muster.SetBreaker\",\"parameters\":"
                                "{\"source\":\"weather\",\"state\":\"%s\"}}",
                                settings[i]);
                say(&c, call);
                expect(&c, "{\"parameters\":{}}");
                assert_string_equal(f.breaker, settings[i]);
        }
        client_leave(&c);
        stop();
}

static const struct {
        QueryRefusal refusal;
        QueryRefused refused;
        const char *reply;
} refusals[] = {
        { QUERY_NO_SUCH_SOURCE,
          { "x", 0 },
          "{\"error\":\"io.muster.NoSuchSource\",\"parameters\":{\"source\":\"x\"}}" },
        { QUERY_INVALID_PARAMETER, { "deadline_ms", 0 }, INVALID("deadline_ms") },
        { QUERY_STOPPING, {}, "{\"error\":\"io.muster.Stopping\",\"parameters\":{}}" },
        { QUERY_OVERLOADED,
          { NULL, 70 },
          "{\"error\":\"io.muster.Overloaded\",\"parameters\":{\"retry_after_ms\":70}}" },
        { QUERY_NO_MEMORY,
          {},
          "{\"error\":\"io.muster.Overloaded\",\"parameters\":{\"retry_after_ms\":1000}}" },
};

static void test_refusals(void **state) {
        start(&control_default_limits);
        Client c = client();

        for (size_t i = 0; i < ELEMENTSOF(refusals); i++) {
                f.engine.refusal = refusals[i].refusal;
                f.engine.refused = refusals[i].refused;
                ask(&c, "why", "");
                expect(&c, refusals[i].reply);
                say(&c, "{\"method\":\"io.muster.Explain\",\"parameters\":{\"question\":\"why\"}}");
                expect(&c, refusals[i].reply);
        }
        f.backend_error = -ENOMEM;
        say_method(&c, "io.muster.GetStatus");
        expect_part(&c, "io.muster.Overloaded");
        say_method(&c, "io.muster.ListSources");
        expect_part(&c, "io.muster.Overloaded");
        client_leave(&c);
        stop();
}

static void test_more_streams_events(void **state) {
        start(&control_default_limits);
        Client c = client();

        ask(&c, "events 3", ",\"more\":true");
        for (int i = 0; i < 3; i++)
                expect_part(&c, "},\"continues\":true}");
        expect(&c, ANSWER);
        ask(&c, "events 3", "");
        expect(&c, ANSWER);
        client_leave(&c);
        stop();
}

static void test_oneway_is_silent(void **state) {
        start(&control_default_limits);
        Client c = client();

        say(&c, "{\"method\":\"org.varlink.service.GetInfo\",\"oneway\":true}");
        say(&c, "{\"method\":\"a.b.C\",\"oneway\":true}");
        say(&c, "{\"method\":\"io.muster.GetStatus\",\"oneway\":true,\"more\":1}");
        say(&c, "{\"method\":\"io.muster.DescribeSource\",\"oneway\":true}");
        ask(&c, "events 3", ",\"oneway\":true,\"more\":true");
        say_method(&c, "io.muster.GetStatus");
        expect(&c, "{\"parameters\":{\"version\":\"1\"}}");
        assert_int_equal(f.engine.started, 1);
        assert_int_equal(f.engine.cancelled, 0);
        client_leave(&c);
        stop();
}

/* ---- how they send it ---- */

static void test_split_at_every_byte(void **state) {
        static const char call[] = GET_INFO;

        start(&control_default_limits);
        Client c = client();

        for (size_t at = 1; at < sizeof(call); at++) {
                assert_int_equal(client_send(&c, call, at), at);
                turn();
                assert_int_equal(client_send(&c, &call[at], sizeof(call) - at), sizeof(call) - at);
                expect_part(&c, PRODUCT);
        }
        client_leave(&c);
        stop();
}

static void test_pipelined_in_order(void **state) {
        static const char calls[] = GET_INFO
                        "\0"
                        "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"why\"}}\0"
                        "{\"method\":\"a.B\"}\0"
                        "{\"method\":\"io.muster.GetStatus\"}";
        start(&control_default_limits);
        Client c = client();

        assert_int_equal(client_send(&c, calls, sizeof(calls)), sizeof(calls));
        expect_part(&c, PRODUCT);
        expect(&c, ANSWER);
        expect_part(&c, "InterfaceNotFound");
        expect_part(&c, "version");
        client_leave(&c);
        stop();
}

/* While a query runs, only so much is read of what follows it; nothing is lost. */
static void test_pipelined_is_bounded(void **state) {
        start(&control_default_limits);
        Client c = client();
        size_t sent = 0, calls = 0;
        uint64_t end = io_now(f.io) + 200 * NSEC_PER_MSEC;

        ask(&c, "hold", "");
        turn_until(f.engine.open == 1);
        while (io_now(f.io) < end) {
                ssize_t n = send(c.fd, GET_INFO, sizeof(GET_INFO), MSG_NOSIGNAL);
                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        turn();
                        continue;
                }
                assert_int_equal(n, sizeof(GET_INFO));
                sent += (size_t) n;
                calls++;
                end = io_now(f.io) + 50 * NSEC_PER_MSEC;
        }
        assert_true(sent > 64 * KIB);
        assert_true(sent < 4 * MIB);
        query_finish(LIST_FIRST(&f.engine.queries, Query, node));
        expect(&c, ANSWER);
        for (size_t i = 0; i < calls; i++)
                expect_part(&c, PRODUCT);
        client_leave(&c);
        stop();
}

static void test_large_call_in_pieces(void **state) {
        ControlLimits limits = control_default_limits;

        limits.frame_timeout_ns = PATIENCE; /* of a machine or a tool that is slow */
        start(&limits);
        Client c = client();
        Buffer text = {};

        (void) buffer_append_string(
                        &text,
                        "{\"method\":\"io.muster.Query\",\"parameters\":"
                        "{\"question\":\"why\",\"sources\":[\"a\"");
        while (text.size < MIB - 64)
                (void) buffer_append_string(&text, ",\"twenty bytes or so\"");
        (void) buffer_append(&text, "]}}", 4);
        assert_int_equal(client_send(&c, text.data, text.size), text.size);
        expect(&c, ANSWER);
        buffer_deinit(&text);
        client_leave(&c);
        stop();
}

/* ---- clients that misbehave ---- */

static void expect_dropped(const void *data, size_t size) {
        uint64_t before = control_counters(f.server)->dropped;
        Client c = client();

        (void) client_send(&c, data, size);
        expect_end(&c);
        assert_int_equal(control_counters(f.server)->dropped, before + 1);
        client_leave(&c);
        expect_undisturbed();
}

static void test_what_is_no_call_is_dropped(void **state) {
        static const char *const frames[] = { "",
                                              "{",
                                              "[]",
                                              "{}",
                                              "{\"method\":7}",
                                              "{\"method\":\"M\xff\"}",
                                              "{\"method\":\"\\udc00\"}",
                                              "GET / HTTP/1.1" };
        char nested[20000];

        start(&control_default_limits);
        for (size_t i = 0; i < ELEMENTSOF(frames); i++)
                expect_dropped(frames[i], strlen(frames[i]) + 1);
        memset(nested, '[', sizeof(nested) / 2);
        memset(nested + sizeof(nested) / 2, ']', sizeof(nested) / 2);
        nested[sizeof(nested) - 1] = '\0';
        expect_dropped(nested, sizeof(nested));
        stop();
}

static void test_what_cannot_be_kept_is_refused(void **state) {
        static const char *const frames[] = { "{\"method\":\"M\",\"parameters\":{\"a\":1,\"a\":1}}",
                                              "{\"method\":\"M\",\"parameters\":{\"a\":1e999}}" };

        start(&control_default_limits);
        for (size_t i = 0; i < ELEMENTSOF(frames); i++) {
                Client c = client();

                say(&c, frames[i]);
                say(&c, GET_INFO); /* is not looked at any more */
                expect(&c, INVALID("parameters"));
                expect_end(&c);
                client_leave(&c);
        }
        assert_int_equal(control_counters(f.server)->calls, ELEMENTSOF(frames));
        stop();
}

static void test_too_large(void **state) {
        ControlLimits limits = control_default_limits;

        limits.frame_timeout_ns = PATIENCE; /* of a machine or a tool that is slow */
        start(&limits);
        Client c = client();
        size_t size = 17 * MIB;
        char *message = malloc(size);

        assert_non_null(message);
        memset(message, 'x', size);
        size_t sent = client_send(&c, message, size);
        assert_true(sent >= MIB);
        assert_true(sent < 4 * MIB);
        turn_until(control_counters(f.server)->dropped == 1);
        free(message);
        client_leave(&c);
        expect_undisturbed();
        stop();
}

static void test_too_large_with_its_end(void **state) {
        ControlLimits limits = control_default_limits;

        limits.max_message = sizeof(GET_INFO) - 2;
        start(&limits);
        Client c = client();
        say(&c, GET_INFO);
        expect_end(&c);
        assert_int_equal(control_counters(f.server)->dropped, 1);
        client_leave(&c);
        stop();
}

/* A byte now and then does not prolong the time of a call; a client that has not begun one may
 * wait. */
static void test_slow_call_is_dropped(void **state) {
        ControlLimits limits = control_default_limits;

        limits.frame_timeout_ns = 100 * NSEC_PER_MSEC;
        start(&limits);
        Client idle = client(), slow = client();
        size_t sent = 0;

        say(&idle, GET_INFO);
        expect_part(&idle, PRODUCT);
        while (client_read(&slow) && sent < 1000) {
                sent += client_send(&slow, "{", 1);
                turn_for(10);
        }
        assert_true(sent < 1000);
        assert_int_equal(control_counters(f.server)->dropped, 1);
        say(&idle, GET_INFO);
        expect_part(&idle, PRODUCT);
        client_leave(&idle);
        client_leave(&slow);
        stop();
}

static void test_partial_call_and_end(void **state) {
        start(&control_default_limits);
        Client c = client();

        assert_int_equal(client_send(&c, GET_INFO, 10), 10);
        assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
        expect_end(&c);
        assert_int_equal(control_counters(f.server)->calls, 0);
        client_leave(&c);
        stop();
}

static void test_reply_not_read_in_time(void **state) {
        ControlLimits limits = control_default_limits;

        limits.unread_timeout_ns = 100 * NSEC_PER_MSEC;
        start(&limits);
        Client c = client();
        ask(&c, "size 4000000", "");
        turn_until(control_counters(f.server)->dropped == 1);
        turn_until(control_connections(f.server) == 0);
        client_leave(&c);
        expect_undisturbed();
        stop();
}

static void test_reply_read_late_is_whole(void **state) {
        start(&control_default_limits);
        Client c = client();

        ask(&c, "size 4000000", "");
        turn_for(50);
        char *message = hear(&c);
        assert_non_null(message);
        assert_int_equal(strlen(message), 4000000 + strlen(ANSWER));
        free(message);
        client_leave(&c);
        stop();
}

static void test_too_much_unread(void **state) {
        ControlLimits limits = control_default_limits;

        limits.max_unread = 64 * KIB;
        start(&limits);
        Client c = client();
        ask(&c, "events 4000", ",\"more\":true");
        turn_until(control_counters(f.server)->dropped == 1);
        assert_int_equal(f.engine.cancelled, 1);
        turn_until(control_connections(f.server) == 0);
        client_leave(&c);

        c = client();
        ask(&c, "size 70000", "");
        expect_end(&c);
        assert_int_equal(control_counters(f.server)->dropped, 2);
        client_leave(&c);
        stop();
}

/* ---- clients that go ---- */

static void test_half_close_gets_its_reply(void **state) {
        start(&control_default_limits);
        Client c = client();

        ask(&c, "hold", "");
        say(&c, GET_INFO);
        assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
        turn_for(20);
        assert_int_equal(f.engine.open, 1);
        query_finish(LIST_FIRST(&f.engine.queries, Query, node));
        expect(&c, ANSWER);
        expect_part(&c, PRODUCT);
        expect_end(&c);
        client_leave(&c);
        assert_int_equal(f.engine.cancelled, 0);
        assert_int_equal(control_counters(f.server)->dropped, 0);
        stop();
}

static void test_close_cancels(void **state) {
        start(&control_default_limits);
        Client other = client(), c = client();

        ask(&other, "hold", "");
        ask(&c, "hold", ",\"more\":true");
        turn_until(f.engine.open == 2);
        client_leave(&c);
        turn_until(f.engine.cancelled == 1);
        turn_until(control_connections(f.server) == 1);

        c = client();
        ask(&c, "hold", "");
        turn_until(f.engine.open == 2);
        assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
        turn_for(10);
        assert_int_equal(f.engine.cancelled, 1);
        client_leave(&c);
        turn_until(f.engine.cancelled == 2);

        assert_int_equal(f.engine.open, 1);
        query_finish(LIST_FIRST(&f.engine.queries, Query, node));
        expect(&other, ANSWER);
        client_leave(&other);
        stop();
}

/* Also when nothing is read any more, because too much has been pipelined. */
static void test_close_cancels_behind_a_full_buffer(void **state) {
        start(&control_default_limits);
        Client c = client();
        ssize_t n;

        ask(&c, "hold", "");
        turn_until(f.engine.open == 1);
        for (int i = 0; i < 50; i++) {
                while ((n = send(c.fd, GET_INFO, sizeof(GET_INFO), MSG_NOSIGNAL)) > 0)
                        ;
                turn();
        }
        client_leave(&c);
        turn_until(f.engine.cancelled == 1);
        turn_until(control_connections(f.server) == 0);
        stop();
}

static void test_gone_before_the_reply(void **state) {
        start(&control_default_limits);

        for (int i = 0; i < 50; i++) {
                Client c = client();

                say(&c, GET_INFO);
                ask(&c, "events 5", ",\"more\":true");
                if (i % 2)
                        turn();
                client_leave(&c);
        }
        turn_until(control_connections(f.server) == 0);
        expect_undisturbed();
        stop();
}

/* ---- many of them ---- */

static void with_descriptors(rlim_t wanted) {
        struct rlimit limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        if (limit.rlim_cur < wanted)
                limit.rlim_cur = MIN(wanted, limit.rlim_max);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void test_idle_connections_are_small(void **state) {
        enum {
                MANY = 2000
        };
        static Client clients[MANY];

        with_descriptors(2 * MANY + 100);
        start(&control_default_limits);
        expect_undisturbed();
        for (int i = 0; i < MANY; i++)
                clients[i].fd = client_socket();
        turn_until(control_connections(f.server) == 0);
        size_t before = mallinfo2().uordblks;
        for (int i = 0; i < MANY; i++)
                client_connect(clients[i].fd);
        turn_until(control_connections(f.server) == MANY);
        for (int i = 0; i < MANY; i++)
                say(&clients[i], GET_INFO);
        for (int i = 0; i < MANY; i++) {
                expect_part(&clients[i], PRODUCT);
                buffer_deinit(&clients[i].in);
        }
        turn();
        size_t each = (mallinfo2().uordblks - before) / MANY;
        print_message("# %zu bytes for an idle connection\n", each);
        assert_true(each < KIB);
        expect_undisturbed();
        for (int i = 0; i < MANY; i++)
                client_leave(&clients[i]);
        turn_until(control_connections(f.server) == 0);
        stop();
}

static void test_bound_of_connections(void **state) {
        ControlLimits limits = control_default_limits;

        limits.max_connections = 2;
        start(&limits);
        Client a = client(), b = client();
        turn_until(control_connections(f.server) == 2);
        Client c = client();
        expect_end(&c);
        client_leave(&c);
        assert_int_equal(control_counters(f.server)->refused, 1);
        say(&a, GET_INFO);
        expect_part(&a, PRODUCT);
        client_leave(&b);
        turn_until(control_connections(f.server) == 1);
        expect_undisturbed();
        client_leave(&a);
        stop();
}

static void test_bound_of_all_unread(void **state) {
        ControlLimits limits = control_default_limits;
        Client clients[5];

        limits.max_unread_total = 3 * 4200000;
        start(&limits);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                clients[i] = client();
                ask(&clients[i], "size 4000000", "");
                turn_until(f.engine.started == i + 1 && f.engine.open == 0);
        }
        assert_int_equal(control_counters(f.server)->dropped, 2);
        for (size_t i = 0; i < 3; i++)
                free(hear(&clients[i]));
        expect_end(&clients[3]);
        ask(&clients[0], "size 4000000", ""); /* what has been read is free again */
        free(hear(&clients[0]));
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_leave(&clients[i]);
        stop();
}

/* False under valgrind, which keeps the limit to itself. */
static bool kernel_has_limit(unsigned limit) {
        char line[256];
        unsigned soft = 0;
        FILE *file = fopen("/proc/self/limits", "re");

        assert_non_null(file);
        while (fgets(line, sizeof(line), file) && sscanf(line, "Max open files %u", &soft) != 1)
                ;
        assert_int_equal(fclose(file), 0);
        return soft == limit;
}

static struct rlimit limit_before;

static int keep_limit(void **state) {
        return getrlimit(RLIMIT_NOFILE, &limit_before);
}

static int restore_limit(void **state) {
        return setrlimit(RLIMIT_NOFILE, &limit_before);
}

/* With every descriptor in use clients are turned away at once, calmly; afterwards all is as
 * before. */
static void test_out_of_descriptors(void **state) {
        enum {
                TURNED_AWAY = 20,
                LIMIT = 200
        };
        Client clients[TURNED_AWAY] = {};
        int fillers[LIMIT];
        size_t n_fillers = 0;

        /* Before the start, since an accept keeps the limit under which it was submitted. */
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ LIMIT, limit_before.rlim_max }), 0);
        if (!kernel_has_limit(LIMIT)) {
                print_message("# descriptors cannot run out here: not tried\n");
                return;
        }
        start(&control_default_limits);
        Client inside = client();
        say(&inside, GET_INFO);
        expect_part(&inside, PRODUCT);
        for (size_t i = 0; i < TURNED_AWAY; i++)
                clients[i].fd = client_socket();
        while ((fillers[n_fillers] = dup(0)) >= 0)
                n_fillers++;
        assert_int_equal(errno, EMFILE);

        uint64_t completions = io_counters(f.io)->completions;
        for (size_t i = 0; i < TURNED_AWAY; i++) {
                client_connect(clients[i].fd);
                expect_end(&clients[i]);
        }
        turn_for(300);
        assert_int_equal(control_counters(f.server)->refused, TURNED_AWAY);
        assert_int_equal(control_counters(f.server)->accepted, 1);
        assert_true(io_counters(f.io)->completions - completions < 500);
        say(&inside, GET_INFO);
        expect_part(&inside, PRODUCT);

        while (n_fillers > 0)
                assert_int_equal(close(fillers[--n_fillers]), 0);
        turn_for(300);
        expect_undisturbed();
        for (size_t i = 0; i < TURNED_AWAY; i++)
                client_leave(&clients[i]);
        client_leave(&inside);
        stop();
}

/* ---- the end ---- */

static void test_drain(void **state) {
        start(&control_default_limits);
        Client busy = client(), other = client();
        int late = client_socket();
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        ask(&busy, "hold", "");
        turn_until(f.engine.open == 1);
        turn_until(control_connections(f.server) == 2);
        control_drain(f.server, on_drained, &f);
        assert_false(f.drained);
        turn_for(20);
        assert_false(f.drained);
        say(&other, GET_INFO);
        expect(&other, "{\"error\":\"io.muster.Stopping\",\"parameters\":{}}");
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", f.path);
        assert_int_equal(connect(late, (struct sockaddr *) &address, sizeof(address)), -1);
        assert_int_equal(errno, ECONNREFUSED);
        assert_int_equal(close(late), 0);

        assert_false(f.drained);
        query_finish(LIST_FIRST(&f.engine.queries, Query, node));
        turn_until(f.drained);
        expect(&busy, ANSWER);
        control_close(f.server, on_closed, &f);
        expect_end(&busy);
        turn_until(f.closed);
        client_leave(&busy);
        client_leave(&other);
        stop();
}

static void test_drain_when_idle(void **state) {
        start(&control_default_limits);
        Client c = client();

        turn_until(control_connections(f.server) == 1);
        control_drain(f.server, on_drained, &f);
        turn_until(f.drained);
        client_leave(&c);
        stop();
}

static void test_close_ends_everything(void **state) {
        start(&control_default_limits);
        Client clients[10];

        for (size_t i = 0; i < ELEMENTSOF(clients); i++) {
                clients[i] = client();
                ask(&clients[i], i % 2 ? "hold" : "size 4000000", "");
        }
        turn_until(f.engine.started == ELEMENTSOF(clients));
        turn();
        control_close(f.server, on_closed, &f);
        assert_int_equal(f.engine.open, 0);
        turn_until(f.closed);
        for (size_t i = 0; i < ELEMENTSOF(clients); i++)
                client_leave(&clients[i]);
        stop();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_dialogues),
                cmocka_unit_test(test_set_breaker),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_more_streams_events),
                cmocka_unit_test(test_oneway_is_silent),
                cmocka_unit_test(test_split_at_every_byte),
                cmocka_unit_test(test_pipelined_in_order),
                cmocka_unit_test(test_pipelined_is_bounded),
                cmocka_unit_test(test_large_call_in_pieces),
                cmocka_unit_test(test_what_is_no_call_is_dropped),
                cmocka_unit_test(test_what_cannot_be_kept_is_refused),
                cmocka_unit_test(test_too_large),
                cmocka_unit_test(test_too_large_with_its_end),
                cmocka_unit_test(test_slow_call_is_dropped),
                cmocka_unit_test(test_partial_call_and_end),
                cmocka_unit_test(test_reply_not_read_in_time),
                cmocka_unit_test(test_reply_read_late_is_whole),
                cmocka_unit_test(test_too_much_unread),
                cmocka_unit_test(test_half_close_gets_its_reply),
                cmocka_unit_test(test_close_cancels),
                cmocka_unit_test(test_close_cancels_behind_a_full_buffer),
                cmocka_unit_test(test_gone_before_the_reply),
                cmocka_unit_test(test_idle_connections_are_small),
                cmocka_unit_test(test_bound_of_connections),
                cmocka_unit_test(test_bound_of_all_unread),
                cmocka_unit_test_setup_teardown(test_out_of_descriptors, keep_limit, restore_limit),
                cmocka_unit_test(test_drain),
                cmocka_unit_test(test_drain_when_idle),
                cmocka_unit_test(test_close_ends_everything),
        };
        log_open("test-server", LOG_TARGET_NULL, LOG_DEBUG);
        return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
