/* SPDX-License-Identifier: Apache-2.0 */

/* Building goes down the list in supervisor_build(), taking down goes up again in
 * supervisor_teardown().
 *
 * A signal starts the end: new queries are refused and those under way run to theirs (draining);
 * then replies are flushed and every connection is closed (closing); then the loop stops. A second
 * signal withdraws the queries instead of waiting for them. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "daily-state.h"
#include "fdutil.h"
#include "journal.h"
#include "monitor-events.h"
#include "status.h"
#include "supervisor.h"

/* STATUS= is brought up to date at most that often. */
#define STATUS_INTERVAL NSEC_PER_SEC
/* Fewer descriptors than that deserve a word. */
#define DESCRIPTORS_LOW 1024
#define MAX_DEADLINE    (3600 * NSEC_PER_SEC)

/* ---- status ---- */

static void status_notify(Supervisor *supervisor, const char *state) {
        char text[STATUS_TEXT_MAX];

        status_text(supervisor, text);
        (void) sd_notifyf(/* unset_environment= */ 0, "%sSTATUS=%s", state, text);
}

static void on_status_timer(IoTimer *timer) {
        status_notify(CONTAINER_OF(timer, Supervisor, status_timer), "");
}

/* The text has changed; it is sent after a while, together with other changes. */
static void status_touch(Supervisor *supervisor) {
        if (!io_timer_armed(&supervisor->status_timer))
                (void) io_timer_set(
                                supervisor->io, &supervisor->status_timer,
                                io_now(supervisor->io) + STATUS_INTERVAL);
}

/* ---- the end ---- */

static void supervisor_check_closed(Supervisor *supervisor) {
        if (!supervisor->control_closed || !supervisor->net_closed || !supervisor->daily_closed)
                return;
        supervisor->phase = SUPERVISOR_CLOSED;
        io_timer_cancel(supervisor->io, &supervisor->status_timer);
        io_signals_stop(&supervisor->signals);
        io_stop(supervisor->io);
}

static void on_control_closed(void *userdata) {
        Supervisor *supervisor = userdata;

        supervisor->control_closed = true;
        supervisor_check_closed(supervisor);
}

static void on_net_closed(void *userdata) {
        Supervisor *supervisor = userdata;

        supervisor->net_closed = true;
        supervisor_check_closed(supervisor);
}

static void on_daily_closed(void *userdata) {
        Supervisor *supervisor = userdata;

        supervisor->daily_closed = true;
        supervisor_check_closed(supervisor);
}

static void on_control_drained(void *userdata) {
        Supervisor *supervisor = userdata;

        supervisor->phase = SUPERVISOR_CLOSING;
        control_close(supervisor->control, on_control_closed, supervisor);
        net_close(supervisor->net, on_net_closed, supervisor);
        if (supervisor->daily)
                state_file_close(supervisor->daily, on_daily_closed, supervisor);
}

static void on_queries_drained(void *userdata) {
        Supervisor *supervisor = userdata;

        control_drain(supervisor->control, on_control_drained, supervisor);
}

static void on_signal(IoSignals *signals, int signal) {
        Supervisor *supervisor = CONTAINER_OF(signals, Supervisor, signals);

        if (signal == SIGHUP) {
                log_notice("SIGHUP: this version reads its configuration at start only; restart it instead");
                return;
        }
        if (supervisor->phase >= SUPERVISOR_DRAINING) {
                query_engine_cancel_all(supervisor->queries);
                return;
        }
        supervisor->phase = SUPERVISOR_DRAINING;
        journal_event(EVENT_STOPPING, NULL, "Stopping; %zu queries are brought to their end",
                      query_open(supervisor->queries));
        status_notify(supervisor, "STOPPING=1\n");
        query_engine_stop(supervisor->queries);
}

/* ---- for those who look on ---- */

static bool watched(const Supervisor *supervisor) {
        return supervisor->control && control_watched(supervisor->control);
}

static void publish(Supervisor *supervisor, Buffer *json) {
        if (json->error >= 0)
                control_publish(supervisor->control, json->data, json->size);
        buffer_clear(json);
}

