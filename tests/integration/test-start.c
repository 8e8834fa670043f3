/* SPDX-License-Identifier: Apache-2.0 */

/* Starts that cannot succeed: musterd says why, in words that name the remedy, and exits with 1.
 * And those that succeed although something is not as it should be. */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

#define PATIENCE_S 60

/* How the next start differs from a usual one. */
typedef struct Start {
        const char *state_dir;
        const char *socket_path;
        const char *worker_path;
        void (*prepare)(const Daemon *daemon); /* in the new process, before musterd begins */
} Start;

static _Noreturn void start_exec(const Daemon *daemon, const Start *start) {
        char config[160], state[160], socket_option[160], worker[600], log[160];

        (void) snprintf(config, sizeof(config), "--config-dir=%s/config", daemon->directory);
        (void) snprintf(state, sizeof(state), "--state-dir=%s%s",
                        start->state_dir ? "" : daemon->directory,
                        start->state_dir ? start->state_dir : "/state");
        (void) snprintf(socket_option, sizeof(socket_option), "--socket=%s",
                        start->socket_path ? start->socket_path : daemon->socket_path);
        (void) snprintf(worker, sizeof(worker), "--worker=%s",
                        start->worker_path ? start->worker_path : getenv("MUSTER_WORKER"));
        (void) snprintf(log, sizeof(log), "%s/log", daemon->directory);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) alarm(PATIENCE_S); /* a start that should fail and does not ends, too */
        (void) dup2(fd, STDERR_FILENO);
        if (start->prepare)
                start->prepare(daemon);
        (void) execl(getenv("MUSTERD"), "musterd", config, state, socket_option, worker, NULL);
        _exit(127);
}

static pid_t start_fork(const Daemon *daemon, const Start *start) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0)
                start_exec(daemon, start);
        return pid;
}

static void assert_log(const Daemon *daemon, const char *message) {
        char *log = daemon_log(daemon);

        if (!strstr(log, message))
                fail_msg("\"%s\" is not in the log:\n%s", message, log);
        free(log);
}

static void expect_refusal(const Daemon *daemon, const Start *start, const char *message) {
        pid_t pid = start_fork(daemon, start);
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_log(daemon, message);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), EXIT_FAILURE);
}

static void expect_success(Daemon *daemon, const Start *start) {
        daemon->pid = start_fork(daemon, start);
        for (uint64_t end = monotonic_ms() + PATIENCE_S * 1000;
             access(daemon->socket_path, F_OK) < 0; pause_ms(10))
                assert_true(monotonic_ms() < end);
        json_t *answer = daemon_query(daemon, "{\"question\":\"x\"}");
        assert_true(true_at(answer, "/success"));
        json_decref(answer);
}

static void prepare(Daemon *daemon) {
        daemon_prepare(daemon);
        daemon_source(daemon, "one", "[Source]\nURL=simulate:?bytes=100\nTimeoutSec=1min\n");
}

/* ---- places ---- */

static void test_state_directory(void **state) {
        Daemon daemon;

        prepare(&daemon);
        expect_refusal(&daemon, &(Start){ .state_dir = "/nonexistent/state" },
                       "Cannot open the state directory /nonexistent/state: No such file or directory");
        daemon_cleanup(&daemon);
}

static void test_socket(void **state) {
        Daemon daemon, other;

        prepare(&daemon);
        prepare(&other);
        expect_refusal(&daemon, &(Start){ .socket_path = "/nonexistent/socket" },
                       "Cannot listen on /nonexistent/socket");
        daemon_start(&other, NULL);
        expect_refusal(&daemon, &(Start){ .socket_path = other.socket_path },
                       "Another daemon listens on");
        daemon_stop(&other);
        daemon_cleanup(&other);
        daemon_cleanup(&daemon);
}

static bool somebody_listens(const Daemon *daemon) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", daemon->socket_path);
        int r = connect(fd, (struct sockaddr *) &address, sizeof(address));
        (void) close(fd);
        return r == 0;
}

/* A daemon that was killed leaves its socket, which is in nobody's way. (The kernel takes a ring
 * down after its process, so for a moment there still is a listener.) */
