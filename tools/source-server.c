/* SPDX-License-Identifier: Apache-2.0 */

/* A small HTTP/1.1 server that plays sources, for the quick start, tests and benchmarks: real
 * sockets, real HTTP, answers whose latency and misbehaviour the request itself asks for.
 *
 *     source-server [--listen=HOST:PORT]... [--unix=PATH]...
 *
 * Every listening address is printed, one a line, once it is served ("127.0.0.1:9001"); port 0
 * takes a free one. It is told what to do by path and query:
 *
 *     /weather /news /knowledge   documents with 2.0, 1.5 and 3.0 s of latency
 *     /bytes?n=1024               a JSON document of n bytes
 *     /text /html /empty          other types; 204
 *     /gzip?n=1024                the JSON document, compressed
 *     /chunked?n=1024&pieces=4    in chunks, with an extension and a trailer
 *     /close-delimited?n=1024     HTTP/1.0 style, ended by the close
 *     /status?code=503            an error
 *     /hang                       no answer at all
 *     /cut?at=20                  the connection is closed after so many bytes of the response
 *     /reset?at=20                the same, by a reset
 *     /garbage                    what is no HTTP
 *     /bad-json                   what claims to be JSON and is none
 *     /interim?hints=2            1xx responses first
 *     /echo                       the request itself as JSON:
 *                                 {"method":…,"target":…,"headers":…,"body":…}
 *     /count                      the requests so far, by path and without those for /count, for
 *                                 benchmarks that do not take the client's word for it:
 *                                 {"requests":3,"by_path":{"/bytes":2,"/text":1}}
 *
 * and everywhere:
 *
 *     delay=1.5s                  before the first byte
 *     spread=10ms                 added to that: a time of up to so much, all alike likely
 *     slow=0.03&slow-delay=5s     with that probability this delay instead of the other
 *     fail=0.5                    with that probability a status of 503 instead
 *     cache-control=max-age=5     headers of the response, as they stand
 *     retry-after=2
 *     close=1                     close after the response
 *
 * Chance comes from a generator with a fixed seed, so that one run can be compared with another.
 * One process, one thread, epoll; an idle server makes no system call. */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <zlib.h>

#include "buffer.h"
#include "cleanup.h"
#include "clock.h"
#include "fdutil.h"
#include "hash-map.h"
#include "heap.h"
#include "json-writer.h"
#include "macro.h"
#include "parse.h"

#define REQUEST_MAX (UINT32_C(1) << 20)
#define EVENTS      256

typedef struct Client {
        int fd;
        bool listener;
        Buffer in;
        Buffer out;
        size_t sent;
        size_t cut; /* stop after that many bytes of `out`; SIZE_MAX: never */
        bool reset; /* … by a reset */
        bool close_after;
        char headers[160]; /* that the request wants in the response */
        bool busy;         /* a request is being answered */
        HeapNode timer;
        uint64_t due;
} Client;

static int epoll_fd = -1;

/* ---- requests ---- */

typedef struct Request {
        const char *method;
        char *path;
        const char *query; /* "" when there is none */
        const char *headers;
        size_t headers_size;
        const char *body;
        size_t body_size;
} Request;

/* The value of NAME=value in a query, in `out`. */
static const char *query_value(const char *query, const char *name, char *out, size_t size) {
        size_t n = strlen(name);

        for (const char *at = query; *at; at += strcspn(at, "&"), at += *at == '&')
                if (strncmp(at, name, n) == 0 && at[n] == '=') {
                        (void) snprintf(out, size, "%.*s", (int) strcspn(at + n + 1, "&"),
                                        at + n + 1);
                        return out;
                }
        return NULL;
}

static uint64_t query_number(const char *query, const char *name, uint64_t fallback) {
        char text[32];
        uint64_t value = fallback;

        if (query_value(query, name, text, sizeof(text)))
                (void) parse_u64(text, &value);
        return value;
}

static uint64_t query_duration(const char *query, const char *name, uint64_t fallback) {
        char text[32];
        uint64_t value = fallback;

        if (query_value(query, name, text, sizeof(text)))
                (void) parse_duration(text, &value);
        return value;
}

/* ---- chance ---- */

/* A number from 0 to below `end`; 0 for an `end` of 0. SplitMix64 (S. Vigna, public domain). */
static uint64_t chance_below(uint64_t end) {
        static uint64_t state = 1;
        uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return end > 0 ? (z ^ (z >> 31)) % end : 0;
}

