/* SPDX-License-Identifier: Apache-2.0 */

/* One query from question to answer.
 *
 *     FETCHING ──document──▶ INFERRING ──result──▶ ENDED
 *         └──────── any other verdict ──────────────▲
 *
 * Every source walks this line on its own; there is no barrier. A source is a member of the query's
 * task group and leaves it in source_end(), once. The group ends when all have left: by themselves,
 * by the query's deadline, by the first failure of a required source under fail_fast, or because
 * the client has gone. Then, and only then, the answer is written and the query is freed. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "group.h"
#include "plan.h"
#include "query-engine.h"
#include "ulid.h"

/* A Varlink peer takes no longer message than 16 MiB; some of it is the envelope's. */
#define ANSWER_MAX ((UINT64_C(16) << 20) - 4096)

typedef enum SourceState {
        SOURCE_FETCHING,
        SOURCE_INFERRING,
        SOURCE_ENDED,
} SourceState;

typedef struct QuerySource {
        Query *query;
        Source *source;
        SourceState state;
        GroupMember member;
        Fetch fetch;
        PoolTask task;
        Verdict verdict;
        Stage stage;
        char *error;          /* when the verdict is not the fetch's */
        ResultHeader *result; /* private copy */
        IoTask refusal;       /* a source that is not asked ends from the loop, too */
        const char *refusal_text;
} QuerySource;

struct Query {
        QueryEngine *engine;
        List node;
        Ulid id;
        QueryCallbacks callbacks;
        bool want_events;
        bool withdrawn;
        Verdict cancel_verdict; /* of sources that a cancel ends */
        unsigned max_passages;
        uint64_t start;
        uint64_t deadline;
        IoTimer timer;
        Group group;
        ArenaBlock *question;
        size_t n_sources;
        QuerySource sources[];
};

struct QueryEngine {
        QueryEngineOptions options;
        Io *io;
        List queries;
        size_t open;
        QueryCounters counters;
        bool stopping;
        bool drained;
        IoTask drain;
};

/* ---- answers ---- */

static AnswerSource answer_source(const QuerySource *source) {
        const char *error = source->error ? source->error : source->fetch.error;

        return (AnswerSource){
                .name = source->source->name,
                .required = source->source->config->class == CLASS_REQUIRED,
                .engine = source->source->engine,
                .verdict = source->verdict,
                .stage = source->stage,
                .error = verdict_answered(source->verdict) ? NULL :
                                error                      ? error :
                                                             verdict_help(source->verdict),
                .fetch = &source->fetch,
                .task = &source->task,
                .result = source->result,
        };
}

static AnswerInput answer_input(const Query *query, const AnswerSource *sources) {
        return (AnswerInput){
                .question = arena_block_data(query->question),
                .question_size = query->question->size,
                .query_id = query->id.text,
                .start_ns = query->start,
                .end_ns = io_now(query->engine->io),
                .max_passages = query->max_passages,
                .sources = sources,
                .n_sources = query->n_sources,
        };
}

static void query_send_event(Query *query, const QuerySource *source) {
        AnswerSource one = answer_source(source);
        AnswerInput input = answer_input(query, &one);
        Buffer json = BUFFER_INIT(ANSWER_MAX);

        answer_write_event(&input, &one, &json);
        if (json.error == -EMSGSIZE) {
                input.omit_data = true;
                buffer_clear(&json);
                answer_write_event(&input, &one, &json);
        }
        if (json.error == 0)
                query->callbacks.event(query, json.data, json.size, query->callbacks.userdata);
        buffer_deinit(&json);
}

/* What goes out when there is no memory for the answer, or when even without data it is too
 * long. */
static const char no_answer[] =
                "{\"success\":false,\"completeness\":\"failed\",\"answer\":{\"passages\":[],\"summary\":"
                "\"\"},\"sources\":{},\"inferences\":[],\"errors\":[{\"source\":\"\",\"stage\":\"merge\",\"kind\":"
                "\"shed\",\"transient\":true,\"message\":\"no room for the answer; ask fewer sources at once\"}],"
                "\"execution_time\":0,\"cores_used\":0,\"timeline\":[]}";

static void query_send_answer(Query *query, AnswerInput *input) {
        Buffer json = BUFFER_INIT(ANSWER_MAX);

        answer_write(input, &json);
        if (json.error == -EMSGSIZE) {
                input->omit_data = true;
                buffer_clear(&json);
                answer_write(input, &json);
        }
        if (json.error == 0)
                query->callbacks.done(query, json.data, json.size, query->callbacks.userdata);
        else
                query->callbacks.done(
                                query, no_answer, sizeof(no_answer) - 1, query->callbacks.userdata);
        buffer_deinit(&json);
}

