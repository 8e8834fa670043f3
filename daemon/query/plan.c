/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fetch.h"
#include "plan.h"

static void plan_add(Plan *plan, Source *source) {
        plan->entries[plan->count++] = (PlanEntry){
                .source = source,
                .refusal = source->config->enabled ? NULL : "disabled by Enabled=no",
        };
}

static void plan_all(Plan *plan, const SourceTable *table, bool disabled_too) {
        for (size_t i = 0; i < table->count; i++)
                if (table->sources[i]->config->enabled || disabled_too)
                        plan_add(plan, table->sources[i]);
}

static int by_priority(const void *a, const void *b) {
        const PlanEntry *x = a, *y = b;
        int64_t p = x->source->config->priority, q = y->source->config->priority;

        if (p != q)
                return p > q ? -1 : 1;
        return strcmp(x->source->name, y->source->name);
}

static QueryRefusal
plan_named(Plan *plan, const SourceTable *table, const QueryRequest *request,
           QueryRefused *ret_refused) {
        for (size_t i = 0; i < request->n_sources; i++) {
                Source *source = source_table_find(table, request->sources[i]);

                if (!source) {
                        ret_refused->which = request->sources[i];
                        return QUERY_NO_SUCH_SOURCE;
                }
                plan_add(plan, source);
        }

        /* In order of priority; a name given twice is asked once. */
        qsort(plan->entries, plan->count, sizeof(PlanEntry), by_priority);
        size_t kept = 0;
        for (size_t i = 0; i < plan->count; i++)
                if (kept == 0 || plan->entries[kept - 1].source != plan->entries[i].source)
                        plan->entries[kept++] = plan->entries[i];
        plan->count = kept;
        return QUERY_ACCEPTED;
}

QueryRefusal
plan_make(Plan *ret, const SourceTable *table, const QueryRequest *request, bool all,
          QueryRefused *ret_refused) {
        size_t most = request->all_sources ? table->count : request->n_sources;
        Plan plan = { .entries = calloc(most + 1, sizeof(PlanEntry)) };
        QueryRefusal refusal = QUERY_ACCEPTED;

        if (!plan.entries)
                return QUERY_NO_MEMORY;
        if (request->all_sources)
                plan_all(&plan, table, all);
        else
                refusal = plan_named(&plan, table, request, ret_refused);
        if (refusal != QUERY_ACCEPTED)
                plan_deinit(&plan);
        else
                *ret = plan;
        return refusal;
}

void plan_deinit(Plan *plan) {
        free(plan->entries);
        *plan = (Plan){};
}

TemplateValue *plan_values(const QueryRequest *request, size_t *ret_count) {
        TemplateValue *values = calloc(request->n_parameters + 1, sizeof(*values));
        if (!values)
                return NULL;

        /* The question comes first, so that no parameter of that name can stand for it. */
        values[0] = (TemplateValue){ "question", request->question, request->question_size };
        for (size_t i = 0; i < request->n_parameters; i++)
                values[i + 1] = (TemplateValue){ request->parameters[i].name,
                                                 request->parameters[i].value,
                                                 strlen(request->parameters[i].value) };
        *ret_count = request->n_parameters + 1;
        return values;
}

static const char *cache_state_name(CacheState state) {
        static const char *const names[] = {
                [CACHE_NOTHING] = "nothing",
                [CACHE_FRESH] = "fresh",
                [CACHE_STALE] = "stale",
                [CACHE_STALE_IF_ERROR] = "stale_if_error",
        };
        return names[state];
}

/* Why a source would not be asked now, of what can be known before; NULL: it would. */
static char *
plan_reason(const PlanEntry *entry, const QueryRequest *request, const PlanView *view,
            int render_error, const char *missing, CacheState cached) {
        const Source *source = entry->source;
        char *reason = NULL;
        int r = 0;

        if (entry->refusal)
                r = asprintf(&reason, "%s", entry->refusal);
        else if (render_error == -ENOENT)
                r = asprintf(&reason, "parameter \"%s\" was not given and has no default", missing);
        else if (render_error < 0)
                r = asprintf(&reason, "the request would be too long");
        else if (cached == CACHE_FRESH)
                r = asprintf(&reason, "a fresh copy is in the cache");
        else if (request->cache == QUERY_CACHE_ONLY)
                r = asprintf(&reason, "only the cache is asked");
        else if (!breaker_would_admit(&source->breaker, &source->breaker_policy, view->now))
                r = asprintf(&reason, "its breaker is %s",
                             breaker_state_name(breaker_state(&source->breaker, view->now)));
        else if (source_daily_left(source, view->unix_ms) == 0)
                r = asprintf(&reason, "Daily= is used up until midnight UTC");
        return r < 0 ? NULL : reason;
}

/* What the source may still take, and how it would be asked. */
static void plan_write_budgets(const Source *source, const PlanView *view, JsonWriter *w) {
        uint64_t hedge = fetch_hedge_delay(source);

        json_put_u64(w, "attempts", source->config->attempts);
        json_put_ms(w, "attempt_timeout_ms", MIN(fetch_attempt_timeout(source), view->deadline_ns));
        json_put_u64(w, "retries_left", retry_budget_left(&source->budget, view->now));
        if (hedge > 0)
                json_put_ms(w, "hedge_ms", hedge);
        if (source->config->daily > 0)
                json_put_u64(w, "daily_left", source_daily_left(source, view->unix_ms));
        if (source->hold_until > view->now)
                json_put_ms(w, "hold_ms", source->hold_until - view->now);
        source_write_breaker(source, view->now, w);
}

static void plan_write_entry(
                const PlanEntry *entry, const TemplateValue values[], size_t n_values,
                const QueryRequest *request, const PlanView *view, JsonWriter *w) {
        const Source *source = entry->source;
        const char *missing = NULL;
        Buffer url = {};
        uint64_t age = 0;
        CacheState cached = CACHE_NOTHING;

        int r = source_render_url(source, values, n_values, &url, &missing);
        if (r >= 0 && request->cache != QUERY_CACHE_BYPASS)
                cached = view->cached(view->userdata, source, values, n_values, &age);
        CLEANUP_FREE char *reason = plan_reason(entry, request, view, r, missing, cached);

        json_begin_object(w, NULL);
        json_put_string(w, "source", source->name);
        json_put_string(w, "method", request_method_name(source->config->method));
        if (r < 0)
                json_put_null(w, "url");
        else
                json_put_string_n(w, "url", url.data, url.size);
        json_put_ms(w, "timeout_ms", MIN(source->config->timeout, view->deadline_ns));
        json_put_bool(w, "would_ask", reason == NULL);
        json_put_string(w, "reason", reason);
        json_put_string(w, "cached", cache_state_name(cached));
        if (cached != CACHE_NOTHING)
                json_put_ms(w, "age_ms", age);
        plan_write_budgets(source, view, w);
        json_end_object(w);
        buffer_deinit(&url);
}

void plan_write(const Plan *plan, const QueryRequest *request, const PlanView *view, Buffer *out) {
        JsonWriter w = json_writer(out);
        size_t n_values = 0;
        CLEANUP_FREE TemplateValue *values = plan_values(request, &n_values);

        json_begin_object(&w, NULL);
        json_begin_array(&w, "sources");
        for (size_t i = 0; values && i < plan->count; i++)
                plan_write_entry(&plan->entries[i], values, n_values, request, view, &w);
        json_end_array(&w);
        json_end_object(&w);
}
