/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What sources need around them, in the simulator: a name server, web servers that follow a script,
 * an arena. After a test nothing may be left in flight, open, in line or in the arena. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "clock.h"
#include "fetch.h"
#include "io-sim.h"
#include "make-config.h"

#define WORLD_ARENA   (64u << 10)
#define WORLD_SERVERS 8u
#define WORLD_SCRIPT  16u

#define MSEC NSEC_PER_MSEC
#define SEC  NSEC_PER_SEC

/* What a server does about one request. */
typedef struct Reply {
        const char *text; /* NULL: says nothing */
        uint64_t delay;   /* before it does anything */
        enum {
                REPLY_STAYS,
                REPLY_CLOSES,
                REPLY_RESETS,
        } then;
} Reply;

/* servers[n] is http://10.0.0.n/ */
typedef struct Server {
        Reply script[WORLD_SCRIPT]; /* by the request; the last one is for all that follow */
        unsigned n_script;
        unsigned n_connects;
        unsigned n_requests;
        unsigned n_closed; /* connections that the program has closed */
        uint64_t asked[64];
} Server;

typedef struct World {
        Io *io;
        Net *net;
        Arena *arena;
        FetchContext context;
        Config *config;
        SourceTable *table;
        Server servers[WORLD_SERVERS];

        /* private */
        Resolver resolver;
        ResolverLookup *lookup;
        IoTask answer;
        bool closed;
} World;

extern World *world; /* of the test that runs */

int world_setup(void **state);
int world_teardown(void **state);
/* In the middle of a test: as if another one began. */
void world_anew(void);
void world_anew_with(const SimOptions *options);

/* Adds a source to the configuration. */
void world_add(const char *name, const char *const settings[]);
/* Makes the table of what has been added, and the gate for all with so many places. */
void world_open(uint64_t max_concurrent);
/* A world of one source, called "source"; instead of the one before. */
Source *world_only(const char *const settings[]);
Source *world_source(const char *name);

/* Nobody listens at any other port than 80 before. */
void world_listen(unsigned server, uint16_t port);
void world_says(unsigned server, const Reply replies[], size_t n);
#define SAYS(server, ...)                                    \
        world_says((server), (const Reply[]){ __VA_ARGS__ }, \
                   sizeof((const Reply[]){ __VA_ARGS__ }) / sizeof(Reply))

#define REPLY_OK        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define REPLY_STATUS(n) "HTTP/1.1 " #n " x\r\nContent-Length: 0\r\n\r\n"

void world_turn(void);
/* Until that time; what is due then has happened. */
void world_run_to(uint64_t when);
void world_run_for(uint64_t ns);
/* Until nothing can happen any more. */
void world_settle(void);
void world_close_net(void);

static inline uint64_t world_now(void) {
        return io_now(world->io);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
