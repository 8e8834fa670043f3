/* SPDX-License-Identifier: Apache-2.0 */

/* One attempt: what a server may say, what bounds it, and how it ends. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "fetch-world.h"
#include "macro.h"

static Attempt attempt;
static unsigned n_done;

static void on_done(Attempt *ended) {
        assert_ptr_equal(ended, &attempt);
        assert_false(ended->running);
        n_done++;
}

/* Starts an attempt at such a source; 0 or a negative errno. */
static int start(const char *const settings[]) {
        static const char *const request = "GET /why HTTP/1.1\r\nHost: x\r\n\r\n";

        attempt_clear(&attempt);
        n_done = 0;
        Source *source = world_only(settings);
        attempt = (Attempt){
                .context = &world->context.attempt,
                .source = source,
                .request = request,
                .request_size = strlen(request),
                .timeout_ns = source->config->timeout,
                .done = on_done,
                .number = 1,
        };
        return attempt_start(&attempt);
}

static const Attempt *try(const char *const settings[]) {
        assert_int_equal(start(settings), 0);
        assert_int_equal(n_done, 0); /* never from within the call */
        assert_int_equal(attempt.source->in_flight, 1);
        while (n_done == 0)
                world_turn();
        assert_int_equal(n_done, 1);
        assert_int_equal(attempt.source->in_flight, 0);
        return &attempt;
}

static void end(void) {
        attempt_clear(&attempt);
        attempt_clear(&attempt); /* harmless */
        assert_null(attempt.document);
        assert_null(attempt.error);
        assert_false(attempt.responded || attempt.transient);
}

static void says(const char *reply) {
        SAYS(1, { reply });
}

#define AT_SERVER SETTINGS("URL=http://10.0.0.1/", "TimeoutSec=2", "MaxBytes=1000")

/* ---- what a server may say ---- */

#define LENGTH_0 "Content-Length: 0\r\n\r\n"

