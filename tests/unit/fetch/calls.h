/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Fetches of a test: begun, waited for, looked at. */

#include "fetch-world.h"

typedef struct Call {
        Fetch fetch;
        unsigned n_done;
        unsigned order; /* in which it ended, from 1 */
        uint64_t begun;
        uint64_t ended;
        void (*then)(struct Call *call);
} Call;

int calls_setup(void **state);
int calls_teardown(void **state);

/* With all the time of the world. To be changed before call_start(). */
void call_init(Call *call, Source *source);
void call_start(Call *call);
/* Both. */
void call_begin(Call *call, Source *source);
void call_wait(Call *call);
/* All of it, from the beginning to the end. */
Call *call_run(Call *call, Source *source);
void call_drop(Call *call);
void calls_drop(Call calls[], size_t n);

/* `error` is a part of it; NULL: there is none. */
void expect_end(const Call *call, Verdict verdict, const char *error);
/* As "queue:1 send:1 wait:1", stage and attempt. */
void expect_story(const Story *story, const char *expected);
/* The span of that stage and attempt. */
StorySpan call_span(const Call *call, Stage stage, unsigned attempt);
/* When that attempt began. */
uint64_t call_asked(const Call *call, unsigned attempt);

/* Runs a fetch of the source and forgets it, all but the verdict. */
Verdict ask(Source *source);
/* The source is known to take so long, since now. */
void teach(Source *source, uint64_t ns, unsigned samples);
/* Room for many retries. */
void fill_budget(Source *source);
/* From then on a simulated source is like this. */
void becomes_at(uint64_t when, Source *source, Simulation simulation);

#define CALL_TEST(name) cmocka_unit_test_setup_teardown(name, calls_setup, calls_teardown)