static void publish_query(Supervisor *supervisor, const QuerySummary *summary) {
        uint64_t now = io_unix_ms(supervisor->io);
        CLEANUP(buffer_deinit) Buffer json = {};

        for (size_t i = 0; i < summary->input->n_sources; i++) {
                event_source(summary->input->query_id, &summary->input->sources[i], now, &json);
                publish(supervisor, &json);
        }
        event_query(summary, now, &json);
        publish(supervisor, &json);
}

/* ---- callbacks of the parts ---- */

static void on_query_ended(void *userdata, const QuerySummary *summary) {
        journal_query(summary);
        if (watched(userdata))
                publish_query(userdata, summary);
        status_touch(userdata);
}

static void on_pool_ready(void *userdata) {
        Supervisor *supervisor = userdata;

        if (supervisor->phase != SUPERVISOR_STARTING)
                return;
        supervisor->phase = SUPERVISOR_RUNNING;
        status_notify(supervisor, "READY=1\n");
        journal_event(EVENT_STARTED, NULL, "Ready: version %s, %u workers, %zu sources, %s",
                      MUSTER_VERSION, pool_size(supervisor->pool), supervisor->sources->count,
                      io_backend_name(supervisor->io));
}

static void
on_worker_died(void *userdata, unsigned worker, pid_t pid, int status, bool overrun,
               uint64_t backoff_ns) {
        Supervisor *supervisor = userdata;
        CLEANUP(buffer_deinit) Buffer json = {};

        journal_worker_died(worker, pid, status, overrun, backoff_ns);
        if (watched(supervisor)) {
                event_worker(worker, pid, status, overrun, backoff_ns, io_unix_ms(supervisor->io),
                             &json);
                publish(supervisor, &json);
        }
        status_touch(supervisor);
}

static void on_breaker_changed(void *userdata, const Source *source) {
        Supervisor *supervisor = userdata;

        CLEANUP(buffer_deinit) Buffer json = {};
        uint64_t now = io_now(supervisor->io);

        journal_breaker(source, now);
        if (watched(supervisor)) {
                event_breaker(source, now, io_unix_ms(supervisor->io), &json);
                publish(supervisor, &json);
        }
        status_touch(supervisor);
}

static void on_quota_changed(void *userdata) {
        Supervisor *supervisor = userdata;
        CLEANUP(buffer_deinit) Buffer text = {};

        if (!supervisor->daily)
                return;
        daily_state_write(supervisor->sources, &text);
        if (text.error >= 0)
                state_file_put(supervisor->daily, text.data, text.size);
}

static int on_status(void *userdata, Buffer *out) {
        return status_write(userdata, out);
}

static int on_list_sources(void *userdata, Buffer *out) {
        return status_list_sources(userdata, out);
}

static int on_describe_source(void *userdata, const char *name, Buffer *out) {
        return status_describe_source(userdata, name, out);
}

static int on_set_breaker(void *userdata, const char *source, const char *state) {
        Supervisor *supervisor = userdata;
        Source *known = source_table_find(supervisor->sources, source);
        BreakerForce force;

        if (!known)
                return -ENOENT;
        int r = breaker_force_from_name(state, &force);
        if (r < 0)
                return r;
        if (breaker_force(&known->breaker, force, io_now(supervisor->io)))
                on_breaker_changed(supervisor, known);
        return 0;
}

static size_t on_flush_cache(void *userdata) {
        Supervisor *supervisor = userdata;

        return query_engine_flush_cache(supervisor->queries);
}

/* ---- building ---- */

static int build_io(Supervisor *supervisor) {
        const char *message = NULL;

        int r = io_new_uring(&supervisor->io, /* entries= */ 0, &message);
        if (r < 0) {
                journal_event(EVENT_IO_REFUSED, NULL, "io_uring cannot be used (%s): %s",
                              strerrorname_np(-r), message ? message : "no further reason is known");
                return r;
        }
        supervisor->started = io_now(supervisor->io);
        supervisor->status_timer.fire = on_status_timer;
        return 0;
}

