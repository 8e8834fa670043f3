/* SPDX-License-Identifier: Apache-2.0 */

/* A document goes through the stages of a table, each of which sees what the one before it made:
 * bytes, decompressed bytes, UTF-8, the selected value, text, passages. A stage may end the way
 * with an outcome. Nothing is copied that need not be: what is neither compressed nor of another
 * character set is read where the supervisor put it.
 *
 * Memory: each step holds at most a small multiple of max_decoded, and the engine what its own
 * limit of sentences allows. All of it belongs to one ProcessMemory, which lives until the
 * output is released. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "charset.h"
#include "cleanup.h"
#include "clock.h"
#include "digest.h"
#include "html-text.h"
#include "inflate.h"
#include "json-scan.h"
#include "json-slice.h"
#include "process.h"
#include "sentences.h"
#include "text-writer.h"
#include "tokens.h"
#include "utf8.h"

#define TITLE_MAX 300u
#define LINK_MAX  2000u
#define LABELS_MAX \
        ((size_t) (MAX_PASSAGES + 1) * (TITLE_MAX + LINK_MAX)) /* of all passages and the document */
#define SCRATCH_MAX (64u << 10) /* a title longer than that is none */
#define ITEMS_MAX   (64u << 10) /* further elements of a list belong to the last item */
#define ERROR_MAX   512u
#define SPIN_SLICE  20000u /* turns between looks at the clock */

typedef struct ProcessMemory {
        Buffer inflated;
        Buffer converted;
        Buffer compacted; /* the selected JSON */
        Buffer text;      /* for the engine; also the data when the document is HTML */
        Buffer title;     /* of a page */
        Buffer items;     /* of DigestItem */
        Buffer sources;   /* of JsonSlice: where each item comes from */
        Buffer labels;    /* titles and links; of fixed capacity, so that slices stay valid */
        Buffer scratch;
        Buffer summary;
        Buffer error;
} ProcessMemory;

typedef struct Work {
        const ProcessInput *input;
        ProcessOutput *output;
        ProcessMemory *memory;
        MediaType media;
        const char *text; /* the document as it stands after each stage */
        size_t size;
        JsonSlice value; /* what is selected of it */
        bool unchanged;  /* `text` is the document as it was received, all of it */
} Work;

/* What a stage returns: go on, the outcome is final, or a negative errno. */
enum {
        STAGE_DONE,
        STAGE_FINAL,
};

int process_init(void) {
        charset_init();
        return tokens_init();
}

void process_deinit(void) {
        charset_deinit();
        tokens_deinit();
}

static uint64_t clock_ns(clockid_t id) {
        struct timespec now;

        (void) clock_gettime(id, &now);
        return (uint64_t) now.tv_sec * NSEC_PER_SEC + (uint64_t) now.tv_nsec;
}

static ProcessText buffer_text(const Buffer *buffer) {
        return (ProcessText){ .text = buffer->data, .size = buffer->size };
}

/* The next stage goes on with what this one wrote. */
static void go_on_with(Work *work, const Buffer *buffer) {
        work->text = buffer->size > 0 ? buffer->data : "";
        work->size = buffer->size;
}

/* ---- outcomes ---- */

static int finish(Work *work, Outcome outcome) {
        work->output->outcome = outcome;
        return STAGE_FINAL;
}

/* For the results of decoders, which have written the message. */
static int finish_decoding(Work *work, int r) {
        if (r == -EBADMSG)
                return finish(work, OUTCOME_DECODE);
        if (r == -EMSGSIZE)
                return finish(work, OUTCOME_TOO_LARGE);
        return r;
}

/* ---- decoding ---- */

static int decode_coding(Work *work) {
        const ProcessInput *input = work->input;
        ProcessMemory *memory = work->memory;

        if (input->document_size == 0)
                return STAGE_DONE; /* even a compressed nothing is nothing */
        if (input->coding == CODING_IDENTITY) {
                if (input->document_size <= input->max_decoded)
                        return STAGE_DONE;
                (void) buffer_printf(&memory->error, "document is larger than MaxBytes= allows");
                return finish(work, OUTCOME_TOO_LARGE);
        }
        int r = inflate_document(
                        input->coding, input->document, input->document_size, input->max_decoded,
                        &memory->inflated, &memory->error);
        if (r < 0)
                return finish_decoding(work, r);
        go_on_with(work, &memory->inflated);
        work->unchanged = false;
        return STAGE_DONE;
}

