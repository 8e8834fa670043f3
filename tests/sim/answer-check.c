/* SPDX-License-Identifier: Apache-2.0 */

/* The answer is read by jansson, which shares nothing with the writer under test, after json_scan()
 * has said that it is JSON. Two things are checked: that the answer agrees with itself (verdicts,
 * errors, completeness, timeline), and that it agrees with what happened (the sources' behaviour,
 * the circumstances, the time). The second is what finds a result that belongs to another query. */

#include <assert.h>
#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "answer-check.h"
#include "clock.h"
#include "json-scan.h"
#include "report.h"

#define DEPTH_MAX    64
#define ROUNDED_MS   0.0011 /* two numbers of three places may differ by that */
#define ROUNDED_SEC  0.0000011
#define QUERY_ID_LEN 26u

/* ---- reading ---- */

static json_t *load(const Asked *asked, const char *json, size_t size) {
        size_t offset = 0;
        int r = json_scan(json, size, DEPTH_MAX, &offset);

        DEMAND(r == 0, "%s: what it got is no JSON at byte %zu: %.*s", asked->token, offset,
               (int) size, json);
        json_t *root = json_loadb(json, size, JSON_REJECT_DUPLICATES, NULL);
        DEMAND(root && json_is_object(root), "%s: what it got is no object: %.*s", asked->token,
               (int) size, json);
        return root;
}

static const json_t *member(const Asked *asked, const json_t *object, const char *name) {
        const json_t *value = json_object_get(object, name);

        DEMAND(value, "%s: the answer lacks \"%s\"", asked->token, name);
        return value;
}

static const char *string(const Asked *asked, const json_t *object, const char *name) {
        const char *text = json_string_value(member(asked, object, name));

        DEMAND(text, "%s: \"%s\" is no string", asked->token, name);
        return text;
}

static double number(const Asked *asked, const json_t *object, const char *name) {
        const json_t *value = member(asked, object, name);

        DEMAND(json_is_number(value), "%s: \"%s\" is no number", asked->token, name);
        return json_number_value(value);
}

static size_t source_number(const Asked *asked, const char *name) {
        const SourceScript *script = scenario_source(&asked->world->scenario, name, strlen(name));

        DEMAND(script, "%s: the answer names %s, which is no source", asked->token, name);
        size_t i = (size_t) (script - asked->world->scenario.sources);
        DEMAND(asked->asked[i], "%s: the answer names %s, which was not asked", asked->token, name);
        return i;
}

static Verdict read_verdict(const Asked *asked, const char *name) {
        for (int verdict = 0; verdict < VERDICT_COUNT; verdict++)
                if (strcmp(verdict_name((Verdict) verdict), name) == 0)
                        return (Verdict) verdict;
        report_failure("%s: \"%s\" is no verdict", asked->token, name);
}

static Stage read_stage(const Asked *asked, const char *name) {
        for (int stage = 0; stage < STAGE_COUNT; stage++)
                if (strcmp(stage_name((Stage) stage), name) == 0)
                        return (Stage) stage;
        report_failure("%s: the stage %s is none", asked->token, name);
}

static const SourceConfig *config_of(const Asked *asked, size_t source) {
        const char *name = asked->world->scenario.sources[source].name;

        return source_table_find(asked->world->sources, name)->config;
}

/* ---- one source ---- */

/* A required source that failed by itself. */
static bool somebody_failed(const Asked *asked, const Verdict verdicts[]) {
        for (size_t i = 0; i < asked->world->scenario.n_sources; i++)
                if (asked->asked[i] && config_of(asked, i)->class == CLASS_REQUIRED &&
                    !verdict_answered(verdicts[i]) && verdicts[i] != VERDICT_CANCELLED)
                        return true;
        return false;
}

bool asked_quorum_reached(const Asked *asked, const bool ended[], const Verdict verdicts[]) {
        unsigned n_ok = 0;

        for (size_t i = 0; i < asked->world->scenario.n_sources; i++) {
                if (!asked->asked[i])
                        continue;
                n_ok += ended[i] && verdicts[i] == VERDICT_OK;
                if (!ended[i] && config_of(asked, i)->class == CLASS_REQUIRED)
                        return false;
        }
        return asked->quorum > 0 && n_ok >= asked->quorum;
}

