/* SPDX-License-Identifier: Apache-2.0 */

/* Worker processes and the places that they fill.
 *
 * A place has at most one process that is ready and gets tasks (`active`) and one that starts
 * (`coming`). That is all it takes for the four stories:
 *
 *     start       coming … ready: it becomes active
 *     death       active is gone; after a pause a new one is coming
 *     retirement  active has had its number of tasks: a new one is coming meanwhile, and when it is
 *                 ready the old one is asked to finish what it holds and to leave
 *     overrun     active is killed; that is a death
 *
 * The pause doubles from 10 ms to 5 s with every death and begins anew after a process that stayed
 * healthy for a while, so a crash loop costs nothing and a single crash next to nothing.
 *
 * The order of a death: reaped, lanes settled (collect.c), segment dropped, doorbell's poll ended,
 * descriptor closed, memory freed. The memory outlives the process until the loop has let go of it.
 *
 * One timer a worker watches whatever it may be late with: becoming ready, its oldest task,
 * leaving. It is moved only to an earlier time; when it fires too early, it is set again. */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "doorbell.h"
#include "log.h"
#include "pool-internal.h"

#define HEALTHY_NS     (UINT64_C(1) * NSEC_PER_SEC)
#define STUCK_NS       (UINT64_C(2) * NSEC_PER_MSEC) /* ten times what a shared lane may hold */
#define BACKOFF_MIN_NS (UINT64_C(10) * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS (UINT64_C(5) * NSEC_PER_SEC)

void worker_kill(Worker *worker, const char *why) {
        if (worker->killed || worker->life == LIFE_GONE)
                return;
        log_warning("Worker %u (pid %d) %s; it is killed and replaced", worker->place->number,
                    (int) worker->process.pid, why);
        worker->killed = true;
        io_kill(worker->pool->io, &worker->process, SIGKILL);
}

/* ---- the watch ---- */

/* When it is too late for what the worker has to do next. */
static uint64_t worker_due(const Worker *worker) {
        const PoolOptions *options = &worker->pool->options;

        if (worker->n_held > 0)
                return time_add(worker->begun_ns, options->task_timeout_ns);
        if (worker->life == LIFE_SERVING)
                return TIME_INFINITY;
        return time_add(worker->since_ns, options->start_timeout_ns);
}

/* When held[0] has taken so long that the others should not wait behind it. */
static uint64_t worker_stuck_at(const Worker *worker) {
        if (worker->n_held < 2 || worker->stuck)
                return TIME_INFINITY;
        return worker->begun_ns + STUCK_NS;
}

void worker_watch(Worker *worker) {
        Io *io = worker->pool->io;
        uint64_t due = MIN(worker_due(worker), worker_stuck_at(worker));

        if (worker->killed || worker->life == LIFE_GONE || due == TIME_INFINITY)
                io_timer_cancel(io, &worker->watch);
        else if (io_timer_armed(&worker->watch) && worker->watch.deadline <= due)
                return;
        else if (io_timer_set(io, &worker->watch, due) < 0)
                worker_kill(worker, "cannot be watched for lack of memory");
}

static void worker_late(Worker *worker) {
        if (worker->life == LIFE_STARTING)
                worker_kill(worker, "did not become ready in time");
        else if (worker->n_held == 0)
                worker_kill(worker, "did not retire when asked to");
        else {
                worker->overrun = true;
                worker_kill(worker, "works at one task for longer than the timeout allows");
        }
}

static void worker_watch_fired(IoTimer *timer) {
        Worker *worker = CONTAINER_OF(timer, Worker, watch);
        uint64_t now = io_now(worker->pool->io);

        if (now >= worker_due(worker))
                worker_late(worker);
        else if (now >= worker_stuck_at(worker))
                worker_take_back(worker);
        worker_watch(worker);
}

/* ---- a process's start ---- */

static void worker_rang(IoOp *op, const IoResult *result);
static void worker_exited(IoProcess *process, int status);

