/* SPDX-License-Identifier: Apache-2.0 */

/* musterctl with the real daemon: every verb, what it prints in each form, and its exit status.
 * (What the text looks like in detail is in the unit tests of client/.) */

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "harness.h"

#define ELEMENTSOF(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX         16

enum {
        STATUS_SUCCESS,
        STATUS_FAILED,
        STATUS_USAGE,
        STATUS_UNREACHABLE,
};

static SourceServer server;
static Daemon daemon_one;
static char *out, *err; /* of the last command */

static int setup(void **state) {
        server_start(&server);
        daemon_prepare(&daemon_one);
        daemon_source(&daemon_one, "weather",
                      "[Source]\nURL=http://%s/weather?delay=20ms&token=hush&q={question}\n"
                      "Description=Current weather\nHeader=Authorization: Bearer hush\n",
                      server.address);
        daemon_source(&daemon_one, "city",
                      "[Source]\nURL=http://%s/bytes?city={city}\nEngine=none\n", server.address);
        daemon_source(&daemon_one, "alpha", "[Source]\nURL=simulate:?delay=200ms\nTimeoutSec=1min\n");
        daemon_source(&daemon_one, "beta", "[Source]\nURL=simulate:?delay=150ms\nTimeoutSec=1min\n");
        daemon_source(&daemon_one, "gamma", "[Source]\nURL=simulate:?delay=300ms\nTimeoutSec=1min\n");
        daemon_source(&daemon_one, "dead", "[Source]\nURL=simulate:?fail=1\n");
        daemon_source(&daemon_one, "broken", "[Source]\nURL=http://%s/status?code=503\n",
                      server.address);
        daemon_source(&daemon_one, "must", "[Source]\nURL=simulate:?fail=1\nClass=required\n");
        daemon_source(&daemon_one, "hang", "[Source]\nURL=http://%s/hang\nTimeoutSec=1min\n",
                      server.address);
        daemon_source(&daemon_one, "off", "[Source]\nURL=simulate:\nEnabled=no\n");
        daemon_start(&daemon_one, NULL);
        return 0;
}

static void forget_output(void) {
        free(out);
        free(err);
        out = err = NULL;
}

static int teardown(void **state) {
        forget_output();
        daemon_stop(&daemon_one);
        daemon_cleanup(&daemon_one);
        server_stop(&server);
        return 0;
}

/* Runs musterctl on `socket`, its words separated by blanks. Its exit status; the output is in
 * `out` and `err`. */
static int run_at(const char *socket, const char *line) {
        const char *argv[WORDS_MAX + 1] = { getenv("MUSTERCTL") };
        char option[160], copy[512], *rest = copy, *word;
        size_t n = 1;

        (void) snprintf(option, sizeof(option), "--socket=%s", socket);
        (void) snprintf(copy, sizeof(copy), "%s", line);
        argv[n++] = option;
        while ((word = strsep(&rest, " ")) && n < WORDS_MAX)
                argv[n++] = word;
        forget_output();
        return run_command(argv, &out, &err);
}

static int run(const char *line) {
        return run_at(daemon_one.socket_path, line);
}

static void expect(int status, const char *line) {
        int r = run(line);

        if (r != status)
                fail_msg("musterctl %s: exit status %d, not %d\n%s%s", line, r, status, out, err);
}

/* What it prints as JSON, short or pretty; both are the same to a parser. */
static json_t *expect_json(int status, const char *mode, const char *line) {
        char whole[512];
        json_error_t error;

        (void) snprintf(whole, sizeof(whole), "--json=%s %s", mode, line);
        expect(status, whole);
        json_t *json = json_loads(out, JSON_REJECT_DUPLICATES, &error);
        if (!json)
                fail_msg("musterctl %s: no JSON at %d:%d: %s\n%s", whole, error.line, error.column,
                         error.text, out);
        size_t lines = 0;
        for (const char *c = out; *c; c++)
                lines += *c == '\n';
        assert_true(strcmp(mode, "short") == 0 ? lines == 1 : lines > 1);
        assert_string_equal(err, "");
        return json;
}

