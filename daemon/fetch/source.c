/* SPDX-License-Identifier: Apache-2.0 */

/* The authority of a URL never holds a placeholder: clients name a source, they do not choose whom
 * we connect to. So scheme, host and port are parsed once, and a request differs from the next only
 * in its target and body. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "clock.h"
#include "record.h"
#include "source.h"

#define REQUEST_MAX (UINT32_C(256) << 10)

/* ---- checking and compiling ---- */

/* Offset of the first byte after "scheme://authority" or "simulate:". */
static size_t authority_end(const char *url) {
        const char *colon = strchr(url, ':');

        if (!colon)
                return strlen(url);
        if (strncmp(colon, "://", 3) != 0)
                return (size_t) (colon + 1 - url);
        return (size_t) (colon + 3 - url) + strcspn(colon + 3, "/?#");
}

/* The URL with every placeholder written over with "x": values are percent-encoded, so they pass
 * wherever an "x" does, and an offset in the sample is one in the text. Only of a text that
 * compiles. */
static char *make_sample(const char *text) {
        char *sample = strdup(text);

        for (char *at = sample ? strchr(sample, '{') : NULL; at; at = strchr(at, '{'))
                memset(at, 'x', strcspn(at, "}") + 1);
        return sample;
}

static int parse_sample(const char *text, Url *ret, size_t *ret_offset, const char **ret_reason) {
        CLEANUP_FREE char *sample = make_sample(text);

        return sample ? url_parse(sample, ret, ret_offset, ret_reason) : -ENOMEM;
}

static int
source_compile_simulation(Source *source, size_t brace, size_t *ret_offset, const char **ret_reason) {
        const char *text = source->config->url;

        if (text[brace]) {
                *ret_offset = brace;
                *ret_reason = "what simulate: does must not depend on parameters";
                return -EINVAL;
        }
        *ret_offset = source->target_offset;
        return simulation_parse(source->url.target, &source->simulation, ret_reason);
}

static int source_compile_url(Source *source, size_t *ret_offset, const char **ret_reason) {
        const char *text = source->config->url;
        size_t end = authority_end(text), brace = strcspn(text, "{");

        if (text[brace] && brace < end) {
                *ret_offset = brace;
                *ret_reason = "the host must not depend on parameters";
                return -EINVAL;
        }
        int r = template_compile(&source->target, text + end, TEMPLATE_URL, ret_offset, ret_reason);
        if (r < 0) {
                *ret_offset += end;
                return r;
        }
        r = parse_sample(text, &source->url, ret_offset, ret_reason);
        if (r == -EPROTONOSUPPORT)
                *ret_reason = "unknown scheme; this version has http://, http+unix:// and simulate:";
        if (r < 0)
                return r;
        source->target_offset = end;
        if (source->url.scheme != URL_SIMULATE)
                return 0;
        return source_compile_simulation(source, brace, ret_offset, ret_reason);
}

static int source_compile_body(Source *source, size_t *ret_offset, const char **ret_reason) {
        const char *text = source->config->body ? source->config->body : "";

        return template_compile(&source->body, text, TEMPLATE_BODY, ret_offset, ret_reason);
}

static Source *source_free(Source *source) {
        if (!source)
                return NULL;
        gate_deinit(&source->gate);
        url_deinit(&source->url);
        template_deinit(&source->target);
        template_deinit(&source->body);
        arena_block_unref(source->rules);
        free(source->head);
        free(source);
        return NULL;
}

static void cleanup_source(Source **source) {
        source_free(*source);
}

/* Tries `compile` on the configuration of one source. */
static int
check_compile(const SourceConfig *config, int (*compile)(Source *, size_t *, const char **),
              size_t *ret_offset, char **ret_message) {
        CLEANUP(cleanup_source) Source *source = calloc(1, sizeof(*source));
        const char *reason = NULL;
        size_t offset = 0;

        if (!source)
                return -ENOMEM;
        source->config = config;
        int r = compile(source, &offset, &reason);
        if (r >= 0 || r == -ENOMEM)
                return r;
        *ret_offset = offset;
        *ret_message = strdup(reason ? reason : "not a URL");
        return -EINVAL;
}

int source_check_url(
                const SourceConfig *config, void *userdata, const char **ret_key,
                size_t *ret_offset, char **ret_message) {
        *ret_key = "URL";
        return config->url ? check_compile(config, source_compile_url, ret_offset, ret_message) :
                             0; /* reported as missing by the reader */
}

int source_check_body(
                const SourceConfig *config, void *userdata, const char **ret_key,
                size_t *ret_offset, char **ret_message) {
        *ret_key = "Body";
        return check_compile(config, source_compile_body, ret_offset, ret_message);
}

/* ---- making the table ---- */

