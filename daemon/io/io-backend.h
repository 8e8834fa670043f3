/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to daemon/io/: what io.c and a back end agree on.
 *
 * io.c owns everything that is the same everywhere: the table of operations, the table of
 * descriptors, timers, tasks, the turn and chance. A back end starts what stands in a slot, and
 * reports through io_complete() from within its wait(), never from elsewhere.
 *
 * A slot is named by (index, generation) whenever the name leaves this process's hands; io_slot()
 * gives NULL for a name whose operation has ended. Pointers to slots do not outlive a call that may
 * submit: the table moves when it grows. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "heap.h"
#include "io.h"
#include "list.h"

typedef enum IoKind {
        IO_KIND_ACCEPT,
        IO_KIND_CONNECT,
        IO_KIND_RECV,
        IO_KIND_SEND,
        IO_KIND_WRITE,
        IO_KIND_POLL,
        IO_KIND_COUNT,
} IoKind;

typedef struct IoSlot {
        IoOp *op;         /* NULL: the slot is free */
        const void *data; /* send, write: all of it; connect: the address, valid during start() only */
        uint64_t offset; /* write: of the first byte of the data */
        uint32_t size;
        uint32_t sent; /* send, write: bytes that have left already */
        int32_t fd;
        uint32_t events; /* poll: events waited for */
        uint32_t result; /* poll: events found, kept until the operation has really ended */
        uint32_t generation;
        uint32_t cancels; /* the descriptor's count when the operation was submitted */
        uint32_t next;    /* of the free list; free for the back end while in flight */
        uint32_t sibling; /* next operation on the same descriptor, as IoDescriptor.first */
        uint8_t kind;
        bool multishot;
} IoSlot;

static_assert(sizeof(IoSlot) <= 64, "an operation costs one cache line at most");

typedef struct IoDescriptor {
        uint32_t operations; /* in flight on it */
        uint32_t first;      /* one of them: its index plus one, so that zeroes say none */
        uint32_t cancels; /* calls of io_cancel(), so that none is lost while a back end renews */
        bool open;        /* made here and not closed yet */
} IoDescriptor;

typedef struct IoBackend {
        const char *name;
        Io *(*free)(Io *io);

        /* Starts the operation in the slot; its end comes through io_complete(), later. */
        int (*start)(Io *io, uint32_t index);
        /* Ends every operation on the descriptor; io.c has counted the cancel already. */
        void (*cancel)(Io *io, int fd);
        /* Delivers one batch of completions. Waits for one when `block`, yet not past
         * `deadline`. */
        int (*wait)(Io *io, uint64_t deadline, bool block);

        uint64_t (*now)(Io *io);
        uint64_t (*unix_ms)(Io *io);

        int (*socket)(Io *io, int family);
        int (*listen_unix)(Io *io, const char *path, mode_t mode);
        int (*adopt)(Io *io, int fd);
        int (*eventfd)(Io *io);
        int (*peer_credentials)(Io *io, int fd, struct ucred *ret);
        void (*close)(Io *io, int fd);

        int (*spawn)(Io *io, IoProcess *process, const IoSpawn *spawn);
        void (*kill)(Io *io, IoProcess *process, int signal);
} IoBackend;

struct Io {
        const IoBackend *backend;

        IoSlot *slots;
        uint32_t n_slots;
        uint32_t free_slot; /* head of the free list, IO_NO_SLOT at its end */
        size_t in_flight;

        IoDescriptor *descriptors; /* by number, from descriptor_base */
        int descriptor_base;
        size_t n_descriptors;
        size_t open_descriptors;

        Heap timers;
        uint64_t timer_order;
        List tasks;

        uint64_t random[4];
        IoCounters counters;
        int error; /* the loop cannot go on */
        bool turning;
        bool stopped;
};

#define IO_NO_SLOT UINT32_MAX

/* Descriptors below `base` and from base + count on are refused. -ENOMEM. */
int io_init(Io *io, const IoBackend *backend, int base, size_t count);
void io_deinit(Io *io);
void io_seed(Io *io, const uint64_t seed[4]);

/* NULL when that operation has ended. */
IoSlot *io_slot(Io *io, uint32_t index, uint32_t generation);
/* NULL when the number is out of range. */
IoDescriptor *io_descriptor(Io *io, int fd);
/* io_cancel() was called on its descriptor since it was submitted. */
bool io_slot_cancelled(Io *io, const IoSlot *slot);

/* Hands a result to the owner; frees the slot first when it is the last one. */
void io_complete(Io *io, uint32_t index, const IoResult *result);
/* The count of a descriptor just made: its number, or -EMFILE when that is out of range. */
int io_keep_descriptor(Io *io, int fd);

/* The kernel's sockets and processes, for every back end that works on real ones. */
int kernel_socket(Io *io, int family);
int kernel_listen_unix(Io *io, const char *path, mode_t mode);
int kernel_adopt(Io *io, int fd);
int kernel_eventfd(Io *io);
int kernel_peer_credentials(Io *io, int fd, struct ucred *ret);
void kernel_close(Io *io, int fd);
int kernel_spawn(Io *io, IoProcess *process, const IoSpawn *spawn);
void kernel_kill(Io *io, IoProcess *process, int signal);