static void assert_out(const char *text) {
        if (!strstr(out, text))
                fail_msg("\"%s\" is not in the output:\n%s", text, out);
}

static void assert_err(const char *text) {
        if (!strstr(err, text))
                fail_msg("\"%s\" is not on stderr:\n%s", text, err);
}

/* ---- JSON ---- */

static void test_json(void **state) {
        static const struct {
                int status;
                const char *line, *member; /* that the object must have */
        } commands[] = {
                { STATUS_SUCCESS, "query now --source=weather", "/answer/passages" },
                { STATUS_FAILED, "query now --source=dead", "/errors/0/message" },
                { STATUS_SUCCESS, "explain now", "/sources/0/reason" },
                { STATUS_SUCCESS, "status", "/workers/0/pid" },
                { STATUS_SUCCESS, "sources", "/sources/0/url" },
                { STATUS_SUCCESS, "source weather", "/configuration/TimeoutSec" },
                { STATUS_SUCCESS, "bench now --source=weather --source=city --param=city=x",
                  "/critical_path/0/stage" },
        };

        for (size_t i = 0; i < ELEMENTSOF(commands); i++) {
                static const char *const modes[] = { "short", "pretty" };

                for (size_t k = 0; k < ELEMENTSOF(modes); k++) {
                        json_t *json = expect_json(commands[i].status, modes[k], commands[i].line);

                        if (!json_at(json, commands[i].member))
                                fail_msg("musterctl %s: no %s", commands[i].line, commands[i].member);
                        json_decref(json);
                }
        }
}

/* ---- query ---- */

static void test_query(void **state) {
        expect(STATUS_SUCCESS, "query now --source=weather --source=alpha");
        assert_out("New York");
        assert_out("weather");
        assert_out("alpha");
        assert_string_equal(err, ""); /* no progress into a pipe */
}

static void test_query_options(void **state) {
        json_t *json = expect_json(
                        STATUS_SUCCESS, "short",
                        "query now --source=city --source=hang --param=city=Oslo --deadline=300ms --max-passages=0");

        assert_string_equal(string_at(json, "/sources/city/verdict"), "ok");
        assert_string_equal(string_at(json, "/sources/hang/verdict"), "late");
        assert_int_equal(json_array_size(json_at(json, "/answer/passages")), 0);
        json_decref(json);

        json_decref(expect_json(
                        STATUS_SUCCESS, "short",
                        "query now --source=weather --quorum=1 --cache=bypass --priority=batch"));
        json =
                        expect_json(STATUS_FAILED, "short",
                                    "query now --source=must --source=hang --policy=fail_fast");
        assert_string_equal(string_at(json, "/sources/hang/verdict"), "cancelled");
        json_decref(json);
}

/* The exit status says whether there is an answer, `completeness` says more. */
static void test_query_status(void **state) {
        static const struct {
                int status;
                const char *line, *completeness;
        } queries[] = {
                { STATUS_SUCCESS, "query now --source=alpha", "complete" },
                { STATUS_SUCCESS, "query now --source=alpha --source=dead", "partial" },
                { STATUS_FAILED, "query now --source=dead --source=broken", "failed" },
                { STATUS_FAILED, "query now --source=alpha --source=must", "failed" },
                { STATUS_FAILED, "query now --source=off", "failed" },
        };

        for (size_t i = 0; i < ELEMENTSOF(queries); i++) {
                json_t *json = expect_json(queries[i].status, "short", queries[i].line);

                assert_string_equal(string_at(json, "/completeness"), queries[i].completeness);
                assert_int_equal(true_at(json, "/success"), queries[i].status == STATUS_SUCCESS);
                json_decref(json);

                expect(queries[i].status, queries[i].line);
                assert_true(strlen(out) > 0);
        }
}

