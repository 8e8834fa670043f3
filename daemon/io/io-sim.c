/* SPDX-License-Identifier: Apache-2.0 */

/* The simulator's loop, descriptors and processes; the network is in io-sim-link.c.
 *
 * Whatever is to happen stands in one heap of events. A turn carries out those that are due; when
 * there are none and the loop may wait, time jumps to the next event or to the loop's own deadline.
 * What the events bring about comes later, in the next turn at the earliest: nothing is ever
 * delivered from within a call of the program.
 *
 * A descriptor looks at its operations in one event, `progress`, scheduled whenever something about
 * it may have changed. It completes one operation at a time and schedules itself again before,
 * so that after the call to the owner nothing is touched that the owner may have freed. */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "io-sim-private.h"
#include "macro.h"

#define LATENCY_DEFAULT     (50 * NSEC_PER_USEC)
#define JITTER_DEFAULT      (10 * NSEC_PER_MSEC)
#define WINDOW_DEFAULT      65536u
#define DESCRIPTORS_DEFAULT 16384u
#define CONNECT_TIMEOUT     (127 * NSEC_PER_SEC) /* of the kernel's default of six retries */

#define START_NOW     (1000 * NSEC_PER_SEC)
#define START_UNIX_MS UINT64_C(1767225600000) /* 2026-01-01 */

#define RANK_USUAL (UINT64_MAX / 2)

Sim *sim_of(Io *io) {
        return CONTAINER_OF(io, Sim, io);
}

void *sim_alloc(size_t size) {
        void *memory = calloc(1, size);

        if (!memory)
                abort();
        return memory;
}

/* ---- chance and trace ---- */

/* The finishing function of splitmix64. */
static uint64_t mix(uint64_t x) {
        x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
        return x ^ x >> 31;
}

uint64_t sim_random(Sim *sim) {
        sim->chance += UINT64_C(0x9e3779b97f4a7c15);
        return mix(sim->chance);
}

bool sim_chance(Sim *sim, SimFault fault) {
        uint32_t chance = sim->options.faults[fault];

        return chance > 0 && sim_random(sim) % SIM_ALWAYS < chance;
}

uint64_t sim_jitter(Sim *sim) {
        return sim_chance(sim, SIM_DELAY) ? sim_random(sim) % (sim->options.jitter + 1) : 0;
}

void sim_trace(Sim *sim, uint64_t value) {
        sim->trace = mix(sim->trace ^ sim->now) + value;
}

void sim_set_fault(Io *io, SimFault fault, uint32_t chance) {
        sim_of(io)->options.faults[fault] = chance;
}

uint64_t sim_trace_hash(const Io *io) {
        return CONTAINER_OF(io, const Sim, io)->trace;
}

/* ---- events ---- */

static bool event_less(const HeapNode *a, const HeapNode *b) {
        const SimEvent *x = CONTAINER_OF(a, const SimEvent, node);
        const SimEvent *y = CONTAINER_OF(b, const SimEvent, node);

        if (x->when != y->when)
                return x->when < y->when;
        return x->rank != y->rank ? x->rank < y->rank : x->order < y->order;
}

void sim_schedule(Sim *sim, SimEvent *event, uint64_t when) {
        event->when = MAX(when, sim->now);
        event->rank = sim_chance(sim, SIM_REORDER) ? sim_random(sim) : RANK_USUAL;
        event->order = sim->event_order++;
        if (heap_insert(&sim->events, &event->node) < 0)
                abort();
}

static SimEvent *event_first(const Sim *sim) {
        HeapNode *node = heap_first(&sim->events);

        return node ? CONTAINER_OF(node, SimEvent, node) : NULL;
}

static int sim_advance(Sim *sim, uint64_t deadline) {
        const SimEvent *first = event_first(sim);
        uint64_t next = first ? MIN(first->when, deadline) : deadline;

        if (next == TIME_INFINITY)
                return -EDEADLK;
        sim->now = MAX(sim->now, next);
        return 0;
}

