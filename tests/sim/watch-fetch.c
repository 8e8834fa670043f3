/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"
#include "clock.h"
#include "fetch.h"
#include "plant.h"
#include "report.h"
#include "watch-fetch.h"

#define SOURCES_MAX    64u
#define BUDGET_SECONDS 10u /* this one and the nine before */
#define DAY_MS         UINT64_C(86400000)

#define WRAPPED(type, name, ...)         \
        type __real_##name(__VA_ARGS__); \
        type __wrap_##name(__VA_ARGS__)

WRAPPED(int, attempt_start, Attempt *attempt);
WRAPPED(void, attempt_cancel, Attempt *attempt);
WRAPPED(void, retry_budget_request, RetryBudget *budget, uint64_t now);
WRAPPED(bool, retry_budget_take, RetryBudget *budget, uint64_t now);
WRAPPED(CacheHit, cache_find, Cache *cache, const char *key, uint64_t now);

/* Times, in order. */
typedef struct Log {
        uint64_t *times;
        size_t count;
} Log;

typedef struct SourceWatch {
        const Source *source;
        FetchCount count;
        unsigned running;
        unsigned probing;
        unsigned granted; /* retries and hedges, by the budget */
        Log starts;
        Log requests; /* as the budget is told of them */
        Log takes;
} SourceWatch;

static struct {
        World *world;
        SourceWatch sources[SOURCES_MAX];
        unsigned running;
        void (*done)(Attempt *attempt); /* the real one */
} watch;

static void log_add(Log *log, uint64_t time) {
        /* Powers of two: room is doubled. */
        if ((log->count & (log->count - 1)) == 0) {
                log->times = realloc(log->times, MAX(log->count * 2, (size_t) 1) * sizeof(uint64_t));
                assert(log->times);
        }
        log->times[log->count++] = time;
}

/* How many since then. */
static size_t log_since(const Log *log, uint64_t since) {
        size_t n = 0;

        while (n < log->count && log->times[log->count - 1 - n] >= since)
                n++;
        return n;
}

static void watch_clear(SourceWatch *source) {
        free(source->starts.times);
        free(source->requests.times);
        free(source->takes.times);
        *source = (SourceWatch){};
}

void watch_fetch_begin(World *world) {
        assert(world->sources->count <= SOURCES_MAX);
        watch.world = world;
        watch.running = 0;
        for (size_t i = 0; i < SOURCES_MAX; i++)
                watch_clear(&watch.sources[i]);
        for (size_t i = 0; i < world->sources->count; i++)
                watch.sources[i].source = world->sources->sources[i];
}

static SourceWatch *watch_of(const Source *source) {
        for (size_t i = 0; i < SOURCES_MAX; i++)
                if (watch.sources[i].source == source)
                        return &watch.sources[i];
        report_failure("a request to a source that is none");
}

static SourceWatch *watch_of_budget(const RetryBudget *budget) {
        return watch_of(CONTAINER_OF(budget, const Source, budget));
}

FetchCount watch_fetch_count(const char *name) {
        return watch_of(source_table_find(watch.world->sources, name))->count;
}

void watch_breaker_changed(void *userdata, const Source *source) {
        SourceWatch *seen = watch_of(source);

        seen->count.openings += source->breaker.opened;
}

/* ---- a request begins ---- */

static void check_places(const SourceWatch *seen) {
        const Source *source = seen->source;
        uint64_t own = source->config->concurrency;
        uint64_t all = watch.world->scenario.config->max_concurrent;

        DEMAND(source->config->enabled, "%s is asked, which is not enabled", source->name);
        DEMAND(own == 0 || seen->running <= own, "%u requests to %s, of Concurrency=%lu",
               seen->running, source->name, own);
        DEMAND(all == 0 || watch.running <= all, "%u requests, of MaxConcurrent=%lu", watch.running,
               all);
        DEMAND(seen->running == source->in_flight, "%u requests to %s, of which it knows %u",
               seen->running, source->name, source->in_flight);
}

static void check_number(const SourceWatch *seen, const Fetch *fetch, const Attempt *attempt) {
        uint64_t most = seen->source->config->attempts;
        bool hedge = attempt == fetch->hedge;

        DEMAND(fetch->outcome.attempts <= most + 1 && (hedge || fetch->tries < most),
               "request %u to %s, of Attempts=%lu", fetch->outcome.attempts, seen->source->name,
               most);
        DEMAND(!hedge || seen->source->config->hedge_percentile > 0,
               "%s is hedged, though nobody wants it", seen->source->name);
        /* A hedge is charged for once it is on its way. */
        DEMAND(seen->count.extras <= seen->granted + hedge,
               "%s gets a request more than its budget has granted", seen->source->name);
}

static void check_breaker(const SourceWatch *seen, const Attempt *attempt, uint64_t now) {
        const Source *source = seen->source;

        if (!source->breaker.opened)
                return;
        DEMAND(now >= source->breaker.open_until, "a request to %s, whose breaker is open",
               source->name);
        DEMAND(attempt->ticket.probe && seen->probing == 1, "%u probes to %s at a time",
               seen->probing, source->name);
}

