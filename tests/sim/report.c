/* SPDX-License-Identifier: Apache-2.0 */

/* A failed run is not taken down: the program says what it saw and ends at once. So checks may
 * stand anywhere, and nothing after them has to cope with a state that cannot be. An assertion of
 * the program under test is a finding like any other, and so is what a sanitizer finds. */

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hash-map.h"
#include "io-sim.h"
#include "report.h"

static struct {
        const char *program;
        const char *plant;
        const char *name; /* of a case; NULL: seeds are run */
        bool verbose;
        uint64_t seed;
        const Io *io;
        uint64_t hash;
} run;

static _Noreturn void report_end(void) {
        if (run.name) {
                fprintf(stderr, "  replay: %s --verbose %s\n", run.program, run.name);
                (void) fflush(NULL);
                _exit(1);
        }
        fprintf(stderr, "  seed %" PRIu64 ", trace %016" PRIx64 "\n", run.seed, report_hash());
        fprintf(stderr, "  replay: %s --seed=%" PRIu64 " --runs=1 --verbose%s%s\n", run.program,
                run.seed, run.plant ? " --plant=" : "", run.plant ? run.plant : "");
        (void) fflush(NULL);
        _exit(1);
}

/* Also called by sanitizers, before they end the program. */
static void on_death(void) {
        fprintf(stderr, "FAILED: the program was ended by a check of its own\n");
        report_end();
}

static void on_signal(int signal) {
        on_death();
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

void report_init(const char *program, const char *plant, bool verbose) {
        run.program = program;
        run.plant = plant;
        run.verbose = verbose;
        (void) signal(SIGABRT, on_signal);
        if (__sanitizer_set_death_callback)
                __sanitizer_set_death_callback(on_death);
        else
                (void) signal(SIGSEGV, on_signal);
}

void report_begin(uint64_t seed) {
        run.seed = seed;
        run.hash = 0;
        run.io = NULL;
}

void report_case(const char *name) {
        report_begin(0);
        run.name = name;
}

void report_io(const Io *io) {
        if (!io && run.io)
                run.hash = report_hash();
        run.io = io;
}

void report_note(const char *format, ...) {
        va_list arguments;

        if (!run.verbose)
                return;
        va_start(arguments, format);
        (void) vfprintf(stderr, format, arguments);
        va_end(arguments);
        fputc('\n', stderr);
}

void report_mix(const void *data, size_t size) {
        run.hash = hash_bytes(data, size, run.hash);
}

uint64_t report_hash(void) {
        return run.io ? run.hash ^ sim_trace_hash(run.io) : run.hash;
}

void report_failure(const char *format, ...) {
        va_list arguments;

        fputs("FAILED: ", stderr);
        va_start(arguments, format);
        (void) vfprintf(stderr, format, arguments);
        va_end(arguments);
        fputc('\n', stderr);
        report_end();
}
