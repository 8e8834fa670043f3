/* SPDX-License-Identifier: Apache-2.0 */

/* References: each follower has one, until it lets go; so have the pool, while the reading is under
 * way, and the finding, for those that are worth keeping. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "reading.h"

/* Questions about one document whose readings are kept. */
#define READINGS_KEPT 4u

static void reading_release(Reading *reading, unsigned count) {
        assert(reading->references >= count);
        reading->references -= count;
        if (reading->references > 0)
                return;
        arena_block_unref(reading->question);
        free(reading->error);
        free(reading->result);
        free(reading);
}

void reading_drop(Reading *reading) {
        list_remove(&reading->node);
        reading_release(reading, 1);
}

/* ---- the end ---- */

static bool reading_worth_keeping(const Reading *reading) {
        return verdict_answered(reading->verdict);
}

/* The finding keeps it as its newest one, and lets the oldest go. */
static void reading_keep(Reading *reading) {
        Finding *finding = reading->finding;
        unsigned n = 0;

        finding->kept += reading->result ? reading->result_size : 0;
        LIST_FOREACH(node, &finding->readings)
                n += LIST_ENTRY(node, Reading, node)->done;
        if (n <= READINGS_KEPT)
                return;
        LIST_FOREACH_SAFE(node, &finding->readings) {
                Reading *old = LIST_ENTRY(node, Reading, node);

                if (!old->done || old == reading)
                        continue;
                finding->kept -= old->result ? old->result_size : 0;
                reading_drop(old);
                return;
        }
}

static void reading_end(Reading *reading, Verdict verdict, Stage stage, char *error) {
        Finding *finding = reading->finding;
        size_t kept_before = finding->kept;
        unsigned held = 1; /* by the pool */

        assert(!reading->done);
        reading->done = true;
        list_remove(&reading->running);
        reading->verdict = verdict;
        reading->stage = stage;
        reading->error = error;
        if (reading_worth_keeping(reading))
                reading_keep(reading);
        else {
                list_remove(&reading->node);
                held++;
        }
        reading->context->ended(reading->context->userdata, reading, kept_before);
        for (ReadingFollower *follower;
             (follower = LIST_FIRST(&reading->followers, ReadingFollower, node));) {
                list_remove(&follower->node);
                follower->done(follower);
        }
        reading_release(reading, held);
        finding_unref(finding);
}

static Verdict outcome_verdict(uint32_t outcome) {
        static const Verdict verdicts[] = {
                [OUTCOME_OK] = VERDICT_OK,
                [OUTCOME_EMPTY] = VERDICT_EMPTY,
                [OUTCOME_DECODE] = VERDICT_DECODE,
                [OUTCOME_REJECTED] = VERDICT_REJECTED,
                [OUTCOME_TOO_LARGE] = VERDICT_TOO_LARGE,
        };
        return verdicts[outcome];
}

static void reading_take(Reading *reading, const PoolResult *result) {
        const ResultHeader *header = result->header;
        Verdict verdict = outcome_verdict(header->outcome);

        if (!verdict_answered(verdict))
                return reading_end(
                                reading, verdict, STAGE_DECODE,
                                strndup(result_text(header, header->error), header->error.size));
        reading->result = malloc(result->size);
        if (!reading->result)
                return reading_end(
                                reading, VERDICT_SHED, STAGE_ENGINE,
                                strdup("no memory for the result"));
        memcpy(reading->result, header, result->size);
        reading->result_size = result->size;
        reading_end(reading, verdict, STAGE_ENGINE, NULL);
}

static void on_task_done(PoolTask *task, const PoolResult *result) {
        Reading *reading = CONTAINER_OF(task, Reading, task);

        switch (result->error) {
        case 0:
                reading_take(reading, result);
                break;
        case -EOWNERDEAD:
                reading_end(reading, VERDICT_WORKER, STAGE_ENGINE,
                            strdup("two workers died or overran on this document"));
                break;
        case -ETIME:
                reading_end(reading, VERDICT_LATE, STAGE_LANE,
                            strdup("not processed by the query's deadline"));
                break;
        default:
                reading_end(reading, VERDICT_CANCELLED, STAGE_LANE,
                            strdup("the service is stopping"));
                break;
        }
}