static int sim_wait(Io *io, uint64_t deadline, bool block) {
        Sim *sim = sim_of(io);

        LIST_FOREACH(node, &sim->hooks) {
                const SimHook *hook = LIST_ENTRY(node, SimHook, node);

                hook->run(io, hook->userdata);
        }

        int r = block ? sim_advance(sim, deadline) : 0;
        uint64_t limit = sim->event_order;
        SimEvent *event = event_first(sim);

        while (event && event->when <= sim->now && event->order < limit) {
                heap_remove(&sim->events, &event->node);
                sim_trace(sim, event->order);
                event->run(sim, event);
                event = event_first(sim);
        }
        return r;
}

bool sim_idle(const Io *io) {
        const Sim *sim = CONTAINER_OF(io, const Sim, io);
        const HeapNode *timer = heap_first(&io->timers);

        return sim->events.count == 0 && list_empty(&io->tasks) &&
                        (!timer ||
                         CONTAINER_OF(timer, const IoTimer, node)->deadline == TIME_INFINITY);
}

/* An event about one operation, which may have ended by then. */
typedef struct OpEvent {
        SimEvent event;
        uint32_t index;
        uint32_t generation;
        SimAddress address; /* of a connect */
        socklen_t size;
} OpEvent;

static OpEvent *op_event_new(Sim *sim, uint32_t index, void (*run)(Sim *sim, SimEvent *event)) {
        OpEvent *event = sim_alloc(sizeof(*event));

        event->event.run = run;
        event->index = index;
        event->generation = sim->io.slots[index].generation;
        return event;
}

typedef struct CallEvent {
        SimEvent event;
        void (*run)(Io *io, void *userdata);
        void *userdata;
} CallEvent;

static void call_run(Sim *sim, SimEvent *event) {
        CallEvent *call = CONTAINER_OF(event, CallEvent, event);

        call->run(&sim->io, call->userdata);
        free(call);
}

void sim_at(Io *io, uint64_t when, void (*run)(Io *io, void *userdata), void *userdata) {
        CallEvent *call = sim_alloc(sizeof(*call));

        *call = (CallEvent){ .event.run = call_run, .run = run, .userdata = userdata };
        sim_schedule(sim_of(io), &call->event, when);
}

void sim_every_turn(Io *io, void (*run)(Io *io, void *userdata), void *userdata) {
        SimHook *hook = sim_alloc(sizeof(*hook));

        *hook = (SimHook){ .run = run, .userdata = userdata };
        list_append(&sim_of(io)->hooks, &hook->node);
}

/* ---- descriptors and their operations ---- */

SimFile *sim_file_find(Sim *sim, int fd) {
        return fd >= SIM_FIRST_FD && fd < SIM_FIRST_FD + (int) SIM_FILES ?
                        sim->files[fd - SIM_FIRST_FD] :
                        NULL;
}

/* Of a descriptor that is open for certain. */
static SimFile *file_at(Sim *sim, int fd) {
        SimFile *file = sim_file_find(sim, fd);

        assert(file);
        return file;
}

static void progress_run(Sim *sim, SimEvent *event);

SimFile *sim_file_new(Sim *sim, SimFileKind kind, int family) {
        size_t place = 0;

        if (kind != SIM_FILE_PROCESS &&
            (sim->n_open >= sim->options.max_descriptors || sim_chance(sim, SIM_NO_DESCRIPTOR)))
                return NULL;
        while (place < SIM_FILES && sim->files[place])
                place++;
        if (place == SIM_FILES)
                return NULL;

        SimFile *file = sim_alloc(sizeof(*file));
        *file = (SimFile){
                .sim = sim,
                .kind = kind,
                .fd = SIM_FIRST_FD + (int) place,
                .family = family,
                .serial = sim->file_serial++,
                .first_op = IO_NO_SLOT,
                .last_op = IO_NO_SLOT,
                .progress.run = progress_run,
        };
        list_init(&file->pending);
        sim->files[place] = file;
        sim->n_open += kind != SIM_FILE_PROCESS;
        return file;
}

