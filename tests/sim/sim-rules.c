/* SPDX-License-Identifier: Apache-2.0 */

/* The rules of retries, breakers, limits, hedges and the cache at their edges: through whole
 * queries, in virtual time.
 *
 *      sim-rules           all cases
 *      sim-rules CASE      one of them
 *
 * What each file of daemon/fetch/ does alone is tested in tests/unit/fetch/; what must hold
 * whatever happens is watched here, too (watch-fetch.c). */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fetch.h"
#include "lab.h"
#include "log.h"
#include "make-config.h"
#include "process.h"
#include "query-internal.h"
#include "report.h"
#include "watch-fetch.h"

#define SECONDS(n)      ((uint64_t) (n) *NSEC_PER_SEC)
#define MILLISECONDS(n) ((uint64_t) (n) *NSEC_PER_MSEC)
#define DAY             SECONDS(86400)
#define QUESTION        "Q000777" /* that several queries ask */

#define EXPECT(condition) DEMAND(condition, "line %d: expected %s", __LINE__, #condition)

/* ---- what many cases do ---- */

static void start_with(Lab *lab, Behaviour behaviour, uint64_t think_ns, const char *const settings[]) {
        lab_source(lab, "s", behaviour, think_ns, settings)->status = 503;
        lab_start(lab);
}

/* What source s does from now on. */
static void becomes(Lab *lab, Behaviour behaviour, uint64_t think_ns) {
        lab->world.scenario.sources[0].behaviour = behaviour;
        lab->world.scenario.sources[0].think_ns = think_ns;
}

static bool verdict_is(Lab *lab, QueryRequest request, const char *verdict) {
        Reply reply;

        lab_ask_and_wait(lab, &reply, request);
        report_note("verdict %s, wanted %s", reply_verdict(&reply, "s"), verdict);
        bool as_wanted = strcmp(reply_verdict(&reply, "s"), verdict) == 0;
        reply_drop(&reply);
        return as_wanted;
}

static bool origin_is(Lab *lab, QueryRequest request, const char *origin) {
        Reply reply;

        lab_ask_and_wait(lab, &reply, request);
        report_note("origin %s, wanted %s", reply_origin(&reply, "s"), origin);
        bool as_wanted = strcmp(reply_origin(&reply, "s"), origin) == 0;
        reply_drop(&reply);
        return as_wanted;
}

/* Each time with a question of its own. */
static void ask_often(Lab *lab, unsigned times) {
        for (unsigned i = 0; i < times; i++) {
                Reply reply;
                lab_ask_and_wait(lab, &reply, (QueryRequest){});
                reply_drop(&reply);
        }
}

static unsigned count_verdicts(Reply replies[], unsigned n, const char *verdict) {
        unsigned count = 0;

        for (unsigned i = 0; i < n; i++) {
                reply_wait(&replies[i]);
                count += strcmp(reply_verdict(&replies[i], "s"), verdict) == 0;
        }
        return count;
}

static void drop_all(Reply replies[], unsigned n) {
        for (unsigned i = 0; i < n; i++)
                reply_drop(&replies[i]);
}

static uint64_t counted(const Lab *lab, SourceCounter counter) {
        return lab_find(lab, "s")->counters[counter];
}

/* Five failures, and the time for which the breaker is open. */
static void reach_half_open(Lab *lab) {
        ask_often(lab, 5);
        EXPECT(lab_breaker(lab, "s") == BREAKER_OPEN);
        lab_run_until(lab, lab_find(lab, "s")->breaker.open_until);
        EXPECT(lab_breaker(lab, "s") == BREAKER_HALF_OPEN);
}

/* ---- breakers ---- */

static void fifth_failure_opens(Lab *lab) {
        start_with(lab, BEHAVIOUR_STATUS, MILLISECONDS(1), SETTINGS("Attempts=1"));
        ask_often(lab, 4);
        EXPECT(lab_breaker(lab, "s") == BREAKER_CLOSED);
        ask_often(lab, 1);
        EXPECT(lab_breaker(lab, "s") == BREAKER_OPEN);
        EXPECT(verdict_is(lab, (QueryRequest){}, "breaker_open"));
        EXPECT(lab_requests("s") == 5);
        EXPECT(counted(lab, COUNTER_BREAKER_OPENED) == 1);
        EXPECT(counted(lab, COUNTER_BREAKER_REFUSED) == 1);
}

