/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Signals as events of the loop (signalfd): nothing ever runs in a signal handler. */

#include <signal.h>

#include "io.h"

typedef struct IoSignals IoSignals;
struct IoSignals {
        IoOp op; /* private */
        Io *io;
        int fd;
        void (*received)(IoSignals *signals, int signal);
};

/* Blocks the signals for this thread and delivers them to `received`. Negative errno. */
int io_signals_start(Io *io, IoSignals *signals, const sigset_t *set);
/* Nothing is delivered afterwards; the descriptor is closed once the loop has let go of it: turn
 * the loop until io_op_in_flight(&signals->op) is false before freeing. */
void io_signals_stop(IoSignals *signals);
