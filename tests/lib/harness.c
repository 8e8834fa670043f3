/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

/* Generous: machines that run tests are slow and shared, and valgrind is slower. */
#define START_TIMEOUT_MS 60000
#define REPLY_TIMEOUT_MS 120000

uint64_t monotonic_ms(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

void pause_ms(unsigned ms) {
        struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = (long) (ms % 1000) * 1000000 };

        while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
                ;
}

static const char *binary(const char *variable) {
        const char *path = getenv(variable);

        if (!path)
                fail_msg("%s is not set; run the tests with meson test", variable);
        return path;
}

/* ---- processes ---- */

static pid_t spawn(const char *const argv[], int stdout_fd, int stderr_fd) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid > 0)
                return pid;
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (stdout_fd >= 0)
                (void) dup2(stdout_fd, STDOUT_FILENO);
        if (stderr_fd >= 0)
                (void) dup2(stderr_fd, STDERR_FILENO);
        (void) execv(argv[0], (char *const *) (uintptr_t) argv);
        perror(argv[0]);
        _exit(127);
}

static char *read_all(int fd) {
        size_t size = 0, capacity = 4096;
        char *text = malloc(capacity);

        assert_non_null(text);
        for (ssize_t n; (n = read(fd, text + size, capacity - size - 1)) > 0;) {
                size += (size_t) n;
                if (capacity - size < 2048) {
                        text = realloc(text, capacity *= 2);
                        assert_non_null(text);
                }
        }
        text[size] = '\0';
        return text;
}

static FILE *temporary(void) {
        FILE *file = tmpfile();

        assert_non_null(file);
        return file;
}

static void take_output(FILE *file, char **ret) {
        if (ret) {
                assert_true(lseek(fileno(file), 0, SEEK_SET) == 0);
                *ret = read_all(fileno(file));
        }
        (void) fclose(file);
}

int run_command(const char *const argv[], char **ret_stdout, char **ret_stderr) {
        FILE *out = temporary(), *err = temporary();
        pid_t pid = spawn(argv, fileno(out), fileno(err));
        int status = 0;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        take_output(out, ret_stdout);
        take_output(err, ret_stderr);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- the source server ---- */

void server_start(SourceServer *server) {
        static unsigned number;
        char unix_option[128];
        int fds[2];

        (void) snprintf(server->unix_path, sizeof(server->unix_path), "/tmp/muster-test-%d-%u.sock",
                        getpid(), number++);
        (void) snprintf(unix_option, sizeof(unix_option), "--unix=%s", server->unix_path);
        const char *argv[] = { binary("SOURCE_SERVER"), "--listen=127.0.0.1:0", "--listen=::1:0",
                               unix_option, NULL };

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        server->pid = spawn(argv, fds[1], -1);
        (void) close(fds[1]);
        FILE *lines = fdopen(fds[0], "re");
        assert_non_null(lines);
        assert_int_equal(fscanf(lines, "%63s %63s", server->address, server->address_v6), 2);
        char unix_line[128];
        assert_int_equal(fscanf(lines, "%127s", unix_line), 1);
        (void) fclose(lines);
}

void server_stop(SourceServer *server) {
        (void) kill(server->pid, SIGKILL);
        (void) waitpid(server->pid, NULL, 0);
        (void) unlink(server->unix_path);
}

/* ---- the daemon ---- */

static void write_file(const char *path, const char *text) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void make_directory(const Daemon *daemon, const char *name) {
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/%s", daemon->directory, name);
        assert_int_equal(mkdir(path, 0700), 0);
}

/* Every query asks its sources, unless a source has a [Cache] of its own. */
static void daemon_uncache(const Daemon *daemon) {
        char path[128];

        make_directory(daemon, "config/muster.conf.d");
        (void) snprintf(path, sizeof(path), "%s/config/muster.conf.d/uncached.conf",
                        daemon->directory);
        write_file(path, "[Cache]\nTTLSec=0\n");
}

void daemon_prepare(Daemon *daemon) {
        *daemon = (Daemon){};
        (void) snprintf(daemon->directory, sizeof(daemon->directory), "/tmp/muster-test-XXXXXX");
        assert_non_null(mkdtemp(daemon->directory));
        (void) snprintf(daemon->socket_path, sizeof(daemon->socket_path), "%s/io.muster",
                        daemon->directory);
        make_directory(daemon, "config");
        make_directory(daemon, "config/sources.d");
        make_directory(daemon, "state");
        daemon_uncache(daemon);
}

void daemon_config(Daemon *daemon, const char *text) {
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/config/muster.conf", daemon->directory);
        write_file(path, text);
}

void daemon_source(Daemon *daemon, const char *name, const char *format, ...) {
        char path[256], *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        assert_true(vasprintf(&text, format, arguments) >= 0);
        va_end(arguments);
        (void) snprintf(path, sizeof(path), "%s/config/sources.d/%s.source", daemon->directory, name);
        write_file(path, text);
        free(text);
}

/* Or -1, with errno. */
static int try_connect(const Daemon *daemon) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_true(strlen(daemon->socket_path) < sizeof(address.sun_path));
        memcpy(address.sun_path, daemon->socket_path, strlen(daemon->socket_path) + 1);
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) == 0)
                return fd;
        int error = errno;
        (void) close(fd);
        errno = error;
        return -1;
}

