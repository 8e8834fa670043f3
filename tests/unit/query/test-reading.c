/* SPDX-License-Identifier: Apache-2.0 */

/* Readings with workers that are none (world.c). */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "clock.h"
#include "query-world.h"
#include "reading.h"

#define READINGS_KEPT 4u
#define FOLLOWERS     3u

typedef struct Follower {
        ReadingFollower base;
        unsigned n_done;
        void (*then)(struct Follower *follower);
} Follower;

static ReadingContext context;
static ArenaBlock *question;
static Finding *finding;
static Follower followers[FOLLOWERS];
static unsigned n_ended;
static size_t kept_before; /* at the last end */

static void on_ended(void *userdata, Reading *reading, size_t before) {
        assert_ptr_equal(userdata, &context);
        assert_true(reading->done);
        n_ended++;
        kept_before = before;
}

static void on_done(ReadingFollower *base) {
        Follower *follower = CONTAINER_OF(base, Follower, base);

        assert_true(base->reading->done);
        follower->n_done++;
        if (follower->then)
                follower->then(follower);
}

static int setup(void **state) {
        FetchOutcome outcome = { .verdict = VERDICT_OK, .media = MEDIA_HTML };
        char *key = NULL;

        world_new(1 << 20);
        world_add("s", SETTINGS("URL=simulate:"));
        world_begin();
        context = (ReadingContext){ .ended = on_ended, .userdata = &context };
        list_init(&context.running);
        n_ended = 0;
        kept_before = 0;
        question = world_block("why?");
        outcome.document = world_block("a document");
        finding = finding_new(world_source("s"), &outcome, &key, io_now(world.io));
        assert_non_null(finding);
        for (unsigned i = 0; i < FOLLOWERS; i++)
                followers[i] = (Follower){ .base.done = on_done };
        return 0;
}

static int teardown(void **state) {
        for (unsigned i = 0; i < FOLLOWERS; i++)
                reading_unfollow(&followers[i].base, false);
        finding = finding_unref(finding);
        question = arena_block_unref(question);
        assert_true(list_empty(&context.running));
        world_settle();
        world_free();
        return 0;
}

static ReadingRequest request(void) {
        return (ReadingRequest){
                .question = question,
                .max_passages = 5,
                .priority = 10,
                .deadline_ns = io_now(world.io) + NSEC_PER_SEC,
        };
}

static int follow(unsigned i, const ReadingRequest *what) {
        reading_unfollow(&followers[i].base, false);
        followers[i].n_done = 0;
        return reading_follow(&context, finding, what, &followers[i].base);
}

static const Reading *reading_of(unsigned i) {
        return followers[i].base.reading;
}

/* ---- sharing ---- */

static void test_shared(void **state) {
        ReadingRequest what = request();

        for (unsigned i = 0; i < FOLLOWERS; i++)
                assert_int_equal(follow(i, &what), 0);
        assert_int_equal(world.n_submitted, 1);
        assert_int_equal(n_ended, 0);
        world_settle();
        assert_int_equal(n_ended, 1);
        assert_int_equal(kept_before, 0);
        for (unsigned i = 0; i < FOLLOWERS; i++) {
                assert_int_equal(followers[i].n_done, 1);
                assert_ptr_equal(reading_of(i), reading_of(0));
        }
        assert_int_equal(reading_of(0)->verdict, VERDICT_OK);
        assert_int_equal(reading_of(0)->stage, STAGE_ENGINE);
        assert_null(reading_of(0)->error);
        assert_int_equal(reading_of(0)->result->n_passages, 1);
        assert_int_equal(finding->kept, reading_of(0)->result_size);

        /* The one that is done serves as well, without a callback. */
        assert_int_equal(follow(1, &what), 1);
        assert_ptr_equal(reading_of(1), reading_of(0));
        world_settle();
        assert_int_equal(followers[1].n_done, 0);
        assert_int_equal(world.n_submitted, 1);
}

/* The question counts, not the block in which it stands. */
static void test_same_question(void **state) {
        ArenaBlock *same = world_block("why?"), *other = world_block("who?"),
                   *longer = world_block("why??");
        ReadingRequest what = request();

        assert_int_equal(follow(0, &what), 0);
        what.question = same;
        assert_int_equal(follow(1, &what), 0);
        assert_int_equal(world.n_submitted, 1);
        what.question = other;
        assert_int_equal(follow(1, &what), 0);
        assert_int_equal(world.n_submitted, 2);
        what.question = longer;
        assert_int_equal(follow(2, &what), 0);
        assert_int_equal(world.n_submitted, 3);
        arena_block_unref(same);
        arena_block_unref(other);
        arena_block_unref(longer);
        world_settle();
        assert_int_equal(n_ended, 3);
}

