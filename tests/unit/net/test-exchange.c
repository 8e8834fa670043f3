/* SPDX-License-Identifier: Apache-2.0 */

/* Exchanges over the real ring with a real server. Whatever a test does, at its end nothing
 * may be in flight and no descriptor be open. */

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"
#include "cmocka.h"
#include "exchange.h"
#include "fdutil.h"
#include "macro.h"
#include "test-server.h"

#define CONCURRENT 1100
#define RACES      500
#define GUARD_S    50 /* the whole program; it takes a second or two */

/* ---- a resolver with a table ---- */

typedef struct FakeHost {
        const char *name;
        const char *addresses[3]; /* "" is one that the family refuses */
        const char *error;
        bool silent;
        int refuses; /* what lookup() returns */
} FakeHost;

static const FakeHost fake_hosts[] = {
        { .name = "one", .addresses = { "127.0.0.1" } },
        { .name = "second", .addresses = { "127.0.0.2", "127.0.0.1" } },
        { .name = "third", .addresses = { "127.0.0.3", "127.0.0.2", "127.0.0.1" } },
        { .name = "none", .addresses = { "127.0.0.3", "127.0.0.2" } },
        { .name = "odd", .addresses = { "", "127.0.0.1" } },
        { .name = "missing", .error = "no such host" },
        { .name = "silent", .silent = true },
        { .name = "refused", .refuses = -EINVAL },
        { .name = "full", .refuses = -ENOMEM },
};

typedef struct FakeResolver {
        Resolver resolver;
        Io *io;
        IoTask task;
        ResolverLookup *lookup;
        const FakeHost *host;
        uint16_t port;
        unsigned cancelled;
} FakeResolver;

static void fake_answer(IoTask *task) {
        FakeResolver *fake = CONTAINER_OF(task, FakeResolver, task);
        Address addresses[3];
        size_t n = 0;

        for (; n < 3 && fake->host->addresses[n]; n++) {
                struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(fake->port) };
                if (inet_pton(AF_INET, fake->host->addresses[n], &v4.sin_addr) != 1)
                        v4.sin_family = 255;
                addresses[n] = (Address){ .v4 = v4, .size = sizeof(v4) };
        }
        fake->lookup->done(fake->lookup, addresses, n, fake->host->error);
}

static int fake_lookup(Resolver *resolver, ResolverLookup *lookup, const char *name, uint16_t port) {
        FakeResolver *fake = CONTAINER_OF(resolver, FakeResolver, resolver);

        for (size_t i = 0; i < ELEMENTSOF(fake_hosts); i++)
                if (strcmp(fake_hosts[i].name, name) == 0)
                        fake->host = &fake_hosts[i];
        assert_non_null(fake->host);
        fake->lookup = lookup;
        fake->port = port;
        if (fake->host->refuses == 0 && !fake->host->silent)
                io_post(fake->io, &fake->task);
        return fake->host->refuses;
}

static void fake_cancel(Resolver *resolver, ResolverLookup *lookup) {
        FakeResolver *fake = CONTAINER_OF(resolver, FakeResolver, resolver);
        assert_ptr_equal(lookup, fake->lookup);
        io_unpost(&fake->task);
        fake->cancelled++;
}

/* ---- the fixture ---- */

static TestServer server;

typedef struct Fixture {
        Io *io;
        Net *net;
        FakeResolver fake;
        bool closed;
} Fixture;

static void on_closed(void *userdata) {
        ((Fixture *) userdata)->closed = true;
}

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        const char *message = NULL;

        assert_non_null(f);
        int r = io_new_uring(&f->io, 0, &message);
        if (r < 0)
                fail_msg("%s", message);
        f->fake = (FakeResolver){
                .resolver = { .lookup = fake_lookup, .cancel = fake_cancel },
                .io = f->io,
                .task.run = fake_answer,
        };
        list_init(&f->fake.task.node);
        assert_int_equal(net_new(&f->net, f->io, &f->fake.resolver), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        net_close(f->net, on_closed, f);
        assert_false(f->closed);
        while (!f->closed)
                assert_int_equal(io_turn(f->io), 0);
        assert_int_equal(net_idle(f->net), 0);
        assert_int_equal(net_connections(f->net), 0);
        assert_int_equal(io_in_flight(f->io), 0);
        assert_int_equal(io_open_descriptors(f->io), 0);
        f->net = net_free(f->net);
        f->io = io_free(f->io);
        free(f);
        return 0;
}

