/* SPDX-License-Identifier: Apache-2.0 */

/* What a C programmer would build instead of muster: the same service (a question on a Unix socket,
 * every source fetched at once, every document handed to a pool the moment it arrives, one JSON
 * back) on libcurl's multi interface and a pool of pthreads. Written for speed: curl-loop.c spares
 * system calls; easy handles, their connections and the memory of bodies are kept and used again;
 * what arrives in one turn of the loop goes to the pool under one lock and wakes only threads that
 * sleep; a thread takes its share of what waits at once and hands it back at once; answers are
 * composed by hand.
 *
 *     compare-curl SOCKET THREADS URL...
 *
 * A pool thread does what muster's engine `none` does: it checks that the document is JSON and
 * hands it through. It does less elsewhere: no timeline, no verdicts but two, no processes of their
 * own for what reads documents. */

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "curl-loop.h"
#include "json-scan.h"
#include "macro.h"

#define SOURCES_MAX 16

typedef struct Query Query;

typedef struct Fetch {
        Query *query;
        CURL *easy;
        Buffer body;
        long status;
        double fetch_ms;
        bool valid;
        struct Fetch *next;
} Fetch;

typedef struct Client {
        Watch watch;
        int fd; /* -1: it has gone, queries of its are still open */
        size_t queries;
        Buffer in;
} Client;

struct Query {
        Client *client;
        char *question; /* as JSON */
        struct timespec start;
        size_t missing;
        Fetch fetches[SOURCES_MAX];
        Query *next_free;
};

typedef struct Queue {
        Fetch *first, *last;
        size_t count;
} Queue;

static char **urls;
static size_t n_urls, n_threads;
static int listener, done_fd;
static Query *free_queries;

static Queue fresh; /* arrived in this turn */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_there = PTHREAD_COND_INITIALIZER;
static Queue work, done;
static size_t n_asleep;

/* ---- the pool ---- */

static void queue_push(Queue *queue, Fetch *fetch) {
        fetch->next = NULL;
        if (queue->first)
                queue->last->next = fetch;
        else
                queue->first = fetch;
        queue->last = fetch;
        queue->count++;
}

static void queue_join(Queue *queue, Queue *more) {
        if (!more->first)
                return;
        if (queue->first)
                queue->last->next = more->first;
        else
                queue->first = more->first;
        queue->last = more->last;
        queue->count += more->count;
        *more = (Queue){};
}

static Fetch *queue_pop(Queue *queue) {
        Fetch *fetch = queue->first;

        queue->first = fetch->next;
        queue->count--;
        return fetch;
}

/* Takes a fair share of what waits. */
static Queue take_batch(void) {
        Queue batch = {};

        pthread_mutex_lock(&lock);
        while (!work.first) {
                n_asleep++;
                pthread_cond_wait(&work_there, &lock);
                n_asleep--;
        }
        for (size_t n = (work.count + n_threads - 1) / n_threads; n > 0; n--)
                queue_push(&batch, queue_pop(&work));
        pthread_mutex_unlock(&lock);
        return batch;
}

/* Rings only for the first of what has not been collected. */
static void give_batch(Queue *batch) {
        pthread_mutex_lock(&lock);
        bool ring = !done.first;
        queue_join(&done, batch);
        pthread_mutex_unlock(&lock);
        if (ring)
                (void) eventfd_write(done_fd, 1);
}

static void *pool_thread(void *unused) {
        for (;;) {
                Queue batch = take_batch();
                for (Fetch *fetch = batch.first; fetch; fetch = fetch->next)
                        fetch->valid = json_scan(fetch->body.data, fetch->body.size, 64, NULL) == 0;
                give_batch(&batch);
        }
        return NULL;
}

static void pool_submit(void) {
        if (!fresh.first)
                return;
        pthread_mutex_lock(&lock);
        queue_join(&work, &fresh);
        size_t wake = MIN(work.count, n_asleep);
        pthread_mutex_unlock(&lock);
        while (wake-- > 0)
                pthread_cond_signal(&work_there);
}

/* ---- queries ---- */

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Fetch *fetch = userdata;

        return buffer_append(&fetch->body, data, size * n) == 0 ? size * n : 0;
}

static void on_transfer(CURL *easy, CURLcode result) {
        Fetch *fetch;
        curl_off_t us = 0;

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &fetch);
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &fetch->status);
        curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &us);
        fetch->fetch_ms = (double) us / 1e3;
        if (result != CURLE_OK || fetch->status != 200)
                buffer_clear(&fetch->body); /* an empty text is no JSON */
        queue_push(&fresh, fetch);
}

static Query *query_take(void) {
        Query *query = free_queries;

        if (query) {
                free_queries = query->next_free;
                return query;
        }
        query = calloc(1, sizeof(*query));
        if (!query)
                abort();
        for (size_t i = 0; i < n_urls; i++) {
                Fetch *fetch = &query->fetches[i];

                fetch->query = query;
                fetch->easy = curl_loop_easy(urls[i]);
                curl_easy_setopt(fetch->easy, CURLOPT_WRITEFUNCTION, on_body);
                curl_easy_setopt(fetch->easy, CURLOPT_WRITEDATA, fetch);
                curl_easy_setopt(fetch->easy, CURLOPT_PRIVATE, fetch);
        }
        return query;
}

