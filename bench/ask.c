/* SPDX-License-Identifier: Apache-2.0 */

/* A load of questions on a Unix socket: so many clients, each asking again as soon as it has its
 * answer.
 *
 *     bench-ask SOCKET CLIENTS SECONDS DOCUMENTS CALL PID...
 *
 * CALL is the text that a client sends (a NUL is added), an answer is what comes up to the next
 * NUL. Prints, as one line, the queries per second, the median and the 99th percentile of the time
 * to answer, and the CPU time per query of the given processes and their children (the server's,
 * not this program's nor the sources'). One answer in SAMPLE is looked into: it must say success
 * and hold so many documents with the verdict "ok". */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX (1u << 22)
#define ANSWER_MAX  (1u << 18)
#define SAMPLE      16u

typedef struct Client {
        int fd;
        double asked;
        size_t received;
        char *answer;
} Client;

static double *samples;
static size_t n_samples, n_answers, n_failed;
static const char *call;
static size_t call_size, n_documents;

static double now(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

/* User and system time of a process and of the children that it has waited for, in seconds, from
 * its statistics (man 5 proc, fields 14 to 17). */
static double cpu_of(const char *pid, long *ret_parent) {
        char path[64], text[1024];
        unsigned long user = 0, system = 0;
        long parent = 0, children_user = 0, children_system = 0;

        (void) snprintf(path, sizeof(path), "/proc/%s/stat", pid);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 0;
        ssize_t n = read(fd, text, sizeof(text) - 1);
        (void) close(fd);
        if (n <= 0)
                return 0;
        text[n] = '\0';
        char *fields = strrchr(text, ')');
        if (!fields ||
            sscanf(fields + 2, "%*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld",
                   &parent, &user, &system, &children_user, &children_system) != 5)
                return 0;
        *ret_parent = parent;
        return (double) (user + system + (unsigned long) children_user +
                         (unsigned long) children_system) /
                        (double) sysconf(_SC_CLK_TCK);
}

static double cpu_of_family(const char *pid) {
        long parent, leader = atol(pid);
        double total = cpu_of(pid, &parent);
        DIR *proc = opendir("/proc");

        for (struct dirent *entry; proc && (entry = readdir(proc));) {
                if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
                        continue;
                double cpu = cpu_of(entry->d_name, &parent);
                if (parent == leader)
                        total += cpu;
        }
        if (proc)
                (void) closedir(proc);
        return total;
}

static double cpu_of_all(char **pids, int n) {
        double total = 0;

        for (int i = 0; i < n; i++)
                total += cpu_of_family(pids[i]);
        return total;
}

static int client_connect(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
                perror(path);
                exit(EXIT_FAILURE);
        }
        return fd;
}

static void client_ask(Client *client) {
        client->asked = now();
        client->received = 0;
        if (send(client->fd, call, call_size, MSG_NOSIGNAL) != (ssize_t) call_size) {
                perror("send");
                exit(EXIT_FAILURE);
        }
}

static bool answer_is_good(const char *answer, size_t size) {
        static const char ok[] = "\"verdict\":\"ok\"", success[] = "\"success\":true";
        size_t n = 0;

        for (const char *at = answer, *end = answer + size;
             (at = memmem(at, (size_t) (end - at), ok, sizeof(ok) - 1)); at += sizeof(ok) - 1)
                n++;
        return n == n_documents && memmem(answer, size, success, sizeof(success) - 1);
}

static void client_readable(Client *client, bool measuring) {
        size_t room = ANSWER_MAX - client->received;
        ssize_t n = recv(client->fd, client->answer + client->received, room, 0);

        if (n <= 0) {
                fputs(room == 0 ? "an answer is too long\n" : "the server closed a connection\n",
                      stderr);
                exit(EXIT_FAILURE);
        }
        client->received += (size_t) n;
        if (client->answer[client->received - 1] != '\0')
                return;
        if (n_answers++ % SAMPLE == 0 && !answer_is_good(client->answer, client->received))
                n_failed++;
        if (measuring && n_samples < SAMPLES_MAX)
                samples[n_samples++] = now() - client->asked;
        client_ask(client);
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;
        return x < y ? -1 : x > y;
}

/* Asks for `seconds`; returns how long it really took. */
static double run(int epoll_fd, double seconds, bool measuring) {
        double start = now(), end = start + seconds, time;

        while ((time = now()) < end) {
                struct epoll_event events[64];
                int n = epoll_wait(epoll_fd, events, 64, 100);
                for (int i = 0; i < n; i++)
                        client_readable(events[i].data.ptr, measuring);
        }
        return time - start;
}

int main(int argc, char **argv) {
        if (argc < 7) {
                fputs("Usage: bench-ask SOCKET CLIENTS SECONDS DOCUMENTS CALL PID...\n", stderr);
                return 2;
        }
        size_t n_clients = (size_t) atol(argv[2]);
        Client *clients = calloc(n_clients, sizeof(*clients));
        int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

        n_documents = (size_t) atol(argv[4]);
        call = argv[5];
        call_size = strlen(call) + 1;
        samples = calloc(SAMPLES_MAX, sizeof(*samples));
        if (!clients || !samples || epoll_fd < 0)
                return EXIT_FAILURE;
        for (size_t i = 0; i < n_clients; i++) {
                struct epoll_event event = { .events = EPOLLIN, .data.ptr = &clients[i] };

                clients[i].answer = malloc(ANSWER_MAX);
                clients[i].fd = client_connect(argv[1]);
                if (!clients[i].answer ||
                    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, clients[i].fd, &event) < 0)
                        return EXIT_FAILURE;
                client_ask(&clients[i]);
        }

        (void) run(epoll_fd, .5, false);
        double cpu = cpu_of_all(argv + 6, argc - 6);
        double took = run(epoll_fd, atof(argv[3]), true);
        cpu = cpu_of_all(argv + 6, argc - 6) - cpu;

        if (n_samples == 0)
                return EXIT_FAILURE;
        qsort(samples, n_samples, sizeof(*samples), compare);
        printf("queries_per_s=%.0f p50_ms=%.3f p99_ms=%.3f cpu_us_per_query=%.1f failed=%zu\n",
               (double) n_samples / took, samples[n_samples / 2] * 1e3,
               samples[n_samples * 99 / 100] * 1e3, cpu / (double) n_samples * 1e6, n_failed);
        return n_failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
