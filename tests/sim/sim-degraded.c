/* SPDX-License-Identifier: Apache-2.0 */

/* What muster makes of a set of sources that is in trouble: one is down, one takes three seconds,
 * one fails half the time. 100 queries a second for a minute of virtual time, with every feature,
 * with none, and with substitutes. Prints a table; fails when a bound that is promised is passed,
 * or when the same run again gives other figures.
 *
 * In the first two runs each query has a question of its own, so that no answer can come out of the
 * cache; in the third there are as many questions as are asked in a second. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "lab.h"
#include "log.h"
#include "make-config.h"
#include "process.h"
#include "report.h"
#include "watch-fetch.h"

#define RATE      100u /* queries a second */
#define QUERIES   (60 * RATE)
#define DEADLINE  (5 * NSEC_PER_SEC)
#define OPEN_SEC  60u
#define N_SOURCES 3u
#define SETS      8u

/* ---- the runs ---- */

typedef struct Set {
        const char *name;
        unsigned questions;
        const char *settings[N_SOURCES][SETS]; /* beside the defaults */
} Set;

#define FEATURES "Percentile=95", "Timeout=yes", "Concurrency=400"
#define NONE     "Attempts=1", "Failures=0", "TTLSec=0"
#define KEEPS    "TTLSec=1", "StaleIfErrorSec=600"

static const Set sets[] = {
        { "features", QUERIES, { { FEATURES }, { FEATURES }, { FEATURES } } },
        { "none", QUERIES, { { NONE }, { NONE }, { NONE } } },
        { "substitutes",
          RATE,
          { { FEATURES, KEEPS, "Text=It is down." }, { FEATURES, KEEPS }, { FEATURES, KEEPS } } },
};

static const char *const names[N_SOURCES] = { "dead", "slow", "flaky" };

static void add_sources(Lab *lab, const Set *set) {
        SourceScript *flaky;

        lab_source(lab, "dead", BEHAVIOUR_UNREACHABLE, 0, set->settings[0]);
        lab_source(lab, "slow", BEHAVIOUR_ANSWERS, 3 * NSEC_PER_SEC, set->settings[1]);
        flaky = lab_source(lab, "flaky", BEHAVIOUR_STATUS, 20 * NSEC_PER_MSEC, set->settings[2]);
        flaky->status = 503;
        flaky->well_percent = 50;
}

/* ---- figures ---- */

typedef struct Figures {
        unsigned success, complete, partial, failed;
        unsigned answered, served; /* of queries times sources; served: by a substitute */
        double p50_ms, p99_ms, max_ms;
        FetchCount counts[N_SOURCES];
        uint64_t hash;
} Figures;

static void count_source(Figures *figures, const Reply *reply, const char *name) {
        const char *verdict = reply_verdict(reply, name);
        bool answered = strcmp(verdict, "ok") == 0 || strcmp(verdict, "empty") == 0;

        figures->answered += answered;
        figures->served += !answered && *reply_origin(reply, name) != '\0';
}

static void count_reply(Figures *figures, const Reply *reply) {
        const char *completeness = reply_completeness(reply);

        figures->success += json_is_true(json_object_get(reply->answer, "success"));
        figures->complete += strcmp(completeness, "complete") == 0;
        figures->partial += strcmp(completeness, "partial") == 0;
        figures->failed += strcmp(completeness, "failed") == 0;
        for (size_t i = 0; i < N_SOURCES; i++)
                count_source(figures, reply, names[i]);
}

static int by_size(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return x < y ? -1 : x > y;
}

static void count_all(Figures *figures, const Reply replies[]) {
        static double latencies[QUERIES];

        for (size_t i = 0; i < QUERIES; i++) {
                DEMAND(replies[i].answer, "query %zu has no answer", i);
                count_reply(figures, &replies[i]);
                latencies[i] = time_to_ms(replies[i].end - replies[i].start);
        }
        qsort(latencies, QUERIES, sizeof(*latencies), by_size);
        figures->p50_ms = latencies[QUERIES / 2];
        figures->p99_ms = latencies[QUERIES * 99 / 100];
        figures->max_ms = latencies[QUERIES - 1];
        for (size_t i = 0; i < N_SOURCES; i++)
                figures->counts[i] = watch_fetch_count(names[i]);
}

/* ---- running ---- */

