/* SPDX-License-Identifier: Apache-2.0 */

/* The sandbox from inside and from outside. Each forbidden call is tried by a process of its own,
 * which must die by SIGSYS; afterwards the shared memory must still be there, every page of it. A
 * supervisor whose worker has no sandbox must die by SIGBUS, or these tests would prove nothing. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka.h"
#include "layout.h"
#include "sandbox.h"
#include "segment.h"

enum {
        SIZE = 64 << 10,
        SURVIVED = 0,
        NOT_CONFINED = 99
};

static struct Fixture {
        int fd;          /* of the shared object, writable */
        int read_fd;     /* of the same, read-only */
        char *memory;    /* writable */
        char *read_only; /* of the same object */
        int doorbell;
} fx;

static int group_setup(void **state) {
        fx.fd = shm_create(SIZE, &fx.read_fd);
        fx.memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fx.fd, 0);
        fx.read_only = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fx.read_fd, 0);
        fx.doorbell = eventfd(0, EFD_CLOEXEC);
        if (fx.fd < 0 || fx.memory == MAP_FAILED || fx.read_only == MAP_FAILED || fx.doorbell < 0)
                return -1;
        memset(fx.memory, 'm', SIZE);
        return 0;
}

/* SIGBUS here, or another byte, means that a worker did reach it. */
static void check_memory(void) {
        for (size_t i = 0; i < SIZE; i++)
                if (fx.memory[i] != 'm')
                        fail_msg("byte %zu has changed", i);
}

/* cmocka's skip() is read as a failure by meson. */
static bool no_filter(void) {
        if (!MUSTER_SANDBOX)
                print_message("# not checked: this build has no filter and no memory limit\n");
        return !MUSTER_SANDBOX;
}

static void confine(pid_t supervisor) {
        if (sandbox_begin(supervisor) < 0 || sandbox_enter(fx.doorbell, SIZE) < 0)
                _exit(NOT_CONFINED);
}

static int status_of(pid_t pid) {
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return status;
}

/* ---- forbidden calls ---- */

/* Stand for values that are known only when the test runs. */
enum {
        FD = 1 << 20,
        READ_FD,
        DOORBELL,
        MEMORY,
        READ_ONLY,
        TEXT,  /* a path or other string */
        ZEROS, /* a block of zeros */
        PARENT,
};

static long resolve(long argument) {
        static const char text[] = "/proc/self/fd/3";
        static uint64_t zeros[32];

        switch (argument) {
        case FD:
                return fx.fd;
        case READ_FD:
                return fx.read_fd;
        case DOORBELL:
                return fx.doorbell;
        case MEMORY:
                return (long) (intptr_t) fx.memory;
        case READ_ONLY:
                return (long) (intptr_t) fx.read_only;
        case TEXT:
                return (long) (intptr_t) text;
        case ZEROS:
                return (long) (intptr_t) zeros;
        case PARENT:
                return getppid();
        default:
                return argument;
        }
}

typedef struct Call {
        const char *name;
        long number;
        long arguments[6];
} Call;