static void test_passages(void **state) {
        static const unsigned passages[] = { 0, 1, 5, 16, 17, MAX_PASSAGES };
        static const unsigned wanted[] = { 0, 2, 10, 32, 32, 32 };
        ReadingRequest what = request();

        for (unsigned i = 0; i < ELEMENTSOF(passages); i++) {
                what.max_passages = passages[i];
                assert_int_equal(follow(0, &what), 0);
                assert_int_equal(world.n_submitted, i + 1);
                assert_int_equal(reading_of(0)->task.record.max_passages, wanted[i]);
        }
}

static void test_record(void **state) {
        ReadingRequest what = request();

        memcpy(finding->fetch.charset, "koi8-r", 7);
        finding->fetch.coding = CODING_GZIP;
        assert_int_equal(follow(0, &what), 0);
        const PoolTask *task = &reading_of(0)->task;
        assert_int_equal(task->record.media, MEDIA_HTML);
        assert_int_equal(task->record.coding, CODING_GZIP);
        assert_string_equal(task->record.charset, "koi8-r");
        assert_int_equal(task->record.engine, ENGINE_DIGEST);
        assert_int_equal(task->record.max_decoded, 8 << 20);
        assert_int_equal(task->record.deadline_ns, what.deadline_ns);
        assert_int_equal(task->priority, 10);
        assert_ptr_equal(task->document, finding->fetch.document);
        assert_ptr_equal(task->question, question);
}

/* Whoever joins has more time, or more weight, and so have all. */
static void test_postponed(void **state) {
        ReadingRequest hasty = request(), patient = request();

        hasty.deadline_ns = io_now(world.io) + 10 * NSEC_PER_MSEC;
        patient.priority = 3;
        world.queued = true;
        world.service_ns = 50 * NSEC_PER_MSEC;
        assert_int_equal(follow(0, &hasty), 0);
        assert_int_equal(follow(1, &patient), 0);
        assert_int_equal(reading_of(0)->task.priority, 10);
        hasty.priority = 12;
        assert_int_equal(follow(2, &hasty), 0);
        assert_int_equal(reading_of(0)->task.priority, 12);
        world_settle();
        assert_int_equal(world.n_submitted, 1);
        assert_int_equal(reading_of(1)->verdict, VERDICT_OK);
        assert_int_equal(followers[0].n_done + followers[1].n_done, 2);
}

/* ---- letting go ---- */

static void test_cancel(void **state) {
        ReadingRequest what = request();

        assert_int_equal(follow(0, &what), 0);
        assert_int_equal(follow(1, &what), 0);
        reading_unfollow(&followers[0].base, false);
        assert_int_equal(world.n_cancelled, 0);
        reading_unfollow(&followers[0].base, false); /* harmless */
        reading_unfollow(&followers[1].base, false);
        assert_int_equal(world.n_cancelled, 1);
        assert_true(list_empty(&finding->readings));
        assert_int_equal(finding->references, 1);
        world_settle();
        assert_int_equal(n_ended, 0);
        assert_int_equal(followers[0].n_done + followers[1].n_done, 0);

        assert_int_equal(follow(0, &what), 0); /* anew */
        assert_int_equal(world.n_submitted, 2);
}

/* Who has left may look at it still, also when it was cancelled by that. */
static void test_looked_at(void **state) {
        ReadingRequest what = request();
        uint64_t submitted = io_now(world.io);

        for (unsigned keep = 0; keep < 2; keep++) {
                assert_int_equal(follow(0, &what), 0);
                reading_leave(&followers[0].base, keep);
                assert_int_equal(world.n_cancelled, 1);
                reading_leave(&followers[0].base, false); /* harmless */
                assert_int_equal(reading_of(0)->task.submitted_ns, submitted);
                assert_false(reading_of(0)->done);
        }
        world_settle();
        assert_int_equal(followers[0].n_done, 0);
        assert_int_equal(n_ended, 1);
        assert_int_equal(reading_of(0)->verdict, VERDICT_OK);
        reading_leave(&followers[0].base, false); /* harmless */
        assert_int_equal(follow(1, &what), 1);
}

static void test_one_leaves(void **state) {
        ReadingRequest what = request();

        assert_int_equal(follow(0, &what), 0);
        assert_int_equal(follow(1, &what), 0);
        reading_unfollow(&followers[0].base, false);
        world_settle();
        assert_int_equal(followers[0].n_done, 0);
        assert_int_equal(followers[1].n_done, 1);
}

static void test_kept(void **state) {
        ReadingRequest what = request();

        assert_int_equal(follow(0, &what), 0);
        assert_int_equal(follow(1, &what), 0);
        reading_unfollow(&followers[0].base, /* keep= */ true);
        reading_unfollow(&followers[1].base, /* keep= */ false); /* once said is enough */
        assert_int_equal(world.n_cancelled, 0);
        world_settle();
        assert_int_equal(n_ended, 1);
        assert_int_equal(follow(2, &what), 1);
}

