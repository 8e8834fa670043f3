/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Checking what came out of shared memory, and the one block that goes in with strings: the rules
 * of a source. Pure: bytes in, verdict out. Everything here is given private copies. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "layout.h"

/* The [Result] keys of a source. NULL: not set. */
typedef struct SourceRules {
        const char *select;  /* JSON Pointer (RFC 6901) */
        const char *success; /* JSON Pointer that must exist */
        const char *empty;   /* JSON Pointer: missing or empty means "empty" */
        const char *title;   /* JSON Pointer, relative to each item */
        const char *link;    /* the same */
} SourceRules;

/* Packs the rules into `out` / finds them in a packed block (the strings then point into it).
 * Negative errno: -EMSGSIZE (a rule is too long to be carried), -EBADMSG (the block is no such). */
int rules_pack(const SourceRules *rules, Buffer *out);
int rules_unpack(const void *block, size_t size, SourceRules *ret);

/* Worker's side: is this task one that can be worked on? -EBADMSG. */
int task_validate(const TaskRecord *task, uint64_t arena_size);

/* Supervisor's side: is this completion within the result area? The match of slot and generation is
 * the pool's business. -EBADMSG. */
int completion_validate(const CompletionRecord *completion, uint64_t result_area_size);

/* Supervisor's side, on a private copy of all `size` bytes of a result: every enum in range, every
 * string inside and UTF-8, every score finite, JSON data well-formed (`document` is the task's own
 * document, for DATA_*_DOCUMENT; its `size` is what the fetch stored). -EBADMSG. */
int result_validate(const ResultHeader *result, size_t size, const void *document, size_t document_size);

/* The header of a result ends with its last passage: places that are not used are not carried. */
static inline size_t result_header_size(uint32_t n_passages) {
        return offsetof(ResultHeader, passages) + n_passages * sizeof(PassageRecord);
}

/* A string of a validated result; not ended by NUL. */
static inline const char *result_text(const ResultHeader *result, ResultString string) {
        return (const char *) result + string.offset;
}
