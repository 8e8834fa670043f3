/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control-fixture.h"

/* ---- the double of the query engine ---- */

static void query_end(Query *query) {
        list_remove(&query->node);
        io_unpost(&query->task);
        query->engine->open--;
        free(query);
}

void query_finish(Query *query) {
        Buffer json = {};

        (void) buffer_append_string(&json, "{\"answer\":\"");
        for (size_t i = 0; i < query->size; i++)
                (void) buffer_append_char(&json, 'x');
        (void) buffer_append_string(&json, "\"}");
        assert_int_equal(json.error, 0);

        QueryCallbacks callbacks = query->callbacks;
        callbacks.done(query, json.data, json.size, callbacks.userdata);
        query_end(query);
        buffer_deinit(&json);
}

static void query_run(IoTask *task) {
        Query *query = CONTAINER_OF(task, Query, task);
        char event[KIB];
        QueryEngine *engine = query->engine;

        memset(event, ' ', sizeof(event));
        event[0] = '{';
        event[sizeof(event) - 1] = '}';
        for (unsigned before = engine->cancelled; query->events > 0; query->events--) {
                query->callbacks.event(query, event, sizeof(event), query->callbacks.userdata);
                if (engine->cancelled > before)
                        return;
        }
        if (!query->held)
                query_finish(query);
}

QueryRefusal
query_start(QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
            Query **ret, QueryRefused *ret_refused) {
        char question[64] = {};

        *ret_refused = engine->refused;
        if (engine->refusal != QUERY_ACCEPTED)
                return engine->refusal;

        Query *query = calloc(1, sizeof(*query));
        assert_non_null(query);
        *query = (Query){ .engine = engine, .callbacks = *callbacks, .task.run = query_run };
        memcpy(question, request->question, MIN(request->question_size, sizeof(question) - 1));
        query->held = strncmp(question, "hold", 4) == 0;
        (void) sscanf(question, "size %zu", &query->size);
        if (request->want_events)
                (void) sscanf(question, "events %zu", &query->events);
        list_append(&engine->queries, &query->node);
        list_init(&query->task.node);
        io_post(engine->io, &query->task);
        engine->open++;
        engine->started++;
        *ret = query;
        return QUERY_ACCEPTED;
}

void query_cancel(Query *query) {
        query->engine->cancelled++;
        query_end(query);
}

QueryRefusal
query_explain(QueryEngine *engine, const QueryRequest *request, char **ret_json, size_t *ret_size,
              QueryRefused *ret_refused) {
        *ret_refused = engine->refused;
        if (engine->refusal != QUERY_ACCEPTED)
                return engine->refusal;
        *ret_json = strdup("{\"sources\":[]}");
        assert_non_null(*ret_json);
        *ret_size = strlen(*ret_json);
        return QUERY_ACCEPTED;
}

/* ---- the server under test ---- */

Fixture f;

static int backend_status(void *userdata, Buffer *out) {
        return f.backend_error < 0 ? f.backend_error :
                                     buffer_append_string(out, "{\"version\":\"1\"}");
}

static int backend_sources(void *userdata, Buffer *out) {
        return f.backend_error < 0 ? f.backend_error : buffer_append_string(out, "{\"sources\":[]}");
}

static int backend_source(void *userdata, const char *name, Buffer *out) {
        if (strcmp(name, "weather") != 0)
                return -ENOENT;
        return buffer_append_string(out, "{\"name\":\"weather\"}");
}

static int backend_breaker(void *userdata, const char *source, const char *state) {
        if (strcmp(source, "weather") != 0)
                return -ENOENT;
        (void) snprintf(f.breaker, sizeof(f.breaker), "%s", state);
        return 0;
}

static size_t backend_flush(void *userdata) {
        return 7;
}

static void tick_fired(IoTimer *timer) {
}

void turn(void) {
        assert_int_equal(io_timer_set(f.io, &f.tick, io_now(f.io) + NSEC_PER_MSEC), 0);
        assert_true(io_turn(f.io) >= 0);
        io_timer_cancel(f.io, &f.tick);
}

void turn_for(uint64_t ms) {
        uint64_t end = io_now(f.io) + ms * NSEC_PER_MSEC;

        while (io_now(f.io) < end)
                turn();
}

void on_drained(void *userdata) {
        assert_ptr_equal(userdata, &f);
        f.drained = true;
}