/* The answer went out early because enough was there. */
static bool left_out_by_quorum(const Asked *asked, const Verdict verdicts[]) {
        bool ended[SCENARIO_SOURCES] = {};

        for (size_t i = 0; i < asked->world->scenario.n_sources; i++)
                ended[i] = verdicts[i] != VERDICT_LATE && verdicts[i] != VERDICT_CANCELLED;
        return asked_quorum_reached(asked, ended, verdicts);
}

static void check_plausible(const Asked *asked, size_t i, const Verdict verdicts[], uint64_t now) {
        const World *world = asked->world;
        const SourceScript *script = &world->scenario.sources[i];
        uint32_t allowed = scenario_source_verdicts(&world->scenario, script);
        bool quorum = left_out_by_quorum(asked, verdicts);
        Verdict verdict = verdicts[i];

        if (config_of(asked, i)->enabled)
                allowed |= scenario_verdicts(&world->scenario);
        if (asked->cache == QUERY_CACHE_ONLY)
                allowed |= verdict_bit(VERDICT_UNCACHED);
        if (quorum)
                allowed |= verdict_bit(VERDICT_LATE);
        if (world->cancelled_all ||
            (asked->policy == QUERY_FAIL_FAST && somebody_failed(asked, verdicts)))
                allowed |= verdict_bit(VERDICT_CANCELLED);
        DEMAND(allowed & verdict_bit(verdict),
               "%s: %s has the verdict \"%s\", which nothing explains", asked->token, script->name,
               verdict_name(verdict));
        DEMAND(verdict != VERDICT_LATE || now == asked->deadline || quorum,
               "%s: %s is late %.6f ms before the deadline", asked->token, script->name,
               time_to_ms(asked->deadline - now));
}

/* Every sentence of a document names its query and its source; no other may be named. */
static void check_marks(const Asked *asked, const SourceScript *script, const json_t *value) {
        char *text = json_dumps(value, JSON_ENCODE_ANY);

        assert(text);
        for (const char *at = strstr(text, "Q0"); at; at = strstr(at + 1, "Q0"))
                DEMAND(strncmp(at, asked->token, TOKEN_SIZE - 1) == 0,
                       "%s: %s brings what belongs to another query: %s", asked->token,
                       script->name, text);
        for (const char *at = strpbrk(text, "s"); at; at = strpbrk(at + 1, "s"))
                DEMAND(!isdigit((unsigned char) at[1]) ||
                                       strncmp(at, script->name, strlen(script->name)) == 0,
                       "%s: %s brings what belongs to another source: %s", asked->token,
                       script->name, text);
        free(text);
}

/* ---- where it came from ---- */

/* In answers that are made here. */
typedef enum Shown {
        SHOWN_NOTHING,
        SHOWN_LIVE,
        SHOWN_CACHE,
        SHOWN_STALE,
        SHOWN_FALLBACK,
} Shown;

static Shown read_origin(const Asked *asked, const json_t *result) {
        static const char *const names[] = { "", "live", "cache", "stale", "fallback" };
        const json_t *origin = json_object_get(result, "origin");

        if (!origin)
                return SHOWN_NOTHING;
        for (unsigned i = SHOWN_LIVE; i < ELEMENTSOF(names); i++)
                if (strcmp(names[i], json_string_value(origin)) == 0)
                        return (Shown) i;
        report_failure("%s: \"%s\" is no origin", asked->token, json_string_value(origin));
}

/* Whose answer it is that is shown for a source. */
static const SourceScript *shown_script(const Asked *asked, size_t i, Shown shown) {
        const SourceScript *script = &asked->world->scenario.sources[i];
        const char *other = config_of(asked, i)->fallback_source;

        if (shown == SHOWN_FALLBACK && other)
                return scenario_source(&asked->world->scenario, other, strlen(other));
        return script;
}

/* When its server was asked, since the run began; the daemon itself writes none. */
static bool read_stamp(const char *text, uint64_t *ret_ns) {
        for (const char *at = strchr(text, 'T'); at; at = strchr(at + 1, 'T')) {
                uint64_t ns = 0;

                if (!isdigit((unsigned char) at[1]))
                        continue;
                for (at++; isdigit((unsigned char) *at); at++)
                        ns = 10 * ns + (uint64_t) (*at - '0');
                *ret_ns = ns;
                return true;
        }
        return false;
}

