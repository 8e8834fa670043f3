/* SPDX-License-Identifier: Apache-2.0 */

/* A message is one JSON object and a NUL. It is checked by json_scan() before anything recurses
 * into it, and kept twice: as text, for those who want what the daemon sent, and as a tree for
 * those who want to look at it. The tree does without the documents that the sources delivered
 * (`data`): they may be large, may hold figures and keys that no tree can carry, and nobody looks
 * at them there. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "call.h"
#include "cleanup.h"
#include "json-scan.h"
#include "json-text.h"

#define READ_CHUNK   ((size_t) 64 << 10)
#define NESTING_MAX  512 /* far more than any reply of the daemon, far less than a tree may have */
#define RESULT_DEPTH 3   /* parameters, sources, one source; also parameters, event, result */

void reply_deinit(Reply *reply) {
        free(reply->text);
        free(reply->error);
        json_decref(reply->parameters);
        *reply = (Reply){ 0 };
}

static int tree_of(const char *text, size_t size, json_t **ret) {
        Buffer lean = BUFFER_INIT(0);

        json_text_blank(&lean, text, size, RESULT_DEPTH, "data");
        json_t *tree = lean.error < 0 ?
                        NULL :
                        json_loadb(lean.data, lean.size, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
        int r = lean.error < 0 ? lean.error : tree ? 0 : -EBADMSG;

        buffer_deinit(&lean);
        if (r >= 0)
                *ret = tree;
        return r;
}

/* The name of an error, from its JSON string. */
static int error_of(const char *text, size_t size, char **ret) {
        json_t *name;
        int r = tree_of(text, size, &name);

        if (r < 0)
                return r;
        char *copy = json_is_string(name) ? strdup(json_string_value(name)) : NULL;
        r = copy ? 0 : json_is_string(name) ? -ENOMEM : -EBADMSG;
        json_decref(name);
        if (r >= 0)
                *ret = copy;
        return r;
}

int reply_parse(const char *message, size_t size, Reply *ret) {
        CLEANUP(reply_deinit) Reply reply = { 0 };
        const char *part;
        size_t part_size;
        int r;

        r = json_scan(message, size, NESTING_MAX, NULL);
        if (r < 0 || message[strspn(message, " \t\r\n")] != '{')
                return -EBADMSG;

        if (json_text_member(message, size, "error", &part, &part_size) >= 0) {
                r = error_of(part, part_size, &reply.error);
                if (r < 0)
                        return r;
        }
        if (json_text_member(message, size, "continues", &part, &part_size) >= 0)
                reply.continues = part_size == 4 && memcmp(part, "true", 4) == 0;

        if (json_text_member(message, size, "parameters", &part, &part_size) < 0 || *part == 'n') {
                part = "{}";
                part_size = 2;
        }
        r = tree_of(part, part_size, &reply.parameters);
        if (r < 0)
                return r;
        if (!json_is_object(reply.parameters))
                return -EBADMSG;

        reply.text = strndup(part, part_size);
        if (!reply.text)
                return -ENOMEM;
        reply.size = part_size;
        *ret = reply;
        reply = (Reply){ 0 };
        return 0;
}

uint64_t caller_now(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * NSEC_PER_SEC + (uint64_t) now.tv_nsec;
}

int caller_open(Caller *caller, const char *path, uint64_t timeout_ns) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t length = strlen(path);

        if (length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, length);

        CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;

        /* A Unix socket whose queue is full makes connect() wait as a send would. */
        struct timeval limit = {
                .tv_sec = (time_t) (timeout_ns / NSEC_PER_SEC),
                .tv_usec = (suseconds_t) (timeout_ns % NSEC_PER_SEC / NSEC_PER_USEC),
        };
        if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
            connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        caller->fd = TAKE_FD(fd);
        return 0;
}

void caller_close(Caller *caller) {
        if (caller->fd >= 0)
                (void) close(caller->fd);
        caller->fd = -1;
        caller->scanned = 0;
        buffer_deinit(&caller->in);
}

static int send_all(int fd, const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                data += n;
                size -= (size_t) n;
        }
        return 0;
}

int caller_send(Caller *caller, const char *method, const json_t *parameters, bool more) {
        json_t *call = json_pack("{s:s, s:O*}", "method", method, "parameters", parameters);

        if (call && more)
                (void) json_object_set_new(call, "more", json_true());
        CLEANUP_FREE char *text = call ? json_dumps(call, JSON_COMPACT) : NULL;
        json_decref(call);
        if (!text)
                return -ENOMEM;

        size_t size = strlen(text) + 1; /* the NUL ends the message */
        return size > CALL_MESSAGE_MAX ? -EMSGSIZE : send_all(caller->fd, text, size);
}

/* Waits for bytes and reads them. */
static int caller_read(Caller *caller, uint64_t until) {
        struct pollfd poll_fd = { .fd = caller->fd, .events = POLLIN };
        uint64_t left = time_sub(until, caller_now());
        struct timespec timeout = {
                .tv_sec = (time_t) (left / NSEC_PER_SEC),
                .tv_nsec = (long) (left % NSEC_PER_SEC),
        };

        int n = ppoll(&poll_fd, 1, until == TIME_INFINITY ? NULL : &timeout, NULL);
        if (n < 0)
                return -errno;
        if (n == 0)
                return -ETIMEDOUT;

        size_t room = MIN(READ_CHUNK, caller->in.limit - caller->in.size);
        if (room == 0)
                return -EMSGSIZE;
        int r = buffer_reserve(&caller->in, room);
        if (r < 0)
                return r;
        ssize_t size = recv(caller->fd, caller->in.data + caller->in.size, room, 0);
        if (size < 0)
                return -errno;
        if (size == 0)
                return -ECONNRESET;
        caller->in.size += (size_t) size;
        return 0;
}

/* Where the first message ends; NULL when it has not come as a whole. */
static const char *caller_find_end(const Caller *caller) {
        size_t fresh = caller->in.size - caller->scanned;

        /* Before the first byte there is no data to point into. */
        return fresh > 0 ? memchr(caller->in.data + caller->scanned, '\0', fresh) : NULL;
}

int caller_receive(Caller *caller, uint64_t timeout_ns, Reply *ret) {
        uint64_t until = time_add(caller_now(), timeout_ns);

        for (;;) {
                const char *end = caller_find_end(caller);

                if (end) {
                        size_t size = (size_t) (end - caller->in.data);
                        int r = reply_parse(caller->in.data, size, ret);

                        buffer_consume(&caller->in, size + 1);
                        caller->scanned = 0;
                        return r;
                }
                caller->scanned = caller->in.size;

                int r = caller_read(caller, until);
                if (r < 0)
                        return r;
        }
}

int caller_call(Caller *caller, const char *method, const json_t *parameters, uint64_t timeout_ns,
                Reply *ret) {
        uint64_t until = time_add(caller_now(), timeout_ns);
        int r = caller_send(caller, method, parameters, false);

        if (r < 0)
                return r;
        do
                r = caller_receive(caller, time_sub(until, caller_now()), ret);
        while (r == -EINTR);
        return r;
}