static int decode_charset(Work *work) {
        const ProcessInput *input = work->input;
        bool html = work->media == MEDIA_HTML ||
                        (work->media == MEDIA_UNKNOWN && html_begins(work->text, work->size));
        size_t before = work->size;

        work->memory->converted.limit = input->max_decoded;
        int r = charset_decode(
                        input->charset ? input->charset : "", html, work->text, work->size,
                        &work->memory->converted, &work->memory->error, &work->text, &work->size);
        if (r < 0)
                return finish_decoding(work, r);
        if (work->size != before || work->memory->converted.size > 0)
                work->unchanged = false;
        return STAGE_DONE;
}

static bool is_blank(const char *text, size_t size) {
        return json_slice(text, size).size == 0;
}

static int check_json(Work *work) {
        size_t offset = 0;
        const char *what;

        int r = json_scan(work->text, work->size, JSON_DEPTH_MAX, &offset);
        if (r >= 0)
                return STAGE_DONE;
        if (work->media != MEDIA_JSON) {
                work->media = html_begins(work->text, work->size) ? MEDIA_HTML : MEDIA_TEXT;
                return STAGE_DONE;
        }
        what = r == -E2BIG                   ? "nested deeper than 64 levels" :
                        r == -EILSEQ         ? "with a string that is no Unicode text" :
                        offset == work->size ? "cut off" :
                                               "not well-formed";
        (void) buffer_printf(&work->memory->error, "JSON is %s (at byte %zu)", what, offset);
        return finish(work, OUTCOME_DECODE);
}

/* Rules speak of JSON: with them every document is looked at as such, whatever its type says. */
static bool has_rules(const SourceRules *rules) {
        return rules->select || rules->success || rules->empty;
}

static int find_media(Work *work) {
        bool rules = has_rules(&work->input->rules);

        if (work->media != MEDIA_JSON && is_blank(work->text, work->size))
                return finish(work, OUTCOME_EMPTY);
        if (work->media == MEDIA_UNKNOWN || work->media == MEDIA_JSON || rules) {
                MediaType told = work->media;
                if (told != MEDIA_JSON)
                        work->media = MEDIA_UNKNOWN;
                int r = check_json(work);
                if (r != STAGE_DONE)
                        return r;
                if (work->media == MEDIA_UNKNOWN)
                        work->media = MEDIA_JSON;
                else if (told != MEDIA_UNKNOWN)
                        work->media = told;
        }
        if (work->media == MEDIA_JSON) {
                work->value = json_slice(work->text, work->size);
                return STAGE_DONE;
        }
        if (!rules)
                return STAGE_DONE;
        (void) buffer_printf(
                        &work->memory->error, "[Result] of the source needs JSON, but this is %s",
                        work->media == MEDIA_HTML ? "HTML" : "plain text");
        return finish(work, OUTCOME_REJECTED);
}

/* ---- rules ---- */

static int reject(Work *work, const char *key, const char *pointer) {
        (void) buffer_printf(
                        &work->memory->error, "%s=%s: the document has no such value", key, pointer);
        return finish(work, OUTCOME_REJECTED);
}

static int apply_rules(Work *work) {
        const SourceRules *rules = &work->input->rules;
        JsonSlice found;

        if (work->media != MEDIA_JSON)
                return STAGE_DONE;
        if (rules->success && !json_resolve(work->value, rules->success, &found))
                return reject(work, "Success", rules->success);
        if (rules->empty && (!json_resolve(work->value, rules->empty, &found) || json_is_empty(found)))
                return finish(work, OUTCOME_EMPTY);
        if (rules->select && !json_resolve(work->value, rules->select, &work->value))
                return reject(work, "Select", rules->select);
        return json_has_content(work->value) ? STAGE_DONE : finish(work, OUTCOME_EMPTY);
}

/* ---- data ---- */

static int hand_json(Work *work) {
        ProcessOutput *output = work->output;

        if (work->unchanged && !work->input->rules.select) {
                output->data_kind = DATA_JSON_DOCUMENT;
                return STAGE_DONE;
        }
        int r = json_compact(work->value, &work->memory->compacted);
        if (r < 0)
                return r;
        output->data_kind = DATA_JSON;
        output->data = buffer_text(&work->memory->compacted);
        return STAGE_DONE;
}

/* Plain text; also HTML that is only handed through. */
static int hand_plain(Work *work) {
        ProcessOutput *output = work->output;
        Buffer *text = &work->memory->text;

        if (text_has_controls(work->text, work->size)) {
                int r = text_replace_controls(work->text, work->size, text);
                if (r < 0)
                        return r;
                go_on_with(work, text);
                work->unchanged = false;
                if (is_blank(work->text, work->size))
                        return finish(work, OUTCOME_EMPTY);
        }
        output->data_kind = work->unchanged ? DATA_TEXT_DOCUMENT : DATA_TEXT;
        if (!work->unchanged)
                output->data = (ProcessText){ .text = work->text, .size = work->size };
        return STAGE_DONE;
}

