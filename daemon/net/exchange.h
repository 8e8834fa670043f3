/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One request and its response: takes a kept connection of the same origin or makes a new one
 * (resolve, connect), sends, receives, and gives the connection back or closes it.
 *
 * A kept connection that turns out dead before a single byte of the response is replaced
 * silently and once by a fresh one; that is no failure and no further attempt. Deadlines are
 * the caller's: it cancels. */

#include <stdbool.h>
#include <stdint.h>

#include "http1.h"
#include "io.h"
#include "resolver.h"
#include "url.h"

typedef struct Net Net; /* resolver and kept connections */

/* The resolver is borrowed. */
int net_new(Net **ret, Io *io, Resolver *resolver);
/* Closes kept connections; every exchange must have ended. Completes through the loop:
 * `closed` is called once nothing is in flight, then net_free() may follow. */
void net_close(Net *net, void (*closed)(void *userdata), void *userdata);
Net *net_free(Net *net);
size_t net_idle(const Net *net); /* kept connections */
/* Connections now open, kept ones included. */
size_t net_connections(const Net *net);

typedef enum ExchangeError {
        EXCHANGE_OK,
        EXCHANGE_DNS,
        EXCHANGE_CONNECT,
        EXCHANGE_RESOURCES, /* no descriptor or memory here: says nothing about the source */
        EXCHANGE_RESET,     /* the connection broke or was closed within the response */
        EXCHANGE_PROTOCOL,  /* what came is no HTTP */
        EXCHANGE_ABORTED,   /* a callback returned a negative errno */
} ExchangeError;

/* When each step began and ended, ns; 0: did not happen. */
typedef struct ExchangeTimes {
        uint64_t resolve_start, resolve_end;
        uint64_t connect_start, connect_end;
        uint64_t send_start, send_end;
        uint64_t first_byte;
        uint64_t end;
} ExchangeTimes;

/* Private: waits for a descriptor to become free. */
typedef struct NetWaiter {
        List node;
        void (*ready)(struct NetWaiter *waiter);
} NetWaiter;

/* All-zero but for the caller's part before the first exchange_start(); it may be started
 * again after `done`. */
typedef struct Exchange Exchange;
struct Exchange {
        /* Set by the caller; must live until `done` or exchange_cancel(). `request` is the
         * whole request as it goes over the wire, head and body. */
        const Url *url;
        const char *request;
        size_t request_size;
        /* The final response's head, once. Then the pieces of its body. A negative errno ends
         * the exchange. */
        int (*head)(Exchange *exchange, const HttpHead *head);
        int (*body)(Exchange *exchange, const void *data, size_t size);
        /* Once, last, from the loop. `message` is for people, NULL when ok; valid during the
         * callback. */
        void (*done)(Exchange *exchange, ExchangeError error, const char *message);

        ExchangeTimes times;
        bool reused; /* went over a kept connection */

        /* private */
        struct Connection *connection;
        ResolverLookup lookup;
        bool resolving;
        bool replaced;
        uint8_t n_addresses;
        uint8_t next_address;
        int connect_error; /* of the first address */
        Address addresses[RESOLVER_MAX_ADDRESSES];
        NetWaiter waiter;
        IoTask task;
        Net *net;
        ExchangeError error;
        char *message;
};

/* 0, or -ESHUTDOWN after net_close() (then `done` is not called): every other failure is told
 * by `done`. */
int exchange_start(Exchange *x, Net *net);
/* In every state, from within its own callbacks too, and harmless after `done`. Afterwards no
 * callback is called and the memory is the caller's, the request included. The connection is
 * closed in its own time. */
void exchange_cancel(Exchange *x);
