/* SPDX-License-Identifier: Apache-2.0 */

/* What a C programmer would build instead of muster: the same service (a question on a Unix socket, every source
 * fetched at once, every document handed to a pool, one JSON back) on libcurl's multi interface and a pool of
 * pthreads. Written for speed: multi_socket on epoll, easy handles and their connections kept and used again, one
 * eventfd, answers composed by hand.
 *
 *     compare-curl SOCKET THREADS URL...
 *
 * A pool thread does what muster's engine `none` does: it checks that the document is JSON and hands it through. */

#include <curl/curl.h>
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
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "json-scan.h"

#define SOURCES_MAX 16

typedef struct Query Query;

typedef struct Fetch {
        Query *query;
        size_t source;
        CURL *easy;
        Buffer body;
        long status;
        double fetch_ms;
        bool valid;
        struct Fetch *next;
} Fetch;

struct Query {
        int client;
        char *question;
        struct timespec start;
        size_t missing;
        Fetch fetches[SOURCES_MAX];
        Query *next_free;
};

typedef struct Client {
        int fd;
        Buffer in;
} Client;

static char **urls;
static size_t n_urls;
static CURLM *multi;
static int epoll_fd, timer_fd, done_fd;
static Query *free_queries;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_there = PTHREAD_COND_INITIALIZER;
static Fetch *work_first, *work_last, *done_first;

/* ---- the pool ---- */

static void *pool_thread(void *unused) {
        for (;;) {
                pthread_mutex_lock(&lock);
                while (!work_first)
                        pthread_cond_wait(&work_there, &lock);
                Fetch *fetch = work_first;
                work_first = fetch->next;
                pthread_mutex_unlock(&lock);

                fetch->valid = json_scan(fetch->body.data, fetch->body.size, 64, NULL) == 0;

                pthread_mutex_lock(&lock);
                bool wake = !done_first;
                fetch->next = done_first;
                done_first = fetch;
                pthread_mutex_unlock(&lock);
                if (wake)
                        (void) eventfd_write(done_fd, 1);
        }
        return NULL;
}

static void pool_submit(Fetch *fetch) {
        fetch->next = NULL;
        pthread_mutex_lock(&lock);
        if (work_first)
                work_last->next = fetch;
        else
                work_first = fetch;
        work_last = fetch;
        pthread_cond_signal(&work_there);
        pthread_mutex_unlock(&lock);
}

/* ---- queries ---- */

static size_t on_body(char *data, size_t size, size_t n, void *userdata) {
        Fetch *fetch = userdata;

        return buffer_append(&fetch->body, data, size * n) == 0 ? size * n : 0;
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
                fetch->source = i;
                fetch->easy = curl_easy_init();
                curl_easy_setopt(fetch->easy, CURLOPT_URL, urls[i]);
                curl_easy_setopt(fetch->easy, CURLOPT_WRITEFUNCTION, on_body);
                curl_easy_setopt(fetch->easy, CURLOPT_WRITEDATA, fetch);
                curl_easy_setopt(fetch->easy, CURLOPT_PRIVATE, fetch);
                curl_easy_setopt(fetch->easy, CURLOPT_TIMEOUT_MS, 5000L);
                curl_easy_setopt(fetch->easy, CURLOPT_NOSIGNAL, 1L);
                curl_easy_setopt(fetch->easy, CURLOPT_TCP_NODELAY, 1L);
        }
        return query;
}

static void query_start(int client, const char *text, size_t size) {
        Query *query = query_take();
        json_t *call = json_loadb(text, size, 0, NULL);
        const char *question = json_string_value(
                        json_object_get(json_object_get(call, "parameters"), "question"));

        query->client = client;
        query->question = strdup(question ? question : "");
        query->missing = n_urls;
        (void) clock_gettime(CLOCK_MONOTONIC, &query->start);
        json_decref(call);
        for (size_t i = 0; i < n_urls; i++)
                curl_multi_add_handle(multi, query->fetches[i].easy);
}

static void query_answer(Query *query) {
        Buffer out = {};
        struct timespec end;

        (void) clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds = (double) (end.tv_sec - query->start.tv_sec) +
                        (double) (end.tv_nsec - query->start.tv_nsec) / 1e9;
        json_t *question = json_string(query->question);
        char *quoted = json_dumps(question, JSON_ENCODE_ANY);
        (void) buffer_printf(
                        &out, "{\"parameters\":{\"query\":%s,\"success\":true,\"sources\":{", quoted);
        for (size_t i = 0; i < n_urls; i++) {
                Fetch *fetch = &query->fetches[i];

                (void) buffer_printf(
                                &out,
                                "%s\"source-%zu\":{\"verdict\":\"%s\",\"status\":%ld,\"bytes\":%zu,\"fetch_ms\":%.3f,\"data\":",
                                i ? "," : "", i, fetch->valid ? "ok" : "decode", fetch->status,
                                fetch->body.size, fetch->fetch_ms);
                (void) buffer_append(
                                &out, fetch->valid ? fetch->body.data : "null",
                                fetch->valid ? fetch->body.size : 4);
                (void) buffer_append_char(&out, '}');
                buffer_clear(&fetch->body);
        }
        (void) buffer_printf(&out, "},\"execution_time\":%.6f}}", seconds);
        (void) buffer_append_char(&out, '\0');
        if (send(query->client, out.data, out.size, MSG_NOSIGNAL) != (ssize_t) out.size)
                (void) shutdown(query->client, SHUT_RDWR);
        free(quoted);
        json_decref(question);
        buffer_deinit(&out);
        free(query->question);
        query->next_free = free_queries;
        free_queries = query;
}

