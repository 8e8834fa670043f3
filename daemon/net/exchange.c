/* SPDX-License-Identifier: Apache-2.0 */

/* The steps of an exchange, each begun by the end of the one before:
 *
 *     take a kept connection ------------------------> send -> receive -> done
 *     resolve -> connect (address after address) ----'
 *
 * At any time it waits for one thing only: a lookup (`resolving`), a descriptor (`waiter`),
 * its connection (`connection`), or its failure to be told (`task`). To end it is to leave
 * whichever it is; leave() does just that, and is all that cancelling takes.
 *
 * Failures are told by a task, never from within exchange_start(). Success is told at once,
 * from the receive that completed it, after the connection was given back: so `done` may start
 * the next exchange on it. The request's owner may be gone while the kernel still sends;
 * connection.c therefore sends a copy. */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "cleanup.h"
#include "connection.h"
#include "exchange.h"
#include "macro.h"

static const ConnectionUser exchange_user;

/* ---- ends ---- */

static void leave(Exchange *x) {
        if (x->resolving)
                resolver_cancel(net_resolver(x->net), &x->lookup);
        x->resolving = false;
        net_unwait(x->net, &x->waiter);
        io_unpost(&x->task);
        if (x->connection)
                net_retire(TAKE_PTR(x->connection));
}

static void tell_failure(IoTask *task) {
        Exchange *x = CONTAINER_OF(task, Exchange, task);
        CLEANUP_FREE char *message = TAKE_PTR(x->message);

        x->net = NULL;
        x->done(x, x->error, message ? message : "out of memory");
}

static void fail(Exchange *x, ExchangeError error, const char *format, ...) PRINTF_LIKE(3, 4);
static void fail(Exchange *x, ExchangeError error, const char *format, ...) {
        va_list arguments;

        leave(x);
        va_start(arguments, format);
        if (vasprintf(&x->message, format, arguments) < 0)
                x->message = NULL;
        va_end(arguments);
        x->error = error;
        x->times.end = io_now(net_io(x->net));
        io_post(net_io(x->net), &x->task);
}

static void succeed(Exchange *x, bool keep) {
        Connection *c = TAKE_PTR(x->connection);

        x->times.end = io_now(net_io(x->net));
        if (keep)
                net_keep(c, x->times.end);
        else
                net_retire(c);
        x->net = NULL;
        x->done(x, EXCHANGE_OK, NULL);
}

/* Whether the failure is this host's own and says nothing about the server. */
static bool is_local(int error) {
        return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -ENOBUFS ||
                        error == -ENOSPC;
}

/* ---- sending ---- */

static void begin_sending(Exchange *x) {
        Connection *c = x->connection;
        static const char head[] = "HEAD ";
        bool no_body = x->request_size > strlen(head) && memcmp(x->request, head, strlen(head)) == 0;

        x->times.send_start = io_now(net_io(x->net));
        http_reader_init(&c->reader, no_body);
        int r = connection_send(c, x->request, x->request_size);
        if (r < 0)
                fail(x, EXCHANGE_RESOURCES, "cannot send to %s: %s", x->url->authority,
                     strerrordesc_np(-r));
}

/* With the notice that all has left, or with the response, which may overtake it. */
static void end_sending(Exchange *x) {
        if (x->times.send_end == 0)
                x->times.send_end = io_now(net_io(x->net));
}

static void on_sent(void *userdata, int error) {
        Exchange *x = userdata;

        if (error == 0)
                end_sending(x);
        else if (error != -EPIPE && error != -ECONNRESET)
                fail(x, is_local(error) ? EXCHANGE_RESOURCES : EXCHANGE_RESET,
                     "cannot send to %s: %s", x->url->authority, strerrordesc_np(-error));
        /* else the peer is gone; what it said before that, the receive will tell */
}

/* ---- connecting ---- */

static const char *connect_text(int error) {
        /* how a Unix socket says that its queue is full */
        return error == -EAGAIN ? "Too many connections wait to be accepted" :
                                  strerrordesc_np(-error);
}

