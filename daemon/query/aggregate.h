/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From what became of each source to the one answer. Pure: no I/O, no clock. */

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "fetch.h"
#include "pool.h"
#include "vocabulary.h"

typedef struct AnswerSource {
        const char *name;
        bool required;
        EngineKind engine;
        Verdict verdict;
        Stage stage;       /* where it stood when it ended */
        const char *error; /* for people; NULL when answered */
        const Fetch *fetch;
        const PoolTask *task;       /* n_tries 0: never handed to a worker */
        const ResultHeader *result; /* validated; NULL: none */
} AnswerSource;

typedef struct AnswerInput {
        const char *question;
        size_t question_size;
        const char *query_id;
        uint64_t start_ns;
        uint64_t end_ns;
        unsigned max_passages;
        bool omit_data; /* the answer would be too long with it; `data_omitted` says so */
        const AnswerSource *sources;
        size_t n_sources;
} AnswerInput;

typedef enum Completeness {
        COMPLETENESS_COMPLETE,
        COMPLETENESS_PARTIAL,
        COMPLETENESS_FAILED,
} Completeness;

const char *completeness_name(Completeness completeness);

/* `failed` exactly when the query has no success: nothing answered, or a required source without an
 * answer. */
Completeness answer_completeness(const AnswerInput *input);

/* The answer as one JSON object. Errors stay in the buffer. */
void answer_write(const AnswerInput *input, Buffer *out);

/* {"source":…,"result":…,"inference":…} for one source. */
void answer_write_event(const AnswerInput *input, const AnswerSource *source, Buffer *out);
