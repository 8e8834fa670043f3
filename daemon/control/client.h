/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to daemon/control/: one client, and what it shares with the server and the methods. */

#include <stdbool.h>
#include <sys/types.h>

#include "buffer.h"
#include "interface.h"
#include "io.h"
#include "list.h"
#include "query.h"
#include "quota.h"
#include "server.h"
#include "varlink.h"

/* What one user holds. */
typedef struct ControlPeer {
        List node;
        uid_t uid;
        size_t connections;
        size_t unread; /* bytes queued for all of them */
} ControlPeer;

struct ControlServer {
        Io *io;
        ControlBackend backend;
        ControlLimits limits;
        ControlCounters counters;

        int listen_fd;
        int reserve_fd;         /* given up to take in a client only to refuse it; -1 meanwhile */
        bool descriptors_short; /* clients are refused until `retry` fires */
        bool turned_away;       /* a client was, since accepting was begun last */
        bool refusing;          /* the last client was refused, and that has been logged */
        IoOp accept;
        IoTimer retry;

        List connections;
        List ended; /* connections without an operation in flight, to be freed by `settle` */
        List peers;
        List subscribers; /* clients that have called Monitor */
        size_t n_busy;    /* connections that are owed a reply */
        Quota places;     /* of connections, shared by the users */
        Quota unread;     /* bytes, likewise */

        IoTask deliver; /* to the subscribers */
        IoTask settle;
        bool draining;
        void (*drained)(void *userdata); /* NULL once it has been called */
        void *drained_userdata;
        void (*closed)(void *userdata); /* likewise */
        void *closed_userdata;
};

typedef struct ControlClient {
        List node;
        ControlServer *server;
        ControlPeer *peer;
        int fd;

        IoOp receive;
        IoOp send;
        IoOp hangup;
        IoTimer timer; /* sending: the client has to read by then; else: a call has to be complete */

        VarlinkFrames input;
        Buffer sending; /* with the kernel */
        Buffer queued;  /* goes next */
        size_t charged; /* of both, the bytes that count as held by the user */

        Query *query;      /* the call in work, when it is a query */
        List subscription; /* on server->subscribers while the call in work is Monitor */
        uint64_t lost;     /* events since the last one that went out */
        bool more;         /* of the call in work */
        bool oneway;
        bool ended;   /* nothing more is read; closed when all is answered */
        bool dropped; /* waits for its operations to end */
        bool counted; /* in n_busy */
} ControlClient;

/* ---- client.c ---- */

/* Takes over the descriptor when it succeeds. -ENOMEM, -ENOSPC. */
int client_new(ControlServer *server, int fd, ControlPeer *peer);

/* Cancels its query and its operations; it is freed once they have ended. */
void client_close(ControlClient *c);

/* Frees one that is on the server's list of the ended. */
void client_free(ControlClient *c);

/* The replies to the call in work; nothing is said to a oneway call. */
void client_reply(ControlClient *c, const char *json, size_t size);
void client_event(ControlClient *c, const char *json, size_t size);
void client_error(ControlClient *c, InterfaceError error, const char *text, uint64_t number);

/* Goes on with the connection after anything has changed; at the end of every callback. */
void client_work(ControlClient *c);

/* ---- server.c ---- */

/* Frees the ended and says `drained` and `closed` when it is time, from the loop. */
void server_settle(ControlServer *server);