/* Between the request and the answer the whole TimeoutSec= may pass. */
static void
check_age(const Asked *asked, const SourceScript *script, Shown shown, uint64_t stamp, uint64_t now) {
        const World *world = asked->world;
        uint64_t flight = source_table_find(world->sources, script->name)->config->timeout;
        uint64_t fresh = scenario_fresh_ns(&world->scenario, script);
        uint64_t start = asked->start - world->start, age = now - world->start - stamp;

        if (shown == SHOWN_LIVE)
                DEMAND(stamp + (asked->cache == QUERY_CACHE_BYPASS ? 0 : flight) >= start,
                       "%s: the answer of %s is called live, but it is %.6f ms old", asked->token,
                       script->name, time_to_ms(age));
        else
                DEMAND(asked->cache != QUERY_CACHE_ONLY || stamp < start,
                       "%s: %s was asked although only the cache was to be", asked->token,
                       script->name);
        if (shown == SHOWN_CACHE)
                DEMAND(stamp < start && start - stamp <= fresh + flight,
                       "%s: the answer of %s is kept for %.6f ms, but it is %.6f ms old",
                       asked->token, script->name, time_to_ms(fresh), time_to_ms(age));
}

static void check_data(const Asked *asked, size_t i, Shown shown, const json_t *data, uint64_t now) {
        const SourceScript *script = shown_script(asked, i, shown);
        char *text = json_dumps(data, JSON_ENCODE_ANY);
        uint64_t stamp;

        assert(text);
        if (shown == SHOWN_FALLBACK && config_of(asked, i)->fallback_text)
                DEMAND(strstr(text, "Nothing from") && strstr(text, script->name),
                       "%s: the text that stands in for %s is %s", asked->token, script->name, text);
        else if (!json_is_null(data))
                DEMAND(strstr(text, script->name) && strstr(text, asked->token),
                       "%s: the data of %s are not its own: %s", asked->token, script->name, text);
        if (read_stamp(text, &stamp))
                check_age(asked, script, shown, stamp, now);
        free(text);
        check_marks(asked, script, data);
}

static void
check_origin(const Asked *asked, size_t i, const json_t *result, Verdict verdict, Shown shown) {
        const SourceScript *script = &asked->world->scenario.sources[i];
        const SourceConfig *config = config_of(asked, i);
        bool answered = verdict_answered(verdict);
        bool kept = shown == SHOWN_CACHE || shown == SHOWN_STALE;

        DEMAND(answered ? shown != SHOWN_NOTHING && shown != SHOWN_FALLBACK :
                          shown != SHOWN_LIVE && shown != SHOWN_CACHE,
               "%s: %s is \"%s\", which does not fit its origin", asked->token, script->name,
               verdict_name(verdict));
        DEMAND(shown != SHOWN_FALLBACK || config->fallback_text || config->fallback_source,
               "%s: %s has no fallback", asked->token, script->name);
        DEMAND(!kept ||
                               (asked->cache != QUERY_CACHE_BYPASS &&
                                asked->world->scenario.config->cache_entries > 0),
               "%s: %s has a kept answer that it should not have", asked->token, script->name);
        DEMAND(shown != SHOWN_CACHE || scenario_fresh_ns(&asked->world->scenario, script) > 0,
               "%s: an answer of %s was kept", asked->token, script->name);
        DEMAND(asked->cache != QUERY_CACHE_ONLY || shown != SHOWN_LIVE,
               "%s: %s was asked although only the cache was to be", asked->token, script->name);
        DEMAND((shown == SHOWN_STALE) == (json_object_get(result, "age_ms") != NULL),
               "%s: %s has an age that does not fit its origin", asked->token, script->name);
}

