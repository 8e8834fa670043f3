/* SPDX-License-Identifier: Apache-2.0 */

/* Two passages are near-duplicates when most words of the shorter one stand in the other. Words are
 * compared by hash, at most WORDS_MAX of a passage; only those that reach the answer are ever
 * compared, so the cost is bounded by limit × n. */

#include <stdbool.h>
#include <stdlib.h>

#include "fuse.h"
#include "macro.h"

#define WORDS_MAX 128u
/* Share of the shorter passage's words that the other must hold. */
#define DUPLICATE_SHARE .85

typedef struct WordSet {
        uint32_t hashes[WORDS_MAX]; /* sorted, each once */
        size_t count;
} WordSet;

static bool is_word(unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80;
}

static unsigned char lower(char c) {
        return (unsigned char) (c >= 'A' && c <= 'Z' ? c + 32 : c);
}

static int compare_hashes(const void *a, const void *b) {
        uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
        return x < y ? -1 : x > y;
}

static void word_set_make(WordSet *set, const char *text, size_t size) {
        uint32_t hash = 0;
        bool in_word = false;

        set->count = 0;
        for (size_t i = 0; i <= size && set->count < WORDS_MAX; i++) {
                unsigned char c = i < size ? lower(text[i]) : ' ';

                if (is_word(c)) {
                        hash = (hash ^ c) * UINT32_C(16777619);
                        in_word = true;
                } else if (in_word) {
                        set->hashes[set->count++] = hash;
                        hash = 0;
                        in_word = false;
                }
        }
        qsort(set->hashes, set->count, sizeof(uint32_t), compare_hashes);
        size_t kept = 0;
        for (size_t i = 0; i < set->count; i++)
                if (kept == 0 || set->hashes[kept - 1] != set->hashes[i])
                        set->hashes[kept++] = set->hashes[i];
        set->count = kept;
}

static bool near_duplicate(const WordSet *a, const WordSet *b) {
        size_t common = 0, least = MIN(a->count, b->count);

        for (size_t i = 0, j = 0; i < a->count && j < b->count;) {
                if (a->hashes[i] == b->hashes[j])
                        common++;
                if (a->hashes[i] <= b->hashes[j])
                        i++;
                else
                        j++;
        }
        return least > 0 && (double) common >= DUPLICATE_SHARE * (double) least;
}

static int by_score(const void *a, const void *b) {
        const FusePassage *x = a, *y = b;

        if (x->score > y->score || x->score < y->score)
                return x->score > y->score ? -1 : 1;
        return x->source < y->source ? -1 : x->source > y->source;
}

size_t fuse_passages(FusePassage passages[], size_t n, size_t limit) {
        WordSet *sets = limit > 0 && n > 0 ? calloc(MIN(n, limit), sizeof(*sets)) : NULL;
        size_t kept = 0;

        if (!sets)
                return 0;
        qsort(passages, n, sizeof(*passages), by_score);
        for (size_t i = 0; i < n && kept < limit; i++) {
                bool duplicate = false;

                word_set_make(&sets[kept], passages[i].text, passages[i].text_size);
                for (size_t k = 0; k < kept && !duplicate; k++)
                        duplicate = near_duplicate(&sets[k], &sets[kept]);
                if (!duplicate)
                        passages[kept++] = passages[i];
        }
        free(sets);
        return kept;
}
