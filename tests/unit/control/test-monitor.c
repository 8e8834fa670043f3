/* SPDX-License-Identifier: Apache-2.0 */

/* Clients that look on: those that keep up, those that do not, and those that go. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "control-fixture.h"
#include "log.h"

#define MONITOR  "{\"method\":\"io.muster.Monitor\",\"more\":true}"
#define STOPPING "{\"error\":\"io.muster.Stopping\",\"parameters\":{}}"

/* Events are of this size in the tests of slow readers, and numbered. */
#define EVENT_SIZE (4 * KIB)

static Client subscriber(void) {
        uint64_t calls = control_counters(f.server)->calls;
        Client c = client();

        say(&c, MONITOR);
        turn_until(control_counters(f.server)->calls == calls + 1);
        assert_true(control_watched(f.server));
        return c;
}

static void publish(const char *json) {
        control_publish(f.server, json, strlen(json));
}

static void publish_numbered(unsigned number) {
        char json[EVENT_SIZE];
        int n = snprintf(json, sizeof(json), "{\"kind\":\"query\",\"number\":%u,\"pad\":\"", number);

        memset(json + n, 'x', sizeof(json) - (size_t) n);
        memcpy(json + sizeof(json) - 3, "\"}", 3);
        control_publish(f.server, json, sizeof(json) - 1);
}

/* The number of an event, or of the lost ones as a negative number. */
static long hear_number(Client *c) {
        CLEANUP_FREE char *message = hear(c);

        assert_non_null(message);
        assert_non_null(strstr(message, ",\"continues\":true}"));
        const char *number = strstr(message, "\"number\":"), *lost = strstr(message, "\"events\":");
        if (number)
                return strtol(number + strlen("\"number\":"), NULL, 10);
        assert_non_null(lost);
        assert_memory_equal(message, "{\"parameters\":{\"kind\":\"lost\",", 29);
        return -strtol(lost + strlen("\"events\":"), NULL, 10);
}

/* ---- subscribing ---- */

static void test_events_come_in_order(void **state) {
        start(&control_default_limits);
        assert_false(control_watched(f.server));
        publish("{\"kind\":\"query\"}"); /* to nobody */
        Client a = subscriber(), b = subscriber();

        publish("{\"kind\":\"query\",\"n\":1}");
        publish("{\"kind\":\"source\"}");
        turn_for(5);
        publish("{\"kind\":\"worker\"}");
        for (unsigned i = 0; i < 2; i++) {
                Client *c = i == 0 ? &a : &b;

                expect(c, "{\"parameters\":{\"kind\":\"query\",\"n\":1},\"continues\":true}");
                expect(c, "{\"parameters\":{\"kind\":\"source\"},\"continues\":true}");
                expect(c, "{\"parameters\":{\"kind\":\"worker\"},\"continues\":true}");
        }
        client_leave(&a);
        client_leave(&b);
        turn_until(!control_watched(f.server));
        expect_undisturbed();
        assert_int_equal(control_counters(f.server)->dropped, 0);
        stop();
}

