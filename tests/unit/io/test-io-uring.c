/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "behaviour.h"
#include "clock.h"
#include "macro.h"

/* ---- a kernel that misbehaves: these stand in front of liburing's functions ---- */

static unsigned refusals;                    /* submissions yet to be refused */
static int refusal;                          /* with this */
static bool (*spoil)(struct io_uring_cqe *); /* changes a completion; true: leaves it alone from now on */
static unsigned spoiled;

static void spoil_new(struct io_uring *ring) {
        struct io_uring_cqe *cqe;
        unsigned head;

        io_uring_for_each_cqe(ring, head, cqe) {
                /* Timeouts and cancels have the upper half's high bits set; only owners' operations
                 * are spoilt. */
                if (!spoil || cqe->user_data >> 62 != 0 || !spoil(cqe))
                        continue;
                spoil = NULL;
                spoiled++;
        }
}

int io_uring_submit_and_wait(struct io_uring *ring, unsigned count) {
        int (*real)(struct io_uring *, unsigned) = NULL;

        if (refusals > 0) {
                refusals--;
                return refusal;
        }
        *(void **) &real = dlsym(RTLD_NEXT, "io_uring_submit_and_wait");
        int r = real(ring, count);
        spoil_new(ring);
        return r;
}

int io_uring_submit_and_get_events(struct io_uring *ring) {
        int (*real)(struct io_uring *) = NULL;

        if (refusals > 0) {
                refusals--;
                return refusal;
        }
        *(void **) &real = dlsym(RTLD_NEXT, "io_uring_submit_and_get_events");
        return real(ring);
}

static void half_close(Io *io, int fd) {
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
}

static void ring(Io *io, int fd) {
        assert_int_equal(eventfd_write(fd, 1), 0);
}

static int limit(Io *io, int spare) {
        struct rlimit now;
        int used = 0;

        if (getrlimit(RLIMIT_NOFILE, &now) < 0)
                return -errno;
        if (spare >= 0) {
                while (fcntl(used, F_GETFD) >= 0)
                        used++;
                now.rlim_cur = (rlim_t) (used + spare);
        } else
                now.rlim_cur = now.rlim_max;
        return setrlimit(RLIMIT_NOFILE, &now) < 0 ? -errno : 0;
}

static int file(Io *io, bool protect) {
        char path[] = "/tmp/muster-test-XXXXXX";
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        if (protect) {
                (void) close(fd);
                fd = open(path, O_RDONLY | O_CLOEXEC);
                assert_true(fd >= 0);
        }
        assert_int_equal(unlink(path), 0);
        assert_int_equal(io_adopt(io, fd), 0);
        return fd;
}

static char *content(Io *io, int fd, size_t *ret_size) {
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        *ret_size = (size_t) st.st_size;
        char *data = malloc(*ret_size + 1);
        assert_non_null(data);
        assert_int_equal(pread(fd, data, *ret_size, 0), *ret_size);
        return data;
}

static World *world_make(unsigned entries) {
        World *w = calloc(1, sizeof(*w));
        char directory[] = "/tmp/muster-test-XXXXXX";
        const char *message = NULL;

        assert_non_null(w);
        if (io_new_uring(&w->io, entries, &message) < 0)
                fail_msg("%s", message);
        assert_non_null(mkdtemp(directory));
        (void) snprintf(w->path, sizeof(w->path), "%s/socket", directory);
        w->half_close = half_close;
        w->ring = ring;
        w->limit = limit;
        w->file = file;
        w->content = content;
        return w;
}

static int setup(void **state) {
        *state = world_make(256);
        return 0;
}

/* Everything that a test makes, it takes back. */
static int teardown(void **state) {
        World *w = *state;

        assert_int_equal(io_in_flight(w->io), 0);
        assert_int_equal(io_open_descriptors(w->io), 0);
        assert_true(io_counters(w->io)->stale == 0 || spoiled > 0);
        spoiled = 0;
        w->io = io_free(w->io);
        assert_null(w->io);
        (void) unlink(w->path);
        *strrchr(w->path, '/') = '\0';
        assert_int_equal(rmdir(w->path), 0);
        free(w);
        return 0;
}

static void test_starvation_is_counted(void **state) {
        World *w = *state;

        behaves_buffers_run_out(state);
        assert_true(io_counters(w->io)->starved > 0);
}

/* The submission queue fills within a turn, completions overrun: nothing is lost. */
static void test_small_ring(void **state) {
        World *w = *state;

        behaves_many_operations(state);
        behaves_buffers_run_out(state);
        assert_true(io_counters(w->io)->overflows > 0);
        assert_true(io_counters(w->io)->turns > 10);
}

