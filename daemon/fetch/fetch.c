/* SPDX-License-Identifier: Apache-2.0 */

/*            ┌────────────────────── pause over ──────────────────────┐
 *            ▼                                                        │
 *     (start) ──▶ IN_LINE ──granted──▶ TRYING ──failed, transient──▶ PAUSING
 *                    │                   │ answered, failed for good      │
 *                    └── refused ──▶ ENDED ◀──────────────────────────────┘
 *
 * Leave is asked for twice: fetch_next() looks before it joins the line, so that what cannot be is
 * said at once, and fetch_launch() takes it at the moment when the attempt begins, since a breaker
 * may have opened while it waited (fetch-leave.c).
 *
 * An attempt's end is told in attempt_settle(), the one place from which breaker, blame, latency
 * and places learn of it (fetch-learn.c); whether the fetch goes on is decided in
 * on_attempt_done(). */

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "clock.h"
#include "fetch-internal.h"
#include "parse.h"
#include "retry.h"

/* A source that answers 429 is believed for so long at most. */
#define HOLD_MAX (3600 * NSEC_PER_SEC)
/* A probe whose end is never told keeps others away for its time and that much more. */
#define LEASE_SLACK NSEC_PER_SEC

/* ---- the end ---- */

static void places_leave(Fetch *fetch, Attempt *attempt, bool unused) {
        gate_leave(&fetch->context->gate, &attempt->all, unused);
        gate_leave(&fetch->source->gate, &attempt->own, unused);
}

static void attempt_withdraw(Fetch *fetch, Attempt *attempt);

static void fetch_stop(Fetch *fetch) {
        fetch->state = FETCH_ENDED;
        io_timer_cancel(fetch_io(fetch), &fetch->timer);
        io_timer_cancel(fetch_io(fetch), &fetch->pause);
        io_unpost(&fetch->begin);
        attempt_withdraw(fetch, &fetch->first);
        attempt_clear(&fetch->first);
        if (fetch->hedge) {
                attempt_withdraw(fetch, fetch->hedge);
                attempt_clear(fetch->hedge);
                free(TAKE_PTR(fetch->hedge));
        }
}

static void fetch_finish(Fetch *fetch) {
        fetch_stop(fetch);
        fetch->done(fetch);
}

/* The attempt has ended; the one place from which everybody learns of it. */
static void attempt_settle(Fetch *fetch, Attempt *attempt) {
        fetch->source->bytes += attempt->bytes;
        places_leave(fetch, attempt, /* unused= */ false);
        attempt_tell(attempt, &fetch->outcome.story, attempt->end);
        fetch_learn(fetch, attempt);
}

/* Of one that is still running, in line, or has ended: nobody waits for it any more. */
static void attempt_withdraw(Fetch *fetch, Attempt *attempt) {
        if (attempt->running) {
                attempt_cancel(attempt);
                attempt_tell(attempt, &fetch->outcome.story, attempt->end);
                fetch_learn_withdrawn(fetch, attempt);
        }
        places_leave(fetch, attempt, /* unused= */ attempt->start == 0);
}

/* ---- beginning an attempt ---- */

/* The source has answered 429 to somebody: waits until it wants requests again. */
static bool fetch_hold_back(Fetch *fetch, uint64_t now) {
        if (fetch->source->hold_until <= now)
                return false;
        fetch->state = FETCH_PAUSING;
        fetch->waiting_since = now;
        return io_timer_set(fetch_io(fetch), &fetch->pause, fetch->source->hold_until) >= 0;
}

static void on_attempt_done(Attempt *attempt);

uint64_t fetch_attempt_timeout(const Source *source) {
        const SourceConfig *config = source->config;
        uint64_t most = config->attempt_timeout ? MIN(config->attempt_timeout, config->timeout) :
                                                  config->timeout;

        if (!config->adaptive_timeout || !latency_trusted(&source->latency))
                return most;
        return MIN(most, 2 * latency_quantile(&source->latency, .95));
}

uint64_t fetch_hedge_delay(const Source *source) {
        if (source->config->hedge_percentile == 0 || !latency_trusted(&source->latency))
                return 0;
        return latency_quantile(&source->latency, (double) source->config->hedge_percentile / 100);
}

static void attempt_prepare(Fetch *fetch, Attempt *attempt) {
        attempt->context = &fetch->context->attempt;
        attempt->source = fetch->source;
        attempt->request = fetch->request;
        attempt->request_size = fetch->request_size;
        attempt->timeout_ns = fetch_attempt_timeout(fetch->source);
        attempt->done = on_attempt_done;
        attempt->start = 0;
        attempt->own.batch = attempt->all.batch = fetch->batch;
        attempt->own.priority = attempt->all.priority = (int) fetch->source->config->priority;
}

