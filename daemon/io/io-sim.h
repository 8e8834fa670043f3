/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The simulator: a back end for tests in which the network, the other processes and time itself are
 * made up. Time jumps to the next event; what happens, and in which order, follows from the seed
 * alone, so a failure found with one seed is a failure found for good.
 *
 *      SimOptions options = { .seed = 7, .faults = { [SIM_SPLIT] = 500000 } };
 *      io_new_sim(&io, &options);
 *      sim_listen(io, address, size, &server, NULL);     a scripted server in the network
 *      ... the program connects, sends, receives, and is run by io_turn() ...
 *
 * The program's own sockets may also connect to its own listeners. Memory that runs out inside the
 * simulator ends the test program. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "io.h"

/* Chances are given in a million; 0 turns a fault off, SIM_ALWAYS makes it certain. */
#define SIM_ALWAYS 1000000u

typedef enum SimFault {
        SIM_NO_DESCRIPTOR,   /* io_socket(), io_eventfd(), io_accept(): -EMFILE */
        SIM_CONNECT_REFUSED, /* io_connect(): -ECONNREFUSED */
        SIM_CONNECT_TIMEOUT, /* io_connect(): -ETIMEDOUT after two minutes */
        SIM_CONNECT_HANG,    /* io_connect(): no answer until it is cancelled */
        SIM_RECV_RESET,      /* io_recv(): the connection is lost, -ECONNRESET */
        SIM_SEND_RESET,      /* io_send(): likewise */
        SIM_SPLIT,           /* bytes travel, and are received, in pieces of any size */
        SIM_DELAY,           /* an event comes up to `jitter` later */
        SIM_REORDER,         /* an event changes places with others due at the same time */
        SIM_PEER_HANG,       /* a scripted server accepts, then neither hears nor speaks */
        SIM_NO_SPAWN,        /* io_spawn(): -EAGAIN */
        SIM_WRITE_ERROR,     /* io_write(): -EIO, some of the data may be there */
        SIM_WRITE_FULL,      /* io_write(): -ENOSPC, likewise */
        SIM_FAULT_COUNT,
} SimFault;

typedef struct SimOptions {
        uint64_t seed;
        uint64_t latency;       /* ns that every delivery takes; 0: 50 us */
        uint64_t jitter;        /* ns at most for SIM_DELAY; 0: 10 ms */
        size_t window;          /* bytes that a sender may be ahead of its receiver; 0: 64 KiB */
        size_t max_descriptors; /* 0: 16,384 */
        uint32_t faults[SIM_FAULT_COUNT];

        /* io_spawn() calls it to start a simulated process, which works on the real shared memory
         * from sim_every_turn() and sim_at(), and ends by sim_process_exit(). 0 or a negative
         * errno, which io_spawn() returns. Without it: a process that does nothing. */
        int (*spawn)(Io *io, IoProcess *process, const IoSpawn *spawn, void *userdata);
        /* io_kill(); without it the process ends at once, by that signal. */
        void (*kill)(Io *io, IoProcess *process, int signal, void *userdata);
        void *userdata;
} SimOptions;

int io_new_sim(Io **ret, const SimOptions *options);

/* ---- the run ---- */

void sim_at(Io *io, uint64_t when, void (*run)(Io *io, void *userdata), void *userdata);
/* Before each turn, for ever; simulated workers look at their lanes here. */
void sim_every_turn(Io *io, void (*run)(Io *io, void *userdata), void *userdata);

/* Nothing can happen any more: io_turn() returns -EDEADLK instead of waiting. */
bool sim_idle(const Io *io);

/* From now on that is the fault's chance. */
void sim_set_fault(Io *io, SimFault fault, uint32_t chance);

/* Over everything that has happened so far: equal for equal seeds and programs. */
uint64_t sim_trace_hash(const Io *io);

/* What a program that has cleaned up leaves at 0. Peers live until the program closes its end. */
typedef struct SimLeaks {
        size_t operations;
        size_t descriptors;
        size_t peers;
        size_t processes;
} SimLeaks;
SimLeaks sim_leaks(const Io *io);

/* ---- descriptors ---- */

/* Another process rings an io_eventfd(). */
void sim_ring(Io *io, int fd);
/* The program's end of a connection sends no more (the I/O interface has no call for it). */
void sim_half_close(Io *io, int fd);
/* From now on this many more descriptors can be made. */
void sim_limit_descriptors(Io *io, size_t spare);
/* A listening socket as a service manager passes it: for io_adopt(). */
int sim_activated_listener(Io *io, const char *path);

/* An empty file, in memory while it is open; for io_adopt(). */
int sim_file(Io *io);
/* Writing is refused from now on, as if it had been opened for reading only. */
void sim_file_protect(Io *io, int fd);
/* Its content, valid until the next turn. */
const void *sim_file_data(Io *io, int fd, size_t *ret_size);

/* ---- peers: the other ends of the program's connections ---- */

typedef struct SimPeer SimPeer;

typedef struct SimPeerOps {
        void (*on_connect)(SimPeer *peer); /* servers only; any of them may be NULL */
        void (*on_data)(SimPeer *peer, const void *data, size_t size);
        /* The program closed its end (0) or the connection was lost (-ECONNRESET); the peer is gone
         * when this returns. Called once for each peer, unless the simulator is freed first. */
        void (*on_close)(SimPeer *peer, int error);
} SimPeerOps;
typedef SimPeerOps SimServerOps;

/* A server at an address: AF_UNIX (the whole path), AF_INET or AF_INET6 (address and port). */
void sim_listen(Io *io, const struct sockaddr *address, socklen_t size, const SimPeerOps *ops,
                void *userdata);
/* A client of the program's listener at `path`. NULL when nobody listens there. */
SimPeer *sim_connect_unix(Io *io, const char *path, const SimPeerOps *ops, void *userdata);

Io *sim_peer_io(const SimPeer *peer);
void *sim_peer_userdata(const SimPeer *peer);
void sim_peer_set_userdata(SimPeer *peer, void *userdata);
/* What io_peer_credentials() tells of it; by default this process. */
void sim_peer_set_credentials(SimPeer *peer, const struct ucred *credentials);

/* All take effect `delay` ns from now at the earliest, and in the order of the calls. */
void sim_peer_send(SimPeer *peer, const void *data, size_t size, uint64_t delay);
void sim_peer_shutdown(SimPeer *peer, uint64_t delay); /* no more sending */
void sim_peer_close(SimPeer *peer, uint64_t delay);
void sim_peer_reset(SimPeer *peer, uint64_t delay);
/* Takes nothing more from now on: the program's sends come to a halt. */
void sim_peer_hang(SimPeer *peer);

/* ---- processes ---- */

/* The process ends after `delay` ns, with a status as from waitpid(2); the first exit counts. */
void sim_process_exit(Io *io, IoProcess *process, int status, uint64_t delay);
