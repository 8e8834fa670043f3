/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever ends an attempt (response complete, error, time out, refused body) ends it in
 * attempt_finish(), which cancels what is still running and calls back once. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "clock.h"
#include "parse.h"

/* First piece of memory for a body of unknown length. */
#define DOCUMENT_FIRST 4096u

static void attempt_stop(Attempt *attempt) {
        attempt->running = false;
        attempt->source->in_flight--;
        exchange_cancel(&attempt->exchange);
        io_timer_cancel(attempt->context->io, &attempt->timer);
        io_timer_cancel(attempt->context->io, &attempt->latency);
        attempt->end = io_now(attempt->context->io);
}

static void attempt_finish(Attempt *attempt, Verdict verdict, const char *format, ...)
                PRINTF_LIKE(3, 4);

static void attempt_finish(Attempt *attempt, Verdict verdict, const char *format, ...) {
        if (!attempt->running)
                return;

        attempt->verdict = verdict;
        if (format) {
                va_list arguments;
                va_start(arguments, format);
                if (vasprintf(&attempt->error, format, arguments) < 0)
                        attempt->error = NULL;
                va_end(arguments);
        }
        attempt_stop(attempt);
        if (verdict != VERDICT_OK)
                attempt->document = arena_block_unref(attempt->document);
        attempt->done(attempt);
}

/* ---- the response ---- */

/* A negative errno makes the exchange end; its `done` then finds the verdict already given, and no
 * time out that is due meanwhile gives another one. */
static int attempt_refuse(Attempt *attempt, Verdict verdict, const char *error) {
        io_timer_cancel(attempt->context->io, &attempt->timer);
        attempt->verdict = verdict;
        attempt->error = strdup(error);
        return -ECANCELED;
}

