/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The words of the outward contract, each from its table. */

#include <stdbool.h>

typedef enum Verdict {
#define VERDICT(name, ...) VERDICT_##name,
#include "verdicts.def"
#undef VERDICT
        VERDICT_COUNT,
} Verdict;

typedef enum Stage {
#define STAGE(name, ...) STAGE_##name,
#include "stages.def"
#undef STAGE
        STAGE_COUNT,
} Stage;

/* What is counted for a source. */
typedef enum SourceCounter {
#define COUNTER(name, ...) COUNTER_##name,
#include "counters.def"
#undef COUNTER
        COUNTER_COUNT,
} SourceCounter;

const char *verdict_name(Verdict verdict);
bool verdict_answered(Verdict verdict);
bool verdict_transient(Verdict verdict);
bool verdict_breaker_failure(Verdict verdict);
const char *verdict_help(Verdict verdict);

const char *stage_name(Stage stage);
const char *stage_error_stage(Stage stage);
const char *stage_help(Stage stage);

const char *counter_name(SourceCounter counter);
const char *counter_help(SourceCounter counter);
