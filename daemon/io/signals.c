/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "macro.h"
#include "signals.h"

static void on_signals(IoOp *op, const IoResult *result) {
        IoSignals *signals = CONTAINER_OF(op, IoSignals, op);
        struct signalfd_siginfo info;

        /* Edge-triggered, so read until nothing is left. */
        while (result->value > 0 && read(signals->fd, &info, sizeof(info)) == sizeof(info))
                if (signals->received)
                        signals->received(signals, (int) info.ssi_signo);
        if (!result->more) {
                io_close(signals->io, signals->fd);
                signals->fd = -1;
        }
}

int io_signals_start(Io *io, IoSignals *signals, const sigset_t *set) {
        if (sigprocmask(SIG_BLOCK, set, NULL) < 0)
                return -errno;

        int fd = signalfd(-1, set, SFD_NONBLOCK | SFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        int r = io_adopt(io, fd);
        if (r < 0) {
                (void) close(fd);
                return r;
        }
        signals->io = io;
        signals->fd = fd;
        signals->op.done = on_signals;
        r = io_poll(io, &signals->op, fd, POLLIN, IO_POLL_EDGE);
        if (r < 0)
                io_close(io, fd);
        return r;
}

void io_signals_stop(IoSignals *signals) {
        signals->received = NULL;
        if (io_op_in_flight(&signals->op))
                io_cancel(signals->io, signals->fd);
}
