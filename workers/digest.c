/* SPDX-License-Identifier: Apache-2.0 */

/* Sentences are ranked (rank.c); the best one is joined with its neighbours to a passage of at
 * most PASSAGE_MAX bytes, then the best of those left over, and so on. Neighbours belong to a
 * passage since an answer often needs the sentence before it to be understood.
 *
 * Order within a document comes from rank.c. The score given to a passage must be comparable
 * with passages of other documents of the same question, so it is the covered share of the
 * question: mostly of the passage, partly of its best sentence (terms that stand together mean
 * more). Where the two disagree the order wins: a passage scores at least as much as those
 * behind it.
 *
 * When the document shares no word with the question, the sentences that are most about what the
 * whole document is about are taken (words weighed by how often they return, first sentences
 * first), with scores below any that matches. Memory is bounded by SENTENCES_MAX, whatever the
 * size of the text. */

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "clock.h"
#include "digest.h"
#include "rank.h"
#include "sentences.h"
#include "text-writer.h"
#include "tokens.h"

#define SENTENCES_MAX     (UINT32_C(1) << 18)
#define SUMMARY_SENTENCES 3u
#define SUMMARY_SHARE     0.6  /* of the best coverage: what else belongs to the summary */
#define WHOLE_SHARE       0.7  /* of a score: the passage; the rest is its best sentence */
#define UNRELATED_MAX     0.05 /* score of a passage that shares no word with the question */
#define CLOCK_INTERVAL    64u  /* sentences between looks at the clock */
#define DEADLINE_MARGIN   (2 * NSEC_PER_MSEC)
#define TOPIC_WORDS       4096u /* power of two */
#define TOPIC_SENTENCES   1024u /* a topic shows in the first ones */

static_assert(SENTENCE_MAX <= PASSAGE_MAX, "a passage holds at least one sentence");

typedef struct Sentence {
        uint32_t start; /* within the item */
        uint16_t size;
        bool taken;
        uint32_t item;
} Sentence;

typedef struct Digest {
        const DigestInput *input;
        Question question;
        Ranker ranker;
        Buffer sentences;
        bool related; /* some sentence shares a word with the question */
} Digest;

static void digest_deinit(Digest *digest) {
        buffer_deinit(&digest->sentences);
        ranker_deinit(&digest->ranker);
}

static size_t sentence_count(const Digest *digest) {
        return digest->sentences.size / sizeof(Sentence);
}

static Sentence *sentence_at(const Digest *digest, size_t i) {
        return (Sentence *) (void *) digest->sentences.data + i;
}

static size_t sentence_start(const Digest *digest, size_t i) {
        const Sentence *sentence = sentence_at(digest, i);
        return digest->input->items[sentence->item].start + sentence->start;
}

static size_t sentence_end(const Digest *digest, size_t i) {
        return sentence_start(digest, i) + sentence_at(digest, i)->size;
}

/* ---- reading ---- */

static bool time_is_up(const Digest *digest) {
        struct timespec now;

        if (sentence_count(digest) % CLOCK_INTERVAL != CLOCK_INTERVAL - 1)
                return false;
        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t ns = (uint64_t) now.tv_sec * NSEC_PER_SEC + (uint64_t) now.tv_nsec;
        return time_add(ns, DEADLINE_MARGIN) >= digest->input->deadline_ns;
}