/* Places are held. Takes what is counted by the request and sends it: 0, or why not. */
static int attempt_launch(Fetch *fetch, Attempt *attempt, uint64_t now) {
        Source *source = fetch->source;

        if (!breaker_admit(&source->breaker, &source->breaker_policy, now,
                           attempt->timeout_ns + LEASE_SLACK, &attempt->ticket))
                return -EAGAIN;
        if (!fetch_take_quota(fetch)) {
                breaker_abandon(&source->breaker, attempt->ticket);
                return -EAGAIN;
        }
        attempt->untimed = time_add(now, attempt->timeout_ns) >= fetch->deadline;
        attempt->number = ++fetch->outcome.attempts;
        int r = attempt_start(attempt);
        if (r < 0) {
                fetch->outcome.attempts--;
                if (source->config->daily > 0)
                        daily_return(&source->daily);
                breaker_abandon(&source->breaker, attempt->ticket);
                return r;
        }
        gate_begin(&source->gate, &attempt->own);
        source->asked_at = now;
        source_count(source, COUNTER_REQUESTS);
        return 0;
}

static void fetch_launch(Fetch *fetch, uint64_t now) {
        Source *source = fetch->source;
        uint64_t delay = fetch_hedge_delay(source);
        Refusal refusal;

        if (fetch->waiting_since < now)
                story_add(&fetch->outcome.story, STAGE_QUEUE, fetch->outcome.attempts + 1,
                          fetch->waiting_since, now);
        if (fetch_refused(fetch, now, &refusal)) {
                places_leave(fetch, &fetch->first, /* unused= */ true);
                fetch_refuse(fetch, &refusal);
                return fetch_finish(fetch);
        }
        if (fetch_hold_back(fetch, now)) /* since it joined the line */
                return places_leave(fetch, &fetch->first, /* unused= */ true);
        int r = attempt_launch(fetch, &fetch->first, now);
        if (r < 0) {
                places_leave(fetch, &fetch->first, /* unused= */ true);
                outcome_fail(&fetch->outcome, VERDICT_SHED,
                             "no memory or descriptor to start the request");
                return fetch_finish(fetch);
        }
        fetch->state = FETCH_TRYING;
        if (++fetch->tries == 1)
                retry_budget_request(&source->budget, now);
        else
                source_count(source, COUNTER_RETRIES);
        if (delay > 0 && !fetch->hedged)
                (void) io_timer_set(fetch_io(fetch), &fetch->pause, time_add(now, delay));
}

/* The second of the two gates. `queued`: it has stood in line at the first one. */
static void fetch_enter_all(Fetch *fetch, uint64_t now, bool queued) {
        int r = gate_enter(&fetch->context->gate, &fetch->first.all);

        if (r == 0)
                return fetch_launch(fetch, now);
        if (r == -EINPROGRESS) {
                if (!queued)
                        source_count(fetch->source, COUNTER_QUEUED);
                return;
        }
        places_leave(fetch, &fetch->first, /* unused= */ true);
        outcome_fail(&fetch->outcome, VERDICT_SHED,
                     "too many requests wait for a place among MaxConcurrent=");
        fetch_finish(fetch);
}

static void on_own_granted(GatePass *pass) {
        Fetch *fetch = CONTAINER_OF(pass, Fetch, first.own);

        fetch_enter_all(fetch, io_now(fetch_io(fetch)), /* queued= */ true);
}

static void on_all_granted(GatePass *pass) {
        Fetch *fetch = CONTAINER_OF(pass, Fetch, first.all);

        fetch_launch(fetch, io_now(fetch_io(fetch)));
}

/* On to an attempt. Ends the fetch when there cannot be one. */
static void fetch_next(Fetch *fetch, uint64_t now) {
        Refusal refusal;

        if (fetch_refused(fetch, now, &refusal) || fetch_rate_too_slow(fetch, now, &refusal)) {
                fetch_refuse(fetch, &refusal);
                return fetch_finish(fetch);
        }
        if (fetch_hold_back(fetch, now))
                return;
        attempt_prepare(fetch, &fetch->first);
        fetch->state = FETCH_IN_LINE;
        fetch->waiting_since = now;
        int r = gate_enter(&fetch->source->gate, &fetch->first.own);
        if (r == 0)
                return fetch_enter_all(fetch, now, /* queued= */ false);
        if (r == -EINPROGRESS)
                return source_count(fetch->source, COUNTER_QUEUED);
        outcome_fail(&fetch->outcome, VERDICT_SHED, "too many requests wait for their turn at it");
        fetch_finish(fetch);
}

/* ---- after an attempt ---- */

