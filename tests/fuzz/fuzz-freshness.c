/* SPDX-License-Identifier: Apache-2.0 */

/* The input is taken for a value of Cache-Control and for a date. A value that comes twice must say
 * what it says once, and never more than its limits; a date must be read again to the same time
 * when it is written in the preferred format. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "freshness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_control(const char *text, size_t size) {
        static const FreshnessPolicy policy = { NSEC_PER_SEC, NSEC_PER_SEC, NSEC_PER_SEC };
        CacheControl control = { 0 };

        cache_control_read(&control, text, size);
        assert(control.max_age_s <= DELTA_SECONDS_MAX);
        assert(control.stale_while_revalidate_s <= DELTA_SECONDS_MAX);
        assert(control.stale_if_error_s <= DELTA_SECONDS_MAX);
        assert(!control.has_expires && !control.has_date && control.age_s == 0);

        CacheControl again = control;
        cache_control_read(&again, text, size);
        assert(memcmp(&again, &control, sizeof(control)) == 0);

        Freshness freshness = freshness_of(&control, &policy, false, 0);
        bool usable = freshness.fresh_ns > 0 || freshness.stale_if_error_ns > 0 ||
                        freshness.stale_while_revalidate_ns > 0;
        if (freshness.store != usable || (freshness.store && (control.no_store || control.no_cache)))
                abort();
}

static void check_date(const char *text, size_t size) {
        int64_t unix_s, again;
        if (http_date_parse(text, size, &unix_s) < 0)
                return;

        char preferred[sizeof("Sun, 06 Nov 1994 08:49:37 GMT")];
        time_t time = (time_t) unix_s;
        struct tm tm;
        if (!gmtime_r(&time, &tm))
                abort();
        if (tm.tm_year + 1900 < 1000 || tm.tm_year + 1900 > 9999)
                return; /* strftime() does not write them with four digits */
        size_t written = strftime(preferred, sizeof(preferred), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        if (http_date_parse(preferred, written, &again) < 0)
                abort();
        assert(again == unix_s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        check_control((const char *) data, size);
        check_date((const char *) data, size);
        return 0;
}