static int build_limits(Supervisor *supervisor) {
        supervisor->descriptor_limit = fd_raise_limit();
        if (supervisor->descriptor_limit < 0)
                return log_errno(
                                (int) supervisor->descriptor_limit,
                                "Cannot read the limit of descriptors");
        if (supervisor->descriptor_limit < DESCRIPTORS_LOW)
                journal_event(EVENT_LIMIT_LOW, NULL,
                              "At most %lld descriptors may be open; raise LimitNOFILE= (20000 is ample)",
                              (long long) supervisor->descriptor_limit);
        return 0;
}

/* One daemon to a state directory. */
static int build_state(Supervisor *supervisor) {
        const char *directory = supervisor->options.state_dir;

        if (!directory)
                return 0;
        CLEANUP_CLOSE int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return log_errno(-errno, "Cannot open the state directory %s", directory);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return log_errno(-errno, "Another musterd uses the state directory %s", directory);
        supervisor->state_lock = TAKE_FD(fd);
        return 0;
}

static int build_arena(Supervisor *supervisor) {
        uint64_t size = supervisor->options.config->arena_size;

        int r = arena_new(&supervisor->arena, (size_t) size);
        if (r == -ENOSPC)
                return log_errno(
                                r,
                                "No room for ArenaSize=%lluM in /dev/shm; make it larger or the arena smaller",
                                (unsigned long long) (size >> 20));
        if (r < 0)
                return log_errno(r, "Cannot create the shared memory of the arena");
        return 0;
}

static int build_sources(Supervisor *supervisor) {
        int r = source_table_new(
                        &supervisor->sources, supervisor->options.config, supervisor->arena,
                        supervisor->io, io_random(supervisor->io));
        return r < 0 ? log_errno(r, "Cannot set up the sources") : 0;
}

/* What was drawn upon Daily= before the restart. */
static int build_daily(Supervisor *supervisor) {
        CLEANUP(buffer_deinit) Buffer text = {};

        supervisor->daily_closed = supervisor->state_lock < 0;
        if (supervisor->daily_closed)
                return 0;
        int r = state_file_open(
                        &supervisor->daily, supervisor->io, supervisor->state_lock, "daily", &text);
        if (r < 0)
                return log_errno(r, "Cannot open the file %s/daily", supervisor->options.state_dir);
        daily_state_read(supervisor->sources, text.data, text.size);
        return 0;
}

static int build_net(Supervisor *supervisor) {
        int r = resolver_new(&supervisor->resolver, supervisor->io);
        if (r < 0)
                return log_errno(r, "Cannot set up the resolver");
        r = net_new(&supervisor->net, supervisor->io, supervisor->resolver);
        return r < 0 ? log_errno(r, "Cannot set up the network") : 0;
}

static unsigned usable_cpus(void) {
        cpu_set_t set;

        CPU_ZERO(&set);
        if (sched_getaffinity(0, sizeof(set), &set) < 0)
                return 1;
        return (unsigned) MAX(CPU_COUNT(&set), 1);
}

static size_t greatest_data(const Config *config) {
        uint64_t most = 1 << 20;

        for (size_t i = 0; i < config->n_sources; i++)
                most = MAX(most, config->sources[i]->max_bytes);
        return (size_t) most;
}

static int build_pool(Supervisor *supervisor) {
        const Config *config = supervisor->options.config;
        const PoolOptions options = {
                .workers = config->workers ? (unsigned) config->workers : usable_cpus(),
                .worker_path = supervisor->options.worker_path,
                .task_timeout_ns = config->task_timeout,
                .worker_tasks = config->worker_tasks,
                .max_data = greatest_data(config),
                .events = { on_pool_ready, on_worker_died, supervisor },
        };

        int r = pool_new(&supervisor->pool, supervisor->io, supervisor->arena, &options);
        return r < 0 ? log_errno(r, "Cannot start %u workers (%s)", options.workers,
                                 options.worker_path) :
                       0;
}

static int build_queries(Supervisor *supervisor) {
        const Config *config = supervisor->options.config;
        const QueryEngineOptions options = {
                .fetch = {
                        .attempt = { supervisor->io, supervisor->net, supervisor->arena },
                        .sources = supervisor->sources,
                        .breaker_changed = on_breaker_changed,
                        .quota_changed = on_quota_changed,
                        .userdata = supervisor,
                },
                .max_concurrent = config->max_concurrent,
                .max_queries = config->max_queries,
                .cache_entries = config->cache_entries,
                .pool = supervisor->pool,
                .sources = supervisor->sources,
                .default_deadline_ns = supervisor->options.config->query_timeout,
                .max_deadline_ns = MAX_DEADLINE,
                .ended = on_query_ended,
                .drained = on_queries_drained,
                .userdata = supervisor,
        };

        int r = query_engine_new(&supervisor->queries, &options);
        return r < 0 ? log_errno(r, "Cannot set up queries") : 0;
}