void sim_file_wake(SimFile *file) {
        if (!heap_contains(&file->progress.node))
                sim_schedule(file->sim, &file->progress,
                             time_add(file->sim->now, sim_jitter(file->sim)));
}

static void file_add_op(SimFile *file, uint32_t index) {
        IoSlot *slots = file->sim->io.slots;

        slots[index].next = IO_NO_SLOT;
        if (file->last_op == IO_NO_SLOT)
                file->first_op = index;
        else
                slots[file->last_op].next = index;
        file->last_op = index;
}

static void file_remove_op(SimFile *file, uint32_t index) {
        IoSlot *slots = file->sim->io.slots;
        uint32_t before = IO_NO_SLOT;

        for (uint32_t i = file->first_op; i != index; i = slots[i].next)
                before = i;
        if (before == IO_NO_SLOT)
                file->first_op = slots[index].next;
        else
                slots[before].next = slots[index].next;
        if (file->last_op == index)
                file->last_op = before;
}

static void file_complete(SimFile *file, uint32_t index, const IoResult *result) {
        Sim *sim = file->sim;

        sim_trace(sim, ((uint64_t) (uint32_t) file->fd << 32) + (uint32_t) result->value);
        if (!result->more)
                file_remove_op(file, index);
        io_complete(&sim->io, index, result);
}

static bool accept_try(SimFile *file, IoSlot *slot, IoResult *result) {
        if (file->kind != SIM_FILE_LISTENER) {
                result->value = -EINVAL;
                return true;
        }
        /* The kernel takes the number first, and looks for a connection then. */
        if (file->sim->n_open >= file->sim->options.max_descriptors) {
                result->value = -EMFILE;
                return true;
        }
        if (list_empty(&file->pending))
                return false;

        SimFile *accepted = sim_file_new(file->sim, SIM_FILE_SOCKET, AF_UNIX);
        if (!accepted) {
                result->value = -EMFILE;
                return true;
        }
        SimEnd *end = LIST_ENTRY(file->pending.next, SimEnd, pending);
        list_remove(&end->pending);
        end->file = accepted;
        accepted->end = end;
        *result = (IoResult){ .value = accepted->fd, .more = true };
        return true;
}

static bool recv_try(SimFile *file, IoSlot *slot, IoResult *result) {
        SimEnd *end = file->end;

        if (!end)
                result->value = file->family == AF_UNIX ? -EINVAL : -ENOTCONN;
        else if (end->inbox_size > 0 && sim_chance(file->sim, SIM_RECV_RESET)) {
                sim_end_lose(end);
                result->value = -ECONNRESET;
        } else if (end->inbox_size > 0) {
                size_t size = sim_end_take(end, file->sim->buffer, sizeof(file->sim->buffer));

                *result = (IoResult){
                        .value = (int32_t) size,
                        .data = file->sim->buffer,
                        .more = slot->multishot,
                };
        } else if (end->error < 0) { /* once; then it looks like any end */
                result->value = end->error;
                end->error = 0;
        } else if (end->finished)
                result->value = 0;
        else
                return false;
        return true;
}

static bool send_try(SimFile *file, IoSlot *slot, IoResult *result) {
        SimEnd *end = file->end;

        if (!end)
                result->value = file->family == AF_UNIX ? -ENOTCONN : -EPIPE;
        else if (end->lost || (end->closed && end->link->local))
                result->value = -EPIPE;
        else if (slot->sent == 0 && sim_chance(file->sim, SIM_SEND_RESET)) {
                sim_end_lose(end);
                result->value = -ECONNRESET;
        } else {
                uint32_t n = (uint32_t) MIN((size_t) (slot->size - slot->sent), sim_end_room(end));

                sim_end_send(sim_end_other(end), SIM_CHUNK_DATA,
                             (const char *) slot->data + slot->sent, n, 0);
                slot->sent += n;
                result->value = (int32_t) slot->size;
                return slot->sent == slot->size;
        }
        return true;
}

