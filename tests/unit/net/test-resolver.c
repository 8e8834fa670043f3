/* SPDX-License-Identifier: Apache-2.0 */

/* c-ares on the real loop, against a name server of a page in a process of its own. What it answers
 * is in the first label of the name. */

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka.h"
#include "macro.h"
#include "resolver.h"

#define GUARD_S       50
#define BIND_ATTEMPTS 20
#define TCP_PEERS_MAX 16
#define MESSAGE_MAX   2048
#define HEADER_SIZE   12

enum {
        TYPE_A = 1,
        TYPE_AAAA = 28,
};

typedef struct Zone {
        const char *label;
        unsigned code; /* of the answer */
        unsigned n_a, n_aaaa;
        bool silent;
        bool only_tcp; /* by UDP the answer says: truncated */
} Zone;

static const Zone zones[] = {
        { .label = "four", .n_a = 1 },
        { .label = "six", .n_aaaa = 1 },
        { .label = "both", .n_a = 2, .n_aaaa = 1 },
        { .label = "many", .n_a = 12 },
        { .label = "tcp", .n_a = 3, .only_tcp = true },
        { .label = "empty" },
        { .label = "missing", .code = 3 },
        { .label = "broken", .code = 2 },
        { .label = "refuses", .code = 5 },
        { .label = "silent", .silent = true },
};

/* ---- the name server ---- */

static const Zone *zone_of(const uint8_t *message) {
        size_t size = message[HEADER_SIZE];
        const char *label = (const char *) message + HEADER_SIZE + 1;
        for (size_t i = 0; i < ELEMENTSOF(zones); i++)
                if (strlen(zones[i].label) == size && strncasecmp(label, zones[i].label, size) == 0)
                        return &zones[i];
        return NULL;
}

static size_t put_record(uint8_t *at, unsigned type, unsigned number) {
        const size_t data = type == TYPE_A ? 4 : 16;
        memset(at, 0, 12 + data);
        at[0] = 0xc0; /* the name of the question */
        at[1] = HEADER_SIZE;
        at[3] = (uint8_t) type;
        at[5] = 1;  /* class IN */
        at[9] = 60; /* time to live */
        at[11] = (uint8_t) data;
        if (type == TYPE_A)
                at[12] = 127;
        at[12 + data - 1] = (uint8_t) number;
        return 12 + data;
}

/* Turns the question in `message` into the answer; 0: none. */
static size_t answer(uint8_t *message, bool tcp) {
        const Zone *zone = zone_of(message);
        size_t end = HEADER_SIZE;

        if (!zone || zone->silent)
                return 0;
        while (message[end] != 0)
                end += message[end] + 1u;
        unsigned type = message[end + 2];
        end += 5;
        bool truncated = zone->only_tcp && !tcp;
        unsigned n = type == TYPE_A ? zone->n_a : type == TYPE_AAAA ? zone->n_aaaa : 0;
        message[2] = (uint8_t) (0x81 | (truncated ? 2 : 0));
        message[3] = (uint8_t) (0x80 | zone->code);
        if (truncated)
                n = 0;
        message[7] = (uint8_t) n;
        memset(message + 8, 0, 4);
        for (unsigned i = 1; i <= n; i++)
                end += put_record(message + end, type, i);
        return end;
}

static void serve_udp(int fd) {
        uint8_t message[MESSAGE_MAX];
        struct sockaddr_in peer;
        socklen_t size = sizeof(peer);

        if (recvfrom(fd, message, 512, 0, (struct sockaddr *) &peer, &size) <= HEADER_SIZE)
                return;
        size_t n = answer(message, false);
        if (n > 0)
                (void) sendto(fd, message, n, 0, (struct sockaddr *) &peer, size);
}

/* One question at a time, so that a peer that keeps its connection keeps nobody waiting. */
static bool serve_tcp(int fd) {
        uint8_t message[MESSAGE_MAX];

        if (recv(fd, message, 2, MSG_WAITALL) != 2 ||
            recv(fd, message + 2, message[1], MSG_WAITALL) != message[1])
                return false;
        size_t n = answer(message + 2, true);
        message[0] = (uint8_t) (n >> 8);
        message[1] = (uint8_t) n;
        return send(fd, message, n + 2, MSG_NOSIGNAL) >= 0;
}

static void run_server(const struct pollfd listeners[2]) {
        struct pollfd fds[2 + TCP_PEERS_MAX] = { listeners[0], listeners[1] };

        for (size_t i = 2; i < ELEMENTSOF(fds); i++)
                fds[i] = (struct pollfd){ -1, POLLIN, 0 };
        for (size_t next = 0;;) {
                (void) poll(fds, ELEMENTSOF(fds), -1);
                if (fds[0].revents)
                        serve_udp(fds[0].fd);
                for (size_t i = 2; i < ELEMENTSOF(fds); i++)
                        if (fds[i].fd >= 0 && fds[i].revents && !serve_tcp(fds[i].fd)) {
                                (void) close(fds[i].fd);
                                fds[i].fd = -1;
                        }
                if (fds[1].revents)
                        fds[2 + next++ % TCP_PEERS_MAX].fd = accept(fds[1].fd, NULL, NULL);
        }
}

