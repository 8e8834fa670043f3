/* SPDX-License-Identifier: Apache-2.0 */

/* Many at once, on one machine:
 *
 *     bench-scale burst SOCKET PID
 *     bench-scale memory SOCKET PID QUERIES
 *     bench-scale crowd SOCKET PID CLIENTS QUERIES SECONDS
 *     bench-scale shortage SOCKET PID CLIENTS
 *
 * burst     One query of all slow sources. Prints how many answered and in what time. memory
 * QUERIES of them at once. Prints how much private memory of the daemon (PID) one fetch in flight
 * takes, and
 *           how much kernel memory on this machine, both as growth from the idle daemon while all
 *           fetches wait.
 * crowd     The same small query again and again for so many seconds, first alone, then while
 * another process
 *           holds CLIENTS idle connections and has QUERIES slow ones under way. Prints what it
 *           takes in both cases.
 * shortage  For a daemon with few descriptors: one query of all slow sources and CLIENTS
 * connections. Prints what became of
 *           them, and whether the small query is answered when the others have gone.
 *
 * The slow sources are all but one, called "small"; the daemon's configuration says how slow. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "fdutil.h"
#include "macro.h"

#define SMALL \
        "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"small\",\"sources\":[\"small\"]}}"
#define STATUS      "{\"method\":\"io.muster.GetStatus\"}"
#define SAMPLES_MAX (1u << 20)
#define STATUS_MS   100
/* By then all fetches of a query are under way and none is answered: the sources take at least 1
 * s. */
#define UNDER_WAY_MS 600
#define TIMEOUT_MS   60000

static const char *socket_path, *pid;
static char *slow; /* the call that asks all slow sources */

static _Noreturn void die(const char *format, ...) PRINTF_LIKE(1, 2);
static _Noreturn void die(const char *format, ...) {
        va_list arguments;

        fputs("bench-scale: ", stderr);
        va_start(arguments, format);
        (void) vfprintf(stderr, format, arguments);
        va_end(arguments);
        fputc('\n', stderr);
        exit(EXIT_FAILURE);
}

static double now_ms(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec * 1e3 + (double) ts.tv_nsec / 1e6;
}

static void wait_ms(int ms) {
        (void) poll(NULL, 0, ms);
}

/* ---- talking to the daemon ---- */

static int client_connect(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                die("cannot connect: %m");
        return fd;
}

static bool client_send(int fd, const char *call) {
        size_t size = strlen(call) + 1;

        return fd_write_all(fd, call, size) == 0;
}

/* False: the daemon closed the connection. */
static bool client_receive(int fd, Buffer *reply) {
        buffer_clear(reply);
        for (;;) {
                struct pollfd wait = { .fd = fd, .events = POLLIN };
                if (poll(&wait, 1, TIMEOUT_MS) <= 0)
                        die("no answer within %d ms", TIMEOUT_MS);
                if (buffer_reserve(reply, 1u << 16) < 0)
                        die("out of memory");
                ssize_t n = recv(fd, reply->data + reply->size, reply->capacity - reply->size, 0);
                if (n <= 0)
                        return false;
                reply->size += (size_t) n;
                if (reply->data[reply->size - 1] == '\0')
                        return true;
        }
}

static void ask(int fd, const char *call, Buffer *reply) {
        if (!client_send(fd, call) || !client_receive(fd, reply))
                die("the daemon closed a connection");
}

static size_t count(const Buffer *reply, const char *text) {
        size_t n = 0;

        for (const char *at = reply->data; (at = strstr(at, text)); at += strlen(text))
                n++;
        return n;
}

static double number_of(const Buffer *reply, const char *key) {
        const char *at = strstr(reply->data, key);

        if (!at)
                die("the answer has no %s", key);
        return atof(at + strlen(key));
}

/* ListSources gives the names. */
static size_t prepare_slow_query(void) {
        Buffer reply = {}, call = {};
        int fd = client_connect();
        size_t n = 0;

        ask(fd, "{\"method\":\"io.muster.ListSources\"}", &reply);
        (void) close(fd);
        (void) buffer_append_string(
                        &call,
                        "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"slow\",\"sources\":[");
        for (const char *at = reply.data; (at = strstr(at, "\"name\":\"slow-")); n++) {
                at += strlen("\"name\":");
                (void) buffer_printf(&call, "%s%.*s", n ? "," : "", (int) strcspn(at, ",}"), at);
        }
        (void) buffer_append_string(&call, "]}}");
        buffer_deinit(&reply);
        slow = buffer_steal(&call);
        if (!slow || n == 0)
                die("the daemon has no slow sources");
        return n;
}

