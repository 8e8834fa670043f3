/* SPDX-License-Identifier: Apache-2.0 */

/* Child processes: fork and exec, the exit told by a pidfd.
 *
 * The child gets exactly the descriptors that were named, default signals and an empty signal mask.
 * It dies with its parent: PR_SET_PDEATHSIG follows the parent's thread, and there is one; the
 * look at getppid() afterwards covers a parent that died before the setting. Between fork and exec
 * the child never touches the loop (a ring has a single issuer, and its memory is not inherited).
 *
 * A pidfd is readable when the process has ended. Only then it is reaped, so that its number
 * cannot have been given to another process; after the reap no store to shared memory can follow.
 *
 * A child that cannot be executed ends with status 127; a path that is wrong from the outset is
 * told by io_spawn() itself. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "io-backend.h"
#include "io.h"
#include "macro.h"

#define FIRST_FD     3
#define EXIT_NO_EXEC 127

static int child_signals(void) {
        struct sigaction by_default = { .sa_handler = SIG_DFL };
        sigset_t none;

        /* SIGKILL, SIGSTOP and the two that libc keeps refuse, and need it least. */
        for (int i = 1; i < NSIG; i++)
                (void) sigaction(i, &by_default, NULL);
        sigemptyset(&none);
        return sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In two steps, as a wanted number may be that of a descriptor still needed: first all out of the
 * way, then to their places. */
static int child_descriptors(const IoSpawn *spawn) {
        int first_free = FIRST_FD + (int) spawn->n_fds;
        int moved[IO_SPAWN_FDS_MAX];

        for (size_t i = 0; i < spawn->n_fds; i++) {
                moved[i] = fcntl(spawn->fds[i], F_DUPFD_CLOEXEC, first_free);
                if (moved[i] < 0)
                        return -1;
        }

        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
                return -1;
        for (size_t i = 0; i < spawn->n_fds; i++)
                if (dup2(moved[i], FIRST_FD + (int) i) < 0)
                        return -1;
        return close_range((unsigned) first_free, ~0u, 0);
}

static _Noreturn void child_run(const IoSpawn *spawn, pid_t parent) {
        char *const nothing[] = { NULL };

        /* A group of its own: Ctrl-C on the daemon's terminal is the daemon's to deal with. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent && setpgid(0, 0) == 0 &&
            child_signals() == 0 && child_descriptors(spawn) == 0)
                /* execve() promises not to write to them, its type cannot say so. */
                (void) execve(spawn->path, (char *const *) (uintptr_t) spawn->argv,
                              spawn->envp ? (char *const *) (uintptr_t) spawn->envp : nothing);
        _exit(EXIT_NO_EXEC);
}

static void process_ended(IoOp *op, const IoResult *result) {
        IoProcess *process = CONTAINER_OF(op, IoProcess, op);
        int status = 0;

        /* An unreaped child of ours: neither can it be missing, nor can this wait. */
        pid_t pid = waitpid(process->pid, &status, 0);
        assert(pid == process->pid);
        (void) pid;
        (void) close(process->pidfd);
        process->pidfd = -1;
        process->exited(process, status);
}

/* fork() that gives the child's pidfd with it (pidfd_open() would be a second step that can fail,
 * and older valgrinds refuse it). The C library has no function for it; its locks and fork handlers
 * do not matter to a child that only makes system calls until it executes. */
static pid_t fork_with_pidfd(int *ret_pidfd) {
        return (pid_t) syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, NULL, 0);
}

int kernel_spawn(Io *io, IoProcess *process, const IoSpawn *spawn) {
        pid_t parent = getpid();

        if (spawn->n_fds > IO_SPAWN_FDS_MAX)
                return -EINVAL;
        if (access(spawn->path, X_OK) < 0)
                return -errno;

        /* Were it ignored (which is inherited), the kernel would reap unseen. */
        (void) signal(SIGCHLD, SIG_DFL);

        CLEANUP_CLOSE int pidfd = -1;
        pid_t pid = fork_with_pidfd(&pidfd);
        if (pid < 0)
                return -errno;
        if (pid == 0)
                child_run(spawn, parent);

        process->op = (IoOp){ .done = process_ended };
        int r = io_poll(io, &process->op, pidfd, POLLIN, 0);
        if (r < 0) {
                (void) kill(pid, SIGKILL);
                (void) waitpid(pid, NULL, 0);
                return r;
        }
        process->pid = pid;
        process->pidfd = TAKE_FD(pidfd);
        process->io = io;
        return 0;
}

/* By number, which is safe: while the pidfd is held, the child is not reaped and its number its
 * own. */
void kernel_kill(Io *io, IoProcess *process, int signal) {
        if (process->pidfd >= 0)
                (void) kill(process->pid, signal);
}
