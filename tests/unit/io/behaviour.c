/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "behaviour.h"
#include "clock.h"
#include "macro.h"

/* ---- tools ---- */

static void guard_fire(IoTimer *timer) {
        fail_msg("what the test waits for did not happen");
}

void guard_start(Guard *guard, World *world) {
        *guard = (Guard){ .timer.fire = guard_fire, .world = world };
        assert_int_equal(
                        io_timer_set(world->io, &guard->timer, io_now(world->io) + 30 * NSEC_PER_SEC),
                        0);
}

void guard_turn(Guard *guard) {
        assert_int_equal(io_turn(guard->world->io), 0);
}

static void probe_done(IoOp *op, const IoResult *result) {
        Probe *probe = CONTAINER_OF(op, Probe, op);

        assert_int_equal(probe->ends, 0);
        assert_int_equal(io_op_in_flight(op), result->more);
        if (probe->calls++ == 0)
                probe->first = result->value;
        probe->last = result->value;
        probe->ends += !result->more;
        if (result->data && probe->bytes) {
                assert_true(result->value > 0);
                assert_true(probe->size + (size_t) result->value <= probe->capacity);
                memcpy(probe->bytes + probe->size, result->data, (size_t) result->value);
        }
        if (result->data)
                probe->size += (size_t) result->value;
}

void probe_init(Probe *probe, World *world) {
        *probe = (Probe){ .op.done = probe_done, .world = world };
}

static socklen_t path_address(World *world, struct sockaddr_un *ret) {
        *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
        memcpy(ret->sun_path, world->path, sizeof(ret->sun_path));
        return sizeof(*ret);
}

static void start_connect(World *world, Probe *probe, int fd) {
        struct sockaddr_un address;
        socklen_t size = path_address(world, &address);

        assert_int_equal(
                        io_connect(world->io, &probe->op, fd, (const struct sockaddr *) &address,
                                   size),
                        0);
        memset(&address, 0xff, sizeof(address)); /* it was copied */
}

void make_pair(World *world, int *ret_client, int *ret_server) {
        Probe accepted, connected;
        int listener = io_listen_unix(world->io, world->path, 0600);
        int client = io_socket(world->io, AF_UNIX);

        assert_true(listener >= 0 && client >= 0);
        probe_init(&accepted, world);
        probe_init(&connected, world);
        assert_int_equal(io_accept(world->io, &accepted.op, listener), 0);
        start_connect(world, &connected, client);
        RUN_UNTIL(world, connected.ends && accepted.calls);
        assert_int_equal(connected.last, 0);
        assert_true(accepted.first >= 0);

        io_cancel(world->io, listener);
        RUN_UNTIL(world, accepted.ends);
        assert_int_equal(accepted.last, -ECANCELED);
        io_close(world->io, listener);
        *ret_client = client;
        *ret_server = accepted.first;
}

static void close_both(World *world, int a, int b) {
        io_close(world->io, a);
        io_close(world->io, b);
}

static char *pattern(size_t size) {
        char *data = malloc(size);

        assert_non_null(data);
        for (size_t i = 0; i < size; i++)
                data[i] = (char) (i * 31 + i / 251);
        return data;
}

/* ---- streams ---- */

typedef struct Echo {
        IoOp recv;
        IoOp send;
        Io *io;
        int fd;
        char held[4096];
        bool ended;
} Echo;

static void echo_sent(IoOp *op, const IoResult *result) {
        Echo *echo = CONTAINER_OF(op, Echo, send);

        assert_true(result->value > 0 && !result->more);
        assert_int_equal(io_recv(echo->io, &echo->recv, echo->fd, false), 0);
}

static void echo_received(IoOp *op, const IoResult *result) {
        Echo *echo = CONTAINER_OF(op, Echo, recv);

        assert_false(result->more);
        if (result->value == 0) {
                echo->ended = true;
                return;
        }
        assert_true(result->value > 0 && (size_t) result->value <= sizeof(echo->held));
        memcpy(echo->held, result->data, (size_t) result->value);
        assert_int_equal(
                        io_send(echo->io, &echo->send, echo->fd, echo->held, (size_t) result->value),
                        0);
}