static void
check_result(const Asked *asked, size_t i, const json_t *result, Verdict verdict, uint64_t now) {
        const SourceScript *script = &asked->world->scenario.sources[i];
        bool answered = verdict_answered(verdict);
        const json_t *fetch_ms = json_object_get(result, "fetch_ms");
        const json_t *data = json_object_get(result, "data");
        const json_t *infer_ms = json_object_get(result, "infer_ms");
        Shown shown = read_origin(asked, result);

        check_origin(asked, i, result, verdict, shown);
        DEMAND(answered == (json_object_get(result, "error") == NULL),
               "%s: %s is \"%s\", which does not fit its error", asked->token, script->name,
               verdict_name(verdict));
        DEMAND((verdict == VERDICT_OK || (!answered && shown != SHOWN_NOTHING)) ==
                               (data != NULL || json_object_get(result, "data_omitted")),
               "%s: %s is \"%s\", which does not fit its data", asked->token, script->name,
               verdict_name(verdict));
        DEMAND(number(asked, result, "attempts") <= (double) config_of(asked, i)->attempts + 1,
               "%s: %s was asked more often than Attempts= has it", asked->token, script->name);
        DEMAND(!fetch_ms ||
                               json_number_value(fetch_ms) <=
                                               time_to_ms(config_of(asked, i)->timeout) + ROUNDED_MS,
               "%s: %s was fetched for longer than its TimeoutSec=", asked->token, script->name);
        DEMAND(!infer_ms || json_number_value(infer_ms) <= time_to_ms(now - asked->start) + ROUNDED_MS,
               "%s: %s was processed for %f ms", asked->token, script->name,
               json_number_value(infer_ms));
        if (data)
                check_data(asked, i, shown, data, now);
}

/* ---- the lists ---- */

/* It says the name of its source itself. */
static void check_inference_marks(const Asked *asked, size_t i, Shown shown, const json_t *inference) {
        check_marks(asked, shown_script(asked, i, shown), member(asked, inference, "summary"));
        check_marks(asked, &asked->world->scenario.sources[i], member(asked, inference, "source"));
}

static void check_errors(const Asked *asked, const json_t *answer, const Verdict verdicts[]) {
        bool seen[SCENARIO_SOURCES] = {};
        size_t k, n_failed = 0;
        json_t *entry;

        json_array_foreach(member(asked, answer, "errors"), k, entry) {
                size_t i = source_number(asked, string(asked, entry, "source"));

                DEMAND(!seen[i], "%s: two errors for one source", asked->token);
                seen[i] = true;
                DEMAND(strcmp(string(asked, entry, "kind"), verdict_name(verdicts[i])) == 0,
                       "%s: an error of another kind than the verdict", asked->token);
                DEMAND(*string(asked, entry, "message") && *string(asked, entry, "stage"),
                       "%s: an error that says nothing", asked->token);
        }
        for (size_t i = 0; i < asked->world->scenario.n_sources; i++)
                n_failed += asked->asked[i] && !verdict_answered(verdicts[i]);
        DEMAND(n_failed == json_array_size(member(asked, answer, "errors")),
               "%s: %zu sources failed, but there are other errors", asked->token, n_failed);
}

static void check_inferences(
                const Asked *asked, const json_t *answer, const Verdict verdicts[],
                const Shown shown[]) {
        bool seen[SCENARIO_SOURCES] = {};
        size_t k;
        json_t *entry;

        json_array_foreach(member(asked, answer, "inferences"), k, entry) {
                size_t i = source_number(asked, string(asked, entry, "source"));

                DEMAND(!seen[i], "%s: two inferences for one source", asked->token);
                seen[i] = true;
                DEMAND(shown[i] != SHOWN_NOTHING, "%s: an inference for a source that failed",
                       asked->token);
                check_inference_marks(asked, i, shown[i], entry);
                DEMAND(number(asked, entry, "worker") < asked->world->scenario.workers,
                       "%s: a worker that is none", asked->token);
        }
        for (size_t i = 0; i < asked->world->scenario.n_sources; i++)
                DEMAND(!asked->asked[i] || verdicts[i] != VERDICT_OK || seen[i],
                       "%s: no inference for a source that is ok", asked->token);
}