/* ---- calls ---- */

typedef enum CancelAt {
        NEVER,
        IN_HEAD,
        IN_BODY,
} CancelAt;

typedef struct Call {
        Exchange exchange;
        Url url;
        char *request;
        unsigned heads;
        HttpHead head;
        char body[4096];
        size_t body_size;
        unsigned done;
        ExchangeError error;
        char message[256];
        int refuse_head, refuse_body;
        CancelAt cancel_at;
        struct Call *next; /* started by `done` */
        Net *net;
} Call;

static unsigned n_done;

static void start(Call *call);

static int on_head(Exchange *exchange, const HttpHead *head) {
        Call *call = CONTAINER_OF(exchange, Call, exchange);
        call->heads++;
        call->head = *head;
        if (call->cancel_at == IN_HEAD)
                exchange_cancel(exchange);
        return call->refuse_head;
}

static int on_body(Exchange *exchange, const void *data, size_t size) {
        Call *call = CONTAINER_OF(exchange, Call, exchange);
        if (call->body_size < sizeof(call->body))
                memcpy(call->body + call->body_size, data,
                       MIN(size, sizeof(call->body) - call->body_size));
        call->body_size += size;
        if (call->cancel_at == IN_BODY)
                exchange_cancel(exchange);
        return call->refuse_body;
}

static void on_done(Exchange *exchange, ExchangeError error, const char *message) {
        Call *call = CONTAINER_OF(exchange, Call, exchange);
        call->done++;
        call->error = error;
        assert_int_equal(message != NULL, error != EXCHANGE_OK);
        (void) snprintf(call->message, sizeof(call->message), "%s", message ? message : "");
        assert_true(exchange->times.end > 0);
        n_done++;
        if (call->next)
                start(call->next);
}

static Call *call_text(Fixture *f, const char *url, char *request) {
        Call *call = calloc(1, sizeof(*call));
        const char *reason;
        assert_non_null(call);
        if (url_parse(url, &call->url, NULL, &reason) < 0)
                fail_msg("%s: %s", url, reason);
        call->net = f->net;
        call->request = request;
        call->exchange = (Exchange){
                .url = &call->url,
                .request = request,
                .request_size = strlen(request),
                .head = on_head,
                .body = on_body,
                .done = on_done,
        };
        return call;
}

static Call *call_url(Fixture *f, const char *url, const char *method) {
        Url parsed;
        char *request;
        assert_int_equal(url_parse(url, &parsed, NULL, NULL), 0);
        assert_true(asprintf(&request, "%s %s HTTP/1.1\r\nHost: %s\r\n\r\n", method, parsed.target,
                             parsed.authority) > 0);
        url_deinit(&parsed);
        return call_text(f, url, request);
}

static Call *call_host(Fixture *f, const char *host, const char *path) {
        char url[256];
        (void) snprintf(url, sizeof(url), "http://%s:%u%s", host, (unsigned) server.port, path);
        return call_url(f, url, "GET");
}

static Call *call_new(Fixture *f, const char *path) {
        return call_host(f, "127.0.0.1", path);
}

static Call *call_free(Call *call) {
        url_deinit(&call->url);
        free(call->request);
        free(call);
        return NULL;
}

static void start(Call *call) {
        unsigned before = n_done;
        assert_int_equal(exchange_start(&call->exchange, call->net), 0);
        assert_int_equal(n_done, before); /* never from within */
}

static void turn(Fixture *f) {
        assert_int_equal(io_turn(f->io), 0);
}

static void finish(Fixture *f, Call *call) {
        while (call->done == 0)
                turn(f);
        assert_int_equal(call->done, 1);
}

static Call *run(Fixture *f, Call *call) {
        start(call);
        finish(f, call);
        return call;
}

static void expect_ok(Fixture *f, Call *call, const char *body) {
        (void) run(f, call);
        if (call->error != EXCHANGE_OK)
                fail_msg("%s", call->message);
        assert_int_equal(call->heads, 1);
        assert_int_equal(call->body_size, strlen(body));
        assert_memory_equal(call->body, body, call->body_size);
        call_free(call);
}

static void expect_error(Fixture *f, Call *call, ExchangeError error, const char *text) {
        (void) run(f, call);
        if (call->error != error || !strstr(call->message, text))
                fail_msg("%d: %s", (int) call->error, call->message);
        call_free(call);
}

