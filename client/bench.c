/* SPDX-License-Identifier: Apache-2.0 */

/* Times are taken here, from call to reply, as a caller feels them; what happened within comes from
 * the timelines. Each repetition asks every source alone and then all at once, so that a slow
 * moment of the machine or of a source falls on both sides. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "cleanup.h"
#include "fields.h"
#include "output.h"
#include "render.h"
#include "table.h"
#include "timeline.h"

/* What to do about the stage that takes most of the critical path. */
static const char *const advice[STAGE_KINDS] = {
        [STAGE_CACHE] = "The cache has what was asked for: measure with it bypassed.",
        [STAGE_SHARE] = "It waits for another query's request.",
        [STAGE_BREAKER] = "A breaker is open: see `musterctl source NAME`.",
        [STAGE_QUOTA] = "A quota is used up: see `musterctl source NAME`.",
        [STAGE_BACKOFF] = "It pauses between attempts: mend the source, or lower BackoffSec=.",
        [STAGE_HEDGE] = "It is asked twice because it is slow at times.",
        [STAGE_FALLBACK] = "A substitute is shown: see `musterctl source NAME`.",
        [STAGE_QUEUE] = "Fetches wait for a place: the limits in muster.conf and in the source hold "
                        "them back.",
        [STAGE_RESOLVE] = "The host name resolves slowly: use a nearer name server, or an address in "
                          "URL=.",
        [STAGE_CONNECT] = "Connecting takes long: the network is slow, or the source does not accept "
                          "in time.",
        [STAGE_TLS] = "The TLS handshake takes long: the source is far away or short of CPU.",
        [STAGE_SEND] = "Sending the request takes long: make Body= smaller.",
        [STAGE_WAIT] = "The source is slow to answer. Nothing here can hurry it: make it faster, or "
                       "lower its TimeoutSec= to go on without it.",
        [STAGE_RECEIVE] = "The document comes in slowly: ask the source for less, or over a faster "
                          "network.",
        [STAGE_LANE] = "Documents wait for a worker: raise Workers= in muster.conf, give the service "
                       "more CPUs, or choose a lighter Engine=.",
        [STAGE_DECODE] = "Decoding takes longest: ask the source for a smaller or simpler document.",
        [STAGE_ENGINE] = "Inference takes longest: choose a lighter Engine=, or faster CPUs.",
        [STAGE_PAUSE] = "Most of the time is outside of any stage: the source pauses between its "
                        "attempts, see its verdict.",
        [STAGE_UNKNOWN] = "musterctl does not know this stage: use the one that belongs to musterd.",
};

_Static_assert(STAGE_COUNT == 17, "a new stage needs advice of its own");

void bench_deinit(Bench *bench) {
        for (size_t i = 0; i < bench->n_sources; i++) {
                free(bench->sources[i].name);
                json_decref(bench->sources[i].answer);
        }
        free(bench->sources);
        free(bench->totals);
        json_decref(bench->joint);
        free(bench->path.steps);
        *bench = (Bench){ 0 };
}

static int order_of_numbers(const void *left, const void *right) {
        double a = *(const double *) left, b = *(const double *) right;

        return (a > b) - (a < b);
}

