/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Orders candidate texts (sentences, passages) by how well they answer a question. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

#define QUESTION_TERMS_MAX 64u

typedef struct Question {
        uint64_t terms[QUESTION_TERMS_MAX]; /* distinct */
        double repeats[QUESTION_TERMS_MAX]; /* how often each is asked for */
        double weights[QUESTION_TERMS_MAX]; /* what each tells by itself, in any document */
        unsigned n_terms;
        bool wants_number;
        uint64_t filter; /* bit (id % 64) of every term: most words are turned away by it */
} Question;

void question_read(Question *question, const char *text, size_t size);

typedef struct Candidate {
        double score; /* comparable among the candidates of one ranker */
        size_t first_hit;
        uint32_t length; /* terms without stop words */
        uint16_t n_hits; /* distinct terms of the question */
        bool has_digit;
} Candidate;

typedef struct Ranker {
        const Question *question;
        Buffer candidates;               /* of Candidate */
        Buffer hits;                     /* of Hit */
        uint32_t df[QUESTION_TERMS_MAX]; /* candidates that hold the term */
        uint64_t total_length;
        uint64_t words; /* all of them, stop words too */
} Ranker;

void ranker_deinit(Ranker *ranker);

/* The next candidate. -ENOMEM. */
int ranker_add(Ranker *ranker, const char *text, size_t size);

/* Fills in all scores. */
void ranker_finish(Ranker *ranker);

/* The share of the question, 0 to 1, that candidates `first` to `last` cover together. In
 * contrast to the scores it can be compared among documents. */
double ranker_coverage(const Ranker *ranker, size_t first, size_t last);

static inline size_t ranker_count(const Ranker *ranker) {
        return ranker->candidates.size / sizeof(Candidate);
}

static inline Candidate *ranker_candidates(const Ranker *ranker) {
        return (Candidate *) (void *) ranker->candidates.data;
}
