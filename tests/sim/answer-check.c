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

static bool is_stage(const char *name) {
        for (int stage = 0; stage < STAGE_COUNT; stage++)
                if (strcmp(stage_name((Stage) stage), name) == 0)
                        return true;
        return false;
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

static void check_plausible(const Asked *asked, size_t i, const Verdict verdicts[], uint64_t now) {
        const World *world = asked->world;
        const SourceScript *script = &world->scenario.sources[i];
        uint32_t allowed = script->verdicts | scenario_verdicts(&world->scenario);
        Verdict verdict = verdicts[i];

        if (!config_of(asked, i)->enabled)
                allowed = verdict_bit(VERDICT_SHED);
        if (world->cancelled_all ||
            (asked->policy == QUERY_FAIL_FAST && somebody_failed(asked, verdicts)))
                allowed |= verdict_bit(VERDICT_CANCELLED);
        DEMAND(allowed & verdict_bit(verdict),
               "%s: %s has the verdict \"%s\", which nothing explains", asked->token, script->name,
               verdict_name(verdict));
        DEMAND(verdict != VERDICT_LATE || now == asked->deadline,
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

static void check_data(const Asked *asked, const SourceScript *script, const json_t *data) {
        char *text = json_dumps(data, JSON_ENCODE_ANY);

        assert(text);
        DEMAND(strstr(text, script->name) && strstr(text, asked->token),
               "%s: the data of %s are not its own: %s", asked->token, script->name, text);
        free(text);
        check_marks(asked, script, data);
}

static void
check_result(const Asked *asked, size_t i, const json_t *result, Verdict verdict, uint64_t now) {
        const SourceScript *script = &asked->world->scenario.sources[i];
        bool answered = verdict_answered(verdict);
        const json_t *fetch_ms = json_object_get(result, "fetch_ms");
        const json_t *data = json_object_get(result, "data");
        const json_t *infer_ms = json_object_get(result, "infer_ms");
        double timeout_ms = time_to_ms(config_of(asked, i)->timeout);

        DEMAND(answered == (json_object_get(result, "origin") != NULL),
               "%s: %s is \"%s\", which does not fit its origin", asked->token, script->name,
               verdict_name(verdict));
        DEMAND(answered == (json_object_get(result, "error") == NULL),
               "%s: %s is \"%s\", which does not fit its error", asked->token, script->name,
               verdict_name(verdict));
        DEMAND((verdict == VERDICT_OK) == (data != NULL || json_object_get(result, "data_omitted")),
               "%s: %s is \"%s\", which does not fit its data", asked->token, script->name,
               verdict_name(verdict));
        DEMAND(!fetch_ms || json_number_value(fetch_ms) <= timeout_ms + ROUNDED_MS,
               "%s: %s was fetched for longer than its TimeoutSec=", asked->token, script->name);
        DEMAND(!infer_ms || json_number_value(infer_ms) <= time_to_ms(now - asked->start) + ROUNDED_MS,
               "%s: %s was processed for %f ms", asked->token, script->name,
               json_number_value(infer_ms));
        if (verdict == VERDICT_TIMEOUT)
                DEMAND(fetch_ms && fabs(json_number_value(fetch_ms) - timeout_ms) <= ROUNDED_MS,
                       "%s: %s timed out at another time than its TimeoutSec=", asked->token,
                       script->name);
        if (data)
                check_data(asked, script, data);
}

/* ---- the lists ---- */

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

static void check_inferences(const Asked *asked, const json_t *answer, const Verdict verdicts[]) {
        bool seen[SCENARIO_SOURCES] = {};
        size_t k;
        json_t *entry;

        json_array_foreach(member(asked, answer, "inferences"), k, entry) {
                size_t i = source_number(asked, string(asked, entry, "source"));

                DEMAND(!seen[i], "%s: two inferences for one source", asked->token);
                seen[i] = true;
                DEMAND(verdict_answered(verdicts[i]), "%s: an inference for a source that failed",
                       asked->token);
                check_marks(asked, &asked->world->scenario.sources[i], entry);
                DEMAND(number(asked, entry, "worker") < asked->world->scenario.workers,
                       "%s: a worker that is none", asked->token);
        }
        for (size_t i = 0; i < asked->world->scenario.n_sources; i++)
                DEMAND(!asked->asked[i] || verdicts[i] != VERDICT_OK || seen[i],
                       "%s: no inference for a source that is ok", asked->token);
}

static void check_passages(const Asked *asked, const json_t *answer, const Verdict verdicts[]) {
        const json_t *passages = member(asked, member(asked, answer, "answer"), "passages");
        double last = INFINITY;
        size_t k;
        json_t *entry;

        DEMAND(json_array_size(passages) <= asked->max_passages, "%s: too many passages",
               asked->token);
        json_array_foreach(passages, k, entry) {
                size_t i = source_number(asked, string(asked, entry, "source"));

                DEMAND(verdict_answered(verdicts[i]), "%s: a passage of a source that failed",
                       asked->token);
                DEMAND(number(asked, entry, "score") <= last, "%s: passages out of order",
                       asked->token);
                last = number(asked, entry, "score");
        }
}

/* Spans of one source come one after the other. */
static void
check_timeline(const Asked *asked, const json_t *answer, const Verdict verdicts[], double total_ms) {
        double reached[SCENARIO_SOURCES] = {}, attempts[SCENARIO_SOURCES] = {};
        size_t k;
        json_t *entry;

        json_array_foreach(member(asked, answer, "timeline"), k, entry) {
                size_t i = source_number(asked, string(asked, entry, "source"));
                const char *stage = string(asked, entry, "stage");
                double start = number(asked, entry, "start_ms"), end = number(asked, entry, "end_ms");

                DEMAND(is_stage(stage), "%s: the stage %s is none", asked->token, stage);
                DEMAND(start >= 0 && start <= end && end <= total_ms + ROUNDED_MS,
                       "%s: the span %s of source %zu goes from %.3f to %.3f ms of %.3f",
                       asked->token, stage, i, start, end, total_ms);
                DEMAND(start >= reached[i] - ROUNDED_MS,
                       "%s: the span %s of source %zu begins at %.3f ms, before %.3f where the last one ended",
                       asked->token, stage, i, start, reached[i]);
                reached[i] = end;
                attempts[i] = number(asked, entry, "attempt");
        }
        for (size_t i = 0; i < asked->world->scenario.n_sources; i++)
                DEMAND(!asked->asked[i] || verdicts[i] != VERDICT_WORKER || attempts[i] > 1,
                       "%s: source %zu was given up after one worker", asked->token, i);
}

/* ---- the whole ---- */

static void check_sources(const Asked *asked, const json_t *answer, uint64_t now, Verdict verdicts[]) {
        json_t *sources = json_object_get(answer, "sources");
        const char *name;
        json_t *result;

        DEMAND(json_object_size(sources) == asked->n_asked,
               "%s: %zu sources asked, %zu in the answer", asked->token, asked->n_asked,
               json_object_size(sources));
        json_object_foreach(sources, name, result) {
                size_t i = source_number(asked, name);

                verdicts[i] = read_verdict(asked, string(asked, result, "verdict"));
                check_result(asked, i, result, verdicts[i], now);
                DEMAND(asked->n_reported == 0 ||
                                       (asked->reported[i] && asked->verdicts[i] == verdicts[i]),
                       "%s: %s was reported otherwise than it is in the answer", asked->token, name);
        }
        for (size_t i = 0; i < asked->world->scenario.n_sources; i++)
                if (asked->asked[i])
                        check_plausible(asked, i, verdicts, now);
}

static void check_completeness(const Asked *asked, const json_t *answer, const Verdict verdicts[]) {
        size_t answered = 0;
        bool missing = false;

        for (size_t i = 0; i < asked->world->scenario.n_sources; i++) {
                if (!asked->asked[i])
                        continue;
                if (verdict_answered(verdicts[i]))
                        answered++;
                else
                        missing |= config_of(asked, i)->class == CLASS_REQUIRED;
        }
        bool success = answered > 0 && !missing;
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
        check_result(asked, i, result, asked->verdicts[i], now);
        json_decref(event);
}

void answer_check(const Asked *asked, const char *json, size_t size, uint64_t now) {
        Verdict verdicts[SCENARIO_SOURCES] = {};
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
        check_sources(asked, answer, now, verdicts);
        check_completeness(asked, answer, verdicts);
        check_errors(asked, answer, verdicts);
        check_inferences(asked, answer, verdicts);
        check_passages(asked, answer, verdicts);
        check_timeline(asked, answer, verdicts, time_to_ms(now - asked->start));
        json_decref(answer);
}
