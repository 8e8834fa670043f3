/* SPDX-License-Identifier: Apache-2.0 */

/* About a third of all runs are calm: bytes come in any pieces, late and in another order, but
 * nothing is lost, workers are honest and there is room for everything. What becomes of a source is
 * then known from its behaviour alone, and anything else is a failure. In the other runs a few
 * kinds of trouble, drawn anew for each, are added; verdicts may then be worse, but only in the
 * ways that the trouble explains (scenario_verdicts()). */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "layout.h"
#include "macro.h"
#include "scenario.h"

#define SECONDS(n)      ((uint64_t) (n) *NSEC_PER_SEC)
#define MILLISECONDS(n) ((uint64_t) (n) *NSEC_PER_MSEC)

#define BODY_MAX     20000u
#define MAX_BYTES    32768u
#define QUERY_WINDOW SECONDS(10)  /* queries start within it */
#define CALM_LATEST  SECONDS(120) /* the longest deadline in calm runs */
#define QUIET_AFTER  SECONDS(70)  /* kept connections and unread replies are given up by then */

static const uint32_t behaviour_verdicts[] = {
#define V(verdict)                (UINT32_C(1) << VERDICT_##verdict)
#define BEHAVIOUR(name, verdicts) [BEHAVIOUR_##name] = (verdicts),
        BEHAVIOURS(BEHAVIOUR)
#undef BEHAVIOUR
#undef V
};

static char *text(const char *format, ...) PRINTF_LIKE(1, 2);

static char *text(const char *format, ...) {
        va_list arguments;
        char *made = NULL;

        va_start(arguments, format);
        if (vasprintf(&made, format, arguments) < 0)
                abort();
        va_end(arguments);
        return made;
}

static void replace(char **place, char *with) {
        free(*place);
        *place = with;
}

/* ---- sources ---- */

/* Half of them do nothing worse than to answer in odd ways. One kills workers at most: else the
 * pauses after deaths would add up, and the others had to wait. */
static Behaviour draw_behaviour(Chance *chance, Scenario *scenario) {
        if (chance_percent(chance, 50))
                return (Behaviour) chance_below(chance, BEHAVIOUR_NO_CONTENT);

        Behaviour behaviour = (Behaviour) chance_below(chance, BEHAVIOUR_COUNT);
        if (behaviour == BEHAVIOUR_POISON && scenario->poisoned)
                return BEHAVIOUR_ANSWERS;
        scenario->poisoned |= behaviour == BEHAVIOUR_POISON;
        return behaviour;
}

static char *draw_url(Chance *chance, const SourceScript *script) {
        unsigned server = script->server;
        const char *name = script->name;

        switch ((int) script->behaviour) {
        case BEHAVIOUR_NO_NAME:
                return text("http://none.test:%u/%s?q={question}", 8000 + server, name);
        case BEHAVIOUR_NAME_NEVER:
                return text("http://never.test:%u/%s?q={question}", 8000 + server, name);
        case BEHAVIOUR_LACKS_VALUE:
                return text("http://h%u.test:%u/%s?q={question}&place={place}", server,
                            8000 + server, name);
        case BEHAVIOUR_UNREACHABLE:
                return chance_percent(chance, 50) ?
                                text("http://10.0.0.1:1/%s?q={question}", name) :
                                text("http+unix://%%2Frun%%2Fnobody.sock/%s?q={question}", name);
        case BEHAVIOUR_SIMULATED:
        case BEHAVIOUR_SIMULATED_FAILS:
                return text("simulate:?delay=%ums&bytes=%zu&fail=%s",
                            (unsigned) chance_below(chance, 900), 100 + script->body_size,
                            script->behaviour == BEHAVIOUR_SIMULATED ? "0" : "0.5");
        default:
                break;
        }
        switch (chance_below(chance, 4)) {
        case 0:
                return text("http://h%u.test:%u/%s?q={question}", server, 8000 + server, name);
        case 1:
                return text("http://10.0.%u.1:%u/%s?q={question}", server, 8000 + server, name);
        case 2:
                return text("http://[fd00::%u]:%u/%s?q={question}", server, 8000 + server, name);
        default:
                return text("http+unix://%%2Frun%%2Fs%u.sock/%s?q={question}", server, name);
        }
}

