/* SPDX-License-Identifier: Apache-2.0 */

/* The engine as a whole, on the simulator: simulated sources, and workers that are none
 * (world.c). */

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "query-internal.h"
#include "query-world.h"

#define MS NSEC_PER_MSEC

static QueryEngine *engine;
static unsigned n_summaries;
static unsigned n_drained;
static bool starting; /* within query_start() */

/* ---- the engine ---- */

static void on_ended(void *userdata, const QuerySummary *summary) {
        assert_false(starting);
        n_summaries++;
}

static void on_drained(void *userdata) {
        assert_int_equal(query_open(engine), 0);
        n_drained++;
}

static void begin_with(size_t max_queries, size_t cache_entries) {
        world_begin();
        const QueryEngineOptions options = {
                .fetch = { .attempt = { .io = world.io, .arena = world.arena },
                           .sources = world.sources },
                .sources = world.sources,
                .max_queries = max_queries,
                .cache_entries = cache_entries,
                .default_deadline_ns = 10 * NSEC_PER_SEC,
                .max_deadline_ns = 60 * NSEC_PER_SEC,
                .ended = on_ended,
                .drained = on_drained,
        };

        n_summaries = n_drained = 0;
        assert_int_equal(query_engine_new(&engine, &options), 0);
}

static void begin(void) {
        begin_with(100, 1000);
}

static int setup(void **state) {
        world_new(1 << 20);
        return 0;
}

static int teardown(void **state) {
        query_engine_stop(engine);
        query_engine_cancel_all(engine);
        world_settle();
        assert_int_equal(n_drained, 1);
        QueryCounters counters = query_engine_counters(engine);
        assert_int_equal(counters.alone, 0);
        assert_int_equal(counters.total, n_summaries);
        engine = query_engine_free(engine);
        world_free();
        return 0;
}

/* ---- asking ---- */

typedef struct Asked {
        Query *query; /* NULL: it has ended */
        json_t *answer;
        unsigned n_events;
        uint64_t start;
        uint64_t end;
        void (*then)(struct Asked *asked); /* with each event */
} Asked;

static json_t *parse(const char *json, size_t size) {
        json_error_t error;
        json_t *parsed = json_loadb(json, size, JSON_REJECT_DUPLICATES, &error);

        if (!parsed)
                fail_msg("%s: %.*s", error.text, (int) size, json);
        return parsed;
}

static void on_event(Query *query, const char *json, size_t size, void *userdata) {
        Asked *asked = userdata;

        assert_false(starting);
        assert_ptr_equal(query, asked->query);
        json_decref(parse(json, size));
        asked->n_events++;
        if (asked->then)
                asked->then(asked);
}

static void on_done(Query *query, const char *json, size_t size, void *userdata) {
        Asked *asked = userdata;

        assert_false(starting);
        assert_ptr_equal(query, asked->query);
        assert_null(asked->answer);
        asked->query = NULL;
        asked->answer = parse(json, size);
        asked->end = io_now(world.io);
}

static QueryRequest about(const char *question) {
        return (QueryRequest){
                .question = question,
                .question_size = strlen(question),
                .all_sources = true,
                .max_passages = 5,
                .want_events = true,
        };
}

static QueryRefusal start(Asked *asked, const QueryRequest *request, QueryRefused *ret_refused) {
        const QueryCallbacks callbacks = { .event = on_event, .done = on_done, .userdata = asked };

        json_decref(asked->answer);
        *asked = (Asked){ .start = io_now(world.io), .then = asked->then };
        starting = true;
        QueryRefusal refusal = query_start(engine, request, &callbacks, &asked->query, ret_refused);
        starting = false;
        return refusal;
}

static void ask(Asked *asked, const QueryRequest *request) {
        QueryRefused refused = {};

        assert_int_equal(start(asked, request, &refused), QUERY_ACCEPTED);
        assert_non_null(asked->query);
}

static void wait_for(const Asked *asked) {
        while (asked->query)
                world_turn();
}

static void forget(Asked *asked) {
        json_decref(asked->answer);
        asked->answer = NULL;
}

/* Asks these (NULL-ended; NULL: all), and waits for the answer. */
static void ask_of(Asked *asked, QueryRequest request, const char *const names[]) {
        request.sources = names;
        request.all_sources = !names;
        while (names && names[request.n_sources])
                request.n_sources++;
        ask(asked, &request);
        wait_for(asked);
}

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static uint64_t took_ms(const Asked *asked) {
        return (asked->end - asked->start) / MS;
}

static uint64_t count(const char *source, SourceCounter counter) {
        return world_source(source)->counters[counter];
}

static uint64_t requests(const char *source) {
        return count(source, COUNTER_REQUESTS);
}

/* ---- reading answers ---- */

static const json_t *member(const Asked *asked, const char *source, const char *name) {
        assert_non_null(asked->answer);
        return json_object_get(
                        json_object_get(json_object_get(asked->answer, "sources"), source), name);
}

static const char *text(const Asked *asked, const char *source, const char *name) {
        const char *value = json_string_value(member(asked, source, name));

        return value ? value : "";
}

static long number(const Asked *asked, const char *source, const char *name) {
        const json_t *value = member(asked, source, name);

        return json_is_number(value) ? (long) json_number_value(value) : -1;
}

static void
check_source(const Asked *asked, const char *source, const char *verdict, const char *origin) {
        assert_string_equal(text(asked, source, "verdict"), verdict);
        assert_string_equal(text(asked, source, "origin"), origin);
}

static void check_whole(const Asked *asked, const char *completeness) {
        assert_string_equal(
                        json_string_value(json_object_get(asked->answer, "completeness")),
                        completeness);
}

static bool shows(const Asked *asked, const char *source, const char *what) {
        return strstr(text(asked, source, "data"), what) != NULL;
}

/* Whether the timeline has such a span. */
static bool has_span(const Asked *asked, const char *source, const char *stage) {
        const json_t *timeline = json_object_get(asked->answer, "timeline");

        for (size_t i = 0; i < json_array_size(timeline); i++) {
                const json_t *span = json_array_get(timeline, i);
                const char *of = json_string_value(json_object_get(span, "source"));
                const char *is = json_string_value(json_object_get(span, "stage"));
                if (strcmp(of, source) == 0 && strcmp(is, stage) == 0)
                        return true;
        }
        return false;
}

static size_t n_errors(const Asked *asked) {
        return json_array_size(json_object_get(asked->answer, "errors"));
}

/* ---- one query ---- */

