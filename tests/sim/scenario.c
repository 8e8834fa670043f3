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
        config->timeout = scenario->calm ? chance_between(chance, SECONDS(25), SECONDS(40)) :
                                           1 + chance_scale(chance, SECONDS(8));
        config->class = chance_percent(chance, 15) ? CLASS_REQUIRED : CLASS_OPTIONAL;
        config->priority = (int64_t) chance_below(chance, 3);
        config->enabled = !chance_percent(chance, 4);
        config->engine = chance_percent(chance, 60) ? ENGINE_NONE :
                        chance_percent(chance, 80)  ? ENGINE_DIGEST :
                                                      ENGINE_SPIN;
        config->spin = chance_scale(chance, MILLISECONDS(20));
        config->max_bytes = MAX_BYTES;
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

static void draw_question(Chance *chance, QueryScript *query, size_t number) {
        static const char *const questions[] = {
                "",
                " is it raining, and what does the news say?",
                " \"quoted\" & percent % plus + \\ \xc3\xa4\xc3\xb6\xc3\xbc \xe2\x82\xac",
                " {braces} <tags> 'and' more\ttabs",
        };

        (void) snprintf(query->token, sizeof(query->token), "Q%06zu", number);
        (void) snprintf(query->question, sizeof(query->question), "Q%06zu%s", number,
                        questions[chance_below(chance, ELEMENTSOF(questions))]);
}

static void add_query(Chance *chance, Scenario *scenario) {
        QueryScript *query = &scenario->queries[scenario->n_queries++];

        draw_question(chance, query, scenario->n_queries);
        draw_names(chance, scenario, query);
        query->asker = chance_percent(chance, 50) ? ASKER_CALLER :
                                                    (Asker) chance_below(chance, ASKER_COUNT);
        query->start_ns = chance_percent(chance, 30) ? 0 : chance_scale(chance, QUERY_WINDOW);
        query->deadline_ns = scenario->calm ? chance_between(chance, SECONDS(60), CALM_LATEST) :
                                              MILLISECONDS(1 + chance_scale(chance, 20000));
        query->deadline_ns -= query->deadline_ns % NSEC_PER_MSEC;
        query->leave_ns = chance_percent(chance, 15) ? 1 + chance_scale(chance, SECONDS(5)) : 0;
        query->policy = chance_percent(chance, 25) ? QUERY_FAIL_FAST : QUERY_BEST_EFFORT;
        query->max_passages = (unsigned) chance_scale(chance, 32);
        query->events = chance_percent(chance, 50);
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

/* Enough for every document at once, moved and grown. */
static size_t ample_arena(const Scenario *scenario) {
        size_t sum = 65536;

        for (size_t i = 0; i < scenario->n_sources; i++)
                sum += scenario->n_queries * 4 * MAX(scenario->sources[i].body_size * 2, 4096u);
        return sum;
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
        for (uint64_t n = chance_scale(&chance, SCENARIO_SOURCES); n > 0; n--)
                add_source(&chance, ret);
        for (uint64_t n = chance_between(&chance, 1, SCENARIO_QUERIES); n > 0; n--)
                add_query(&chance, ret);
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
        verdicts |= verdict_bit(VERDICT_TIMEOUT) | verdict_bit(VERDICT_LATE);
        if (faults[SIM_CONNECT_REFUSED] > 0 || faults[SIM_CONNECT_TIMEOUT] > 0)
                verdicts |= verdict_bit(VERDICT_CONNECT);
        if (faults[SIM_RECV_RESET] > 0 || faults[SIM_SEND_RESET] > 0)
                verdicts |= verdict_bit(VERDICT_HTTP);
        if (faults[SIM_NO_DESCRIPTOR] > 0 || scenario->sim.max_descriptors > 0 ||
            scenario->descriptors_short_ns > 0 || scenario->arena_tight)
                verdicts |= verdict_bit(VERDICT_SHED);
        if (scenario->arena_tight)
                verdicts |= verdict_bit(VERDICT_TOO_LARGE);
        if (scenario->misdeed_permyriad > 0 ||
            scenario->service_ns + MILLISECONDS(20) > scenario->task_timeout_ns)
                verdicts |= verdict_bit(VERDICT_WORKER);
        return verdicts;
}