static int hand_html(Work *work) {
        ProcessMemory *memory = work->memory;
        TextWriter out = text_writer(&memory->text), title = text_writer(&memory->title);

        html_write_text(work->text, work->size, &out, &title);
        if (memory->text.error < 0)
                return memory->text.error;
        if (memory->title.size == 0 && memory->text.size == 0)
                return finish(work, OUTCOME_EMPTY);
        work->output->data_kind = DATA_TEXT;
        work->output->data = buffer_text(&memory->text);
        go_on_with(work, &memory->text);
        return STAGE_DONE;
}

static int hand_data(Work *work) {
        if (work->media == MEDIA_JSON)
                return hand_json(work);
        if (work->media == MEDIA_HTML && work->input->engine != ENGINE_NONE)
                return hand_html(work);
        return hand_plain(work);
}

/* ---- items ---- */

static int add_item(Work *work, size_t start, size_t end, JsonSlice source) {
        DigestItem item = { .start = start, .end = end };
        int r = buffer_append(&work->memory->items, &item, sizeof(item));
        return r < 0 ? r : buffer_append(&work->memory->sources, &source, sizeof(source));
}

/* An array of numbers is one thing; an array of anything else is a list of things. */
static bool is_list(JsonSlice value) {
        JsonIterator it = json_elements(value);
        JsonSlice key, element;

        return *value.text == '[' && json_next(&it, &key, &element) && strchr("{[\"", *element.text);
}

static int read_json_items(Work *work) {
        Buffer *text = &work->memory->text;
        JsonIterator it = json_elements(work->value);
        JsonSlice key, element = work->value;
        bool list = is_list(work->value);
        int r = 0;

        while (r == 0 && (!list || json_next(&it, &key, &element))) {
                if (list && work->memory->items.size / sizeof(DigestItem) == ITEMS_MAX - 1) {
                        /* The rest, taken as one. */
                        size_t used = (size_t) (element.text - work->value.text);
                        element.size = work->value.size - used - 1;
                        list = false;
                }
                TextWriter out = text_writer(text);
                json_write_text(element, &out);
                if (text->error < 0 && text->error != -EMSGSIZE)
                        return text->error;
                if (text->size > out.start)
                        r = add_item(work, out.start, text->size, element);
                if (!list)
                        break;
        }
        go_on_with(work, text);
        return r;
}

static int read_items(Work *work) {
        if (work->media == MEDIA_JSON)
                return read_json_items(work);
        return add_item(work, 0, work->size, (JsonSlice){ 0 });
}

/* ---- engine ---- */

/* A label is short and stands on one line. */
static ProcessText keep_label(Work *work, const char *text, size_t size, size_t max) {
        Buffer *labels = &work->memory->labels;
        size_t start = labels->size;
        TextWriter writer = text_writer(labels);

        if (size == 0 || buffer_reserve(labels, LABELS_MAX - start) < 0)
                return (ProcessText){ 0 };
        size = utf8_truncate(text, size, max);
        if (html_is_fragment(text, size))
                html_write_text(text, size, &writer, NULL);
        else
                text_put(&writer, text, size);
        return (ProcessText){ .text = labels->data + start, .size = labels->size - start };
}

/* A title may be cut at `max`; half a link is none. */
static ProcessText item_label(Work *work, JsonSlice source, const char *pointer, size_t max, bool cut) {
        Buffer *scratch = &work->memory->scratch;
        JsonSlice value;

        if (!pointer || !source.text || !json_resolve(source, pointer, &value))
                return (ProcessText){ 0 };
        buffer_clear(scratch);
        if (json_scalar_text(value, scratch) < 0 || (scratch->size > max && !cut))
                return (ProcessText){ 0 };
        return keep_label(work, scratch->data, scratch->size, max);
}

static void give_passages(Work *work, const DigestResult *result) {
        const SourceRules *rules = &work->input->rules;
        const JsonSlice *sources = (const JsonSlice *) (const void *) work->memory->sources.data;
        ProcessOutput *output = work->output;

        for (unsigned i = 0; i < result->n_passages; i++) {
                const DigestPassage *from = &result->passages[i];
                ProcessPassage *to = &output->passages[i];
                to->score = from->score;
                to->text = (ProcessText){ .text = work->text + from->start,
                                          .size = from->end - from->start };
                to->title = item_label(work, sources[from->item], rules->title, TITLE_MAX, true);
                to->link = item_label(work, sources[from->item], rules->link, LINK_MAX, false);
                if (to->title.size == 0)
                        to->title = output->title;
        }
        output->n_passages = result->n_passages;
}

