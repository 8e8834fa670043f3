/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* musterd's command line. */

#include <stdbool.h>

typedef struct DaemonOptions {
        const char *config_dir; /* NULL: the installed tree */
        const char *socket_path;
        const char *state_dir; /* NULL: none */
        char *worker_path;     /* freed by daemon_options_deinit() */
        int log_level;
        bool check_config;
} DaemonOptions;

/* 1: go on; 0: done (--help, --version); -EINVAL: told on stderr. */
int daemon_options_parse(DaemonOptions *options, int argc, char **argv);
void daemon_options_deinit(DaemonOptions *options);
