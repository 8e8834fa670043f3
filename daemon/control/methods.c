/* SPDX-License-Identifier: Apache-2.0 */

/* Dispatch by table (schema/methods.def): a call is looked up, its parameters are checked against
 * the method's rows, and only then does the handler run, which holds the effect alone.
 *
 * The order of refusals: stopping; no such interface or method; `upgrade`, which no method can do;
 * a member or a parameter that is not as it should be. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "cleanup.h"
#include "json-writer.h"
#include "methods.h"
#include "monitor.h"

/* What a client is told that we have no memory for. */
#define RETRY_AFTER_MS 1000

typedef void (*MethodHandler)(ControlClient *c, struct json_t *parameters);

/* ---- org.varlink.service ---- */

static void reply_text(ControlClient *c, int r, Buffer *json, const char *source) {
        if (r >= 0)
                r = json->error;
        if (r >= 0)
                client_reply(c, json->data, json->size);
        else if (r == -ENOENT && source)
                client_error(c, ERROR_NO_SUCH_SOURCE, source, 0);
        else
                client_error(c, ERROR_OVERLOADED, NULL, RETRY_AFTER_MS);
        buffer_deinit(json);
}

static void method_get_info(ControlClient *c, struct json_t *parameters) {
        Buffer json = {};
        JsonWriter w = json_writer(&json);

        json_begin_object(&w, NULL);
        json_put_string(&w, "vendor", "The muster project");
        json_put_string(&w, "product", "muster");
        json_put_string(&w, "version", MUSTER_VERSION);
        json_put_string(&w, "url", "https://github.com/muster/muster");
        json_begin_array(&w, "interfaces");
        for (size_t i = 0; interface_name(i); i++)
                json_put_string(&w, NULL, interface_name(i));
        json_end_array(&w);
        json_end_object(&w);
        reply_text(c, 0, &json, NULL);
}

static void method_get_interface_description(ControlClient *c, struct json_t *parameters) {
        const char *name = arguments_string(parameters, "interface");
        Buffer json = {}, description = {};
        JsonWriter w = json_writer(&json);

        int r = interface_describe(name, &description);
        if (r == -ENOENT)
                return client_error(c, ERROR_INTERFACE_NOT_FOUND, name, 0);
        json_begin_object(&w, NULL);
        json_put_string_n(&w, "description", description.data, description.size);
        json_end_object(&w);
        buffer_deinit(&description);
        reply_text(c, r, &json, NULL);
}

/* ---- queries ---- */

static void query_event(Query *query, const char *json, size_t size, void *userdata) {
        ControlClient *c = userdata;

        client_event(c, json, size);
        client_work(c);
}

static void query_done(Query *query, const char *json, size_t size, void *userdata) {
        ControlClient *c = userdata;

        c->query = NULL;
        client_reply(c, json, size);
        client_work(c);
}

static void reply_refusal(ControlClient *c, QueryRefusal refusal, const QueryRefused *refused) {
        static const InterfaceError errors[] = {
                [QUERY_NO_SUCH_SOURCE] = ERROR_NO_SUCH_SOURCE,
                [QUERY_INVALID_PARAMETER] = ERROR_INVALID_PARAMETER,
                [QUERY_STOPPING] = ERROR_STOPPING,
                [QUERY_OVERLOADED] = ERROR_OVERLOADED,
                [QUERY_NO_MEMORY] = ERROR_OVERLOADED,
        };

        client_error(c, errors[refusal], refused->which,
                     refusal == QUERY_NO_MEMORY ? RETRY_AFTER_MS : refused->retry_after_ms);
}

static void method_query(ControlClient *c, struct json_t *parameters) {
        ControlServer *server = c->server;
        const QueryCallbacks callbacks = {
                .event = query_event,
                .done = query_done,
                .userdata = c,
        };
        QueryArguments arguments = {};
        QueryRefused refused = {};
        QueryRefusal refusal = QUERY_NO_MEMORY;

        if (query_arguments_init(&arguments, parameters, io_random(server->io)) >= 0) {
                arguments.request.user = c->peer->uid;
                arguments.request.want_events = c->more;
                refusal =
                                query_start(server->backend.queries, &arguments.request, &callbacks,
                                            &c->query, &refused);
        }
        if (refusal != QUERY_ACCEPTED)
                reply_refusal(c, refusal, &refused);
        query_arguments_deinit(&arguments);
}