/* Sorts the values. */
static double median(double values[], size_t count) {
        qsort(values, count, sizeof(*values), order_of_numbers);
        return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

/* Sums over all queries of one kind. */
typedef struct StageSums {
        double ms[STAGE_COUNT];
        size_t spans[STAGE_COUNT];
} StageSums;

static int sums_add(StageSums *sums, const json_t *answer) {
        CLEANUP(spans_deinit) Spans spans = { 0 };
        int r = spans_parse(json_object_get(answer, "timeline"), &spans);

        if (r < 0)
                return r == -EINVAL ? -EBADMSG : r;
        for (size_t i = 0; i < spans.count; i++) {
                const Span *span = &spans.items[i];

                if (span->stage >= STAGE_COUNT)
                        continue;
                sums->ms[span->stage] += span->end - span->start;
                sums->spans[span->stage]++;
        }
        return 0;
}

/* One query, timed. `sources` is an array of names. */
static int ask(Caller *caller, const json_t *parameters, json_t *sources, StageSums *sums,
               json_t **ret_answer, double *ret_ms, Reply *ret_refusal) {
        CLEANUP(reply_deinit) Reply reply = { 0 };
        json_t *own = json_copy(field_each(parameters));
        int r;

        if (!own || json_object_set(own, "sources", sources) < 0) {
                json_decref(own);
                return -ENOMEM;
        }
        uint64_t start = caller_now();
        r = caller_call(caller, "io.muster.Query", own, TIME_INFINITY, &reply);
        *ret_ms = time_to_ms(caller_now() - start);
        json_decref(own);
        if (r < 0)
                return r;
        if (reply.error) {
                *ret_refusal = reply;
                reply = (Reply){ 0 };
                return 1;
        }
        r = sums_add(sums, reply.parameters);
        if (r < 0)
                return r;
        json_decref(*ret_answer);
        *ret_answer = json_incref(reply.parameters);
        return 0;
}

/* The measurements of all repetitions: `each` has a row of `repeat` values for every source. */
typedef struct Figures {
        double *each, *joint;
        StageSums alone_sums, joint_sums;
} Figures;

static void figures_deinit(Figures *figures) {
        free(figures->each);
        free(figures->joint);
}

/* What is being measured, for whoever waits. */
static void tell(const Bench *bench, unsigned turn, const char *what) {
        CLEANUP_FREE char *line = NULL;

        if (asprintf(&line, "round %u of %u: %s", turn + 1, bench->repeat, what) < 0)
                line = NULL;
        status_line(line);
}

static int
run_once(Bench *bench, Figures *figures, Caller *caller, const json_t *parameters,
         const json_t *names, unsigned turn, Reply *ret_refusal) {
        int r;

        for (size_t i = 0; i < bench->n_sources; i++) {
                BenchSource *source = &bench->sources[i];
                double *ms = &figures->each[i * bench->repeat + turn];
                tell(bench, turn, source->name);
                json_t *one = json_pack("[O]", json_array_get(names, i));

                r = one ? ask(caller, parameters, one, &figures->alone_sums, &source->answer, ms,
                              ret_refusal) :
                          -ENOMEM;
                json_decref(one);
                if (r != 0)
                        return r;
                bench->totals[turn] += *ms;
        }
        tell(bench, turn, "all together");
        return ask(caller, parameters, field_each(names), &figures->joint_sums, &bench->joint,
                   &figures->joint[turn], ret_refusal);
}

static void bench_conclude(Bench *bench, Figures *figures) {
        const StageSums *alone = &figures->alone_sums, *joint = &figures->joint_sums;

        for (size_t i = 0; i < bench->n_sources; i++) {
                BenchSource *source = &bench->sources[i];
                const json_t *results = json_object_get(source->answer, "sources");

                source->ms = median(figures->each + i * bench->repeat, bench->repeat);
                source->verdict = field_text(json_object_get(results, source->name), "verdict");
        }
        bench->sequential_ms = median(bench->totals, bench->repeat);
        bench->joint_ms = median(figures->joint, bench->repeat);
        for (int i = 0; i < STAGE_COUNT; i++) {
                bench->stages[i].alone_ms = alone->ms[i] / (double) MAX(alone->spans[i], 1U);
                bench->stages[i].joint_ms = joint->ms[i] / (double) MAX(joint->spans[i], 1U);
        }
}

static int bench_prepare(Bench *bench, Figures *figures, const json_t *names, unsigned repeat) {
        size_t count = json_array_size(names);

        bench->repeat = repeat;
        bench->sources = calloc(count + 1, sizeof(*bench->sources));
        bench->totals = calloc(repeat, sizeof(double));
        figures->each = calloc(count * repeat + 1, sizeof(double));
        figures->joint = calloc(repeat, sizeof(double));
        if (!bench->sources || !bench->totals || !figures->each || !figures->joint)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                bench->sources[i].name = strdup(json_string_value(json_array_get(names, i)));
                if (!bench->sources[i].name)
                        return -ENOMEM;
                bench->n_sources++;
        }
        return 0;
}

