/* SPDX-License-Identifier: Apache-2.0 */

/* Takes clients in and lets them go.
 *
 * Who a client is, is asked of the kernel at once (SO_PEERCRED). The number of connections is
 * bounded, and what is over the bound is closed before anything is read of it. But no user can keep
 * others out: one that holds less than its share is let in all the same (base/quota.h).
 *
 * When descriptors run out, accepting ends with an error. Then the reserve, a descriptor kept for
 * that, is given up and accepting begun again, only to close whom it brings: a client learns at
 * once that there is no place, instead of waiting in the queue of the socket. After a while the
 * reserve is taken again and clients are let in again, or the same begins anew. So neither a full
 * table nor a client that tries for ever makes the loop spin.
 *
 * The end has two steps that may be taken one by one. Draining closes the listening socket (that of
 * a socket unit lives on in the manager, so nobody is turned away during a restart), ends what
 * clients have subscribed to, and answers Stopping to what is called from then on. Closing ends
 * every connection. What remains to be done is done by `settle`, one task that runs from the loop
 * whenever something may have become true. */

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "client.h"
#include "clock.h"
#include "log.h"
#include "macro.h"
#include "monitor.h"
#include "server.h"

#define RETRY_NS (100 * NSEC_PER_MSEC)

const ControlLimits control_default_limits = {
        .max_connections = 16384,
        .max_unread_total = (size_t) 256 << 20,
        .max_message = (size_t) 1 << 20,
        .max_unread = (size_t) 16 << 20,
        .max_unread_events = (size_t) 1 << 20,
        .frame_timeout_ns = 5 * NSEC_PER_SEC,
        .unread_timeout_ns = 30 * NSEC_PER_SEC,
};

/* ---- users ---- */

static ControlPeer *peer_get(ControlServer *server, uid_t uid) {
        LIST_FOREACH(node, &server->peers) {
                ControlPeer *known = LIST_ENTRY(node, ControlPeer, node);
                if (known->uid == uid)
                        return known;
        }

        ControlPeer *peer = calloc(1, sizeof(*peer));
        if (!peer)
                return NULL;
        peer->uid = uid;
        list_append(&server->peers, &peer->node);
        return peer;
}

static void peer_release(ControlPeer *peer) {
        if (peer->connections > 0)
                return;
        list_remove(&peer->node);
        free(peer);
}

/* ---- accepting ---- */

static void refuse(ControlServer *server, int fd, const char *why) {
        server->counters.refused++;
        if (!server->refusing)
                log_notice("Refusing clients: %s", why);
        server->refusing = server->turned_away = true;
        io_close(server->io, fd);
}

static const char *find_refusal(const ControlServer *server, const ControlPeer *peer) {
        if (server->descriptors_short)
                return "no descriptor is left; raise LimitNOFILE=";
        if (!peer)
                return "its user cannot be told, or memory is short";
        if (!quota_grants(&server->places, peer->connections, 1))
                return "as many are connected as may be, and its user has its share of them";
        return NULL;
}

static void admit(ControlServer *server, int fd) {
        struct ucred credentials;
        ControlPeer *peer = NULL;

        if (io_peer_credentials(server->io, fd, &credentials) >= 0)
                peer = peer_get(server, credentials.uid);
        const char *refusal = find_refusal(server, peer);
        if (!refusal && client_new(server, fd, peer) < 0)
                refusal = "memory is short";
        if (refusal)
                refuse(server, fd, refusal);
        else {
                server->refusing = false;
                server->counters.accepted++;
                (void) quota_take(&server->places, &peer->connections, 1);
        }
        if (peer)
                peer_release(peer);
}

static void retry_later(ControlServer *server) {
        if (io_timer_armed(&server->retry))
                return;
        int r = io_timer_set(server->io, &server->retry, time_add(io_now(server->io), RETRY_NS));
        if (r < 0)
                (void) log_errno(r, "Cannot set the timer to accept clients again");
}

static void accept_start(ControlServer *server) {
        if (io_op_in_flight(&server->accept))
                return;
        server->turned_away = false;
        if (io_accept(server->io, &server->accept, server->listen_fd) < 0)
                retry_later(server);
}

static void reserve_take(ControlServer *server) {
        if (server->reserve_fd < 0)
                server->reserve_fd = io_socket(server->io, AF_UNIX);
        server->descriptors_short = server->reserve_fd < 0;
        if (server->descriptors_short)
                retry_later(server);
}

static void reserve_give_up(ControlServer *server) {
        if (server->reserve_fd >= 0)
                io_close(server->io, server->reserve_fd);
        server->reserve_fd = -1;
}

