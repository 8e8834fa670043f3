/* SPDX-License-Identifier: Apache-2.0 */

/* The pool with real processes: this program itself, started anew (test-worker.c). */

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "cmocka.h"
#include "log.h"
#include "pool.h"
#include "test-worker.h"

#define PATIENCE_NS (60 * NSEC_PER_SEC) /* no test takes as long, however slow the machine is */
#define DEATHS_MAX  64

/* ---- fixture ---- */

typedef struct Fixture {
        Io *io;
        Arena *arena;
        Pool *pool;
        PoolOptions options;
        IoTimer patience;
        char directory[64]; /* holds this program under the names that test-worker.c knows */
        char worker[PATH_MAX];
        size_t descriptors;
        size_t shm_names;
        bool ready;
        unsigned n_deaths;
        unsigned n_overruns;
        uint64_t backoffs[DEATHS_MAX];
        pid_t dead[DEATHS_MAX];
        unsigned n_ended;
} Fixture;

typedef struct Job {
        PoolTask task;
        Fixture *fixture;
        bool ended;
        int error;
        unsigned order; /* in which it ended, from 1 */
        char text[64];
        char result[64];
        void (*then)(struct Job *job);
        struct Job *other;
} Job;

static size_t count_entries(const char *path, const char *prefix) {
        DIR *directory = opendir(path);
        size_t n = 0;

        assert_non_null(directory);
        for (const struct dirent *entry; (entry = readdir(directory));)
                n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
        closedir(directory);
        return n;
}

static void on_ready(void *userdata) {
        Fixture *f = userdata;

        assert_false(f->ready);
        f->ready = true;
}

static void
on_death(void *userdata, unsigned worker, pid_t pid, int status, bool overrun, uint64_t backoff_ns) {
        Fixture *f = userdata;

        assert_true(worker < f->options.workers);
        assert_true(f->n_deaths < DEATHS_MAX);
        f->dead[f->n_deaths] = pid;
        f->backoffs[f->n_deaths++] = backoff_ns;
        f->n_overruns += overrun;
}

static void on_impatience(IoTimer *timer) {
        print_error("a test waits for something that does not happen\n");
        abort();
}

static void link_worker(Fixture *f, const char *name) {
        char program[PATH_MAX] = "";

        assert_true(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0);
        (void) snprintf(f->worker, sizeof(f->worker), "%s/%s", f->directory, name);
        assert_int_equal(symlink(program, f->worker), 0);
}

static Fixture *fixture_new(const char *name, unsigned workers) {
        Fixture *f = calloc(1, sizeof(*f));

        assert_non_null(f);
        f->descriptors = count_entries("/proc/self/fd", "");
        f->shm_names = count_entries("/dev/shm", "muster-");
        strncpy(f->directory, "/tmp/test-pool-XXXXXX", sizeof(f->directory) - 1);
        assert_non_null(mkdtemp(f->directory));
        link_worker(f, name);
        assert_int_equal(io_new_uring(&f->io, 256, NULL), 0);
        assert_int_equal(arena_new(&f->arena, 4 << 20), 0);
        f->patience.fire = on_impatience;
        assert_int_equal(io_timer_set(f->io, &f->patience, io_now(f->io) + PATIENCE_NS), 0);
        f->options = (PoolOptions){
                .workers = workers,
                .worker_path = f->worker,
                .task_timeout_ns = 20 * NSEC_PER_SEC,
                .max_data = 64 << 10,
                .events = { .ready = on_ready, .worker_died = on_death, .userdata = f },
        };
        return f;
}

static void turn(Fixture *f) {
        assert_int_equal(io_turn(f->io), 0);
}

static void start(Fixture *f) {
        assert_int_equal(pool_new(&f->pool, f->io, f->arena, &f->options), 0);
        assert_int_equal(pool_size(f->pool), f->options.workers);
        assert_int_equal(pool_ready(f->pool), 0);
        while (!f->ready)
                turn(f);
        assert_int_equal(pool_ready(f->pool), f->options.workers);
}

static Fixture *started(unsigned workers) {
        Fixture *f = fixture_new("works", workers);

        start(f);
        return f;
}

/* Other programs of the project may be holding such a name for an instant. */
static bool shm_names_gone(const Fixture *f) {
        for (unsigned i = 0; i < 100; i++)
                if (count_entries("/dev/shm", "muster-") <= f->shm_names)
                        return true;
        return false;
}

static void nap_over(IoTimer *timer) {
        timer->fire = NULL;
}

/* Turns the loop for so long. */
static void nap(Fixture *f, uint64_t ns) {
        IoTimer timer = { .fire = nap_over };

        assert_int_equal(io_timer_set(f->io, &timer, io_now(f->io) + ns), 0);
        while (timer.fire)
                turn(f);
}

