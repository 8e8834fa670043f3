/* SPDX-License-Identifier: Apache-2.0 */

/* The network in the simulator: the time that connections are kept, and exchanges under
 * faults, many seeds of them. Whatever happens, each exchange ends once or is cancelled, and
 * nothing is left behind. */

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "clock.h"
#include "cmocka.h"
#include "exchange.h"
#include "io-sim.h"
#include "macro.h"

#define SEEDS     1000
#define EXCHANGES 24
#define KEPT_TIME (30 * NSEC_PER_SEC)

static const char reply[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
static const char *const urls[] = {
        "http://127.0.0.1/", "http://127.0.0.2/", "http://[::1]/",
        "http+unix://%2Fs/", "http://two/",
};

/* ---- servers ---- */

/* Answers when the request's three lines are there. */
static bool request_is_whole(SimPeer *peer, const char *data, size_t size) {
        uintptr_t lines = (uintptr_t) sim_peer_userdata(peer);

        for (size_t i = 0; i < size; i++)
                lines += data[i] == '\n';
        sim_peer_set_userdata(peer, (void *) (lines % 3));
        return lines == 3;
}

static void plain_data(SimPeer *peer, const void *data, size_t size) {
        if (request_is_whole(peer, data, size))
                sim_peer_send(peer, reply, strlen(reply), 0);
}

/* Now and then it cuts the answer short, closes or resets. */
static void wild_data(SimPeer *peer, const void *data, size_t size) {
        if (!request_is_whole(peer, data, size))
                return;
        uint64_t chance = io_random(sim_peer_io(peer)) % 8;
        sim_peer_send(peer, reply, chance == 0 ? 20 : strlen(reply), 0);
        if (chance <= 1)
                sim_peer_close(peer, NSEC_PER_MSEC);
        else if (chance == 2)
                sim_peer_reset(peer, NSEC_PER_MSEC);
}

static const SimPeerOps plain = { .on_data = plain_data };
static const SimPeerOps wild = { .on_data = wild_data };

static void listen_at(Io *io, const char *address, const SimPeerOps *ops) {
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(80) };
        assert_int_equal(inet_pton(AF_INET, address, &v4.sin_addr), 1);
        sim_listen(io, (struct sockaddr *) &v4, sizeof(v4), ops, NULL);
}

static void listen_everywhere(Io *io, const SimPeerOps *ops) {
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                                   .sin6_port = htons(80),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        struct sockaddr_un local = { .sun_family = AF_UNIX, .sun_path = "/s" };
        listen_at(io, "127.0.0.1", ops);
        listen_at(io, "127.0.0.2", ops);
        sim_listen(io, (struct sockaddr *) &v6, sizeof(v6), ops, NULL);
        sim_listen(io, (struct sockaddr *) &local, sizeof(local), ops, NULL);
}

/* ---- a resolver: two addresses for every name, at the next turn ---- */

typedef struct FakeResolver {
        Resolver resolver;
        Io *io;
} FakeResolver;

typedef struct FakeLookup {
        IoTask task;
        ResolverLookup *lookup;
} FakeLookup;

static void fake_answer(IoTask *task) {
        FakeLookup *fake = CONTAINER_OF(task, FakeLookup, task);
        ResolverLookup *lookup = fake->lookup;
        Address addresses[2];

        for (uint32_t i = 0; i < 2; i++)
                addresses[i] = (Address){
                        .v4 = { .sin_family = AF_INET,
                                .sin_port = htons(80),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK + i) },
                        .size = sizeof(struct sockaddr_in),
                };
        free(fake);
        lookup->done(lookup, addresses, 2, NULL);
}

static int fake_lookup(Resolver *resolver, ResolverLookup *lookup, const char *name, uint16_t port) {
        FakeLookup *fake = calloc(1, sizeof(*fake));
        assert_non_null(fake);
        *fake = (FakeLookup){ .task.run = fake_answer, .lookup = lookup };
        list_init(&fake->task.node);
        lookup->private = fake;
        io_post(CONTAINER_OF(resolver, FakeResolver, resolver)->io, &fake->task);
        return 0;
}

static void fake_cancel(Resolver *resolver, ResolverLookup *lookup) {
        FakeLookup *fake = lookup->private;
        io_unpost(&fake->task);
        free(fake);
}

/* ---- the fixture ---- */

typedef struct Call {
        Exchange exchange;
        Url url;
        IoTimer deadline;
        struct World *world;
        size_t body_size;
        bool running;
        unsigned ends; /* done or cancelled */
        ExchangeError error;
} Call;

typedef struct World {
        Io *io;
        Net *net;
        FakeResolver fake;
        bool closed;
        Call calls[EXCHANGES];
        unsigned ok;
} World;

static void on_closed(void *userdata) {
        ((World *) userdata)->closed = true;
}

static int on_head(Exchange *exchange, const HttpHead *head) {
        assert_int_equal(head->status, 200);
        return 0;
}

static int on_body(Exchange *exchange, const void *data, size_t size) {
        CONTAINER_OF(exchange, Call, exchange)->body_size += size;
        return 0;
}

static void end(Call *call) {
        assert_true(call->running);
        call->running = false;
        call->ends++;
        io_timer_cancel(call->world->io, &call->deadline);
}

static void on_done(Exchange *exchange, ExchangeError error, const char *message) {
        Call *call = CONTAINER_OF(exchange, Call, exchange);
        end(call);
        call->error = error;
        if (error == EXCHANGE_OK)
                assert_int_equal(call->body_size, 5);
        call->world->ok += error == EXCHANGE_OK;
}