static void test_only_with_more(void **state) {
        start(&control_default_limits);
        Client c = client();

        say_method(&c, "io.muster.Monitor");
        expect(&c, "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
        say(&c, "{\"method\":\"io.muster.Monitor\",\"more\":true,\"oneway\":true}");
        say(&c, "{\"method\":\"io.muster.Monitor\",\"more\":true,\"parameters\":{\"a\":1}}");
        expect(&c, INVALID("a"));
        assert_false(control_watched(f.server));
        client_leave(&c);
        stop();
}

/* Calls behind Monitor wait for its last reply, and are read as far as those behind a query. */
static void test_further_calls_wait(void **state) {
        start(&control_default_limits);
        Client c = subscriber();
        size_t sent = 0;

        for (uint64_t end = io_now(f.io) + 50 * NSEC_PER_MSEC; io_now(f.io) < end; turn())
                for (ssize_t n; (n = send(c.fd, GET_INFO, sizeof(GET_INFO), MSG_NOSIGNAL)) > 0;)
                        sent += (size_t) n;
        assert_true(sent > 64 * KIB && sent < 4 * MIB);
        assert_int_equal(control_counters(f.server)->calls, 1);
        publish("{\"kind\":\"query\"}");
        expect_part(&c, "\"kind\":\"query\"");
        expect_undisturbed();

        control_drain(f.server, on_drained, &f);
        expect(&c, STOPPING);
        expect(&c, STOPPING); /* that of the first call behind */
        client_leave(&c);
        stop();
}

/* ---- slow readers ---- */

/* What is missing is counted, what comes is in order, and others are not held up. */
static void test_slow_reader_loses(void **state) {
        enum {
                EVENTS = 1000 /* 4 MiB */
        };
        start(&control_default_limits);
        Client slow = subscriber(), quick = subscriber();
        long next = 0, lost = 0;

        for (unsigned i = 0; i < EVENTS; i++) {
                publish_numbered(i);
                turn();
                assert_int_equal(hear_number(&quick), i);
        }
        turn_for(20);
        publish_numbered(EVENTS); /* too soon: nothing has been read */
        assert_int_equal(hear_number(&quick), EVENTS);

        while (next < 250)
                assert_int_equal(hear_number(&slow), next++);
        while (lost == 0) {
                publish_numbered(EVENTS + 1);
                long number = hear_number(&slow);

                if (number >= 0)
                        assert_int_equal(number, next++);
                else
                        lost = -number;
        }
        assert_true(lost < EVENTS && next + lost > EVENTS);
        assert_int_equal(hear_number(&slow), EVENTS + 1);
        assert_int_equal(control_counters(f.server)->dropped, 0);
        client_leave(&slow);
        client_leave(&quick);
        stop();
}

/* Exactly, when nothing goes out in between: a queue of eight events. */
static void test_queue_is_bounded(void **state) {
        ControlLimits limits = control_default_limits;

        limits.max_unread_events = 8 * (EVENT_SIZE + 64);
        start(&limits);
        Client c = subscriber();

        for (unsigned i = 0; i < 20; i++)
                publish_numbered(i);
        for (long i = 0; i < 8; i++)
                assert_int_equal(hear_number(&c), i);
        publish_numbered(20);
        publish_numbered(21);
        assert_int_equal(hear_number(&c), -12);
        assert_int_equal(hear_number(&c), 20);
        assert_int_equal(hear_number(&c), 21);
        client_leave(&c);
        stop();
}

/* An event that never fits is lost like others. */
static void test_too_large_an_event(void **state) {
        ControlLimits limits = control_default_limits;

        limits.max_unread_events = 2 * KIB;
        start(&limits);
        Client c = subscriber();
        publish_numbered(1);
        publish_numbered(2);
        publish("{\"kind\":\"source\"}");
        assert_int_equal(hear_number(&c), -2);
        expect_part(&c, "\"kind\":\"source\"");
        client_leave(&c);
        stop();
}

static void test_deaf_one_is_dropped(void **state) {
        ControlLimits limits = control_default_limits;

        limits.unread_timeout_ns = 100 * NSEC_PER_MSEC;
        start(&limits);
        Client c = subscriber(), idle = subscriber();
        for (unsigned i = 0; control_counters(f.server)->dropped == 0; i++) {
                publish_numbered(i);
                turn();
                assert_int_equal(hear_number(&idle), i);
        }
        turn_until(control_connections(f.server) == 1);
        turn_for(150);
        assert_true(control_watched(f.server)); /* where nothing is unread, nothing is too late */
        client_leave(&c);
        client_leave(&idle);
        stop();
}

/* ---- those who go ---- */

static void test_half_close_keeps_it(void **state) {
        start(&control_default_limits);
        Client c = subscriber();

        assert_int_equal(shutdown(c.fd, SHUT_WR), 0);
        turn_for(20);
        publish("{\"kind\":\"query\"}");
        expect_part(&c, "\"kind\":\"query\"");
        client_leave(&c);
        turn_until(!control_watched(f.server));
        turn_until(control_connections(f.server) == 0);
        stop();
}

static void test_gone_while_much_is_queued(void **state) {
        start(&control_default_limits);
        Client c = subscriber(), other = subscriber();

        for (unsigned i = 0; i < 200; i++)
                publish_numbered(i);
        turn();
        client_leave(&c);
        publish_numbered(200);
        turn_until(control_connections(f.server) == 1);
        for (long i = 0; i <= 200; i++)
                assert_int_equal(hear_number(&other), i);
        client_leave(&other);
        stop();
}

/* ---- the end of the service ---- */

static void test_drain_ends_it(void **state) {
        start(&control_default_limits);
        Client c = subscriber(), half = subscriber();

        assert_int_equal(shutdown(half.fd, SHUT_WR), 0);
        publish("{\"kind\":\"query\"}");
        control_drain(f.server, on_drained, &f);
        turn_until(f.drained);
        assert_false(control_watched(f.server));
        expect_part(&c, "\"kind\":\"query\"");
        expect(&c, STOPPING);
        say(&c, MONITOR);
        expect(&c, STOPPING);
        expect_part(&half, "\"kind\":\"query\"");
        expect(&half, STOPPING);
        expect_end(&half);
        client_leave(&c);
        client_leave(&half);
        stop();
}

/* Also one that is behind: it learns what it has lost. One that never reads holds up the end for
 * as long as any client that does not. */
static void test_drain_with_slow_readers(void **state) {
        ControlLimits limits = control_default_limits;

        limits.unread_timeout_ns = NSEC_PER_SEC;
        start(&limits);
        Client slow = subscriber(), deaf = subscriber();
        long next = 0, number;

        for (unsigned i = 0; i < 1000; i++)
                publish_numbered(i);
        control_drain(f.server, on_drained, &f);
        while ((number = hear_number(&slow)) >= 0)
                assert_int_equal(number, next++);
        assert_int_equal(next - number, 1000);
        expect(&slow, STOPPING);
        assert_false(f.drained);
        turn_until(f.drained);
        assert_int_equal(control_counters(f.server)->dropped, 1);
        client_leave(&slow);
        client_leave(&deaf);
        stop();
}

static void test_close_ends_it(void **state) {
        start(&control_default_limits);
        Client c = subscriber(), deaf = subscriber();

        for (unsigned i = 0; i < 1000; i++)
                publish_numbered(i);
        turn();
        publish_numbered(1000);
        control_close(f.server, on_closed, &f);
        turn_until(f.closed);
        client_leave(&c);
        client_leave(&deaf);
        stop();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_events_come_in_order),
                cmocka_unit_test(test_only_with_more),
                cmocka_unit_test(test_further_calls_wait),
                cmocka_unit_test(test_slow_reader_loses),
                cmocka_unit_test(test_queue_is_bounded),
                cmocka_unit_test(test_too_large_an_event),
                cmocka_unit_test(test_deaf_one_is_dropped),
                cmocka_unit_test(test_half_close_keeps_it),
                cmocka_unit_test(test_gone_while_much_is_queued),
                cmocka_unit_test(test_drain_ends_it),
                cmocka_unit_test(test_drain_with_slow_readers),
                cmocka_unit_test(test_close_ends_it),
        };
        log_open("test-monitor", LOG_TARGET_NULL, LOG_DEBUG);
        return cmocka_run_group_tests_name("monitor", tests, NULL, NULL);
}