static int setup_small(void **state) {
        *state = world_make(16);
        return 0;
}

static void test_numbers_of_idle_receives(void **state) {
        enum {
                PAIRS = 8000
        };
        World *w = *state;
        struct rlimit files;

        assert_int_equal(limit(w->io, -1), 0);
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
        if (files.rlim_cur < 2 * PAIRS + 100)
                skip();

        Probe *probes = calloc(2 * PAIRS, sizeof(*probes));
        int(*pairs)[2] = calloc(PAIRS, sizeof(*pairs));

        assert_non_null(probes);
        assert_non_null(pairs);
        for (size_t i = 0; i < PAIRS; i++) {
                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]), 0);
                for (size_t k = 0; k < 2; k++) {
                        Probe *probe = &probes[2 * i + k];

                        probe_init(probe, w);
                        assert_int_equal(io_adopt(w->io, pairs[i][k]), 0);
                        assert_int_equal(io_recv(w->io, &probe->op, pairs[i][k], k == 1), 0);
                }
        }
        /* All at once, one byte each: more than there are buffers. */
        for (size_t i = 0; i < PAIRS; i++) {
                assert_int_equal(write(pairs[i][0], "x", 1), 1);
                assert_int_equal(write(pairs[i][1], "y", 1), 1);
        }
        for (size_t i = 0; i < 2 * PAIRS; i++) {
                RUN_UNTIL(w, probes[i].calls == 1);
                assert_int_equal(probes[i].last, 1);
        }
        for (size_t i = 0; i < PAIRS; i++)
                io_cancel(w->io, pairs[i][1]);
        RUN_UNTIL(w, io_in_flight(w->io) == 0);
        for (size_t i = 0; i < PAIRS; i++) {
                assert_int_equal(probes[2 * i + 1].last, -ECANCELED);
                io_close(w->io, pairs[i][0]);
                io_close(w->io, pairs[i][1]);
        }
        free(pairs);
        free(probes);
}

