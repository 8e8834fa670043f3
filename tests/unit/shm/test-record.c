/* SPDX-License-Identifier: Apache-2.0 */

/* Every condition of docs/SHM_LAYOUT.md is broken once, by writing one value into one field of a
 * record that is good. */

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka.h"
#include "record.h"

/* ---- rules ---- */

static void assert_same(const char *a, const char *b) {
        if (b)
                assert_string_equal(a, b);
        else
                assert_null(a);
}

static void test_rules_round_trip(void **state) {
        static const SourceRules cases[] = {
                {},
                { .select = "" },
                { .select = "/a/b", .success = "/ok", .empty = "/n", .title = "/t", .link = "/l" },
                { .link = "/only~1this" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Buffer buffer = BUFFER_INIT(0);
                SourceRules rules;
                assert_int_equal(rules_pack(&cases[i], &buffer), 0);
                assert_int_equal(rules_unpack(buffer.data, buffer.size, &rules), 0);
                assert_same(rules.select, cases[i].select);
                assert_same(rules.success, cases[i].success);
                assert_same(rules.empty, cases[i].empty);
                assert_same(rules.title, cases[i].title);
                assert_same(rules.link, cases[i].link);

                /* Cut anywhere, or with a byte behind: no such block. */
                for (size_t size = 0; size < buffer.size; size++)
                        assert_int_equal(rules_unpack(buffer.data, size, &rules), -EBADMSG);
                assert_int_equal(buffer_append_char(&buffer, '\0'), 0);
                assert_int_equal(rules_unpack(buffer.data, buffer.size, &rules), -EBADMSG);
                buffer_deinit(&buffer);
        }
}

static void test_rules_terminators(void **state) {
        static const char no_nul[] = "\2\0ab\0\0\0\0\0\0\0";
        static const char early_nul[] = "\3\0a\0\0\0\0\0\0\0\0\0";
        SourceRules rules = { .select = "untouched" };

        assert_int_equal(rules_unpack(no_nul, 12, &rules), -EBADMSG);
        assert_int_equal(rules_unpack(early_nul, 13, &rules), -EBADMSG);
        assert_string_equal(rules.select, "untouched");
}

static void test_rules_limits(void **state) {
        char *longest = malloc(UINT16_MAX + 1);
        assert_non_null(longest);
        memset(longest, 'x', UINT16_MAX);
        longest[UINT16_MAX] = '\0';
        SourceRules rules = { .title = longest };

        Buffer buffer = BUFFER_INIT(0);
        assert_int_equal(rules_pack(&rules, &buffer), -EMSGSIZE);
        buffer_clear(&buffer);
        longest[UINT16_MAX - 1] = '\0';
        assert_int_equal(rules_pack(&rules, &buffer), 0);
        assert_int_equal(rules_unpack(buffer.data, buffer.size, &rules), 0);
        assert_string_equal(rules.title, longest);
        buffer_deinit(&buffer);

        for (size_t limit = 1; limit < 12; limit += 5) {
                Buffer tight = BUFFER_INIT(limit);
                assert_int_equal(rules_pack(&(SourceRules){ .select = "/abc" }, &tight), -EMSGSIZE);
                buffer_deinit(&tight);
        }
        free(longest);
}

/* ---- records: a good one, and a table of single values that break it ---- */

typedef struct Break {
        const char *name;
        size_t offset;
        size_t size;
        uint64_t value;
        int expected; /* 0: at the edge, still good */
} Break;

#define BREAK(type, field, bad, result) \
        { #field " = " #bad, offsetof(type, field), sizeof(((type *) 0)->field), (bad), (result) }

static void apply(void *record, const Break *b) {
        memcpy((char *) record + b->offset, &b->value, MIN(b->size, sizeof(b->value)));
}

enum {
        ARENA = 1 << 20
};

static void test_tasks(void **state) {
        static const Break breaks[] = {
                BREAK(TaskRecord, slot, UINT32_MAX, 0),
                BREAK(TaskRecord, engine, ENGINE_COUNT - 1, 0),
                BREAK(TaskRecord, engine, ENGINE_COUNT, -EBADMSG),
                BREAK(TaskRecord, engine, UINT32_MAX, -EBADMSG),
                BREAK(TaskRecord, media, MEDIA_COUNT, -EBADMSG),
                BREAK(TaskRecord, coding, CODING_COUNT, -EBADMSG),
                BREAK(TaskRecord, max_passages, MAX_PASSAGES, 0),
                BREAK(TaskRecord, max_passages, MAX_PASSAGES + 1, -EBADMSG),
                BREAK(TaskRecord, document.offset, ARENA - 100, 0),
                BREAK(TaskRecord, document.offset, ARENA - 99, -EBADMSG),
                BREAK(TaskRecord, document.offset, UINT64_MAX, -EBADMSG),
                BREAK(TaskRecord, document.size, ARENA - 1000, 0),
                BREAK(TaskRecord, document.size, ARENA - 999, -EBADMSG),
                BREAK(TaskRecord, document.size, UINT64_MAX, -EBADMSG),
                BREAK(TaskRecord, question.size, QUESTION_MAX, 0),
                BREAK(TaskRecord, question.size, QUESTION_MAX + 1, -EBADMSG),
                BREAK(TaskRecord, question.offset, ARENA, -EBADMSG),
                BREAK(TaskRecord, rules.size, 0, 0),
                BREAK(TaskRecord, rules.offset, UINT64_MAX - 4, -EBADMSG),
        };
        const TaskRecord good = {
                .engine = ENGINE_DIGEST,
                .max_passages = 5,
                .document = { .offset = 1000, .size = 100 },
                .question = { .offset = 5000, .size = 10 },
                .rules = { .offset = 6000, .size = 10 },
                .charset = "utf-8",
        };

        assert_int_equal(task_validate(&good, ARENA), 0);
        for (size_t i = 0; i < ELEMENTSOF(breaks); i++) {
                TaskRecord task = good;
                apply(&task, &breaks[i]);
                if (task_validate(&task, ARENA) != breaks[i].expected)
                        fail_msg("%s", breaks[i].name);
        }
        TaskRecord endless = good;
        memset(endless.charset, 'a', sizeof(endless.charset));
        assert_int_equal(task_validate(&endless, ARENA), -EBADMSG);
}

static void test_completions(void **state) {
        enum {
                AREA = 1 << 20
        };
        static const Break breaks[] = {
                BREAK(CompletionRecord, slot, UINT32_MAX, 0),
                BREAK(CompletionRecord, result_offset, AREA - 8192, 0),
                BREAK(CompletionRecord, result_offset, AREA - 8192 + 8, -EBADMSG),
                BREAK(CompletionRecord, result_offset, 4, -EBADMSG),
                BREAK(CompletionRecord, result_offset, UINT64_MAX - 7, -EBADMSG),
                BREAK(CompletionRecord, result_size, offsetof(ResultHeader, passages), 0),
                BREAK(CompletionRecord, result_size, offsetof(ResultHeader, passages) - 1, -EBADMSG),
                BREAK(CompletionRecord, result_size, AREA - 64, 0),
                BREAK(CompletionRecord, result_size, AREA - 63, -EBADMSG),
                BREAK(CompletionRecord, result_size, UINT64_MAX, -EBADMSG),
                BREAK(CompletionRecord, started_ns, 21, -EBADMSG),
                BREAK(CompletionRecord, decoded_ns, 31, -EBADMSG),
                BREAK(CompletionRecord, finished_ns, 19, -EBADMSG),
        };
        const CompletionRecord good = {
                .result_offset = 64,
                .result_size = 8192,
                .started_ns = 10,
                .decoded_ns = 20,
                .finished_ns = 30,
        };

        assert_int_equal(completion_validate(&good, AREA), 0);
        for (size_t i = 0; i < ELEMENTSOF(breaks); i++) {
                CompletionRecord completion = good;
                apply(&completion, &breaks[i]);
                if (completion_validate(&completion, AREA) != breaks[i].expected)
                        fail_msg("%s", breaks[i].name);
        }
}

/* A result with one of everything. */
typedef struct Sample {
        ResultHeader header;
        char bytes[256];
} Sample;

enum {
        BYTES = sizeof(ResultHeader),
        HEADER = offsetof(ResultHeader, passages) + 2 * sizeof(PassageRecord), /* of the sample's two */
};

static Sample sample(void) {
        Sample s = {
                .header = {
                        .outcome = OUTCOME_OK,
                        .data_kind = DATA_JSON,
                        .n_passages = 2,
                        .error = { BYTES, 5 },
                        .summary = { BYTES + 5, 5 },
                        .title = { BYTES + 10, 3 },
                        .data_offset = BYTES + 100,
                        .data_size = 9,
                        .passages = {
                                { .score = 1.5, .text = { BYTES, 10 }, .title = { BYTES, 1 } },
                                { .score = 0, .text = { BYTES + 20, 4 }, .link = { BYTES, 2 } },
                        },
                },
        };
        memset(s.bytes, 'x', sizeof(s.bytes));
        memcpy(s.bytes + 100, "{\"a\": 17}", 9);
        memcpy(s.bytes + 200, "\xc3\x28", 2); /* no UTF-8 */
        return s;
}

static void test_results(void **state) {
        static const Break breaks[] = {
                BREAK(ResultHeader, outcome, OUTCOME_COUNT - 1, 0),
                BREAK(ResultHeader, outcome, OUTCOME_COUNT, -EBADMSG),
                BREAK(ResultHeader, data_kind, DATA_COUNT, -EBADMSG),
                BREAK(ResultHeader, data_kind, UINT32_MAX, -EBADMSG),
                BREAK(ResultHeader, data_kind, DATA_NONE, -EBADMSG), /* but there are data */
                BREAK(ResultHeader, data_kind, DATA_TEXT_DOCUMENT, -EBADMSG),
                BREAK(ResultHeader, data_kind, DATA_TEXT, 0),
                BREAK(ResultHeader, n_passages, 0, 0),
                BREAK(ResultHeader, n_passages, MAX_PASSAGES, 0),
                BREAK(ResultHeader, n_passages, MAX_PASSAGES + 1, -EBADMSG),
                BREAK(ResultHeader, n_passages, UINT32_MAX, -EBADMSG),
                BREAK(ResultHeader, reserved, 1, -EBADMSG),
                BREAK(ResultHeader, error.offset, 0, -EBADMSG),
                BREAK(ResultHeader, error.offset, HEADER - 1, -EBADMSG),
                BREAK(ResultHeader, error.offset, BYTES + 251, 0),
                BREAK(ResultHeader, error.offset, BYTES + 252, -EBADMSG),
                BREAK(ResultHeader, error.offset, UINT32_MAX, -EBADMSG),
                BREAK(ResultHeader, error.offset, BYTES + 199, -EBADMSG),
                BREAK(ResultHeader, summary.size, 0, 0),
                BREAK(ResultHeader, summary.size, UINT32_MAX, -EBADMSG),
                BREAK(ResultHeader, summary.offset, BYTES + 197, -EBADMSG),
                BREAK(ResultHeader, title.size, 247, -EBADMSG),
                BREAK(ResultHeader, title.offset, BYTES + 200, -EBADMSG),
                BREAK(ResultHeader, data_offset, HEADER - 1, -EBADMSG),
                BREAK(ResultHeader, data_offset, BYTES + 248, -EBADMSG),
                BREAK(ResultHeader, data_offset, UINT64_MAX, -EBADMSG),
                BREAK(ResultHeader, data_offset, BYTES + 99, -EBADMSG), /* no JSON there */
                BREAK(ResultHeader, data_size, 0, -EBADMSG),
                BREAK(ResultHeader, data_size, 8, -EBADMSG),
                BREAK(ResultHeader, data_size, UINT64_MAX, -EBADMSG),
                BREAK(ResultHeader, passages[0].text.offset, BYTES + 195, -EBADMSG),
                BREAK(ResultHeader, passages[0].text.size, 1000, -EBADMSG),
                BREAK(ResultHeader, passages[0].title.offset, UINT32_MAX, -EBADMSG),
                BREAK(ResultHeader, passages[1].link.offset, BYTES + 255, -EBADMSG),
                BREAK(ResultHeader, passages[1].link.offset, BYTES + 200, -EBADMSG),
                BREAK(ResultHeader, passages[2].text.size, UINT32_MAX, 0), /* not in use */
        };

        Sample good = sample();
        assert_int_equal(result_validate(&good.header, sizeof(good), NULL, 0), 0);
        assert_memory_equal(result_text(&good.header, good.header.title), "xxx", 3);
        for (size_t i = 0; i < ELEMENTSOF(breaks); i++) {
                Sample s = sample();
                apply(&s, &breaks[i]);
                if (result_validate(&s.header, sizeof(s), NULL, 0) != breaks[i].expected)
                        fail_msg("%s", breaks[i].name);
        }
        assert_int_equal(result_validate(&good.header, BYTES - 1, NULL, 0), -EBADMSG);
}

static void test_scores(void **state) {
        static const struct {
                double score;
                int expected;
        } cases[] = {
                { 0, 0 },
                { 1e308, 0 },
                { -0.0, 0 },
                { -1e-9, -EBADMSG },
                { (double) NAN, -EBADMSG },
                { (double) INFINITY, -EBADMSG },
                { (double) -INFINITY, -EBADMSG },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Sample s = sample();
                s.header.passages[1].score = cases[i].score;
                assert_int_equal(result_validate(&s.header, sizeof(s), NULL, 0), cases[i].expected);
        }
}

static void test_data_in_the_document(void **state) {
        static const struct {
                DataKind kind;
                const char *document;
                int expected;
        } cases[] = {
                { DATA_JSON_DOCUMENT, "[1, 2]", 0 },
                { DATA_JSON_DOCUMENT, "[1, 2", -EBADMSG },
                { DATA_JSON_DOCUMENT, "", -EBADMSG },
                { DATA_TEXT_DOCUMENT, "caf\xc3\xa9", 0 },
                { DATA_TEXT_DOCUMENT, "caf\xe9", -EBADMSG },
                { DATA_TEXT_DOCUMENT, "", 0 },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Sample s = sample();
                s.header.data_kind = (uint32_t) cases[i].kind;
                s.header.data_offset = s.header.data_size = 0;
                assert_int_equal(
                                result_validate(&s.header, sizeof(s), cases[i].document,
                                                strlen(cases[i].document)),
                                cases[i].expected);
        }
}

static void test_data_of_bad_text(void **state) {
        Sample s = sample();
        s.header.data_kind = DATA_TEXT;
        s.header.data_offset = BYTES + 200;
        assert_int_equal(result_validate(&s.header, sizeof(s), NULL, 0), -EBADMSG);

        /* 64 levels, and one more. */
        for (size_t depth = 64; depth <= 65; depth++) {
                s = sample();
                memset(s.bytes, '[', depth);
                memset(s.bytes + depth, ']', depth);
                s.header.n_passages = 0;
                s.header.data_offset = BYTES;
                s.header.data_size = 2 * depth;
                assert_int_equal(
                                result_validate(&s.header, sizeof(s), NULL, 0),
                                depth == 64 ? 0 : -EBADMSG);
        }
}

/* Strings may share bytes, but together they may not say more than the limit. */
static void test_strings_in_all(void **state) {
        size_t size = BYTES + RESULT_STRINGS_MAX;
        Sample *s = malloc(MAX(size, sizeof(Sample)));
        assert_non_null(s);
        *s = sample();
        memset(s->bytes, 'x', RESULT_STRINGS_MAX);
        s->header.data_kind = DATA_NONE;
        s->header.data_offset = s->header.data_size = 0;
        s->header.summary = (ResultString){ BYTES, RESULT_STRINGS_MAX - 5 - 3 - 11 - 6 };
        assert_int_equal(result_validate(&s->header, size, NULL, 0), 0);
        s->header.summary.size++;
        assert_int_equal(result_validate(&s->header, size, NULL, 0), -EBADMSG);
        free(s);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rules_round_trip),
                cmocka_unit_test(test_rules_terminators),
                cmocka_unit_test(test_rules_limits),
                cmocka_unit_test(test_tasks),
                cmocka_unit_test(test_completions),
                cmocka_unit_test(test_results),
                cmocka_unit_test(test_scores),
                cmocka_unit_test(test_data_in_the_document),
                cmocka_unit_test(test_data_of_bad_text),
                cmocka_unit_test(test_strings_in_all),
        };
        return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