/* Runs a call whose body is "C R" and gives the two numbers. */
static void run_numbers(Fixture *f, Call *call, unsigned *ret_connection, unsigned *ret_request) {
        (void) run(f, call);
        if (call->error != EXCHANGE_OK)
                fail_msg("%s", call->message);
        assert_true(call->body_size < sizeof(call->body));
        assert_int_equal(sscanf(call->body, "%u %u", ret_connection, ret_request), 2);
}

static void until_idle_is(Fixture *f, size_t n) {
        while (net_idle(f->net) != n)
                turn(f);
}

/* ---- good ways ---- */

static void test_simple(void **state) {
        Fixture *f = *state;
        Call *call = run(f, call_new(f, "/ok"));
        const ExchangeTimes *t = &call->exchange.times;

        assert_int_equal(call->error, EXCHANGE_OK);
        assert_int_equal(call->head.status, 200);
        assert_int_equal(call->head.media, MEDIA_TEXT);
        assert_false(call->exchange.reused);
        assert_true(t->resolve_start == 0 && t->resolve_end == 0);
        assert_true(t->connect_start > 0 && t->connect_start <= t->connect_end);
        assert_true(t->connect_end <= t->send_start && t->send_start <= t->send_end);
        assert_true(t->send_start <= t->first_byte && t->first_byte <= t->end);
        assert_int_equal(net_idle(f->net), 1);
        exchange_cancel(&call->exchange); /* harmless */
        assert_int_equal(net_idle(f->net), 1);
        call_free(call);
}

static void test_reuse(void **state) {
        Fixture *f = *state;
        unsigned first, second, request;
        Call *call = call_new(f, "/ok");
        run_numbers(f, call, &first, &request);
        assert_int_equal(request, 1);
        call_free(call);

        for (unsigned i = 2; i < 10; i++) {
                call = call_new(f, "/ok");
                run_numbers(f, call, &second, &request);
                assert_int_equal(second, first);
                assert_int_equal(request, i);
                assert_true(call->exchange.reused);
                assert_true(call->exchange.times.connect_start == 0);
                call_free(call);
        }
        assert_int_equal(net_connections(f->net), 1);
}

/* The same exchange again, and `done` finds the connection given back already. */
static void test_start_from_done(void **state) {
        Fixture *f = *state;
        Call *a = call_new(f, "/ok"), *b = call_new(f, "/ok");

        a->next = b;
        start(a);
        finish(f, b);
        assert_true(b->exchange.reused);
        assert_int_equal(net_connections(f->net), 1);
        a->next = NULL;
        a->done = 0;
        run(f, a);
        assert_int_equal(a->error, EXCHANGE_OK);
        assert_true(a->exchange.reused);
        call_free(a);
        call_free(b);
}

static void test_last_used_first(void **state) {
        Fixture *f = *state;
        Call *a = call_new(f, "/ok"), *b = call_new(f, "/ok");
        start(a);
        start(b);
        finish(f, a);
        finish(f, b);
        assert_int_equal(net_idle(f->net), 2);
        unsigned last = 0, connection, request;
        const Call *later = a->exchange.times.end > b->exchange.times.end ? a : b;
        assert_int_equal(sscanf(later->body, "%u", &last), 1);
        Call *c = call_new(f, "/ok");
        run_numbers(f, c, &connection, &request);
        assert_int_equal(connection, last);
        call_free(a);
        call_free(b);
        call_free(c);
}

static void test_families(void **state) {
        Fixture *f = *state;
        char url[256];

        char path[128] = "";
        for (const char *c = server.path; *c != '\0'; c++)
                (void) snprintf(path + strlen(path), sizeof(path) - strlen(path),
                                *c == '/' ? "%%2F" : "%c", *c);
        (void) snprintf(url, sizeof(url), "http+unix://%s/echo?x", path);
        expect_ok(f, call_url(f, url, "GET"), "GET /echo?x HTTP/1.1\r\nHost: localhost\r\n\r\n");

        if (server.port6 == 0)
                return;
        (void) snprintf(url, sizeof(url), "http://[::1]:%u/echo", (unsigned) server.port6);
        char body[256];
        (void) snprintf(body, sizeof(body), "GET /echo HTTP/1.1\r\nHost: [::1]:%u\r\n\r\n",
                        (unsigned) server.port6);
        expect_ok(f, call_url(f, url, "GET"), body);
}

