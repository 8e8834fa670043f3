/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "behaviour.h"
#include "clock.h"
#include "io-sim.h"
#include "macro.h"

static int limit(Io *io, int spare) {
        sim_limit_descriptors(io, spare >= 0 ? (size_t) spare : 1000);
        return 0;
}

static int file(Io *io, bool protect) {
        int fd = sim_file(io);

        assert_int_equal(io_adopt(io, fd), 0);
        if (protect)
                sim_file_protect(io, fd);
        return fd;
}

static char *content(Io *io, int fd, size_t *ret_size) {
        const void *data = sim_file_data(io, fd, ret_size);
        char *copy = malloc(*ret_size + 1);

        assert_non_null(copy);
        if (*ret_size > 0)
                memcpy(copy, data, *ret_size);
        return copy;
}

static World *world_make(const SimOptions *options) {
        World *w = calloc(1, sizeof(*w));

        assert_non_null(w);
        assert_int_equal(io_new_sim(&w->io, options), 0);
        memcpy(w->path, "/run/socket", sizeof("/run/socket"));
        w->half_close = sim_half_close;
        w->ring = sim_ring;
        w->limit = limit;
        w->file = file;
        w->content = content;
        return w;
}

static int setup(void **state) {
        *state = world_make(&(SimOptions){ .seed = 1 });
        return 0;
}

/* Faults that change nothing of what an operation promises. */
static int setup_rough(void **state) {
        *state = world_make(&(SimOptions){
                        .seed = 2,
                        .jitter = NSEC_PER_MSEC,
                        .faults = { [SIM_SPLIT] = 300000, [SIM_DELAY] = 300000, [SIM_REORDER] = 500000 },
        });
        return 0;
}

static void assert_no_leaks(const Io *io) {
        SimLeaks leaks = sim_leaks(io);

        assert_int_equal(leaks.operations, 0);
        assert_int_equal(leaks.descriptors, 0);
        assert_int_equal(leaks.peers, 0);
        assert_int_equal(leaks.processes, 0);
        assert_int_equal(io_open_descriptors(io), 0);
}

static int teardown(void **state) {
        World *w = *state;

        while (!sim_idle(w->io)) /* the last words of closed connections */
                assert_int_equal(io_turn(w->io), 0);
        assert_no_leaks(w->io);
        assert_null(io_free(w->io));
        free(w);
        return 0;
}

/* ---- scripted peers ---- */

typedef struct Script {
        unsigned connects;
        unsigned closes;
        int close_error;
        size_t received;
        SimPeer *peer;
        void (*greet)(SimPeer *peer);
} Script;

static void script_connect(SimPeer *peer) {
        Script *script = sim_peer_userdata(peer);

        script->connects++;
        script->peer = peer;
        if (script->greet)
                script->greet(peer);
}

static void script_data(SimPeer *peer, const void *data, size_t size) {
        Script *script = sim_peer_userdata(peer);

        script->received += size;
        sim_peer_send(peer, data, size, 0);
}

static void script_close(SimPeer *peer, int error) {
        Script *script = sim_peer_userdata(peer);

        script->closes++;
        script->close_error = error;
        script->peer = NULL;
}

/* Echoes what it hears. */
static const SimPeerOps script_ops = {
        .on_connect = script_connect,
        .on_data = script_data,
        .on_close = script_close,
};

static struct sockaddr_in server_address(uint16_t port) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

        address.sin_addr.s_addr = htonl(0x0a000001);
        return address;
}

static void listen_at(World *w, uint16_t port, Script *script) {
        struct sockaddr_in address = server_address(port);

        sim_listen(w->io, (const struct sockaddr *) &address, sizeof(address), &script_ops, script);
}

