/* SPDX-License-Identifier: Apache-2.0 */

/* What all back ends share.
 *
 * Operations live in one table and are named by index and generation; a slot's generation goes up
 * when its last completion is delivered, so a name kept anywhere else (in the kernel, in a
 * simulated network) can be told from that of the slot's next tenant. The slot is freed before the
 * callback runs: the callback may submit the same IoOp again, or free it.
 *
 * A second table counts, for each descriptor, the operations in flight and the cancels so far. The
 * count of cancels closes a gap that every back end has: an operation which has just ended for a
 * private reason (buffers used up, half of the data sent) and is about to be renewed is not there
 * when the cancel looks for it. Whoever renews compares the counts first.
 *
 * A turn is: one batch of completions, then the timers that are due, then the posted tasks. So a
 * result that arrives together with its deadline counts as a result. What callbacks of one phase
 * add to the same phase waits for the next turn: no owner can keep the loop to itself. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/un.h>

#include "io-backend.h"
#include "io.h"
#include "macro.h"

#define SLOTS_FIRST 1024u
#define SLOTS_MAX   (1u << 20)

static bool timer_less(const HeapNode *a, const HeapNode *b) {
        const IoTimer *x = CONTAINER_OF(a, const IoTimer, node);
        const IoTimer *y = CONTAINER_OF(b, const IoTimer, node);

        return x->deadline != y->deadline ? x->deadline < y->deadline : x->order < y->order;
}

int io_init(Io *io, const IoBackend *backend, int base, size_t count) {
        *io = (Io){
                .backend = backend,
                .free_slot = IO_NO_SLOT,
                .descriptor_base = base,
                .n_descriptors = count,
                .timers = HEAP_INIT(timer_less),
        };
        list_init(&io->tasks);

        /* Untouched pages of it cost nothing, so it need not grow. */
        io->descriptors = calloc(count, sizeof(*io->descriptors));
        return io->descriptors ? 0 : -ENOMEM;
}

void io_deinit(Io *io) {
        assert(io->in_flight == 0 && !io->turning);
        heap_deinit(&io->timers);
        free(io->descriptors);
        free(io->slots);
}

Io *io_free(Io *io) {
        return io ? io->backend->free(io) : NULL;
}

const char *io_backend_name(const Io *io) {
        return io->backend->name;
}

size_t io_in_flight(const Io *io) {
        return io->in_flight;
}

size_t io_open_descriptors(const Io *io) {
        return io->open_descriptors;
}

const IoCounters *io_counters(const Io *io) {
        return &io->counters;
}

/* ---- the turn ---- */

static IoTimer *timer_first(const Io *io) {
        HeapNode *node = heap_first(&io->timers);

        return node ? CONTAINER_OF(node, IoTimer, node) : NULL;
}

static void fire_timers(Io *io) {
        IoTimer *timer = timer_first(io);
        uint64_t limit = io->timer_order;

        if (!timer)
                return;

        uint64_t now = io_now(io);
        while (timer && timer->deadline <= now && timer->order < limit) {
                heap_remove(&io->timers, &timer->node);
                timer->fire(timer);
                timer = timer_first(io);
        }
}

static void run_tasks(Io *io) {
        List batch;

        list_move(&batch, &io->tasks);
        while (!list_empty(&batch)) {
                IoTask *task = LIST_FIRST(&batch, IoTask, node);

                list_remove(&task->node);
                task->run(task);
        }
}

int io_turn(Io *io) {
        const IoTimer *timer = timer_first(io);

        assert(!io->turning);
        io->turning = true;
        io->counters.turns++;
        int r = io->backend->wait(io, timer ? timer->deadline : TIME_INFINITY, list_empty(&io->tasks));
        fire_timers(io);
        run_tasks(io);
        io->turning = false;

        return r < 0 ? r : io->error;
}

int io_run(Io *io) {
        int r = 0;

        while (!io->stopped && r >= 0)
                r = io_turn(io);
        io->stopped = false;
        return r;
}

void io_stop(Io *io) {
        io->stopped = true;
}

/* ---- time and chance ---- */

uint64_t io_now(Io *io) {
        return io->backend->now(io);
}

uint64_t io_unix_ms(Io *io) {
        return io->backend->unix_ms(io);
}

void io_seed(Io *io, const uint64_t seed[4]) {
        for (size_t i = 0; i < ELEMENTSOF(io->random); i++)
                io->random[i] = seed[i];
        io->random[0] |= 1; /* all zeroes would stay so for ever */
}

