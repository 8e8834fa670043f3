/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "macro.h"
#include "sentences.h"
#include "utf8.h"

/* `expected` has the sentences joined by '|'. */
static void check(const char *text, bool wrapped, const char *expected) {
        SentenceIterator it = { .text = text, .size = strlen(text), .wrapped = wrapped };
        char got[2048] = "";
        size_t start, end, n = 0;

        while (sentence_next(&it, &start, &end)) {
                assert_true(end > start);
                if (n > 0)
                        got[n++] = '|';
                assert_true(n + end - start < sizeof(got));
                memcpy(got + n, text + start, end - start);
                n += end - start;
        }
        got[n] = '\0';
        assert_string_equal(got, expected);
}

static void test_rule(void **state) {
        static const char *const cases[][2] = {
                { "One. Two! Three? Four", "One.|Two!|Three?|Four" },
                { "He said \"No.\" Then (he left.) \"Why?\" Nobody knew.",
                  "He said \"No.\"|Then (he left.)|\"Why?\"|Nobody knew." },
                { "It costs 3.50 today. Use node.js or v1.2.3 now.",
                  "It costs 3.50 today.|Use node.js or v1.2.3 now." },
                { "this goes on. like this", "this goes on. like this" },
                { "Dr. Smith met J. R. Jones in the U.S. Army. Mr. X came.",
                  "Dr. Smith met J. R. Jones in the U.S. Army.|Mr. X came." },
                { "See No. 5 and Fig. 3. No. That is wrong.",
                  "See No. 5 and Fig. 3.|No.|That is wrong." },
                { "It ended. 42 people came on Jan. 5 with us.",
                  "It ended.|42 people came on Jan. 5 with us." },
                { "Wait... What? Yes!! Really?! Good", "Wait...|What?|Yes!!|Really?!|Good" },
                { "e.g. Apples", "e.g. Apples" },
                { "line one\nline two\n\n\nline three", "line one|line two|line three" },
                { "\u0414\u0430. \u041d\u0435\u0442. \u0434\u0430.",
                  "\u0414\u0430.|\u041d\u0435\u0442. \u0434\u0430." },
                { "\u5929\u6c17\u3002\u96e8\uff01\u300c\u98a8\u3002\u300d\u96ea",
                  "\u5929\u6c17\u3002|\u96e8\uff01|\u300c\u98a8\u3002\u300d|\u96ea" },
                { "\u0928\u092e\u0938\u094d\u0924\u0947\u0964 \u0939\u093e\u0901",
                  "\u0928\u092e\u0938\u094d\u0924\u0947\u0964|\u0939\u093e\u0901" },
                { "\u0645\u0627\u061f \u0646\u0639\u0645.", "\u0645\u0627\u061f|\u0646\u0639\u0645." },
                { "Wait\u2026 What? \u00bfQu\u00e9? \u00a1S\u00ed!",
                  "Wait\u2026|What?|\u00bfQu\u00e9?|\u00a1S\u00ed!" },
                { "   \n\t ", "" },
                { "", "" },
                { "x", "x" },
                { "End.   ", "End." },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check(cases[i][0], false, cases[i][1]);
}

static void test_wrapped(void **state) {
        static const char *const cases[][2] = {
                { "This is a paragraph that was wrapped at\nsome column. It goes on\nand ends.",
                  "This is a paragraph that was wrapped at\nsome column.|It goes on\nand ends." },
                { "Short heading\nThe text begins", "Short heading|The text begins" },
                { "one\n\ntwo\n \nthree\n", "one|two|three" },
                { "- first\n- second\n* third", "- first|- second|* third" },
                { "A line that is certainly longer than forty bytes and goes to\nNew York in the morning",
                  "A line that is certainly longer than forty bytes and goes to\nNew York in the morning" },
                { "A line that is certainly longer than forty bytes and wide\n- point",
                  "A line that is certainly longer than forty bytes and wide|- point" },
                { "a line of a poem\r\ngoes on", "a line of a poem\r\ngoes on" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check(cases[i][0], true, cases[i][1]);
}

/* Whatever the text, sentences are short, in order, whole characters, and cover all that is no
 * blank. */
static void check_cover(const char *text, size_t size, bool wrapped) {
        SentenceIterator it = { .text = text, .size = size, .wrapped = wrapped };
        size_t start, end, last = 0;

        while (sentence_next(&it, &start, &end)) {
                assert_true(start >= last && end > start && end <= size);
                assert_true(end - start <= SENTENCE_MAX);
                assert_true(utf8_valid(text + start, end - start));
                for (size_t i = last; i < start; i++)
                        assert_non_null(strchr(" \t\r\n", text[i]));
                last = end;
        }
        for (size_t i = last; i < size; i++)
                assert_non_null(strchr(" \t\r\n", text[i]));
}

static void test_hostile(void **state) {
        static const char *const patterns[] = {
                "a",    "a. ",        "Ab. ", ".",        "......b",
                "\n",   "a\n",        ". \n", "\u3002",   "\u5929",
                "a b ", "\U0001f600", ".\"",  "A.\n\n  ", "x        ",
        };
        size_t size = 1 << 18;
        char *text = test_malloc(size);

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                size_t n = strlen(patterns[i]);
                for (size_t k = 0; k < size; k++)
                        text[k] = patterns[i][k % n];
                check_cover(text, size - size % n, i % 2 == 0);
        }
        test_free(text);
}

static void test_long_is_cut_at_blank(void **state) {
        char text[SENTENCE_MAX + 200];
        SentenceIterator it = { .text = text, .size = sizeof(text) };
        size_t start, end;

        memset(text, 'a', sizeof(text));
        text[SENTENCE_MAX - 50] = ' ';
        assert_true(sentence_next(&it, &start, &end));
        assert_int_equal(end, SENTENCE_MAX - 50);
        assert_true(sentence_next(&it, &start, &end));
        assert_int_equal(start, SENTENCE_MAX - 49);
        assert_int_equal(end, sizeof(text));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rule),
                cmocka_unit_test(test_wrapped),
                cmocka_unit_test(test_hostile),
                cmocka_unit_test(test_long_is_cut_at_blank),
        };
        return cmocka_run_group_tests_name("sentences", tests, NULL, NULL);
}