static void check_passages(const Asked *asked, const json_t *answer, const Shown shown[]) {
        const json_t *passages = member(asked, member(asked, answer, "answer"), "passages");
        double last = INFINITY;
        size_t k;
        json_t *entry;

        DEMAND(json_array_size(passages) <= asked->max_passages, "%s: too many passages",
               asked->token);
        json_array_foreach(passages, k, entry) {
                size_t i = source_number(asked, string(asked, entry, "source"));

                DEMAND(shown[i] != SHOWN_NOTHING, "%s: a passage of a source that failed",
                       asked->token);
                DEMAND(number(asked, entry, "score") <= last, "%s: passages out of order",
                       asked->token);
                last = number(asked, entry, "score");
        }
}

/* ---- the timeline ---- */

#define ATTEMPTS_MAX 32u

/* The steps of an attempt, in their order; 0: a decision, which stands for itself. */
static unsigned stage_rank(Stage stage) {
        static const unsigned ranks[STAGE_COUNT] = {
                [STAGE_BACKOFF] = 1, [STAGE_QUEUE] = 1, [STAGE_HEDGE] = 2,   [STAGE_RESOLVE] = 3,
                [STAGE_CONNECT] = 4, [STAGE_TLS] = 5,   [STAGE_SEND] = 6,    [STAGE_WAIT] = 7,
                [STAGE_RECEIVE] = 8, [STAGE_LANE] = 9,  [STAGE_DECODE] = 10, [STAGE_ENGINE] = 11,
        };
        return ranks[stage];
}

/* How far one attempt has come: of requests and of workers apart, as both are counted from 1. */
typedef struct Reached {
        double ms;
        unsigned rank;
} Reached;

static void
check_span(const Asked *asked, size_t i, const char *name, Stage stage, double start, double end,
           Reached *reached) {
        unsigned rank = stage_rank(stage);

        if (rank == 0)
                return;
        DEMAND(start >= reached->ms - ROUNDED_MS,
               "%s: the span %s of source %zu begins at %.3f ms, before %.3f where the last one ended",
               asked->token, name, i, start, reached->ms);
        DEMAND(rank >= reached->rank,
               "%s: the span %s of source %zu at %.3f ms is of another attempt", asked->token, name,
               i, start);
        *reached = (Reached){ end, rank };
}

static void check_timeline(const Asked *asked, const json_t *answer, double total_ms) {
        Reached reached[SCENARIO_SOURCES][2][ATTEMPTS_MAX] = {};
        size_t k;
        json_t *entry;

        json_array_foreach(member(asked, answer, "timeline"), k, entry) {
                size_t i = source_number(asked, string(asked, entry, "source"));
                const char *name = string(asked, entry, "stage");
                Stage stage = read_stage(asked, name);
                double start = number(asked, entry, "start_ms"), end = number(asked, entry, "end_ms");
                size_t attempt = (size_t) number(asked, entry, "attempt");

                DEMAND(attempt >= 1 && attempt < ATTEMPTS_MAX, "%s: attempt %zu", asked->token,
                       attempt);
                DEMAND(start >= 0 && start <= end && end <= total_ms + ROUNDED_MS,
                       "%s: the span %s of source %zu goes from %.3f to %.3f ms of %.3f",
                       asked->token, name, i, start, end, total_ms);
                check_span(asked, i, name, stage, start, end,
                           &reached[i][stage >= STAGE_LANE][attempt]);
        }
}

/* A document is given up when it has cost two workers. Of one for which a substitute was read, the
 * workers of the substitute are told. */
static void check_given_up(const Asked *asked, const json_t *answer, const Verdict verdicts[]) {
        bool explained[SCENARIO_SOURCES] = {};
        size_t k;
        json_t *entry;

        json_array_foreach(member(asked, answer, "timeline"), k, entry) {
                size_t i = source_number(asked, string(asked, entry, "source"));
                Stage stage = read_stage(asked, string(asked, entry, "stage"));

                explained[i] |= stage == STAGE_CACHE || stage == STAGE_FALLBACK ||
                                (stage == STAGE_ENGINE && number(asked, entry, "attempt") > 1);
        }
        for (size_t i = 0; i < asked->world->scenario.n_sources; i++)
                DEMAND(!asked->asked[i] || verdicts[i] != VERDICT_WORKER || explained[i],
                       "%s: source %zu was given up after one worker", asked->token, i);
}

/* ---- the whole ---- */

