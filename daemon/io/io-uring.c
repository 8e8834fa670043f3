/* SPDX-License-Identifier: Apache-2.0 */

/* The io_uring back end.
 *
 * One ring, one thread, one io_uring_enter() a turn: what callbacks submit gathers in the
 * submission queue and goes along with the wait for the next batch. A full queue is the only other
 * reason to enter. The ring is made disabled, restricted to the operations below, and enabled then:
 * what passes a ring passes no seccomp filter, so the ring itself has to refuse the rest.
 *
 * Receiving takes buffers from one provided ring. A buffer is away for the time of one callback, so
 * thousands of idle receives hold none, and a burst that finds the ring empty (-ENOBUFS) is renewed
 * without the owner's knowledge. Whatever else the kernel ends too early (a short send, a multishot
 * operation without F_MORE) is renewed likewise; renew() is where a cancel that fell into the gap
 * is noticed. A renewed operation is in the queue before its owner's callback runs: a cancel made
 * there comes after it.
 *
 * user_data is index << 32 | generation of the operation's slot. The slot stays taken until the
 * completion without F_MORE, so a name that does not fit any more means a fault; it is dropped and
 * counted.
 *
 * One TIMEOUT with an absolute time serves all timers. It is moved only towards an earlier time;
 * one that comes too early (its timer was cancelled) wakes the loop once and is set to the new
 * head.
 *
 * The kernel adds POLLRDHUP to the events of every poll. One that waits for the peer's close alone
 * would be ended by the half-close, and again at once when renewed; so a poll that does not want
 * input is edge-triggered and multishot inside: the half-close is swallowed, the close ends it. */

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "io-backend.h"
#include "io.h"
#include "macro.h"

#define ENTRIES_DEFAULT 4096u
#define ENTRIES_MIN     128u /* fits into 64 KiB of locked memory */
/* 32,768 by default: twice the operations of 8,000 connections without an overrun. */
#define COMPLETIONS_PER_ENTRY 8u
#define RING_OVERHEAD         8192u /* heads, tails and rounding up to pages */

#define BUFFER_GROUP 0
#define BUFFER_SIZE  2048u
#define BUFFER_COUNT 1024u /* a power of two */

#define DESCRIPTORS_MAX (1u << 20) /* the kernel's own default, fs.nr_open */

#define SUBMIT_ATTEMPTS 64

/* Cancelling by descriptor makes the kernel look at every operation that is in flight; by name it
 * finds the one. So each operation of the descriptor is named first. A multishot receive may be
 * missed that way (liburing #1375): the name of such a cancel tells which operation it was for, and
 * what was missed and is still there is cancelled by descriptor. */
#define CANCEL_OF (UINT64_C(1) << 62) /* an index has 20 bits */

/* Names that are no slot's; see io_slot(). */
#define NAME_TIMER  ((uint64_t) IO_NO_SLOT << 32 | 1)
#define NAME_UPDATE ((uint64_t) IO_NO_SLOT << 32 | 2)
#define NAME_CANCEL ((uint64_t) IO_NO_SLOT << 32 | 3)

typedef union Address {
        struct sockaddr any;
        struct sockaddr_un largest;
} Address;

typedef struct Uring {
        Io io;
        struct io_uring ring;

        struct io_uring_buf_ring *buffer_ring; /* the buffers follow it in the same mapping */
        char *buffers;

        /* One for each entry of the submission queue: the kernel copies an address when it takes
         * the entry, which is when the entry's room may be used again. */
        Address *addresses;

        struct __kernel_timespec timeout; /* read when the kernel takes the entry */
        uint64_t armed;                   /* TIME_INFINITY: the kernel has no timeout of ours */
} Uring;

static Uring *uring_of(Io *io) {
        return CONTAINER_OF(io, Uring, io);
}

/* ---- submitting ---- */

/* NULL when the kernel takes nothing, after trying hard. */
static struct io_uring_sqe *uring_entry(Uring *u) {
        struct io_uring_sqe *entry = io_uring_get_sqe(&u->ring);

        for (unsigned i = 0; !entry && i < SUBMIT_ATTEMPTS; i++) {
                int r = io_uring_submit_and_get_events(&u->ring);
                if (r < 0)
                        u->io.counters.refused++;
                entry = io_uring_get_sqe(&u->ring);
        }
        return entry;
}

