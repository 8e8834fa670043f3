/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <string.h>

#include "fetch-world.h"
#include "macro.h"

World *world;

/* ---- names: "known" is the first server ---- */

static void resolver_answer(IoTask *task) {
        Address address = { .v4 = { .sin_family = AF_INET, .sin_port = htons(80) } };

        address.v4.sin_addr.s_addr = htonl(0x0a000001);
        address.size = sizeof(address.v4);
        if (strcmp(world->table->sources[0]->url.host, "known") == 0)
                world->lookup->done(world->lookup, &address, 1, NULL);
        else
                world->lookup->done(world->lookup, NULL, 0, "no such host");
}

static int resolver_begin(Resolver *resolver, ResolverLookup *lookup, const char *host, uint16_t port) {
        world->lookup = lookup;
        io_post(world->io, &world->answer);
        return 0;
}

static void resolver_end(Resolver *resolver, ResolverLookup *lookup) {
        io_unpost(&world->answer);
}

/* ---- servers ---- */

static void server_connect(SimPeer *peer) {
        Server *server = sim_peer_userdata(peer);

        server->n_connects++;
}

static void server_data(SimPeer *peer, const void *data, size_t size) {
        Server *server = sim_peer_userdata(peer);

        assert_true(server->n_script > 0);
        const Reply *reply = &server->script[MIN(server->n_requests, server->n_script - 1)];
        if (server->n_requests < ELEMENTSOF(server->asked))
                server->asked[server->n_requests] = io_now(world->io);
        server->n_requests++;
        if (reply->text)
                sim_peer_send(peer, reply->text, strlen(reply->text), reply->delay);
        if (reply->then == REPLY_CLOSES)
                sim_peer_close(peer, reply->delay);
        if (reply->then == REPLY_RESETS)
                sim_peer_reset(peer, reply->delay);
}

static void server_close(SimPeer *peer, int error) {
        Server *server = sim_peer_userdata(peer);

        server->n_closed += error == 0;
}

static const SimServerOps server_ops = {
        .on_connect = server_connect,
        .on_data = server_data,
        .on_close = server_close,
};

void world_listen(unsigned server, uint16_t port) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

        address.sin_addr.s_addr = htonl(0x0a000000 + server);
        sim_listen(world->io, (struct sockaddr *) &address, sizeof(address), &server_ops,
                   &world->servers[server]);
}

void world_says(unsigned server, const Reply replies[], size_t n) {
        Server *s = &world->servers[server];

        assert_true(n <= ELEMENTSOF(s->script));
        memcpy(s->script, replies, n * sizeof(*replies));
        s->n_script = (unsigned) n;
        s->n_requests = 0;
}

/* ---- sources ---- */

void world_add(const char *name, const char *const settings[]) {
        make_config_source(world->config, name, settings);
}

void world_open(uint64_t max_concurrent) {
        assert_int_equal(source_table_new(&world->table, world->config, world->arena, world->io, 1), 0);
        world->context.sources = world->table;
        gate_init(&world->context.gate, world->io, max_concurrent, &(RatePolicy){});
}

static void world_assert_quiet(void) {
        for (size_t i = 0; world->table && i < world->table->count; i++) {
                const Source *source = world->table->sources[i];

                assert_int_equal(source->in_flight, 0);
                assert_int_equal(source->gate.inside, 0);
                assert_int_equal(source->gate.line.count, 0);
                assert_true(source->breaker.lease_until == 0);
        }
        assert_int_equal(world->context.gate.inside, 0);
        assert_int_equal(world->context.gate.line.count, 0);
}

static void world_drop_sources(void) {
        world_assert_quiet();
        gate_deinit(&world->context.gate);
        world->context.gate = (Gate){};
        world->table = source_table_free(world->table);
        config_free(world->config);
        world->config = NULL;
}

Source *world_only(const char *const settings[]) {
        world_drop_sources();
        world->config = make_config();
        world_add("source", settings);
        world_open(0);
        return world->table->sources[0];
}

Source *world_source(const char *name) {
        Source *source = source_table_find(world->table, name);

        assert_non_null(source);
        return source;
}

/* ---- time ---- */

void world_turn(void) {
        assert_int_equal(io_turn(world->io), 0);
}

static void nothing(IoTask *task) {
}

/* Turns that do not wait, so that time stands still. */
static void world_rest(void) {
        IoTask task = { .run = nothing };

        list_init(&task.node);
        for (unsigned i = 0; i < 8; i++) {
                io_post(world->io, &task);
                world_turn();
        }
}

static void on_reached(IoTimer *timer) {
        timer->fire = NULL;
}

void world_run_to(uint64_t when) {
        IoTimer timer = { .fire = on_reached };

        assert_int_equal(io_timer_set(world->io, &timer, when), 0);
        while (timer.fire)
                world_turn();
        world_rest();
}

void world_run_for(uint64_t ns) {
        world_run_to(world_now() + ns);
}

void world_settle(void) {
        while (!sim_idle(world->io))
                world_turn();
}

/* ---- begin and end ---- */

static void world_begin(const SimOptions *options) {
        World *w = world = calloc(1, sizeof(*w));

        assert_non_null(w);
        assert_int_equal(io_new_sim(&w->io, options), 0);
        for (unsigned i = 1; i < WORLD_SERVERS; i++)
                world_listen(i, 80);
        w->resolver = (Resolver){ .lookup = resolver_begin, .cancel = resolver_end };
        list_init(&w->answer.node);
        w->answer.run = resolver_answer;
        assert_int_equal(net_new(&w->net, w->io, &w->resolver), 0);
        assert_int_equal(arena_new(&w->arena, WORLD_ARENA), 0);
        w->config = make_config();
        w->context.attempt = (AttemptContext){ .io = w->io, .net = w->net, .arena = w->arena };
}

int world_setup(void **state) {
        world_begin(&(SimOptions){ .seed = 1 });
        return 0;
}

static void on_closed(void *userdata) {
        world->closed = true;
}

void world_close_net(void) {
        if (!world->closed)
                net_close(world->net, on_closed, NULL);
        while (!world->closed)
                world_turn();
}

int world_teardown(void **state) {
        World *w = world;

        world_close_net();
        world_settle();
        SimLeaks leaks = sim_leaks(w->io);
        assert_int_equal(leaks.operations + leaks.descriptors + leaks.peers, 0);
        world_drop_sources();
        assert_int_equal(arena_used(w->arena), 0);
        net_free(w->net);
        io_free(w->io);
        arena_free(w->arena);
        free(w);
        world = NULL;
        return 0;
}

void world_anew(void) {
        world_anew_with(&(SimOptions){ .seed = 1 });
}

void world_anew_with(const SimOptions *options) {
        assert_int_equal(world_teardown(NULL), 0);
        world_begin(options);
}
