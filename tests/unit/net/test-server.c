/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "macro.h"
#include "test-server.h"

#define PEERS_MAX 16384

typedef struct Peer {
        int fd; /* 0: none */
        unsigned number;
        unsigned requests;
        size_t size;
        char request[2048];
} Peer;

static Peer peers[PEERS_MAX]; /* by descriptor */
static int epoll_fd, listeners[3];
static unsigned n_peers;
static int waiting[PEERS_MAX];
static unsigned n_waiting;

static void check(bool good, const char *what) {
        if (good)
                return;
        perror(what);
        _exit(EXIT_FAILURE);
}

static void put(const Peer *peer, const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = send(peer->fd, data, size, MSG_NOSIGNAL);
                if (n < 0)
                        return;
                data += n;
                size -= (size_t) n;
        }
}

static void drop(Peer *peer, bool reset) {
        if (reset)
                (void) setsockopt(
                                peer->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 },
                                sizeof(struct linger));
        (void) close(peer->fd);
        peer->fd = 0;
}

static void answer(const Peer *peer, const char *status, const char *fields, const char *after) {
        char body[64], reply[512];
        int size = snprintf(body, sizeof(body), "%u %u", peer->number, peer->requests);
        int n =
                        snprintf(reply, sizeof(reply), "%s\r\n%sContent-Length: %d\r\n\r\n%s%s",
                                 status, fields, size, body, after);
        put(peer, reply, (size_t) n);
}

static void answer_ok(const Peer *peer) {
        answer(peer, "HTTP/1.1 200 OK", "Content-Type: text/plain\r\n", "");
}

