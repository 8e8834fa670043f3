/* SPDX-License-Identifier: Apache-2.0 */

/* A word is a run of letters and digits, lower-cased. Words of ASCII letters are stemmed as
 * English; all others are kept as they are. Scripts that put no blanks between words are cut
 * into overlapping pairs of characters.
 *
 * Words are known by a hash of their stem: nothing is stored, and whom a collision would mislead
 * is the document's own score alone. The stemmer is the one piece of state, and a worker has one
 * thread. */

#include <errno.h>
#include <libstemmer.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "hash-map.h"
#include "macro.h"
#include "tokens.h"
#include "utf8.h"

#define WORD_MAX 64u /* what follows in a longer one does not count */

/* Articles, prepositions, pronouns, auxiliaries, question words. Sorted. */
static const char *const stop_words[] = {
        "a",     "about",  "after", "all",    "also",  "an",    "and",   "any",   "are",   "as",
        "at",    "be",     "been",  "before", "but",   "by",    "can",   "could", "did",   "do",
        "does",  "during", "for",   "from",   "had",   "has",   "have",  "he",    "her",   "his",
        "how",   "i",      "if",    "in",     "into",  "is",    "it",    "its",   "may",   "me",
        "might", "must",   "my",    "not",    "of",    "on",    "or",    "our",   "s",     "shall",
        "she",   "should", "so",    "such",   "t",     "than",  "that",  "the",   "their", "them",
        "then",  "there",  "these", "they",   "this",  "those", "to",    "under", "us",    "was",
        "we",    "were",   "what",  "when",   "where", "which", "while", "who",   "whom",  "whose",
        "why",   "will",   "with",  "would",  "you",   "your",
};

static struct sb_stemmer *stemmer;

int tokens_init(void) {
        stemmer = sb_stemmer_new("english", "UTF_8");
        return stemmer ? 0 : -ENOMEM;
}

void tokens_deinit(void) {
        sb_stemmer_delete(stemmer);
        stemmer = NULL;
}

/* ---- characters ---- */

typedef enum CharKind {
        CHAR_OTHER,
        CHAR_WORD,
        CHAR_PAIRED, /* of a script without blanks between words */
} CharKind;

static bool is_paired(uint32_t c) {
        static const struct {
                uint32_t first, last;
        } ranges[] = {
                { 0x0e00, 0x0eff },   /* Thai, Lao */
                { 0x1000, 0x109f },   /* Myanmar */
                { 0x1780, 0x17ff },   /* Khmer */
                { 0x3040, 0x30ff },   /* kana */
                { 0x3400, 0x9fff },   /* Han */
                { 0xf900, 0xfaff },   /* Han, compatibility */
                { 0x20000, 0x3ffff }, /* Han, further planes */
        };

        for (size_t i = 0; i < ELEMENTSOF(ranges); i++)
                if (c >= ranges[i].first && c <= ranges[i].last)
                        return true;
        return false;
}

static CharKind char_kind(uint32_t c) {
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t) c);
        bool letter = category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;

        if (!letter) /* marks stand between letters and numbers */
                return CHAR_OTHER;
        return is_paired(c) ? CHAR_PAIRED : CHAR_WORD;
}

static bool is_ascii_word(unsigned char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static CharKind kind_at(const TokenIterator *it, size_t i, uint32_t *ret, size_t *ret_length) {
        unsigned char c = (unsigned char) it->text[i];

        *ret_length = 1;
        *ret = c;
        if (c < 0x80)
                return is_ascii_word(c) ? CHAR_WORD : CHAR_OTHER;
        *ret_length = utf8_decode(it->text + i, it->size - i, ret);
        if (*ret_length > 0)
                return char_kind(*ret);
        *ret_length = 1;
        return CHAR_OTHER;
}

/* ---- words ---- */

static int compare_word(const void *key, const void *entry) {
        return strcmp(key, *(const char *const *) entry);
}

static bool is_stop_word(const char *word, size_t size) {
        char key[8] = "";

        if (size >= sizeof(key))
                return false;
        memcpy(key, word, size);
        return bsearch(key, stop_words, ELEMENTSOF(stop_words), sizeof(*stop_words), compare_word);
}

static void finish_word(char *word, size_t size, bool ascii, Token *token) {
        const void *stem = word;

        token->stop = ascii && is_stop_word(word, size);
        if (ascii && !token->stop) {
                stem = sb_stemmer_stem(stemmer, (const sb_symbol *) word, (int) size);
                size = stem ? (size_t) sb_stemmer_length(stemmer) : size;
        }
        token->id = hash_bytes(stem ? stem : word, size, 0);
}

static void read_word(TokenIterator *it, Token *token) {
        char word[WORD_MAX + 4];
        size_t size = 0, i = token->start, length;
        bool ascii = true;
        uint32_t c;

        while (i < it->size && kind_at(it, i, &c, &length) == CHAR_WORD) {
                i += length;
                if (c >= '0' && c <= '9')
                        token->has_digit = true;
                if (size >= WORD_MAX)
                        continue;
                if (c < 0x80)
                        word[size++] = (char) (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
                else {
                        ascii = false;
                        c = (uint32_t) utf8proc_tolower((utf8proc_int32_t) c);
                        size += utf8_encode(c, word + size);
                }
        }
        token->size = i - token->start;
        it->position = i;
        finish_word(word, size, ascii, token);
}

/* A pair, or a single character when it stands alone. False: it was the end of the last pair. */
static bool read_pair(TokenIterator *it, Token *token, size_t length) {
        size_t next = token->start + length, next_length = 0;
        uint32_t c;
        bool pair = next < it->size && kind_at(it, next, &c, &next_length) == CHAR_PAIRED;
        bool known = it->paired && !pair;

        it->position = next;
        it->paired = pair;
        token->size = pair ? length + next_length : length;
        token->id = hash_bytes(it->text + token->start, token->size, 0);
        return !known;
}

bool token_next(TokenIterator *it, Token *ret) {
        while (it->position < it->size) {
                size_t length;
                uint32_t c;
                Token token = { .start = it->position };

                switch (kind_at(it, it->position, &c, &length)) {
                case CHAR_WORD:
                        it->paired = false;
                        read_word(it, &token);
                        *ret = token;
                        return true;
                case CHAR_PAIRED:
                        if (!read_pair(it, &token, length))
                                break;
                        *ret = token;
                        return true;
                case CHAR_OTHER:
                default:
                        it->paired = false;
                        it->position += length;
                        break;
                }
        }
        return false;
}

bool token_is(const TokenIterator *it, const Token *token, const char *word) {
        return strlen(word) == token->size &&
                        strncasecmp(it->text + token->start, word, token->size) == 0;
}