/* The listening socket: systemd's when it handed one in, else our own. */
static int build_listener(Supervisor *supervisor) {
        int n = sd_listen_fds(/* unset_environment= */ 1);

        if (n > 1)
                return log_errno(-EINVAL, "%d sockets were handed in, but one is served", n);
        if (n == 1) {
                int fd = SD_LISTEN_FDS_START;
                if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, /* listening= */ 1) <= 0)
                        return log_errno(
                                        -EINVAL,
                                        "What was handed in is no listening Unix stream socket");
                int r = io_adopt(supervisor->io, fd);
                return r < 0 ? log_errno(r, "Cannot take over the socket") : fd;
        }
        int fd = io_listen_unix(supervisor->io, supervisor->options.socket_path, 0660);
        if (fd == -EADDRINUSE)
                return log_errno(fd, "Another daemon listens on %s", supervisor->options.socket_path);
        return fd < 0 ? log_errno(fd, "Cannot listen on %s", supervisor->options.socket_path) : fd;
}

static int build_control(Supervisor *supervisor) {
        const ControlBackend backend = {
                .queries = supervisor->queries,
                .status = on_status,
                .list_sources = on_list_sources,
                .describe_source = on_describe_source,
                .set_breaker = on_set_breaker,
                .flush_cache = on_flush_cache,
                .userdata = supervisor,
        };

        int fd = build_listener(supervisor);
        if (fd < 0)
                return fd;
        int r = control_new(
                        &supervisor->control, supervisor->io, fd, &backend, &control_default_limits);
        return r < 0 ? log_errno(r, "Cannot set up the control interface") : 0;
}

static int build_signals(Supervisor *supervisor) {
        sigset_t set;

        (void) sigemptyset(&set);
        (void) sigaddset(&set, SIGTERM);
        (void) sigaddset(&set, SIGINT);
        (void) sigaddset(&set, SIGHUP);
        supervisor->signals.received = on_signal;
        int r = io_signals_start(supervisor->io, &supervisor->signals, &set);
        return r < 0 ? log_errno(r, "Cannot watch signals") : 0;
}

static int supervisor_build(Supervisor *supervisor) {
        static int (*const steps[])(Supervisor *) = {
                build_limits, build_io,  build_signals, build_state,   build_arena,   build_sources,
                build_daily,  build_net, build_pool,    build_queries, build_control,
        };

        for (size_t i = 0; i < ELEMENTSOF(steps); i++) {
                int r = steps[i](supervisor);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Also of what was built half. */
static void supervisor_teardown(Supervisor *supervisor) {
        supervisor->control = control_free(supervisor->control);
        query_engine_free(supervisor->queries);
        if (supervisor->pool)
                pool_free(supervisor->pool);
        if (supervisor->net)
                net_free(supervisor->net);
        resolver_free(supervisor->resolver);
        state_file_free(supervisor->daily);
        source_table_free(supervisor->sources);
        if (supervisor->arena)
                arena_free(supervisor->arena);
        if (supervisor->io) {
                io_signals_stop(&supervisor->signals);
                while (io_op_in_flight(&supervisor->signals.op) && io_turn(supervisor->io) >= 0)
                        ;
                io_free(supervisor->io);
        }
        if (supervisor->state_lock >= 0)
                (void) close(supervisor->state_lock);
}

int supervisor_run(const SupervisorOptions *options) {
        Supervisor supervisor = { .options = *options, .state_lock = -1 };

        int r = supervisor_build(&supervisor);
        if (r >= 0) {
                status_notify(&supervisor, "");
                r = io_run(supervisor.io);
                if (r < 0)
                        log_errno(r, "The event loop failed");
        }
        supervisor_teardown(&supervisor);
        return r;
}