static void test_socket_left_behind(void **state) {
        Daemon daemon;

        prepare(&daemon);
        daemon_start(&daemon, NULL);
        assert_int_equal(kill(daemon.pid, SIGKILL), 0);
        assert_int_equal(waitpid(daemon.pid, NULL, 0), daemon.pid);
        for (uint64_t end = monotonic_ms() + PATIENCE_S * 1000; somebody_listens(&daemon);
             pause_ms(5))
                assert_true(monotonic_ms() < end);
        assert_int_equal(access(daemon.socket_path, F_OK), 0);
        daemon_start(&daemon, NULL);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

static void test_worker(void **state) {
        Daemon daemon;

        prepare(&daemon);
        daemon_config(&daemon, "[Supervisor]\nWorkers=3\n");
        expect_refusal(&daemon, &(Start){ .worker_path = "/nonexistent/worker" },
                       "Cannot start 3 workers (/nonexistent/worker)");
        daemon_cleanup(&daemon);
}

/* ---- sockets that were handed in ---- */

static void hand_in(const char *count) {
        char pid[16];

        (void) snprintf(pid, sizeof(pid), "%d", getpid());
        (void) setenv("LISTEN_PID", pid, 1);
        (void) setenv("LISTEN_FDS", count, 1);
}

static void hand_in_two(const Daemon *daemon) {
        (void) dup2(STDERR_FILENO, 3);
        (void) dup2(STDERR_FILENO, 4);
        hand_in("2");
}

static void hand_in_file(const Daemon *daemon) {
        (void) dup2(STDERR_FILENO, 3);
        hand_in("1");
}

static void hand_in_datagrams(const Daemon *daemon) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/datagrams",
                        daemon->directory);
        (void) bind(fd, (struct sockaddr *) &address, sizeof(address));
        (void) dup2(fd, 3);
        hand_in("1");
}

static void test_handed_in(void **state) {
        Daemon daemon;

        prepare(&daemon);
        expect_refusal(&daemon, &(Start){ .prepare = hand_in_two },
                       "2 sockets were handed in, but one is served");
        expect_refusal(&daemon, &(Start){ .prepare = hand_in_file },
                       "What was handed in is no listening Unix stream socket");
        daemon_cleanup(&daemon);
        prepare(&daemon);
        expect_refusal(&daemon, &(Start){ .prepare = hand_in_datagrams },
                       "What was handed in is no listening Unix stream socket");
        daemon_cleanup(&daemon);
}

/* ---- the kernel ---- */

/* As a container's filter does it. */
static void forbid_io_uring(const Daemon *daemon) {
        static struct sock_filter instructions[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        const struct sock_fprog filter = { .len = 4, .filter = instructions };

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
            prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
                _exit(126);
}

static void test_no_io_uring(void **state) {
        Daemon daemon;

        prepare(&daemon);
        expect_refusal(&daemon, &(Start){ .prepare = forbid_io_uring },
                       "io_uring cannot be used (EPERM): ");
        daemon_cleanup(&daemon);
}

static void allow_few_descriptors(const Daemon *daemon) {
        const struct rlimit few = { 200, 200 };

        if (setrlimit(RLIMIT_NOFILE, &few) < 0)
                _exit(126);
}

/* It works, and says what it cannot do. */
static void test_few_descriptors(void **state) {
        Daemon daemon;

        prepare(&daemon);
        expect_success(&daemon, &(Start){ .prepare = allow_few_descriptors });
        daemon_stop(&daemon);
        assert_log(&daemon, "At most 200 descriptors may be open; raise LimitNOFILE=");
        daemon_cleanup(&daemon);
}

static void allow_small_files(const Daemon *daemon) {
        const struct rlimit small = { 1 << 20, 1 << 20 };

        (void) signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &small) < 0)
                _exit(126);
}

static void test_no_arena(void **state) {
        Daemon daemon;

        prepare(&daemon);
        expect_refusal(&daemon, &(Start){ .prepare = allow_small_files },
                       "Cannot create the shared memory of the arena: File too large");
        daemon_cleanup(&daemon);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_state_directory),    cmocka_unit_test(test_socket),
                cmocka_unit_test(test_socket_left_behind), cmocka_unit_test(test_worker),
                cmocka_unit_test(test_handed_in),          cmocka_unit_test(test_no_io_uring),
                cmocka_unit_test(test_few_descriptors),    cmocka_unit_test(test_no_arena),
        };
        return cmocka_run_group_tests_name("start", tests, NULL, NULL);
}