/* Whether it comes to what has the probability NAME=0.03. A number with decimals is read as one of
 * seconds, so a probability is a share of a second. */
static bool query_happens(const char *query, const char *name) {
        uint64_t share = query_duration(query, name, 0);

        return share > 0 && chance_below(NSEC_PER_SEC) < share;
}

static uint64_t query_delay(const char *query, uint64_t usual) {
        uint64_t delay = query_duration(query, "delay", usual);

        if (query_happens(query, "slow"))
                delay = query_duration(query, "slow-delay", delay);
        return time_add(delay, chance_below(query_duration(query, "spread", 0)));
}

/* ---- documents ---- */

static const char weather_json[] =
                "{\"title\":\"Weather in New York\",\"link\":\"http://weather.example/new-york\",\"city\":\"New York\","
                "\"report\":\"It is partly cloudy in New York now, with a temperature of 22 degrees Celsius. "
                "Humidity is 65 percent and a light wind blows from the south-west at 12 kilometres per hour. "
                "Rain is expected late in the evening. Tomorrow will be sunny and a little warmer, with 25 degrees.\"}";

static const char news_json[] =
                "{\"articles\":[{\"title\":\"Researchers present a faster language model\","
                "\"link\":\"http://news.example/model\",\"text\":\"Researchers presented a language model today that "
                "answers questions twice as fast as its predecessor. It runs on ordinary processors.\"},"
                "{\"title\":\"City opens a new park\",\"link\":\"http://news.example/park\",\"text\":\"The city opened a "
                "new park on the waterfront this morning. What is happening there now: concerts, a market and boat "
                "tours until Sunday.\"},{\"title\":\"Markets calm\",\"link\":\"http://news.example/markets\","
                "\"text\":\"Markets were calm on Friday. Analysts expect little change before the holidays.\"}]}";

static const char knowledge_json[] =
                "{\"title\":\"Parallel programming\",\"link\":\"http://knowledge.example/parallel\",\"text\":\"Parallel "
                "programming lets independent work happen at the same time. Waiting for the network can overlap, since "
                "it takes no processor. Computation needs a processor of its own to run in parallel. An agent that asks "
                "its sources at once waits only as long as the slowest of them. What remains sequential bounds the "
                "speed-up, as Amdahl's law says.\"}";

static const struct {
        const char *path;
        uint64_t delay_ms;
        const char *json;
} documents[] = {
        { "/weather", 2000, weather_json },
        { "/news", 1500, news_json },
        { "/knowledge", 3000, knowledge_json },
};

/* {"text":"aaa…"} of exactly `size` bytes, if that is possible. */
static void write_json_of_size(Buffer *out, size_t size) {
        static const char head[] = "{\"text\":\"", tail[] = "\"}",
                          word[] = "lorem ipsum dolor sit amet. ";
        size_t fill = size > sizeof(head) + sizeof(tail) - 2 ?
                        size - (sizeof(head) + sizeof(tail) - 2) :
                        0;

        (void) buffer_append_string(out, head);
        for (size_t i = 0; i < fill; i += sizeof(word) - 1)
                (void) buffer_append(out, word, MIN(sizeof(word) - 1, fill - i));
        (void) buffer_append_string(out, tail);
}

static void write_gzip(Buffer *out, const Buffer *plain) {
        z_stream stream = {};

        if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
                return;
        size_t bound = deflateBound(&stream, plain->size);
        if (buffer_reserve(out, bound) == 0) {
                stream.next_in = (unsigned char *) plain->data;
                stream.avail_in = (unsigned) plain->size;
                stream.next_out = (unsigned char *) out->data + out->size;
                stream.avail_out = (unsigned) bound;
                (void) deflate(&stream, Z_FINISH);
                out->size += stream.total_out;
        }
        (void) deflateEnd(&stream);
}

/* ---- responses ---- */

static void
respond(Client *client, int status, const char *type, const char *more_headers, const char *body,
        size_t size) {
        (void) buffer_printf(
                        &client->out,
                        "HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s%s%s\r\n",
                        status, type, size, more_headers, client->headers,
                        client->close_after ? "Connection: close\r\n" : "");
        (void) buffer_append(&client->out, body, size);
}

static void respond_text(Client *client, int status, const char *type, const char *body) {
        respond(client, status, type, "", body, strlen(body));
}