/* ---- the end ---- */

static void query_free(Query *query) {
        for (size_t i = 0; i < query->n_sources; i++) {
                QuerySource *source = &query->sources[i];

                assert(source->state == SOURCE_ENDED);
                fetch_deinit(&source->fetch);
                free(source->error);
                free(source->result);
        }
        arena_block_unref(query->question);
        list_remove(&query->node);
        free(query);
}

static void engine_check_drained(QueryEngine *engine) {
        if (engine->stopping && engine->open == 0 && !engine->drained)
                io_post(engine->io, &engine->drain);
}

static void query_finish(Query *query) {
        QueryEngine *engine = query->engine;
        CLEANUP_FREE AnswerSource *sources = calloc(query->n_sources + 1, sizeof(*sources));
        AnswerInput input = answer_input(query, sources);
        QuerySummary summary = { .input = &input, .withdrawn = query->withdrawn };

        if (!sources)
                input.n_sources = 0;
        for (size_t i = 0; i < input.n_sources; i++)
                sources[i] = answer_source(&query->sources[i]);
        summary.completeness = answer_completeness(&input);

        io_timer_cancel(engine->io, &query->timer);
        engine->open--;
        if (query->withdrawn)
                engine->counters.withdrawn++;
        else if (summary.completeness == COMPLETENESS_FAILED)
                engine->counters.failed++;
        if (!query->withdrawn)
                query_send_answer(query, &input);
        engine->options.ended(engine->options.userdata, &summary);
        query_free(query);
        engine_check_drained(engine);
}

static void on_group_ended(Group *group) {
        query_finish(CONTAINER_OF(group, Query, group));
}

/* ---- one source ---- */

static void source_end(QuerySource *source, Verdict verdict, Stage stage, char *error) {
        Query *query = source->query;
        bool failed = !verdict_answered(verdict);

        assert(source->state != SOURCE_ENDED);
        source->state = SOURCE_ENDED;
        source->verdict = verdict;
        source->stage = stage;
        source->error = error;
        source_record(source->source, verdict, source->fetch.bytes,
                      time_sub(source->fetch.attempt.end, source->fetch.attempt.start));
        if (query->want_events && !query->withdrawn)
                query_send_event(query, source);
        group_leave(&source->member, failed ? -ENODATA : 0);
}