int bench_run(Caller *caller, const json_t *parameters, const json_t *names, unsigned repeat,
              Bench *ret, Reply *ret_refusal) {
        CLEANUP(bench_deinit) Bench bench = { 0 };
        CLEANUP(figures_deinit) Figures figures = { 0 };
        CLEANUP(spans_deinit) Spans spans = { 0 };
        int r = bench_prepare(&bench, &figures, names, repeat);

        for (unsigned turn = 0; r == 0 && turn < repeat; turn++)
                r = run_once(&bench, &figures, caller, parameters, names, turn, ret_refusal);
        if (r != 0)
                return r;
        bench_conclude(&bench, &figures);
        r = spans_parse(json_object_get(bench.joint, "timeline"), &spans);
        if (r >= 0)
                r = critical_path_find(&spans, &bench.path);
        if (r < 0)
                return r;
        *ret = bench;
        bench = (Bench){ 0 };
        return 0;
}

static double bench_ratio(const Bench *bench) {
        return bench->joint_ms > 0 ? bench->sequential_ms / bench->joint_ms : 0;
}

static int render_times(Buffer *out, const View *view, const Bench *bench) {
        static const TableColumn columns[] = {
                { "SOURCE", TABLE_SHRINK },
                { "MS", TABLE_RIGHT },
                { "VERDICT", TABLE_EXTRA },
        };
        CLEANUP(table_deinit) Table table = TABLE_INIT(columns);
        const char *completeness = field_text(bench->joint, "completeness");

        for (size_t i = 0; i < bench->n_sources; i++) {
                const BenchSource *source = &bench->sources[i];

                table_text(&table, TONE_PLAIN, source->name);
                table_printf(&table, TONE_PLAIN, "%.1f", source->ms);
                table_text(&table, verdict_tone(source->verdict), source->verdict);
        }
        table_text(&table, TONE_STRONG, "one after another");
        table_printf(&table, TONE_STRONG, "%.1f", bench->sequential_ms);
        table_text(&table, TONE_PLAIN, NULL);
        table_text(&table, TONE_STRONG, "all together");
        table_printf(&table, TONE_STRONG, "%.1f", bench->joint_ms);
        table_text(&table, TONE_PLAIN, completeness);
        return table_render(&table, out, view, 2);
}

static int render_stages(Buffer *out, const View *view, const Bench *bench) {
        static const TableColumn columns[] = {
                { "STAGE", 0 },
                { "ALONE MS", TABLE_RIGHT },
                { "TOGETHER MS", TABLE_RIGHT },
                { "", TABLE_SHRINK | TABLE_EXTRA },
        };
        CLEANUP(table_deinit) Table table = TABLE_INIT(columns);

        for (int i = 0; i < STAGE_COUNT; i++) {
                const BenchStage *stage = &bench->stages[i];

                if (stage->alone_ms <= 0 && stage->joint_ms <= 0)
                        continue;
                table_text(&table, TONE_PLAIN, stage_name((Stage) i));
                table_printf(&table, TONE_PLAIN, "%.3f", stage->alone_ms);
                table_printf(&table, TONE_PLAIN, "%.3f", stage->joint_ms);
                table_text(&table, TONE_FAINT, stage_help((Stage) i));
        }
        if (table.n_cells > 0)
                text_own(out, view, TONE_STRONG, "Means of a stage\n");
        int r = table_render(&table, out, view, 2);
        if (table.n_cells > 0)
                (void) buffer_append_char(out, '\n');
        return r;
}

