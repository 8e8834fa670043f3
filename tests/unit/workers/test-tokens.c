/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "macro.h"
#include "tokens.h"

static int setup_group(void **state) {
        return tokens_init();
}

static int teardown_group(void **state) {
        tokens_deinit();
        return 0;
}

static Token only_token(const char *text) {
        TokenIterator it = { .text = text, .size = strlen(text) };
        Token token, more;

        assert_true(token_next(&it, &token));
        assert_false(token_next(&it, &more));
        return token;
}

/* `expected` has the words joined by '|'; stop words in parentheses. */
static void check(const char *text, const char *expected) {
        TokenIterator it = { .text = text, .size = strlen(text) };
        char got[512] = "";
        size_t n = 0;
        Token token;

        while (token_next(&it, &token)) {
                if (n > 0)
                        got[n++] = '|';
                if (token.stop)
                        got[n++] = '(';
                assert_true(n + token.size + 2 < sizeof(got));
                memcpy(got + n, text + token.start, token.size);
                n += token.size;
                if (token.stop)
                        got[n++] = ')';
        }
        got[n] = '\0';
        assert_string_equal(got, expected);
}

static void test_words(void **state) {
        check("The quick, brown FOX's 2nd den!", "(The)|quick|brown|FOX|(s)|2nd|den");
        check("temperature_2m", "temperature|2m");
        check("caf\u00e9 \u041c\u043e\u0441\u043a\u0432\u0430 na\u00efve",
              "caf\u00e9|\u041c\u043e\u0441\u043a\u0432\u0430|na\u00efve");
        check("  -- \u2014 \U0001f600 ", "");
        check("", "");
        check("\xff\xfe a", "(a)"); /* not UTF-8: stepped over */
}

static void test_pairs(void **state) {
        check("\u5929\u6c17\u4e88\u5831", "\u5929\u6c17|\u6c17\u4e88|\u4e88\u5831");
        check("\u96e8 \u96e8", "\u96e8|\u96e8");
        check("AI\u5929\u6c17AI\u3002\u96e8", "AI|\u5929\u6c17|AI|\u96e8");
}

static void test_equal(void **state) {
        static const struct {
                const char *a, *b;
                bool equal;
        } cases[] = {
                { "running", "RUNS", true },
                { "nations", "Nation", true },
                { "nation", "notion", false },
                { "\u00c9T\u00c9", "\u00e9t\u00e9", true },
                { "\u041c\u041e\u0421\u041a\u0412\u0410", "\u043c\u043e\u0441\u043a\u0432\u0430",
                  true },
                { "8080", "8080", true },
                { "8080", "8081", false },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(only_token(cases[i].a).id == only_token(cases[i].b).id, cases[i].equal);
}

static void test_properties(void **state) {
        static const char *const stops[] = { "a", "The", "YOUR", "whose", "during", "about" };
        TokenIterator it = { .text = "How Many", .size = 8 };
        Token token;

        for (size_t i = 0; i < ELEMENTSOF(stops); i++)
                assert_true(only_token(stops[i]).stop);
        assert_false(only_token("storm").stop);
        assert_false(only_token("beforehandedly").stop);
        assert_true(only_token("v2x").has_digit);
        assert_false(only_token("vx").has_digit);
        assert_true(token_next(&it, &token));
        assert_true(token_is(&it, &token, "how"));
        assert_false(token_is(&it, &token, "ho"));
        assert_false(token_is(&it, &token, "howl"));
        assert_true(token_next(&it, &token));
        assert_true(token_is(&it, &token, "many"));
}

static void test_long_word(void **state) {
        char text[100000];
        TokenIterator it = { .text = text, .size = sizeof(text) };
        Token token;

        for (size_t i = 0; i < sizeof(text); i += 2)
                memcpy(text + i, "\u00e9", 2);
        assert_true(token_next(&it, &token));
        assert_int_equal(token.size, sizeof(text));
        assert_false(token_next(&it, &token));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_words),     cmocka_unit_test(test_pairs),
                cmocka_unit_test(test_equal),     cmocka_unit_test(test_properties),
                cmocka_unit_test(test_long_word),
        };
        return cmocka_run_group_tests_name("tokens", tests, setup_group, teardown_group);
}
