/* SPDX-License-Identifier: Apache-2.0 */

/* Clients that misbehave, one kind a test, all at one daemon. While they do, a well-behaved client
 * in a process of its own asks one question after the other, and every one must be answered. What
 * the daemon is left with is looked at in the last test, after all the others. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))

#define MIB             (UINT64_C(1) << 20)
#define PATIENCE_MS     60000
#define FRAME_TIMEOUT_S 5
#define LARGE_SOURCES   20 /* of 1 MiB each: together over the limit of unread replies, 16 MiB */

#ifndef __has_feature
#        define __has_feature(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#        define SANITIZED true
#else
#        define SANITIZED false
#endif

static SourceServer server;
static Daemon daemon_one;
static uint64_t memory_before;

/* ---- the well-behaved client ---- */

static struct {
        pid_t pid;
        int stop;  /* closed to end it */
        int count; /* what it says last: how many answers it has got */
} good;

/* No assertions here: they belong to the process that runs the tests. */
static bool good_ask(int fd) {
        static const char call[] =
                        "{\"method\":\"io.muster.Query\",\"parameters\":"
                        "{\"question\":\"When does the harbour open?\",\"sources\":[\"text\"]}}";
        static char reply[65536];
        size_t size = 0;

        if (send(fd, call, sizeof(call), MSG_NOSIGNAL) != (ssize_t) sizeof(call))
                return false;
        while (size == 0 || reply[size - 1] != '\0') {
                ssize_t n = recv(fd, reply + size, sizeof(reply) - size, 0);
                if (n <= 0)
                        return false;
                size += (size_t) n;
        }
        return strstr(reply, "\"completeness\":\"complete\"") != NULL;
}

/* Half of its questions go over one connection, the others over a new one each. */
static int good_run(int stop, int count) {
        struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
        struct pollfd stopped = { .fd = stop, .events = POLLIN };
        int kept = client_connect(&daemon_one);
        unsigned n = 0;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) setsockopt(kept, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
        for (; poll(&stopped, 1, 10) == 0; n++) {
                int fd = n % 2 ? client_connect(&daemon_one) : kept;

                (void) setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
                if (!good_ask(fd))
                        return 1;
                if (fd != kept)
                        (void) close(fd);
        }
        return write(count, &n, sizeof(n)) == (ssize_t) sizeof(n) ? 0 : 1;
}

static void good_start(void) {
        int stop[2], count[2];

        assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
        assert_int_equal(pipe2(count, O_CLOEXEC), 0);
        good.pid = fork();
        assert_true(good.pid >= 0);
        if (good.pid == 0) {
                (void) close(stop[1]);
                _exit(good_run(stop[0], count[1]));
        }
        (void) close(stop[0]);
        (void) close(count[1]);
        good.stop = stop[1];
        good.count = count[0];
}

/* The number of its questions, all of them answered. */
static unsigned good_stop(void) {
        unsigned n = 0;
        int status;

        (void) close(good.stop);
        assert_int_equal(waitpid(good.pid, &status, 0), good.pid);
        assert_int_equal(status, 0);
        assert_int_equal(read(good.count, &n, sizeof(n)), sizeof(n));
        (void) close(good.count);
        return n;
}

/* ---- looking at the daemon ---- */

static uint64_t daemon_memory(void) {
        char path[64], line[256];
        unsigned long long kib = 0;

        (void) snprintf(path, sizeof(path), "/proc/%d/status", daemon_one.pid);
        FILE *file = fopen(path, "re");
        assert_non_null(file);
        while (fgets(line, sizeof(line), file))
                if (sscanf(line, "VmRSS: %llu kB", &kib) == 1)
                        break;
        (void) fclose(file);
        assert_true(kib > 0);
        return kib << 10;
}

/* Tools that look for errors keep what is freed for a while. */
static void assert_memory_bounded(void) {
        uint64_t most = SANITIZED || getenv("MUSTER_WRAPPER") ? 512 * MIB : 64 * MIB;
        uint64_t now = daemon_memory();

        if (now > memory_before + most)
                fail_msg("musterd has grown from %llu to %llu MiB",
                         (unsigned long long) (memory_before / MIB),
                         (unsigned long long) (now / MIB));
}