/* Whoever was turned away has left a number for the next one; so a queue of clients is gone through
 * at once. */
static void accept_failed(ControlServer *server) {
        bool again = !server->descriptors_short || server->turned_away;

        server->descriptors_short = true;
        reserve_give_up(server);
        retry_later(server);
        if (again)
                accept_start(server);
}

static void retry_fired(IoTimer *timer) {
        ControlServer *server = CONTAINER_OF(timer, ControlServer, retry);

        reserve_take(server);
        accept_start(server);
}

static void accept_done(IoOp *op, const IoResult *result) {
        ControlServer *server = CONTAINER_OF(op, ControlServer, accept);

        if (server->draining) {
                if (result->value >= 0)
                        io_close(server->io, result->value);
                server_settle(server);
                return;
        }
        if (result->value >= 0)
                admit(server, result->value);
        if (result->more)
                return;
        if (result->value >= 0)
                accept_start(server);
        else
                accept_failed(server);
}

/* ---- the end ---- */

static void free_ended(ControlServer *server) {
        LIST_FOREACH_SAFE(node, &server->ended) {
                ControlClient *c = LIST_ENTRY(node, ControlClient, node);
                ControlPeer *peer = c->peer;

                client_free(c);
                quota_give_back(&server->places, &peer->connections, 1);
                peer_release(peer);
        }
}

static void listener_close(ControlServer *server) {
        if (server->listen_fd < 0 || io_op_in_flight(&server->accept))
                return;
        io_close(server->io, server->listen_fd);
        server->listen_fd = -1;
}

static void settle_run(IoTask *task) {
        ControlServer *server = CONTAINER_OF(task, ControlServer, settle);

        free_ended(server);
        if (server->draining)
                listener_close(server);
        if (server->drained && server->n_busy == 0) {
                void (*drained)(void *userdata) = server->drained;
                server->drained = NULL;
                drained(server->drained_userdata);
        }
        if (server->closed && server->places.total == 0 && server->listen_fd < 0) {
                void (*closed)(void *userdata) = server->closed;
                server->closed = NULL;
                closed(server->closed_userdata); /* may free the server */
        }
}

void server_settle(ControlServer *server) {
        io_post(server->io, &server->settle);
}

static void stop_accepting(ControlServer *server) {
        if (server->draining)
                return;
        server->draining = true;
        io_timer_cancel(server->io, &server->retry);
        reserve_give_up(server);
        io_cancel(server->io, server->listen_fd);
}

void control_drain(ControlServer *server, void (*drained)(void *userdata), void *userdata) {
        stop_accepting(server);
        server->drained = drained;
        server->drained_userdata = userdata;
        monitor_settle(server);
        server_settle(server);
}

void control_close(ControlServer *server, void (*closed)(void *userdata), void *userdata) {
        stop_accepting(server);
        server->drained = NULL;
        server->closed = closed;
        server->closed_userdata = userdata;
        LIST_FOREACH_SAFE(node, &server->connections)
                client_close(LIST_ENTRY(node, ControlClient, node));
        server_settle(server);
}

/* ---- the server ---- */

int control_new(ControlServer **ret, Io *io, int listen_fd, const ControlBackend *backend,
                const ControlLimits *limits) {
        ControlServer *server = calloc(1, sizeof(*server));
        if (!server)
                return -ENOMEM;

        *server = (ControlServer){
                .io = io,
                .backend = *backend,
                .limits = *limits,
                .places.bound = limits->max_connections,
                .unread.bound = limits->max_unread_total,
                .listen_fd = listen_fd,
                .reserve_fd = -1,
                .accept.done = accept_done,
                .retry.fire = retry_fired,
                .settle.run = settle_run,
        };
        list_init(&server->connections);
        list_init(&server->ended);
        list_init(&server->peers);
        list_init(&server->settle.node);
        monitor_init(server);

        int r = io_accept(io, &server->accept, listen_fd);
        if (r < 0) {
                free(server);
                return r;
        }
        reserve_take(server);
        json_object_seed((size_t) io_random(io) | 1); /* else jansson reads a random device */
        *ret = server;
        return 0;
}

ControlServer *control_free(ControlServer *server) {
        if (!server)
                return NULL;
        assert(server->draining && server->places.total == 0 && server->listen_fd < 0);
        assert(server->unread.total == 0);
        io_unpost(&server->settle);
        io_unpost(&server->deliver);
        free(server);
        return NULL;
}

size_t control_connections(const ControlServer *server) {
        return server->places.total;
}

const ControlCounters *control_counters(const ControlServer *server) {
        return &server->counters;
}