static void test_socket_files(void **state) {
        World *w = *state;
        struct stat st;
        struct ucred peer;
        int client, server;
        mode_t mask = umask(077);
        int fd = io_listen_unix(w->io, w->path, 0660);

        (void) umask(mask);
        assert_true(fd >= 0);
        assert_int_equal(stat(w->path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        io_close(w->io, fd);

        make_pair(w, &client, &server);
        assert_int_equal(io_peer_credentials(w->io, server, &peer), 0);
        assert_int_equal(peer.pid, getpid());
        assert_int_equal(peer.uid, getuid());
        assert_true(fcntl(server, F_GETFD) & FD_CLOEXEC);
        io_close(w->io, client);
        io_close(w->io, server);
        assert_true(io_peer_credentials(w->io, -1, &peer) < 0);

        /* A file that is no socket is not ours to remove. */
        assert_int_equal(unlink(w->path), 0);
        fd = open(w->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        (void) close(fd);
        assert_int_equal(io_listen_unix(w->io, w->path, 0600), -EADDRINUSE);
        assert_int_equal(io_listen_unix(w->io, "/nowhere/at/all", 0600), -ENOENT);
}

static void test_adopt(void **state) {
        World *w = *state;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(io_adopt(w->io, pair[0]), 0);
        assert_true(fcntl(pair[0], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(pair[0], F_GETFL) & O_NONBLOCK);
        assert_int_equal(io_open_descriptors(w->io), 1);
        assert_true(io_counters(w->io)->restricted);
        io_close(w->io, pair[0]);
        (void) close(pair[1]);
        assert_true(io_socket(w->io, 12345) < 0);
}

/* Refused now and then: everything works all the same. */
static void test_refused_submissions(void **state) {
        static const int errors[] = { -EAGAIN, -EBUSY, -EINTR };
        World *w = *state;

        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                refusal = errors[i];
                refusals = 5;
                behaves_echo(state);
                assert_int_equal(refusals, 0);
        }
        assert_int_equal(io_counters(w->io)->refused, 10);
        refusal = -EBADR;
        refusals = 1;
        assert_int_equal(io_turn(w->io), -EBADR);
}

/* Refused for good: the caller is told, and a loop that cannot cancel says so. */
static void test_refused_for_good(void **state) {
        World *w = *state;
        Probe probes[100];
        IoTimer timer = { .deadline = 0 };
        int fd = io_socket(w->io, AF_UNIX), r = 0;
        size_t n = 0;

        refusal = -EAGAIN;
        refusals = UINT_MAX;
        while (n < ELEMENTSOF(probes) && r == 0) {
                probe_init(&probes[n], w);
                r = io_poll(w->io, &probes[n].op, fd, POLLRDBAND, 0);
                n += r == 0;
        }
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(io_in_flight(w->io), n);
        assert_int_equal(io_timer_set(w->io, &timer, io_now(w->io) + 3600 * NSEC_PER_SEC), 0);
        assert_int_equal(io_turn(w->io), -ENOMEM);
        io_timer_cancel(w->io, &timer);
        io_cancel(w->io, fd);
        assert_int_equal(io_turn(w->io), -ENOMEM);
        refusals = 0;
        io_cancel(w->io, fd);
        while (io_in_flight(w->io) > 0)
                assert_int_equal(io_turn(w->io), -ENOMEM); /* for ever, by now */
        io_close(w->io, fd);
}

static bool make_interrupted(struct io_uring_cqe *cqe) {
        cqe->res = -EINTR;
        return true;
}

static bool make_aborted(struct io_uring_cqe *cqe) {
        cqe->res = -ECONNABORTED;
        return true;
}

static World *cancelling;
static int cancelling_fd;

/* The cancel comes when the operation is gone from the kernel, and not renewed yet. */
static bool make_interrupted_and_cancel(struct io_uring_cqe *cqe) {
        io_cancel(cancelling->io, cancelling_fd);
        return make_interrupted(cqe);
}

static bool make_short(struct io_uring_cqe *cqe) {
        if (cqe->res <= 3)
                return false;
        cqe->res -= 3;
        return true;
}

static bool make_nothing(struct io_uring_cqe *cqe) {
        if (cqe->res <= 3)
                return false;
        cqe->res = 0;
        return true;
}

static bool make_last(struct io_uring_cqe *cqe) {
        if (!(cqe->flags & IORING_CQE_F_MORE))
                return false;
        cqe->flags &= ~IORING_CQE_F_MORE;
        return true;
}

/* Operations that the kernel gives up without need are renewed, on a socket that answers each at
 * once with an error of its own. */
static void test_renewed(void **state) {
        static bool (*const spoilers[])(struct io_uring_cqe *) = { make_interrupted,
                                                                   make_interrupted_and_cancel };
        World *w = *state;
        int fd = io_socket(w->io, AF_UNIX);

        cancelling = w;
        cancelling_fd = fd;
        for (size_t i = 0; i < ELEMENTSOF(spoilers); i++) {
                for (unsigned kind = 0; kind < 3; kind++) {
                        Probe probe;
                        int r;

                        probe_init(&probe, w);
                        if (kind == 0)
                                r = io_recv(w->io, &probe.op, fd, true);
                        else if (kind == 1)
                                r = io_send(w->io, &probe.op, fd, "x", 1);
                        else
                                r = io_accept(w->io, &probe.op, fd);
                        assert_int_equal(r, 0);
                        spoil = spoilers[i];
                        RUN_UNTIL(w, probe.ends);
                        assert_int_equal(probe.calls, 1);
                        if (i == 1)
                                assert_int_equal(probe.last, -ECANCELED);
                        else
                                assert_int_equal(probe.last, kind == 1 ? -ENOTCONN : -EINVAL);
                }
        }
        assert_int_equal(io_counters(w->io)->renewed, 3);

        Probe probe;
        probe_init(&probe, w);
        assert_int_equal(io_accept(w->io, &probe.op, fd), 0);
        spoil = make_aborted;
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(probe.last, -EINVAL);
        io_close(w->io, fd);
}

static void test_short_send(void **state) {
        World *w = *state;
        Probe sent, received;
        int client, server;

        make_pair(w, &client, &server);
        probe_init(&sent, w);
        assert_int_equal(io_send(w->io, &sent.op, client, "ten bytes.", 10), 0);
        spoil = make_short;
        RUN_UNTIL(w, sent.ends);
        assert_int_equal(sent.last, 10);
        assert_int_equal(sent.calls, 1);
        probe_init(&received, w);
        assert_int_equal(io_recv(w->io, &received.op, server, true), 0);
        RUN_UNTIL(w, received.size == 13); /* the kernel had sent the last three already */

        /* No progress at all must not become a loop. */
        probe_init(&sent, w);
        assert_int_equal(io_send(w->io, &sent.op, client, "ten bytes.", 10), 0);
        spoil = make_nothing;
        RUN_UNTIL(w, sent.ends && received.size >= 23);
        assert_int_equal(sent.last, -EIO);
        io_cancel(w->io, server);
        RUN_UNTIL(w, received.ends);
        io_close(w->io, client);
        io_close(w->io, server);
}

static void test_short_write(void **state) {
        static bool (*const spoilers[])(struct io_uring_cqe *) = { make_short, make_interrupted };
        World *w = *state;
        int fd = file(w->io, false);

        for (size_t i = 0; i < ELEMENTSOF(spoilers); i++) {
                Probe probe;
                size_t size;

                probe_init(&probe, w);
                assert_int_equal(io_write(w->io, &probe.op, fd, "ten bytes.", 10, 10 * i), 0);
                spoil = spoilers[i];
                RUN_UNTIL(w, probe.ends);
                assert_int_equal(probe.last, 10);
                assert_int_equal(probe.calls, 1);
                assert_int_equal(io_counters(w->io)->renewed, i + 1);
                char *data = content(w->io, fd, &size);
                assert_int_equal(size, 10 * (i + 1));
                assert_memory_equal(data + 10 * i, "ten bytes.", 10);
                free(data);
        }
        io_close(w->io, fd);
}

static void test_full_disk(void **state) {
        World *w = *state;
        int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
        Probe probe;

        if (fd < 0)
                skip();
        assert_int_equal(io_adopt(w->io, fd), 0);
        probe_init(&probe, w);
        assert_int_equal(io_write(w->io, &probe.op, fd, "x", 1, 0), 0);
        RUN_UNTIL(w, probe.ends);
        assert_int_equal(probe.last, -ENOSPC);
        io_close(w->io, fd);
}

/* A multishot operation that is said to have ended is submitted again. The kernel's first one lives
 * on here, since a cancel ends one operation of that name; what it says after that is stale. */
static void test_multishot_ends(void **state) {
        World *w = *state;
        int fd = io_eventfd(w->io);
        Probe bell;

        probe_init(&bell, w);
        assert_int_equal(io_poll(w->io, &bell.op, fd, POLLIN, IO_POLL_EDGE), 0);
        spoil = make_last;
        ring(w->io, fd);
        RUN_UNTIL(w, spoiled);
        assert_int_equal(bell.ends, 0);
        assert_int_equal(io_counters(w->io)->renewed, 1);
        io_cancel(w->io, fd);
        RUN_UNTIL(w, bell.ends);
        assert_int_equal(bell.last, -ECANCELED);
        ring(w->io, fd);
        RUN_UNTIL(w, io_counters(w->io)->stale >= 1);
        io_close(w->io, fd);
}

/* In a child, as limits once lowered stay so. 0 and a backend, or the errno. */
static int try_with_limit(__rlimit_resource_t resource, rlim_t value, bool *ret_message) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0) {
                const char *message = NULL;
                Io *io = NULL;

                (void) setrlimit(resource, &(struct rlimit){ value, value });
                if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0) /* root may lock all it likes */
                        _exit(99);
                int r = io_new_uring(&io, 0, &message);
                _exit(-r | (message ? 128 : 0));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        *ret_message = WEXITSTATUS(status) & 128;
        return WEXITSTATUS(status) & 127;
}

static void test_refused_setup(void **state) {
        bool message;

        assert_int_equal(try_with_limit(RLIMIT_MEMLOCK, 8 << 20, &message), 0);
        assert_int_equal(try_with_limit(RLIMIT_NOFILE, 0, &message), EMFILE);
        assert_true(message);

        /* Kernels that count locked memory refuse in the end; what earlier rings of this user held
         * may still be counted, so the sizes between are not tried here. */
        int r = try_with_limit(RLIMIT_MEMLOCK, 0, &message);
        assert_true(r == 0 || (r == ENOMEM && message));
}

#define BEHAVIOUR_TEST(name) cmocka_unit_test_setup_teardown(behaves_##name, setup, teardown),

int main(void) {
        const struct CMUnitTest tests[] = {
                BEHAVIOUR_LIST(BEHAVIOUR_TEST) cmocka_unit_test_setup_teardown(
                                test_starvation_is_counted, setup, teardown),
                cmocka_unit_test_setup_teardown(test_small_ring, setup_small, teardown),
                cmocka_unit_test_setup_teardown(test_numbers_of_idle_receives, setup, teardown),
                cmocka_unit_test_setup_teardown(test_socket_files, setup, teardown),
                cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused_submissions, setup, teardown),
                cmocka_unit_test_setup_teardown(test_refused_for_good, setup_small, teardown),
                cmocka_unit_test_setup_teardown(test_renewed, setup, teardown),
                cmocka_unit_test_setup_teardown(test_short_send, setup, teardown),
                cmocka_unit_test_setup_teardown(test_short_write, setup, teardown),
                cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
                cmocka_unit_test_setup_teardown(test_multishot_ends, setup, teardown),
                cmocka_unit_test(test_refused_setup),
        };

        return cmocka_run_group_tests_name("io-uring", tests, NULL, NULL);
}