static json_int_t status_number(const char *path) {
        json_t *reply = daemon_call(&daemon_one, "io.muster.GetStatus", NULL);
        json_t *value = json_at(json_at(reply, "/parameters"), path);

        assert_non_null(value);
        json_int_t number = json_integer_value(value);
        json_decref(reply);
        return number;
}

static json_int_t hanging_fetches(void) {
        json_t *reply = daemon_call(&daemon_one, "io.muster.DescribeSource", "{\"source\":\"hang\"}");
        json_int_t number = json_integer_value(json_at(reply, "/parameters/in_flight"));

        json_decref(reply);
        return number;
}

static void wait_for_hanging(json_int_t wanted) {
        for (uint64_t end = monotonic_ms() + PATIENCE_MS; hanging_fetches() != wanted; pause_ms(10))
                if (monotonic_ms() > end)
                        fail_msg("%lld fetches hang, not %lld", (long long) hanging_fetches(),
                                 (long long) wanted);
}

/* Connections of others end when their process gets to it. */
static void wait_for_status(const char *path, json_int_t wanted) {
        for (uint64_t end = monotonic_ms() + PATIENCE_MS; status_number(path) != wanted; pause_ms(10))
                if (monotonic_ms() > end)
                        fail_msg("%s is %lld, not %lld", path, (long long) status_number(path),
                                 (long long) wanted);
}

/* ---- the means of misbehaving ---- */

/* As much as the daemon lets in. */
static size_t send_raw(int fd, const void *data, size_t size) {
        size_t sent = 0;

        while (sent < size) {
                ssize_t n = send(fd, (const char *) data + sent, size - sent, MSG_NOSIGNAL);
                if (n <= 0)
                        break;
                sent += (size_t) n;
        }
        return sent;
}

static void send_text(int fd, const char *text) {
        assert_int_equal(send_raw(fd, text, strlen(text)), strlen(text));
}

/* 1 when the connection has ended, 0 when nothing has come within the time, -1 when something
 * has. */
static int look(int fd, int timeout_ms) {
        struct pollfd pollfd = { .fd = fd, .events = POLLIN };
        char byte;

        if (poll(&pollfd, 1, timeout_ms) == 0)
                return 0;
        return recv(fd, &byte, 1, MSG_DONTWAIT) <= 0 ? 1 : -1;
}

/* The next that comes is the end. */
static void expect_end(int fd) {
        assert_int_equal(look(fd, PATIENCE_MS), 1);
        (void) close(fd);
}

static void expect_error(int fd, const char *error, const char *detail, const char *value) {
        json_t *reply = client_receive(fd);
        char path[64];

        (void) snprintf(path, sizeof(path), "/parameters/%s", detail);
        assert_non_null(reply);
        assert_string_equal(string_at(reply, "/error"), error);
        if (value)
                assert_string_equal(string_at(reply, path), value);
        json_decref(reply);
}

static void expect_answer(int fd) {
        json_t *reply = client_receive(fd);

        assert_non_null(reply);
        assert_true(true_at(reply, "/parameters/success"));
        json_decref(reply);
}

/* ---- calls that are none ---- */

static char *repeat(const char *piece, size_t n, size_t *ret_size) {
        size_t size = strlen(piece);
        char *text = malloc(n * size + 1);

        assert_non_null(text);
        for (size_t i = 0; i < n; i++)
                memcpy(text + i * size, piece, size);
        text[n * size] = '\0';
        *ret_size = n * size;
        return text;
}

/* Nobody can say what was asked, so there is no reply, only the end. */
static void test_no_call(void **state) {
        static const char *const frames[] = {
                "GET / HTTP/1.1\r\n\r\n",
                "hello",
                "",
                "{",
                "[]",
                "\"method\"",
                "{}",
                "{\"method\":7}",
                "{\"method\":\"io.muster.GetStatus\"} x",
                "{\"method\":\"io.muster.GetStatus\",\"parameters\":{\"\xff\":1}}",
                "{\"method\":\"io.muster.Get\xc0\xafStatus\"}",
                "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"\xed\xa0\x80\"}}",
                "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"\xf4\x90\x80\x80\"}}",
        };

        for (size_t i = 0; i < ELEMENTSOF(frames); i++) {
                int fd = client_connect(&daemon_one);
                assert_int_equal(send_raw(fd, frames[i], strlen(frames[i]) + 1), strlen(frames[i]) + 1);
                expect_end(fd);
        }
}

