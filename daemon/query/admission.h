/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which queries are taken in, decided before any work is done for them: at most MaxQueries= are
 * open, of which batch ones may take three quarters; users share both kinds of places fairly
 * (quota.h). Who is refused learns at once when to come again, instead of running into a time out.
 * Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "list.h"
#include "quota.h"

typedef struct Admission {
        Quota open;
        Quota batch; /* of those */
        uint64_t refused;
        List users;       /* those who have an open query */
        uint64_t mean_ns; /* moving average of how long a query is open */
} Admission;

typedef struct AdmissionUser {
        List node;
        uint32_t user;
        size_t open;
        size_t batch; /* of those */
} AdmissionUser;

typedef struct AdmissionTicket {
        AdmissionUser *user; /* NULL: none is held */
        bool batch;
} AdmissionTicket;

void admission_init(Admission *admission, size_t max_open);
void admission_deinit(Admission *admission);

/* False: refused, *ret_retry_ms says when a place may be free. */
bool admission_enter(
                Admission *admission, uint32_t user, bool batch, AdmissionTicket *ret,
                uint64_t *ret_retry_ms);
/* `open_ns`: how long it was. Harmless without a ticket. */
void admission_leave(Admission *admission, AdmissionTicket *ticket, uint64_t open_ns);