static void failures_count_in_a_row(Lab *lab) {
        start_with(lab, BEHAVIOUR_STATUS, MILLISECONDS(1), SETTINGS("Attempts=1"));
        ask_often(lab, 4);
        becomes(lab, BEHAVIOUR_ANSWERS, MILLISECONDS(1));
        EXPECT(verdict_is(lab, (QueryRequest){}, "ok"));
        becomes(lab, BEHAVIOUR_STATUS, MILLISECONDS(1));
        ask_often(lab, 4);
        EXPECT(lab_breaker(lab, "s") == BREAKER_CLOSED);
}

/* Retries count, too: two queries of three requests are enough. */
static void retries_open_it(Lab *lab) {
        start_with(lab, BEHAVIOUR_STATUS, MILLISECONDS(1), SETTINGS("Attempts=3"));
        ask_often(lab, 2);
        EXPECT(lab_requests("s") == 5);
        EXPECT(lab_breaker(lab, "s") == BREAKER_OPEN);
}

static void open_to_the_nanosecond(Lab *lab) {
        start_with(lab, BEHAVIOUR_STATUS, MILLISECONDS(1), SETTINGS("Attempts=1"));
        ask_often(lab, 5);
        becomes(lab, BEHAVIOUR_ANSWERS, MILLISECONDS(1));
        uint64_t until = lab_find(lab, "s")->breaker.open_until;
        lab_run_until(lab, until - 1);
        EXPECT(verdict_is(lab, (QueryRequest){ .deadline_ns = 1 }, "breaker_open"));
        lab_run_until(lab, until);
        EXPECT(verdict_is(lab, (QueryRequest){}, "ok"));
        EXPECT(lab_breaker(lab, "s") == BREAKER_CLOSED);
}

static void one_probe_of_a_thousand(Lab *lab) {
        static Reply replies[1000];

        start_with(lab, BEHAVIOUR_STATUS, MILLISECONDS(1), SETTINGS("Attempts=1"));
        reach_half_open(lab);
        becomes(lab, BEHAVIOUR_ANSWERS, SECONDS(1));
        for (unsigned i = 0; i < ELEMENTSOF(replies); i++)
                lab_ask(lab, &replies[i], (QueryRequest){});
        EXPECT(count_verdicts(replies, ELEMENTSOF(replies), "ok") == 1);
        EXPECT(count_verdicts(replies, ELEMENTSOF(replies), "breaker_open") == 999);
        EXPECT(lab_requests("s") == 6 && watch_fetch_count("s").probes == 1);
        EXPECT(lab_breaker(lab, "s") == BREAKER_CLOSED);
        drop_all(replies, ELEMENTSOF(replies));
}

/* They stand in line for the one place while the breaker opens before them. */
static void line_before_an_open_breaker(Lab *lab) {
        static Reply replies[1000];

        start_with(lab, BEHAVIOUR_STATUS, MILLISECONDS(1), SETTINGS("Attempts=1", "Concurrency=1"));
        for (unsigned i = 0; i < ELEMENTSOF(replies); i++)
                lab_ask(lab, &replies[i], (QueryRequest){});
        EXPECT(count_verdicts(replies, ELEMENTSOF(replies), "http") == 5);
        EXPECT(count_verdicts(replies, ELEMENTSOF(replies), "breaker_open") == 995);
        EXPECT(lab_requests("s") == 5);
        drop_all(replies, ELEMENTSOF(replies));
}

static void probe_lost_with_its_query(Lab *lab) {
        Reply reply;

        start_with(lab, BEHAVIOUR_STATUS, MILLISECONDS(1), SETTINGS("Attempts=1"));
        reach_half_open(lab);
        becomes(lab, BEHAVIOUR_NEVER, 0);
        lab_ask(lab, &reply, (QueryRequest){});
        lab_run(lab, MILLISECONDS(10));
        EXPECT(verdict_is(lab, (QueryRequest){}, "breaker_open"));
        reply_withdraw(&reply);
        becomes(lab, BEHAVIOUR_ANSWERS, 0);
        EXPECT(verdict_is(lab, (QueryRequest){}, "ok"));
        EXPECT(lab_breaker(lab, "s") == BREAKER_CLOSED);
}

