/* SPDX-License-Identifier: Apache-2.0 */

/* The lexical engine. Within one document candidates are ordered by
 *
 *     z(BM25) + z(coverage) / 2 + number
 *
 * BM25 (k1 1.2, b 0.75) with the document frequencies of the candidates themselves, which tell
 * the words that distinguish one sentence of this page from the others better than any table of
 * a language. Coverage is the share, by the same weights, of the question's distinct terms that
 * are present. The number feature is 1 when the question asks for a number or date and the
 * candidate holds a digit. z() subtracts the mean and divides by the standard deviation over the
 * candidates. There is no prior for the position: ties go to the earlier one.
 *
 * Such a score says nothing across documents: in each of them some sentence is the best.
 * ranker_coverage() does, with weights that depend on the question alone. */

#include <math.h>

#include "rank.h"
#include "tokens.h"

#define BM25_K1        1.2
#define BM25_B         0.75
#define COVERAGE_SHARE 0.5

typedef struct Hit {
        uint16_t term; /* index into the question's */
        uint16_t count;
} Hit;

static_assert(QUESTION_TERMS_MAX <= 64, "a set of terms is one word");

/* ---- question ---- */

static bool is_one_of(const TokenIterator *it, const Token *token, const char *const words[], size_t n) {
        for (size_t i = 0; i < n; i++)
                if (token_is(it, token, words[i]))
                        return true;
        return false;
}

/* "when", "how many", "what year": what asks for a number or date. */
static bool asks_number(const TokenIterator *it, const Token *before, const Token *token) {
        static const char *const after_how[] = { "many", "much", "old", "big", "long", "tall", "far" };
        static const char *const after_what[] = { "year", "time", "date" };

        if (token_is(it, token, "when"))
                return true;
        if (before->size == 0)
                return false;
        if (token_is(it, before, "how"))
                return is_one_of(it, token, after_how, ELEMENTSOF(after_how));
        if (token_is(it, before, "what") || token_is(it, before, "which"))
                return is_one_of(it, token, after_what, ELEMENTSOF(after_what));
        return false;
}

static int find_term(const Question *question, uint64_t id) {
        if ((question->filter >> (id % 64) & 1) == 0)
                return -1;
        for (unsigned i = 0; i < question->n_terms; i++)
                if (question->terms[i] == id)
                        return (int) i;
        return -1;
}

/* Names and numbers tell more than other words. The first word is capital in any case. */
static double term_weight(const char *text, const Token *token) {
        char c = text[token->start];
        bool name = c >= 'A' && c <= 'Z' && token->start > 0;
        return name || token->has_digit ? 1.5 : 1.0;
}

void question_read(Question *question, const char *text, size_t size) {
        TokenIterator it = { .text = text, .size = size };
        Token before = { 0 }, token;

        *question = (Question){ 0 };
        for (; token_next(&it, &token); before = token) {
                if (asks_number(&it, &before, &token))
                        question->wants_number = true;
                if (token.stop)
                        continue;
                int i = find_term(question, token.id);
                if (i >= 0) {
                        question->repeats[i] += 1;
                        continue;
                }
                if (question->n_terms == QUESTION_TERMS_MAX)
                        continue;
                unsigned n = question->n_terms++;
                question->terms[n] = token.id;
                question->repeats[n] = 1;
                question->weights[n] = term_weight(text, &token);
                question->filter |= UINT64_C(1) << (token.id % 64);
        }
}

/* ---- candidates ---- */

void ranker_deinit(Ranker *ranker) {
        buffer_deinit(&ranker->candidates);
        buffer_deinit(&ranker->hits);
}

static int add_hits(Ranker *ranker, const uint16_t counts[], uint64_t present) {
        for (; present; present &= present - 1) {
                int i = __builtin_ctzll(present);
                Hit hit = { .term = (uint16_t) i, .count = counts[i] };
                ranker->df[i]++;
                int r = buffer_append(&ranker->hits, &hit, sizeof(hit));
                if (r < 0)
                        return r;
        }
        return 0;
}

