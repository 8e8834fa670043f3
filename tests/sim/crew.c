/* SPDX-License-Identifier: Apache-2.0 */

/* A worker is a small machine with one event at a time ahead of it:
 *
 *     born -> looks at its lane -> sleeps until it is woken -> looks …
 *                              `-> takes a task -> works -> publishes -> looks …
 *
 * The lanes are the real ones, mapped from the descriptors that the pool hands over, and so is the
 * work: the real runner does each task on a private segment (the bench), and what it made is
 * carried over when its virtual time has passed. Only clock readings are replaced.
 *
 * A real worker wakes from its sleep every 50 ms at the latest. These do not, so that a wake-up
 * which the pool forgets is found out.
 *
 * What can go wrong with a task is a list of misdeeds. A dead worker unmaps its segment and is
 * never looked at again; its memory stays, because calls for later may be on their way to it. */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "clock.h"
#include "crew.h"
#include "doorbell.h"
#include "hash-map.h"
#include "list.h"
#include "report.h"
#include "runner.h"
#include "segment.h"

#define WAKE_MAX (100 * NSEC_PER_USEC)

/* At which point it does what. */
typedef enum Misdeed {
        MISDEED_NONE,
        MISDEED_DIE_BEFORE_TAKING,
        MISDEED_DIE_CLAIMING, /* between the claim and the index */
        MISDEED_DIE_WORKING,
        MISDEED_DIE_WRITING, /* the result is there, the completion is not */
        MISDEED_DIE_BEFORE_RING,
        MISDEED_DIE_AFTER_RING,
        MISDEED_EXIT, /* with 0, though nobody asked for it */
        MISDEED_HANG,
        MISDEED_FORGET_RING,
        MISDEED_WRONG_SLOT,
        MISDEED_WRONG_GENERATION,
        MISDEED_WRONG_CHECKSUM,
        MISDEED_WRONG_RANGE,
        MISDEED_WRONG_RESULT, /* under a checksum that is right */
        MISDEED_WRONG_TAIL,
        MISDEED_WRONG_HEAD,
        MISDEED_TWICE,
        MISDEED_STALE,    /* what it has published before, once more */
        MISDEED_SCRIBBLE, /* over all that it can write to */
        MISDEED_COUNT,
} Misdeed;

typedef enum Activity {
        ACTIVITY_STARTING,
        ACTIVITY_LOOKING,
        ACTIVITY_SLEEPING,
        ACTIVITY_WORKING,
        ACTIVITY_STUCK,
        ACTIVITY_DEAD,
} Activity;

typedef struct SimWorker {
        List node;
        World *world;
        IoProcess *process;
        Runner runner; /* its mappings and its ends of the lanes */
        int bell;
        Activity activity;
        bool stays; /* when it is asked to leave */
        Misdeed misdeed;
        TaskRecord task;
        uint64_t started_ns;
        CompletionRecord before; /* what it published last, with its bytes */
        Buffer bytes_before;
} SimWorker;

struct Crew {
        World *world;
        List workers;
        Segment *bench;
};

/* ---- ends ---- */

static void worker_die(SimWorker *worker, int status) {
        if (worker->activity == ACTIVITY_DEAD)
                return;
        worker->activity = ACTIVITY_DEAD;
        buffer_deinit(&worker->bytes_before);
        runner_deinit(&worker->runner);
        sim_process_exit(
                        worker->world->io, worker->process, status,
                        chance_scale(&worker->world->chance, 2 * NSEC_PER_MSEC));
}

static bool dies_at(SimWorker *worker, Misdeed misdeed) {
        static const int signals[] = { SIGKILL, SIGSEGV, SIGSYS, SIGABRT };

        if (worker->misdeed != misdeed)
                return false;
        worker_die(worker, signals[chance_below(&worker->world->chance, ELEMENTSOF(signals))]);
        return true;
}

/* ---- the real work ---- */