static void test_nested(void **state) {
        static const char *const openings[] = { "[", "{\"a\":", "[{\"method\":", "{\"parameters\":[" };
        static const char before[] = "{\"method\":\"io.muster.GetStatus\",\"parameters\":{\"a\":";

        for (size_t i = 0; i < ELEMENTSOF(openings); i++) {
                size_t size;
                char *text = repeat(openings[i], 10000, &size);

                int fd = client_connect(&daemon_one);
                assert_int_equal(send_raw(fd, text, size + 1), size + 1);
                expect_end(fd);
                fd = client_connect(&daemon_one);
                send_text(fd, before);
                assert_int_equal(send_raw(fd, text, size + 1), size + 1);
                expect_end(fd);
                free(text);
        }
}

static void test_zeros(void **state) {
        static const char zeros[65536];

        for (unsigned i = 0; i < 20; i++) {
                int fd = client_connect(&daemon_one);

                for (unsigned k = 0; k < 160; k++)
                        if (send_raw(fd, zeros, sizeof(zeros)) < sizeof(zeros))
                                break;
                expect_end(fd);
        }
        assert_memory_bounded();
}

static void test_garbage(void **state) {
        static unsigned char bytes[4096];
        uint32_t seed = 1;

        for (unsigned i = 0; i < 100; i++) {
                int fd = client_connect(&daemon_one);

                for (size_t k = 0; k < sizeof(bytes); k++) {
                        seed = seed * 1664525u + 1013904223u;
                        bytes[k] = (unsigned char) (seed >> 24);
                }
                bytes[sizeof(bytes) - 1] = 0;
                (void) send_raw(fd, bytes, sizeof(bytes));
                expect_end(fd);
        }
}

/* ---- calls that cannot be done ---- */

static void test_errors(void **state) {
        static const struct {
                const char *call, *error, *detail, *value;
        } calls[] = {
                { "{\"method\":\"io.muster.Nothing\"}", "org.varlink.service.MethodNotFound",
                  "method", "io.muster.Nothing" },
                { "{\"method\":\"nothing\"}", "org.varlink.service.MethodNotFound", "method",
                  "nothing" },
                { "{\"method\":\"io.other.GetStatus\"}", "org.varlink.service.InterfaceNotFound",
                  "interface", "io.other" },
                { "{\"method\":\"io.muster.GetStatus\",\"parameters\":[]}",
                  "org.varlink.service.InvalidParameter", "parameter", "parameters" },
                { "{\"method\":\"io.muster.GetStatus\",\"parameters\":{\"x\":1}}",
                  "org.varlink.service.InvalidParameter", "parameter", "x" },
                { "{\"method\":\"io.muster.GetStatus\",\"more\":1}",
                  "org.varlink.service.InvalidParameter", "parameter", "more" },
                { "{\"method\":\"io.muster.GetStatus\",\"upgrade\":true}",
                  "org.varlink.service.MethodNotImplemented", "method", "io.muster.GetStatus" },
                { "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"a\\u0000b\"}}",
                  "org.varlink.service.InvalidParameter", "parameter", "question" },
        };
        int fd = client_connect(&daemon_one);

        /* None of them costs the connection. */
        for (size_t i = 0; i < ELEMENTSOF(calls); i++) {
                (void) send_raw(fd, calls[i].call, strlen(calls[i].call) + 1);
                expect_error(fd, calls[i].error, calls[i].detail, calls[i].value);
        }
        client_send(fd, "io.muster.Query", "{\"question\":\"x\",\"sources\":[\"text\"]}");
        expect_answer(fd);

        /* This one does: what else stands in it cannot be trusted. */
        client_send_flags(fd, "io.muster.GetStatus", NULL, ",\"method\":\"io.muster.GetStatus\"");
        expect_error(fd, "org.varlink.service.InvalidParameter", "parameter", "parameters");
        expect_end(fd);
}

