/* SPDX-License-Identifier: Apache-2.0 */

/* Whether a request may be sent, as far as that can be said without waiting, and in which words it
 * is refused. Decides nothing about what comes next. */

#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"
#include "clock.h"
#include "fetch-internal.h"
#include "parse.h"

/* What is known of a source's speed keeps it from being asked for so long. */
#define KNOWN_FOR (10 * NSEC_PER_SEC)

uint64_t fetch_room(const Fetch *fetch, uint64_t now) {
        return time_sub(MIN(fetch->deadline, fetch->give_up), now);
}

/* A source that has not been asked for a while is asked all the same: it may have become faster,
 * and nobody would learn of it otherwise. */
bool fetch_too_late(const Fetch *fetch, uint64_t now, uint64_t pause) {
        const Source *source = fetch->source;
        uint64_t room = fetch_room(fetch, now);
        bool known = latency_trusted(&source->latency) && time_sub(now, source->asked_at) < KNOWN_FOR;

        return room <= pause || (known && room - pause < latency_least(&source->latency, .5));
}

static char *text_too_late(const Fetch *fetch, uint64_t now) {
        char left[DURATION_TEXT_MAX], median[DURATION_TEXT_MAX], *text = NULL;

        int r =
                        asprintf(&text, "%s are left, and half of its answers take %s or more",
                                 format_about(left, fetch_room(fetch, now)),
                                 format_about(median, latency_least(&fetch->source->latency, .5)));
        return r < 0 ? NULL : text;
}

static char *text_breaker_open(const Source *source, uint64_t now) {
        char left[DURATION_TEXT_MAX], *text = NULL;
        int r;

        if (source->breaker.force == BREAKER_FORCED_OPEN)
                r = asprintf(&text, "its breaker is held open");
        else if (breaker_open_left(&source->breaker, now) == 0)
                r = asprintf(&text, "its breaker is half open and the probe is under way");
        else
                r = asprintf(&text, "its breaker is open for another %s",
                             format_about(left, breaker_open_left(&source->breaker, now)));
        return r < 0 ? NULL : text;
}

bool fetch_refused(const Fetch *fetch, uint64_t now, Refusal *ret) {
        Source *source = fetch->source;
        uint64_t hold = time_sub(source->hold_until, now);
        char text[DURATION_TEXT_MAX];
        int r = 0;

        *ret = (Refusal){};
        if (!breaker_would_admit(&source->breaker, &source->breaker_policy, now))
                *ret = (Refusal){ VERDICT_BREAKER_OPEN, STAGE_BREAKER,
                                  text_breaker_open(source, now) };
        else if (hold > 0 && fetch_too_late(fetch, now, hold)) {
                *ret = (Refusal){ VERDICT_QUOTA, STAGE_QUOTA, NULL };
                r = asprintf(&ret->text, "it answered 429 and wants no request for another %s",
                             format_about(text, hold));
        } else if (source->config->daily > 0 &&
                   source_daily_left(source, io_unix_ms(fetch_io(fetch))) == 0) {
                *ret = (Refusal){ VERDICT_QUOTA, STAGE_QUOTA, NULL };
                r = asprintf(&ret->text, "Daily=%llu is used up until midnight UTC",
                             (unsigned long long) source->config->daily);
        } else if (fetch_too_late(fetch, now, 0))
                *ret = (Refusal){ VERDICT_SHED, STAGE_QUEUE, text_too_late(fetch, now) };
        else
                return false;
        if (r < 0)
                ret->text = NULL;
        return true;
}

void fetch_refuse(Fetch *fetch, Refusal *refusal) {
        FetchOutcome *outcome = &fetch->outcome;
        uint64_t now = io_now(fetch_io(fetch));
        const char *text = refusal->text ? refusal->text : verdict_help(refusal->verdict);

        if (refusal->verdict == VERDICT_BREAKER_OPEN)
                source_count(fetch->source, COUNTER_BREAKER_REFUSED);
        else if (refusal->verdict == VERDICT_QUOTA)
                source_count(fetch->source, COUNTER_QUOTA_REFUSED);
        if (refusal->stage != STAGE_QUEUE)
                story_add(&outcome->story, refusal->stage, outcome->attempts, now, now);
        if (outcome->attempts > 0)
                outcome_add_note(outcome, text);
        else
                outcome_fail(outcome, refusal->verdict, "%s", text);
        free(TAKE_PTR(refusal->text));
}

bool fetch_rate_too_slow(const Fetch *fetch, uint64_t now, Refusal *ret) {
        char wait[DURATION_TEXT_MAX];
        uint64_t pause = time_sub(gate_earliest(&fetch->source->gate, fetch->batch), now);

        if (pause == 0 || !fetch_too_late(fetch, now, pause))
                return false;
        *ret = (Refusal){ VERDICT_SHED, STAGE_QUEUE, NULL };
        if (asprintf(&ret->text, "its rate allows the next request in %s",
                     format_about(wait, pause)) < 0)
                ret->text = NULL;
        return true;
}

bool fetch_take_quota(const Fetch *fetch) {
        const FetchContext *context = fetch->context;
        Source *source = fetch->source;

        if (source->config->daily == 0)
                return true;
        if (!daily_take(&source->daily, source->config->daily, io_unix_ms(fetch_io(fetch))))
                return false;
        if (context->quota_changed)
                context->quota_changed(context->userdata);
        return true;
}

bool fetch_breaker_refuses(const Fetch *fetch, uint64_t now, uint64_t pause, Refusal *ret) {
        const Source *source = fetch->source;
        uint64_t then = time_add(now, pause);

        if (breaker_state(&source->breaker, then) != BREAKER_OPEN ||
            breaker_would_admit(&source->breaker, &source->breaker_policy, then))
                return false;
        *ret = (Refusal){ VERDICT_BREAKER_OPEN, STAGE_BREAKER, text_breaker_open(source, now) };
        return true;
}
