/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The Varlink server: io.muster and org.varlink.service on a Unix socket (varlink.org; docs of
 * systemd's sd-varlink for the limits of the other side). */

#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "io.h"
#include "query.h"

typedef struct ControlServer ControlServer;

/* What the supervisor lends to the methods that show state. Each writes the text of one JSON object
 * (the reply's `parameters`). */
typedef struct ControlBackend {
        QueryEngine *queries;
        int (*status)(void *userdata, Buffer *out);
        int (*list_sources)(void *userdata, Buffer *out);
        int (*describe_source)(void *userdata, const char *name, Buffer *out); /* -ENOENT */
        void *userdata;
} ControlBackend;

typedef struct ControlLimits {
        unsigned max_connections; /* all together */
        unsigned max_connections_per_uid;
        size_t max_message;         /* bytes of one call: 1 MiB by default */
        size_t max_unread;          /* queued reply bytes of one connection */
        uint64_t frame_timeout_ns;  /* a call that has begun must be complete by then: 5 s */
        uint64_t unread_timeout_ns; /* a reply that is not read: 30 s */
} ControlLimits;

extern const ControlLimits control_default_limits;

/* Takes over the listening descriptor (from io_listen_unix() or io_adopt()). */
int control_new(ControlServer **ret, Io *io, int listen_fd, const ControlBackend *backend,
                const ControlLimits *limits);

/* Stops accepting; new calls on open connections are answered io.muster.Stopping; `drained` is
 * called from the loop once no reply is owed any more. */
void control_drain(ControlServer *server, void (*drained)(void *userdata), void *userdata);

/* Closes everything; `closed` is called from the loop once nothing is in flight; then
 * control_free(). */
void control_close(ControlServer *server, void (*closed)(void *userdata), void *userdata);
ControlServer *control_free(ControlServer *server);

size_t control_connections(const ControlServer *server);

/* Since the start. */
typedef struct ControlCounters {
        uint64_t accepted;
        uint64_t refused; /* over a limit of connections, or no descriptor left */
        uint64_t dropped; /* by a rule: no call, too large, too slow, not reading */
        uint64_t calls;
} ControlCounters;

const ControlCounters *control_counters(const ControlServer *server);