static bool has_header(const SourceConfig *config, const char *name) {
        size_t n = strlen(name);

        for (size_t i = 0; i < config->headers.count; i++)
                if (strncasecmp(config->headers.items[i], name, n) == 0 &&
                    config->headers.items[i][n] == ':')
                        return true;
        return false;
}

static int source_write_head(Source *source, const char *user_agent) {
        const struct {
                const char *name, *value;
        } defaults[] = {
                { "User-Agent", user_agent },
                { "Accept", "application/json, text/html;q=0.9, text/*;q=0.8, */*;q=0.1" },
                { "Accept-Encoding", "gzip, deflate" },
                { "Content-Type", source->config->body ? "application/json" : NULL },
        };
        Buffer head = {};

        (void) buffer_printf(&head, " HTTP/1.1\r\nHost: %s\r\n", source->url.authority);
        for (size_t i = 0; i < ELEMENTSOF(defaults); i++)
                if (defaults[i].value && !has_header(source->config, defaults[i].name))
                        (void) buffer_printf(&head, "%s: %s\r\n", defaults[i].name, defaults[i].value);
        for (size_t i = 0; i < source->config->headers.count; i++)
                (void) buffer_printf(&head, "%s\r\n", source->config->headers.items[i]);
        source->head = buffer_steal(&head);
        return source->head ? 0 : -ENOMEM;
}

static int source_place_rules(Source *source, Arena *arena) {
        const SourceConfig *config = source->config;
        SourceRules rules = {
                .select = config->select,
                .success = config->success,
                .empty = config->empty,
                .title = config->title,
                .link = config->link,
        };
        Buffer packed = {};

        if (!rules.select && !rules.success && !rules.empty && !rules.title && !rules.link)
                return 0;
        int r = rules_pack(&rules, &packed);
        if (r >= 0)
                r = arena_alloc(arena, packed.size, &source->rules);
        if (r >= 0) {
                memcpy(arena_block_data(source->rules), packed.data, packed.size);
                source->rules->size = packed.size;
        }
        buffer_deinit(&packed);
        return r;
}

static uint64_t first_given(uint64_t own, uint64_t common) {
        return own == CONFIG_SEC_DEFAULT ? common : own;
}

static void source_init_policy(Source *source, const Config *all, Io *io) {
        const SourceConfig *config = source->config;
        const RatePolicy rate = {
                .tokens = config->rate.count,
                .period_ns = config->rate.period_ns,
                .interval_ns = config->min_interval,
        };

        gate_init(&source->gate, io, config->concurrency, &rate);
        source->breaker_policy = (BreakerPolicy){ config->breaker_failures, config->breaker_open };
        source->freshness = (FreshnessPolicy){
                .ttl_ns = first_given(config->cache_ttl, all->cache_ttl),
                .stale_while_revalidate_ns = first_given(
                                config->cache_stale_revalidate, all->cache_stale_revalidate),
                .stale_if_error_ns = first_given(config->cache_stale_error, all->cache_stale_error),
        };
        /* Simulated sources have no network in common, nor anything else. */
        const char *origin = source->url.scheme == URL_SIMULATE ? source->name : source->url.origin;
        source->origin = hash_bytes(origin, strlen(origin), 0) | 1;
}

static int
source_new(Source **ret, const SourceConfig *config, const Config *all, Arena *arena, Io *io) {
        CLEANUP(cleanup_source) Source *source = calloc(1, sizeof(*source));
        const char *reason = NULL;
        size_t offset = 0;

        if (!source)
                return -ENOMEM;
        source->config = config;
        source->name = config->name;
        source->engine =
                        (EngineKind) (config->engine == CONFIG_ENGINE_DEFAULT ? all->engine :
                                                                                config->engine);
        int r = source_compile_url(source, &offset, &reason);
        if (r >= 0)
                r = source_compile_body(source, &offset, &reason);
        if (r >= 0 && source->url.scheme != URL_SIMULATE)
                r = source_write_head(source, all->user_agent);
        if (r >= 0)
                r = source_place_rules(source, arena);
        if (r < 0)
                return r;
        source_init_policy(source, all, io);
        *ret = TAKE_PTR(source);
        return 0;
}

static int source_order(const void *a, const void *b) {
        const Source *x = *(Source *const *) a, *y = *(Source *const *) b;

        if (x->config->priority != y->config->priority)
                return x->config->priority > y->config->priority ? -1 : 1;
        return strcmp(x->name, y->name);
}

SourceTable *source_table_free(SourceTable *table) {
        if (!table)
                return NULL;
        for (size_t i = 0; i < table->count; i++)
                source_free(table->sources[i]);
        free(table->sources);
        hash_map_deinit(&table->by_name);
        free(table);
        return NULL;
}

static void cleanup_table(SourceTable **table) {
        source_table_free(*table);
}

