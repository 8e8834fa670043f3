/* SPDX-License-Identifier: Apache-2.0 */

/* A whole document through all stages. Four bytes choose engine and media, coding, charset,
 * rules; the rest is the document. Whatever comes out must be what a supervisor accepts
 * (shm/record.h). */

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "json-scan.h"
#include "process.h"
#include "utf8.h"

#define HEAD_SIZE   4u
#define MAX_DECODED (256u << 10)

#define REQUIRE(condition)        \
        do {                      \
                if (!(condition)) \
                        abort();  \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const charsets[] = {
        "",        "utf-8",    "iso-8859-1", "windows-1255", "shift_jis",
        "gb18030", "utf-16le", "utf-32be",   "iso-2022-jp",  "big5",
        "euc-kr",  "koi8-r",   "unheard-of"
};

static const char *const pointers[] = { NULL, "", "/a", "/a/0", "/items" };

static const char question[] = "How many storms hit the items of Fargo in 1997?";

static const char *choose(unsigned *bits) {
        const char *pointer = pointers[*bits % ELEMENTSOF(pointers)];
        *bits /= 3;
        return pointer;
}

static void check_text(ProcessText text) {
        REQUIRE(text.size == 0 || utf8_valid(text.text, text.size));
}

static void check_output(const ProcessInput *input, const ProcessOutput *output) {
        bool failed = output->outcome != OUTCOME_OK && output->outcome != OUTCOME_EMPTY;

        REQUIRE(output->outcome < OUTCOME_COUNT && output->n_passages <= input->max_passages);
        REQUIRE(failed == (output->error.size > 0));
        check_text(output->error);
        check_text(output->summary);
        check_text(output->title);
        for (unsigned i = 0; i < output->n_passages; i++) {
                const ProcessPassage *passage = &output->passages[i];
                REQUIRE(isfinite(passage->score) && passage->score >= 0 && passage->text.size > 0);
                check_text(passage->text);
                check_text(passage->title);
                check_text(passage->link);
        }
        const char *document = (const char *) input->document;
        if (output->data_kind == DATA_JSON)
                REQUIRE(json_scan(output->data.text, output->data.size, 64, NULL) == 0);
        else if (output->data_kind == DATA_JSON_DOCUMENT)
                REQUIRE(json_scan(document, input->document_size, 64, NULL) == 0);
        else if (output->data_kind == DATA_TEXT_DOCUMENT)
                REQUIRE(utf8_valid(document, input->document_size));
        else
                check_text(output->data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static bool ready;
        ProcessOutput output;

        if (!ready)
                REQUIRE(process_init() == 0);
        ready = true;
        if (size < HEAD_SIZE)
                return 0;
        unsigned rules = data[3];
        ProcessInput input = {
                .question = question,
                .question_size = strlen(question),
                .document = data + HEAD_SIZE,
                .document_size = size - HEAD_SIZE,
                .engine = (EngineKind) (data[0] % ENGINE_COUNT),
                .media = (MediaType) (data[0] / ENGINE_COUNT % MEDIA_COUNT),
                .coding = (ContentCoding) (data[1] % CODING_COUNT),
                .charset = charsets[data[2] % ELEMENTSOF(charsets)],
                .deadline_ns = TIME_INFINITY,
                .max_decoded = MAX_DECODED,
                .max_passages = MAX_PASSAGES,
        };
        input.rules.select = choose(&rules);
        input.rules.success = choose(&rules);
        input.rules.empty = choose(&rules);
        input.rules.title = choose(&rules);
        input.rules.link = input.rules.title;
        REQUIRE(process_document(&input, &output) == 0);
        check_output(&input, &output);
        process_output_deinit(&output);
        return 0;
}