static void test_refusals(void **state) {
        expect(STATUS_FAILED, "query now --source=nobody");
        assert_string_equal(out, "");
        assert_err("nobody");
        expect(STATUS_FAILED, "explain now --source=nobody");
        assert_err("nobody");
        expect(STATUS_FAILED, "source nobody");
        assert_err("nobody");
        expect(STATUS_FAILED, "bench now --source=nobody");
        assert_err("nobody");
        expect(STATUS_FAILED, "query now --max-passages=33");
        assert_err("max_passages");
        expect(STATUS_FAILED, "query now --quorum=0");
        assert_err("quorum");
}

/* ---- timelines ---- */

static size_t count(const char *word) {
        size_t n = 0;

        for (const char *at = out; (at = strstr(at, word)); at++)
                n++;
        return n;
}

/* Below the answer every source is named once more, with its bar. */
static void test_timeline(void **state) {
        static const char *const sources[] = { "weather", "alpha", "beta", "dead" };
        static const char line[] =
                        "query now --source=weather --source=alpha --source=beta --source=dead";
        size_t before[ELEMENTSOF(sources)];
        char with[160];

        expect(STATUS_SUCCESS, line);
        assert_null(strstr(out, "Critical path"));
        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                before[i] = count(sources[i]);
        (void) snprintf(with, sizeof(with), "%s --timeline", line);
        expect(STATUS_SUCCESS, with);
        assert_out("Critical path");
        for (size_t i = 0; i < ELEMENTSOF(sources); i++)
                if (count(sources[i]) <= before[i])
                        fail_msg("%s is not in the timeline:\n%s", sources[i], out);
}

static void write_answer(const char *path, const char *text) {
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void test_timeline_of_file(void **state) {
        char path[128], line[160];

        (void) snprintf(path, sizeof(path), "%s/answer.json", daemon_one.directory);
        (void) snprintf(line, sizeof(line), "timeline %s", path);
        json_decref(expect_json(
                        STATUS_SUCCESS, "pretty", "query now --source=weather --source=alpha"));
        write_answer(path, out);
        expect(STATUS_SUCCESS, line);
        assert_out("weather");
        assert_out("alpha");

        /* No daemon is needed for it. */
        assert_int_equal(run_at("/nonexistent", line), STATUS_SUCCESS);

        (void) snprintf(line, sizeof(line), "--json=short timeline %s", path);
        expect(STATUS_SUCCESS, line);
        json_t *spans = json_loads(out, 0, NULL);
        assert_true(json_array_size(spans) > 5);
        json_decref(spans);

        (void) snprintf(line, sizeof(line), "timeline %s", path);
        write_answer(path, "{\"query\":\"no timeline\"}");
        expect(STATUS_FAILED, line);
        write_answer(path, "hello");
        expect(STATUS_FAILED, line);
        (void) unlink(path);
        expect(STATUS_FAILED, line);
        assert_err(path);
}

/* ---- bench ---- */

static void test_bench(void **state) {
        json_t *json = expect_json(
                        STATUS_SUCCESS, "short",
                        "bench now --source=alpha --source=beta --source=gamma --repeat=2");
        double sequential = number_at(json, "/sequential_ms"), joint = number_at(json, "/joint_ms"),
               ratio = number_at(json, "/ratio");

        assert_int_equal(json_array_size(json_at(json, "/sources")), 3);
        assert_true(sequential >= 650);
        assert_true(joint >= 300 && joint < sequential);
        assert_true(ratio > sequential / joint - .01 && ratio < sequential / joint + .01);
        assert_string_equal(string_at(json, "/critical_path/0/source"), "gamma");
        assert_string_equal(string_at(json, "/bottleneck/stage"), "wait");
        json_decref(json);

        expect(STATUS_SUCCESS, "bench now --source=alpha --source=beta --source=gamma");
        assert_out("one after another");
        assert_out("all together");
        assert_out("times as fast together");
        assert_out("Bottleneck");
        assert_out("wait");
}

/* Without names: all that are enabled. A source that is dead costs nothing but its own answer. */
static void test_bench_of_all(void **state) {
        Daemon daemon;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "alpha", "[Source]\nURL=simulate:?delay=50ms\n");
        daemon_source(&daemon, "dead", "[Source]\nURL=simulate:?fail=1\n[Breaker]\nFailures=0\n");
        daemon_source(&daemon, "off", "[Source]\nURL=simulate:\nEnabled=no\n");
        daemon_start(&daemon, NULL);
        assert_int_equal(run_at(daemon.socket_path, "bench"), STATUS_SUCCESS);
        assert_out("alpha");
        assert_out("dead");
        assert_null(strstr(out, "  off "));
        assert_out("partial");
        assert_int_equal(run_at(daemon.socket_path, "bench --source=dead"), STATUS_FAILED);
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);

        daemon_prepare(&daemon);
        daemon_start(&daemon, NULL);
        assert_int_equal(run_at(daemon.socket_path, "bench"), STATUS_FAILED);
        assert_err("nothing to measure");
        daemon_stop(&daemon);
        daemon_cleanup(&daemon);
}