static void fail_connect(Exchange *x, int error) {
        ExchangeError kind = is_local(error) ? EXCHANGE_RESOURCES : EXCHANGE_CONNECT;

        x->times.connect_end = io_now(net_io(x->net));
        if (x->url->scheme == URL_HTTP_UNIX)
                fail(x, kind, "cannot connect to the socket %s: %s", x->url->host,
                     connect_text(error));
        else if (x->n_addresses > 1)
                fail(x, kind, "cannot connect to %s port %u at any of %u addresses: %s", x->url->host,
                     (unsigned) x->url->port, (unsigned) x->n_addresses, connect_text(error));
        else
                fail(x, kind, "cannot connect to %s port %u: %s", x->url->host,
                     (unsigned) x->url->port, connect_text(error));
}

static int connect_unix(Exchange *x) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t size = strlen(x->url->host) + 1;

        if (size > sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, x->url->host, size);
        return net_connect(
                        x->net, x->url->origin, (const struct sockaddr *) &address, sizeof(address),
                        &exchange_user, x, &x->connection);
}

static int connect_next(Exchange *x) {
        if (x->url->scheme == URL_HTTP_UNIX)
                return connect_unix(x);
        const Address *address = &x->addresses[x->next_address];
        return net_connect(
                        x->net, x->url->origin, &address->any, address->size, &exchange_user, x,
                        &x->connection);
}

/* From next_address on until one can be tried. */
static void begin_connecting(Exchange *x) {
        if (x->times.connect_start == 0)
                x->times.connect_start = io_now(net_io(x->net));
        for (; x->next_address < x->n_addresses; x->next_address++) {
                int r = connect_next(x);
                if (r >= 0)
                        return;
                if ((r == -EMFILE || r == -ENFILE) && net_wait(x->net, &x->waiter))
                        return;
                if (is_local(r)) {
                        fail_connect(x, r);
                        return;
                }
                if (x->connect_error == 0)
                        x->connect_error = r;
        }
        /* the first address is the preferred one, so its error tells most */
        fail_connect(x, x->connect_error);
}

static void on_descriptor(NetWaiter *waiter) {
        begin_connecting(CONTAINER_OF(waiter, Exchange, waiter));
}

static void on_connected(void *userdata, int error) {
        Exchange *x = userdata;

        if (error == 0) {
                x->times.connect_end = io_now(net_io(x->net));
                begin_sending(x);
                return;
        }
        net_retire(TAKE_PTR(x->connection));
        if (is_local(error)) {
                fail_connect(x, error);
                return;
        }
        if (x->connect_error == 0)
                x->connect_error = error;
        x->next_address++;
        begin_connecting(x);
}

/* ---- resolving ---- */

static void on_resolved(ResolverLookup *lookup, const Address *addresses, size_t n, const char *error) {
        Exchange *x = CONTAINER_OF(lookup, Exchange, lookup);

        x->resolving = false;
        x->times.resolve_end = io_now(net_io(x->net));
        if (n == 0) {
                fail(x, EXCHANGE_DNS, "cannot resolve %s: %s", x->url->host, error);
                return;
        }
        x->n_addresses = (uint8_t) MIN(n, RESOLVER_MAX_ADDRESSES);
        memcpy(x->addresses, addresses, x->n_addresses * sizeof(addresses[0]));
        begin_connecting(x);
}

/* Whether the host is an address already; url.c let no other numbers pass. */
static bool literal_address(const Url *url, Address *address) {
        *address = (Address){ 0 };
        if (url->ipv6) {
                address->v6.sin6_family = AF_INET6;
                address->v6.sin6_port = htons(url->port);
                address->size = sizeof(address->v6);
                return inet_pton(AF_INET6, url->host, &address->v6.sin6_addr) == 1;
        }
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(url->port);
        address->size = sizeof(address->v4);
        return inet_pton(AF_INET, url->host, &address->v4.sin_addr) == 1;
}

