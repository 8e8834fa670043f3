/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "command-line.h"
#include "macro.h"

enum {
        OPTION_CONFIG_DIR = 0x100,
        OPTION_SOCKET,
        OPTION_STATE_DIR,
        OPTION_WORKER,
        OPTION_LOG_LEVEL,
        OPTION_CHECK_CONFIG,
        OPTION_HELP,
        OPTION_VERSION,
};

static const struct option long_options[] = {
        { "config-dir", required_argument, NULL, OPTION_CONFIG_DIR },
        { "socket", required_argument, NULL, OPTION_SOCKET },
        { "state-dir", required_argument, NULL, OPTION_STATE_DIR },
        { "worker", required_argument, NULL, OPTION_WORKER },
        { "log-level", required_argument, NULL, OPTION_LOG_LEVEL },
        { "check-config", no_argument, NULL, OPTION_CHECK_CONFIG },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        {},
};

static const char help_text[] =
                "musterd [OPTIONS...]\n\n"
                "Gathers context for AI applications: asks many sources at once.\n\n"
                "     --config-dir=DIR   Read only this configuration tree\n"
                "     --socket=PATH      Listen here (default: /run/muster/io.muster)\n"
                "     --state-dir=DIR    Keep state here (default: $STATE_DIRECTORY)\n"
                "     --worker=PATH      The worker binary\n"
                "     --log-level=LEVEL  debug, info, notice, warning or err\n"
                "     --check-config     Read the configuration, print its problems, exit\n"
                "  -h --help             Show this help\n"
                "     --version          Show the version\n\n"
                "See musterd(8), muster.conf(5) and muster.source(5).\n";

static int parse_level(const char *text) {
        static const struct {
                const char *name;
                int level;
        } levels[] = {
                { "debug", LOG_DEBUG },     { "info", LOG_INFO }, { "notice", LOG_NOTICE },
                { "warning", LOG_WARNING }, { "err", LOG_ERR },
        };

        for (size_t i = 0; i < ELEMENTSOF(levels); i++)
                if (strcmp(text, levels[i].name) == 0)
                        return levels[i].level;
        return -EINVAL;
}

/* In a build tree the worker lies beside the daemon; installed, in the libexec directory. */
static char *default_worker(void) {
        char self[4096];
        char *path = NULL;
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (n > 0) {
                self[n] = '\0';
                char *slash = strrchr(self, '/');
                if (slash)
                        *slash = '\0';
                if (asprintf(&path, "%s/../workers/muster-worker", self) >= 0 &&
                    access(path, X_OK) == 0)
                        return path;
                free(path);
        }
        return strdup(MUSTER_LIBEXECDIR "/muster-worker");
}

static int usage_error(const char *message, const char *what) {
        fprintf(stderr, "musterd: %s%s; see musterd --help\n", message, what);
        return -EINVAL;
}

static int set_option(DaemonOptions *options, int option) {
        switch (option) {
        case OPTION_CONFIG_DIR:
                options->config_dir = optarg;
                return 1;
        case OPTION_SOCKET:
                options->socket_path = optarg;
                return 1;
        case OPTION_STATE_DIR:
                options->state_dir = optarg;
                return 1;
        case OPTION_WORKER:
                free(options->worker_path);
                options->worker_path = strdup(optarg);
                return options->worker_path ? 1 : -ENOMEM;
        case OPTION_LOG_LEVEL:
                options->log_level = parse_level(optarg);
                return options->log_level < 0 ? usage_error("unknown log level ", optarg) : 1;
        case OPTION_CHECK_CONFIG:
                options->check_config = true;
                return 1;
        case 'h':
        case OPTION_HELP:
                fputs(help_text, stdout);
                return 0;
        case OPTION_VERSION:
                puts("muster " MUSTER_VERSION);
                return 0;
        default:
                fputs("See musterd --help.\n", stderr);
                return -EINVAL;
        }
}

int daemon_options_parse(DaemonOptions *options, int argc, char **argv) {
        *options = (DaemonOptions){
                .socket_path = "/run/muster/io.muster",
                .state_dir = secure_getenv("STATE_DIRECTORY"),
                .log_level = LOG_INFO,
        };
        for (int c; (c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0;) {
                int r = set_option(options, c);
                if (r <= 0)
                        return r;
        }
        if (optind < argc)
                return usage_error("unexpected argument ", argv[optind]);
        if (!options->worker_path)
                options->worker_path = default_worker();
        return options->worker_path ? 1 : -ENOMEM;
}

void daemon_options_deinit(DaemonOptions *options) {
        free(options->worker_path);
        options->worker_path = NULL;
}
