/* SPDX-License-Identifier: Apache-2.0 */

/* The walls around code that reads bytes from the network.
 *
 * Order matters. The descriptor of the arena is opened read-only, but whoever may still call
 * open(2) can reopen it writable by /proc/self/fd; and a writable descriptor is enough to shrink an
 * object under its readers, who then die by SIGBUS. So: map, load, allocate; then close the
 * descriptors; then give up open, ftruncate, fallocate, madvise, mremap and mprotect with
 * everything else. From there on no call that could reach an object of shared memory is left, and
 * no seals are needed.
 *
 * What is left is nine calls, most with their arguments checked:
 *
 *     futex            FUTEX_WAIT only: sleeping
 *     write            eight bytes to the doorbell only
 *     brk mmap munmap  malloc(); mmap private, anonymous, not executable, at no fixed address
 *     clock_gettime    CPU clocks, and hosts where the vDSO cannot read the time
 *     restart_syscall  FUTEX_WAIT after SIGSTOP and SIGCONT
 *     rt_sigreturn exit_group
 *
 * Everything that glibc does lazily by another call has to be done once before (warm_up()).
 *
 * MUSTER_SANDBOX=0 (sanitizers, valgrind: they need calls, address space and files of their own)
 * leaves out the filter and the limits of memory and files; all the rest stays. */

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdutil.h"
#include "layout.h"
#include "log.h"
#include "sandbox.h"

#define MEMORY_LIMIT  ((rlim_t) 512 << 20)
#define STACK_LIMIT   ((rlim_t) 8 << 20)
#define HEAP_KEPT     (32 << 20) /* freed memory up to this is not given back to the kernel */
#define HEAP_PREFAULT (4 << 20)
#define OOM_SCORE_ADJ "800"

/* ---- begin ---- */

/* brk(2) alone grows and shrinks the heap, so that realloc() never calls mremap(2). Sanitizers
 * bring a malloc() of their own, which cannot be told. */
static int set_up_malloc(void) {
        if (!MUSTER_SANDBOX)
                return 0;
        if (mallopt(M_MMAP_MAX, 0) == 0 || mallopt(M_TRIM_THRESHOLD, HEAP_KEPT) == 0)
                return log_errno(-EINVAL, "cannot set up malloc()");
        return 0;
}

/* Ctrl-C reaches the whole process group, and SIGTERM perhaps the whole control group: when a
 * worker ends is the supervisor's decision. */
static int set_up_signals(void) {
        static const int ignored[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE };
        sigset_t none;

        for (size_t i = 0; i < ELEMENTSOF(ignored); i++)
                if (signal(ignored[i], SIG_IGN) == SIG_ERR)
                        return log_errno(-errno, "cannot ignore signal %d", ignored[i]);
        (void) sigemptyset(&none);
        if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
                return log_errno(-errno, "cannot unblock signals");
        return 0;
}

static int follow_supervisor(pid_t supervisor) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return log_errno(-errno, "cannot ask for a signal at the supervisor's death");
        /* It may have died before it was asked for. */
        if (getppid() != supervisor)
                return log_errno(-ESRCH, "process %d is not the parent", (int) supervisor);
        return 0;
}

/* Not a wall, so a read-only /proc is no reason to stop. */
static void volunteer_for_oom(void) {
        CLEANUP_CLOSE int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
                (void) fd_write_all(fd, OOM_SCORE_ADJ, strlen(OOM_SCORE_ADJ));
}

int sandbox_begin(pid_t supervisor) {
        int r = set_up_malloc();
        if (r < 0)
                return r;
        r = set_up_signals();
        if (r < 0)
                return r;
        r = follow_supervisor(supervisor);
        if (r < 0)
                return r;
        volunteer_for_oom();
        return 0;
}

/* ---- enter ---- */

static int compare_nothing(const void *a, const void *b) {
        return 0;
}

/* Faults the first pages of the heap in, and makes glibc ask what it asks once: qsort() wants to
 * know the size of memory before it sorts more than 1 KiB. */
static int warm_up(void) {
        CLEANUP_FREE char *heap = malloc(HEAP_PREFAULT);
        if (!heap)
                return log_errno(-ENOMEM, "cannot reserve memory");
        explicit_bzero(heap, HEAP_PREFAULT);
        qsort(heap, HEAP_PREFAULT / 4096, 4096, compare_nothing);
        return 0;
}

