/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka.h"
#include "lane.h"

/* Both sides of both lanes in one thread. */
typedef struct Fixture {
        SubmissionLane submission;
        CompletionLane completion;
        LaneEnd push, pop;     /* of the submission lane */
        LaneEnd publish, take; /* of the completion lane */
} Fixture;

static Fixture fixture_at(uint32_t index) {
        Fixture f = {
                .push.own = index,
                .pop.own = index,
                .publish.own = index,
                .take.own = index,
        };
        atomic_store(&f.submission.head.value, index);
        atomic_store(&f.submission.tail.value, index);
        atomic_store(&f.completion.head.value, index);
        atomic_store(&f.completion.tail.value, index);
        return f;
}

static uint32_t push(Fixture *f, uint32_t slot) {
        uint32_t index = UINT32_MAX;
        TaskRecord task = { .slot = slot, .generation = ~slot };
        assert_int_equal(submission_push(&f->submission, &f->push, &task, &index), 0);
        return index;
}

static int pop(Fixture *f) {
        TaskRecord task;
        int r = submission_pop(&f->submission, &f->pop, &task);
        if (r < 0)
                return r;
        assert_int_equal(task.generation, ~task.slot);
        return (int) task.slot;
}

static int publish(Fixture *f, uint32_t slot) {
        CompletionRecord completion = { .slot = slot, .checksum = ~(uint64_t) slot };
        return completion_push(&f->completion, &f->publish, &completion);
}

static int take(Fixture *f) {
        CompletionRecord completion;
        int r = completion_peek(&f->completion, &f->take, &completion);
        if (r < 0)
                return r;
        assert_true(completion.checksum == ~(uint64_t) completion.slot);
        completion_release(&f->completion, &f->take);
        return (int) completion.slot;
}

/* Indices that wrap in the middle of every test. */
static const uint32_t starts[] = { 0, 1, UINT32_MAX - 2, UINT32_C(1) << 30, UINT32_C(3) << 30 };

static void test_submission_in_order(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(starts); i++) {
                Fixture f = fixture_at(starts[i]);
                TaskRecord task = {};
                uint32_t index;

                assert_true(submission_empty(&f.submission, &f.pop));
                assert_int_equal(pop(&f), -EAGAIN);
                for (uint32_t n = 0; n < LANE_DEPTH; n++) {
                        assert_int_equal(push(&f, n), starts[i] + n);
                        assert_int_equal(submission_pending(&f.submission, &f.push), n + 1);
                }
                assert_int_equal(submission_push(&f.submission, &f.push, &task, &index), -EAGAIN);
                assert_false(submission_empty(&f.submission, &f.pop));

                assert_int_equal(pop(&f), 0);
                push(&f, LANE_DEPTH); /* the place is free again at once */
                for (uint32_t n = 1; n <= LANE_DEPTH; n++)
                        assert_int_equal(pop(&f), n);
                assert_int_equal(pop(&f), -EAGAIN);
                assert_int_equal(submission_pending(&f.submission, &f.push), 0);
        }
}

static void test_revoke(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(starts); i++) {
                Fixture f = fixture_at(starts[i]);
                uint32_t a = push(&f, 10), b = push(&f, 11), c = push(&f, 12);

                assert_true(submission_revoke(&f.submission, b));
                assert_false(submission_revoke(&f.submission, b));
                assert_int_equal(submission_pending(&f.submission, &f.push), 3);
                assert_int_equal(pop(&f), 10);
                assert_false(submission_revoke(&f.submission, a));
                assert_int_equal(pop(&f), 12);
                assert_false(submission_revoke(&f.submission, c));
                assert_int_equal(pop(&f), -EAGAIN);
                assert_int_equal(submission_pending(&f.submission, &f.push), 0);
        }
}

static void test_all_revoked(void **state) {
        Fixture f = fixture_at(0);

        for (uint32_t n = 0; n < LANE_DEPTH; n++)
                assert_true(submission_revoke(&f.submission, push(&f, n)));
        assert_int_equal(pop(&f), -EAGAIN);
        assert_int_equal(submission_pending(&f.submission, &f.push), 0);
}

/* The worker has begun a task and given its place back; another task stands there now. */
static void test_late_revoke_misses_the_next(void **state) {
        Fixture f = fixture_at(0);
        uint32_t first = push(&f, 0);

        assert_int_equal(pop(&f), 0);
        for (uint32_t n = 1; n <= LANE_DEPTH; n++)
                push(&f, n);
        assert_false(submission_revoke(&f.submission, first));
        for (uint32_t n = 1; n <= LANE_DEPTH; n++)
                assert_int_equal(pop(&f), n);
}

