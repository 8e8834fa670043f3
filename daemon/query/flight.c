/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "flight.h"

/* Flights that go on although nobody waits for them. */
#define ALONE_MAX 256u
#define SPARE_MAX 256u

void flights_init(Flights *flights, FetchContext *fetch, uint64_t hash_seed) {
        *flights = (Flights){ .fetch = fetch, .by_key.seed = hash_seed };
        list_init(&flights->all);
        list_init(&flights->spare);
}

/* Flights come and go with every query, and are too large for the allocator to be quick about; so
 * some are kept for the next. */
static Flight *flight_obtain(Flights *flights) {
        Flight *flight = LIST_FIRST(&flights->spare, Flight, node);

        if (!flight)
                return calloc(1, sizeof(*flight));
        list_remove(&flight->node);
        flights->n_spare--;
        return flight;
}

static void flight_give_back(Flight *flight) {
        Flights *flights = flight->flights;

        if (flights->n_spare >= SPARE_MAX) {
                free(flight);
                return;
        }
        list_append(&flights->spare, &flight->node);
        flights->n_spare++;
}

/* Nobody can join it any more. */
static void flight_close(Flight *flight) {
        if (flight->joined)
                (void) hash_map_remove(&flight->flights->by_key, flight->key);
        flight->joined = false;
}

static void flight_free(Flight *flight) {
        flight_close(flight);
        list_remove(&flight->node);
        fetch_deinit(&flight->fetch);
        arena_block_unref(flight->question);
        free(flight->key);
        flight_give_back(flight);
}

/* Nobody follows it: on alone, or to its end. */
static void flight_abandon(Flight *flight) {
        Flights *flights = flight->flights;

        if (flight->harvest && fetch_under_way(&flight->fetch) && !flights->stopping &&
            flights->n_alone < ALONE_MAX) {
                flights->n_alone++;
                flight->fetch.give_up = 0; /* what is under way may end, nothing begins */
                return;
        }
        flight_free(flight);
}

/* ---- the end ---- */

static void flight_land(Flight *flight, Finding *finding) {
        Flights *flights = flight->flights;
        flight->landing = true;
        flight->alone = list_empty(&flight->followers);
        flights->n_alone -= flight->alone;
        for (FlightFollower *follower;
             (follower = LIST_FIRST(&flight->followers, FlightFollower, node));) {
                list_remove(&follower->node);
                follower->flight = NULL;
                follower->landed(follower, finding);
        }
        if (finding)
                flights->landed(flights->userdata, flight, finding);
        finding_unref(finding);
        flight_free(flight);
}

static void on_fetch_done(Fetch *fetch) {
        Flight *flight = CONTAINER_OF(fetch, Flight, fetch);
        uint64_t end = fetch->outcome.end;

        /* Whoever asks from now on asks anew, or finds it in the cache. */
        flight_close(flight);
        if (end == 0)
                end = io_now(fetch->context->attempt.io);
        flight_land(flight, finding_new(fetch->source, &fetch->outcome, &flight->key, end));
}

/* ---- joining and leaving ---- */

static Flight *flight_new(Flights *flights, const FlightRequest *request) {
        Flight *flight = flight_obtain(flights);
        char *key = *request->key;

        if (!flight)
                return NULL;
        *request->key = NULL;
        *flight = (Flight){
                .flights = flights,
                .key = key,
                .question = arena_block_ref(request->question),
                .max_passages = request->max_passages,
                .fetch = {
                        .context = flights->fetch,
                        .source = request->source,
                        .request = flight_key_request(key, request->source),
                        .batch = request->batch,
                        .done = on_fetch_done,
                },
        };
        flight->fetch.request_size = strlen(flight->fetch.request);
        list_init(&flight->followers);
        list_init(&flight->node);
        if (!request->alone)
                flight->joined = hash_map_put(&flights->by_key, flight->key, flight) >= 0;
        if (fetch_start(&flight->fetch) < 0) {
                flight_free(flight);
                return NULL;
        }
        list_append(&flights->all, &flight->node);
        return flight;
}

static int flight_start_alone(Flights *flights, const FlightRequest *request) {
        if (flights->stopping || flights->n_alone >= ALONE_MAX)
                return -ECANCELED;
        Flight *flight = flight_new(flights, request);
        if (!flight)
                return -ENOMEM;
        flight->harvest = flight->refresh = true;
        flight->fetch.give_up = UINT64_MAX;
        flights->n_alone++;
        return 0;
}

int flight_follow(Flights *flights, const FlightRequest *request, FlightFollower *follower) {
        Flight *flight = request->alone ? NULL : hash_map_get(&flights->by_key, *request->key);
        bool shared = flight != NULL;

        if (!follower) {
                if (!shared)
                        return flight_start_alone(flights, request);
                flight->harvest = true;
                return 0;
        }
        if (!flight)
                flight = flight_new(flights, request);
        if (!flight)
                return -ENOMEM;
        if (shared && list_empty(&flight->followers))
                flights->n_alone--;
        flight->fetch.give_up = MAX(flight->fetch.give_up, follower->deadline);
        flight->fetch.batch &= request->batch;
        follower->flight = flight;
        list_append(&flight->followers, &follower->node);
        return shared;
}

void flight_leave(FlightFollower *follower, bool harvest) {
        Flight *flight = TAKE_PTR(follower->flight);

        if (!flight)
                return;
        list_remove(&follower->node);
        flight->harvest |= harvest;
        if (list_empty(&flight->followers) && !flight->landing)
                return flight_abandon(flight);
        flight->fetch.give_up = 0;
        LIST_FOREACH(node, &flight->followers)
                flight->fetch.give_up =
                                MAX(flight->fetch.give_up,
                                    LIST_ENTRY(node, FlightFollower, node)->deadline);
}

void flights_stop(Flights *flights) {
        flights->stopping = true;
        LIST_FOREACH_SAFE(node, &flights->all) {
                Flight *flight = LIST_ENTRY(node, Flight, node);

                if (!list_empty(&flight->followers) || flight->landing)
                        continue;
                flights->n_alone--;
                flight_free(flight);
        }
}

void flights_deinit(Flights *flights) {
        assert(list_empty(&flights->all));
        LIST_FOREACH_SAFE(node, &flights->spare)
                free(LIST_ENTRY(node, Flight, node));
        hash_map_deinit(&flights->by_key);
}