static void finish(Fixture *f) {
        f->pool = pool_free(f->pool);
        assert_int_equal(arena_used(f->arena), 0);
        assert_int_equal(io_in_flight(f->io), 0);
        assert_int_equal(io_open_descriptors(f->io), 0);
        io_timer_cancel(f->io, &f->patience);
        arena_free(f->arena);
        io_free(f->io);
        assert_int_equal(count_entries("/proc/self/fd", ""), f->descriptors);
        assert_true(shm_names_gone(f));
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        (void) unlink(f->worker);
        assert_int_equal(rmdir(f->directory), 0);
        free(f);
}

/* ---- jobs ---- */

static void on_done(PoolTask *task, const PoolResult *result) {
        Job *job = CONTAINER_OF(task, Job, task);

        assert_false(job->ended);
        job->ended = true;
        job->error = result->error;
        job->order = ++job->fixture->n_ended;
        if (result->error == 0) {
                const ResultHeader *header = result->header;
                assert_int_equal(header->data_kind, DATA_TEXT);
                assert_true(header->data_size < sizeof(job->result));
                memcpy(job->result, (const char *) header + header->data_offset, header->data_size);
        }
        if (job->then)
                job->then(job);
}

static void job_submit(Fixture *f, Job *job, const char *text) {
        ArenaBlock *block;

        assert_int_equal(arena_alloc(f->arena, strlen(text), &block), 0);
        block->size = strlen(text);
        memcpy(arena_block_data(block), text, block->size);
        job->fixture = f;
        if (job->text != text)
                (void) snprintf(job->text, sizeof(job->text), "%s", text);
        job->task.document = block;
        job->task.done = on_done;
        if (job->task.record.deadline_ns == 0)
                job->task.record.deadline_ns = TIME_INFINITY;
        assert_int_equal(pool_submit(f->pool, &job->task), 0);
        assert_false(job->ended);
        arena_block_unref(block); /* the pool has its own */
}

static void jobs_submit(Fixture *f, Job jobs[], size_t n) {
        for (size_t i = 0; i < n; i++) {
                (void) snprintf(jobs[i].text, sizeof(jobs[i].text), "document %zu", i);
                job_submit(f, &jobs[i], jobs[i].text);
        }
}

static void job_wait(Fixture *f, const Job *job) {
        while (!job->ended)
                turn(f);
}

static void jobs_wait(Fixture *f, const Job jobs[], size_t n) {
        for (size_t i = 0; i < n; i++)
                job_wait(f, &jobs[i]);
}

static void assert_echoed(const Job *job) {
        assert_true(job->ended);
        assert_int_equal(job->error, 0);
        assert_string_equal(job->result, job->text);
        assert_true(job->task.n_tries >= 1);
        assert_null(job->task.entry);
}

static void assert_all_echoed(const Job jobs[], size_t n) {
        for (size_t i = 0; i < n; i++)
                assert_echoed(&jobs[i]);
}

static void deaths_wait(Fixture *f, unsigned n) {
        while (f->n_deaths < n)
                turn(f);
}

static void ready_wait(Fixture *f) {
        while (pool_ready(f->pool) < f->options.workers)
                turn(f);
}

static pid_t worker_pid(Fixture *f, unsigned worker) {
        WorkerStatus status;

        pool_worker_status(f->pool, worker, &status);
        return status.pid;
}

static WorkerPhase worker_phase(Fixture *f, unsigned worker) {
        WorkerStatus status;

        pool_worker_status(f->pool, worker, &status);
        return status.phase;
}

/* ---- results ---- */

static void test_results(void **state) {
        Fixture *f = started(2);
        Job jobs[20] = {};

        assert_int_equal(worker_phase(f, 0), WORKER_IDLE);
        jobs_submit(f, jobs, ELEMENTSOF(jobs));
        assert_int_equal(pool_queued(f->pool), ELEMENTSOF(jobs));
        turn(f);
        assert_true(pool_held(f->pool) >= 1);
        jobs_wait(f, jobs, ELEMENTSOF(jobs));
        assert_all_echoed(jobs, ELEMENTSOF(jobs));
        assert_int_equal(pool_queued(f->pool), 0);
        assert_int_equal(pool_held(f->pool), 0);

        for (size_t i = 0; i < ELEMENTSOF(jobs); i++) {
                const PoolTask *task = &jobs[i].task;
                const PoolTry *try = &task->tries[0];
                assert_int_equal(task->n_tries, 1);
                assert_true(try->worker < 2);
                assert_true(task->submitted_ns <= try->dispatched_ns);
                assert_true(try->dispatched_ns <= try->started_ns);
                assert_true(try->started_ns <= try->decoded_ns);
                assert_true(try->decoded_ns <= try->finished_ns);
                assert_true(try->finished_ns <= io_now(f->io));
        }
        WorkerStatus a, b;
        pool_worker_status(f->pool, 0, &a);
        pool_worker_status(f->pool, 1, &b);
        assert_int_equal(a.tasks + b.tasks, ELEMENTSOF(jobs));
        assert_int_equal(a.restarts + b.restarts, 0);
        finish(f);
}

