/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "macro.h"
#include "simulate.h"

static void test_defaults(void **state) {
        Simulation simulation;
        const char *reason = NULL;

        assert_int_equal(simulation_parse("", &simulation, &reason), 0);
        assert_int_equal(simulation.delay_ns, 0);
        assert_int_equal(simulation.bytes, 1024);
        assert_int_equal(simulation.status, 200);
        assert_true(simulation.fail <= 0);
}

static void test_all(void **state) {
        Simulation simulation;
        const char *reason = NULL;

        assert_int_equal(
                        simulation_parse("delay=1.5s&fail=0.5&bytes=4K&status=503", &simulation, &reason),
                        0);
        assert_int_equal(simulation.delay_ns, 1500 * NSEC_PER_MSEC);
        assert_int_equal(simulation.bytes, 4096);
        assert_int_equal(simulation.status, 503);
        assert_true(simulation.fail > .49 && simulation.fail < .51);
}

static void test_refused(void **state) {
        static const char *const texts[] = { "delay=soon", "fail=2",   "fail=",     "fail=-1",
                                             "fail=nan",   "bytes=-1", "status=99", "status=600",
                                             "status=x",   "speed=9",  "delay" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                Simulation simulation;
                const char *reason = NULL;

                assert_int_equal(simulation_parse(texts[i], &simulation, &reason), -EINVAL);
                assert_non_null(reason);
        }
}

static void test_write(void **state) {
        char out[301];

        memset(out, 'x', sizeof(out));
        simulation_write(out, 300, "weather", "rain?", 5);
        assert_int_equal(out[300], 'x');
        out[300] = '\0';
        assert_non_null(strstr(out, "weather"));
        assert_non_null(strstr(out, "rain?"));
        assert_int_equal(strlen(out), 300);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_all),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_write),
        };
        return cmocka_run_group_tests_name("simulate", tests, NULL, NULL);
}
