/* SPDX-License-Identifier: Apache-2.0 */

/* Lists, objects and errors. The daemon may know more than this program: members without a place of
 * their own are shown as `name: value`, so nothing that it says is lost. */

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "fields.h"
#include "interface.h"
#include "parse.h"
#include "render.h"
#include "table.h"

#define NESTING_SHOWN 8 /* of objects in objects; deeper ones are shown as JSON */

static void number_cell(Table *table, double value, int decimals) {
        if (isfinite(value))
                table_printf(table, TONE_PLAIN, "%.*f", decimals, value);
        else
                table_text(table, TONE_PLAIN, NULL);
}

static void duration_cell(Table *table, double ms) {
        char text[DURATION_TEXT_MAX];

        if (ms >= 0 && ms < 1e12)
                table_text(table, TONE_PLAIN,
                           format_duration(text, (uint64_t) llround(ms) * NSEC_PER_MSEC));
        else
                table_text(table, TONE_PLAIN, NULL);
}

static void breaker_cell(Table *table, const json_t *breaker) {
        const char *state = field_text(breaker, "state");

        table_text(table, !state || strcmp(state, "closed") == 0 ? TONE_PLAIN : TONE_BAD, state);
}

static void plan_row(Table *table, const json_t *source) {
        const char *cached = field_text(source, "cached");
        bool ask = field_true(source, "would_ask");

        table_text(table, TONE_PLAIN, field_text(source, "source"));
        table_text(table, ask ? TONE_GOOD : TONE_WARN, ask ? "yes" : "no");
        duration_cell(table, field_number(source, "timeout_ms"));
        breaker_cell(table, json_object_get(source, "breaker"));
        number_cell(table, field_number(source, "attempts"), 0);
        number_cell(table, field_number(source, "retries_left"), 0);
        duration_cell(table, field_number(source, "hedge_ms"));
        number_cell(table, field_number(source, "daily_left"), 0);
        table_text(table, TONE_GOOD, cached && strcmp(cached, "nothing") != 0 ? cached : NULL);
        table_text(table, TONE_PLAIN, field_text(source, "method"));
        table_text(table, TONE_PLAIN, field_text(source, "url"));
        table_text(table, TONE_PLAIN, field_text(source, "reason"));
}

int render_explain(Buffer *out, const View *view, const json_t *plan) {
        static const TableColumn columns[] = {
                { "SOURCE", TABLE_SHRINK },
                { "ASK", 0 },
                { "TIMEOUT", TABLE_RIGHT | TABLE_EXTRA },
                { "BREAKER", TABLE_EXTRA },
                { "ATTEMPTS", TABLE_RIGHT | TABLE_EXTRA },
                { "BUDGET", TABLE_RIGHT | TABLE_EXTRA },
                { "HEDGE AFTER", TABLE_RIGHT | TABLE_EXTRA },
                { "DAILY LEFT", TABLE_RIGHT | TABLE_EXTRA },
                { "CACHED", TABLE_EXTRA },
                { "METHOD", TABLE_EXTRA },
                { "URL", TABLE_SHRINK },
                { "REASON", TABLE_SHRINK },
        };
        CLEANUP(table_deinit) Table table = TABLE_INIT(columns);
        const json_t *sources = json_object_get(plan, "sources");
        size_t count = json_array_size(sources), asked = 0;

        for (size_t i = 0; i < count; i++) {
                const json_t *source = json_array_get(sources, i);

                asked += field_true(source, "would_ask");
                plan_row(&table, source);
        }
        int r = table_render(&table, out, view, 0);
        (void) buffer_printf(
                        out, "%s%zu of %zu sources would be asked. Nothing was sent.\n",
                        count > 0 ? "\n" : "", asked, count);
        return r;
}

static void source_row(Table *table, const json_t *source) {
        const json_t *latency = json_object_get(source, "latency");
        const json_t *enabled = json_object_get(source, "enabled");

        table_text(table, TONE_PLAIN, field_text(source, "name"));
        table_text(table, json_is_false(enabled) ? TONE_WARN : TONE_PLAIN,
                   json_is_boolean(enabled) ? json_is_true(enabled) ? "yes" : "no" : NULL);
        table_text(table, TONE_PLAIN, field_text(source, "class"));
        table_text(table, TONE_PLAIN, field_text(source, "engine"));
        breaker_cell(table, json_object_get(source, "breaker"));
        number_cell(table, field_number(source, "in_flight"), 0);
        number_cell(table, field_number(latency, "count"), 0);
        number_cell(table, field_number(latency, "p50_ms"), 1);
        number_cell(table, field_number(latency, "p95_ms"), 1);
        table_text(table, TONE_FAINT, field_text(source, "url"));
        table_text(table, TONE_PLAIN, field_text(source, "description"));
}