static void test_ten_thousand(void **state) {
        enum {
                ROUNDS = 100,
                BATCH = 100
        };
        Fixture *f = started(2);
        size_t most_held = 0;

        for (unsigned round = 0; round < ROUNDS; round++) {
                Job jobs[BATCH] = {};
                jobs_submit(f, jobs, BATCH);
                while (f->n_ended < (round + 1) * BATCH) {
                        turn(f);
                        most_held = MAX(most_held, pool_held(f->pool));
                }
                assert_all_echoed(jobs, BATCH);
        }
        /* Short tasks share a lane. */
        assert_true(most_held > 2);
        assert_int_equal(f->n_deaths, 0);
        finish(f);
}

static void test_clock_is_clamped(void **state) {
        Fixture *f = started(1);
        Job job = {};

        job_submit(f, &job, "clock");
        job_wait(f, &job);
        assert_echoed(&job);
        const PoolTry *try = &job.task.tries[0];
        assert_int_equal(try->started_ns, try->dispatched_ns);
        assert_true(try->finished_ns <= io_now(f->io));
        assert_int_equal(try->decoded_ns, try->finished_ns);
        finish(f);
}

static void submit_another(Job *job) {
        job_submit(job->fixture, job->other, "another");
}

static void cancel_another(Job *job) {
        pool_cancel(job->fixture->pool, &job->other->task);
}

static void test_callbacks_submit_and_cancel(void **state) {
        Fixture *f = started(1);
        Job jobs[4] = {};

        jobs[0].then = submit_another;
        jobs[0].other = &jobs[1];
        jobs[2].then = cancel_another;
        jobs[2].other = &jobs[3];
        job_submit(f, &jobs[0], "first");
        job_submit(f, &jobs[2], "third");
        job_submit(f, &jobs[3], "busy=5000");
        job_wait(f, &jobs[1]);
        assert_echoed(&jobs[1]);
        job_wait(f, &jobs[2]);
        assert_false(jobs[3].ended);
        finish(f);
        assert_false(jobs[3].ended);
}

/* ---- death ---- */

static void test_crash_is_tried_twice(void **state) {
        Fixture *f = started(2);
        Job crash = {}, jobs[50] = {};

        job_submit(f, &crash, "crash");
        jobs_submit(f, jobs, ELEMENTSOF(jobs));
        job_wait(f, &crash);
        assert_int_equal(crash.error, -EOWNERDEAD);
        assert_int_equal(crash.task.n_tries, 2);
        for (unsigned i = 0; i < 2; i++) {
                assert_int_equal(crash.task.tries[i].started_ns, 0);
                assert_true(crash.task.tries[i].finished_ns >= crash.task.tries[i].dispatched_ns);
        }
        jobs_wait(f, jobs, ELEMENTSOF(jobs));
        assert_all_echoed(jobs, ELEMENTSOF(jobs));
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++)
                assert_int_equal(jobs[i].task.n_tries, 1);
        assert_int_equal(f->n_deaths, 2);
        assert_int_equal(f->n_overruns, 0);

        ready_wait(f);
        WorkerStatus a, b;
        pool_worker_status(f->pool, 0, &a);
        pool_worker_status(f->pool, 1, &b);
        assert_int_equal(a.restarts + b.restarts, 2);
        finish(f);
}

static void test_second_try_succeeds(void **state) {
        Fixture *f = started(1);
        Job job = {};
        char text[PATH_MAX + 8];

        (void) snprintf(text, sizeof(text), "once=%s/x", f->directory);
        job_submit(f, &job, text);
        job_wait(f, &job);
        assert_echoed(&job);
        assert_int_equal(job.task.n_tries, 2);
        assert_int_equal(job.task.tries[0].started_ns, 0);
        assert_true(job.task.tries[1].started_ns >= job.task.tries[0].finished_ns);
        assert_int_equal(unlink(text + strlen("once=")), 0);
        finish(f);
}

static void test_published_result_counts(void **state) {
        Fixture *f = started(1);
        Job job = {};

        job_submit(f, &job, "last");
        job_wait(f, &job);
        assert_echoed(&job);
        deaths_wait(f, 1);
        assert_int_equal(job.task.n_tries, 1);
        finish(f);
}

