/* SPDX-License-Identifier: Apache-2.0 */

/* The daemon as a service, without a systemd: socket activation, notification, draining, refusals
 * at start. (With a real one: tests/system.) */

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

static SourceServer server;

static int setup(void **state) {
        server_start(&server);
        return 0;
}

static int teardown(void **state) {
        server_stop(&server);
        return 0;
}

/* ---- notification ---- */

static int notify_socket(const Daemon *daemon) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", daemon->directory);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
        return fd;
}

/* Receives messages until one holds `text`; all of them are kept in `seen`. */
static void expect_message(int fd, const char *text, char *seen, size_t size) {
        uint64_t end = monotonic_ms() + 30000;

        while (monotonic_ms() < end) {
                char message[1024];
                struct pollfd pollfd = { .fd = fd, .events = POLLIN };

                if (poll(&pollfd, 1, 1000) <= 0)
                        continue;
                ssize_t n = recv(fd, message, sizeof(message) - 1, 0);
                assert_true(n >= 0);
                message[n] = '\0';
                (void) snprintf(seen + strlen(seen), size - strlen(seen), "%s\n", message);
                if (strstr(message, text))
                        return;
        }
        fail_msg("no notification with \"%s\" came; seen: %s", text, seen);
}

static void test_notify(void **state) {
        char seen[8192] = "";
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "one", "[Source]\nURL=http://%s/bytes\n", server.address);
        int fd = notify_socket(&daemon);
        daemon_start(&daemon, NULL);
        expect_message(fd, "READY=1", seen, sizeof(seen));
        assert_non_null(strstr(seen, "STATUS=Starting"));
        assert_non_null(strstr(seen, "workers ready"));

        json_t *answer = daemon_query(&daemon, "{\"question\":\"x\"}");
        assert_true(true_at(answer, "/success"));
        json_decref(answer);
        expect_message(fd, "1 answered", seen, sizeof(seen));

        daemon_stop(&daemon);
        expect_message(fd, "STOPPING=1", seen, sizeof(seen));
        (void) unsetenv("NOTIFY_SOCKET");
        (void) close(fd);
        daemon_cleanup(&daemon);
}

/* ---- socket activation ---- */

static void test_activation(void **state) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "one", "[Source]\nURL=http://%s/bytes\n", server.address);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemon.socket_path);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 64), 0);

        /* A client that came before the daemon is served, too. */
        int early = client_connect(&daemon);
        client_send(early, "io.muster.Query", "{\"question\":\"x\"}");

        /* What systemd does: the socket becomes descriptor 3, LISTEN_PID is the daemon's. */
        char config[160], worker[600];
        (void) snprintf(config, sizeof(config), "--config-dir=%s/config", daemon.directory);
        (void) snprintf(worker, sizeof(worker), "--worker=%s", getenv("MUSTER_WORKER"));
        daemon.pid = fork();
        assert_true(daemon.pid >= 0);
        if (daemon.pid == 0) {
                char pid[16];
                (void) snprintf(pid, sizeof(pid), "%d", getpid());
                (void) setenv("LISTEN_PID", pid, 1);
                (void) setenv("LISTEN_FDS", "1", 1);
                if (fd == 3 ? fcntl(fd, F_SETFD, 0) == 0 : dup2(fd, 3) == 3)
                        (void) execl(getenv("MUSTERD"), "musterd", config, worker,
                                     "--socket=/nonexistent/socket", "--log-level=err", NULL);
                _exit(127);
        }
        (void) close(fd);
        json_t *reply = client_receive(early);
        assert_true(true_at(reply, "/parameters/success"));
        json_decref(reply);
        (void) close(early);
        daemon_stop(&daemon);
        assert_int_equal(access(daemon.socket_path, F_OK), 0); /* it is not ours to remove */
        daemon_cleanup(&daemon);
}

/* ---- the end ---- */

static void test_drain(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "slow",
                      "[Source]\nURL=http://%s/bytes?delay=1500ms\nTimeoutSec=30\n", server.address);
        daemon_start(&daemon, NULL);
        int running = client_connect(&daemon), idle = client_connect(&daemon);
        client_send(running, "io.muster.Query", "{\"question\":\"x\"}");
        pause_ms(300);
        assert_int_equal(kill(daemon.pid, SIGTERM), 0);
        pause_ms(200);
        client_send(idle, "io.muster.Query", "{\"question\":\"x\"}");

        json_t *reply = client_receive(idle);
        assert_string_equal(string_at(reply, "/error"), "io.muster.Stopping");
        json_decref(reply);
        reply = client_receive(running);
        assert_true(true_at(reply, "/parameters/success"));
        json_decref(reply);
        int status;
        assert_int_equal(waitpid(daemon.pid, &status, 0), daemon.pid);
        assert_int_equal(status, 0);
        (void) close(running);
        (void) close(idle);
        daemon_cleanup(&daemon);
}

static void test_second_signal(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_config(&daemon, "[Supervisor]\nQueryTimeoutSec=1min\n");
        daemon_source(&daemon, "hang", "[Source]\nURL=http://%s/hang\nTimeoutSec=1min\n",
                      server.address);
        daemon_start(&daemon, NULL);
        int fd = client_connect(&daemon);
        client_send(fd, "io.muster.Query", "{\"question\":\"x\"}");
        pause_ms(300);
        assert_int_equal(kill(daemon.pid, SIGTERM), 0);
        pause_ms(200);
        daemon_stop(&daemon);
        json_t *reply = client_receive(fd);
        assert_string_equal(string_at(reply, "/parameters/sources/hang/verdict"), "cancelled");
        json_decref(reply);
        (void) close(fd);
        daemon_cleanup(&daemon);
}

