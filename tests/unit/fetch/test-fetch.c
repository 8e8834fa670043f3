/* SPDX-License-Identifier: Apache-2.0 */

/* Fetches in the simulator: a scripted server says what the table below lets it say. After each
 * test nothing may be left in flight, open or in the arena. */

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "fetch.h"
#include "io-sim.h"
#include "make-config.h"

#define ARENA_SIZE (64u << 10)

typedef struct Fixture {
        Io *io;
        Net *net;
        Arena *arena;
        FetchContext context;
        Config *config;
        SourceTable *table;
        Fetch fetch;
        unsigned n_done;
        bool closed;
        const char *reply; /* what the server says to a request; NULL: nothing */
        size_t reply_size;
        bool closes; /* … and then closes */
        unsigned n_connects;
        Resolver resolver;
        ResolverLookup *lookup;
        IoTask answer;
} Fixture;

static Fixture *fixture; /* of the test that runs */

/* ---- the world: one name, one server ---- */

static void resolver_answer(IoTask *task) {
        Address address = { .v4 = { .sin_family = AF_INET, .sin_port = htons(80) } };

        address.v4.sin_addr.s_addr = htonl(0x0a000001);
        address.size = sizeof(address.v4);
        if (strcmp(fixture->table->sources[0]->url.host, "known") == 0)
                fixture->lookup->done(fixture->lookup, &address, 1, NULL);
        else
                fixture->lookup->done(fixture->lookup, NULL, 0, "no such host");
}

static int resolver_begin(Resolver *resolver, ResolverLookup *lookup, const char *host, uint16_t port) {
        fixture->lookup = lookup;
        io_post(fixture->io, &fixture->answer);
        return 0;
}

static void resolver_end(Resolver *resolver, ResolverLookup *lookup) {
        io_unpost(&fixture->answer);
}

static void server_connect(SimPeer *peer) {
        fixture->n_connects++;
}

static void server_data(SimPeer *peer, const void *data, size_t size) {
        if (fixture->reply)
                sim_peer_send(peer, fixture->reply, fixture->reply_size, 0);
        if (fixture->reply && fixture->closes)
                sim_peer_close(peer, 0);
}

static const SimServerOps server = { .on_connect = server_connect, .on_data = server_data };

static int setup(void **state) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(80) };
        Fixture *f = fixture = calloc(1, sizeof(*f));

        assert_non_null(f);
        assert_int_equal(io_new_sim(&f->io, &(SimOptions){ .seed = 1 }), 0);
        address.sin_addr.s_addr = htonl(0x0a000001);
        sim_listen(f->io, (struct sockaddr *) &address, sizeof(address), &server, NULL);
        f->resolver = (Resolver){ .lookup = resolver_begin, .cancel = resolver_end };
        list_init(&f->answer.node);
        f->answer.run = resolver_answer;
        assert_int_equal(net_new(&f->net, f->io, &f->resolver), 0);
        assert_int_equal(arena_new(&f->arena, ARENA_SIZE), 0);
        f->context = (FetchContext){ f->io, f->net, f->arena };
        return 0;
}

static void on_closed(void *userdata) {
        fixture->closed = true;
}

static void close_net(void) {
        if (!fixture->closed)
                net_close(fixture->net, on_closed, NULL);
        while (!fixture->closed)
                assert_int_equal(io_turn(fixture->io), 0);
}

static int teardown(void **state) {
        Fixture *f = fixture;

        close_net();
        while (!sim_idle(f->io))
                assert_int_equal(io_turn(f->io), 0);
        SimLeaks leaks = sim_leaks(f->io);
        assert_int_equal(leaks.operations + leaks.descriptors + leaks.peers, 0);
        source_table_free(f->table);
        config_free(f->config);
        assert_int_equal(arena_used(f->arena), 0);
        net_free(f->net);
        io_free(f->io);
        arena_free(f->arena);
        free(f);
        fixture = NULL;
        return 0;
}

static void on_done(Fetch *fetch) {
        assert_ptr_equal(fetch, &fixture->fetch);
        fixture->n_done++;
}

static Source *use_source(const char *const settings[]) {
        Fixture *f = fixture;

        source_table_free(f->table);
        config_free(f->config);
        f->config = make_config();
        make_config_source(f->config, "source", settings);
        assert_int_equal(source_table_new(&f->table, f->config, f->arena, 1), 0);
        return f->table->sources[0];
}