/* How long the source wants to be left alone, ns; 0: it did not say. */
static uint64_t retry_after(const Fetch *fetch, const Attempt *attempt) {
        const HttpHead *head = &attempt->head;

        if (head->retry_after_at > 0) {
                uint64_t now = io_unix_ms(fetch_io(fetch)) / 1000;
                uint64_t length = time_sub((uint64_t) head->retry_after_at, now);
                return MIN(length, (uint64_t) UINT32_MAX) * NSEC_PER_SEC;
        }
        return head->retry_after_s * NSEC_PER_SEC;
}

static void fetch_hold(Fetch *fetch, const Attempt *attempt) {
        Source *source = fetch->source;

        if (attempt->verdict != VERDICT_QUOTA)
                return;
        uint64_t length = MIN(retry_after(fetch, attempt), HOLD_MAX);
        if (length > 0)
                source->hold_until = MAX(source->hold_until, time_add(attempt->end, length));
}

/* After a failure that the outcome has taken over. True: there will be another attempt. */
static bool fetch_retry(Fetch *fetch, const Attempt *attempt) {
        const SourceConfig *config = fetch->source->config;
        Io *io = fetch_io(fetch);
        uint64_t now = io_now(io);
        Refusal refusal;

        if (!attempt->transient || fetch->tries >= config->attempts)
                return false;
        uint64_t pause =
                        retry_pause(config->backoff, config->backoff_max, fetch->tries,
                                    retry_after(fetch, attempt), io_random(io));
        if (fetch_breaker_refuses(fetch, now, pause, &refusal)) {
                fetch_refuse(fetch, &refusal);
                return false;
        }
        if (fetch_too_late(fetch, now, pause)) {
                if (fetch_room(fetch, now) > 0)
                        outcome_add_note(&fetch->outcome, "no time is left for that");
                return false;
        }
        if (!retry_budget_take(&fetch->source->budget, now)) {
                source_count(fetch->source, COUNTER_BUDGET_REFUSED);
                outcome_add_note(&fetch->outcome, "the source's budget of retries is used up");
                return false;
        }
        fetch->state = FETCH_PAUSING;
        fetch->waiting_since = now;
        return io_timer_set(io, &fetch->pause, time_add(now, pause)) >= 0;
}

/* The other attempt of a hedged pair, while it runs. */
static const Attempt *fetch_other(const Fetch *fetch, const Attempt *attempt) {
        const Attempt *other = attempt == &fetch->first ? fetch->hedge : &fetch->first;

        return other && other->running ? other : NULL;
}

/* The source's word, which the other attempt of a pair would only repeat. Not so what speaks of the
 * moment, of one connection, or of what is short here. */
static bool is_final(const Attempt *attempt) {
        return attempt->responded && !attempt->transient && attempt->verdict != VERDICT_SHED;
}

static void on_attempt_done(Attempt *attempt) {
        Fetch *fetch = attempt->userdata;

        io_timer_cancel(fetch_io(fetch), &fetch->pause);
        attempt_settle(fetch, attempt);
        fetch_hold(fetch, attempt);
        outcome_take(&fetch->outcome, attempt);
        if (verdict_answered(attempt->verdict) && attempt == fetch->hedge)
                source_count(fetch->source, COUNTER_HEDGES_WON);
        if (!is_final(attempt) && fetch_other(fetch, attempt))
                return;
        if (fetch_retry(fetch, attempt))
                attempt_clear(&fetch->first);
        else
                fetch_finish(fetch);
}

/* ---- the hedge ---- */

/* A hedge is worth something only if it begins now: it waits for no place, and it never probes a
 * breaker. */
static bool hedge_enter(Fetch *fetch, Attempt *hedge, uint64_t now) {
        Source *source = fetch->source;

        if (breaker_state(&source->breaker, now) != BREAKER_CLOSED || source->hold_until > now ||
            fetch_too_late(fetch, now, 0) || retry_budget_left(&source->budget, now) == 0)
                return false;
        return gate_try(&source->gate, &hedge->own) >= 0 &&
                        gate_try(&fetch->context->gate, &hedge->all) >= 0;
}

static void fetch_hedge(Fetch *fetch) {
        Source *source = fetch->source;
        uint64_t now = io_now(fetch_io(fetch));

        fetch->hedged = true;
        fetch->hedge = calloc(1, sizeof(*fetch->hedge));
        if (!fetch->hedge)
                return;
        attempt_prepare(fetch, fetch->hedge);
        fetch->hedge->userdata = fetch;
        if (!hedge_enter(fetch, fetch->hedge, now) || attempt_launch(fetch, fetch->hedge, now) < 0) {
                places_leave(fetch, fetch->hedge, /* unused= */ true);
                free(TAKE_PTR(fetch->hedge));
                return;
        }
        (void) retry_budget_take(&source->budget, now);
        source_count(source, COUNTER_HEDGES);
        story_add(&fetch->outcome.story, STAGE_HEDGE, fetch->hedge->number, now, now);
}