/* Begins so many slow queries, each on a connection of its own. */
static int *begin_slow(size_t n_queries) {
        int *fds = calloc(n_queries, sizeof(*fds));

        for (size_t i = 0; fds && i < n_queries; i++) {
                fds[i] = client_connect();
                if (!client_send(fds[i], slow))
                        die("cannot send a query");
        }
        return fds;
}

/* Waits for their answers; returns how many sources answered, and the longest time of a query. */
static size_t end_slow(int *fds, size_t n_queries, double *ret_seconds) {
        Buffer reply = {};
        size_t n = 0;

        *ret_seconds = 0;
        for (size_t i = 0; i < n_queries; i++) {
                if (!client_receive(fds[i], &reply))
                        die("the daemon closed a connection");
                n += count(&reply, "\"verdict\":\"ok\"");
                *ret_seconds = MAX(*ret_seconds, number_of(&reply, "\"execution_time\":"));
                (void) close(fds[i]);
        }
        buffer_deinit(&reply);
        free(fds);
        return n;
}

/* ---- burst ---- */

static void burst(void) {
        size_t n = prepare_slow_query();
        double first, second;
        size_t n_first = end_slow(begin_slow(1), 1, &first);
        size_t n_second = end_slow(begin_slow(1), 1, &second);

        printf("sources=%zu answered=%zu seconds=%.4f answered_kept=%zu seconds_kept=%.4f\n", n,
               n_first, first, n_second, second);
}

/* ---- memory ---- */

/* A number of KiB from a file of lines "Name: number kB". */
static double kib(const char *path, const char *name) {
        char line[256];
        double value = -1;
        FILE *file = fopen(path, "re");

        while (file && value < 0 && fgets(line, sizeof(line), file))
                if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
                        value = atof(line + strlen(name) + 1);
        if (file)
                (void) fclose(file);
        if (value < 0)
                die("%s has no %s", path, name);
        return value;
}

typedef struct Memory {
        double private, peak, slab;
} Memory;

static Memory memory_read(void) {
        char path[64];
        Memory memory;

        (void) snprintf(path, sizeof(path), "/proc/%s/smaps_rollup", pid);
        memory.private = kib(path, "Private_Dirty");
        (void) snprintf(path, sizeof(path), "/proc/%s/status", pid);
        memory.peak = kib(path, "VmHWM");
        memory.slab = kib("/proc/meminfo", "Slab");
        return memory;
}

static void memory(size_t n_queries) {
        double n = (double) (prepare_slow_query() * n_queries), seconds;
        Memory idle = memory_read();
        int *fds = begin_slow(n_queries);

        wait_ms(UNDER_WAY_MS);
        Memory waiting = memory_read();
        size_t answered = end_slow(fds, n_queries, &seconds);
        Memory after = memory_read();

        printf("fetches=%.0f answered=%zu idle_kib=%.0f private_kib_per_fetch=%.3f peak_kib_per_fetch=%.3f slab_kib_per_fetch=%.3f\n",
               n, answered, idle.private, (waiting.private - idle.private) / n,
               (after.peak - idle.peak) / n, (waiting.slab - idle.slab) / n);
}

/* ---- crowd ---- */

typedef struct Samples {
        double *ms;
        size_t count;
} Samples;

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;
        return (x > y) - (x < y);
}

static double quantile(Samples *samples, double q) {
        if (samples->count == 0)
                return 0;
        qsort(samples->ms, samples->count, sizeof(*samples->ms), compare);
        return samples->ms[(size_t) ((double) (samples->count - 1) * q)];
}

/* Asks until `end`; tells how many fetches were in flight at most, as the daemon's status says. */
static size_t ask_small(int fd, double end, Samples *samples) {
        Buffer reply = {};
        size_t most = 0;

        for (double status = 0, start; (start = now_ms()) < end;) {
                ask(fd, SMALL, &reply);
                if (count(&reply, "\"verdict\":\"ok\"") != 1)
                        die("the small query was not answered: %.300s", reply.data);
                if (samples->count < SAMPLES_MAX)
                        samples->ms[samples->count++] = now_ms() - start;
                if (start >= status) {
                        ask(fd, STATUS, &reply);
                        most = MAX(most, (size_t) number_of(&reply, "\"in_flight\":"));
                        status = start + STATUS_MS;
                }
                wait_ms(1); /* a client with a question now and then, not a load of its own */
        }
        buffer_deinit(&reply);
        return most;
}

