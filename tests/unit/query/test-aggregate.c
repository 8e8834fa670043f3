/* SPDX-License-Identifier: Apache-2.0 */

/* Answers from inputs made by hand. Whatever the input, the answer must be JSON. */

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "aggregate.h"
#include "cleanup.h"
#include "clock.h"

#define SOURCES_MAX 6
#define START       (1000 * NSEC_PER_MSEC)

/* ---- making inputs ---- */

static Arena *arena;

static struct {
        FetchOutcome outcomes[SOURCES_MAX];
        Story stories[SOURCES_MAX]; /* of the queries' decisions */
        PoolTask tasks[SOURCES_MAX];
        AnswerSource sources[SOURCES_MAX];
        AnswerInput input;
} world;

static ResultHeader *results[SOURCES_MAX];
static size_t result_sizes[SOURCES_MAX];

static int setup_arena(void **state) {
        return arena_new(&arena, 64 << 10);
}

static int teardown_arena(void **state) {
        arena_free(arena);
        return 0;
}

static int setup(void **state) {
        memset(&world, 0, sizeof(world));
        world.input = (AnswerInput){
                .question = "why?",
                .question_size = 4,
                .query_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV",
                .start_ns = START,
                .end_ns = START + 50 * NSEC_PER_MSEC,
                .max_passages = 5,
                .sources = world.sources,
        };
        return 0;
}

static int teardown(void **state) {
        for (size_t i = 0; i < SOURCES_MAX; i++) {
                free(results[i]);
                results[i] = NULL;
                result_sizes[i] = 0;
                fetch_outcome_deinit(&world.outcomes[i]);
                story_deinit(&world.stories[i]);
        }
        assert_int_equal(arena_used(arena), 0);
        return 0;
}

static void renew(void **state) {
        (void) teardown(state);
        (void) setup(state);
}

/* One that has been asked. */
static AnswerSource *add(const char *name, Verdict verdict) {
        size_t n = world.input.n_sources++;

        assert_true(n < SOURCES_MAX);
        world.sources[n] = (AnswerSource){
                .name = name,
                .verdict = verdict,
                .stage = STAGE_ENGINE,
                .engine = ENGINE_DIGEST,
                .story = &world.stories[n],
                .asked = &world.outcomes[n],
                .task = &world.tasks[n],
        };
        world.outcomes[n].attempts = 1;
        if (verdict_answered(verdict)) {
                world.sources[n].origin = ORIGIN_LIVE;
                world.sources[n].shown = &world.outcomes[n];
        }
        return &world.sources[n];
}

static size_t number_of(const AnswerSource *source) {
        return (size_t) (source - world.sources);
}

static ResultHeader *result_of(AnswerSource *source) {
        size_t n = number_of(source);

        if (!results[n]) {
                results[n] = calloc(1, sizeof(ResultHeader));
                assert_non_null(results[n]);
                result_sizes[n] = sizeof(ResultHeader);
                /* A result comes from a try. */
                world.tasks[n].n_tries = 1;
        }
        source->result = results[n];
        return results[n];
}

/* Puts text behind the header of a result. */
static ResultString put(AnswerSource *source, const char *text) {
        size_t n = number_of(source), size = text ? strlen(text) : 0;
        ResultString string = { .offset = (uint32_t) result_sizes[n], .size = (uint32_t) size };

        if (size == 0)
                return (ResultString){};
        results[n] = realloc(results[n], result_sizes[n] + size);
        assert_non_null(results[n]);
        memcpy((char *) results[n] + result_sizes[n], text, size);
        result_sizes[n] += size;
        source->result = results[n];
        return string;
}

static void
add_passage(AnswerSource *source, double score, const char *text, const char *title,
            const char *link) {
        (void) result_of(source);
        PassageRecord passage = {
                .score = score,
                .text = put(source, text),
                .title = put(source, title),
                .link = put(source, link),
        };
        ResultHeader *result = result_of(source);

        result->passages[result->n_passages++] = passage;
}

static void set_summary(AnswerSource *source, const char *text) {
        (void) result_of(source);
        ResultString summary = put(source, text);

        result_of(source)->summary = summary;
}

static void set_data(AnswerSource *source, DataKind kind, const char *text) {
        (void) result_of(source);
        ResultString data = put(source, text);
        ResultHeader *result = result_of(source);

        result->data_kind = kind;
        result->data_offset = data.offset;
        result->data_size = data.size;
}

static void set_document(const AnswerSource *source, const char *text) {
        FetchOutcome *outcome = &world.outcomes[number_of(source)];

        assert_int_equal(arena_alloc(arena, strlen(text), &outcome->document), 0);
        memcpy(arena_block_data(outcome->document), text, strlen(text));
        outcome->document->size = strlen(text);
}