/* Bytes between the end of the file and what is written behind it are zeroes. */
static void content_put(Buffer *content, uint64_t offset, const void *data, size_t size) {
        size_t end = (size_t) offset + size;

        if (size == 0)
                return;
        if (end > content->size) {
                if (buffer_reserve(content, end - content->size) < 0)
                        abort();
                memset(content->data + content->size, 0, end - content->size);
                content->size = end;
        }
        memcpy(content->data + offset, data, size);
}

static bool write_try(SimFile *file, IoSlot *slot, IoResult *result) {
        Sim *sim = file->sim;
        size_t size = slot->size;

        result->value = (int32_t) slot->size;
        if (file->kind != SIM_FILE_REGULAR || file->read_only) {
                result->value = -EBADF;
                return true;
        }
        if (sim_chance(sim, SIM_WRITE_ERROR))
                result->value = -EIO;
        else if (sim_chance(sim, SIM_WRITE_FULL))
                result->value = -ENOSPC;
        if (result->value < 0)
                size = (size_t) (sim_random(sim) % (size + 1));
        content_put(&file->content, slot->offset, slot->data, size);
        return true;
}

static uint32_t file_state(const SimFile *file) {
        const SimEnd *end = file->end;
        uint32_t state = 0;

        if (!end)
                return file->ready || !list_empty(&file->pending) ? POLLIN : 0;
        if (end->inbox_size > 0 || end->finished)
                state |= POLLIN;
        if (end->finished)
                state |= POLLRDHUP;
        if (end->lost || (end->closed && end->link->local))
                state |= POLLHUP;
        if (end->error < 0)
                state |= POLLERR;
        if (sim_end_room(end) > 0 || end->closed)
                state |= POLLOUT;
        return state;
}

static bool poll_try(SimFile *file, IoSlot *slot, IoResult *result) {
        uint32_t found = file_state(file) & (slot->events | POLLERR | POLLHUP);

        /* `sent` counts the edges seen, one ahead of the file's so that the state at first
         * counts. */
        if (found == 0 || (slot->multishot && slot->sent == file->edges + 1))
                return false;
        slot->sent = file->edges + 1;
        *result = (IoResult){ .value = (int32_t) found, .more = slot->multishot };
        return true;
}

static bool connect_try(SimFile *file, IoSlot *slot, IoResult *result) {
        return false; /* has an event of its own */
}

/* True when the operation has something to tell. */
static bool (*const op_try[IO_KIND_COUNT])(SimFile *file, IoSlot *slot, IoResult *result) = {
        [IO_KIND_ACCEPT] = accept_try, [IO_KIND_CONNECT] = connect_try, [IO_KIND_RECV] = recv_try,
        [IO_KIND_SEND] = send_try,     [IO_KIND_WRITE] = write_try,     [IO_KIND_POLL] = poll_try,
};

static void progress_run(Sim *sim, SimEvent *event) {
        SimFile *file = CONTAINER_OF(event, SimFile, progress);
        IoSlot *slots = sim->io.slots;

        for (uint32_t i = file->first_op; i != IO_NO_SLOT; i = slots[i].next) {
                IoResult result = { 0 };

                if (!op_try[slots[i].kind](file, &slots[i], &result))
                        continue;
                sim_file_wake(file);
                file_complete(file, i, &result);
                return;
        }
}

static void connect_run(Sim *sim, SimEvent *event) {
        OpEvent *connecting = CONTAINER_OF(event, OpEvent, event);
        const IoSlot *slot = io_slot(&sim->io, connecting->index, connecting->generation);

        if (slot) {
                SimFile *file = file_at(sim, slot->fd);
                int r = slot->events ?
                                -(int) slot->events :
                                sim_link_connect(sim, file, &connecting->address.any, connecting->size);

                file_complete(file, connecting->index, &(IoResult){ .value = r });
        }
        free(connecting);
}

