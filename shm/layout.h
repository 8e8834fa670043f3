/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the supervisor and a worker share: the format of a lane segment. docs/SHM_LAYOUT.md tells
 * the same in prose, with the validity conditions.
 *
 *     SegmentHeader | submission lane | completion lane | WorkerState | result area
 *
 * A lane is a ring of LANE_DEPTH entries with two indices that only ever grow; each index has one
 * writer and a cache line of its own. Every field is of fixed width; references are offsets, never
 * pointers. Neither side trusts the other: entries are copied first and checked afterwards
 * (shm/record.h). */

#include <stdatomic.h>
#include <stdint.h>

#include "macro.h"

#define SEGMENT_MAGIC   UINT64_C(0x31656e616c74736d) /* "mstlane1" */
#define SEGMENT_VERSION 1u
#define CACHE_LINE      64u
/* A power of two. What keeps a lane shallow is time (daemon/pool/collect.c): it never holds more
 * than a fraction of a millisecond of expected work. So many entries let one wake-up serve a burst
 * of short documents. */
#define LANE_DEPTH 16u

#define MAX_PASSAGES 32u
#define CHARSET_MAX  32u
#define QUESTION_MAX 8192u
/* Where the supervisor's time for a task ends, all sizes in bytes. */
#define RESULT_STRINGS_MAX \
        (UINT32_C(256) << 10) /* summary, passages, error: everything but the data */

/* The descriptors that a worker is started with (0 to 2 are the usual ones), and what it exits
 * with: 0 after it was retired, else one of these. */
enum {
        WORKER_FD_ARENA = 3, /* opened O_RDONLY */
        WORKER_FD_SEGMENT = 4,
        WORKER_FD_DOORBELL = 5, /* eventfd */

        WORKER_EXIT_USAGE = 2,     /* started by hand */
        WORKER_EXIT_START = 70,    /* cannot start or confine itself; stderr says why */
        WORKER_EXIT_FILTER = 71,   /* no system call filter; stderr is closed by then */
        WORKER_EXIT_PROTOCOL = 76, /* a task or an index that cannot be */
};

/* What a worker does with a document. */
typedef enum EngineKind {
        ENGINE_NONE,   /* hands it through: decoded, checked, otherwise unchanged */
        ENGINE_DIGEST, /* passages and summary in the question's light */
        ENGINE_SPIN,   /* burns spin_ns of CPU, then digests */
        ENGINE_COUNT,
} EngineKind;

/* What the source says its document is (Content-Type). */
typedef enum MediaType {
        MEDIA_UNKNOWN, /* no or another Content-Type: look at the bytes */
        MEDIA_JSON,
        MEDIA_HTML,
        MEDIA_TEXT,
        MEDIA_COUNT,
} MediaType;

/* Content-Encoding. Others are refused by the fetch. */
typedef enum ContentCoding {
        CODING_IDENTITY,
        CODING_GZIP,
        CODING_DEFLATE,
        CODING_COUNT,
} ContentCoding;

/* A range of the arena. */
typedef struct ShmRange {
        uint64_t offset;
        uint64_t size;
} ShmRange;

/* A task as it stands in the submission lane. `rules` is a SourceRules block (shm/record.h). */
typedef struct TaskRecord {
        uint32_t slot; /* of the supervisor's task table */
        uint32_t generation;
        uint32_t engine; /* EngineKind */
        uint32_t media;  /* MediaType */
        uint32_t coding; /* ContentCoding */
        uint32_t max_passages;
        uint64_t max_decoded; /* bytes after decompression */
        uint64_t spin_ns;
        uint64_t deadline_ns; /* CLOCK_MONOTONIC; work that cannot be done by then may stop early */
        ShmRange document;
        ShmRange question;
        ShmRange rules;
        char charset[CHARSET_MAX]; /* lower case, NUL-ended; empty: unknown */
} TaskRecord;

typedef enum Outcome {
        OUTCOME_OK,
        OUTCOME_EMPTY,     /* Empty= says so, or there is no text */
        OUTCOME_DECODE,    /* bad encoding, compression, charset or JSON */
        OUTCOME_REJECTED,  /* Select= or Success= does not hold */
        OUTCOME_TOO_LARGE, /* over max_decoded */
        OUTCOME_COUNT,
} Outcome;

