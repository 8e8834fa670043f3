/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A request on its way to a source, for one query or for many: whoever asks the same while it flies
 * follows it, with a deadline of its own, and leaves when it likes. A flight that nobody follows
 * any more is either harvested (it goes on, so that the cache and the latency history gain by it)
 * or cancelled. Ends once, by `landed` of each follower. */

#include <stdbool.h>
#include <stdint.h>

#include "fetch.h"
#include "finding.h"
#include "hash-map.h"

typedef struct Flight Flight;
typedef struct FlightFollower FlightFollower;

struct FlightFollower {
        List node;      /* private */
        Flight *flight; /* NULL: it follows none */
        uint64_t deadline;
        /* `finding` is borrowed for the call; NULL: there was no memory for it. */
        void (*landed)(FlightFollower *follower, Finding *finding);
};

/* All flights of the daemon. */
typedef struct Flights {
        FetchContext *fetch;
        HashMap by_key; /* those that may be joined */
        List all;
        List spare; /* memory of those that have landed */
        unsigned n_spare;
        size_t n_alone; /* without a follower */
        bool stopping;  /* none may go on alone */
        /* It has landed, and the followers have been told. */
        void (*landed)(void *userdata, const Flight *flight, Finding *finding);
        void *userdata;
} Flights;

struct Flight {
        Flights *flights;
        List node;
        char *key;    /* "source\nrequest" */
        bool joined;  /* it can be: it is in by_key */
        bool harvest; /* what it brings is wanted, whoever follows */
        bool refresh; /* it was begun for the cache alone */
        bool landing; /* its followers are being told */
        bool alone;   /* it had none when it landed */
        Fetch fetch;
        List followers;
        /* In whose light it is read when nobody is there: a reference. */
        ArenaBlock *question;
        unsigned max_passages;
};

typedef struct FlightRequest {
        Source *source;
        char **key; /* taken over when a flight begins */
        ArenaBlock *question;
        unsigned max_passages;
        bool batch;
        bool alone; /* must not be shared: neither joins one nor is joined */
} FlightRequest;

/* The request's bytes within a key. */
static inline const char *flight_key_request(const char *key, const Source *source) {
        return key + strlen(source->name) + 1;
}

void flights_init(Flights *flights, FetchContext *fetch, uint64_t hash_seed);
/* Cancels those that nobody follows; from now on none goes on alone. */
void flights_stop(Flights *flights);
void flights_deinit(Flights *flights);

/* 0: `landed` will be called from the loop; 1: the same, and it has joined one that flew already.
 * -ENOMEM. A follower NULL starts one that nobody follows, unless there is one. */
int flight_follow(Flights *flights, const FlightRequest *request, FlightFollower *follower);
/* Harmless when it follows none. */
void flight_leave(FlightFollower *follower, bool harvest);