static void test_resolved(void **state) {
        Fixture *f = *state;
        static const char *const hosts[] = { "one", "second", "third", "odd" };

        for (size_t i = 0; i < ELEMENTSOF(hosts); i++) {
                Call *call = run(f, call_host(f, hosts[i], "/ok"));
                if (call->error != EXCHANGE_OK)
                        fail_msg("%s: %s", hosts[i], call->message);
                const ExchangeTimes *t = &call->exchange.times;
                assert_true(t->resolve_start > 0 && t->resolve_end >= t->resolve_start);
                assert_true(t->connect_start >= t->resolve_end && t->connect_end >= t->connect_start);
                call_free(call);
        }
        assert_int_equal(net_idle(f->net), ELEMENTSOF(hosts)); /* one for each origin */
}

static void test_bodies(void **state) {
        Fixture *f = *state;

        expect_ok(f, call_new(f, "/old"), "old");
        expect_ok(f, call_new(f, "/fin/1000000"), "hello world");
        until_idle_is(f, 0);

        Call *call = run(f, call_new(f, "/big/1000000"));
        assert_int_equal(call->error, EXCHANGE_OK);
        assert_int_equal(call->body_size, 1000000);
        assert_memory_equal(call->body, "abcdefghijklmnopqrstuvwxyzabc", 29);
        call_free(call);
        assert_int_equal(net_idle(f->net), 1);
}

static void test_head_request(void **state) {
        Fixture *f = *state;
        char url[64];

        (void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/half", (unsigned) server.port);
        Call *call = run(f, call_url(f, url, "HEAD"));
        assert_int_equal(call->error, EXCHANGE_OK);
        assert_int_equal(call->head.length, 10);
        assert_int_equal(call->body_size, 0);
        assert_int_equal(net_idle(f->net), 0); /* that server sent a body nevertheless */
        call_free(call);
}

/* ---- what ends a connection ---- */

static void test_not_kept(void **state) {
        Fixture *f = *state;
        static const char *const paths[] = { "/close", "/extra", "/old" };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                Call *call = run(f, call_new(f, paths[i]));
                assert_int_equal(call->error, EXCHANGE_OK);
                assert_int_equal(net_idle(f->net), 0);
                call_free(call);
        }
}

static void test_retired_while_kept(void **state) {
        Fixture *f = *state;
        static const char *const paths[] = { "/bye", "/late" };

        for (size_t i = 0; i < ELEMENTSOF(paths); i++) {
                Call *call = run(f, call_new(f, paths[i]));
                assert_int_equal(call->error, EXCHANGE_OK);
                call_free(call);
                until_idle_is(f, 0);
                while (net_connections(f->net) > 0)
                        turn(f);
        }
}

static void test_early_answer(void **state) {
        Fixture *f = *state;
        const size_t size = 8u << 20;
        char *request = malloc(size + 1), url[64];

        assert_non_null(request);
        memset(request, 'x', size);
        request[size] = '\0';
        memcpy(request, "POST /early HTTP/1.1\r\n\r\n", strlen("POST /early HTTP/1.1\r\n\r\n"));
        (void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/early", (unsigned) server.port);
        Call *call = run(f, call_text(f, url, request));
        assert_int_equal(call->error, EXCHANGE_OK);
        assert_int_equal(call->head.status, 413);
        assert_int_equal(net_idle(f->net), 0);
        call_free(call); /* the request goes while it may still be sent */
}

/* ---- dead at reuse ---- */

static void dead_at_reuse(Fixture *f, const char *path) {
        unsigned first, second, request;
        Call *call = call_new(f, path);
        run_numbers(f, call, &first, &request);
        call_free(call);

        call = call_new(f, path);
        run_numbers(f, call, &second, &request);
        assert_int_not_equal(first, second);
        assert_int_equal(request, 1);
        assert_false(call->exchange.reused);
        assert_true(call->exchange.times.connect_start > 0);
        call_free(call);
}

static void test_dead_at_reuse(void **state) {
        dead_at_reuse(*state, "/close-reuse");
        dead_at_reuse(*state, "/reset-reuse");
}

/* A byte of the answer has been read: that is the server's failure. */
static void test_cut_at_reuse(void **state) {
        Fixture *f = *state;
        unsigned connection, request;
        Call *call = call_new(f, "/cut-reuse");
        run_numbers(f, call, &connection, &request);
        call_free(call);
        expect_error(f, call_new(f, "/cut-reuse"), EXCHANGE_RESET, "within its answer");
}

/* The server closes while we take the connection, over and over: never a failure. Those that
 * are started from `done` meet the close in the middle of everything. */
static void test_reuse_race(void **state) {
        Fixture *f = *state;
        Call *calls[RACES];

        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                calls[i] = call_new(f, "/bye");
                if (i > 0)
                        calls[i - 1]->next = calls[i];
        }
        start(calls[0]);
        finish(f, calls[RACES - 1]);
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                if (calls[i]->error != EXCHANGE_OK)
                        fail_msg("%zu: %s", i, calls[i]->message);
                assert_false(calls[i]->exchange.reused);
                assert_int_equal(calls[i]->exchange.replaced, i > 0);
                call_free(calls[i]);
        }
}