/* ---- too much ---- */

static void test_large_message(void **state) {
        static const char before[] =
                        "{\"method\":\"io.muster.Query\",\"parameters\":{\"sources\":[\"text\"],"
                        "\"question\":\"x\",\"parameters\":{\"p\":\"";
        static char filler[65536];

        memset(filler, 'x', sizeof(filler));
        for (unsigned i = 0; i < 8; i++) {
                int fd = client_connect(&daemon_one);
                size_t sent = send_raw(fd, before, strlen(before));

                while (sent < 17 * MIB && send_raw(fd, filler, sizeof(filler)) == sizeof(filler))
                        sent += sizeof(filler);
                assert_true(sent < 4 * MIB); /* the limit, and what sockets hold */
                expect_end(fd);
                assert_memory_bounded();
        }

        /* Much, but not too much, is taken. */
        int fd = client_connect(&daemon_one);
        send_text(fd, before);
        for (unsigned i = 0; i < 15; i++)
                assert_int_equal(send_raw(fd, filler, sizeof(filler)), sizeof(filler));
        assert_int_equal(send_raw(fd, "\"}}}", 5), 5);
        expect_answer(fd);
        (void) close(fd);
}

/* Replies of more than a MiB each are called for and left there. The first of each client waits in
 * its socket, and nothing further is worked on for it. */
static void test_unread_replies(void **state) {
        enum {
                CLIENTS = 8,
                CALLS = 100
        };
        int fds[CLIENTS];

        json_int_t before = status_number("/queries/total");
        for (size_t i = 0; i < CLIENTS; i++) {
                fds[i] = client_connect(&daemon_one);
                for (unsigned k = 0; k < CALLS; k++)
                        client_send(fds[i], "io.muster.Query",
                                    "{\"question\":\"x\",\"sources\":[\"large-0\"]}");
        }
        pause_ms(1500);
        assert_memory_bounded();
        wait_for_status("/tasks/held", 0);
        assert_true(status_number("/queries/total") - before < CLIENTS * CALLS);

        /* Who reads after all gets everything. */
        for (unsigned k = 0; k < CALLS; k++)
                expect_answer(fds[0]);
        for (size_t i = 0; i < CLIENTS; i++)
                (void) close(fds[i]);
        assert_memory_bounded();
}

static char *large_query(const char *others) {
        char *call = NULL;
        size_t size = 0;
        FILE *stream = open_memstream(&call, &size);

        assert_non_null(stream);
        (void) fprintf(stream, "{\"question\":\"x\",\"sources\":[%s", others);
        for (unsigned i = 0; i < LARGE_SOURCES; i++)
                (void) fprintf(stream, "%s\"large-%u\"", i > 0 || *others ? "," : "", i);
        (void) fputs("]}", stream);
        assert_int_equal(fclose(stream), 0);
        return call;
}

/* An answer that no message could hold leaves out the data. */
static void test_large_answer(void **state) {
        char *call = large_query("");

        json_t *answer = daemon_query(&daemon_one, call);
        assert_string_equal(string_at(answer, "/completeness"), "complete");
        assert_true(true_at(answer, "/sources/large-7/data_omitted"));
        assert_null(json_at(answer, "/sources/large-7/data"));
        json_decref(answer);
        free(call);
        assert_memory_bounded();
}

/* Events gather while nobody reads; over the limit the client is dropped, and its query with it. */
static void test_unread_events(void **state) {
        char *call = large_query("\"hang\"");
        int fd = client_connect(&daemon_one);

        json_int_t withdrawn = status_number("/queries/withdrawn");
        client_send_flags(fd, "io.muster.Query", call, ",\"more\":true");
        free(call);
        for (uint64_t end = monotonic_ms() + PATIENCE_MS;
             status_number("/queries/withdrawn") == withdrawn; pause_ms(20))
                assert_true(monotonic_ms() < end);
        assert_memory_bounded();
        wait_for_hanging(0);
        (void) close(fd);
}

