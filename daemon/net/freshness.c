/* SPDX-License-Identifier: Apache-2.0 */

/* Where a response contradicts itself or cannot be understood, what keeps it for a shorter time is
 * believed. Dates are read by patterns in the notation of strptime(3), which itself would depend on
 * the locale and take more than the three formats. */

#include <errno.h>
#include <string.h>

#include "clock.h"
#include "freshness.h"
#include "http-text.h"
#include "macro.h"

/* ---- dates ---- */

typedef struct Date {
        unsigned year;
        unsigned month; /* from 0 */
        unsigned day;   /* from 1 */
        unsigned hour, minute, second;
} Date;

static const char *const weekdays[] = {
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
};
static const char *const months[] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
};
#define SHORT_NAME 3u

/* What takes a part from the front of the text returns false when that does not begin with one. */
static bool take_literal(Span *text, const char *literal, size_t size) {
        if (text->size < size || memcmp(text->data, literal, size) != 0)
                return false;
        *text = (Span){ text->data + size, text->size - size };
        return true;
}

static bool take_name(Span *text, const char *const names[], size_t n, bool whole, unsigned *ret) {
        for (size_t i = 0; i < n; i++)
                if (take_literal(text, names[i], whole ? strlen(names[i]) : SHORT_NAME)) {
                        *ret = (unsigned) i;
                        return true;
                }
        return false;
}

static bool take_number(Span *text, size_t digits, unsigned *ret) {
        unsigned value = 0;

        if (text->size < digits)
                return false;
        for (size_t i = 0; i < digits; i++) {
                if (text->data[i] < '0' || text->data[i] > '9')
                        return false;
                value = value * 10 + (unsigned) (text->data[i] - '0');
        }
        *ret = value;
        return take_literal(text, text->data, digits);
}

static bool take_short_year(Span *text, unsigned *ret) {
        if (!take_number(text, 2, ret))
                return false;
        *ret += *ret >= 70 ? 1900 : 2000;
        return true;
}

static bool take_part(Span *text, char part, Date *date) {
        unsigned ignored;

        switch (part) {
        case 'a':
                return take_name(text, weekdays, ELEMENTSOF(weekdays), false, &ignored);
        case 'A':
                return take_name(text, weekdays, ELEMENTSOF(weekdays), true, &ignored);
        case 'b':
                return take_name(text, months, ELEMENTSOF(months), true, &date->month);
        case 'd':
                return take_number(text, 2, &date->day);
        case 'e': /* padded with a blank */
                return take_number(text, take_literal(text, " ", 1) ? 1 : 2, &date->day);
        case 'H':
                return take_number(text, 2, &date->hour);
        case 'M':
                return take_number(text, 2, &date->minute);
        case 'S':
                return take_number(text, 2, &date->second);
        case 'y':
                return take_short_year(text, &date->year);
        default: /* Y */
                return take_number(text, 4, &date->year);
        }
}

static bool take_pattern(Span text, const char *pattern, Date *date) {
        for (; *pattern != '\0'; pattern++) {
                bool taken = *pattern == '%' ? take_part(&text, *++pattern, date) :
                                               take_literal(&text, pattern, 1);
                if (!taken)
                        return false;
        }
        return text.size == 0;
}

/* -EINVAL: there is no such day or time. Second 60 is a leap second. */
static int date_to_unix(const Date *date, int64_t *ret_unix_s) {
        static const unsigned month_starts[] = {
                0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365,
        };
        /* Counted from the first of January of the year -399, so that nothing gets negative. */
        const int64_t epoch = 865259;
        int64_t before = date->year + 399;
        bool leap = date->year % 4 == 0 && (date->year % 100 != 0 || date->year % 400 == 0);
        unsigned length = month_starts[date->month + 1] - month_starts[date->month] +
                        (leap && date->month == 1);

        if (date->day == 0 || date->day > length || date->hour > 23 || date->minute > 59 ||
            date->second > 60)
                return -EINVAL;
        int64_t days = before * 365 + before / 4 - before / 100 + before / 400 +
                        month_starts[date->month] + (leap && date->month > 1) + date->day - 1;
        *ret_unix_s = (((days - epoch) * 24 + date->hour) * 60 + date->minute) * 60 + date->second;
        return 0;
}

int http_date_parse(const char *text, size_t size, int64_t *ret_unix_s) {
        static const char *const patterns[] = {
                "%a, %d %b %Y %H:%M:%S GMT", /* IMF-fixdate */
                "%A, %d-%b-%y %H:%M:%S GMT", /* RFC 850 */
                "%a %b %e %H:%M:%S %Y",      /* asctime(3) */
        };

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                Date date = { 0 };
                if (take_pattern((Span){ text, size }, patterns[i], &date))
                        return date_to_unix(&date, ret_unix_s);
        }
        return -EINVAL;
}

