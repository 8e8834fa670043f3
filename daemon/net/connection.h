/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to daemon/net/: one connection, and the connections of a Net.
 *
 * A connection is made for an origin and belongs to a user (an exchange) or is kept for the
 * next one. From the moment it is connected its receive is armed, kept or not: so the peer's
 * close, or bytes that nobody asked for, end a kept connection as soon as they come. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "exchange.h"
#include "http1.h"
#include "io.h"
#include "list.h"

typedef struct Connection Connection;
typedef struct Origin Origin;

/* What a connection tells its user. Never called from within a call to the connection. */
typedef struct ConnectionUser {
        void (*connected)(void *userdata, int error); /* 0 or a negative errno */
        void (*sent)(void *userdata, int error);
        /* value > 0: so many bytes; 0: the peer closed; negative errno: broken. After the
         * latter two the user must retire it. */
        void (*received)(void *userdata, const char *data, int32_t value);
} ConnectionUser;

typedef enum ConnectionState {
        CONNECTION_CONNECTING,
        CONNECTION_USED,
        CONNECTION_KEPT,
        CONNECTION_CLOSING, /* until the last operation has ended */
} ConnectionState;

struct Connection {
        Net *net;
        Origin *origin;
        List origin_node; /* while kept: of its origin's */
        List kept_node;   /* while kept: of all, the oldest first */
        uint64_t kept_since;

        const ConnectionUser *user; /* NULL while kept or closing */
        void *userdata;

        ConnectionState state;
        int fd;
        bool pinned; /* one of its callbacks runs: not to be freed */
        IoOp recv;
        IoOp write;    /* the connect, then sends */
        char *request; /* copy of what is being sent: its owner may go away earlier than the kernel */
        size_t request_capacity;
        HttpReader reader;
};

/* ---- connection.c ---- */

/* Makes the socket and begins to connect; `net` and `origin` are set by the caller. Negative
 * errno. */
int connection_open(Connection **ret, Io *io, const struct sockaddr *address, socklen_t size);
int connection_send(Connection *connection, const char *request, size_t size);
/* Nothing is told to the user any more. Closed and freed as soon as its operations have ended. */
void connection_close(Connection *connection);
static inline bool connection_sending(const Connection *connection) {
        return io_op_in_flight(&connection->write);
}

/* ---- net.c ---- */

Io *net_io(const Net *net);
Resolver *net_resolver(const Net *net);
bool net_closing(const Net *net);

/* The kept connection of the origin of this name that was used last, now the user's; or NULL. */
Connection *net_take(Net *net, const char *name, const ConnectionUser *user, void *userdata);
/* A new one. Negative errno. */
int net_connect(Net *net, const char *name, const struct sockaddr *address, socklen_t size,
                const ConnectionUser *user, void *userdata, Connection **ret);
/* Gives it back to be used again. */
void net_keep(Connection *connection, uint64_t now);
/* Gives it back to be closed. */
void net_retire(Connection *connection);
/* No descriptor is left: closes a kept connection, and calls the waiter when it, or one that
 * is being closed already, has let go of its own. False when there is none to wait for. */
bool net_wait(Net *net, NetWaiter *waiter);
/* Harmless when it does not wait. */
void net_unwait(Net *net, NetWaiter *waiter);

/* For connection.c: it has been closed. */
void net_forget(Connection *connection);