static void table_link_fallbacks(SourceTable *table) {
        for (size_t i = 0; i < table->count; i++) {
                Source *source = table->sources[i];
                if (source->config->fallback_source)
                        source->fallback = source_table_find(table, source->config->fallback_source);
        }
}

int source_table_new(SourceTable **ret, const Config *config, Arena *arena, Io *io, uint64_t hash_seed) {
        CLEANUP(cleanup_table) SourceTable *table = calloc(1, sizeof(*table));
        if (!table)
                return -ENOMEM;

        table->by_name.seed = hash_seed;
        table->sources = calloc(config->n_sources + 1, sizeof(Source *));
        if (!table->sources)
                return -ENOMEM;
        for (size_t i = 0; i < config->n_sources; i++) {
                Source **place = &table->sources[i];
                int r = source_new(place, config->sources[i], config, arena, io);
                if (r < 0)
                        return r;
                table->count++;
                r = hash_map_put(&table->by_name, (*place)->name, *place);
                if (r < 0)
                        return r;
        }
        qsort(table->sources, table->count, sizeof(Source *), source_order);
        table_link_fallbacks(table);
        *ret = TAKE_PTR(table);
        return 0;
}

Source *source_table_find(const SourceTable *table, const char *name) {
        return hash_map_get(&table->by_name, name);
}

/* ---- rendering ---- */

static int render_simulation(const TemplateValue values[], size_t n_values, Buffer *out) {
        for (size_t i = 0; i < n_values; i++)
                if (strcmp(values[i].name, "question") == 0)
                        return buffer_append(out, values[i].value, values[i].size);
        return 0;
}

/* Room for a usual request, so that it is allocated once. */
#define REQUEST_USUAL 512u

static int
render_body(const Source *source, const TemplateValue values[], size_t n_values, Buffer *out,
            const char **ret_missing) {
        Buffer body = BUFFER_INIT(REQUEST_MAX);

        int r = template_render(&source->body, values, n_values, &body, ret_missing);
        if (r >= 0)
                r = buffer_printf(out, "Content-Length: %zu\r\n\r\n", body.size);
        if (r >= 0)
                r = buffer_append(out, body.data, body.size);
        buffer_deinit(&body);
        return r;
}

static int
render_target(const Source *source, const TemplateValue values[], size_t n_values, Buffer *out,
              const char **ret_missing) {
        const char *first = source->config->url + source->target_offset;

        if (*first != '/')
                (void) buffer_append_char(out, '/');
        size_t before = out->size;
        int r = template_render(&source->target, values, n_values, out, ret_missing);
        return r >= 0 && out->size - before > REQUEST_MAX ? -EMSGSIZE : r;
}

int source_render_request(
                const Source *source, const TemplateValue values[], size_t n_values, Buffer *out,
                const char **ret_missing) {
        if (source->url.scheme == URL_SIMULATE)
                return render_simulation(values, n_values, out);
        (void) buffer_reserve(out, REQUEST_USUAL);
        (void) buffer_append_string(out, request_method_name(source->config->method));
        (void) buffer_append_char(out, ' ');
        int r = render_target(source, values, n_values, out, ret_missing);
        if (r < 0)
                return r;
        (void) buffer_append_string(out, source->head);
        if (source->config->method == METHOD_POST)
                return render_body(source, values, n_values, out, ret_missing);
        return buffer_append(out, "\r\n", 2);
}

/* Names of query parameters and headers whose values are nobody's business. */
static bool name_is_secret(const char *name, size_t size) {
        static const char *const words[] = { "key",   "token",  "secret",    "passw",     "auth",
                                             "appid", "cookie", "signature", "credential" };
        char lower[64];
        size_t n = MIN(size, sizeof(lower) - 1);

        for (size_t i = 0; i < n; i++)
                lower[i] = (char) (name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
        lower[n] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strstr(lower, words[i]))
                        return true;
        return false;
}

/* Copies a URL with the values of such parameters replaced by "***". */
static void append_masked_url(Buffer *out, const char *url, size_t size) {
        const char *end = url + size, *query = memchr(url, '?', size);

        if (!query) {
                (void) buffer_append(out, url, size);
                return;
        }
        (void) buffer_append(out, url, (size_t) (query + 1 - url));
        for (const char *at = query + 1; at < end;) {
                const char *next = memchr(at, '&', (size_t) (end - at));
                const char *stop = next ? next : end;
                const char *equals = memchr(at, '=', (size_t) (stop - at));

                if (equals && name_is_secret(at, (size_t) (equals - at))) {
                        (void) buffer_append(out, at, (size_t) (equals + 1 - at));
                        (void) buffer_append(out, "***", 3);
                } else
                        (void) buffer_append(out, at, (size_t) (stop - at));
                if (next)
                        (void) buffer_append_char(out, '&');
                at = next ? next + 1 : end;
        }
}

