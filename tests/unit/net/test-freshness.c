/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "clock.h"
#include "freshness.h"
#include "macro.h"

/* ---- dates ---- */

/* Parses a copy without a NUL, so that a sanitizer finds what reads too far. */
static int parse_date(const char *text, int64_t *ret) {
        size_t size = strlen(text);
        char *copy = malloc(size > 0 ? size : 1);

        assert_non_null(copy);
        memcpy(copy, text, size);
        int r = http_date_parse(copy, size, ret);
        free(copy);
        return r;
}

static void test_dates(void **state) {
        static const struct {
                const char *text;
                int64_t unix_s;
        } dates[] = {
                /* the three formats, from RFC 9110 */
                { "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
                { "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
                { "Sun Nov  6 08:49:37 1994", 784111777 },
                { "Wed Nov 16 08:49:37 1994", 784975777 },
                /* ends of what there is */
                { "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
                { "Wed, 31 Dec 1969 23:59:59 GMT", -1 },
                { "Sat, 01 Jan 0000 00:00:00 GMT", -62167219200 },
                { "Fri, 31 Dec 9999 23:59:59 GMT", 253402300799 },
                { "Tue, 19 Jan 2038 03:14:08 GMT", 2147483648 },
                { "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 }, /* a leap second */
                /* leap years */
                { "Tue, 29 Feb 2000 00:00:00 GMT", 951782400 },
                { "Wed, 01 Mar 2000 00:00:00 GMT", 951868800 },
                { "Thu, 29 Feb 2024 12:00:00 GMT", 1709208000 },
                { "Fri, 28 Feb 2100 00:00:00 GMT", 4107456000 },
                { "Mon, 01 Mar 2100 00:00:00 GMT", 4107542400 },
                /* the pivot of years of two digits */
                { "Thursday, 01-Jan-70 00:00:00 GMT", 0 },
                { "Friday, 31-Dec-99 23:59:59 GMT", 946684799 },
                { "Saturday, 01-Jan-00 00:00:00 GMT", 946684800 },
                { "Tuesday, 31-Dec-69 23:59:59 GMT", 3155759999 },
                /* not looked at */
                { "Mon, 06 Nov 1994 08:49:37 GMT", 784111777 },
        };

        for (size_t i = 0; i < ELEMENTSOF(dates); i++) {
                int64_t unix_s = -7;
                if (parse_date(dates[i].text, &unix_s) != 0 || unix_s != dates[i].unix_s)
                        fail_msg("%s: %lld", dates[i].text, (long long) unix_s);
        }
}

static void test_no_dates(void **state) {
        static const char *const texts[] = {
                "",
                "0",
                "-1",
                "now",
                "784111777",
                "Sun",
                "Sun, 06 Nov 1994 08:49:37",
                "Sun, 06 Nov 1994 08:49:37 GM",
                "Sun, 06 Nov 1994 08:49:37 GMT ",
                " Sun, 06 Nov 1994 08:49:37 GMT",
                "Sun, 06 Nov 1994 08:49:37 UTC",
                "Sun, 06 Nov 1994 08:49:37 gmt",
                "Sun, 06 Nov 1994 08:49:37 +0000",
                "Sun,  06 Nov 1994 08:49:37 GMT",
                "Sun 06 Nov 1994 08:49:37 GMT",
                "sun, 06 Nov 1994 08:49:37 GMT",
                "Sun, 06 nov 1994 08:49:37 GMT",
                "Sun, 6 Nov 1994 08:49:37 GMT",
                "Sun,  6 Nov 1994 08:49:37 GMT",
                "Sun, 06 Nov 94 08:49:37 GMT",
                "Sun, 06-Nov-1994 08:49:37 GMT",
                "Sunday, 06-Nov-1994 08:49:37 GMT",
                "Sunday, 06 Nov 1994 08:49:37 GMT",
                "Son, 06 Nov 1994 08:49:37 GMT",
                "Sun, 06 Nox 1994 08:49:37 GMT",
                "Sun, 06 Nov 1994 8:49:37 GMT",
                "Sun, 06 Nov 1994 08:49 GMT",
                "Sun, 06 Nov 1994 08.49.37 GMT",
                "Sun, +6 Nov 1994 08:49:37 GMT",
                "Sun, 06 Nov 1994 24:00:00 GMT",
                "Sun, 06 Nov 1994 08:60:37 GMT",
                "Sun, 06 Nov 1994 08:49:61 GMT",
                "Sun, 00 Nov 1994 08:49:37 GMT",
                "Sun, 31 Nov 1994 08:49:37 GMT",
                "Sun, 32 Dec 1994 08:49:37 GMT",
                "Tue, 29 Feb 2023 08:49:37 GMT",
                "Tue, 29 Feb 2100 08:49:37 GMT",
                "Sun, 30 Feb 2000 08:49:37 GMT",
                "Sunday, 29-Feb-70 08:49:37 GMT",
                "Sun Nov 6 08:49:37 1994",
                "Sun Nov 006 08:49:37 1994",
                "Sun Nov    08:49:37 1994",
                "Sun Nov  6 08:49:37 94",
                "Sun Nov  6 08:49:37 1994 GMT",
                "Sun Nov  0 08:49:37 1994",
                "Sun Nov 31 08:49:37 1994",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                int64_t unix_s = -7;
                if (parse_date(texts[i], &unix_s) != -EINVAL || unix_s != -7)
                        fail_msg("%s: %lld", texts[i], (long long) unix_s);
        }
}

/* Every day from 1900 to 2200 as libc writes it, in two formats. */
static void test_dates_of_libc(void **state) {
        const int64_t day = 86400;

        for (int64_t t = -25567 * day; t < 84006 * day; t += day) {
                time_t time = (time_t) (t + (t & 0xffff) % day);
                struct tm tm;
                char text[64];
                int64_t unix_s;

                assert_non_null(gmtime_r(&time, &tm));
                assert_true(strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
                assert_int_equal(parse_date(text, &unix_s), 0);
                assert_int_equal(unix_s, time);
                assert_true(strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm) > 0);
                assert_int_equal(parse_date(text, &unix_s), 0);
                assert_int_equal(unix_s, time);
        }
}

/* ---- Cache-Control ---- */

static CacheControl control_of(const char *value) {
        CacheControl control = { 0 };

        cache_control_read(&control, value, strlen(value));
        return control;
}

static void test_seconds(void **state) {
        uint32_t seconds = 7;

        assert_int_equal(delta_seconds_parse("", 0, &seconds), -EINVAL);
        assert_int_equal(delta_seconds_parse("1x", 2, &seconds), -EINVAL);
        assert_int_equal(delta_seconds_parse("-1", 2, &seconds), -EINVAL);
        assert_int_equal(delta_seconds_parse(" 1", 2, &seconds), -EINVAL);
        assert_int_equal(seconds, 7);
        assert_int_equal(delta_seconds_parse("0012", 3, &seconds), 0);
        assert_int_equal(seconds, 1);
        assert_int_equal(delta_seconds_parse("2147483647", 10, &seconds), 0);
        assert_int_equal(seconds, 2147483647);
        assert_int_equal(delta_seconds_parse("2147483649", 10, &seconds), 0);
        assert_int_equal(seconds, DELTA_SECONDS_MAX);
        assert_int_equal(delta_seconds_parse("18446744073709551617", 20, &seconds), 0);
        assert_int_equal(seconds, DELTA_SECONDS_MAX);
}

static const struct {
        const char *value;
        CacheControl control;
} controls[] = {
        { "", {} },
        { ",, ,", {} },
        { "no-store", { .no_store = true } },
        { "No-Cache", { .no_cache = true } },
        { "no-cache=\"Set-Cookie, no-store\"", { .no_cache = true } },
        { "MUST-REVALIDATE", { .must_revalidate = true } },
        { "proxy-revalidate", {} },
        { "private, public, immutable, s-maxage=5, x=\"no-store\", x=no-cache", {} },
        { "no-storex, xno-store, no-stor, \"no-store\"", {} },
        { "max-age=0", { .has_max_age = true } },
        { "MAX-AGE=60", { .has_max_age = true, .max_age_s = 60 } },
        { "max-age=\"5\"", { .has_max_age = true, .max_age_s = 5 } },
        { " \tmax-age=60\t ,\tno-store", { .has_max_age = true, .max_age_s = 60, .no_store = true } },
        { "max-age=99999999999999999999", { .has_max_age = true, .max_age_s = DELTA_SECONDS_MAX } },
        /* twice */
        { "max-age=5, max-age=9", { .has_max_age = true, .max_age_s = 5 } },
        { "max-age=9, max-age=5", { .has_max_age = true, .max_age_s = 5 } },
        { "max-age=9, max-age=x", { .has_max_age = true } },
        { "max-age=x, max-age=9", { .has_max_age = true } },
        /* a malformed one makes it stale */
        { "max-age", { .has_max_age = true } },
        { "max-age=", { .has_max_age = true } },
        { "max-age=-1", { .has_max_age = true } },
        { "max-age=1.5", { .has_max_age = true } },
        { "max-age=5s", { .has_max_age = true } },
        { "max-age= 5", { .has_max_age = true } },
        { "max-age=\"5", { .has_max_age = true } },
        { "max-age=\"", { .has_max_age = true } },
        { "max-age=\"\"", { .has_max_age = true } },
        { "max-age='5'", { .has_max_age = true } },
        /* windows: a malformed one is none */
        { "stale-while-revalidate=7",
          { .has_stale_while_revalidate = true, .stale_while_revalidate_s = 7 } },
        { "Stale-If-Error=\"7\", stale-if-error=8, stale-if-error=x",
          { .has_stale_if_error = true, .stale_if_error_s = 7 } },
        { "stale-while-revalidate=0", { .has_stale_while_revalidate = true } },
        { "stale-while-revalidate, stale-if-error=x", {} },
        { "max-age=1, stale-while-revalidate=2, stale-if-error=3, must-revalidate",
          { .has_max_age = true,
            .max_age_s = 1,
            .has_stale_while_revalidate = true,
            .stale_while_revalidate_s = 2,
            .has_stale_if_error = true,
            .stale_if_error_s = 3,
            .must_revalidate = true } },
};

static void test_controls(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(controls); i++) {
                CacheControl control = control_of(controls[i].value);
                if (memcmp(&control, &controls[i].control, sizeof(control)) != 0)
                        fail_msg("%s", controls[i].value);
        }
}

static void test_controls_add_up(void **state) {
        CacheControl control = control_of("max-age=60, no-store");

        cache_control_read(&control, "max-age=30", strlen("max-age=30"));
        cache_control_read(
                        &control, "max-age=45, stale-if-error=1",
                        strlen("max-age=45, stale-if-error=1"));
        assert_true(control.no_store && control.has_stale_if_error);
        assert_int_equal(control.max_age_s, 30);
        /* not a byte more than was said */
        control = control_of("");
        cache_control_read(&control, "max-age=123", strlen("max-age=12"));
        assert_int_equal(control.max_age_s, 12);
}

/* ---- freshness ---- */

#define DATE    784111777
#define ARRIVAL ((DATE + 1000) * UINT64_C(1000))
#define S       NSEC_PER_SEC

static const FreshnessPolicy policy_only_ttl = { .ttl_ns = 60 * S };
static const FreshnessPolicy policy_windows = { 60 * S, 10 * S, 100 * S };

static void assert_freshness(Freshness freshness, uint64_t fresh, uint64_t revalidate, uint64_t error) {
        assert_int_equal(freshness.fresh_ns, fresh);
        assert_int_equal(freshness.stale_while_revalidate_ns, revalidate);
        assert_int_equal(freshness.stale_if_error_ns, error);
        assert_int_equal(freshness.store, fresh > 0 || revalidate > 0 || error > 0);
}

static Freshness fresh(const char *value, const FreshnessPolicy *policy) {
        CacheControl control = control_of(value);

        return freshness_of(&control, policy, false, ARRIVAL);
}

static void test_policy_alone(void **state) {
        assert_freshness(fresh("", &policy_only_ttl), 60 * S, 0, 0);
        assert_freshness(fresh("", &policy_windows), 60 * S, 10 * S, 100 * S);
        const FreshnessPolicy nothing_kept = { 0, 10 * S, 100 * S };
        assert_freshness(fresh("", &nothing_kept), 0, 0, 0);
        assert_freshness(fresh("max-age=60, stale-if-error=5", &nothing_kept), 0, 0, 0);
}

static void test_response_goes_first(void **state) {
        assert_freshness(fresh("max-age=5", &policy_windows), 5 * S, 10 * S, 100 * S);
        assert_freshness(fresh("max-age=500", &policy_windows), 500 * S, 10 * S, 100 * S);
        assert_freshness(fresh("stale-while-revalidate=1", &policy_windows), 60 * S, S, 100 * S);
        assert_freshness(
                        fresh("stale-while-revalidate=0, stale-if-error=0", &policy_windows),
                        60 * S, 0, 0);
        assert_freshness(fresh("stale-if-error=7", &policy_only_ttl), 60 * S, 0, 7 * S);
        assert_freshness(fresh("max-age=4294967295", &policy_only_ttl), DELTA_SECONDS_MAX * S, 0, 0);
}

static void test_forbidden(void **state) {
        assert_freshness(fresh("no-store, max-age=60", &policy_windows), 0, 0, 0);
        assert_freshness(fresh("no-cache, max-age=60", &policy_windows), 0, 0, 0);
        assert_freshness(
                        fresh("must-revalidate, max-age=5, stale-if-error=9", &policy_windows),
                        5 * S, 0, 0);
        assert_freshness(fresh("must-revalidate, max-age=0", &policy_windows), 0, 0, 0);
}

static void test_only_stale(void **state) {
        assert_freshness(fresh("max-age=0", &policy_only_ttl), 0, 0, 0);
        assert_freshness(fresh("max-age=0", &policy_windows), 0, 10 * S, 100 * S);
        assert_freshness(fresh("max-age=0, stale-while-revalidate=1", &policy_only_ttl), 0, S, 0);
        assert_freshness(fresh("max-age=0, stale-if-error=1", &policy_only_ttl), 0, 0, S);
        assert_freshness(fresh("max-age=x", &policy_windows), 0, 10 * S, 100 * S);
}

static void test_expires(void **state) {
        CacheControl control = {
                .has_expires = true, .expires_s = DATE + 30, .has_date = true, .date_s = DATE
        };

        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL), 30 * S, 0, 0);
        control.expires_s = DATE;
        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL), 0, 0, 0);
        control.expires_s = DATE - 1;
        assert_freshness(freshness_of(&control, &policy_windows, false, ARRIVAL), 0, 10 * S, 100 * S);
        control.expires_s = DATE + 1;
        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL), S, 0, 0);
        control.expires_s = INT64_MAX;
        assert_freshness(
                        freshness_of(&control, &policy_only_ttl, false, ARRIVAL),
                        DELTA_SECONDS_MAX * S, 0, 0);
        /* what is no date is expired, even if the server's clock stands before 1970 */
        control.expires_s = -1;
        control.date_s = -1000;
        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL), 0, 0, 0);

        /* without Date from the arrival, which is 1000 s later */
        control = (CacheControl){ .has_expires = true, .expires_s = DATE + 1030 };
        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL), 30 * S, 0, 0);
        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL + 999), 30 * S, 0, 0);
        control.expires_s = DATE + 1000;
        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL), 0, 0, 0);

        /* max-age goes before it */
        control.has_max_age = true;
        control.max_age_s = 7;
        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL), 7 * S, 0, 0);
        /* Date alone says nothing */
        control = (CacheControl){ .has_date = true, .date_s = DATE };
        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL), 60 * S, 0, 0);
}