/* Does the task on the bench; the result stays in the bench's area until the next one. */
static CompletionRecord bench_work(SimWorker *worker) {
        Segment *bench = worker->world->crew->bench;
        LaneEnd submission = {}, completion = {};
        TaskRecord task = worker->task;
        CompletionRecord done;
        uint32_t index;

        memset(&bench->submission, 0, offsetof(Segment, state) - offsetof(Segment, submission));
        bench->state = (WorkerState){};
        atomic_store_explicit(&bench->state.retire.value, 1, memory_order_relaxed);
        task.deadline_ns = TIME_INFINITY; /* the real clock is none of its business */
        task.spin_ns = 0;
        int r = submission_push(&bench->submission, &submission, &task, &index);
        assert(r >= 0);

        Runner runner = {
                .segment = bench,
                .arena = worker->runner.arena,
                .arena_size = worker->runner.arena_size,
                .doorbell = -1,
                .area_offset = worker->runner.area_offset,
                .area_size = worker->runner.area_size,
        };
        r = runner_run(&runner);
        DEMAND(r == 0, "a worker was given a task that it cannot accept");
        r = completion_peek(&bench->completion, &completion, &done);
        assert(r >= 0);
        return done;
}

/* As the real runner lays its results out; there is room for all that a lane can hold. */
static char *take_room(Runner *runner, CompletionRecord *completion) {
        if (completion_drained(&runner->segment->completion, &runner->completion))
                runner->area_used = 0;
        assert(completion->result_size <= runner->area_size - runner->area_used);
        completion->result_offset = runner->area_used;
        runner->area_used = ALIGN_UP(runner->area_used + completion->result_size, CACHE_LINE);
        return segment_result_area(runner->segment, runner->area_offset + completion->result_offset);
}

/* ---- publishing ---- */

static void spoil(SimWorker *worker, CompletionRecord *completion, char *result) {
        Chance *chance = &worker->world->chance;

        switch ((int) worker->misdeed) {
        case MISDEED_WRONG_SLOT:
                completion->slot += 1 + (uint32_t) chance_scale(chance, UINT32_MAX - 1);
                break;
        case MISDEED_WRONG_GENERATION:
                completion->generation += 1 + (uint32_t) chance_scale(chance, UINT32_MAX - 1);
                break;
        case MISDEED_WRONG_CHECKSUM:
                for (size_t i = sizeof(ResultHeader); i < completion->result_size; i++)
                        result[i] ^= result[i] >= '0' && result[i] <= '9';
                result[offsetof(ResultHeader, tokens)] ^= 1;
                break;
        case MISDEED_WRONG_RANGE:
                completion->result_offset = chance_next(chance) | UINT64_C(1) << 40;
                break;
        case MISDEED_WRONG_RESULT:
                for (size_t i = 0; i < sizeof(ResultHeader); i++)
                        result[i] = (char) chance_next(chance);
                completion->checksum =
                                hash_bytes(result, completion->result_size, completion->generation);
                break;
        default:
                break;
        }
}

static void move_index(SimWorker *worker, LaneIndex *index) {
        uint32_t by = LANE_DEPTH + 1 + (uint32_t) chance_scale(&worker->world->chance, 1 << 30);

        atomic_fetch_add_explicit(&index->value, by, memory_order_release);
}

static void scribble(SimWorker *worker) {
        Segment *segment = worker->runner.segment;
        char *bytes = (char *) &segment->submission;

        for (size_t i = 0; i < sizeof(Segment) - offsetof(Segment, submission) + 4096; i++)
                bytes[i] = (char) chance_next(&worker->world->chance);
}

static void ring(SimWorker *worker) {
        LaneIndex *sleeps = &worker->runner.segment->state.supervisor_sleeps;

        if (atomic_exchange_explicit(&sleeps->value, 0, memory_order_acq_rel) != 0)
                sim_ring(worker->world->io, worker->bell);
}

static void worker_look(Io *io, void *userdata);

static void publish(SimWorker *worker, const CompletionRecord *completion) {
        Segment *segment = worker->runner.segment;

        if (dies_at(worker, MISDEED_DIE_WRITING))
                return;
        (void) completion_push(&segment->completion, &worker->runner.completion, completion);
        if (worker->misdeed == MISDEED_TWICE)
                (void) completion_push(&segment->completion, &worker->runner.completion, completion);
        else if (worker->misdeed == MISDEED_WRONG_TAIL)
                move_index(worker, &segment->completion.tail);
        else if (worker->misdeed == MISDEED_WRONG_HEAD)
                move_index(worker, &segment->submission.head);
        else if (worker->misdeed == MISDEED_SCRIBBLE)
                scribble(worker);

        if (dies_at(worker, MISDEED_DIE_BEFORE_RING))
                return;
        if (worker->misdeed != MISDEED_FORGET_RING)
                ring(worker);
        if (worker->misdeed == MISDEED_FORGET_RING || worker->misdeed == MISDEED_SCRIBBLE)
                worker->activity = ACTIVITY_STUCK;
        else if (!dies_at(worker, MISDEED_DIE_AFTER_RING))
                worker_look(worker->world->io, worker);
}

