/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "clock.h"
#include "cmocka.h"
#include "digest.h"
#include "tokens.h"

static Buffer summary;

static int setup_group(void **state) {
        return tokens_init();
}

static int teardown_group(void **state) {
        tokens_deinit();
        buffer_deinit(&summary);
        return 0;
}

static DigestResult
run(const char *question, const char *text, const DigestItem items[], size_t n, unsigned max) {
        DigestInput input = {
                .question = question,
                .question_size = strlen(question),
                .text = text,
                .items = items,
                .n_items = n,
                .max_passages = max,
                .deadline_ns = TIME_INFINITY,
        };
        DigestResult result = { 0 };

        buffer_clear(&summary);
        assert_int_equal(digest(&input, &summary, &result), 0);
        assert_true(result.n_passages <= max);
        assert_true(summary.size <= SUMMARY_MAX);
        for (unsigned i = 0; i < result.n_passages; i++) {
                const DigestPassage *p = &result.passages[i];
                assert_true(p->score >= 0 && p->score <= 1.000001);
                assert_true(i == 0 || p->score <= result.passages[i - 1].score);
                assert_true(p->end > p->start && p->end - p->start <= PASSAGE_MAX);
                assert_true(p->item < n && p->start >= items[p->item].start &&
                            p->end <= items[p->item].end);
                for (unsigned k = 0; k < i; k++) /* none overlaps */
                        assert_true(p->end <= result.passages[k].start ||
                                    p->start >= result.passages[k].end);
        }
        return result;
}

static DigestResult run_text(const char *question, const char *text, unsigned max) {
        DigestItem item = { .end = strlen(text) };
        return run(question, text, &item, 1, max);
}

static void expect_summary(const char *text) {
        assert_int_equal(summary.size, strlen(text));
        if (summary.size > 0)
                assert_memory_equal(summary.data, text, summary.size);
}

static const char storm[] = "The plains are wide. Nobody lives there. A storm hit Fargo on Monday. "
                            "It took the power of 12,000 people. Winter is long.";

static void test_short_text_is_one_passage(void **state) {
        DigestResult result = run_text("When did the storm hit Fargo?", storm, 5);

        assert_int_equal(result.n_passages, 1);
        assert_int_equal(result.passages[0].start, 0);
        assert_int_equal(result.passages[0].end, strlen(storm));
        assert_true(result.passages[0].score > 0.99);
        assert_int_equal(result.sentences, 5);
        assert_int_equal(result.words, 24);
        expect_summary("A storm hit Fargo on Monday.");
}

static void test_no_passages_wanted(void **state) {
        DigestResult result = run_text("storm", storm, 0);
        assert_int_equal(result.n_passages, 0);
        expect_summary("A storm hit Fargo on Monday.");
}

static void test_long_text(void **state) {
        char text[8192] = "";
        size_t n = 0;

        for (unsigned i = 0; i < 40; i++) {
                const char *s = i == 30 ? "A storm hit the city of Fargo hard. " :
                                i == 10 ? "Fargo is a city that lies here. " :
                                          "Filler words of no use stand around here. ";
                memcpy(text + n, s, strlen(s) + 1);
                n += strlen(s);
        }
        DigestResult result = run_text("Which storm hit Fargo?", text, 5);
        assert_int_equal(result.n_passages, 2);
        const DigestPassage *p = &result.passages[0];
        assert_non_null(memmem(text + p->start, p->end - p->start, "storm", 5));
        assert_true(p->score > result.passages[1].score + 0.2);
        expect_summary("A storm hit the city of Fargo hard.");
}

static void test_items_are_apart(void **state) {
        static const char text[] = "A storm hit Fargo.New compiler out.Fargo mayor speaks.";
        static const DigestItem items[] = { { 0, 18 }, { 18, 35 }, { 35, 54 } };
        DigestResult result = run("storm in Fargo", text, items, ELEMENTSOF(items), 5);

        assert_int_equal(result.n_passages, 2);
        assert_int_equal(result.passages[0].item, 0);
        assert_int_equal(result.passages[1].item, 2);
}

/* The same sentence must get the same score whatever else its document holds. */
static void test_scores_are_comparable(void **state) {
        static const char poor[] = "Fargo is a city. It is in the plains.";
        double rich = run_text("When did the storm hit Fargo?", storm, 1).passages[0].score;
        double little = run_text("When did the storm hit Fargo?", poor, 1).passages[0].score;
        double nothing =
                        run_text("When did the storm hit Fargo?", "Unrelated words.", 1).passages[0].score;

        assert_true(rich > little && little > nothing && nothing >= 0);
        assert_true(nothing <= 0.05);
}

static void test_unrelated_question(void **state) {
        static const char text[] = "Cheese is made of milk. The milk of cows makes most cheese. "
                                   "My aunt sings. Cheese and milk keep well.";
        DigestResult result = run_text("quantum physics", text, 5);

        assert_int_equal(result.n_passages, 1);
        assert_true(result.passages[0].score <= 0.05);
        assert_null(memmem(summary.data, summary.size, "aunt", 4));
        assert_true(summary.size > 0);
        assert_int_equal(run_text("the of", text, 5).n_passages, 1);
}

static void test_summary_of_lines(void **state) {
        (void) run_text("temperature", "temperature now: 3\nwind: 5\ntemperature max: 4", 5);
        expect_summary("temperature now: 3; temperature max: 4");
}

static void test_nothing(void **state) {
        assert_int_equal(run_text("storm", "", 5).n_passages, 0);
        expect_summary("");
        assert_int_equal(run_text("storm", "!!! ... ---", 5).n_passages, 0);
        assert_int_equal(run("storm", "", NULL, 0, 5).n_passages, 0);
}

static void test_deadline(void **state) {
        char text[64 * 200];
        DigestItem item = { .end = sizeof(text) };
        DigestInput input = { .question = "storm",
                              .question_size = 5,
                              .text = text,
                              .items = &item,
                              .n_items = 1,
                              .max_passages = 5,
                              .deadline_ns = 1 };
        DigestResult result = { 0 };

        for (size_t i = 0; i < sizeof(text); i += 64)
                memcpy(text + i,
                       "The storm was strong. A storm it was. What storm, people asked\n\n\n", 64);
        buffer_clear(&summary);
        assert_int_equal(digest(&input, &summary, &result), 0);
        assert_true(result.sentences > 0 && result.sentences < 100);
        assert_true(result.n_passages > 0);
}

static void test_hostile(void **state) {
        static const char *const patterns[] = { "a. ", "Ab. ",         "storm\n",
                                                "x",   "\u5929\u3002", "a b c d e f " };
        size_t size = 1 << 18;
        char *text = test_malloc(size);

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                size_t n = strlen(patterns[i]);
                for (size_t k = 0; k < size; k++)
                        text[k] = patterns[i][k % n];
                DigestItem item = { .end = size - size % n };
                (void) run("storm \u5929 a", text, &item, 1, MAX_PASSAGES);
        }
        test_free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_short_text_is_one_passage),
                cmocka_unit_test(test_no_passages_wanted),
                cmocka_unit_test(test_long_text),
                cmocka_unit_test(test_items_are_apart),
                cmocka_unit_test(test_scores_are_comparable),
                cmocka_unit_test(test_unrelated_question),
                cmocka_unit_test(test_summary_of_lines),
                cmocka_unit_test(test_nothing),
                cmocka_unit_test(test_deadline),
                cmocka_unit_test(test_hostile),
        };
        return cmocka_run_group_tests_name("digest", tests, setup_group, teardown_group);
}