/* The query has its deadline; the probe goes on alone and is the only one. */
static void probe_outlives_its_query(Lab *lab) {
        start_with(lab, BEHAVIOUR_STATUS, MILLISECONDS(1), SETTINGS("Attempts=1"));
        reach_half_open(lab);
        becomes(lab, BEHAVIOUR_NEVER, 0);
        EXPECT(verdict_is(lab, (QueryRequest){ .deadline_ns = MILLISECONDS(100) }, "late"));
        EXPECT(verdict_is(lab, (QueryRequest){}, "breaker_open"));
        lab_run(lab, SECONDS(5));
        EXPECT(lab_breaker(lab, "s") == BREAKER_OPEN);
        uint64_t left = breaker_open_left(&lab_find(lab, "s")->breaker, lab_now(lab));
        EXPECT(left > SECONDS(119) && left <= SECONDS(120)); /* twice as long as the first time */
        EXPECT(watch_fetch_count("s").probes == 1);
}

/* Until somebody answers, who shows by that that the network was up. */
static void dead_network_opens_none(Lab *lab) {
        static const char *const names[] = { "s", "t", "u" };
        Reply reply;

        lab_source(lab, "s", BEHAVIOUR_UNREACHABLE, 0, SETTINGS("Attempts=1"));
        lab_source(lab, "t", BEHAVIOUR_UNREACHABLE, 0, SETTINGS("Attempts=1"));
        lab_source(lab, "u", BEHAVIOUR_ANSWERS, 0, SETTINGS("Attempts=1"));
        lab_start(lab);
        for (unsigned i = 0; i < 8; i++)
                EXPECT(verdict_is(lab, (QueryRequest){ .sources = names, .n_sources = 2 }, "connect"));
        EXPECT(lab_breaker(lab, "s") == BREAKER_CLOSED && lab_breaker(lab, "t") == BREAKER_CLOSED);
        lab_ask_and_wait(lab, &reply, (QueryRequest){ .sources = names + 2, .n_sources = 1 });
        EXPECT(lab_breaker(lab, "s") == BREAKER_OPEN && lab_breaker(lab, "t") == BREAKER_OPEN);
        reply_drop(&reply);
}

/* ---- time ---- */

static void a_year_later(Lab *lab) {
        const QueryRequest same = { .question = QUESTION };

        start_with(lab, BEHAVIOUR_ANSWERS, MILLISECONDS(1),
                   SETTINGS("Attempts=1", "OpenSec=86400", "Rate=10/1s", "MinIntervalSec=0.01",
                            "Daily=100", "TTLSec=604800", "StaleIfErrorSec=604800", "Percentile=95",
                            "Timeout=yes"));
        EXPECT(origin_is(lab, same, "live"));
        EXPECT(origin_is(lab, same, "cache"));
        ask_often(lab, 20);
        becomes(lab, BEHAVIOUR_STATUS, MILLISECONDS(1));
        ask_often(lab, 5);
        EXPECT(verdict_is(lab, (QueryRequest){}, "breaker_open"));
        lab_run(lab, 365 * DAY);
        becomes(lab, BEHAVIOUR_ANSWERS, MILLISECONDS(1));
        EXPECT(origin_is(lab, same, "live"));
        EXPECT(lab_breaker(lab, "s") == BREAKER_CLOSED);
        EXPECT(lab_find(lab, "s")->daily.used == 1);
}

static void quota_over_midnight(Lab *lab) {
        start_with(lab, BEHAVIOUR_ANSWERS, 0, SETTINGS("Daily=2"));
        ask_often(lab, 2);
        EXPECT(verdict_is(lab, (QueryRequest){}, "quota"));
        lab_run_until(lab, lab->world.start + DAY - 1); /* runs begin at midnight */
        EXPECT(verdict_is(lab, (QueryRequest){ .deadline_ns = 1 }, "quota"));
        EXPECT(lab_now(lab) <= lab->world.start + DAY);
        lab_run_until(lab, lab->world.start + DAY);
        EXPECT(verdict_is(lab, (QueryRequest){}, "ok"));
        EXPECT(verdict_is(lab, (QueryRequest){}, "ok"));
        EXPECT(verdict_is(lab, (QueryRequest){}, "quota"));
        EXPECT(lab_requests("s") == 4);
}

