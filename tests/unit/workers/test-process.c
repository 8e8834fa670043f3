/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "cmocka.h"
#include "process.h"

static ProcessOutput output;

static int setup_group(void **state) {
        return process_init();
}

static int teardown_group(void **state) {
        process_deinit();
        return 0;
}

static int teardown(void **state) {
        process_output_deinit(&output);
        return 0;
}

static ProcessInput input_of(EngineKind engine, MediaType media, const char *document) {
        static const char question[] = "When did the storm hit Fargo?";

        return (ProcessInput){
                .question = question,
                .question_size = strlen(question),
                .document = (const uint8_t *) document,
                .document_size = strlen(document),
                .engine = engine,
                .media = media,
                .charset = "",
                .deadline_ns = TIME_INFINITY,
                .max_decoded = 1 << 20,
                .max_passages = 5,
        };
}

static void run(ProcessInput input) {
        process_output_deinit(&output);
        assert_int_equal(process_document(&input, &output), 0);
        assert_true(output.decoded_ns > 0);
        bool failed = output.outcome != OUTCOME_OK && output.outcome != OUTCOME_EMPTY;
        assert_int_equal(failed, output.error.size > 0);
        if (output.outcome != OUTCOME_OK) {
                assert_int_equal(output.n_passages, 0);
                assert_int_equal(output.data_kind, DATA_NONE);
        }
}

static void expect(ProcessText text, const char *expected) {
        assert_int_equal(text.size, strlen(expected));
        if (text.size > 0)
                assert_memory_equal(text.text, expected, text.size);
}

static void expect_error(const char *part) {
        assert_non_null(memmem(output.error.text, output.error.size, part, strlen(part)));
}

static const char hits[] =
                "{\"hits\": [ {\"title\":\"Storm hits Fargo\",\"url\":\"https://x.org/1\",\"n\":[1]},"
                "{\"title\":[\"New &amp; old\"],\"url\":7,\"body\":\"Fargo now.\"} ], \"none\":[]}";

