/* SPDX-License-Identifier: Apache-2.0 */

/* Real children. Most run /bin/sh; descriptors and the like are seen through /proc. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "io.h"
#include "macro.h"

typedef struct Child {
        IoProcess process;
        unsigned exits;
        int status;
} Child;

static void exited(IoProcess *process, int status) {
        Child *child = CONTAINER_OF(process, Child, process);

        child->exits++;
        child->status = status;
        assert_int_equal(kill(process->pid, 0), -1); /* reaped */
}

static int setup(void **state) {
        const char *message = "";
        Io *io;

        if (io_new_uring(&io, 64, &message) < 0)
                fail_msg("%s", message);
        *state = io;
        return 0;
}

static int teardown(void **state) {
        Io *io = *state;

        assert_int_equal(io_in_flight(io), 0);
        assert_null(io_free(io));
        return 0;
}

static int
spawn(Io *io, Child *child, const char *script, const char *const *envp, const int *fds,
      size_t n_fds) {
        const char *const argv[] = { "sh", "-c", script, NULL };

        *child = (Child){ .process.exited = exited };
        return io_spawn(io, &child->process,
                        &(IoSpawn){
                                        .path = "/bin/sh",
                                        .argv = argv,
                                        .envp = envp,
                                        .fds = fds,
                                        .n_fds = n_fds,
                        });
}

static void wait_for(Io *io, Child *child) {
        while (!child->exits)
                assert_int_equal(io_turn(io), 0);
        assert_int_equal(child->exits, 1);
        assert_int_equal(child->process.pidfd, -1);
}

static int run(Io *io, const char *script, const char *const *envp, const int *fds, size_t n_fds) {
        Child child;

        assert_int_equal(spawn(io, &child, script, envp, fds, n_fds), 0);
        wait_for(io, &child);
        return child.status;
}