static void retry_after_holds_others_back(Lab *lab) {
        Reply reply;

        lab_source(lab, "s", BEHAVIOUR_TOO_MANY, 0, SETTINGS("Attempts=1"))->retry_after_s = 2;
        lab_start(lab);
        EXPECT(verdict_is(lab, (QueryRequest){}, "quota"));
        EXPECT(verdict_is(lab, (QueryRequest){ .deadline_ns = SECONDS(1) }, "quota"));
        EXPECT(lab_requests("s") == 1);
        becomes(lab, BEHAVIOUR_ANSWERS, 0);
        lab_ask_and_wait(lab, &reply, (QueryRequest){});
        EXPECT(strcmp(reply_verdict(&reply, "s"), "ok") == 0);
        EXPECT(reply.end - lab->world.start > SECONDS(2));
        reply_drop(&reply);
}

static void retry_after_holds_the_line_back(Lab *lab) {
        Reply replies[2];

        lab_source(lab, "s", BEHAVIOUR_TOO_MANY, MILLISECONDS(100),
                   SETTINGS("Attempts=1", "Concurrency=1"))
                        ->retry_after_s = 2;
        lab_start(lab);
        lab_ask(lab, &replies[0], (QueryRequest){});
        lab_ask(lab, &replies[1], (QueryRequest){});
        reply_wait(&replies[0]);
        becomes(lab, BEHAVIOUR_ANSWERS, 0);
        reply_wait(&replies[1]);
        EXPECT(strcmp(reply_verdict(&replies[1], "s"), "ok") == 0);
        EXPECT(replies[1].end - replies[0].end >= SECONDS(2));
        drop_all(replies, 2);
}

/* ---- hedges ---- */

static uint64_t start_slow(Lab *lab, Behaviour behaviour) {
        SourceScript *script =
                        lab_source(lab, "s", behaviour, 0, SETTINGS("Attempts=1", "Percentile=50"));

        script->past_answers = 40;
        script->past_ns = MILLISECONDS(10);
        lab_start(lab);
        return fetch_hedge_delay(lab_find(lab, "s"));
}

static void hedge_answers_first(Lab *lab) {
        uint64_t delay = start_slow(lab, BEHAVIOUR_NEVER);
        Reply reply;

        lab_ask(lab, &reply, (QueryRequest){});
        lab_run(lab, delay / 2);
        becomes(lab, BEHAVIOUR_ANSWERS, 0);
        reply_wait(&reply);
        EXPECT(strcmp(reply_verdict(&reply, "s"), "ok") == 0);
        EXPECT(reply.end - reply.start < delay + MILLISECONDS(5));
        EXPECT(lab_requests("s") == 2 && counted(lab, COUNTER_HEDGES_WON) == 1);
        reply_drop(&reply);
}

/* The deadline comes first when both come at once, and a nanosecond is no time for a hedge. */
static void hedge_at_the_deadline(Lab *lab) {
        uint64_t delay = start_slow(lab, BEHAVIOUR_NEVER);

        for (uint64_t deadline = delay - 1; deadline <= delay + 1; deadline++) {
                Reply reply;
                lab_ask_and_wait(lab, &reply, (QueryRequest){ .deadline_ns = deadline });
                EXPECT(strcmp(reply_verdict(&reply, "s"), "late") == 0);
                EXPECT(reply.end - reply.start == deadline);
                reply_drop(&reply);
                lab_run(lab, SECONDS(20));
        }
        EXPECT(watch_fetch_count("s").extras == 0);
}

static void hedge_at_the_timeout(Lab *lab) {
        uint64_t delay = start_slow(lab, BEHAVIOUR_NEVER);

        for (uint64_t timeout = delay - 1; timeout <= delay + 1; timeout++) {
                lab->world.scenario.config->sources[0]->timeout = timeout;
                EXPECT(verdict_is(lab, (QueryRequest){}, "timeout"));
                lab_run(lab, SECONDS(20));
        }
        EXPECT(watch_fetch_count("s").firsts == 3);
}