static void test_outcomes(void **state) {
        static const struct {
                MediaType media;
                const char *document;
                SourceRules rules;
                Outcome outcome;
                DataKind none_kind, digest_kind;
                const char *error;
        } cases[] = {
                { MEDIA_JSON, hits, { 0 }, OUTCOME_OK, DATA_JSON_DOCUMENT, DATA_JSON_DOCUMENT, NULL },
                { MEDIA_UNKNOWN, hits, { 0 }, OUTCOME_OK, DATA_JSON_DOCUMENT, DATA_JSON_DOCUMENT, NULL },
                { MEDIA_JSON, hits, { .select = "/hits" }, OUTCOME_OK, DATA_JSON, DATA_JSON, NULL },
                { MEDIA_TEXT, hits, { .select = "/hits" }, OUTCOME_OK, DATA_JSON, DATA_JSON, NULL },
                { MEDIA_TEXT, hits, { 0 }, OUTCOME_OK, DATA_TEXT_DOCUMENT, DATA_TEXT_DOCUMENT, NULL },
                { MEDIA_JSON, hits, { .select = "/hit" }, OUTCOME_REJECTED, 0, 0, "Select=/hit" },
                { MEDIA_JSON, hits, { .success = "/ok" }, OUTCOME_REJECTED, 0, 0, "Success=/ok" },
                { MEDIA_JSON,
                  hits,
                  { .success = "/none" },
                  OUTCOME_OK,
                  DATA_JSON_DOCUMENT,
                  DATA_JSON_DOCUMENT,
                  NULL },
                { MEDIA_JSON, hits, { .empty = "/none" }, OUTCOME_EMPTY, 0, 0, NULL },
                { MEDIA_JSON, hits, { .empty = "/missing", .select = "/missing" }, OUTCOME_EMPTY, 0, 0, NULL },
                { MEDIA_JSON,
                  hits,
                  { .empty = "/hits" },
                  OUTCOME_OK,
                  DATA_JSON_DOCUMENT,
                  DATA_JSON_DOCUMENT,
                  NULL },
                { MEDIA_JSON, hits, { .select = "/none" }, OUTCOME_EMPTY, 0, 0, NULL },
                { MEDIA_JSON, "{\"a\":[\"\",null]}", { 0 }, OUTCOME_EMPTY, 0, 0, NULL },
                { MEDIA_JSON, "", { 0 }, OUTCOME_DECODE, 0, 0, "cut off (at byte 0)" },
                { MEDIA_JSON, "{\"a\":", { 0 }, OUTCOME_DECODE, 0, 0, "cut off (at byte 5)" },
                { MEDIA_JSON, "{\"a\" 1}", { 0 }, OUTCOME_DECODE, 0, 0, "not well-formed (at byte 5)" },
                { MEDIA_JSON, "[\"\\ud800\"]", { 0 }, OUTCOME_DECODE, 0, 0, "no Unicode" },
                { MEDIA_JSON, "out of quota", { .success = "/a" }, OUTCOME_DECODE, 0, 0, "byte 0" },
                { MEDIA_TEXT, "out of quota", { .success = "/a" }, OUTCOME_REJECTED, 0, 0, "plain text" },
                { MEDIA_UNKNOWN, "<p>out</p>", { .empty = "/a" }, OUTCOME_REJECTED, 0, 0, "HTML" },
                { MEDIA_HTML, "<p>out</p>", { .select = "/a" }, OUTCOME_REJECTED, 0, 0, "HTML" },
                { MEDIA_UNKNOWN, "", { 0 }, OUTCOME_EMPTY, 0, 0, NULL },
                { MEDIA_TEXT, " \n\t", { 0 }, OUTCOME_EMPTY, 0, 0, NULL },
                { MEDIA_TEXT, "\x01\x02", { 0 }, OUTCOME_EMPTY, 0, 0, NULL },
                { MEDIA_HTML, "", { 0 }, OUTCOME_EMPTY, 0, 0, NULL },
                { MEDIA_TEXT, "Some storm", { 0 }, OUTCOME_OK, DATA_TEXT_DOCUMENT, DATA_TEXT_DOCUMENT, NULL },
                { MEDIA_UNKNOWN,
                  "Some storm",
                  { 0 },
                  OUTCOME_OK,
                  DATA_TEXT_DOCUMENT,
                  DATA_TEXT_DOCUMENT,
                  NULL },
                { MEDIA_TEXT, "Some\x01storm", { 0 }, OUTCOME_OK, DATA_TEXT, DATA_TEXT, NULL },
                { MEDIA_TEXT, "\xef\xbb\xbfSome storm", { 0 }, OUTCOME_OK, DATA_TEXT, DATA_TEXT, NULL },
                { MEDIA_JSON, "\xef\xbb\xbf[1]", { 0 }, OUTCOME_OK, DATA_JSON, DATA_JSON, NULL },
                { MEDIA_HTML, "<p>Some storm", { 0 }, OUTCOME_OK, DATA_TEXT_DOCUMENT, DATA_TEXT, NULL },
                { MEDIA_UNKNOWN, "<p>Some storm", { 0 }, OUTCOME_OK, DATA_TEXT_DOCUMENT, DATA_TEXT, NULL },
                { MEDIA_TEXT, "caf\xe9", { 0 }, OUTCOME_DECODE, 0, 0, "UTF-8 (at byte 3" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (unsigned engine = ENGINE_NONE; engine <= ENGINE_DIGEST; engine++) {
                        ProcessInput input = input_of(engine, cases[i].media, cases[i].document);
                        input.rules = cases[i].rules;
                        run(input);
                        assert_int_equal(output.outcome, cases[i].outcome);
                        assert_int_equal(
                                        output.data_kind,
                                        engine == ENGINE_NONE ? cases[i].none_kind :
                                                                cases[i].digest_kind);
                        if (cases[i].error)
                                expect_error(cases[i].error);
                }
}

static void test_markup_without_text(void **state) {
        run(input_of(ENGINE_DIGEST, MEDIA_HTML, "<p><script>x</script></p>"));
        assert_int_equal(output.outcome, OUTCOME_EMPTY);
        run(input_of(ENGINE_DIGEST, MEDIA_HTML, "<title>Only a title</title>"));
        assert_int_equal(output.outcome, OUTCOME_OK);
        expect(output.title, "Only a title");
}

static void test_none(void **state) {
        ProcessInput input = input_of(ENGINE_NONE, MEDIA_JSON, hits);

        input.rules.select = "/hits/0";
        run(input);
        expect(output.data, "{\"title\":\"Storm hits Fargo\",\"url\":\"https://x.org/1\",\"n\":[1]}");
        assert_int_equal(output.n_passages, 0);
        assert_int_equal(output.tokens, 0);
        assert_int_equal(output.sentences, 0);
        assert_int_equal(output.summary.size, 0);
}

static void test_list(void **state) {
        ProcessInput input = input_of(ENGINE_DIGEST, MEDIA_JSON, hits);

        input.rules = (SourceRules){ .select = "/hits", .title = "/title", .link = "/url" };
        run(input);
        assert_int_equal(output.n_passages, 2);
        expect(output.passages[0].title, "Storm hits Fargo");
        expect(output.passages[0].link, "https://x.org/1");
        expect(output.passages[0].text, "Storm hits Fargo\nn: 1");
        expect(output.passages[1].title, "New & old");
        expect(output.passages[1].link, "7");
        assert_true(output.passages[0].score > output.passages[1].score);
        expect(output.summary, "Storm hits Fargo");
        assert_true(output.tokens > 0 && output.sentences == 5);
        input.max_passages = 1;
        run(input);
        assert_int_equal(output.n_passages, 1);
}

static void test_labels_are_bounded(void **state) {
        static char document[20000];
        ProcessInput input;

        (void) snprintf(document, sizeof(document),
                        "{\"t\":\"%0400d\",\"l\":\"%03000d\",\"x\":\"storm\"}", 1, 1);
        input = input_of(ENGINE_DIGEST, MEDIA_JSON, document);
        input.rules = (SourceRules){ .title = "/t", .link = "/l" };
        run(input);
        assert_true(output.n_passages > 0);
        assert_int_equal(output.passages[0].title.size, 300);
        assert_int_equal(output.passages[0].link.size, 0); /* half a link is none */
        input.rules = (SourceRules){ .title = "/missing", .link = "" };
        run(input);
        assert_int_equal(output.passages[0].title.size, 0);
        assert_int_equal(output.passages[0].link.size, 0);
}

static void test_long_list(void **state) {
        size_t n = 70000, size = 0;
        char *document = test_malloc(n * 8 + 16);

        document[size++] = '[';
        for (size_t i = 0; i < n; i++) {
                memcpy(document + size, "\"storm\",", 8);
                size += 8;
        }
        memcpy(document + size - 1, "]", 2);
        run(input_of(ENGINE_DIGEST, MEDIA_JSON, document));
        assert_int_equal(output.outcome, OUTCOME_OK);
        assert_int_equal(output.n_passages, 5);
        test_free(document);
}

static void test_links_alone(void **state) {
        run(input_of(ENGINE_DIGEST, MEDIA_JSON, "[\"https://example.org/\"]"));
        assert_int_equal(output.outcome, OUTCOME_OK); /* something was found, only nothing to read */
        assert_int_equal(output.n_passages, 0);
}

static void test_html(void **state) {
        run(input_of(ENGINE_DIGEST, MEDIA_HTML,
                     "<title>News</title><h1>Storm</h1><p>The storm hit Fargo on <b>Monday</b>.</p>"));
        expect(output.data, "Storm\nThe storm hit Fargo on Monday.");
        expect(output.title, "News");
        assert_int_equal(output.n_passages, 1);
        expect(output.passages[0].title, "News");
        assert_true(output.passages[0].score > 0.9);
}

static void test_charset(void **state) {
        ProcessInput input = input_of(ENGINE_NONE, MEDIA_TEXT, "caf\xe9");

        input.charset = "iso-8859-1";
        run(input);
        assert_int_equal(output.data_kind, DATA_TEXT);
        expect(output.data, "caf\u00e9");
        input.charset = "klingon";
        run(input);
        assert_int_equal(output.outcome, OUTCOME_DECODE);
        expect_error("\"klingon\" is not known");
        input.charset = NULL;
        run(input);
        assert_int_equal(output.outcome, OUTCOME_DECODE);
}

/* "[1, 22]" */
static const uint8_t packed[] = { 0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
                                  0x03, 0x8b, 0x36, 0xd4, 0x51, 0x30, 0x32, 0x8a, 0x05,
                                  0x00, 0xc6, 0x93, 0xde, 0x08, 0x07, 0x00, 0x00, 0x00 };

static void test_gzip(void **state) {
        ProcessInput input = input_of(ENGINE_NONE, MEDIA_JSON, "");

        input.coding = CODING_GZIP;
        input.document = packed;
        input.document_size = sizeof(packed);
        run(input);
        assert_int_equal(output.outcome, OUTCOME_OK);
        assert_int_equal(output.data_kind, DATA_JSON);
        expect(output.data, "[1,22]");
        input.max_decoded = 6;
        run(input);
        assert_int_equal(output.outcome, OUTCOME_TOO_LARGE);
        input.max_decoded = 100;
        input.document_size--;
        run(input);
        assert_int_equal(output.outcome, OUTCOME_DECODE);
        input.media = MEDIA_UNKNOWN;
        input.document_size = 0; /* a compressed nothing */
        run(input);
        assert_int_equal(output.outcome, OUTCOME_EMPTY);
}

static void test_too_large(void **state) {
        ProcessInput input = input_of(ENGINE_NONE, MEDIA_TEXT, "12345");

        input.max_decoded = 5;
        run(input);
        assert_int_equal(output.outcome, OUTCOME_OK);
        input.max_decoded = 4;
        run(input);
        assert_int_equal(output.outcome, OUTCOME_TOO_LARGE);
        expect_error("MaxBytes=");
}

static void test_spin(void **state) {
        ProcessInput input = input_of(ENGINE_SPIN, MEDIA_TEXT, "The storm hit Fargo.");
        struct timespec before, after;

        input.spin_ns = 20 * NSEC_PER_MSEC;
        (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
        run(input);
        (void) clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
        int64_t ns = (after.tv_sec - before.tv_sec) * (int64_t) NSEC_PER_SEC + after.tv_nsec -
                        before.tv_nsec;
        assert_true(ns >= (int64_t) input.spin_ns);
        assert_int_equal(output.n_passages, 1);
}

static void test_not_terminated(void **state) {
        static const char text[] = "{\"a\":12";
        char *exact = test_malloc(strlen(text)); /* a sanitizer sees any byte read past it */

        for (size_t n = 0; n <= strlen(text); n++) {
                char *copy = test_malloc(n + !n);
                memcpy(copy, text, n);
                for (unsigned media = 0; media < MEDIA_COUNT; media++) {
                        ProcessInput input = input_of(ENGINE_DIGEST, media, "");
                        input.document = (const uint8_t *) copy;
                        input.document_size = n;
                        run(input);
                }
                test_free(copy);
        }
        test_free(exact);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(test_outcomes, teardown),
                cmocka_unit_test_teardown(test_markup_without_text, teardown),
                cmocka_unit_test_teardown(test_none, teardown),
                cmocka_unit_test_teardown(test_list, teardown),
                cmocka_unit_test_teardown(test_labels_are_bounded, teardown),
                cmocka_unit_test_teardown(test_long_list, teardown),
                cmocka_unit_test_teardown(test_links_alone, teardown),
                cmocka_unit_test_teardown(test_html, teardown),
                cmocka_unit_test_teardown(test_charset, teardown),
                cmocka_unit_test_teardown(test_gzip, teardown),
                cmocka_unit_test_teardown(test_too_large, teardown),
                cmocka_unit_test_teardown(test_spin, teardown),
                cmocka_unit_test_teardown(test_not_terminated, teardown),
        };
        return cmocka_run_group_tests_name("process", tests, setup_group, teardown_group);
}
