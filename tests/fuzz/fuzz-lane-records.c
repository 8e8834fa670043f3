/* SPDX-License-Identifier: Apache-2.0 */

/* Records as they come out of shared memory that somebody else can write. The first byte of the
 * input chooses the record; the rest is its bytes. What passes the check is then used the way its
 * reader uses it, so that a check that lets too much through is a finding of the sanitizer. */

#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "utf8.h"

#define ARENA_SIZE (UINT64_C(1) << 20)
#define AREA_SIZE  (UINT64_C(1) << 20)
#define DOCUMENT   "{\"document\": [1, 2, 3]}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_task(const uint8_t *data, size_t size) {
        TaskRecord task = {};

        memcpy(&task, data, MIN(size, sizeof(task)));
        if (task_validate(&task, ARENA_SIZE) < 0)
                return;
        assert(strnlen(task.charset, CHARSET_MAX) < CHARSET_MAX);
        assert(task.document.offset + task.document.size <= ARENA_SIZE);
        assert(task.question.offset + task.question.size <= ARENA_SIZE);
        assert(task.rules.offset + task.rules.size <= ARENA_SIZE);
}

static void fuzz_completion(const uint8_t *data, size_t size) {
        CompletionRecord completion = {};

        memcpy(&completion, data, MIN(size, sizeof(completion)));
        if (completion_validate(&completion, AREA_SIZE) < 0)
                return;
        assert(completion.result_offset + completion.result_size <= AREA_SIZE);
        assert(completion.finished_ns - completion.started_ns <= completion.finished_ns);
}

static void fuzz_rules(const uint8_t *data, size_t size) {
        SourceRules rules, again;
        Buffer packed = BUFFER_INIT(0);

        if (rules_unpack(data, size, &rules) < 0)
                return;
        /* What unpacks packs to the same bytes. */
        if (rules_pack(&rules, &packed) < 0 || packed.size != size ||
            memcmp(packed.data, data, size) != 0 ||
            rules_unpack(packed.data, packed.size, &again) < 0)
                abort();
        buffer_deinit(&packed);
}

static void use_string(const ResultHeader *result, ResultString string) {
        char *copy = malloc(string.size + (size_t) 1);
        if (!copy)
                abort();
        memcpy(copy, result_text(result, string), string.size);
        assert(utf8_valid(copy, string.size));
        free(copy);
}

static void use_result(const ResultHeader *result) {
        use_string(result, result->error);
        use_string(result, result->summary);
        use_string(result, result->title);
        for (uint32_t i = 0; i < result->n_passages; i++) {
                const PassageRecord *passage = &result->passages[i];
                assert(isfinite(passage->score) && passage->score >= 0);
                use_string(result, passage->text);
                use_string(result, passage->title);
                use_string(result, passage->link);
        }
        if (result->data_kind == DATA_JSON || result->data_kind == DATA_TEXT)
                use_string(result,
                           (ResultString){ .offset = (uint32_t) result->data_offset,
                                           .size = (uint32_t) result->data_size });
}

static void fuzz_result(const uint8_t *data, size_t size) {
        /* An own block of just that size, so that a byte beyond it is noticed. */
        ResultHeader *result = malloc(MAX(size, (size_t) 1));
        if (!result)
                abort();
        memcpy(result, data, size);
        if (result_validate(result, size, DOCUMENT, strlen(DOCUMENT)) >= 0)
                use_result(result);
        free(result);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static void (*const targets[])(const uint8_t *data, size_t size) = {
                fuzz_task,
                fuzz_completion,
                fuzz_rules,
                fuzz_result,
        };

        if (size == 0)
                return 0;
        targets[data[0] % ELEMENTSOF(targets)](data + 1, size - 1);
        return 0;
}
