/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A daemon of canned replies in a child process: one connection after the other, each call answered
 * from a script. What was asked is kept in a file beside the socket. */

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAKE_REPLIES_MAX 6

typedef struct FakeReply {
        const char *method;                  /* NULL: any */
        const char *texts[FAKE_REPLIES_MAX]; /* messages; none: the connection is closed */
        int pause_ms;                        /* before each message */
        size_t blanks;                       /* sent after the messages, without a NUL */
} FakeReply;

typedef struct FakeDaemon {
        char directory[64];
        char socket[96];
        char requests[96];
        pid_t pid;
} FakeDaemon;

static inline void fake_send(int fd, const void *data, size_t size) {
        for (const char *next = data; size > 0;) {
                ssize_t n = send(fd, next, size, MSG_NOSIGNAL);

                if (n <= 0)
                        return;
                next += n;
                size -= (size_t) n;
        }
}

static inline void fake_answer(int fd, const FakeReply *reply) {
        static char blanks[65536];

        memset(blanks, ' ', sizeof(blanks));
        for (size_t i = 0; i < FAKE_REPLIES_MAX && reply->texts[i]; i++) {
                if (reply->pause_ms > 0)
                        (void) poll(NULL, 0, reply->pause_ms);
                fake_send(fd, reply->texts[i], strlen(reply->texts[i]) + 1);
        }
        for (size_t left = reply->blanks; left > 0;) {
                size_t n = left < sizeof(blanks) ? left : sizeof(blanks);

                fake_send(fd, blanks, n);
                left -= n;
        }
}

/* The row that answers this call, or NULL. */
static inline const FakeReply *fake_find(const FakeReply *script, size_t count, const char *call) {
        for (size_t i = 0; i < count; i++) {
                char key[128];

                if (!script[i].method)
                        return &script[i];
                (void) snprintf(key, sizeof(key), "\"method\":\"%s\"", script[i].method);
                if (strstr(call, key))
                        return &script[i];
        }
        return NULL;
}

static inline void fake_serve(int fd, const FakeReply *script, size_t count, int log_fd) {
        static char call[1 << 20];
        size_t size = 0;

        for (;;) {
                ssize_t n = recv(fd, call + size, sizeof(call) - size, 0);

                if (n <= 0)
                        return;
                size += (size_t) n;
                for (char *end; (end = memchr(call, '\0', size));) {
                        const FakeReply *reply = fake_find(script, count, call);
                        size_t length = (size_t) (end - call) + 1;

                        *end = '\n';
                        if (write(log_fd, call, length) < 0)
                                return;
                        if (!reply || (!reply->texts[0] && reply->blanks == 0))
                                return;
                        fake_answer(fd, reply);
                        if (reply->blanks > 0)
                                return;
                        memmove(call, end + 1, size - length);
                        size -= length;
                }
        }
}

static inline FakeDaemon fake_start(const FakeReply *script, size_t count) {
        FakeDaemon fake = { .directory = "/tmp/muster-fake-XXXXXX" };
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        if (!mkdtemp(fake.directory))
                abort();
        (void) snprintf(fake.socket, sizeof(fake.socket), "%s/io.muster", fake.directory);
        (void) snprintf(fake.requests, sizeof(fake.requests), "%s/requests", fake.directory);
        memcpy(address.sun_path, fake.socket, strlen(fake.socket));

        int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int log_fd = open(fake.requests, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);

        if (listener < 0 || log_fd < 0 ||
            bind(listener, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            listen(listener, 8) < 0)
                abort();
        fake.pid = fork();
        if (fake.pid == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
                        fake_serve(fd, script, count, log_fd);
                        (void) close(fd);
                }
                _exit(1);
        }
        (void) close(listener);
        (void) close(log_fd);
        return fake;
}

#define FAKE_START(script) fake_start((script), sizeof(script) / sizeof((script)[0]))

static inline void fake_stop(FakeDaemon *fake) {
        (void) kill(fake->pid, SIGKILL);
        (void) waitpid(fake->pid, NULL, 0);
        (void) unlink(fake->socket);
        (void) unlink(fake->requests);
        (void) rmdir(fake->directory);
}

/* What has been asked so far, one call a line; static memory. */
static inline const char *fake_requests(const FakeDaemon *fake) {
        static char text[1 << 20];
        int fd = open(fake->requests, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;

        text[n > 0 ? n : 0] = '\0';
        if (fd >= 0)
                (void) close(fd);
        return text;
}
