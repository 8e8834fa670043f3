/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "macro.h"
#include "options.h"

#define WORDS_MAX 24

/* Splits at blanks; the memory is static. */
static int parse(const char *line, Options *ret) {
        static char copy[512];
        static char *words[WORDS_MAX];
        char *rest = copy, *word;
        int n = 0;

        (void) snprintf(copy, sizeof(copy), "musterctl %s", line);
        while ((word = strsep(&rest, " ")))
                if (*word)
                        words[n++] = word;
        words[n] = NULL;
        return options_parse(n, words, ret);
}

static void test_all(void **state) {
        CLEANUP(options_deinit) Options options = { 0 };

        assert_int_equal(
                        parse("--socket=/s query --source=a --param=city=New=York --json short q "
                              "--deadline=1.5s --policy=fail_fast --max-passages=0 --repeat=7 "
                              "--quorum=2 --cache=only --no-cache --priority=batch "
                              "--timeline --no-pager --source=b",
                              &options),
                        0);
        assert_string_equal(options.socket, "/s");
        assert_int_equal(options.json, JSON_SHORT);
        assert_int_equal(options.deadline_ms, 1500);
        assert_string_equal(options.policy, "fail_fast");
        assert_int_equal(options.max_passages, 0);
        assert_int_equal(options.quorum, 2);
        assert_string_equal(options.cache, "bypass"); /* the last one counts */
        assert_string_equal(options.priority, "batch");
        assert_int_equal(options.repeat, 7);
        assert_int_equal(options.n_words, 2);
        assert_string_equal(options.words[0], "query");
        assert_string_equal(options.words[1], "q");
        assert_int_equal(json_array_size(options.sources), 2);
        assert_string_equal(
                        json_string_value(json_object_get(options.parameters, "city")), "New=York");
        uint64_t all = (UINT64_C(1) << OPTION_COUNT) - 1;
        assert_int_equal(options.given, all & ~OPTION_BIT(HELP) & ~OPTION_BIT(VERSION));
}

static void test_defaults(void **state) {
        CLEANUP(options_deinit) Options options = { 0 };

        assert_int_equal(parse("", &options), 0);
        assert_int_equal(options.given, 0);
        assert_int_equal(options.n_words, 0);
        assert_int_equal(options.json, JSON_OFF);
        assert_int_equal(options.repeat, 1);
        assert_null(options.sources);
        assert_null(options.parameters);
        assert_null(options.cache);
        assert_null(options.priority);
}

static void test_short_and_dashes(void **state) {
        CLEANUP(options_deinit) Options options = { 0 };

        assert_int_equal(parse("-h", &options), 0);
        assert_int_equal(options.given, OPTION_BIT(HELP));
        options_deinit(&options);
        assert_int_equal(parse("query -- --source=a", &options), 0);
        assert_int_equal(options.n_words, 2);
        assert_string_equal(options.words[1], "--source=a");
}

/* A deadline is never shortened by rounding. */
static void test_deadline_rounds_up(void **state) {
        CLEANUP(options_deinit) Options options = { 0 };

        assert_int_equal(parse("--deadline=1500us", &options), 0);
        assert_int_equal(options.deadline_ms, 2);
}

static void test_refused(void **state) {
        static const char *const lines[] = {
                "--nonsense",
                "-x",
                "--socket",
                "--help=yes",
                "--json=yes",
                "--deadline=soon",
                "--deadline=0",
                "--deadline=infinity",
                "--policy=any",
                "--max-passages=-1",
                "--max-passages=9999999999999999999",
                "--max-passages=x",
                "--quorum=some",
                "--cache=no",
                "--no-cache=yes",
                "--priority=high",
                "--repeat=0",
                "--repeat=1001",
                "--param=x",
                "--param==x",
                "--source=\xff",
        };

        for (size_t i = 0; i < ELEMENTSOF(lines); i++) {
                Options options = { 0 };

                assert_int_equal(parse(lines[i], &options), -EINVAL);
                assert_null(options.sources);
        }
}

static void test_help(void **state) {
        Buffer out = BUFFER_INIT(0);

        options_help(&out, OPTION_BIT(HELP) | OPTION_BIT(SOCKET));
        char *text = buffer_steal(&out);
        assert_string_equal(
                        text,
                        "  -h --help                Show this help, or that of VERB\n"
                        "     --socket=PATH         Control socket of musterd\n");
        free(text);
        assert_string_equal(options_name(OPTION_BIT(REPEAT) | OPTION_BIT(TIMELINE)), "--timeline");
}

/* What the program takes, its manual explains. */
static void test_manual(void **state) {
        CLEANUP_FCLOSE FILE *file = fopen(MANUAL, "re");
        static char manual[1 << 16];

        assert_non_null(file);
        manual[fread(manual, 1, sizeof(manual) - 1, file)] = '\0';
        for (unsigned i = 0; i < OPTION_COUNT; i++) {
                char bold[64];

                (void) snprintf(bold, sizeof(bold), "*%s", options_name(UINT64_C(1) << i));
                if (!strstr(manual, bold))
                        fail_msg("musterctl(1) does not explain %s", bold + 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_all),
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_short_and_dashes),
                cmocka_unit_test(test_deadline_rounds_up),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_help),
                cmocka_unit_test(test_manual),
        };

        return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
