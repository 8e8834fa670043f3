/* SPDX-License-Identifier: Apache-2.0 */

/* A response is written in whole first; the behaviour then decides how much of it is sent, in which
 * pieces, and what becomes of the connection. It names the source and the query that it was asked
 * by, so that an answer which got to the wrong place is found out (answer-check.c).
 *
 * A peer is gone when it has closed, but calls for later may still be on their way to it: so its
 * connection stays in memory until the run is over. */

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "buffer.h"
#include "clock.h"
#include "list.h"
#include "network.h"
#include "report.h"

#define NEVER_WITHIN (4 * NSEC_PER_SEC) /* a kept connection is closed after that at the latest */

struct Network {
        World *world;
        List connections;
};

typedef struct ServerConnection {
        List node;
        Network *network;
        SimPeer *peer; /* NULL: closed */
        Buffer input;
        bool answered;       /* the first request in `input`, although it is not complete */
        bool stopped;        /* hears nothing more */
        uint64_t busy_until; /* when the last response has left */
} ServerConnection;

/* What a response is made of. */
typedef struct Request {
        const SourceScript *script;
        Behaviour behaviour; /* this time */
        char token[TOKEN_SIZE];
        uint64_t stamp; /* when it came, ns since the beginning */
} Request;

/* ---- writing a response ---- */

/* Every sentence says whose it is. */
static void write_words(Chance *chance, const Request *request, Buffer *out) {
        static const char *const words[] = {
                "rain",  "wind",         "market", "river", "the",      "a",     "is",    "was",
                "north", "\xc3\xa4rger", "of",     "and",   "reported", "today", "again", "slowly",
        };

        while (out->size < request->script->body_size) {
                (void) buffer_printf(out, "To %s %s says ", request->token, request->script->name);
                for (uint64_t n = chance_between(chance, 3, 12); n > 0; n--)
                        (void) buffer_printf(
                                        out, "%s ", words[chance_below(chance, ELEMENTSOF(words))]);
                (void) buffer_append_string(out, "ends. ");
        }
}

static void write_json_body(Chance *chance, const Request *request, Buffer *out) {
        const SourceScript *script = request->script;
        bool lacking = request->behaviour == BEHAVIOUR_REFUSED;

        (void) buffer_printf(
                        out,
                        "{\"%s\":{\"source\":\"%s\",\"token\":\"%s\",\"stamp\":\"T%lu\",\"text\":\"",
                        lacking ? "other" : "data", script->name, request->token, request->stamp);
        write_words(chance, request, out);
        (void) buffer_append_string(out, request->behaviour == BEHAVIOUR_BROKEN_JSON ? "\"" : "\"}}");
}

static void write_body(Chance *chance, const Request *request, Buffer *out) {
        const SourceScript *script = request->script;
        bool html = script->format == FORMAT_HTML, poison = request->behaviour == BEHAVIOUR_POISON;

        if (request->behaviour == BEHAVIOUR_NOTHING)
                return;
        if (script->format == FORMAT_JSON) {
                write_json_body(chance, request, out);
                return;
        }
        (void) buffer_printf(
                        out, "%sThe source %s was asked %s at T%lu and answers%s.\n",
                        html ? "<html><title>T</title><body><p>" : "", script->name, request->token,
                        request->stamp, poison ? " with " POISON : "");
        write_words(chance, request, out);
        if (html)
                (void) buffer_append_string(out, "</p></body></html>");
}

