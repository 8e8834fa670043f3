/* SPDX-License-Identifier: Apache-2.0 */

/* The usual translation of multi_socket to epoll makes two to four epoll_ctl() and a
 * timerfd_settime() for every transfer, as libcurl says anew for each what it waits for. Neither is
 * needed:
 *
 * - A socket stays registered for input between transfers. What libcurl asks for is compared with
 * what the kernel
 *   knows, and only a difference costs a system call. Input on a socket that no transfer uses (the
 *   server closes
 *   a kept connection) ends its registration; libcurl notices by itself when it wants to use it
 *   again.
 * - libcurl's timer is a number here, and becomes the timeout of the next epoll_wait(). What is
 * started asks for
 *   "at once": it begins in the same turn, or, when it was started by the end of another transfer,
 *   in the next one,
 *   which does not wait.
 *
 * The kernel forgets a socket when it is closed, so closing goes through a function of ours. */

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "curl-loop.h"
#include "macro.h"

#define SOCKETS_MAX 65536
#define EVENTS_MAX  256
#define NEVER       INT64_MAX

typedef struct Socket {
        Watch watch;
        int fd;
        uint32_t registered; /* events that the kernel waits for; 0: it does not know the socket */
        bool used;           /* by a transfer */
} Socket;

static CURLM *multi;
static int epoll_fd;
static Socket *sockets; /* by descriptor */
static int64_t deadline_ms = NEVER;
static void (*transfer_done)(CURL *easy, CURLcode result);

static _Noreturn void die(const char *what) {
        perror(what);
        exit(EXIT_FAILURE);
}

static int64_t now_ms(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* ---- sockets ---- */

static void socket_register(Socket *known, uint32_t events) {
        struct epoll_event event = { .events = events, .data.ptr = &known->watch };
        int how = events == 0 ? EPOLL_CTL_DEL : known->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

        if (events == known->registered)
                return;
        if (epoll_ctl(epoll_fd, how, known->fd, &event) < 0)
                die("epoll_ctl");
        known->registered = events;
}

static void socket_ready(Watch *watch, uint32_t events) {
        Socket *known = CONTAINER_OF(watch, Socket, watch);
        int running;

        if (!known->used) {
                socket_register(known, 0);
                return;
        }
        curl_multi_socket_action(
                        multi, known->fd,
                        (events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                                        (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                                        (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0),
                        &running);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *unused, void *unused_too) {
        if (fd >= SOCKETS_MAX)
                return -1;

        Socket *known = &sockets[fd];
        known->watch.ready = socket_ready;
        known->fd = fd;
        known->used = what != CURL_POLL_REMOVE;
        if (known->used)
                socket_register(known, EPOLLIN | (what & CURL_POLL_OUT ? EPOLLOUT : 0u));
        return 0;
}

static int on_close(void *unused, curl_socket_t fd) {
        if (fd < SOCKETS_MAX)
                sockets[fd].registered = 0;
        return close(fd);
}

/* ---- transfers ---- */

static int on_timer(CURLM *unused, long timeout_ms, void *unused_too) {
        deadline_ms = timeout_ms < 0 ? NEVER : timeout_ms == 0 ? 0 : now_ms() + timeout_ms;
        return 0;
}

void curl_loop_init(void (*done)(CURL *easy, CURLcode result)) {
        transfer_done = done;
        sockets = calloc(SOCKETS_MAX, sizeof(*sockets));
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (!sockets || epoll_fd < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                die("init");
        multi = curl_multi_init();
        curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
        curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 1024L);
        curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
}

CURL *curl_loop_easy(const char *url) {
        CURL *easy = curl_easy_init();

        if (!easy)
                die("curl_easy_init");
        curl_easy_setopt(easy, CURLOPT_URL, url);
        curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        curl_easy_setopt(easy, CURLOPT_PROXY, "");
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 5000L);
        curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 1L);
        curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
        curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
        return easy;
}

void curl_loop_start(CURL *easy) {
        curl_multi_add_handle(multi, easy);
}

void curl_loop_watch(Watch *watch, int fd, uint32_t events) {
        struct epoll_event event = { .events = events, .data.ptr = watch };

        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                die("epoll_ctl");
}

static void collect(void) {
        int left;

        for (CURLMsg *message; (message = curl_multi_info_read(multi, &left));) {
                CURL *easy = message->easy_handle;
                CURLcode result = message->data.result;

                if (message->msg != CURLMSG_DONE)
                        continue;
                curl_multi_remove_handle(multi, easy);
                transfer_done(easy, result);
        }
}

static void fire_timer(void) {
        int running;

        while (deadline_ms == 0 || (deadline_ms != NEVER && deadline_ms <= now_ms())) {
                deadline_ms = NEVER;
                curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
}

static int wait_ms(void) {
        if (deadline_ms == NEVER)
                return -1;
        int64_t left = deadline_ms - now_ms();
        return (int) (left < 0 ? 0 : MIN(left, (int64_t) INT_MAX));
}

void curl_loop_turn(void) {
        struct epoll_event events[EVENTS_MAX];
        int n = epoll_wait(epoll_fd, events, EVENTS_MAX, wait_ms());

        if (n < 0 && errno != EINTR)
                die("epoll_wait");
        for (int i = 0; i < n; i++) {
                Watch *watch = events[i].data.ptr;
                watch->ready(watch, events[i].events);
        }
        fire_timer();
        collect();
}