/* ---- failures ---- */

static void test_dns_failures(void **state) {
        Fixture *f = *state;
        expect_error(f, call_host(f, "missing", "/"), EXCHANGE_DNS,
                     "cannot resolve missing: no such host");
        expect_error(f, call_host(f, "refused", "/"), EXCHANGE_DNS, "cannot resolve refused");
        expect_error(f, call_host(f, "full", "/"), EXCHANGE_RESOURCES, "cannot resolve full");
}

static void test_connect_failures(void **state) {
        Fixture *f = *state;
        expect_error(f, call_host(f, "none", "/"), EXCHANGE_CONNECT,
                     "2 addresses: Connection refused");
        expect_error(f, call_url(f, "http://127.0.0.9:9/", "GET"), EXCHANGE_CONNECT,
                     "cannot connect to 127.0.0.9 port 9: Connection refused");
        expect_error(f, call_url(f, "http+unix://%2Fnonexistent%2Fs/", "GET"), EXCHANGE_CONNECT,
                     "socket /nonexistent/s: No such file");
        assert_int_equal(net_connections(f->net), 0);
}

static void test_unix_queue_full(void **state) {
        Fixture *f = *state;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char directory[] = "/tmp/muster-test-XXXXXX", url[128];
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_non_null(mkdtemp(directory));
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/s", directory);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 0), 0);
        (void) snprintf(url, sizeof(url), "http+unix://%%2Ftmp%%2F%s%%2Fs/", directory + 5);
        Call *first = call_url(f, url, "GET");
        start(first);
        expect_error(f, call_url(f, url, "GET"), EXCHANGE_CONNECT, "wait to be accepted");
        (void) close(fd);
        finish(f, first);
        assert_int_equal(first->error, EXCHANGE_RESET);
        call_free(first);
        (void) unlink(address.sun_path);
        (void) rmdir(directory);
}

static void test_bad_answers(void **state) {
        Fixture *f = *state;
        expect_error(f, call_new(f, "/junk"), EXCHANGE_PROTOCOL, "not HTTP/1");
        expect_error(f, call_new(f, "/fin/0"), EXCHANGE_RESET, "without an answer");
        expect_error(f, call_new(f, "/rst/50"), EXCHANGE_RESET, "");
        assert_int_equal(net_idle(f->net), 0);
}

/* Cut at every byte, by close and by reset: an error but for the whole. */
static void test_cut_everywhere(void **state) {
        Fixture *f = *state;
        const size_t size = strlen(SMALL_REPLY);

        for (size_t n = 0; n < 2 * size; n++) {
                char path[64];
                (void) snprintf(path, sizeof(path), n < size ? "/fin/%zu" : "/rst/%zu", n % size);
                Call *call = run(f, call_new(f, path));
                assert_int_equal(call->error, EXCHANGE_RESET);
                assert_int_not_equal(call->message[0], '\0');
                call_free(call);
        }
        assert_int_equal(net_idle(f->net), 0);
}

static void test_refused_by_callback(void **state) {
        Fixture *f = *state;
        Call *call = call_new(f, "/ok");
        call->refuse_head = -EMSGSIZE;
        (void) run(f, call);
        assert_int_equal(call->error, EXCHANGE_ABORTED);
        assert_int_equal(call->body_size, 0);
        call_free(call);

        call = call_new(f, "/big/1000000");
        call->refuse_body = -EMSGSIZE;
        expect_error(f, call, EXCHANGE_ABORTED, "Message too long");
        assert_int_equal(net_idle(f->net), 0);
}

