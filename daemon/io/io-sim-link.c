/* SPDX-License-Identifier: Apache-2.0 */

/* The simulated network: listeners, links between two ends, and scripted peers.
 *
 * What is sent travels as chunks in a queue of the receiving end. Only the first is in the event
 * heap, and none is due before its predecessor: delays and reordering happen between connections,
 * never within one, as in any stream protocol.
 *
 * A link lives until neither end belongs to a descriptor, to a peer or to a queue of connections to
 * be accepted. Code that calls out (to a peer's script) does not touch the link afterwards.
 *
 * It does not model segments, retransmission or congestion: above the stream they are delays. */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io-sim-private.h"
#include "macro.h"

SimEnd *sim_end_other(const SimEnd *end) {
        SimLink *link = end->link;

        return &link->ends[end == &link->ends[0]];
}

static bool end_is_owned(const SimEnd *end) {
        return end->file || end->peer || !list_empty(&end->pending);
}

static SimChunk *chunk_first(const List *chunks) {
        assert(!list_empty(chunks));
        return LIST_ENTRY(chunks->next, SimChunk, node);
}

static void chunks_free(List *chunks) {
        LIST_FOREACH_SAFE(node, chunks) {
                list_remove(node);
                free(LIST_ENTRY(node, SimChunk, node));
        }
}

static void link_release(SimLink *link) {
        if (end_is_owned(&link->ends[0]) || end_is_owned(&link->ends[1]))
                return;
        for (size_t i = 0; i < ELEMENTSOF(link->ends); i++) {
                heap_remove(&link->sim->events, &link->ends[i].arrival.node);
                chunks_free(&link->ends[i].arriving);
                chunks_free(&link->ends[i].inbox);
        }
        free(link);
}

/* ---- peers ---- */

static void peer_end(SimPeer *peer, int error) {
        SimLink *link = peer->end->link;

        if (peer->ops->on_close)
                peer->ops->on_close(peer, error);
        peer->end->peer = NULL;
        list_remove(&peer->node);
        free(peer);
        link_release(link);
}

static SimPeer *peer_new(Sim *sim, SimEnd *end, const SimPeerOps *ops, void *userdata) {
        SimPeer *peer = sim_alloc(sizeof(*peer));

        *peer = (SimPeer){
                .end = end,
                .ops = ops,
                .userdata = userdata,
                .credentials = { .pid = getpid(), .uid = getuid(), .gid = getgid() },
        };
        list_append(&sim->peers, &peer->node);
        end->peer = peer;
        return peer;
}

Io *sim_peer_io(const SimPeer *peer) {
        return &peer->end->link->sim->io;
}

void *sim_peer_userdata(const SimPeer *peer) {
        return peer->userdata;
}

void sim_peer_set_userdata(SimPeer *peer, void *userdata) {
        peer->userdata = userdata;
}

void sim_peer_set_credentials(SimPeer *peer, const struct ucred *credentials) {
        peer->credentials = *credentials;
}

static void peer_say(SimPeer *peer, SimChunkKind kind, const void *data, size_t size, uint64_t delay) {
        if (!peer->closed && !peer->hung)
                sim_end_send(sim_end_other(peer->end), kind, data, size, delay);
}

void sim_peer_send(SimPeer *peer, const void *data, size_t size, uint64_t delay) {
        peer_say(peer, SIM_CHUNK_DATA, data, size, delay);
}

void sim_peer_shutdown(SimPeer *peer, uint64_t delay) {
        peer_say(peer, SIM_CHUNK_FINISH, NULL, 0, delay);
}

void sim_peer_close(SimPeer *peer, uint64_t delay) {
        peer_say(peer, SIM_CHUNK_CLOSE, NULL, 0, delay);
        peer->closed = true;
}

void sim_peer_reset(SimPeer *peer, uint64_t delay) {
        peer_say(peer, SIM_CHUNK_RESET, NULL, 0, delay);
        peer->closed = true;
}

void sim_peer_hang(SimPeer *peer) {
        peer->hung = true;
}

/* ---- what travels ---- */

static void end_expect(SimEnd *end) {
        if (!list_empty(&end->arriving) && !heap_contains(&end->arrival.node))
                sim_schedule(end->link->sim, &end->arrival, chunk_first(&end->arriving)->when);
}

static void end_push(SimEnd *end, SimChunkKind kind, const char *data, size_t size, uint64_t when) {
        SimChunk *chunk = sim_alloc(sizeof(*chunk) + size);

        chunk->kind = kind;
        chunk->size = size;
        chunk->when = when;
        if (size > 0)
                memcpy(chunk->bytes, data, size);
        if (!list_empty(&end->arriving))
                chunk->when = MAX(when, LIST_ENTRY(end->arriving.prev, SimChunk, node)->when);
        list_append(&end->arriving, &chunk->node);
        end->held += size;
        end_expect(end);
}