static const Call forbidden[] = {
        /* shrinking, punching and remapping what others read */
        { "ftruncate", SYS_ftruncate, { FD, 0 } },
        { "truncate", SYS_truncate, { TEXT, 0 } },
        { "fallocate: punch",
          SYS_fallocate,
          { FD, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, SIZE } },
        { "madvise: remove", SYS_madvise, { MEMORY, SIZE, MADV_REMOVE } },
        { "madvise: don't need", SYS_madvise, { MEMORY, SIZE, MADV_DONTNEED } },
        { "mremap", SYS_mremap, { MEMORY, SIZE, 2 * SIZE, MREMAP_MAYMOVE } },
        { "mprotect: writable", SYS_mprotect, { READ_ONLY, SIZE, PROT_READ | PROT_WRITE } },
        { "mprotect: executable", SYS_mprotect, { MEMORY, SIZE, PROT_READ | PROT_EXEC } },
        { "pkey_mprotect", SYS_pkey_mprotect, { READ_ONLY, SIZE, PROT_WRITE, 0 } },
        { "remap_file_pages", SYS_remap_file_pages, { MEMORY, SIZE, 0, 0, 0 } },
        { "mmap: a descriptor", SYS_mmap, { 0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, FD, 0 } },
        { "mmap: shared",
          SYS_mmap,
          { 0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0 } },
        { "mmap: executable",
          SYS_mmap,
          { 0, SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 } },
        { "mmap: over another",
          SYS_mmap,
          { MEMORY, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0 } },
        { "userfaultfd", SYS_userfaultfd, { 0 } },
        /* ways to a descriptor */
        { "open", SYS_openat, { AT_FDCWD, TEXT, O_RDWR } },
        { "openat2", SYS_openat2, { AT_FDCWD, TEXT, ZEROS, 24 } },
        { "memfd_create", SYS_memfd_create, { TEXT, 0 } },
        { "dup", SYS_dup, { DOORBELL } },
        { "fcntl", SYS_fcntl, { DOORBELL, F_DUPFD, 0 } },
        { "pidfd_open", SYS_pidfd_open, { PARENT, 0 } },
        { "pidfd_getfd", SYS_pidfd_getfd, { 3, 3, 0 } },
        { "io_uring_setup", SYS_io_uring_setup, { 4, ZEROS } },
        { "io_uring_enter", SYS_io_uring_enter, { 3, 1, 0, 0, 0, 0 } },
        { "epoll_create1", SYS_epoll_create1, { 0 } },
        { "eventfd2", SYS_eventfd2, { 0, 0 } },
        { "pipe2", SYS_pipe2, { ZEROS, 0 } },
        { "bpf", SYS_bpf, { 0, ZEROS, 32 } },
        { "perf_event_open", SYS_perf_event_open, { ZEROS, 0, -1, -1, 0 } },
        /* the network */
        { "socket", SYS_socket, { AF_INET, SOCK_STREAM, 0 } },
        { "socketpair", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0, ZEROS } },
        { "connect", SYS_connect, { 3, ZEROS, 16 } },
        { "sendto", SYS_sendto, { 3, ZEROS, 1, 0, 0, 0 } },
        { "recvmsg", SYS_recvmsg, { 3, ZEROS, 0 } },
        /* other processes */
        { "clone", SYS_clone, { SIGCHLD, 0, 0, 0, 0 } },
        { "clone3", SYS_clone3, { ZEROS, 64 } },
        { "execve", SYS_execve, { TEXT, 0, 0 } },
        { "kill", SYS_kill, { PARENT, SIGTERM } },
        { "tgkill", SYS_tgkill, { PARENT, PARENT, SIGTERM } },
        { "ptrace", SYS_ptrace, { 16, PARENT, 0, 0 } },
        { "process_vm_writev", SYS_process_vm_writev, { PARENT, ZEROS, 1, ZEROS, 1, 0 } },
        { "setpriority", SYS_setpriority, { 0, 0, -5 } },
        { "prlimit64", SYS_prlimit64, { 0, 7, ZEROS, 0 } },
        { "shmget", SYS_shmget, { 0, 4096, 0600 } },
        /* what is left of allowed calls */
        { "write: another descriptor", SYS_write, { 2, TEXT, 8 } },
        { "write: another size", SYS_write, { DOORBELL, TEXT, 4 } },
        { "read", SYS_read, { DOORBELL, ZEROS, 8 } },
        { "futex: wake", SYS_futex, { MEMORY, FUTEX_WAKE, 1 } },
        { "prctl", SYS_prctl, { 4, 1 } },
        { "seccomp", SYS_seccomp, { 0, 0, ZEROS } },
        { "getrandom", SYS_getrandom, { ZEROS, 8, 0 } },
        { "no such call", 5000, { 0 } },
#ifdef __x86_64__
        { "x32: getpid", 0x40000000 + SYS_getpid, { 0 } },
#endif
};

static int status_after(const Call *call) {
        pid_t supervisor = getpid();
        pid_t pid = fork();

        if (pid == 0) {
                long a[6];
                for (size_t i = 0; i < ELEMENTSOF(a); i++)
                        a[i] = resolve(call->arguments[i]);
                confine(supervisor);
                (void) syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
                syscall(SYS_exit_group, SURVIVED);
        }
        return status_of(pid);
}

static void test_forbidden_calls(void **state) {
        if (no_filter())
                return;
        for (size_t i = 0; i < ELEMENTSOF(forbidden); i++) {
                int status = status_after(&forbidden[i]);
                if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
                        fail_msg("%s: status %#x, not SIGSYS", forbidden[i].name, (unsigned) status);
                check_memory();
        }
        print_message("# %zu forbidden calls\n", ELEMENTSOF(forbidden));
}

/* The same through libc, for what it does around the call. */
static void test_forbidden_functions(void **state) {
        if (no_filter())
                return;
        for (unsigned i = 0; i < 3; i++) {
                pid_t supervisor = getpid(), pid = fork();
                if (pid == 0) {
                        confine(supervisor);
                        if (i == 0)
                                (void) shm_open("/muster-test", O_RDWR, 0);
                        else if (i == 1)
                                (void) opendir("/proc/self/map_files");
                        else
                                abort();
                        syscall(SYS_exit_group, SURVIVED);
                }
                int status = status_of(pid);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), SIGSYS);
        }
}