/* ---- times ---- */

static void on_pause_over(IoTimer *timer) {
        Fetch *fetch = CONTAINER_OF(timer, Fetch, pause);

        if (fetch->state == FETCH_TRYING)
                return fetch_hedge(fetch);
        uint64_t now = io_now(fetch_io(fetch));
        story_add(&fetch->outcome.story, STAGE_BACKOFF, fetch->outcome.attempts + 1,
                  fetch->waiting_since, now);
        fetch_next(fetch, now);
}

/* The wait that goes on. */
static void fetch_tell_wait(const Fetch *fetch, Story *story, uint64_t now) {
        if (fetch->state == FETCH_IN_LINE && fetch->waiting_since > 0)
                story_add(story, STAGE_QUEUE, fetch->outcome.attempts + 1, fetch->waiting_since, now);
        if (fetch->state == FETCH_PAUSING)
                story_add(story, STAGE_BACKOFF, fetch->outcome.attempts + 1, fetch->waiting_since,
                          now);
}

/* TimeoutSec is over. */
static void on_deadline(IoTimer *timer) {
        Fetch *fetch = CONTAINER_OF(timer, Fetch, timer);
        FetchOutcome *outcome = &fetch->outcome;
        Attempt *attempts[] = { &fetch->first, fetch->hedge };
        char text[DURATION_TEXT_MAX];

        fetch_tell_wait(fetch, &outcome->story, io_now(fetch_io(fetch)));
        format_duration(text, fetch->source->config->timeout);
        for (size_t i = 0; i < ELEMENTSOF(attempts); i++)
                if (attempts[i] && attempts[i]->running) {
                        attempt_cancel(attempts[i]);
                        attempts[i]->verdict = VERDICT_TIMEOUT;
                        attempt_settle(fetch, attempts[i]);
                        outcome_take(outcome, attempts[i]);
                        outcome_fail(outcome, VERDICT_TIMEOUT, "no response within %s", text);
                }
        if (outcome->attempts == 0)
                outcome_fail(outcome, VERDICT_SHED, "no place for it within %s", text);
        else if (fetch->state == FETCH_IN_LINE)
                outcome_add_note(outcome, "no place for it in time");
        fetch_finish(fetch);
}

/* In the turn in which it was started. */
static void on_begin(IoTask *task) {
        Fetch *fetch = CONTAINER_OF(task, Fetch, begin);

        fetch_next(fetch, fetch->start);
}

/* ---- start ---- */

int fetch_start(Fetch *fetch) {
        Io *io = fetch_io(fetch);

        fetch->start = io_now(io);
        fetch->deadline = time_add(fetch->start, fetch->source->config->timeout);
        fetch->timer.fire = on_deadline;
        fetch->pause.fire = on_pause_over;
        fetch->begin.run = on_begin;
        list_init(&fetch->begin.node);
        fetch->first.own.granted = on_own_granted;
        fetch->first.all.granted = on_all_granted;
        fetch->first.userdata = fetch;
        int r = io_timer_set(io, &fetch->timer, fetch->deadline);
        if (r < 0)
                return r;
        fetch->state = FETCH_IN_LINE;
        /* What can be told at once is told from the loop as everything is. */
        io_post(io, &fetch->begin);
        return 0;
}

void fetch_cancel(Fetch *fetch) {
        if (fetch->state != FETCH_ENDED)
                fetch_stop(fetch);
}

void fetch_deinit(Fetch *fetch) {
        fetch_cancel(fetch);
        fetch_outcome_deinit(&fetch->outcome);
}

bool fetch_under_way(const Fetch *fetch) {
        return fetch->state == FETCH_TRYING;
}

void fetch_look(const Fetch *fetch, FetchOutcome *ret) {
        const FetchOutcome *outcome = &fetch->outcome;
        const Attempt *running =
                        fetch->first.running ? &fetch->first : fetch_other(fetch, &fetch->first);
        uint64_t now = io_now(fetch_io(fetch));

        *ret = (FetchOutcome){
                .status = outcome->status,
                .bytes = outcome->bytes,
                .attempts = outcome->attempts,
                .start = running ? running->start : outcome->start,
                .end = running ? now : outcome->end,
        };
        story_copy(&ret->story, &outcome->story);
        fetch_tell_wait(fetch, &ret->story, now);
        if (fetch->first.running)
                attempt_tell(&fetch->first, &ret->story, now);
        if (fetch->hedge && fetch->hedge->running)
                attempt_tell(fetch->hedge, &ret->story, now);
}