static void test_without_follower(void **state) {
        ReadingRequest what = request();

        assert_int_equal(reading_follow(&context, finding, &what, NULL), 0);
        assert_int_equal(reading_follow(&context, finding, &what, NULL), 0);
        assert_int_equal(world.n_submitted, 1);
        assert_int_equal(follow(0, &what), 0);
        reading_unfollow(&followers[0].base, false);
        assert_int_equal(world.n_cancelled, 0); /* it has been asked for without a follower */
        world_settle();
        assert_int_equal(n_ended, 1);
        assert_int_equal(reading_follow(&context, finding, &what, NULL), 0);
        assert_int_equal(world.n_submitted, 1);
}

/* It goes on for the sake of one that was followed, too. */
static void test_without_follower_joins(void **state) {
        ReadingRequest what = request();

        assert_int_equal(follow(0, &what), 0);
        assert_int_equal(reading_follow(&context, finding, &what, NULL), 0);
        reading_unfollow(&followers[0].base, false);
        world_settle();
        assert_int_equal(n_ended, 1);
}

/* Whoever had the finding has let it go: the reading has it still. */
static void test_finding_gone(void **state) {
        ReadingRequest what = request();

        assert_int_equal(follow(0, &what), 0);
        finding = finding_unref(finding);
        world_settle();
        assert_int_equal(followers[0].n_done, 1);
        assert_int_equal(reading_of(0)->verdict, VERDICT_OK);
        assert_int_equal(reading_of(0)->result->n_passages, 1);
}

/* ---- how many are kept ---- */

static void test_newest_kept(void **state) {
        ReadingRequest what = request();

        for (unsigned i = 0; i < READINGS_KEPT + 2; i++) {
                what.max_passages = i;
                assert_int_equal(follow(0, &what), 0);
                world_settle();
                assert_int_equal(finding->kept, MIN(i + 1, READINGS_KEPT) * reading_of(0)->result_size);
        }
        for (unsigned i = 2; i < READINGS_KEPT + 2; i++) {
                what.max_passages = i;
                assert_int_equal(follow(0, &what), 1);
        }
        what.max_passages = 1;
        assert_int_equal(follow(0, &what), 0);
        assert_int_equal(world.n_submitted, READINGS_KEPT + 3);
}

/* Those that run are none of them. */
static void test_running_not_counted(void **state) {
        ReadingRequest what = request();

        world.service_ns = 100 * NSEC_PER_MSEC;
        for (unsigned i = 0; i < READINGS_KEPT; i++) {
                what.max_passages = i;
                assert_int_equal(reading_follow(&context, finding, &what, NULL), 0);
        }
        world.service_ns = NSEC_PER_MSEC;
        what.max_passages = 20;
        assert_int_equal(follow(0, &what), 0);
        world_run(10 * NSEC_PER_MSEC);
        assert_int_equal(followers[0].n_done, 1);
        assert_int_equal(follow(0, &what), 1);
        world_settle();
        assert_int_equal(n_ended, READINGS_KEPT + 1);
}

/* One that somebody looks at outlives its place. */
static void test_let_go_in_use(void **state) {
        ReadingRequest what = request();

        assert_int_equal(follow(0, &what), 0);
        world_settle();
        for (unsigned i = 0; i < READINGS_KEPT; i++) {
                what.max_passages = 10 + i;
                assert_int_equal(follow(1, &what), 0);
                world_settle();
        }
        assert_int_equal(reading_of(0)->result->n_passages, 1);
        what.max_passages = 5;
        assert_int_equal(follow(1, &what), 0);
}

/* ---- failures ---- */

static const struct {
        int error;
        uint32_t outcome;
        Verdict verdict;
        Stage stage;
        const char *text;
} failures[] = {
        { 0, OUTCOME_DECODE, VERDICT_DECODE, STAGE_DECODE, "the worker says so" },
        { 0, OUTCOME_REJECTED, VERDICT_REJECTED, STAGE_DECODE, "the worker says so" },
        { 0, OUTCOME_TOO_LARGE, VERDICT_TOO_LARGE, STAGE_DECODE, "the worker says so" },
        { -EOWNERDEAD, 0, VERDICT_WORKER, STAGE_ENGINE,
          "two workers died or overran on this document" },
        { -ETIME, 0, VERDICT_LATE, STAGE_LANE, "not processed by the query's deadline" },
        { -ESHUTDOWN, 0, VERDICT_CANCELLED, STAGE_LANE, "the service is stopping" },
};

