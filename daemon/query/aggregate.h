/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* From what became of each source to the one answer. Pure: no I/O, no clock. */

#include <stdbool.h>
#include <stdint.h>

#include "buffer.h"
#include "fetch.h"
#include "pool.h"
#include "vocabulary.h"

typedef enum Origin {
        ORIGIN_NONE,
        ORIGIN_LIVE,
        ORIGIN_CACHE,
        ORIGIN_STALE,
        ORIGIN_FALLBACK,
} Origin;

const char *origin_name(Origin origin);

typedef struct AnswerSource {
        const char *name;
        bool required;
        EngineKind engine;
        Verdict verdict;
        Stage stage;                /* where it stood when it ended */
        const char *error;          /* for people; NULL when answered */
        Origin origin;              /* of `shown` */
        uint64_t age_ns;            /* of a kept copy */
        const FetchOutcome *asked;  /* what it was asked for this query; NULL: nothing */
        const FetchOutcome *shown;  /* the document that the result was made of; NULL: none */
        const Story *story;         /* what was decided in this query */
        const PoolTask *task;       /* NULL: never handed to a worker */
        const ResultHeader *result; /* validated; NULL: none */
} AnswerSource;

/* It has failed, and something else is shown in its place. */
bool answer_source_served(const AnswerSource *source);

/* Where in the text stands what differs from one answer to the next of the same. */
typedef struct AnswerMarks {
        size_t id_at;   /* the query's identifier */
        size_t time_at; /* the value of execution_time … */
        size_t time_end;
} AnswerMarks;

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

/* `failed` exactly when the query has no success: nothing answered or served by a substitute, or a
 * required source without either. */
Completeness answer_completeness(const AnswerInput *input);

/* The answer as one JSON object. Errors stay in the buffer. `ret_marks` may be NULL. */
void answer_write(const AnswerInput *input, Buffer *out, AnswerMarks *ret_marks);

/* {"source":…,"result":…,"inference":…} for one source. */
void answer_write_event(const AnswerInput *input, const AnswerSource *source, Buffer *out);