/* It has failed, and a document of that origin stands in for it. */
static AnswerSource *add_served(const char *name, Verdict verdict, Origin origin) {
        AnswerSource *source = add(name, verdict);

        source->origin = origin;
        source->shown = source->asked;
        set_data(source, DATA_TEXT, "instead");
        add_passage(source, .5, "This stands in for it.", NULL, NULL);
        return source;
}

/* ---- reading answers ---- */

static json_t *parse(Buffer *buffer) {
        assert_int_equal(buffer->error, 0);
        CLEANUP_FREE char *text = buffer_steal(buffer);
        json_error_t error;
        json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);

        if (!json)
                fail_msg("%s at %d: %s", error.text, error.position, text);
        return json;
}

static json_t *answer(void) {
        Buffer out = {};

        answer_write(&world.input, &out, /* ret_marks= */ NULL);
        return parse(&out);
}

static const json_t *at(const json_t *json, const char *path) {
        while (json && *path == '/') {
                char key[64];
                size_t n = strcspn(path + 1, "/");

                (void) snprintf(key, sizeof(key), "%.*s", (int) n, path + 1);
                json = json_is_array(json) ? json_array_get(json, strtoul(key, NULL, 10)) :
                                             json_object_get(json, key);
                path += n + 1;
        }
        return json;
}

static const char *text_at(const json_t *json, const char *path) {
        return json_string_value(at(json, path));
}

static json_int_t integer_at(const json_t *json, const char *path) {
        assert_true(json_is_integer(at(json, path)));
        return json_integer_value(at(json, path));
}

static void assert_number(const json_t *json, const char *path, double expected) {
        const json_t *number = at(json, path);

        assert_true(json_is_number(number));
        if (fabs(json_number_value(number) - expected) > 1e-9)
                fail_msg("%s is %g, not %g", path, json_number_value(number), expected);
}

static void assert_missing(const json_t *json, const char *path) {
        assert_null(at(json, path));
}

/* ---- completeness ---- */

/* A letter each: answered, empty, failed, served by a substitute; capital: required. */
static AnswerSource *add_letter(const char *name, char letter) {
        AnswerSource *source = NULL;

        switch (letter | 0x20) {
        case 'a':
                source = add(name, VERDICT_OK);
                break;
        case 'e':
                source = add(name, VERDICT_EMPTY);
                break;
        case 'f':
                source = add(name, VERDICT_HTTP);
                break;
        default:
                source = add_served(name, VERDICT_HTTP, ORIGIN_STALE);
                break;
        }
        source->required = letter < 'a';
        return source;
}

/* In whatever order they come. */
static void check_completeness(void **state, const char *letters, bool backwards, Completeness expected) {
        static const char *const names[] = { "s0", "s1", "s2" };
        size_t n = strlen(letters);

        renew(state);
        for (size_t i = 0; i < n; i++)
                (void) add_letter(names[i], letters[backwards ? n - 1 - i : i]);
        if (answer_completeness(&world.input) != expected)
                fail_msg("\"%s\"", letters);
        json_t *json = answer();
        assert_string_equal(text_at(json, "/completeness"), completeness_name(expected));
        assert_int_equal(json_is_true(at(json, "/success")), expected != COMPLETENESS_FAILED);
        json_decref(json);
}