/* ---- the other verbs ---- */

static void test_explain(void **state) {
        expect(STATUS_SUCCESS, "explain now");
        assert_out("weather");
        assert_out("token=***");
        assert_null(strstr(out, "hush"));
        assert_out("parameter \"city\" was not given and has no default");
        assert_out("disabled by Enabled=no");

        json_t *json =
                        expect_json(STATUS_SUCCESS, "short",
                                    "explain now --source=city --param=city=Oslo --deadline=700ms");
        assert_true(true_at(json, "/sources/0/would_ask"));
        assert_int_equal(number_at(json, "/sources/0/timeout_ms"), 700);
        assert_non_null(strstr(string_at(json, "/sources/0/url"), "city=Oslo"));
        json_decref(json);
}

static void test_status(void **state) {
        expect(STATUS_SUCCESS, "status");
        assert_out("running");
        assert_out("io_uring");
}

static void test_sources(void **state) {
        static const char *const names[] = { "weather", "city", "alpha", "dead", "must", "off" };

        expect(STATUS_SUCCESS, "sources");
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_out(names[i]);
        assert_null(strstr(out, "hush"));

        expect(STATUS_SUCCESS, "source weather");
        assert_out("Current weather");
        assert_out("***");
        assert_null(strstr(out, "hush"));
}

static void test_changes(void **state) {
        expect(STATUS_SUCCESS, "breaker alpha closed");
        assert_out("The breaker of alpha is set to closed.");
        expect(STATUS_SUCCESS, "breaker alpha auto");
        expect(STATUS_FAILED, "breaker nobody open");
        assert_err("nobody");
        json_t *json = expect_json(STATUS_SUCCESS, "short", "flush-cache");
        assert_true(json_is_integer(json_at(json, "/entries")));
        json_decref(json);
        expect(STATUS_SUCCESS, "flush-cache");
        assert_out("dropped");
}

/* ---- monitor ---- */

static pid_t monitor_start(const Daemon *daemon, const char *path) {
        char option[160];

        (void) snprintf(option, sizeof(option), "--socket=%s", daemon->socket_path);
        pid_t pid = fork();
        if (pid == 0) {
                int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);

                (void) dup2(fd, STDOUT_FILENO);
                (void) execl(getenv("MUSTERCTL"), "musterctl", option, "--json=short", "monitor",
                             (char *) NULL);
                _exit(127);
        }
        assert_true(pid > 0);
        return pid;
}

/* The first event of this kind in a file with one a line; NULL: none yet. */
static json_t *find_event(const char *path, const char *kind) {
        char line[1024];
        json_t *event = NULL;
        FILE *file = fopen(path, "re");

        while (file && !event && fgets(line, sizeof(line), file)) {
                event = json_loads(line, 0, NULL);
                if (!event || strcmp(string_at(event, "/kind"), kind) != 0) {
                        json_decref(event);
                        event = NULL;
                }
        }
        if (file)
                (void) fclose(file);
        return event;
}

