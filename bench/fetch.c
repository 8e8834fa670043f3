/* SPDX-License-Identifier: Apache-2.0 */

/* What one HTTP fetch over a kept connection costs the client: this program's CPU time, by the same
 * program once with the daemon's own client (daemon/net/ on io_uring) and once with libcurl's
 * multi_socket on epoll.
 *
 *     bench-fetch muster|libcurl URL CONNECTIONS SECONDS
 *
 * So many fetches are under way at any time, each begun when the one before it has ended; every one
 * has a deadline of 5 s, and its body is copied out and looked at. URL names an address, not a
 * host, and a document of BODY_SIZE. Prints fetches per second and CPU time per fetch. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "clock.h"
#include "curl-loop.h"
#include "exchange.h"
#include "io.h"
#include "macro.h"

#define BODY_SIZE  1024u
#define TIMEOUT    (5 * NSEC_PER_SEC)
#define WARM_UP_NS (NSEC_PER_SEC / 2)

typedef struct Body {
        char data[BODY_SIZE];
        size_t size;
} Body;

static uint64_t n_done;

static _Noreturn void die(const char *what) {
        fprintf(stderr, "bench-fetch: %s\n", what);
        exit(EXIT_FAILURE);
}

static bool body_take(Body *body, const void *data, size_t size) {
        if (size > BODY_SIZE - body->size)
                return false;
        memcpy(body->data + body->size, data, size);
        body->size += size;
        return true;
}

static void body_done(Body *body, int status) {
        if (status != 200 || body->size != BODY_SIZE || body->data[0] != '{')
                die("a response is not what was asked for");
        body->size = 0;
        n_done++;
}

/* ---- the daemon's client ---- */

typedef struct Fetch {
        Exchange exchange;
        IoTimer timer;
        Body body;
        int status;
} Fetch;

static Io *io;
static Net *net;

static void muster_start(Fetch *fetch) {
        if (io_timer_set(io, &fetch->timer, io_now(io) + TIMEOUT) < 0 ||
            exchange_start(&fetch->exchange, net) < 0)
                die("cannot start a fetch");
}

static int on_head(Exchange *exchange, const HttpHead *head) {
        CONTAINER_OF(exchange, Fetch, exchange)->status = head->status;
        return 0;
}

static int on_body(Exchange *exchange, const void *data, size_t size) {
        Fetch *fetch = CONTAINER_OF(exchange, Fetch, exchange);

        return body_take(&fetch->body, data, size) ? 0 : -EMSGSIZE;
}

static void on_done(Exchange *exchange, ExchangeError error, const char *message) {
        Fetch *fetch = CONTAINER_OF(exchange, Fetch, exchange);

        if (error != EXCHANGE_OK)
                die(message);
        io_timer_cancel(io, &fetch->timer);
        body_done(&fetch->body, fetch->status);
        muster_start(fetch);
}

static void on_timeout(IoTimer *timer) {
        die("no response within 5 s");
}

static void muster_init(const char *text, size_t connections) {
        static Url url;
        static char request[512];
        const char *message = "the URL is not understood";
        Resolver *resolver;
        Fetch *fetches = calloc(connections, sizeof(*fetches));

        if (!fetches || url_parse(text, &url, NULL, NULL) < 0 ||
            io_new_uring(&io, /* entries= */ 0, &message) < 0)
                die(message);
        if (resolver_new(&resolver, io) < 0 || net_new(&net, io, resolver) < 0)
                die("cannot set up the network");
        int size =
                        snprintf(request, sizeof(request),
                                 "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n\r\n", url.target,
                                 url.authority);
        for (size_t i = 0; i < connections; i++) {
                fetches[i] = (Fetch){
                        .timer.fire = on_timeout,
                        .exchange.url = &url,
                        .exchange.request = request,
                        .exchange.request_size = (size_t) size,
                        .exchange.head = on_head,
                        .exchange.body = on_body,
                        .exchange.done = on_done,
                };
                muster_start(&fetches[i]);
        }
}

static void muster_turn(void) {
        if (io_turn(io) < 0)
                die("the loop failed");
}

/* ---- libcurl ---- */

static size_t on_data(char *data, size_t size, size_t n, void *userdata) {
        return body_take(userdata, data, size * n) ? size * n : 0;
}

static void on_transfer(CURL *easy, CURLcode result) {
        Body *body;
        long status = 0;

        if (result != CURLE_OK)
                die(curl_easy_strerror(result));
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &body);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        body_done(body, (int) status);
        curl_loop_start(easy);
}

static void libcurl_init(const char *url, size_t connections) {
        Body *bodies = calloc(connections, sizeof(*bodies));

        if (!bodies)
                die("out of memory");
        curl_loop_init(on_transfer);
        for (size_t i = 0; i < connections; i++) {
                CURL *easy = curl_loop_easy(url);

                curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
                curl_easy_setopt(easy, CURLOPT_WRITEDATA, &bodies[i]);
                curl_easy_setopt(easy, CURLOPT_PRIVATE, &bodies[i]);
                curl_loop_start(easy);
        }
}

/* ---- measuring ---- */

typedef struct Reading {
        uint64_t done;
        double wall, user, system; /* seconds */
} Reading;

static double seconds_of(struct timeval time) {
        return (double) time.tv_sec + (double) time.tv_usec / 1e6;
}

static double now(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static Reading reading_take(void) {
        struct rusage usage;

        (void) getrusage(RUSAGE_SELF, &usage);
        return (Reading){ n_done, now(), seconds_of(usage.ru_utime), seconds_of(usage.ru_stime) };
}

static void run(void (*turn)(void), double seconds) {
        for (double end = now() + seconds; now() < end;)
                for (unsigned i = 0; i < 16; i++)
                        turn();
}

int main(int argc, char **argv) {
        static const struct {
                const char *name;
                void (*init)(const char *url, size_t connections);
                void (*turn)(void);
        } clients[] = {
                { "muster", muster_init, muster_turn },
                { "libcurl", libcurl_init, curl_loop_turn },
        };

        for (size_t i = 0; argc == 5 && i < ELEMENTSOF(clients); i++) {
                if (strcmp(argv[1], clients[i].name) != 0)
                        continue;
                clients[i].init(argv[2], (size_t) atol(argv[3]));
                run(clients[i].turn, (double) WARM_UP_NS / 1e9);
                Reading start = reading_take();
                run(clients[i].turn, atof(argv[4]));
                Reading end = reading_take();

                double n = (double) (end.done - start.done);
                double user = (end.user - start.user) / n * 1e6;
                double system = (end.system - start.system) / n * 1e6;
                printf("fetches_per_s=%.0f user_us=%.2f system_us=%.2f cpu_us=%.2f\n",
                       n / (end.wall - start.wall), user, system, user + system);
                return EXIT_SUCCESS;
        }
        fputs("Usage: bench-fetch muster|libcurl URL CONNECTIONS SECONDS\n", stderr);
        return 2;
}
