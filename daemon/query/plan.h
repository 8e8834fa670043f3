/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which sources a query asks, and which it does not and why. Pure; the same plan is shown by
 * Explain and carried out by Query. */

#include "cache.h"
#include "query.h"
#include "source.h"

typedef struct PlanEntry {
        Source *source;
        const char *refusal; /* static text: why it is not asked; NULL: it is */
} PlanEntry;

typedef struct Plan {
        PlanEntry *entries; /* in the order in which they start */
        size_t count;
} Plan;

/* QUERY_NO_SUCH_SOURCE, QUERY_NO_MEMORY. `all`: without names, disabled sources are listed as well
 * (Explain). */
QueryRefusal
plan_make(Plan *ret, const SourceTable *table, const QueryRequest *request, bool all,
          QueryRefused *ret_refused);
void plan_deinit(Plan *plan);

/* The values of placeholders: the question and the parameters; freed by the caller. NULL: no
 * memory. */
TemplateValue *plan_values(const QueryRequest *request, size_t *ret_count);

/* What a plan depends on beside the configuration. */
typedef struct PlanView {
        uint64_t deadline_ns; /* length */
        uint64_t now;
        uint64_t unix_ms;
        CacheState (*cached)(
                        void *userdata, const Source *source, const TemplateValue values[],
                        size_t n_values, uint64_t *ret_age_ns);
        void *userdata;
} PlanView;

/* {"sources":[{source, method, url, timeout_ms, would_ask, reason, …}]} */
void plan_write(const Plan *plan, const QueryRequest *request, const PlanView *view, Buffer *out);
