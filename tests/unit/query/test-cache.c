/* SPDX-License-Identifier: Apache-2.0 */

/* The cache with findings made by hand: no documents, and readings that are a number of bytes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache.h"
#include "cleanup.h"
#include "clock.h"

#define ARRIVED (1000 * NSEC_PER_SEC)
#define TTL     (60 * NSEC_PER_SEC)

static Source source;
static Cache cache;

/* With these bounds, and windows of 10 s and 30 s behind a TTL of 60 s. */
static void begin(size_t max_entries, size_t max_bytes) {
        source = (Source){
                .name = "s",
                .freshness = { .ttl_ns = TTL,
                               .stale_while_revalidate_ns = 10 * NSEC_PER_SEC,
                               .stale_if_error_ns = 30 * NSEC_PER_SEC },
        };
        cache_init(&cache, max_entries, max_bytes, 7);
}

static void end(void) {
        cache_deinit(&cache);
        assert_int_equal(cache.bytes, 0);
}

static Finding *make(const char *name, uint64_t arrived) {
        FetchOutcome outcome = { .verdict = VERDICT_OK };
        char *key = NULL;

        assert_true(asprintf(&key, "s\n%s", name) > 0);
        Finding *finding = finding_new(&source, &outcome, &key, arrived);
        assert_non_null(finding);
        return finding;
}

static void store(const char *name, uint64_t arrived) {
        Finding *finding = make(name, arrived);

        cache_store(&cache, finding, /* empty= */ false, 0);
        finding_unref(finding);
}

static CacheHit find(const char *name, uint64_t now) {
        char key[64];

        (void) snprintf(key, sizeof(key), "s\n%s", name);
        return cache_find(&cache, key, now);
}

static bool has(const char *name) {
        return find(name, ARRIVED).state == CACHE_FRESH;
}

/* ---- how long ---- */

static const struct {
        uint64_t age_ns;
        CacheState state;
} windows[] = {
        { 0, CACHE_FRESH },
        { TTL - 1, CACHE_FRESH },
        { TTL, CACHE_STALE },
        { TTL + 10 * NSEC_PER_SEC - 1, CACHE_STALE },
        { TTL + 10 * NSEC_PER_SEC, CACHE_STALE_IF_ERROR },
        { TTL + 30 * NSEC_PER_SEC - 1, CACHE_STALE_IF_ERROR },
        { TTL + 30 * NSEC_PER_SEC, CACHE_NOTHING },
        { UINT64_MAX - ARRIVED, CACHE_NOTHING },
};

static void test_windows(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(windows); i++) {
                begin(10, 1 << 20);
                store("x", ARRIVED);
                CacheHit hit = find("x", ARRIVED + windows[i].age_ns);
                if (hit.state != windows[i].state)
                        fail_msg("window %zu: state %d", i, hit.state);
                if (hit.state == CACHE_NOTHING) {
                        assert_null(hit.finding);
                        assert_int_equal(cache.map.count, 0);
                        assert_int_equal(cache.bytes, 0);
                } else {
                        assert_string_equal(hit.finding->key, "s\nx");
                        assert_int_equal(hit.age_ns, windows[i].age_ns);
                }
                end();
        }
}

/* The windows of staleness need not be there, and the second may be the shorter one. */
static void test_other_windows(void **state) {
        begin(10, 1 << 20);
        source.freshness.stale_while_revalidate_ns = 0;
        store("x", ARRIVED);
        assert_int_equal(find("x", ARRIVED + TTL).state, CACHE_STALE_IF_ERROR);
        source.freshness.stale_if_error_ns = 0;
        store("y", ARRIVED);
        assert_int_equal(find("y", ARRIVED + TTL - 1).state, CACHE_FRESH);
        assert_int_equal(find("y", ARRIVED + TTL).state, CACHE_NOTHING);
        source.freshness.stale_while_revalidate_ns = 5;
        source.freshness.stale_if_error_ns = 3;
        store("z", ARRIVED);
        assert_int_equal(find("z", ARRIVED + TTL + 4).state, CACHE_STALE);
        assert_int_equal(find("z", ARRIVED + TTL + 5).state, CACHE_NOTHING);
        end();
}

/* The same moment, and one before it: another clock would have to have gone back. */
static void test_not_yet_arrived(void **state) {
        begin(10, 1 << 20);
        store("x", ARRIVED);
        CacheHit hit = find("x", ARRIVED - 1);
        assert_int_equal(hit.state, CACHE_FRESH);
        assert_int_equal(hit.age_ns, 0);
        end();
}