/* Starts a fetch of that source; 0 or a negative errno. */
static int start(const char *const settings[]) {
        const TemplateValue values[] = { { "city", "Oslo", 4 }, { "question", "why", 3 } };
        Fixture *f = fixture;

        fetch_deinit(&f->fetch);
        f->n_done = 0;
        f->fetch = (Fetch){ .context = &f->context, .source = use_source(settings), .done = on_done };
        return fetch_start(&f->fetch, values, ELEMENTSOF(values));
}

static Fetch *fetch(const char *const settings[]) {
        assert_int_equal(start(settings), 0);
        assert_int_equal(fixture->n_done, 0); /* never from within the call */
        assert_int_equal(fixture->fetch.source->in_flight, 1);
        while (fixture->n_done == 0)
                assert_int_equal(io_turn(fixture->io), 0);
        assert_int_equal(fixture->n_done, 1);
        assert_int_equal(fixture->fetch.source->in_flight, 0);
        return &fixture->fetch;
}

static void end(void) {
        fetch_deinit(&fixture->fetch);
        fetch_deinit(&fixture->fetch); /* harmless */
}

static void says(const char *reply) {
        fixture->reply = reply;
        fixture->reply_size = reply ? strlen(reply) : 0;
}

#define AT_SERVER SETTINGS("URL=http://10.0.0.1/", "TimeoutSec=2", "MaxBytes=1000")

/* ---- what a server may say ---- */

static const struct {
        const char *reply;
        bool closes;
        Verdict verdict;
        const char *error; /* a part of it */
        int status;
        const char *body;
} replies[] = {
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, VERDICT_OK, NULL, 200, "hello" },
        { "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
          false, VERDICT_OK, NULL, 201, "abcde" },
        { "HTTP/1.0 200 OK\r\n\r\nto the end", true, VERDICT_OK, NULL, 200, "to the end" },
        { "HTTP/1.1 204 No Content\r\n\r\n", false, VERDICT_EMPTY, NULL, 204, NULL },
        { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, VERDICT_EMPTY, NULL, 200, NULL },

        { "HTTP/1.1 301 x\r\nContent-Length: 0\r\n\r\n", false, VERDICT_HTTP,
          "the source answered 301 Moved Permanently", 301, NULL },
        { "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", false, VERDICT_HTTP,
          "the source answered 404 Not Found", 404, NULL },
        { "HTTP/1.1 429 x\r\nContent-Length: 0\r\n\r\n", false, VERDICT_QUOTA,
          "the source answered 429 Too Many Requests", 429, NULL },
        { "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n", false, VERDICT_HTTP,
          "the source answered 503 Service Unavailable", 503, NULL },
        { "HTTP/1.1 599 x\r\nContent-Length: 0\r\n\r\n", false, VERDICT_HTTP,
          "the source answered 599", 599, NULL },

        { "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", false, VERDICT_TOO_LARGE,
          "the body is over MaxBytes=1000", 200, NULL },
        { "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello", false,
          VERDICT_DECODE, "a Content-Encoding that was not asked for", 200, NULL },
        { "220 mail.example ESMTP\r\n", false, VERDICT_HTTP, "", 0, NULL },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", true, VERDICT_HTTP, "", 200, NULL },
        { "", true, VERDICT_HTTP, "", 0, NULL },
        { NULL, false, VERDICT_TIMEOUT, "no response within 2s", 0, NULL },
        { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", false, VERDICT_TIMEOUT,
          "no response within 2s", 200, NULL },
};

static void test_replies(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(replies); i++) {
                says(replies[i].reply);
                fixture->closes = replies[i].closes;
                const Fetch *f = fetch(AT_SERVER);

                if (f->verdict != replies[i].verdict)
                        fail_msg("reply %zu: %s", i, verdict_name(f->verdict));
                assert_int_equal(f->status, replies[i].status);
                assert_int_equal(f->attempts, 1);
                if (replies[i].error)
                        assert_non_null(strstr(f->error, replies[i].error));
                else
                        assert_null(f->error);
                if (replies[i].body) {
                        assert_int_equal(f->bytes, strlen(replies[i].body));
                        assert_int_equal(f->document->size, f->bytes);
                        assert_memory_equal(arena_block_data(f->document), replies[i].body, f->bytes);
                } else
                        assert_null(f->document);
        }
        end();
}

static void test_head(void **state) {
        says("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=ISO-8859-1\r\n"
             "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc");
        const Fetch *f = fetch(AT_SERVER);

        assert_int_equal(f->media, MEDIA_HTML);
        assert_int_equal(f->coding, CODING_GZIP);
        assert_string_equal(f->charset, "iso-8859-1");
        end();
}