/* 1: enough. */
static int read_item(Digest *digest, size_t item) {
        const DigestInput *input = digest->input;
        const char *text = input->text + input->items[item].start;
        size_t start, end;
        SentenceIterator it = { .text = text,
                                .size = input->items[item].end - input->items[item].start,
                                .wrapped = input->wrapped };

        while (sentence_next(&it, &start, &end)) {
                if (start > UINT32_MAX || sentence_count(digest) == SENTENCES_MAX ||
                    time_is_up(digest))
                        return 1;
                Sentence sentence = { .start = (uint32_t) start,
                                      .size = (uint16_t) (end - start),
                                      .item = (uint32_t) item };
                int r = buffer_append(&digest->sentences, &sentence, sizeof(sentence));
                if (r < 0)
                        return r;
                r = ranker_add(&digest->ranker, text + start, end - start);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_items(Digest *digest) {
        int r = 0;

        for (size_t i = 0; i < MIN(digest->input->n_items, (size_t) UINT32_MAX) && r == 0; i++)
                r = read_item(digest, i);
        return MIN(r, 0);
}

/* ---- when the question does not help ---- */

typedef struct TopicWord {
        uint64_t id;
        uint32_t count; /* 0: a free place */
} TopicWord;

/* The entry of a word, or a free place for it; NULL when the table is too full to look on. */
static TopicWord *topic_find(TopicWord *words, uint64_t id) {
        for (size_t i = 0; i < 16; i++) {
                TopicWord *word = &words[(id + i) % TOPIC_WORDS];
                if (word->count == 0 || word->id == id)
                        return word;
        }
        return NULL;
}

static TokenIterator sentence_tokens(const Digest *digest, size_t i) {
        return (TokenIterator){ .text = digest->input->text + sentence_start(digest, i),
                                .size = sentence_at(digest, i)->size };
}

static double topic_score(const Digest *digest, TopicWord *words, size_t i) {
        TokenIterator it = sentence_tokens(digest, i);
        double sum = 0, length = 0;
        Token token;

        while (token_next(&it, &token)) {
                if (token.stop)
                        continue;
                const TopicWord *word = topic_find(words, token.id);
                if (word && word->count > 0)
                        sum += log(word->count);
                length += 1;
        }
        return sum / (length + 4) + 1 / (double) (i + 2);
}

/* Scores the sentences by the topic of the document instead. */
static int rank_by_topic(Digest *digest) {
        Candidate *candidates = ranker_candidates(&digest->ranker);
        size_t n = MIN(sentence_count(digest), (size_t) TOPIC_SENTENCES);
        CLEANUP_FREE TopicWord *words = calloc(TOPIC_WORDS, sizeof(*words));
        Token token;

        if (!words)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                TokenIterator it = sentence_tokens(digest, i);
                while (token_next(&it, &token)) {
                        TopicWord *word = token.stop ? NULL : topic_find(words, token.id);
                        if (word)
                                *word = (TopicWord){ .id = token.id, .count = word->count + 1 };
                }
        }
        for (size_t i = 0; i < sentence_count(digest); i++)
                candidates[i].score = i < n ? topic_score(digest, words, i) : 0;
        return 0;
}

static bool any_hit(const Digest *digest) {
        for (unsigned i = 0; i < digest->question.n_terms; i++)
                if (digest->ranker.df[i] > 0)
                        return true;
        return false;
}

/* ---- choosing ---- */

static bool is_eligible(const Digest *digest, size_t i) {
        const Candidate *candidate = &ranker_candidates(&digest->ranker)[i];

        if (sentence_at(digest, i)->taken)
                return false;
        return digest->related ? candidate->n_hits > 0 : candidate->length > 0;
}

/* The best sentence that is free and worth choosing; the count of sentences when there is none. */
static size_t best_free(const Digest *digest) {
        const Candidate *candidates = ranker_candidates(&digest->ranker);
        size_t n = sentence_count(digest), best = n;

        for (size_t i = 0; i < n; i++) {
                if (!is_eligible(digest, i))
                        continue;
                if (best == n || candidates[i].score > candidates[best].score)
                        best = i;
        }
        return best;
}

static bool may_join(const Digest *digest, size_t i, size_t item) {
        return i < sentence_count(digest) && !sentence_at(digest, i)->taken &&
                        sentence_at(digest, i)->item == item;
}

/* Grows [*first, *last] to the side of the better neighbour while there is room. */
static void join_neighbours(const Digest *digest, size_t *first, size_t *last) {
        const Candidate *candidates = ranker_candidates(&digest->ranker);
        size_t item = sentence_at(digest, *first)->item;

        for (;;) {
                size_t start = sentence_start(digest, *first), end = sentence_end(digest, *last);
                size_t before = *first - 1, after = *last + 1; /* -1 is no index, either */
                bool left = may_join(digest, before, item) &&
                                end - sentence_start(digest, before) <= PASSAGE_MAX;
                bool right = may_join(digest, after, item) &&
                                sentence_end(digest, after) - start <= PASSAGE_MAX;
                if (!left && !right)
                        return;
                if (left && (!right || candidates[before].score > candidates[after].score))
                        *first = before;
                else
                        *last = after;
        }
}

static double passage_score(const Digest *digest, size_t best, size_t first, size_t last) {
        const Ranker *ranker = &digest->ranker;

        if (!digest->related)
                return UNRELATED_MAX / (1 + exp(-ranker_candidates(ranker)[best].score));
        return UNRELATED_MAX +
                        (1 - UNRELATED_MAX) *
                        (WHOLE_SHARE * ranker_coverage(ranker, first, last) +
                         (1 - WHOLE_SHARE) * ranker_coverage(ranker, best, best));
}

static void choose_passages(Digest *digest, DigestResult *result) {
        size_t best;

        while (result->n_passages < digest->input->max_passages &&
               (best = best_free(digest)) < sentence_count(digest)) {
                size_t first = best, last = best;
                join_neighbours(digest, &first, &last);
                for (size_t i = first; i <= last; i++)
                        sentence_at(digest, i)->taken = true;
                result->passages[result->n_passages++] = (DigestPassage){
                        .score = passage_score(digest, best, first, last),
                        .item = sentence_at(digest, best)->item,
                        .start = sentence_start(digest, first),
                        .end = sentence_end(digest, last),
                };
        }
        for (unsigned i = result->n_passages; i-- > 1;)
                result->passages[i - 1].score =
                                MAX(result->passages[i - 1].score, result->passages[i].score);
}

/* ---- summary ---- */

static int compare_index(const void *a, const void *b) {
        size_t x = *(const size_t *) a, y = *(const size_t *) b;
        return (x > y) - (x < y);
}

/* Lines of a table or list have no stop of their own. */
static bool ends_with_stop(const char *text, size_t size) {
        return (text[size - 1] & 0x80) || strchr(".!?;:)\"'", text[size - 1]);
}

static int write_summary(const Digest *digest, const size_t chosen[], size_t n, Buffer *summary) {
        TextWriter writer = text_writer(summary);

        for (size_t i = 0; i < n; i++) {
                if (summary->size > 0 && !ends_with_stop(summary->data, summary->size))
                        text_put(&writer, ";", 1);
                text_space(&writer);
                text_put(&writer, digest->input->text + sentence_start(digest, chosen[i]),
                         sentence_at(digest, chosen[i])->size);
        }
        return summary->error;
}

/* The best sentences, in the order of the text. */
static int summarize(Digest *digest, Buffer *summary) {
        size_t chosen[SUMMARY_SENTENCES], n = 0, size = 0, i;
        double best = 0;

        for (size_t k = 0; k < sentence_count(digest); k++)
                sentence_at(digest, k)->taken = false;
        while (n < SUMMARY_SENTENCES && (i = best_free(digest)) < sentence_count(digest)) {
                double coverage = ranker_coverage(&digest->ranker, i, i);
                best = n == 0 ? coverage : best;
                size += sentence_at(digest, i)->size + 2u; /* what joins them */
                if (size > SUMMARY_MAX + 2 || coverage < best * SUMMARY_SHARE)
                        break;
                sentence_at(digest, i)->taken = true;
                chosen[n++] = i;
        }
        qsort(chosen, n, sizeof(*chosen), compare_index);
        return write_summary(digest, chosen, n, summary);
}

int digest(const DigestInput *input, Buffer *summary, DigestResult *ret) {
        CLEANUP(digest_deinit) Digest digest = { .input = input };
        DigestResult result = { 0 };

        assert(input->max_passages <= MAX_PASSAGES);
        question_read(&digest.question, input->question, input->question_size);
        digest.ranker.question = &digest.question;
        int r = read_items(&digest);
        if (r < 0)
                return r;
        digest.related = any_hit(&digest);
        if (digest.related)
                ranker_finish(&digest.ranker);
        else
                r = rank_by_topic(&digest);
        if (r < 0)
                return r;
        choose_passages(&digest, &result);
        r = summarize(&digest, summary);
        if (r < 0)
                return r;
        result.words = digest.ranker.words;
        result.sentences = sentence_count(&digest);
        *ret = result;
        return 0;
}
