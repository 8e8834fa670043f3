/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What every back end must do alike: one set of tests, run once for each back end. The test program
 * of a back end provides the few things that the I/O interface has no call for. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io.h"

typedef struct World {
        Io *io;
        char path[108];                     /* of a Unix socket, not there yet */
        void (*half_close)(Io *io, int fd); /* no more sending */
        void (*ring)(Io *io, int fd);       /* what another process does to an eventfd */
        int (*limit)(Io *io, int spare);    /* leaves room for so many descriptors; < 0: for many */
        int (*file)(Io *io, bool protect);  /* an empty file, adopted; protect: for reading only */
        char *(*content)(Io *io, int fd, size_t *ret_size); /* of a file; the caller frees */
} World;

/* Records what an operation yields. */
typedef struct Probe {
        IoOp op;
        World *world;
        unsigned calls;
        unsigned ends;
        int32_t first;
        int32_t last;
        char *bytes; /* received, when not NULL */
        size_t size;
        size_t capacity;
} Probe;

void probe_init(Probe *probe, World *world);
/* Turns until the condition holds; fails the test when that takes absurdly long. */
#define RUN_UNTIL(w, condition)                          \
        do {                                             \
                Guard _guard;                            \
                guard_start(&_guard, (w));               \
                while (!(condition))                     \
                        guard_turn(&_guard);             \
                io_timer_cancel((w)->io, &_guard.timer); \
        } while (0)

typedef struct Guard {
        IoTimer timer;
        World *world;
} Guard;
void guard_start(Guard *guard, World *world);
void guard_turn(Guard *guard);

/* Two connected Unix stream sockets. */
void make_pair(World *world, int *ret_client, int *ret_server);

/* All of them; the program's set-up stores a World in *state. */
#define BEHAVIOUR_LIST(X)      \
        X(echo)                \
        X(single_receive)      \
        X(half_close)          \
        X(peer_close)          \
        X(poll_output)         \
        X(large_send)          \
        X(send_to_closed)      \
        X(cancel)              \
        X(cancel_with_data)    \
        X(cancel_from_receive) \
        X(cancel_connect_pair) \
        X(buffers_run_out)     \
        X(descriptor_reuse)    \
        X(connect_refused)     \
        X(listen_twice)        \
        X(no_descriptors)      \
        X(doorbell)            \
        X(free_in_callback)    \
        X(many_operations)     \
        X(bad_arguments)       \
        X(not_connected)       \
        X(write)               \
        X(write_large)         \
        X(write_cancelled)     \
        X(write_refused)       \
        X(timers_in_order)     \
        X(timers_changed)      \
        X(timer_not_kept_busy) \
        X(tasks)               \
        X(stop)                \
        X(randomness)

#define BEHAVIOUR_DECLARE(name) void behaves_##name(void **state);
BEHAVIOUR_LIST(BEHAVIOUR_DECLARE)
