/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Cuts text into terms: what two texts must share to be about the same. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Token {
        uint64_t id;  /* of the stem; equal for equal stems */
        size_t start; /* the word as it stands in the text */
        size_t size;
        bool stop; /* carries no meaning of its own: "the" */
        bool has_digit;
} Token;

typedef struct TokenIterator {
        const char *text; /* UTF-8 */
        size_t size;
        size_t position;
        bool paired; /* the character before was the second of a pair (scripts without blanks) */
} TokenIterator;

/* Loads the stemmer. -ENOMEM. */
int tokens_init(void);
void tokens_deinit(void);

bool token_next(TokenIterator *iterator, Token *ret);

/* Is the token this word (lower case, ASCII)? */
bool token_is(const TokenIterator *iterator, const Token *token, const char *word);