static void test_after_close(void **state) {
        Fixture *f = *state;
        Net *net;
        Call *call = call_new(f, "/ok");

        assert_int_equal(net_new(&net, f->io, &f->fake.resolver), 0);
        net_close(net, on_closed, f);
        assert_int_equal(exchange_start(&call->exchange, net), -ESHUTDOWN);
        while (!f->closed)
                turn(f);
        f->closed = false;
        net = net_free(net);
        assert_null(net_free(net));
        call_free(call);
}

/* ---- cancelling ---- */

/* `left`: the connections that stay open. */
static void cancel_and_free(Fixture *f, Call *call, size_t left) {
        unsigned before = n_done;
        exchange_cancel(&call->exchange);
        exchange_cancel(&call->exchange);
        call_free(call); /* the sanitizer watches what comes later */
        while (net_connections(f->net) > left)
                turn(f);
        assert_int_equal(n_done, before);
}

static void test_cancel_lookup(void **state) {
        Fixture *f = *state;
        Call *call = call_host(f, "silent", "/ok");
        exchange_cancel(&call->exchange); /* not begun */
        start(call);
        cancel_and_free(f, call, 0);
        assert_int_equal(f->fake.cancelled, 1);
        call = call_host(f, "one", "/ok"); /* the answer is posted */
        start(call);
        cancel_and_free(f, call, 0);
        assert_int_equal(f->fake.cancelled, 2);
}

static void test_cancel_posted_failure(void **state) {
        Fixture *f = *state;
        Call *call = call_host(f, "refused", "/ok");
        start(call);
        cancel_and_free(f, call, 0);
}

/* A listener that accepts nobody: connects hang once its queue is full, sends once its buffers
 * are. */
static int deaf_listener(uint16_t *ret_port) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(fd, 0), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *) &address, &size), 0);
        *ret_port = ntohs(address.sin_port);
        return fd;
}

static void test_cancel_send_and_connect(void **state) {
        Fixture *f = *state;
        uint16_t port;
        int fd = deaf_listener(&port);
        char url[64];
        const size_t size = 16u << 20;
        char *request = malloc(size + 1);

        assert_non_null(request);
        memset(request, 'x', size);
        request[size] = '\0';
        (void) snprintf(url, sizeof(url), "http://127.0.0.1:%u/", (unsigned) port);
        Call *sending = call_text(f, url, request);
        start(sending);
        while (sending->exchange.times.send_start == 0)
                turn(f);
        Call *connecting[3];
        for (size_t i = 0; i < ELEMENTSOF(connecting); i++) {
                connecting[i] = call_url(f, url, "GET");
                start(connecting[i]);
        }
        call_free(run(f, call_new(f, "/ok"))); /* makes the loop turn */
        assert_true(sending->exchange.times.send_end == 0);
        assert_true(connecting[2]->exchange.times.connect_end == 0);
        for (size_t i = 0; i < ELEMENTSOF(connecting); i++)
                cancel_and_free(f, connecting[i], 1 + 1 + 2 - i);
        cancel_and_free(f, sending, 1);
        assert_int_equal(net_idle(f->net), 1);
        (void) close(fd);
}

static void test_cancel_receive(void **state) {
        Fixture *f = *state;
        Call *call = call_new(f, "/hang");
        start(call);
        cancel_and_free(f, call, 0);

        call = call_new(f, "/hang");
        start(call);
        while (call->exchange.times.send_end == 0)
                turn(f);
        cancel_and_free(f, call, 0);

        call = call_new(f, "/half");
        start(call);
        while (call->body_size == 0)
                turn(f);
        cancel_and_free(f, call, 0);
        assert_int_equal(net_connections(f->net), 0);
}

static void test_cancel_from_within(void **state) {
        Fixture *f = *state;
        for (CancelAt at = IN_HEAD; at <= IN_BODY; at++) {
                Call *call = call_new(f, "/ok");
                call->cancel_at = at;
                start(call);
                while (at == IN_HEAD ? call->heads == 0 : call->body_size == 0)
                        turn(f);
                assert_null(call->exchange.net);
                cancel_and_free(f, call, 0);
                assert_int_equal(net_connections(f->net), 0);
        }
}

/* ---- limits ---- */

static rlim_t first_free_descriptor(void) {
        int fd = dup(STDERR_FILENO);
        assert_true(fd >= 0);
        (void) close(fd);
        return (rlim_t) fd;
}