static int worker_spawn(Worker *worker, int segment_fd) {
        const PoolOptions *options = &worker->pool->options;
        char supervisor[16];

        (void) snprintf(supervisor, sizeof(supervisor), "%d", (int) getpid());
        return io_spawn(worker->pool->io, &worker->process,
                        &(IoSpawn){
                                        .path = options->worker_path,
                                        .argv = (const char *const[]){ options->worker_path,
                                                                       supervisor, NULL },
                                        .fds = (const int[]){ arena_read_fd(worker->pool->arena),
                                                              segment_fd, worker->eventfd },
                                        .n_fds = 3,
                        });
}

/* What it needs before it can be born. */
static int worker_prepare(Worker *worker, int *ret_segment_fd) {
        Pool *pool = worker->pool;

        int r =
                        segment_new(&worker->segment, ret_segment_fd, pool->result_capacity,
                                    arena_size(pool->arena));
        if (r < 0)
                return r;
        worker->result_size = worker->segment->header.result_size;
        assert(worker->result_size == pool->result_capacity);
        doorbell_supervisor_prepare(&worker->segment->state);

        worker->eventfd = io_eventfd(pool->io);
        if (worker->eventfd < 0)
                return worker->eventfd;
        worker->since_ns = io_now(pool->io);
        return io_timer_set(pool->io, &worker->watch, worker_due(worker));
}

static void worker_free(Worker *worker) {
        Io *io = worker->pool->io;

        io_timer_cancel(io, &worker->watch);
        segment_unmap(worker->segment);
        if (worker->eventfd >= 0)
                io_close(io, worker->eventfd);
        list_remove(&worker->node);
        free(worker);
}

static int worker_listen(Worker *worker) {
        return io_poll(worker->pool->io, &worker->bell, worker->eventfd, POLLIN, IO_POLL_EDGE);
}

int place_start(Place *place) {
        CLEANUP_CLOSE int segment_fd = -1;
        Worker *worker = calloc(1, sizeof(*worker));

        assert(!place->coming);
        if (!worker)
                return -ENOMEM;
        worker->pool = place->pool;
        worker->place = place;
        worker->eventfd = -1;
        worker->watch.fire = worker_watch_fired;
        worker->bell.done = worker_rang;
        worker->process.exited = worker_exited;
        list_append(&place->pool->workers, &worker->node);

        int r = worker_prepare(worker, &segment_fd);
        if (r >= 0)
                r = worker_spawn(worker, segment_fd);
        if (r < 0) {
                worker_free(worker);
                return r;
        }
        place->coming = worker;
        if (worker_listen(worker) < 0)
                worker_kill(worker, "cannot be listened to for lack of resources");
        return 0;
}

/* The pause before the next start; it doubles unless the one that died had been healthy. */
static uint64_t place_pause(Place *place, const Worker *dead) {
        uint64_t now = io_now(place->pool->io);
        bool healthy = dead && dead->ready_ns > 0 && now - dead->ready_ns >= HEALTHY_NS;
        uint64_t doubled = MAX(place->backoff_ns * 2, BACKOFF_MIN_NS);

        place->backoff_ns = healthy ? BACKOFF_MIN_NS : MIN(doubled, BACKOFF_MAX_NS);
        if (io_timer_set(place->pool->io, &place->restart, now + place->backoff_ns) < 0)
                io_post(place->pool->io, &place->restart_now);
        return place->backoff_ns;
}

/* Starts a process now, or after a pause when it cannot be had now. */
static bool place_try(Place *place) {
        int r = place_start(place);
        if (r >= 0)
                return true;

        uint64_t pause = place_pause(place, NULL);
        errno = -r;
        log_warning("Worker %u cannot be started: %m; the next try is in %.0f ms", place->number,
                    time_to_ms(pause));
        return false;
}

/* ---- becoming ready, leaving ---- */

static void worker_leave(Worker *worker) {
        WorkerState *state = &worker->segment->state;

        worker->life = LIFE_LEAVING;
        worker->since_ns = io_now(worker->pool->io);
        atomic_store_explicit(&state->retire.value, 1, memory_order_release);
        (void) doorbell_wake_worker(state);
        worker_watch(worker);
}