/* ---- the beginning ---- */

static int reading_submit(Reading *reading, const ReadingRequest *request) {
        const Finding *finding = reading->finding;
        const Source *source = finding->source;
        PoolTask *task = &reading->task;

        task->record.engine = source->engine;
        task->record.media = finding->fetch.media;
        task->record.coding = finding->fetch.coding;
        task->record.max_passages = MIN(MAX_PASSAGES, request->max_passages * 2u);
        task->record.max_decoded = source->config->max_bytes;
        task->record.spin_ns = source->config->spin;
        task->record.deadline_ns = request->deadline_ns;
        memcpy(task->record.charset, finding->fetch.charset, CHARSET_MAX);
        task->document = finding->fetch.document;
        task->question = request->question;
        task->rules = source->rules;
        task->priority = request->priority;
        task->done = on_task_done;
        return pool_submit(reading->context->pool, task);
}

static Reading *reading_start(ReadingContext *context, Finding *finding, const ReadingRequest *request) {
        Reading *reading = calloc(1, sizeof(*reading));
        if (!reading)
                return NULL;

        *reading = (Reading){
                .references = 2, /* the pool's and the finding's */
                .context = context,
                .finding = finding_ref(finding),
                .question = arena_block_ref(request->question),
                .max_passages = request->max_passages,
        };
        list_init(&reading->followers);
        list_init(&reading->node);
        if (reading_submit(reading, request) < 0) {
                arena_block_unref(reading->question);
                finding_unref(finding);
                free(reading);
                return NULL;
        }
        list_append(&finding->readings, &reading->node);
        list_append(&context->running, &reading->running);
        return reading;
}

static bool same_question(const ArenaBlock *a, const ArenaBlock *b) {
        return a == b ||
                        (a->size == b->size &&
                         memcmp(arena_block_data(a), arena_block_data(b), a->size) == 0);
}

static Reading *reading_find(const Finding *finding, const ReadingRequest *request) {
        LIST_FOREACH(node, &finding->readings) {
                Reading *reading = LIST_ENTRY(node, Reading, node);
                if (reading->max_passages == request->max_passages &&
                    same_question(reading->question, request->question))
                        return reading;
        }
        return NULL;
}

int reading_follow(
                ReadingContext *context, Finding *finding, const ReadingRequest *request,
                ReadingFollower *follower) {
        Reading *reading = reading_find(finding, request);

        if (reading && !reading->done)
                pool_postpone(context->pool, &reading->task, request->deadline_ns, request->priority);
        if (!reading)
                reading = reading_start(context, finding, request);
        if (!reading)
                return -ENOMEM;
        if (!follower) {
                reading->kept = !reading->done;
                return 0;
        }
        reading->references++;
        follower->reading = reading;
        list_init(&follower->node);
        if (reading->done)
                return 1;
        list_append(&reading->followers, &follower->node);
        return 0;
}

static void reading_cancel(Reading *reading) {
        Finding *finding = reading->finding;

        pool_cancel(reading->context->pool, &reading->task);
        list_remove(&reading->running);
        list_remove(&reading->node);
        reading_release(reading, 2); /* the pool's and the finding's */
        finding_unref(finding);
}

void reading_leave(ReadingFollower *follower, bool keep) {
        Reading *reading = follower->reading;

        if (!reading)
                return;
        list_remove(&follower->node);
        reading->kept |= keep && !reading->context->stopping;
        if (!list_empty(&reading->running) && !reading->kept && list_empty(&reading->followers))
                reading_cancel(reading);
}

void reading_unfollow(ReadingFollower *follower, bool keep) {
        reading_leave(follower, keep);
        if (follower->reading)
                reading_release(TAKE_PTR(follower->reading), 1);
}

void readings_stop(ReadingContext *context) {
        context->stopping = true;
        LIST_FOREACH_SAFE(node, &context->running) {
                Reading *reading = LIST_ENTRY(node, Reading, running);

                reading->kept = false;
                if (list_empty(&reading->followers))
                        reading_cancel(reading);
        }
}