static void answer_big(const Peer *peer, size_t size) {
        char *body = malloc(size + 128);
        check(body, "malloc");
        int n = sprintf(body, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
        for (size_t i = 0; i < size; i++)
                body[(size_t) n + i] = (char) ('a' + i % 26);
        put(peer, body, (size_t) n + size);
        free(body);
}

static void answer_barrier(const Peer *peer, unsigned wanted) {
        waiting[n_waiting++] = peer->fd;
        if (n_waiting < wanted)
                return;
        while (n_waiting > 0)
                answer_ok(&peers[waiting[--n_waiting]]);
}

static void answer_second(Peer *peer, bool reset, const char *reply) {
        if (peer->requests == 1) {
                answer_ok(peer);
                return;
        }
        put(peer, reply, strlen(reply));
        drop(peer, reset);
}

static bool goes_to(const Peer *peer, const char *path, unsigned *ret_number) {
        const char *start = strchr(peer->request, ' ');
        size_t size = strlen(path);
        if (!start || strncmp(start + 1, path, size) != 0)
                return false;
        *ret_number = (unsigned) atoi(start + 1 + size);
        return true;
}

static void serve(Peer *peer) {
        static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
        unsigned n;

        peer->requests++;
        if (goes_to(peer, "/ok", &n)) {
                answer_ok(peer);
        } else if (goes_to(peer, "/close-reuse", &n)) {
                answer_second(peer, false, "");
        } else if (goes_to(peer, "/reset-reuse", &n)) {
                answer_second(peer, true, "");
        } else if (goes_to(peer, "/cut-reuse", &n)) {
                answer_second(peer, false, "HTT");
        } else if (goes_to(peer, "/close", &n)) {
                answer(peer, "HTTP/1.1 200 OK", "Connection: close\r\n", "");
                drop(peer, false);
        } else if (goes_to(peer, "/old", &n)) {
                put(peer, "HTTP/1.0 200 OK\r\n\r\nold", strlen("HTTP/1.0 200 OK\r\n\r\nold"));
                drop(peer, false);
        } else if (goes_to(peer, "/extra", &n)) {
                answer(peer, "HTTP/1.1 200 OK", "", "HTTP/1.1 200 OK\r\n\r\n");
        } else if (goes_to(peer, "/bye", &n)) {
                answer_ok(peer);
                drop(peer, false);
        } else if (goes_to(peer, "/late", &n)) {
                answer_ok(peer);
                (void) poll(NULL, 0, 20);
                put(peer, "HTTP/1.1 408 x\r\n\r\n", strlen("HTTP/1.1 408 x\r\n\r\n"));
        } else if (goes_to(peer, "/fin/", &n) || goes_to(peer, "/rst/", &n)) {
                put(peer, SMALL_REPLY, MIN((size_t) n, strlen(SMALL_REPLY)));
                drop(peer, strstr(peer->request, "/rst/") != NULL);
        } else if (goes_to(peer, "/half", &n)) {
                put(peer, half, strlen(half));
        } else if (goes_to(peer, "/barrier/", &n)) {
                answer_barrier(peer, n);
        } else if (goes_to(peer, "/early", &n)) {
                answer(peer, "HTTP/1.1 413 x", "", "");
                (void) shutdown(peer->fd, SHUT_WR);
        } else if (goes_to(peer, "/big/", &n)) {
                answer_big(peer, n);
        } else if (goes_to(peer, "/junk", &n)) {
                put(peer, "220 hello\r\n", strlen("220 hello\r\n"));
        } else if (goes_to(peer, "/echo", &n)) {
                put(peer, "HTTP/1.0 200 OK\r\n\r\n", strlen("HTTP/1.0 200 OK\r\n\r\n"));
                put(peer, peer->request, peer->size);
                drop(peer, false);
        } /* else /hang */
}

static void accept_peer(int listener) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        check(fd >= 0 && fd < PEERS_MAX, "accept");
        (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        peers[fd] = (Peer){ .fd = fd, .number = ++n_peers };
        struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
        check(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

static void read_peer(Peer *peer) {
        ssize_t n =
                        recv(peer->fd, peer->request + peer->size,
                             sizeof(peer->request) - 1 - peer->size, MSG_DONTWAIT);
        if (n <= 0) {
                drop(peer, false);
                return;
        }
        peer->size += (size_t) n;
        peer->request[peer->size] = '\0';
        if (!strstr(peer->request, "\r\n\r\n"))
                return;
        serve(peer);
        peer->size = 0;
}

static void run(int ready) {
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        for (size_t i = 0; i < ELEMENTSOF(listeners); i++) {
                struct epoll_event event = { .events = EPOLLIN, .data.fd = listeners[i] };
                if (listeners[i] >= 0)
                        check(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listeners[i], &event) == 0,
                              "epoll_ctl");
        }
        check(write(ready, "", 1) == 1, "write");
        for (;;) {
                struct epoll_event event;
                check(epoll_wait(epoll_fd, &event, 1, -1) == 1, "epoll_wait");
                int fd = event.data.fd;
                if (fd == listeners[0] || fd == listeners[1] || fd == listeners[2])
                        accept_peer(fd);
                else if (peers[fd].fd == fd)
                        read_peer(&peers[fd]);
        }
}

static int listen_on(const struct sockaddr *address, socklen_t size) {
        int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -1;
        if (bind(fd, address, size) < 0 || listen(fd, SOMAXCONN) < 0) {
                (void) close(fd);
                return -1;
        }
        return fd;
}

static unsigned short port_of(int fd) {
        struct sockaddr_in6 address;
        socklen_t size = sizeof(address);
        check(getsockname(fd, (struct sockaddr *) &address, &size) == 0, "getsockname");
        return ntohs(address.sin6_port); /* at the same place in sockaddr_in */
}

static void listen_everywhere(TestServer *server) {
        struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        struct sockaddr_un local = { .sun_family = AF_UNIX };
        char directory[] = "/tmp/muster-test-XXXXXX";

        check(mkdtemp(directory), "mkdtemp");
        (void) snprintf(server->path, sizeof(server->path), "%s/s", directory);
        memcpy(local.sun_path, server->path, strlen(server->path) + 1);
        listeners[0] = listen_on((struct sockaddr *) &v4, sizeof(v4));
        listeners[1] = listen_on((struct sockaddr *) &local, sizeof(local));
        listeners[2] = listen_on((struct sockaddr *) &v6, sizeof(v6));
        check(listeners[0] >= 0 && listeners[1] >= 0, "listen");
        server->port = port_of(listeners[0]);
        server->port6 = listeners[2] >= 0 ? port_of(listeners[2]) : 0;
}

void test_server_start(TestServer *server) {
        int ready[2];
        char byte;

        listen_everywhere(server);
        check(pipe(ready) == 0, "pipe");
        server->pid = fork();
        check(server->pid >= 0, "fork");
        if (server->pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                (void) close(ready[0]);
                run(ready[1]);
        }
        (void) close(ready[1]);
        check(read(ready[0], &byte, 1) == 1, "the test server did not start");
        (void) close(ready[0]);
        for (size_t i = 0; i < ELEMENTSOF(listeners); i++)
                if (listeners[i] >= 0)
                        (void) close(listeners[i]);
}

void test_server_stop(TestServer *server) {
        (void) kill(server->pid, SIGKILL);
        (void) waitpid(server->pid, NULL, 0);
        (void) unlink(server->path);
        *strrchr(server->path, '/') = '\0';
        (void) rmdir(server->path);
}