static void test_exit_is_a_death(void **state) {
        Fixture *f = started(1);
        Job job = {};

        job_submit(f, &job, "exit0");
        job_wait(f, &job);
        assert_int_equal(job.error, -EOWNERDEAD);
        assert_int_equal(f->n_deaths, 2);
        finish(f);
}

/* Stops the only worker, hands it the task and kills it. */
static void kill_before_it_begins(Fixture *f) {
        pid_t pid = worker_pid(f, 0);
        unsigned n = f->n_deaths;

        while (pool_held(f->pool) == 0)
                turn(f);
        assert_int_equal(kill(pid, SIGKILL), 0);
        deaths_wait(f, n + 1);
}

static void stop_worker(Fixture *f) {
        siginfo_t info;
        pid_t pid = worker_pid(f, 0);

        assert_int_equal(kill(pid, SIGSTOP), 0);
        assert_int_equal(waitid(P_PID, (id_t) pid, &info, WSTOPPED | WNOWAIT), 0);
}

static void test_unbegun_task_is_spared_once(void **state) {
        Fixture *f = started(1);
        Job job = {};

        stop_worker(f);
        job_submit(f, &job, "unlucky");
        kill_before_it_begins(f);
        assert_int_equal(job.task.n_tries, 0);

        /* The next worker is stopped before it can take the task: it is ready in the turn that
         * hands it out. */
        pool_cancel(f->pool, &job.task);
        ready_wait(f);
        stop_worker(f);
        job_submit(f, &job, "unlucky");
        kill_before_it_begins(f);
        while (pool_ready(f->pool) == 0)
                turn(f);
        job_wait(f, &job);
        assert_echoed(&job);
        assert_int_equal(job.task.n_tries, 1);
        finish(f);
}

static void test_overrun(void **state) {
        Fixture *f = fixture_new("works", 2);
        Job hang = {}, jobs[20] = {};

        f->options.task_timeout_ns = 100 * NSEC_PER_MSEC;
        start(f);
        job_submit(f, &hang, "hang");
        jobs_submit(f, jobs, ELEMENTSOF(jobs));
        jobs_wait(f, jobs, ELEMENTSOF(jobs));
        job_wait(f, &hang);
        assert_all_echoed(jobs, ELEMENTSOF(jobs));
        assert_int_equal(hang.error, -EOWNERDEAD);
        assert_int_equal(hang.task.n_tries, 2);
        assert_int_equal(f->n_overruns, 2);
        assert_true(hang.task.tries[0].finished_ns >=
                    hang.task.tries[0].dispatched_ns + f->options.task_timeout_ns);
        finish(f);
}

/* ---- the life of workers ---- */

static void test_retirement(void **state) {
        Fixture *f = fixture_new("works", 2);
        Job jobs[400] = {};

        f->options.worker_tasks = 50;
        start(f);
        pid_t first = worker_pid(f, 0), second = worker_pid(f, 1);
        for (size_t i = 0; i < ELEMENTSOF(jobs); i++) {
                (void) snprintf(jobs[i].text, sizeof(jobs[i].text), "document %zu", i);
                job_submit(f, &jobs[i], jobs[i].text);
                if (i % 4 == 3)
                        nap(f, NSEC_PER_MSEC / 2);
                assert_int_equal(pool_ready(f->pool), 2);
        }
        jobs_wait(f, jobs, ELEMENTSOF(jobs));
        assert_all_echoed(jobs, ELEMENTSOF(jobs));
        while (worker_pid(f, 0) == first && worker_pid(f, 1) == second)
                turn(f);
        assert_int_equal(f->n_deaths, 0);

        WorkerStatus status;
        pool_worker_status(f->pool, 0, &status);
        assert_int_equal(status.restarts, 0);
        finish(f);
}

static void test_retiring_worker_must_leave(void **state) {
        Fixture *f = fixture_new("stays", 1);
        Job job = {};

        f->options.worker_tasks = 1;
        f->options.start_timeout_ns = NSEC_PER_SEC;
        start(f);
        pid_t pid = worker_pid(f, 0);
        job_submit(f, &job, "only one");
        job_wait(f, &job);
        assert_int_equal(worker_phase(f, 0), WORKER_RETIRING);
        deaths_wait(f, 1);
        assert_int_equal(f->dead[0], pid);
        assert_int_equal(f->backoffs[0], 0);
        assert_true(worker_pid(f, 0) != pid);
        finish(f);
}

static void test_back_off_doubles(void **state) {
        Fixture *f = fixture_new("dies", 1);

        assert_int_equal(pool_new(&f->pool, f->io, f->arena, &f->options), 0);
        deaths_wait(f, 1);
        assert_int_equal(worker_phase(f, 0), WORKER_BACKOFF);
        assert_int_equal(worker_pid(f, 0), 0);
        deaths_wait(f, 5);
        for (unsigned i = 0; i < 5; i++)
                assert_int_equal(f->backoffs[i], (10 * NSEC_PER_MSEC) << i);
        assert_false(f->ready);
        assert_int_equal(pool_ready(f->pool), 0);
        finish(f);
}

