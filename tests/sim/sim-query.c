/* SPDX-License-Identifier: Apache-2.0 */

/* Whole queries under seeded faults: the real control server, query engine, fetches, HTTP client,
 * pool and lanes, on a simulated loop, network and clock, with simulated workers.
 *
 *      sim-query --runs=10000          seeds 1 to 10,000
 *      sim-query --seed=N --runs=1     one of them again
 *      sim-query --plant=BUG           with a bug planted that has to be found
 *
 *     scenario.c      what happens, from the seed; run.c lets it happen
 *     world.c         the parts put together and taken down; what may be left: nothing
 *     network.c       HTTP servers      resolver-double.c   names
 *     crew.c          workers           askers.c            callers and clients
 *     watch.c         each query is held to its contract, answer-check.c its answer,
 *     watch-fetch.c   and each request to what is configured for its source
 *     plant.c         bugs              report.c            what is said of a failure
 *
 * sim-rules.c and sim-degraded.c use the same parts by way of lab.c.
 *
 * What is not simulated: memory that runs out, and workers that are worse than crew.c knows. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "parse.h"
#include "plant.h"
#include "process.h"
#include "report.h"
#include "run.h"

#define RUNS_DEFAULT 300u
#define REPLAY_EACH  16u /* one run in so many is run twice */

static const char usage[] =
                "usage: sim-query [--seed=N] [--runs=N] [--verbose] [--plant=BUG] [--plants]\n";

typedef struct Options {
        uint64_t seed;
        uint64_t runs;
        bool verbose;
        const char *plant;
} Options;

static uint64_t run_one(uint64_t seed) {
        report_begin(seed);
        plant_begin(seed);
        return run_seed(seed);
}

static void run_all(const Options *options) {
        for (uint64_t i = 0; i < options->runs; i++) {
                uint64_t seed = options->seed + i;
                uint64_t hash = run_one(seed);

                if (options->verbose)
                        printf("seed %" PRIu64 ", trace %016" PRIx64 "\n", seed, hash);
                if (i % REPLAY_EACH != 0)
                        continue;
                uint64_t again = run_one(seed);
                DEMAND(hash == again, "two runs of one seed differ: %016" PRIx64 " and %016" PRIx64,
                       hash, again);
        }
        printf("%" PRIu64 " runs from seed %" PRIu64 ", no failure\n", options->runs, options->seed);
}

static void list_plants(void) {
        for (unsigned i = 0; plant_name(i); i++)
                puts(plant_name(i));
}

static int parse_options(int argc, char *argv[], Options *options) {
        static const struct option known[] = {
                { "seed", required_argument, NULL, 's' }, { "runs", required_argument, NULL, 'r' },
                { "verbose", no_argument, NULL, 'v' },    { "plant", required_argument, NULL, 'p' },
                { "plants", no_argument, NULL, 'l' },     {},
        };
        int option, r = 0;

        while (r >= 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
                if (option == 's')
                        r = parse_u64(optarg, &options->seed);
                else if (option == 'r')
                        r = parse_u64(optarg, &options->runs);
                else if (option == 'v')
                        options->verbose = true;
                else if (option == 'p')
                        r = plant_choose(options->plant = optarg) ? 0 : -EINVAL;
                else if (option == 'l') {
                        list_plants();
                        exit(0);
                } else
                        r = -EINVAL;
        }
        return optind < argc ? -EINVAL : r;
}

int main(int argc, char *argv[]) {
        Options options = { .seed = 1, .runs = RUNS_DEFAULT };

        if (parse_options(argc, argv, &options) < 0) {
                fputs(usage, stderr);
                return 2;
        }
        log_open("sim-query", options.verbose ? LOG_TARGET_STDERR : LOG_TARGET_NULL, LOG_DEBUG);
        report_init(argv[0], options.plant, options.verbose);
        if (process_init() < 0) {
                fputs("cannot load what documents are decoded with\n", stderr);
                return 1;
        }
        run_all(&options);
        process_deinit();
        return 0;
}