/* The descriptor; the connect's result in *ret_result. */
static int connect_to(World *w, uint16_t port, int *ret_result) {
        struct sockaddr_in address = server_address(port);
        int fd = io_socket(w->io, AF_INET);
        Probe probe;

        assert_true(fd >= 0);
        probe_init(&probe, w);
        assert_int_equal(
                        io_connect(w->io, &probe.op, fd, (const struct sockaddr *) &address,
                                   sizeof(address)),
                        0);
        RUN_UNTIL(w, probe.ends);
        *ret_result = probe.last;
        return fd;
}

static int connect_well(World *w, uint16_t port) {
        int result, fd = connect_to(w, port, &result);

        assert_int_equal(result, 0);
        return fd;
}

static void test_scripted_server(void **state) {
        World *w = *state;
        Script script = { 0 };
        Probe received, sent;
        char seen[16] = "";

        listen_at(w, 80, &script);
        int fd = connect_well(w, 80);
        assert_int_equal(script.connects, 1);
        assert_ptr_equal(sim_peer_io(script.peer), w->io);

        probe_init(&received, w);
        probe_init(&sent, w);
        received.bytes = seen;
        received.capacity = sizeof(seen);
        assert_int_equal(io_recv(w->io, &received.op, fd, true), 0);
        assert_int_equal(io_send(w->io, &sent.op, fd, "question", 8), 0);
        RUN_UNTIL(w, received.size == 8);
        assert_memory_equal(seen, "question", 8);
        assert_int_equal(script.received, 8);

        uint64_t then = io_now(w->io), ms = io_unix_ms(w->io);
        sim_peer_send(script.peer, "late", 4, NSEC_PER_SEC);
        sim_peer_shutdown(script.peer, 0); /* not before the bytes */
        RUN_UNTIL(w, received.ends);
        assert_int_equal(received.size, 12);
        assert_int_equal(received.last, 0);
        assert_true(io_now(w->io) >= then + NSEC_PER_SEC);
        assert_true(io_unix_ms(w->io) >= ms + 1000);

        /* Still listening after its half-close. */
        probe_init(&sent, w);
        assert_int_equal(io_send(w->io, &sent.op, fd, "more", 4), 0);
        RUN_UNTIL(w, sent.ends && script.received == 12);
        io_close(w->io, fd);
        RUN_UNTIL(w, script.closes);
        assert_int_equal(script.close_error, 0);
}

static void test_peer_resets(void **state) {
        World *w = *state;
        Script script = { 0 };
        Probe received, sent, gone;

        listen_at(w, 80, &script);
        int fd = connect_well(w, 80);
        probe_init(&received, w);
        probe_init(&gone, w);
        assert_int_equal(io_recv(w->io, &received.op, fd, true), 0);
        assert_int_equal(io_poll(w->io, &gone.op, fd, 0, 0), 0);
        sim_peer_reset(script.peer, NSEC_PER_MSEC);
        sim_peer_send(script.peer, "unsaid", 6, 0);
        RUN_UNTIL(w, received.ends && gone.ends);
        assert_int_equal(received.last, -ECONNRESET);
        assert_true(gone.last & POLLHUP);
        probe_init(&received, w);
        assert_int_equal(io_recv(w->io, &received.op, fd, false), 0);
        RUN_UNTIL(w, received.ends);
        assert_int_equal(received.last, 0);
        io_close(w->io, fd);
        RUN_UNTIL(w, script.closes);

        /* Over TCP a close shows as an end of stream, and what is sent to it comes back as a
         * reset. */
        fd = connect_well(w, 80);
        sim_peer_close(script.peer, 0);
        probe_init(&received, w);
        assert_int_equal(io_recv(w->io, &received.op, fd, true), 0);
        RUN_UNTIL(w, received.ends);
        assert_int_equal(received.last, 0);
        probe_init(&sent, w);
        assert_int_equal(io_send(w->io, &sent.op, fd, "x", 1), 0);
        RUN_UNTIL(w, sent.ends);
        assert_int_equal(sent.last, 1);
        probe_init(&gone, w);
        assert_int_equal(io_poll(w->io, &gone.op, fd, 0, 0), 0);
        RUN_UNTIL(w, gone.ends);
        probe_init(&sent, w);
        assert_int_equal(io_send(w->io, &sent.op, fd, "x", 1), 0);
        RUN_UNTIL(w, sent.ends);
        assert_int_equal(sent.last, -EPIPE);
        io_close(w->io, fd);
        RUN_UNTIL(w, script.closes == 2);
}