/* Puts the result of the task just done, or of the one before it, where the pool will look for
 * it. */
static char *lay_out(SimWorker *worker, CompletionRecord *completion, const char *made) {
        bool stale = worker->misdeed == MISDEED_STALE && worker->bytes_before.size > 0;

        if (stale)
                *completion = worker->before;
        char *place = take_room(&worker->runner, completion);
        memcpy(place, stale ? worker->bytes_before.data : made, completion->result_size);
        worker->before = *completion;
        buffer_clear(&worker->bytes_before);
        (void) buffer_append(&worker->bytes_before, place, completion->result_size);
        return place;
}

static void worker_finish(Io *io, void *userdata) {
        SimWorker *worker = userdata;

        if (worker->activity != ACTIVITY_WORKING || dies_at(worker, MISDEED_DIE_WORKING))
                return;
        CompletionRecord completion = bench_work(worker);
        const char *made = segment_result_area(
                        worker->world->crew->bench,
                        worker->runner.area_offset + completion.result_offset);
        completion.started_ns = worker->started_ns;
        completion.decoded_ns = worker->started_ns + (io_now(io) - worker->started_ns) / 2;
        completion.finished_ns = io_now(io);
        char *place = lay_out(worker, &completion, made);
        spoil(worker, &completion, place);
        publish(worker, &completion);
}

/* ---- taking ---- */

static bool task_is_poison(const SimWorker *worker) {
        const uint8_t *document = worker->runner.arena + worker->task.document.offset;

        return memmem(document, worker->task.document.size, POISON, strlen(POISON)) != NULL;
}

static Misdeed draw_misdeed(World *world) {
        if (chance_below(&world->chance, 10000) >= world->scenario.misdeed_permyriad)
                return MISDEED_NONE;
        return (Misdeed) chance_between(&world->chance, MISDEED_NONE + 1, MISDEED_COUNT - 1);
}

/* What is left when it dies between the two steps of taking. */
static void claim_only(SimWorker *worker) {
        uint32_t index = worker->runner.submission.own;
        SubmissionEntry *entry = &worker->runner.segment->submission.entries[index % LANE_DEPTH];
        uint32_t expected = index << 2 | CLAIM_QUEUED;

        (void) atomic_compare_exchange_strong_explicit(
                        &entry->claim, &expected, index << 2 | CLAIM_RUNNING, memory_order_relaxed,
                        memory_order_relaxed);
}

static void worker_begin(SimWorker *worker) {
        World *world = worker->world;
        uint64_t time = 1000 + chance_scale(&world->chance, world->scenario.service_ns);

        if (worker->task.engine == ENGINE_SPIN)
                time += worker->task.spin_ns;
        if (task_is_poison(worker))
                worker->misdeed = chance_percent(&world->chance, 80) ? MISDEED_DIE_WORKING :
                                                                       MISDEED_HANG;
        worker->started_ns = io_now(world->io);
        worker->activity = ACTIVITY_WORKING;
        if (worker->misdeed == MISDEED_HANG)
                worker->activity = ACTIVITY_STUCK;
        else if (worker->misdeed == MISDEED_EXIT)
                worker_die(worker, 0);
        else
                sim_at(world->io, worker->started_ns + time, worker_finish, worker);
}

static bool asked_to_leave(const SimWorker *worker) {
        const LaneIndex *retire = &worker->runner.segment->state.retire;

        return atomic_load_explicit(&retire->value, memory_order_acquire) != 0;
}

