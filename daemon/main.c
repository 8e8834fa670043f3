/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "command-line.h"
#include "config-file.h"
#include "log.h"
#include "source.h"
#include "supervisor.h"

/* The reader of files does not know what a URL is; the fetch layer does. */
static int load(const DaemonOptions *options, Config **ret) {
        const ConfigCheck checks[] = { { source_check_url, NULL }, { source_check_body, NULL } };
        const ConfigOptions how = { .checks = checks, .n_checks = ELEMENTSOF(checks) };
        ConfigReport report = {};

        int r = config_load(options->config_dir, &how, ret, &report);
        if (options->check_config)
                config_report_print(&report, stdout);
        else
                config_report_log(&report);
        if (r < 0 && (r != -EINVAL || !options->check_config))
                log_errno(r, "The configuration cannot be used");
        config_report_deinit(&report);
        return r;
}

static int run(const DaemonOptions *options) {
        Config *config = NULL;

        int r = load(options, &config);
        if (r < 0)
                return EXIT_FAILURE;
        if (!options->check_config) {
                const SupervisorOptions supervisor = {
                        .config = config,
                        .socket_path = options->socket_path,
                        .state_dir = options->state_dir,
                        .worker_path = options->worker_path,
                };
                r = supervisor_run(&supervisor);
        }
        config_free(config);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
        DaemonOptions options;

        int r = daemon_options_parse(&options, argc, argv);
        if (r <= 0) {
                daemon_options_deinit(&options);
                return r < 0 ? 2 : EXIT_SUCCESS;
        }
        log_open("musterd", LOG_TARGET_AUTO, options.log_level);
        r = run(&options);
        daemon_options_deinit(&options);
        return r;
}