/* That of an earlier source, or one more. Who leaves a connection in a bad state has a server to
 * itself. */
static unsigned draw_server(Chance *chance, Scenario *scenario, Behaviour behaviour) {
        const SourceScript *other = scenario->n_sources == 0 ?
                        NULL :
                        &scenario->sources[chance_below(chance, scenario->n_sources)];

        if (other && other->behaviour != BEHAVIOUR_EXTRA && behaviour != BEHAVIOUR_EXTRA &&
            chance_percent(chance, 40))
                return other->server;
        return scenario->n_servers++;
}

static void draw_script(Chance *chance, Scenario *scenario, SourceScript *script) {
        (void) snprintf(script->name, sizeof(script->name), "s%02zu", scenario->n_sources);
        script->behaviour = draw_behaviour(chance, scenario);
        script->verdicts = behaviour_verdicts[script->behaviour];
        script->framing = (Framing) chance_below(chance, FRAMING_COUNT);
        script->format = (Format) chance_below(chance, FORMAT_COUNT);
        script->think_ns = chance_scale(chance, MILLISECONDS(900));
        script->body_size = chance_scale(chance, BODY_MAX);
        script->rules = chance_percent(chance, 20);
        script->server = draw_server(chance, scenario, script->behaviour);

        script->fresh_ns = UINT64_MAX;

        /* Where an end that is too early could not be told from an end, or a rule would say no. */
        if (script->behaviour == BEHAVIOUR_CUT && script->framing == FRAMING_CLOSE)
                script->framing = FRAMING_CHUNKED;
        if (script->behaviour == BEHAVIOUR_EXTRA)
                script->framing = FRAMING_LENGTH;
        if (script->behaviour == BEHAVIOUR_REFUSED)
                script->rules = true;
        if (script->behaviour == BEHAVIOUR_SIMULATED || script->behaviour == BEHAVIOUR_SIMULATED_FAILS)
                script->rules = false;
        if (script->behaviour == BEHAVIOUR_POISON) {
                script->rules = false;
                script->format = FORMAT_TEXT;
        }
        if (script->rules || script->behaviour == BEHAVIOUR_BROKEN_JSON)
                script->format = FORMAT_JSON;
}

/* ---- what is configured for a source ---- */

static bool behaviour_may_go_well(Behaviour behaviour) {
        return behaviour >= BEHAVIOUR_NO_CONTENT && behaviour <= BEHAVIOUR_REFUSED;
}

static bool behaviour_simulated(Behaviour behaviour) {
        return behaviour == BEHAVIOUR_SIMULATED || behaviour == BEHAVIOUR_SIMULATED_FAILS;
}

/* What it says about itself, and what is known of it. */
static void draw_nature(Chance *chance, SourceScript *script) {
        static const struct {
                const char *text;
                uint64_t fresh_ns;
        } controls[] = {
                { "no-store", 0 },
                { "no-cache", 0 },
                { "must-revalidate", UINT64_MAX },
                { "max-age=0", 0 },
                { "max-age=3, stale-while-revalidate=2", SECONDS(3) },
                { "max-age=3600, stale-if-error=20", SECONDS(3600) },
        };

        if (behaviour_may_go_well(script->behaviour) && chance_percent(chance, 40))
                script->well_percent = (unsigned) chance_between(chance, 1, 90);
        if (chance_percent(chance, 50))
                script->retry_after_s = (unsigned) chance_below(chance, 6);
        if (!behaviour_simulated(script->behaviour) && chance_percent(chance, 20)) {
                size_t i = chance_below(chance, ELEMENTSOF(controls));
                script->cache_control = controls[i].text;
                script->fresh_ns = controls[i].fresh_ns;
        }
        if (chance_percent(chance, 30)) {
                script->past_answers = (unsigned) chance_between(chance, 1, 40);
                script->past_ns = 1 + chance_scale(chance, MILLISECONDS(50));
        }
}

static void draw_attempts(Chance *chance, bool calm, SourceConfig *config) {
        config->timeout = calm ? chance_between(chance, SECONDS(25), SECONDS(40)) :
                                 1 + chance_scale(chance, SECONDS(8));
        if (chance_percent(chance, 50))
                config->attempts = chance_between(chance, 1, 10);
        if (chance_percent(chance, 30))
                config->attempt_timeout = calm ? chance_between(chance, SECONDS(12), SECONDS(40)) :
                                                 1 + chance_scale(chance, SECONDS(4));
        config->backoff = chance_scale(chance, SECONDS(1));
        config->backoff_max = chance_scale(chance, SECONDS(3));
        if (chance_percent(chance, 40))
                config->hedge_percentile = chance_between(chance, 50, 99);
        config->adaptive_timeout = chance_percent(chance, 20);
}