static int run_digest(Work *work) {
        const ProcessInput *input = work->input;
        ProcessMemory *memory = work->memory;
        ProcessOutput *output = work->output;
        DigestResult result;

        int r = read_items(work);
        if (r < 0)
                return r;
        if (output->decoded_ns == 0)
                output->decoded_ns = clock_ns(CLOCK_MONOTONIC);
        DigestInput digest_input = {
                .question = input->question,
                .question_size = input->question_size,
                .text = work->text,
                .items = (const DigestItem *) (const void *) memory->items.data,
                .n_items = memory->items.size / sizeof(DigestItem),
                .wrapped = work->media == MEDIA_TEXT,
                .max_passages = MIN(input->max_passages, MAX_PASSAGES),
                .deadline_ns = input->deadline_ns,
        };
        r = digest(&digest_input, &memory->summary, &result);
        if (r < 0)
                return r;
        output->title = keep_label(work, memory->title.data, memory->title.size, TITLE_MAX);
        output->summary = buffer_text(&memory->summary);
        output->tokens = (uint32_t) MIN(result.words, (uint64_t) UINT32_MAX);
        output->sentences = (uint32_t) result.sentences;
        give_passages(work, &result);
        return STAGE_DONE;
}

/* Burns processor time, to stand in for an engine of that cost. */
static int run_spin(Work *work) {
        uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);

        work->output->decoded_ns = clock_ns(CLOCK_MONOTONIC); /* that is the engine's time */
        while (clock_ns(CLOCK_THREAD_CPUTIME_ID) - start < work->input->spin_ns)
                for (volatile unsigned i = 0; i < SPIN_SLICE; i++)
                        ;
        return run_digest(work);
}

static int run_none(Work *work) {
        return STAGE_DONE;
}

static int run_engine(Work *work) {
        static int (*const engines[ENGINE_COUNT])(Work * work) = {
                [ENGINE_NONE] = run_none,
                [ENGINE_DIGEST] = run_digest,
                [ENGINE_SPIN] = run_spin,
        };

        assert(work->input->engine < ENGINE_COUNT);
        return engines[work->input->engine](work);
}

/* ---- the way through ---- */

static int (*const stages[])(Work *work) = {
        decode_coding, decode_charset, find_media, apply_rules, hand_data, run_engine,
};

static ProcessMemory *memory_new(const ProcessInput *input) {
        ProcessMemory *memory = malloc(sizeof(*memory));
        if (!memory)
                return NULL;
        *memory = (ProcessMemory){
                .text.limit = input->max_decoded > SIZE_MAX / 4 ? 0 : 2 * input->max_decoded + 64,
                .labels.limit = LABELS_MAX,
                .title.limit = SCRATCH_MAX,
                .scratch.limit = SCRATCH_MAX,
                .error.limit = ERROR_MAX,
        };
        return memory;
}

static void memory_free(ProcessMemory *memory) {
        if (!memory)
                return;
        Buffer *buffers[] = {
                &memory->inflated, &memory->converted, &memory->compacted, &memory->text,
                &memory->title,    &memory->items,     &memory->sources,   &memory->labels,
                &memory->scratch,  &memory->summary,   &memory->error,
        };
        for (size_t i = 0; i < ELEMENTSOF(buffers); i++)
                buffer_deinit(buffers[i]);
        free(memory);
}

DEFINE_CLEANUP(ProcessMemory, memory_free)

int process_document(const ProcessInput *input, ProcessOutput *output) {
        CLEANUP(cleanup_memory_free) ProcessMemory *memory = memory_new(input);
        if (!memory)
                return -ENOMEM;

        ProcessOutput result = { .outcome = OUTCOME_OK };
        Work work = {
                .input = input,
                .output = &result,
                .memory = memory,
                .media = input->media,
                .text = input->document_size > 0 ? (const char *) input->document : "",
                .size = input->document_size,
                .unchanged = true,
        };
        int r = STAGE_DONE;
        for (size_t i = 0; i < ELEMENTSOF(stages) && r == STAGE_DONE; i++)
                r = stages[i](&work);
        if (r < 0)
                return r;
        if (result.decoded_ns == 0)
                result.decoded_ns = clock_ns(CLOCK_MONOTONIC);
        result.error = buffer_text(&memory->error);
        result.memory = TAKE_PTR(memory);
        *output = result;
        return 0;
}

void process_output_deinit(ProcessOutput *output) {
        memory_free(output->memory);
        *output = (ProcessOutput){ 0 };
}
