/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "rank.h"
#include "tokens.h"

static int setup_group(void **state) {
        return tokens_init();
}

static int teardown_group(void **state) {
        tokens_deinit();
        return 0;
}

static Question read(const char *text) {
        Question question;
        question_read(&question, text, strlen(text));
        return question;
}

static void add_all(Ranker *ranker, const char *const texts[], size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_int_equal(ranker_add(ranker, texts[i], strlen(texts[i])), 0);
        ranker_finish(ranker);
        assert_int_equal(ranker_count(ranker), n);
        for (size_t i = 0; i < n; i++)
                assert_true(isfinite(ranker_candidates(ranker)[i].score));
}

static size_t best(const Ranker *ranker) {
        size_t best = 0;
        for (size_t i = 1; i < ranker_count(ranker); i++)
                if (ranker_candidates(ranker)[i].score > ranker_candidates(ranker)[best].score)
                        best = i;
        return best;
}

static void test_question(void **state) {
        static const struct {
                const char *text;
                bool number;
        } cases[] = {
                { "When did it begin?", true },           { "How many people came?", true },
                { "In which year was it?", true },        { "what time is it", true },
                { "How did it begin?", false },           { "Many years ago", false },
                { "What is the many-body date?", false }, { "", false },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(read(cases[i].text).wants_number, cases[i].number);

        Question question = read("Storm storms in the Fargo of 1997");
        assert_int_equal(question.n_terms, 3);
        assert_true(question.repeats[0] > 1.5);
        assert_true(question.weights[0] < question.weights[1]); /* a name */
        assert_true(question.weights[0] < question.weights[2]); /* a number */
}

static void test_order(void **state) {
        static const char *const texts[] = {
                "The weather in the plains was calm.",
                "A storm hit Fargo on Monday night.",
                "Fargo is a city in the plains.",
                "Nothing of interest happened.",
        };
        Question question = read("Which storm hit Fargo?");
        Ranker ranker = { .question = &question };

        add_all(&ranker, texts, ELEMENTSOF(texts));
        const Candidate *c = ranker_candidates(&ranker);
        assert_int_equal(best(&ranker), 1);
        assert_true(c[2].score > c[0].score);
        assert_int_equal(c[1].n_hits, 3);
        assert_int_equal(c[3].n_hits, 0);
        assert_true(fabs(c[0].score - c[3].score) < 1e-9);
        ranker_deinit(&ranker);
}

static void test_number(void **state) {
        static const char *const texts[] = {
                "People of Fargo lost power one dark winter night.",
                "Power was lost by 12,000 people in Fargo.",
        };
        Question question = read("How many people lost power in Fargo?");
        Ranker ranker = { .question = &question };

        add_all(&ranker, texts, ELEMENTSOF(texts));
        assert_int_equal(best(&ranker), 1);
        ranker_deinit(&ranker);
}

static void test_coverage(void **state) {
        static const char *const texts[] = { "alpha alpha", "beta gamma", "nothing" };
        Question question = read("alpha beta gamma delta");
        Ranker ranker = { .question = &question };

        add_all(&ranker, texts, ELEMENTSOF(texts));
        assert_true(fabs(ranker_coverage(&ranker, 0, 0) - 0.25) < 1e-9);
        assert_true(fabs(ranker_coverage(&ranker, 0, 1) - 0.75) < 1e-9);
        assert_true(fabs(ranker_coverage(&ranker, 0, 2) - 0.75) < 1e-9);
        assert_true(ranker_coverage(&ranker, 2, 2) < 1e-9);
        ranker_deinit(&ranker);
}

static void test_degenerate(void **state) {
        static const char *const texts[] = { "same words", "same words", "" };
        Question none = read("the of and"), question = read("same");
        Ranker ranker = { .question = &none };

        add_all(&ranker, texts, ELEMENTSOF(texts)); /* nothing asked */
        assert_true(ranker_coverage(&ranker, 0, 2) < 1e-9);
        ranker_deinit(&ranker);

        ranker = (Ranker){ .question = &question };
        add_all(&ranker, texts, 2); /* all equal */
        assert_true(fabs(ranker_candidates(&ranker)[0].score) < 1e-9);
        ranker_deinit(&ranker);

        ranker = (Ranker){ .question = &question };
        ranker_finish(&ranker); /* no candidates */
        ranker_deinit(&ranker);
}

static void test_many_terms(void **state) {
        char text[QUESTION_TERMS_MAX * 8 * 2], *p = text;

        for (unsigned i = 0; i < QUESTION_TERMS_MAX * 2; i++) {
                *p++ = 'w';
                *p++ = (char) ('a' + i % 26);
                *p++ = (char) ('a' + i / 26);
                *p++ = 'x';
                *p++ = ' ';
        }
        *p = '\0';
        Question question = read(text);
        const char *const texts[] = { text };
        Ranker ranker = { .question = &question };
        assert_int_equal(question.n_terms, QUESTION_TERMS_MAX);
        add_all(&ranker, texts, 1);
        assert_int_equal(ranker_candidates(&ranker)[0].n_hits, QUESTION_TERMS_MAX);
        assert_true(ranker_coverage(&ranker, 0, 0) > 0.999);
        ranker_deinit(&ranker);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_question),   cmocka_unit_test(test_order),
                cmocka_unit_test(test_number),     cmocka_unit_test(test_coverage),
                cmocka_unit_test(test_degenerate), cmocka_unit_test(test_many_terms),
        };
        return cmocka_run_group_tests_name("rank", tests, setup_group, teardown_group);
}
