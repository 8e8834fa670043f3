/* SPDX-License-Identifier: Apache-2.0 */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"
#include "log.h"
#include "parse.h"
#include "runner.h"

int main(int argc, char **argv) {
        uint64_t supervisor;

        if (argc == 2 && strcmp(argv[1], "--version") == 0) {
                printf("muster-worker %s\n", MUSTER_VERSION);
                return EXIT_SUCCESS;
        }
        if (argc != 2 || parse_u64(argv[1], &supervisor) < 0 || supervisor > INT_MAX) {
                fprintf(stderr, "muster-worker is started by musterd; by itself it does nothing\n");
                return WORKER_EXIT_USAGE;
        }
        log_open("muster-worker", LOG_TARGET_AUTO, LOG_INFO);
        return runner_main((pid_t) supervisor);
}
