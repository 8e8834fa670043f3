/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "answer-store.h"
#include "cleanup.h"
#include "clock.h"

#define ID    "01ARZ3NDEKTSV4RRFFQ69G5FAV"
#define OTHER "01ARZ3NDEKTSV4RRFFQ69G5FAW"

static AnswerStore store;

static int setup(void **state) {
        answer_store_init(&store, 3, 4096, 1);
        return 0;
}

static int teardown(void **state) {
        answer_store_deinit(&store);
        return 0;
}

static QueryRequest request_of(const char *question) {
        return (QueryRequest){
                .question = question,
                .question_size = strlen(question),
                .all_sources = true,
                .max_passages = 5,
        };
}

/* An answer without sources; the identifier occurs in the question, too. */
static void write_answer(Buffer *out, AnswerMarks *marks) {
        const AnswerInput input = {
                .question = "What is " ID "?",
                .question_size = strlen("What is " ID "?"),
                .query_id = ID,
                .start_ns = NSEC_PER_SEC,
                .end_ns = 3 * NSEC_PER_SEC,
        };

        answer_write(&input, out, marks);
        assert_int_equal(out->error, 0);
}

static void put(const char *key, uint64_t fresh_until) {
        CLEANUP(buffer_deinit) Buffer json = {};
        AnswerMarks marks;

        write_answer(&json, &marks);
        answer_store_put(&store, strdup(key), &json, &marks, fresh_until);
}

static bool has(const char *key, uint64_t now) {
        StoredAnswer *answer = answer_store_find(&store, key, now);

        stored_answer_unref(answer);
        return answer != NULL;
}

/* ---- keys ---- */

static void expect_different(const QueryRequest *a, const QueryRequest *b) {
        CLEANUP_FREE char *x = answer_key(a);
        CLEANUP_FREE char *y = answer_key(b);

        assert_non_null(x);
        assert_non_null(y);
        assert_string_not_equal(x, y);
}

/* Whatever an answer depends on makes another key. */
static void test_keys(void **state) {
        static const char *const names[] = { "a", "b" }, *const joined[] = { "ab" };
        static const QueryParameter one = { "city", "Oslo" }, other = { "cit", "yOslo" };
        const QueryRequest base = request_of("x");
        QueryRequest changed[8] = { base, base, base, base, base, base, base, base };
        const size_t n = ELEMENTSOF(changed);

        changed[0].question = "y";
        changed[1].max_passages = 6;
        changed[2].quorum = 1;
        changed[3].policy = QUERY_FAIL_FAST;
        changed[4].sources = names;
        changed[4].n_sources = 2;
        changed[5].sources = joined;
        changed[5].n_sources = 1;
        changed[6].parameters = &one;
        changed[6].n_parameters = 1;
        changed[7].parameters = &other;
        changed[7].n_parameters = 1;
        for (size_t i = 0; i < n; i++) {
                expect_different(&base, &changed[i]);
                for (size_t k = 0; k < i; k++)
                        expect_different(&changed[i], &changed[k]);
        }
}

/* The deadline, who asks and how urgently do not matter. */
static void test_same_key(void **state) {
        const QueryRequest base = request_of("x");
        QueryRequest same = base;

        same.deadline_ns = 7;
        same.batch = true;
        same.user = 1000;
        CLEANUP_FREE char *x = answer_key(&base);
        CLEANUP_FREE char *y = answer_key(&same);
        assert_string_equal(x, y);
}

static void test_no_key(void **state) {
        char question[8193];
        QueryRequest request = request_of("x");

        request.cache = QUERY_CACHE_BYPASS;
        assert_null(answer_key(&request));
        request.cache = QUERY_CACHE_ONLY;
        assert_null(answer_key(&request));
        request.cache = QUERY_CACHE_USE;
        request.want_events = true;
        assert_null(answer_key(&request));
        memset(question, 'q', sizeof(question) - 1);
        question[sizeof(question) - 1] = '\0';
        request = request_of(question);
        assert_null(answer_key(&request));
}

/* ---- answers ---- */

static void test_fresh(void **state) {
        put("k", 100);
        assert_true(has("k", 99));
        assert_false(has("k", 100));
        assert_false(has("k", 0)); /* it is gone */
        assert_false(has("other", 0));
        assert_int_equal(store.bytes, 0);
}

/* Least recently used first; an answer that is in use outlives its place. */
static void test_room(void **state) {
        put("a", 100);
        put("b", 100);
        put("c", 100);
        StoredAnswer *used = answer_store_find(&store, "a", 0);
        put("d", 100);
        assert_true(has("a", 0));
        assert_false(has("b", 0));
        assert_true(has("c", 0));
        assert_true(has("d", 0));
        answer_store_flush(&store);
        assert_int_equal(store.bytes, 0);
        assert_false(has("a", 0));
        assert_non_null(strstr(used->json, ID));
        stored_answer_unref(used);

        store.max_bytes = 1;
        put("e", 100);
        assert_false(has("e", 0));
        store.max_entries = 0;
        put("f", 100);
        assert_false(has("f", 0));
}

static void test_replace(void **state) {
        put("k", 100);
        size_t bytes = store.bytes;
        put("k", 200);
        assert_int_equal(store.bytes, bytes);
        assert_true(has("k", 150));
}

/* Another identifier and another time, and nothing else. */
static void test_write(void **state) {
        CLEANUP(buffer_deinit) Buffer out = {};

        put("k", 100);
        StoredAnswer *answer = answer_store_find(&store, "k", 0);
        stored_answer_write(answer, OTHER, 1500 * NSEC_PER_USEC, &out);
        assert_int_equal(out.error, 0);
        json_t *old = json_loadb(answer->json, answer->size, 0, NULL);
        json_t *new = json_loadb(out.data, out.size, 0, NULL);
        assert_non_null(old);
        assert_non_null(new);
        assert_string_equal(json_string_value(json_object_get(new, "query_id")), OTHER);
        assert_int_equal(
                        (int) (json_real_value(json_object_get(new, "execution_time")) * 1e6 + .5),
                        1500);
        assert_string_equal(json_string_value(json_object_get(new, "query")), "What is " ID "?");
        (void) json_object_set(old, "query_id", json_object_get(new, "query_id"));
        (void) json_object_set(old, "execution_time", json_object_get(new, "execution_time"));
        assert_true(json_equal(old, new));
        json_decref(old);
        json_decref(new);
        stored_answer_unref(answer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_keys),
                cmocka_unit_test(test_same_key),
                cmocka_unit_test(test_no_key),
                TEST(test_fresh),
                TEST(test_room),
                TEST(test_replace),
                TEST(test_write),
        };
        return cmocka_run_group_tests_name("answer-store", tests, NULL, NULL);
}