static void test_exit_status(void **state) {
        Io *io = *state;

        assert_int_equal(run(io, "exit 0", NULL, NULL, 0), 0);
        int status = run(io, "exit 7", NULL, NULL, 0);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        status = run(io, "kill -USR1 $$", NULL, NULL, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
}

static void test_kill(void **state) {
        Io *io = *state;
        Child child;

        assert_int_equal(spawn(io, &child, "read line < /dev/zero", NULL, NULL, 0), 0);
        assert_int_equal(io_in_flight(io), 1);
        io_kill(io, &child.process, SIGKILL);
        wait_for(io, &child);
        assert_true(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGKILL);
        io_kill(io, &child.process, SIGKILL); /* nobody is there */
}

static void test_many(void **state) {
        enum {
                MANY = 20
        };
        Io *io = *state;
        Child children[MANY];
        char script[32];

        for (int i = 0; i < MANY; i++) {
                (void) snprintf(script, sizeof(script), "exit %d", i);
                assert_int_equal(spawn(io, &children[i], script, NULL, NULL, 0), 0);
        }
        for (int i = 0; i < MANY; i++) {
                while (!children[i].exits)
                        assert_int_equal(io_turn(io), 0);
                assert_int_equal(children[i].exits, 1);
                assert_int_equal(WEXITSTATUS(children[i].status), i);
        }
}

/* Named descriptors arrive in order, whatever their numbers; nothing else does. */
static void test_descriptors(void **state) {
        Io *io = *state;
        int pipes[3][2];
        int fds[6];
        char text[64];
        int leak = open("/dev/null", O_RDONLY); /* not close-on-exec on purpose */

        assert_true(leak >= 0);
        for (size_t i = 0; i < 3; i++)
                assert_int_equal(pipe(pipes[i]), 0);
        /* Low numbers are taken here, partly by what is wanted at another place. */
        for (size_t i = 0; i < 3; i++)
                fds[i] = fds[5 - i] = pipes[2 - i][1];

        assert_int_equal(
                        run(io,
                            "echo one >&3; echo two >&4; echo three >&5; echo three >&6;"
                            "[ /dev/null -ef /proc/self/fd/0 ] && [ /dev/null -ef /proc/self/fd/1 ] ||"
                            " exit 1;"
                            "for fd in /proc/$$/fd/*; do case ${fd##*/} in [0-8]) ;; *)"
                            " [ -e $fd ] && exit 2;; esac; done; exit 0",
                            NULL, fds, 6),
                        0);
        static const char *const expected[] = { "three\nthree\n", "two\n", "one\n" };
        for (size_t i = 0; i < 3; i++) {
                ssize_t n = read(pipes[i][0], text, sizeof(text));

                assert_int_equal(n, strlen(expected[i]));
                assert_memory_equal(text, expected[i], (size_t) n);
                (void) close(pipes[i][0]);
                (void) close(pipes[i][1]);
        }
        (void) close(leak);
}

static void test_environment(void **state) {
        static const char *const envp[] = { "MUSTER_TEST=yes", NULL };
        Io *io = *state;

        assert_int_equal(setenv("MUSTER_INHERITED", "1", 1), 0);
        assert_int_equal(
                        run(io, "[ \"$MUSTER_TEST\" = yes ] && [ -z \"$MUSTER_INHERITED\" ]", envp,
                            NULL, 0),
                        0);
        assert_int_equal(run(io, "[ -z \"$MUSTER_INHERITED\" ]", NULL, NULL, 0), 0);
}

static void test_signals(void **state) {
        Io *io = *state;
        struct sigaction ignore = { .sa_handler = SIG_IGN }, before;
        sigset_t blocked;

        assert_int_equal(sigaction(SIGTERM, &ignore, &before), 0);
        sigemptyset(&blocked);
        sigaddset(&blocked, SIGUSR2);
        assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
        int status = run(io, "kill -TERM $$; exit 9", NULL, NULL, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
        status = run(io, "kill -USR2 $$; exit 9", NULL, NULL, 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2);
        assert_int_equal(sigprocmask(SIG_UNBLOCK, &blocked, NULL), 0);
        assert_int_equal(sigaction(SIGTERM, &before, NULL), 0);

        /* Inherited like this, it would have the kernel reap children unseen. */
        assert_int_equal(sigaction(SIGCHLD, &ignore, NULL), 0);
        assert_int_equal(WEXITSTATUS(run(io, "exit 5", NULL, NULL, 0)), 5);
}

static void test_refused(void **state) {
        Io *io = *state;
        Child child = { .process.exited = exited };
        const char *const argv[] = { "x", NULL };
        int fds[IO_SPAWN_FDS_MAX + 1] = { 0 };
        struct rlimit limit, low;

        assert_int_equal(
                        io_spawn(io, &child.process,
                                 &(IoSpawn){ .path = "/nowhere/worker", .argv = argv }),
                        -ENOENT);
        assert_int_equal(spawn(io, &child, "exit 0", NULL, fds, ELEMENTSOF(fds)), -EINVAL);

        /* Found only in the child. */
        assert_int_equal(io_spawn(io, &child.process, &(IoSpawn){ .path = "/bin", .argv = argv }), 0);
        wait_for(io, &child);
        assert_int_equal(WEXITSTATUS(child.status), 127);
        fds[0] = 999;
        assert_int_equal(WEXITSTATUS(run(io, "exit 0", NULL, fds, 1)), 127);

        /* No descriptor for the pidfd: no child either. */
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        low = limit;
        low.rlim_cur = 0;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        assert_int_equal(spawn(io, &child, "exit 0", NULL, NULL, 0), -EMFILE);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

/* However the parent ends, its children end with it: the pipe that they hold is closed. */
static void test_death_with_parent(void **state) {
        int alive[2];
        char c;

        assert_int_equal(pipe(alive), 0);
        pid_t parent = fork();
        assert_true(parent >= 0);
        if (parent == 0) {
                Child child;
                void *own;

                (void) close(alive[0]);
                (void) setup(&own);
                if (spawn(own, &child, "echo >&3; read line < /dev/zero", NULL, &alive[1], 1) < 0)
                        _exit(1);
                for (;;)
                        (void) io_turn(own);
        }
        (void) close(alive[1]);
        assert_int_equal(read(alive[0], &c, 1), 1); /* the grandchild runs */
        assert_int_equal(kill(parent, SIGKILL), 0);
        assert_int_equal(waitpid(parent, NULL, 0), parent);
        assert_int_equal(read(alive[0], &c, 1), 0);
        (void) close(alive[0]);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_exit_status, setup, teardown),
                cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
                cmocka_unit_test_setup_teardown(test_many, setup, teardown),
                cmocka_unit_test_setup_teardown(test_descriptors, setup, teardown),
                cmocka_unit_test_setup_teardown(test_environment, setup, teardown),
                cmocka_unit_test_setup_teardown(test_signals, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
                cmocka_unit_test(test_death_with_parent),
        };

        return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