/* ---- the budget ---- */

static void budget_exhausted(Lab *lab) {
        Reply replies[5];

        start_with(lab, BEHAVIOUR_STATUS, MILLISECONDS(1),
                   SETTINGS("Attempts=10", "Failures=0", "BackoffSec=0"));
        for (unsigned i = 0; i < 5; i++)
                lab_ask(lab, &replies[i], (QueryRequest){});
        EXPECT(count_verdicts(replies, 5, "http") == 5);
        EXPECT(lab_requests("s") == 5 + 3);
        ask_often(lab, 5); /* a fifth of ten is less than three */
        EXPECT(lab_requests("s") == 10 + 3);
        lab_run(lab, SECONDS(10));
        ask_often(lab, 1);
        EXPECT(lab_requests("s") == 11 + 6);
        ask_often(lab, 99);
        EXPECT(watch_fetch_count("s").extras == 3 + 20);
        EXPECT(counted(lab, COUNTER_BUDGET_REFUSED) > 0);
        drop_all(replies, 5);
}

/* ---- flights ---- */

static void followers_are_left_alone(Lab *lab) {
        Reply replies[3];

        start_with(lab, BEHAVIOUR_ANSWERS, SECONDS(1), SETTINGS("Attempts=1"));
        for (unsigned i = 0; i < 3; i++)
                lab_ask(lab, &replies[i], (QueryRequest){ .question = QUESTION });
        lab_run(lab, MILLISECONDS(500));
        reply_withdraw(&replies[0]);
        EXPECT(count_verdicts(replies + 1, 2, "ok") == 2);
        EXPECT(lab_requests("s") == 1 && counted(lab, COUNTER_SHARED) == 2);
        drop_all(replies, 3);
}

static void followers_with_other_deadlines(Lab *lab) {
        Reply replies[2];

        start_with(lab, BEHAVIOUR_ANSWERS, SECONDS(1), SETTINGS("Attempts=1"));
        lab_ask(lab, &replies[0],
                (QueryRequest){ .question = QUESTION, .deadline_ns = MILLISECONDS(500) });
        lab_ask(lab, &replies[1], (QueryRequest){ .question = QUESTION });
        EXPECT(count_verdicts(replies, 1, "late") == 1);
        EXPECT(count_verdicts(replies + 1, 1, "ok") == 1);
        EXPECT(lab_requests("s") == 1);
        drop_all(replies, 2);
}

static void the_last_follower_takes_it_along(Lab *lab) {
        Reply replies[2];

        start_with(lab, BEHAVIOUR_ANSWERS, SECONDS(1), SETTINGS("Attempts=1"));
        for (unsigned i = 0; i < 2; i++)
                lab_ask(lab, &replies[i], (QueryRequest){ .question = QUESTION });
        lab_run(lab, MILLISECONDS(500));
        reply_withdraw(&replies[0]);
        reply_withdraw(&replies[1]);
        EXPECT(lab_find(lab, "s")->in_flight == 0);
}

static void late_answer_is_harvested(Lab *lab) {
        const QueryRequest soon = { .question = QUESTION, .deadline_ns = SECONDS(1) };

        start_with(lab, BEHAVIOUR_ANSWERS, SECONDS(2), SETTINGS("Attempts=1"));
        EXPECT(verdict_is(lab, soon, "late"));
        lab_run(lab, SECONDS(2));
        EXPECT(origin_is(lab, soon, "cache"));
        EXPECT(lab_requests("s") == 1 && counted(lab, COUNTER_HARVESTED) == 1);
}

/* Required r is cancelled first; with it gone, a's answer would be enough for the quorum. */
static void withdrawing_reaches_no_quorum(Lab *lab) {
        Reply reply;

        lab_source(lab, "r", BEHAVIOUR_NEVER, 0, SETTINGS("Class=required", "Priority=2"));
        lab_source(lab, "a", BEHAVIOUR_ANSWERS, 0, SETTINGS("Priority=1"));
        lab_source(lab, "s", BEHAVIOUR_NEVER, 0, SETTINGS("Attempts=1"));
        lab_start(lab);
        lab_ask(lab, &reply, (QueryRequest){ .quorum = 1 });
        lab_run(lab, MILLISECONDS(100));
        reply_withdraw(&reply);
        EXPECT(query_engine_counters(lab->world.queries).alone == 0);
        EXPECT(lab_find(lab, "s")->in_flight == 0);
}