static void check_rate(const SourceWatch *seen, uint64_t now) {
        const SourceConfig *config = seen->source->config;
        const Log *starts = &seen->starts;
        uint64_t period = config->rate.period_ns;
        uint64_t last = starts->count > 1 ? starts->times[starts->count - 2] : 0;

        DEMAND(now >= seen->source->hold_until,
               "a request to %s, which does not want any for another %.6f ms", seen->source->name,
               time_to_ms(seen->source->hold_until - now));
        DEMAND(last == 0 || now - last >= config->min_interval,
               "a request to %s %.6f ms after the last one", seen->source->name,
               time_to_ms(now - last));
        DEMAND(config->rate.count == 0 ||
                               log_since(starts, time_sub(now + 1, period)) <= 2 * config->rate.count,
               "%zu requests to %s within the period of its Rate=",
               log_since(starts, time_sub(now + 1, period)), seen->source->name);
}

static void check_day(const SourceWatch *seen, uint64_t now) {
        uint64_t daily = seen->source->config->daily;
        uint64_t today_ns = io_unix_ms(watch.world->io) % DAY_MS * NSEC_PER_MSEC;

        DEMAND(daily == 0 || log_since(&seen->starts, time_sub(now, today_ns)) <= daily,
               "more requests to %s than Daily=%lu", seen->source->name, daily);
}

static void on_done(Attempt *attempt);

static void attempt_begun(Attempt *attempt) {
        Fetch *fetch = attempt->userdata;
        SourceWatch *seen = watch_of(attempt->source);
        uint64_t now = io_now(watch.world->io);

        watch.done = attempt->done;
        attempt->done = on_done;
        watch.running++;
        seen->running++;
        seen->probing += attempt->ticket.probe;
        seen->count.probes += attempt->ticket.probe;
        if (fetch->tries == 0)
                seen->count.firsts++;
        else
                seen->count.extras++;
        log_add(&seen->starts, now);
        check_places(seen);
        check_number(seen, fetch, attempt);
        check_breaker(seen, attempt, now);
        check_rate(seen, now);
        check_day(seen, now);
}

int __wrap_attempt_start(Attempt *attempt) {
        int r = __real_attempt_start(attempt);

        if (r >= 0)
                attempt_begun(attempt);
        return r;
}

/* ---- and ends ---- */

static void attempt_ended(const Attempt *attempt) {
        SourceWatch *seen = watch_of(attempt->source);

        DEMAND(seen->running > 0, "a request to %s ends twice", seen->source->name);
        watch.running--;
        seen->running--;
        seen->probing -= attempt->ticket.probe;
}

static void on_done(Attempt *attempt) {
        attempt_ended(attempt);
        DEMAND(attempt->verdict != VERDICT_TIMEOUT ||
                               attempt->end - attempt->start == attempt->timeout_ns,
               "a request to %s timed out after %.6f ms instead of %.6f", attempt->source->name,
               time_to_ms(attempt->end - attempt->start), time_to_ms(attempt->timeout_ns));
        watch.done(attempt);
}

void __wrap_attempt_cancel(Attempt *attempt) {
        if (attempt->running)
                attempt_ended(attempt);
        __real_attempt_cancel(attempt);
}

/* ---- the budget ---- */

static size_t within_budget_window(const Log *log, uint64_t now) {
        uint64_t second = now / NSEC_PER_SEC;

        return log_since(log, time_sub(second + 1, BUDGET_SECONDS) * NSEC_PER_SEC);
}

void __wrap_retry_budget_request(RetryBudget *budget, uint64_t now) {
        log_add(&watch_of_budget(budget)->requests, now);
        __real_retry_budget_request(budget, now);
}

bool __wrap_retry_budget_take(RetryBudget *budget, uint64_t now) {
        SourceWatch *seen = watch_of_budget(budget);
        bool taken = __real_retry_budget_take(budget, now) || plant_ignores_budget();
        size_t most = MAX(within_budget_window(&seen->requests, now) / 5, (size_t) 3);

        if (!taken)
                return false;
        seen->granted++;
        log_add(&seen->takes, now);
        DEMAND(within_budget_window(&seen->takes, now) <= most,
               "%zu requests more than the first to %s within 10 s, where %zu may be",
               within_budget_window(&seen->takes, now), seen->source->name, most);
        return true;
}

/* ---- the cache ---- */

CacheHit __wrap_cache_find(Cache *cache, const char *key, uint64_t now) {
        CacheHit hit = __real_cache_find(cache, key, now);
        const Finding *finding = hit.finding;

        if (hit.state == CACHE_NOTHING)
                return hit;
        DEMAND(verdict_answered(finding->fetch.verdict), "a failure of %s comes out of the cache",
               finding->source->name);
        DEMAND(strcmp(finding->key, key) == 0, "the cache has the answer to something else");
        if (hit.state != CACHE_FRESH)
                return hit;
        const CacheControl *control = &finding->fetch.cache;
        uint64_t fresh = control->has_max_age ? control->max_age_s * NSEC_PER_SEC :
                                                finding->source->freshness.ttl_ns;
        DEMAND(now - finding->arrived < fresh, "an answer of %s is fresh after %.6f ms",
               finding->source->name, time_to_ms(now - finding->arrived));
        return hit;
}
