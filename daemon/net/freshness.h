/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For how long a response may be used again (RFC 9111 section 4.2, RFC 5861), as a private cache:
 * what is configured holds where the response says nothing, and what it says holds otherwise.
 * Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the header fields of a response say; all-zero: nothing. Seconds are saturated at
 * DELTA_SECONDS_MAX. Directives for shared caches (s-maxage, proxy-revalidate, private) are not
 * ours. */
typedef struct CacheControl {
        bool no_store;
        bool no_cache;        /* must not be used without asking again: never fresh, never stale */
        bool must_revalidate; /* must not be used when stale */
        bool has_max_age;
        bool has_stale_while_revalidate;
        bool has_stale_if_error;
        bool has_expires;
        bool has_date;
        uint32_t max_age_s;
        uint32_t stale_while_revalidate_s;
        uint32_t stale_if_error_s;
        uint32_t age_s;    /* Age: how old it was when it came */
        int64_t expires_s; /* unix time; -1: a date that is none, which means expired */
        int64_t date_s;
} CacheControl;

/* Takes up one Cache-Control field (its value; a response may have several, which add up). Of a
 * directive that comes twice the smaller value counts. Directives that are unknown or malformed are
 * ignored, but a malformed max-age makes the response stale (RFC 9111 section 4.2.1). */
void cache_control_read(CacheControl *control, const char *value, size_t size);

/* Digits only (RFC 9111 section 1.2.2), more than DELTA_SECONDS_MAX is that; -EINVAL. */
#define DELTA_SECONDS_MAX (UINT32_C(1) << 31)
int delta_seconds_parse(const char *text, size_t size, uint32_t *ret_s);

/* The three date formats of RFC 9110 section 5.6.7, to the letter; -EINVAL. Whether the day of the
 * week is that of the date is not looked at. RFC 9110 reads a year of two digits by the clock; here
 * 70 to 99 are of the 20th century and 00 to 69 of the 21st. */
int http_date_parse(const char *text, size_t size, int64_t *ret_unix_s);

typedef struct FreshnessPolicy {
        uint64_t ttl_ns; /* 0: nothing is kept, whatever the response says */
        uint64_t stale_while_revalidate_ns;
        uint64_t stale_if_error_ns;
} FreshnessPolicy;

/* Lengths from the moment at which the response came. */
typedef struct Freshness {
        bool store;
        uint64_t fresh_ns;                  /* it may be used as it is */
        uint64_t stale_while_revalidate_ns; /* after that: and a new one is fetched meanwhile */
        uint64_t stale_if_error_ns;         /* after that: when a new one cannot be had */
} Freshness;

/* `empty`: it says that nothing was found, which is kept for FRESHNESS_EMPTY at most. `unix_ms` is
 * the time of arrival, used only with Expires when the response has no Date. */
#define FRESHNESS_EMPTY (UINT64_C(5) * 1000000000)
Freshness
freshness_of(const CacheControl *control, const FreshnessPolicy *policy, bool empty,
             uint64_t unix_ms);