static uint64_t rotate_left(uint64_t x, unsigned bits) {
        return x << bits | x >> (64 - bits);
}

/* xoshiro256** of Blackman and Vigna: jitter, identifiers and hash seeds, not secrets. */
uint64_t io_random(Io *io) {
        uint64_t *s = io->random;
        uint64_t result = rotate_left(s[1] * 5, 7) * 9;
        uint64_t t = s[1] << 17;

        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = rotate_left(s[3], 45);
        return result;
}

int io_timer_set(Io *io, IoTimer *timer, uint64_t deadline) {
        heap_remove(&io->timers, &timer->node);
        timer->deadline = deadline;
        timer->order = io->timer_order++;
        return heap_insert(&io->timers, &timer->node);
}

void io_timer_cancel(Io *io, IoTimer *timer) {
        heap_remove(&io->timers, &timer->node);
}

void io_post(Io *io, IoTask *task) {
        if (list_empty(&task->node))
                list_append(&io->tasks, &task->node);
}

void io_unpost(IoTask *task) {
        list_remove(&task->node);
}

/* ---- operations ---- */

static int slots_grow(Io *io) {
        uint32_t n = io->n_slots ? io->n_slots * 2 : SLOTS_FIRST;

        if (n > SLOTS_MAX)
                return -ENOSPC;

        IoSlot *slots = reallocarray(io->slots, n, sizeof(*slots));
        if (!slots)
                return -ENOMEM;

        for (uint32_t i = n; i-- > io->n_slots;) {
                slots[i] = (IoSlot){ .next = io->free_slot };
                io->free_slot = i;
        }
        io->slots = slots;
        io->n_slots = n;
        return 0;
}

IoSlot *io_slot(Io *io, uint32_t index, uint32_t generation) {
        if (index >= io->n_slots || !io->slots[index].op || io->slots[index].generation != generation)
                return NULL;
        return &io->slots[index];
}

IoDescriptor *io_descriptor(Io *io, int fd) {
        size_t place = (size_t) fd - (size_t) io->descriptor_base;

        return fd >= io->descriptor_base && place < io->n_descriptors ? &io->descriptors[place] :
                                                                        NULL;
}

static IoDescriptor *slot_descriptor(Io *io, const IoSlot *slot) {
        return &io->descriptors[slot->fd - io->descriptor_base];
}

bool io_slot_cancelled(Io *io, const IoSlot *slot) {
        return slot_descriptor(io, slot)->cancels != slot->cancels;
}

/* A descriptor has one or two operations in flight, so the walk is short. */
static void slot_unlink(Io *io, uint32_t index) {
        IoDescriptor *descriptor = slot_descriptor(io, &io->slots[index]);
        uint32_t *link = &descriptor->first;

        while (*link != index + 1)
                link = &io->slots[*link - 1].sibling;
        *link = io->slots[index].sibling;
        descriptor->operations--;
}

static void slot_free(Io *io, uint32_t index) {
        IoSlot *slot = &io->slots[index];

        slot_unlink(io, index);

        slot->op->in_flight = false;
        slot->op = NULL;
        slot->generation++;
        slot->next = io->free_slot;
        io->free_slot = index;
        io->in_flight--;
}

static int op_start(Io *io, IoOp *op, const IoSlot *wanted) {
        IoDescriptor *descriptor = io_descriptor(io, wanted->fd);

        assert(!op->in_flight && op->done);
        if (!descriptor)
                return -EBADF;
        if (io->free_slot == IO_NO_SLOT) {
                int r = slots_grow(io);
                if (r < 0)
                        return r;
        }

        uint32_t index = io->free_slot;
        IoSlot *slot = &io->slots[index];
        uint32_t generation = slot->generation;

        io->free_slot = slot->next;
        *slot = *wanted;
        slot->op = op;
        slot->generation = generation;
        slot->cancels = descriptor->cancels;
        slot->sibling = descriptor->first;
        descriptor->first = index + 1;
        descriptor->operations++;
        io->in_flight++;
        op->index = index;
        op->in_flight = true;

        int r = io->backend->start(io, index);
        if (r < 0)
                slot_free(io, index);
        return r;
}