static void query_start(Client *client, const char *text, size_t size) {
        Query *query = query_take();
        json_t *call = json_loadb(text, size, 0, NULL);
        json_t *question = json_object_get(json_object_get(call, "parameters"), "question");

        client->queries++;
        query->client = client;
        query->question = json_dumps(question, JSON_ENCODE_ANY);
        query->missing = n_urls;
        (void) clock_gettime(CLOCK_MONOTONIC, &query->start);
        json_decref(call);
        for (size_t i = 0; i < n_urls; i++)
                curl_loop_start(query->fetches[i].easy);
}

static double seconds_since(const struct timespec *start) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (double) (now.tv_sec - start->tv_sec) + (double) (now.tv_nsec - start->tv_nsec) / 1e9;
}

static void write_source(Buffer *out, const Query *query, size_t i) {
        const Fetch *fetch = &query->fetches[i];

        (void) buffer_printf(
                        out,
                        "%s\"source-%zu\":{\"verdict\":\"%s\",\"status\":%ld,\"bytes\":%zu,\"fetch_ms\":%.3f,\"data\":",
                        i ? "," : "", i, fetch->valid ? "ok" : "decode", fetch->status,
                        fetch->body.size, fetch->fetch_ms);
        (void) buffer_append(
                        out, fetch->valid ? fetch->body.data : "null",
                        fetch->valid ? fetch->body.size : 4);
        (void) buffer_append_char(out, '}');
}

static void client_release(Client *client) {
        if (client->fd >= 0 || client->queries > 0)
                return;
        buffer_deinit(&client->in);
        free(client);
}

static void query_answer(Query *query) {
        static Buffer out;
        Client *client = query->client;

        buffer_clear(&out);
        (void) buffer_printf(
                        &out, "{\"parameters\":{\"query\":%s,\"success\":true,\"sources\":{",
                        query->question ? query->question : "\"\"");
        for (size_t i = 0; i < n_urls; i++) {
                write_source(&out, query, i);
                buffer_clear(&query->fetches[i].body);
        }
        (void) buffer_printf(&out, "},\"execution_time\":%.6f}}", seconds_since(&query->start));
        (void) buffer_append_char(&out, '\0');
        if (client->fd >= 0 &&
            send(client->fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t) out.size)
                (void) shutdown(client->fd, SHUT_RDWR); /* it does not read */
        free(query->question);
        query->next_free = free_queries;
        free_queries = query;
        client->queries--;
        client_release(client);
}

static void collect_done(Watch *watch, uint32_t events) {
        eventfd_t value;
        Queue taken = {};

        (void) eventfd_read(done_fd, &value);
        pthread_mutex_lock(&lock);
        queue_join(&taken, &done);
        pthread_mutex_unlock(&lock);
        while (taken.first) {
                Fetch *fetch = queue_pop(&taken);
                if (--fetch->query->missing == 0)
                        query_answer(fetch->query);
        }
}

/* ---- clients ---- */

static void client_readable(Watch *watch, uint32_t events) {
        Client *client = CONTAINER_OF(watch, Client, watch);
        char chunk[16384];
        ssize_t n = recv(client->fd, chunk, sizeof(chunk), MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n <= 0 || buffer_append(&client->in, chunk, (size_t) n) < 0) {
                (void) close(client->fd);
                client->fd = -1;
                client_release(client);
                return;
        }
        for (char *end;
             client->in.size > 0 && (end = memchr(client->in.data, '\0', client->in.size));) {
                size_t size = (size_t) (end - client->in.data);
                query_start(client, client->in.data, size);
                buffer_consume(&client->in, size + 1);
        }
}

static void accept_client(Watch *watch, uint32_t events) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        Client *client = calloc(1, sizeof(*client));

        if (!client || fd < 0)
                abort();
        *client = (Client){ .watch.ready = client_readable, .fd = fd };
        curl_loop_watch(&client->watch, fd, EPOLLIN);
}

static void listen_on(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        (void) unlink(path);
        if (listener < 0 || bind(listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            listen(listener, 1024) < 0) {
                perror(path);
                exit(EXIT_FAILURE);
        }
}

static void start_threads(size_t n) {
        n_threads = n;
        for (size_t i = 0; i < n; i++) {
                pthread_t thread;
                if (pthread_create(&thread, NULL, pool_thread, NULL) != 0)
                        abort();
        }
}

int main(int argc, char **argv) {
        static Watch accepting = { accept_client }, collecting = { collect_done };

        if (argc < 4 || argc - 3 > SOURCES_MAX || atoi(argv[2]) < 1) {
                fputs("Usage: compare-curl SOCKET THREADS URL...\n", stderr);
                return 2;
        }
        urls = argv + 3;
        n_urls = (size_t) (argc - 3);
        curl_loop_init(on_transfer);
        done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        listen_on(argv[1]);
        curl_loop_watch(&accepting, listener, EPOLLIN);
        curl_loop_watch(&collecting, done_fd, EPOLLIN);
        start_threads((size_t) atoi(argv[2]));

        for (;;) {
                curl_loop_turn();
                pool_submit();
        }
}