static void test_completions(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(starts); i++) {
                Fixture f = fixture_at(starts[i]);

                assert_true(completion_empty(&f.completion, &f.take));
                assert_true(completion_drained(&f.completion, &f.publish));
                assert_int_equal(take(&f), -EAGAIN);
                for (uint32_t n = 0; n < LANE_DEPTH; n++)
                        assert_int_equal(publish(&f, n), 0);
                assert_int_equal(publish(&f, 99), -EAGAIN);
                assert_false(completion_empty(&f.completion, &f.take));

                /* Looking alone gives nothing back. */
                CompletionRecord completion;
                assert_int_equal(completion_peek(&f.completion, &f.take, &completion), 0);
                assert_int_equal(publish(&f, 99), -EAGAIN);
                for (uint32_t n = 0; n < LANE_DEPTH; n++) {
                        assert_false(completion_drained(&f.completion, &f.publish));
                        assert_int_equal(take(&f), n);
                }
                assert_true(completion_drained(&f.completion, &f.publish));
                assert_int_equal(take(&f), -EAGAIN);
        }
}

/* Every index that is not within LANE_DEPTH of ours is refused, whatever the function. */
static void test_impossible_indices(void **state) {
        static const uint32_t offsets[] = { LANE_DEPTH + 1, 1000, UINT32_C(1) << 31, UINT32_MAX };

        for (size_t i = 0; i < ELEMENTSOF(offsets); i++) {
                TaskRecord task = {};
                CompletionRecord completion = {};
                uint32_t index;
                Fixture f = fixture_at(7);

                /* The reader's index is behind the writer's. */
                atomic_store(&f.submission.head.value, 7 - offsets[i]);
                assert_int_equal(submission_pending(&f.submission, &f.push), -EBADMSG);
                assert_int_equal(submission_push(&f.submission, &f.push, &task, &index), -EBADMSG);
                atomic_store(&f.completion.head.value, 7 - offsets[i]);
                assert_int_equal(completion_push(&f.completion, &f.publish, &completion), -EBADMSG);
                assert_false(completion_drained(&f.completion, &f.publish));

                /* The writer's is before the reader's. */
                atomic_store(&f.submission.tail.value, 7 + offsets[i]);
                assert_int_equal(submission_pop(&f.submission, &f.pop, &task), -EBADMSG);
                assert_false(submission_empty(&f.submission, &f.pop));
                atomic_store(&f.completion.tail.value, 7 + offsets[i]);
                assert_int_equal(completion_peek(&f.completion, &f.take, &completion), -EBADMSG);
                assert_false(completion_empty(&f.completion, &f.take));
        }
}

/* What a worker scribbles over the indices that we write ourselves does not matter. */
static void test_own_index_is_not_read_back(void **state) {
        Fixture f = fixture_at(0);

        atomic_store(&f.submission.tail.value, 12345);
        push(&f, 1);
        assert_int_equal(pop(&f), 1);
        publish(&f, 2);
        atomic_store(&f.completion.head.value, 54321);
        assert_int_equal(take(&f), 2);
        assert_true(completion_drained(&f.completion, &f.publish));
}

typedef struct Expected {
        uint32_t slot;
        uint32_t index;
        bool revoked;
} Expected;

/* Random pushes, pops and revocations against a plain queue. */
static void test_against_model(void **state) {
        Fixture f = fixture_at(UINT32_MAX - 500);
        Expected queue[LANE_DEPTH];
        unsigned n = 0;

        srand(1);
        for (uint32_t step = 0; step < 200000; step++) {
                switch (rand() % 3) {
                case 0:
                        if (n < LANE_DEPTH) {
                                queue[n] = (Expected){ .slot = step, .index = push(&f, step) };
                                n++;
                        }
                        break;
                case 1:
                        if (n > 0) {
                                Expected *e = &queue[(unsigned) rand() % n];
                                assert_int_equal(
                                                submission_revoke(&f.submission, e->index),
                                                !e->revoked);
                                e->revoked = true;
                        }
                        break;
                default: {
                        unsigned skip = 0;
                        while (skip < n && queue[skip].revoked)
                                skip++;
                        assert_int_equal(pop(&f), skip < n ? (int) queue[skip].slot : -EAGAIN);
                        n -= skip < n ? skip + 1 : skip;
                        if (n > 0) /* those behind the one popped move up */
                                memmove(queue, queue + skip + 1, n * sizeof(*queue));
                        break;
                }
                }
                int pending = submission_pending(&f.submission, &f.push);
                assert_int_equal(pending, n);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_submission_in_order),
                cmocka_unit_test(test_revoke),
                cmocka_unit_test(test_all_revoked),
                cmocka_unit_test(test_late_revoke_misses_the_next),
                cmocka_unit_test(test_completions),
                cmocka_unit_test(test_impossible_indices),
                cmocka_unit_test(test_own_index_is_not_read_back),
                cmocka_unit_test(test_against_model),
        };
        return cmocka_run_group_tests_name("lane", tests, NULL, NULL);
}