static pid_t server_pid;
static char servers[64];

/* UDP and TCP on one port; another program may have half of the pair. */
static uint16_t bind_pair(struct pollfd fds[2]) {
        struct sockaddr_in address = { .sin_family = AF_INET,
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);

        for (unsigned i = 0; i < BIND_ATTEMPTS; i++) {
                address.sin_port = 0;
                fds[0] = (struct pollfd){ socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), POLLIN, 0 };
                fds[1] = (struct pollfd){ socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), POLLIN, 0 };
                assert_int_equal(bind(fds[1].fd, (struct sockaddr *) &address, size), 0);
                assert_int_equal(getsockname(fds[1].fd, (struct sockaddr *) &address, &size), 0);
                if (bind(fds[0].fd, (struct sockaddr *) &address, size) == 0)
                        return ntohs(address.sin_port);
                (void) close(fds[0].fd);
                (void) close(fds[1].fd);
        }
        fail_msg("no port is free for UDP and TCP");
        return 0;
}

static int start_server(void **state) {
        struct pollfd fds[2];

        (void) alarm(GUARD_S);
        unsigned port = bind_pair(fds);
        assert_int_equal(listen(fds[1].fd, 16), 0);
        (void) snprintf(servers, sizeof(servers), "127.0.0.1:%u", port);
        server_pid = fork();
        assert_true(server_pid >= 0);
        if (server_pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                run_server(fds);
        }
        (void) close(fds[0].fd);
        (void) close(fds[1].fd);
        return 0;
}

static int stop_server(void **state) {
        (void) kill(server_pid, SIGKILL);
        (void) waitpid(server_pid, NULL, 0);
        return 0;
}

/* ---- the fixture ---- */

typedef struct Fixture {
        Io *io;
        Resolver *resolver;
} Fixture;

static int set_up(void **state) {
        Fixture *f = calloc(1, sizeof(*f));
        const char *message = NULL;

        assert_non_null(f);
        if (io_new_uring(&f->io, 0, &message) < 0)
                fail_msg("%s", message);
        assert_int_equal(
                        resolver_new_with(
                                        &f->resolver, f->io,
                                        &(ResolverOptions){ .servers = servers,
                                                            .timeout_ms = 300,
                                                            .tries = 1 }),
                        0);
        *state = f;
        return 0;
}

static int tear_down(void **state) {
        Fixture *f = *state;

        f->resolver = resolver_free(f->resolver);
        while (io_in_flight(f->io) > 0)
                assert_int_equal(io_turn(f->io), 0);
        assert_int_equal(io_open_descriptors(f->io), 0);
        f->io = io_free(f->io);
        free(f);
        return 0;
}

/* ---- lookups ---- */

typedef struct Lookup {
        ResolverLookup lookup;
        unsigned done;
        size_t n;
        Address addresses[RESOLVER_MAX_ADDRESSES];
        const char *error;
        Resolver *resolver; /* `done` starts `next` there */
        struct Lookup *next;
} Lookup;

static void on_done(ResolverLookup *lookup, const Address *addresses, size_t n, const char *error) {
        Lookup *l = CONTAINER_OF(lookup, Lookup, lookup);
        l->done++;
        l->n = n;
        l->error = error;
        assert_true(n <= RESOLVER_MAX_ADDRESSES);
        assert_int_equal(error == NULL, n > 0);
        memcpy(l->addresses, addresses, n * sizeof(*addresses));
        if (l->next)
                assert_int_equal(resolver_lookup(l->resolver, &l->next->lookup, "four.test", 1), 0);
}

static void start(Fixture *f, Lookup *l, const char *host) {
        *l = (Lookup){ .lookup.done = on_done, .next = l->next, .resolver = f->resolver };
        assert_int_equal(resolver_lookup(f->resolver, &l->lookup, host, 8080), 0);
        assert_int_equal(l->done, 0); /* never from within */
}

static void finish(Fixture *f, Lookup *l) {
        while (l->done == 0)
                assert_int_equal(io_turn(f->io), 0);
        assert_int_equal(l->done, 1);
}

static size_t count(const Lookup *l, int family) {
        size_t n = 0;
        for (size_t i = 0; i < l->n; i++)
                n += l->addresses[i].any.sa_family == family;
        return n;
}

static const struct {
        const char *host;
        size_t n_a, n_aaaa;
        const char *error;
} cases[] = {
        { "four.test", 1, 0, NULL },
        { "FOUR.Test", 1, 0, NULL },
        { "six.test", 0, 1, NULL },
        { "both.test", 2, 1, NULL },
        { "many.test", RESOLVER_MAX_ADDRESSES, 0, NULL },
        { "tcp.test", 3, 0, NULL },
        { "empty.test", 0, 0, "the host has no address" },
        { "missing.test", 0, 0, "no such host" },
        { "broken.test", 0, 0, "the name server failed" },
        { "refuses.test", 0, 0, "the name server failed" },
        { "silent.test", 0, 0, "the name server did not answer" },
};

