/* SPDX-License-Identifier: Apache-2.0 */

/* An open-loop load of questions on a Unix socket: so many a second at even distances, whatever
 * becomes of those before.
 *
 *     bench-load SOCKET RATE SECONDS PARAMETERS
 *
 * A client that waits for its answer before it asks again (ask.c) slows down with the server and so
 * hides how long others would have waited. Here a question has its time, and its latency counts
 * from then, even when this program was late to send it; how late it was is told as well, so that
 * its own lack of CPU is not taken for the server's.
 *
 * Every question is a text of its own, so no cache can answer whose source has {question} in its
 * request. PARAMETERS is a JSON object with further parameters of the call, for instance
 * {"priority":"batch"}. A question takes an idle connection or makes one, up to CONNECTIONS_MAX;
 * when there is none, it is not_sent. After the last one, answers are waited for until GRACE is
 * over. Prints one line of NAME=VALUE:
 *
 *     sent not_sent               questions
 *     answered overloaded         of those sent: replies that are answers; refusals by Overloaded
 *     other_errors                other replies, connections that were closed, no reply at all
 *     success_share               of those sent: answers with success
 *     complete partial failed     answers by their completeness
 *     p50_ms p99_ms max_ms        of answers
 *     overloaded_p50_ms …         of refusals, p99 and max as well
 *     retry_after_ms              the median of what refusals said
 *     late_p99_ms                 how much later than due questions were sent
 *
 * Epoll, a single thread. */

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "fdutil.h"

#define CONNECTIONS_MAX 4000u
#define ANSWER_MAX      (1u << 20)
#define GRACE           30.0 /* seconds; longer than a query may take by default */

typedef struct Connection {
        int fd;
        bool waiting; /* for a reply */
        double due;   /* when its question was to be sent */
        Buffer reply;
} Connection;

typedef struct Samples {
        double *values;
        size_t n;
} Samples;

static struct sockaddr_un address = { .sun_family = AF_UNIX };
static int epoll_fd = -1;
static Connection *idle[CONNECTIONS_MAX];
static size_t n_idle, n_connections, n_waiting;

static size_t n_sent, n_not_sent, n_success, n_complete, n_partial, n_failed, n_other;
static Samples answered, overloaded, retry_after, lateness; /* ms, one for each of them */

static double now(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* ---- samples ---- */

static bool samples_init(Samples *samples, size_t most) {
        samples->values = calloc(most, sizeof(*samples->values));
        return samples->values;
}

static void samples_add(Samples *samples, double value) {
        samples->values[samples->n++] = value;
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;
        return x < y ? -1 : x > y;
}

/* Of sorted ones. */
static double samples_quantile(const Samples *samples, double quantile) {
        size_t rank = (size_t) (quantile * (double) samples->n);

        if (samples->n == 0)
                return NAN;
        return samples->values[rank < samples->n ? rank : samples->n - 1];
}

static void samples_sort(Samples *samples) {
        qsort(samples->values, samples->n, sizeof(*samples->values), compare);
}

/* ---- connections ---- */

static void connection_free(Connection *connection) {
        (void) close(connection->fd);
        buffer_deinit(&connection->reply);
        free(connection);
        n_connections--;
}

static void idle_remove(const Connection *connection) {
        for (size_t i = 0; i < n_idle; i++)
                if (idle[i] == connection) {
                        idle[i] = idle[--n_idle];
                        return;
                }
}

/* The server has closed it, or something is wrong with it. */
static void connection_lost(Connection *connection) {
        if (connection->waiting) {
                n_waiting--;
                n_other++;
        } else
                idle_remove(connection);
        connection_free(connection);
}

/* NULL: there are enough, or the server's queue of connections is full. */
static Connection *connection_new(void) {
        int fd = n_connections < CONNECTIONS_MAX ?
                        socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) :
                        -1;
        Connection *connection = fd >= 0 ? calloc(1, sizeof(*connection)) : NULL;
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };

        if (!connection || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
                free(connection);
                if (fd >= 0)
                        (void) close(fd);
                return NULL;
        }
        connection->fd = fd;
        connection->reply.limit = ANSWER_MAX;
        n_connections++;
        return connection;
}

/* ---- replies ---- */

static const char *find(const Buffer *reply, const char *text) {
        return memmem(reply->data, reply->size, text, strlen(text));
}

static void take_reply(const Buffer *reply, double ms) {
        static const char after[] = "\"retry_after_ms\":";

        if (find(reply, "\"error\":\"io.muster.Overloaded\"")) {
                const char *at = find(reply, after);

                samples_add(&overloaded, ms);
                samples_add(&retry_after, at ? atof(at + sizeof(after) - 1) : 0);
        } else if (find(reply, "\"completeness\":\"")) {
                samples_add(&answered, ms);
                n_success += find(reply, "\"success\":true") != NULL;
                n_complete += find(reply, "\"completeness\":\"complete\"") != NULL;
                n_partial += find(reply, "\"completeness\":\"partial\"") != NULL;
                n_failed += find(reply, "\"completeness\":\"failed\"") != NULL;
        } else
                n_other++;
}

