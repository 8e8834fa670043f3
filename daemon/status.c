/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "json-writer.h"
#include "status.h"

static const char *worker_phase_name(WorkerPhase phase) {
        static const char *const names[] = {
                [WORKER_STARTING] = "starting", [WORKER_IDLE] = "idle",
                [WORKER_BUSY] = "busy",         [WORKER_RETIRING] = "retiring",
                [WORKER_BACKOFF] = "backoff",
        };
        return names[phase];
}

static const char *phase_name(SupervisorPhase phase) {
        static const char *const names[] = {
                [SUPERVISOR_STARTING] = "starting", [SUPERVISOR_RUNNING] = "running",
                [SUPERVISOR_DRAINING] = "stopping", [SUPERVISOR_CLOSING] = "stopping",
                [SUPERVISOR_CLOSED] = "stopping",
        };
        return names[phase];
}

static void write_workers(const Supervisor *supervisor, JsonWriter *w) {
        json_begin_array(w, "workers");
        for (unsigned i = 0; i < pool_size(supervisor->pool); i++) {
                WorkerStatus status;

                pool_worker_status(supervisor->pool, i, &status);
                json_begin_object(w, NULL);
                json_put_i64(w, "pid", status.pid);
                json_put_string(w, "state", worker_phase_name(status.phase));
                json_put_u64(w, "tasks", status.tasks);
                json_put_u64(w, "restarts", status.restarts);
                json_end_object(w);
        }
        json_end_array(w);
}

static size_t fetches_in_flight(const Supervisor *supervisor) {
        size_t n = 0;

        for (size_t i = 0; i < supervisor->sources->count; i++)
                n += supervisor->sources->sources[i]->in_flight;
        return n;
}

static size_t breakers_open(const Supervisor *supervisor) {
        uint64_t now = io_now(supervisor->io);
        size_t n = 0;

        for (size_t i = 0; i < supervisor->sources->count; i++)
                n += breaker_state(&supervisor->sources->sources[i]->breaker, now) != BREAKER_CLOSED;
        return n;
}

int status_write(Supervisor *supervisor, Buffer *out) {
        QueryCounters counters = query_engine_counters(supervisor->queries);
        JsonWriter w = json_writer(out);

        json_begin_object(&w, NULL);
        json_put_string(&w, "version", MUSTER_VERSION);
        json_put_string(&w, "state", phase_name(supervisor->phase));
        json_put_string(&w, "io_backend", io_backend_name(supervisor->io));
        json_put_u64(&w, "uptime_ms", (io_now(supervisor->io) - supervisor->started) / 1000000);
        json_begin_object(&w, "queries");
        json_put_u64(&w, "open", query_open(supervisor->queries));
        json_put_u64(&w, "total", counters.total);
        json_put_u64(&w, "failed", counters.failed);
        json_put_u64(&w, "withdrawn", counters.withdrawn);
        json_put_u64(&w, "refused", counters.refused);
        json_put_u64(&w, "stored", counters.stored);
        json_end_object(&w);
        write_workers(supervisor, &w);
        json_begin_object(&w, "tasks");
        json_put_u64(&w, "queued", pool_queued(supervisor->pool));
        json_put_u64(&w, "held", pool_held(supervisor->pool));
        json_end_object(&w);
        json_begin_object(&w, "fetches");
        json_put_u64(&w, "in_flight", fetches_in_flight(supervisor));
        json_put_u64(&w, "alone", counters.alone);
        json_put_u64(&w, "connections", net_connections(supervisor->net));
        json_put_u64(&w, "idle_connections", net_idle(supervisor->net));
        json_end_object(&w);
        json_begin_object(&w, "cache");
        json_put_u64(&w, "entries", counters.cache_entries);
        json_put_u64(&w, "bytes", counters.cache_bytes);
        json_end_object(&w);
        json_put_u64(&w, "breakers_open", breakers_open(supervisor));
        json_put_u64(&w, "clients", control_connections(supervisor->control));
        json_begin_object(&w, "arena");
        json_put_u64(&w, "size", arena_size(supervisor->arena));
        json_put_u64(&w, "used", arena_used(supervisor->arena));
        json_end_object(&w);
        json_put_u64(&w, "sources", supervisor->sources->count);
        json_put_i64(&w, "descriptor_limit", supervisor->descriptor_limit);
        json_end_object(&w);
        return out->error;
}

int status_list_sources(const Supervisor *supervisor, Buffer *out) {
        JsonWriter w = json_writer(out);

        json_begin_object(&w, NULL);
        json_begin_array(&w, "sources");
        for (size_t i = 0; i < supervisor->sources->count; i++) {
                json_begin_object(&w, NULL);
                source_write(supervisor->sources->sources[i], io_now(supervisor->io),
                             io_unix_ms(supervisor->io), &w, /* details= */ false);
                json_end_object(&w);
        }
        json_end_array(&w);
        json_end_object(&w);
        return out->error;
}

int status_describe_source(const Supervisor *supervisor, const char *name, Buffer *out) {
        const Source *source = source_table_find(supervisor->sources, name);
        JsonWriter w = json_writer(out);

        if (!source)
                return -ENOENT;
        json_begin_object(&w, NULL);
        source_write(source, io_now(supervisor->io), io_unix_ms(supervisor->io), &w,
                     /* details= */ true);
        json_end_object(&w);
        return out->error;
}

void status_text(const Supervisor *supervisor, char out[static STATUS_TEXT_MAX]) {
        QueryCounters counters = query_engine_counters(supervisor->queries);
        size_t open = query_open(supervisor->queries);

        switch (supervisor->phase) {
        case SUPERVISOR_STARTING:
                (void) snprintf(out, STATUS_TEXT_MAX, "Starting %u workers",
                                pool_size(supervisor->pool));
                break;
        case SUPERVISOR_RUNNING:
                (void) snprintf(out, STATUS_TEXT_MAX,
                                "%zu sources, %u of %u workers ready, %zu queries open, %llu answered, "
                                "%llu failed, %zu breakers open (%s)",
                                supervisor->sources->count, pool_ready(supervisor->pool),
                                pool_size(supervisor->pool), open,
                                (unsigned long long) (counters.total - open - counters.failed - counters.withdrawn),
                                (unsigned long long) counters.failed, breakers_open(supervisor),
                                io_backend_name(supervisor->io));
                break;
        case SUPERVISOR_DRAINING:
        case SUPERVISOR_CLOSING:
        case SUPERVISOR_CLOSED:
                (void) snprintf(out, STATUS_TEXT_MAX, "Stopping, %zu queries to go", open);
                break;
        }
}
