/* SPDX-License-Identifier: Apache-2.0 */

/* A fetch is one attempt and one timer. Whatever ends it (response complete, error, time out,
 * refused body) ends it in fetch_finish(), which cancels what is still running and calls back
 * once. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "fetch.h"
#include "parse.h"

/* First piece of memory for a body of unknown length. */
#define DOCUMENT_FIRST 4096u

static void fetch_stop(Fetch *fetch) {
        fetch->running = false;
        fetch->source->in_flight--;
        exchange_cancel(&fetch->exchange);
        io_timer_cancel(fetch->context->io, &fetch->timer);
        io_timer_cancel(fetch->context->io, &fetch->latency);
        io_unpost(&fetch->task);
        free(fetch->request);
        fetch->request = NULL;
        fetch->attempt.end = io_now(fetch->context->io);
        fetch->attempt.times = fetch->exchange.times;
        fetch->attempt.reused = fetch->exchange.reused;
}

static void fetch_finish(Fetch *fetch, Verdict verdict, const char *format, ...) PRINTF_LIKE(3, 4);

static void fetch_finish(Fetch *fetch, Verdict verdict, const char *format, ...) {
        if (!fetch->running)
                return;

        fetch->verdict = verdict;
        if (format) {
                va_list arguments;
                va_start(arguments, format);
                if (vasprintf(&fetch->error, format, arguments) < 0)
                        fetch->error = NULL;
                va_end(arguments);
        }
        fetch_stop(fetch);
        if (verdict != VERDICT_OK)
                fetch->document = arena_block_unref(fetch->document);
        fetch->done(fetch);
}

/* ---- the response ---- */

static void fetch_take_head(Fetch *fetch, const HttpHead *head) {
        fetch->status = head->status;
        fetch->media = head->media;
        fetch->coding = head->coding;
        memcpy(fetch->charset, head->charset, sizeof(fetch->charset));
}