static void
check_sources(const Asked *asked, const json_t *answer, uint64_t now, Verdict verdicts[],
              Shown shown[]) {
        json_t *sources = json_object_get(answer, "sources");
        const char *name;
        json_t *result;

        DEMAND(json_object_size(sources) == asked->n_asked,
               "%s: %zu sources asked, %zu in the answer", asked->token, asked->n_asked,
               json_object_size(sources));
        json_object_foreach(sources, name, result) {
                size_t i = source_number(asked, name);

                verdicts[i] = read_verdict(asked, string(asked, result, "verdict"));
                shown[i] = read_origin(asked, result);
                check_result(asked, i, result, verdicts[i], now);
                DEMAND(asked->n_reported == 0 ||
                                       (asked->reported[i] && asked->verdicts[i] == verdicts[i]),
                       "%s: %s was reported otherwise than it is in the answer", asked->token, name);
        }
        for (size_t i = 0; i < asked->world->scenario.n_sources; i++)
                if (asked->asked[i])
                        check_plausible(asked, i, verdicts, now);
}

static void check_completeness(
                const Asked *asked, const json_t *answer, const Verdict verdicts[],
                const Shown shown[]) {
        size_t answered = 0, served = 0;
        bool missing = false;

        for (size_t i = 0; i < asked->world->scenario.n_sources; i++) {
                if (!asked->asked[i])
                        continue;
                if (verdict_answered(verdicts[i]))
                        answered++;
                else if (shown[i] != SHOWN_NOTHING)
                        served++;
                else
                        missing |= config_of(asked, i)->class == CLASS_REQUIRED;
        }
        bool success = answered + served > 0 && !missing;
        const char *wanted = !success              ? "failed" :
                        answered == asked->n_asked ? "complete" :
                                                     "partial";
        DEMAND(json_is_boolean(member(asked, answer, "success")) &&
                               json_is_true(json_object_get(answer, "success")) == success,
               "%s: success is not %d", asked->token, success);
        DEMAND(strcmp(string(asked, answer, "completeness"), wanted) == 0,
               "%s: completeness is %s, not %s", asked->token,
               string(asked, answer, "completeness"), wanted);
}

void answer_check_event(Asked *asked, const char *json, size_t size, uint64_t now) {
        json_t *event = load(asked, json, size);
        size_t i = source_number(asked, string(asked, event, "source"));
        const json_t *result = member(asked, event, "result");

        DEMAND(!asked->reported[i], "%s: source %zu is reported twice", asked->token, i);
        asked->reported[i] = true;
        asked->n_reported++;
        asked->verdicts[i] = read_verdict(asked, string(asked, result, "verdict"));
        asked->served[i] = json_object_get(result, "origin") != NULL;
        check_result(asked, i, result, asked->verdicts[i], now);
        json_decref(event);
}

void answer_check(const Asked *asked, const char *json, size_t size, uint64_t now) {
        Verdict verdicts[SCENARIO_SOURCES] = {};
        Shown shown[SCENARIO_SOURCES] = {};
        json_t *answer = load(asked, json, size);
        double total = number(asked, answer, "execution_time");

        DEMAND(now <= asked->deadline, "%s: answered %.6f ms after its deadline", asked->token,
               time_to_ms(now - asked->deadline));
        DEMAND(strcmp(string(asked, answer, "query"), asked->question) == 0,
               "%s: the answer to another question", asked->token);
        DEMAND(strlen(string(asked, answer, "query_id")) == QUERY_ID_LEN, "%s: no query_id",
               asked->token);
        DEMAND(fabs(total - time_to_ms(now - asked->start) / 1000) <= ROUNDED_SEC,
               "%s: execution_time is %f s", asked->token, total);
        DEMAND(number(asked, answer, "cores_used") <= asked->world->scenario.workers,
               "%s: more cores than workers", asked->token);
        check_sources(asked, answer, now, verdicts, shown);
        check_completeness(asked, answer, verdicts, shown);
        check_errors(asked, answer, verdicts);
        check_inferences(asked, answer, verdicts, shown);
        check_passages(asked, answer, shown);
        check_timeline(asked, answer, time_to_ms(now - asked->start));
        check_given_up(asked, answer, verdicts);
        json_decref(answer);
}