void behaves_echo(void **state) {
        World *w = *state;
        const size_t size = 300000;
        char *data = pattern(size);
        Probe sent, received;
        int client, server;

        make_pair(w, &client, &server);
        Echo echo = { .recv.done = echo_received, .send.done = echo_sent, .io = w->io, .fd = server };
        assert_int_equal(io_recv(w->io, &echo.recv, server, false), 0);

        probe_init(&sent, w);
        probe_init(&received, w);
        received.bytes = malloc(size);
        received.capacity = size;
        assert_int_equal(io_recv(w->io, &received.op, client, true), 0);
        assert_int_equal(io_send(w->io, &sent.op, client, data, size), 0);
        assert_int_equal(sent.calls, 0); /* never from within the call */
        RUN_UNTIL(w, received.size == size);
        assert_memory_equal(received.bytes, data, size);
        assert_int_equal(sent.last, size);
        assert_int_equal(sent.ends, 1);
        assert_int_equal(received.ends, 0);

        w->half_close(w->io, client);
        RUN_UNTIL(w, echo.ended);
        io_close(w->io, server);
        RUN_UNTIL(w, received.ends);
        assert_int_equal(received.last, 0);
        io_close(w->io, client);
        free(received.bytes);
        free(data);
}

void behaves_single_receive(void **state) {
        World *w = *state;
        Probe received, sent;
        int client, server;

        make_pair(w, &client, &server);
        probe_init(&sent, w);
        assert_int_equal(io_send(w->io, &sent.op, client, "ab", 2), 0);
        RUN_UNTIL(w, sent.ends);
        for (size_t i = 0; i < 2;) {
                probe_init(&received, w);
                assert_int_equal(io_recv(w->io, &received.op, server, false), 0);
                RUN_UNTIL(w, received.ends);
                assert_true(received.last >= 1 && received.last <= 2);
                assert_int_equal(received.calls, 1);
                i += (size_t) received.last;
        }
        close_both(w, client, server);
}

/* After the peer's half-close: end of stream here, sending still works, and a poll for the peer's
 * close alone sleeps on. */
void behaves_half_close(void **state) {
        World *w = *state;
        Probe received, answer, sent, gone;
        int client, server;

        make_pair(w, &client, &server);
        probe_init(&received, w);
        probe_init(&answer, w);
        probe_init(&sent, w);
        probe_init(&gone, w);
        assert_int_equal(io_poll(w->io, &gone.op, server, 0, 0), 0);
        assert_int_equal(io_recv(w->io, &received.op, server, true), 0);
        assert_int_equal(io_recv(w->io, &answer.op, client, true), 0);
        w->half_close(w->io, client);
        RUN_UNTIL(w, received.ends);
        assert_int_equal(received.last, 0);

        assert_int_equal(io_send(w->io, &sent.op, server, "answer", 6), 0);
        RUN_UNTIL(w, answer.size == 6);
        assert_int_equal(gone.calls, 0);

        io_cancel(w->io, client);
        RUN_UNTIL(w, answer.ends);
        io_close(w->io, client);
        RUN_UNTIL(w, gone.ends);
        assert_int_equal(gone.calls, 1);
        assert_true(gone.last & POLLHUP);
        io_close(w->io, server);
}

/* The half-close may come before the poll, or not at all. */
void behaves_peer_close(void **state) {
        World *w = *state;
        Probe gone, input;
        int client, server;

        make_pair(w, &client, &server);
        w->half_close(w->io, client);
        probe_init(&input, w);
        assert_int_equal(io_poll(w->io, &input.op, server, POLLIN, 0), 0);
        RUN_UNTIL(w, input.ends);
        assert_int_equal(input.last, POLLIN);
        probe_init(&gone, w);
        assert_int_equal(io_poll(w->io, &gone.op, server, 0, 0), 0);
        assert_int_equal(io_turn(w->io) | gone.calls, 0);
        io_close(w->io, client);
        RUN_UNTIL(w, gone.ends);
        assert_true(gone.last & POLLHUP);
        io_close(w->io, server);

        make_pair(w, &client, &server);
        probe_init(&gone, w);
        io_close(w->io, client);
        assert_int_equal(io_poll(w->io, &gone.op, server, 0, 0), 0);
        RUN_UNTIL(w, gone.ends);
        assert_int_equal(gone.last & POLLIN, 0);
        assert_true(gone.last & POLLHUP);
        io_close(w->io, server);
}

void behaves_poll_output(void **state) {
        World *w = *state;
        Probe output;
        int client, server;

        make_pair(w, &client, &server);
        probe_init(&output, w);
        assert_int_equal(io_poll(w->io, &output.op, client, POLLOUT, 0), 0);
        RUN_UNTIL(w, output.ends);
        assert_int_equal(output.last, POLLOUT);
        close_both(w, client, server);
}

/* Much more than any socket buffer holds, to a reader that starts late. */
void behaves_large_send(void **state) {
        World *w = *state;
        const size_t size = 5000000;
        char *data = pattern(size);
        Probe sent, received;
        int client, server;

        make_pair(w, &client, &server);
        probe_init(&sent, w);
        probe_init(&received, w);
        received.bytes = malloc(size);
        received.capacity = size;
        assert_int_equal(io_send(w->io, &sent.op, client, data, size), 0);
        assert_int_equal(io_recv(w->io, &received.op, server, true), 0);
        RUN_UNTIL(w, sent.ends && received.size == size);
        assert_int_equal(sent.last, size);
        assert_memory_equal(received.bytes, data, size);

        io_close(w->io, client);
        RUN_UNTIL(w, received.ends);
        assert_int_equal(received.last, 0);
        io_close(w->io, server);
        free(received.bytes);
        free(data);
}