static void place_ready(Place *place) {
        Pool *pool = place->pool;

        if (place->was_ready)
                return;
        place->was_ready = true;
        if (++pool->n_were_ready == pool->n_places && pool->options.events.ready)
                pool->options.events.ready(pool->options.events.userdata);
}

static void worker_ready(Worker *worker) {
        Place *place = worker->place;
        Worker *old = place->active;

        assert(place->coming == worker);
        place->coming = NULL;
        place->active = worker;
        worker->life = LIFE_SERVING;
        worker->ready_ns = worker->idle_ns = io_now(worker->pool->io);
        worker_watch(worker);
        if (old)
                worker_leave(old);
        dispatch_post(worker->pool);
        place_ready(place);
}

static bool worker_says_ready(const Worker *worker) {
        return atomic_load_explicit(&worker->segment->state.ready.value, memory_order_acquire) == 1;
}

/* It has had its number of tasks; it goes on until the next one is ready. */
static bool worker_is_spent(const Worker *worker) {
        uint64_t limit = worker->pool->options.worker_tasks;
        const Place *place = worker->place;

        return limit > 0 && worker->taken >= limit && worker == place->active && !place->coming &&
                        !io_timer_armed(&place->restart);
}

/* ---- the doorbell ---- */

static void worker_rang(IoOp *op, const IoResult *result) {
        Worker *worker = CONTAINER_OF(op, Worker, bell);

        if (worker->life == LIFE_GONE) {
                if (!result->more)
                        worker_free(worker);
                return;
        }
        if (!result->more && worker_listen(worker) < 0)
                worker_kill(worker, "cannot be listened to for lack of resources");

        (void) worker_collect(worker);
        if (worker->killed)
                return;
        if (worker->life == LIFE_STARTING && worker_says_ready(worker))
                worker_ready(worker);
        else if (worker_is_spent(worker))
                (void) place_try(worker->place);
}

/* ---- a process's end ---- */

static void place_mourn(Place *place, const Worker *dead, int status) {
        const PoolEvents *events = &place->pool->options.events;
        bool replaced = place->coming || dead->life == LIFE_LEAVING;
        uint64_t pause = replaced ? 0 : place_pause(place, dead);

        if (events->worker_died)
                events->worker_died(
                                events->userdata, place->number, dead->process.pid, status,
                                dead->overrun, pause);
}

static void worker_exited(IoProcess *process, int status) {
        Worker *worker = CONTAINER_OF(process, Worker, process);
        Place *place = worker->place;
        Pool *pool = worker->pool;

        (void) worker_collect(worker);
        bool done = worker->life == LIFE_LEAVING && !worker->killed && worker->n_held == 0 &&
                        WIFEXITED(status) && WEXITSTATUS(status) == 0;
        if (place->active == worker)
                place->active = NULL;
        if (place->coming == worker)
                place->coming = NULL;
        if (!done && !pool->stopping)
                place_mourn(place, worker, status);

        worker->life = LIFE_GONE;
        worker->ring = false;
        worker_watch(worker);
        worker_reclaim(worker);
        worker->segment = segment_unmap(worker->segment);
        dispatch_post(pool);
        if (io_op_in_flight(&worker->bell))
                io_cancel(pool->io, worker->eventfd);
        else
                worker_free(worker);
}

/* ---- places ---- */

static void place_restart(Place *place) {
        if (!place->coming && place_try(place))
                place->restarts++;
}

static void place_restart_fired(IoTimer *timer) {
        place_restart(CONTAINER_OF(timer, Place, restart));
}

static void place_restart_run(IoTask *task) {
        place_restart(CONTAINER_OF(task, Place, restart_now));
}

void place_init(Place *place, Pool *pool, unsigned number) {
        place->pool = pool;
        place->number = number;
        place->restart.fire = place_restart_fired;
        place->restart_now.run = place_restart_run;
        list_init(&place->restart_now.node);
}

void place_deinit(Place *place) {
        io_timer_cancel(place->pool->io, &place->restart);
        io_unpost(&place->restart_now);
}
