/* SPDX-License-Identifier: Apache-2.0 */

/* One client.
 *
 * Varlink has no identifiers: replies come in the order of the calls. So one call is in work at a
 * time, until its last reply has been handed to the kernel (that of Monitor comes when the service
 * stops); what the client sends meanwhile is kept up to PIPELINED_MAX, then reading stops and the
 * socket's own buffer makes it wait.
 *
 * Three operations at most are in flight. `receive` is one-shot and armed whenever there is room;
 * it is also what notices that the client has gone. When there is none, or when the client has shut
 * down its sending side (which is no reason to withhold the reply), `hangup` waits for the close
 * alone. `send` has the bytes of `sending`; further replies gather in `queued` and go together.
 * Nothing is ever cancelled but everything at once, at the end: a cancel goes by descriptor, and
 * would take a reply on its way with it.
 *
 * Every callback ends in client_work(), which alone decides what comes next. A connection is
 * closed in steps: client_close() cancels, the last completion puts it on the server's list of
 * the ended, and the server frees it from the loop. So nobody up the stack holds a freed one.
 *
 * One timer is enough: while a reply is being sent it bounds the reading of it, and while nothing
 * is in work it bounds the time that a call which has begun takes to arrive in whole. The clock of
 * such a call is started by its first byte and moved by nothing.
 *
 * An idle connection keeps no buffer: it costs this struct and one operation. What is queued for a
 * client is bounded for it alone, and counts against what all users share; over either bound it is
 * dropped as one that does not read. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "log.h"
#include "macro.h"
#include "methods.h"
#include "monitor.h"
#include "reply.h"

/* Bytes of further calls that are read while one is in work. */
#define PIPELINED_MAX ((size_t) 64 << 10)

static bool client_busy(const ControlClient *c) {
        return !c->dropped && (c->query || monitor_begun(c) || io_op_in_flight(&c->send));
}

/* ---- the end ---- */

static bool client_quiet(const ControlClient *c) {
        return !io_op_in_flight(&c->receive) && !io_op_in_flight(&c->send) &&
                        !io_op_in_flight(&c->hangup);
}

static void client_settle(ControlClient *c) {
        ControlServer *server = c->server;
        bool busy = client_busy(c);

        if (busy && !c->counted)
                server->n_busy++;
        else if (!busy && c->counted)
                server->n_busy--;
        c->counted = busy;

        if (c->dropped && client_quiet(c)) {
                list_remove(&c->node);
                list_append(&server->ended, &c->node);
        }
        if (c->dropped || server->draining)
                server_settle(server);
}

void client_close(ControlClient *c) {
        if (c->dropped)
                return;
        c->dropped = true;
        if (c->query)
                query_cancel(TAKE_PTR(c->query));
        monitor_forget(c);
        io_timer_cancel(c->server->io, &c->timer);
        io_cancel(c->server->io, c->fd);
        client_settle(c);
}

/* By a rule, not by the client's wish. */
static void client_drop(ControlClient *c, const char *why) {
        if (c->dropped)
                return;
        c->server->counters.dropped++;
        log_debug("Dropping a client of user %u: %s", (unsigned) c->peer->uid, why);
        client_close(c);
}

void client_free(ControlClient *c) {
        assert(c->dropped && client_quiet(c));
        list_remove(&c->node);
        io_close(c->server->io, c->fd);
        quota_give_back(&c->server->unread, &c->peer->unread, c->charged);
        varlink_frames_deinit(&c->input);
        buffer_deinit(&c->sending);
        buffer_deinit(&c->queued);
        free(c);
}

/* ---- replies ---- */

void client_reply(ControlClient *c, const char *json, size_t size) {
        if (!c->oneway)
                reply_write(&c->queued, json, size);
}

void client_event(ControlClient *c, const char *json, size_t size) {
        if (!c->oneway)
                reply_write_event(&c->queued, json, size);
}

void client_error(ControlClient *c, InterfaceError error, const char *text, uint64_t number) {
        if (!c->oneway)
                reply_write_error(&c->queued, error, text, number);
}

/* Brings the books up to date. False: what is queued may not be. */
static bool client_charge(ControlClient *c) {
        Quota *quota = &c->server->unread;
        size_t unread = c->sending.size + c->queued.size;

        if (unread < c->charged)
                quota_give_back(quota, &c->peer->unread, c->charged - unread);
        else if (!quota_take(quota, &c->peer->unread, unread - c->charged))
                return false;
        c->charged = unread;
        return true;
}

static void client_flush(ControlClient *c) {
        Io *io = c->server->io;

        if (c->queued.error == -EMSGSIZE)
                return client_drop(c, "it does not read its replies, or one is over the limit");
        if (c->queued.error < 0)
                return client_drop(c, "no memory for its replies");
        if (!client_charge(c))
                return client_drop(c, "too much is unread, and its user has its share of it");
        if (c->queued.size == 0 || io_op_in_flight(&c->send))
                return;

        buffer_deinit(&c->sending);
        c->sending = c->queued;
        c->queued = (Buffer){ .limit = c->sending.limit };
        int r = io_send(io, &c->send, c->fd, c->sending.data, c->sending.size);
        if (r >= 0)
                r = io_timer_set(
                                io, &c->timer,
                                time_add(io_now(io), c->server->limits.unread_timeout_ns));
        if (r < 0)
                client_drop(c, "no memory to send its reply");
}

