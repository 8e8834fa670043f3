/* SPDX-License-Identifier: Apache-2.0 */

/* The connections of the daemon: counted, kept for the next exchange with the same origin, and
 * closed when too old, too many, or when descriptors run out.
 *
 * The connection that was used last is taken first, so that the surplus of a busy time grows
 * old and goes. A kept connection is closed after 30 s. Servers close theirs after 5 s (Node,
 * Apache) to 75 s (nginx); that need not be guessed, since its receive is armed and the peer's
 * close retires it at once. Our own limit only bounds what idle connections hold, and stays
 * below the 60 s after which balancers and address translators forget a connection without a
 * word to either side.
 *
 * An origin is what url.origin spells; it lives as long as it has a connection. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "connection.h"
#include "exchange.h"
#include "hash-map.h"
#include "macro.h"

#define KEPT_TIME       (30 * NSEC_PER_SEC)
#define KEPT_MAX        2048u
#define KEPT_ORIGIN_MAX 1024u

struct Origin {
        List kept; /* the newest first */
        size_t n_kept;
        size_t n_connections;
        char name[]; /* key in net->origins */
};

struct Net {
        Io *io;
        Resolver *resolver;
        HashMap origins;
        List kept; /* the oldest first */
        size_t n_kept;
        size_t n_connections;
        size_t n_closing;
        IoTimer kept_timer;
        List waiters;
        size_t n_waiters;
        bool closing;
        IoTask closed_task;
        void (*closed)(void *userdata);
        void *closed_userdata;
};

Io *net_io(const Net *net) {
        return net->io;
}

Resolver *net_resolver(const Net *net) {
        return net->resolver;
}

bool net_closing(const Net *net) {
        return net->closing;
}

size_t net_idle(const Net *net) {
        return net->n_kept;
}

size_t net_connections(const Net *net) {
        return net->n_connections;
}

/* ---- origins ---- */

/* Finds or makes it; one without a connection must be given to origin_release(). Negative errno. */
static int origin_get(Net *net, const char *name, Origin **ret) {
        Origin *found = hash_map_get(&net->origins, name);
        if (found) {
                *ret = found;
                return 0;
        }

        size_t size = strlen(name) + 1;
        CLEANUP_FREE Origin *origin = calloc(1, sizeof(*origin) + size);
        if (!origin)
                return -ENOMEM;
        list_init(&origin->kept);
        memcpy(origin->name, name, size);
        int r = hash_map_put(&net->origins, origin->name, origin);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(origin);
        return 0;
}

static void origin_release(Net *net, Origin *origin) {
        if (origin->n_connections > 0)
                return;
        (void) hash_map_remove(&net->origins, origin->name);
        free(origin);
}

/* ---- kept connections ---- */

static void unkeep(Connection *c) {
        list_remove(&c->origin_node);
        list_remove(&c->kept_node);
        c->origin->n_kept--;
        c->net->n_kept--;
}

static void retire_oldest(Net *net) {
        Connection *oldest = LIST_FIRST(&net->kept, Connection, kept_node);

        assert(oldest);
        net_retire(oldest);
}

static void set_kept_timer(Net *net) {
        const Connection *oldest = LIST_FIRST(&net->kept, Connection, kept_node);

        /* without memory for a timer it is set when the next connection is kept */
        if (oldest && !io_timer_armed(&net->kept_timer))
                (void) io_timer_set(
                                net->io, &net->kept_timer, time_add(oldest->kept_since, KEPT_TIME));
}

static void on_kept_timer(IoTimer *timer) {
        Net *net = CONTAINER_OF(timer, Net, kept_timer);
        uint64_t now = io_now(net->io);

        LIST_FOREACH_SAFE(node, &net->kept) {
                Connection *c = LIST_ENTRY(node, Connection, kept_node);
                if (time_add(c->kept_since, KEPT_TIME) > now)
                        break;
                net_retire(c);
        }
        set_kept_timer(net);
}

