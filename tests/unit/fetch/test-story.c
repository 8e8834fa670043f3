/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "story.h"

#define MOST 1024u

static void test_add(void **state) {
        Story story = {};

        story_add(&story, STAGE_CONNECT, 1, 100, 200);
        story_add(&story, STAGE_BACKOFF, 2, 300, 300);
        story_add(&story, STAGE_SEND, 3, 500, 400); /* no time runs backwards */
        assert_int_equal(story.count, 3);
        assert_int_equal(story.spans[0].stage, STAGE_CONNECT);
        assert_int_equal(story.spans[0].attempt, 1);
        assert_int_equal(story.spans[0].start, 100);
        assert_int_equal(story.spans[0].end, 200);
        assert_int_equal(story.spans[1].stage, STAGE_BACKOFF);
        assert_int_equal(story.spans[1].end, 300);
        assert_int_equal(story.spans[2].start, 500);
        assert_int_equal(story.spans[2].end, 500);

        story_deinit(&story);
        assert_null(story.spans);
        assert_int_equal(story.count + story.capacity, 0);
        story_deinit(&story); /* harmless */
}

static void test_grows_to_its_bound(void **state) {
        Story story = {};

        for (unsigned i = 0; i < MOST + 10; i++)
                story_add(&story, (Stage) (i % STAGE_COUNT), i % 11, i, i + 1);
        assert_int_equal(story.count, MOST);
        for (unsigned i = 0; i < MOST; i++) {
                assert_int_equal(story.spans[i].stage, i % STAGE_COUNT);
                assert_int_equal(story.spans[i].attempt, i % 11);
                assert_int_equal(story.spans[i].start, i);
                assert_int_equal(story.spans[i].end, i + 1);
        }
        story_deinit(&story);
}

static void test_copy(void **state) {
        Story story = {}, copy = {};

        story_copy(&copy, &story);
        assert_int_equal(copy.count, 0);
        story_add(&copy, STAGE_QUEUE, 1, 1, 2);
        for (unsigned i = 0; i < 9; i++)
                story_add(&story, STAGE_WAIT, i, i, 2 * i);
        story_copy(&copy, &story);
        assert_int_equal(copy.count, 10);
        assert_int_equal(copy.spans[0].stage, STAGE_QUEUE);
        story_deinit(&story); /* the copy is its own */
        for (unsigned i = 0; i < 9; i++) {
                assert_int_equal(copy.spans[1 + i].stage, STAGE_WAIT);
                assert_int_equal(copy.spans[1 + i].attempt, i);
                assert_int_equal(copy.spans[1 + i].start, i);
                assert_int_equal(copy.spans[1 + i].end, 2 * i);
        }
        story_deinit(&copy);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_add),
                cmocka_unit_test(test_grows_to_its_bound),
                cmocka_unit_test(test_copy),
        };
        return cmocka_run_group_tests_name("story", tests, NULL, NULL);
}