void on_closed(void *userdata) {
        assert_ptr_equal(userdata, &f);
        f.server = control_free(f.server);
        f.closed = true;
}

void start(const ControlLimits *limits) {
        static unsigned n_started; /* a test that failed leaves its socket behind */
        const char *message = NULL;
        const ControlBackend backend = {
                .queries = &f.engine,
                .status = backend_status,
                .list_sources = backend_sources,
                .describe_source = backend_source,
                .set_breaker = backend_breaker,
                .flush_cache = backend_flush,
        };

        f = (Fixture){ .tick.fire = tick_fired };
        if (io_new_uring(&f.io, 256, &message) < 0)
                fail_msg("%s", message);
        f.engine.io = f.io;
        list_init(&f.engine.queries);
        (void) snprintf(f.path, sizeof(f.path), "/tmp/muster-test-control-%d-%u", (int) getpid(),
                        ++n_started);
        int fd = io_listen_unix(f.io, f.path, 0600);
        assert_true(fd >= 0);
        assert_int_equal(control_new(&f.server, f.io, fd, &backend, limits), 0);
}

void stop(void) {
        if (f.server) {
                control_close(f.server, on_closed, &f);
                assert_false(f.closed);
                turn_until(f.closed);
        }
        assert_int_equal(f.engine.open, 0);
        assert_int_equal(io_in_flight(f.io), 0);
        assert_int_equal(io_open_descriptors(f.io), 0);
        assert_int_equal(unlink(f.path), 0);
        f.io = io_free(f.io);
}

/* ---- clients ---- */

int client_socket(void) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        return fd;
}

void client_connect(int fd) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", f.path);
        turn_until(connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0);
}

Client client(void) {
        Client c = { .fd = client_socket() };

        client_connect(c.fd);
        return c;
}

void client_leave(Client *c) {
        assert_int_equal(close(c->fd), 0);
        buffer_deinit(&c->in);
}

size_t client_send(Client *c, const void *data, size_t size) {
        size_t sent = 0;

        while (sent < size) {
                ssize_t n = send(c->fd, (const char *) data + sent, size - sent, MSG_NOSIGNAL);
                if (n < 0 && errno != EAGAIN)
                        break;
                if (n < 0)
                        turn();
                else
                        sent += (size_t) n;
        }
        return sent;
}

void say(Client *c, const char *text) {
        assert_int_equal(client_send(c, text, strlen(text) + 1), strlen(text) + 1);
}

void say_method(Client *c, const char *method) {
        char text[256];

        (void) snprintf(text, sizeof(text), "{\"method\":\"%s\"}", method);
        say(c, text);
}

void ask(Client *c, const char *question, const char *flags) {
        char text[256];

        (void) snprintf(text, sizeof(text),
                        "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"%s\"}%s}",
                        question, flags);
        say(c, text);
}

bool client_read(Client *c) {
        char chunk[64 * KIB];
        ssize_t n = recv(c->fd, chunk, sizeof(chunk), 0);

        if (n > 0)
                assert_int_equal(buffer_append(&c->in, chunk, (size_t) n), 0);
        return n > 0 || (n < 0 && errno == EAGAIN);
}

char *hear(Client *c) {
        uint64_t end_of_patience = io_now(f.io) + PATIENCE;

        while (io_now(f.io) < end_of_patience) {
                const char *end = c->in.size > 0 ? memchr(c->in.data, '\0', c->in.size) : NULL;
                if (end) {
                        char *message = strdup(c->in.data);
                        buffer_consume(&c->in, (size_t) (end - c->in.data) + 1);
                        assert_non_null(message);
                        return message;
                }
                if (!client_read(c)) {
                        assert_int_equal(c->in.size, 0); /* a message is sent whole or not at all */
                        return NULL;
                }
                turn();
        }
        fail_msg("the server neither replies nor closes");
        return NULL;
}

void expect(Client *c, const char *text) {
        char *message = hear(c);

        assert_non_null(message);
        assert_string_equal(message, text);
        free(message);
}

void expect_part(Client *c, const char *part) {
        char *message = hear(c);

        assert_non_null(message);
        if (!strstr(message, part))
                fail_msg("%s is not in %s", part, message);
        free(message);
}

void expect_end(Client *c) {
        assert_null(hear(c));
}

void expect_undisturbed(void) {
        Client c = client();

        say_method(&c, "io.muster.GetStatus");
        expect(&c, "{\"parameters\":{\"version\":\"1\"}}");
        client_leave(&c);
}
