/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The run that is under way, and its end when something is wrong. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io.h"
#include "macro.h"

/* `program` and `plant` (NULL: none) are for the command that replays the run. */
void report_init(const char *program, const char *plant, bool verbose);
/* What runs is no seed but a case of that name. */
void report_case(const char *name);

/* A run begins; `io` may be NULL while there is none. */
void report_begin(uint64_t seed);
void report_io(const Io *io);

/* Tells what happens, when that is wanted. */
void report_note(const char *format, ...) PRINTF_LIKE(1, 2);

/* What the run has said so far counts into its hash. */
void report_mix(const void *data, size_t size);
/* Over the simulator's trace and everything that was mixed in. */
uint64_t report_hash(void);

/* Says what is wrong, the seed, the hash and how to replay the run, and ends the program with 1. */
_Noreturn void report_failure(const char *format, ...) PRINTF_LIKE(1, 2);

#define DEMAND(condition, ...)                       \
        do {                                         \
                if (!(condition))                    \
                        report_failure(__VA_ARGS__); \
        } while (false)