static void test_descriptors_run_out(void **state) {
        Fixture *f = *state;
        struct rlimit old;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);

        Call *kept = run(f, call_host(f, "one", "/ok"));
        assert_int_equal(net_idle(f->net), 1);
        struct rlimit tight = { first_free_descriptor(), old.rlim_max };
        Call *holder = call_new(f, "/hang"), *second = call_new(f, "/ok"),
             *third = call_new(f, "/ok");
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        start(holder); /* takes the kept one's descriptor */
        assert_int_equal(net_idle(f->net), 0);
        start(second); /* nothing left */
        finish(f, second);
        assert_int_equal(second->error, EXCHANGE_RESOURCES);
        assert_non_null(strstr(second->message, "Too many open files"));
        while (holder->exchange.times.send_end == 0)
                turn(f);
        exchange_cancel(&holder->exchange); /* its descriptor is about to come free */
        start(third);
        finish(f, third);
        assert_int_equal(third->error, EXCHANGE_OK);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        call_free(kept);
        call_free(holder);
        call_free(second);
        call_free(third);
}

static void test_cancel_wait_for_descriptor(void **state) {
        Fixture *f = *state;
        struct rlimit old;
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);

        Call *kept = run(f, call_host(f, "one", "/ok")), *call = call_new(f, "/ok");
        struct rlimit tight = { first_free_descriptor(), old.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
        start(call);
        assert_null(call->exchange.connection);
        cancel_and_free(f, call, 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        call_free(kept);
}

static void test_concurrent(void **state) {
        Fixture *f = *state;
        Call *calls[CONCURRENT];
        char path[32];

        (void) snprintf(path, sizeof(path), "/barrier/%d", CONCURRENT);
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                calls[i] = call_new(f, path);
                start(calls[i]);
        }
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                finish(f, calls[i]);
                if (calls[i]->error != EXCHANGE_OK)
                        fail_msg("%zu: %s", i, calls[i]->message);
                call_free(calls[i]);
        }
        assert_int_equal(net_idle(f->net), 1024); /* of one origin no more are kept */
        Call *call = run(f, call_new(f, "/ok"));
        assert_true(call->exchange.reused);
        call_free(call);
}

/* All origins together keep 2,048; the oldest make room. */
static void test_kept_in_all(void **state) {
        static const char *const hosts[] = { "127.0.0.1", "one", "second", "third", "odd" };
        Fixture *f = *state;
        Call *calls[440];
        char path[32];

        (void) snprintf(path, sizeof(path), "/barrier/%zu", ELEMENTSOF(calls));
        for (size_t h = 0; h < ELEMENTSOF(hosts); h++) {
                for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                        calls[i] = call_host(f, hosts[h], path);
                        start(calls[i]);
                        while (calls[i]->exchange.resolving) /* the fake knows one lookup at a time */
                                turn(f);
                }
                for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                        finish(f, calls[i]);
                        call_free(calls[i]);
                }
        }
        assert_int_equal(net_idle(f->net), 2048);
}

static void test_sizes(void **state) {
        assert_true(sizeof(Exchange) < 1024);
}

static int start_server(void **state) {
        (void) alarm(GUARD_S);
        assert_true(fd_raise_limit() >= 4096);
        test_server_start(&server);
        return 0;
}

static int stop_server(void **state) {
        test_server_stop(&server);
        return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_simple),
                TEST(test_reuse),
                TEST(test_start_from_done),
                TEST(test_last_used_first),
                TEST(test_families),
                TEST(test_resolved),
                TEST(test_bodies),
                TEST(test_head_request),
                TEST(test_not_kept),
                TEST(test_retired_while_kept),
                TEST(test_early_answer),
                TEST(test_dead_at_reuse),
                TEST(test_cut_at_reuse),
                TEST(test_reuse_race),
                TEST(test_dns_failures),
                TEST(test_connect_failures),
                TEST(test_unix_queue_full),
                TEST(test_bad_answers),
                TEST(test_cut_everywhere),
                TEST(test_refused_by_callback),
                TEST(test_after_close),
                TEST(test_cancel_lookup),
                TEST(test_cancel_posted_failure),
                TEST(test_cancel_send_and_connect),
                TEST(test_cancel_receive),
                TEST(test_cancel_from_within),
                TEST(test_descriptors_run_out),
                TEST(test_cancel_wait_for_descriptor),
                TEST(test_concurrent),
                TEST(test_kept_in_all),
                cmocka_unit_test(test_sizes),
        };
        return cmocka_run_group_tests_name("exchange", tests, start_server, stop_server);
}