/* ---- what a worker does ---- */

static bool use_heap(void) {
        char *grows = NULL;

        for (size_t size = 1; size <= 64u << 20; size *= 2) {
                char *moved = realloc(grows, size);
                if (!moved)
                        return false;
                grows = moved;
                memset(grows, (int) size, size);
        }
        free(grows); /* gives most of it back */
        for (size_t i = 0; i < 1000; i++)
                free(malloc(i * 1000));
        return true;
}

static int compare_bytes(const void *a, const void *b) {
        return *(const char *) a - *(const char *) b;
}

static bool use_allowed(void) {
        static char text[8192];
        static const uint64_t one = 1;
        struct timespec time = { .tv_nsec = 1000 };
        uint32_t word = 7;

        if (syscall(SYS_futex, &word, FUTEX_WAIT, 7, &time, NULL, 0) != -1 || errno != ETIMEDOUT)
                return false;
        if (syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &time) < 0 ||
            clock_gettime(CLOCK_MONOTONIC, &time) < 0)
                return false;
        qsort(text, sizeof(text), 1, compare_bytes);
        return use_heap() && write(fx.doorbell, &one, sizeof(one)) == (ssize_t) sizeof(one);
}

static void test_allowed_calls(void **state) {
        uint64_t rings;
        pid_t supervisor = getpid(), pid = fork();

        if (pid == 0) {
                confine(supervisor);
                _exit(use_allowed() ? SURVIVED : 1);
        }
        assert_int_equal(status_of(pid), SURVIVED);
        assert_int_equal(read(fx.doorbell, &rings, sizeof(rings)), sizeof(rings));
        assert_int_equal(rings, 1);
        check_memory();
}

/* An allocation without end is refused, not fatal. */
static void test_memory_limit(void **state) {
        if (no_filter())
                return;
        pid_t supervisor = getpid(), pid = fork();
        if (pid == 0) {
                size_t got = 0;
                void *volatile block; /* or the compiler leaves malloc() out */
                confine(supervisor);
                while (got < (size_t) 2 << 30 && (block = malloc(1 << 20)))
                        got += 1 << 20;
                _exit(got > 400u << 20 && got <= 512u << 20 ? SURVIVED : 1);
        }
        assert_int_equal(status_of(pid), SURVIVED);
}

/* What cannot be had is an error, while there is still a way to say so. */
static void test_no_memory_to_start(void **state) {
        if (no_filter())
                return;
        pid_t supervisor = getpid(), pid = fork();
        if (pid == 0) {
                const struct rlimit little = { .rlim_cur = 1 << 20, .rlim_max = 1 << 20 };
                if (sandbox_begin(supervisor) < 0 || setrlimit(RLIMIT_DATA, &little) < 0)
                        _exit(NOT_CONFINED);
                int r = sandbox_enter(fx.doorbell, SIZE);
                _exit(r == -ENOMEM && fcntl(fx.fd, F_GETFD) >= 0 ? SURVIVED : 1);
        }
        assert_int_equal(status_of(pid), SURVIVED);
}

/* ---- seen from outside ---- */

/* A confined process that waits; it has rung by the time this returns. */
static pid_t start_waiting(void) {
        uint64_t rings;
        pid_t supervisor = getpid(), pid = fork();

        if (pid == 0) {
                static const uint64_t one = 1;
                static uint32_t word;
                confine(supervisor);
                (void) !write(fx.doorbell, &one, sizeof(one));
                for (;;)
                        syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
        }
        struct pollfd ring = { .fd = fx.doorbell, .events = POLLIN };
        while (poll(&ring, 1, 10) == 0)
                assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        assert_int_equal(read(fx.doorbell, &rings, sizeof(rings)), sizeof(rings));
        return pid;
}

static void finish_waiting(pid_t pid) {
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(WTERMSIG(status_of(pid)), SIGKILL);
}

static bool proc_has(pid_t pid, const char *file, const char *line) {
        char path[64], text[8192];

        (void) snprintf(path, sizeof(path), "/proc/%d/%s", (int) pid, file);
        FILE *stream = fopen(path, "re");
        if (!stream)
                return false;
        size_t n = fread(text, 1, sizeof(text) - 1, stream);
        (void) fclose(stream);
        text[n] = '\0';
        return strstr(text, line) != NULL;
}