static void on_deadline(IoTimer *timer) {
        Call *call = CONTAINER_OF(timer, Call, deadline);
        exchange_cancel(&call->exchange);
        end(call);
}

static void start(World *world, size_t i, const char *url, uint64_t limit) {
        Call *call = &world->calls[i];

        *call = (Call){ .world = world, .running = true, .deadline.fire = on_deadline };
        assert_int_equal(url_parse(url, &call->url, NULL, NULL), 0);
        call->exchange = (Exchange){
                .url = &call->url,
                .request = request,
                .request_size = strlen(request),
                .head = on_head,
                .body = on_body,
                .done = on_done,
        };
        assert_int_equal(exchange_start(&call->exchange, world->net), 0);
        assert_true(call->running);
        assert_int_equal(io_timer_set(world->io, &call->deadline, io_now(world->io) + limit), 0);
}

static void finish(World *world, size_t i) {
        Call *call = &world->calls[i];
        while (call->running)
                assert_int_equal(io_turn(world->io), 0);
        assert_int_equal(call->ends, 1);
        url_deinit(&call->url);
}

static void world_init(World *world, const SimOptions *options, const SimPeerOps *ops) {
        *world = (World){ .fake.resolver = { .lookup = fake_lookup, .cancel = fake_cancel } };
        assert_int_equal(io_new_sim(&world->io, options), 0);
        world->fake.io = world->io;
        assert_int_equal(net_new(&world->net, world->io, &world->fake.resolver), 0);
        listen_everywhere(world->io, ops);
}

static void world_deinit(World *world) {
        net_close(world->net, on_closed, world);
        while (!world->closed)
                assert_int_equal(io_turn(world->io), 0);
        world->net = net_free(world->net);
        SimLeaks leaks = sim_leaks(world->io);
        assert_int_equal(leaks.operations, 0);
        assert_int_equal(leaks.descriptors, 0);
        world->io = io_free(world->io);
}

/* ---- tests ---- */

static World w;

static uint64_t until_idle_is(size_t n) {
        while (net_idle(w.net) != n)
                assert_int_equal(io_turn(w.io), 0);
        return io_now(w.io);
}

static void on_pause_end(IoTimer *timer) {
}

static void wait_for(uint64_t span) {
        IoTimer pause = { .fire = on_pause_end };
        assert_int_equal(io_timer_set(w.io, &pause, io_now(w.io) + span), 0);
        while (io_timer_armed(&pause))
                assert_int_equal(io_turn(w.io), 0);
}

static void test_kept_time(void **state) {
        world_init(&w, &(SimOptions){ .seed = 1 }, &plain);
        start(&w, 0, urls[0], NSEC_PER_SEC);
        finish(&w, 0);
        uint64_t first = w.calls[0].exchange.times.end;

        wait_for(10 * NSEC_PER_SEC); /* the second one, of another origin, is that much younger */
        start(&w, 1, urls[1], NSEC_PER_SEC);
        finish(&w, 1);
        uint64_t second = w.calls[1].exchange.times.end;

        assert_int_equal(net_idle(w.net), 2);
        assert_int_equal(until_idle_is(1), first + KEPT_TIME);
        assert_int_equal(until_idle_is(0), second + KEPT_TIME);
        world_deinit(&w);
}

/* Use makes a connection young again. */
static void test_use_renews(void **state) {
        world_init(&w, &(SimOptions){ .seed = 1 }, &plain);
        for (unsigned i = 0; i < 3; i++) {
                start(&w, 0, urls[0], NSEC_PER_SEC);
                finish(&w, 0);
                wait_for(20 * NSEC_PER_SEC);
                assert_int_equal(net_connections(w.net), 1);
        }
        assert_int_equal(until_idle_is(0), w.calls[0].exchange.times.end + KEPT_TIME);
        world_deinit(&w);
}

static void run_seed(uint64_t seed, const SimOptions *options) {
        SimOptions seeded = *options;

        seeded.seed = seed;
        world_init(&w, &seeded, &wild);
        for (unsigned round = 0; round < 3; round++) {
                for (size_t i = 0; i < EXCHANGES; i++)
                        start(&w, i, urls[io_random(w.io) % ELEMENTSOF(urls)],
                              1 + io_random(w.io) % (20 * NSEC_PER_MSEC));
                for (size_t i = 0; i < EXCHANGES; i++)
                        finish(&w, i);
        }
        world_deinit(&w);
}

static void test_faults(void **state) {
        static const SimOptions options = {
                .max_descriptors = 16,
                .faults = {
                        [SIM_NO_DESCRIPTOR] = 20000,
                        [SIM_CONNECT_REFUSED] = 50000,
                        [SIM_CONNECT_HANG] = 20000,
                        [SIM_RECV_RESET] = 20000,
                        [SIM_SEND_RESET] = 20000,
                        [SIM_SPLIT] = 300000,
                        [SIM_DELAY] = 200000,
                        [SIM_REORDER] = 200000,
                        [SIM_PEER_HANG] = 20000,
                },
        };
        unsigned ok = 0;

        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                run_seed(seed, &options);
                ok += w.ok;
        }
        assert_true(ok > SEEDS);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kept_time),
                cmocka_unit_test(test_use_renews),
                cmocka_unit_test(test_faults),
        };
        return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