static void method_explain(ControlClient *c, struct json_t *parameters) {
        ControlServer *server = c->server;
        QueryArguments arguments = {};
        QueryRefused refused = {};
        QueryRefusal refusal = QUERY_NO_MEMORY;
        CLEANUP_FREE char *json = NULL;
        size_t size = 0;

        if (query_arguments_init(&arguments, parameters, io_random(server->io)) >= 0) {
                arguments.request.user = c->peer->uid;
                refusal = query_explain(
                                server->backend.queries, &arguments.request, &json, &size, &refused);
        }
        if (refusal == QUERY_ACCEPTED)
                client_reply(c, json, size);
        else
                reply_refusal(c, refusal, &refused);
        query_arguments_deinit(&arguments);
}

/* ---- state ---- */

static void method_get_status(ControlClient *c, struct json_t *parameters) {
        const ControlBackend *backend = &c->server->backend;
        Buffer json = {};

        reply_text(c, backend->status(backend->userdata, &json), &json, NULL);
}

static void method_list_sources(ControlClient *c, struct json_t *parameters) {
        const ControlBackend *backend = &c->server->backend;
        Buffer json = {};

        reply_text(c, backend->list_sources(backend->userdata, &json), &json, NULL);
}

static void method_describe_source(ControlClient *c, struct json_t *parameters) {
        const ControlBackend *backend = &c->server->backend;
        const char *source = arguments_string(parameters, "source");
        Buffer json = {};

        reply_text(c, backend->describe_source(backend->userdata, source, &json), &json, source);
}

static void method_set_breaker(ControlClient *c, struct json_t *parameters) {
        const ControlBackend *backend = &c->server->backend;
        const char *source = arguments_string(parameters, "source");
        const char *state = arguments_string(parameters, "state");
        Buffer json = {};

        (void) buffer_append_string(&json, "{}");
        reply_text(c, backend->set_breaker(backend->userdata, source, state), &json, source);
}

static void method_flush_cache(ControlClient *c, struct json_t *parameters) {
        const ControlBackend *backend = &c->server->backend;
        Buffer json = {};
        JsonWriter w = json_writer(&json);

        json_begin_object(&w, NULL);
        json_put_u64(&w, "entries", backend->flush_cache(backend->userdata));
        json_end_object(&w);
        reply_text(c, 0, &json, NULL);
}

/* ---- what happens ---- */

static void method_monitor(ControlClient *c, struct json_t *parameters) {
        if (c->more)
                monitor_begin(c);
        else
                client_error(c, ERROR_EXPECTED_MORE, NULL, 0);
}

/* ---- dispatch ---- */

/* In the order of interface_methods[]. */
static const MethodHandler handlers[] = {
#define METHOD(interface, name, handler, ...) method_##handler,
#include "methods.def"
#undef METHOD
};

static bool interface_exists(const char *name, size_t size) {
        const char *known;

        for (size_t i = 0; (known = interface_name(i)); i++)
                if (strlen(known) == size && strncmp(known, name, size) == 0)
                        return true;
        return false;
}

/* What stands before the last dot is the interface. */
static void refuse_unknown(ControlClient *c, const char *method) {
        const char *dot = strrchr(method, '.');

        if (!dot || interface_exists(method, (size_t) (dot - method)))
                return client_error(c, ERROR_METHOD_NOT_FOUND, method, 0);

        CLEANUP_FREE char *interface = strndup(method, (size_t) (dot - method));
        client_error(c, ERROR_INTERFACE_NOT_FOUND, interface, 0);
}

void methods_call(ControlClient *c, const VarlinkCall *call) {
        size_t i = 0;

        if (c->server->draining)
                return client_error(c, ERROR_STOPPING, NULL, 0);
        while (i < n_interface_methods && strcmp(interface_methods[i].full_name, call->method) != 0)
                i++;
        if (i == n_interface_methods)
                return refuse_unknown(c, call->method);
        if (call->upgrade)
                return client_error(c, ERROR_METHOD_NOT_IMPLEMENTED, call->method, 0);

        const char *invalid = call->invalid ?
                        call->invalid :
                        arguments_invalid(interface_methods[i].input, call->parameters);
        if (invalid)
                return client_error(c, ERROR_INVALID_PARAMETER, invalid, 0);
        handlers[i](c, call->parameters);
}