static void test_back_off_is_forgotten(void **state) {
        Fixture *f = started(1);

        for (unsigned i = 0; i < 2; i++) {
                nap(f, 1100 * NSEC_PER_MSEC);
                assert_int_equal(kill(worker_pid(f, 0), SIGKILL), 0);
                deaths_wait(f, i + 1);
                assert_int_equal(f->backoffs[i], 10 * NSEC_PER_MSEC);
                ready_wait(f);
        }
        finish(f);
}

static void test_never_ready(void **state) {
        Fixture *f = fixture_new("mute", 1);

        f->options.start_timeout_ns = 50 * NSEC_PER_MSEC;
        assert_int_equal(pool_new(&f->pool, f->io, f->arena, &f->options), 0);
        assert_int_equal(worker_phase(f, 0), WORKER_STARTING);
        deaths_wait(f, 2);
        assert_int_equal(f->n_overruns, 0);
        finish(f);
}

static void test_no_worker_binary(void **state) {
        Fixture *f = fixture_new("works", 2);

        assert_int_equal(unlink(f->worker), 0);
        assert_int_equal(pool_new(&f->pool, f->io, f->arena, &f->options), -ENOENT);
        assert_null(f->pool);
        finish(f);
}

static void test_worker_binary_comes_back(void **state) {
        Fixture *f = started(1);
        Job job = {};

        assert_int_equal(unlink(f->worker), 0);
        assert_int_equal(kill(worker_pid(f, 0), SIGKILL), 0);
        deaths_wait(f, 1);
        nap(f, 50 * NSEC_PER_MSEC);
        assert_int_equal(worker_phase(f, 0), WORKER_BACKOFF);
        link_worker(f, "works");
        job_submit(f, &job, "at last");
        job_wait(f, &job);
        assert_echoed(&job);
        finish(f);
}

/* ---- queue ---- */

static void test_deadline_in_queue(void **state) {
        Fixture *f = started(1);
        Job busy = {}, late = {}, patient = {}, past = {};

        job_submit(f, &busy, "busy=200");
        while (pool_held(f->pool) == 0)
                turn(f);
        late.task.record.deadline_ns = io_now(f->io) + 20 * NSEC_PER_MSEC;
        past.task.record.deadline_ns = 1;
        job_submit(f, &late, "late");
        job_submit(f, &patient, "patient");
        job_submit(f, &past, "past");
        job_wait(f, &patient);
        assert_int_equal(late.error, -ETIME);
        assert_int_equal(late.task.n_tries, 0);
        assert_int_equal(past.error, -ETIME);
        assert_true(past.order < late.order);
        assert_true(late.order < busy.order);
        assert_echoed(&busy);
        assert_echoed(&patient);
        finish(f);
}

static void test_priority(void **state) {
        Fixture *f = started(1);
        static const struct {
                int priority;
                uint64_t deadline_s;
                unsigned order; /* expected */
        } rows[] = {
                { 0, 300, 5 }, { 0, 200, 3 }, { 7, 900, 1 },
                { 0, 200, 4 }, { 1, 900, 2 }, { -1, 100, 6 },
        };
        Job busy = {}, jobs[ELEMENTSOF(rows)] = {};

        job_submit(f, &busy, "busy=20");
        while (pool_held(f->pool) == 0)
                turn(f);
        uint64_t now = io_now(f->io);
        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                jobs[i].task.priority = rows[i].priority;
                jobs[i].task.record.deadline_ns = now + rows[i].deadline_s * NSEC_PER_SEC;
        }
        jobs_submit(f, jobs, ELEMENTSOF(jobs));
        jobs_wait(f, jobs, ELEMENTSOF(jobs));
        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                assert_int_equal(jobs[i].order, 1 + rows[i].order);
        finish(f);
}

/* What others want of it, too, moves a task in the queue: to later deadlines and higher priorities,
 * never back, and only while it is queued. */