int source_render_url(
                const Source *source, const TemplateValue values[], size_t n_values, Buffer *out,
                const char **ret_missing) {
        Buffer url = BUFFER_INIT(REQUEST_MAX);

        (void) buffer_append(&url, source->config->url, source->target_offset);
        int r = template_render(&source->target, values, n_values, &url, ret_missing);
        if (r >= 0)
                append_masked_url(out, url.data, url.size);
        buffer_deinit(&url);
        return r < 0 ? r : out->error;
}

/* ---- run time ---- */

uint64_t source_daily_left(const Source *source, uint64_t unix_ms) {
        uint64_t limit = source->config->daily;

        return limit == 0 ? UINT64_MAX : time_sub(limit, daily_used(&source->daily, unix_ms));
}

static void write_configuration(const Source *source, JsonWriter *w) {
        json_begin_object(w, "configuration");
        for (size_t i = 0; i < n_source_keys; i++) {
                const ConfigKey *key = &source_keys[i];
                CLEANUP_FREE char *text = config_get_text(source->config, key);

                if (!text || key->type == CONFIG_LIST || strcmp(key->name, "URL") == 0)
                        continue;
                json_put_string(w, key->name, text);
        }
        json_begin_array(w, "Header");
        for (size_t i = 0; i < source->config->headers.count; i++) {
                const char *header = source->config->headers.items[i];
                size_t name = strcspn(header, ":");

                if (name_is_secret(header, name)) {
                        CLEANUP_FREE char *masked = NULL;
                        if (asprintf(&masked, "%.*s: ***", (int) name, header) >= 0)
                                json_put_string(w, NULL, masked);
                } else
                        json_put_string(w, NULL, header);
        }
        json_end_array(w);
        json_end_object(w);
}

static void write_counters(const Source *source, JsonWriter *w) {
        json_begin_object(w, "counters");
        for (unsigned i = 0; i < COUNTER_COUNT; i++)
                json_put_u64(w, counter_name((SourceCounter) i), source->counters[i]);
        json_put_u64(w, "bytes", source->bytes);
        json_begin_object(w, "verdicts");
        for (unsigned i = 0; i < VERDICT_COUNT; i++)
                if (source->verdicts[i] > 0)
                        json_put_u64(w, verdict_name((Verdict) i), source->verdicts[i]);
        json_end_object(w);
        json_end_object(w);
}

void source_write_breaker(const Source *source, uint64_t now, JsonWriter *w) {
        const Breaker *breaker = &source->breaker;

        json_begin_object(w, "breaker");
        json_put_string(w, "state", breaker_state_name(breaker_state(breaker, now)));
        json_put_u64(w, "failures", breaker->failures);
        json_put_ms(w, "open_ms", breaker_open_left(breaker, now));
        if (breaker->force != BREAKER_AUTO)
                json_put_bool(w, "forced", true);
        json_end_object(w);
}

static void write_latency(const Source *source, JsonWriter *w) {
        json_begin_object(w, "latency");
        json_put_u64(w, "count", source->latency.count);
        json_put_ms(w, "p50_ms", latency_quantile(&source->latency, .5));
        json_put_ms(w, "p95_ms", latency_quantile(&source->latency, .95));
        json_end_object(w);
}

/* What its limits leave for now. */
static void write_limits(const Source *source, uint64_t now, uint64_t unix_ms, JsonWriter *w) {
        json_begin_object(w, "limits");
        json_put_u64(w, "inside", source->gate.inside);
        json_put_u64(w, "waiting", source->gate.line.count);
        if (source->config->daily > 0)
                json_put_u64(w, "daily_left", source_daily_left(source, unix_ms));
        json_put_u64(w, "retries_left", retry_budget_left(&source->budget, now));
        if (source->hold_until > now)
                json_put_ms(w, "hold_ms", source->hold_until - now);
        json_end_object(w);
}

void source_write(const Source *source, uint64_t now, uint64_t unix_ms, JsonWriter *w, bool details) {
        const SourceConfig *config = source->config;
        Buffer url = {};

        append_masked_url(&url, config->url, strlen(config->url));
        json_put_string(w, "name", source->name);
        json_put_string(w, "description", config->description ? config->description : "");
        json_put_string_n(w, "url", url.data, url.size);
        json_put_bool(w, "enabled", config->enabled);
        json_put_string(w, "class", source_class_name(config->class));
        json_put_string(w, "engine", engine_name((int) source->engine));
        json_put_u64(w, "in_flight", source->in_flight);
        source_write_breaker(source, now, w);
        write_latency(source, w);
        if (details) {
                json_put_string(w, "path", config->path);
                write_configuration(source, w);
                write_limits(source, now, unix_ms, w);
                write_counters(source, w);
        }
        buffer_deinit(&url);
}