static void quorum_leaves_others_to_the_cache(Lab *lab) {
        const QueryRequest request = { .question = QUESTION, .quorum = 1 };

        lab_source(lab, "s", BEHAVIOUR_ANSWERS, SECONDS(1), SETTINGS("Attempts=1"));
        lab_source(lab, "a", BEHAVIOUR_ANSWERS, 0, SETTINGS("Attempts=1"));
        lab_start(lab);
        EXPECT(verdict_is(lab, request, "late"));
        lab_run(lab, SECONDS(2));
        EXPECT(origin_is(lab, (QueryRequest){ .question = QUESTION, .quorum = 2 }, "cache"));
        EXPECT(lab_requests("s") == 1);
}

/* ---- the cache ---- */

/* When the answer came that is kept. */
static uint64_t kept_since(const Lab *lab) {
        const CacheEntry *entry = LIST_FIRST(&lab->world.queries->cache.used, CacheEntry, node);

        EXPECT(entry);
        return entry->finding->arrived;
}

static void fresh_to_the_nanosecond(Lab *lab) {
        const QueryRequest same = { .question = QUESTION };

        start_with(lab, BEHAVIOUR_ANSWERS, 0, SETTINGS("TTLSec=10"));
        EXPECT(origin_is(lab, same, "live"));
        uint64_t end = kept_since(lab) + SECONDS(10);
        lab_run_until(lab, end - 1);
        EXPECT(origin_is(lab, same, "cache"));
        lab_run_until(lab, end);
        EXPECT(origin_is(lab, same, "live"));
}

static void stale_while_one_is_fetched(Lab *lab) {
        const QueryRequest same = { .question = QUESTION };

        start_with(lab, BEHAVIOUR_ANSWERS, MILLISECONDS(50),
                   SETTINGS("TTLSec=10", "StaleWhileRevalidateSec=5"));
        EXPECT(origin_is(lab, same, "live"));
        lab_run_until(lab, kept_since(lab) + SECONDS(10));
        EXPECT(origin_is(lab, same, "stale"));
        EXPECT(origin_is(lab, same, "stale"));
        lab_run(lab, SECONDS(1));
        EXPECT(origin_is(lab, same, "cache"));
        EXPECT(lab_requests("s") == 2);
        lab_run_until(lab, kept_since(lab) + SECONDS(15));
        EXPECT(origin_is(lab, same, "live"));
}

static void stale_when_it_fails(Lab *lab) {
        const QueryRequest same = { .question = QUESTION };

        start_with(lab, BEHAVIOUR_ANSWERS, 0,
                   SETTINGS("Attempts=1", "TTLSec=10", "StaleIfErrorSec=5"));
        EXPECT(origin_is(lab, same, "live"));
        becomes(lab, BEHAVIOUR_STATUS, 0);
        uint64_t end = kept_since(lab) + SECONDS(15);
        lab_run_until(lab, end - MILLISECONDS(100));
        EXPECT(origin_is(lab, same, "stale"));
        lab_run_until(lab, end);
        EXPECT(origin_is(lab, same, ""));
}

static void failures_are_not_kept(Lab *lab) {
        const QueryRequest same = { .question = QUESTION };

        start_with(lab, BEHAVIOUR_BROKEN_JSON, 0, SETTINGS("Attempts=1"));
        lab->world.scenario.sources[0].format = FORMAT_JSON;
        EXPECT(verdict_is(lab, same, "decode"));
        EXPECT(verdict_is(lab, same, "decode"));
        becomes(lab, BEHAVIOUR_STATUS, 0);
        EXPECT(verdict_is(lab, same, "http"));
        EXPECT(query_engine_counters(lab->world.queries).cache_entries == 0);
        EXPECT(lab_requests("s") >= 3);
}

