/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One document read by a worker in the light of one question. Who asks the same of the same
 * document follows the reading that is under way, or gets the one that is done. Ends once, by
 * `done` of each follower. */

#include <stdbool.h>
#include <stdint.h>

#include "finding.h"
#include "pool.h"

typedef struct Reading Reading;

/* Where readings are done, and who wants to know of each that has ended. */
typedef struct ReadingContext {
        Pool *pool;
        List running;
        bool stopping; /* none goes on without a follower */
        /* `kept_before`: finding->kept as it was. */
        void (*ended)(void *userdata, Reading *reading, size_t kept_before);
        void *userdata;
} ReadingContext;

struct Reading {
        unsigned references;
        List node;    /* of the finding */
        List running; /* of the context */
        ReadingContext *context;
        Finding *finding; /* a reference while it is under way, then borrowed from whoever has one */
        ArenaBlock *question;
        unsigned max_passages;
        PoolTask task;
        List followers;
        bool kept; /* goes on without a follower, too */
        bool done;

        Verdict verdict; /* when done */
        Stage stage;     /* where it ended */
        char *error;
        ResultHeader *result; /* private copy; NULL: none */
        size_t result_size;
};

typedef struct ReadingFollower ReadingFollower;
struct ReadingFollower {
        List node;        /* private */
        Reading *reading; /* a reference, until reading_unfollow() */
        void (*done)(ReadingFollower *follower);
};

/* Of batch queries, added to the source's; and of what nobody waits for. */
#define READING_PRIORITY_BATCH (-1000000)
#define READING_PRIORITY_LEAST (-2000000)

typedef struct ReadingRequest {
        ArenaBlock *question;
        unsigned max_passages;
        int priority;
        uint64_t deadline_ns;
} ReadingRequest;

/* Cancels those that nobody follows; from now on none goes on alone. */
void readings_stop(ReadingContext *context);

/* 0: `done` will be called from the loop. 1: it is done already, follower->reading has it, and
 * `done` is not called. -ENOMEM. A follower NULL starts one that nobody waits for, unless there is
 * one like it. */
int reading_follow(
                ReadingContext *context, Finding *finding, const ReadingRequest *request,
                ReadingFollower *follower);
/* `done` is not called any more, yet follower->reading stays to be looked at. One that is under way
 * and has lost its last follower goes on when `keep`, else it is cancelled. Harmless after the end,
 * and when it follows none. */
void reading_leave(ReadingFollower *follower, bool keep);
/* The same, and lets go of it. */
void reading_unfollow(ReadingFollower *follower, bool keep);

/* The last reference of a finding goes. */
void reading_drop(Reading *reading);