int render_sources(Buffer *out, const View *view, const json_t *list) {
        static const TableColumn columns[] = {
                { "NAME", TABLE_SHRINK },
                { "ENABLED", TABLE_EXTRA },
                { "CLASS", TABLE_EXTRA },
                { "ENGINE", TABLE_EXTRA },
                { "BREAKER", TABLE_EXTRA },
                { "RUNNING", TABLE_RIGHT | TABLE_EXTRA },
                { "FETCHES", TABLE_RIGHT | TABLE_EXTRA },
                { "P50 MS", TABLE_RIGHT | TABLE_EXTRA },
                { "P95 MS", TABLE_RIGHT | TABLE_EXTRA },
                { "URL", TABLE_SHRINK | TABLE_EXTRA },
                { "DESCRIPTION", TABLE_SHRINK | TABLE_EXTRA },
        };
        CLEANUP(table_deinit) Table table = TABLE_INIT(columns);
        const json_t *sources = json_object_get(list, "sources");
        size_t count = json_array_size(sources);

        for (size_t i = 0; i < count; i++)
                source_row(&table, json_array_get(sources, i));
        int r = table_render(&table, out, view, 0);
        if (count == 0)
                (void) buffer_append_string(
                                out,
                                "There are no sources. Write one: /etc/muster/sources.d/NAME.source, see "
                                "muster.source(5).\n");
        else
                (void) buffer_printf(out, "\n%zu source%s.\n", count, count == 1 ? "" : "s");
        return r;
}

/* A value that is no object, on one line. */
static int put_value(Buffer *out, const View *view, const json_t *value) {
        if (json_is_string(value)) {
                (void) text_put(out, view, json_string_value(value), json_string_length(value), 0);
                return 0;
        }
        CLEANUP_FREE char *text =
                        json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        if (!text)
                return -ENOMEM;
        (void) text_put(out, view, text, strlen(text), 0);
        return 0;
}

static bool is_list_of_plain(const json_t *value) {
        if (!json_is_array(value) || json_array_size(value) == 0)
                return false;
        for (size_t i = 0; i < json_array_size(value); i++) {
                const json_t *item = json_array_get(value, i);

                if (json_is_object(item) || json_is_array(item))
                        return false;
        }
        return true;
}

static bool is_group(const json_t *value, unsigned level) {
        return json_is_object(value) && json_object_size(value) > 0 && level < NESTING_SHOWN;
}

static size_t widest_key(const View *view, const json_t *object, unsigned level) {
        size_t widest = 0;
        const char *key;
        json_t *value;

        json_object_foreach(field_each(object), key, value) {
                if (!is_group(value, level))
                        widest = MAX(widest, text_width(view, key, strlen(key)));
        }
        return widest;
}

/* `key: value`, a list of plain values one a line. */
static int
put_member(Buffer *out, const View *view, const char *key, const json_t *value, size_t indent,
           size_t widest) {
        bool list = is_list_of_plain(value);
        size_t count = list ? json_array_size(value) : 1;

        text_fill(out, " ", indent);
        tone_begin(out, view, TONE_FAINT);
        size_t width = text_put(out, view, key, strlen(key), 0);
        tone_end(out, view, TONE_FAINT);
        text_fill(out, " ", widest - width + 2);
        for (size_t i = 0; i < count; i++) {
                if (i > 0)
                        text_fill(out, " ", indent + widest + 2);
                int r = put_value(out, view, list ? json_array_get(value, i) : value);
                if (r < 0)
                        return r;
                (void) buffer_append_char(out, '\n');
        }
        return 0;
}

/* An object's plain members first, then the objects in it, each under its name. It calls itself
 * NESTING_SHOWN times at most: is_group() sees to that. NOLINTNEXTLINE(misc-no-recursion) */