static void connection_readable(Connection *connection) {
        Buffer *reply = &connection->reply;
        char piece[65536];
        ssize_t n = recv(connection->fd, piece, sizeof(piece), 0);

        if (n < 0 && errno == EAGAIN)
                return;
        if (n <= 0 || !connection->waiting || buffer_append(reply, piece, (size_t) n) < 0)
                return connection_lost(connection);
        if (piece[n - 1] != '\0')
                return;
        take_reply(reply, (now() - connection->due) * 1e3);
        buffer_clear(reply);
        connection->waiting = false;
        n_waiting--;
        idle[n_idle++] = connection;
}

/* ---- questions ---- */

/* The text of the call: what comes before the number of the question, and after it. */
static Buffer before, after;

/* PARAMETERS without its braces goes behind the question. */
static bool compose(const char *parameters) {
        const char *begin = strchr(parameters, '{'), *end = strrchr(parameters, '}');

        if (!begin || !end)
                return false;
        begin += 1 + strspn(begin + 1, " \t\n");
        (void) buffer_printf(
                        &before,
                        "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":"
                        "\"What is happening now? %d-%.0f-",
                        (int) getpid(), now() * 1e3);
        (void) buffer_printf(&after, "\"%s%.*s}}", begin < end ? "," : "", (int) (end - begin), begin);
        return before.error == 0 && after.error == 0;
}

static bool connection_send(const Connection *connection, size_t number) {
        static Buffer call;

        buffer_clear(&call);
        (void) buffer_append(&call, before.data, before.size);
        (void) buffer_printf(&call, "%zu", number);
        (void) buffer_append(&call, after.data, after.size);
        (void) buffer_append_char(&call, '\0');
        return call.error == 0 &&
                        send(connection->fd, call.data, call.size, MSG_NOSIGNAL) ==
                        (ssize_t) call.size;
}

static void ask(size_t number, double due) {
        Connection *connection = n_idle > 0 ? idle[--n_idle] : connection_new();

        if (!connection || !connection_send(connection, number)) {
                if (connection)
                        connection_free(connection);
                n_not_sent++;
                return;
        }
        samples_add(&lateness, (now() - due) * 1e3);
        connection->due = due;
        connection->waiting = true;
        n_waiting++;
        n_sent++;
}

/* Up to that time, unless something comes before. */
static void wait_until(double time) {
        struct epoll_event events[64];
        double left = fmax(time - now(), 0);
        struct timespec pause = { .tv_sec = (time_t) left,
                                  .tv_nsec = (long) ((left - floor(left)) * 1e9) };
        int n = epoll_pwait2(epoll_fd, events, 64, &pause, NULL);

        for (int i = 0; i < n; i++)
                connection_readable(events[i].data.ptr);
}

static void run(double rate, size_t total) {
        double start = now(), end = start + (double) total / rate + GRACE, time;
        size_t next = 0;

        while ((time = now()) < end && (next < total || n_waiting > 0)) {
                for (; next < total && start + (double) next / rate <= time; next++)
                        ask(next, start + (double) next / rate);
                wait_until(next < total ? start + (double) next / rate : end);
        }
        n_other += n_waiting;
}

static void print_figures(void) {
        Samples *all[] = { &answered, &overloaded, &retry_after, &lateness };

        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
                samples_sort(all[i]);
        printf("sent=%zu not_sent=%zu answered=%zu overloaded=%zu other_errors=%zu ", n_sent,
               n_not_sent, answered.n, overloaded.n, n_other);
        printf("success_share=%.4f complete=%zu partial=%zu failed=%zu ",
               n_sent > 0 ? (double) n_success / (double) n_sent : NAN, n_complete, n_partial,
               n_failed);
        printf("p50_ms=%.3f p99_ms=%.3f max_ms=%.3f ", samples_quantile(&answered, .5),
               samples_quantile(&answered, .99), samples_quantile(&answered, 1));
        printf("overloaded_p50_ms=%.3f overloaded_p99_ms=%.3f overloaded_max_ms=%.3f ",
               samples_quantile(&overloaded, .5), samples_quantile(&overloaded, .99),
               samples_quantile(&overloaded, 1));
        printf("retry_after_ms=%.0f late_p99_ms=%.3f\n", samples_quantile(&retry_after, .5),
               samples_quantile(&lateness, .99));
}

int main(int argc, char **argv) {
        double rate = argc == 5 ? atof(argv[2]) : 0;
        size_t total = argc == 5 ? (size_t) (rate * atof(argv[3])) : 0;

        if (total == 0 || !compose(argv[4])) {
                fputs("Usage: bench-load SOCKET RATE SECONDS PARAMETERS\n", stderr);
                return 2;
        }
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[1]);
        (void) fd_raise_limit();
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (epoll_fd < 0 || !samples_init(&answered, total) || !samples_init(&overloaded, total) ||
            !samples_init(&retry_after, total) || !samples_init(&lateness, total))
                return EXIT_FAILURE;
        run(rate, total);
        print_figures();
        return n_sent > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