/* A fault stands in `events`, unused otherwise, until the time has come to tell it. */
static void connect_start(Sim *sim, uint32_t index) {
        IoSlot *slot = &sim->io.slots[index];
        uint64_t delay = sim->options.latency + sim_jitter(sim);

        if (sim_chance(sim, SIM_CONNECT_HANG))
                return;
        if (sim_chance(sim, SIM_CONNECT_TIMEOUT)) {
                slot->events = ETIMEDOUT;
                delay = CONNECT_TIMEOUT;
        } else if (sim_chance(sim, SIM_CONNECT_REFUSED))
                slot->events = ECONNREFUSED;

        OpEvent *event = op_event_new(sim, index, connect_run);
        memcpy(&event->address, slot->data, slot->size);
        event->size = slot->size;
        sim_schedule(sim, &event->event, time_add(sim->now, delay));
}

static int sim_start(Io *io, uint32_t index) {
        Sim *sim = sim_of(io);
        const IoSlot *slot = &io->slots[index];
        SimFile *file = sim_file_find(sim, slot->fd);

        if (!file)
                return -EBADF;
        file_add_op(file, index);
        if (slot->kind == IO_KIND_CONNECT)
                connect_start(sim, index);
        else
                sim_file_wake(file);
        return 0;
}

static void cancel_run(Sim *sim, SimEvent *event) {
        OpEvent *cancelled = CONTAINER_OF(event, OpEvent, event);
        const IoSlot *slot = io_slot(&sim->io, cancelled->index, cancelled->generation);

        if (slot)
                file_complete(file_at(sim, slot->fd), cancelled->index,
                              &(IoResult){ .value = -ECANCELED });
        free(cancelled);
}

/* What has happened already may still be told before, never what is submitted afterwards. */
static void sim_cancel(Io *io, int fd) {
        Sim *sim = sim_of(io);
        const SimFile *file = file_at(sim, fd);

        for (uint32_t i = file->first_op; i != IO_NO_SLOT; i = io->slots[i].next)
                sim_schedule(sim, &op_event_new(sim, i, cancel_run)->event, sim->now);
}

/* ---- what the program calls ---- */

static int file_number(const SimFile *file) {
        return file ? file->fd : -EMFILE;
}

static int sim_socket(Io *io, int family) {
        if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
                return -EAFNOSUPPORT;
        return file_number(sim_file_new(sim_of(io), SIM_FILE_SOCKET, family));
}

static int listen_at(Sim *sim, const char *path) {
        SimAddress address = sim_unix_address(path);
        SimListener *listener = sim_listener_get(sim, &address.any, sizeof(address.local));

        if (listener->file || listener->ops)
                return -EADDRINUSE;

        SimFile *file = sim_file_new(sim, SIM_FILE_LISTENER, AF_UNIX);
        if (file) {
                file->listener = listener;
                listener->file = file;
        }
        return file_number(file);
}

static int sim_listen_unix(Io *io, const char *path, mode_t mode) {
        size_t length = strlen(path);

        if (length == 0 || length >= sizeof((struct sockaddr_un){ 0 }.sun_path))
                return -ENAMETOOLONG;
        return listen_at(sim_of(io), path);
}

int sim_activated_listener(Io *io, const char *path) {
        return listen_at(sim_of(io), path);
}

static int sim_adopt(Io *io, int fd) {
        return sim_file_find(sim_of(io), fd) ? 0 : -EBADF;
}

static int sim_eventfd(Io *io) {
        return file_number(sim_file_new(sim_of(io), SIM_FILE_BELL, AF_UNSPEC));
}

static int sim_peer_credentials(Io *io, int fd, struct ucred *ret) {
        const SimFile *file = sim_file_find(sim_of(io), fd);

        if (!file || !file->end)
                return -ENOTCONN;

        const SimPeer *peer = sim_end_other(file->end)->peer;
        *ret = peer ? peer->credentials :
                      (struct ucred){ .pid = getpid(), .uid = getuid(), .gid = getgid() };
        return 0;
}