static const struct {
        Reply reply;
        Verdict verdict;
        bool transient, responded;
        const char *error; /* a part of it */
        int status;
        const char *body;
} replies[] = {
        { { REPLY_OK }, VERDICT_OK, false, true, NULL, 200, "hello" },
        { { "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n"
            "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n" },
          VERDICT_OK,
          false,
          true,
          NULL,
          201,
          "abcde" },
        { { "HTTP/1.0 200 OK\r\n\r\nto the end", 0, REPLY_CLOSES },
          VERDICT_OK,
          false,
          true,
          NULL,
          200,
          "to the end" },
        { { "HTTP/1.1 204 No Content\r\n\r\n" }, VERDICT_EMPTY, false, true, NULL, 204, NULL },
        { { "HTTP/1.1 200 OK\r\n" LENGTH_0 }, VERDICT_EMPTY, false, true, NULL, 200, NULL },

        { { "HTTP/1.1 301 x\r\n" LENGTH_0 },
          VERDICT_HTTP,
          false,
          true,
          "the source answered 301 Moved Permanently",
          301,
          NULL },
        { { "HTTP/1.1 404 x\r\n" LENGTH_0 },
          VERDICT_HTTP,
          false,
          true,
          "the source answered 404 Not Found",
          404,
          NULL },
        { { "HTTP/1.1 408 x\r\n" LENGTH_0 },
          VERDICT_HTTP,
          false,
          true,
          "the source answered 408 Request Timeout",
          408,
          NULL },
        { { "HTTP/1.1 429 x\r\n" LENGTH_0 },
          VERDICT_QUOTA,
          true,
          true,
          "the source answered 429 Too Many Requests",
          429,
          NULL },
        { { "HTTP/1.1 500 x\r\n" LENGTH_0 },
          VERDICT_HTTP,
          false,
          true,
          "the source answered 500 Internal Server Error",
          500,
          NULL },
        { { "HTTP/1.1 501 x\r\n" LENGTH_0 }, VERDICT_HTTP, false, true, "the source answered 501", 501, NULL },
        { { "HTTP/1.1 502 x\r\n" LENGTH_0 },
          VERDICT_HTTP,
          true,
          true,
          "the source answered 502 Bad Gateway",
          502,
          NULL },
        { { "HTTP/1.1 503 x\r\n" LENGTH_0 },
          VERDICT_HTTP,
          true,
          true,
          "the source answered 503 Service Unavailable",
          503,
          NULL },
        { { "HTTP/1.1 504 x\r\n" LENGTH_0 },
          VERDICT_HTTP,
          true,
          true,
          "the source answered 504 Gateway Timeout",
          504,
          NULL },
        { { "HTTP/1.1 505 x\r\n" LENGTH_0 }, VERDICT_HTTP, false, true, "the source answered 505", 505, NULL },
        { { "HTTP/1.1 599 x\r\n" LENGTH_0 }, VERDICT_HTTP, false, true, "the source answered 599", 599, NULL },

        { { "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" },
          VERDICT_TOO_LARGE,
          false,
          true,
          "the body is over MaxBytes=1000",
          200,
          NULL },
        { { "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 5\r\n\r\nhello" },
          VERDICT_DECODE,
          false,
          true,
          "a Content-Encoding that was not asked for",
          200,
          NULL },
        { { "220 mail.example ESMTP\r\n" }, VERDICT_HTTP, false, false, "", 0, NULL },
        { { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" },
          VERDICT_HTTP,
          false,
          true,
          "",
          200,
          NULL },
        { { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 0, REPLY_CLOSES },
          VERDICT_HTTP,
          true,
          true,
          "",
          200,
          NULL },
        { { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 0, REPLY_RESETS },
          VERDICT_HTTP,
          true,
          true,
          "broke",
          200,
          NULL },
        { { NULL, 0, REPLY_CLOSES }, VERDICT_HTTP, true, false, "without an answer", 0, NULL },
        { { NULL, 0, REPLY_RESETS }, VERDICT_HTTP, true, false, "broke", 0, NULL },
        { { NULL }, VERDICT_TIMEOUT, true, false, "no response within 2s", 0, NULL },
        { { "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel" },
          VERDICT_TIMEOUT,
          true,
          true,
          "no response within 2s",
          200,
          NULL },
};

static void expect_body(const Attempt *a, const char *body) {
        if (!body) {
                assert_null(a->document);
                return;
        }
        assert_int_equal(a->bytes, strlen(body));
        assert_int_equal(a->document->size, a->bytes);
        assert_memory_equal(arena_block_data(a->document), body, a->bytes);
}

static void test_replies(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(replies); i++) {
                world_says(1, &replies[i].reply, 1);
                const Attempt *a = try(AT_SERVER);

                if (a->verdict != replies[i].verdict || a->transient != replies[i].transient ||
                    a->responded != replies[i].responded)
                        fail_msg("reply %zu: %s, transient %d, responded %d", i,
                                 verdict_name(a->verdict), a->transient, a->responded);
                assert_int_equal(a->head.status, replies[i].status);
                if (replies[i].error)
                        assert_non_null(strstr(a->error, replies[i].error));
                else
                        assert_null(a->error);
                expect_body(a, replies[i].body);
        }
        end();
}

static void test_head(void **state) {
        says("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=ISO-8859-1\r\n"
             "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc");
        const Attempt *a = try(AT_SERVER);

        assert_int_equal(a->head.media, MEDIA_HTML);
        assert_int_equal(a->head.coding, CODING_GZIP);
        assert_string_equal(a->head.charset, "iso-8859-1");
        end();
}

