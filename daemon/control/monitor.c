/* SPDX-License-Identifier: Apache-2.0 */

/* What happens, for all who look on.
 *
 * A subscription is a call of Monitor that waits for its last reply: it keeps its place in the
 * order of the calls, and ends with the connection or, by an error, with the service.
 *
 * An event is framed once, and copied to the queue of each subscriber. Bringing the queues to the
 * kernel is left to a task: so the events of one turn go together, and whoever publishes, be it
 * deep within the end of a query or of another client, finds every client as it was.
 *
 * Nobody waits for a subscriber that reads too slowly. What would not fit into its queue is left
 * out and counted, and before the next that fits it is told how many these were. */

#include "json-writer.h"
#include "macro.h"
#include "monitor.h"
#include "reply.h"

/* More than the message about lost events takes. */
#define LOST_SIZE_MAX 128u

static ControlClient *subscriber(List *node) {
        return LIST_ENTRY(node, ControlClient, subscription);
}

static bool has_room(const ControlClient *c, size_t size) {
        const ControlLimits *limits = &c->server->limits;
        size_t most = MIN(limits->max_unread_events, limits->max_unread);

        return c->sending.size + c->queued.size + size <= most;
}

static void tell_lost(ControlClient *c) {
        Buffer json = {};
        JsonWriter w = json_writer(&json);

        json_begin_object(&w, NULL);
        json_put_string(&w, "kind", "lost");
        json_put_u64(&w, "events", c->lost);
        json_end_object(&w);
        reply_write_continued(&c->queued, json.data, json.size);
        buffer_deinit(&json);
        c->lost = 0;
}

/* `message` has an error when it could not be framed; then it is lost as well. */
static void tell(ControlClient *c, const Buffer *message) {
        size_t before = c->lost > 0 ? LOST_SIZE_MAX : 0;

        if (message->error < 0 || !has_room(c, before + message->size)) {
                c->lost++;
                return;
        }
        if (c->lost > 0)
                tell_lost(c);
        (void) buffer_append(&c->queued, message->data, message->size);
}

/* The last reply. */
static void end(ControlClient *c) {
        if (c->lost > 0)
                tell_lost(c);
        client_error(c, ERROR_STOPPING, NULL, 0);
        monitor_forget(c);
}

static void deliver_run(IoTask *task) {
        ControlServer *server = CONTAINER_OF(task, ControlServer, deliver);

        LIST_FOREACH_SAFE(node, &server->subscribers) {
                ControlClient *c = subscriber(node);

                if (server->draining)
                        end(c);
                client_work(c);
        }
}

void monitor_init(ControlServer *server) {
        list_init(&server->subscribers);
        list_init(&server->deliver.node);
        server->deliver.run = deliver_run;
}

void monitor_begin(ControlClient *c) {
        c->lost = 0;
        list_append(&c->server->subscribers, &c->subscription);
}

bool monitor_begun(const ControlClient *c) {
        return !list_empty(&c->subscription);
}

void monitor_forget(ControlClient *c) {
        list_remove(&c->subscription);
}

void monitor_settle(ControlServer *server) {
        io_post(server->io, &server->deliver);
}

void control_publish(ControlServer *server, const char *json, size_t size) {
        Buffer message = {};

        reply_write_continued(&message, json, size);
        LIST_FOREACH(node, &server->subscribers)
                tell(subscriber(node), &message);
        buffer_deinit(&message);
        monitor_settle(server);
}

bool control_watched(const ControlServer *server) {
        return !list_empty(&server->subscribers);
}