void behaves_send_to_closed(void **state) {
        World *w = *state;
        Probe gone, sent;
        int client, server;

        make_pair(w, &client, &server);
        probe_init(&gone, w);
        probe_init(&sent, w);
        assert_int_equal(io_poll(w->io, &gone.op, client, 0, 0), 0);
        io_close(w->io, server);
        RUN_UNTIL(w, gone.ends);
        assert_int_equal(io_send(w->io, &sent.op, client, "x", 1), 0);
        RUN_UNTIL(w, sent.ends);
        assert_int_equal(sent.last, -EPIPE);
        io_close(w->io, client);
}

/* ---- cancelling ---- */

void behaves_cancel(void **state) {
        World *w = *state;
        Probe received, polled, single, other;
        int client, server;

        make_pair(w, &client, &server);
        probe_init(&received, w);
        probe_init(&single, w);
        probe_init(&polled, w);
        probe_init(&other, w);
        assert_int_equal(io_recv(w->io, &received.op, server, true), 0);
        assert_int_equal(io_recv(w->io, &single.op, server, false), 0);
        assert_int_equal(io_poll(w->io, &polled.op, server, 0, 0), 0);
        assert_int_equal(io_recv(w->io, &other.op, client, true), 0);
        assert_int_equal(io_in_flight(w->io), 4);
        io_cancel(w->io, server);
        io_cancel(w->io, server);
        assert_int_equal(received.calls + single.calls + polled.calls, 0);
        RUN_UNTIL(w, received.ends && single.ends && polled.ends);
        assert_int_equal(received.last, -ECANCELED);
        assert_int_equal(single.last, -ECANCELED);
        assert_int_equal(polled.last, -ECANCELED);
        assert_int_equal(other.calls, 0);

        io_cancel(w->io, client);
        RUN_UNTIL(w, other.ends);
        io_cancel(w->io, client); /* nothing is left to cancel */
        close_both(w, client, server);
        io_cancel(w->io, client); /* nor here */
}

/* With bytes waiting: they or the cancel may come first, the end comes once. */
void behaves_cancel_with_data(void **state) {
        World *w = *state;

        for (unsigned i = 0; i < 20; i++) {
                Probe sent, received;
                int client, server;

                make_pair(w, &client, &server);
                probe_init(&sent, w);
                probe_init(&received, w);
                assert_int_equal(io_send(w->io, &sent.op, client, "twelve bytes", 12), 0);
                RUN_UNTIL(w, sent.ends);
                assert_int_equal(io_recv(w->io, &received.op, server, i & 1), 0);
                if (i & 2)
                        assert_int_equal(io_turn(w->io), 0);
                if (!received.ends)
                        io_cancel(w->io, server);
                RUN_UNTIL(w, received.ends);
                assert_true(received.size <= 12);
                assert_true(received.last == -ECANCELED || received.last > 0);
                close_both(w, client, server);
        }
}

static void received_then_cancel(IoOp *op, const IoResult *result) {
        Probe *probe = CONTAINER_OF(op, Probe, op);

        probe_done(op, result);
        if (probe->calls == 1)
                io_cancel(probe->world->io, probe->first);
}

/* A cancel made by a callback reaches an operation that goes on. */
void behaves_cancel_from_receive(void **state) {
        World *w = *state;
        Probe sent, received;
        int client, server;

        make_pair(w, &client, &server);
        probe_init(&sent, w);
        assert_int_equal(io_send(w->io, &sent.op, client, "x", 1), 0);
        probe_init(&received, w);
        assert_int_equal(io_recv(w->io, &received.op, server, true), 0);
        RUN_UNTIL(w, received.calls == 1);
        io_cancel(w->io, server);
        RUN_UNTIL(w, received.ends);
        assert_int_equal(received.last, -ECANCELED);
        close_both(w, client, server);

        /* The same from within the callback of an accept. */
        int listener = io_listen_unix(w->io, w->path, 0600);
        Probe accepted, connected;

        client = io_socket(w->io, AF_UNIX);
        probe_init(&accepted, w);
        probe_init(&connected, w);
        accepted.op.done = received_then_cancel;
        assert_int_equal(io_accept(w->io, &accepted.op, listener), 0);
        start_connect(w, &connected, client);
        RUN_UNTIL(w, accepted.calls && connected.ends);
        io_cancel(w->io, listener);
        RUN_UNTIL(w, accepted.ends);
        assert_int_equal(accepted.calls, 2);
        close_both(w, client, accepted.first);
        io_close(w->io, listener);
}

