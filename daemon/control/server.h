/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Varlink server: io.muster and org.varlink.service on a Unix socket (varlink.org; docs of
 * systemd's sd-varlink for the limits of the other side). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "io.h"
#include "query.h"

typedef struct ControlServer ControlServer;

/* What the supervisor lends to the methods that show or change state. Each `out` takes the text of
 * one JSON object (the reply's `parameters`). */
typedef struct ControlBackend {
        QueryEngine *queries;
        int (*status)(void *userdata, Buffer *out);
        int (*list_sources)(void *userdata, Buffer *out);
        int (*describe_source)(void *userdata, const char *name, Buffer *out); /* -ENOENT */
        /* `state` is a BreakerSetting of fields.def. -ENOENT. */
        int (*set_breaker)(void *userdata, const char *source, const char *state);
        size_t (*flush_cache)(void *userdata); /* entries dropped */
        void *userdata;
} ControlBackend;

typedef struct ControlLimits {
        /* Shared by all users, fairly (base/quota.h). */
        size_t max_connections;
        size_t max_unread_total; /* queued reply bytes: 256 MiB by default */

        size_t max_message;         /* bytes of one call: 1 MiB by default */
        size_t max_unread;          /* queued reply bytes of one connection */
        size_t max_unread_events;   /* with more, a subscriber loses events: 1 MiB */
        uint64_t frame_timeout_ns;  /* a call that has begun must be complete by then: 5 s */
        uint64_t unread_timeout_ns; /* a reply that is not read: 30 s */
} ControlLimits;

extern const ControlLimits control_default_limits;

/* Takes over the listening descriptor (from io_listen_unix() or io_adopt()). */
int control_new(ControlServer **ret, Io *io, int listen_fd, const ControlBackend *backend,
                const ControlLimits *limits);

/* An event for all who have called Monitor: the text of an object, as fields.def has it. Nobody is
 * waited for; a client that does not keep up loses events and is told how many. */
void control_publish(ControlServer *server, const char *json, size_t size);

/* Somebody has: without, no event needs to be made. */
bool control_watched(const ControlServer *server);

/* Stops accepting; subscriptions and new calls on open connections are answered io.muster.Stopping;
 * `drained` is called from the loop once no reply is owed any more. */
void control_drain(ControlServer *server, void (*drained)(void *userdata), void *userdata);

/* Closes everything; `closed` is called from the loop once nothing is in flight; then
 * control_free(). */
void control_close(ControlServer *server, void (*closed)(void *userdata), void *userdata);
ControlServer *control_free(ControlServer *server);

size_t control_connections(const ControlServer *server);

/* Since the start. */
typedef struct ControlCounters {
        uint64_t accepted;
        uint64_t refused; /* over the limit of connections, or no descriptor left */
        uint64_t dropped; /* by a rule: no call, too large, too slow, not reading */
        uint64_t calls;
} ControlCounters;

const ControlCounters *control_counters(const ControlServer *server);
