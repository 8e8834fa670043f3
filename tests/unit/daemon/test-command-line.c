/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <cmocka.h>

#include "capture.h"
#include "command-line.h"

#define WORDS_MAX 12

static char out[16384], err[16384]; /* of the last command line */

/* Parses "musterd LINE", words separated by blanks. */
static int parse(DaemonOptions *ret, const char *line) {
        static char copy[512];
        char *argv[WORDS_MAX + 1] = { copy }, *rest = copy;
        int argc = 0;

        (void) snprintf(copy, sizeof(copy), "musterd%s%s", *line ? " " : "", line);
        while (argc < WORDS_MAX && (argv[argc] = strsep(&rest, " ")))
                argc++;
        optind = 0; /* begins anew */
        Capture stdout_capture = capture_begin(stdout), stderr_capture = capture_begin(stderr);
        int r = daemon_options_parse(ret, argc, argv);
        (void) snprintf(out, sizeof(out), "%s", capture_end(&stdout_capture));
        (void) snprintf(err, sizeof(err), "%s", capture_end(&stderr_capture));
        return r;
}

static void test_defaults(void **state) {
        DaemonOptions options;

        (void) unsetenv("STATE_DIRECTORY");
        assert_int_equal(parse(&options, ""), 1);
        assert_null(options.config_dir);
        assert_string_equal(options.socket_path, "/run/muster/io.muster");
        assert_null(options.state_dir);
        assert_string_equal(strrchr(options.worker_path, '/'), "/muster-worker");
        assert_int_equal(options.log_level, LOG_INFO);
        assert_false(options.check_config);
        assert_string_equal(out, "");
        assert_string_equal(err, "");
        daemon_options_deinit(&options);
        daemon_options_deinit(&options); /* harmless */
}

static void test_all(void **state) {
        DaemonOptions options;

        assert_int_equal(
                        parse(&options,
                              "--config-dir=c --socket s --state-dir=d --worker=v --worker=w "
                              "--log-level=debug --check-config"),
                        1);
        assert_string_equal(options.config_dir, "c");
        assert_string_equal(options.socket_path, "s");
        assert_string_equal(options.state_dir, "d");
        assert_string_equal(options.worker_path, "w");
        assert_int_equal(options.log_level, LOG_DEBUG);
        assert_true(options.check_config);
        daemon_options_deinit(&options);
}

static void test_state_directory(void **state) {
        DaemonOptions options;

        assert_int_equal(setenv("STATE_DIRECTORY", "/var/lib/muster", 1), 0);
        assert_int_equal(parse(&options, ""), 1);
        assert_string_equal(options.state_dir, "/var/lib/muster");
        daemon_options_deinit(&options);
        assert_int_equal(parse(&options, "--state-dir=/elsewhere"), 1);
        assert_string_equal(options.state_dir, "/elsewhere");
        daemon_options_deinit(&options);
        (void) unsetenv("STATE_DIRECTORY");
}

static void test_log_levels(void **state) {
        static const struct {
                const char *line;
                int level;
        } levels[] = {
                { "--log-level=debug", LOG_DEBUG },   { "--log-level=info", LOG_INFO },
                { "--log-level=notice", LOG_NOTICE }, { "--log-level=warning", LOG_WARNING },
                { "--log-level=err", LOG_ERR },
        };

        for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
                DaemonOptions options;

                assert_int_equal(parse(&options, levels[i].line), 1);
                assert_int_equal(options.log_level, levels[i].level);
                daemon_options_deinit(&options);
        }
}

static void test_help(void **state) {
        static const char *const lines[] = { "-h", "--help", "--worker=x --help" };
        static const char *const words[] = { "--config-dir=", "--socket=",    "--state-dir=",
                                             "--worker=",     "--log-level=", "--check-config",
                                             "--help",        "--version" };
        DaemonOptions options;

        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                assert_int_equal(parse(&options, lines[i]), 0);
                for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
                        assert_non_null(strstr(out, words[k]));
                assert_string_equal(err, "");
                daemon_options_deinit(&options);
        }
        for (const char *line = out, *end; (end = strchr(line, '\n')); line = end + 1)
                assert_true(end - line < 80);

        assert_int_equal(parse(&options, "--version"), 0);
        assert_string_equal(out, "muster " MUSTER_VERSION "\n");
        daemon_options_deinit(&options);
}

static void test_refused(void **state) {
        static const struct {
                const char *line, *message;
        } lines[] = {
                { "--nonsense", "--nonsense" },
                { "-x", "'x'" },
                { "--socket", "requires an argument" },
                { "--check-config=yes", "doesn't allow an argument" },
                { "--log-level=loud", "unknown log level loud" },
                { "--log-level=", "unknown log level" },
                { "one", "unexpected argument one" },
                { "-- --help", "unexpected argument --help" },
        };

        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
                DaemonOptions options;

                assert_int_equal(parse(&options, lines[i].line), -EINVAL);
                if (!strstr(err, lines[i].message))
                        fail_msg("musterd %s: %s", lines[i].line, err);
                assert_non_null(strstr(err, "--help"));
                assert_string_equal(out, "");
                daemon_options_deinit(&options);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_all),
                cmocka_unit_test(test_state_directory),
                cmocka_unit_test(test_log_levels),
                cmocka_unit_test(test_help),
                cmocka_unit_test(test_refused),
        };
        return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