/* A connect cancelled in the turn of its submission ends one way or the other. */
void behaves_cancel_connect_pair(void **state) {
        World *w = *state;
        int listener = io_listen_unix(w->io, w->path, 0600);
        int client = io_socket(w->io, AF_UNIX);
        Probe connected;

        assert_true(listener >= 0 && client >= 0);
        probe_init(&connected, w);
        start_connect(w, &connected, client);
        io_cancel(w->io, client);
        RUN_UNTIL(w, connected.ends);
        assert_true(connected.last == 0 || connected.last == -ECANCELED);
        close_both(w, client, listener);
}

/* ---- limits ---- */

/* More bytes ready at once than the loop has buffers for: all arrive, in order. */
void behaves_buffers_run_out(void **state) {
        enum {
                PAIRS = 40
        };
        World *w = *state;
        const size_t size = 100000;
        char *data = pattern(size);
        Probe sent[PAIRS], received[PAIRS];
        int client[PAIRS], server[PAIRS];

        for (size_t i = 0; i < PAIRS; i++) {
                make_pair(w, &client[i], &server[i]);
                probe_init(&sent[i], w);
                probe_init(&received[i], w);
                received[i].bytes = malloc(size);
                received[i].capacity = size;
                assert_int_equal(io_send(w->io, &sent[i].op, client[i], data, size), 0);
        }
        assert_int_equal(io_turn(w->io), 0);
        for (size_t i = 0; i < PAIRS; i++)
                assert_int_equal(io_recv(w->io, &received[i].op, server[i], true), 0);
        for (size_t i = 0; i < PAIRS; i++) {
                RUN_UNTIL(w, received[i].size == size && sent[i].ends);
                assert_memory_equal(received[i].bytes, data, size);
                assert_int_equal(received[i].ends, 0);
        }
        for (size_t i = 0; i < PAIRS; i++) {
                io_close(w->io, client[i]);
                RUN_UNTIL(w, received[i].ends);
                assert_int_equal(received[i].last, 0);
                io_close(w->io, server[i]);
                free(received[i].bytes);
        }
        free(data);
}

/* Numbers come back; results of the earlier tenants do not. */
void behaves_descriptor_reuse(void **state) {
        World *w = *state;
        int first_client = -1;

        for (unsigned i = 0; i < 50; i++) {
                char byte = (char) ('a' + i % 26);
                char seen[16];
                Probe sent, received;
                int client, server;

                make_pair(w, &client, &server);
                if (i == 0)
                        first_client = client;
                assert_int_equal(client, first_client);
                probe_init(&sent, w);
                probe_init(&received, w);
                received.bytes = seen;
                received.capacity = sizeof(seen);
                assert_int_equal(io_recv(w->io, &received.op, server, true), 0);
                assert_int_equal(io_send(w->io, &sent.op, client, &byte, 1), 0);
                RUN_UNTIL(w, received.calls && sent.ends);
                assert_int_equal(received.size, 1);
                assert_int_equal(seen[0], byte);

                /* One more byte is on its way when the receive is cancelled. */
                probe_init(&sent, w);
                assert_int_equal(io_send(w->io, &sent.op, client, "!", 1), 0);
                io_cancel(w->io, server);
                RUN_UNTIL(w, received.ends && sent.ends);
                close_both(w, client, server);
        }
}

void behaves_connect_refused(void **state) {
        World *w = *state;
        struct sockaddr_in nobody = { .sin_family = AF_INET, .sin_port = htons(1) };
        Probe unix_probe, tcp_probe;
        int local = io_socket(w->io, AF_UNIX);
        int tcp = io_socket(w->io, AF_INET);

        assert_true(local >= 0 && tcp >= 0);
        nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        probe_init(&unix_probe, w);
        probe_init(&tcp_probe, w);
        start_connect(w, &unix_probe, local);
        assert_int_equal(
                        io_connect(w->io, &tcp_probe.op, tcp, (const struct sockaddr *) &nobody,
                                   sizeof(nobody)),
                        0);
        RUN_UNTIL(w, unix_probe.ends && tcp_probe.ends);
        assert_int_equal(unix_probe.last, -ENOENT);
        assert_int_equal(tcp_probe.last, -ECONNREFUSED);

        /* The socket file is there, its listener is gone. */
        int listener = io_listen_unix(w->io, w->path, 0600);
        assert_true(listener >= 0);
        io_close(w->io, listener);
        probe_init(&unix_probe, w);
        start_connect(w, &unix_probe, local);
        RUN_UNTIL(w, unix_probe.ends);
        assert_int_equal(unix_probe.last, -ECONNREFUSED);
        close_both(w, local, tcp);
}

