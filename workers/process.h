/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One document, from bytes to result: decode, text, engine. Pure but for the clock: no descriptor,
 * no global state that a document can change. The runner (runner.c) maps a TaskRecord to the input
 * and writes the output into the result area. */

#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "record.h"

typedef struct ProcessInput {
        const char *question; /* UTF-8, not ended by NUL */
        size_t question_size;
        const uint8_t *document; /* not writable, not ended by NUL */
        size_t document_size;
        EngineKind engine;
        MediaType media;
        ContentCoding coding;
        const char *charset; /* lower case, NUL-ended; empty: unknown */
        uint64_t spin_ns;
        uint64_t deadline_ns;
        size_t max_decoded;
        unsigned max_passages; /* at most MAX_PASSAGES */
        SourceRules rules;
} ProcessInput;

/* Strings are UTF-8, not ended by NUL, and live until process_output_deinit(). */
typedef struct ProcessText {
        const char *text;
        size_t size;
} ProcessText;

typedef struct ProcessPassage {
        double score;
        ProcessText text;
        ProcessText title;
        ProcessText link;
} ProcessPassage;

typedef struct ProcessOutput {
        Outcome outcome;
        DataKind data_kind; /* the *_DOCUMENT kinds leave `data` empty */
        ProcessText data;
        ProcessText error; /* one line for people, when the outcome is none of OK and EMPTY */
        ProcessText summary;
        ProcessText title;
        ProcessPassage passages[MAX_PASSAGES];
        unsigned n_passages;
        uint32_t tokens;
        uint32_t sentences;
        uint64_t decoded_ns; /* CLOCK_MONOTONIC: decoding done, engine begins */
        void *memory;        /* private: what the strings point into */
} ProcessOutput;

/* Everything that needs files (charset tables, stemmer) is loaded here, before the sandbox
 * closes. */
int process_init(void);
void process_deinit(void);

/* 0, or -ENOMEM; whatever is wrong with the document is an outcome, not an error. */
int process_document(const ProcessInput *input, ProcessOutput *output);
void process_output_deinit(ProcessOutput *output);