static void test_all(void **state) {
        Asked asked = {};
        QueryRequest request = about("why?");

        world_add("a", SETTINGS("URL=simulate:?delay=30ms"));
        world_add("b", SETTINGS("URL=simulate:?delay=20ms&bytes=0"));
        world_add("c", SETTINGS("URL=simulate:?delay=10ms&status=500"));
        world_add("off", SETTINGS("URL=simulate:", "Enabled=no"));
        begin();
        ask(&asked, &request);
        assert_int_equal(query_open(engine), 1);
        wait_for(&asked);
        assert_int_equal(took_ms(&asked), 31);
        assert_int_equal(asked.n_events, 3);
        assert_int_equal(query_open(engine), 0);
        check_whole(&asked, "partial");
        check_source(&asked, "a", "ok", "live");
        check_source(&asked, "b", "empty", "live");
        check_source(&asked, "c", "http", "");
        assert_true(shows(&asked, "a", "source a was asked: why?"));
        assert_null(member(&asked, "off", "verdict"));

        ask_of(&asked, request, NAMES("off", "a"));
        check_source(&asked, "off", "shed", "");
        assert_string_equal(text(&asked, "off", "error"), "disabled by Enabled=no");
        forget(&asked);
}

static void test_no_sources(void **state) {
        Asked asked = {};
        QueryRequest request = about("why?");

        begin();
        ask(&asked, &request);
        wait_for(&asked);
        check_whole(&asked, "failed");
        assert_int_equal(query_engine_counters(engine).failed, 1);
        forget(&asked);
}

static void test_refused(void **state) {
        static char long_question[QUESTION_MAX + 1];
        static const char *const unknown[] = { "a", "nobody" };
        QueryRequest request = about("why?");
        QueryRefused refused = {};
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:"));
        begin();
        memset(long_question, 'x', sizeof(long_question));
        request.question = long_question;
        request.question_size = 0;
        assert_int_equal(start(&asked, &request, &refused), QUERY_INVALID_PARAMETER);
        assert_string_equal(refused.which, "question");
        request.question_size = QUESTION_MAX + 1;
        assert_int_equal(start(&asked, &request, &refused), QUERY_INVALID_PARAMETER);
        request.question_size = QUESTION_MAX;
        request.deadline_ns = 60 * NSEC_PER_SEC + 1;
        assert_int_equal(start(&asked, &request, &refused), QUERY_INVALID_PARAMETER);
        assert_string_equal(refused.which, "deadline_ms");
        request.deadline_ns = 60 * NSEC_PER_SEC;
        request.max_passages = MAX_PASSAGES + 1;
        assert_int_equal(start(&asked, &request, &refused), QUERY_INVALID_PARAMETER);
        assert_string_equal(refused.which, "max_passages");
        request.max_passages = MAX_PASSAGES;
        request.all_sources = false;
        request.sources = unknown;
        request.n_sources = 2;
        assert_int_equal(start(&asked, &request, &refused), QUERY_NO_SUCH_SOURCE);
        assert_string_equal(refused.which, "nobody");
        assert_int_equal(query_engine_counters(engine).total, 0);
        request.n_sources = 1;
        ask(&asked, &request);
        wait_for(&asked);
        check_whole(&asked, "complete");
        forget(&asked);
}

/* Each lacks a parameter of its own; the message is about the one that was to be asked. */
static void test_unrenderable(void **state) {
        Asked asked = {};

        world_add("a", SETTINGS("URL=http://x/{city}", "Source=b"));
        world_add("b", SETTINGS("URL=http://x/{zip}"));
        begin();
        ask_of(&asked, about("why?"), NAMES("a"));
        check_source(&asked, "a", "rejected", "");
        assert_string_equal(
                        text(&asked, "a", "error"),
                        "parameter \"city\" was not given and has no default");
        assert_int_equal(number(&asked, "a", "attempts"), 0);
        forget(&asked);
}

/* ---- sharing ---- */

static void test_shared(void **state) {
        QueryRequest request = about("why?"), other = about("who?"), passages = about("why?");
        Asked asked[4] = {};

        world_add("a", SETTINGS("URL=simulate:?delay=100ms"));
        begin();
        ask(&asked[0], &request);
        world_run(50 * MS);
        ask(&asked[1], &request);
        ask(&asked[2], &other);
        passages.max_passages = 3;
        ask(&asked[3], &passages);
        for (unsigned i = 0; i < ELEMENTSOF(asked); i++) {
                wait_for(&asked[i]);
                check_source(&asked[i], "a", "ok", "live");
                assert_int_equal(number(&asked[i], "a", "attempts"), 1);
        }
        assert_int_equal(requests("a"), 2);
        assert_int_equal(count("a", COUNTER_SHARED), 2);
        assert_int_equal(world.n_submitted, 3);
        assert_int_equal(took_ms(&asked[1]), 51);
        assert_int_equal(took_ms(&asked[2]), 101);
        assert_false(has_span(&asked[0], "a", "share"));
        assert_true(has_span(&asked[1], "a", "share"));
        assert_int_equal(number(&asked[1], "a", "fetch_ms"), 50);
        for (unsigned i = 0; i < ELEMENTSOF(asked); i++)
                forget(&asked[i]);
}

/* Who has less time gets less; who has more is not hurt by that. */
static void test_shared_deadlines(void **state) {
        QueryRequest request = about("why?");
        Asked hasty = {}, patient = {};

        world_add("a", SETTINGS("URL=simulate:?delay=100ms"));
        begin();
        request.deadline_ns = 50 * MS;
        ask(&hasty, &request);
        request.deadline_ns = 0;
        ask(&patient, &request);
        wait_for(&hasty);
        assert_int_equal(took_ms(&hasty), 50);
        check_source(&hasty, "a", "late", "");
        assert_int_equal(number(&hasty, "a", "attempts"), 1);
        assert_true(has_span(&hasty, "a", "wait"));
        wait_for(&patient);
        check_source(&patient, "a", "ok", "live");
        assert_int_equal(requests("a"), 1);
        forget(&hasty);
        forget(&patient);
}

static void test_shared_and_withdrawn(void **state) {
        QueryRequest request = about("why?");
        Asked asked[2] = {};

        world_add("a", SETTINGS("URL=simulate:?delay=100ms"));
        begin();
        for (unsigned i = 0; i < 2; i++) {
                ask(&asked[0], &request);
                ask(&asked[1], &request);
                /* While it is fetched, and while it is read. */
                world.service_ns = 20 * MS;
                world_run(i == 0 ? 50 * MS : 110 * MS);
                query_cancel(asked[0].query);
                wait_for(&asked[1]);
                check_source(&asked[1], "a", "ok", "live");
                assert_null(asked[0].answer);
                (void) query_engine_flush_cache(engine);
        }
        assert_int_equal(requests("a"), 2);
        assert_int_equal(world.n_cancelled, 0);
        forget(&asked[1]);
}