static void test_hangup_is_harmless(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_start(&daemon, NULL);
        assert_int_equal(kill(daemon.pid, SIGHUP), 0);
        json_t *reply = daemon_call(&daemon, "io.muster.GetStatus", NULL);
        assert_string_equal(string_at(reply, "/parameters/state"), "running");
        json_decref(reply);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* ---- refusals at start ---- */

static int run_daemon(const Daemon *daemon, const char *option, char **ret_out, char **ret_err) {
        char config[160], socket_option[160], state[160];

        (void) snprintf(config, sizeof(config), "--config-dir=%s/config", daemon->directory);
        (void) snprintf(socket_option, sizeof(socket_option), "--socket=%s", daemon->socket_path);
        (void) snprintf(state, sizeof(state), "--state-dir=%s/state", daemon->directory);
        return run_command(
                        (const char *[]){ getenv("MUSTERD"), config, socket_option, state, option,
                                          NULL },
                        ret_out, ret_err);
}

static void test_second_daemon(void **state) {
        Daemon daemon;
        char *err = NULL;

        daemon_prepare(&daemon);
        daemon_start(&daemon, NULL);
        assert_int_equal(run_daemon(&daemon, "--log-level=info", NULL, &err), 1);
        assert_non_null(strstr(err, "Another musterd uses the state directory"));
        free(err);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

static void test_check_config(void **state) {
        Daemon daemon;
        char *out = NULL, expected[256];

        daemon_prepare(&daemon);
        daemon_source(&daemon, "good", "[Source]\nURL=http://127.0.0.1:9001/?q={question}\n");
        assert_int_equal(run_daemon(&daemon, "--check-config", &out, NULL), 0);
        assert_string_equal(out, "");
        free(out);

        daemon_source(&daemon, "bad",
                      "[Source]\nURL=http://127.0.0.1:9001/{\nTimeoutSec=soon\nColour=blue\n");
        assert_int_equal(run_daemon(&daemon, "--check-config", &out, NULL), 1);
        (void) snprintf(expected, sizeof(expected),
                        "%s/config/sources.d/bad.source:3:12: ", daemon.directory);
        assert_non_null(strstr(out, expected));
        (void) snprintf(expected, sizeof(expected),
                        "%s/config/sources.d/bad.source:4:", daemon.directory);
        assert_non_null(strstr(out, expected));
        (void) snprintf(expected, sizeof(expected),
                        "%s/config/sources.d/bad.source:2:27: ", daemon.directory);
        assert_non_null(strstr(out, expected));
        free(out);

        /* What only the layer of sources understands is told of each value, where it stands in the
         * file. */
        daemon_source(&daemon, "bad",
                      "[Source]\nMethod=POST\nURL=http://127.0.0.1:9001/{question}/%%zz\n"
                      "Body={\"key\": \"{credential:K}\"}\n");
        assert_int_equal(run_daemon(&daemon, "--check-config", &out, NULL), 1);
        (void) snprintf(expected, sizeof(expected),
                        "%s/config/sources.d/bad.source:3:38: ", daemon.directory);
        assert_non_null(strstr(out, expected));
        (void) snprintf(expected, sizeof(expected),
                        "%s/config/sources.d/bad.source:4:15: ", daemon.directory);
        assert_non_null(strstr(out, expected));
        free(out);

        /* The same problems keep the daemon from starting. */
        assert_int_equal(run_daemon(&daemon, "--log-level=info", NULL, &out), 1);
        assert_non_null(strstr(out, "The configuration cannot be used"));
        free(out);
        daemon_cleanup(&daemon);
}

static void test_command_line(void **state) {
        const char *daemon = getenv("MUSTERD");
        char *out = NULL, *err = NULL;

        assert_int_equal(run_command((const char *[]){ daemon, "--version", NULL }, &out, NULL), 0);
        assert_non_null(strstr(out, "muster "));
        free(out);
        assert_int_equal(run_command((const char *[]){ daemon, "--help", NULL }, &out, NULL), 0);
        assert_non_null(strstr(out, "--check-config"));
        free(out);
        assert_int_equal(run_command((const char *[]){ daemon, "--nonsense", NULL }, NULL, &err), 2);
        free(err);
        assert_int_equal(run_command((const char *[]){ daemon, "argument", NULL }, NULL, &err), 2);
        assert_non_null(strstr(err, "unexpected argument"));
        free(err);
        assert_int_equal(
                        run_command((const char *[]){ daemon, "--log-level=loud", NULL }, NULL, &err),
                        2);
        free(err);
        assert_int_equal(run_command((const char *[]){ getenv("MUSTER_WORKER"), NULL }, NULL, &err), 2);
        assert_non_null(strstr(err, "musterd"));
        free(err);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_notify),
                cmocka_unit_test(test_activation),
                cmocka_unit_test(test_drain),
                cmocka_unit_test(test_second_signal),
                cmocka_unit_test(test_hangup_is_harmless),
                cmocka_unit_test(test_second_daemon),
                cmocka_unit_test(test_check_config),
                cmocka_unit_test(test_command_line),
        };
        return cmocka_run_group_tests_name("service", tests, setup, teardown);
}
