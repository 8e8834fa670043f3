/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "cmocka.h"
#include "log.h"

/* Stands before libsystemd's: keeps what the journal would get, one field a line. */
static char journal[65536];
static int journal_result;
static unsigned journal_entries;

#undef sd_journal_sendv
__attribute__((visibility("default"))) int sd_journal_sendv(const struct iovec *pieces, int n) {
        size_t at = 0;

        for (int i = 0; i < n; i++) {
                memcpy(journal + at, pieces[i].iov_base, pieces[i].iov_len);
                at += pieces[i].iov_len;
                journal[at++] = '\n';
        }
        journal[at] = '\0';
        journal_entries++;
        return journal_result;
}

/* What comes to stderr between begin() and end(). */
static int stderr_pipe[2], stderr_saved;

static void begin(void) {
        assert_int_equal(pipe2(stderr_pipe, O_CLOEXEC), 0);
        assert_int_equal(fcntl(stderr_pipe[0], F_SETFL, O_NONBLOCK), 0);
        stderr_saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
        assert_int_equal(dup2(stderr_pipe[1], STDERR_FILENO), STDERR_FILENO);
}

static const char *end(void) {
        static char text[65536];

        ssize_t n = read(stderr_pipe[0], text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = '\0';
        assert_int_equal(dup2(stderr_saved, STDERR_FILENO), STDERR_FILENO);
        close(stderr_saved);
        close(stderr_pipe[0]);
        close(stderr_pipe[1]);
        return text;
}

static void test_stderr(void **state) {
        const LogField fields[] = {
                { "QUERY_ID", "01J" }, { "SOURCE", NULL }, { "VERDICT", "a\nb" }, {}
        };

        log_open("musterd", LOG_TARGET_STDERR, LOG_INFO);
        assert_int_equal(log_max_level(), LOG_INFO);
        begin();
        log_info("started with %d workers", 2);
        log_debug("not shown");
        log_fields(LOG_WARNING, "0123456789abcdef0123456789abcdef", fields, "line\nof %s",
                   "\x1b[31m");
        assert_string_equal(
                        end(), "musterd: started with 2 workers\nmusterd: line\\x0Aof \\x1B[31m\n");

        log_open("musterd", LOG_TARGET_STDERR, LOG_DEBUG);
        begin();
        log_fields(LOG_DEBUG, NULL, fields, "text");
        assert_string_equal(end(), "musterd: text QUERY_ID=01J VERDICT=a\\x0Ab\n");

        log_open(NULL, LOG_TARGET_STDERR, LOG_INFO);
        begin();
        log_notice("x");
        assert_non_null(strstr(end(), ": x\n"));
}

static void test_null_target(void **state) {
        log_open("musterd", LOG_TARGET_NULL, LOG_DEBUG);
        begin();
        log_error("nowhere");
        assert_string_equal(end(), "");
}

static void test_errno(void **state) {
        log_open("musterd", LOG_TARGET_STDERR, LOG_INFO);
        begin();
        assert_int_equal(log_errno(-ENOENT, "open %s", "/x"), -ENOENT);
        errno = EACCES;
        log_error("cannot: %m");
        assert_int_equal(errno, EACCES);
        assert_string_equal(
                        end(),
                        "musterd: open /x: No such file or directory\nmusterd: cannot: Permission denied\n");
}

static void test_journal(void **state) {
        const LogField fields[] = { { "SOURCE", "weather" }, { "URL", "a\x7f" }, {} };

        log_open("musterd", LOG_TARGET_JOURNAL, LOG_INFO);
        begin();
        log_fields(LOG_WARNING, "0123456789abcdef0123456789abcdef", fields, "no answer");
        assert_string_equal(end(), "");
        assert_string_equal(
                        journal,
                        "PRIORITY=4\nSYSLOG_IDENTIFIER=musterd\n"
                        "MESSAGE_ID=0123456789abcdef0123456789abcdef\nMESSAGE=no answer\n"
                        "SOURCE=weather\nURL=a\\x7F\n");

        /* No journal: better on stderr than nowhere. */
        journal_result = -ECONNREFUSED;
        begin();
        log_error("no journal");
        assert_string_equal(end(), "musterd: no journal\n");
        journal_result = 0;
}

static void test_journal_stream(void **state) {
        char stream[64];
        struct stat st;

        begin();
        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t) st.st_dev, (uintmax_t) st.st_ino);
        setenv("JOURNAL_STREAM", stream, 1);
        log_open("musterd", LOG_TARGET_AUTO, LOG_INFO);
        log_error("structured");
        assert_non_null(strstr(journal, "MESSAGE=structured\n"));

        /* stderr was redirected: it is another stream now. */
        setenv("JOURNAL_STREAM", "1:1", 1);
        log_open("musterd", LOG_TARGET_AUTO, LOG_INFO);
        log_error("plain");
        setenv("JOURNAL_STREAM", "rubbish", 1);
        log_open("musterd", LOG_TARGET_AUTO, LOG_INFO);
        log_error("plain");
        unsetenv("JOURNAL_STREAM");
        log_open("musterd", LOG_TARGET_AUTO, LOG_INFO);
        log_error("plain");
        assert_string_equal(end(), "musterd: plain\nmusterd: plain\nmusterd: plain\n");
}