static void draw_limits(Chance *chance, SourceConfig *config) {
        config->breaker_open = 1 + chance_scale(chance, SECONDS(chance_percent(chance, 50) ? 1 : 20));
        if (chance_percent(chance, 50))
                config->breaker_failures = chance_below(chance, 3);
        if (chance_percent(chance, 30))
                config->concurrency = chance_between(chance, 1, 3);
        if (chance_percent(chance, 15))
                config->rate = (RateSpec){ chance_between(chance, 1, 5),
                                           1 + chance_scale(chance, SECONDS(2)) };
        if (chance_percent(chance, 15))
                config->min_interval = chance_scale(chance, SECONDS(1));
        if (chance_percent(chance, 10))
                config->daily = chance_between(chance, 1, 6);
}

/* What stands in for it: a text, or another source. */
static void draw_substitutes(Chance *chance, const Scenario *scenario, SourceConfig *config) {
        if (chance_percent(chance, 20))
                config->cache_ttl =
                                chance_percent(chance, 30) ? 0 : chance_scale(chance, SECONDS(20));
        if (chance_percent(chance, 20))
                config->cache_stale_revalidate = chance_scale(chance, SECONDS(20));
        if (chance_percent(chance, 20))
                config->cache_stale_error = chance_scale(chance, SECONDS(20));
        if (scenario->n_sources > 0 && chance_percent(chance, 15))
                replace(&config->fallback_source,
                        strdup(scenario->sources[chance_below(chance, scenario->n_sources)].name));
        else if (chance_percent(chance, 15))
                replace(&config->fallback_text, text("Nothing from %s now.", config->name));
}

static void add_header(SourceConfig *config, char *header) {
        config->headers.items = calloc(1, sizeof(char *));
        if (!config->headers.items)
                abort();
        config->headers.items[config->headers.count++] = header;
}

static void add_source(Chance *chance, Scenario *scenario) {
        SourceScript *script = &scenario->sources[scenario->n_sources];
        SourceConfig *config;

        draw_script(chance, scenario, script);
        if (source_config_new(&config, script->name, script->name) < 0)
                abort();
        replace(&config->url, draw_url(chance, script));
        if (chance_percent(chance, 20)) {
                config->method = METHOD_POST;
                replace(&config->body, strdup("{\"question\":\"{question}\"}"));
        }
        if (chance_percent(chance, 15))
                add_header(config, text("X-Padding: %0*d", (int) chance_scale(chance, 3000), 7));
        config->class = chance_percent(chance, 15) ? CLASS_REQUIRED : CLASS_OPTIONAL;
        config->priority = (int64_t) chance_below(chance, 3);
        config->enabled = !chance_percent(chance, 4);
        config->engine = chance_percent(chance, 60) ? ENGINE_NONE :
                        chance_percent(chance, 80)  ? ENGINE_DIGEST :
                                                      ENGINE_SPIN;
        config->spin = chance_scale(chance, MILLISECONDS(20));
        config->max_bytes = MAX_BYTES;
        draw_nature(chance, script);
        draw_attempts(chance, scenario->calm, config);
        draw_limits(chance, config);
        draw_substitutes(chance, scenario, config);
        if (script->rules) {
                replace(&config->select, strdup("/data"));
                replace(&config->success, strdup("/data"));
        }
        if (config_add_source(scenario->config, config) < 0)
                abort();
        scenario->n_sources++;
}

const SourceScript *scenario_source(const Scenario *scenario, const char *name, size_t size) {
        for (size_t i = 0; i < scenario->n_sources; i++)
                if (strlen(scenario->sources[i].name) == size &&
                    memcmp(scenario->sources[i].name, name, size) == 0)
                        return &scenario->sources[i];
        return NULL;
}

/* ---- queries ---- */

