/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to the simulator: io-sim.c has the events, the descriptors and the back end's table,
 * io-sim-link.c what connects two ends. */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "buffer.h"
#include "heap.h"
#include "io-backend.h"
#include "io-sim.h"
#include "list.h"

typedef struct Sim Sim;
typedef struct SimEvent SimEvent;
typedef struct SimFile SimFile;
typedef struct SimLink SimLink;

struct SimEvent {
        HeapNode node;
        uint64_t when;
        uint64_t rank; /* equal unless SIM_REORDER struck */
        uint64_t order;
        void (*run)(Sim *sim, SimEvent *event);
};

typedef union SimAddress {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
} SimAddress;

/* An address in the network. A Unix path stays when its listener goes, as the file does. */
typedef struct SimListener {
        List node;
        SimAddress address;
        SimFile *file; /* the program listens; or else: */
        const SimPeerOps *ops;
        void *userdata;
} SimListener;

typedef enum SimChunkKind {
        SIM_CHUNK_DATA,
        SIM_CHUNK_FINISH, /* no more data */
        SIM_CHUNK_CLOSE,  /* and nobody is there any more */
        SIM_CHUNK_RESET,
} SimChunkKind;

typedef struct SimChunk {
        List node;
        uint64_t when;
        SimChunkKind kind;
        size_t taken; /* bytes read already */
        size_t size;
        char bytes[];
} SimChunk;

/* One side of a connection: belongs to a descriptor, to a peer, or (not accepted yet) to nobody. */
typedef struct SimEnd {
        SimLink *link;
        SimFile *file;
        SimPeer *peer;
        List pending; /* of the listener's file, until accepted */

        List arriving; /* on the way here, in order; `arrival` is for the first */
        SimEvent arrival;
        List inbox; /* here, not read yet */
        size_t inbox_size;
        size_t held; /* bytes on the way and not read yet, against the sender's window */

        bool finished; /* arrived: FINISH or more */
        bool closed;   /* arrived: CLOSE or RESET */
        bool lost;     /* arrived: RESET */
        int error;     /* -ECONNRESET, until told once */
} SimEnd;

struct SimLink {
        Sim *sim;
        bool local; /* Unix: a close is seen at once, not only by sending */
        SimEnd ends[2];
};

struct SimPeer {
        List node;
        SimEnd *end;
        const SimPeerOps *ops;
        void *userdata;
        struct ucred credentials;
        bool closed; /* by itself */
        bool hung;
};

typedef enum SimFileKind {
        SIM_FILE_SOCKET,
        SIM_FILE_LISTENER,
        SIM_FILE_BELL,
        SIM_FILE_PROCESS,
        SIM_FILE_REGULAR,
} SimFileKind;

struct SimFile {
        Sim *sim;
        SimFileKind kind;
        int fd;
        int family;
        uint64_t serial;   /* of all files ever made */
        uint32_t first_op; /* in the order of submission, by IoSlot.next */
        uint32_t last_op;
        SimEvent progress; /* looks at what the operations can do now */
        uint32_t edges;    /* events so far, for edge-triggered polls */

        SimEnd *end;           /* socket: connected */
        SimListener *listener; /* listener */
        List pending;          /* listener: ends to be accepted */
        bool ready;            /* bell: rung; process: ended */
        int status;
        Buffer content; /* regular */
        bool read_only;
};

typedef struct SimHook {
        List node;
        void (*run)(Io *io, void *userdata);
        void *userdata;
} SimHook;

struct Sim {
        Io io;
        SimOptions options;
        uint64_t now;
        uint64_t chance; /* state of the faults' own random numbers */
        uint64_t trace;

        Heap events;
        uint64_t event_order;
        List hooks;

        SimFile **files; /* by number from SIM_FIRST_FD */
        size_t n_open;   /* files but for processes */
        uint64_t file_serial;
        List listeners;
        List peers;
        size_t n_processes;
        char buffer[2048]; /* shown to io_recv() */
};

/* Far from the kernel's numbers: a virtual descriptor given to a system call is refused there. */
#define SIM_FIRST_FD 1000000
#define SIM_FILES    32768u

Sim *sim_of(Io *io);
void *sim_alloc(size_t size); /* zeroed; ends the program when there is no memory */
uint64_t sim_random(Sim *sim);
bool sim_chance(Sim *sim, SimFault fault);
uint64_t sim_jitter(Sim *sim);
void sim_trace(Sim *sim, uint64_t value);
void sim_schedule(Sim *sim, SimEvent *event, uint64_t when);

SimFile *sim_file_find(Sim *sim, int fd); /* NULL: no such descriptor */
/* NULL when there are too many; a process is not counted. */
SimFile *sim_file_new(Sim *sim, SimFileKind kind, int family);
void sim_file_wake(SimFile *file);

/* ---- io-sim-link.c ---- */

SimEnd *sim_end_other(const SimEnd *end);
/* Bytes that may be sent from here without waiting. */
size_t sim_end_room(const SimEnd *end);
/* Sends to `end`. */
void sim_end_send(SimEnd *end, SimChunkKind kind, const void *data, size_t size, uint64_t delay);
/* Takes at most `size` bytes out of what has arrived. */
size_t sim_end_take(SimEnd *end, void *data, size_t size);
/* The connection is lost for both sides; this one is told by the caller. */
void sim_end_lose(SimEnd *end);
/* The descriptor of this end closes. */
void sim_end_close(SimEnd *end);

SimAddress sim_unix_address(const char *path);
/* Makes it when it is not there yet. */
SimListener *sim_listener_get(Sim *sim, const struct sockaddr *address, socklen_t size);
/* The program listens no more. */
void sim_listener_close(SimFile *file);
/* The result of a connect(2). */
int sim_link_connect(Sim *sim, SimFile *file, const struct sockaddr *address, socklen_t size);
void sim_link_free_all(Sim *sim);