static void test_postpone(void **state) {
        Fixture *f = started(1);
        enum {
                LATE,
                FIRST,
                SAME,
                LAST,
                JOBS
        };
        Job busy = {}, jobs[JOBS] = {};

        job_submit(f, &busy, "busy=100");
        while (pool_held(f->pool) == 0)
                turn(f);
        uint64_t now = io_now(f->io), soon = now + 20 * NSEC_PER_MSEC,
                 late = now + 600 * NSEC_PER_SEC;
        jobs[LATE].task.record.deadline_ns = soon;
        jobs[FIRST].task.record.deadline_ns = jobs[SAME].task.record.deadline_ns = late;
        jobs[LAST].task.record.deadline_ns = late;
        jobs[LAST].task.priority = -1;
        jobs_submit(f, jobs, JOBS);

        pool_postpone(f->pool, &jobs[LATE].task, late + 1, -5);
        pool_postpone(f->pool, &jobs[FIRST].task, soon, 1);
        pool_postpone(f->pool, &jobs[SAME].task, soon, 0);
        assert_int_equal(jobs[LATE].task.priority, 0);
        assert_true(jobs[LATE].task.record.deadline_ns == late + 1);
        assert_true(jobs[FIRST].task.record.deadline_ns == late);
        assert_true(jobs[SAME].task.record.deadline_ns == late);
        assert_int_equal(pool_queued(f->pool), JOBS);

        /* In a worker's hands already. */
        pool_postpone(f->pool, &busy.task, TIME_INFINITY, 9);
        assert_int_equal(busy.task.priority, 0);

        jobs_wait(f, jobs, JOBS);
        assert_echoed(&busy);
        assert_all_echoed(jobs, JOBS); /* none was late */
        assert_int_equal(jobs[FIRST].order, 2);
        assert_int_equal(jobs[SAME].order, 3);
        assert_int_equal(jobs[LATE].order, 4);
        assert_int_equal(jobs[LAST].order, 5);
        pool_postpone(f->pool, &jobs[LAST].task, TIME_INFINITY, 9); /* it has ended */
        assert_int_equal(pool_queued(f->pool), 0);
        finish(f);
}

/* Until the pool has learnt that these tasks are short enough to share a lane. */
static void warm_up(Fixture *f) {
        size_t most_held = 0;

        while (most_held < 3 * f->options.workers) {
                Job jobs[100] = {};
                jobs_submit(f, jobs, ELEMENTSOF(jobs));
                for (size_t i = 0; i < ELEMENTSOF(jobs); i++)
                        while (!jobs[i].ended) {
                                turn(f);
                                most_held = MAX(most_held, pool_held(f->pool));
                        }
        }
}

static void test_nothing_waits_behind_a_long_task(void **state) {
        Fixture *f = started(1);
        Job busy = {}, jobs[2] = {};

        warm_up(f);
        job_submit(f, &busy, "busy=300");
        jobs_submit(f, jobs, ELEMENTSOF(jobs));
        turn(f);
        assert_int_equal(pool_held(f->pool), 3);
        nap(f, 50 * NSEC_PER_MSEC);
        assert_int_equal(pool_held(f->pool), 1);
        assert_int_equal(pool_queued(f->pool), 2);
        job_wait(f, &busy);
        jobs_wait(f, jobs, ELEMENTSOF(jobs));
        assert_all_echoed(jobs, ELEMENTSOF(jobs));
        assert_int_equal(jobs[0].task.n_tries, 1);
        finish(f);
}

static void test_other_worker_takes_over(void **state) {
        Fixture *f = started(2);
        Job busy[2] = {}, jobs[40] = {};

        warm_up(f);
        job_submit(f, &busy[0], "busy=400");
        jobs_submit(f, jobs, ELEMENTSOF(jobs));
        jobs_wait(f, jobs, ELEMENTSOF(jobs));
        assert_all_echoed(jobs, ELEMENTSOF(jobs));
        assert_false(busy[0].ended);
        job_wait(f, &busy[0]);
        finish(f);
}

/* ---- cancelling ---- */

static void test_cancel_queued_and_running(void **state) {
        Fixture *f = started(1);
        Job running = {}, queued = {}, after = {};

        pool_cancel(f->pool, &running.task); /* never submitted */
        job_submit(f, &running, "busy=50");
        while (pool_held(f->pool) == 0)
                turn(f);
        job_submit(f, &queued, "queued");
        job_submit(f, &after, "after");
        pool_cancel(f->pool, &queued.task);
        pool_cancel(f->pool, &running.task);
        pool_cancel(f->pool, &running.task);
        assert_int_equal(pool_queued(f->pool), 1);
        assert_int_equal(pool_held(f->pool), 1);
        assert_int_equal(arena_used(f->arena), 1024);
        job_wait(f, &after);
        assert_echoed(&after);
        assert_false(running.ended || queued.ended);
        assert_int_equal(arena_used(f->arena), 0);
        pool_cancel(f->pool, &after.task);
        finish(f);
}

/* Fills a stopped worker's lane; how many fit depends on how fast it was before. */
static size_t fill_lane(Fixture *f, Job jobs[], size_t n) {
        warm_up(f);
        stop_worker(f);
        jobs_submit(f, jobs, n);
        turn(f);
        assert_true(pool_held(f->pool) >= 2 && pool_held(f->pool) <= LANE_DEPTH);
        return pool_held(f->pool);
}