/* Of what kind the `data` of a result is and where it stands. */
typedef enum DataKind {
        DATA_NONE,
        DATA_JSON,          /* in the result area */
        DATA_TEXT,          /* in the result area */
        DATA_JSON_DOCUMENT, /* the task's document itself, unchanged: nothing is copied */
        DATA_TEXT_DOCUMENT,
        DATA_COUNT,
} DataKind;

typedef struct CompletionRecord {
        uint32_t slot;
        uint32_t generation;
        uint64_t result_offset; /* from the start of the result area */
        uint64_t result_size;   /* ResultHeader and everything after it */
        uint64_t checksum;      /* hash_bytes() over those bytes, seed: generation */
        uint64_t started_ns;    /* CLOCK_MONOTONIC: taken from the lane */
        uint64_t decoded_ns;    /* decoding and text done, engine begins */
        uint64_t finished_ns;
} CompletionRecord;

/* Strings follow the header; offsets count from the ResultHeader's first byte. */
typedef struct ResultString {
        uint32_t offset;
        uint32_t size;
} ResultString;

typedef struct PassageRecord {
        double score; /* comparable between documents of one question; finite, >= 0 */
        ResultString text;
        ResultString title; /* size 0: none */
        ResultString link;
} PassageRecord;

typedef struct ResultHeader {
        uint32_t outcome;   /* Outcome */
        uint32_t data_kind; /* DataKind */
        uint32_t tokens;
        uint32_t sentences;
        uint32_t n_passages;
        uint32_t reserved;
        ResultString error; /* why the outcome is not ok */
        ResultString summary;
        ResultString title;   /* of the document */
        uint64_t data_offset; /* as the strings' */
        uint64_t data_size;
        PassageRecord passages[MAX_PASSAGES]; /* n_passages of them; strings may begin behind those */
} ResultHeader;

/* ---- the segment ---- */

/* One entry of the submission lane. `claim` lets the supervisor take a task back that the worker
 * has not begun: each side moves it away from CLAIM_QUEUED by compare-and-swap, so just one of them
 * wins. The word also holds the entry's index, shifted left by two, beside the state: a late move
 * cannot hit the next task in the same place. It is writable by the worker and so a hint: the
 * supervisor's own table decides what counts. */
typedef enum Claim {
        CLAIM_FREE,
        CLAIM_QUEUED,
        CLAIM_RUNNING,
        CLAIM_REVOKED,
} Claim;

typedef struct SubmissionEntry {
        _Alignas(CACHE_LINE) _Atomic uint32_t claim;
        TaskRecord task;
} SubmissionEntry;

typedef struct LaneIndex {
        _Alignas(CACHE_LINE) _Atomic uint32_t value;
} LaneIndex;

typedef struct SubmissionLane {
        LaneIndex tail; /* written by the supervisor */
        LaneIndex head; /* written by the worker */
        SubmissionEntry entries[LANE_DEPTH];
} SubmissionLane;

typedef struct CompletionEntry {
        _Alignas(CACHE_LINE) CompletionRecord record;
} CompletionEntry;

typedef struct CompletionLane {
        LaneIndex tail; /* written by the worker */
        LaneIndex head; /* written by the supervisor */
        CompletionEntry entries[LANE_DEPTH];
} CompletionLane;

/* Doorbell words and the worker's own counters. */
typedef struct WorkerState {
        LaneIndex worker_sleeps; /* 1: the worker sleeps on this word (futex); see shm/doorbell.h */
        LaneIndex supervisor_sleeps; /* 1: the supervisor wants the eventfd rung */
        LaneIndex ready;             /* 1 once the sandbox is closed */
        LaneIndex retire; /* written by the supervisor: 1: finish what you hold, then exit 0 */
} WorkerState;

typedef struct SegmentHeader {
        uint64_t magic;
        uint32_t version;
        uint32_t lane_depth;
        uint64_t segment_size;
        uint64_t arena_size;
        uint64_t result_offset; /* of the result area, from the segment's first byte */
        uint64_t result_size;
} SegmentHeader;

typedef struct Segment {
        _Alignas(CACHE_LINE) SegmentHeader header;
        SubmissionLane submission;
        CompletionLane completion;
        WorkerState state;
        /* the result area follows at header.result_offset */
} Segment;

static_assert(sizeof(LaneIndex) == CACHE_LINE, "one index, one cache line");
static_assert((LANE_DEPTH & (LANE_DEPTH - 1)) == 0, "indices wrap by masking");
static_assert(sizeof(TaskRecord) == 128, "the format of a task is fixed");
static_assert(sizeof(CompletionRecord) == 56, "the format of a completion is fixed");