/* A peer that takes nothing: what exceeds the window does not get away, until cancelled. */
static void test_peer_hangs(void **state) {
        World *w = *state;
        Script script = { .greet = sim_peer_hang };
        Probe sent, output;
        char data[100000] = { 0 };

        listen_at(w, 80, &script);
        int fd = connect_well(w, 80);
        probe_init(&sent, w);
        probe_init(&output, w);
        assert_int_equal(io_send(w->io, &sent.op, fd, data, sizeof(data)), 0);
        while (!sim_idle(w->io))
                assert_int_equal(io_turn(w->io), 0);
        assert_int_equal(sent.ends, 0);
        assert_int_equal(io_poll(w->io, &output.op, fd, POLLOUT, 0), 0);
        while (!sim_idle(w->io))
                assert_int_equal(io_turn(w->io), 0);
        assert_int_equal(io_turn(w->io), -EDEADLK);
        assert_int_equal(output.ends, 0);
        assert_int_equal(script.received, 0);
        io_cancel(w->io, fd);
        RUN_UNTIL(w, sent.ends && output.ends);
        assert_int_equal(sent.last, -ECANCELED);
        io_close(w->io, fd);
        RUN_UNTIL(w, script.closes);
}

static void test_scripted_client(void **state) {
        World *w = *state;
        Script script = { 0 };
        Probe accepted, received;
        struct ucred found, given = { .pid = 77, .uid = 1234, .gid = 5678 };
        int listener;

        assert_null(sim_connect_unix(w->io, w->path, &script_ops, &script));
        listener = sim_activated_listener(w->io, w->path);
        assert_true(listener >= 0);
        assert_int_equal(io_adopt(w->io, listener), 0);
        assert_int_equal(io_listen_unix(w->io, w->path, 0600), -EADDRINUSE);

        probe_init(&accepted, w);
        assert_int_equal(io_accept(w->io, &accepted.op, listener), 0);
        SimPeer *peer = sim_connect_unix(w->io, w->path, &script_ops, NULL);
        assert_non_null(peer);
        sim_peer_set_userdata(peer, &script);
        sim_peer_set_credentials(peer, &given);
        sim_peer_send(peer, "call", 4, 0);
        RUN_UNTIL(w, accepted.calls);

        probe_init(&received, w);
        assert_int_equal(io_peer_credentials(w->io, accepted.first, &found), 0);
        assert_memory_equal(&found, &given, sizeof(found));
        assert_int_equal(io_recv(w->io, &received.op, accepted.first, true), 0);
        sim_peer_close(peer, 0);
        RUN_UNTIL(w, received.ends);
        assert_int_equal(received.size, 4);
        io_close(w->io, accepted.first);
        RUN_UNTIL(w, script.closes);

        /* Not accepted any more. */
        io_cancel(w->io, listener);
        RUN_UNTIL(w, accepted.ends);
        assert_non_null(sim_connect_unix(w->io, w->path, &script_ops, &script));
        io_close(w->io, listener);
        RUN_UNTIL(w, script.closes == 2);
        assert_int_equal(script.close_error, -ECONNRESET);
}