void behaves_listen_twice(void **state) {
        World *w = *state;
        int listener = io_listen_unix(w->io, w->path, 0600);

        assert_true(listener >= 0);
        assert_int_equal(io_listen_unix(w->io, w->path, 0600), -EADDRINUSE);
        io_close(w->io, listener);
        /* What is left there now is a socket file without a listener. */
        listener = io_listen_unix(w->io, w->path, 0600);
        assert_true(listener >= 0);
        io_close(w->io, listener);
}

void behaves_no_descriptors(void **state) {
        World *w = *state;
        int listener = io_listen_unix(w->io, w->path, 0600);
        int client = io_socket(w->io, AF_UNIX);
        Probe accepted, connected;
        int spare[8];
        size_t n = 0;

        assert_true(listener >= 0 && client >= 0);
        assert_int_equal(w->limit(w->io, 4), 0);
        while (n < ELEMENTSOF(spare) && (spare[n] = io_socket(w->io, AF_INET)) >= 0)
                n++;
        assert_int_equal(n, 4);
        assert_int_equal(spare[n], -EMFILE);
        assert_int_equal(io_eventfd(w->io), -EMFILE);

        probe_init(&accepted, w);
        probe_init(&connected, w);
        assert_int_equal(io_accept(w->io, &accepted.op, listener), 0);
        start_connect(w, &connected, client);
        RUN_UNTIL(w, accepted.ends && connected.ends);
        assert_int_equal(accepted.last, -EMFILE);

        /* With room again, one to spare, the same connection is accepted. */
        io_close(w->io, spare[--n]);
        io_close(w->io, spare[--n]);
        probe_init(&accepted, w);
        assert_int_equal(io_accept(w->io, &accepted.op, listener), 0);
        RUN_UNTIL(w, accepted.calls);
        assert_true(accepted.last >= 0);
        io_cancel(w->io, listener);
        RUN_UNTIL(w, accepted.ends);
        while (n > 0)
                io_close(w->io, spare[--n]);
        close_both(w, accepted.first, client);
        io_close(w->io, listener);
        assert_int_equal(w->limit(w->io, -1), 0);
}

/* An eventfd that nobody ever reads tells of every ring. */
void behaves_doorbell(void **state) {
        World *w = *state;
        int fd = io_eventfd(w->io);
        Probe bell;

        assert_true(fd >= 0);
        probe_init(&bell, w);
        assert_int_equal(io_poll(w->io, &bell.op, fd, POLLIN, IO_POLL_EDGE), 0);
        for (unsigned i = 1; i <= 5; i++) {
                w->ring(w->io, fd);
                RUN_UNTIL(w, bell.calls == i);
                assert_int_equal(bell.last, POLLIN);
        }
        assert_int_equal(bell.ends, 0);
        io_cancel(w->io, fd);
        RUN_UNTIL(w, bell.ends);
        assert_int_equal(bell.last, -ECANCELED);
        io_close(w->io, fd);
}

static unsigned freed;

static void free_owner(IoOp *op, const IoResult *result) {
        assert_false(result->more);
        free(CONTAINER_OF(op, Probe, op));
        freed++;
}

void behaves_free_in_callback(void **state) {
        World *w = *state;
        int client, server;

        freed = 0;
        make_pair(w, &client, &server);
        for (unsigned i = 0; i < 10; i++) {
                Probe *probe = malloc(sizeof(*probe));

                assert_non_null(probe);
                probe_init(probe, w);
                probe->op.done = free_owner;
                assert_int_equal(io_poll(w->io, &probe->op, server, i & 1 ? 0 : POLLIN, 0), 0);
        }
        io_close(w->io, client);
        RUN_UNTIL(w, freed == 10);
        io_close(w->io, server);
}

/* More at once than the submission queue or the first operation table takes. */
void behaves_many_operations(void **state) {
        enum {
                MANY = 6000
        };
        World *w = *state;
        Probe *probes = calloc(MANY, sizeof(*probes));
        int client, server;
        size_t ended = 0;

        assert_non_null(probes);
        make_pair(w, &client, &server);
        for (size_t i = 0; i < MANY; i++) {
                probe_init(&probes[i], w);
                assert_int_equal(io_poll(w->io, &probes[i].op, server, POLLIN, 0), 0);
        }
        assert_int_equal(io_in_flight(w->io), MANY);
        io_cancel(w->io, server);
        RUN_UNTIL(w, io_in_flight(w->io) == 0);
        for (size_t i = 0; i < MANY; i++)
                ended += probes[i].ends;
        assert_int_equal(ended, MANY);
        close_both(w, client, server);
        free(probes);
}

