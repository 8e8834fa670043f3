/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fetch-internal.h"

void fetch_outcome_deinit(FetchOutcome *outcome) {
        arena_block_unref(outcome->document);
        free(outcome->error);
        story_deinit(&outcome->story);
        *outcome = (FetchOutcome){};
}

void outcome_fail(FetchOutcome *outcome, Verdict verdict, const char *format, ...) {
        va_list arguments;

        free(outcome->error);
        outcome->verdict = verdict;
        va_start(arguments, format);
        if (vasprintf(&outcome->error, format, arguments) < 0)
                outcome->error = NULL;
        va_end(arguments);
}

void outcome_add_note(FetchOutcome *outcome, const char *note) {
        char *text = NULL;

        if (asprintf(&text, "%s; not tried again: %s", outcome->error ? outcome->error : "failed",
                     note) < 0)
                return;
        free(outcome->error);
        outcome->error = text;
}

void outcome_take(FetchOutcome *outcome, Attempt *attempt) {
        free(outcome->error);
        outcome->verdict = attempt->verdict;
        outcome->error = TAKE_PTR(attempt->error);
        outcome->document = TAKE_PTR(attempt->document);
        outcome->start = attempt->start;
        outcome->end = attempt->end;
        if (!attempt->responded)
                return;
        outcome->status = attempt->head.status;
        outcome->bytes = attempt->bytes;
        outcome->media = attempt->head.media;
        outcome->coding = attempt->head.coding;
        outcome->cache = attempt->head.cache;
        memcpy(outcome->charset, attempt->head.charset, CHARSET_MAX);
}