static void test_age(void **state) {
        CacheControl control = control_of("max-age=50");

        control.age_s = 49;
        assert_freshness(freshness_of(&control, &policy_windows, false, ARRIVAL), S, 10 * S, 100 * S);
        control.age_s = 50;
        assert_freshness(freshness_of(&control, &policy_windows, false, ARRIVAL), 0, 10 * S, 100 * S);
        /* it came stale, so a part of the windows is over */
        control.age_s = 57;
        assert_freshness(freshness_of(&control, &policy_windows, false, ARRIVAL), 0, 3 * S, 93 * S);
        control.age_s = 60;
        assert_freshness(freshness_of(&control, &policy_windows, false, ARRIVAL), 0, 0, 90 * S);
        control.age_s = DELTA_SECONDS_MAX;
        assert_freshness(freshness_of(&control, &policy_windows, false, ARRIVAL), 0, 0, 0);
        /* it counts for what is configured, too */
        control = (CacheControl){ .age_s = 20 };
        assert_freshness(freshness_of(&control, &policy_only_ttl, false, ARRIVAL), 40 * S, 0, 0);
}

static void test_empty(void **state) {
        CacheControl control = { 0 };

        assert_freshness(freshness_of(&control, &policy_windows, true, ARRIVAL), FRESHNESS_EMPTY, 0, 0);
        control = control_of("max-age=600, stale-if-error=600");
        assert_freshness(freshness_of(&control, &policy_windows, true, ARRIVAL), FRESHNESS_EMPTY, 0, 0);
        control = control_of("max-age=4");
        assert_freshness(freshness_of(&control, &policy_windows, true, ARRIVAL), 4 * S, 0, 0);
        control = control_of("max-age=0, stale-if-error=600");
        assert_freshness(freshness_of(&control, &policy_windows, true, ARRIVAL), 0, 0, 0);
        control = control_of("no-store");
        assert_freshness(freshness_of(&control, &policy_windows, true, ARRIVAL), 0, 0, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_dates),         cmocka_unit_test(test_no_dates),
                cmocka_unit_test(test_dates_of_libc), cmocka_unit_test(test_seconds),
                cmocka_unit_test(test_controls),      cmocka_unit_test(test_controls_add_up),
                cmocka_unit_test(test_policy_alone),  cmocka_unit_test(test_response_goes_first),
                cmocka_unit_test(test_forbidden),     cmocka_unit_test(test_only_stale),
                cmocka_unit_test(test_expires),       cmocka_unit_test(test_age),
                cmocka_unit_test(test_empty),
        };
        return cmocka_run_group_tests_name("freshness", tests, NULL, NULL);
}