void behaves_bad_arguments(void **state) {
        World *w = *state;
        struct sockaddr_storage large = { .ss_family = AF_UNIX };
        int fd = io_socket(w->io, AF_UNIX);
        char long_path[200];
        Probe probe;

        memset(long_path, 'x', sizeof(long_path) - 1);
        long_path[sizeof(long_path) - 1] = '\0';
        assert_int_equal(io_listen_unix(w->io, long_path, 0600), -ENAMETOOLONG);
        assert_int_equal(io_listen_unix(w->io, "", 0600), -ENAMETOOLONG);

        probe_init(&probe, w);
        assert_int_equal(io_recv(w->io, &probe.op, -1, true), -EBADF);
        assert_int_equal(io_send(w->io, &probe.op, fd, "", (size_t) INT32_MAX + 1), -EMSGSIZE);
        assert_int_equal(
                        io_connect(w->io, &probe.op, fd, (const struct sockaddr *) &large,
                                   sizeof(large)),
                        -EINVAL);
        assert_false(io_op_in_flight(&probe.op));
        assert_int_equal(io_in_flight(w->io), 0);

        io_close(w->io, fd);
        assert_true(io_adopt(w->io, -1) < 0);
}

void behaves_not_connected(void **state) {
        static const struct {
                int family;
                int recv_error;
                int send_error;
        } cases[] = {
                { AF_UNIX, -EINVAL, -ENOTCONN },
                { AF_INET, -ENOTCONN, -EPIPE },
        };
        World *w = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                int fd = io_socket(w->io, cases[i].family);
                Probe received, sent;

                probe_init(&received, w);
                probe_init(&sent, w);
                assert_int_equal(io_send(w->io, &sent.op, fd, "x", 1), 0);
                assert_int_equal(io_recv(w->io, &received.op, fd, true), 0);
                RUN_UNTIL(w, received.ends && sent.ends);
                assert_int_equal(received.last, cases[i].recv_error);
                assert_int_equal(sent.last, cases[i].send_error);
                io_close(w->io, fd);
        }
}

/* ---- files ---- */

static void start_write(World *w, Probe *probe, int fd, const void *data, size_t size, uint64_t offset) {
        probe_init(probe, w);
        assert_int_equal(io_write(w->io, &probe->op, fd, data, size, offset), 0);
        assert_int_equal(probe->calls, 0); /* never from within the call */
}

static void write_and_wait(World *w, int fd, const char *text, uint64_t offset) {
        Probe probe;

        start_write(w, &probe, fd, text, strlen(text), offset);
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(probe.last, strlen(text));
        assert_int_equal(probe.calls, 1);
}

static void expect_content(World *w, int fd, const char *expected, size_t expected_size) {
        size_t size;
        char *content = w->content(w->io, fd, &size);

        assert_int_equal(size, expected_size);
        assert_memory_equal(content, expected, size);
        free(content);
}

void behaves_write(void **state) {
        World *w = *state;
        int fd = w->file(w->io, false);
        Probe first, second;

        assert_true(fd >= 0);
        write_and_wait(w, fd, "", 0);
        write_and_wait(w, fd, "hello world", 0);
        expect_content(w, fd, "hello world", 11);
        write_and_wait(w, fd, "muster", 6);
        expect_content(w, fd, "hello muster", 12);
        write_and_wait(w, fd, "HE", 0);
        write_and_wait(w, fd, "x", 14);
        expect_content(w, fd, "HEllo muster\0\0x", 15);

        /* Two at once, to different places. */
        start_write(w, &first, fd, "ab", 2, 0);
        start_write(w, &second, fd, "cd", 2, 2);
        RUN_UNTIL(w, first.ends && second.ends);
        assert_int_equal(first.last, 2);
        assert_int_equal(second.last, 2);
        expect_content(w, fd, "abcdo muster\0\0x", 15);
        io_close(w->io, fd);
}

void behaves_write_large(void **state) {
        const size_t size = (8 << 20) + 1;
        World *w = *state;
        int fd = w->file(w->io, false);
        char *data = pattern(size);
        Probe probe;

        start_write(w, &probe, fd, data, size, 0);
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(probe.last, size);
        assert_int_equal(probe.calls, 1);
        expect_content(w, fd, data, size);
        free(data);
        io_close(w->io, fd);
}

/* It ends, either way. */
void behaves_write_cancelled(void **state) {
        World *w = *state;
        int fd = w->file(w->io, false);
        Probe probe;

        start_write(w, &probe, fd, "hello", 5, 0);
        io_cancel(w->io, fd);
        RUN_UNTIL(w, probe.ends);
        assert_true(probe.last == 5 || probe.last == -ECANCELED);
        io_close(w->io, fd);
}