static int put_object(Buffer *out, const View *view, const json_t *object, unsigned level) {
        size_t widest = widest_key(view, object, level);
        const char *key;
        json_t *value;
        int r;

        json_object_foreach(field_each(object), key, value) {
                if (is_group(value, level))
                        continue;
                r = put_member(out, view, key, value, (size_t) level * 2, widest);
                if (r < 0)
                        return r;
        }
        json_object_foreach(field_each(object), key, value) {
                if (!is_group(value, level))
                        continue;
                text_fill(out, " ", (size_t) level * 2);
                tone_begin(out, view, TONE_STRONG);
                (void) text_put(out, view, key, strlen(key), 0);
                tone_end(out, view, TONE_STRONG);
                (void) buffer_append_char(out, '\n');
                r = put_object(out, view, value, level + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

int render_source(Buffer *out, const View *view, const json_t *source) {
        int r = put_object(out, view, source, 0);

        return r < 0 ? r : out->error;
}

static int render_workers(Buffer *out, const View *view, const json_t *workers) {
        static const TableColumn columns[] = {
                { "PID", TABLE_RIGHT },
                { "STATE", TABLE_SHRINK },
                { "TASKS", TABLE_RIGHT },
                { "RESTARTS", TABLE_RIGHT },
        };
        CLEANUP(table_deinit) Table table = TABLE_INIT(columns);

        for (size_t i = 0; i < json_array_size(workers); i++) {
                const json_t *worker = json_array_get(workers, i);
                double restarts = field_number(worker, "restarts");

                number_cell(&table, field_number(worker, "pid"), 0);
                table_text(&table, TONE_PLAIN, field_text(worker, "state"));
                number_cell(&table, field_number(worker, "tasks"), 0);
                number_cell(&table, restarts, 0);
        }
        if (table.n_cells > 0)
                text_own(out, view, TONE_STRONG, "\nWorkers\n");
        return table_render(&table, out, view, 2);
}

int render_status(Buffer *out, const View *view, const json_t *status) {
        const char *version = field_text(status, "version");
        const char *backend = field_text(status, "io_backend");
        double uptime = field_number(status, "uptime_ms");
        char text[DURATION_TEXT_MAX];

        text_own(out, view, TONE_GOOD, "%s ", view->utf8 ? "●" : "*");
        (void) buffer_append_string(out, "musterd ");
        (void) text_put(out, view, version ? version : "?", strlen(version ? version : "?"), 0);
        if (uptime >= 0 && uptime < 1e14)
                (void) buffer_printf(
                                out, ", up %s",
                                format_duration(text, (uint64_t) (uptime / 1000) * NSEC_PER_SEC));
        if (backend) {
                (void) buffer_append_string(out, ", I/O by ");
                (void) text_put(out, view, backend, strlen(backend), 0);
        }
        (void) buffer_append_char(out, '\n');

        /* What has been told already, or is told below. */
        static const char *const told[] = { "version", "io_backend", "uptime_ms", "workers" };
        json_t *rest = json_copy(field_each(status));
        for (size_t i = 0; i < ELEMENTSOF(told); i++)
                (void) json_object_del(rest, told[i]);
        if (json_object_size(rest) > 0)
                (void) buffer_append_char(out, '\n');
        int r = rest ? put_object(out, view, rest, 0) : -ENOMEM;
        json_decref(rest);
        return r < 0 ? r : render_workers(out, view, json_object_get(status, "workers"));
}

int render_flush(Buffer *out, const View *view, const json_t *flushed) {
        json_int_t entries = json_integer_value(json_object_get(flushed, "entries"));

        (void) buffer_printf(
                        out, "%lld %s dropped.\n", (long long) entries,
                        entries == 1 ? "entry" : "entries");
        return out->error;
}

void render_breaker(Buffer *out, const View *view, const char *source, const char *setting) {
        size_t n;
        const InterfaceField *settings = interface_fields(USE_VALUE, "BreakerSetting", &n);
        int which = interface_value("BreakerSetting", setting);

        (void) buffer_append_string(out, "The breaker of ");
        (void) text_put(out, view, source, strlen(source), 0);
        (void) buffer_printf(out, " is set to %s. %s\n", setting, settings[which].help);
}

/* Varlink errors in words. `field` names the member of the error's parameters that %s stands
 * for. */
static const struct {
        const char *name, *field, *sentence;
} errors[] = {
        { "io.muster.NoSuchSource", "source",
          "there is no source \"%s\" that may be asked; musterctl sources lists them" },
        { "io.muster.Overloaded", "retry_after_ms", "too many queries are open; try again in %s ms" },
        { "io.muster.Stopping", NULL,
          "musterd is stopping; ask again when it runs, systemctl status musterd.service "
          "tells" },
        { "org.varlink.service.InvalidParameter", "parameter",
          "musterd refuses the value of \"%s\"; musterctl(1) tells what it may be" },
        { "org.varlink.service.MethodNotFound", "method",
          "musterd does not know %s, it is older than this musterctl; restart "
          "musterd.service after an upgrade" },
        { "org.varlink.service.MethodNotImplemented", "method",
          "this musterd does not do %s; install the one that belongs to this musterctl" },
        { "org.varlink.service.InterfaceNotFound", "interface",
          "there is no %s at this socket; give that of musterd with --socket=" },
        { "org.varlink.service.PermissionDenied", NULL,
          "you may not do this; use sudo, or have yourself added to the group "
          "muster-clients" },
        { "org.varlink.service.ExpectedMore", NULL,
          "musterd gives several replies here; install the musterctl that belongs to it" },
};

/* A plain member of an error's parameters as text; the caller frees. */
static char *error_value(const json_t *parameters, const char *field) {
        const json_t *value = field ? json_object_get(parameters, field) : NULL;

        if (json_is_string(value))
                return strdup(json_string_value(value));
        if (value)
                return json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        return strdup("?");
}

/* Puts `value` in the place of %s. */
static char *fill_in(const char *name, const char *sentence, const char *value) {
        const char *place = strstr(sentence, "%s");
        int before = place ? (int) (place - sentence) : (int) strlen(sentence);
        char *text = NULL;

        int n =
                        asprintf(&text, "%s: %.*s%s%s", name, before, sentence, place ? value : "",
                                 place ? place + 2 : "");
        return n < 0 ? NULL : text;
}

char *render_error(const char *name, const json_t *parameters) {
        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                if (strcmp(name, errors[i].name) != 0)
                        continue;
                CLEANUP_FREE char *value = error_value(parameters, errors[i].field);
                return value ? fill_in(name, errors[i].sentence, value) : NULL;
        }
        CLEANUP_FREE char *details = json_dumps(parameters, JSON_COMPACT);
        return details ? fill_in(name, "musterd refused the call with %s", details) : NULL;
}