typedef struct Crowd {
        size_t clients_open, asked, answered;
        double longest;
} Crowd;

/* The other process: connects, and asks slow queries until `end`. */
static void crowd_run(Crowd *crowd, size_t n_clients, size_t n_queries, double end) {
        size_t n_slow = prepare_slow_query();
        int *idle = calloc(n_clients, sizeof(int));
        double seconds;

        for (size_t i = 0; idle && i < n_clients; i++)
                idle[i] = client_connect();
        while (now_ms() < end) {
                crowd->answered += end_slow(begin_slow(n_queries), n_queries, &seconds);
                crowd->asked += n_slow * n_queries;
                crowd->longest = MAX(crowd->longest, seconds);
        }
        for (size_t i = 0; idle && i < n_clients; i++) {
                struct pollfd wait = { .fd = idle[i], .events = POLLIN };
                crowd->clients_open += poll(&wait, 1, 0) == 0; /* the daemon did not close it */
        }
}

static void crowd(size_t n_clients, size_t n_queries, double seconds) {
        Crowd *crowd =
                        mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        Samples alone = { .ms = calloc(SAMPLES_MAX, sizeof(double)) };
        Samples among = { .ms = calloc(SAMPLES_MAX, sizeof(double)) };
        int fd = client_connect(), status;

        if (crowd == MAP_FAILED || !alone.ms || !among.ms)
                die("out of memory");
        (void) ask_small(fd, now_ms() + seconds * 1e3, &alone);
        double end = now_ms() + seconds * 1e3;
        pid_t other = fork();
        if (other == 0) {
                crowd_run(crowd, n_clients, n_queries, end);
                exit(EXIT_SUCCESS);
        }
        size_t most = ask_small(fd, end, &among);
        if (other < 0 || waitpid(other, &status, 0) != other || status != 0)
                die("the crowd was not served");
        printf("clients=%zu clients_open=%zu in_flight=%zu asked=%zu answered=%zu longest_s=%.3f "
               "alone_p50_ms=%.3f alone_p99_ms=%.3f among_p50_ms=%.3f among_p99_ms=%.3f among_max_ms=%.3f\n",
               n_clients, crowd->clients_open, most, crowd->asked, crowd->answered, crowd->longest,
               quantile(&alone, .5), quantile(&alone, .99), quantile(&among, .5),
               quantile(&among, .99), quantile(&among, 1));
}

/* ---- shortage ---- */

static void shortage(size_t n_clients) {
        size_t n_slow = prepare_slow_query(), refused = 0, ok, shed;
        int *idle = calloc(n_clients, sizeof(int)), fd = client_connect();
        Buffer reply = {};

        ask(fd, slow, &reply);
        ok = count(&reply, "\"verdict\":\"ok\"");
        shed = count(&reply, "\"verdict\":\"shed\"");
        for (size_t i = 0; idle && i < n_clients; i++)
                idle[i] = client_connect();
        wait_ms(500);
        for (size_t i = 0; i < n_clients; i++) {
                struct pollfd wait = { .fd = idle[i], .events = POLLIN };
                refused += poll(&wait, 1, 0) == 1;
                (void) close(idle[i]);
        }
        wait_ms(500);
        ask(fd, SMALL, &reply);
        printf("sources=%zu ok=%zu shed=%zu clients=%zu refused=%zu small_ok=%zu\n", n_slow, ok,
               shed, n_clients, refused, count(&reply, "\"verdict\":\"ok\""));
        buffer_deinit(&reply);
}

int main(int argc, char **argv) {
        const char *what = argc > 1 ? argv[1] : "";

        (void) fd_raise_limit();
        if (argc > 3) {
                socket_path = argv[2];
                pid = argv[3];
        }
        if (strcmp(what, "burst") == 0 && argc == 4)
                burst();
        else if (strcmp(what, "memory") == 0 && argc == 5)
                memory((size_t) atol(argv[4]));
        else if (strcmp(what, "crowd") == 0 && argc == 7)
                crowd((size_t) atol(argv[4]), (size_t) atol(argv[5]), atof(argv[6]));
        else if (strcmp(what, "shortage") == 0 && argc == 5)
                shortage((size_t) atol(argv[4]));
        else {
                fputs("Usage: bench-scale burst|memory|crowd|shortage SOCKET PID ...\n", stderr);
                return 2;
        }
        return EXIT_SUCCESS;
}