void io_complete(Io *io, uint32_t index, const IoResult *result) {
        IoOp *op = io->slots[index].op;
        IoResult kept = *result;

        assert(io->turning && op);
        io->counters.completions++;
        if (io->slots[index].kind == IO_KIND_ACCEPT && kept.value >= 0)
                kept.value = io_keep_descriptor(io, kept.value);
        if (!kept.more)
                slot_free(io, index);
        op->done(op, &kept);
}

int io_accept(Io *io, IoOp *op, int fd) {
        return op_start(io, op, &(IoSlot){ .kind = IO_KIND_ACCEPT, .fd = fd, .multishot = true });
}

int io_connect(Io *io, IoOp *op, int fd, const struct sockaddr *address, socklen_t size) {
        if (size > sizeof(struct sockaddr_un))
                return -EINVAL;
        return op_start(io, op,
                        &(IoSlot){
                                        .kind = IO_KIND_CONNECT,
                                        .fd = fd,
                                        .data = address,
                                        .size = size,
                        });
}

int io_recv(Io *io, IoOp *op, int fd, bool multishot) {
        return op_start(io, op, &(IoSlot){ .kind = IO_KIND_RECV, .fd = fd, .multishot = multishot });
}

int io_send(Io *io, IoOp *op, int fd, const void *data, size_t size) {
        if (size > INT32_MAX) /* the result could not say so */
                return -EMSGSIZE;
        return op_start(io, op,
                        &(IoSlot){
                                        .kind = IO_KIND_SEND,
                                        .fd = fd,
                                        .data = data,
                                        .size = (uint32_t) size,
                        });
}

int io_write(Io *io, IoOp *op, int fd, const void *data, size_t size, uint64_t offset) {
        if (size > INT32_MAX)
                return -EMSGSIZE;
        if (offset > INT64_MAX - size) /* as no file is; the greatest would mean something else */
                return -EFBIG;
        return op_start(io, op,
                        &(IoSlot){
                                        .kind = IO_KIND_WRITE,
                                        .fd = fd,
                                        .data = data,
                                        .size = (uint32_t) size,
                                        .offset = offset,
                        });
}

int io_poll(Io *io, IoOp *op, int fd, short events, unsigned flags) {
        return op_start(io, op,
                        &(IoSlot){
                                        .kind = IO_KIND_POLL,
                                        .fd = fd,
                                        .events = (uint16_t) events,
                                        .multishot = (flags & IO_POLL_EDGE) != 0,
                        });
}

void io_cancel(Io *io, int fd) {
        IoDescriptor *descriptor = io_descriptor(io, fd);

        if (!descriptor || descriptor->operations == 0)
                return;
        descriptor->cancels++;
        io->backend->cancel(io, fd);
}

/* ---- descriptors ---- */

int io_keep_descriptor(Io *io, int fd) {
        if (fd < 0)
                return fd;

        IoDescriptor *descriptor = io_descriptor(io, fd);
        if (!descriptor) { /* the limit was raised behind our back */
                io->backend->close(io, fd);
                return -EMFILE;
        }
        assert(!descriptor->open && descriptor->operations == 0);
        descriptor->open = true;
        io->open_descriptors++;
        return fd;
}

int io_socket(Io *io, int family) {
        return io_keep_descriptor(io, io->backend->socket(io, family));
}

int io_listen_unix(Io *io, const char *path, mode_t mode) {
        return io_keep_descriptor(io, io->backend->listen_unix(io, path, mode));
}

int io_eventfd(Io *io) {
        return io_keep_descriptor(io, io->backend->eventfd(io));
}

int io_adopt(Io *io, int fd) {
        int r = io->backend->adopt(io, fd);
        if (r < 0)
                return r;

        r = io_keep_descriptor(io, fd);
        return r < 0 ? r : 0;
}

int io_peer_credentials(Io *io, int fd, struct ucred *ret) {
        return io->backend->peer_credentials(io, fd, ret);
}

void io_close(Io *io, int fd) {
        IoDescriptor *descriptor = io_descriptor(io, fd);

        assert(descriptor && descriptor->open && descriptor->operations == 0);
        descriptor->open = false;
        io->open_descriptors--;
        io->backend->close(io, fd);
}

/* ---- processes ---- */

int io_spawn(Io *io, IoProcess *process, const IoSpawn *spawn) {
        return io->backend->spawn(io, process, spawn);
}

void io_kill(Io *io, IoProcess *process, int signal) {
        io->backend->kill(io, process, signal);
}