static json_t *wait_for_event(const char *path, const char *kind) {
        json_t *event;

        for (uint64_t end = monotonic_ms() + 20000; !(event = find_event(path, kind)); pause_ms(10))
                if (monotonic_ms() > end)
                        fail_msg("no event %s", kind);
        return event;
}

static void test_monitor(void **state) {
        Daemon daemon;
        char path[128];
        int status;
        pid_t worker;

        daemon_prepare(&daemon);
        daemon_source(&daemon, "alpha", "[Source]\nURL=simulate:\n");
        daemon_start(&daemon, NULL);
        (void) snprintf(path, sizeof(path), "%s/events", daemon.directory);
        pid_t pid = monitor_start(&daemon, path);
        json_t *event = NULL;
        while (!event) {
                assert_int_equal(run_at(daemon.socket_path, "query now"), STATUS_SUCCESS);
                event = find_event(path, "query");
        }
        assert_string_equal(string_at(event, "/completeness"), "complete");
        assert_int_equal(number_at(event, "/answered"), 1);
        json_decref(event);
        event = wait_for_event(path, "source");
        assert_string_equal(string_at(event, "/source"), "alpha");
        assert_string_equal(string_at(event, "/verdict"), "ok");
        json_decref(event);

        assert_true(daemon_workers(&daemon, &worker, 1) > 0);
        assert_int_equal(kill(worker, SIGKILL), 0);
        event = wait_for_event(path, "worker");
        assert_int_equal(number_at(event, "/pid"), worker);
        assert_string_equal(string_at(event, "/status"), "by signal KILL");
        json_decref(event);

        /* It does not keep the daemon from stopping. */
        daemon_stop(&daemon);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == STATUS_FAILED);
        daemon_cleanup(&daemon);
}

/* ---- usage, and nobody there ---- */

static void test_usage(void **state) {
        static const char *const lines[] = {
                "nonsense",
                "query",
                "query one two",
                "status now",
                "status --source=alpha",
                "query now --deadline=soon",
                "query now --policy=hope",
                "query now --param=city",
                "--json=loud status",
                "--nonsense",
                "bench --repeat=0",
                "breaker alpha half_open",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                expect(STATUS_USAGE, lines[i]);
                assert_string_equal(out, "");
                assert_err("musterctl");
        }
        expect(STATUS_SUCCESS, "--help");
        assert_out("Verbs:");
        expect(STATUS_SUCCESS, "--version");
        assert_out("musterctl ");
        expect(STATUS_SUCCESS, "query --help");
        assert_out("--deadline");
}

static void test_unreachable(void **state) {
        static const char *const lines[] = { "query now",   "explain now",  "status",
                                             "sources",     "source alpha", "breaker alpha open",
                                             "flush-cache", "bench" };
        char path[128];

        (void) snprintf(path, sizeof(path), "%s/nobody", daemon_one.directory);
        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                assert_int_equal(run_at(path, lines[i]), STATUS_UNREACHABLE);
                assert_string_equal(out, "");
                assert_err(path);
        }

        /* A daemon that was there and is no more. */
        Daemon daemon;
        daemon_prepare(&daemon);
        daemon_start(&daemon, NULL);
        daemon_stop(&daemon);
        assert_int_equal(run_at(daemon.socket_path, "status"), STATUS_UNREACHABLE);
        daemon_cleanup(&daemon);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_json),
                cmocka_unit_test(test_query),
                cmocka_unit_test(test_query_options),
                cmocka_unit_test(test_query_status),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_timeline),
                cmocka_unit_test(test_timeline_of_file),
                cmocka_unit_test(test_bench),
                cmocka_unit_test(test_bench_of_all),
                cmocka_unit_test(test_explain),
                cmocka_unit_test(test_status),
                cmocka_unit_test(test_sources),
                cmocka_unit_test(test_changes),
                cmocka_unit_test(test_monitor),
                cmocka_unit_test(test_usage),
                cmocka_unit_test(test_unreachable),
        };
        return cmocka_run_group_tests_name("musterctl", tests, setup, teardown);
}