static void collect_done(void) {
        eventfd_t value;

        (void) eventfd_read(done_fd, &value);
        pthread_mutex_lock(&lock);
        Fetch *fetch = done_first;
        done_first = NULL;
        pthread_mutex_unlock(&lock);
        while (fetch) {
                Fetch *next = fetch->next;
                if (--fetch->query->missing == 0)
                        query_answer(fetch->query);
                fetch = next;
        }
}

/* ---- libcurl on epoll ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userdata, void *known) {
        struct epoll_event event = { .data.u64 = (uint64_t) (unsigned) fd << 2 };

        if (what == CURL_POLL_REMOVE) {
                (void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
                return 0;
        }
        event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
        if (epoll_ctl(epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
                (void) epoll_ctl(epoll_fd, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
        curl_multi_assign(multi, fd, &epoll_fd);
        return 0;
}

/* A timeout of 0 is answered within the loop, without a system call. */
static bool kick;

static int on_timer(CURLM *m, long timeout_ms, void *userdata) {
        struct itimerspec when = {};

        kick = timeout_ms == 0;
        if (timeout_ms > 0) {
                when.it_value.tv_sec = timeout_ms / 1000;
                when.it_value.tv_nsec = timeout_ms % 1000 * 1000000;
        }
        if (timeout_ms != 0)
                (void) timerfd_settime(timer_fd, 0, &when, NULL);
        return 0;
}

static void collect_transfers(void) {
        int left;

        for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));) {
                if (message->msg != CURLMSG_DONE)
                        continue;
                Fetch *fetch;
                CURL *easy = message->easy_handle;
                curl_off_t us = 0;

                curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **) &fetch);
                curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &fetch->status);
                curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &us);
                fetch->fetch_ms = (double) us / 1e3;
                curl_multi_remove_handle(multi, easy);
                pool_submit(fetch);
        }
}

/* ---- clients ---- */

static void client_readable(Client *client) {
        char chunk[16384];
        ssize_t n = recv(client->fd, chunk, sizeof(chunk), 0);

        if (n <= 0) {
                (void) close(client->fd);
                buffer_deinit(&client->in);
                free(client);
                return;
        }
        (void) buffer_append(&client->in, chunk, (size_t) n);
        for (char *end;
             client->in.size > 0 && (end = memchr(client->in.data, '\0', client->in.size));) {
                size_t size = (size_t) (end - client->in.data);
                query_start(client->fd, client->in.data, size);
                buffer_consume(&client->in, size + 1);
        }
}

static void accept_client(int listener) {
        Client *client = calloc(1, sizeof(*client));
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (!client || fd < 0)
                abort();
        client->fd = fd;
        struct epoll_event event = { .events = EPOLLIN,
                                     .data.u64 = (uint64_t) (uintptr_t) client | 1 };
        (void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int listen_on(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        (void) unlink(path);
        if (fd < 0 || bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            listen(fd, 1024) < 0) {
                perror(path);
                exit(EXIT_FAILURE);
        }
        return fd;
}

static void watch(int fd, uint64_t tag) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = tag };

        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                abort();
}

enum {
        TAG_LISTENER = 2,
        TAG_TIMER = 6,
        TAG_DONE = 10
}; /* low bits 10: ours; 01: a client; 00: curl's */

static void handle(const struct epoll_event *event, int listener) {
        int running;

        if (event->data.u64 & 1)
                client_readable((Client *) (uintptr_t) (event->data.u64 & ~UINT64_C(1)));
        else if (event->data.u64 == TAG_LISTENER)
                accept_client(listener);
        else if (event->data.u64 == TAG_DONE)
                collect_done();
        else if (event->data.u64 == TAG_TIMER) {
                uint64_t ticks;
                (void) !read(timer_fd, &ticks, sizeof(ticks));
                curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        } else
                curl_multi_socket_action(
                                multi, (int) (event->data.u64 >> 2),
                                (event->events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                                                (event->events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                                                (event->events & (EPOLLERR | EPOLLHUP) ?
                                                                 CURL_CSELECT_ERR :
                                                                 0),
                                &running);
}

int main(int argc, char **argv) {
        if (argc < 4) {
                fputs("Usage: compare-curl SOCKET THREADS URL...\n", stderr);
                return 2;
        }
        urls = argv + 3;
        n_urls = (size_t) (argc - 3) < SOURCES_MAX ? (size_t) (argc - 3) : SOURCES_MAX;
        curl_global_init(CURL_GLOBAL_DEFAULT);
        multi = curl_multi_init();
        curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 1024L);
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        int listener = listen_on(argv[1]);
        watch(listener, TAG_LISTENER);
        watch(timer_fd, TAG_TIMER);
        watch(done_fd, TAG_DONE);
        for (long i = atol(argv[2]); i > 0; i--) {
                pthread_t thread;
                if (pthread_create(&thread, NULL, pool_thread, NULL) != 0)
                        return EXIT_FAILURE;
        }

        for (;;) {
                struct epoll_event events[256];
                int n = epoll_wait(epoll_fd, events, 256, -1), running;

                for (int i = 0; i < n; i++)
                        handle(&events[i], listener);
                while (kick) {
                        kick = false;
                        curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
                }
                collect_transfers();
        }
}
