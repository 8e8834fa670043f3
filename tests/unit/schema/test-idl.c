/* SPDX-License-Identifier: Apache-2.0 */

/* Asks varlinkctl, where there is one that can, whether the descriptions of the interfaces are
 * valid. */

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdutil.h"
#include "interface.h"

/* The exit status, or a negative errno when it cannot be run. */
static int validate(char *path) {
        char program[] = "varlinkctl", verb[] = "validate-idl";
        char *argv[] = { program, verb, path, NULL };
        pid_t pid;
        int status;

        int r = posix_spawnp(&pid, program, NULL, NULL, argv, environ);
        if (r != 0)
                return -r;
        return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
}

static int validate_interface(const char *name) {
        char path[] = "/tmp/muster-test-idl-XXXXXX";
        Buffer text = {};

        int fd = mkstemp(path);
        if (fd < 0)
                return -errno;
        int r = interface_describe(name, &text);
        if (r >= 0)
                r = fd_write_all(fd, text.data, text.size);
        (void) close(fd);
        if (r >= 0)
                r = validate(path);
        (void) unlink(path);
        buffer_deinit(&text);
        return r;
}

int main(void) {
        size_t n = 0, failed = 0;

        for (const char *name; (name = interface_name(n)); n++) {
                int r = validate_interface(name);
                if (r == -ENOENT) {
                        printf("1..0 # SKIP varlinkctl is not installed\n");
                        return EXIT_SUCCESS;
                }
                printf("%sok %zu - %s\n", r == 0 ? "" : "not ", n + 1, name);
                failed += r != 0;
        }
        printf("1..%zu\n", n);
        return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
