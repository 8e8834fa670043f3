/* SPDX-License-Identifier: Apache-2.0 */

/* What an attempt teaches about its source: health to the breaker, whose fault a failure is, and
 * how long it takes. */

#include "clock.h"
#include "fetch-internal.h"

static bool is_server_error(const Attempt *attempt) {
        return attempt->responded && attempt->head.status >= 500;
}

static bool breaker_counts(const Attempt *attempt) {
        return verdict_breaker_failure(attempt->verdict) || is_server_error(attempt);
}

/* It works, even if it did not give what was asked for. A connection that broke says neither that
 * nor the contrary, and 429 speaks of us. */
static bool shows_health(const Attempt *attempt) {
        int status = attempt->head.status;

        if (!attempt->responded || attempt->verdict == VERDICT_QUOTA)
                return false;
        return attempt->verdict != VERDICT_HTTP || status < 200 || status > 299;
}

static void breaker_tell(const Fetch *fetch, Source *source, BreakerChange change) {
        const FetchContext *context = fetch->context;

        if (change == BREAKER_HAS_OPENED)
                source_count(source, COUNTER_BREAKER_OPENED);
        if (change != BREAKER_UNCHANGED && context->breaker_changed)
                context->breaker_changed(context->userdata, source);
}

/* A response has shown whose fault the failures were that were not counted against anybody. */
static void blame_settle(const Fetch *fetch, BlameVerdict verdict, uint64_t now) {
        const SourceTable *table = fetch->context->sources;

        for (size_t i = 0; verdict != BLAME_NONE && i < table->count; i++) {
                Source *source = table->sources[i];

                if (verdict == BLAME_SOURCES)
                        breaker_tell(fetch, source,
                                     breaker_open_deferred(
                                                     &source->breaker, &source->breaker_policy, now));
                else if (source->network_failures)
                        breaker_forgive(&source->breaker);
                source->network_failures = false;
        }
}

static void breaker_learn(Fetch *fetch, const Attempt *attempt) {
        uint64_t now = attempt->end;
        Source *source = fetch->source;
        Blame *blame = &fetch->context->blame;
        /* Maybe: a simulated failure is nobody's network. */
        bool ours = (attempt->verdict == VERDICT_DNS || attempt->verdict == VERDICT_CONNECT) &&
                        source->url.scheme != URL_SIMULATE;

        if (breaker_counts(attempt)) {
                if (!attempt->responded) {
                        blame_failure(blame, source->origin, ours, now);
                        source->network_failures |= ours;
                }
                breaker_tell(fetch, source,
                             breaker_failure(&source->breaker, &source->breaker_policy,
                                             attempt->ticket, now,
                                             ours && blame_suspects_network(blame, now)));
        } else if (shows_health(attempt)) {
                source->network_failures = false;
                breaker_tell(fetch, source, breaker_success(&source->breaker, attempt->ticket, now));
        } else
                breaker_abandon(&source->breaker, attempt->ticket);
        if (attempt->responded)
                blame_settle(fetch, blame_response(blame, source->origin, now), now);
}

void fetch_learn(Fetch *fetch, const Attempt *attempt) {
        if (attempt->verdict == VERDICT_TIMEOUT || verdict_answered(attempt->verdict))
                latency_add(&fetch->source->latency, time_sub(attempt->end, attempt->start));
        breaker_learn(fetch, attempt);
}

/* How long it took at least has to be known, or the quantiles would be those of the fast ones
 * alone; before the median it says nothing. */
void fetch_learn_withdrawn(Fetch *fetch, const Attempt *attempt) {
        Latency *latency = &fetch->source->latency;
        uint64_t took = time_sub(attempt->end, attempt->start);

        if (latency_trusted(latency) && took >= latency_least(latency, .5))
                latency_add(latency, took);
        breaker_abandon(&fetch->source->breaker, attempt->ticket);
}