static void respond_bytes(Client *client, const char *query) {
        Buffer body = {};

        write_json_of_size(&body, query_number(query, "n", 1024));
        respond(client, 200, "application/json", "", body.data, body.size);
        buffer_deinit(&body);
}

static void respond_gzip(Client *client, const char *query) {
        Buffer plain = {}, body = {};

        write_json_of_size(&plain, query_number(query, "n", 1024));
        write_gzip(&body, &plain);
        respond(client, 200, "application/json", "Content-Encoding: gzip\r\n", body.data, body.size);
        buffer_deinit(&plain);
        buffer_deinit(&body);
}

static void respond_chunked(Client *client, const char *query) {
        uint64_t pieces = MAX(query_number(query, "pieces", 4), UINT64_C(1));
        Buffer body = {};

        write_json_of_size(&body, query_number(query, "n", 1024));
        (void) buffer_printf(
                        &client->out,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n%s\r\n",
                        client->headers);
        for (size_t at = 0, piece = body.size / pieces + 1; at < body.size; at += piece) {
                size_t n = MIN(piece, body.size - at);

                (void) buffer_printf(&client->out, "%zx;part=\"x\"\r\n", n);
                (void) buffer_append(&client->out, body.data + at, n);
                (void) buffer_append_string(&client->out, "\r\n");
        }
        (void) buffer_append_string(&client->out, "0\r\nX-Checksum: none\r\n\r\n");
        buffer_deinit(&body);
}

static void respond_close_delimited(Client *client, const char *query) {
        Buffer body = {};

        write_json_of_size(&body, query_number(query, "n", 1024));
        (void) buffer_printf(
                        &client->out, "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n%s\r\n",
                        client->headers);
        (void) buffer_append(&client->out, body.data, body.size);
        client->close_after = true;
        buffer_deinit(&body);
}

static void respond_cut(Client *client, const char *query) {
        respond_bytes(client, query);
        client->cut = query_number(query, "at", 20);
        client->close_after = true;
}

static void respond_reset(Client *client, const char *query) {
        respond_cut(client, query);
        client->reset = true;
}