static void test_cancel_in_lane(void **state) {
        Fixture *f = started(1);
        Job jobs[2 * LANE_DEPTH] = {};
        size_t held = fill_lane(f, jobs, ELEMENTSOF(jobs));

        /* Not begun, so they are taken back; the oldest is never. */
        for (size_t i = 0; i < held; i++)
                pool_cancel(f->pool, &jobs[i].task);
        assert_int_equal(pool_held(f->pool), 1);
        assert_int_equal(kill(worker_pid(f, 0), SIGCONT), 0);
        jobs_wait(f, &jobs[held], ELEMENTSOF(jobs) - held);
        for (size_t i = 0; i < held; i++)
                assert_false(jobs[i].ended);
        assert_all_echoed(&jobs[held], ELEMENTSOF(jobs) - held);
        finish(f);
}

static void test_death_with_a_full_lane(void **state) {
        Fixture *f = started(1);
        Job jobs[2 * LANE_DEPTH] = {};

        (void) fill_lane(f, jobs, ELEMENTSOF(jobs));
        pool_cancel(f->pool, &jobs[0].task); /* keeps its place without a task */
        kill_before_it_begins(f);
        jobs_wait(f, &jobs[1], ELEMENTSOF(jobs) - 1);
        for (size_t i = 1; i < ELEMENTSOF(jobs); i++)
                assert_int_equal(jobs[i].task.n_tries, 1);
        finish(f);
}

static void test_cancelled_task_still_crashes(void **state) {
        Fixture *f = fixture_new("works", 1);
        Job job = {}, after = {};

        f->options.task_timeout_ns = 50 * NSEC_PER_MSEC;
        start(f);
        job_submit(f, &job, "hang");
        while (pool_held(f->pool) == 0)
                turn(f);
        nap(f, 10 * NSEC_PER_MSEC); /* it has been begun by now, or is spared: the same for us */
        pool_cancel(f->pool, &job.task);
        job_submit(f, &after, "after");
        job_wait(f, &after);
        assert_echoed(&after);
        assert_int_equal(f->n_overruns, 1);
        finish(f);
}

/* ---- garbage ---- */

static void with_garbage(const char *kind, int error, unsigned deaths) {
        Fixture *f = started(2);
        Job garbage = {}, before[30] = {}, after[30] = {};

        jobs_submit(f, before, ELEMENTSOF(before));
        job_submit(f, &garbage, kind);
        jobs_submit(f, after, ELEMENTSOF(after));
        job_wait(f, &garbage);
        jobs_wait(f, before, ELEMENTSOF(before));
        jobs_wait(f, after, ELEMENTSOF(after));
        assert_all_echoed(before, ELEMENTSOF(before));
        assert_all_echoed(after, ELEMENTSOF(after));
        assert_int_equal(garbage.error, error);
        deaths_wait(f, deaths);
        /* What it spoilt in its lane first was perhaps the result of another one. */
        assert_in_range(f->n_deaths, deaths, deaths + 1);
        assert_int_equal(f->n_overruns, 0);
        finish(f);
}