/* ---- quorum ---- */

static void add_three(const char *third) {
        world_add("a", SETTINGS("URL=simulate:?delay=10ms"));
        world_add("b", SETTINGS("URL=simulate:?delay=20ms"));
        world_add("c", SETTINGS("URL=simulate:?delay=500ms", third));
}

static void test_quorum(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        add_three("Class=optional");
        begin();
        request.quorum = 2;
        ask(&asked, &request);
        wait_for(&asked);
        assert_int_equal(took_ms(&asked), 21);
        assert_int_equal(asked.n_events, 3);
        check_whole(&asked, "partial");
        check_source(&asked, "c", "late", "");
        assert_string_equal(text(&asked, "c", "error"), "not waited for: the quorum was reached");
        assert_int_equal(query_engine_counters(engine).alone, 1);
        assert_int_equal(query_engine_counters(engine).cache_entries, 2);

        /* The one that was late is there for the next query. */
        world_settle();
        assert_int_equal(query_engine_counters(engine).alone, 0);
        assert_int_equal(count("c", COUNTER_HARVESTED), 1);
        assert_int_equal(count("a", COUNTER_HARVESTED), 0);
        request.quorum = 0;
        ask(&asked, &request);
        wait_for(&asked);
        assert_int_equal(took_ms(&asked), 0);
        check_whole(&asked, "complete");
        check_source(&asked, "c", "ok", "cache");
        assert_int_equal(requests("c"), 1);
        assert_int_equal(world.n_submitted, 3);
        forget(&asked);
}

/* Also when it has come, and is only read still. */
static void test_quorum_while_reading(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        add_three("Class=optional");
        begin();
        world_source("c")->simulation.delay_ns = 20 * MS;
        request.quorum = 1;
        world.service_ns = 15 * MS;
        ask(&asked, &request);
        wait_for(&asked);
        assert_int_equal(took_ms(&asked), 25);
        check_source(&asked, "b", "late", "");
        check_source(&asked, "c", "late", "");
        assert_int_equal(world.n_cancelled, 0);
        world_settle();
        assert_int_equal(query_engine_counters(engine).cache_entries, 3);
        forget(&asked);
}

static void test_quorum_waits_for_required(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        add_three("Class=required");
        world_add("d", SETTINGS("URL=simulate:?delay=800ms"));
        begin();
        request.quorum = 1;
        ask(&asked, &request);
        wait_for(&asked);
        assert_int_equal(took_ms(&asked), 501);
        check_source(&asked, "c", "ok", "live");
        check_source(&asked, "d", "late", "");

        world_source("c")->simulation.status = 404; /* nor does it wait for more than its end */
        (void) query_engine_flush_cache(engine);
        request.question = "who?";
        ask(&asked, &request);
        wait_for(&asked);
        assert_int_equal(took_ms(&asked), 500);
        check_source(&asked, "d", "late", "");
        check_whole(&asked, "failed");
        forget(&asked);
}

/* Only what is ok counts. */
static void test_quorum_not_reached(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms&status=500"));
        world_add("b", SETTINGS("URL=simulate:?delay=20ms&bytes=0"));
        world_add("c", SETTINGS("URL=simulate:?delay=30ms&fail=1", "Attempts=1", "Text=instead"));
        world_add("d", SETTINGS("URL=simulate:?delay=40ms"));
        world_add("e", SETTINGS("URL=simulate:?delay=50ms"));
        begin();
        request.quorum = 1;
        ask(&asked, &request);
        wait_for(&asked);
        assert_int_equal(took_ms(&asked), 41);
        check_source(&asked, "c", "connect", "fallback");
        check_source(&asked, "e", "late", "");
        request.quorum = 3; /* there are only two */
        ask(&asked, &request);
        wait_for(&asked);
        check_source(&asked, "e", "ok", "live");
        forget(&asked);
}

/* All is known at once: whoever comes first makes it. */
static void test_quorum_from_cache(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        add_three("Class=optional");
        begin();
        ask(&asked, &request);
        wait_for(&asked);
        request.quorum = 1;
        ask(&asked, &request);
        wait_for(&asked);
        assert_int_equal(took_ms(&asked), 0);
        check_source(&asked, "a", "ok", "cache");
        check_source(&asked, "c", "late", "");
        assert_int_equal(requests("c"), 1);
        forget(&asked);
}

/* ---- the cache ---- */

static void test_cached(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms", "TTLSec=2"));
        begin();
        ask_of(&asked, request, NULL);
        world_run(NSEC_PER_SEC);
        ask_of(&asked, request, NULL);
        assert_int_equal(took_ms(&asked), 0);
        check_source(&asked, "a", "ok", "cache");
        check_whole(&asked, "complete");
        assert_int_equal(number(&asked, "a", "attempts"), 0);
        assert_true(has_span(&asked, "a", "cache"));
        assert_true(shows(&asked, "a", "was asked: why?"));
        assert_int_equal(world.n_submitted, 1);

        /* A worker reads it again for whoever wants more of it. */
        request.max_passages = 7;
        ask_of(&asked, request, NULL);
        assert_int_equal(took_ms(&asked), 1);
        check_source(&asked, "a", "ok", "cache");
        assert_int_equal(world.n_submitted, 2);

        world_run(NSEC_PER_SEC);
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "ok", "live");
        assert_int_equal(requests("a"), 2);
        assert_int_equal(count("a", COUNTER_CACHE_HITS), 2);
        assert_int_equal(count("a", COUNTER_CACHE_MISSES), 2);
        assert_int_equal(query_engine_flush_cache(engine), 1);
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "ok", "live");
        forget(&asked);
}

static void test_no_cache(void **state) {
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms"));
        begin_with(10, 0);
        ask_of(&asked, about("why?"), NULL);
        ask_of(&asked, about("why?"), NULL);
        check_source(&asked, "a", "ok", "live");
        assert_int_equal(requests("a"), 2);
        forget(&asked);
}

/* A failure is never kept, wherever it comes from. */
static void test_failures_not_cached(void **state) {
        static const char *const names[] = { "connect", "http", "decode", "worker" };
        Asked asked = {};

        world_add("connect", SETTINGS("URL=simulate:?fail=1", "Attempts=1", "Failures=0"));
        world_add("http", SETTINGS("URL=simulate:?status=404"));
        world_add("decode", SETTINGS("URL=simulate:"));
        world_add("worker", SETTINGS("URL=simulate:"));
        begin();
        for (unsigned round = 1; round <= 3; round++)
                for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                        world.poison = "simulated source";
                        world.poison_outcome = OUTCOME_DECODE;
                        world.poison_error = i == 3 ? -EOWNERDEAD : 0;
                        ask_of(&asked, about("why?"), NAMES(names[i]));
                        check_source(&asked, names[i], names[i], "");
                        check_whole(&asked, "failed");
                        assert_int_equal(n_errors(&asked), 1);
                        assert_int_equal(requests(names[i]), round);
                        assert_int_equal(query_engine_counters(engine).cache_entries, 0);
                }
        forget(&asked);
}

