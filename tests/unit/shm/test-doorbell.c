/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "cmocka.h"
#include "doorbell.h"

static uint32_t value(const LaneIndex *index) {
        return atomic_load(&index->value);
}

static void test_worker_flag(void **state) {
        WorkerState s = {};

        assert_false(doorbell_wake_worker(&s));
        doorbell_worker_prepare(&s);
        assert_int_equal(value(&s.worker_sleeps), 1);
        assert_true(doorbell_wake_worker(&s));
        assert_false(doorbell_wake_worker(&s)); /* one wake for any number of entries */

        doorbell_worker_prepare(&s);
        doorbell_worker_cancel(&s);
        assert_false(doorbell_wake_worker(&s));
}

/* The wake came between the flag and the sleep: there is no sleep. The bound is far off, so a hang
 * shows. */
static void test_wake_before_sleep(void **state) {
        WorkerState s = {};

        doorbell_worker_prepare(&s);
        assert_true(doorbell_wake_worker(&s));
        doorbell_worker_sleep(&s, TIME_INFINITY);
        assert_int_equal(value(&s.worker_sleeps), 0);
}

/* Nobody wakes: the bound does, and takes the flag down. */
static void test_sleep_is_bounded(void **state) {
        WorkerState s = {};

        doorbell_worker_prepare(&s);
        doorbell_worker_sleep(&s, NSEC_PER_MSEC);
        assert_int_equal(value(&s.worker_sleeps), 0);
        assert_false(doorbell_wake_worker(&s));
}

static bool readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        return poll(&p, 1, 0) == 1;
}

static void test_eventfd(void **state) {
        WorkerState s = {};
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_true(fd >= 0);

        assert_false(doorbell_wake_supervisor(&s, fd));
        assert_false(readable(fd));
        doorbell_supervisor_prepare(&s);
        assert_true(doorbell_wake_supervisor(&s, fd));
        assert_true(readable(fd));
        assert_false(doorbell_wake_supervisor(&s, fd));

        uint64_t count;
        assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
        assert_int_equal(count, 1);
        doorbell_supervisor_prepare(&s);
        doorbell_supervisor_cancel(&s);
        assert_false(doorbell_wake_supervisor(&s, fd));
        assert_false(readable(fd));
        doorbell_ring(fd);
        assert_true(readable(fd));
        assert_int_equal(close(fd), 0);
}

/* Nobody reads the counter: at its end a ring must neither block nor fail. */
static void test_eventfd_at_its_end(void **state) {
        static const uint64_t most = UINT64_MAX - 1;
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        assert_int_equal(write(fd, &most, sizeof(most)), sizeof(most));
        doorbell_ring(fd);
        assert_true(readable(fd));
        assert_int_equal(close(fd), 0);
}

/* Ping-pong between two processes: each round needs the wakes of the round before. */
static void test_across_processes(void **state) {
        enum {
                ROUNDS = 2000
        };
        struct Shared {
                WorkerState state;
                LaneIndex ping, pong;
        } *shared =
                        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(shared, MAP_FAILED);
        int fd = eventfd(0, EFD_CLOEXEC);

        pid_t child = fork();
        if (child == 0) {
                for (uint32_t round = 1; round <= ROUNDS; round++) {
                        while (value(&shared->ping) != round) {
                                doorbell_worker_prepare(&shared->state);
                                if (value(&shared->ping) == round)
                                        doorbell_worker_cancel(&shared->state);
                                else
                                        doorbell_worker_sleep(&shared->state, TIME_INFINITY);
                        }
                        atomic_store(&shared->pong.value, round);
                        (void) doorbell_wake_supervisor(&shared->state, fd);
                }
                _exit(0);
        }
        for (uint32_t round = 1; round <= ROUNDS; round++) {
                atomic_store(&shared->ping.value, round);
                (void) doorbell_wake_worker(&shared->state);
                while (value(&shared->pong) != round) {
                        uint64_t count;
                        doorbell_supervisor_prepare(&shared->state);
                        if (value(&shared->pong) == round) {
                                doorbell_supervisor_cancel(&shared->state);
                                break;
                        }
                        /* Without a bound: a lost ring would stop the test for ever. */
                        assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
                }
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(munmap(shared, sizeof(*shared)), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_worker_flag),        cmocka_unit_test(test_wake_before_sleep),
                cmocka_unit_test(test_sleep_is_bounded),   cmocka_unit_test(test_eventfd),
                cmocka_unit_test(test_eventfd_at_its_end), cmocka_unit_test(test_across_processes),
        };
        return cmocka_run_group_tests_name("doorbell", tests, NULL, NULL);
}