static void test_one_descriptor(void **state) {
        char path[64], target[64];
        unsigned n = 0;
        pid_t pid = start_waiting();

        (void) snprintf(path, sizeof(path), "/proc/%d/fd", (int) pid);
        DIR *directory = opendir(path);
        if (!directory) {
                finish_waiting(pid);
                print_message("# not checked: only root sees the descriptors of such a process\n");
                return;
        }
        for (struct dirent *entry; (entry = readdir(directory));) {
                if (entry->d_name[0] == '.')
                        continue;
                ssize_t size = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
                assert_true(size > 0);
                target[size] = '\0';
                assert_string_equal(target, "anon_inode:[eventfd]");
                n++;
        }
        (void) closedir(directory);
        finish_waiting(pid);
        assert_int_equal(n, 1);
}

static void test_marks(void **state) {
        pid_t pid = start_waiting();
        bool new_privileges = !proc_has(pid, "status", "NoNewPrivs:\t1\n");
        bool filtered = proc_has(pid, "status", "Seccomp:\t2\n");
        bool victim = proc_has(pid, "oom_score_adj", "800\n");

        /* Ctrl-C and SIGTERM are the supervisor's affair. */
        assert_int_equal(kill(pid, SIGTERM), 0);
        assert_int_equal(kill(pid, SIGINT), 0);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
        finish_waiting(pid);
        assert_false(new_privileges);
        assert_int_equal(filtered, MUSTER_SANDBOX);
        assert_true(victim);
}

static void test_limits(void **state) {
        static const char *const zero[] = {
                "Max core file size        0 ",
                "Max processes             0 ",
                "Max locked memory         0 ",
                "Max msgqueue size         0 ",
#if MUSTER_SANDBOX
                "Max file size             0 ",
                "Max open files            0 ",
#endif
        };
        pid_t pid = start_waiting();
        for (size_t i = 0; i < ELEMENTSOF(zero); i++)
                if (!proc_has(pid, "limits", zero[i]))
                        fail_msg("not in force: %s", zero[i]);
        finish_waiting(pid);
}

/* ---- life and death ---- */

static void test_stranger_as_supervisor(void **state) {
        pid_t pid = fork();
        if (pid == 0)
                _exit(sandbox_begin(1 << 22) == -ESRCH ? SURVIVED : 1);
        assert_int_equal(status_of(pid), SURVIVED);
}

/* A worker outlives its supervisor by no instruction that matters: the pipe that only it holds
 * closes. */
static void test_dies_with_the_supervisor(void **state) {
        int pipe_fds[2];
        char byte;

        assert_int_equal(pipe(pipe_fds), 0);
        pid_t supervisor = fork();
        if (supervisor == 0) {
                pid_t self = getpid(), worker = fork();
                if (worker == 0) {
                        if (sandbox_begin(self) < 0 || write(pipe_fds[1], "r", 1) != 1)
                                _exit(1);
                        for (;;)
                                (void) pause();
                }
                (void) pause();
                _exit(0);
        }
        assert_int_equal(close(pipe_fds[1]), 0);
        assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
        assert_int_equal(kill(supervisor, SIGKILL), 0);
        assert_int_equal(read(pipe_fds[0], &byte, 1), 0);
        assert_int_equal(WTERMSIG(status_of(supervisor)), SIGKILL);
        assert_int_equal(close(pipe_fds[0]), 0);
}

/* The reason for all of this: without the sandbox one call of a worker kills its supervisor. */
static void test_mutant_without_sandbox(void **state) {
        pid_t supervisor = fork();
        if (supervisor == 0) {
                (void) signal(SIGBUS, SIG_DFL);
                int fd = shm_create(SIZE, NULL);
                volatile char *memory = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
                pid_t worker = fork();
                if (worker == 0)
                        _exit(ftruncate(fd, 0) < 0);
                (void) waitpid(worker, NULL, 0);
                _exit(memory[0]);
        }
        int status = status_of(supervisor);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGBUS);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_forbidden_calls),
                cmocka_unit_test(test_forbidden_functions),
                cmocka_unit_test(test_allowed_calls),
                cmocka_unit_test(test_memory_limit),
                cmocka_unit_test(test_no_memory_to_start),
                cmocka_unit_test(test_one_descriptor),
                cmocka_unit_test(test_marks),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_stranger_as_supervisor),
                cmocka_unit_test(test_dies_with_the_supervisor),
                cmocka_unit_test(test_mutant_without_sandbox),
        };
        return cmocka_run_group_tests_name("sandbox", tests, group_setup, NULL);
}