static Figures run_set(const Set *set) {
        static Reply replies[QUERIES];
        Figures figures = {};

        report_case(set->name);
        Lab *lab = lab_new();
        add_sources(lab, set);
        lab_start(lab);
        uint64_t start = lab_now(lab);
        for (unsigned i = 0; i < QUERIES; i++) {
                char question[TOKEN_SIZE + 8];
                (void) snprintf(question, sizeof(question), "Q%06u", i % set->questions);
                lab_run_until(lab, start + i * (NSEC_PER_SEC / RATE));
                lab_ask(lab, &replies[i],
                        (QueryRequest){ .question = question, .deadline_ns = DEADLINE });
        }
        for (unsigned i = 0; i < QUERIES; i++)
                reply_wait(&replies[i]);
        count_all(&figures, replies);
        for (unsigned i = 0; i < QUERIES; i++)
                reply_drop(&replies[i]);
        lab_free(lab);
        figures.hash = report_hash();
        return figures;
}

/* ---- the table ---- */

static double amplification(const FetchCount *count) {
        return count->firsts > 0 ? (double) (count->firsts + count->extras) / count->firsts : 0;
}

static double share(unsigned part, unsigned whole) {
        return (double) part / whole;
}

#define ROW(title, format, expression)                          \
        do {                                                    \
                printf("%-28s", title);                         \
                for (size_t k = 0; k < ELEMENTSOF(sets); k++) { \
                        const Figures *f = &figures[k];         \
                        printf("  " format, expression);        \
                }                                               \
                putchar('\n');                                  \
        } while (false)

static void print_table(const Figures figures[]) {
        printf("%-28s", "");
        for (size_t k = 0; k < ELEMENTSOF(sets); k++)
                printf("  %12s", sets[k].name);
        putchar('\n');
        ROW("success", "%12.3f", share(f->success, QUERIES));
        ROW("complete", "%12.3f", share(f->complete, QUERIES));
        ROW("partial", "%12.3f", share(f->partial, QUERIES));
        ROW("failed", "%12.3f", share(f->failed, QUERIES));
        ROW("sources answered", "%12.3f", share(f->answered, QUERIES * N_SOURCES));
        ROW("sources served otherwise", "%12.3f", share(f->served, QUERIES * N_SOURCES));
        ROW("latency p50, ms", "%12.1f", f->p50_ms);
        ROW("latency p99, ms", "%12.1f", f->p99_ms);
        ROW("latency max, ms", "%12.1f", f->max_ms);
        for (size_t i = 0; i < N_SOURCES; i++) {
                printf("%s\n", names[i]);
                ROW("  requests", "%12u", f->counts[i].firsts + f->counts[i].extras);
                ROW("  retries and hedges", "%12u", f->counts[i].extras);
                ROW("  probes", "%12u", f->counts[i].probes);
                ROW("  amplification", "%12.3f", amplification(&f->counts[i]));
        }
}

/* ---- what is promised ---- */

static void check_features(const Figures *figures) {
        /* Five failures open its breaker; then there is a probe each time that OpenSec= is over. */
        unsigned most = 5 + QUERIES / RATE / OPEN_SEC;

        DEMAND(figures->success == QUERIES, "%u queries of %u have success", figures->success,
               QUERIES);
        DEMAND(figures->max_ms <= time_to_ms(DEADLINE), "a query took %f ms", figures->max_ms);
        DEMAND(figures->counts[0].firsts + figures->counts[0].extras <= most,
               "%u requests to the source that is down",
               figures->counts[0].firsts + figures->counts[0].extras);
        FetchCount all = {};
        for (size_t i = 0; i < N_SOURCES; i++) {
                const FetchCount *count = &figures->counts[i];

                all.firsts += count->firsts;
                all.extras += count->extras;
                DEMAND(count->extras <= MAX(count->firsts * RETRY_BUDGET_SHARE, RETRY_BUDGET_LEAST),
                       "%s is asked %.3f times as often", names[i], amplification(count));
        }
        DEMAND(amplification(&all) <= 1.2, "the sources are asked %.3f times as often",
               amplification(&all));
}

int main(int argc, char *argv[]) {
        Figures figures[ELEMENTSOF(sets)];

        log_open("sim-degraded", LOG_TARGET_NULL, LOG_DEBUG);
        report_init(argv[0], NULL, /* verbose= */ false);
        if (process_init() < 0)
                return 1;
        for (size_t k = 0; k < ELEMENTSOF(sets); k++) {
                figures[k] = run_set(&sets[k]);
                Figures again = run_set(&sets[k]);
                DEMAND(memcmp(&figures[k], &again, sizeof(again)) == 0,
                       "the same run gives other figures: %016" PRIx64 " and %016" PRIx64,
                       figures[k].hash, again.hash);
        }
        print_table(figures);
        check_features(&figures[0]);
        process_deinit();
        return 0;
}