/* ---- Cache-Control ---- */

int delta_seconds_parse(const char *text, size_t size, uint32_t *ret_s) {
        uint64_t seconds = 0;

        for (size_t i = 0; i < size; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return -EINVAL;
                seconds = MIN(seconds * 10 + (uint64_t) (text[i] - '0'), DELTA_SECONDS_MAX);
        }
        if (size == 0)
                return -EINVAL;
        *ret_s = (uint32_t) seconds;
        return 0;
}

/* As a token or as a quoted string: a recipient takes both (RFC 9111 section 5.2). */
static int read_seconds(Span value, uint32_t *ret_s) {
        if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"')
                value = (Span){ value.data + 1, value.size - 2 };
        return delta_seconds_parse(value.data, value.size, ret_s);
}

static void keep_smaller(bool *has, uint32_t *kept, uint32_t seconds) {
        *kept = *has ? MIN(*kept, seconds) : seconds;
        *has = true;
}

/* A directive that forbids something does so whatever its argument: what is forbidden for some
 * fields only (no-cache="Set-Cookie") is forbidden here for all. */
static void read_directive(CacheControl *control, Span name, Span argument) {
        uint32_t seconds = 0;
        bool valid = read_seconds(argument, &seconds) == 0;

        if (span_equals(name, "no-store"))
                control->no_store = true;
        else if (span_equals(name, "no-cache"))
                control->no_cache = true;
        else if (span_equals(name, "must-revalidate"))
                control->must_revalidate = true;
        else if (span_equals(name, "max-age"))
                keep_smaller(&control->has_max_age, &control->max_age_s, seconds);
        else if (span_equals(name, "stale-while-revalidate") && valid)
                keep_smaller(&control->has_stale_while_revalidate,
                             &control->stale_while_revalidate_s, seconds);
        else if (span_equals(name, "stale-if-error") && valid)
                keep_smaller(&control->has_stale_if_error, &control->stale_if_error_s, seconds);
}

void cache_control_read(CacheControl *control, const char *value, size_t size) {
        Span rest = { value, size }, directive, name;

        while (span_next(&rest, ',', &directive))
                if (span_next(&directive, '=', &name))
                        read_directive(control, name, directive);
}

/* ---- freshness ---- */

static uint64_t seconds_to_ns(uint32_t seconds) {
        return seconds * NSEC_PER_SEC;
}

/* RFC 9111 section 4.2.1. */
static uint64_t
lifetime_of(const CacheControl *control, const FreshnessPolicy *policy, uint64_t unix_ms) {
        if (control->has_max_age)
                return seconds_to_ns(control->max_age_s);
        if (!control->has_expires)
                return policy->ttl_ns;
        int64_t date = control->has_date ? control->date_s : (int64_t) (unix_ms / 1000);
        if (control->expires_s < 0 || control->expires_s <= date)
                return 0;
        return seconds_to_ns((uint32_t) MIN(control->expires_s - date, (int64_t) DELTA_SECONDS_MAX));
}

Freshness
freshness_of(const CacheControl *control, const FreshnessPolicy *policy, bool empty,
             uint64_t unix_ms) {
        if (control->no_store || control->no_cache || policy->ttl_ns == 0)
                return (Freshness){ 0 };

        uint64_t lifetime = lifetime_of(control, policy, unix_ms);
        uint64_t age = seconds_to_ns(control->age_s);
        Freshness freshness = { .fresh_ns = time_sub(lifetime, age) };

        if (empty) {
                freshness.fresh_ns = MIN(freshness.fresh_ns, FRESHNESS_EMPTY);
        } else if (!control->must_revalidate) {
                /* Of one that comes stale a part of the windows is over. */
                uint64_t stale = time_sub(age, lifetime);
                uint64_t revalidate = control->has_stale_while_revalidate ?
                                seconds_to_ns(control->stale_while_revalidate_s) :
                                policy->stale_while_revalidate_ns;
                uint64_t error = control->has_stale_if_error ?
                                seconds_to_ns(control->stale_if_error_s) :
                                policy->stale_if_error_ns;
                freshness.stale_while_revalidate_ns = time_sub(revalidate, stale);
                freshness.stale_if_error_ns = time_sub(error, stale);
        }
        freshness.store = freshness.fresh_ns > 0 || freshness.stale_while_revalidate_ns > 0 ||
                        freshness.stale_if_error_ns > 0;
        return freshness;
}