/* A worker reads a kept answer once more while the cache is emptied. */
static void flushed_for_good(Lab *lab) {
        Reply reply;

        start_with(lab, BEHAVIOUR_ANSWERS, 0, SETTINGS("Engine=spin", "SpinSec=1"));
        EXPECT(origin_is(lab, (QueryRequest){ .question = QUESTION, .max_passages = 5 }, "live"));
        lab_ask(lab, &reply, (QueryRequest){ .question = QUESTION, .max_passages = 7 });
        lab_run(lab, MILLISECONDS(500));
        EXPECT(reply.query && query_engine_flush_cache(lab->world.queries) == 1);
        reply_wait(&reply);
        EXPECT(strcmp(reply_origin(&reply, "s"), "cache") == 0);
        EXPECT(query_engine_counters(lab->world.queries).cache_entries == 0);
        reply_drop(&reply);
}

/* The older of two answers is read last. */
static void the_newer_answer_stays(Lab *lab) {
        Reply blocking, older, newer;

        lab->world.scenario.workers = 1;
        start_with(lab, BEHAVIOUR_ANSWERS, 0, SETTINGS("Engine=spin", "SpinSec=1"));
        lab_ask(lab, &blocking, (QueryRequest){});
        lab_run(lab, MILLISECONDS(100));
        lab_ask(lab, &older, (QueryRequest){ .question = QUESTION, .batch = true });
        lab_run(lab, MILLISECONDS(100));
        uint64_t between = lab_now(lab);
        lab_ask(lab, &newer, (QueryRequest){ .question = QUESTION, .cache = QUERY_CACHE_BYPASS });
        reply_wait(&newer);
        EXPECT(older.query);
        reply_wait(&older);
        const CacheEntry *last = LIST_ENTRY(lab->world.queries->cache.used.prev, CacheEntry, node);
        EXPECT(strstr(last->finding->key, QUESTION) && last->finding->arrived > between);
        reply_drop(&blocking);
        reply_drop(&older);
        reply_drop(&newer);
}

/* ---- substitutes ---- */

static void a_disabled_source_stands_in_for_none(Lab *lab) {
        lab_source(lab, "s", BEHAVIOUR_UNREACHABLE, 0, SETTINGS("Attempts=1", "Source=t"));
        lab_source(lab, "t", BEHAVIOUR_ANSWERS, 0, SETTINGS("Enabled=no"));
        lab_start(lab);
        EXPECT(origin_is(lab, (QueryRequest){}, ""));
        EXPECT(lab_requests("t") == 0);
}

static void no_substitute_is_asked_for_the_cache_only(Lab *lab) {
        static const char *const names[] = { "s" };
        QueryRequest request = { .sources = names, .n_sources = 1, .cache = QUERY_CACHE_ONLY };

        lab_source(lab, "s", BEHAVIOUR_LACKS_VALUE, 0, SETTINGS("Source=t"));
        lab_source(lab, "t", BEHAVIOUR_ANSWERS, 0, SETTINGS("Attempts=1"));
        lab_start(lab);
        EXPECT(origin_is(lab, request, ""));
        EXPECT(lab_requests("t") == 0);
        request.cache = QUERY_CACHE_USE;
        EXPECT(origin_is(lab, request, "fallback"));
        EXPECT(lab_requests("t") == 1);
}

/* ---- limits ---- */

static void two_at_a_time(Lab *lab) {
        Reply replies[10];
        uint64_t start;

        start_with(lab, BEHAVIOUR_ANSWERS, SECONDS(1), SETTINGS("Concurrency=2", "TimeoutSec=30"));
        start = lab_now(lab);
        for (unsigned i = 0; i < 10; i++)
                lab_ask(lab, &replies[i], (QueryRequest){ .batch = i % 2 == 0 });
        EXPECT(count_verdicts(replies, 10, "ok") == 10);
        for (unsigned i = 1; i < 10; i += 2) /* who was there first had gone in */
                EXPECT(i == 1 || replies[0].end < replies[i].end + MILLISECONDS(10));
        EXPECT(lab_now(lab) - start < SECONDS(6));
        drop_all(replies, 10);
}