/* A socket that is there already takes connections only from listen() on. */
static void wait_until_ready(Daemon *daemon) {
        uint64_t end = monotonic_ms() + START_TIMEOUT_MS;

        for (; monotonic_ms() < end; pause_ms(20)) {
                int status;

                if (waitpid(daemon->pid, &status, WNOHANG) == daemon->pid) {
                        char *log = daemon_log(daemon);
                        fail_msg("musterd ended at start with status %d:\n%s", status, log);
                }
                int fd = try_connect(daemon);
                if (fd < 0)
                        continue;
                (void) close(fd);
                json_t *reply = daemon_call(daemon, "io.muster.GetStatus", NULL);
                bool running = string_at(reply, "/parameters/state") &&
                                strcmp(string_at(reply, "/parameters/state"), "running") == 0;
                json_decref(reply);
                if (running)
                        return;
        }
        fail_msg("musterd did not become ready within %d ms", START_TIMEOUT_MS);
}

void daemon_start(Daemon *daemon, const char *const options[]) {
        char config[128], state[128], socket_option[128], worker[512], log[128];
        const char *argv[48] = {};
        size_t n = 0;

        (void) snprintf(config, sizeof(config), "--config-dir=%s/config", daemon->directory);
        (void) snprintf(state, sizeof(state), "--state-dir=%s/state", daemon->directory);
        (void) snprintf(socket_option, sizeof(socket_option), "--socket=%s", daemon->socket_path);
        (void) snprintf(worker, sizeof(worker), "--worker=%s", binary("MUSTER_WORKER"));
        (void) snprintf(log, sizeof(log), "%s/log", daemon->directory);

        char *wrapper = getenv("MUSTER_WRAPPER") ? strdup(getenv("MUSTER_WRAPPER")) : NULL;
        char *rest = wrapper;
        for (char *word; n < 32 && (word = strsep(&rest, " "));)
                if (*word)
                        argv[n++] = word;
        argv[n++] = binary("MUSTERD");
        argv[n++] = config;
        argv[n++] = state;
        argv[n++] = socket_option;
        argv[n++] = worker;
        for (size_t i = 0; options && options[i] && n < 47; i++)
                argv[n++] = options[i];

        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        daemon->pid = spawn(argv, fd, fd);
        (void) close(fd);
        free(wrapper);
        wait_until_ready(daemon);
}

