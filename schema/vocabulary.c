/* SPDX-License-Identifier: Apache-2.0 */
#include "vocabulary.h"

static const struct {
        const char *name;
        bool answered, transient, breaker;
        const char *help;
} verdicts[] = {
#define VERDICT(id, name, answered, transient, breaker, help) \
        [VERDICT_##id] = { name, answered, transient, breaker, help },
#include "verdicts.def"
#undef VERDICT
};

static const struct {
        const char *name, *error_stage, *help;
} stages[] = {
#define STAGE(id, name, error_stage, help) [STAGE_##id] = { name, error_stage, help },
#include "stages.def"
#undef STAGE
};

static const struct {
        const char *name, *help;
} counters[] = {
#define COUNTER(id, name, help) [COUNTER_##id] = { name, help },
#include "counters.def"
#undef COUNTER
};

const char *verdict_name(Verdict verdict) {
        return verdicts[verdict].name;
}

bool verdict_answered(Verdict verdict) {
        return verdicts[verdict].answered;
}

bool verdict_transient(Verdict verdict) {
        return verdicts[verdict].transient;
}

bool verdict_breaker_failure(Verdict verdict) {
        return verdicts[verdict].breaker;
}

const char *verdict_help(Verdict verdict) {
        return verdicts[verdict].help;
}

const char *stage_name(Stage stage) {
        return stages[stage].name;
}

const char *stage_error_stage(Stage stage) {
        return stages[stage].error_stage;
}

const char *stage_help(Stage stage) {
        return stages[stage].help;
}

const char *counter_name(SourceCounter counter) {
        return counters[counter].name;
}

const char *counter_help(SourceCounter counter) {
        return counters[counter].help;
}
