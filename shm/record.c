/* SPDX-License-Identifier: Apache-2.0 */

/* Validity of records. Each check_*() below is one of the numbered conditions of
 * docs/SHM_LAYOUT.md; a record is good when all hold, and one that is not costs its worker its
 * life, so nothing here repairs anything.
 *
 * The block of rules holds, for each key in the order of the table, a 16-bit size that counts the
 * ending NUL (0: not set) and then the bytes. */

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "json-scan.h"
#include "record.h"
#include "utf8.h"

#define RESULT_JSON_DEPTH 64

/* ---- rules ---- */

static const size_t rule_fields[] = {
        offsetof(SourceRules, select), offsetof(SourceRules, success), offsetof(SourceRules, empty),
        offsetof(SourceRules, title),  offsetof(SourceRules, link),
};

static const char **rule_field(SourceRules *rules, size_t i) {
        return (const char **) (void *) ((char *) rules + rule_fields[i]);
}

int rules_pack(const SourceRules *rules, Buffer *out) {
        SourceRules copy = *rules;

        for (size_t i = 0; i < ELEMENTSOF(rule_fields); i++) {
                const char *rule = *rule_field(&copy, i);
                size_t size = rule ? strlen(rule) + 1 : 0;
                if (size > UINT16_MAX)
                        return -EMSGSIZE;

                uint16_t stored = (uint16_t) size;
                int r = buffer_append(out, &stored, sizeof(stored));
                if (r < 0)
                        return r;
                r = buffer_append(out, rule, size);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* One rule; moves *p past it. */
static int rule_unpack(const char **p, const char *end, const char **ret) {
        uint16_t size;

        if ((size_t) (end - *p) < sizeof(size))
                return -EBADMSG;
        memcpy(&size, *p, sizeof(size));
        *p += sizeof(size);
        if (size > (size_t) (end - *p))
                return -EBADMSG;
        /* The only NUL is the last byte. */
        if (size > 0 && memchr(*p, '\0', size) != *p + size - 1)
                return -EBADMSG;

        *ret = size > 0 ? *p : NULL;
        *p += size;
        return 0;
}

int rules_unpack(const void *block, size_t size, SourceRules *ret) {
        SourceRules rules = {};
        const char *p = block;
        const char *end = p + size;

        for (size_t i = 0; i < ELEMENTSOF(rule_fields); i++) {
                int r = rule_unpack(&p, end, rule_field(&rules, i));
                if (r < 0)
                        return r;
        }
        if (p != end)
                return -EBADMSG;
        *ret = rules;
        return 0;
}

/* ---- tasks and completions ---- */

static bool range_inside(uint64_t offset, uint64_t size, uint64_t whole) {
        return offset <= whole && size <= whole - offset;
}

static bool check_ranges(const TaskRecord *task, uint64_t arena_size) {
        return range_inside(task->document.offset, task->document.size, arena_size) &&
                        range_inside(task->question.offset, task->question.size, arena_size) &&
                        range_inside(task->rules.offset, task->rules.size, arena_size);
}

int task_validate(const TaskRecord *task, uint64_t arena_size) {
        bool good = task->engine < ENGINE_COUNT && task->media < MEDIA_COUNT &&
                        task->coding < CODING_COUNT && task->max_passages <= MAX_PASSAGES &&
                        task->question.size <= QUESTION_MAX && check_ranges(task, arena_size) &&
                        memchr(task->charset, '\0', sizeof(task->charset));
        return good ? 0 : -EBADMSG;
}

int completion_validate(const CompletionRecord *completion, uint64_t result_area_size) {
        bool good = completion->result_offset % _Alignof(ResultHeader) == 0 &&
                        completion->result_size >= result_header_size(0) &&
                        range_inside(completion->result_offset, completion->result_size,
                                     result_area_size) &&
                        completion->started_ns <= completion->decoded_ns &&
                        completion->decoded_ns <= completion->finished_ns;
        return good ? 0 : -EBADMSG;
}

/* ---- results ---- */

static bool check_header(const ResultHeader *result) {
        return result->outcome < OUTCOME_COUNT && result->data_kind < DATA_COUNT &&
                        result->n_passages <= MAX_PASSAGES && result->reserved == 0;
}

/* `total` sums up what strings take: many that share their bytes could blow an answer up. */
static bool check_string(const ResultHeader *result, size_t size, ResultString string, uint64_t *total) {
        *total += string.size;
        return range_inside(string.offset, string.size, size) &&
                        (string.size == 0 || string.offset >= result_header_size(result->n_passages)) &&
                        utf8_valid(result_text(result, string), string.size);
}

static bool check_strings(const ResultHeader *result, size_t size) {
        uint64_t total = 0;

        if (!check_string(result, size, result->error, &total) ||
            !check_string(result, size, result->summary, &total) ||
            !check_string(result, size, result->title, &total))
                return false;
        for (uint32_t i = 0; i < result->n_passages; i++) {
                const PassageRecord *passage = &result->passages[i];
                if (!isfinite(passage->score) || passage->score < 0 ||
                    !check_string(result, size, passage->text, &total) ||
                    !check_string(result, size, passage->title, &total) ||
                    !check_string(result, size, passage->link, &total))
                        return false;
        }
        return total <= RESULT_STRINGS_MAX;
}

static bool check_json(const char *text, size_t size) {
        return json_scan(text, size, RESULT_JSON_DEPTH, NULL) >= 0;
}

static bool check_data_range(const ResultHeader *result, size_t size) {
        if (result->data_kind != DATA_JSON && result->data_kind != DATA_TEXT)
                return result->data_offset == 0 && result->data_size == 0;
        return result->data_offset >= result_header_size(result->n_passages) &&
                        range_inside(result->data_offset, result->data_size, size);
}

static bool
check_data(const ResultHeader *result, size_t size, const char *document, size_t document_size) {
        if (!check_data_range(result, size))
                return false;

        const char *data = (const char *) result + result->data_offset;
        switch ((DataKind) result->data_kind) {
        case DATA_NONE:
                return true;
        case DATA_JSON:
                return check_json(data, result->data_size);
        case DATA_TEXT:
                return utf8_valid(data, result->data_size);
        case DATA_JSON_DOCUMENT:
                return check_json(document, document_size);
        case DATA_TEXT_DOCUMENT:
                return utf8_valid(document, document_size);
        case DATA_COUNT:
        default:
                return false;
        }
}

int result_validate(const ResultHeader *result, size_t size, const void *document, size_t document_size) {
        bool good = size >= result_header_size(0) && check_header(result) &&
                        size >= result_header_size(result->n_passages) &&
                        check_strings(result, size) &&
                        check_data(result, size, document, document_size);
        return good ? 0 : -EBADMSG;
}
