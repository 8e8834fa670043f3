/* SPDX-License-Identifier: Apache-2.0 */

/* The life of one descriptor. Whoever has no use for a connection any more closes it and
 * forgets it at once; the connection then asks its operations to end, and the last completion
 * closes the descriptor and frees the memory. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "connection.h"
#include "macro.h"

/* A request of this size keeps its copy's memory for the next one; that of a larger one is
 * given back. */
#define REQUEST_KEPT_MAX 512u

static Io *io_of(const Connection *c) {
        return net_io(c->net);
}

/* Frees it when it is time to. Call it last: the connection may be gone. */
static void settle(Connection *c) {
        if (c->state != CONNECTION_CLOSING || c->pinned || io_op_in_flight(&c->recv) ||
            io_op_in_flight(&c->write))
                return;
        io_close(io_of(c), c->fd);
        http_reader_deinit(&c->reader);
        free(c->request);
        net_forget(c);
        free(c);
}

static void on_received(IoOp *op, const IoResult *result) {
        Connection *c = CONTAINER_OF(op, Connection, recv);
        /* bytes may be the last that the loop can receive here: it then is as good as broken */
        bool crippled = result->value > 0 && !result->more;

        c->pinned = true;
        if (c->state == CONNECTION_USED)
                c->user->received(c->userdata, result->data, result->value);
        else if (c->state == CONNECTION_KEPT)
                net_retire(c);
        if (crippled && c->state == CONNECTION_USED)
                c->user->received(c->userdata, NULL, -ENOBUFS);
        else if (crippled && c->state == CONNECTION_KEPT)
                net_retire(c);
        assert(result->more || c->state == CONNECTION_CLOSING);
        c->pinned = false;
        settle(c);
}

static void on_sent(IoOp *op, const IoResult *result) {
        Connection *c = CONTAINER_OF(op, Connection, write);

        c->pinned = true;
        if (c->request_capacity > REQUEST_KEPT_MAX) {
                free(TAKE_PTR(c->request));
                c->request_capacity = 0;
        }
        if (c->state == CONNECTION_USED)
                c->user->sent(c->userdata, MIN(result->value, 0));
        c->pinned = false;
        settle(c);
}

static void on_connected(IoOp *op, const IoResult *result) {
        Connection *c = CONTAINER_OF(op, Connection, write);
        int r = MIN(result->value, 0);

        c->pinned = true;
        if (c->state == CONNECTION_CONNECTING) {
                c->state = CONNECTION_USED;
                c->write.done = on_sent;
                if (r == 0)
                        r = io_recv(io_of(c), &c->recv, c->fd, true);
                c->user->connected(c->userdata, r);
        }
        c->pinned = false;
        settle(c);
}

int connection_open(Connection **ret, Io *io, const struct sockaddr *address, socklen_t size) {
        CLEANUP_FREE Connection *c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->recv.done = on_received;
        c->write.done = on_connected;
        list_init(&c->origin_node);
        list_init(&c->kept_node);

        int fd = io_socket(io, address->sa_family);
        if (fd < 0)
                return fd;
        int r = io_connect(io, &c->write, fd, address, size);
        if (r < 0) {
                io_close(io, fd);
                return r;
        }
        c->fd = fd;
        *ret = TAKE_PTR(c);
        return 0;
}

int connection_send(Connection *c, const char *request, size_t size) {
        assert(c->state == CONNECTION_USED);
        if (size > c->request_capacity) {
                char *grown = realloc(c->request, size);
                if (!grown)
                        return -ENOMEM;
                c->request = grown;
                c->request_capacity = size;
        }
        memcpy(c->request, request, size);
        return io_send(io_of(c), &c->write, c->fd, c->request, size);
}

void connection_close(Connection *c) {
        assert(c->state != CONNECTION_CLOSING);
        c->state = CONNECTION_CLOSING;
        c->user = NULL;
        c->userdata = NULL;
        io_cancel(io_of(c), c->fd);
        settle(c);
}