static void worker_look(Io *io, void *userdata) {
        SimWorker *worker = userdata;

        if (worker->activity == ACTIVITY_DEAD || worker->activity == ACTIVITY_STUCK)
                return;
        worker->activity = ACTIVITY_LOOKING;
        SubmissionLane *lane = &worker->runner.segment->submission;
        bool leave = asked_to_leave(worker) && !worker->stays;
        bool empty = submission_empty(lane, &worker->runner.submission);

        worker->misdeed = empty ? MISDEED_NONE : draw_misdeed(worker->world);
        if (dies_at(worker, MISDEED_DIE_BEFORE_TAKING))
                return;
        if (worker->misdeed == MISDEED_DIE_CLAIMING)
                claim_only(worker);
        if (dies_at(worker, MISDEED_DIE_CLAIMING))
                return;

        int r = submission_pop(lane, &worker->runner.submission, &worker->task);
        DEMAND(r >= 0 || r == -EAGAIN, "the pool spoiled a worker's lane");
        if (r >= 0)
                worker_begin(worker);
        else if (leave)
                worker_die(worker, 0);
        else if (asked_to_leave(worker))
                worker->activity = ACTIVITY_STUCK;
        else {
                doorbell_worker_prepare(&worker->runner.segment->state);
                worker->activity = ACTIVITY_SLEEPING;
        }
}

/* Who has been woken? */
static void crew_turn(Io *io, void *userdata) {
        Crew *crew = userdata;

        LIST_FOREACH(node, &crew->workers) {
                SimWorker *worker = LIST_ENTRY(node, SimWorker, node);
                if (worker->activity != ACTIVITY_SLEEPING)
                        continue;
                const LaneIndex *sleeps = &worker->runner.segment->state.worker_sleeps;
                if (atomic_load_explicit(&sleeps->value, memory_order_acquire) != 0)
                        continue;
                worker->activity = ACTIVITY_LOOKING;
                sim_at(io, io_now(io) + chance_scale(&crew->world->chance, WAKE_MAX), worker_look,
                       worker);
        }
}

/* ---- processes ---- */

static void worker_start(Io *io, void *userdata) {
        SimWorker *worker = userdata;
        World *world = worker->world;

        if (worker->activity != ACTIVITY_STARTING)
                return;
        if (chance_percent(&world->chance, world->scenario.bad_start_percent)) {
                if (chance_percent(&world->chance, 50))
                        worker_die(worker, WORKER_EXIT_START << 8);
                return;
        }
        atomic_store_explicit(&worker->runner.segment->state.ready.value, 1, memory_order_release);
        sim_ring(io, worker->bell);
        worker_look(io, worker);
}

int crew_spawn(Io *io, IoProcess *process, const IoSpawn *spawn, void *userdata) {
        World *world = userdata;
        SimWorker *worker = calloc(1, sizeof(*worker));
        uint64_t delay = chance_scale(&world->chance, 50 * NSEC_PER_MSEC);

        assert(worker && spawn->n_fds == 3);
        *worker = (SimWorker){ .world = world, .process = process, .bell = spawn->fds[2] };
        int r = runner_init(&worker->runner, spawn->fds[0], spawn->fds[1], -1);
        DEMAND(r >= 0, "a worker cannot map what it was given");
        worker->stays = chance_percent(&world->chance, world->scenario.bad_start_percent);
        if (!world->crew->bench) {
                int fd;
                r = segment_new(&world->crew->bench, &fd, worker->runner.area_size,
                                worker->runner.arena_size);
                assert(r >= 0);
                (void) close(fd);
        }
        list_append(&world->crew->workers, &worker->node);
        sim_at(io, io_now(io) + delay, worker_start, worker);
        return 0;
}

void crew_kill(Io *io, IoProcess *process, int signal, void *userdata) {
        World *world = userdata;

        LIST_FOREACH(node, &world->crew->workers) {
                SimWorker *worker = LIST_ENTRY(node, SimWorker, node);
                if (worker->process == process && worker->activity != ACTIVITY_DEAD) {
                        worker_die(worker, signal);
                        return;
                }
        }
}

Crew *crew_new(World *world) {
        Crew *crew = calloc(1, sizeof(*crew));

        assert(crew);
        crew->world = world;
        list_init(&crew->workers);
        sim_every_turn(world->io, crew_turn, crew);
        return crew;
}

Crew *crew_free(Crew *crew) {
        LIST_FOREACH_SAFE(node, &crew->workers) {
                SimWorker *worker = LIST_ENTRY(node, SimWorker, node);

                DEMAND(worker->activity == ACTIVITY_DEAD, "a worker was left running");
                free(worker);
        }
        segment_unmap(crew->bench);
        free(crew);
        return NULL;
}