static void prepare_accept(Uring *u, struct io_uring_sqe *entry, const IoSlot *slot) {
        io_uring_prep_multishot_accept(entry, slot->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void prepare_connect(Uring *u, struct io_uring_sqe *entry, const IoSlot *slot) {
        Address *address = &u->addresses[entry - u->ring.sq.sqes];

        memcpy(address, slot->data, slot->size);
        io_uring_prep_connect(entry, slot->fd, &address->any, slot->size);
}

static void prepare_recv(Uring *u, struct io_uring_sqe *entry, const IoSlot *slot) {
        io_uring_prep_recv(entry, slot->fd, NULL, 0, 0);
        if (slot->multishot)
                entry->ioprio |= IORING_RECV_MULTISHOT;
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = BUFFER_GROUP;
}

static void prepare_send(Uring *u, struct io_uring_sqe *entry, const IoSlot *slot) {
        io_uring_prep_send(
                        entry, slot->fd, (const char *) slot->data + slot->sent,
                        slot->size - slot->sent, MSG_WAITALL | MSG_NOSIGNAL);
}

/* Disks do not poll: what cannot be written at once, one of the kernel's own threads writes. */
static void prepare_write(Uring *u, struct io_uring_sqe *entry, const IoSlot *slot) {
        io_uring_prep_write(
                        entry, slot->fd, (const char *) slot->data + slot->sent,
                        slot->size - slot->sent, slot->offset + slot->sent);
}

/* A poll whose events do not include the half-close must not be ended by it. */
static bool poll_is_edge(const IoSlot *slot) {
        return slot->multishot || !(slot->events & (POLLIN | POLLRDHUP));
}

static void prepare_poll(Uring *u, struct io_uring_sqe *entry, const IoSlot *slot) {
        if (poll_is_edge(slot))
                io_uring_prep_poll_multishot(entry, slot->fd, slot->events | EPOLLET);
        else
                io_uring_prep_poll_add(entry, slot->fd, slot->events);
}

static void (*const prepare[IO_KIND_COUNT])(Uring *, struct io_uring_sqe *, const IoSlot *) = {
        [IO_KIND_ACCEPT] = prepare_accept, [IO_KIND_CONNECT] = prepare_connect,
        [IO_KIND_RECV] = prepare_recv,     [IO_KIND_SEND] = prepare_send,
        [IO_KIND_WRITE] = prepare_write,   [IO_KIND_POLL] = prepare_poll,
};

static uint64_t slot_name(uint32_t index, const IoSlot *slot) {
        return (uint64_t) index << 32 | slot->generation;
}

static int uring_start(Io *io, uint32_t index) {
        Uring *u = uring_of(io);
        const IoSlot *slot = &io->slots[index];
        struct io_uring_sqe *entry = uring_entry(u);

        if (!entry)
                return -ENOMEM;
        prepare[slot->kind](u, entry, slot);
        entry->user_data = slot_name(index, slot);
        return 0;
}

/* Fire and forget: only a failure has a completion. */
static void uring_cancel_entry(Uring *u, int fd, uint64_t name) {
        struct io_uring_sqe *entry = uring_entry(u);

        if (!entry) { /* an end that never comes would block its owner for ever */
                u->io.error = -ENOMEM;
                return;
        }
        if (fd >= 0)
                io_uring_prep_cancel_fd(entry, fd, IORING_ASYNC_CANCEL_ALL);
        else
                io_uring_prep_cancel64(entry, name, 0);
        entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
        entry->user_data = fd >= 0 ? NAME_CANCEL : CANCEL_OF | name;
}

static void uring_cancel(Io *io, int fd) {
        const IoSlot *slot;

        for (uint32_t i = io_descriptor(io, fd)->first; i != 0; i = slot->sibling) {
                slot = &io->slots[i - 1];
                uring_cancel_entry(uring_of(io), -1, slot_name(i - 1, slot));
        }
}

/* The kernel did not find it. Either its completion is on the way, or the look-up has missed it. */
static void cancel_missed(Uring *u, uint64_t name) {
        const IoSlot *slot = io_slot(&u->io, (uint32_t) (name >> 32), (uint32_t) name);

        if (slot)
                uring_cancel_entry(u, slot->fd, 0);
}

/* ---- completions ---- */

static void end_with(Io *io, uint32_t index, int32_t value) {
        io_complete(io, index, &(IoResult){ .value = value });
}

/* Submits the operation again, unless it has been cancelled since. */
static int renew(Uring *u, uint32_t index, uint64_t *counter) {
        if (io_slot_cancelled(&u->io, &u->io.slots[index]))
                return -ECANCELED;
        (*counter)++;
        return uring_start(&u->io, index);
}

static void renew_or_end(Uring *u, uint32_t index, uint64_t *counter) {
        int r = renew(u, index, counter);

        if (r < 0)
                end_with(&u->io, index, r);
}

static bool is_transient(int32_t value) {
        return value == -EINTR || value == -EAGAIN;
}

/* What an operation that goes on has yielded. */
static void deliver_next(Uring *u, uint32_t index, const struct io_uring_cqe *cqe, IoResult result) {
        result.more = cqe->flags & IORING_CQE_F_MORE || renew(u, index, &u->io.counters.renewed) == 0;
        io_complete(&u->io, index, &result);
}

static void finish_accept(Uring *u, uint32_t index, const struct io_uring_cqe *cqe) {
        if (cqe->res >= 0)
                deliver_next(u, index, cqe, (IoResult){ .value = cqe->res });
        else if (is_transient(cqe->res) || cqe->res == -ECONNABORTED)
                renew_or_end(u, index, &u->io.counters.renewed);
        else
                end_with(&u->io, index, cqe->res);
}

static void finish_connect(Uring *u, uint32_t index, const struct io_uring_cqe *cqe) {
        end_with(&u->io, index, cqe->res);
}

static char *buffer_at(Uring *u, unsigned number) {
        return u->buffers + (size_t) number * BUFFER_SIZE;
}

static void buffer_give(Uring *u, unsigned number) {
        io_uring_buf_ring_add(
                        u->buffer_ring, buffer_at(u, number), BUFFER_SIZE, (unsigned short) number,
                        io_uring_buf_ring_mask(BUFFER_COUNT), 0);
        io_uring_buf_ring_advance(u->buffer_ring, 1);
}

static void finish_recv(Uring *u, uint32_t index, const struct io_uring_cqe *cqe) {
        const IoSlot *slot = &u->io.slots[index];

        if (cqe->res > 0) {
                const char *data = buffer_at(u, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
                IoResult result = { .value = cqe->res, .data = data };

                if (slot->multishot)
                        deliver_next(u, index, cqe, result);
                else
                        io_complete(&u->io, index, &result);
        } else if (cqe->res == -ENOBUFS)
                renew_or_end(u, index, &u->io.counters.starved);
        else if (is_transient(cqe->res))
                renew_or_end(u, index, &u->io.counters.renewed);
        else
                end_with(&u->io, index, cqe->res);
}

/* All of it has to go, however little the kernel takes at a time. */
static void finish_output(Uring *u, uint32_t index, const struct io_uring_cqe *cqe) {
        IoSlot *slot = &u->io.slots[index];

        if (cqe->res > 0)
                slot->sent += (uint32_t) cqe->res;

        if (cqe->res >= 0 && slot->sent == slot->size)
                end_with(&u->io, index, (int32_t) slot->size);
        else if (cqe->res > 0 || is_transient(cqe->res))
                renew_or_end(u, index, &u->io.counters.renewed);
        else
                end_with(&u->io, index, cqe->res < 0 ? cqe->res : -EIO);
}

static void finish_poll(Uring *u, uint32_t index, const struct io_uring_cqe *cqe) {
        IoSlot *slot = &u->io.slots[index];
        bool more = cqe->flags & IORING_CQE_F_MORE;
        uint32_t found = cqe->res < 0 ? 0 : (uint32_t) cqe->res;

        found &= slot->events | POLLERR | POLLHUP | POLLNVAL;
        if (slot->result != 0) { /* we ended it ourselves */
                if (!more)
                        end_with(&u->io, index, (int32_t) slot->result);
        } else if (cqe->res < 0)
                end_with(&u->io, index, cqe->res);
        else if (found == 0) {
                if (!more)
                        renew_or_end(u, index, &u->io.counters.renewed);
        } else if (slot->multishot)
                deliver_next(u, index, cqe, (IoResult){ .value = (int32_t) found });
        else if (more) {
                slot->result = found;
                uring_cancel_entry(u, -1, cqe->user_data);
        } else
                end_with(&u->io, index, (int32_t) found);
}

static void (*const finish[IO_KIND_COUNT])(Uring *, uint32_t, const struct io_uring_cqe *) = {
        [IO_KIND_ACCEPT] = finish_accept, [IO_KIND_CONNECT] = finish_connect,
        [IO_KIND_RECV] = finish_recv,     [IO_KIND_SEND] = finish_output,
        [IO_KIND_WRITE] = finish_output,  [IO_KIND_POLL] = finish_poll,
};

static void uring_dispatch(Uring *u, const struct io_uring_cqe *cqe) {
        uint32_t index = (uint32_t) (cqe->user_data >> 32);
        const IoSlot *slot = io_slot(&u->io, index, (uint32_t) cqe->user_data);

        if (slot)
                finish[slot->kind](u, index, cqe);
        else if (cqe->user_data == NAME_TIMER)
                u->armed = TIME_INFINITY;
        else if (index != IO_NO_SLOT && cqe->user_data & CANCEL_OF)
                cancel_missed(u, cqe->user_data & ~CANCEL_OF);
        else if (index != IO_NO_SLOT)
                u->io.counters.stale++;

        if (cqe->flags & IORING_CQE_F_BUFFER)
                buffer_give(u, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
}

/* Those that are there now; what callbacks bring about belongs to the next turn. */
static void uring_deliver(Uring *u) {
        unsigned ready = io_uring_cq_ready(&u->ring);
        unsigned head;
        struct io_uring_cqe *cqe;

        io_uring_for_each_cqe(&u->ring, head, cqe) {
                if (ready-- == 0)
                        break;

                struct io_uring_cqe copy = *cqe;
                io_uring_cq_advance(&u->ring, 1);
                uring_dispatch(u, &copy);
        }
}

/* ---- waiting ---- */

static int uring_arm(Uring *u, uint64_t deadline) {
        if (deadline >= u->armed)
                return 0;

        struct io_uring_sqe *entry = uring_entry(u);
        if (!entry)
                return -ENOMEM;

        u->timeout = (struct __kernel_timespec){
                .tv_sec = (int64_t) (deadline / NSEC_PER_SEC),
                .tv_nsec = (int64_t) (deadline % NSEC_PER_SEC),
        };
        if (u->armed == TIME_INFINITY) {
                io_uring_prep_timeout(entry, &u->timeout, 0, IORING_TIMEOUT_ABS);
                entry->user_data = NAME_TIMER;
        } else { /* fails when it has just fired: then its completion is there, and it is set anew */
                io_uring_prep_timeout_update(entry, &u->timeout, NAME_TIMER, IORING_TIMEOUT_ABS);
                entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
                entry->user_data = NAME_UPDATE;
        }
        u->armed = deadline;
        return 0;
}

static int uring_wait(Io *io, uint64_t deadline, bool block) {
        Uring *u = uring_of(io);
        int r = uring_arm(u, deadline);
        if (r < 0)
                return r;

        if (IO_URING_READ_ONCE(*u->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW)
                io->counters.overflows++;
        r = block ? io_uring_submit_and_wait(&u->ring, 1) : io_uring_submit_and_get_events(&u->ring);
        if (r == -EAGAIN || r == -EBUSY) {
                /* Nothing was taken and nothing waited for; it stays queued for the next turn. */
                io->counters.refused++;
                (void) io_uring_get_events(&u->ring);
        } else if (r < 0 && r != -EINTR)
                return r;

        uring_deliver(u);
        return 0;
}

static uint64_t clock_ns(clockid_t clock) {
        struct timespec now;
        int r = clock_gettime(clock, &now);

        assert(r == 0);
        (void) r;
        return (uint64_t) now.tv_sec * NSEC_PER_SEC + (uint64_t) now.tv_nsec;
}

static uint64_t uring_now(Io *io) {
        return clock_ns(CLOCK_MONOTONIC);
}

static uint64_t uring_unix_ms(Io *io) {
        return clock_ns(CLOCK_REALTIME) / NSEC_PER_MSEC;
}

/* ---- set-up ---- */

static const uint8_t allowed_operations[] = {
        IORING_OP_ACCEPT,  IORING_OP_CONNECT,        IORING_OP_RECV,
        IORING_OP_SEND,    IORING_OP_WRITE,          IORING_OP_POLL_ADD,
        IORING_OP_TIMEOUT, IORING_OP_TIMEOUT_REMOVE, IORING_OP_ASYNC_CANCEL,
};

/* By io_uring_register(): liburing 2.3 does not export the functions with the names that fit. A
 * kernel that does not know restrictions is no reason to do without the ring. */
static int ring_enable(Uring *u) {
        unsigned fd = (unsigned) u->ring.ring_fd;
        struct io_uring_restriction rules[ELEMENTSOF(allowed_operations) + 2] = {
                { .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
                  .sqe_flags = IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS },
                { .opcode = IORING_RESTRICTION_REGISTER_OP,
                  .register_op = IORING_UNREGISTER_RING_FDS },
        };

        for (size_t i = 0; i < ELEMENTSOF(allowed_operations); i++)
                rules[i + 2] = (struct io_uring_restriction){
                        .opcode = IORING_RESTRICTION_SQE_OP,
                        .sqe_op = allowed_operations[i],
                };
        u->io.counters.restricted = io_uring_register(
                                                    fd, IORING_REGISTER_RESTRICTIONS, rules,
                                                    ELEMENTSOF(rules)) == 0;
        return io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int ring_make(struct io_uring *ring, unsigned entries) {
        static const unsigned ladder[] = {
                IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
                IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        };
        int r = -EINVAL;

        for (size_t i = 0; i < ELEMENTSOF(ladder) && r == -EINVAL; i++) {
                struct io_uring_params parameters = {
                        .flags = ladder[i] | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
                                        IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
                        .cq_entries = entries * COMPLETIONS_PER_ENTRY,
                };
                r = io_uring_queue_init_params(entries, ring, &parameters);
        }
        return r;
}

/* What a ring of that size counts against RLIMIT_MEMLOCK, the buffer ring included. */
static size_t locked_size(unsigned entries) {
        return RING_OVERHEAD + BUFFER_COUNT * sizeof(struct io_uring_buf) +
                        entries *
                        (sizeof(struct io_uring_sqe) + sizeof(unsigned) +
                         COMPLETIONS_PER_ENTRY * sizeof(struct io_uring_cqe));
}

/* With little locked memory allowed a small ring is better than none. The kernel gives the memory
 * of a refused ring back only after a while, so the limit is looked at before the first attempt;
 * what other processes of the same user hold shows only in the attempt. */
static int ring_make_fitting(struct io_uring *ring, unsigned entries) {
        struct rlimit limit = { .rlim_cur = RLIM_INFINITY };
        int r = -ENOMEM;

        (void) getrlimit(RLIMIT_MEMLOCK, &limit);
        for (;;) {
                bool last = entries <= ENTRIES_MIN;

                if (last || locked_size(entries) <= limit.rlim_cur)
                        r = ring_make(ring, entries);
                if (last || r != -ENOMEM)
                        return r;
                entries /= 2;
        }
}

static int buffers_register(Uring *u) {
        size_t ring_size = BUFFER_COUNT * sizeof(struct io_uring_buf);
        size_t size = ring_size + (size_t) BUFFER_COUNT * BUFFER_SIZE;
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED)
                return -errno;

        u->buffer_ring = (struct io_uring_buf_ring *) (void *) memory;
        u->buffers = memory + ring_size;
        (void) madvise(memory, size, MADV_DONTFORK);

        struct io_uring_buf_reg registration = {
                .ring_addr = (uintptr_t) memory,
                .ring_entries = BUFFER_COUNT,
                .bgid = BUFFER_GROUP,
        };
        int r = io_uring_register_buf_ring(&u->ring, &registration, 0);
        if (r < 0)
                return r;

        io_uring_buf_ring_init(u->buffer_ring);
        for (unsigned i = 0; i < BUFFER_COUNT; i++)
                buffer_give(u, i);
        return 0;
}

static Io *uring_free(Io *io) {
        Uring *u = uring_of(io);

        io_deinit(&u->io);
        if (u->ring.ring_fd >= 0)
                io_uring_queue_exit(&u->ring);
        if (u->buffer_ring)
                (void) munmap(u->buffer_ring,
                              BUFFER_COUNT * (sizeof(struct io_uring_buf) + BUFFER_SIZE));
        free(u->addresses);
        free(u);
        return NULL;
}

static const IoBackend uring_backend = {
        .name = "io_uring",
        .free = uring_free,
        .start = uring_start,
        .cancel = uring_cancel,
        .wait = uring_wait,
        .now = uring_now,
        .unix_ms = uring_unix_ms,
        .socket = kernel_socket,
        .listen_unix = kernel_listen_unix,
        .adopt = kernel_adopt,
        .eventfd = kernel_eventfd,
        .peer_credentials = kernel_peer_credentials,
        .close = kernel_close,
        .spawn = kernel_spawn,
        .kill = kernel_kill,
};

/* Every number that this process may ever be given. */
static size_t descriptor_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return DESCRIPTORS_MAX;
        return (size_t) MIN(limit.rlim_max, DESCRIPTORS_MAX);
}

static const char *explain(int error) {
        static const struct {
                int error;
                const char *text;
        } causes[] = {
                { -EPERM,
                  "io_uring is forbidden here: set kernel.io_uring_disabled to 0, and allow "
                  "io_uring_setup, io_uring_enter and io_uring_register in the unit's or "
                  "container's system call filter" },
                { -EACCES, "io_uring is forbidden by a security module: allow it in its policy" },
                { -ENOSYS,
                  "the kernel has no io_uring, or a filter hides it: use a kernel built with "
                  "CONFIG_IO_URING, and allow io_uring_setup, io_uring_enter and "
                  "io_uring_register in the system call filter" },
                { -ENOMEM, "not enough locked memory for io_uring: raise LimitMEMLOCK= to 8M" },
                { -EINVAL, "the kernel's io_uring is too old: use Linux 6.1 or newer" },
                { -EMFILE, "no descriptor left for io_uring: raise LimitNOFILE=" },
        };

        for (size_t i = 0; i < ELEMENTSOF(causes); i++)
                if (causes[i].error == error)
                        return causes[i].text;
        return "io_uring could not be set up";
}

DEFINE_CLEANUP(Io, io_free)

static int uring_setup(Uring *u, unsigned entries) {
        uint64_t seed[4];

        if (getrandom(seed, sizeof(seed), 0) != (ssize_t) sizeof(seed))
                return -EIO;
        io_seed(&u->io, seed);

        int r = ring_make_fitting(&u->ring, entries ? entries : ENTRIES_DEFAULT);
        if (r < 0) {
                u->ring.ring_fd = -1;
                return r;
        }
        (void) io_uring_ring_dontfork(&u->ring);
        u->addresses = calloc(u->ring.sq.ring_entries, sizeof(*u->addresses));
        if (!u->addresses)
                return -ENOMEM;

        r = buffers_register(u);
        if (r < 0)
                return r;
        /* Saves the look-up of the descriptor at every enter; without it all works the same. */
        (void) io_uring_register_ring_fd(&u->ring);
        return ring_enable(u);
}

int io_new_uring(Io **ret, unsigned entries, const char **ret_message) {
        Uring *u = calloc(1, sizeof(*u));
        if (!u)
                return -ENOMEM;

        int r = io_init(&u->io, &uring_backend, 0, descriptor_limit());
        if (r < 0) {
                free(u);
                return r;
        }
        u->ring.ring_fd = -1;
        u->armed = TIME_INFINITY;

        CLEANUP(cleanup_io_free) Io *io = &u->io;
        r = uring_setup(u, entries);
        if (r < 0) {
                if (ret_message)
                        *ret_message = explain(r);
                return r;
        }
        *ret = TAKE_PTR(io);
        return 0;
}