static void send_done(IoOp *op, const IoResult *result) {
        ControlClient *c = CONTAINER_OF(op, ControlClient, send);

        io_timer_cancel(c->server->io, &c->timer);
        buffer_deinit(&c->sending);
        if (result->value < 0)
                client_close(c); /* it has gone */
        client_work(c);
}

/* ---- calls ---- */

static void client_call(ControlClient *c, const char *frame, size_t size) {
        VarlinkCall call;

        c->server->counters.calls++;
        c->oneway = c->more = false;
        int r = varlink_call_parse(&call, frame, size);
        if (r == -ERANGE) {
                client_error(c, ERROR_INVALID_PARAMETER, "parameters", 0);
                varlink_frames_deinit(&c->input);
                c->ended = true;
                return;
        }
        if (r < 0)
                return client_drop(c, r == -ENOMEM ? "no memory for its call" : "it sent no call");

        c->oneway = call.oneway;
        c->more = call.more && !call.oneway;
        methods_call(c, &call);
        varlink_call_deinit(&call);
}

/* Takes up the next call. False: there is none. */
static bool client_next(ControlClient *c) {
        const char *frame;
        size_t size;

        if (!varlink_frames_next(&c->input, &frame, &size))
                return false;
        io_timer_cancel(c->server->io, &c->timer);
        if (size > c->server->limits.max_message)
                client_drop(c, "its call is over the limit");
        else
                client_call(c, frame, size);
        return !c->dropped;
}

/* Arms what has to be noticed while nothing can be done. */
static void client_watch(ControlClient *c) {
        Io *io = c->server->io;
        size_t pending = varlink_frames_pending(&c->input);
        bool busy = client_busy(c);
        int r = 0;

        if (!busy && c->ended)
                return client_close(c);
        if (!busy && pending > c->server->limits.max_message)
                return client_drop(c, "its call is over the limit");
        if (pending == 0)
                varlink_frames_deinit(&c->input);
        else if (!busy && !io_timer_armed(&c->timer))
                r = io_timer_set(
                                io, &c->timer,
                                time_add(io_now(io), c->server->limits.frame_timeout_ns));

        bool read = !c->ended && (!busy || pending < PIPELINED_MAX);
        if (r >= 0 && read && !io_op_in_flight(&c->receive))
                r = io_recv(io, &c->receive, c->fd, /* multishot= */ false);
        if (r >= 0 && !read && !io_op_in_flight(&c->receive) && !io_op_in_flight(&c->hangup))
                r = io_poll(io, &c->hangup, c->fd, /* events= */ 0, /* flags= */ 0);
        if (r < 0)
                client_drop(c, "no memory to wait for it");
}

void client_work(ControlClient *c) {
        if (!c->dropped)
                client_flush(c);
        while (!c->dropped && !client_busy(c) && client_next(c))
                client_flush(c);
        if (!c->dropped)
                client_watch(c);
        client_settle(c);
}

/* ---- events ---- */

static void receive_done(IoOp *op, const IoResult *result) {
        ControlClient *c = CONTAINER_OF(op, ControlClient, receive);

        if (result->value == 0)
                c->ended = true;
        else if (result->value < 0)
                client_close(c);
        else if (!c->dropped && !c->ended &&
                 varlink_frames_push(&c->input, result->data, (size_t) result->value) < 0)
                client_drop(c, "no memory for its call");
        client_work(c);
}

static void hangup_done(IoOp *op, const IoResult *result) {
        ControlClient *c = CONTAINER_OF(op, ControlClient, hangup);

        client_close(c);
        client_work(c);
}

static void timer_fired(IoTimer *timer) {
        ControlClient *c = CONTAINER_OF(timer, ControlClient, timer);

        client_drop(c,
                    io_op_in_flight(&c->send) ? "it does not read its reply in time" :
                                                "it does not complete its call in time");
}

int client_new(ControlServer *server, int fd, ControlPeer *peer) {
        ControlClient *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;

        *c = (ControlClient){
                .server = server,
                .peer = peer,
                .fd = fd,
                .receive.done = receive_done,
                .send.done = send_done,
                .hangup.done = hangup_done,
                .timer.fire = timer_fired,
                .queued.limit = server->limits.max_unread,
                .sending.limit = server->limits.max_unread,
        };
        list_init(&c->subscription);
        int r = io_recv(server->io, &c->receive, fd, /* multishot= */ false);
        if (r < 0) {
                free(c);
                return r;
        }
        list_append(&server->connections, &c->node);
        return 0;
}
