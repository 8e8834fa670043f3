/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "macro.h"
#include "signals.h"

typedef struct Catcher {
        IoSignals signals;
        unsigned caught[NSIG];
} Catcher;

static void received(IoSignals *signals, int signal) {
        CONTAINER_OF(signals, Catcher, signals)->caught[signal]++;
}

static void test_signals(void **state) {
        Catcher catcher = { .signals.received = received };
        const char *message = "";
        sigset_t set;
        Io *io;

        if (io_new_uring(&io, 64, &message) < 0)
                fail_msg("%s", message);
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGHUP);
        assert_int_equal(io_signals_start(io, &catcher.signals, &set), 0);

        /* Two at once, then one of them again. */
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        assert_int_equal(kill(getpid(), SIGHUP), 0);
        while (!catcher.caught[SIGTERM] || !catcher.caught[SIGHUP])
                assert_int_equal(io_turn(io), 0);
        assert_int_equal(kill(getpid(), SIGTERM), 0);
        while (catcher.caught[SIGTERM] < 2)
                assert_int_equal(io_turn(io), 0);
        assert_int_equal(catcher.caught[SIGHUP], 1);

        io_signals_stop(&catcher.signals);
        while (io_op_in_flight(&catcher.signals.op))
                assert_int_equal(io_turn(io), 0);
        io_signals_stop(&catcher.signals); /* once is enough */
        assert_int_equal(io_open_descriptors(io), 0);
        assert_null(io_free(io));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_signals),
        };

        return cmocka_run_group_tests_name("signals", tests, NULL, NULL);
}
