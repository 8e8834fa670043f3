/* SPDX-License-Identifier: Apache-2.0 */

/* The built program from outside: exit status, what goes to stdout and what to stderr, in a pipe
 * and on a terminal. */

#include <errno.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fake-daemon.h"
#include "macro.h"

#define ARGUMENTS_MAX 16

#define SOURCES "\"sources\":{\"a\":{\"verdict\":\"ok\",\"data\":{\"n\":1e999}}}"
#define SPANS                                                                              \
        "\"timeline\":[{\"source\":\"a\",\"stage\":\"wait\",\"attempt\":1,\"start_ms\":0," \
        "\"end_ms\":10}]"
#define ANSWER(success)                                                                      \
        "{\"query_id\":\"ID\",\"success\":" success ",\"completeness\":\"partial\"," SOURCES \
        "," SPANS ",\"execution_time\":1.5}"
#define EVENT(verdict)                                                                                       \
        "{\"continues\":true,\"parameters\":{\"event\":{\"source\":\"a\",\"result\":{\"verdict\":\"" verdict \
        "\"}}}}"
#define PLAN "{\"parameters\":{\"sources\":[{\"source\":\"a\",\"would_ask\":true}]}}"

typedef struct Outcome {
        int status; /* exit status, or -signal */
        char out[65536];
        char err[8192];
} Outcome;

static Outcome outcome;