/* "Nothing found" is true for a while: said by the source, or seen by the worker. */
static void test_empty(void **state) {
        static const char *const names[] = { "body", "text" };
        Asked asked = {};

        world_add("body", SETTINGS("URL=simulate:?bytes=0"));
        world_add("text", SETTINGS("URL=simulate:"));
        begin();
        world.poison = "simulated source";
        world.poison_outcome = OUTCOME_EMPTY;
        for (unsigned i = 0; i < ELEMENTSOF(names); i++) {
                ask_of(&asked, about("why?"), NAMES(names[i]));
                uint64_t arrived = asked.start;
                world_run(arrived + FRESHNESS_EMPTY - 1 - io_now(world.io));
                ask_of(&asked, about("why?"), NAMES(names[i]));
                check_source(&asked, names[i], "empty", "cache");
                check_whole(&asked, "complete");
                assert_int_equal(requests(names[i]), 1);
                world_run(1);
                ask_of(&asked, about("why?"), NAMES(names[i]));
                check_source(&asked, names[i], "empty", "live");
                assert_int_equal(requests(names[i]), 2);
        }
        forget(&asked);
}

static void test_bypass(void **state) {
        QueryRequest request = about("why?"), bypass = about("why?");
        Asked asked = {}, others[2] = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms", "StaleIfErrorSec=60"));
        begin();
        bypass.cache = QUERY_CACHE_BYPASS;
        ask_of(&asked, request, NULL);
        world_run(NSEC_PER_SEC);
        ask_of(&asked, bypass, NULL);
        check_source(&asked, "a", "ok", "live");
        assert_int_equal(requests("a"), 2);

        /* What it has brought is the one that is kept. */
        world_run(59500 * MS);
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "ok", "cache");

        /* It shares nothing. */
        ask(&others[0], &bypass);
        ask(&others[1], &bypass);
        wait_for(&others[0]);
        wait_for(&others[1]);
        assert_int_equal(requests("a"), 4);
        assert_int_equal(count("a", COUNTER_SHARED), 0);

        /* Nor is there help from the cache when it fails. */
        world_source("a")->simulation.status = 500;
        ask_of(&asked, bypass, NULL);
        check_source(&asked, "a", "http", "");
        forget(&asked);
        forget(&others[0]);
        forget(&others[1]);
}

static void test_only(void **state) {
        QueryRequest request = about("why?"), only = about("why?");
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms", "TTLSec=1", "StaleIfErrorSec=5"));
        world_add("b", SETTINGS("URL=simulate:", "Source=c", "Text=not even this"));
        world_add("c", SETTINGS("URL=simulate:"));
        begin();
        only.cache = QUERY_CACHE_ONLY;
        ask_of(&asked, only, NULL);
        check_source(&asked, "a", "uncached", "");
        check_source(&asked, "b", "uncached", "");
        check_whole(&asked, "failed");
        assert_int_equal(n_errors(&asked), 3);

        ask_of(&asked, request, NAMES("a"));
        ask_of(&asked, only, NAMES("a"));
        check_source(&asked, "a", "ok", "cache");
        world_run(2 * NSEC_PER_SEC);
        ask_of(&asked, only, NAMES("a"));
        check_source(&asked, "a", "ok", "stale");
        assert_int_equal(number(&asked, "a", "age_ms"), 2001);
        world_run(4 * NSEC_PER_SEC);
        ask_of(&asked, only, NAMES("a"));
        check_source(&asked, "a", "uncached", "");
        assert_int_equal(requests("a"), 1);
        assert_int_equal(requests("b") + requests("c"), 0);
        forget(&asked);
}

/* Whatever goes wrong, nobody is asked: not the substitute either. */
static void test_only_and_fallback(void **state) {
        QueryRequest only = about("why?");
        Asked asked = {};

        world_add("a", SETTINGS("URL=http://x/{city}", "Source=c"));
        world_add("b", SETTINGS("URL=simulate:", "Source=c"));
        world_add("c", SETTINGS("URL=simulate:", "TTLSec=1"));
        begin();
        ask_of(&asked, about("why?"), NAMES("b"));
        only.cache = QUERY_CACHE_ONLY;
        only.max_passages = 7;
        world.poison = "source b";
        world.poison_error = -EOWNERDEAD;
        ask_of(&asked, only, NAMES("a", "b"));
        check_source(&asked, "a", "rejected", "");
        check_source(&asked, "b", "worker", "");
        assert_int_equal(requests("c"), 0);

        /* What is kept of it serves. */
        ask_of(&asked, about("why?"), NAMES("c"));
        ask_of(&asked, only, NAMES("a", "b"));
        check_source(&asked, "a", "rejected", "fallback");
        check_source(&asked, "b", "worker", "fallback");
        assert_int_equal(requests("c"), 1);
        forget(&asked);
}

/* ---- stale ones ---- */

static void test_stale_while_revalidate(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {}, others[3] = {};

        world_add("a",
                  SETTINGS("URL=simulate:?delay=50ms", "TTLSec=1", "StaleWhileRevalidateSec=10"));
        begin();
        ask_of(&asked, request, NULL);
        world_run(2 * NSEC_PER_SEC);
        for (unsigned i = 0; i < ELEMENTSOF(others); i++)
                ask(&others[i], &request);
        for (unsigned i = 0; i < ELEMENTSOF(others); i++) {
                wait_for(&others[i]);
                assert_int_equal(took_ms(&others[i]), 0);
                check_source(&others[i], "a", "ok", "stale");
                check_whole(&others[i], "complete");
                assert_int_equal(number(&others[i], "a", "age_ms"), 2001);
                assert_int_equal(number(&others[i], "a", "attempts"), 0);
                forget(&others[i]);
        }
        assert_int_equal(query_engine_counters(engine).alone, 1);
        assert_int_equal(count("a", COUNTER_CACHE_STALE), 3);
        world_settle();
        assert_int_equal(requests("a"), 2);
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "ok", "cache");
        assert_int_equal(requests("a"), 2);
        forget(&asked);
}