/* While documents of others fill the arena to the last byte, not even a question finds a place. */
static void test_overloaded(void **state) {
        Daemon daemon;
        char name[32];

        daemon_prepare(&daemon);
        daemon_config(&daemon,
                      "[Supervisor]\nArenaSize=1M\nWorkers=1\nQueryTimeoutSec=5min\n"
                      "[Inference]\nTimeoutSec=1min\n");
        /* 512 KiB and its halves down to 512 bytes; the question takes what is left. */
        for (unsigned i = 0; i <= 10; i++) {
                (void) snprintf(name, sizeof(name), "half-%u", i);
                daemon_source(&daemon, name,
                              "[Source]\nURL=http://%s/bytes?n=%u\nEngine=spin\nSpinSec=30\nTimeoutSec=1min\n",
                              server.address, 524288u >> i);
        }
        daemon_start(&daemon, NULL);
        int fd = client_connect(&daemon);
        client_send(fd, "io.muster.Query", "{\"question\":\"x\"}");
        for (uint64_t end = monotonic_ms() + PATIENCE_MS;; pause_ms(10)) {
                json_t *reply = daemon_call(&daemon, "io.muster.GetStatus", NULL);
                json_int_t used = json_integer_value(json_at(reply, "/parameters/arena/used"));

                json_decref(reply);
                if (used == (json_int_t) MIB)
                        break;
                assert_true(monotonic_ms() < end);
        }
        json_t *reply = daemon_call(&daemon, "io.muster.Query", "{\"question\":\"x\"}");
        assert_string_equal(string_at(reply, "/error"), "io.muster.Overloaded");
        assert_true(number_at(reply, "/parameters/retry_after_ms") > 0);
        json_decref(reply);
        (void) close(fd);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* ---- too slow ---- */

static struct {
        const char *first;
        bool drips; /* goes on with a byte a second */
        bool stays; /* has done nothing wrong */
        int fd;
        uint64_t ended;
} slow[] = {
        { .first = "{\"method\":\"io.mus" },
        { .first = "x" },
        { .first = "{", .drips = true },
        { .first = "{\"method\":\"io.muster.GetStatus\",\"parameters\":{\"a\":\"", .drips = true },
        { .first = "{\"method\":\"io.muster.GetStatus\"}", .drips = true },
        { .first = "", .stays = true },
};

/* How many have ended by now. */
static size_t slow_step(bool drip) {
        size_t n = 0;

        for (size_t i = 0; i < ELEMENTSOF(slow); i++) {
                if (!slow[i].ended && slow[i].drips && drip)
                        (void) send_raw(slow[i].fd, " ", 1);
                int r = slow[i].ended ? 1 : look(slow[i].fd, 0);

                assert_true(r >= 0);
                if (r && !slow[i].ended)
                        slow[i].ended = monotonic_ms();
                n += (size_t) r;
        }
        return n;
}

static void ask_text(int fd) {
        client_send(fd, "io.muster.Query", "{\"question\":\"x\",\"sources\":[\"text\"]}");
        expect_answer(fd);
}

/* All at the same time, so that they cost their five seconds only once. */
static void test_slow(void **state) {
        int paced = client_connect(&daemon_one); /* whole calls, but with time between them */
        uint64_t start = monotonic_ms();

        for (size_t i = 0; i < ELEMENTSOF(slow); i++) {
                slow[i].fd = client_connect(&daemon_one);
                send_text(slow[i].fd, slow[i].first);
        }
        for (unsigned tick = 0; slow_step(tick % 10 == 9) < ELEMENTSOF(slow) - 1; tick++) {
                assert_true(monotonic_ms() < start + PATIENCE_MS);
                pause_ms(100);
                if (tick % 30 == 0)
                        ask_text(paced);
        }
        for (size_t i = 0; i < ELEMENTSOF(slow); i++) {
                assert_int_equal(slow[i].ended == 0, slow[i].stays);
                if (slow[i].stays)
                        ask_text(slow[i].fd);
                else
                        assert_true(slow[i].ended >= start + FRAME_TIMEOUT_S * 1000 - 200);
                (void) close(slow[i].fd);
        }
        (void) close(paced);
}

/* ---- clients that go away ---- */

static void test_half_close(void **state) {
        static const char *const parameters[] = {
                "{\"question\":\"x\",\"sources\":[\"text\"]}",
                "{\"question\":\"x\",\"sources\":[\"slow\"]}",
                "{\"question\":\"x\",\"sources\":[\"large-0\",\"large-1\"]}",
        };

        for (size_t i = 0; i < ELEMENTSOF(parameters); i++) {
                int fd = client_connect(&daemon_one);

                client_send(fd, "io.muster.Query", parameters[i]);
                assert_int_equal(shutdown(fd, SHUT_WR), 0);
                expect_answer(fd);
                expect_end(fd);
        }
}

static void test_vanish(void **state) {
        enum {
                CLIENTS = 50
        };
        int fds[CLIENTS];

        json_int_t withdrawn = status_number("/queries/withdrawn");
        for (size_t i = 0; i < CLIENTS; i++) {
                fds[i] = client_connect(&daemon_one);
                client_send(fds[i], "io.muster.Query",
                            "{\"question\":\"x\",\"sources\":[\"hang\",\"text\"]}");
                if (i % 2)
                        assert_int_equal(shutdown(fds[i], SHUT_WR), 0);
        }
        wait_for_hanging(CLIENTS);
        uint64_t start = monotonic_ms();
        for (size_t i = 0; i < CLIENTS; i++)
                (void) close(fds[i]);
        wait_for_hanging(0);
        assert_true(monotonic_ms() - start < 10000); /* at once, not at the source's time out */
        assert_true(status_number("/queries/withdrawn") == withdrawn + CLIENTS);

        char *log = daemon_log(&daemon_one);
        assert_non_null(strstr(log, "withdrawn by its client"));
        free(log);
}

static void test_vanish_while_streaming(void **state) {
        json_int_t withdrawn = status_number("/queries/withdrawn");
        int fd = client_connect(&daemon_one);

        client_send_flags(
                        fd, "io.muster.Query",
                        "{\"question\":\"x\",\"sources\":[\"hang\",\"text\"]}", ",\"more\":true");
        json_t *reply = client_receive(fd);
        assert_true(true_at(reply, "/continues"));
        assert_string_equal(string_at(reply, "/parameters/event/source"), "text");
        json_decref(reply);
        assert_true(hanging_fetches() == 1);
        (void) close(fd);
        wait_for_hanging(0);
        assert_true(status_number("/queries/withdrawn") == withdrawn + 1);
}

static void test_connect_and_close(void **state) {
        for (unsigned i = 0; i < 500; i++) {
                int fd = client_connect(&daemon_one);

                if (i % 5 == 1)
                        (void) send_raw(fd, "{\"met", 6);
                if (i % 5 == 2)
                        client_send(fd, "io.muster.GetStatus", NULL);
                if (i % 5 == 3)
                        client_send(fd, "io.muster.Query",
                                    "{\"question\":\"x\",\"sources\":[\"text\"]}");
                if (i % 5 == 4)
                        (void) shutdown(fd, SHUT_RDWR);
                (void) close(fd);
        }
}

/* ---- unusual, but right ---- */

/* The replies come in the order of the calls, though a third of those take time and the others
 * none. */
static void test_pipelined(void **state) {
        enum {
                CALLS = 1000
        };
        char *all = NULL, name[32];
        size_t size = 0;
        FILE *stream = open_memstream(&all, &size);
        int fd = client_connect(&daemon_one);

        assert_non_null(stream);
        for (unsigned i = 0; i < CALLS; i++) {
                (void) fprintf(stream,
                               i % 3 ? "{\"method\":\"io.muster.DescribeSource\",\"parameters\":{\"source\":\"no-%u\"}}" :
                                       "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"%u\",\"sources\":[\"text\"]}}",
                               i);
                (void) fputc('\0', stream);
        }
        assert_int_equal(fclose(stream), 0);
        assert_int_equal(send_raw(fd, all, size), size);
        free(all);
        for (unsigned i = 0; i < CALLS; i++) {
                json_t *reply = client_receive(fd);

                (void) snprintf(name, sizeof(name), i % 3 ? "no-%u" : "%u", i);
                assert_string_equal(
                                string_at(reply, i % 3 ? "/parameters/source" : "/parameters/query"),
                                name);
                json_decref(reply);
        }
        (void) close(fd);
}

static void test_oneway(void **state) {
        int fd = client_connect(&daemon_one);

        json_int_t before = status_number("/queries/total");
        for (unsigned i = 0; i < 10; i++) {
                client_send_flags(
                                fd, "io.muster.Query",
                                "{\"question\":\"x\",\"sources\":[\"text\"]}", ",\"oneway\":true");
                client_send_flags(fd, "io.muster.Nothing", NULL, ",\"oneway\":true");
                client_send_flags(fd, "io.muster.GetStatus", NULL, ",\"oneway\":true,\"more\":true");
        }
        client_send(fd, "io.muster.DescribeSource", "{\"source\":\"last\"}");
        expect_error(fd, "io.muster.NoSuchSource", "source", "last");
        assert_int_equal(look(fd, 100), 0);
        assert_true(status_number("/queries/total") >= before + 10);
        (void) close(fd);
}

/* ---- what remains ---- */

static void test_afterwards(void **state) {
        unsigned asked = good_stop();

        assert_true(asked >= 10);
        wait_for_status("/clients", 1); /* the one that asks */
        wait_for_status("/queries/open", 0);
        wait_for_status("/fetches/in_flight", 0);
        wait_for_status("/tasks/queued", 0);
        wait_for_status("/tasks/held", 0);
        assert_true(status_number("/arena/used") <= 65536);
        assert_memory_bounded();

        json_t *answer = daemon_query(&daemon_one, "{\"question\":\"x\",\"sources\":[\"text\"]}");
        assert_true(true_at(answer, "/success"));
        json_decref(answer);
}

static int setup(void **state) {
        char name[32];

        server_start(&server);
        daemon_prepare(&daemon_one);
        daemon_config(&daemon_one, "[Supervisor]\nQueryTimeoutSec=5min\n");
        daemon_source(&daemon_one, "text", "[Source]\nURL=http://%s/text\nTimeoutSec=1min\n",
                      server.address);
        daemon_source(&daemon_one, "slow",
                      "[Source]\nURL=http://%s/text?delay=500ms\nTimeoutSec=1min\n", server.address);
        daemon_source(&daemon_one, "hang", "[Source]\nURL=http://%s/hang\nTimeoutSec=5min\n",
                      server.address);
        for (unsigned i = 0; i < LARGE_SOURCES; i++) {
                (void) snprintf(name, sizeof(name), "large-%u", i);
                daemon_source(&daemon_one, name,
                              "[Source]\nURL=http://%s/bytes?n=1048576\nEngine=none\nTimeoutSec=1min\n",
                              server.address);
        }
        daemon_start(&daemon_one, NULL);
        memory_before = daemon_memory();
        good_start();
        return 0;
}

static int teardown(void **state) {
        daemon_stop(&daemon_one);
        daemon_cleanup(&daemon_one);
        server_stop(&server);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_no_call),
                cmocka_unit_test(test_nested),
                cmocka_unit_test(test_zeros),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_errors),
                cmocka_unit_test(test_large_message),
                cmocka_unit_test(test_large_answer),
                cmocka_unit_test(test_unread_replies),
                cmocka_unit_test(test_unread_events),
                cmocka_unit_test(test_overloaded),
                cmocka_unit_test(test_slow),
                cmocka_unit_test(test_half_close),
                cmocka_unit_test(test_vanish),
                cmocka_unit_test(test_vanish_while_streaming),
                cmocka_unit_test(test_connect_and_close),
                cmocka_unit_test(test_pipelined),
                cmocka_unit_test(test_oneway),
                cmocka_unit_test(test_afterwards),
        };
        return cmocka_run_group_tests_name("clients", tests, setup, teardown);
}
