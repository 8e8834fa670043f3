/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cmocka.h"
#include "fdutil.h"

static void test_prepare(void **state) {
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        assert_int_equal(fd_prepare(fds[0]), 0);
        assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
        close(fds[0]);
        assert_int_equal(fd_prepare(fds[0]), -EBADF);
        close(fds[1]);
}

static void test_raise_limit(void **state) {
        struct rlimit old, limit;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        limit = old;
        limit.rlim_cur = limit.rlim_max < 64 ? limit.rlim_max : 64;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        int64_t raised = fd_raise_limit();
        assert_true(raised > 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_true(limit.rlim_cur == old.rlim_max);
        /* A second time there is nothing left to raise. */
        assert_true(fd_raise_limit() == raised);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

#define MANY (1024 * 1024)

static void *read_slowly(void *userdata) {
        size_t total = 0;
        char chunk[4096];

        for (ssize_t n; (n = read(*(int *) userdata, chunk, sizeof(chunk))) > 0;)
                for (ssize_t i = 0; i < n; i++)
                        total += chunk[i] == 'm';
        return (void *) (uintptr_t) total;
}

static void test_write_all(void **state) {
        static char data[MANY];
        pthread_t thread;
        void *total = NULL;
        int fds[2];

        for (size_t i = 0; i < MANY; i++)
                data[i] = 'm';
        assert_int_equal(pipe(fds), 0);
        assert_int_equal(pthread_create(&thread, NULL, read_slowly, &fds[0]), 0);
        assert_int_equal(fd_write_all(fds[1], data, MANY), 0);
        close(fds[1]);
        assert_int_equal(pthread_join(thread, &total), 0);
        assert_int_equal((uintptr_t) total, MANY);
        close(fds[0]);

        assert_int_equal(fd_write_all(fds[1], data, 1), -EBADF);
        assert_int_equal(fd_write_all(fds[1], data, 0), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_prepare),
                cmocka_unit_test(test_raise_limit),
                cmocka_unit_test(test_write_all),
        };
        return cmocka_run_group_tests_name("fdutil", tests, NULL, NULL);
}
