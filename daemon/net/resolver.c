/* SPDX-License-Identifier: Apache-2.0 */

/* c-ares tells which of its sockets it wants to read or write (its socket state callback) and
 * how long it will wait (ares_timeout()); this file turns the former into polls and the latter
 * into one timer.
 *
 * c-ares closes its sockets when it likes, also between two turns of the loop, while a poll of
 * ours is on its way. A cancel by number would then find nothing, or whatever has got that
 * number since. So polls go to a duplicate, which is ours: it is cancelled, waited for and
 * closed like any other descriptor of the loop.
 *
 * c-ares calls back whenever it likes, too, even from within ares_getaddrinfo() (/etc/hosts).
 * So answers are kept and delivered by a task of the loop. It cannot end a single lookup
 * either: a cancelled one goes on without an owner, and its answer is dropped. */

#include <ares.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "list.h"
#include "macro.h"
#include "resolver.h"

/* One try and its repetition with twice the time: 4.5 s in all, so that a silent name server
 * is told as such before the 5 s that a source gets by default have passed. */
#define TIMEOUT_MS 1500
#define TRIES      2

typedef struct CaresResolver {
        Resolver resolver;
        Io *io;
        ares_channel channel;
        IoTimer timer;
        List watches;            /* of c-ares' open sockets */
        struct Watch *processed; /* that one c-ares is working on now */
        size_t n_lookups;        /* not ended, not cancelled */
        bool library;
} CaresResolver;

/* One socket of c-ares. It outlives the socket, and even the resolver, until its poll has ended. */
typedef struct Watch {
        IoOp op;
        List node;
        CaresResolver *resolver; /* NULL once the socket is closed */
        Io *io;
        ares_socket_t socket;
        int fd; /* our duplicate of it */
        short wanted;
        short armed; /* the events of the poll in flight */
} Watch;

typedef struct Request {
        IoTask task;
        CaresResolver *resolver;
        ResolverLookup *lookup; /* NULL: cancelled */
        uint16_t port;
        bool answered;
        const char *error;
        size_t n;
        Address addresses[RESOLVER_MAX_ADDRESSES];
} Request;

static CaresResolver *cares_of(Resolver *resolver) {
        return CONTAINER_OF(resolver, CaresResolver, resolver);
}

/* ---- sockets ---- */

static void watch_ready(IoOp *op, const IoResult *result);

static Watch *watch_new(CaresResolver *r, ares_socket_t socket) {
        CLEANUP_FREE Watch *watch = calloc(1, sizeof(*watch));
        if (!watch)
                return NULL;
        int fd = fcntl(socket, F_DUPFD_CLOEXEC, 3);
        if (fd < 0 || io_adopt(r->io, fd) < 0)
                return NULL;

        *watch = (Watch){
                .op.done = watch_ready,
                .resolver = r,
                .io = r->io,
                .socket = socket,
                .fd = fd,
        };
        list_append(&r->watches, &watch->node);
        return TAKE_PTR(watch);
}

static Watch *watch_find(CaresResolver *r, ares_socket_t socket) {
        LIST_FOREACH(node, &r->watches) {
                Watch *watch = LIST_ENTRY(node, Watch, node);
                if (watch->socket == socket)
                        return watch;
        }
        return NULL;
}

/* No poll is in flight: starts the next one or ends the watch. A poll that cannot be had is
 * not tried again: the lookup ends by its time limit. */
static void watch_settle(Watch *watch) {
        if (watch->resolver) {
                watch->armed = watch->wanted;
                (void) io_poll(watch->io, &watch->op, watch->fd, watch->wanted, 0);
                return;
        }
        io_close(watch->io, watch->fd);
        free(watch);
}