static void begin_resolving(Exchange *x) {
        x->next_address = 0;
        x->n_addresses = 1;
        x->connect_error = 0;
        if (x->url->scheme == URL_HTTP_UNIX || literal_address(x->url, &x->addresses[0])) {
                begin_connecting(x);
                return;
        }
        x->times.resolve_start = io_now(net_io(x->net));
        x->resolving = true;
        int r = resolver_lookup(net_resolver(x->net), &x->lookup, x->url->host, x->url->port);
        if (r < 0) {
                x->resolving = false;
                fail(x, is_local(r) ? EXCHANGE_RESOURCES : EXCHANGE_DNS, "cannot resolve %s: %s",
                     x->url->host, strerrordesc_np(-r));
        }
}

/* ---- receiving ---- */

/* The server closed the kept connection while we took it: not its failure, nor ours. */
static void replace(Exchange *x) {
        net_retire(TAKE_PTR(x->connection));
        x->replaced = true;
        x->reused = false;
        x->times = (ExchangeTimes){ 0 };
        begin_resolving(x);
}

static void on_lost(Exchange *x, int error) {
        HttpReader *reader = &x->connection->reader;
        bool closed = error == 0 || error == -ECONNRESET || error == -EPIPE;

        if (closed && x->reused && http_reader_untouched(reader))
                replace(x);
        else if (error < 0)
                fail(x, is_local(error) ? EXCHANGE_RESOURCES : EXCHANGE_RESET,
                     "the connection to %s broke: %s", x->url->authority, strerrordesc_np(-error));
        else if (http_reader_eof(reader) == HTTP_DONE)
                succeed(x, false);
        else
                fail(x, EXCHANGE_RESET, "%s", reader->error);
}

static int tell(Exchange *x, HttpEvent event, const HttpReader *reader) {
        if (event == HTTP_HEAD)
                return x->head(x, &reader->head);
        if (event == HTTP_BODY)
                return x->body(x, reader->body, reader->body_size);
        return 0;
}

static void on_received(void *userdata, const char *data, int32_t value) {
        Exchange *x = userdata;
        Connection *c = x->connection;
        size_t size = (size_t) MAX(value, 0), consumed;
        HttpEvent event;

        if (value <= 0) {
                on_lost(x, value);
                return;
        }
        if (x->times.first_byte == 0) {
                end_sending(x);
                x->times.first_byte = io_now(net_io(x->net));
        }
        do {
                event = http_reader_feed(&c->reader, data, size, &consumed);
                data += consumed;
                size -= consumed;
                int r = tell(x, event, &c->reader);
                if (!c->user)
                        return; /* cancelled from within: the exchange may be gone */
                if (r < 0) {
                        fail(x, EXCHANGE_ABORTED, "the response was not taken: %s",
                             strerrordesc_np(-r));
                        return;
                }
        } while (event == HTTP_HEAD || event == HTTP_BODY);

        if (event == HTTP_DONE)
                succeed(x, c->reader.head.keep_alive && size == 0 && !connection_sending(c));
        else if (event == HTTP_ERROR)
                fail(x, EXCHANGE_PROTOCOL, "%s", c->reader.error);
}

static const ConnectionUser exchange_user = {
        .connected = on_connected,
        .sent = on_sent,
        .received = on_received,
};

/* ---- the exchange ---- */

int exchange_start(Exchange *x, Net *net) {
        if (net_closing(net))
                return -ESHUTDOWN;
        assert(!x->net && x->url->scheme != URL_SIMULATE);
        x->net = net;
        x->times = (ExchangeTimes){ 0 };
        x->replaced = false;
        x->resolving = false;
        x->lookup.done = on_resolved;
        x->waiter.ready = on_descriptor;
        list_init(&x->waiter.node);
        x->task.run = tell_failure;
        list_init(&x->task.node);

        x->connection = net_take(net, x->url->origin, &exchange_user, x);
        x->reused = x->connection != NULL;
        if (x->reused)
                begin_sending(x);
        else
                begin_resolving(x);
        return 0;
}

void exchange_cancel(Exchange *x) {
        if (!x->net)
                return;
        leave(x);
        free(TAKE_PTR(x->message));
        x->net = NULL;
}