/* All that one and two sources can be, and some of what three can. */
static void test_completeness(void **state) {
        static const struct {
                Completeness expected;
                const char *sources[32];
        } cases[] = {
                { COMPLETENESS_COMPLETE,
                  { "a", "A", "e", "E", "aa", "aA", "AA", "ae", "aE", "Ae", "AE", "ee", "eE", "EE",
                    "aeA", "AEa" } },
                { COMPLETENESS_PARTIAL, { "s",  "S",   "af",  "Af",  "ef",  "Ef",  "as", "aS", "As",
                                          "AS", "es",  "eS",  "Es",  "ES",  "ss",  "sS", "SS", "sf",
                                          "Sf", "aef", "Aef", "asf", "aSf", "ASs", "Sff" } },
                { COMPLETENESS_FAILED,
                  { "", "f", "F", "ff", "fF", "FF", "aF", "AF", "eF", "EF", "sF", "SF", "aaF",
                    "ASF", "fff" } },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                for (size_t k = 0; cases[i].sources[k]; k++) {
                        check_completeness(state, cases[i].sources[k], false, cases[i].expected);
                        check_completeness(state, cases[i].sources[k], true, cases[i].expected);
                }
}

/* Every verdict is on one side or the other. */
static void test_verdicts(void **state) {
        for (unsigned i = 0; i < VERDICT_COUNT; i++) {
                bool answered = i == VERDICT_OK || i == VERDICT_EMPTY;

                renew(state);
                (void) add("x", (Verdict) i);
                json_t *json = answer();
                assert_string_equal(text_at(json, "/sources/x/verdict"), verdict_name((Verdict) i));
                assert_int_equal(json_is_true(at(json, "/success")), answered);
                assert_int_equal(json_array_size(at(json, "/errors")), !answered);
                if (answered)
                        assert_string_equal(text_at(json, "/sources/x/origin"), "live");
                else {
                        assert_missing(json, "/sources/x/origin");
                        assert_string_equal(
                                        text_at(json, "/errors/0/kind"), verdict_name((Verdict) i));
                        assert_int_equal(
                                        json_is_true(at(json, "/errors/0/transient")),
                                        verdict_transient((Verdict) i));
                        assert_string_equal(
                                        text_at(json, "/errors/0/message"),
                                        verdict_help((Verdict) i));
                }
                json_decref(json);
        }
}

/* ---- the whole ---- */

static void test_nothing(void **state) {
        static const char *const members[] = { "query",        "query_id",       "success",
                                               "completeness", "answer",         "sources",
                                               "errors",       "execution_time", "cores_used",
                                               "inferences",   "timeline" };
        json_t *json = answer();

        assert_int_equal(json_object_size(json), ELEMENTSOF(members));
        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                assert_non_null(json_object_get(json, members[i]));
        assert_string_equal(text_at(json, "/query"), "why?");
        assert_string_equal(text_at(json, "/query_id"), world.input.query_id);
        assert_string_equal(text_at(json, "/answer/summary"), "");
        assert_int_equal(json_array_size(at(json, "/answer/passages")), 0);
        assert_number(json, "/execution_time", .05);
        assert_int_equal(integer_at(json, "/cores_used"), 0);
        json_decref(json);
}

static void test_source(void **state) {
        AnswerSource *source = add("weather", VERDICT_OK);
        FetchOutcome *outcome = &world.outcomes[0];
        PoolTask *task = &world.tasks[0];

        add_passage(source, .75, "It rains.", "Weather", "http://w/1");
        set_summary(source, "Rain.");
        set_data(source, DATA_JSON, "{\"t\":[1,2]}");
        result_of(source)->tokens = 83;
        result_of(source)->sentences = 6;
        outcome->status = 200;
        outcome->bytes = 512;
        outcome->start = START;
        outcome->end = START + 2003100 * NSEC_PER_USEC;
        task->n_tries = 2;
        task->tries[0] = (PoolTry){ .worker = 0, .dispatched_ns = START };
        task->tries[1] = (PoolTry){ .worker = 3,
                                    .started_ns = START,
                                    .decoded_ns = START,
                                    .finished_ns = START + 12400 * NSEC_PER_USEC };

        json_t *json = answer();
        const json_t *one = at(json, "/sources/weather");
        assert_string_equal(text_at(one, "/verdict"), "ok");
        assert_int_equal(integer_at(one, "/attempts"), 1);
        assert_int_equal(integer_at(one, "/status"), 200);
        assert_int_equal(integer_at(one, "/bytes"), 512);
        assert_number(one, "/fetch_ms", 2003.1);
        assert_number(one, "/infer_ms", 12.4);
        assert_int_equal(integer_at(one, "/data/t/1"), 2);
        assert_missing(one, "/error");

        one = at(json, "/inferences/0");
        assert_string_equal(text_at(one, "/source"), "weather");
        assert_string_equal(text_at(one, "/engine"), "digest");
        assert_int_equal(integer_at(one, "/worker"), 3);
        assert_int_equal(integer_at(one, "/tokens"), 83);
        assert_int_equal(integer_at(one, "/sentences"), 6);
        assert_string_equal(text_at(one, "/summary"), "Rain.");
        assert_string_equal(text_at(one, "/passages/0/text"), "It rains.");
        assert_string_equal(text_at(one, "/passages/0/title"), "Weather");
        assert_string_equal(text_at(one, "/passages/0/link"), "http://w/1");
        assert_number(one, "/passages/0/score", .75);
        assert_int_equal(integer_at(json, "/cores_used"), 2);
        json_decref(json);
}

/* What was never fetched has no figures. */
static void test_unasked(void **state) {
        AnswerSource *source = add("off", VERDICT_SHED);

        source->asked = NULL;
        source->task = NULL;
        source->stage = STAGE_QUEUE;
        source->error = "disabled by Enabled=no";
        json_t *json = answer();
        assert_int_equal(integer_at(json, "/sources/off/attempts"), 0);
        assert_string_equal(text_at(json, "/sources/off/error"), "disabled by Enabled=no");
        assert_missing(json, "/sources/off/fetch_ms");
        assert_missing(json, "/sources/off/infer_ms");
        assert_missing(json, "/sources/off/status");
        assert_missing(json, "/sources/off/data");
        assert_string_equal(text_at(json, "/errors/0/source"), "off");
        assert_string_equal(text_at(json, "/errors/0/stage"), "fetch");
        assert_string_equal(text_at(json, "/errors/0/message"), "disabled by Enabled=no");
        assert_int_equal(json_array_size(at(json, "/timeline")), 0);
        json_decref(json);
}

static void test_error_stages(void **state) {
        static const struct {
                Stage stage;
                const char *name;
        } stages[] = { { STAGE_WAIT, "fetch" },
                       { STAGE_DECODE, "decode" },
                       { STAGE_ENGINE, "worker" },
                       { STAGE_LANE, "worker" } };

        for (size_t i = 0; i < ELEMENTSOF(stages); i++) {
                renew(state);
                add("x", VERDICT_LATE)->stage = stages[i].stage;
                json_t *json = answer();
                assert_string_equal(text_at(json, "/errors/0/stage"), stages[i].name);
                json_decref(json);
        }
}

/* ---- data ---- */

static void test_data(void **state) {
        AnswerSource *json_kind = add("json", VERDICT_OK), *text = add("text", VERDICT_OK),
                     *json_document = add("json-document", VERDICT_OK),
                     *text_document = add("text-document", VERDICT_OK),
                     *none = add("none", VERDICT_OK), *empty = add("empty", VERDICT_EMPTY);

        set_data(json_kind, DATA_JSON, "[null,1e400,\"\\u0000\"]");
        set_data(text, DATA_TEXT, "a \"b\"\n\x01");
        set_document(json_document, " {\"k\": \"v\"} ");
        set_data(json_document, DATA_JSON_DOCUMENT, NULL);
        set_document(text_document, "line\r\nline \xc3\xbc");
        set_data(text_document, DATA_TEXT_DOCUMENT, NULL);
        set_data(none, DATA_NONE, NULL);
        set_data(empty, DATA_TEXT, "not shown");

        Buffer out = {};
        answer_write(&world.input, &out, /* ret_marks= */ NULL);
        CLEANUP_FREE char *raw = buffer_steal(&out);
        assert_non_null(strstr(raw, "\"data\":[null,1e400,\"\\u0000\"]")); /* as it is */
        memcpy(strstr(raw, "1e400"), "1e100", 5); /* which jansson cannot keep */
        json_t *json = json_loads(raw, JSON_ALLOW_NUL, NULL);
        assert_non_null(json);
        assert_string_equal(text_at(json, "/sources/text/data"), "a \"b\"\n\x01");
        assert_string_equal(text_at(json, "/sources/json-document/data/k"), "v");
        assert_string_equal(text_at(json, "/sources/text-document/data"), "line\r\nline \xc3\xbc");
        assert_true(json_is_null(at(json, "/sources/none/data")));
        assert_missing(json, "/sources/empty/data");
        json_decref(json);
}

static void test_data_omitted(void **state) {
        AnswerSource *text = add("text", VERDICT_OK);

        set_data(text, DATA_TEXT, "too long");
        (void) add("failed", VERDICT_HTTP);
        world.input.omit_data = true;
        json_t *json = answer();
        assert_missing(json, "/sources/text/data");
        assert_true(json_is_true(at(json, "/sources/text/data_omitted")));
        assert_missing(json, "/sources/failed/data_omitted");
        assert_string_equal(text_at(json, "/inferences/0/source"), "text");
        json_decref(json);
}

/* ---- passages ---- */

static void test_passages(void **state) {
        AnswerSource *a = add("a", VERDICT_OK), *b = add("b", VERDICT_OK),
                     *c = add("c", VERDICT_TIMEOUT), *d = add("d", VERDICT_OK);

        add_passage(a, .2, "The harbour opens at six in the morning.", NULL, NULL);
        add_passage(a, .9, "Ferries leave every hour.", "Ferries", NULL);
        set_summary(a, "Ferries and a harbour.");
        add_passage(b, .5, "the harbour opens at SIX in the morning", "Port", "http://p/");
        set_summary(b, "Port hours.");
        add_passage(d, .1, "Nothing else is known.", NULL, "http://d/");
        set_summary(d, NULL);
        c->error = "no response";

        json_t *json = answer();
        assert_int_equal(json_array_size(at(json, "/answer/passages")), 3);
        assert_string_equal(text_at(json, "/answer/passages/0/source"), "a");
        assert_string_equal(text_at(json, "/answer/passages/0/title"), "Ferries");
        assert_missing(json, "/answer/passages/0/link");
        assert_string_equal(text_at(json, "/answer/passages/1/source"), "b"); /* a's is its twin */
        assert_string_equal(text_at(json, "/answer/passages/1/link"), "http://p/");
        assert_string_equal(text_at(json, "/answer/passages/2/source"), "d");
        assert_missing(json, "/answer/passages/2/title");
        assert_string_equal(text_at(json, "/answer/summary"), "Ferries and a harbour. Port hours.");
        assert_int_equal(json_array_size(at(json, "/inferences")), 3);
        assert_int_equal(json_array_size(at(json, "/inferences/0/passages")), 2); /* as they were */
        json_decref(json);

        world.input.max_passages = 1;
        json = answer();
        assert_int_equal(json_array_size(at(json, "/answer/passages")), 1);
        assert_string_equal(text_at(json, "/answer/summary"), "Ferries and a harbour.");
        json_decref(json);

        world.input.max_passages = 0;
        json = answer();
        assert_int_equal(json_array_size(at(json, "/answer/passages")), 0);
        assert_string_equal(text_at(json, "/answer/summary"), "Ferries and a harbour.");
        json_decref(json);
}

/* At most three summaries, each once. */
static void test_summary(void **state) {
        static const char *const texts[] = { "Apples are red.", "Bananas are yellow.",
                                             "Cherries grow on trees.", "Dates are sweet." };
        static const char *const names[] = { "a", "b", "c", "d" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                AnswerSource *source = add(names[i], VERDICT_OK);

                add_passage(source, .9 - .1 * (double) i, texts[i], NULL, NULL);
                set_summary(source, names[i]);
        }
        add_passage(&world.sources[0], .85, "Another thing about pears in autumn.", NULL, NULL);
        json_t *json = answer();
        assert_string_equal(text_at(json, "/answer/summary"), "a b c");
        json_decref(json);
}

/* ---- the timeline ---- */

static void
check_span(const json_t *json, size_t i, const char *stage, json_int_t attempt, double start,
           double end, int worker) {
        const json_t *span = json_array_get(at(json, "/timeline"), i);

        assert_string_equal(text_at(span, "/source"), "x");
        assert_string_equal(text_at(span, "/stage"), stage);
        assert_int_equal(integer_at(span, "/attempt"), attempt);
        assert_number(span, "/start_ms", start);
        assert_number(span, "/end_ms", end);
        if (worker >= 0)
                assert_int_equal(integer_at(span, "/worker"), worker);
        else
                assert_missing(span, "/worker");
}

static uint64_t after_ms(uint64_t ms) {
        return START + ms * NSEC_PER_MSEC;
}

/* A span of what was asked, in ms after the query's beginning. */
static void tell(Stage stage, unsigned attempt, uint64_t start_ms, uint64_t end_ms) {
        story_add(&world.outcomes[0].story, stage, attempt, after_ms(start_ms), after_ms(end_ms));
}

static void test_timeline(void **state) {
        PoolTask *task = &world.tasks[0];

        (void) add("x", VERDICT_OK);
        story_add(&world.stories[0], STAGE_SHARE, 0, after_ms(0), after_ms(0));
        tell(STAGE_CONNECT, 1, 2, 3);
        tell(STAGE_BACKOFF, 2, 3, 5);
        tell(STAGE_WAIT, 2, 5, 9);
        tell(STAGE_RECEIVE, 2, 9, 10);
        task->submitted_ns = after_ms(10);
        task->n_tries = 2;
        /* A worker that died cannot tell when it began; the pool knows when it ended. */
        task->tries[0] = (PoolTry){ .worker = 1,
                                    .dispatched_ns = after_ms(11),
                                    .finished_ns = after_ms(20) };
        task->tries[1] = (PoolTry){
                .worker = 0,
                .dispatched_ns = after_ms(22),
                .started_ns = after_ms(23),
                .decoded_ns = after_ms(24),
                .finished_ns = after_ms(30),
        };

        json_t *json = answer();
        check_span(json, 0, "share", 1, 0, 0, -1);
        check_span(json, 1, "connect", 1, 2, 3, -1);
        check_span(json, 2, "backoff", 2, 3, 5, -1);
        check_span(json, 3, "wait", 2, 5, 9, -1);
        check_span(json, 4, "receive", 2, 9, 10, -1);
        check_span(json, 5, "lane", 1, 10, 11, 1);
        check_span(json, 6, "engine", 1, 11, 20, 1);
        check_span(json, 7, "lane", 2, 20, 23, 0);
        check_span(json, 8, "decode", 2, 23, 24, 0);
        check_span(json, 9, "engine", 2, 24, 30, 0);
        assert_int_equal(json_array_size(at(json, "/timeline")), 10);
        assert_number(json, "/sources/x/infer_ms", 7);
        assert_int_equal(integer_at(json, "/cores_used"), 2);
        json_decref(json);
}

/* It has followed a request that began earlier: what was over before it asked is not shown, what
 * was under way begins with it. */
static void test_timeline_of_the_shared(void **state) {
        FetchOutcome *outcome = &world.outcomes[0];
        Story *story = &outcome->story;

        (void) add("x", VERDICT_OK);
        outcome->start = START - 20 * NSEC_PER_MSEC;
        outcome->end = after_ms(8);
        story_add(story, STAGE_CONNECT, 1, START - 20 * NSEC_PER_MSEC, START - 15 * NSEC_PER_MSEC);
        story_add(story, STAGE_SEND, 1, START - 15 * NSEC_PER_MSEC, START - 1);
        story_add(story, STAGE_WAIT, 1, START - 1, after_ms(7));
        tell(STAGE_RECEIVE, 1, 7, 8);
        json_t *json = answer();
        check_span(json, 0, "wait", 1, 0, 7, -1);
        check_span(json, 1, "receive", 1, 7, 8, -1);
        assert_int_equal(json_array_size(at(json, "/timeline")), 2);
        assert_number(json, "/sources/x/fetch_ms", 8); /* that it has waited */
        json_decref(json);
}

/* Two workers died on it. */
static void test_timeline_of_the_lost(void **state) {
        PoolTask *task = &world.tasks[0];

        (void) add("x", VERDICT_WORKER);
        task->submitted_ns = after_ms(10);
        task->n_tries = 2;
        task->tries[0] = (PoolTry){ .dispatched_ns = after_ms(10), .finished_ns = after_ms(15) };
        task->tries[1] = (PoolTry){ .dispatched_ns = after_ms(16), .finished_ns = after_ms(25) };
        json_t *json = answer();
        check_span(json, 0, "lane", 1, 10, 10, 0);
        check_span(json, 1, "engine", 1, 10, 15, 0);
        check_span(json, 2, "lane", 2, 15, 16, 0);
        check_span(json, 3, "engine", 2, 16, 25, 0);
        assert_int_equal(json_array_size(at(json, "/timeline")), 4);
        assert_number(json, "/sources/x/infer_ms", 9);
        json_decref(json);
}

/* Being worked on when the answer goes out. */
static void test_timeline_of_the_running(void **state) {
        PoolTask *task = &world.tasks[0];

        (void) add("x", VERDICT_LATE);
        task->submitted_ns = after_ms(10);
        task->n_tries = 1;
        task->tries[0] = (PoolTry){ .dispatched_ns = after_ms(11) };
        json_t *json = answer();
        check_span(json, 0, "lane", 1, 10, 50, 0);
        assert_int_equal(json_array_size(at(json, "/timeline")), 1);
        assert_missing(json, "/sources/x/infer_ms");
        json_decref(json);
}

/* Still waiting for a worker when the answer goes out. */
static void test_timeline_of_the_late(void **state) {
        (void) add("x", VERDICT_LATE);
        tell(STAGE_RESOLVE, 1, 3, 10);
        world.tasks[0].submitted_ns = after_ms(10);
        json_t *json = answer();
        check_span(json, 0, "resolve", 1, 3, 10, -1);
        check_span(json, 1, "lane", 1, 10, 50, -1);
        assert_int_equal(json_array_size(at(json, "/timeline")), 2);
        json_decref(json);
}

/* ---- what is not of this query's asking ---- */

/* A worker read it for an earlier query. */
static void read_before(const AnswerSource *source) {
        PoolTask *task = &world.tasks[number_of(source)];

        task->submitted_ns = START - 9 * NSEC_PER_MSEC;
        task->n_tries = 1;
        task->tries[0] = (PoolTry){ .worker = 2,
                                    .dispatched_ns = START - 8 * NSEC_PER_MSEC,
                                    .started_ns = START - 8 * NSEC_PER_MSEC,
                                    .decoded_ns = START - 7 * NSEC_PER_MSEC,
                                    .finished_ns = START - 6 * NSEC_PER_MSEC };
}

static void test_cached(void **state) {
        AnswerSource *source = add("x", VERDICT_OK);

        set_data(source, DATA_TEXT, "kept");
        read_before(source);
        source->asked = NULL;
        source->origin = ORIGIN_CACHE;
        source->age_ns = 3 * NSEC_PER_SEC;
        world.outcomes[0].status = 200;
        world.outcomes[0].bytes = 77;
        tell(STAGE_WAIT, 1, 1, 2); /* of the kept one: not shown, whenever it was */
        story_add(&world.stories[0], STAGE_CACHE, 0, after_ms(0), after_ms(0));

        json_t *json = answer();
        const json_t *one = at(json, "/sources/x");
        assert_string_equal(text_at(one, "/verdict"), "ok");
        assert_string_equal(text_at(one, "/origin"), "cache");
        assert_int_equal(integer_at(one, "/attempts"), 0);
        assert_int_equal(integer_at(one, "/status"), 200);
        assert_int_equal(integer_at(one, "/bytes"), 77);
        assert_number(one, "/fetch_ms", 0);
        assert_missing(one, "/age_ms");
        assert_missing(one, "/infer_ms");
        assert_string_equal(text_at(one, "/data"), "kept");
        assert_string_equal(text_at(json, "/completeness"), "complete");
        check_span(json, 0, "cache", 1, 0, 0, -1);
        assert_int_equal(json_array_size(at(json, "/timeline")), 1);
        assert_int_equal(integer_at(json, "/inferences/0/worker"), 2);
        assert_int_equal(integer_at(json, "/cores_used"), 0);
        json_decref(json);
}

/* A kept document that is read anew, in the light of another question. */
static void test_cached_and_read(void **state) {
        AnswerSource *source = add("x", VERDICT_OK);
        PoolTask *task = &world.tasks[0];

        set_data(source, DATA_TEXT, "kept");
        source->asked = NULL;
        source->origin = ORIGIN_STALE;
        source->age_ns = 1500 * NSEC_PER_MSEC;
        task->submitted_ns = after_ms(0);
        task->tries[0] = (PoolTry){ .worker = 4,
                                    .dispatched_ns = after_ms(1),
                                    .started_ns = after_ms(2),
                                    .decoded_ns = after_ms(3),
                                    .finished_ns = after_ms(4) };
        json_t *json = answer();
        assert_string_equal(text_at(json, "/sources/x/origin"), "stale");
        assert_number(json, "/sources/x/age_ms", 1500);
        assert_number(json, "/sources/x/infer_ms", 2);
        assert_int_equal(integer_at(json, "/cores_used"), 1);
        check_span(json, 0, "lane", 1, 0, 2, 4);
        assert_int_equal(json_array_size(at(json, "/timeline")), 3);
        json_decref(json);
}

static void check_served(const json_t *json, const char *origin) {
        const json_t *one = at(json, "/sources/x");

        assert_string_equal(text_at(one, "/verdict"), "connect");
        assert_string_equal(text_at(one, "/error"), "connection refused");
        assert_string_equal(text_at(one, "/origin"), origin);
        assert_int_equal(integer_at(one, "/attempts"), 3);
        assert_string_equal(text_at(one, "/data"), "instead");
        assert_string_equal(text_at(json, "/errors/0/source"), "x");
        assert_string_equal(text_at(json, "/errors/0/kind"), "connect");
        assert_string_equal(text_at(json, "/errors/0/message"), "connection refused");
        assert_string_equal(text_at(json, "/inferences/0/source"), "x");
        assert_string_equal(text_at(json, "/answer/passages/0/source"), "x");
        assert_true(json_is_true(at(json, "/success")));
        assert_string_equal(text_at(json, "/completeness"), "partial");
}

/* What went wrong stays to be seen; what stands in is shown beside it. */
static void test_served(void **state) {
        static const Origin origins[] = { ORIGIN_STALE, ORIGIN_FALLBACK };

        for (size_t i = 0; i < ELEMENTSOF(origins); i++)
                for (unsigned required = 0; required < 2; required++) {
                        renew(state);
                        AnswerSource *source = add_served("x", VERDICT_CONNECT, origins[i]);

                        source->required = required;
                        source->error = "connection refused";
                        source->age_ns = 61 * NSEC_PER_SEC;
                        world.outcomes[0].attempts = 3;
                        json_t *json = answer();
                        check_served(json, origin_name(origins[i]));
                        if (origins[i] == ORIGIN_STALE)
                                assert_number(json, "/sources/x/age_ms", 61000);
                        else
                                assert_missing(json, "/sources/x/age_ms");
                        json_decref(json);
                }
}

/* A substitute that was found, but that no worker has read. */
static void test_served_by_nothing(void **state) {
        AnswerSource *source = add("x", VERDICT_CONNECT);

        source->origin = ORIGIN_STALE;
        source->shown = &world.outcomes[0];
        json_t *json = answer();
        assert_missing(json, "/sources/x/origin");
        assert_missing(json, "/sources/x/age_ms");
        assert_missing(json, "/sources/x/data");
        assert_int_equal(json_array_size(at(json, "/inferences")), 0);
        assert_string_equal(text_at(json, "/completeness"), "failed");
        json_decref(json);
}

/* The response of a failed request is told, not that of its substitute. */
static void test_served_status(void **state) {
        FetchOutcome kept = { .status = 200, .bytes = 512, .attempts = 1 };
        AnswerSource *source = add_served("x", VERDICT_HTTP, ORIGIN_STALE);

        source->shown = &kept;
        world.outcomes[0].status = 500;
        world.outcomes[0].bytes = 7;
        world.outcomes[0].start = after_ms(1);
        world.outcomes[0].end = after_ms(3);
        json_t *json = answer();
        assert_int_equal(integer_at(json, "/sources/x/status"), 500);
        assert_int_equal(integer_at(json, "/sources/x/bytes"), 7);
        assert_number(json, "/sources/x/fetch_ms", 2);
        json_decref(json);

        world.outcomes[0].status = 0; /* there was none */
        json = answer();
        assert_int_equal(integer_at(json, "/sources/x/status"), 200);
        json_decref(json);
}

/* ---- events ---- */

static json_t *event(const AnswerSource *source) {
        Buffer out = {};

        answer_write_event(&world.input, source, &out);
        return parse(&out);
}

static void test_events(void **state) {
        AnswerSource *good = add("good", VERDICT_OK), *bad = add("bad", VERDICT_HTTP),
                     *served = add_served("served", VERDICT_TIMEOUT, ORIGIN_FALLBACK);

        set_data(good, DATA_TEXT, "hello");
        bad->error = "the source answered 500";
        world.outcomes[1].status = 500;

        json_t *json = event(good);
        assert_int_equal(json_object_size(json), 3);
        assert_string_equal(text_at(json, "/source"), "good");
        assert_string_equal(text_at(json, "/result/data"), "hello");
        assert_string_equal(text_at(json, "/inference/source"), "good");
        json_decref(json);

        json = event(bad);
        assert_string_equal(text_at(json, "/result/verdict"), "http");
        assert_int_equal(integer_at(json, "/result/status"), 500);
        assert_string_equal(text_at(json, "/result/error"), "the source answered 500");
        assert_true(json_is_null(at(json, "/inference")));
        json_decref(json);

        json = event(served);
        assert_string_equal(text_at(json, "/result/verdict"), "timeout");
        assert_string_equal(text_at(json, "/result/origin"), "fallback");
        assert_string_equal(text_at(json, "/result/data"), "instead");
        assert_string_equal(text_at(json, "/inference/source"), "served");
        json_decref(json);
}

/* ---- bytes of others ---- */

/* A question and texts of sources may hold anything. */
static void test_hostile_text(void **state) {
        static const char nasty[] = "\"\\\x7f\x1b[31m\xff\xc0\xaf\xe2\x80\xa8</script>";
        AnswerSource *source = add("x", VERDICT_OK), *other = add("y", VERDICT_HTTP);

        world.input.question = nasty;
        world.input.question_size = sizeof(nasty) - 1;
        add_passage(source, .5, nasty, nasty, nasty);
        set_summary(source, nasty);
        set_data(source, DATA_TEXT, nasty);
        other->error = nasty;
        json_t *json = answer();
        assert_non_null(strstr(text_at(json, "/query"), "</script>"));
        assert_non_null(strstr(text_at(json, "/answer/passages/0/link"), "\xef\xbf\xbd"));
        assert_non_null(strstr(text_at(json, "/sources/y/error"), "[31m"));
        json_decref(json);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                TEST(test_completeness),
                TEST(test_verdicts),
                TEST(test_nothing),
                TEST(test_source),
                TEST(test_unasked),
                TEST(test_error_stages),
                TEST(test_data),
                TEST(test_passages),
                TEST(test_summary),
                TEST(test_timeline),
                TEST(test_timeline_of_the_shared),
                TEST(test_timeline_of_the_late),
                TEST(test_timeline_of_the_lost),
                TEST(test_timeline_of_the_running),
                TEST(test_cached),
                TEST(test_cached_and_read),
                TEST(test_served),
                TEST(test_served_by_nothing),
                TEST(test_served_status),
                TEST(test_data_omitted),
                TEST(test_events),
                TEST(test_hostile_text),
        };
        return cmocka_run_group_tests_name("aggregate", tests, setup_arena, teardown_arena);
}