static int set_limits(size_t mapped) {
        const struct {
                __rlimit_resource_t resource;
                rlim_t limit;
                const char *name;
        } limits[] = {
#if MUSTER_SANDBOX
                { RLIMIT_AS, MEMORY_LIMIT + mapped, "AS" },
                { RLIMIT_DATA, MEMORY_LIMIT, "DATA" },
                { RLIMIT_FSIZE, 0, "FSIZE" },
                { RLIMIT_NOFILE, 0, "NOFILE" },
#endif
                { RLIMIT_STACK, STACK_LIMIT, "STACK" },
                { RLIMIT_CORE, 0, "CORE" },
                { RLIMIT_NPROC, 0, "NPROC" },
                { RLIMIT_MEMLOCK, 0, "MEMLOCK" },
                { RLIMIT_MSGQUEUE, 0, "MSGQUEUE" },
        };

        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                struct rlimit now;
                if (getrlimit(limits[i].resource, &now) < 0)
                        return log_errno(-errno, "cannot read RLIMIT_%s", limits[i].name);
                /* A lower one that the unit sets stays. */
                rlim_t limit = MIN(limits[i].limit, now.rlim_max);
                now = (struct rlimit){ .rlim_cur = limit, .rlim_max = limit };
                if (setrlimit(limits[i].resource, &now) < 0)
                        return log_errno(-errno, "cannot set RLIMIT_%s", limits[i].name);
        }
        return 0;
}

static int drop_privileges(void) {
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                return log_errno(-errno, "cannot forbid tracing");
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return log_errno(-errno, "cannot give up new privileges");
        return 0;
}

#if MUSTER_SANDBOX

static int filter_allow(void *filter, int doorbell) {
        const struct scmp_arg_cmp to_doorbell[] = {
                SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t) doorbell),
                SCMP_A2(SCMP_CMP_EQ, sizeof(uint64_t)),
        };
        const struct scmp_arg_cmp waiting[] = { SCMP_A1(SCMP_CMP_EQ, FUTEX_WAIT) };
        const struct scmp_arg_cmp plain_memory[] = {
                SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_TYPE | MAP_ANONYMOUS | MAP_FIXED,
                        MAP_PRIVATE | MAP_ANONYMOUS),
        };
        const struct {
                int call;
                unsigned n_conditions;
                const struct scmp_arg_cmp *conditions;
        } rules[] = {
                { SCMP_SYS(futex), ELEMENTSOF(waiting), waiting },
                { SCMP_SYS(write), ELEMENTSOF(to_doorbell), to_doorbell },
                { SCMP_SYS(mmap), ELEMENTSOF(plain_memory), plain_memory },
                { SCMP_SYS(munmap), 0, NULL },
                { SCMP_SYS(brk), 0, NULL },
                { SCMP_SYS(clock_gettime), 0, NULL },
                { SCMP_SYS(restart_syscall), 0, NULL },
                { SCMP_SYS(rt_sigreturn), 0, NULL },
                { SCMP_SYS(exit_group), 0, NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(rules); i++) {
                int r = seccomp_rule_add_array(
                                filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].n_conditions,
                                rules[i].conditions);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Another architecture's calls (32 bit, x32) end the process like every call that is not listed. */
static int filter_new(void **ret, int doorbell) {
        void *filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
        if (!filter)
                return log_errno(-ENOMEM, "cannot make a system call filter");

        int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
        if (r >= 0)
                r = filter_allow(filter, doorbell);
        if (r < 0) {
                seccomp_release(filter);
                return log_errno(r, "cannot write the system call filter");
        }
        *ret = filter;
        return 0;
}

static void filter_load(void *filter) {
        if (seccomp_load(filter) < 0)
                _exit(WORKER_EXIT_FILTER);
        seccomp_release(filter);
}

#else

static int filter_new(void **ret, int doorbell) {
        return 0;
}

static void filter_load(void *filter) {
}

#endif

static int close_all_but(int fd) {
        if (fd > 0 && close_range(0, (unsigned) fd - 1, 0) < 0)
                return -errno;
        if (close_range((unsigned) fd + 1, ~0u, 0) < 0)
                return -errno;
        return 0;
}

int sandbox_enter(int doorbell, size_t mapped) {
        void *filter = NULL;

        int r = warm_up();
        if (r < 0)
                return r;
        r = set_limits(mapped);
        if (r < 0)
                return r;
        r = drop_privileges();
        if (r < 0)
                return r;
        r = filter_new(&filter, doorbell);
        if (r < 0)
                return r;
        if (close_all_but(doorbell) < 0)
                _exit(WORKER_EXIT_FILTER);
        filter_load(filter);
        return 0;
}
