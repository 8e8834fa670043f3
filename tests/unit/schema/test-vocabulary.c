/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
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
        }
        assert_true(STAGE_QUEUE < STAGE_CONNECT && STAGE_CONNECT < STAGE_ENGINE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_verdicts),
                cmocka_unit_test(test_stages),
        };
        return cmocka_run_group_tests_name("vocabulary", tests, NULL, NULL);
}