/* Ports and addresses tell servers apart. */
static void test_addresses(void **state) {
        World *w = *state;
        Script a = { 0 }, b = { 0 }, six = { 0 };
        struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
        struct ucred credentials;
        Probe probe;

        address.sin6_addr = in6addr_loopback;
        listen_at(w, 80, &a);
        listen_at(w, 81, &b);
        sim_listen(w->io, (const struct sockaddr *) &address, sizeof(address), &script_ops, &six);
        int fd = connect_well(w, 81);
        int fd6 = io_socket(w->io, AF_INET6);
        assert_int_equal(io_peer_credentials(w->io, fd6, &credentials), -ENOTCONN);
        probe_init(&probe, w);
        address.sin6_scope_id = 7; /* says nothing here */
        assert_int_equal(
                        io_connect(w->io, &probe.op, fd6, (const struct sockaddr *) &address,
                                   sizeof(address)),
                        0);
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(a.connects * 100 + b.connects * 10 + six.connects, 11);

        probe_init(&probe, w);
        assert_int_equal(
                        io_connect(w->io, &probe.op, fd6, (const struct sockaddr *) &address,
                                   sizeof(address)),
                        0);
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(probe.last, -EISCONN);
        io_close(w->io, fd6);
        io_close(w->io, fd);
        RUN_UNTIL(w, b.closes && six.closes);
        assert_int_equal(io_socket(w->io, AF_NETLINK), -EAFNOSUPPORT);
}

static void test_strange_uses(void **state) {
        World *w = *state;
        int fd = io_socket(w->io, AF_UNIX);
        Probe probe;

        probe_init(&probe, w);
        assert_int_equal(io_accept(w->io, &probe.op, fd), 0);
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(probe.last, -EINVAL);
        probe_init(&probe, w);
        io_close(w->io, fd);
        assert_int_equal(io_recv(w->io, &probe.op, fd, true), -EBADF);
}

/* ---- faults ---- */

static World *faulty(SimFault fault) {
        SimOptions options = { .seed = 3 };

        options.faults[fault] = SIM_ALWAYS;
        return world_make(&options);
}

static void world_free(World *w) {
        teardown((void **) &(World *){ w });
}

