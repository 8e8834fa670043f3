/* SPDX-License-Identifier: Apache-2.0 */

/* Workers that die, overrun or retire while real queries are under way. */

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

#define WORKERS_MAX 8

static SourceServer server;

static int setup(void **state) {
        server_start(&server);
        return 0;
}

static int teardown(void **state) {
        server_stop(&server);
        return 0;
}

static void prepare(Daemon *daemon, const char *config, const char *keys) {
        daemon_prepare(daemon);
        daemon_config(daemon, config);
        daemon_source(daemon, "spin", "[Source]\nURL=http://%s/bytes?n=200\nTimeoutSec=30\n%s\n",
                      server.address, keys);
        daemon_source(daemon, "plain",
                      "[Source]\nURL=http://%s/bytes?n=300\nTimeoutSec=30\nEngine=none\n",
                      server.address);
        daemon_start(daemon, NULL);
}

static double restarts(const Daemon *daemon) {
        json_t *reply = daemon_call(daemon, "io.muster.GetStatus", NULL);
        double total = 0;

        for (size_t i = 0; i < json_array_size(json_at(reply, "/parameters/workers")); i++)
                total +=
                                number_at(json_array_get(json_at(reply, "/parameters/workers"), i),
                                          "/restarts");
        json_decref(reply);
        return total;
}

/* A worker is killed in the middle of a document: the query does not notice. */
static void test_kill(void **state) {
        Daemon daemon;
        pid_t pids[WORKERS_MAX];

        prepare(&daemon, "[Supervisor]\nWorkers=1\nQueryTimeoutSec=60\n[Inference]\nTimeoutSec=30\n",
                "Engine=spin\nSpinSec=1");
        int fd = client_connect(&daemon);
        client_send(fd, "io.muster.Query", "{\"question\":\"x\",\"sources\":[\"spin\"]}");
        pause_ms(300);
        assert_int_equal(daemon_workers(&daemon, pids, WORKERS_MAX), 1);
        assert_int_equal(kill(pids[0], SIGKILL), 0);

        json_t *reply = client_receive(fd);
        assert_string_equal(string_at(reply, "/parameters/sources/spin/verdict"), "ok");
        assert_true(restarts(&daemon) >= 1);
        json_decref(reply);
        (void) close(fd);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* A document that no worker can finish in time: killed twice, then the verdict; others are
 * undisturbed. */
static void test_overrun(void **state) {
        Daemon daemon;

        prepare(&daemon,
                "[Supervisor]\nWorkers=2\nQueryTimeoutSec=60\n[Inference]\nTimeoutSec=400ms\n",
                "Engine=spin\nSpinSec=50");
        json_t *answer = daemon_query(&daemon, "{\"question\":\"x\"}");
        assert_string_equal(string_at(answer, "/sources/spin/verdict"), "worker");
        assert_string_equal(string_at(answer, "/sources/plain/verdict"), "ok");
        assert_string_equal(string_at(answer, "/completeness"), "partial");
        assert_string_equal(string_at(answer, "/errors/0/stage"), "worker");
        for (uint64_t end = monotonic_ms() + 20000; restarts(&daemon) < 2; pause_ms(20))
                assert_true(monotonic_ms() < end);
        json_decref(answer);
        answer = daemon_query(&daemon, "{\"question\":\"x\",\"sources\":[\"plain\"]}");
        assert_true(true_at(answer, "/success"));
        json_decref(answer);
        daemon_stop(&daemon);

        char *log = daemon_log(&daemon);
        assert_non_null(strstr(log, "it overran [Inference] TimeoutSec="));
        free(log);
        daemon_cleanup(&daemon);
}

/* Workers retire after so many documents; nobody sees it. */
static void test_retire(void **state) {
        Daemon daemon;
        pid_t before[WORKERS_MAX], after[WORKERS_MAX];

        prepare(&daemon, "[Supervisor]\nWorkers=2\nWorkerTasks=5\n", "Engine=none");
        size_t n = daemon_workers(&daemon, before, WORKERS_MAX);
        bool replaced = false;
        for (uint64_t end = monotonic_ms() + 30000; !replaced;) {
                json_t *answer = daemon_query(&daemon, "{\"question\":\"x\"}");
                assert_string_equal(string_at(answer, "/completeness"), "complete");
                json_decref(answer);

                size_t m = daemon_workers(&daemon, after, WORKERS_MAX);
                for (size_t i = 0; i < n && i < m; i++)
                        replaced = replaced || before[i] != after[i];
                assert_true(monotonic_ms() < end);
        }
        assert_int_equal(restarts(&daemon), 0);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* The daemon is killed: no worker survives it. */
static void test_no_orphans(void **state) {
        Daemon daemon;
        pid_t pids[WORKERS_MAX];

        prepare(&daemon, "[Supervisor]\nWorkers=4\n", "Engine=none");
        size_t n = daemon_workers(&daemon, pids, WORKERS_MAX);
        assert_int_equal(n, 4);
        char path[64];
        (void) snprintf(path, sizeof(path), "/proc/%d", pids[0]);
        assert_int_equal(access(path, F_OK), 0);

        assert_int_equal(kill(daemon.pid, SIGKILL), 0);
        uint64_t end = monotonic_ms() + 20000;
        for (size_t i = 0; i < n; i++)
                while (kill(pids[i], 0) == 0) {
                        assert_true(monotonic_ms() < end);
                        pause_ms(20);
                }
        daemon_cleanup(&daemon);
}

/* Under load, with workers being killed all the time, every query has one answer and every source
 * is ok or, when two workers died on its document, `worker`. */
static void test_storm(void **state) {
        enum {
                CLIENTS = 16,
                ROUNDS = 12
        };
        Daemon daemon;
        int fds[CLIENTS];
        size_t ok = 0, lost = 0;

        prepare(&daemon, "[Supervisor]\nWorkers=2\nQueryTimeoutSec=60\n", "Engine=spin\nSpinSec=2ms");
        for (size_t i = 0; i < CLIENTS; i++)
                fds[i] = client_connect(&daemon);
        for (unsigned round = 0; round < ROUNDS; round++) {
                pid_t pids[WORKERS_MAX];

                for (size_t i = 0; i < CLIENTS; i++)
                        client_send(fds[i], "io.muster.Query", "{\"question\":\"x\"}");
                size_t n = daemon_workers(&daemon, pids, WORKERS_MAX);
                if (n > 0)
                        (void) kill(pids[round % n], SIGKILL);
                for (size_t i = 0; i < CLIENTS; i++) {
                        json_t *reply = client_receive(fds[i]);
                        const char *verdict = string_at(reply, "/parameters/sources/spin/verdict");

                        assert_non_null(verdict);
                        if (strcmp(verdict, "ok") == 0)
                                ok++;
                        else {
                                assert_string_equal(verdict, "worker");
                                lost++;
                        }
                        json_decref(reply);
                }
        }
        assert_int_equal(ok + lost, CLIENTS * ROUNDS);
        assert_true(ok > CLIENTS * ROUNDS * 9 / 10);
        for (size_t i = 0; i < CLIENTS; i++)
                (void) close(fds[i]);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kill),   cmocka_unit_test(test_overrun),
                cmocka_unit_test(test_retire), cmocka_unit_test(test_no_orphans),
                cmocka_unit_test(test_storm),
        };
        return cmocka_run_group_tests_name("workers", tests, setup, teardown);
}
