/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The command line of musterctl, expanded from schema/options.def. */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

/* Rows of other programs expand to nothing here. */
#define OPTION_IF_musterctl(...) __VA_ARGS__
#define OPTION_IF_musterd(...)

typedef enum OptionId {
#define OPTION(program, id, ...) OPTION_IF_##program(OPTION_##id, )
#include "options.def"
#undef OPTION
        OPTION_COUNT,
} OptionId;

#define OPTION_BIT(id) (UINT64_C(1) << OPTION_##id)

typedef enum JsonMode {
        JSON_OFF,
        JSON_SHORT,
        JSON_PRETTY,
} JsonMode;

typedef struct Options {
        uint64_t given; /* OPTION_BIT() of each one on the command line */
        const char *socket;
        JsonMode json;
        json_t *sources;    /* array of names, or NULL */
        json_t *parameters; /* object of strings, or NULL */
        uint64_t deadline_ms;
        const char *policy;
        uint64_t max_passages;
        uint64_t quorum;
        const char *cache;
        const char *priority;
        uint64_t repeat;
        char **words; /* the verb and its arguments */
        size_t n_words;
} Options;

void options_deinit(Options *options);

/* Options may stand before and after the verb; `argv` is reordered and stays in use. -EINVAL after
 * the reason has been written to stderr, -ENOMEM. */
int options_parse(int argc, char *argv[], Options *ret);

/* The lines of --help for the options whose bits are in `wanted`. */
void options_help(Buffer *out, uint64_t wanted);

/* "--long" of the lowest bit set. */
const char *options_name(uint64_t bits);