static void write_status(Chance *chance, const Request *request, Buffer *out) {
        static const int others[] = { 301, 304, 400, 404, 500, 503 };
        int status = 200;

        if (request->behaviour == BEHAVIOUR_STATUS)
                status = request->script->status ? request->script->status :
                                                   others[chance_below(chance, ELEMENTSOF(others))];
        else if (request->behaviour == BEHAVIOUR_TOO_MANY)
                status = 429;
        else if (request->behaviour == BEHAVIOUR_NO_CONTENT)
                status = 204;
        else if (request->behaviour == BEHAVIOUR_INTERIM)
                (void) buffer_append_string(
                                out,
                                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
                                "Link: </a>\r\n\r\n");
        (void) buffer_printf(out, "HTTP/1.1 %d Some words\r\nServer: scripted\r\n", status);
        if ((status == 429 || status == 503) && request->script->retry_after_s > 0)
                (void) buffer_printf(out, "Retry-After: %u\r\n", request->script->retry_after_s);
        if (request->script->cache_control)
                (void) buffer_printf(out, "Cache-Control: %s\r\n", request->script->cache_control);
        if (status == 204 || status == 304)
                (void) buffer_append_string(out, "\r\n");
}

static void write_chunks(Chance *chance, const Buffer *body, Buffer *out) {
        for (size_t at = 0; at < body->size;) {
                size_t n = 1 + chance_below(chance, body->size - at);

                (void) buffer_printf(out, "%zx%s\r\n", n, chance_percent(chance, 20) ? ";x=y" : "");
                (void) buffer_append(out, body->data + at, n);
                (void) buffer_append_string(out, "\r\n");
                at += n;
        }
        (void) buffer_append_string(out, "0\r\n");
        if (chance_percent(chance, 30))
                (void) buffer_append_string(out, "Trailer: value\r\n");
        (void) buffer_append_string(out, "\r\n");
}

static void write_framed(Chance *chance, const Request *request, const Buffer *body, Buffer *out) {
        static const char *const types[] = {
                [FORMAT_JSON] = "application/json",
                [FORMAT_TEXT] = "text/plain; charset=utf-8",
                [FORMAT_HTML] = "text/html; charset=utf-8",
        };
        const SourceScript *script = request->script;

        (void) buffer_printf(out, "Content-Type: %s\r\n", types[script->format]);
        if (request->behaviour == BEHAVIOUR_CODING)
                (void) buffer_append_string(out, "Content-Encoding: br\r\n");
        if (script->framing == FRAMING_CHUNKED) {
                (void) buffer_append_string(out, "Transfer-Encoding: chunked\r\n\r\n");
                write_chunks(chance, body, out);
                return;
        }
        if (script->framing == FRAMING_LENGTH)
                (void) buffer_printf(out, "Content-Length: %zu\r\n\r\n", body->size);
        else
                (void) buffer_append_string(out, "Connection: close\r\n\r\n");
        (void) buffer_append(out, body->data, body->size);
}

/* Ends behind the head when the status allows no body. */
static void write_response(Chance *chance, const Request *request, Buffer *out) {
        Buffer body = {};

        write_status(chance, request, out);
        if (out->size < 4 || memcmp(out->data + out->size - 4, "\r\n\r\n", 4) != 0) {
                write_body(chance, request, &body);
                if (request->behaviour == BEHAVIOUR_TOO_LARGE)
                        while (body.size < 40000)
                                (void) buffer_append_string(&body, "more and more ");
                write_framed(chance, request, &body, out);
        }
        buffer_deinit(&body);
        assert(out->error == 0);
}

/* ---- sending it ---- */

/* After the response `size` bytes long, sent from `delay` on, at that speed. Returns when the last
 * piece leaves. */
static uint64_t
send_response(ServerConnection *c, const Request *request, const char *data, size_t size,
              uint64_t delay) {
        Chance *chance = &c->network->world->chance;

        if (request->behaviour != BEHAVIOUR_DRIPS) {
                sim_peer_send(c->peer, data, size, delay);
                return delay;
        }
        for (size_t at = 0; at < size;) {
                size_t n = MIN(size - at, 1 + size / 8 + chance_below(chance, 100));

                sim_peer_send(c->peer, data + at, n, delay);
                at += n;
                delay += chance_scale(chance, 100 * NSEC_PER_MSEC);
        }
        return delay;
}

static void close_later(Io *io, void *userdata) {
        ServerConnection *c = userdata;

        if (c->peer && !c->stopped && io_now(io) >= c->busy_until)
                sim_peer_close(c->peer, 0);
}