/* The new one cannot be had: the old one is given as long as it may. */
static void test_stale_while_failing(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a",
                  SETTINGS("URL=simulate:?delay=50ms", "TTLSec=1", "Attempts=1",
                           "StaleWhileRevalidateSec=10"));
        begin();
        ask_of(&asked, request, NULL);
        world_source("a")->simulation.fail = 1;
        for (unsigned i = 0; i < 3; i++) {
                world_run(2 * NSEC_PER_SEC);
                ask_of(&asked, request, NULL);
                check_source(&asked, "a", "ok", "stale");
                assert_int_equal(took_ms(&asked), 0);
        }
        world_run(6 * NSEC_PER_SEC);
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "connect", "");
        assert_int_equal(requests("a"), 5);
        forget(&asked);
}

static void test_stale_if_error(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a",
                  SETTINGS("URL=simulate:?delay=50ms", "TTLSec=1", "StaleIfErrorSec=10",
                           "Attempts=1", "Failures=2", "Class=required", "Text=not needed"));
        begin();
        ask_of(&asked, request, NULL);
        world_run(2 * NSEC_PER_SEC);
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "ok", "live"); /* it is asked first */
        assert_int_equal(took_ms(&asked), 51);

        world_source("a")->simulation.fail = 1;
        world_run(1500 * MS);
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "connect", "stale");
        check_whole(&asked, "partial");
        assert_int_equal(n_errors(&asked), 1);
        assert_string_equal(text(&asked, "a", "error"), "simulated failure");
        assert_int_equal(number(&asked, "a", "age_ms"), 1551);
        assert_int_equal(number(&asked, "a", "attempts"), 1);
        assert_true(shows(&asked, "a", "was asked: why?"));
        assert_true(has_span(&asked, "a", "cache"));
        assert_int_equal(count("a", COUNTER_CACHE_STALE), 1);
        assert_int_equal(count("a", COUNTER_FALLBACKS), 0);

        ask_of(&asked, request, NULL); /* the second one opens its breaker */
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "breaker_open", "stale");
        assert_true(has_span(&asked, "a", "breaker"));

        world_run(11 * NSEC_PER_SEC);
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "breaker_open", "fallback");
        forget(&asked);
}

/* The first reading is done, and the document kept; from then on workers die of it. */
static void poison(Asked *asked) {
        world.poison = "source a";
        world.poison_error = -EOWNERDEAD;
}

/* What a worker could not read is not given a second time as something kept. */
static void test_stale_is_not_itself(void **state) {
        QueryRequest request = about("why?");
        Asked asked = { .then = poison }, other = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms", "StaleIfErrorSec=60"));
        begin();
        ask(&asked, &request);
        request.max_passages = 7;
        ask(&other, &request);
        wait_for(&asked);
        wait_for(&other);
        check_source(&asked, "a", "ok", "live");
        check_source(&other, "a", "worker", "");
        assert_int_equal(requests("a"), 1);
        assert_int_equal(world.n_submitted, 2);
        assert_int_equal(took_ms(&other), 11);
        forget(&asked);
        forget(&other);
}

/* ---- substitutes ---- */

static void test_fallback_text(void **state) {
        Asked asked = {};

        world_add("a",
                  SETTINGS("URL=simulate:?delay=10ms&fail=1", "Attempts=1", "Failures=0",
                           "Class=required", "Text=Ask again tomorrow."));
        begin();
        for (unsigned i = 1; i <= 3; i++) {
                ask_of(&asked, about("why?"), NULL);
                check_source(&asked, "a", "connect", "fallback");
                check_whole(&asked, "partial");
                assert_string_equal(text(&asked, "a", "data"), "Ask again tomorrow.");
                assert_int_equal(n_errors(&asked), 1);
                assert_int_equal(number(&asked, "a", "attempts"), 1);
                assert_true(has_span(&asked, "a", "fallback"));
                assert_int_equal(count("a", COUNTER_FALLBACKS), i);
                assert_int_equal(requests("a"), i);
                assert_int_equal(query_engine_counters(engine).cache_entries, 0);
        }

        /* A substitute that cannot be read is none. */
        world.poison = "tomorrow";
        world.poison_error = -EOWNERDEAD;
        ask_of(&asked, about("why?"), NULL);
        check_source(&asked, "a", "connect", "");
        assert_string_equal(text(&asked, "a", "error"), "simulated failure");
        check_whole(&asked, "failed");
        world.submit_error = -ENOMEM;
        ask_of(&asked, about("why?"), NULL);
        check_source(&asked, "a", "connect", "");
        assert_string_equal(text(&asked, "a", "error"), "simulated failure");
        forget(&asked);
}

static void test_fallback_source(void **state) {
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms&status=500", "Source=b", "TTLSec=0"));
        world_add("b", SETTINGS("URL=simulate:?delay=20ms", "Source=c", "Attempts=1", "TTLSec=5"));
        world_add("c", SETTINGS("URL=simulate:?delay=20ms"));
        begin();
        ask_of(&asked, about("why?"), NAMES("a"));
        assert_int_equal(took_ms(&asked), 31);
        check_source(&asked, "a", "http", "fallback");
        assert_int_equal(number(&asked, "a", "status"), 500);
        assert_true(shows(&asked, "a", "source b was asked: why?"));
        assert_true(has_span(&asked, "a", "fallback"));
        check_whole(&asked, "partial");
        assert_int_equal(requests("b"), 1);

        /* It is kept as what it is. */
        ask_of(&asked, about("why?"), NAMES("a"));
        assert_int_equal(took_ms(&asked), 10);
        check_source(&asked, "a", "http", "fallback");
        ask_of(&asked, about("why?"), NAMES("b"));
        check_source(&asked, "b", "ok", "cache");
        assert_int_equal(requests("b"), 1);

        /* In the same query it is asked once. */
        (void) query_engine_flush_cache(engine);
        ask_of(&asked, about("why?"), NAMES("a", "b"));
        check_source(&asked, "a", "http", "fallback");
        check_source(&asked, "b", "ok", "live");
        assert_int_equal(requests("b"), 2);

        /* Its own fallback is not for others. */
        world_source("b")->simulation.fail = 1;
        (void) query_engine_flush_cache(engine);
        ask_of(&asked, about("why?"), NAMES("a"));
        check_source(&asked, "a", "http", "");
        assert_string_equal(
                        text(&asked, "a", "error"), "the source answered 500 Internal Server Error");
        assert_int_equal(requests("c"), 0);
        check_whole(&asked, "failed");
        forget(&asked);
}

