/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What asking at once is worth: the same sources one after another and all together. */

#include <jansson.h>

#include "call.h"
#include "spans.h"
#include "text.h"

typedef struct BenchSource {
        char *name;
        double ms;           /* median of its own query */
        const char *verdict; /* of the last one; borrowed from `answer` */
        json_t *answer;
} BenchSource;

typedef struct BenchStage {
        double alone_ms, joint_ms; /* mean of a span */
} BenchStage;

typedef struct Bench {
        unsigned repeat;
        BenchSource *sources;
        size_t n_sources;
        double *totals;       /* per repetition, all sources one after another */
        double sequential_ms; /* median of the totals */
        double joint_ms;      /* median */
        json_t *joint;        /* the answer of the last joint query */
        BenchStage stages[STAGE_COUNT];
        CriticalPath path; /* borrows from `joint` */
} Bench;

void bench_deinit(Bench *bench);

/* Sends 1 + n queries, `repeat` times. `parameters` is that of Query without `sources`; `names` is
 * an array. Negative errno as caller_call(); 1 when the daemon refused, with the error in
 * *ret_refusal. */
int bench_run(Caller *caller, const json_t *parameters, const json_t *names, unsigned repeat,
              Bench *ret, Reply *ret_refusal);

int bench_render(Buffer *out, const View *view, const Bench *bench);

/* The same as a JSON tree; NULL: no memory. */
json_t *bench_json(const Bench *bench);