void behaves_write_refused(void **state) {
        World *w = *state;
        int fd = w->file(w->io, true);
        Probe probe;

        start_write(w, &probe, fd, "hello", 5, 0);
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(probe.last, -EBADF);
        assert_int_equal(probe.calls, 1);
        expect_content(w, fd, "", 0);

        probe_init(&probe, w);
        assert_int_equal(io_write(w->io, &probe.op, fd, "", (size_t) INT32_MAX + 1, 0), -EMSGSIZE);
        assert_int_equal(io_write(w->io, &probe.op, fd, "x", 1, INT64_MAX), -EFBIG);
        assert_int_equal(io_write(w->io, &probe.op, fd, "", 0, UINT64_MAX), -EFBIG);
        assert_int_equal(io_write(w->io, &probe.op, -1, "x", 1, 0), -EBADF);
        assert_false(io_op_in_flight(&probe.op));
        io_close(w->io, fd);
}

/* ---- timers, tasks ---- */

typedef struct Alarm {
        IoTimer timer;
        World *world;
        unsigned fired;
        struct Alarm *other;
} Alarm;

static uint64_t last_deadline;
static uint64_t last_order;
static unsigned alarms_fired;

static void alarm_fire(IoTimer *timer) {
        Alarm *a = CONTAINER_OF(timer, Alarm, timer);

        assert_true(io_now(a->world->io) >= timer->deadline);
        assert_true(timer->deadline >= last_deadline);
        assert_true(timer->deadline > last_deadline || timer->order > last_order);
        assert_false(io_timer_armed(timer));
        last_deadline = timer->deadline;
        last_order = timer->order;
        a->fired++;
        alarms_fired++;
}

static void alarm_init(Alarm *a, World *world) {
        *a = (Alarm){ .timer.fire = alarm_fire, .world = world };
}

void behaves_timers_in_order(void **state) {
        enum {
                COUNT = 5000
        };
        World *w = *state;
        Alarm *alarms = calloc(COUNT, sizeof(*alarms));
        uint64_t now = io_now(w->io);

        assert_non_null(alarms);
        last_deadline = last_order = alarms_fired = 0;
        for (size_t i = 0; i < COUNT; i++) {
                uint64_t when = now + io_random(w->io) % (200 * NSEC_PER_MSEC);

                alarm_init(&alarms[i], w);
                if (i % 3 == 0) /* many at the same instant */
                        when = now + 50 * NSEC_PER_MSEC;
                assert_int_equal(io_timer_set(w->io, &alarms[i].timer, when), 0);
        }
        RUN_UNTIL(w, alarms_fired == COUNT);
        for (size_t i = 0; i < COUNT; i++)
                assert_int_equal(alarms[i].fired, 1);
        free(alarms);
}

static void alarm_change_others(IoTimer *timer) {
        Alarm *a = CONTAINER_OF(timer, Alarm, timer);

        alarm_fire(timer);
        io_timer_cancel(a->world->io, &a->other[0].timer);
        assert_int_equal(
                        io_timer_set(a->world->io, &a->other[1].timer,
                                     timer->deadline + 2 * NSEC_PER_MSEC),
                        0);
        assert_int_equal(
                        io_timer_set(a->world->io, &a->other[2].timer,
                                     timer->deadline + NSEC_PER_MSEC),
                        0);
}

void behaves_timers_changed(void **state) {
        World *w = *state;
        uint64_t now = io_now(w->io);
        Alarm first, others[3];

        last_deadline = last_order = alarms_fired = 0;
        alarm_init(&first, w);
        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                alarm_init(&others[i], w);
        first.timer.fire = alarm_change_others;
        first.other = others;

        /* [0] is due at the same instant and cancelled, [1] moved closer, [2] set anew. */
        assert_int_equal(io_timer_set(w->io, &first.timer, now + 5 * NSEC_PER_MSEC), 0);
        assert_int_equal(io_timer_set(w->io, &others[0].timer, now + 5 * NSEC_PER_MSEC), 0);
        assert_int_equal(io_timer_set(w->io, &others[1].timer, now + 20 * NSEC_PER_SEC), 0);
        RUN_UNTIL(w, others[1].fired && others[2].fired);
        assert_int_equal(others[0].fired, 0);
        assert_int_equal(alarms_fired, 3);

        /* The head goes away, comes earlier, is moved later. */
        now = io_now(w->io);
        assert_int_equal(io_timer_set(w->io, &others[0].timer, now + 10 * NSEC_PER_SEC), 0);
        assert_int_equal(io_timer_set(w->io, &others[1].timer, now + 4 * NSEC_PER_MSEC), 0);
        assert_int_equal(io_timer_set(w->io, &others[2].timer, now + 30 * NSEC_PER_MSEC), 0);
        for (unsigned i = 0; i < 2; i++) {
                Alarm soon;

                alarm_init(&soon, w);
                assert_int_equal(io_timer_set(w->io, &soon.timer, now + (2 - i) * NSEC_PER_MSEC), 0);
                io_timer_cancel(w->io, &soon.timer);
                io_timer_cancel(w->io, &soon.timer);
        }
        RUN_UNTIL(w, others[1].fired == 2);
        assert_int_equal(io_timer_set(w->io, &others[2].timer, now + 40 * NSEC_PER_MSEC), 0);
        RUN_UNTIL(w, others[2].fired == 2);
        io_timer_cancel(w->io, &others[0].timer);
        assert_int_equal(io_timer_set(w->io, &others[0].timer, TIME_INFINITY), 0);
        io_timer_cancel(w->io, &others[0].timer);
}