static void source_cancel(GroupMember *member) {
        QuerySource *source = CONTAINER_OF(member, QuerySource, member);
        Query *query = source->query;
        Stage stage = source->state == SOURCE_INFERRING ? STAGE_ENGINE : STAGE_WAIT;

        if (source->state == SOURCE_ENDED)
                return; /* the client went away over its event; source_end() has yet to leave the group */
        fetch_cancel(&source->fetch);
        pool_cancel(query->engine->options.pool, &source->task);
        io_unpost(&source->refusal);
        source_end(source, query->cancel_verdict, stage,
                   query->cancel_verdict == VERDICT_LATE ?
                                   strdup(stage == STAGE_WAIT ?
                                                          "no response by the query's deadline" :
                                                          "not processed by the query's deadline") :
                                   NULL);
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

static void source_take_result(QuerySource *source, const PoolResult *result) {
        const ResultHeader *header = result->header;
        Verdict verdict = outcome_verdict(header->outcome);

        if (!verdict_answered(verdict)) {
                source_end(source, verdict, STAGE_DECODE,
                           strndup(result_text(header, header->error), header->error.size));
                return;
        }
        source->result = malloc(result->size);
        if (!source->result) {
                source_end(source, VERDICT_SHED, STAGE_ENGINE, strdup("no memory for the result"));
                return;
        }
        memcpy(source->result, header, result->size);
        source_end(source, verdict, STAGE_ENGINE, NULL);
}

static void on_task_done(PoolTask *task, const PoolResult *result) {
        QuerySource *source = CONTAINER_OF(task, QuerySource, task);

        switch (result->error) {
        case 0:
                source_take_result(source, result);
                break;
        case -EOWNERDEAD:
                source_end(source, VERDICT_WORKER, STAGE_ENGINE,
                           strdup("two workers died or overran on this document"));
                break;
        case -ETIME:
                source_end(source, VERDICT_LATE, STAGE_LANE,
                           strdup("not processed by the query's deadline"));
                break;
        default:
                source_end(source, VERDICT_CANCELLED, STAGE_LANE, strdup("the service is stopping"));
                break;
        }
}

static void source_submit(QuerySource *source) {
        Query *query = source->query;
        const Fetch *fetch = &source->fetch;
        PoolTask *task = &source->task;

        task->record.engine = source->source->engine;
        task->record.media = fetch->media;
        task->record.coding = fetch->coding;
        task->record.max_passages = MAX_PASSAGES < query->max_passages * 2u ?
                        MAX_PASSAGES :
                        query->max_passages * 2u;
        task->record.max_decoded = source->source->config->max_bytes;
        task->record.spin_ns = source->source->config->spin;
        task->record.deadline_ns = query->deadline;
        memcpy(task->record.charset, fetch->charset, CHARSET_MAX);
        task->document = fetch->document;
        task->question = query->question;
        task->rules = source->source->rules;
        task->priority = (int) source->source->config->priority;
        task->done = on_task_done;

        source->state = SOURCE_INFERRING;
        if (pool_submit(query->engine->options.pool, task) < 0)
                source_end(source, VERDICT_SHED, STAGE_LANE,
                           strdup("no memory to queue the document"));
}

static void on_fetch_done(Fetch *fetch) {
        QuerySource *source = CONTAINER_OF(fetch, QuerySource, fetch);

        if (fetch->verdict == VERDICT_OK)
                source_submit(source);
        else
                source_end(source, fetch->verdict, STAGE_WAIT, NULL);
}

static void on_refusal(IoTask *task) {
        QuerySource *source = CONTAINER_OF(task, QuerySource, refusal);

        source_end(source, VERDICT_SHED, STAGE_QUEUE, strdup(source->refusal_text));
}

static void source_start(QuerySource *source, const TemplateValue values[], size_t n_values) {
        Query *query = source->query;

        (void) group_add(&query->group, &source->member);
        if (!source->refusal_text && fetch_start(&source->fetch, values, n_values) >= 0)
                return;
        if (!source->refusal_text)
                source->refusal_text = "no memory or descriptor to start the fetch";
        io_post(query->engine->io, &source->refusal);
}

/* ---- one query ---- */

static void on_deadline(IoTimer *timer) {
        Query *query = CONTAINER_OF(timer, Query, timer);

        query->cancel_verdict = VERDICT_LATE;
        group_cancel(&query->group);
}

static int query_place_question(Query *query, const QueryRequest *request) {
        int r =
                        arena_alloc(query->engine->options.fetch.arena, request->question_size,
                                    &query->question);
        if (r < 0)
                return r;
        memcpy(arena_block_data(query->question), request->question, request->question_size);
        query->question->size = request->question_size;
        return 0;
}

static void query_init_source(Query *query, QuerySource *source, const PlanEntry *entry) {
        source->query = query;
        source->source = entry->source;
        source->refusal_text = entry->refusal;
        source->member.required = entry->source->config->class == CLASS_REQUIRED;
        source->member.cancel = source_cancel;
        list_init(&source->member.node);
        source->fetch.context = &query->engine->options.fetch;
        source->fetch.source = entry->source;
        source->fetch.done = on_fetch_done;
        list_init(&source->fetch.task.node);
        list_init(&source->refusal.node);
        source->refusal.run = on_refusal;
}

static Query *
query_new(QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
          const Plan *plan) {
        Query *query = calloc(1, sizeof(*query) + plan->count * sizeof(QuerySource));
        if (!query)
                return NULL;

        uint64_t length = request->deadline_ns ? request->deadline_ns :
                                                 engine->options.default_deadline_ns;
        /* One after the other: as arguments, their order would be the compiler's. */
        uint64_t high = io_random(engine->io);
        uint64_t low = io_random(engine->io);
        *query = (Query){
                .engine = engine,
                .callbacks = *callbacks,
                .want_events = request->want_events,
                .cancel_verdict = VERDICT_CANCELLED,
                .max_passages = request->max_passages,
                .id = ulid_make(io_unix_ms(engine->io), high, low),
                .start = io_now(engine->io),
                .timer.fire = on_deadline,
                .n_sources = plan->count,
        };
        query->deadline = time_add(query->start, length);
        list_init(&query->node);
        group_init(&query->group, engine->io,
                   request->policy == QUERY_FAIL_FAST ? GROUP_FAIL_FAST : GROUP_GATHER,
                   on_group_ended);
        for (size_t i = 0; i < plan->count; i++)
                query_init_source(query, &query->sources[i], &plan->entries[i]);
        if (query_place_question(query, request) < 0 ||
            io_timer_set(engine->io, &query->timer, query->deadline) < 0) {
                arena_block_unref(query->question);
                free(query);
                return NULL;
        }
        return query;
}

static QueryRefusal
query_check(const QueryEngine *engine, const QueryRequest *request, QueryRefused *ret_refused) {
        if (engine->stopping)
                return QUERY_STOPPING;
        ret_refused->which = request->question_size == 0 || request->question_size > QUESTION_MAX ?
                        "question" :
                        request->deadline_ns > engine->options.max_deadline_ns ? "deadline_ms" :
                        request->max_passages > MAX_PASSAGES                   ? "max_passages" :
                                                                                 NULL;
        return ret_refused->which ? QUERY_INVALID_PARAMETER : QUERY_ACCEPTED;
}

QueryRefusal
query_start(QueryEngine *engine, const QueryRequest *request, const QueryCallbacks *callbacks,
            Query **ret, QueryRefused *ret_refused) {
        Plan plan = {};
        size_t n_values = 0;

        QueryRefusal refusal = query_check(engine, request, ret_refused);
        if (refusal == QUERY_ACCEPTED)
                refusal =
                                plan_make(&plan, engine->options.sources, request, /* all= */ false,
                                          ret_refused);
        if (refusal != QUERY_ACCEPTED)
                return refusal;

        CLEANUP_FREE TemplateValue *values = plan_values(request, &n_values);
        Query *query = values ? query_new(engine, request, callbacks, &plan) : NULL;
        plan_deinit(&plan);
        if (!query) {
                ret_refused->retry_after_ms = 1000;
                return QUERY_OVERLOADED;
        }

        list_append(&engine->queries, &query->node);
        engine->open++;
        engine->counters.total++;
        for (size_t i = 0; i < query->n_sources; i++)
                source_start(&query->sources[i], values, n_values);
        group_close(&query->group);
        *ret = query;
        return QUERY_ACCEPTED;
}

void query_cancel(Query *query) {
        query->withdrawn = true;
        query->cancel_verdict = VERDICT_CANCELLED;
        group_cancel(&query->group);
}

QueryRefusal
query_explain(QueryEngine *engine, const QueryRequest *request, char **ret_json, size_t *ret_size,
              QueryRefused *ret_refused) {
        Plan plan = {};
        Buffer json = BUFFER_INIT(ANSWER_MAX);

        QueryRefusal refusal = query_check(engine, request, ret_refused);
        if (refusal == QUERY_ACCEPTED)
                refusal =
                                plan_make(&plan, engine->options.sources, request, /* all= */ true,
                                          ret_refused);
        if (refusal != QUERY_ACCEPTED)
                return refusal;
        plan_write(&plan, request,
                   request->deadline_ns ? request->deadline_ns : engine->options.default_deadline_ns,
                   &json);
        plan_deinit(&plan);
        *ret_size = json.size;
        *ret_json = buffer_steal(&json);
        return *ret_json ? QUERY_ACCEPTED : QUERY_NO_MEMORY;
}

/* ---- the engine ---- */

static void on_drain(IoTask *task) {
        QueryEngine *engine = CONTAINER_OF(task, QueryEngine, drain);

        engine->drained = true;
        engine->options.drained(engine->options.userdata);
}

int query_engine_new(QueryEngine **ret, const QueryEngineOptions *options) {
        QueryEngine *engine = calloc(1, sizeof(*engine));
        if (!engine)
                return -ENOMEM;

        engine->options = *options;
        engine->io = options->fetch.io;
        list_init(&engine->queries);
        list_init(&engine->drain.node);
        engine->drain.run = on_drain;
        *ret = engine;
        return 0;
}

void query_engine_stop(QueryEngine *engine) {
        engine->stopping = true;
        engine_check_drained(engine);
}

void query_engine_cancel_all(QueryEngine *engine) {
        /* Groups end from the loop, so the list does not change here. */
        LIST_FOREACH(node, &engine->queries) {
                Query *query = LIST_ENTRY(node, Query, node);

                query->cancel_verdict = VERDICT_CANCELLED;
                group_cancel(&query->group);
        }
}

QueryEngine *query_engine_free(QueryEngine *engine) {
        if (!engine)
                return NULL;
        assert(engine->open == 0);
        io_unpost(&engine->drain);
        free(engine);
        return NULL;
}

QueryCounters query_engine_counters(const QueryEngine *engine) {
        return engine->counters;
}

size_t query_open(const QueryEngine *engine) {
        return engine->open;
}
