/* SPDX-License-Identifier: Apache-2.0 */

/* Several users at one server, in the simulator, where a client is whose it is said to be: one that
 * takes all it can get does not keep others from their share. */

#include <stdlib.h>
#include <string.h>

#include "control-fixture.h"
#include "io-sim.h"
#include "log.h"

#define SOCKET     "/run/muster/io.muster"
#define GET_STATUS "{\"method\":\"io.muster.GetStatus\"}"
#define REPLY_SIZE MIB /* of GetStatus, as a message */
#define PEERS_MAX  64

/* Long enough for everything to arrive, shorter than any time limit of the server. */
#define A_WHILE (100 * NSEC_PER_MSEC)

typedef struct Peer {
        SimPeer *peer; /* NULL: the server has closed the connection */
        size_t heard;  /* bytes */
} Peer;

static Io *io;
static ControlServer *server;
static bool server_closed, time_is_up;
static Peer peers[PEERS_MAX];
static size_t n_peers;

/* ---- the server ---- */

static int status(void *userdata, Buffer *out) {
        size_t size = REPLY_SIZE - strlen("{\"parameters\":{\"a\":\"\"}}") - 1;

        (void) buffer_append_string(out, "{\"a\":\"");
        for (size_t i = 0; i < size; i++)
                (void) buffer_append_char(out, 'x');
        return buffer_append_string(out, "\"}");
}

static void begin(const ControlLimits *limits) {
        const ControlBackend backend = { .status = status };

        n_peers = 0;
        server_closed = false;
        assert_int_equal(io_new_sim(&io, &(SimOptions){ .seed = 1 }), 0);
        int fd = io_listen_unix(io, SOCKET, 0660);
        assert_true(fd >= 0);
        assert_int_equal(control_new(&server, io, fd, &backend, limits), 0);
}

static void on_time(IoTimer *timer) {
        time_is_up = true;
}

static void run(void) {
        IoTimer timer = { .fire = on_time };

        time_is_up = false;
        assert_int_equal(io_timer_set(io, &timer, io_now(io) + A_WHILE), 0);
        while (!time_is_up)
                assert_true(io_turn(io) >= 0);
}

static void on_server_closed(void *userdata) {
        server = control_free(server);
        server_closed = true;
}

static void finish(void) {
        control_close(server, on_server_closed, NULL);
        run();
        assert_true(server_closed);
        assert_int_equal(sim_leaks(io).operations, 0);
        assert_int_equal(sim_leaks(io).descriptors, 0);
        assert_int_equal(sim_leaks(io).peers, 0);
        io = io_free(io);
}

/* ---- clients ---- */

static void on_data(SimPeer *peer, const void *data, size_t size) {
        Peer *p = sim_peer_userdata(peer);

        p->heard += size;
}

static void on_close(SimPeer *peer, int error) {
        Peer *p = sim_peer_userdata(peer);

        p->peer = NULL;
}

static const SimPeerOps peer_ops = { .on_data = on_data, .on_close = on_close };

static Peer *connect_as(uid_t user) {
        const struct ucred credentials = { .pid = 1, .uid = user };
        Peer *p = &peers[n_peers++];

        assert_true(n_peers <= PEERS_MAX);
        *p = (Peer){ .peer = sim_connect_unix(io, SOCKET, &peer_ops, p) };
        assert_non_null(p->peer);
        sim_peer_set_credentials(p->peer, &credentials);
        return p;
}

/* How many of so many are let in; *ret_last is the last that is. */
static size_t crowd(uid_t user, size_t n, Peer **ret_last) {
        size_t inside = 0, first = n_peers;

        for (size_t i = 0; i < n; i++)
                (void) connect_as(user);
        run();
        for (size_t i = first; i < n_peers; i++)
                if (peers[i].peer) {
                        inside++;
                        *ret_last = &peers[i];
                }
        return inside;
}

static void ask_status(Peer *p) {
        sim_peer_send(p->peer, GET_STATUS, sizeof(GET_STATUS), 0);
}

/* How many of so many that ask and do not read are kept. */
static size_t deaf_crowd(uid_t user, size_t n) {
        size_t before = control_connections(server);

        for (size_t i = 0; i < n; i++) {
                Peer *p = connect_as(user);

                ask_status(p);
                sim_peer_hang(p->peer);
        }
        run();
        return control_connections(server) - before;
}

/* ---- tests ---- */

static void test_connections(void **state) {
        ControlLimits limits = control_default_limits;
        Peer *greedy = NULL, *last = NULL;

        limits.max_connections = 10;
        begin(&limits);
        assert_int_equal(crowd(1, 12, &greedy), 10); /* while it is alone */
        assert_int_equal(crowd(2, 8, &last), 5);
        assert_int_equal(crowd(3, 8, &last), 3);
        assert_int_equal(crowd(4, 1, &last), 1);
        assert_int_equal(control_connections(server), 19);
        assert_int_equal(control_counters(server)->refused, 2 + 3 + 5);

        /* Who has more than its share gives up places that it does not get back. */
        sim_peer_close(greedy->peer, 0);
        run();
        assert_int_equal(control_connections(server), 18);
        assert_int_equal(crowd(1, 1, &last), 0);
        assert_int_equal(crowd(4, 2, &last), 1);

        ask_status(last);
        run();
        assert_int_equal(last->heard, REPLY_SIZE);
        finish();
}

static void test_unread_bytes(void **state) {
        ControlLimits limits = control_default_limits;

        limits.max_unread_total = 8 * REPLY_SIZE;
        begin(&limits);
        assert_int_equal(deaf_crowd(1, 10), 8);
        assert_int_equal(deaf_crowd(2, 6), 4);
        assert_int_equal(control_counters(server)->dropped, 2 + 2);

        /* Who reads is served. */
        Peer *reader = connect_as(3);
        for (size_t i = 1; i <= 5; i++) {
                ask_status(reader);
                run();
                assert_int_equal(reader->heard, i * REPLY_SIZE);
        }
        assert_int_equal(deaf_crowd(1, 1), 0);
        finish();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_connections),
                cmocka_unit_test(test_unread_bytes),
        };
        log_open("test-fairness", LOG_TARGET_NULL, LOG_DEBUG);
        return cmocka_run_group_tests_name("fairness", tests, NULL, NULL);
}
