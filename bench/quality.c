/* SPDX-License-Identifier: Apache-2.0 */

/* How good is the lexical engine? Reads questions and passages in the SQuAD v1.1 format
 * (XQuAD-en is the one that the targets speak of) and prints three tasks:
 *
 *   passage   every question against all passages; right is the one it was asked about
 *   sentence  every question against the sentences of its own passage; right is the one that holds
 *             the answer. Passages of one sentence are left out. Sentences are cut by the rule that
 *             the published figures use, not by the engine's own
 *   document  as "passage", but each passage is digested alone, as a worker would, and documents
 *             are ordered by the score of their best passage: are scores comparable among
 *             documents? (Every 10th question.)
 *
 * nDCG@10, MRR and P@1 are means over the questions; equal scores keep the order of the file. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "digest.h"
#include "json-scan.h"
#include "json-slice.h"
#include "rank.h"
#include "tokens.h"

#define PASSAGES_MAX    4096u
#define QUESTIONS_MAX   65536u
#define CANDIDATES_MAX  4096u
#define DOCUMENT_SAMPLE 10u

typedef struct Text {
        char *text;
        size_t size;
} Text;

typedef struct Asked {
        Text question;
        size_t passage;
        size_t answer; /* byte offset in the passage */
} Asked;

typedef struct Task {
        const char *name;
        double ndcg, mrr, first;
        unsigned n;
} Task;

static Text passages[PASSAGES_MAX];
static size_t n_passages;
static Asked questions[QUESTIONS_MAX];
static size_t n_questions;

/* ---- reading ---- */

static void fail(const char *what) {
        fprintf(stderr, "quality: %s\n", what);
        exit(EXIT_FAILURE);
}

static Text read_string(JsonSlice object, const char *pointer) {
        Buffer buffer = BUFFER_INIT(0);
        JsonSlice value;

        if (!json_resolve(object, pointer, &value) || json_scalar_text(value, &buffer) < 0)
                fail("the file is not in the SQuAD format");
        size_t size = buffer.size;
        char *text = buffer_steal(&buffer);
        if (!text)
                fail("out of memory");
        return (Text){ .text = text, .size = size };
}

/* SQuAD counts characters. */
static size_t byte_offset(Text text, size_t characters) {
        size_t i = 0;

        for (; i < text.size; i++)
                if (((unsigned char) text.text[i] & 0xc0) != 0x80 && characters-- == 0)
                        break;
        return i;
}

static void read_question(JsonSlice qa) {
        if (n_questions == QUESTIONS_MAX)
                fail("too many questions");
        Asked *asked = &questions[n_questions++];
        Text offset = read_string(qa, "/answers/0/answer_start");
        asked->question = read_string(qa, "/question");
        asked->passage = n_passages - 1;
        asked->answer = byte_offset(passages[n_passages - 1], (size_t) atoll(offset.text));
        free(offset.text);
}

static void read_paragraph(JsonSlice paragraph) {
        JsonSlice qas, key, qa;

        if (n_passages == PASSAGES_MAX)
                fail("too many passages");
        passages[n_passages++] = read_string(paragraph, "/context");
        if (!json_resolve(paragraph, "/qas", &qas))
                fail("the file is not in the SQuAD format");
        JsonIterator it = json_elements(qas);
        while (json_next(&it, &key, &qa))
                read_question(qa);
}

static void read_articles(JsonSlice root) {
        JsonSlice data, paragraphs, key, article, paragraph;

        if (!json_resolve(root, "/data", &data))
                fail("the file is not in the SQuAD format");
        JsonIterator articles = json_elements(data);
        while (json_next(&articles, &key, &article)) {
                if (!json_resolve(article, "/paragraphs", &paragraphs))
                        fail("the file is not in the SQuAD format");
                JsonIterator it = json_elements(paragraphs);
                while (json_next(&it, &key, &paragraph))
                        read_paragraph(paragraph);
        }
}

static void read_file(const char *path) {
        CLEANUP_FCLOSE FILE *file = fopen(path, "re");
        Buffer buffer = BUFFER_INIT(0);
        char chunk[65536];
        size_t n;

        if (!file)
                fail("cannot open the file");
        while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
                (void) buffer_append(&buffer, chunk, n);
        if (buffer.error < 0 || buffer.size == 0 ||
            json_scan(buffer.data, buffer.size, JSON_DEPTH_MAX, NULL) < 0)
                fail("the file is no JSON");
        read_articles(json_slice(buffer.data, buffer.size));
        buffer_deinit(&buffer);
}

/* ---- measures ---- */