static void test_times(void **state) {
        says("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
        uint64_t before = world_now();
        const Attempt *a = try(AT_SERVER);
        const ExchangeTimes *t = &a->exchange.times;

        assert_int_equal(a->start, before);
        assert_true(t->connect_start >= before && t->connect_end > t->connect_start);
        assert_true(t->send_end >= t->connect_end && t->first_byte > t->send_end);
        assert_true(a->end >= t->end && t->end >= t->first_byte);
        assert_int_equal(t->resolve_start, 0);
        assert_false(a->exchange.reused);

        a = try(AT_SERVER);
        assert_true(a->exchange.reused);
        assert_int_equal(world->servers[1].n_connects, 1);
        assert_int_equal(a->exchange.times.connect_start, 0);
        end();
}

/* The verdict comes at the time out, not later. */
static void test_timeout(void **state) {
        says(NULL);
        const Attempt *a = try(AT_SERVER);

        assert_int_equal(a->end - a->start, 2 * SEC);
        end();
}

/* What comes in the turn in which the time is over has come, whatever it says. */
static void test_answer_at_timeout(void **state) {
        static const Reply rows[] = {
                { REPLY_OK, SEC, REPLY_CLOSES },
                { REPLY_STATUS(404), SEC, REPLY_CLOSES },
                { REPLY_STATUS(503), SEC, REPLY_CLOSES },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                world_says(1, &rows[i], 1);
                (void) try(AT_SERVER);
                uint64_t took = attempt.end - attempt.start;
                Verdict verdict = attempt.verdict;
                bool transient = attempt.transient;

                /* The bytes are there and the next turn tells of them. */
                assert_int_equal(start(AT_SERVER), 0);
                while (world_now() < attempt.start + took)
                        world_turn();
                assert_int_equal(n_done, 0);
                assert_int_equal(io_timer_set(world->io, &attempt.timer, world_now()), 0);
                world_turn();
                world_settle();
                assert_int_equal(n_done, 1);
                assert_int_equal(attempt.verdict, verdict);
                assert_int_equal(attempt.transient, transient);
        }
        end();
}

/* It is whole again after it was cleared. */
static void test_again(void **state) {
        SAYS(1, { REPLY_STATUS(503) }, { REPLY_OK });
        (void) try(AT_SERVER);
        assert_int_equal(attempt.head.status, 503);
        attempt_clear(&attempt);
        n_done = 0;
        assert_int_equal(attempt_start(&attempt), 0);
        while (n_done == 0)
                world_turn();
        assert_int_equal(attempt.verdict, VERDICT_OK);
        assert_false(attempt.transient);
        assert_null(attempt.error);
        assert_int_equal(attempt.bytes, 5);
        end();
}

/* ---- steps ---- */

static Story tell(void) {
        Story story = {};

        attempt_tell(&attempt, &story, world_now());
        return story;
}

static void expect_steps(const char *expected) {
        Story story = tell();
        char text[256] = "";

        for (unsigned i = 0; i < story.count; i++) {
                const StorySpan *span = &story.spans[i];
                size_t n = strlen(text);

                assert_int_equal(span->attempt, 1);
                assert_true(span->start >= attempt.start && span->start <= span->end);
                assert_true(span->end <= world_now());
                if (i > 0)
                        assert_true(span->start >= span[-1].end);
                (void) snprintf(text + n, sizeof(text) - n, "%s%s", i > 0 ? " " : "",
                                stage_name((Stage) span->stage));
        }
        assert_string_equal(text, expected);
        story_deinit(&story);
}

static void test_steps(void **state) {
        says(REPLY_OK);
        (void) try(SETTINGS("URL=http://known/"));
        expect_steps("resolve connect send wait receive");
        (void) try(AT_SERVER);
        expect_steps("connect send wait receive");
        (void) try(AT_SERVER); /* over the kept connection */
        expect_steps("send wait receive");
        (void) try(SETTINGS("URL=http://unknown/"));
        expect_steps("resolve");
        (void) try(SETTINGS("URL=http://10.0.0.1:81/"));
        expect_steps("connect");
        (void) try(SETTINGS("URL=simulate:?delay=1s"));
        expect_steps("send wait receive");
        attempt.start = 0;
        expect_steps("");
        end();
}

/* What is under way goes on until now, or ended with the attempt. */
static void test_steps_under_way(void **state) {
        says(NULL);
        assert_int_equal(start(AT_SERVER), 0);
        world_run_for(SEC);
        expect_steps("connect send wait");
        Story story = tell();
        assert_true(story.spans[2].end == world_now());
        story_deinit(&story);

        attempt_cancel(&attempt);
        world_run_for(SEC);
        story = tell();
        assert_int_equal(story.count, 3);
        assert_true(story.spans[2].end == attempt.start + SEC);
        story_deinit(&story);
        end();
}

/* ---- documents ---- */

static void says_chunks(size_t n, size_t size) {
        static char text[WORLD_ARENA * 4];
        size_t at = (size_t) snprintf(
                        text, sizeof(text), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");

        for (size_t i = 0; i < n; i++) {
                at += (size_t) snprintf(text + at, sizeof(text) - at, "%zx\r\n", size);
                memset(text + at, 'a' + (int) (i % 26), size);
                at += size;
                at += (size_t) snprintf(text + at, sizeof(text) - at, "\r\n");
        }
        (void) snprintf(text + at, sizeof(text) - at, "0\r\n\r\n");
        says(text);
}

#define WITHOUT_LIMIT SETTINGS("URL=http://10.0.0.1/", "TimeoutSec=2")

static void test_grows(void **state) {
        says_chunks(20, 1500);
        const Attempt *a = try(WITHOUT_LIMIT);

        assert_int_equal(a->verdict, VERDICT_OK);
        assert_int_equal(a->document->size, 30000);
        const char *data = arena_block_data(a->document);
        for (size_t i = 0; i < 30000; i++)
                assert_int_equal(data[i], 'a' + (int) (i / 1500 % 26));
        end();
}

static void test_too_large(void **state) {
        says_chunks(3, 400);
        const Attempt *a = try(AT_SERVER);

        assert_int_equal(a->verdict, VERDICT_TOO_LARGE);
        assert_string_equal(a->error, "the body is over MaxBytes=1000");
        assert_null(a->document);

        says_chunks(80, 1500);
        a = try(WITHOUT_LIMIT);
        assert_int_equal(a->verdict, VERDICT_TOO_LARGE);
        assert_string_equal(a->error, "the document is greater than ArenaSize=");
        end();
}

static void test_no_room(void **state) {
        ArenaBlock *all = NULL;

        assert_int_equal(arena_alloc(world->arena, WORLD_ARENA, &all), 0);
        says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        const Attempt *a = try(AT_SERVER);
        assert_int_equal(a->verdict, VERDICT_SHED);
        assert_non_null(strstr(a->error, "no room for the document"));

        a = try(SETTINGS("URL=simulate:?bytes=10"));
        assert_int_equal(a->verdict, VERDICT_SHED);
        arena_block_unref(all);
        end();
}

static ArenaBlock *hog;

static bool make_room(void *userdata) {
        bool full = hog != NULL;

        assert_ptr_equal(userdata, world);
        hog = arena_block_unref(hog);
        return full;
}

/* Whoever owns the arena may give some of it back. */
static void test_makes_room(void **state) {
        world->context.attempt.make_room = make_room;
        world->context.attempt.userdata = world;
        assert_int_equal(arena_alloc(world->arena, WORLD_ARENA, &hog), 0);
        says_chunks(20, 1500);
        const Attempt *a = try(WITHOUT_LIMIT);
        assert_int_equal(a->verdict, VERDICT_OK);
        assert_null(hog);
        attempt_clear(&attempt);

        assert_int_equal(arena_alloc(world->arena, WORLD_ARENA, &hog), 0);
        a = try(SETTINGS("URL=simulate:?bytes=60K"));
        assert_int_equal(a->verdict, VERDICT_OK);
        assert_null(hog);
        end();
}

/* ---- what does not even begin ---- */

static void test_names(void **state) {
        says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        const Attempt *a = try(SETTINGS("URL=http://known/"));
        assert_int_equal(a->verdict, VERDICT_OK);
        assert_true(a->exchange.times.resolve_start > 0);

        a = try(SETTINGS("URL=http://unknown/"));
        assert_int_equal(a->verdict, VERDICT_DNS);
        assert_non_null(strstr(a->error, "no such host"));
        end();
}

static void test_no_connection(void **state) {
        const Attempt *a = try(SETTINGS("URL=http://10.0.0.1:81/"));

        assert_int_equal(a->verdict, VERDICT_CONNECT);
        assert_true(strlen(a->error) > 0);

        sim_limit_descriptors(world->io, 0);
        a = try(SETTINGS("URL=http://10.0.0.1/"));
        assert_int_equal(a->verdict, VERDICT_SHED);
        end();
}

static void test_net_closed(void **state) {
        world_close_net();
        assert_int_equal(start(AT_SERVER), -ESHUTDOWN);
        assert_false(attempt.running);
        assert_int_equal(attempt.source->in_flight, 0);
        assert_int_equal(n_done, 0);
        attempt_cancel(&attempt); /* harmless */
        end();
}

/* ---- simulated sources ---- */

static void test_simulated(void **state) {
        static const struct {
                const char *url;
                Verdict verdict;
                const char *error;
                uint64_t bytes;
        } sources[] = {
                { "URL=simulate:?delay=300ms&bytes=100", VERDICT_OK, NULL, 100 },
                { "URL=simulate:?delay=300ms&bytes=0", VERDICT_EMPTY, NULL, 0 },
                { "URL=simulate:?delay=300ms&fail=1", VERDICT_CONNECT, "simulated failure", 0 },
                { "URL=simulate:?delay=300ms&status=500", VERDICT_HTTP, "500 Internal", 0 },
                { "URL=simulate:?delay=300ms&status=429", VERDICT_QUOTA, "429", 0 },
                { "URL=simulate:?delay=300ms&bytes=1001", VERDICT_TOO_LARGE, "MaxBytes=1000", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(sources); i++) {
                const Attempt *a = try(SETTINGS(sources[i].url, "MaxBytes=1000"));

                assert_int_equal(a->verdict, sources[i].verdict);
                assert_int_equal(a->end - a->start, 300 * MSEC);
                if (sources[i].error)
                        assert_non_null(strstr(a->error, sources[i].error));
                if (sources[i].verdict == VERDICT_OK) {
                        assert_int_equal(a->document->size, sources[i].bytes);
                        assert_non_null(memmem(arena_block_data(a->document), a->bytes, "why", 3));
                } else
                        assert_null(a->document);
        }
        end();
}

static void test_simulated_timeout(void **state) {
        const Attempt *a = try(SETTINGS("URL=simulate:?delay=3s", "TimeoutSec=2"));

        assert_int_equal(a->verdict, VERDICT_TIMEOUT);
        assert_int_equal(a->end - a->start, 2 * SEC);
        end();
}

/* About half of them. */
static void test_simulated_chance(void **state) {
        unsigned failed = 0;

        for (unsigned i = 0; i < 100; i++)
                failed += try(SETTINGS("URL=simulate:?fail=0.5"))->verdict == VERDICT_CONNECT;
        assert_in_range(failed, 25, 75);
        end();
}

/* ---- cancelling ---- */

/* After any number of turns: silent, and nothing stays behind. */
static void test_cancel(void **state) {
        static const char *const urls[] = { "URL=http://known/", "URL=http://unknown/",
                                            "URL=simulate:?delay=1ms", "URL=http://10.0.0.1:81/" };

        says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        for (size_t i = 0; i < ELEMENTSOF(urls); i++)
                for (unsigned turns = 0; turns < 12; turns++) {
                        assert_int_equal(start(SETTINGS(urls[i])), 0);
                        for (unsigned k = 0; k < turns && n_done == 0; k++)
                                world_turn();
                        unsigned before = n_done;
                        attempt_cancel(&attempt);
                        attempt_cancel(&attempt); /* harmless */
                        assert_int_equal(attempt.source->in_flight, 0);
                        world_settle();
                        assert_int_equal(n_done, before);
                        end();
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                WORLD_TEST(test_replies),
                WORLD_TEST(test_head),
                WORLD_TEST(test_times),
                WORLD_TEST(test_timeout),
                WORLD_TEST(test_answer_at_timeout),
                WORLD_TEST(test_again),
                WORLD_TEST(test_steps),
                WORLD_TEST(test_steps_under_way),
                WORLD_TEST(test_grows),
                WORLD_TEST(test_too_large),
                WORLD_TEST(test_no_room),
                WORLD_TEST(test_makes_room),
                WORLD_TEST(test_names),
                WORLD_TEST(test_no_connection),
                WORLD_TEST(test_net_closed),
                WORLD_TEST(test_simulated),
                WORLD_TEST(test_simulated_timeout),
                WORLD_TEST(test_simulated_chance),
                WORLD_TEST(test_cancel),
        };
        return cmocka_run_group_tests_name("attempt", tests, NULL, NULL);
}