static void read_all(int fd, char *text, size_t size) {
        ssize_t n = pread(fd, text, size - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        (void) close(fd);
}

static int temporary(void) {
        char path[] = "/tmp/muster-out-XXXXXX";
        int fd = mkstemp(path);

        assert_true(fd >= 0);
        (void) unlink(path);
        return fd;
}

/* Arguments of one command line, split at blanks. */
static char **split(const char *line, const char *socket) {
        static char copy[512], option[128];
        static char *words[ARGUMENTS_MAX + 3];
        char *rest = copy, *word;
        size_t n = 0;

        (void) snprintf(copy, sizeof(copy), "%s", line);
        (void) snprintf(option, sizeof(option), "--socket=%s", socket ? socket : "/nonexistent");
        words[n++] = (char *) (uintptr_t) "musterctl";
        if (socket)
                words[n++] = option;
        while ((word = strsep(&rest, " ")))
                if (*word && n < ARGUMENTS_MAX)
                        words[n++] = word;
        words[n] = NULL;
        return words;
}

static int wait_for(pid_t pid) {
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Runs musterctl with `input` on stdin; fills `outcome`. */
static int run_with(const FakeDaemon *fake, const char *line, const char *input) {
        int in = temporary(), out = temporary(), err = temporary();
        char **words = split(line, fake ? fake->socket : NULL);

        assert_true(pwrite(in, input, strlen(input), 0) >= 0);
        pid_t pid = fork();
        if (pid == 0) {
                (void) dup2(in, STDIN_FILENO);
                (void) dup2(out, STDOUT_FILENO);
                (void) dup2(err, STDERR_FILENO);
                (void) execv(MUSTERCTL, words);
                _exit(127);
        }
        outcome.status = wait_for(pid);
        (void) close(in);
        read_all(out, outcome.out, sizeof(outcome.out));
        read_all(err, outcome.err, sizeof(outcome.err));
        return outcome.status;
}

static int run(const FakeDaemon *fake, const char *line) {
        return run_with(fake, line, "");
}

/* Runs it on a terminal of 80 x 24; everything shown goes to outcome.out. `interrupt`: type Ctrl-C
 * as soon as this has been shown. */
static int run_on_terminal(const FakeDaemon *fake, const char *line, const char *interrupt) {
        struct winsize size = { .ws_row = 24, .ws_col = 80 };
        char **words = split(line, fake->socket);
        size_t filled = 0;
        ssize_t n;
        int master;

        pid_t pid = forkpty(&master, NULL, NULL, &size);
        if (pid == 0) {
                (void) setenv("TERM", "xterm", 1);
                (void) unsetenv("NO_COLOR");
                (void) execv(MUSTERCTL, words);
                _exit(127);
        }
        assert_true(pid > 0);
        while ((n = read(master, outcome.out + filled, sizeof(outcome.out) - 1 - filled)) > 0) {
                filled += (size_t) n;
                outcome.out[filled] = '\0';
                if (interrupt && strstr(outcome.out, interrupt)) {
                        assert_int_equal(write(master, "\003", 1), 1);
                        interrupt = NULL;
                }
        }
        (void) close(master);
        outcome.status = wait_for(pid);
        return outcome.status;
}

static void test_help(void **state) {
        static const char *const lines[] = {
                "--help",         "query --help",   "explain -h",      "status --help",
                "sources --help", "source --help",  "timeline --help", "bench --help",
                "breaker --help", "flush-cache -h", "monitor --help",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                char *rest = outcome.out, *line;

                assert_int_equal(run(NULL, lines[i]), 0);
                assert_string_equal(outcome.err, "");
                assert_non_null(strstr(outcome.out, "Usage: musterctl"));
                while ((line = strsep(&rest, "\n")))
                        assert_true(strlen(line) <= 80);
        }
        assert_int_equal(run(NULL, "query --help"), 0);
        assert_non_null(strstr(outcome.out, "--timeline"));
        assert_null(strstr(outcome.out, "--repeat"));
        assert_int_equal(run(NULL, "--version"), 0);
        assert_non_null(strstr(outcome.out, "musterctl " MUSTER_VERSION "\n"));
}

static void test_usage(void **state) {
        static const char *const lines[] = {
                "",
                "nonsense x open",
                "breaker",
                "breaker x",
                "breaker x half_open",
                "breaker x open y",
                "flush-cache x",
                "monitor x",
                "query",
                "source",
                "query two words",
                "status x",
                "status --timeline",
                "query q --repeat=2",
                "query q --cache=no",
                "bench --no-cache",
                "--nonsense",
                "query q --deadline=x",
                "query \xff",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                assert_int_equal(run(NULL, lines[i]), 2);
                assert_string_equal(outcome.out, "");
                assert_memory_equal(outcome.err, "musterctl: ", 11);
        }
}

static void test_unreachable(void **state) {
        char line[300];

        assert_int_equal(setenv("MUSTER_SOCKET", "/nonexistent/io.muster", 1), 0);
        assert_int_equal(run(NULL, "status"), 3);
        assert_string_equal(outcome.out, "");
        assert_non_null(strstr(outcome.err, "/nonexistent/io.muster: No such file or directory"));
        assert_non_null(strstr(outcome.err, "systemctl start musterd.socket"));

        (void) snprintf(line, sizeof(line), "query q --socket=/%0200d", 0);
        assert_int_equal(run(NULL, line), 3);
        assert_non_null(strstr(outcome.err, "107 bytes"));
        assert_int_equal(run(NULL, "sources --socket=/"), 3);
        assert_int_equal(run(NULL, "explain q"), 3);
        assert_int_equal(run(NULL, "source x"), 3);
        assert_int_equal(run(NULL, "bench"), 3);
        assert_int_equal(unsetenv("MUSTER_SOCKET"), 0);
}

static void test_query(void **state) {
        static const FakeReply script[] = {
                { "io.muster.Query", { "{\"parameters\":" ANSWER("true") "}" } },
        };
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(
                        run(&fake,
                            "query what --source=a --param=k=v --deadline=2s --policy=fail_fast "
                            "--max-passages=3 --quorum=2 --no-cache --priority=batch --timeline"),
                        0);
        assert_string_equal(outcome.err, "");
        assert_non_null(strstr(outcome.out, "partial: 1 of 1 sources answered in 1.500 s"));
        assert_non_null(strstr(outcome.out, "Critical path"));
        assert_null(strchr(outcome.out, '\033'));
        assert_string_equal(
                        fake_requests(&fake),
                        "{\"method\":\"io.muster.Query\",\"parameters\":{\"question\":\"what\","
                        "\"sources\":[\"a\"],\"parameters\":{\"k\":\"v\"},\"policy\":\"fail_fast\","
                        "\"cache\":\"bypass\",\"priority\":\"batch\",\"deadline_ms\":2000,"
                        "\"max_passages\":3,\"quorum\":2}}\n");

        assert_int_equal(run(&fake, "--json=short query what"), 0);
        assert_string_equal(outcome.out, ANSWER("true") "\n");
        assert_int_equal(run(&fake, "--json=pretty query what"), 0);
        assert_non_null(strstr(outcome.out, "\n  \"success\": true,\n"));
        fake_stop(&fake);
}

static void test_query_failed(void **state) {
        static const FakeReply script[] = {
                { "io.muster.Query", { "{\"parameters\":" ANSWER("false") "}" } },
                { "io.muster.Explain",
                  { "{\"error\":\"io.muster.NoSuchSource\",\"parameters\":{\"source\":"
                    "\"x\\u001b[2J\"}}" } },
        };
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(run(&fake, "query what"), 1);
        assert_non_null(strstr(outcome.out, "1 of 1 sources"));
        assert_int_equal(run(&fake, "--json=short query what"), 1);
        assert_int_equal(run(&fake, "explain what"), 1);
        assert_string_equal(outcome.out, "");
        assert_string_equal(
                        outcome.err,
                        "musterctl: io.muster.NoSuchSource: there is no source \"x\\x1b[2J\" that may be "
                        "asked; musterctl sources lists them\n");
        fake_stop(&fake);
}

static void test_without_timeline(void **state) {
        static const FakeReply script[] = {
                { "io.muster.Query", { "{\"parameters\":{\"success\":true}}" } },
        };
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(run(&fake, "query what --timeline"), 0);
        assert_non_null(strstr(outcome.err, "no timeline"));
        fake_stop(&fake);
}

static void test_daemon_goes_away(void **state) {
        static const FakeReply silent[] = { { .method = NULL } };
        static const FakeReply babbling[] = { { .texts = { "hello" } } };
        FakeDaemon fake = FAKE_START(silent);

        assert_int_equal(run(&fake, "status"), 3);
        assert_non_null(strstr(outcome.err, "journalctl -u musterd.service"));
        assert_int_equal(run_on_terminal(&fake, "query q", NULL), 3);
        fake_stop(&fake);
        fake = FAKE_START(babbling);
        assert_int_equal(run(&fake, "query q"), 3);
        assert_non_null(strstr(outcome.err, "is this its socket?"));
        fake_stop(&fake);
}

static void test_lists(void **state) {
        static const FakeReply script[] = {
                { "io.muster.GetStatus", { "{\"parameters\":{\"version\":\"9\"}}" } },
                { "io.muster.ListSources",
                  { "{\"parameters\":{\"sources\":[{\"name\":\"a\",\"enabled\":true},"
                    "{\"name\":\"off\",\"enabled\":false}]}}" } },
                { "io.muster.DescribeSource", { "{\"parameters\":{\"name\":\"a\"}}" } },
                { "io.muster.Explain", { PLAN } },
                { "io.muster.Query", { "{\"parameters\":" ANSWER("true") "}" } },
        };
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(run(&fake, "status"), 0);
        assert_non_null(strstr(outcome.out, "musterd 9"));
        assert_int_equal(run(&fake, "sources"), 0);
        assert_non_null(strstr(outcome.out, "2 sources."));
        assert_int_equal(run(&fake, "source a"), 0);
        assert_string_equal(outcome.out, "name  a\n");
        assert_non_null(strstr(fake_requests(&fake), "\"parameters\":{\"source\":\"a\"}"));
        assert_int_equal(run(&fake, "explain q"), 0);
        assert_non_null(strstr(outcome.out, "1 of 1 sources would be asked"));
        assert_int_equal(run(&fake, "--json=short sources"), 0);
        assert_memory_equal(outcome.out, "{\"sources\":[{", 13);

        assert_int_equal(run(&fake, "bench"), 0);
        assert_non_null(strstr(outcome.out, "times as fast together"));
        assert_null(strstr(fake_requests(&fake), "\"off\""));
        assert_non_null(strstr(fake_requests(&fake), "\"cache\":\"bypass\""));
        assert_int_equal(run(&fake, "bench q --source=off --repeat=2 --json=short"), 0);
        assert_non_null(strstr(outcome.out, "\"repeat\":2"));
        assert_non_null(strstr(fake_requests(&fake), "[\"off\"]"));
        fake_stop(&fake);
}

static void test_changes(void **state) {
        static const FakeReply script[] = {
                { "io.muster.SetBreaker", { "{\"parameters\":{}}" } },
                { "io.muster.FlushCache", { "{\"parameters\":{\"entries\":3}}" } },
        };
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(run(&fake, "breaker weather open"), 0);
        assert_string_equal(
                        outcome.out,
                        "The breaker of weather is set to open. The source is not asked.\n");
        assert_int_equal(run(&fake, "breaker weather auto --json=short"), 0);
        assert_string_equal(outcome.out, "{}\n");
        assert_int_equal(run(&fake, "flush-cache"), 0);
        assert_string_equal(outcome.out, "3 entries dropped.\n");
        assert_int_equal(run(&fake, "flush-cache --json=short"), 0);
        assert_string_equal(outcome.out, "{\"entries\":3}\n");
        assert_non_null(
                        strstr(fake_requests(&fake),
                               "\"parameters\":{\"source\":\"weather\",\"state\":\"auto\"}"));
        fake_stop(&fake);
}

#define HAPPENED(name) \
        "{\"parameters\":{\"kind\":\"source\",\"source\":\"" name "\"},\"continues\":true}"

static void test_monitor(void **state) {
        static const FakeReply stopping[] = {
                { "io.muster.Monitor",
                  { HAPPENED("a"), HAPPENED("b"),
                    "{\"error\":\"io.muster.Stopping\",\"parameters\":{}}" } },
        };
        static const FakeReply gone[] = { { .texts = { HAPPENED("a") }, .blanks = 1 } };
        FakeDaemon fake = FAKE_START(stopping);

        assert_int_equal(run(&fake, "monitor"), 1);
        assert_non_null(strstr(outcome.out, "  source   a  "));
        assert_non_null(strstr(outcome.out, "  source   b  "));
        assert_non_null(strstr(outcome.err, "musterd is stopping"));
        assert_non_null(strstr(fake_requests(&fake), "\"more\":true"));
        assert_int_equal(run(&fake, "monitor --json=short"), 1);
        assert_string_equal(
                        outcome.out,
                        "{\"kind\":\"source\",\"source\":\"a\"}\n"
                        "{\"kind\":\"source\",\"source\":\"b\"}\n");
        fake_stop(&fake);

        fake = FAKE_START(gone);
        assert_int_equal(run(&fake, "monitor"), 3);
        assert_non_null(strstr(outcome.out, "  source   a  "));
        assert_non_null(strstr(outcome.err, "it went away"));
        fake_stop(&fake);
}

/* Ctrl-C is how it ends. */
static void test_monitor_interrupted(void **state) {
        static const FakeReply script[] = {
                { "io.muster.Monitor", { HAPPENED("a"), HAPPENED("b") }, .pause_ms = 50 },
        };
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(run_on_terminal(&fake, "monitor", "  b  "), -SIGINT);
        fake_stop(&fake);
}

static void test_bench_fails(void **state) {
        static const FakeReply none[] = {
                { "io.muster.ListSources", { "{\"parameters\":{\"sources\":[]}}" } },
                { "io.muster.Query", { "{\"error\":\"io.muster.Overloaded\"}" } },
        };
        static const FakeReply failing[] = {
                { "io.muster.Query", { "{\"parameters\":" ANSWER("false") "}" } },
        };
        FakeDaemon fake = FAKE_START(none);

        assert_int_equal(run(&fake, "bench"), 1);
        assert_non_null(strstr(outcome.err, "no source is enabled"));
        assert_int_equal(run(&fake, "bench --source=a"), 1);
        assert_non_null(strstr(outcome.err, "io.muster.Overloaded"));
        fake_stop(&fake);
        fake = FAKE_START(failing);
        assert_int_equal(run(&fake, "bench --source=a"), 1);
        assert_non_null(strstr(outcome.out, "all together"));
        assert_int_equal(run(&fake, "bench"), 3); /* closed at ListSources */
        fake_stop(&fake);
}

static void test_timeline(void **state) {
        char path[] = "/tmp/muster-answer-XXXXXX", line[64];
        int fd = mkstemp(path);

        assert_int_equal(dprintf(fd, "%s", ANSWER("true")), strlen(ANSWER("true")));
        (void) close(fd);
        (void) snprintf(line, sizeof(line), "timeline %s", path);
        assert_int_equal(run(NULL, line), 0);
        assert_non_null(strstr(outcome.out, "10.0 ms"));
        (void) unlink(path);
        assert_int_equal(run(NULL, line), 1);
        assert_non_null(strstr(outcome.err, "No such file"));

        assert_int_equal(run_with(NULL, "timeline", ANSWER("true")), 0);
        assert_int_equal(run_with(NULL, "timeline -", "{\"parameters\":" ANSWER("true") "}"), 0);
        assert_non_null(strstr(outcome.out, "Critical path"));
        assert_int_equal(run_with(NULL, "timeline --json=short", ANSWER("true")), 0);
        assert_memory_equal(outcome.out, "[{\"source\":\"a\"", 13);
        assert_int_equal(run_with(NULL, "timeline", "hello"), 1);
        assert_int_equal(run_with(NULL, "timeline", "{}"), 1);
        assert_int_equal(run_with(NULL, "timeline", "{\"timeline\":[7]}"), 1);
        assert_int_equal(run(NULL, "timeline /"), 1);
}

static void test_progress(void **state) {
        static const FakeReply script[] = {
                { "io.muster.Explain", { PLAN } },
                { "io.muster.Query",
                  { EVENT("ok"), "{\"parameters\":" ANSWER("true") "}" },
                  .pause_ms = 150 },
        };
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(run_on_terminal(&fake, "query q", NULL), 0);
        assert_non_null(strstr(outcome.out, "0 of 1 sources done"));
        assert_non_null(strstr(outcome.out, "1 of 1 sources done"));
        assert_non_null(strstr(outcome.out, "\033[2A"));
        assert_non_null(strstr(outcome.out, "\033[33mpartial\033[0m: 1 of 1"));
        assert_non_null(strstr(fake_requests(&fake), "\"more\":true"));
        fake_stop(&fake);
}

static void test_progress_refused(void **state) {
        static const FakeReply script[] = {
                { "io.muster.Explain", { "{\"error\":\"io.muster.Stopping\"}" } },
                { "io.muster.Query", { "{\"error\":\"io.muster.Stopping\"}" } },
        };
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(run_on_terminal(&fake, "query q", NULL), 1);
        assert_non_null(strstr(outcome.out, "musterd is stopping"));
        fake_stop(&fake);
}

/* Ctrl-C ends the program by the signal, and the daemon sees the connection close. */
static void test_interrupt(void **state) {
        static const FakeReply script[] = {
                { "io.muster.Explain", { PLAN } },
                { "io.muster.Query", { EVENT("ok"), "{}" }, .pause_ms = 1500 },
        };
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(run_on_terminal(&fake, "query q", "0 of 1 sources done"), -SIGINT);
        assert_null(strstr(outcome.out, "answered"));
        fake_stop(&fake);
}

static void test_terminal_lists(void **state) {
        static char many[32768];
        static const FakeReply script[] = { { "io.muster.ListSources", { many } } };
        size_t size = (size_t) snprintf(many, sizeof(many), "{\"parameters\":{\"sources\":[");

        for (unsigned i = 0; i < 100; i++)
                size += (size_t) snprintf(
                                many + size, sizeof(many) - size, "%s{\"name\":\"source-%u\"}",
                                i > 0 ? "," : "", i);
        (void) snprintf(many + size, sizeof(many) - size, "]}}");
        FakeDaemon fake = FAKE_START(script);

        assert_int_equal(setenv("MUSTER_PAGER", "sed s/^/paged:/", 1), 0);
        assert_int_equal(run_on_terminal(&fake, "sources", NULL), 0);
        assert_non_null(strstr(outcome.out, "paged:source-99"));
        assert_int_equal(run_on_terminal(&fake, "--no-pager sources", NULL), 0);
        assert_null(strstr(outcome.out, "paged:"));
        assert_non_null(strstr(outcome.out, "source-99"));
        assert_int_equal(setenv("MUSTER_PAGER", "/nonexistent/pager 2>/dev/null", 1), 0);
        assert_int_equal(run_on_terminal(&fake, "sources", NULL), 0);
        assert_non_null(strstr(outcome.out, "source-99"));
        assert_int_equal(setenv("MUSTER_PAGER", "", 1), 0);
        assert_int_equal(run_on_terminal(&fake, "sources", NULL), 0);
        assert_non_null(strstr(outcome.out, "source-99"));
        assert_int_equal(setenv("MUSTER_PAGER", "true", 1), 0); /* leaves without reading */
        assert_int_equal(run_on_terminal(&fake, "sources", NULL), 0);
        (void) unsetenv("MUSTER_PAGER");
        assert_int_equal(run_on_terminal(&fake, "timeline", NULL), 2);
        assert_non_null(strstr(outcome.out, "give a FILE"));
        assert_int_equal(run_on_terminal(&fake, "bench --source=a", NULL), 3);
        assert_non_null(strstr(outcome.out, "round 1 of 1: a"));
        fake_stop(&fake);
}

static void test_full_disk(void **state) {
        pid_t pid = fork();

        if (pid == 0) {
                int full = open("/dev/full", O_WRONLY), err = open("/dev/null", O_WRONLY);

                (void) dup2(full, STDOUT_FILENO);
                (void) dup2(err, STDERR_FILENO);
                (void) execl(MUSTERCTL, "musterctl", "--help", (char *) NULL);
                _exit(127);
        }
        assert_int_equal(wait_for(pid), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_help),
                cmocka_unit_test(test_usage),
                cmocka_unit_test(test_unreachable),
                cmocka_unit_test(test_query),
                cmocka_unit_test(test_query_failed),
                cmocka_unit_test(test_without_timeline),
                cmocka_unit_test(test_daemon_goes_away),
                cmocka_unit_test(test_lists),
                cmocka_unit_test(test_changes),
                cmocka_unit_test(test_monitor),
                cmocka_unit_test(test_monitor_interrupted),
                cmocka_unit_test(test_bench_fails),
                cmocka_unit_test(test_timeline),
                cmocka_unit_test(test_progress),
                cmocka_unit_test(test_progress_refused),
                cmocka_unit_test(test_interrupt),
                cmocka_unit_test(test_terminal_lists),
                cmocka_unit_test(test_full_disk),
        };

        return cmocka_run_group_tests_name("musterctl", tests, NULL, NULL);
}
