/* SPDX-License-Identifier: Apache-2.0 */

/* No wake-up is lost because both sides touch the flag by read-modify-write only. All of these
 * stand in one order, and each reads what the one before it wrote: either the publisher finds the
 * sleeper's 1 and wakes it, or the sleeper's own exchange comes later, acquires what the publisher
 * released, and its second look at the lane finds the entry. No fence is needed, so ThreadSanitizer
 * understands it too.
 *
 * While nobody sleeps, the flag's cache line stays with the publisher and the exchange costs it
 * some ten nanoseconds.
 *
 * The words lie in memory that the worker can write. A hostile one can cause needless wakes of
 * itself, or make its own results come late; the supervisor never waits for either. */

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "doorbell.h"
#include "failpoint.h"

static uint32_t flag_exchange(LaneIndex *flag, uint32_t value) {
        return atomic_exchange_explicit(&flag->value, value, memory_order_acq_rel);
}

/* ---- supervisor → worker ---- */

void doorbell_worker_prepare(WorkerState *state) {
        FAILPOINT("sleep-before-flag");
        (void) flag_exchange(&state->worker_sleeps, 1);
        FAILPOINT("sleep-after-flag");
}

void doorbell_worker_cancel(WorkerState *state) {
        FAILPOINT("awake-before-flag");
        (void) flag_exchange(&state->worker_sleeps, 0);
        FAILPOINT("awake-after-flag");
}

void doorbell_worker_sleep(WorkerState *state, uint64_t timeout_ns) {
        struct timespec timeout = {
                .tv_sec = (time_t) (timeout_ns / NSEC_PER_SEC),
                .tv_nsec = (long) (timeout_ns % NSEC_PER_SEC),
        };

        /* Whatever ends the wait (a wake, the flag cleared already, the bound, a signal), the
         * caller looks at its lane next. */
        (void) syscall(SYS_futex, &state->worker_sleeps.value, FUTEX_WAIT, 1u,
                       timeout_ns == TIME_INFINITY ? NULL : &timeout, NULL, 0u);
        doorbell_worker_cancel(state);
}

bool doorbell_wake_worker(WorkerState *state) {
        if (flag_exchange(&state->worker_sleeps, 0) == 0)
                return false;
        (void) syscall(SYS_futex, &state->worker_sleeps.value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0u);
        return true;
}

/* ---- worker → supervisor ---- */

void doorbell_supervisor_prepare(WorkerState *state) {
        (void) flag_exchange(&state->supervisor_sleeps, 1);
}

void doorbell_supervisor_cancel(WorkerState *state) {
        (void) flag_exchange(&state->supervisor_sleeps, 0);
}

bool doorbell_wake_supervisor(WorkerState *state, int eventfd) {
        FAILPOINT("ring-before-flag");
        uint32_t wanted = flag_exchange(&state->supervisor_sleeps, 0);
        FAILPOINT("ring-after-flag");
        if (wanted == 0)
                return false;
        doorbell_ring(eventfd);
        FAILPOINT("ring-after-write");
        return true;
}

void doorbell_ring(int eventfd) {
        static const uint64_t one = 1;
        ssize_t n;

        do
                n = write(eventfd, &one, sizeof(one));
        while (n < 0 && errno == EINTR);
        /* EAGAIN: the counter stands at its end, 2^64 rings that nobody read; as good as rung. */
        assert(n == (ssize_t) sizeof(one) || errno == EAGAIN);
}