static void test_long_entries_are_cut(void **state) {
        static char text[9000];
        LogField fields[40] = {};

        memset(text, '\x01', sizeof(text) - 1);
        for (size_t i = 0; i < 39; i++)
                fields[i] = (LogField){ "FIELD", text };
        log_open("musterd", LOG_TARGET_JOURNAL, LOG_INFO);
        log_fields(LOG_ERR, NULL, fields, "%s", text);
        assert_non_null(strstr(journal, "PRIORITY=3\n"));
        assert_true(strlen(journal) < 16384);

        for (size_t i = 0; i < 39; i++)
                fields[i].value = "short";
        log_fields(LOG_ERR, NULL, fields, "many");
        assert_non_null(strstr(journal, "FIELD=short\n"));
}

/* Last: it uses up the tokens. */
static void test_rate_limit(void **state) {
        log_open("musterd", LOG_TARGET_JOURNAL, LOG_DEBUG);
        journal_entries = 0;
        for (int i = 0; i < 5000; i++)
                log_info("again and again");
        assert_in_range(journal_entries, 900, 4000);

        /* What is urgent passes. */
        journal_entries = 0;
        for (int i = 0; i < 100; i++)
                log_warning("urgent");
        assert_in_range(journal_entries, 100, 200);

        /* A place comes free within 10 ms; the first entry that gets one tells of those left
         * out. */
        begin();
        log_open("musterd", LOG_TARGET_STDERR, LOG_DEBUG);
        usleep(50000);
        log_warning("later");
        log_info("more");
        const char *text = end();
        assert_non_null(strstr(text, "entries were left out: more than 1000 in 10 s\n"));
        assert_non_null(strstr(text, "musterd: more\n"));
}

static void escapes(const char *text, const char *escaped) {
        char out[128];

        assert_string_equal(log_escape(out, sizeof(out), text, strlen(text)), escaped);
}

static void test_escape(void **state) {
        char out[8];

        escapes("plain é€😀 \\ text", "plain é€😀 \\ text");
        escapes("a\tb\nc\rd\x1b[0m\x7f", "a\\x09b\\x0Ac\\x0Dd\\x1B[0m\\x7F");
        escapes("\xc2\x9b"
                "1m",
                "\\xC2\\x9B1m");
        escapes("\xe2\x80\xae\xd8\x9c\xe2\x81\xa6", "\\xE2\\x80\\xAE\\xD8\\x9C\\xE2\\x81\\xA6");
        escapes("\xe2\x80\xa8\xe2\x80\x8e", "\\xE2\\x80\\xA8\\xE2\\x80\\x8E");
        escapes("\xff\xc3", "\\xFF\\xC3");

        assert_string_equal(log_escape(out, sizeof(out), "a\0b", 3), "a\\x00b");
        /* Cut between characters, never within one or within an escape. */
        assert_string_equal(log_escape(out, sizeof(out), "12345678", 8), "1234567");
        assert_string_equal(log_escape(out, sizeof(out), "123456é", 8), "123456");
        assert_string_equal(log_escape(out, sizeof(out), "1234\n", 5), "1234");
        assert_string_equal(log_escape(out, 1, "x", 1), "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stderr),         cmocka_unit_test(test_null_target),
                cmocka_unit_test(test_errno),          cmocka_unit_test(test_journal),
                cmocka_unit_test(test_journal_stream), cmocka_unit_test(test_long_entries_are_cut),
                cmocka_unit_test(test_escape),         cmocka_unit_test(test_rate_limit),
        };
        return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
