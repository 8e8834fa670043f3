/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For integration tests: the real musterd in a directory of its own, the real source server, and a
 * plain client. Whatever goes wrong here fails the test with a message. Binaries come from the
 * environment: MUSTERD, MUSTERCTL, MUSTER_WORKER, SOURCE_SERVER (set by meson). MUSTER_WRAPPER (for
 * example "valgrind …") is put before musterd. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Daemon {
        char directory[64]; /* temporary; holds config/, state/, io.muster and log */
        char socket_path[96];
        pid_t pid;
        int status; /* of the last daemon_stop() */
} Daemon;

typedef struct SourceServer {
        pid_t pid;
        char address[64];    /* 127.0.0.1:PORT */
        char address_v6[64]; /* [::1]:PORT */
        char unix_path[96];
} SourceServer;

void server_start(SourceServer *server);
void server_stop(SourceServer *server);

/* Makes the directory; configuration files are added before daemon_start(). */
void daemon_prepare(Daemon *daemon);
/* `text` is the whole of muster.conf. Beside it a drop-in sets TTLSec=0, so that every query asks
 * its sources. */
void daemon_config(Daemon *daemon, const char *text);
/* printf-style text of sources.d/NAME.source. */
void daemon_source(Daemon *daemon, const char *name, const char *format, ...)
                __attribute__((format(printf, 3, 4)));
/* Starts it and waits until it answers. `options` (may be NULL) are further arguments. */
void daemon_start(Daemon *daemon, const char *const options[]);
/* SIGTERM, and waits; fails the test unless it exits with 0. */
void daemon_stop(Daemon *daemon);
/* Removes the directory. */
void daemon_cleanup(Daemon *daemon);
/* Everything it has logged so far; freed by the caller. */
char *daemon_log(const Daemon *daemon);

/* ---- a plain Varlink client ---- */

int client_connect(const Daemon *daemon);
void client_send(int fd, const char *method, const char *parameters);
void client_send_flags(int fd, const char *method, const char *parameters, const char *flags);
/* The next reply; NULL at end of stream. */
json_t *client_receive(int fd);
/* One call on a connection of its own; the whole reply object. */
json_t *daemon_call(const Daemon *daemon, const char *method, const char *parameters);
/* The answer of a Query, `parameters` as JSON text; fails the test when an error comes back. */
json_t *daemon_query(const Daemon *daemon, const char *parameters);

/* "/sources/weather/verdict" and the like: a path of keys and indices; NULL when it is not
 * there. */
json_t *json_at(const json_t *json, const char *path);
const char *string_at(const json_t *json, const char *path);
double number_at(const json_t *json, const char *path);
bool true_at(const json_t *json, const char *path);

/* Pids of the workers, as GetStatus tells them. Returns how many. */
size_t daemon_workers(const Daemon *daemon, pid_t pids[], size_t max);

uint64_t monotonic_ms(void);
void pause_ms(unsigned ms);

/* Runs a command to its end: its exit status, and its output (freed by the caller; may be NULL). */
int run_command(const char *const argv[], char **ret_stdout, char **ret_stderr);