/* Small and large pieces are equally likely. */
static size_t piece_size(Sim *sim, size_t size) {
        if (size < 2 || !sim_chance(sim, SIM_SPLIT))
                return size;

        size_t most = MIN(size, (size_t) 1 << sim_random(sim) % 16);
        return 1 + sim_random(sim) % most;
}

void sim_end_send(SimEnd *end, SimChunkKind kind, const void *data, size_t size, uint64_t delay) {
        Sim *sim = end->link->sim;
        uint64_t when = time_add(sim->now, sim->options.latency + delay);
        const char *next = data;

        if (kind != SIM_CHUNK_DATA) {
                end_push(end, kind, NULL, 0, time_add(when, sim_jitter(sim)));
                return;
        }
        while (size > 0) {
                size_t piece = piece_size(sim, size);

                end_push(end, kind, next, piece, time_add(when, sim_jitter(sim)));
                next += piece;
                size -= piece;
        }
}

size_t sim_end_room(const SimEnd *end) {
        return end->link->sim->options.window -
                        MIN(sim_end_other(end)->held, end->link->sim->options.window);
}

static void end_let_go(SimEnd *end, size_t size) {
        SimFile *sender = sim_end_other(end)->file;

        end->held -= size;
        if (sender)
                sim_file_wake(sender);
}

size_t sim_end_take(SimEnd *end, void *data, size_t size) {
        size_t wanted = piece_size(end->link->sim, MIN(size, end->inbox_size));
        size_t done = 0;

        while (done < wanted) {
                SimChunk *chunk = chunk_first(&end->inbox);
                size_t n = MIN(wanted - done, chunk->size - chunk->taken);

                memcpy((char *) data + done, chunk->bytes + chunk->taken, n);
                done += n;
                chunk->taken += n;
                if (chunk->taken == chunk->size) {
                        list_remove(&chunk->node);
                        free(chunk);
                }
        }
        end->inbox_size -= done;
        end_let_go(end, done);
        return done;
}

static void data_arrives(SimEnd *end, SimChunk *chunk) {
        SimPeer *peer = end->peer;

        if (!end_is_owned(end) || (peer && peer->closed)) {
                sim_end_send(sim_end_other(end), SIM_CHUNK_RESET, NULL, 0, 0);
                end->held -= chunk->size;
        } else if (!peer) {
                list_append(&end->inbox, &chunk->node);
                end->inbox_size += chunk->size;
                return;
        } else if (!peer->hung) {
                end_let_go(end, chunk->size);
                if (peer->ops->on_data)
                        peer->ops->on_data(peer, chunk->bytes, chunk->size);
        }
        free(chunk);
}

static void end_arrives(SimEnd *end, const SimChunk *chunk) {
        end->finished = true;
        if (chunk->kind == SIM_CHUNK_FINISH)
                return;
        if (chunk->kind == SIM_CHUNK_RESET) {
                end->lost = true;
                if (!end->closed) /* else the reader knows the end already */
                        end->error = -ECONNRESET;
        }
        end->closed = true;
        if (end->peer)
                peer_end(end->peer, end->error);
}

static void arrival_run(Sim *sim, SimEvent *event) {
        SimEnd *end = CONTAINER_OF(event, SimEnd, arrival);
        SimChunk *chunk = chunk_first(&end->arriving);

        list_remove(&chunk->node);
        end_expect(end);
        sim_trace(sim, chunk->kind + (chunk->size << 4));
        if (end->file) {
                end->file->edges++;
                sim_file_wake(end->file);
        }
        if (chunk->kind == SIM_CHUNK_DATA)
                data_arrives(end, chunk);
        else {
                end_arrives(end, chunk);
                free(chunk);
        }
}

void sim_end_lose(SimEnd *end) {
        sim_end_send(sim_end_other(end), SIM_CHUNK_RESET, NULL, 0, 0);
        end->finished = end->closed = end->lost = true;
}

void sim_end_close(SimEnd *end) {
        /* As the kernel does: unread bytes turn the end of the stream into an error. */
        sim_end_send(sim_end_other(end), end->inbox_size > 0 ? SIM_CHUNK_RESET : SIM_CHUNK_CLOSE,
                     NULL, 0, 0);
        end->file = NULL;
        link_release(end->link);
}

/* ---- listeners and connections ---- */

/* Callers differ in what they count as an address's size and leave behind its end. */
static SimAddress address_copy(const struct sockaddr *address, socklen_t size) {
        SimAddress copy = { 0 };

        assert(size >= sizeof(address->sa_family) && size <= sizeof(copy));
        memcpy(&copy, address, size);
        if (copy.any.sa_family == AF_INET)
                memset(copy.v4.sin_zero, 0, sizeof(copy.v4.sin_zero));
        return copy;
}