static void test_fallback_source_is_empty(void **state) {
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?status=500", "Source=b"));
        world_add("b", SETTINGS("URL=simulate:?bytes=0"));
        begin();
        for (unsigned i = 0; i < 2; i++) { /* asked, then kept */
                ask_of(&asked, about("why?"), NAMES("a"));
                check_source(&asked, "a", "http", "");
                check_whole(&asked, "failed");
                assert_int_equal(requests("b"), 1);
        }
        forget(&asked);
}

/* The other one's limits hold for it here, too. */
static void test_fallback_breaker_open(void **state) {
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?status=500", "Source=b", "Failures=0"));
        world_add("b", SETTINGS("URL=simulate:", "Daily=1", "TTLSec=0"));
        begin();
        (void) breaker_force(&world_source("b")->breaker, BREAKER_FORCED_OPEN, io_now(world.io));
        ask_of(&asked, about("why?"), NAMES("a"));
        check_source(&asked, "a", "http", "");
        assert_int_equal(requests("b"), 0);
        assert_int_equal(count("b", COUNTER_BREAKER_REFUSED), 1);

        (void) breaker_force(&world_source("b")->breaker, BREAKER_AUTO, io_now(world.io));
        ask_of(&asked, about("why?"), NAMES("a"));
        check_source(&asked, "a", "http", "fallback");
        ask_of(&asked, about("why?"), NAMES("a"));
        check_source(&asked, "a", "http", "");
        assert_int_equal(requests("b"), 1);
        assert_int_equal(count("b", COUNTER_QUOTA_REFUSED), 1);
        forget(&asked);
}

/* The query's end ends the search for a substitute; the verdict stays. */
static void test_fallback_late(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms&status=500", "Source=b"));
        world_add("b", SETTINGS("URL=simulate:?delay=100ms"));
        begin();
        request.deadline_ns = 50 * MS;
        ask_of(&asked, request, NAMES("a"));
        assert_int_equal(took_ms(&asked), 50);
        check_source(&asked, "a", "http", "");
        world_settle();
        assert_int_equal(count("b", COUNTER_HARVESTED), 1);
        ask_of(&asked, request, NAMES("a"));
        check_source(&asked, "a", "http", "fallback");
        forget(&asked);
}

/* ---- admission ---- */

static void test_admission(void **state) {
        QueryRequest request = about("why?");
        QueryRefused refused = {};
        Asked asked[4] = {};

        world_add("a", SETTINGS("URL=simulate:?delay=100ms"));
        begin_with(2, 100);
        ask(&asked[0], &request);
        ask(&asked[1], &request);
        assert_int_equal(start(&asked[2], &request, &refused), QUERY_OVERLOADED);
        assert_in_range(refused.retry_after_ms, 10, 10000);
        assert_int_equal(query_engine_counters(engine).refused, 1);
        request.user = 7; /* somebody else */
        ask(&asked[3], &request);
        wait_for(&asked[0]);
        wait_for(&asked[1]);
        wait_for(&asked[3]);
        request.user = 0;
        ask(&asked[2], &request);
        wait_for(&asked[2]);
        assert_int_equal(query_engine_counters(engine).total, 4);
        for (unsigned i = 0; i < ELEMENTSOF(asked); i++)
                forget(&asked[i]);
}

/* ---- deadlines ---- */

static void test_deadline(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("fast", SETTINGS("URL=simulate:?delay=10ms"));
        world_add("slow", SETTINGS("URL=simulate:?delay=300ms"));
        begin();
        request.deadline_ns = 100 * MS;
        ask_of(&asked, request, NULL);
        assert_int_equal(asked.end - asked.start, 100 * MS);
        check_source(&asked, "fast", "ok", "live");
        check_source(&asked, "slow", "late", "");
        assert_string_equal(text(&asked, "slow", "error"), "no response by the query's deadline");
        check_whole(&asked, "partial");
        world_settle();
        ask_of(&asked, request, NULL);
        check_source(&asked, "slow", "ok", "cache");
        assert_int_equal(requests("slow"), 1);
        forget(&asked);
}

static void test_deadline_while_reading(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms"));
        begin();
        world.service_ns = 200 * MS;
        request.deadline_ns = 100 * MS;
        ask_of(&asked, request, NULL);
        assert_int_equal(took_ms(&asked), 100);
        check_source(&asked, "a", "late", "");
        assert_string_equal(text(&asked, "a", "error"), "not processed by the query's deadline");
        assert_true(has_span(&asked, "a", "receive"));
        assert_true(has_span(&asked, "a", "lane"));
        assert_int_equal(world.n_cancelled, 0); /* the worker has it already */
        world_settle();
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "ok", "cache");
        forget(&asked);
}

/* What a worker has ready at the very moment of the deadline comes too late all the same. */
static void test_deadline_at_once(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms"));
        begin();
        world.service_ns = 20 * MS;
        request.deadline_ns = 30 * MS;
        ask_of(&asked, request, NULL);
        assert_int_equal(took_ms(&asked), 30);
        check_source(&asked, "a", "late", "");
        check_whole(&asked, "failed");
        assert_null(member(&asked, "a", "data"));
        world_settle();
        assert_int_equal(query_engine_counters(engine).cache_entries, 1);
        forget(&asked);
}

/* ---- fail_fast ---- */

static void test_fail_fast(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms&status=500"));
        world_add("b", SETTINGS("URL=simulate:?delay=20ms&status=500", "Class=required"));
        world_add("c", SETTINGS("URL=simulate:?delay=300ms"));
        begin();
        request.policy = QUERY_FAIL_FAST;
        ask_of(&asked, request, NULL);
        assert_int_equal(took_ms(&asked), 20);
        assert_int_equal(asked.n_events, 3);
        check_source(&asked, "a", "http", "");
        check_source(&asked, "b", "http", "");
        check_source(&asked, "c", "cancelled", "");
        assert_int_equal(world_source("c")->in_flight, 0);
        assert_int_equal(query_engine_counters(engine).alone, 0);
        forget(&asked);
}

/* A required source that is served is no reason to give up. */
static void test_fail_fast_served(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a",
                  SETTINGS("URL=simulate:?delay=20ms&status=500", "Class=required", "Text=instead"));
        world_add("b", SETTINGS("URL=simulate:?delay=300ms"));
        begin();
        request.policy = QUERY_FAIL_FAST;
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "http", "fallback");
        check_whole(&asked, "partial");
        check_source(&asked, "b", "ok", "live");
        forget(&asked);
}

/* ---- no memory ---- */