static void respond_interim(Client *client, const char *query) {
        for (uint64_t i = query_number(query, "hints", 2); i > 0; i--)
                (void) buffer_append_string(
                                &client->out, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
        respond_bytes(client, query);
}

static void respond_garbage(Client *client, const char *query) {
        (void) buffer_append_string(&client->out, "SSH-2.0-OpenSSH_9.2\r\n");
        client->close_after = true;
}

static void respond_bad_json(Client *client, const char *query) {
        respond_text(client, 200, "application/json", "{\"text\": \"cut off");
}

static void respond_status(Client *client, const char *query) {
        respond_text(client, (int) query_number(query, "code", 503), "text/plain", "as asked\n");
}

static void respond_plain(Client *client, const char *query) {
        respond_text(client, 200, "text/plain; charset=utf-8",
                     "The harbour opens at six. Ships leave every hour. The last one leaves at nine in the evening.\n");
}

static void respond_html(Client *client, const char *query) {
        respond_text(client, 200, "text/html; charset=utf-8",
                     "<!doctype html><html><head><title>Harbour</title><script>var x = 1 < 2;</script></head><body>"
                     "<h1>Harbour</h1><p>The harbour opens at six &amp; closes at nine.</p>"
                     "<p>Ships leave every hour.</p></body></html>");
}

static void respond_empty(Client *client, const char *query) {
        (void) buffer_printf(&client->out, "HTTP/1.1 204 No Content\r\n%s\r\n", client->headers);
}

static void respond_hang(Client *client, const char *query) {
        /* the client is left waiting, and the connection stays busy */
}

static const struct {
        const char *path;
        void (*respond)(Client *client, const char *query);
} routes[] = {
        { "/bytes", respond_bytes },
        { "/text", respond_plain },
        { "/html", respond_html },
        { "/empty", respond_empty },
        { "/gzip", respond_gzip },
        { "/chunked", respond_chunked },
        { "/close-delimited", respond_close_delimited },
        { "/status", respond_status },
        { "/hang", respond_hang },
        { "/cut", respond_cut },
        { "/reset", respond_reset },
        { "/garbage", respond_garbage },
        { "/interim", respond_interim },
        { "/bad-json", respond_bad_json },
};

static void respond_echo(Client *client, const Request *request) {
        Buffer body = {};
        JsonWriter w = json_writer(&body);

        json_begin_object(&w, NULL);
        json_put_string(&w, "method", request->method);
        json_put_string(&w, "target", request->path);
        json_put_string(&w, "query", request->query);
        json_put_string_n(&w, "headers", request->headers, request->headers_size);
        json_put_string_n(&w, "body", request->body, request->body_size);
        json_end_object(&w);
        respond(client, 200, "application/json", "", body.data, body.size);
        buffer_deinit(&body);
}

/* ---- what was asked for ---- */

typedef struct PathCount {
        uint64_t requests;
        char path[];
} PathCount;

static HashMap path_counts;
static uint64_t n_requests;

static void count_request(const char *path) {
        PathCount *count = hash_map_get(&path_counts, path);
        size_t size = strlen(path) + 1;

        n_requests++;
        if (!count) {
                count = calloc(1, sizeof(*count) + size);
                if (!count)
                        return;
                memcpy(count->path, path, size);
                if (hash_map_put(&path_counts, count->path, count) < 0)
                        return free(count);
        }
        count->requests++;
}

static void respond_count(Client *client) {
        Buffer body = {};
        JsonWriter w = json_writer(&body);
        size_t cursor = 0;

        json_begin_object(&w, NULL);
        json_put_u64(&w, "requests", n_requests);
        json_begin_object(&w, "by_path");
        for (const PathCount *count; (count = hash_map_next(&path_counts, &cursor));) {
                json_put_key(&w, count->path);
                json_put_u64(&w, NULL, count->requests);
        }
        json_end_object(&w);
        json_end_object(&w);
        respond(client, 200, "application/json", "", body.data, body.size);
        buffer_deinit(&body);
}

/* ---- clients ---- */

static bool timer_less(const HeapNode *a, const HeapNode *b) {
        return CONTAINER_OF(a, const Client, timer)->due < CONTAINER_OF(b, const Client, timer)->due;
}

static Heap timers = HEAP_INIT(timer_less);

static uint64_t now(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * NSEC_PER_SEC + (uint64_t) ts.tv_nsec;
}

static void client_free(Client *client) {
        heap_remove(&timers, &client->timer);
        (void) close(client->fd);
        buffer_deinit(&client->in);
        buffer_deinit(&client->out);
        free(client);
}

static void client_watch(Client *client, uint32_t events) {
        struct epoll_event event = { .events = events, .data.ptr = client };

        (void) epoll_ctl(epoll_fd, EPOLL_CTL_MOD, client->fd, &event);
}

/* The response has gone out. False: the client is no more. */
static bool client_response_done(Client *client) {
        if (client->reset) {
                struct linger linger = { .l_onoff = 1 };
                (void) setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        }
        if (client->close_after) {
                client_free(client);
                return false;
        }
        client->busy = false;
        client->sent = 0;
        buffer_clear(&client->out);
        return true;
}

static bool client_flush(Client *client) {
        size_t end = MIN(client->out.size, client->cut);

        while (client->sent < end) {
                ssize_t n =
                                send(client->fd, client->out.data + client->sent,
                                     end - client->sent, MSG_NOSIGNAL);

                if (n < 0 && errno == EAGAIN) {
                        client_watch(client, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
                        return true;
                }
                if (n < 0) {
                        client_free(client);
                        return false;
                }
                client->sent += (size_t) n;
        }
        return client_response_done(client);
}

static void
client_put_header(Client *client, const char *query, const char *parameter, const char *name) {
        size_t used = strlen(client->headers);
        char text[64];

        if (query_value(query, parameter, text, sizeof(text)))
                (void) snprintf(client->headers + used, sizeof(client->headers) - used,
                                "%s: %s\r\n", name, text);
}

/* What the request wants of any response. */
static void client_obey(Client *client, const char *query) {
        client->cut = SIZE_MAX;
        client->reset = false;
        if (query_number(query, "close", 0) > 0)
                client->close_after = true;
        client->headers[0] = '\0';
        client_put_header(client, query, "cache-control", "Cache-Control");
        client_put_header(client, query, "retry-after", "Retry-After");
}

/* Writes the response; returns how long it is held back. */
static uint64_t client_answer(Client *client, const Request *request) {
        for (size_t i = 0; i < ELEMENTSOF(documents); i++)
                if (strcmp(request->path, documents[i].path) == 0) {
                        respond_text(client, 200, "application/json", documents[i].json);
                        return query_delay(request->query, documents[i].delay_ms * NSEC_PER_MSEC);
                }
        for (size_t i = 0; i < ELEMENTSOF(routes); i++)
                if (strcmp(request->path, routes[i].path) == 0) {
                        routes[i].respond(client, request->query);
                        return query_delay(request->query, 0);
                }
        if (strcmp(request->path, "/echo") == 0)
                respond_echo(client, request);
        else
                respond_text(client, 404, "text/plain", "no such source\n");
        return query_delay(request->query, 0);
}

static uint64_t client_prepare(Client *client, const Request *request) {
        client_obey(client, request->query);
        if (strcmp(request->path, "/count") == 0) {
                respond_count(client);
                return 0;
        }
        count_request(request->path);
        if (query_happens(request->query, "fail")) {
                respond_text(client, 503, "text/plain", "by chance\n");
                return query_delay(request->query, 0);
        }
        return client_answer(client, request);
}

static const char *header_value(const char *headers, size_t size, const char *name) {
        size_t n = strlen(name);

        for (const char *at = headers, *end = headers + size; at < end;) {
                const char *next = memmem(at, (size_t) (end - at), "\r\n", 2);

                if (strncasecmp(at, name, n) == 0 && at[n] == ':')
                        return at + n + 1 + strspn(at + n + 1, " ");
                at = next ? next + 2 : end;
        }
        return NULL;
}

/* Answers the next request of the input. 0: incomplete, 1: begun, -1: the client is no more. */
static int client_next(Client *client) {
        char *head = client->in.data;
        char *end = client->in.size > 0 ? memmem(head, client->in.size, "\r\n\r\n", 4) : NULL;
        Request request = { .query = "" };
        uint64_t length = 0;
        char number[24];

        if (!end)
                return client->in.size > REQUEST_MAX ? -1 : 0;
        char *line_end = memmem(head, client->in.size, "\r\n", 2);
        request.headers = line_end + 2;
        request.headers_size = end > line_end ? (size_t) (end - line_end) : 0;
        const char *value = header_value(request.headers, request.headers_size, "Content-Length");
        if (value) {
                (void) snprintf(number, sizeof(number), "%.*s", (int) strcspn(value, "\r"), value);
                (void) parse_u64(number, &length);
        }
        request.body = end + 4;
        request.body_size = (size_t) length;
        size_t whole = (size_t) (end + 4 - head) + (size_t) length;
        if (client->in.size < whole)
                return 0;

        *line_end = '\0';
        char *space = strchr(head, ' ');
        if (!space)
                return -1;
        *space = '\0';
        request.method = head;
        request.path = space + 1;
        request.path[strcspn(request.path, " ")] = '\0';
        char *query = strchr(request.path, '?');
        if (query) {
                *query = '\0';
                request.query = query + 1;
        }

        client->busy = true;
        uint64_t delay = client_prepare(client, &request);
        buffer_consume(&client->in, whole);
        if (client->out.size == 0)
                return 1; /* hangs */
        if (delay > 0) {
                client->due = now() + delay;
                if (heap_insert(&timers, &client->timer) < 0)
                        return -1;
                return 1;
        }
        return client_flush(client) ? 1 : -1;
}

static void client_serve(Client *client) {
        while (!client->busy) {
                int r = client_next(client);

                if (r < 0 || (r > 0 && !client->busy && client->in.size == 0))
                        return; /* gone, or nothing more to do */
                if (r == 0)
                        return;
        }
}

static void client_readable(Client *client) {
        char chunk[16384];
        ssize_t n = recv(client->fd, chunk, sizeof(chunk), 0);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n <= 0 || buffer_append(&client->in, chunk, (size_t) n) < 0) {
                client_free(client);
                return;
        }
        client_serve(client);
}

static void client_accept(Client *listener) {
        for (;;) {
                int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (fd < 0)
                        return;

                Client *client = calloc(1, sizeof(*client));
                struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = client };
                int on = 1;

                if (!client || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
                        free(client);
                        (void) close(fd);
                        continue;
                }
                client->fd = fd;
                (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        }
}

static void handle_event(const struct epoll_event *event) {
        Client *client = event->data.ptr;

        if (client->listener)
                client_accept(client);
        else if (event->events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
                client_free(client);
        else if (event->events & EPOLLOUT) {
                client_watch(client, EPOLLIN | EPOLLRDHUP);
                if (client_flush(client))
                        client_serve(client);
        } else
                client_readable(client);
}

static void fire_timers(void) {
        uint64_t time = now();

        for (HeapNode *node; (node = heap_first(&timers));) {
                Client *client = CONTAINER_OF(node, Client, timer);

                if (client->due > time)
                        return;
                heap_remove(&timers, node);
                if (client_flush(client))
                        client_serve(client);
        }
}

static int wait_for_events(struct epoll_event *events) {
        HeapNode *first = heap_first(&timers);
        struct timespec pause;

        if (!first)
                return epoll_wait(epoll_fd, events, EVENTS, -1);
        uint64_t ns = time_sub(CONTAINER_OF(first, Client, timer)->due, now());
        pause = (struct timespec){ .tv_sec = (time_t) (ns / NSEC_PER_SEC),
                                   .tv_nsec = (long) (ns % NSEC_PER_SEC) };
        return epoll_pwait2(epoll_fd, events, EVENTS, &pause, NULL);
}

/* ---- listening ---- */

static int listen_on(const struct sockaddr *address, socklen_t size) {
        CLEANUP_CLOSE int fd =
                        socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        Client *listener = calloc(1, sizeof(*listener));
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = listener };
        int on = 1;

        if (fd < 0 || !listener || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(fd, address, size) < 0 || listen(fd, 8192) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
                free(listener);
                return -errno;
        }
        listener->listener = true;
        listener->fd = TAKE_FD(fd);
        return listener->fd;
}

static int listen_inet(const char *text) {
        const char *colon = strrchr(text, ':');
        char host[64], shown[INET6_ADDRSTRLEN];
        uint64_t port = 0;
        struct sockaddr_in v4 = { .sin_family = AF_INET };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

        if (!colon || parse_u64(colon + 1, &port) < 0 || port > 65535)
                return -EINVAL;
        (void) snprintf(host, sizeof(host), "%.*s", (int) (colon - text), text);
        v4.sin_port = v6.sin6_port = htons((uint16_t) port);
        socklen_t size = sizeof(v4);
        if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
                int fd = listen_on((struct sockaddr *) &v4, size);
                if (fd < 0 || getsockname(fd, (struct sockaddr *) &v4, &size) < 0)
                        return fd < 0 ? fd : -errno;
                printf("%s:%u\n", inet_ntop(AF_INET, &v4.sin_addr, shown, sizeof(shown)),
                       ntohs(v4.sin_port));
                return 0;
        }
        size = sizeof(v6);
        if (inet_pton(AF_INET6, host, &v6.sin6_addr) != 1)
                return -EINVAL;
        int fd = listen_on((struct sockaddr *) &v6, size);
        if (fd < 0 || getsockname(fd, (struct sockaddr *) &v6, &size) < 0)
                return fd < 0 ? fd : -errno;
        printf("[%s]:%u\n", inet_ntop(AF_INET6, &v6.sin6_addr, shown, sizeof(shown)),
               ntohs(v6.sin6_port));
        return 0;
}