static void check_case(const Lookup *l, size_t i) {
        if (cases[i].error && (!l->error || strcmp(l->error, cases[i].error) != 0))
                fail_msg("%s: %s", cases[i].host, l->error ? l->error : "found");
        if (!cases[i].error && l->error)
                fail_msg("%s: %s", cases[i].host, l->error);
        assert_int_equal(count(l, AF_INET), cases[i].n_a);
        assert_int_equal(count(l, AF_INET6), cases[i].n_aaaa);
}

static void test_answers(void **state) {
        Fixture *f = *state;
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Lookup l = { 0 };
                start(f, &l, cases[i].host);
                finish(f, &l);
                check_case(&l, i);
        }
}

static void test_all_at_once(void **state) {
        Fixture *f = *state;
        Lookup l[ELEMENTSOF(cases)] = { 0 };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                start(f, &l[i], cases[i].host);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                finish(f, &l[i]);
                check_case(&l[i], i);
        }
}

static void test_addresses(void **state) {
        Fixture *f = *state;
        Lookup l = { 0 };
        start(f, &l, "four.test");
        finish(f, &l);
        assert_int_equal(l.addresses[0].size, sizeof(struct sockaddr_in));
        assert_int_equal(l.addresses[0].v4.sin_port, htons(8080));
        assert_int_equal(l.addresses[0].v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
        start(f, &l, "six.test");
        finish(f, &l);
        assert_int_equal(l.addresses[0].size, sizeof(struct sockaddr_in6));
        assert_int_equal(l.addresses[0].v6.sin6_port, htons(8080));
        assert_true(IN6_IS_ADDR_LOOPBACK(&l.addresses[0].v6.sin6_addr));
}

static void test_localhost(void **state) {
        static const char *const names[] = { "localhost", "a.localhost" };
        Fixture *f = *state;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                Lookup l = { 0 };

                start(f, &l, names[i]);
                finish(f, &l);
                assert_null(l.error);
                assert_int_equal(l.n, 2);
                assert_int_equal(l.addresses[0].v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
                assert_int_equal(l.addresses[0].v4.sin_port, htons(8080));
                assert_true(IN6_IS_ADDR_LOOPBACK(&l.addresses[1].v6.sin6_addr));
                assert_int_equal(l.addresses[1].v6.sin6_port, htons(8080));
        }
}

static void test_odd_names(void **state) {
        Fixture *f = *state;
        static const char label[] =
                        "a123456789b123456789c123456789d123456789e123456789f123456789g1234.test";
        static const char *const names[] = { "x.onion", label, "a..b" };
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                Lookup l = { 0 };
                start(f, &l, names[i]);
                finish(f, &l);
                assert_non_null(l.error);
        }
}

static void test_lookup_from_done(void **state) {
        Fixture *f = *state;
        Lookup second = { .lookup.done = on_done };
        Lookup first = { .next = &second };
        start(f, &first, "localhost");
        finish(f, &second);
        assert_int_equal(second.n, 1);
}

static void test_cancel(void **state) {
        Fixture *f = *state;
        Lookup silent = { 0 }, posted = { 0 }, other = { 0 };
        start(f, &silent, "silent.test");
        start(f, &posted, "localhost");
        resolver_cancel(f->resolver, &silent.lookup);
        resolver_cancel(f->resolver, &posted.lookup);
        start(f, &other, "four.test");
        finish(f, &other);
        resolver_cancel(f->resolver, &other.lookup); /* harmless */
        assert_int_equal(silent.done + posted.done, 0);

        /* cancelled, then answered */
        start(f, &posted, "both.test");
        resolver_cancel(f->resolver, &posted.lookup);
        start(f, &silent, "silent.test");
        finish(f, &silent);
        assert_int_equal(posted.done, 0);
}

/* Freed while a cancelled lookup still has its sockets. */
static void test_free_in_flight(void **state) {
        Fixture *f = *state;
        Lookup silent = { 0 }, other = { 0 };
        start(f, &silent, "silent.test");
        start(f, &other, "four.test");
        finish(f, &other);
        resolver_cancel(f->resolver, &silent.lookup);
        assert_true(io_in_flight(f->io) > 0);
}

static void test_defaults(void **state) {
        Fixture *f = *state;
        Resolver *resolver;
        assert_int_equal(resolver_new(&resolver, f->io), 0);
        assert_null(resolver_free(resolver));
        assert_null(resolver_free(NULL));
        assert_int_equal(
                        resolver_new_with(&resolver, f->io, &(ResolverOptions){ .servers = "x y" }),
                        -EINVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
        static const struct CMUnitTest tests[] = {
                TEST(test_answers),        TEST(test_all_at_once),      TEST(test_addresses),
                TEST(test_localhost),      TEST(test_odd_names),        TEST(test_cancel),
                TEST(test_free_in_flight), TEST(test_lookup_from_done), TEST(test_defaults),
        };
        return cmocka_run_group_tests_name("resolver", tests, start_server, stop_server);
}
