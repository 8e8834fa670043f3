/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "macro.h"
#include "vocabulary.h"

static void test_verdicts(void **state) {
        for (int i = 0; i < VERDICT_COUNT; i++) {
                Verdict verdict = (Verdict) i;

                assert_true(strlen(verdict_name(verdict)) > 1);
                assert_true(strlen(verdict_help(verdict)) > 1);
                assert_int_equal(verdict_answered(verdict), i == VERDICT_OK || i == VERDICT_EMPTY);
                /* What counts as an answer is no failure of any kind. */
                if (verdict_answered(verdict))
                        assert_false(verdict_transient(verdict) || verdict_breaker_failure(verdict));
                for (int k = 0; k < i; k++)
                        assert_string_not_equal(verdict_name(verdict), verdict_name((Verdict) k));
        }
        assert_true(verdict_breaker_failure(VERDICT_TIMEOUT));
        assert_true(verdict_transient(VERDICT_QUOTA));
        assert_false(verdict_breaker_failure(VERDICT_CANCELLED));
}

static void test_stages(void **state) {
        for (int i = 0; i < STAGE_COUNT; i++) {
                const char *error_stage = stage_error_stage((Stage) i);

                assert_true(strlen(stage_name((Stage) i)) > 1);
                assert_true(strlen(stage_help((Stage) i)) > 1);
                assert_true(strcmp(error_stage, "fetch") == 0 || strcmp(error_stage, "worker") == 0 ||
                            strcmp(error_stage, "decode") == 0);
                for (int k = 0; k < i; k++)
                        assert_string_not_equal(stage_name((Stage) i), stage_name((Stage) k));
        }
        assert_true(STAGE_QUEUE < STAGE_CONNECT && STAGE_CONNECT < STAGE_ENGINE);
        assert_true(STAGE_CACHE < STAGE_SHARE && STAGE_BREAKER < STAGE_QUEUE);
        assert_true(STAGE_BACKOFF < STAGE_RESOLVE && STAGE_RECEIVE < STAGE_FALLBACK);
}

/* Decisions that end a source's story are the fetch's. */
static void test_stages_of_decisions(void **state) {
        static const struct {
                Stage stage;
                const char *name;
        } rows[] = {
                { STAGE_CACHE, "cache" },     { STAGE_SHARE, "share" },
                { STAGE_BREAKER, "breaker" }, { STAGE_QUOTA, "quota" },
                { STAGE_BACKOFF, "backoff" }, { STAGE_HEDGE, "hedge" },
                { STAGE_QUEUE, "queue" },     { STAGE_FALLBACK, "fallback" },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                assert_string_equal(stage_name(rows[i].stage), rows[i].name);
                assert_string_equal(stage_error_stage(rows[i].stage), "fetch");
        }
}

/* Their names are keys of one object. */
static void test_counters(void **state) {
        for (int i = 0; i < COUNTER_COUNT; i++) {
                const char *name = counter_name((SourceCounter) i);
                const char *help = counter_help((SourceCounter) i);

                assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
                assert_true(strlen(help) > 10 && help[strlen(help) - 1] == '.');
                assert_string_not_equal(name, "bytes");
                assert_string_not_equal(name, "verdicts");
                for (int k = 0; k < i; k++)
                        assert_string_not_equal(name, counter_name((SourceCounter) k));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_stages),
                cmocka_unit_test(test_stages_of_decisions),
                cmocka_unit_test(test_counters),
        };
        return cmocka_run_group_tests_name("vocabulary", tests, NULL, NULL);
}