static void draw_names(Chance *chance, const Scenario *scenario, QueryScript *query) {
        query->all = scenario->n_sources == 0 || chance_percent(chance, 70);
        if (query->all)
                return;
        query->n_names = chance_between(chance, 1, scenario->n_sources);
        for (size_t i = 0; i < query->n_names; i++) /* a name may come twice */
                query->names[i] = scenario->sources[chance_below(chance, scenario->n_sources)].name;
        query->unknown = chance_percent(chance, 5);
        if (query->unknown)
                query->names[query->n_names++] = "nobody";
}

/* Some ask what another one has asked. */
static void draw_question(Chance *chance, const Scenario *scenario, QueryScript *query) {
        static const char *const questions[] = {
                "",
                " is it raining, and what does the news say?",
                " \"quoted\" & percent % plus + \\ \xc3\xa4\xc3\xb6\xc3\xbc \xe2\x82\xac",
                " {braces} <tags> 'and' more\ttabs",
        };
        size_t others = scenario->n_queries - 1;

        if (others > 0 && chance_percent(chance, 50)) {
                const QueryScript *other = &scenario->queries[chance_below(chance, others)];
                memcpy(query->token, other->token, sizeof(query->token));
                memcpy(query->question, other->question, sizeof(query->question));
                return;
        }
        (void) snprintf(query->token, sizeof(query->token), "Q%06zu", scenario->n_queries);
        (void) snprintf(query->question, sizeof(query->question), "Q%06zu%s", scenario->n_queries,
                        questions[chance_below(chance, ELEMENTSOF(questions))]);
}

static void draw_manner(Chance *chance, const Scenario *scenario, QueryScript *query) {
        query->policy = chance_percent(chance, 25) ? QUERY_FAIL_FAST : QUERY_BEST_EFFORT;
        query->max_passages = chance_percent(chance, 50) ? 5 : (unsigned) chance_scale(chance, 32);
        if (chance_percent(chance, 20))
                query->quorum = 1 + (unsigned) chance_scale(chance, scenario->n_sources);
        query->cache = chance_percent(chance, 60) ?
                        QUERY_CACHE_USE :
                        (QueryCacheUse) chance_below(chance, QUERY_CACHE_ONLY + 1);
        query->batch = chance_percent(chance, 25);
        query->user = (uint32_t) chance_below(chance, 3);
        query->events = chance_percent(chance, 50);
}

static void add_query(Chance *chance, Scenario *scenario) {
        QueryScript *query = &scenario->queries[scenario->n_queries++];

        draw_question(chance, scenario, query);
        draw_names(chance, scenario, query);
        draw_manner(chance, scenario, query);
        query->asker = chance_percent(chance, 50) ? ASKER_CALLER :
                                                    (Asker) chance_below(chance, ASKER_COUNT);
        query->start_ns = chance_percent(chance, 30) ? 0 : chance_scale(chance, QUERY_WINDOW);
        query->deadline_ns = scenario->calm ? chance_between(chance, SECONDS(60), CALM_LATEST) :
                                              MILLISECONDS(1 + chance_scale(chance, 20000));
        query->deadline_ns -= query->deadline_ns % NSEC_PER_MSEC;
        query->leave_ns = chance_percent(chance, 15) ? 1 + chance_scale(chance, SECONDS(5)) : 0;
}

/* ---- circumstances ---- */

static const SimFault harmless[] = { SIM_SPLIT, SIM_DELAY, SIM_REORDER };
static const SimFault harmful[] = {
        SIM_NO_DESCRIPTOR, SIM_CONNECT_REFUSED, SIM_CONNECT_TIMEOUT, SIM_CONNECT_HANG,
        SIM_RECV_RESET,    SIM_SEND_RESET,      SIM_PEER_HANG,       SIM_NO_SPAWN,
};