static void on_socket_state(void *data, ares_socket_t socket, int readable, int writable) {
        CaresResolver *r = data;
        short wanted = (short) ((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
        Watch *watch = watch_find(r, socket);

        if (!watch && wanted != 0)
                watch = watch_new(r, socket);
        if (!watch)
                return;
        watch->wanted = wanted;
        if (wanted == 0) {
                list_remove(&watch->node);
                watch->resolver = NULL;
        }
        if (!io_op_in_flight(&watch->op) && watch != r->processed)
                watch_settle(watch);
        else if (io_op_in_flight(&watch->op) && (wanted == 0 || (wanted & ~watch->armed) != 0))
                io_cancel(watch->io, watch->fd);
}

static void set_timer(CaresResolver *r) {
        struct timeval limit, *left = ares_timeout(r->channel, NULL, &limit);

        if (!left) {
                io_timer_cancel(r->io, &r->timer);
                return;
        }
        /* c-ares has a clock of its own: a millisecond more, so as not to come too early */
        uint64_t wait = (uint64_t) left->tv_sec * NSEC_PER_SEC +
                        (uint64_t) left->tv_usec * NSEC_PER_USEC + NSEC_PER_MSEC;
        (void) io_timer_set(r->io, &r->timer, time_add(io_now(r->io), wait));
}

static void watch_ready(IoOp *op, const IoResult *result) {
        Watch *watch = CONTAINER_OF(op, Watch, op);
        CaresResolver *r = watch->resolver;

        if (r && result->value > 0) {
                /* an error or a hang-up is found by reading, or by writing while only that is
                 * wanted */
                bool broken = (result->value & ~(POLLIN | POLLOUT)) != 0;
                bool in = (result->value & POLLIN) != 0 || (broken && watch->wanted != POLLOUT);
                bool out = (result->value & POLLOUT) != 0 || (broken && !in);
                r->processed = watch;
                ares_process_fd(r->channel, in ? watch->socket : ARES_SOCKET_BAD,
                                out ? watch->socket : ARES_SOCKET_BAD);
                r->processed = NULL;
                set_timer(r);
        }
        watch_settle(watch);
}

static void on_timer(IoTimer *timer) {
        CaresResolver *r = CONTAINER_OF(timer, CaresResolver, timer);

        ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
        set_timer(r);
}

/* ---- lookups ---- */

static const char *ares_text(int status) {
        switch (status) {
        case ARES_ENOTFOUND:
                return "no such host";
        case ARES_ENODATA:
                return "the host has no address";
        case ARES_EBADNAME:
                return "this is no host name";
        case ARES_ETIMEOUT:
                return "the name server did not answer";
        case ARES_ENOMEM:
                return "out of memory";
        default: /* SERVFAIL, REFUSED; older versions say ECONNREFUSED for them */
                return "the name server failed";
        }
}

static bool take_address(Request *request, const struct ares_addrinfo_node *node) {
        Address *address = &request->addresses[request->n];

        if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
                return false;
        assert(node->ai_addrlen <= sizeof(struct sockaddr_in6));
        *address = (Address){ .size = node->ai_addrlen };
        memcpy(&address->any, node->ai_addr, node->ai_addrlen);
        if (node->ai_family == AF_INET)
                address->v4.sin_port = htons(request->port);
        else
                address->v6.sin6_port = htons(request->port);
        return true;
}

static void on_answer(void *data, int status, int timeouts, struct ares_addrinfo *found) {
        Request *request = data;

        if (!request->lookup) {
                free(request);
        } else {
                const struct ares_addrinfo_node *node = found ? found->nodes : NULL;
                for (; node && request->n < RESOLVER_MAX_ADDRESSES; node = node->ai_next)
                        request->n += take_address(request, node);
                if (request->n == 0)
                        request->error = ares_text(status == ARES_SUCCESS ? ARES_ENODATA : status);
                request->answered = true;
                io_post(request->resolver->io, &request->task);
        }
        if (found)
                ares_freeaddrinfo(found);
}

static void deliver(IoTask *task) {
        CLEANUP_FREE Request *request = CONTAINER_OF(task, Request, task);
        ResolverLookup *lookup = request->lookup;

        lookup->private = NULL;
        request->resolver->n_lookups--;
        lookup->done(lookup, request->addresses, request->n, request->error);
}

/* RFC 6761, section 6.3: these names are the loopback, whatever hosts files and servers say. */
static bool is_localhost(const char *host) {
        static const char suffix[] = ".localhost";
        size_t n = strlen(host);

        return strcmp(host, suffix + 1) == 0 ||
                        (n >= sizeof(suffix) && strcmp(host + n + 1 - sizeof(suffix), suffix) == 0);
}

static void answer_localhost(Request *request) {
        request->addresses[0] = (Address){
                .v4 = { .sin_family = AF_INET,
                        .sin_port = htons(request->port),
                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK) },
                .size = sizeof(struct sockaddr_in),
        };
        request->addresses[1] = (Address){
                .v6 = { .sin6_family = AF_INET6,
                        .sin6_port = htons(request->port),
                        .sin6_addr = IN6ADDR_LOOPBACK_INIT },
                .size = sizeof(struct sockaddr_in6),
        };
        request->n = 2;
        request->answered = true;
        io_post(request->resolver->io, &request->task);
}

static int cares_lookup(Resolver *resolver, ResolverLookup *lookup, const char *host, uint16_t port) {
        static const struct ares_addrinfo_hints hints = {
                .ai_family = AF_UNSPEC,
                .ai_socktype = SOCK_STREAM,
        };
        CaresResolver *r = cares_of(resolver);

        Request *request = calloc(1, sizeof(*request));
        if (!request)
                return -ENOMEM;
        request->resolver = r;
        request->lookup = lookup;
        request->port = port;
        request->task.run = deliver;
        list_init(&request->task.node);
        lookup->private = request;
        r->n_lookups++;

        if (is_localhost(host)) {
                answer_localhost(request);
                return 0;
        }
        ares_getaddrinfo(r->channel, host, NULL, &hints, on_answer, request);
        set_timer(r);
        return 0;
}

static void cares_cancel(Resolver *resolver, ResolverLookup *lookup) {
        Request *request = lookup->private;

        if (!request)
                return;
        lookup->private = NULL;
        request->lookup = NULL;
        cares_of(resolver)->n_lookups--;
        if (!request->answered)
                return; /* on_answer() frees it */
        io_unpost(&request->task);
        free(request);
}

/* ---- the resolver ---- */

static Resolver *cares_free(Resolver *resolver) {
        CaresResolver *r = cares_of(resolver);

        assert(r->n_lookups == 0);
        if (r->channel)
                ares_destroy(r->channel); /* closes its sockets, which ends the watches */
        if (r->library)
                ares_library_cleanup();
        assert(list_empty(&r->watches));
        io_timer_cancel(r->io, &r->timer);
        free(r);
        return NULL;
}

static int status_errno(int status) {
        return status == ARES_SUCCESS ? 0 : status == ARES_ENOMEM ? -ENOMEM : -EINVAL;
}

static int cares_init(CaresResolver *r, const ResolverOptions *options) {
        static char lookups[] = "fb"; /* /etc/hosts, then name servers */
        struct ares_options ares = {
                .timeout = (int) (options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS),
                .tries = (int) (options->tries > 0 ? options->tries : TRIES),
                .lookups = lookups,
                .sock_state_cb = on_socket_state,
                .sock_state_cb_data = r,
        };

        int status = ares_library_init(ARES_LIB_INIT_ALL);
        if (status != ARES_SUCCESS)
                return status_errno(status);
        r->library = true;
        status = ares_init_options(
                        &r->channel, &ares,
                        ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
                                        ARES_OPT_SOCK_STATE_CB);
        if (status == ARES_SUCCESS && options->servers)
                status = ares_set_servers_ports_csv(r->channel, options->servers);
        return status_errno(status);
}

int resolver_new_with(Resolver **ret, Io *io, const ResolverOptions *options) {
        CaresResolver *r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->resolver = (Resolver){ cares_lookup, cares_cancel, cares_free };
        r->io = io;
        r->timer.fire = on_timer;
        list_init(&r->watches);

        int error = cares_init(r, options ? options : &(ResolverOptions){ 0 });
        if (error < 0) {
                (void) cares_free(&r->resolver);
                return error;
        }
        *ret = &r->resolver;
        return 0;
}

int resolver_new(Resolver **ret, Io *io) {
        return resolver_new_with(ret, io, NULL);
}