int ranker_add(Ranker *ranker, const char *text, size_t size) {
        TokenIterator it = { .text = text, .size = size };
        Candidate candidate = { .first_hit = ranker->hits.size / sizeof(Hit) };
        uint16_t counts[QUESTION_TERMS_MAX] = { 0 };
        uint64_t present = 0;
        Token token;

        while (token_next(&it, &token)) {
                ranker->words++;
                candidate.has_digit = candidate.has_digit || token.has_digit;
                if (token.stop)
                        continue;
                candidate.length++;
                int i = find_term(ranker->question, token.id);
                if (i < 0)
                        continue;
                present |= UINT64_C(1) << i;
                if (counts[i] < UINT16_MAX)
                        counts[i]++;
        }
        candidate.n_hits = (uint16_t) __builtin_popcountll(present);
        ranker->total_length += candidate.length;
        int r = add_hits(ranker, counts, present);
        if (r < 0)
                return r;
        return buffer_append(&ranker->candidates, &candidate, sizeof(candidate));
}

/* ---- scores ---- */

typedef struct Spread {
        double sum, squares;
} Spread;

static void spread_add(Spread *spread, double value) {
        spread->sum += value;
        spread->squares += value * value;
}

static double spread_z(const Spread *spread, size_t n, double value) {
        double mean = spread->sum / (double) n;
        double variance = spread->squares / (double) n - mean * mean;
        return variance > 1e-12 ? (value - mean) / sqrt(variance) : 0;
}

static const Hit *ranker_hits(const Ranker *ranker) {
        return (const Hit *) (const void *) ranker->hits.data;
}

/* What one candidate gets for its terms. */
typedef struct Features {
        double bm25, coverage;
} Features;

static Features measure(const Ranker *ranker, const Candidate *candidate, const double idf[]) {
        const Question *question = ranker->question;
        const Hit *hits = ranker_hits(ranker);
        double mean = (double) ranker->total_length / (double) ranker_count(ranker);
        double norm = BM25_K1 * (1 - BM25_B + BM25_B * (double) candidate->length / MAX(mean, 1.0));
        Features f = { 0 };

        for (unsigned k = 0; k < candidate->n_hits; k++) {
                const Hit *hit = &hits[candidate->first_hit + k];
                double tf = hit->count;
                f.bm25 += question->repeats[hit->term] * idf[hit->term] * tf * (BM25_K1 + 1) /
                                (tf + norm);
                f.coverage += idf[hit->term];
        }
        return f;
}

void ranker_finish(Ranker *ranker) {
        const Question *question = ranker->question;
        Candidate *candidates = ranker_candidates(ranker);
        size_t n = ranker_count(ranker);
        double idf[QUESTION_TERMS_MAX];
        Spread bm25 = { 0 }, coverage = { 0 };

        for (unsigned i = 0; i < question->n_terms; i++) {
                double df = ranker->df[i];
                idf[i] = log(1 + ((double) n - df + 0.5) / (df + 0.5));
        }
        /* Coverage is left undivided by the weight of all terms: z() would take that out again. */
        for (size_t i = 0; i < n; i++) {
                Features f = measure(ranker, &candidates[i], idf);
                spread_add(&bm25, f.bm25);
                spread_add(&coverage, f.coverage);
        }
        for (size_t i = 0; i < n; i++) {
                Candidate *candidate = &candidates[i];
                Features f = measure(ranker, candidate, idf);
                bool number = question->wants_number && candidate->has_digit;
                candidate->score = spread_z(&bm25, n, f.bm25) +
                                COVERAGE_SHARE * spread_z(&coverage, n, f.coverage) +
                                (number ? 1 : 0);
        }
}

double ranker_coverage(const Ranker *ranker, size_t first, size_t last) {
        const Question *question = ranker->question;
        const Candidate *candidates = ranker_candidates(ranker);
        uint64_t present = 0;
        double covered = 0, total = 0;

        for (size_t i = first; i <= last; i++)
                for (unsigned k = 0; k < candidates[i].n_hits; k++)
                        present |= UINT64_C(1)
                                        << ranker_hits(ranker)[candidates[i].first_hit + k].term;
        for (unsigned i = 0; i < question->n_terms; i++) {
                total += question->weights[i];
                if (present >> i & 1)
                        covered += question->weights[i];
        }
        return total > 0 ? covered / total : 0;
}