/* The pool takes no task: that is told from the loop, too, also when the document was at hand. */
static void test_no_task(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms", "Class=required"));
        world_add("b", SETTINGS("URL=simulate:?delay=10ms"));
        begin();
        ask_of(&asked, request, NULL);
        world.submit_error = -ENOMEM;
        request.max_passages = 7;
        request.policy = QUERY_FAIL_FAST;
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "shed", "");
        assert_string_equal(text(&asked, "a", "error"), "no memory to queue the document");
        check_whole(&asked, "failed");

        request.question = "who?"; /* and when it comes just now */
        ask_of(&asked, request, NULL);
        check_source(&asked, "a", "shed", "");
        world.submit_error = 0;
        ask_of(&asked, request, NULL);
        check_whole(&asked, "complete");
        forget(&asked);
}

/* Documents of the cache give way to what is asked now. */
static void test_arena_full(void **state) {
        char question[16];
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms&bytes=200K"));
        begin();
        for (unsigned i = 0; i < 20; i++) {
                (void) snprintf(question, sizeof(question), "why %u?", i);
                ask_of(&asked, about(question), NULL);
                check_source(&asked, "a", "ok", "live");
        }
        assert_in_range(query_engine_counters(engine).cache_entries, 1, 4);
        forget(&asked);
}

/* ---- withdrawing ---- */

static void test_withdrawn(void **state) {
        QueryRequest request = about("why?");

        world_add("a", SETTINGS("URL=simulate:?delay=10ms"));
        world_add("b",
                  SETTINGS("URL=simulate:?delay=50ms&fail=1", "Attempts=1", "Failures=0", "Source=c"));
        world_add("c", SETTINGS("URL=simulate:?delay=50ms"));
        begin();
        world.service_ns = 7 * MS;
        for (unsigned ms = 0; ms < 120; ms += 5) {
                Asked asked = {};

                (void) query_engine_flush_cache(engine);
                ask(&asked, &request);
                world_run(ms * MS);
                if (!asked.query) {
                        forget(&asked);
                        continue;
                }
                unsigned n_events = asked.n_events;
                query_cancel(asked.query);
                query_cancel(asked.query); /* harmless */
                assert_int_equal(asked.n_events, n_events);
                assert_int_equal(world.n_running, 0);
                assert_int_equal(world_source("a")->in_flight + world_source("b")->in_flight, 0);
                world_settle();
                assert_null(asked.answer);
                assert_int_equal(query_open(engine), 0);
        }
        assert_true(query_engine_counters(engine).withdrawn > 10);
        assert_int_equal(query_engine_counters(engine).failed, 0);
        assert_int_equal(count("c", COUNTER_HARVESTED), 0);
}

static void cancel_query(Asked *asked) {
        query_cancel(asked->query);
}

/* The client goes away over an event. */
static void test_withdrawn_from_within(void **state) {
        QueryRequest request = about("why?");
        Asked asked = { .then = cancel_query };

        add_three("Class=required");
        begin();
        for (unsigned i = 0; i < 4; i++) {
                request.quorum = i;
                request.policy = i % 2 > 0 ? QUERY_FAIL_FAST : QUERY_BEST_EFFORT;
                ask(&asked, &request);
                world_settle();
                assert_int_equal(asked.n_events, 1);
                assert_null(asked.answer);
                assert_int_equal(query_open(engine), 0);
        }
        assert_int_equal(query_engine_counters(engine).withdrawn, 4);
}

/* ---- stopping ---- */

static void test_stop_while_alone(void **state) {
        QueryRequest request = about("why?");
        QueryRefused refused = {};
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms"));
        world_add("b", SETTINGS("URL=simulate:?delay=10ms"));
        world_add("c", SETTINGS("URL=simulate:?delay=500ms"));
        begin();
        request.quorum = 1;
        world_source("b")->simulation.delay_ns = 15 * MS;
        world.service_ns = 50 * MS;
        ask(&asked, &request);
        wait_for(&asked);
        assert_int_equal(query_engine_counters(engine).alone, 1); /* c flies */
        assert_int_equal(world.n_running, 1);                     /* b is read */
        query_engine_stop(engine);
        assert_int_equal(query_engine_counters(engine).alone, 0);
        assert_int_equal(world.n_running, 0);
        assert_int_equal(n_drained, 0); /* from the loop */
        assert_int_equal(start(&asked, &request, &refused), QUERY_STOPPING);
        world_settle();
        assert_int_equal(n_drained, 1);
        assert_int_equal(count("c", COUNTER_HARVESTED), 0);
        query_engine_stop(engine); /* harmless */
        world_settle();
        assert_int_equal(n_drained, 1);
}

/* Those who wait get their answer; what goes on behind it does not delay the end. */
static void test_stop_while_open(void **state) {
        QueryRequest request = about("why?");
        Asked asked = {};

        add_three("Class=optional");
        begin();
        request.quorum = 2;
        ask(&asked, &request);
        world_run(5 * MS);
        query_engine_stop(engine);
        assert_int_equal(n_drained, 0);
        wait_for(&asked);
        check_source(&asked, "b", "ok", "live");
        world_settle();
        assert_int_equal(n_drained, 1);
        assert_int_equal(requests("c"), 1);
        assert_int_equal(count("c", COUNTER_HARVESTED), 0);
        forget(&asked);
}

static void stop_engine(Query *query, const char *json, size_t size, void *userdata) {
        query_engine_stop(engine);
}

static void test_stop_from_within(void **state) {
        const QueryCallbacks callbacks = { .event = stop_engine, .done = stop_engine };
        QueryRequest request = about("why?");
        QueryRefused refused = {};
        Query *query = NULL;

        add_three("Class=optional");
        begin();
        request.quorum = 2;
        for (unsigned i = 0; i < 2; i++) {
                request.want_events = i == 0;
                QueryRefusal refusal = query_start(engine, &request, &callbacks, &query, &refused);
                assert_int_equal(refusal, i == 0 ? QUERY_ACCEPTED : QUERY_STOPPING);
                world_settle();
                assert_int_equal(n_drained, 1);
        }
}

static void test_stop_from_done(void **state) {
        const QueryCallbacks callbacks = { .event = on_event, .done = stop_engine };
        QueryRequest request = about("why?");
        QueryRefused refused = {};
        Query *query = NULL;

        add_three("Class=optional");
        begin();
        request.quorum = 2;
        request.want_events = false;
        assert_int_equal(query_start(engine, &request, &callbacks, &query, &refused), QUERY_ACCEPTED);
        world_settle();
        assert_int_equal(n_drained, 1);
}

static void test_cancel_all(void **state) {
        QueryRequest request = about("why?");
        Asked asked[3] = {};

        add_three("Class=optional");
        begin();
        for (unsigned i = 0; i < ELEMENTSOF(asked); i++)
                ask(&asked[i], &request);
        world_run(15 * MS);
        query_engine_stop(engine);
        query_engine_cancel_all(engine);
        world_settle();
        assert_int_equal(n_drained, 1);
        for (unsigned i = 0; i < ELEMENTSOF(asked); i++) {
                assert_null(asked[i].query);
                check_source(&asked[i], "a", "ok", "live");
                check_source(&asked[i], "b", "cancelled", "");
                forget(&asked[i]);
        }
}