void daemon_stop(Daemon *daemon) {
        assert_int_equal(kill(daemon->pid, SIGTERM), 0);
        assert_int_equal(waitpid(daemon->pid, &daemon->status, 0), daemon->pid);
        if (daemon->status != 0) {
                char *log = daemon_log(daemon);
                fail_msg("musterd ended with status 0x%x:\n%s", (unsigned) daemon->status, log);
        }
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

void daemon_cleanup(Daemon *daemon) {
        (void) nftw(daemon->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

char *daemon_log(const Daemon *daemon) {
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/log", daemon->directory);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        char *text = read_all(fd);
        (void) close(fd);
        return text;
}

/* ---- the client ---- */

int client_connect(const Daemon *daemon) {
        int fd = try_connect(daemon);

        if (fd < 0)
                fail_msg("cannot connect to %s: %m", daemon->socket_path);
        return fd;
}

void client_send_flags(int fd, const char *method, const char *parameters, const char *flags) {
        char *text = NULL;
        int n =
                        asprintf(&text, "{\"method\":\"%s\",\"parameters\":%s%s}", method,
                                 parameters ? parameters : "{}", flags);

        assert_true(n >= 0);
        for (ssize_t sent = 0; sent <= n;) {
                ssize_t r = send(fd, text + sent, (size_t) (n + 1 - sent), MSG_NOSIGNAL);
                assert_true(r > 0);
                sent += r;
        }
        free(text);
}

void client_send(int fd, const char *method, const char *parameters) {
        client_send_flags(fd, method, parameters, "");
}

/* Byte by byte up to the NUL would be slow for large answers, so it peeks first. */
json_t *client_receive(int fd) {
        size_t size = 0, capacity = 65536;
        char *text = malloc(capacity);
        json_t *reply = NULL;

        assert_non_null(text);
        for (;;) {
                struct pollfd pollfd = { .fd = fd, .events = POLLIN };
                if (poll(&pollfd, 1, REPLY_TIMEOUT_MS) <= 0)
                        fail_msg("no reply within %d ms", REPLY_TIMEOUT_MS);
                ssize_t n = recv(fd, text + size, capacity - size, MSG_PEEK);
                if (n <= 0)
                        break;
                char *end = memchr(text + size, '\0', (size_t) n);
                size_t take = end ? (size_t) (end + 1 - (text + size)) : (size_t) n;
                assert_int_equal(recv(fd, text + size, take, MSG_WAITALL), (ssize_t) take);
                size += take;
                if (end) {
                        json_error_t error;
                        reply = json_loadb(text, size - 1, JSON_DECODE_ANY, &error);
                        if (!reply)
                                fail_msg("the reply is no JSON: %s at %d: %.300s", error.text,
                                         error.position, text);
                        break;
                }
                if (capacity - size < 4096) {
                        text = realloc(text, capacity *= 2);
                        assert_non_null(text);
                }
        }
        free(text);
        return reply;
}

json_t *daemon_call(const Daemon *daemon, const char *method, const char *parameters) {
        int fd = client_connect(daemon);

        client_send(fd, method, parameters);
        json_t *reply = client_receive(fd);
        (void) close(fd);
        assert_non_null(reply);
        return reply;
}

json_t *daemon_query(const Daemon *daemon, const char *parameters) {
        json_t *reply = daemon_call(daemon, "io.muster.Query", parameters);
        json_t *answer = json_object_get(reply, "parameters");

        if (json_object_get(reply, "error"))
                fail_msg("Query was refused: %s", json_string_value(json_object_get(reply, "error")));
        assert_non_null(answer);
        json_incref(answer);
        json_decref(reply);
        return answer;
}

json_t *json_at(const json_t *json, const char *path) {
        const json_t *at = json;

        while (at && *path == '/') {
                char key[128];
                size_t n = strcspn(path + 1, "/");

                (void) snprintf(key, sizeof(key), "%.*s", (int) n, path + 1);
                at = json_is_array(at) ? json_array_get(at, (size_t) atoi(key)) :
                                         json_object_get(at, key);
                path += n + 1;
        }
        return (json_t *) (uintptr_t) at;
}

const char *string_at(const json_t *json, const char *path) {
        return json_string_value(json_at(json, path));
}

double number_at(const json_t *json, const char *path) {
        return json_number_value(json_at(json, path));
}

bool true_at(const json_t *json, const char *path) {
        return json_is_true(json_at(json, path));
}

size_t daemon_workers(const Daemon *daemon, pid_t pids[], size_t max) {
        json_t *reply = daemon_call(daemon, "io.muster.GetStatus", NULL);
        json_t *workers = json_at(reply, "/parameters/workers");
        size_t n = 0;

        for (size_t i = 0; i < json_array_size(workers) && n < max; i++) {
                pid_t pid = (pid_t) number_at(json_array_get(workers, i), "/pid");
                if (pid > 0)
                        pids[n++] = pid;
        }
        json_decref(reply);
        return n;
}
