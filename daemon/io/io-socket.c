/* SPDX-License-Identifier: Apache-2.0 */

/* Sockets and descriptors of the kernel: made by plain system calls, so that a unit's filters see
 * them (operations inside a ring pass every seccomp filter unseen), and shared by all back ends
 * that work on real descriptors.
 *
 * Closing is close(2), not an operation of the ring: the number is free at once, so that running
 * out of descriptors is exact; a TCP or Unix socket without operations in flight closes without
 * blocking; and beside the making of a connection its cost does not show. */

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdutil.h"
#include "io-backend.h"

int kernel_socket(Io *io, int family) {
        CLEANUP_CLOSE int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;

        if (family != AF_UNIX &&
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* 0 when `address` names a socket file that nobody listens on and that has been removed. */
static int remove_dead_socket(const struct sockaddr_un *address) {
        struct stat st;

        if (lstat(address->sun_path, &st) < 0)
                return -errno;
        if (!S_ISSOCK(st.st_mode))
                return -EADDRINUSE;

        CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 ||
            errno != ECONNREFUSED)
                return -EADDRINUSE;
        return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int bind_unix(int fd, const struct sockaddr_un *address) {
        if (bind(fd, (const struct sockaddr *) address, sizeof(*address)) == 0)
                return 0;
        if (errno != EADDRINUSE)
                return -errno;

        int r = remove_dead_socket(address);
        if (r < 0)
                return r;
        return bind(fd, (const struct sockaddr *) address, sizeof(*address)) < 0 ? -errno : 0;
}

int kernel_listen_unix(Io *io, const char *path, mode_t mode) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        size_t length = strlen(path);

        if (length == 0 || length >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, length + 1);

        CLEANUP_CLOSE int fd = kernel_socket(io, AF_UNIX);
        if (fd < 0)
                return fd;

        int r = bind_unix(fd, &address);
        if (r < 0)
                return r;

        /* Whatever the umask was; until listen() nobody can connect. */
        if (chmod(path, mode) < 0 || listen(fd, SOMAXCONN) < 0) {
                r = -errno;
                (void) unlink(path);
                return r;
        }
        return TAKE_FD(fd);
}

int kernel_adopt(Io *io, int fd) {
        return fd_prepare(fd);
}

int kernel_eventfd(Io *io) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        return fd < 0 ? -errno : fd;
}

int kernel_peer_credentials(Io *io, int fd, struct ucred *ret) {
        struct ucred found;
        socklen_t size = sizeof(found);

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &found, &size) < 0)
                return -errno;
        *ret = found;
        return 0;
}

void kernel_close(Io *io, int fd) {
        int r = close(fd);

        /* Every other error means that the descriptor is gone nevertheless. */
        assert(r == 0 || errno != EBADF);
        (void) r;
}