static const char *reason_phrase(int status) {
        static const struct {
                int status;
                const char *text;
        } texts[] = {
                { 301, "Moved Permanently" },  { 302, "Found" },
                { 303, "See Other" },          { 304, "Not Modified" },
                { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
                { 400, "Bad Request" },        { 401, "Unauthorized" },
                { 403, "Forbidden" },          { 404, "Not Found" },
                { 405, "Method Not Allowed" }, { 406, "Not Acceptable" },
                { 408, "Request Timeout" },    { 410, "Gone" },
                { 429, "Too Many Requests" },  { 500, "Internal Server Error" },
                { 502, "Bad Gateway" },        { 503, "Service Unavailable" },
                { 504, "Gateway Timeout" },
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (texts[i].status == status)
                        return texts[i].text;
        return "";
}

/* Statuses that speak of the moment, not of the request. */
static bool status_transient(int status) {
        return status == 429 || status == 502 || status == 503 || status == 504;
}

static int attempt_check_status(Attempt *attempt, int status) {
        char text[128];

        if (status >= 200 && status <= 299)
                return 0;
        const char *words = reason_phrase(status);
        (void) snprintf(text, sizeof(text), "the source answered %d%s%s", status, *words ? " " : "",
                        words);
        attempt->transient = status_transient(status);
        return attempt_refuse(attempt, status == 429 ? VERDICT_QUOTA : VERDICT_HTTP, text);
}

static int attempt_refuse_size(Attempt *attempt) {
        char text[128];

        (void) snprintf(text, sizeof(text), "the body is over MaxBytes=%llu",
                        (unsigned long long) attempt->source->config->max_bytes);
        return attempt_refuse(attempt, VERDICT_TOO_LARGE, text);
}

static int on_head(Exchange *exchange, const HttpHead *head) {
        Attempt *attempt = CONTAINER_OF(exchange, Attempt, exchange);

        attempt->responded = true;
        attempt->head = *head;
        int r = attempt_check_status(attempt, head->status);
        if (r < 0)
                return r;
        if (head->coding_unknown)
                return attempt_refuse(
                                attempt, VERDICT_DECODE,
                                "the body has a Content-Encoding that was not asked for");
        if (head->has_length && head->length > attempt->source->config->max_bytes)
                return attempt_refuse_size(attempt);
        attempt->expected = head->has_length ? head->length : 0;
        return 0;
}

static int document_extend(Attempt *attempt, size_t more) {
        ArenaBlock *block = attempt->document;

        if (!block) {
                size_t first = attempt->expected ? (size_t) attempt->expected : DOCUMENT_FIRST;
                return arena_alloc(attempt->context->arena, MAX(more, first), &attempt->document);
        }
        if (more <= block->capacity - block->size)
                return 0;
        return arena_grow(block, MAX(block->capacity * 2, block->size + more));
}

/* Makes room for `more` bytes after those that are there. */
static int attempt_reserve(Attempt *attempt, size_t more) {
        const AttemptContext *context = attempt->context;
        int r;

        do
                r = document_extend(attempt, more);
        while (r == -ENOBUFS && context->make_room && context->make_room(context->userdata));
        if (r == -ENOBUFS)
                return attempt_refuse(
                                attempt, VERDICT_SHED,
                                "no room for the document; ArenaSize= bounds all documents in flight");
        if (r == -EMSGSIZE)
                return attempt_refuse(
                                attempt, VERDICT_TOO_LARGE,
                                "the document is greater than ArenaSize=");
        return r;
}

static int on_body(Exchange *exchange, const void *data, size_t size) {
        Attempt *attempt = CONTAINER_OF(exchange, Attempt, exchange);

        attempt->bytes += size;
        if (attempt->bytes > attempt->source->config->max_bytes)
                return attempt_refuse_size(attempt);
        int r = attempt_reserve(attempt, size);
        if (r < 0)
                return r;
        memcpy((char *) arena_block_data(attempt->document) + attempt->document->size, data, size);
        attempt->document->size += size;
        return 0;
}

static void attempt_complete(Attempt *attempt) {
        attempt_finish(attempt, attempt->document ? VERDICT_OK : VERDICT_EMPTY, NULL);
}

static void on_done(Exchange *exchange, ExchangeError error, const char *message) {
        Attempt *attempt = CONTAINER_OF(exchange, Attempt, exchange);
        static const struct {
                Verdict verdict;
                bool transient;
        } meanings[] = {
                [EXCHANGE_DNS] = { VERDICT_DNS, false },
                [EXCHANGE_CONNECT] = { VERDICT_CONNECT, true },
                [EXCHANGE_RESOURCES] = { VERDICT_SHED, false },
                [EXCHANGE_RESET] = { VERDICT_HTTP, true },
                [EXCHANGE_PROTOCOL] = { VERDICT_HTTP, false },
        };

        if (error == EXCHANGE_OK)
                return attempt_complete(attempt);
        if (error == EXCHANGE_ABORTED)
                return attempt_finish(attempt, attempt->error ? attempt->verdict : VERDICT_SHED, NULL);
        attempt->transient = meanings[error].transient;
        attempt_finish(attempt, meanings[error].verdict, "%s", message);
}

static void on_timeout(IoTimer *timer) {
        Attempt *attempt = CONTAINER_OF(timer, Attempt, timer);
        char text[DURATION_TEXT_MAX];

        attempt->transient = true;
        attempt_finish(attempt, VERDICT_TIMEOUT, "no response within %s",
                       format_about(text, attempt->timeout_ns));
}

/* ---- simulate: ---- */

static int simulate_document(Attempt *attempt) {
        const Simulation *simulation = &attempt->source->simulation;

        int r = attempt_check_status(attempt, simulation->status);
        if (r < 0 || simulation->bytes == 0)
                return r;
        attempt->bytes = simulation->bytes;
        if (attempt->bytes > attempt->source->config->max_bytes)
                return attempt_refuse_size(attempt);
        r = attempt_reserve(attempt, attempt->bytes);
        if (r < 0)
                return r;
        attempt->document->size = attempt->bytes;
        simulation_write(
                        arena_block_data(attempt->document), attempt->bytes, attempt->source->name,
                        attempt->request, attempt->request_size);
        return 0;
}

static void on_latency(IoTimer *timer) {
        Attempt *attempt = CONTAINER_OF(timer, Attempt, latency);
        const Simulation *simulation = &attempt->source->simulation;
        double chance = (double) (io_random(attempt->context->io) >> 11) /
                        (double) (UINT64_C(1) << 53);

        attempt->exchange.times.first_byte = io_now(attempt->context->io);
        attempt->exchange.times.end = attempt->exchange.times.first_byte;
        if (chance < simulation->fail) {
                attempt->transient = true;
                return attempt_finish(attempt, VERDICT_CONNECT, "simulated failure");
        }
        attempt->responded = true;
        attempt->head = (HttpHead){ .status = simulation->status, .media = MEDIA_TEXT };
        if (simulate_document(attempt) < 0)
                attempt_finish(attempt, attempt->error ? attempt->verdict : VERDICT_SHED, NULL);
        else
                attempt_complete(attempt);
}

static int simulate_start(Attempt *attempt) {
        ExchangeTimes *times = &attempt->exchange.times;

        *times = (ExchangeTimes){ .send_start = attempt->start, .send_end = attempt->start };
        return io_timer_set(
                        attempt->context->io, &attempt->latency,
                        time_add(attempt->start, attempt->source->simulation.delay_ns));
}

/* ---- start and end ---- */

static int exchange_begin(Attempt *attempt) {
        Exchange *exchange = &attempt->exchange;

        exchange->url = &attempt->source->url;
        exchange->request = attempt->request;
        exchange->request_size = attempt->request_size;
        exchange->head = on_head;
        exchange->body = on_body;
        exchange->done = on_done;
        return exchange_start(exchange, attempt->context->net);
}

int attempt_start(Attempt *attempt) {
        Io *io = attempt->context->io;

        attempt->timer.fire = on_timeout;
        attempt->latency.fire = on_latency;
        attempt->start = io_now(io);
        attempt->end = 0;
        attempt->running = true;
        attempt->source->in_flight++;

        int r = 0;
        if (!attempt->untimed)
                r = io_timer_set(io, &attempt->timer, time_add(attempt->start, attempt->timeout_ns));
        if (r >= 0)
                r = attempt->source->url.scheme == URL_SIMULATE ? simulate_start(attempt) :
                                                                  exchange_begin(attempt);
        if (r < 0)
                attempt_stop(attempt);
        return r;
}

void attempt_cancel(Attempt *attempt) {
        if (!attempt->running)
                return;
        attempt_stop(attempt);
        attempt->document = arena_block_unref(attempt->document);
}

void attempt_clear(Attempt *attempt) {
        attempt_cancel(attempt);
        attempt->document = arena_block_unref(attempt->document);
        free(attempt->error);
        attempt->error = NULL;
        attempt->head = (HttpHead){};
        attempt->transient = attempt->responded = false;
        attempt->bytes = attempt->expected = 0;
}

void attempt_tell(const Attempt *attempt, Story *story, uint64_t now) {
        const ExchangeTimes *t = &attempt->exchange.times;
        /* What was under way when the attempt ended, ended with it. */
        uint64_t end = attempt->end ? attempt->end : now;
        const struct {
                Stage stage;
                uint64_t start, end;
        } steps[] = {
                { STAGE_RESOLVE, t->resolve_start, t->resolve_end },
                { STAGE_CONNECT, t->connect_start, t->connect_end },
                { STAGE_SEND, t->send_start, t->send_end },
                { STAGE_WAIT, t->send_end, t->first_byte },
                { STAGE_RECEIVE, t->first_byte, t->end },
        };

        if (attempt->start == 0)
                return;
        for (size_t i = 0; i < ELEMENTSOF(steps); i++)
                if (steps[i].start > 0)
                        story_add(story, steps[i].stage, attempt->number, steps[i].start,
                                  steps[i].end ? steps[i].end : end);
}