static void alarm_again(IoTimer *timer) {
        Alarm *a = CONTAINER_OF(timer, Alarm, timer);

        a->fired++;
        assert_int_equal(io_timer_set(a->world->io, timer, timer->deadline), 0);
}

/* A timer that is always due takes its share of each turn, not the loop. */
void behaves_timer_not_kept_busy(void **state) {
        World *w = *state;
        int client, server;
        Probe sent;
        Alarm again;

        make_pair(w, &client, &server);
        alarm_init(&again, w);
        again.timer.fire = alarm_again;
        assert_int_equal(io_timer_set(w->io, &again.timer, io_now(w->io)), 0);
        assert_int_equal(io_turn(w->io), 0);
        assert_int_equal(again.fired, 1);
        probe_init(&sent, w);
        assert_int_equal(io_send(w->io, &sent.op, client, "x", 1), 0);
        while (!sent.ends && again.fired < 100000)
                assert_int_equal(io_turn(w->io), 0);
        io_timer_cancel(w->io, &again.timer);
        RUN_UNTIL(w, sent.ends);
        close_both(w, client, server);
}

typedef struct Job {
        IoTask task;
        Io *io;
        unsigned runs;
        struct Job *next; /* posted by this one */
} Job;

static void job_run(IoTask *task) {
        Job *job = CONTAINER_OF(task, Job, task);

        job->runs++;
        if (job->next)
                io_post(job->io, &job->next->task);
}

static void job_init(Job *job, Io *io, Job *next) {
        *job = (Job){ .task.run = job_run, .io = io, .next = next };
        list_init(&job->task.node);
}

void behaves_tasks(void **state) {
        World *w = *state;
        Job a, b, c;

        job_init(&a, w->io, &a);
        job_init(&b, w->io, NULL);
        job_init(&c, w->io, &b);
        io_post(w->io, &a.task);
        io_post(w->io, &a.task);
        io_post(w->io, &c.task);
        assert_int_equal(a.runs + c.runs, 0);
        assert_int_equal(io_turn(w->io), 0); /* does not wait */
        assert_int_equal(a.runs, 1);
        assert_int_equal(c.runs, 1);
        assert_int_equal(b.runs, 0);
        assert_int_equal(io_turn(w->io), 0);
        assert_int_equal(a.runs, 2);
        assert_int_equal(b.runs, 1);
        io_unpost(&a.task);
        io_unpost(&a.task);
        io_post(w->io, &b.task);
        assert_int_equal(io_turn(w->io), 0);
        assert_int_equal(a.runs, 2);
        assert_int_equal(b.runs, 2);
}

static void job_stop(IoTask *task) {
        Job *job = CONTAINER_OF(task, Job, task);

        job->runs++;
        io_stop(job->io);
}

void behaves_stop(void **state) {
        World *w = *state;
        Job job;

        job_init(&job, w->io, NULL);
        job.task.run = job_stop;
        for (unsigned i = 1; i <= 2; i++) {
                io_post(w->io, &job.task);
                assert_int_equal(io_run(w->io), 0);
                assert_int_equal(job.runs, i);
        }
        io_stop(w->io);
        assert_int_equal(io_run(w->io), 0); /* at once */
}

void behaves_randomness(void **state) {
        World *w = *state;
        uint64_t all = 0, none = UINT64_MAX;
        uint64_t then = io_now(w->io), ms = io_unix_ms(w->io);

        for (unsigned i = 0; i < 100; i++) {
                uint64_t random = io_random(w->io);

                all |= random;
                none &= random;
        }
        assert_int_equal(all, UINT64_MAX);
        assert_int_equal(none, 0);
        assert_true(io_now(w->io) >= then);
        assert_true(ms > UINT64_C(1600000000000));
        assert_non_null(io_backend_name(w->io));
        assert_true(io_counters(w->io)->turns == 0);
}