static void test_garbage(void **state) {
        static const struct {
                const char *kind;
                int error;
                unsigned deaths;
        } rows[] = {
                { "slot", -EOWNERDEAD, 2 },     { "generation", -EOWNERDEAD, 2 },
                { "offset", -EOWNERDEAD, 2 },   { "size", -EOWNERDEAD, 2 },
                { "checksum", -EOWNERDEAD, 2 }, { "outcome", -EOWNERDEAD, 2 },
                { "score", -EOWNERDEAD, 2 },    { "utf8", -EOWNERDEAD, 2 },
                { "tail", -EOWNERDEAD, 2 },     { "ring", -EOWNERDEAD, 2 },
                { "scribble", -EOWNERDEAD, 2 }, { "twice", 0, 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(rows); i++)
                with_garbage(rows[i].kind, rows[i].error, rows[i].deaths);
}

/* Found when the next task is pushed. */
static void test_garbage_in_submission_index(void **state) {
        Fixture *f = started(1);
        Job bad = {}, next = {};

        job_submit(f, &bad, "head");
        job_wait(f, &bad);
        assert_echoed(&bad);
        job_submit(f, &next, "next");
        job_wait(f, &next);
        assert_echoed(&next);
        assert_int_equal(next.task.n_tries, 1);
        assert_int_equal(f->n_deaths, 1);
        finish(f);
}

/* Whichever of its lies we happen to see. */
static void test_flapping_index(void **state) {
        Fixture *f = fixture_new("works", 2);
        Job flap = {}, jobs[30] = {};

        f->options.task_timeout_ns = NSEC_PER_SEC;
        start(f);
        job_submit(f, &flap, "flap");
        jobs_submit(f, jobs, ELEMENTSOF(jobs));
        jobs_wait(f, jobs, ELEMENTSOF(jobs));
        job_wait(f, &flap);
        assert_all_echoed(jobs, ELEMENTSOF(jobs));
        assert_int_equal(flap.error, -EOWNERDEAD);
        assert_int_equal(f->n_deaths, 2);
        finish(f);
}

/* ---- freeing ---- */

static void submit_in_vain(Job *job) {
        assert_int_equal(pool_submit(job->fixture->pool, &job->other->task), -ESHUTDOWN);
        pool_cancel(job->fixture->pool, &job->other->task);
}

static void test_free_in_all_states(void **state) {
        Fixture *f = started(2);
        Job running = {}, cancelled = {}, extra = {}, jobs[20] = {};

        warm_up(f);
        extra.fixture = f;
        job_submit(f, &running, "hang");
        job_submit(f, &cancelled, "hang");
        jobs_submit(f, jobs, ELEMENTSOF(jobs));
        jobs[19].then = submit_in_vain;
        jobs[19].other = &extra;
        running.then = cancel_another;
        running.other = &jobs[0];
        turn(f);
        pool_cancel(f->pool, &cancelled.task);
        job_submit(f, &extra, "not even queued");
        pool_cancel(f->pool, &extra.task);
        f->pool = pool_free(f->pool);

        assert_true(running.ended);
        assert_int_equal(running.error, -ESHUTDOWN);
        assert_int_equal(jobs[19].error, -ESHUTDOWN);
        assert_false(cancelled.ended || extra.ended);
        for (size_t i = 1; i < ELEMENTSOF(jobs); i++)
                assert_true(jobs[i].ended);
        assert_int_equal(f->n_deaths, 0);
        finish(f);
}

static void test_free_while_starting(void **state) {
        Fixture *f = fixture_new("works", 3);
        Job job = {};

        assert_int_equal(pool_new(&f->pool, f->io, f->arena, &f->options), 0);
        job_submit(f, &job, "too early");
        f->pool = pool_free(f->pool);
        assert_int_equal(job.error, -ESHUTDOWN);
        assert_null(pool_free(NULL));
        finish(f);
}

static void test_free_in_back_off(void **state) {
        Fixture *f = fixture_new("dies", 1);

        assert_int_equal(pool_new(&f->pool, f->io, f->arena, &f->options), 0);
        deaths_wait(f, 3);
        finish(f);
}

static int run_all(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_results),
                cmocka_unit_test(test_ten_thousand),
                cmocka_unit_test(test_clock_is_clamped),
                cmocka_unit_test(test_callbacks_submit_and_cancel),
                cmocka_unit_test(test_crash_is_tried_twice),
                cmocka_unit_test(test_second_try_succeeds),
                cmocka_unit_test(test_published_result_counts),
                cmocka_unit_test(test_exit_is_a_death),
                cmocka_unit_test(test_unbegun_task_is_spared_once),
                cmocka_unit_test(test_overrun),
                cmocka_unit_test(test_retirement),
                cmocka_unit_test(test_retiring_worker_must_leave),
                cmocka_unit_test(test_back_off_doubles),
                cmocka_unit_test(test_back_off_is_forgotten),
                cmocka_unit_test(test_never_ready),
                cmocka_unit_test(test_no_worker_binary),
                cmocka_unit_test(test_worker_binary_comes_back),
                cmocka_unit_test(test_deadline_in_queue),
                cmocka_unit_test(test_priority),
                cmocka_unit_test(test_postpone),
                cmocka_unit_test(test_nothing_waits_behind_a_long_task),
                cmocka_unit_test(test_other_worker_takes_over),
                cmocka_unit_test(test_cancel_queued_and_running),
                cmocka_unit_test(test_cancel_in_lane),
                cmocka_unit_test(test_death_with_a_full_lane),
                cmocka_unit_test(test_cancelled_task_still_crashes),
                cmocka_unit_test(test_garbage),
                cmocka_unit_test(test_garbage_in_submission_index),
                cmocka_unit_test(test_flapping_index),
                cmocka_unit_test(test_free_in_all_states),
                cmocka_unit_test(test_free_while_starting),
                cmocka_unit_test(test_free_in_back_off),
        };

        return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}

int main(int argc, char **argv) {
        const char *slash = strrchr(argv[0], '/');

        if (argc == 2)
                return test_worker_main(slash ? slash + 1 : argv[0]);
        log_open("test-pool", LOG_TARGET_NULL, LOG_DEBUG);
        return run_all();
}
