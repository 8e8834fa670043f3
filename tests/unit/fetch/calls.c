/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "macro.h"

#define REQUEST "GET /why HTTP/1.1\r\nHost: x\r\n\r\n"

static unsigned n_ended;

int calls_setup(void **state) {
        n_ended = 0;
        return world_setup(state);
}

int calls_teardown(void **state) {
        return world_teardown(state);
}

static void on_done(Fetch *fetch) {
        Call *call = CONTAINER_OF(fetch, Call, fetch);

        assert_false(fetch_under_way(fetch));
        call->n_done++;
        call->order = ++n_ended;
        call->ended = world_now();
        if (call->then)
                call->then(call);
}

void call_init(Call *call, Source *source) {
        *call = (Call){
                .fetch = {
                        .context = &world->context,
                        .source = source,
                        .request = REQUEST,
                        .request_size = strlen(REQUEST),
                        .give_up = TIME_INFINITY,
                        .done = on_done,
                },
        };
}

void call_start(Call *call) {
        call->begun = world_now();
        assert_int_equal(fetch_start(&call->fetch), 0);
        assert_int_equal(call->n_done, 0); /* never from within the call */
}

void call_begin(Call *call, Source *source) {
        call_init(call, source);
        call_start(call);
}

void call_wait(Call *call) {
        while (call->n_done == 0)
                world_turn();
        assert_int_equal(call->n_done, 1);
}

Call *call_run(Call *call, Source *source) {
        call_begin(call, source);
        call_wait(call);
        return call;
}

void call_drop(Call *call) {
        fetch_deinit(&call->fetch);
        fetch_deinit(&call->fetch); /* harmless */
        assert_true(call->n_done <= 1);
}

void calls_drop(Call calls[], size_t n) {
        for (size_t i = 0; i < n; i++)
                call_drop(&calls[i]);
}

void expect_end(const Call *call, Verdict verdict, const char *error) {
        const FetchOutcome *outcome = &call->fetch.outcome;
        const char *text = outcome->error ? outcome->error : "";

        if (call->n_done != 1 || outcome->verdict != verdict || (error && !strstr(text, error)))
                fail_msg("ended %u times: %s: %s", call->n_done, verdict_name(outcome->verdict),
                         text);
        if (!error)
                assert_null(outcome->error);
        assert_int_equal(outcome->document != NULL, verdict == VERDICT_OK);
}

void expect_story(const Story *story, const char *expected) {
        char text[1024] = "";

        for (unsigned i = 0; i < story->count; i++) {
                const StorySpan *span = &story->spans[i];
                size_t n = strlen(text);

                assert_true(span->start > 0 && span->start <= span->end);
                (void) snprintf(text + n, sizeof(text) - n, "%s%s:%u", i > 0 ? " " : "",
                                stage_name((Stage) span->stage), (unsigned) span->attempt);
        }
        assert_string_equal(text, expected);
}

StorySpan call_span(const Call *call, Stage stage, unsigned attempt) {
        const Story *story = &call->fetch.outcome.story;

        for (unsigned i = 0; i < story->count; i++)
                if (story->spans[i].stage == stage && story->spans[i].attempt == attempt)
                        return story->spans[i];
        fail_msg("no %s of attempt %u", stage_name(stage), attempt);
        return (StorySpan){};
}

uint64_t call_asked(const Call *call, unsigned attempt) {
        const Story *story = &call->fetch.outcome.story;

        for (unsigned i = 0; i < story->count; i++)
                if (story->spans[i].stage >= STAGE_RESOLVE && story->spans[i].attempt == attempt)
                        return story->spans[i].start;
        fail_msg("no attempt %u", attempt);
        return 0;
}

Verdict ask(Source *source) {
        Call call;
        Verdict verdict = call_run(&call, source)->fetch.outcome.verdict;

        call_drop(&call);
        return verdict;
}

void teach(Source *source, uint64_t ns, unsigned samples) {
        for (unsigned i = 0; i < samples; i++)
                latency_add(&source->latency, ns);
        source->asked_at = world_now();
}

void fill_budget(Source *source) {
        for (unsigned i = 0; i < 1000; i++)
                retry_budget_request(&source->budget, world_now());
}

typedef struct Change {
        Source *source;
        Simulation simulation;
} Change;

static void change(Io *io, void *userdata) {
        Change *change = userdata;

        change->source->simulation = change->simulation;
        free(change);
}

void becomes_at(uint64_t when, Source *source, Simulation simulation) {
        Change *later = calloc(1, sizeof(*later));

        assert_non_null(later);
        *later = (Change){ source, simulation };
        sim_at(world->io, when, change, later);
}