static void test_failures(void **state) {
        ReadingRequest what = request();

        world.poison = "document";
        for (unsigned i = 0; i < ELEMENTSOF(failures); i++) {
                world.poison_error = failures[i].error;
                world.poison_outcome = failures[i].outcome;
                assert_int_equal(follow(0, &what), 0);
                assert_int_equal(follow(1, &what), 0);
                assert_int_equal(world.n_submitted, i + 1);
                world_settle();
                assert_int_equal(n_ended, i + 1);
                assert_int_equal(followers[0].n_done + followers[1].n_done, 2);
                assert_int_equal(reading_of(0)->verdict, failures[i].verdict);
                assert_int_equal(reading_of(0)->stage, failures[i].stage);
                assert_string_equal(reading_of(0)->error, failures[i].text);
                assert_null(reading_of(0)->result);
                assert_true(list_empty(&finding->readings));
                assert_int_equal(finding->kept, 0);
        }
}

/* That nothing was found is an answer. */
static void test_empty(void **state) {
        ReadingRequest what = request();

        world.poison = "document";
        world.poison_outcome = OUTCOME_EMPTY;
        assert_int_equal(follow(0, &what), 0);
        world_settle();
        assert_int_equal(reading_of(0)->verdict, VERDICT_EMPTY);
        assert_int_equal(follow(1, &what), 1);
}

static void test_not_submitted(void **state) {
        ReadingRequest what = request();

        world.submit_error = -ENOMEM;
        assert_int_equal(follow(0, &what), -ENOMEM);
        assert_null(followers[0].base.reading);
        assert_int_equal(reading_follow(&context, finding, &what, NULL), -ENOMEM);
        assert_true(list_empty(&finding->readings));
        assert_int_equal(finding->references, 1);
        assert_int_equal(question->references, 1);
        world.submit_error = 0;
        assert_int_equal(follow(0, &what), 0);
}

/* ---- from within ---- */

static void follow_another(Follower *follower) {
        ReadingRequest what = request();

        follower->then = NULL;
        reading_unfollow(&follower->base, false);
        what.max_passages = 6;
        assert_int_equal(reading_follow(&context, finding, &what, &follower->base), 0);
}

static void unfollow_all(Follower *follower) {
        for (unsigned i = 0; i < FOLLOWERS; i++)
                reading_unfollow(&followers[i].base, false);
}

static void test_from_within(void **state) {
        ReadingRequest what = request();

        followers[0].then = follow_another;
        assert_int_equal(follow(0, &what), 0);
        assert_int_equal(follow(1, &what), 0);
        world_settle();
        assert_int_equal(followers[0].n_done, 2);
        assert_int_equal(followers[1].n_done, 1);
        assert_int_equal(reading_of(0)->max_passages, 6);

        followers[0].then = unfollow_all;
        what.max_passages = 7;
        for (unsigned i = 0; i < FOLLOWERS; i++)
                assert_int_equal(follow(i, &what), 0);
        world_settle();
        assert_int_equal(followers[0].n_done, 1);
        assert_int_equal(followers[1].n_done + followers[2].n_done, 0);

        /* The same when it fails, and is nobody's any more. */
        world.poison = "document";
        world.poison_error = -EOWNERDEAD;
        what.max_passages = 8;
        for (unsigned i = 0; i < FOLLOWERS; i++)
                assert_int_equal(follow(i, &what), 0);
        finding = finding_unref(finding);
        world_settle();
        assert_int_equal(followers[0].n_done, 1);
        assert_int_equal(followers[1].n_done + followers[2].n_done, 0);
}

/* ---- stopping ---- */

static void test_stop(void **state) {
        ReadingRequest what = request();

        assert_int_equal(follow(0, &what), 0);
        what.max_passages = 6;
        assert_int_equal(follow(1, &what), 0);
        what.max_passages = 7;
        for (unsigned i = 7; i < 10; i++) {
                what.max_passages = i;
                assert_int_equal(reading_follow(&context, finding, &what, NULL), 0);
        }
        readings_stop(&context);
        assert_int_equal(world.n_cancelled, 3);
        reading_unfollow(&followers[0].base, /* keep= */ true);
        assert_int_equal(world.n_cancelled, 4);
        world_settle();
        assert_int_equal(n_ended, 1);
        assert_int_equal(followers[1].n_done, 1);
        readings_stop(&context);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_shared),
                TEST(test_same_question),
                TEST(test_passages),
                TEST(test_record),
                TEST(test_postponed),
                TEST(test_cancel),
                TEST(test_looked_at),
                TEST(test_one_leaves),
                TEST(test_kept),
                TEST(test_without_follower),
                TEST(test_without_follower_joins),
                TEST(test_finding_gone),
                TEST(test_newest_kept),
                TEST(test_running_not_counted),
                TEST(test_let_go_in_use),
                TEST(test_failures),
                TEST(test_empty),
                TEST(test_not_submitted),
                TEST(test_from_within),
                TEST(test_stop),
        };
        return cmocka_run_group_tests_name("reading", tests, NULL, NULL);
}