static void test_never_ends(void **state) {
        begin(10, 1 << 20);
        source.freshness.ttl_ns = UINT64_MAX;
        store("x", ARRIVED);
        CacheHit hit = find("x", UINT64_MAX);
        assert_int_equal(hit.state, CACHE_FRESH);
        assert_int_equal(hit.age_ns, UINT64_MAX - ARRIVED);
        end();
}

/* That nothing was found is kept for five seconds at most, and is never stale. */
static void test_empty(void **state) {
        begin(10, 1 << 20);
        Finding *finding = make("x", ARRIVED);
        cache_store(&cache, finding, /* empty= */ true, 0);
        finding_unref(finding);
        assert_int_equal(find("x", ARRIVED + FRESHNESS_EMPTY - 1).state, CACHE_FRESH);
        assert_int_equal(find("x", ARRIVED + FRESHNESS_EMPTY).state, CACHE_NOTHING);
        end();
}

static void test_not_stored(void **state) {
        begin(10, 1 << 20);
        Finding *finding = make("x", ARRIVED);
        finding->fetch.cache.no_store = true;
        cache_store(&cache, finding, false, 0);
        assert_null(finding->entry);
        finding_unref(finding);

        finding = make("x", ARRIVED);
        free(TAKE_PTR(finding->key)); /* answers no request */
        cache_store(&cache, finding, false, 0);
        assert_null(finding->entry);
        finding_unref(finding);

        source.freshness.ttl_ns = 0;
        store("x", ARRIVED);
        assert_int_equal(cache.map.count, 0);
        assert_int_equal(cache.changes, 0);
        end();
}

static void test_off(void **state) {
        begin(0, 1 << 20);
        store("x", ARRIVED);
        assert_false(has("x"));
        assert_false(cache_evict(&cache));
        assert_int_equal(cache_flush(&cache), 0);
        assert_int_equal(cache.changes, 0);
        end();
}

/* ---- who goes first ---- */

static void test_least_recently_used(void **state) {
        begin(3, 1 << 20);
        store("a", ARRIVED);
        store("b", ARRIVED);
        store("c", ARRIVED);
        assert_true(has("a")); /* used */
        store("d", ARRIVED);
        assert_false(has("b"));
        assert_true(has("c"));
        assert_true(has("a") && has("d"));
        assert_true(cache_evict(&cache)); /* c */
        assert_false(has("c"));
        assert_true(cache_evict(&cache)); /* a */
        assert_true(!has("a") && has("d"));
        assert_true(cache_evict(&cache));
        assert_false(cache_evict(&cache));
        end();
}

/* It outlives the cache in the hands of whoever has it. */
static void test_evicted_in_use(void **state) {
        begin(1, 1 << 20);
        store("a", ARRIVED);
        Finding *finding = finding_ref(find("a", ARRIVED).finding);
        store("b", ARRIVED);
        assert_null(finding->entry);
        assert_int_equal(finding->references, 1);
        assert_string_equal(finding->key, "s\na");
        finding_unref(finding);
        end();
}

/* ---- bytes ---- */

static void read_in(Finding *finding, size_t bytes) {
        size_t before = finding->kept;

        finding->kept += bytes;
        cache_account(&cache, finding, before);
}

static void test_bytes(void **state) {
        begin(100, 20000);
        store("a", ARRIVED);
        size_t one = cache.bytes;
        assert_in_range(one, sizeof(Finding), 1000);
        store("b", ARRIVED);
        store("c", ARRIVED);
        assert_int_equal(cache.bytes, 3 * one);

        Finding *b = find("b", ARRIVED).finding;
        read_in(b, 20000 - 3 * one);
        assert_int_equal(cache.bytes, 20000);
        assert_int_equal(cache.map.count, 3);
        read_in(b, 1); /* a goes, which was used before c */
        assert_int_equal(cache.bytes, 20001 - one);
        assert_false(has("a"));
        read_in(b, (size_t) -100); /* an old reading was let go */
        assert_int_equal(cache.bytes, 19901 - one);
        read_in(b, 20000); /* it alone is too much, and goes last */
        assert_int_equal(cache.map.count, 0);
        assert_int_equal(cache.bytes, 0);
        end();
}