static void file_free(SimFile *file) {
        Sim *sim = file->sim;

        assert(file->first_op == IO_NO_SLOT);
        heap_remove(&sim->events, &file->progress.node);
        if (file->end)
                sim_end_close(file->end);
        if (file->listener)
                sim_listener_close(file);
        sim->files[file->fd - SIM_FIRST_FD] = NULL;
        sim->n_open -= file->kind != SIM_FILE_PROCESS;
        buffer_deinit(&file->content);
        free(file);
}

static void sim_close(Io *io, int fd) {
        file_free(file_at(sim_of(io), fd));
}

int sim_file(Io *io) {
        return file_number(sim_file_new(sim_of(io), SIM_FILE_REGULAR, AF_UNSPEC));
}

static SimFile *regular_file_at(Io *io, int fd) {
        SimFile *file = file_at(sim_of(io), fd);

        assert(file->kind == SIM_FILE_REGULAR);
        return file;
}

void sim_file_protect(Io *io, int fd) {
        regular_file_at(io, fd)->read_only = true;
}

const void *sim_file_data(Io *io, int fd, size_t *ret_size) {
        const Buffer *content = &regular_file_at(io, fd)->content;

        *ret_size = content->size;
        return content->data;
}

void sim_ring(Io *io, int fd) {
        SimFile *file = file_at(sim_of(io), fd);

        assert(file->kind == SIM_FILE_BELL);
        file->ready = true;
        file->edges++;
        sim_file_wake(file);
}

void sim_half_close(Io *io, int fd) {
        const SimFile *file = file_at(sim_of(io), fd);

        assert(file->end);
        sim_end_send(sim_end_other(file->end), SIM_CHUNK_FINISH, NULL, 0, 0);
}

void sim_limit_descriptors(Io *io, size_t spare) {
        Sim *sim = sim_of(io);

        sim->options.max_descriptors = sim->n_open + spare;
}

/* ---- processes ---- */

static void process_ended(IoOp *op, const IoResult *result) {
        IoProcess *process = CONTAINER_OF(op, IoProcess, op);
        Sim *sim = sim_of(process->io);
        SimFile *file = file_at(sim, process->pidfd);
        int status = file->status;

        file_free(file);
        sim->n_processes--;
        process->pidfd = -1;
        process->exited(process, status);
}

static int sim_spawn(Io *io, IoProcess *process, const IoSpawn *spawn) {
        Sim *sim = sim_of(io);

        if (sim_chance(sim, SIM_NO_SPAWN))
                return -EAGAIN;
        SimFile *file = sim_file_new(sim, SIM_FILE_PROCESS, AF_UNSPEC);
        if (!file)
                return -EMFILE;

        process->op = (IoOp){ .done = process_ended };
        process->io = io;
        process->pidfd = file->fd;
        process->pid = (pid_t) (2 + file->serial);
        int r = sim->options.spawn ? sim->options.spawn(io, process, spawn, sim->options.userdata) :
                                     0;
        if (r >= 0)
                r = io_poll(io, &process->op, process->pidfd, POLLIN, 0);
        if (r < 0) {
                file_free(file);
                process->pidfd = -1;
                return r;
        }
        sim->n_processes++;
        return 0;
}

static void sim_kill(Io *io, IoProcess *process, int signal) {
        const Sim *sim = sim_of(io);

        if (process->pidfd < 0)
                return;
        if (sim->options.kill)
                sim->options.kill(io, process, signal, sim->options.userdata);
        else
                sim_process_exit(io, process, signal, 0);
}

typedef struct ExitEvent {
        SimEvent event;
        int fd;
        uint64_t serial; /* the number may be another process's by then */
        int status;
} ExitEvent;

static void exit_run(Sim *sim, SimEvent *event) {
        ExitEvent *ending = CONTAINER_OF(event, ExitEvent, event);
        SimFile *file = sim_file_find(sim, ending->fd);

        if (file && file->serial == ending->serial && !file->ready) {
                file->ready = true;
                file->status = ending->status;
                sim_file_wake(file);
        }
        free(ending);
}