/* A negative errno makes the exchange end; its `done` then finds the verdict already given. */
static int fetch_refuse(Fetch *fetch, Verdict verdict, const char *error) {
        fetch->verdict = verdict;
        fetch->error = strdup(error);
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

static int fetch_check_status(Fetch *fetch, int status) {
        char text[128];

        if (status >= 200 && status <= 299)
                return 0;
        const char *words = reason_phrase(status);
        (void) snprintf(text, sizeof(text), "the source answered %d%s%s", status, *words ? " " : "",
                        words);
        return fetch_refuse(fetch, status == 429 ? VERDICT_QUOTA : VERDICT_HTTP, text);
}

static int fetch_refuse_size(Fetch *fetch) {
        char text[128];

        (void) snprintf(text, sizeof(text), "the body is over MaxBytes=%llu",
                        (unsigned long long) fetch->source->config->max_bytes);
        return fetch_refuse(fetch, VERDICT_TOO_LARGE, text);
}

static int on_head(Exchange *exchange, const HttpHead *head) {
        Fetch *fetch = CONTAINER_OF(exchange, Fetch, exchange);

        fetch_take_head(fetch, head);
        int r = fetch_check_status(fetch, head->status);
        if (r < 0)
                return r;
        if (head->coding_unknown)
                return fetch_refuse(
                                fetch, VERDICT_DECODE,
                                "the body has a Content-Encoding that was not asked for");
        if (head->has_length && head->length > fetch->source->config->max_bytes)
                return fetch_refuse_size(fetch);
        fetch->expected = head->has_length ? head->length : 0;
        return 0;
}

/* Makes room for `more` bytes after those that are there. */
static int fetch_reserve(Fetch *fetch, size_t more) {
        ArenaBlock *block = fetch->document;
        int r;

        if (!block) {
                size_t first = MAX(more, fetch->expected ? (size_t) fetch->expected : DOCUMENT_FIRST);
                r = arena_alloc(fetch->context->arena, first, &fetch->document);
        } else if (more > block->capacity - block->size)
                r = arena_grow(block, MAX(block->capacity * 2, block->size + more));
        else
                return 0;
        if (r == -ENOBUFS)
                return fetch_refuse(
                                fetch, VERDICT_SHED,
                                "no room for the document; ArenaSize= bounds all documents in flight");
        if (r == -EMSGSIZE)
                return fetch_refuse(
                                fetch, VERDICT_TOO_LARGE, "the document is greater than ArenaSize=");
        return r;
}

static int on_body(Exchange *exchange, const void *data, size_t size) {
        Fetch *fetch = CONTAINER_OF(exchange, Fetch, exchange);

        fetch->bytes += size;
        if (fetch->bytes > fetch->source->config->max_bytes)
                return fetch_refuse_size(fetch);
        int r = fetch_reserve(fetch, size);
        if (r < 0)
                return r;
        memcpy((char *) arena_block_data(fetch->document) + fetch->document->size, data, size);
        fetch->document->size += size;
        return 0;
}

static void on_done(Exchange *exchange, ExchangeError error, const char *message) {
        Fetch *fetch = CONTAINER_OF(exchange, Fetch, exchange);
        static const Verdict verdicts[] = {
                [EXCHANGE_OK] = VERDICT_OK,           [EXCHANGE_DNS] = VERDICT_DNS,
                [EXCHANGE_CONNECT] = VERDICT_CONNECT, [EXCHANGE_RESOURCES] = VERDICT_SHED,
                [EXCHANGE_PROTOCOL] = VERDICT_HTTP,
        };

        if (error == EXCHANGE_ABORTED)
                fetch_finish(fetch, fetch->error ? fetch->verdict : VERDICT_SHED, NULL);
        else if (error == EXCHANGE_OK)
                fetch_finish(fetch, fetch->document ? VERDICT_OK : VERDICT_EMPTY, NULL);
        else
                fetch_finish(fetch, verdicts[error], "%s", message);
}

static void on_timeout(IoTimer *timer) {
        Fetch *fetch = CONTAINER_OF(timer, Fetch, timer);
        char text[DURATION_TEXT_MAX];

        fetch_finish(fetch, VERDICT_TIMEOUT, "no response within %s",
                     format_duration(text, fetch->source->config->timeout));
}

/* ---- simulate: ---- */

static int simulate_document(Fetch *fetch) {
        const Simulation *simulation = &fetch->source->simulation;

        int r = fetch_check_status(fetch, fetch->status);
        if (r < 0 || simulation->bytes == 0)
                return r;
        fetch->bytes = simulation->bytes;
        if (fetch->bytes > fetch->source->config->max_bytes)
                return fetch_refuse_size(fetch);
        r = fetch_reserve(fetch, fetch->bytes);
        if (r < 0)
                return r;
        fetch->document->size = fetch->bytes;
        simulation_write(
                        arena_block_data(fetch->document), fetch->bytes, fetch->source->name,
                        fetch->request, fetch->question_size);
        return 0;
}

static void on_latency(IoTimer *timer) {
        Fetch *fetch = CONTAINER_OF(timer, Fetch, latency);
        const Simulation *simulation = &fetch->source->simulation;
        double chance = (double) (io_random(fetch->context->io) >> 11) / (double) (UINT64_C(1) << 53);

        fetch->exchange.times.first_byte = io_now(fetch->context->io);
        fetch->exchange.times.end = fetch->exchange.times.first_byte;
        if (chance < simulation->fail) {
                fetch_finish(fetch, VERDICT_CONNECT, "simulated failure");
                return;
        }
        fetch->status = simulation->status;
        fetch->media = MEDIA_TEXT;
        if (simulate_document(fetch) < 0)
                fetch_finish(fetch, fetch->error ? fetch->verdict : VERDICT_SHED, NULL);
        else
                fetch_finish(fetch, fetch->document ? VERDICT_OK : VERDICT_EMPTY, NULL);
}

static int simulate_start(Fetch *fetch, const TemplateValue values[], size_t n_values) {
        for (size_t i = 0; i < n_values; i++)
                if (strcmp(values[i].name, "question") == 0) {
                        fetch->request = strndup(values[i].value, values[i].size);
                        fetch->question_size = fetch->request ? strlen(fetch->request) : 0;
                }
        if (!fetch->request)
                return -ENOMEM;
        fetch->exchange.times.send_start = fetch->exchange.times.send_end = fetch->attempt.start;
        return io_timer_set(
                        fetch->context->io, &fetch->latency,
                        time_add(fetch->attempt.start, fetch->source->simulation.delay_ns));
}

/* ---- start and end ---- */

/* A request that cannot be made is an outcome, given from the loop as all outcomes are. */
static void on_unrenderable(IoTask *task) {
        Fetch *fetch = CONTAINER_OF(task, Fetch, task);

        fetch_finish(fetch, fetch->verdict, NULL);
}

static int fetch_fail_later(Fetch *fetch, const char *missing) {
        fetch->attempts = 0;
        fetch->verdict = VERDICT_REJECTED;
        int r = missing ? asprintf(&fetch->error,
                                   "parameter \"%s\" was not given and has no default", missing) :
                          asprintf(&fetch->error, "the request would be too long");
        if (r < 0)
                fetch->error = NULL;
        io_post(fetch->context->io, &fetch->task);
        return 0;
}

static int exchange_begin(Fetch *fetch, const TemplateValue values[], size_t n_values) {
        Buffer request = {};
        const char *missing = NULL;

        int r = source_render_request(fetch->source, values, n_values, &request, &missing);
        if (r == -ENOENT || r == -EMSGSIZE) {
                buffer_deinit(&request);
                return fetch_fail_later(fetch, missing);
        }
        if (r < 0) {
                buffer_deinit(&request);
                return r;
        }
        fetch->request = request.data;
        fetch->exchange.url = &fetch->source->url;
        fetch->exchange.request = request.data;
        fetch->exchange.request_size = request.size;
        fetch->exchange.head = on_head;
        fetch->exchange.body = on_body;
        fetch->exchange.done = on_done;
        return exchange_start(&fetch->exchange, fetch->context->net);
}

int fetch_start(Fetch *fetch, const TemplateValue values[], size_t n_values) {
        Io *io = fetch->context->io;
        Source *source = fetch->source;

        list_init(&fetch->task.node);
        fetch->task.run = on_unrenderable;
        fetch->timer.fire = on_timeout;
        fetch->latency.fire = on_latency;
        fetch->attempt.start = io_now(io);
        fetch->attempts = 1;
        fetch->running = true;
        source->in_flight++;
        source->requests++;

        int r = io_timer_set(
                        io, &fetch->timer, time_add(fetch->attempt.start, source->config->timeout));
        if (r >= 0)
                r = source->url.scheme == URL_SIMULATE ? simulate_start(fetch, values, n_values) :
                                                         exchange_begin(fetch, values, n_values);
        if (r < 0)
                fetch_stop(fetch);
        return r;
}

void fetch_cancel(Fetch *fetch) {
        if (!fetch->running)
                return;
        fetch_stop(fetch);
        fetch->document = arena_block_unref(fetch->document);
}

void fetch_deinit(Fetch *fetch) {
        fetch_cancel(fetch);
        fetch->document = arena_block_unref(fetch->document);
        free(fetch->error);
        fetch->error = NULL;
}