static bool address_equal(const SimAddress *a, const SimAddress *b) {
        if (a->any.sa_family != b->any.sa_family)
                return false;
        if (a->any.sa_family == AF_UNIX)
                return strncmp(a->local.sun_path, b->local.sun_path, sizeof(a->local.sun_path)) == 0;
        if (a->any.sa_family == AF_INET)
                return memcmp(&a->v4, &b->v4, sizeof(a->v4)) == 0;
        return a->v6.sin6_port == b->v6.sin6_port &&
                        memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

SimAddress sim_unix_address(const char *path) {
        SimAddress address = { .local.sun_family = AF_UNIX };

        assert(strlen(path) < sizeof(address.local.sun_path));
        memcpy(address.local.sun_path, path, strlen(path) + 1);
        return address;
}

static SimListener *listener_find(Sim *sim, const SimAddress *address) {
        LIST_FOREACH(node, &sim->listeners) {
                SimListener *listener = LIST_ENTRY(node, SimListener, node);

                if (address_equal(&listener->address, address))
                        return listener;
        }
        return NULL;
}

SimListener *sim_listener_get(Sim *sim, const struct sockaddr *address, socklen_t size) {
        SimAddress copy = address_copy(address, size);
        SimListener *listener = listener_find(sim, &copy);

        if (!listener) {
                listener = sim_alloc(sizeof(*listener));
                listener->address = copy;
                list_append(&sim->listeners, &listener->node);
        }
        return listener;
}

void sim_listen(Io *io, const struct sockaddr *address, socklen_t size, const SimPeerOps *ops,
                void *userdata) {
        SimListener *listener = sim_listener_get(sim_of(io), address, size);

        assert(!listener->file);
        listener->ops = ops;
        listener->userdata = userdata;
}

static SimLink *link_new(Sim *sim, bool local) {
        SimLink *link = sim_alloc(sizeof(*link));

        link->sim = sim;
        link->local = local;
        for (size_t i = 0; i < ELEMENTSOF(link->ends); i++) {
                SimEnd *end = &link->ends[i];

                end->link = link;
                end->arrival.run = arrival_run;
                list_init(&end->pending);
                list_init(&end->arriving);
                list_init(&end->inbox);
        }
        return link;
}

static void link_offer(SimLink *link, SimFile *listener) {
        list_append(&listener->pending, &link->ends[1].pending);
        listener->edges++;
        sim_file_wake(listener);
}

int sim_link_connect(Sim *sim, SimFile *file, const struct sockaddr *address, socklen_t size) {
        SimAddress copy = address_copy(address, size);
        bool local = address->sa_family == AF_UNIX;
        const SimListener *listener = listener_find(sim, &copy);

        if (!listener)
                return local ? -ENOENT : -ECONNREFUSED;
        if (!listener->file && !listener->ops)
                return -ECONNREFUSED;
        if (file->end)
                return -EISCONN;

        SimLink *link = link_new(sim, local);
        file->end = &link->ends[0];
        file->end->file = file;
        file->edges++;
        if (listener->file) {
                link_offer(link, listener->file);
                return 0;
        }

        SimPeer *peer = peer_new(sim, &link->ends[1], listener->ops, listener->userdata);
        peer->hung = sim_chance(sim, SIM_PEER_HANG);
        if (peer->ops->on_connect)
                peer->ops->on_connect(peer);
        return 0;
}

void sim_listener_close(SimFile *file) {
        while (!list_empty(&file->pending)) {
                SimEnd *end = LIST_ENTRY(file->pending.next, SimEnd, pending);

                sim_end_send(sim_end_other(end), SIM_CHUNK_RESET, NULL, 0, 0);
                list_remove(&end->pending);
                link_release(end->link);
        }
        file->listener->file = NULL;
}

SimPeer *sim_connect_unix(Io *io, const char *path, const SimPeerOps *ops, void *userdata) {
        Sim *sim = sim_of(io);
        SimAddress address = sim_unix_address(path);
        const SimListener *listener = listener_find(sim, &address);

        if (!listener || !listener->file)
                return NULL;

        SimLink *link = link_new(sim, true);
        SimPeer *peer = peer_new(sim, &link->ends[0], ops, userdata);
        link_offer(link, listener->file);
        return peer;
}

void sim_link_free_all(Sim *sim) {
        while (!list_empty(&sim->peers)) {
                SimPeer *peer = LIST_ENTRY(sim->peers.next, SimPeer, node);
                SimLink *link = peer->end->link;

                peer->end->peer = NULL;
                list_remove(&peer->node);
                free(peer);
                link_release(link);
        }
        while (!list_empty(&sim->listeners)) {
                SimListener *listener = LIST_ENTRY(sim->listeners.next, SimListener, node);

                list_remove(&listener->node);
                free(listener);
        }
}