static void draw_faults(Chance *chance, Scenario *scenario) {
        SimOptions *sim = &scenario->sim;

        for (size_t i = 0; i < ELEMENTSOF(harmless); i++)
                if (chance_percent(chance, 50))
                        sim->faults[harmless[i]] = (uint32_t) chance_scale(chance, SIM_ALWAYS);
        sim->latency = 1 + chance_scale(chance, MILLISECONDS(2));
        sim->jitter = 1 + chance_scale(chance, MILLISECONDS(10));
        sim->window = chance_percent(chance, 20) ? 512 + chance_scale(chance, 65536) : 0;
        if (scenario->calm)
                return;

        uint64_t most = chance_percent(chance, 70) ? SIM_ALWAYS / 50 : SIM_ALWAYS / 2;
        for (size_t i = 0; i < ELEMENTSOF(harmful); i++)
                if (chance_percent(chance, 25))
                        sim->faults[harmful[i]] = (uint32_t) chance_between(chance, 1, most);
        sim->latency = 1 + chance_scale(chance, MILLISECONDS(100));
        if (chance_percent(chance, 10))
                sim->max_descriptors = 4 + chance_below(chance, 30);
        if (chance_percent(chance, 10))
                scenario->descriptors_short_ns = 1 + chance_scale(chance, QUERY_WINDOW);
}

/* Enough for every document at once, moved, grown, hedged and kept. */
static size_t ample_arena(const Scenario *scenario) {
        size_t sum = 65536;

        for (size_t i = 0; i < scenario->n_sources; i++)
                sum += scenario->n_queries * 8 * MAX(scenario->sources[i].body_size * 2, 4096u);
        return sum;
}

/* What all sources share, and all queries. */
static void draw_bounds(Chance *chance, Scenario *scenario) {
        Config *config = scenario->config;

        config->cache_ttl = chance_percent(chance, 30) ? 0 : chance_below(chance, SECONDS(30));
        if (chance_percent(chance, 30))
                config->cache_stale_revalidate = chance_scale(chance, SECONDS(20));
        if (chance_percent(chance, 30))
                config->cache_stale_error = chance_scale(chance, SECONDS(20));
        if (chance_percent(chance, 25))
                config->cache_entries = chance_scale(chance, 5);
        scenario->crowded = chance_percent(chance, 15);
        if (scenario->crowded)
                config->max_concurrent = chance_between(chance, 1, 6);
        if (chance_percent(chance, 15))
                config->max_queries = chance_between(chance, 1, 6);
}

static void draw_resources(Chance *chance, Scenario *scenario) {
        scenario->arena_size = ample_arena(scenario);
        scenario->arena_tight = !scenario->calm && chance_percent(chance, 25);
        if (scenario->arena_tight)
                scenario->arena_size = (size_t) 4096 << chance_below(chance, 6);

        scenario->workers = (unsigned) chance_between(chance, 1, 4);
        scenario->worker_tasks = chance_percent(chance, 30) ? chance_between(chance, 1, 20) : 0;
        scenario->task_timeout_ns = SECONDS(5);
        scenario->start_timeout_ns = SECONDS(10);
        scenario->service_ns = 1000 + chance_scale(chance, MILLISECONDS(20));
        if (scenario->calm)
                return;
        if (chance_percent(chance, 20))
                scenario->max_unread = 200 + chance_scale(chance, 65536);
        if (chance_percent(chance, 50)) {
                scenario->task_timeout_ns = MILLISECONDS(chance_between(chance, 1, 500));
                scenario->start_timeout_ns = MILLISECONDS(chance_between(chance, 1, 500));
        }
        if (chance_percent(chance, 20))
                scenario->service_ns = 2 * scenario->task_timeout_ns;
        if (chance_percent(chance, 50))
                scenario->misdeed_permyriad = (unsigned) chance_scale(chance, 5000);
        if (chance_percent(chance, 25))
                scenario->bad_start_percent = (unsigned) chance_scale(chance, 60);
}

static void draw_end(Chance *chance, Scenario *scenario) {
        scenario->stop_late = scenario->calm || chance_percent(chance, 60);
        scenario->stop_ns = scenario->stop_late ? QUERY_WINDOW + CALM_LATEST + QUIET_AFTER :
                                                  chance_scale(chance, 2 * QUERY_WINDOW);
        if (chance_percent(chance, 30))
                scenario->second_ns = 1 + chance_scale(chance, SECONDS(2));
}

void scenario_make(Scenario *ret, uint64_t seed) {
        Chance chance = { seed };
        Config *config;

        if (config_new(&config) < 0)
                abort();
        *ret = (Scenario){ .config = config };
        ret->calm = chance_percent(&chance, 35);
        ret->sim.seed = chance_next(&chance);
        draw_faults(&chance, ret);
        ret->busy = chance_percent(&chance, 20);
        for (uint64_t n = chance_scale(&chance, ret->busy ? 3 : SCENARIO_SOURCES); n > 0; n--)
                add_source(&chance, ret);
        for (uint64_t n = chance_between(&chance, 1, ret->busy ? SCENARIO_QUERIES : 8); n > 0; n--)
                add_query(&chance, ret);
        draw_bounds(&chance, ret);
        draw_resources(&chance, ret);
        draw_end(&chance, ret);
}

