/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "cmocka.h"
#include "config-file.h"
#include "config-tree.h"

/* Every test has a fresh directory, which is the current one, so that paths are short. */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        return remove(path);
}

static int setup(void **state) {
        char *directory = strdup("/tmp/test-config-file-XXXXXX");

        *state = directory;
        return directory && mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int teardown(void **state) {
        int r = chdir("/");

        r |= nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(*state);
        return r;
}

/* Makes the folders of a path. */
static void make_folders(const char *path) {
        CLEANUP_FREE char *copy = strdup(path);

        assert_non_null(copy);
        for (char *slash = strchr(copy, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                assert_true(mkdir(copy, 0755) == 0 || errno == EEXIST);
                *slash = '/';
        }
}

static void put(const char *path, const char *text) {
        make_folders(path);
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
}

static void mask(const char *path) {
        make_folders(path);
        assert_int_equal(symlink("/dev/null", path), 0);
}

static const char minimal[] = "[Source]\nURL=http://127.0.0.1/\n";

static Config *load(const char *directory, const ConfigOptions *options) {
        ConfigReport report = {};
        Config *config = NULL;

        int r = config_load(directory, options, &config, &report);
        config_report_print(&report, stderr);
        assert_int_equal(r, 0);
        assert_int_equal(report.n_problems, 0);
        config_report_deinit(&report);
        return config;
}

/* The report, one problem a line. */
static void
expect_problems_with(const char *directory, const ConfigOptions *options, const char *problems) {
        ConfigReport report = {};
        Config *config = NULL;
        char *text = NULL;
        size_t size = 0;

        assert_int_equal(config_load(directory, options, &config, &report), -EINVAL);
        assert_null(config);
        FILE *file = open_memstream(&text, &size);
        assert_non_null(file);
        config_report_print(&report, file);
        assert_int_equal(fclose(file), 0);
        assert_string_equal(text, problems);
        free(text);
        config_report_deinit(&report);
        assert_int_equal(report.n_problems, 0);
}

static void expect_problems(const char *problems) {
        expect_problems_with("c", NULL, problems);
}

static void test_empty_tree(void **state) {
        assert_int_equal(mkdir("c", 0755), 0);
        Config *config = load("c", NULL);
        assert_int_equal(config->n_sources, 0);
        assert_true(config->query_timeout == 15 * NSEC_PER_SEC);
        config_free(config);
        assert_null(config_free(load(NULL, &(ConfigOptions){ .root = "./nothing" })));
}

static void test_complete_tree(void **state) {
        put("c/muster.conf",
            "# comment\n[Supervisor]\nWorkers=2\nArenaSize=8M\n\n[Inference]\nEngine=none\n");
        put("c/muster.conf.d/20-b.conf", "[Supervisor]\nWorkers=4\n");
        put("c/muster.conf.d/10-a.conf", "[Supervisor]\nWorkers=3\nQueryTimeoutSec=1min\n");
        put("c/muster.conf.d/30-c.conf~", "rubbish\n");
        put("c/muster.conf.d/.40-d.conf", "rubbish\n");
        put("c/sources.d/weather.source",
            "[Source]\nURL=http://127.0.0.1:9001/weather?city={city:New York}&q={question}\n"
            "Header=Accept: application/json\nHeader=X-A: 1;q=1 ;x\nMethod=POST\nBody={\"a\": \"b\"}\n"
            "Class=required\n[Result]\nSelect=/a\n");
        put("c/sources.d/weather.source.d/10.conf", "[Source]\nHeader=X-B: 2\nTimeoutSec=2\n");
        put("c/sources.d/news.source", "[Source]\nURL=simulate:\nEnabled=no\n");
        put("c/sources.d/README", "no source\n");
        put("c/sources.d/.hidden.source", "no source\n");

        Config *config = load("c", NULL);
        assert_true(config->workers == 4);
        assert_true(config->query_timeout == 60 * NSEC_PER_SEC);
        assert_true(config->arena_size == 8 << 20);
        assert_string_equal(engine_name(config->engine), "none");
        assert_int_equal(config->n_sources, 2);
        assert_string_equal(config->sources[0]->name, "news");
        assert_false(config->sources[0]->enabled);

        const SourceConfig *weather = config_find_source(config, "weather");
        assert_string_equal(weather->path, "c/sources.d/weather.source");
        assert_string_equal(
                        weather->url,
                        "http://127.0.0.1:9001/weather?city={city:New York}&q={question}");
        assert_int_equal(weather->headers.count, 3);
        assert_string_equal(weather->headers.items[1], "X-A: 1;q=1 ;x");
        assert_string_equal(weather->headers.items[2], "X-B: 2");
        assert_true(weather->timeout == 2 * NSEC_PER_SEC);
        assert_int_equal(weather->class, CLASS_REQUIRED);
        assert_string_equal(weather->select, "/a");
        config_free(config);
}

static void test_precedence_of_directories(void **state) {
        const ConfigOptions options = { .root = "root" };

        put("root/usr/lib/muster/muster.conf", "[Supervisor]\nWorkers=1\nArenaSize=2M\n");
        put("root/run/muster.d/muster.conf", "[Supervisor]\nWorkers=2\n");
        put("root/usr/lib/muster/muster.conf.d/10.conf", "[Supervisor]\nQueryTimeoutSec=1\n");
        put("root/run/muster.d/muster.conf.d/20.conf", "[Supervisor]\nQueryTimeoutSec=2\n");
        put("root" MUSTER_SYSCONFDIR "/muster.conf.d/20.conf", "[Supervisor]\nWorkerTasks=9\n");
        put("root/usr/lib/muster/muster.conf.d/30.conf", "[Supervisor]\nQueryTimeoutSec=3\n");
        mask("root/run/muster.d/muster.conf.d/30.conf");
        put("root/usr/lib/muster/sources.d/a.source", "[Source]\nURL=http://lib/\nDescription=lib\n");
        put("root" MUSTER_SYSCONFDIR "/sources.d/a.source", "[Source]\nURL=http://etc/\n");
        put("root/usr/lib/muster/sources.d/a.source.d/x.conf", "[Source]\nPriority=5\n");
        put("root/usr/lib/muster/sources.d/b.source", minimal);
        mask("root" MUSTER_SYSCONFDIR "/sources.d/b.source");
        put("root/usr/lib/muster/sources.d/c.source", minimal);
        put("root/run/muster.d/sources.d/d.source.d/x.conf", "[Source]\nPriority=5\n");

        Config *config = load(NULL, &options);
        assert_true(config->workers == 2);
        assert_true(config->arena_size == 64 << 20);
        assert_true(config->query_timeout == NSEC_PER_SEC);
        assert_true(config->worker_tasks == 9);
        assert_int_equal(config->n_sources, 2);
        assert_string_equal(config->sources[0]->url, "http://etc/");
        assert_null(config->sources[0]->description);
        assert_true(config->sources[0]->priority == 5);
        assert_string_equal(config->sources[1]->name, "c");
        config_free(config);

        mask("root" MUSTER_SYSCONFDIR "/muster.conf");
        config = load(NULL, &options);
        assert_true(config->workers == 0);
        config_free(config);
}

static void test_all_problems_of_all_files(void **state) {
        put("c/muster.conf",
            "[Supervisor]\nworkers=2\nWorkres=1\nFoo=1\nWorkers=many\n"
            "[Superviser]\nX=1\n[Nowhere]\n[Inference]\nWorkers=2\nrubbish\n");
        put("c/muster.conf.d/x.conf", "Workers=1\n[Inference]\nTimeoutSec=0\n");
        put("c/sources.d/a.source", "[Source]\nURI=http://x/\nTimeoutSec=5x\nEnabled = maybe\n");
        put("c/sources.d/b.source", minimal);
        put("c/sources.d/b.source.d/y.conf", "[Source]\nTimeoutSec=0\n");
        expect_problems("c/muster.conf:2:1: unknown key \"workers\" in [Supervisor]; did you mean \"Workers\"?\n"
                        "c/muster.conf:3:1: unknown key \"Workres\" in [Supervisor]; did you mean \"Workers\"?\n"
                        "c/muster.conf:4:1: unknown key \"Foo\" in [Supervisor]\n"
                        "c/muster.conf:5:9: Workers=: \"many\" is neither a whole number nor auto\n"
                        "c/muster.conf:6:1: unknown section [Superviser]; did you mean [Supervisor]?\n"
                        "c/muster.conf:8:1: unknown section [Nowhere]\n"
                        "c/muster.conf:10:1: unknown key \"Workers\" in [Inference]; it belongs to [Supervisor]\n"
                        "c/muster.conf:11:1: this is neither Key=value nor [Section] nor a # comment\n"
                        "c/muster.conf.d/x.conf:1:1: this stands before the first [Section]\n"
                        "c/muster.conf.d/x.conf:3:12: TimeoutSec=: it must be more than 0\n"
                        "c/sources.d/a.source:2:1: unknown key \"URI\" in [Source]; did you mean \"URL\"?\n"
                        "c/sources.d/a.source:3:12: TimeoutSec=: \"5x\" is not a time span; write 5, 500ms or 1min\n"
                        "c/sources.d/a.source:4:11: Enabled=: \"maybe\" is neither yes nor no\n"
                        "c/sources.d/a.source:1:1: [Source] URL= is missing\n"
                        "c/sources.d/b.source.d/y.conf:2:12: TimeoutSec=: it must be more than 0\n");
}

static void test_zero_deadline(void **state) {
        put("c/muster.conf", "[Supervisor]\nQueryTimeoutSec=0\n");
        expect_problems("c/muster.conf:2:17: QueryTimeoutSec=: it must be more than 0\n");
        /* What a drop-in puts right is right. */
        put("c/muster.conf.d/fix.conf", "[Supervisor]\nQueryTimeoutSec=1\n");
        config_free(load("c", NULL));
}

static void test_zero_breaker(void **state) {
        put("c/sources.d/a.source", "[Source]\nURL=http://x/\n[Breaker]\nFailures=0\nOpenSec= 0s\n");
        expect_problems("c/sources.d/a.source:5:10: OpenSec=: it must be more than 0\n");
        put("c/sources.d/a.source",
            "[Source]\nURL=http://x/\nTimeoutSec=1\n[Retry]\nAttemptTimeoutSec=2\n");
        config_free(load("c", NULL));
}

static void test_fallback(void **state) {
        /* Sources that are read before and after it, and one that is masked. */
        put("c/sources.d/a.source", "[Source]\nURL=http://x/\n[Fallback]\nSource=c\n");
        put("c/sources.d/b.source", "[Source]\nURL=http://x/\n[Fallback]\nSource=a\n");
        put("c/sources.d/c.source", "[Source]\nURL=http://x/\n[Fallback]\nText=nothing\n");
        put("c/sources.d/d.source",
            "[Source]\nURL=http://x/\n[Fallback]\nSource=b\nText=x\nSource=\n");
        mask("c/sources.d/masked.source");
        Config *config = load("c", NULL);
        assert_string_equal(config->sources[0]->fallback_source, "c");
        assert_string_equal(config->sources[2]->fallback_text, "nothing");
        assert_null(config->sources[3]->fallback_source);
        config_free(config);

        put("c/sources.d/a.source", "[Source]\nURL=http://x/\n[Fallback]\nSource =  a\n");
        put("c/sources.d/b.source", "[Source]\nURL=http://x/\n[Fallback]\nSource=masked\n");
        put("c/sources.d/c.source.d/x.conf", "[Fallback]\nSource=d\n");
        put("c/sources.d/d.source", "[Source]\nURL=http://x/\n[Fallback]\nText=x\nSource=d.source\n");
        expect_problems("c/sources.d/a.source:4:11: Source=: a source cannot stand in for itself\n"
                        "c/sources.d/b.source:4:8: Source=: there is no source of this name\n"
                        "c/sources.d/c.source.d/x.conf:2:8: Source=: Text= is given, too; only one of the two can stand in\n"
                        "c/sources.d/d.source:5:8: Source=: there is no source of this name\n"
                        "c/sources.d/d.source:5:8: Source=: Text= is given, too; only one of the two can stand in\n");
}

static void test_fallback_refused(void **state) {
        static char text[400] = "[Source]\nURL=http://x/\n[Fallback]\nText=x\nSource=";

        memset(text + strlen(text), 'x', 256);
        put("c/sources.d/a.source", text);
        expect_problems("c/sources.d/a.source:5:8: Source=: the value has 256 bytes; at most 255 fit\n");
}

static void test_headers(void **state) {
        put("c/sources.d/a.source",
            "[Source]\nURL=http://x/\nHeader=Accept\nHeader=: x\nHeader=A b: x\nHeader=Host: x\n"
            "Header=content-length: 5\nHeader=Transfer-Encoding: chunked\nHeader=CONNECTION: close\n"
            "Header=Hosts: x\nHeader=X-Empty:\nHeader=é: x\nHeader=A\x01: x\nHeader=\n");
        expect_problems("c/sources.d/a.source:3:8: Header=: a header is written as \"Name: value\"\n"
                        "c/sources.d/a.source:4:8: Header=: a header's name has letters, digits and -, and a colon behind it\n"
                        "c/sources.d/a.source:5:8: Header=: a header's name has letters, digits and -, and a colon behind it\n"
                        "c/sources.d/a.source:6:8: Header=: muster sets this header itself; remove the line\n"
                        "c/sources.d/a.source:7:8: Header=: muster sets this header itself; remove the line\n"
                        "c/sources.d/a.source:8:8: Header=: muster sets this header itself; remove the line\n"
                        "c/sources.d/a.source:9:8: Header=: muster sets this header itself; remove the line\n"
                        "c/sources.d/a.source:12:8: Header=: a header's name has letters, digits and -, and a colon behind it\n"
                        "c/sources.d/a.source:13:9: a control character; remove it\n");
}

static void test_url_and_body(void **state) {
        put("c/sources.d/a.source", "[Source]\nURL=\nBody=x\n");
        put("c/sources.d/b.source", "[Source]\nURL=http://x/\nMethod=POST\nBody=\n");
        put("c/sources.d/c.source", "[Source]\nURL=http://x/\nBody=\n");
        put("c/sources.d/d.source", "");
        expect_problems("c/sources.d/a.source:2:5: URL=: it must not be empty\n"
                        "c/sources.d/a.source:3:6: Body=: a body is sent only with Method=POST\n"
                        "c/sources.d/d.source:1:1: [Source] URL= is missing\n");
}

static void test_names(void **state) {
        char path[128] = "c/sources.d/";

        put("c/sources.d/a b.source", minimal);
        put("c/sources.d/\xc3\xa9\x1b.source", minimal);
        memset(path + strlen(path), 'x', 65);
        strcat(path, ".source");
        put(path, minimal);
        put("c/sources.d/A-z_0.9.source", minimal);

        char expected[1024];
        static const char why[] =
                        "the name of a source has 1 to 64 letters, digits, _ . or -; rename the file";
        snprintf(expected, sizeof(expected),
                 "c/sources.d/a b.source:1:1: %s\n%s:1:1: %s\nc/sources.d/é\\x1B.source:1:1: %s\n",
                 why, path, why, why);
        expect_problems(expected);
}

/* Complains of the letter '!' in a URL or a body. */
static int
check_value(const SourceConfig *source, void *userdata, const char **key_name,
            size_t *offset_in_value, char **message) {
        const char *value = strcmp(userdata, "URL") == 0 ? source->url : source->body;
        const char *bad = value ? strchr(value, '!') : NULL;

        if (!bad)
                return 0;
        *key_name = userdata;
        *offset_in_value = (size_t) (bad - value);
        *message = strdup("no ! please");
        return *message ? -EINVAL : -ENOMEM;
}

static int check_out_of_memory(
                const SourceConfig *source, void *userdata, const char **key_name,
                size_t *offset_in_value, char **message) {
        return -ENOMEM;
}

static void test_checks_of_others(void **state) {
        static char url[] = "URL", body[] = "Body";
        const ConfigCheck checks[] = { { check_value, url }, { check_value, body } };
        const ConfigOptions options = { .checks = checks, .n_checks = 2 };

        put("c/sources.d/a.source",
            "[Source]\nURL=http://x/!\nMethod=POST\nBody={ \\\n  \"question\": \\\n    \"!\" }\n");
        put("c/sources.d/b.source", "[Source]\nURL=http://x/!\n");
        put("c/sources.d/b.source.d/10.conf", "[Source]\nURL = http://y/?!\n");
        put("c/sources.d/c.source", "[Source]\nMethod=POST\nBody=!\n");
        expect_problems_with(
                        "c", &options,
                        "c/sources.d/a.source:2:14: URL=: no ! please\n"
                        "c/sources.d/a.source:6:6: Body=: no ! please\n"
                        "c/sources.d/b.source.d/10.conf:2:17: URL=: no ! please\n"
                        "c/sources.d/c.source:1:1: [Source] URL= is missing\n"
                        "c/sources.d/c.source:3:6: Body=: no ! please\n");
}

static void test_out_of_memory(void **state) {
        const ConfigCheck check = { check_out_of_memory, NULL };
        const ConfigOptions options = { .checks = &check, .n_checks = 1 };
        ConfigReport report = {};
        Config *config = NULL;

        put("c/sources.d/a.source", minimal);
        assert_int_equal(config_load("c", &options, &config, &report), -ENOMEM);
        assert_null(config);
        config_report_deinit(&report);
}

/* A value that was refused is reported once, and the checks that need it keep still. */
static void test_one_mistake_one_line(void **state) {
        static char text[8400] = "[Source]\nURL=";

        memset(text + strlen(text), 'x', 8200);
        put("c/sources.d/a.source", text);
        expect_problems("c/sources.d/a.source:2:5: URL=: the value has 8200 bytes; at most 8192 fit\n");
}

static void test_odd_files(void **state) {
        static char big[CONFIG_FILE_MAX + 2];

        assert_int_equal(mkdir("c", 0755), 0);
        make_folders("c/sources.d/x");
        assert_int_equal(mkdir("c/sources.d/folder.source", 0755), 0);
        assert_int_equal(mkfifo("c/sources.d/fifo.source", 0644), 0);
        assert_int_equal(symlink("nowhere", "c/sources.d/dangling.source"), 0);
        assert_int_equal(symlink("loop.source", "c/sources.d/loop.source"), 0);
        put("other", minimal);
        assert_int_equal(symlink("../../other", "c/sources.d/good.source"), 0);
        memset(big, '\n', CONFIG_FILE_MAX + 1);
        put("c/sources.d/big.source", big);
        put("c/muster.conf.d", "a file\n");
        expect_problems("c/muster.conf.d:1:1: the directory cannot be read: Not a directory\n"
                        "c/sources.d/big.source:1:1: the file is longer than 1 MiB\n"
                        "c/sources.d/dangling.source:1:1: the file cannot be read: No such file or directory\n"
                        "c/sources.d/fifo.source:1:1: this is no regular file; a regular file is needed\n"
                        "c/sources.d/folder.source:1:1: this is a directory; a regular file is needed\n"
                        "c/sources.d/loop.source:1:1: the file cannot be read: Too many levels of symbolic links\n");
}

static void test_longest_file(void **state) {
        static char big[CONFIG_FILE_MAX + 1];

        memset(big, '\n', CONFIG_FILE_MAX);
        memcpy(big, minimal, sizeof(minimal) - 1);
        put("c/sources.d/big.source", big);
        Config *config = load("c", NULL);
        assert_int_equal(config->n_sources, 1);
        config_free(config);
}

static void test_missing_directory(void **state) {
        put("file", "");
        expect_problems_with(
                        "c", NULL,
                        "c:1:1: the directory cannot be used: No such file or directory\n");
        expect_problems_with("file", NULL, "file:1:1: this is not a directory\n");
}

static void test_no_permission(void **state) {
        put("c/sources.d/a.source", minimal);
        put("c/sources.d/a.source.d/x.conf", "");
        assert_int_equal(chmod("c/sources.d/a.source", 0), 0);
        assert_int_equal(chmod("c/sources.d/a.source.d", 0), 0);
        assert_int_equal(chmod(".", 0755), 0);
        /* root reads everything, so become somebody for a while. */
        bool root = geteuid() == 0;
        if (root)
                assert_int_equal(seteuid(65534), 0);
        expect_problems("c/sources.d/a.source:1:1: permission to read the file is denied; give it to the user that "
                        "musterd runs as (chmod, chown)\n"
                        "c/sources.d/a.source.d:1:1: the directory cannot be read: Permission denied\n");
        if (root)
                assert_int_equal(seteuid(0), 0);
        assert_int_equal(chmod("c/sources.d/a.source.d", 0700), 0);
}

static void test_many_sources(void **state) {
        char path[64];

        for (int i = 0; i < 300; i++) {
                snprintf(path, sizeof(path), "c/sources.d/s%03d.source", i * 7 % 300);
                put(path, minimal);
        }
        Config *config = load("c", NULL);
        assert_int_equal(config->n_sources, 300);
        assert_string_equal(config->sources[299]->name, "s299");
        config_free(config);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(test_empty_tree),
                TEST(test_complete_tree),
                TEST(test_precedence_of_directories),
                TEST(test_all_problems_of_all_files),
                TEST(test_zero_deadline),
                TEST(test_zero_breaker),
                TEST(test_fallback),
                TEST(test_fallback_refused),
                TEST(test_headers),
                TEST(test_url_and_body),
                TEST(test_names),
                TEST(test_checks_of_others),
                TEST(test_out_of_memory),
                TEST(test_one_mistake_one_line),
                TEST(test_odd_files),
                TEST(test_longest_file),
                TEST(test_missing_directory),
                TEST(test_no_permission),
                TEST(test_many_sources),
        };
        return cmocka_run_group_tests_name("config-file", tests, NULL, NULL);
}