static void send_garbage(ServerConnection *c, uint64_t delay) {
        Chance *chance = &c->network->world->chance;
        char bytes[64];
        size_t size = chance_between(chance, 1, sizeof(bytes));

        for (size_t i = 0; i < size; i++)
                bytes[i] = (char) chance_next(chance);
        bytes[0] = '\x01';
        sim_peer_send(c->peer, bytes, size, delay);
        sim_peer_close(c->peer, delay);
}

/* What it does instead of sending all of the response. False: it sends it. */
static bool
misbehave(ServerConnection *c, const Request *request, const Buffer *response, uint64_t delay) {
        size_t part = chance_below(&c->network->world->chance, response->size);

        switch ((int) request->behaviour) {
        case BEHAVIOUR_NEVER:
                return true;
        case BEHAVIOUR_GARBAGE:
                send_garbage(c, delay);
                return true;
        case BEHAVIOUR_STOPS:
                sim_peer_send(c->peer, response->data, part, delay);
                return true;
        case BEHAVIOUR_CUT:
                sim_peer_send(c->peer, response->data, part, delay);
                sim_peer_close(c->peer, delay);
                return true;
        case BEHAVIOUR_RESET:
                sim_peer_send(c->peer, response->data, part, delay);
                sim_peer_reset(c->peer, delay);
                return true;
        default:
                return false;
        }
}

/* What happens to the connection behind the whole response. */
static void follow_up(ServerConnection *c, const Request *request, uint64_t delay) {
        World *world = c->network->world;

        c->busy_until = io_now(world->io) + delay;
        if (request->behaviour == BEHAVIOUR_EXTRA)
                sim_peer_send(c->peer, "\x02\x03 more", 7,
                              delay + chance_scale(&world->chance, NSEC_PER_MSEC));
        if (request->script->framing == FRAMING_CLOSE) {
                sim_peer_close(c->peer, delay);
                c->stopped = true;
        } else if (request->behaviour == BEHAVIOUR_CLOSES_KEPT)
                sim_at(world->io, c->busy_until + chance_scale(&world->chance, NEVER_WITHIN),
                       close_later, c);
}

static void respond(ServerConnection *c, Request *request) {
        World *world = c->network->world;
        const SourceScript *script = request->script;
        uint64_t delay = script->exact ? script->think_ns :
                                         chance_scale(&world->chance, script->think_ns);
        bool well = script->well_percent > 0 && chance_percent(&world->chance, script->well_percent);
        Buffer response = {};

        request->behaviour = well ? BEHAVIOUR_ANSWERS : script->behaviour;
        request->stamp = io_now(world->io) - world->start;
        write_response(&world->chance, request, &response);
        c->stopped = misbehave(c, request, &response, delay);
        if (!c->stopped)
                follow_up(c, request, send_response(c, request, response.data, response.size, delay));
        buffer_deinit(&response);
}

/* ---- reading requests ---- */

/* Bytes of the first request, or 0: not complete. */
static size_t request_size(const Buffer *input) {
        const char *end = memmem(input->data, input->size, "\r\n\r\n", 4);
        if (!end)
                return 0;

        size_t head = (size_t) (end + 4 - input->data), body = 0;
        const char *length = memmem(input->data, head, "Content-Length: ", 16);
        for (const char *digit = length ? length + 16 : end; *digit >= '0' && *digit <= '9'; digit++)
                body = 10 * body + (size_t) (*digit - '0');
        return head + body <= input->size ? head + body : 0;
}

static void request_read(const World *world, const char *data, size_t size, Request *ret) {
        const char *path = memmem(data, size, " /", 2);
        const char *token = memmem(data, size, "Q0", 2);

        DEMAND(path && token && size - (size_t) (token - data) >= TOKEN_SIZE - 1,
               "a server got a request without a source or a question: %.*s", (int) size, data);
        ret->script = scenario_source(&world->scenario, path + 2, strcspn(path + 2, "?"));
        DEMAND(ret->script, "a server got a request for no source: %.*s", (int) size, data);
        memcpy(ret->token, token, TOKEN_SIZE - 1);
}

