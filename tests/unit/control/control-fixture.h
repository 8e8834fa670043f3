/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The control server on the real loop, and clients of it. Both ends live in one thread: clients
 * never block, and whoever waits for something turns the loop meanwhile. Queries are those of a
 * double, told by the question what to do. Whatever goes wrong here fails the test. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "clock.h"
#include "cmocka.h"
#include "io.h"
#include "list.h"
#include "macro.h"
#include "query.h"
#include "server.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

/* For what has to happen; the tests take none of it when all is well. */
#define PATIENCE (20 * NSEC_PER_SEC)

/* ---- the double of the query engine ---- */

struct QueryEngine {
        Io *io;
        List queries;
        unsigned open, started, cancelled;
        QueryRefusal refusal;
        QueryRefused refused;
};

struct Query {
        List node;
        QueryEngine *engine;
        QueryCallbacks callbacks;
        IoTask task;
        bool held;     /* "hold": ends by engine_finish() */
        size_t size;   /* "size N": of the answer */
        size_t events; /* "events N" of 1 KiB each, when they are wanted */
};

/* Answers it. */
void query_finish(Query *query);

/* ---- the server under test ---- */

typedef struct Fixture {
        Io *io;
        IoTimer tick;
        char path[64];
        QueryEngine engine;
        ControlServer *server;
        int backend_error;
        char breaker[16]; /* what it was set to last */
        bool drained, closed;
} Fixture;

extern Fixture f;

void start(const ControlLimits *limits);
void stop(void); /* also checks that nothing is left */

/* For control_drain() and control_close(), with &f. */
void on_drained(void *userdata);
void on_closed(void *userdata);

/* One turn that does not take longer than a millisecond or so. */
void turn(void);
void turn_for(uint64_t ms);

/* Turns until it is true, for a very long time. */
#define turn_until(condition)                                               \
        do {                                                                \
                uint64_t _end = io_now(f.io) + PATIENCE;                    \
                while (!(condition)) {                                      \
                        if (io_now(f.io) > _end)                            \
                                fail_msg("waited in vain: %s", #condition); \
                        turn();                                             \
                }                                                           \
        } while (false)

/* ---- clients ---- */

typedef struct Client {
        int fd;
        Buffer in;
} Client;

int client_socket(void);
void client_connect(int fd);
Client client(void);
void client_leave(Client *c);

/* Sends all of it, or as much as the server takes before it drops the client. */
size_t client_send(Client *c, const void *data, size_t size);
void say(Client *c, const char *text);
void say_method(Client *c, const char *method);
void ask(Client *c, const char *question, const char *flags); /* calls Query */

/* Reads what has come. False at the end of the stream. */
bool client_read(Client *c);
/* The next message, or NULL at the end of the stream; freed by the caller. */
char *hear(Client *c);
void expect(Client *c, const char *text);
void expect_part(Client *c, const char *part);
void expect_end(Client *c);

/* Another client is served as if nothing were. */
void expect_undisturbed(void);

#define ANSWER "{\"parameters\":{\"answer\":\"\"}}"
#define INVALID(name)                                                                               \
        "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"" name \
        "\"}}"
#define GET_INFO "{\"method\":\"org.varlink.service.GetInfo\"}"
#define PRODUCT  "\"product\":\"muster\""
