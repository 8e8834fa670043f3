/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "admission.h"
#include "cleanup.h"
#include "clock.h"
#include "macro.h"

#define MEAN_WEIGHT  16u /* of the past in the moving average, against 1 for the present */
#define RETRY_MIN_MS 10u
#define RETRY_MAX_MS 10000u

void admission_init(Admission *admission, size_t max_open) {
        /* Batch queries leave some places to those who wait for their answer. */
        *admission = (Admission){
                .open.bound = max_open,
                .batch.bound = MAX(max_open * 3 / 4, (size_t) 1),
        };
        list_init(&admission->users);
}

void admission_deinit(Admission *admission) {
        assert(list_empty(&admission->users));
}

/* Known or new; a new one that gets no place is let go again. */
static AdmissionUser *user_get(Admission *admission, uint32_t user) {
        LIST_FOREACH(node, &admission->users) {
                AdmissionUser *known = LIST_ENTRY(node, AdmissionUser, node);
                if (known->user == user)
                        return known;
        }

        AdmissionUser *new = calloc(1, sizeof(*new));
        if (!new)
                return NULL;
        new->user = user;
        list_append(&admission->users, &new->node);
        return new;
}

static void user_release(AdmissionUser *user) {
        if (!user || user->open > 0)
                return;
        list_remove(&user->node);
        free(user);
}

/* A place becomes free every mean / max_open on average; everybody who is told so comes at a time
 * of his own, so the mean itself is a fair answer. */
static uint64_t retry_ms(const Admission *admission) {
        uint64_t ms = MAX(admission->mean_ns / NSEC_PER_MSEC, (uint64_t) RETRY_MIN_MS);

        return MIN(ms, (uint64_t) RETRY_MAX_MS);
}

bool admission_enter(
                Admission *admission, uint32_t user, bool batch, AdmissionTicket *ret,
                uint64_t *ret_retry_ms) {
        AdmissionUser *known = user_get(admission, user);

        if (!known || (batch && !quota_grants(&admission->batch, known->batch, 1)) ||
            !quota_take(&admission->open, &known->open, 1)) {
                user_release(known);
                admission->refused++;
                *ret_retry_ms = retry_ms(admission);
                return false;
        }
        (void) quota_take(&admission->batch, &known->batch, batch);
        *ret = (AdmissionTicket){ .user = known, .batch = batch };
        return true;
}

void admission_leave(Admission *admission, AdmissionTicket *ticket, uint64_t open_ns) {
        AdmissionUser *user = TAKE_PTR(ticket->user);

        if (!user)
                return;
        admission->mean_ns = (admission->mean_ns * (MEAN_WEIGHT - 1) + open_ns) / MEAN_WEIGHT;
        quota_give_back(&admission->batch, &user->batch, ticket->batch);
        quota_give_back(&admission->open, &user->open, 1);
        user_release(user);
}