/* ---- Explain ---- */

static void check_explained(const char *cached, bool would_ask) {
        QueryRequest request = about("why?");
        QueryRefused refused = {};
        CLEANUP_FREE char *json = NULL;
        size_t size = 0;

        assert_int_equal(query_explain(engine, &request, &json, &size, &refused), QUERY_ACCEPTED);
        json_t *plan = parse(json, size);
        const json_t *entry = json_array_get(json_object_get(plan, "sources"), 0);
        assert_string_equal(json_string_value(json_object_get(entry, "cached")), cached);
        assert_int_equal(json_is_true(json_object_get(entry, "would_ask")), would_ask);
        json_decref(plan);
}

static void test_explain(void **state) {
        Asked asked = {};

        world_add("a", SETTINGS("URL=simulate:?delay=10ms", "TTLSec=1", "StaleIfErrorSec=1"));
        begin();
        check_explained("nothing", true);
        assert_int_equal(requests("a"), 0);
        ask_of(&asked, about("why?"), NULL);
        check_explained("fresh", false);
        world_run(NSEC_PER_SEC);
        check_explained("stale_if_error", true);
        world_run(NSEC_PER_SEC);
        check_explained("nothing", true);
        assert_int_equal(requests("a"), 1);
        forget(&asked);
}

/* ---- whatever comes ---- */

#define CLIENTS 12u

static uint64_t chance_state;

static unsigned chance(unsigned below) {
        chance_state = chance_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned) (chance_state >> 33) % below;
}

/* The client hears no more of it. */
static void withdraw(Asked *asked) {
        query_cancel(asked->query);
        asked->query = NULL;
}

static void maybe_withdraw(Asked *asked) {
        if (chance(10) == 0)
                withdraw(asked);
}

static void random_ask(Asked *asked) {
        static const char *const questions[] = { "who?", "why?", "when?" };
        QueryRequest request = about(questions[chance(ELEMENTSOF(questions))]);
        QueryRefused refused = {};

        request.deadline_ns = (1 + chance(400)) * MS;
        request.policy = chance(2) > 0 ? QUERY_FAIL_FAST : QUERY_BEST_EFFORT;
        request.max_passages = 4 + chance(2);
        request.quorum = chance(4);
        request.cache = (QueryCacheUse) (chance(6) < 4 ? 0 : 1 + chance(2));
        request.batch = chance(3) == 0;
        request.user = chance(3);
        asked->then = maybe_withdraw;
        (void) start(asked, &request, &refused);
}

static void random_step(Asked clients[]) {
        Asked *asked = &clients[chance(CLIENTS)];

        world.service_ns = (1 + chance(60)) * MS;
        world.queued = chance(3) == 0;
        world.submit_error = chance(20) == 0 ? -ENOMEM : 0;
        world.poison = chance(4) == 0 ? "when?" : NULL;
        world.poison_error = chance(2) > 0 ? -EOWNERDEAD : 0;
        world.poison_outcome = chance(OUTCOME_COUNT);
        if (!asked->query)
                random_ask(asked);
        else if (chance(3) == 0)
                withdraw(asked);
        if (chance(50) == 0)
                (void) query_engine_flush_cache(engine);
        world_run(chance(30) * MS);
}

static void add_all_kinds(void) {
        world_add("a",
                  SETTINGS("URL=simulate:?delay=20ms&fail=0.4", "TTLSec=0.1", "Failures=4",
                           "StaleWhileRevalidateSec=0.3", "OpenSec=0.2", "Source=d"));
        world_add("b",
                  SETTINGS("URL=simulate:?delay=60ms&fail=0.3", "TTLSec=0.2", "Class=required",
                           "StaleIfErrorSec=0.5", "Attempts=2", "Text=instead"));
        world_add("c", SETTINGS("URL=simulate:?delay=90ms&bytes=0", "Concurrency=2"));
        world_add("d",
                  SETTINGS("URL=simulate:?delay=40ms&fail=0.2&bytes=20K", "Rate=20/1s",
                           "Percentile=90", "TTLSec=1"));
}

static void run_in_any_order(void **state, uint64_t seed) {
        Asked clients[CLIENTS] = {};

        (void) setup(state);
        add_all_kinds();
        begin_with(8, 5);
        chance_state = seed;
        for (unsigned step = 0; step < 400; step++)
                random_step(clients);
        query_engine_stop(engine);
        world_settle();
        assert_int_equal(n_drained, 1);
        for (unsigned i = 0; i < CLIENTS; i++) {
                assert_null(clients[i].query);
                forget(&clients[i]);
        }
        (void) teardown(state);
}

static void test_any_order(void **state) {
        for (uint64_t seed = 1; seed <= 8; seed++)
                run_in_any_order(state, seed);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_all),
                TEST(test_no_sources),
                TEST(test_refused),
                TEST(test_unrenderable),
                TEST(test_shared),
                TEST(test_shared_deadlines),
                TEST(test_shared_and_withdrawn),
                TEST(test_quorum),
                TEST(test_quorum_while_reading),
                TEST(test_quorum_waits_for_required),
                TEST(test_quorum_not_reached),
                TEST(test_quorum_from_cache),
                TEST(test_cached),
                TEST(test_no_cache),
                TEST(test_failures_not_cached),
                TEST(test_empty),
                TEST(test_bypass),
                TEST(test_only),
                TEST(test_only_and_fallback),
                TEST(test_stale_while_revalidate),
                TEST(test_stale_while_failing),
                TEST(test_stale_if_error),
                TEST(test_stale_is_not_itself),
                TEST(test_fallback_text),
                TEST(test_fallback_source),
                TEST(test_fallback_source_is_empty),
                TEST(test_fallback_breaker_open),
                TEST(test_fallback_late),
                TEST(test_admission),
                TEST(test_deadline),
                TEST(test_deadline_while_reading),
                TEST(test_deadline_at_once),
                TEST(test_fail_fast),
                TEST(test_fail_fast_served),
                TEST(test_no_task),
                TEST(test_arena_full),
                TEST(test_withdrawn),
                TEST(test_withdrawn_from_within),
                TEST(test_stop_while_alone),
                TEST(test_stop_while_open),
                TEST(test_stop_from_within),
                TEST(test_stop_from_done),
                TEST(test_cancel_all),
                TEST(test_explain),
                cmocka_unit_test(test_any_order),
        };
        return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