static void test_times(void **state) {
        says("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        uint64_t before = io_now(fixture->io);
        const Fetch *f = fetch(AT_SERVER);
        const ExchangeTimes *t = &f->attempt.times;

        assert_int_equal(f->attempt.start, before);
        assert_true(t->connect_start >= before && t->connect_end > t->connect_start);
        assert_true(t->send_end >= t->connect_end && t->first_byte > t->send_end);
        assert_true(f->attempt.end >= t->end && t->end >= t->first_byte);
        assert_int_equal(t->resolve_start, 0);
        assert_false(f->attempt.reused);

        f = fetch(AT_SERVER);
        assert_true(f->attempt.reused);
        assert_int_equal(fixture->n_connects, 1);
        assert_int_equal(f->attempt.times.connect_start, 0);
        end();
}

/* The verdict comes at the time out, not later. */
static void test_timeout(void **state) {
        says(NULL);
        const Fetch *f = fetch(AT_SERVER);

        assert_int_equal(f->attempt.end - f->attempt.start, 2 * NSEC_PER_SEC);
        end();
}

/* ---- documents ---- */

static void says_chunks(size_t n, size_t size) {
        static char text[ARENA_SIZE * 4];
        size_t at = (size_t) snprintf(
                        text, sizeof(text), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");

        for (size_t i = 0; i < n; i++) {
                at += (size_t) snprintf(text + at, sizeof(text) - at, "%zx\r\n", size);
                memset(text + at, 'a' + (int) (i % 26), size);
                at += size;
                at += (size_t) snprintf(text + at, sizeof(text) - at, "\r\n");
        }
        (void) snprintf(text + at, sizeof(text) - at, "0\r\n\r\n");
        says(text);
}

#define WITHOUT_LIMIT SETTINGS("URL=http://10.0.0.1/", "TimeoutSec=2")

static void test_grows(void **state) {
        says_chunks(20, 1500);
        const Fetch *f = fetch(WITHOUT_LIMIT);

        assert_int_equal(f->verdict, VERDICT_OK);
        assert_int_equal(f->document->size, 30000);
        const char *data = arena_block_data(f->document);
        for (size_t i = 0; i < 30000; i++)
                assert_int_equal(data[i], 'a' + (int) (i / 1500 % 26));
        end();
}

static void test_too_large(void **state) {
        says_chunks(3, 400);
        const Fetch *f = fetch(AT_SERVER);

        assert_int_equal(f->verdict, VERDICT_TOO_LARGE);
        assert_string_equal(f->error, "the body is over MaxBytes=1000");
        assert_null(f->document);

        says_chunks(80, 1500);
        f = fetch(WITHOUT_LIMIT);
        assert_int_equal(f->verdict, VERDICT_TOO_LARGE);
        assert_string_equal(f->error, "the document is greater than ArenaSize=");
        end();
}

static void test_no_room(void **state) {
        ArenaBlock *all = NULL;

        assert_int_equal(arena_alloc(fixture->arena, ARENA_SIZE, &all), 0);
        says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        const Fetch *f = fetch(AT_SERVER);
        assert_int_equal(f->verdict, VERDICT_SHED);
        assert_non_null(strstr(f->error, "no room for the document"));

        f = fetch(SETTINGS("URL=simulate:?bytes=10"));
        assert_int_equal(f->verdict, VERDICT_SHED);
        arena_block_unref(all);
        end();
}

/* ---- what does not even begin ---- */

static void test_names(void **state) {
        says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        const Fetch *f = fetch(SETTINGS("URL=http://known/"));
        assert_int_equal(f->verdict, VERDICT_OK);
        assert_true(f->attempt.times.resolve_start > 0);

        f = fetch(SETTINGS("URL=http://unknown/"));
        assert_int_equal(f->verdict, VERDICT_DNS);
        assert_non_null(strstr(f->error, "no such host"));
        end();
}

static void test_no_connection(void **state) {
        const Fetch *f = fetch(SETTINGS("URL=http://10.0.0.1:81/"));

        assert_int_equal(f->verdict, VERDICT_CONNECT);
        assert_true(strlen(f->error) > 0);

        sim_limit_descriptors(fixture->io, 0);
        f = fetch(SETTINGS("URL=http://10.0.0.1/"));
        assert_int_equal(f->verdict, VERDICT_SHED);
        end();
}

static void test_unrenderable(void **state) {
        static char setting[sizeof("Body=") + 65536] = "Body=";
        const Fetch *f = fetch(SETTINGS("URL=http://10.0.0.1/{city}/{who}"));

        assert_int_equal(f->verdict, VERDICT_REJECTED);
        assert_string_equal(f->error, "parameter \"who\" was not given and has no default");
        assert_int_equal(f->attempts, 0);
        assert_int_equal(fixture->n_connects, 0);

        /* Six bytes for each one of the default value are too many. */
        size_t size = strlen(setting);
        size += (size_t) snprintf(setting + size, sizeof(setting) - size, "{x:");
        memset(setting + size, '\1', 60000);
        memcpy(setting + size + 60000, "}", 2);
        f = fetch(SETTINGS("URL=http://10.0.0.1/", "Method=POST", setting));
        assert_int_equal(f->verdict, VERDICT_REJECTED);
        assert_string_equal(f->error, "the request would be too long");
        end();
}

static void test_net_closed(void **state) {
        close_net();
        assert_int_equal(start(AT_SERVER), -ESHUTDOWN);
        assert_int_equal(fixture->fetch.source->in_flight, 0);
        assert_int_equal(fixture->n_done, 0);
        fetch_cancel(&fixture->fetch); /* harmless */
        end();
}

/* ---- simulated sources ---- */

static void test_simulated(void **state) {
        static const struct {
                const char *url;
                Verdict verdict;
                const char *error;
                uint64_t bytes;
        } sources[] = {
                { "URL=simulate:?delay=300ms&bytes=100", VERDICT_OK, NULL, 100 },
                { "URL=simulate:?delay=300ms&bytes=0", VERDICT_EMPTY, NULL, 0 },
                { "URL=simulate:?delay=300ms&fail=1", VERDICT_CONNECT, "simulated failure", 0 },
                { "URL=simulate:?delay=300ms&status=500", VERDICT_HTTP, "500 Internal", 0 },
                { "URL=simulate:?delay=300ms&status=429", VERDICT_QUOTA, "429", 0 },
                { "URL=simulate:?delay=300ms&bytes=1001", VERDICT_TOO_LARGE, "MaxBytes=1000", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                const Fetch *f = fetch(SETTINGS(sources[i].url, "MaxBytes=1000"));

                assert_int_equal(f->verdict, sources[i].verdict);
                assert_int_equal(f->attempt.end - f->attempt.start, 300 * NSEC_PER_MSEC);
                assert_int_equal(f->attempts, 1);
                if (sources[i].error)
                        assert_non_null(strstr(f->error, sources[i].error));
                if (sources[i].verdict == VERDICT_OK) {
                        assert_int_equal(f->document->size, sources[i].bytes);
                        assert_non_null(memmem(arena_block_data(f->document), f->bytes, "why", 3));
                } else
                        assert_null(f->document);
        }
        end();
}

static void test_simulated_timeout(void **state) {
        const Fetch *f = fetch(SETTINGS("URL=simulate:?delay=3s", "TimeoutSec=2"));

        assert_int_equal(f->verdict, VERDICT_TIMEOUT);
        assert_int_equal(f->attempt.end - f->attempt.start, 2 * NSEC_PER_SEC);
        end();
}

/* About half of them. */
static void test_simulated_chance(void **state) {
        unsigned failed = 0;

        for (unsigned i = 0; i < 100; i++)
                failed += fetch(SETTINGS("URL=simulate:?fail=0.5"))->verdict == VERDICT_CONNECT;
        assert_in_range(failed, 25, 75);
        end();
}

/* ---- cancelling ---- */

/* After any number of turns: silent, and nothing stays behind. */
static void test_cancel(void **state) {
        static const char *const urls[] = { "URL=http://known/", "URL=simulate:?delay=1ms",
                                            "URL=http://10.0.0.1/{who}" };

        says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        for (size_t i = 0; i < ELEMENTSOF(urls); i++)
                for (unsigned turns = 0; turns < 12; turns++) {
                        assert_int_equal(start(SETTINGS(urls[i])), 0);
                        for (unsigned k = 0; k < turns && fixture->n_done == 0; k++)
                                assert_int_equal(io_turn(fixture->io), 0);
                        unsigned before = fixture->n_done;
                        fetch_cancel(&fixture->fetch);
                        fetch_cancel(&fixture->fetch); /* harmless */
                        assert_int_equal(fixture->fetch.source->in_flight, 0);
                        while (!sim_idle(fixture->io))
                                assert_int_equal(io_turn(fixture->io), 0);
                        assert_int_equal(fixture->n_done, before);
                        end();
                }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_replies),
                TEST(test_head),
                TEST(test_times),
                TEST(test_timeout),
                TEST(test_grows),
                TEST(test_too_large),
                TEST(test_no_room),
                TEST(test_names),
                TEST(test_no_connection),
                TEST(test_unrenderable),
                TEST(test_net_closed),
                TEST(test_simulated),
                TEST(test_simulated_timeout),
                TEST(test_simulated_chance),
                TEST(test_cancel),
        };
        return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
