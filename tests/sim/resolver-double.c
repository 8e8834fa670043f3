/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "network.h"
#include "report.h"
#include "resolver-double.h"

#define DELAY_MAX (50 * NSEC_PER_MSEC)

typedef struct ResolverDouble {
        Resolver resolver;
        World *world;
        size_t open; /* lookups */
} ResolverDouble;

typedef struct Lookup {
        ResolverDouble *resolver;
        ResolverLookup *lookup;
        IoTimer timer;
        const char *error; /* what it will be told; NULL: the addresses */
        Address addresses[2];
        size_t n;
} Lookup;

static void lookup_free(Lookup *lookup) {
        lookup->resolver->open--;
        io_timer_cancel(lookup->resolver->world->io, &lookup->timer);
        free(lookup);
}

static void lookup_answer(IoTimer *timer) {
        Lookup *lookup = CONTAINER_OF(timer, Lookup, timer);

        lookup->lookup->done(lookup->lookup, lookup->addresses, lookup->n, lookup->error);
        lookup_free(lookup);
}

static void find_addresses(Lookup *lookup, unsigned server, uint16_t port) {
        World *world = lookup->resolver->world;
        bool v6 = chance_percent(&world->chance, 30);

        if (chance_percent(&world->chance, 30)) /* nobody is there */
                lookup->addresses[lookup->n++] = network_address(255, port, !v6);
        lookup->addresses[lookup->n++] = network_address(server, port, v6);
}

static int double_lookup(Resolver *resolver, ResolverLookup *which, const char *host, uint16_t port) {
        ResolverDouble *self = CONTAINER_OF(resolver, ResolverDouble, resolver);
        uint64_t delay = chance_scale(&self->world->chance, DELAY_MAX);
        Lookup *lookup = calloc(1, sizeof(*lookup));
        unsigned server = 0;

        if (!lookup)
                return -ENOMEM;
        *lookup = (Lookup){ .resolver = self, .lookup = which, .timer.fire = lookup_answer };
        which->private = lookup;
        self->open++;
        if (sscanf(host, "h%u.test", &server) == 1)
                find_addresses(lookup, server, port);
        else
                lookup->error = "no such host";
        if (strcmp(host, "never.test") == 0)
                return 0;
        return io_timer_set(self->world->io, &lookup->timer, time_add(io_now(self->world->io), delay));
}

static void double_cancel(Resolver *resolver, ResolverLookup *lookup) {
        lookup_free(lookup->private);
}

static Resolver *double_free(Resolver *resolver) {
        ResolverDouble *self = CONTAINER_OF(resolver, ResolverDouble, resolver);

        DEMAND(self->open == 0, "%zu lookups are left when the resolver is freed", self->open);
        free(self);
        return NULL;
}

Resolver *resolver_double_new(World *world) {
        ResolverDouble *self = calloc(1, sizeof(*self));

        assert(self);
        *self = (ResolverDouble){
                .resolver = { double_lookup, double_cancel, double_free },
                .world = world,
        };
        return &self->resolver;
}