/* A source that is rash answers as soon as it knows what it is asked. */
static void answer_early(ServerConnection *c) {
        const char *end = memmem(c->input.data, c->input.size, "\r\n", 2);
        Request request = {};

        if (c->answered || !end || memcmp(c->input.data, "GET ", 4) != 0)
                return;
        request_read(c->network->world, c->input.data, (size_t) (end - c->input.data), &request);
        c->answered = request.script->behaviour == BEHAVIOUR_EARLY;
        if (c->answered)
                respond(c, &request);
}

static void answer_complete(ServerConnection *c, size_t size) {
        Request request = {};

        request_read(c->network->world, c->input.data, size, &request);
        buffer_consume(&c->input, size);
        if (!c->answered)
                respond(c, &request);
        c->answered = false;
}

static void on_data(SimPeer *peer, const void *data, size_t size) {
        ServerConnection *c = sim_peer_userdata(peer);
        size_t n;

        if (c->stopped)
                return;
        (void) buffer_append(&c->input, data, size);
        assert(c->input.error == 0);
        while (!c->stopped && (n = request_size(&c->input)) > 0)
                answer_complete(c, n);
        if (!c->stopped && c->input.size > 0)
                answer_early(c);
}

/* ---- the servers ---- */

static void on_connect(SimPeer *peer) {
        Network *network = sim_peer_userdata(peer);
        ServerConnection *c = calloc(1, sizeof(*c));

        assert(c);
        c->network = network;
        c->peer = peer;
        list_append(&network->connections, &c->node);
        sim_peer_set_userdata(peer, c);
}

static void on_close(SimPeer *peer, int error) {
        ServerConnection *c = sim_peer_userdata(peer);

        c->peer = NULL;
        c->stopped = true;
}

static const SimServerOps server_ops = {
        .on_connect = on_connect,
        .on_data = on_data,
        .on_close = on_close,
};

Address network_address(unsigned server, uint16_t port, bool v6) {
        Address address = {};
        char text[32];

        if (v6) {
                (void) snprintf(text, sizeof(text), "fd00::%u", server);
                address.v6.sin6_family = AF_INET6;
                address.v6.sin6_port = htons(port);
                (void) inet_pton(AF_INET6, text, &address.v6.sin6_addr);
                address.size = sizeof(address.v6);
        } else {
                (void) snprintf(text, sizeof(text), "10.0.%u.1", server);
                address.v4.sin_family = AF_INET;
                address.v4.sin_port = htons(port);
                (void) inet_pton(AF_INET, text, &address.v4.sin_addr);
                address.size = sizeof(address.v4);
        }
        return address;
}

static void listen_at(Network *network, unsigned server) {
        struct sockaddr_un local = { .sun_family = AF_UNIX };
        Io *io = network->world->io;

        for (unsigned v6 = 0; v6 < 2; v6++) {
                Address address = network_address(server, (uint16_t) (8000 + server), v6 == 1);
                sim_listen(io, &address.any, address.size, &server_ops, network);
        }
        (void) snprintf(local.sun_path, sizeof(local.sun_path), "/run/s%u.sock", server);
        sim_listen(io, (const struct sockaddr *) &local, sizeof(local), &server_ops, network);
}

Network *network_new(World *world) {
        Network *network = calloc(1, sizeof(*network));

        assert(network);
        network->world = world;
        list_init(&network->connections);
        for (unsigned i = 0; i < world->scenario.n_servers; i++)
                listen_at(network, i);
        return network;
}

Network *network_free(Network *network) {
        LIST_FOREACH_SAFE(node, &network->connections) {
                ServerConnection *c = LIST_ENTRY(node, ServerConnection, node);

                buffer_deinit(&c->input);
                free(c);
        }
        free(network);
        return NULL;
}
