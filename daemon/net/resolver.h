/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Host names to addresses, asynchronously. The real one is c-ares on the loop's descriptors
 * and timers; tests put a table of their own behind the same functions. Literal addresses
 * never come here. */

#include <netinet/in.h>
#include <sys/socket.h>

#include "io.h"

#define RESOLVER_MAX_ADDRESSES 8u

typedef struct Address {
        union {
                struct sockaddr any;
                struct sockaddr_in v4;
                struct sockaddr_in6 v6;
        };
        socklen_t size;
} Address;

typedef struct Resolver Resolver;
typedef struct ResolverLookup ResolverLookup;

struct ResolverLookup {
        /* Called once, from the loop; not after resolver_cancel(). On failure `error` is a
         * static text for people ("no such host", "the name server failed", "the name server
         * did not answer"), n is 0. */
        void (*done)(ResolverLookup *lookup, const Address *addresses, size_t n, const char *error);
        void *private; /* the resolver's */
};

struct Resolver {
        int (*lookup)(Resolver *resolver, ResolverLookup *lookup, const char *host, uint16_t port);
        void (*cancel)(Resolver *resolver, ResolverLookup *lookup);
        Resolver *(*free)(Resolver *resolver);
};

/* What tests set; all zero means the host's configuration and the daemon's limits. */
typedef struct ResolverOptions {
        const char *servers; /* "127.0.0.1:5353,[::1]:53" in place of those of resolv.conf */
        unsigned timeout_ms; /* of the first try */
        unsigned tries;
} ResolverOptions;

/* c-ares. `options` may be NULL. Negative errno. When it is freed, every lookup must have
 * ended or been cancelled; what it still waits for then ends through the loop: run that until
 * io_in_flight() is 0. */
int resolver_new(Resolver **ret, Io *io);
int resolver_new_with(Resolver **ret, Io *io, const ResolverOptions *options);

static inline int
resolver_lookup(Resolver *resolver, ResolverLookup *lookup, const char *host, uint16_t port) {
        return resolver->lookup(resolver, lookup, host, port);
}
static inline void resolver_cancel(Resolver *resolver, ResolverLookup *lookup) {
        resolver->cancel(resolver, lookup);
}
static inline Resolver *resolver_free(Resolver *resolver) {
        return resolver ? resolver->free(resolver) : NULL;
}