void scenario_deinit(Scenario *scenario) {
        config_free(scenario->config);
}

uint32_t scenario_verdicts(const Scenario *scenario) {
        const uint32_t *faults = scenario->sim.faults;
        uint32_t verdicts = 0;

        if (scenario->calm)
                return 0;
        verdicts |= verdict_bit(VERDICT_TIMEOUT) | verdict_bit(VERDICT_LATE) |
                        verdict_bit(VERDICT_SHED) | verdict_bit(VERDICT_BREAKER_OPEN);
        if (faults[SIM_CONNECT_REFUSED] > 0 || faults[SIM_CONNECT_TIMEOUT] > 0)
                verdicts |= verdict_bit(VERDICT_CONNECT);
        if (faults[SIM_RECV_RESET] > 0 || faults[SIM_SEND_RESET] > 0)
                verdicts |= verdict_bit(VERDICT_HTTP);
        if (scenario->arena_tight)
                verdicts |= verdict_bit(VERDICT_TOO_LARGE);
        if (scenario->misdeed_permyriad > 0 ||
            scenario->service_ns + MILLISECONDS(20) > scenario->task_timeout_ns)
                verdicts |= verdict_bit(VERDICT_WORKER);
        return verdicts;
}

static bool is_fallback(const Scenario *scenario, const SourceScript *script) {
        for (size_t i = 0; i < scenario->config->n_sources; i++) {
                const char *name = scenario->config->sources[i]->fallback_source;
                if (name && strcmp(name, script->name) == 0)
                        return true;
        }
        return false;
}

/* Requests may have to wait for so long that they had better not be made, or are made in vain. */
static bool is_held_up(const Scenario *scenario, const SourceScript *script, const SourceConfig *config) {
        bool limited = config->concurrency > 0 || config->rate.count > 0 || config->min_interval > 0;
        bool fails = (script->verdicts & ~(verdict_bit(VERDICT_OK) | verdict_bit(VERDICT_EMPTY))) !=
                        0;

        return scenario->crowded || (script->verdicts & verdict_bit(VERDICT_TIMEOUT)) != 0 ||
                        (limited && (fails || scenario->busy || is_fallback(scenario, script)));
}

uint32_t scenario_source_verdicts(const Scenario *scenario, const SourceScript *script) {
        const SourceConfig *config = config_find_source(scenario->config, script->name);
        uint32_t verdicts = script->verdicts;
        uint32_t breaking = verdict_bit(VERDICT_TIMEOUT) | verdict_bit(VERDICT_DNS) |
                        verdict_bit(VERDICT_CONNECT);

        if (!config->enabled)
                return verdict_bit(VERDICT_SHED);
        if (script->well_percent > 0)
                verdicts |= verdict_bit(VERDICT_OK);
        if (config->adaptive_timeout)
                verdicts |= verdict_bit(VERDICT_TIMEOUT);
        if (config->breaker_failures > 0 &&
            ((verdicts & breaking) != 0 || script->behaviour == BEHAVIOUR_STATUS))
                verdicts |= verdict_bit(VERDICT_BREAKER_OPEN);
        if (config->daily > 0)
                verdicts |= verdict_bit(VERDICT_QUOTA);
        if (is_held_up(scenario, script, config))
                verdicts |= verdict_bit(VERDICT_SHED) | verdict_bit(VERDICT_TIMEOUT);
        return verdicts;
}

uint64_t scenario_fresh_ns(const Scenario *scenario, const SourceScript *script) {
        const SourceConfig *config = config_find_source(scenario->config, script->name);
        uint64_t ttl = config->cache_ttl == CONFIG_SEC_DEFAULT ? scenario->config->cache_ttl :
                                                                 config->cache_ttl;

        if (ttl == 0 || scenario->config->cache_entries == 0)
                return 0;
        return script->fresh_ns == UINT64_MAX ? ttl : script->fresh_ns;
}