void sim_process_exit(Io *io, IoProcess *process, int status, uint64_t delay) {
        Sim *sim = sim_of(io);
        const SimFile *file = sim_file_find(sim, process->pidfd);

        if (!file)
                return;

        ExitEvent *ending = sim_alloc(sizeof(*ending));
        *ending = (ExitEvent){
                .event.run = exit_run,
                .fd = file->fd,
                .serial = file->serial,
                .status = status,
        };
        sim_schedule(sim, &ending->event, time_add(sim->now, delay + sim_jitter(sim)));
}

/* ---- the simulator itself ---- */

static uint64_t sim_now(Io *io) {
        return sim_of(io)->now;
}

static uint64_t sim_unix_ms(Io *io) {
        return START_UNIX_MS + (sim_of(io)->now - START_NOW) / NSEC_PER_MSEC;
}

SimLeaks sim_leaks(const Io *io) {
        const Sim *sim = CONTAINER_OF(io, const Sim, io);
        SimLeaks leaks = {
                .operations = io->in_flight,
                .descriptors = sim->n_open,
                .processes = sim->n_processes,
        };

        LIST_FOREACH(node, &sim->peers)
                leaks.peers++;
        return leaks;
}

/* What is due never comes; only what its events own has to be freed. */
static void events_free(Sim *sim) {
        SimEvent *event;

        while ((event = event_first(sim))) {
                heap_remove(&sim->events, &event->node);
                if (event->run == call_run)
                        free(CONTAINER_OF(event, CallEvent, event));
                else if (event->run == connect_run || event->run == cancel_run)
                        free(CONTAINER_OF(event, OpEvent, event));
                else if (event->run == exit_run)
                        free(CONTAINER_OF(event, ExitEvent, event));
        }
        heap_deinit(&sim->events);
}

static Io *sim_free(Io *io) {
        Sim *sim = sim_of(io);

        io_deinit(io);
        for (size_t i = 0; i < SIM_FILES; i++)
                if (sim->files[i])
                        file_free(sim->files[i]);
        sim_link_free_all(sim);
        events_free(sim);
        LIST_FOREACH_SAFE(node, &sim->hooks)
                free(LIST_ENTRY(node, SimHook, node));
        free(sim->files);
        free(sim);
        return NULL;
}

static const IoBackend sim_backend = {
        .name = "simulator",
        .free = sim_free,
        .start = sim_start,
        .cancel = sim_cancel,
        .wait = sim_wait,
        .now = sim_now,
        .unix_ms = sim_unix_ms,
        .socket = sim_socket,
        .listen_unix = sim_listen_unix,
        .adopt = sim_adopt,
        .eventfd = sim_eventfd,
        .peer_credentials = sim_peer_credentials,
        .close = sim_close,
        .spawn = sim_spawn,
        .kill = sim_kill,
};

int io_new_sim(Io **ret, const SimOptions *options) {
        Sim *sim = sim_alloc(sizeof(*sim));
        uint64_t seed[4];

        *sim = (Sim){
                .options = *options,
                .now = START_NOW,
                .chance = mix(options->seed),
                .events = HEAP_INIT(event_less),
        };
        if (sim->options.latency == 0)
                sim->options.latency = LATENCY_DEFAULT;
        if (sim->options.jitter == 0)
                sim->options.jitter = JITTER_DEFAULT;
        if (sim->options.window == 0)
                sim->options.window = WINDOW_DEFAULT;
        if (sim->options.max_descriptors == 0)
                sim->options.max_descriptors = DESCRIPTORS_DEFAULT;
        list_init(&sim->hooks);
        list_init(&sim->listeners);
        list_init(&sim->peers);
        sim->files = sim_alloc(SIM_FILES * sizeof(SimFile *));
        if (io_init(&sim->io, &sim_backend, SIM_FIRST_FD, SIM_FILES) < 0)
                abort();

        for (size_t i = 0; i < ELEMENTSOF(seed); i++)
                seed[i] = sim_random(sim);
        io_seed(&sim->io, seed);
        *ret = &sim->io;
        return 0;
}