Connection *net_take(Net *net, const char *name, const ConnectionUser *user, void *userdata) {
        const Origin *origin = hash_map_get(&net->origins, name);
        Connection *c = origin ? LIST_FIRST(&origin->kept, Connection, origin_node) : NULL;

        if (!c)
                return NULL;
        unkeep(c);
        c->state = CONNECTION_USED;
        c->user = user;
        c->userdata = userdata;
        return c;
}

void net_keep(Connection *c, uint64_t now) {
        Net *net = c->net;

        assert(c->state == CONNECTION_USED);
        if (net->closing || c->origin->n_kept == KEPT_ORIGIN_MAX) {
                net_retire(c);
                return;
        }
        if (net->n_kept == KEPT_MAX)
                retire_oldest(net);
        c->state = CONNECTION_KEPT;
        c->user = NULL;
        c->userdata = NULL;
        c->kept_since = now;
        list_prepend(&c->origin->kept, &c->origin_node);
        list_append(&net->kept, &c->kept_node);
        c->origin->n_kept++;
        net->n_kept++;
        set_kept_timer(net);
}

/* ---- making and closing ---- */

int net_connect(Net *net, const char *name, const struct sockaddr *address, socklen_t size,
                const ConnectionUser *user, void *userdata, Connection **ret) {
        Origin *origin;
        int r = origin_get(net, name, &origin);
        if (r < 0)
                return r;

        Connection *c;
        r = connection_open(&c, net->io, address, size);
        if (r < 0) {
                origin_release(net, origin);
                return r;
        }
        c->net = net;
        c->origin = origin;
        c->user = user;
        c->userdata = userdata;
        origin->n_connections++;
        net->n_connections++;
        *ret = c;
        return 0;
}

void net_retire(Connection *c) {
        if (c->state == CONNECTION_KEPT)
                unkeep(c);
        c->net->n_closing++;
        connection_close(c);
}

bool net_wait(Net *net, NetWaiter *waiter) {
        bool enough = net->n_closing > net->n_waiters;

        if (!enough && net->n_kept == 0)
                return false;
        list_append(&net->waiters, &waiter->node);
        net->n_waiters++;
        if (!enough)
                retire_oldest(net);
        return true;
}

void net_unwait(Net *net, NetWaiter *waiter) {
        if (list_empty(&waiter->node))
                return;
        list_remove(&waiter->node);
        net->n_waiters--;
}

static void post_closed(Net *net) {
        if (net->closing && net->n_connections == 0)
                io_post(net->io, &net->closed_task);
}

void net_forget(Connection *c) {
        Net *net = c->net;
        NetWaiter *waiter = LIST_FIRST(&net->waiters, NetWaiter, node);

        c->origin->n_connections--;
        origin_release(net, c->origin);
        net->n_connections--;
        net->n_closing--;
        post_closed(net);
        if (waiter) {
                net_unwait(net, waiter);
                waiter->ready(waiter);
        }
}

/* ---- the net ---- */

static void run_closed(IoTask *task) {
        Net *net = CONTAINER_OF(task, Net, closed_task);
        net->closed(net->closed_userdata);
}

int net_new(Net **ret, Io *io, Resolver *resolver) {
        Net *net = calloc(1, sizeof(*net));
        if (!net)
                return -ENOMEM;
        *net = (Net){
                .io = io,
                .resolver = resolver,
                .origins.seed = io_random(io),
                .kept_timer.fire = on_kept_timer,
                .closed_task.run = run_closed,
        };
        list_init(&net->kept);
        list_init(&net->waiters);
        list_init(&net->closed_task.node);
        *ret = net;
        return 0;
}

void net_close(Net *net, void (*closed)(void *userdata), void *userdata) {
        assert(!net->closing && net->n_waiters == 0);
        net->closing = true;
        net->closed = closed;
        net->closed_userdata = userdata;
        io_timer_cancel(net->io, &net->kept_timer);
        while (net->n_kept > 0)
                retire_oldest(net);
        post_closed(net);
}

Net *net_free(Net *net) {
        if (!net)
                return NULL;
        assert(net->n_connections == 0);
        io_timer_cancel(net->io, &net->kept_timer);
        io_unpost(&net->closed_task);
        hash_map_deinit(&net->origins);
        free(net);
        return NULL;
}
