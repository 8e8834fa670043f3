/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The I/O interface: everything above daemon/io/ reaches sockets, processes, time and chance
 * through it, and through nothing else. One thread, one loop.
 *
 * An operation (IoOp) is a field of its owner. Once submitted it belongs to the loop until its last
 * completion: then `done` has been called with `more` false and the op may be used again or freed.
 * Completions are never delivered from within the call that submits or cancels, always from the
 * loop; so a callback may submit, cancel and free whatever else it likes.
 *
 * Cancelling goes by descriptor (liburing #1375: by user_data it may miss a multishot receive):
 * every operation on it completes, with -ECANCELED or with what had already happened. The owner
 * waits for those completions, then closes the descriptor with io_close().
 *
 * Back ends: io_uring (io-uring.c) and the simulator (io-sim.c, virtual time, seeded faults). An
 * epoll back end fits the same IoBackend table.
 *
 * Results follow the kernel: a count or 0, or a negative errno. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "heap.h"
#include "list.h"

typedef struct Io Io;
typedef struct IoOp IoOp;

typedef struct IoResult {
        int32_t value; /* as the kernel gives it: count, descriptor, poll events, or negative errno */
        bool more;     /* the operation goes on; false exactly once, at its end */
        const void *data; /* io_recv(): the bytes, `value` of them; valid during the callback only */
} IoResult;

typedef void (*IoDone)(IoOp *op, const IoResult *result);

struct IoOp {
        IoDone done;
        uint32_t index; /* of the loop's operation table; private */
        bool in_flight; /* submitted, last completion not yet delivered */
};

static inline bool io_op_in_flight(const IoOp *op) {
        return op->in_flight;
}

/* ---- the loop ---- */

typedef enum IoBackendKind {
        IO_BACKEND_URING,
        IO_BACKEND_SIM,
} IoBackendKind;

/* Entries is the wanted submission queue length (0: 4,096); a smaller one is taken when the memlock
 * limit forces it. On failure `ret_message` (may be NULL) is set to a static text that names the
 * cause and the remedy. Negative errno. */
int io_new_uring(Io **ret, unsigned entries, const char **ret_message);
Io *io_free(Io *io); /* all operations must have ended; returns NULL */

const char *io_backend_name(const Io *io); /* "io_uring", "simulator" */

/* Runs until io_stop(). Negative errno when the loop itself fails. */
int io_run(Io *io);
void io_stop(Io *io);
/* One turn: waits for at most one batch of completions (or a timer) and delivers it. */
int io_turn(Io *io);

/* Operations in flight; descriptors made and not yet closed. For invariants in tests and for
 * status. */
size_t io_in_flight(const Io *io);
size_t io_open_descriptors(const Io *io);

/* What happened below the interface and was put right there. */
typedef struct IoCounters {
        uint64_t turns;
        uint64_t completions; /* delivered to owners */
        uint64_t starved;     /* receives renewed because the loop's buffers had run out */
        uint64_t renewed;     /* operations renewed for another reason, short sends included */
        uint64_t stale;       /* completions of operations that had ended already, dropped */
        uint64_t overflows;   /* turns that found the completion queue overrun; nothing is lost */
        uint64_t refused;     /* submissions that the kernel put off (EAGAIN, EBUSY) */
        bool restricted;      /* the ring refuses every operation that is not used here */
} IoCounters;
const IoCounters *io_counters(const Io *io);

/* ---- time and chance ---- */

uint64_t io_now(Io *io);     /* CLOCK_MONOTONIC in ns (virtual in the simulator) */
uint64_t io_unix_ms(Io *io); /* CLOCK_REALTIME in ms, for identifiers and stamps only */
uint64_t io_random(Io *io);  /* 64 random bits */

typedef struct IoTimer IoTimer;
struct IoTimer {
        HeapNode node;
        uint64_t deadline;
        uint64_t order; /* equal deadlines fire in the order in which they were set */
        void (*fire)(IoTimer *timer);
};

/* Sets or moves a timer; fires once, never early. One kernel timeout serves them all. -ENOMEM. */
int io_timer_set(Io *io, IoTimer *timer, uint64_t deadline);
void io_timer_cancel(Io *io, IoTimer *timer); /* at once; harmless when not set */
static inline bool io_timer_armed(const IoTimer *timer) {
        return heap_contains(&timer->node);
}

/* Something to run later in this turn, outside the present call stack; what a task posts runs in
 * the next turn, which does not wait then. */
typedef struct IoTask IoTask;
struct IoTask {
        List node; /* list_init() before first use */
        void (*run)(IoTask *task);
};
void io_post(Io *io, IoTask *task); /* harmless when posted already */
void io_unpost(IoTask *task);

/* ---- sockets and descriptors ---- */

/* AF_INET, AF_INET6 or AF_UNIX stream socket; TCP_NODELAY is set. Returns a descriptor or negative
 * errno (-EMFILE and -ENFILE when descriptors run out). */
int io_socket(Io *io, int family);

/* Listens on a Unix stream socket at `path` (an old socket file there is replaced when nobody
 * listens on it: -EADDRINUSE otherwise). Returns a descriptor or negative errno. */
int io_listen_unix(Io *io, const char *path, mode_t mode);

/* Takes over a descriptor made elsewhere (socket activation, signalfd, a file to be written): made
 * non-blocking and close-on-exec. Negative errno. */
int io_adopt(Io *io, int fd);

/* Counting descriptor to be rung by other processes (eventfd); poll it with IO_POLL_EDGE. */
int io_eventfd(Io *io);

/* Peer of a Unix socket. Negative errno. */
int io_peer_credentials(Io *io, int fd, struct ucred *ret);

/* Multishot: each completion with value >= 0 is a new descriptor that the callee owns (and `more`
 * says whether accepting goes on). -EMFILE and the like end it: submit again later (-EMFILE comes
 * even while nobody connects, as the number is taken first). */
int io_accept(Io *io, IoOp *op, int fd);

/* The address is copied. */
int io_connect(Io *io, IoOp *op, int fd, const struct sockaddr *address, socklen_t size);

/* Receives into buffers of the loop and shows the bytes in the callback. With `multishot` it goes
 * on until end of stream (value 0, more false), an error or a cancel; the loop renews it as needed.
 * Without, one completion. */
int io_recv(Io *io, IoOp *op, int fd, bool multishot);

/* Sends all of it; one completion, with the full size or an error. The data must live until then.
 * Never raises SIGPIPE. */
int io_send(Io *io, IoOp *op, int fd, const void *data, size_t size);

/* Writes all of it at `offset` of a regular file, whose disk never makes the loop wait; one
 * completion, with the full size or an error. The data must live until then. Which of two writes in
 * flight comes first is not said. */
int io_write(Io *io, IoOp *op, int fd, const void *data, size_t size, uint64_t offset);

/* Waits for poll(2) events. Without IO_POLL_EDGE one completion with the events found; with it, one
 * at every new event, until cancelled. events 0 waits for POLLHUP and POLLERR alone: on a Unix
 * socket that is the peer's close, not its half-close. */
#define IO_POLL_EDGE 1u
int io_poll(Io *io, IoOp *op, int fd, short events, unsigned flags);

/* Asks every operation on the descriptor to end. */
void io_cancel(Io *io, int fd);

/* No operation may be in flight on it. Does not block, nothing to wait for. */
void io_close(Io *io, int fd);

/* All submitting calls return 0 or a negative errno (-ENOMEM, -ENOSPC: operation table full); then
 * the op is not in flight and `done` is not called. */

/* ---- processes ---- */

typedef struct IoProcess IoProcess;
struct IoProcess {
        IoOp op; /* private: the pidfd's poll */
        pid_t pid;
        int pidfd;
        Io *io;
        /* Called once, after the process has been reaped: no store of its can follow. `status` is
         * as from waitpid(2). */
        void (*exited)(IoProcess *process, int status);
};

typedef struct IoSpawn {
        const char *path;        /* the binary */
        const char *const *argv; /* NULL-terminated */
        const char *const *envp; /* NULL-terminated; NULL: empty environment */
        const int *fds; /* become 3, 4, 5 … in the child; 0, 1 are /dev/null, 2 is inherited */
        size_t n_fds;
} IoSpawn;

#define IO_SPAWN_FDS_MAX 16u

/* fork + exec with everything but `fds` closed, signals reset, and a death signal so that the child
 * never outlives this process. Negative errno. */
int io_spawn(Io *io, IoProcess *process, const IoSpawn *spawn);
/* By pidfd; harmless after the exit. */
void io_kill(Io *io, IoProcess *process, int signal);
