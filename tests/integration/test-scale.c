/* SPDX-License-Identifier: Apache-2.0 */

/* Many clients and many fetches at once, and what happens when descriptors run out. */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

#define SOURCES     500u
#define CLIENTS     300u
#define DESCRIPTORS 96u
#define WAIT_MS     60000

static SourceServer server;
static Daemon daemon_one;

static int setup(void **state) {
        char name[32];

        server_start(&server);
        daemon_prepare(&daemon_one);
        for (unsigned i = 0; i < SOURCES; i++) {
                (void) snprintf(name, sizeof(name), "slow-%u", i);
                daemon_source(&daemon_one, name,
                              "[Source]\nURL=http://%s/bytes?n=64&delay=300ms\nEngine=none\nTimeoutSec=60\n",
                              server.address);
        }
        daemon_source(&daemon_one, "small", "[Source]\nURL=http://%s/bytes?n=64\nEngine=none\n",
                      server.address);
        daemon_start(&daemon_one, NULL);
        return 0;
}

static int teardown(void **state) {
        daemon_stop(&daemon_one);
        daemon_cleanup(&daemon_one);
        server_stop(&server);
        return 0;
}

static void connect_clients(int fds[CLIENTS]) {
        for (unsigned i = 0; i < CLIENTS; i++)
                fds[i] = client_connect(&daemon_one);
}

static void close_clients(const int fds[CLIENTS]) {
        for (unsigned i = 0; i < CLIENTS; i++)
                (void) close(fds[i]);
}

/* Clients whom the daemon has closed, and nothing was said to before. */
static unsigned count_refused(const int fds[CLIENTS]) {
        unsigned n = 0;

        for (unsigned i = 0; i < CLIENTS; i++) {
                struct pollfd wait = { .fd = fds[i], .events = POLLIN };
                char byte;

                if (poll(&wait, 1, 0) == 0)
                        continue;
                assert_true(recv(fds[i], &byte, 1, MSG_DONTWAIT) <= 0);
                n++;
        }
        return n;
}

static unsigned count_verdicts(const json_t *answer, const char *verdict) {
        const char *name;
        json_t *source;
        unsigned n = 0;

        json_object_foreach(json_at(answer, "/sources"), name, source) n +=
                        strcmp(string_at(source, "/verdict"), verdict) == 0;
        return n;
}

static void ask_small(void) {
        json_t *answer = daemon_query(&daemon_one, "{\"question\":\"x\",\"sources\":[\"small\"]}");

        assert_string_equal(string_at(answer, "/sources/small/verdict"), "ok");
        json_decref(answer);
}

static double status_number(const char *path) {
        json_t *reply = daemon_call(&daemon_one, "io.muster.GetStatus", NULL);
        double number = number_at(reply, path);

        json_decref(reply);
        return number;
}

static void wait_for_clients(double n) {
        uint64_t end = monotonic_ms() + WAIT_MS;

        while (status_number("/parameters/clients") > n && monotonic_ms() < end)
                pause_ms(10);
        assert_true(status_number("/parameters/clients") <= n);
}

/* Both at once, and a third one with a question of its own. */
static void test_crowd(void **state) {
        static int fds[CLIENTS];
        int fd = client_connect(&daemon_one);

        connect_clients(fds);
        client_send(fd, "io.muster.Query", "{\"question\":\"x\"}");
        ask_small();
        assert_true(status_number("/parameters/clients") >= CLIENTS + 1);

        json_t *reply = client_receive(fd);
        assert_int_equal(count_verdicts(json_at(reply, "/parameters"), "ok"), SOURCES + 1);
        assert_string_equal(string_at(reply, "/parameters/completeness"), "complete");
        json_decref(reply);
        (void) close(fd);

        assert_int_equal(count_refused(fds), 0);
        close_clients(fds);
        wait_for_clients(1);
        assert_int_equal(status_number("/parameters/fetches/in_flight"), 0);
        assert_true(status_number("/parameters/arena/used") < 1 << 20);
}

/* A connection on which the daemon answers; -1: it refuses. */
static int try_client(void) {
        static const char call[] = "{\"method\":\"io.muster.GetStatus\"}";
        int fd = client_connect(&daemon_one);

        (void) send(fd, call, sizeof(call), MSG_NOSIGNAL);
        json_t *reply = client_receive(fd);
        if (reply) {
                json_decref(reply);
                return fd;
        }
        (void) close(fd);
        return -1;
}

static void restart_with_few_descriptors(void) {
        const char *outer = getenv("MUSTER_WRAPPER");
        char *kept = outer ? strdup(outer) : NULL, *wrapper = NULL;

        daemon_stop(&daemon_one);
        assert_true(asprintf(&wrapper, "/usr/bin/prlimit --nofile=%u:%u %s", DESCRIPTORS,
                             DESCRIPTORS, kept ? kept : "") > 0);
        assert_int_equal(setenv("MUSTER_WRAPPER", wrapper, 1), 0);
        daemon_start(&daemon_one, NULL);
        if (kept)
                (void) setenv("MUSTER_WRAPPER", kept, 1);
        else
                (void) unsetenv("MUSTER_WRAPPER");
        free(wrapper);
        free(kept);
}

/* From now on the daemon has next to no descriptors: what it cannot fetch it says so, whom it
 * cannot serve it closes. */
static void test_shortage(void **state) {
        static int fds[CLIENTS];
        uint64_t end = monotonic_ms() + WAIT_MS;
        unsigned refused;

        restart_with_few_descriptors();
        json_t *answer = daemon_query(&daemon_one, "{\"question\":\"x\"}");
        unsigned ok = count_verdicts(answer, "ok"), shed = count_verdicts(answer, "shed");
        assert_int_equal(ok + shed, SOURCES + 1);
        assert_true(ok > 0 && shed > 0);
        assert_string_equal(string_at(answer, "/completeness"), "partial");
        assert_int_equal(json_array_size(json_at(answer, "/errors")), shed);
        json_decref(answer);

        connect_clients(fds);
        while ((refused = count_refused(fds)) < CLIENTS - DESCRIPTORS && monotonic_ms() < end)
                pause_ms(10);
        assert_true(refused >= CLIENTS - DESCRIPTORS);
        close_clients(fds);

        /* Refusing ends by itself, a moment after there are descriptors again. */
        int fd;
        while ((fd = try_client()) < 0 && monotonic_ms() < end)
                pause_ms(10);
        assert_true(fd >= 0);
        client_send(fd, "io.muster.Query", "{\"question\":\"x\",\"sources\":[\"small\"]}");
        json_t *reply = client_receive(fd);
        assert_string_equal(string_at(reply, "/parameters/sources/small/verdict"), "ok");
        json_decref(reply);
        (void) close(fd);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_crowd),
                cmocka_unit_test(test_shortage),
        };
        return cmocka_run_group_tests_name("scale", tests, setup, teardown);
}