static int listen_unix(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        (void) unlink(path);
        int fd = listen_on((struct sockaddr *) &address, sizeof(address));
        if (fd >= 0)
                printf("unix:%s\n", path);
        return fd < 0 ? fd : 0;
}

static int parse_options(int argc, char **argv) {
        static const struct option options[] = {
                { "listen", required_argument, NULL, 'l' },
                { "unix", required_argument, NULL, 'u' },
                {},
        };
        unsigned listeners = 0;

        for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0; listeners++) {
                int r = c == 'l' ? listen_inet(optarg) : c == 'u' ? listen_unix(optarg) : -EINVAL;
                if (r < 0) {
                        fprintf(stderr, "source-server: cannot listen on %s: %s\n",
                                optarg ? optarg : "?", strerrordesc_np(-r));
                        return -EINVAL;
                }
        }
        if (listeners == 0 || optind < argc) {
                fputs("Usage: source-server [--listen=HOST:PORT]... [--unix=PATH]...\n", stderr);
                return -EINVAL;
        }
        return fflush(stdout) == 0 ? 0 : -EIO;
}

int main(int argc, char **argv) {
        (void) fd_raise_limit();
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_fd < 0 || parse_options(argc, argv) < 0)
                return EXIT_FAILURE;

        for (;;) {
                struct epoll_event events[EVENTS];
                int n = wait_for_events(events);

                if (n < 0 && errno != EINTR) {
                        perror("source-server: epoll");
                        return EXIT_FAILURE;
                }
                for (int i = 0; i < n; i++)
                        handle_event(&events[i]);
                fire_timers();
        }
}