static void test_connect_faults(void **state) {
        static const struct {
                SimFault fault;
                int result;
                uint64_t time;
        } cases[] = {
                { SIM_CONNECT_REFUSED, -ECONNREFUSED, 0 },
                { SIM_CONNECT_TIMEOUT, -ETIMEDOUT, 120 * NSEC_PER_SEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                World *w = faulty(cases[i].fault);
                Script script = { 0 };
                uint64_t then = io_now(w->io);
                struct sockaddr_in address = server_address(80);
                int fd = io_socket(w->io, AF_INET);
                Probe probe;

                listen_at(w, 80, &script);
                probe_init(&probe, w);
                assert_int_equal(
                                io_connect(w->io, &probe.op, fd, (const struct sockaddr *) &address,
                                           sizeof(address)),
                                0);
                while (!probe.ends)
                        assert_int_equal(io_turn(w->io), 0);
                assert_int_equal(probe.last, cases[i].result);
                assert_true(io_now(w->io) >= then + cases[i].time);
                assert_int_equal(script.connects, 0);
                io_close(w->io, fd);
                world_free(w);
        }
}

static void test_connect_hangs(void **state) {
        World *w = faulty(SIM_CONNECT_HANG);
        struct sockaddr_in address = server_address(80);
        int fd = io_socket(w->io, AF_INET);
        Probe probe;

        probe_init(&probe, w);
        assert_int_equal(
                        io_connect(w->io, &probe.op, fd, (const struct sockaddr *) &address,
                                   sizeof(address)),
                        0);
        assert_int_equal(io_turn(w->io), -EDEADLK);
        assert_true(sim_idle(w->io));
        assert_int_equal(sim_leaks(w->io).operations, 1);
        io_cancel(w->io, fd);
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(probe.last, -ECANCELED);
        io_close(w->io, fd);
        world_free(w);
}

static void test_stream_faults(void **state) {
        static const SimFault faults[] = { SIM_RECV_RESET, SIM_SEND_RESET, SIM_PEER_HANG };

        for (size_t i = 0; i < ELEMENTSOF(faults); i++) {
                World *w = faulty(faults[i]);
                Script script = { 0 };
                Probe sent, received;

                listen_at(w, 80, &script);
                int fd = connect_well(w, 80);
                probe_init(&sent, w);
                probe_init(&received, w);
                assert_int_equal(io_recv(w->io, &received.op, fd, true), 0);
                assert_int_equal(io_send(w->io, &sent.op, fd, "hello", 5), 0);
                while (!sim_idle(w->io))
                        assert_int_equal(io_turn(w->io), 0);
                assert_int_equal(sent.last, faults[i] == SIM_SEND_RESET ? -ECONNRESET : 5);
                if (faults[i] == SIM_RECV_RESET)
                        assert_int_equal(received.last, -ECONNRESET);
                if (!received.ends) {
                        io_cancel(w->io, fd);
                        RUN_UNTIL(w, received.ends);
                }
                assert_int_equal(script.received, faults[i] == SIM_RECV_RESET ? 5 : 0);
                io_close(w->io, fd);
                RUN_UNTIL(w, script.closes == 1);
                world_free(w);
        }
}

static void test_no_descriptor(void **state) {
        World *w = faulty(SIM_NO_DESCRIPTOR);

        assert_int_equal(io_socket(w->io, AF_INET), -EMFILE);
        assert_int_equal(io_eventfd(w->io), -EMFILE);
        assert_int_equal(io_listen_unix(w->io, w->path, 0600), -EMFILE);
        world_free(w);
}

/* What a write that fails has left behind is the beginning of the data. */
static void test_write_faults(void **state) {
        static const struct {
                SimFault fault;
                int error;
        } cases[] = { { SIM_WRITE_ERROR, -EIO }, { SIM_WRITE_FULL, -ENOSPC } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                World *w = faulty(cases[i].fault);
                int fd = file(w->io, false);
                Probe probe;
                size_t size;

                probe_init(&probe, w);
                assert_int_equal(io_write(w->io, &probe.op, fd, "hello", 5, 0), 0);
                RUN_UNTIL(w, probe.ends);
                assert_int_equal(probe.last, cases[i].error);
                const void *data = sim_file_data(w->io, fd, &size);
                assert_true(size <= 5);
                if (size > 0)
                        assert_memory_equal(data, "hello", size);

                sim_set_fault(w->io, cases[i].fault, 0);
                probe_init(&probe, w);
                assert_int_equal(io_write(w->io, &probe.op, fd, "hello", 5, 0), 0);
                RUN_UNTIL(w, probe.ends);
                assert_int_equal(probe.last, 5);
                io_close(w->io, fd);
                world_free(w);
        }
}

static void test_write_takes_time(void **state) {
        World *w = faulty(SIM_DELAY);
        int fd = file(w->io, false);
        uint64_t then = io_now(w->io);
        Probe probe;

        probe_init(&probe, w);
        assert_int_equal(io_write(w->io, &probe.op, fd, "hello", 5, 0), 0);
        RUN_UNTIL(w, probe.ends);
        assert_true(io_now(w->io) > then);
        io_close(w->io, fd);

        /* Only files are written to. */
        int socket = io_socket(w->io, AF_INET);
        probe_init(&probe, w);
        assert_int_equal(io_write(w->io, &probe.op, socket, "hello", 5, 0), 0);
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(probe.last, -EBADF);
        io_close(w->io, socket);
        world_free(w);
}

/* ---- the run ---- */

static void note(Io *io, void *userdata) {
        *(uint64_t *) userdata = io_now(io);
}

static void count(Io *io, void *userdata) {
        ++*(uint64_t *) userdata;
}

static void test_time_jumps(void **state) {
        World *w = *state;
        uint64_t then = io_now(w->io), seen = 0, turns = 0;

        assert_true(sim_idle(w->io));
        assert_int_equal(io_turn(w->io), -EDEADLK);
        assert_int_equal(io_run(w->io), -EDEADLK);
        sim_every_turn(w->io, count, &turns);
        sim_at(w->io, then + 3600 * NSEC_PER_SEC, note, &seen);
        assert_false(sim_idle(w->io));
        assert_int_equal(io_turn(w->io), 0);
        assert_int_equal(turns, 1);
        assert_int_equal(seen, then + 3600 * NSEC_PER_SEC);
        assert_int_equal(io_now(w->io), seen);
        assert_string_equal(io_backend_name(w->io), "simulator");
}

/* Whatever a test leaves behind is told, and freed. */
static void test_left_behind(void **state) {
        World *w = world_make(&(SimOptions){ .seed = 5 });
        World *slow = faulty(SIM_CONNECT_TIMEOUT);
        Script script = { 0 };
        struct sockaddr_in address = server_address(80);
        uint64_t seen = 0;
        SimLeaks leaks;
        Probe probe;

        sim_at(w->io, io_now(w->io) + NSEC_PER_SEC, note, &seen);
        sim_every_turn(w->io, count, &seen);
        listen_at(w, 80, &script);
        assert_true(connect_well(w, 80) >= 0);
        sim_peer_send(script.peer, "unread", 6, 0);
        assert_true(io_listen_unix(w->io, w->path, 0600) >= 0);
        assert_non_null(sim_connect_unix(w->io, w->path, &script_ops, &script));
        leaks = sim_leaks(w->io);
        assert_int_equal(leaks.descriptors, 2);
        assert_int_equal(leaks.peers, 2);
        assert_null(io_free(w->io));
        free(w);

        /* The network's answer to a connect that was cancelled. */
        int fd = io_socket(slow->io, AF_INET);
        probe_init(&probe, slow);
        assert_int_equal(
                        io_connect(slow->io, &probe.op, fd, (const struct sockaddr *) &address,
                                   sizeof(address)),
                        0);
        io_cancel(slow->io, fd);
        RUN_UNTIL(slow, probe.ends);
        assert_int_equal(probe.last, -ECANCELED);
        assert_null(io_free(slow->io));
        free(slow);
}

/* ---- processes ---- */

static unsigned exits;
static int exit_status;
static unsigned kills;

static void process_exited(IoProcess *process, int status) {
        exits++;
        exit_status = status;
        assert_int_equal(process->pidfd, -1);
}

static int spawn_hook(Io *io, IoProcess *process, const IoSpawn *spawn, void *userdata) {
        if (strcmp(spawn->path, "/missing") == 0)
                return -ENOENT;
        sim_process_exit(io, process, 3 << 8, NSEC_PER_SEC);
        return 0;
}

static void kill_hook(Io *io, IoProcess *process, int signal, void *userdata) {
        assert_int_equal(*(int *) userdata, 42);
        kills++;
        sim_process_exit(io, process, signal, NSEC_PER_MSEC);
}

static void test_processes(void **state) {
        int userdata = 42;
        World *w = world_make(&(SimOptions){
                        .seed = 4, .spawn = spawn_hook, .kill = kill_hook, .userdata = &userdata });
        IoProcess process = { .exited = process_exited };
        uint64_t then = io_now(w->io);

        exits = kills = 0;
        assert_int_equal(io_spawn(w->io, &process, &(IoSpawn){ .path = "/missing" }), -ENOENT);
        assert_int_equal(process.pidfd, -1);
        assert_int_equal(io_spawn(w->io, &process, &(IoSpawn){ .path = "/worker" }), 0);
        assert_true(process.pid > 1 && process.pidfd >= 0);
        assert_int_equal(sim_leaks(w->io).processes, 1);
        assert_int_equal(io_open_descriptors(w->io), 0);
        RUN_UNTIL(w, exits);
        assert_true(WIFEXITED(exit_status) && WEXITSTATUS(exit_status) == 3);
        assert_true(io_now(w->io) >= then + NSEC_PER_SEC);
        io_kill(w->io, &process, SIGKILL); /* too late */
        sim_process_exit(w->io, &process, 0, 0);
        assert_int_equal(kills, 0);

        /* Killed before its own exit, whose event finds the number with another process. */
        assert_int_equal(io_spawn(w->io, &process, &(IoSpawn){ .path = "/worker" }), 0);
        io_kill(w->io, &process, SIGKILL);
        io_kill(w->io, &process, SIGTERM);
        RUN_UNTIL(w, exits == 2);
        assert_true(WIFSIGNALED(exit_status) && WTERMSIG(exit_status) == SIGKILL);
        assert_int_equal(io_spawn(w->io, &process, &(IoSpawn){ .path = "/worker" }), 0);
        RUN_UNTIL(w, exits == 3);
        assert_true(WIFEXITED(exit_status));
        world_free(w);

        /* Without hooks a process does nothing until it is killed. */
        w = world_make(&(SimOptions){ .seed = 4 });
        assert_int_equal(io_spawn(w->io, &process, &(IoSpawn){ .path = "/worker" }), 0);
        assert_int_equal(io_turn(w->io), 0);
        assert_int_equal(io_turn(w->io), -EDEADLK);
        io_kill(w->io, &process, SIGTERM);
        RUN_UNTIL(w, exits == 4);
        assert_int_equal(WTERMSIG(exit_status), SIGTERM);
        world_free(w);

        w = faulty(SIM_NO_SPAWN);
        assert_int_equal(io_spawn(w->io, &process, &(IoSpawn){ .path = "/worker" }), -EAGAIN);
        world_free(w);
}

/* ---- many clients under every fault ---- */

#define FETCHES 30u

typedef struct Fetch {
        World *world;
        IoOp connect, send, recv;
        IoTimer deadline;
        IoTask finish;
        int fd;
        size_t received;
        bool over;
} Fetch;

static const char request[] = "GET / HTTP/1.1\r\nHost: simulated\r\n\r\n";
static unsigned fetches_over, fetches_good;

static void fetch_finish(IoTask *task) {
        Fetch *fetch = CONTAINER_OF(task, Fetch, finish);

        if (io_op_in_flight(&fetch->connect) || io_op_in_flight(&fetch->send) ||
            io_op_in_flight(&fetch->recv))
                return;
        io_timer_cancel(fetch->world->io, &fetch->deadline);
        io_close(fetch->world->io, fetch->fd);
        fetches_over++;
}

static void fetch_end(Fetch *fetch) {
        if (!fetch->over)
                io_cancel(fetch->world->io, fetch->fd);
        fetch->over = true;
        io_post(fetch->world->io, &fetch->finish);
}

static void fetch_sent(IoOp *op, const IoResult *result) {
        Fetch *fetch = CONTAINER_OF(op, Fetch, send);

        assert_true(result->value < 0 || (size_t) result->value == sizeof(request));
        if (result->value < 0 || fetch->over)
                fetch_end(fetch);
}

static void fetch_received(IoOp *op, const IoResult *result) {
        Fetch *fetch = CONTAINER_OF(op, Fetch, recv);

        if (result->value > 0) {
                assert_memory_equal(result->data, request + fetch->received, (size_t) result->value);
                fetch->received += (size_t) result->value;
                fetches_good += fetch->received == sizeof(request);
        }
        if (result->value <= 0 || fetch->received == sizeof(request))
                fetch_end(fetch);
}

static void fetch_connected(IoOp *op, const IoResult *result) {
        Fetch *fetch = CONTAINER_OF(op, Fetch, connect);
        Io *io = fetch->world->io;

        if (result->value < 0 || fetch->over) {
                fetch_end(fetch);
                return;
        }
        assert_int_equal(io_recv(io, &fetch->recv, fetch->fd, true), 0);
        assert_int_equal(io_send(io, &fetch->send, fetch->fd, request, sizeof(request)), 0);
}

static void fetch_late(IoTimer *timer) {
        fetch_end(CONTAINER_OF(timer, Fetch, deadline));
}

static void fetch_start(World *w, Fetch *fetch) {
        struct sockaddr_in address = server_address(80);
        uint64_t wait = io_random(w->io) % (100 * NSEC_PER_MSEC);

        *fetch = (Fetch){
                .world = w,
                .connect.done = fetch_connected,
                .send.done = fetch_sent,
                .recv.done = fetch_received,
                .deadline.fire = fetch_late,
                .finish.run = fetch_finish,
                .fd = io_socket(w->io, AF_INET),
        };
        list_init(&fetch->finish.node);
        if (fetch->fd < 0) {
                assert_int_equal(fetch->fd, -EMFILE);
                fetches_over++;
                return;
        }
        assert_int_equal(io_timer_set(w->io, &fetch->deadline, io_now(w->io) + wait), 0);
        assert_int_equal(
                        io_connect(w->io, &fetch->connect, fetch->fd,
                                   (const struct sockaddr *) &address, sizeof(address)),
                        0);
}

static uint64_t run_soak(uint64_t seed) {
        World *w = world_make(&(SimOptions) {
                .seed = seed,
                .faults = {
                        [SIM_NO_DESCRIPTOR] = 20000, [SIM_CONNECT_REFUSED] = 50000,
                        [SIM_CONNECT_TIMEOUT] = 20000, [SIM_CONNECT_HANG] = 20000,
                        [SIM_RECV_RESET] = 20000, [SIM_SEND_RESET] = 20000,
                        [SIM_SPLIT] = 300000, [SIM_DELAY] = 200000,
                        [SIM_REORDER] = 300000, [SIM_PEER_HANG] = 50000,
                },
        });
        Fetch fetches[FETCHES];
        Script script = { 0 };
        uint64_t hash;

        listen_at(w, 80, &script);
        fetches_over = 0;
        for (size_t i = 0; i < FETCHES; i++)
                fetch_start(w, &fetches[i]);
        while (!sim_idle(w->io))
                assert_int_equal(io_turn(w->io), 0);
        assert_int_equal(fetches_over, FETCHES);
        assert_int_equal(script.closes, script.connects);
        hash = sim_trace_hash(w->io);
        world_free(w);
        return hash;
}

static void test_soak(void **state) {
        enum {
                SEEDS = 300
        };
        uint64_t previous = 0;

        fetches_good = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
                uint64_t hash = run_soak(seed);

                assert_true(hash != previous);
                previous = hash;
        }
        assert_true(fetches_good > SEEDS * FETCHES / 4);
}