/* One relevant candidate among `n`. */
static void score_task(Task *task, const double scores[], size_t n, size_t relevant) {
        size_t rank = 1;

        for (size_t i = 0; i < n; i++)
                if (scores[i] > scores[relevant] || (i < relevant && scores[i] >= scores[relevant]))
                        rank++;
        task->n++;
        task->ndcg += rank <= 10 ? 1 / log2((double) rank + 1) : 0;
        task->mrr += 1 / (double) rank;
        task->first += rank == 1;
}

static void print_task(const Task *task) {
        double n = task->n;
        printf("%-9s %6u %8.3f %8.3f %8.3f\n", task->name, task->n, task->ndcg / n, task->mrr / n,
               task->first / n);
}

static void rank_texts(const Asked *asked, const Text texts[], size_t n, double scores[]) {
        Question question;
        Ranker ranker = { .question = &question };

        question_read(&question, asked->question.text, asked->question.size);
        for (size_t i = 0; i < n; i++)
                if (ranker_add(&ranker, texts[i].text, texts[i].size) < 0)
                        fail("out of memory");
        ranker_finish(&ranker);
        for (size_t i = 0; i < n; i++)
                scores[i] = ranker_candidates(&ranker)[i].score;
        ranker_deinit(&ranker);
}

/* The published rule: after . ! or ?, perhaps " ” or ), and white space, before A-Z, ", “ or (. */
static size_t published_end(Text text, size_t start) {
        for (size_t i = start; i < text.size; i++) {
                if (!strchr(".!?", text.text[i]))
                        continue;
                size_t end = i + 1;
                if (end < text.size && (text.text[end] == '"' || text.text[end] == ')'))
                        end++;
                else if (end + 3 <= text.size && memcmp(text.text + end, "\u201d", 3) == 0)
                        end += 3;
                size_t next = end + strspn(text.text + end, " \t\n");
                char c = text.text[next];
                if (next > end &&
                    ((c >= 'A' && c <= 'Z') || c == '"' || c == '(' ||
                     strncmp(text.text + next, "\u201c", 3) == 0))
                        return next;
        }
        return text.size;
}

static void task_sentence(Task *task, const Asked *asked) {
        Text text = passages[asked->passage], sentences[CANDIDATES_MAX];
        double scores[CANDIDATES_MAX];
        size_t n = 0, relevant = 0;

        for (size_t start = 0; start < text.size && n < CANDIDATES_MAX; n++) {
                size_t end = published_end(text, start);
                if (asked->answer >= start && asked->answer < end)
                        relevant = n;
                sentences[n] = (Text){ .text = text.text + start, .size = end - start };
                start = end;
        }
        if (n < 2)
                return;
        rank_texts(asked, sentences, n, scores);
        score_task(task, scores, n, relevant);
}

static double digest_score(const Asked *asked, Text text) {
        DigestItem item = { .end = text.size };
        DigestInput input = { .question = asked->question.text,
                              .question_size = asked->question.size,
                              .text = text.text,
                              .items = &item,
                              .n_items = 1,
                              .max_passages = 1,
                              .deadline_ns = TIME_INFINITY };
        Buffer summary = BUFFER_INIT(0);
        DigestResult result = { 0 };

        if (digest(&input, &summary, &result) < 0)
                fail("out of memory");
        buffer_deinit(&summary);
        return result.n_passages > 0 ? result.passages[0].score : 0;
}

static void task_document(Task *task, const Asked *asked) {
        static double scores[PASSAGES_MAX];

        for (size_t i = 0; i < n_passages; i++)
                scores[i] = digest_score(asked, passages[i]);
        score_task(task, scores, n_passages, asked->passage);
}

int main(int argc, char **argv) {
        static double scores[PASSAGES_MAX];
        Task passage = { .name = "passage" }, sentence = { .name = "sentence" },
             document = { .name = "document" };

        if (argc != 2) {
                fprintf(stderr, "usage: quality FILE.json (SQuAD v1.1 format)\n");
                return 2;
        }
        if (tokens_init() < 0)
                fail("out of memory");
        read_file(argv[1]);
        for (size_t i = 0; i < n_questions; i++) {
                rank_texts(&questions[i], passages, n_passages, scores);
                score_task(&passage, scores, n_passages, questions[i].passage);
                task_sentence(&sentence, &questions[i]);
                if (i % DOCUMENT_SAMPLE == 0)
                        task_document(&document, &questions[i]);
        }
        printf("%-9s %6s %8s %8s %8s\n", "task", "n", "nDCG@10", "MRR", "P@1");
        print_task(&passage);
        print_task(&sentence);
        print_task(&document);
        tokens_deinit();
        for (size_t i = 0; i < n_questions; i++)
                free(questions[i].question.text);
        for (size_t i = 0; i < n_passages; i++)
                free(passages[i].text);
        return EXIT_SUCCESS;
}