int bench_render(Buffer *out, const View *view, const Bench *bench) {
        int r, bottleneck = critical_path_bottleneck(&bench->path);
        double share = bench->path.stage_ms[bottleneck];

        text_own(out, view, TONE_STRONG, "Times");
        if (bench->repeat > 1)
                text_own(out, view, TONE_FAINT, " (medians of %u)", bench->repeat);
        (void) buffer_append_char(out, '\n');
        r = render_times(out, view, bench);
        if (r < 0)
                return r;
        text_own(out, view, TONE_GOOD, "\n  %.2f times as fast together\n\n", bench_ratio(bench));

        r = render_stages(out, view, bench);
        if (r < 0 || bench->path.count == 0)
                return r;
        timeline_render_path(out, view, &bench->path);
        text_own(out, view, TONE_STRONG, "\nBottleneck\n");
        text_own(out, view, TONE_WARN, "  %s: %.1f of %.1f ms (%.0f %%)\n",
                 stage_kind_name(bottleneck), share, bench->path.total_ms,
                 100 * share / MAX(bench->path.total_ms, 1e-9));
        (void) buffer_append_string(out, "  ");
        text_wrap(out, view, advice[bottleneck], strlen(advice[bottleneck]), 2);
        return out->error;
}

/* Microseconds are all that the figures are worth. */
static double rounded(double ms) {
        return round(ms * 1000) / 1000;
}

static json_t *json_of_sources(const Bench *bench) {
        json_t *list = json_array();

        for (size_t i = 0; i < bench->n_sources; i++) {
                const BenchSource *source = &bench->sources[i];

                (void) json_array_append_new(
                                list,
                                json_pack("{s:s, s:f, s:s?}", "source", source->name, "ms",
                                          rounded(source->ms), "verdict", source->verdict));
        }
        return list;
}

static json_t *json_of_stages(const Bench *bench) {
        json_t *list = json_array();

        for (int i = 0; i < STAGE_COUNT; i++) {
                const BenchStage *stage = &bench->stages[i];

                if (stage->alone_ms > 0 || stage->joint_ms > 0)
                        (void) json_array_append_new(
                                        list,
                                        json_pack("{s:s, s:f, s:f}", "stage", stage_name((Stage) i),
                                                  "alone_ms", rounded(stage->alone_ms), "joint_ms",
                                                  rounded(stage->joint_ms)));
        }
        return list;
}

static json_t *json_of_path(const CriticalPath *path) {
        json_t *list = json_array();

        for (size_t i = 0; i < path->count; i++) {
                const Span *step = &path->steps[i];

                (void) json_array_append_new(
                                list,
                                json_pack("{s:s, s:s, s:i, s:f, s:f}", "source", step->source,
                                          "stage", stage_kind_name(step->stage), "attempt",
                                          (int) step->attempt, "start_ms", rounded(step->start),
                                          "end_ms", rounded(step->end)));
        }
        return list;
}

static json_t *json_of_bottleneck(const CriticalPath *path) {
        int kind = critical_path_bottleneck(path);

        if (path->count == 0)
                return json_pack("n");
        return json_pack(
                        "{s:s, s:f, s:s}", "stage", stage_kind_name(kind), "ms",
                        rounded(path->stage_ms[kind]), "advice", advice[kind]);
}

json_t *bench_json(const Bench *bench) {
        return json_pack(
                        "{s:i, s:o, s:f, s:f, s:f, s:o, s:o, s:o}", "repeat", (int) bench->repeat,
                        "sources", json_of_sources(bench), "sequential_ms",
                        rounded(bench->sequential_ms), "joint_ms", rounded(bench->joint_ms), "ratio",
                        rounded(bench_ratio(bench)), "stages", json_of_stages(bench), "critical_path",
                        json_of_path(&bench->path), "bottleneck", json_of_bottleneck(&bench->path));
}