/* Requests that all wait for one place keep their distance when they get it. */
static void distance_behind_another_limit(Lab *lab) {
        static const char *const names[] = { "a", "s" };
        Reply replies[4];

        lab->world.scenario.config->max_concurrent = 1;
        lab_source(lab, "s", BEHAVIOUR_ANSWERS, 0, SETTINGS("MinIntervalSec=0.1"));
        lab_source(lab, "a", BEHAVIOUR_ANSWERS, SECONDS(1), SETTINGS("Attempts=1"));
        lab_start(lab);
        lab_ask(lab, &replies[0], (QueryRequest){ .sources = names, .n_sources = 1 });
        lab_run(lab, MILLISECONDS(10));
        for (unsigned i = 1; i < 4; i++)
                lab_ask(lab, &replies[i], (QueryRequest){ .sources = names + 1, .n_sources = 1 });
        lab_run(lab, MILLISECONDS(500));
        reply_withdraw(&replies[1]);
        EXPECT(count_verdicts(replies + 2, 2, "ok") == 2);
        EXPECT(replies[3].end - replies[2].end > MILLISECONDS(90));
        drop_all(replies, 4);
}

static void too_many_queries(Lab *lab) {
        Reply replies[3];

        lab->world.scenario.config->max_queries = 2;
        start_with(lab, BEHAVIOUR_ANSWERS, SECONDS(1), SETTINGS("Attempts=1"));
        for (unsigned i = 0; i < 3; i++)
                lab_ask(lab, &replies[i], (QueryRequest){});
        EXPECT(replies[1].refusal == QUERY_ACCEPTED);
        EXPECT(replies[2].refusal == QUERY_OVERLOADED && replies[2].refused.retry_after_ms > 0);
        EXPECT(count_verdicts(replies, 2, "ok") == 2);
        EXPECT(verdict_is(lab, (QueryRequest){}, "ok"));
        drop_all(replies, 3);
}

/* ---- the table ---- */

#define CASE(function) \
        { #function, function }

static const struct {
        const char *name;
        void (*run)(Lab *lab);
} cases[] = {
        CASE(fifth_failure_opens),
        CASE(failures_count_in_a_row),
        CASE(retries_open_it),
        CASE(open_to_the_nanosecond),
        CASE(one_probe_of_a_thousand),
        CASE(line_before_an_open_breaker),
        CASE(probe_lost_with_its_query),
        CASE(probe_outlives_its_query),
        CASE(dead_network_opens_none),
        CASE(a_year_later),
        CASE(quota_over_midnight),
        CASE(retry_after_holds_others_back),
        CASE(retry_after_holds_the_line_back),
        CASE(hedge_answers_first),
        CASE(hedge_at_the_deadline),
        CASE(hedge_at_the_timeout),
        CASE(budget_exhausted),
        CASE(followers_are_left_alone),
        CASE(followers_with_other_deadlines),
        CASE(the_last_follower_takes_it_along),
        CASE(late_answer_is_harvested),
        CASE(withdrawing_reaches_no_quorum),
        CASE(quorum_leaves_others_to_the_cache),
        CASE(fresh_to_the_nanosecond),
        CASE(stale_while_one_is_fetched),
        CASE(stale_when_it_fails),
        CASE(failures_are_not_kept),
        CASE(flushed_for_good),
        CASE(the_newer_answer_stays),
        CASE(a_disabled_source_stands_in_for_none),
        CASE(no_substitute_is_asked_for_the_cache_only),
        CASE(two_at_a_time),
        CASE(distance_behind_another_limit),
        CASE(too_many_queries),
};

static unsigned run_cases(const char *name) {
        unsigned n = 0;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                if (name && strcmp(name, cases[i].name) != 0)
                        continue;
                report_case(cases[i].name);
                Lab *lab = lab_new();
                cases[i].run(lab);
                lab_free(lab);
                printf("ok - %s\n", cases[i].name);
                n++;
        }
        return n;
}

int main(int argc, char *argv[]) {
        static const struct option known[] = { { "verbose", no_argument, NULL, 'v' }, {} };
        bool verbose = getopt_long(argc, argv, "", known, NULL) == 'v';

        log_open("sim-rules", verbose ? LOG_TARGET_STDERR : LOG_TARGET_NULL, LOG_DEBUG);
        report_init(argv[0], NULL, verbose);
        if (process_init() < 0)
                return 1;
        if (run_cases(argv[optind]) == 0) {
                fprintf(stderr, "usage: %s [--verbose] [CASE]\n", argv[0]);
                return 2;
        }
        process_deinit();
        return 0;
}