/* What was read in it before it was kept counts as well. */
static void test_bytes_read_before(void **state) {
        begin(100, 20000);
        Finding *finding = make("a", ARRIVED);
        finding->kept = 5000;
        cache_store(&cache, finding, false, 0);
        assert_in_range(cache.bytes, 5000 + sizeof(Finding), 6000);
        finding_unref(finding);
        assert_true(cache_evict(&cache));
        assert_int_equal(cache.bytes, 0);

        finding = make("a", ARRIVED);
        finding->kept = 20000;
        cache_store(&cache, finding, false, 0);
        assert_null(finding->entry);
        assert_int_equal(cache.bytes, 0);
        finding_unref(finding);
        end();
}

/* ---- one after the other ---- */

static void test_replace(void **state) {
        begin(10, 1 << 20);
        store("x", ARRIVED);
        size_t one = cache.bytes;
        uint64_t changes = cache.changes;
        store("x", ARRIVED + 5);
        assert_int_equal(find("x", ARRIVED + 5).finding->arrived, ARRIVED + 5);
        assert_int_equal(find("x", ARRIVED + 5).age_ns, 0);
        assert_int_equal(cache.map.count, 1);
        assert_int_equal(cache.bytes, one);
        assert_true(cache.changes > changes);
        end();
}

/* Readings may end in another order than answers came in: what came later stays. */
static void test_older_one_late(void **state) {
        begin(10, 1 << 20);
        store("x", ARRIVED + 5);
        uint64_t changes = cache.changes;
        store("x", ARRIVED);
        assert_int_equal(find("x", ARRIVED + 5).finding->arrived, ARRIVED + 5);
        assert_int_equal(cache.changes, changes);
        end();
}

/* What was dropped does not come back because somebody reads it still. */
static void test_dropped_for_good(void **state) {
        begin(10, 1 << 20);
        store("x", ARRIVED);
        Finding *finding = finding_ref(find("x", ARRIVED).finding);
        assert_int_equal(cache_flush(&cache), 1);
        cache_store(&cache, finding, false, 0);
        assert_false(has("x"));
        finding_unref(finding);
        end();
}

static void test_stored_twice(void **state) {
        begin(10, 1 << 20);
        Finding *finding = make("x", ARRIVED);
        cache_store(&cache, finding, false, 0);
        size_t bytes = cache.bytes;
        cache_store(&cache, finding, false, 0);
        assert_int_equal(cache.bytes, bytes);
        assert_int_equal(cache.changes, 1);
        assert_int_equal(finding->references, 2);
        finding_unref(finding);
        end();
}

/* Whoever watches the cache sees by `changes` that something has happened to it. */
static void test_changes(void **state) {
        begin(2, 1 << 20);
        store("a", ARRIVED);
        assert_int_equal(cache.changes, 1);
        store("b", ARRIVED);
        assert_int_equal(cache.changes, 2);
        store("c", ARRIVED); /* a goes */
        assert_int_equal(cache.changes, 4);
        (void) has("b");
        (void) has("nothing");
        assert_int_equal(cache.changes, 4);
        assert_int_equal(find("b", UINT64_MAX).state, CACHE_NOTHING);
        assert_int_equal(cache.changes, 5);
        assert_int_equal(cache_flush(&cache), 1);
        assert_int_equal(cache.changes, 6);
        end();
}

static void test_flush(void **state) {
        char name[16];

        begin(1000, 1 << 20);
        for (unsigned i = 0; i < 500; i++) {
                (void) snprintf(name, sizeof(name), "%u", i);
                store(name, ARRIVED);
        }
        assert_int_equal(cache_flush(&cache), 500);
        assert_int_equal(cache.bytes, 0);
        assert_false(has("7"));
        store("7", ARRIVED);
        assert_true(has("7"));
        end();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_windows),
                cmocka_unit_test(test_other_windows),
                cmocka_unit_test(test_not_yet_arrived),
                cmocka_unit_test(test_never_ends),
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_not_stored),
                cmocka_unit_test(test_off),
                cmocka_unit_test(test_least_recently_used),
                cmocka_unit_test(test_evicted_in_use),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_bytes_read_before),
                cmocka_unit_test(test_replace),
                cmocka_unit_test(test_older_one_late),
                cmocka_unit_test(test_dropped_for_good),
                cmocka_unit_test(test_stored_twice),
                cmocka_unit_test(test_changes),
                cmocka_unit_test(test_flush),
        };
        return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