/* The same seed gives the same run, to the last event. */
static void test_repeats(void **state) {
        for (uint64_t seed = 0; seed < 10; seed++)
                assert_int_equal(run_soak(seed), run_soak(seed));
}

#define BEHAVIOUR_TEST(name)  cmocka_unit_test_setup_teardown(behaves_##name, setup, teardown),
#define BEHAVIOUR_ROUGH(name) { "rough " #name, behaves_##name, setup_rough, teardown, NULL },
#define SIM_TEST(name)        cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                BEHAVIOUR_LIST(BEHAVIOUR_TEST) BEHAVIOUR_LIST(BEHAVIOUR_ROUGH)
                                SIM_TEST(test_scripted_server),
                SIM_TEST(test_peer_resets),
                SIM_TEST(test_peer_hangs),
                SIM_TEST(test_scripted_client),
                SIM_TEST(test_addresses),
                SIM_TEST(test_strange_uses),
                SIM_TEST(test_time_jumps),
                cmocka_unit_test(test_connect_faults),
                cmocka_unit_test(test_connect_hangs),
                cmocka_unit_test(test_stream_faults),
                cmocka_unit_test(test_no_descriptor),
                cmocka_unit_test(test_write_faults),
                cmocka_unit_test(test_write_takes_time),
                cmocka_unit_test(test_left_behind),
                cmocka_unit_test(test_processes),
                cmocka_unit_test(test_soak),
                cmocka_unit_test(test_repeats),
        };

        return cmocka_run_group_tests_name("io-sim", tests, NULL, NULL);
}
