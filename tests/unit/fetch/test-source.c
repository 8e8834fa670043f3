/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "clock.h"
#include "io-sim.h"
#include "make-config.h"
#include "record.h"
#include "source.h"

static Arena *arena;
static Io *io;

static int setup(void **state) {
        int r = io_new_sim(&io, &(SimOptions){ .seed = 1 });

        return r < 0 ? r : arena_new(&arena, 64 << 10);
}

static int teardown(void **state) {
        assert_int_equal(arena_used(arena), 0);
        arena_free(arena);
        io_free(io);
        return 0;
}

static char *take_text(Buffer *buffer) {
        char *text = buffer_steal(buffer);

        assert_non_null(text);
        return text;
}

static void assert_text(Buffer *buffer, const char *expected) {
        CLEANUP_FREE char *text = take_text(buffer);

        assert_string_equal(text, expected);
}

static TemplateValue value(const char *name, const char *text) {
        return (TemplateValue){ name, text, strlen(text) };
}

/* ---- checks ---- */

typedef int (*Check)(const SourceConfig *, void *, const char **, size_t *, char **);

/* `offence` is found within the value; NULL: there is none. */
static void check_setting(Check check, const char *setting, const char *offence, const char *reason) {
        SourceConfig *config = make_source("x", SETTINGS(setting));
        const char *text = strchr(setting, '=') + 1, *key = NULL;
        CLEANUP_FREE char *message = NULL;
        size_t offset = 0;

        int r = check(config, NULL, &key, &offset, &message);
        if (r != (offence ? -EINVAL : 0))
                fail_msg("%s: %d (%s)", setting, r, message ? message : "no message");
        if (offence) {
                assert_memory_equal(setting, key, strlen(key));
                assert_int_equal(setting[strlen(key)], '=');
                if (offset != (size_t) (strstr(text, offence) - text))
                        fail_msg("%s: the offence is not at %zu", setting, offset);
                if (!strstr(message, reason))
                        fail_msg("%s: %s", setting, message);
        }
        source_config_free(config);
}

static void test_check_url(void **state) {
        static const struct {
                const char *setting, *offence, *reason;
        } urls[] = {
                { "URL=http://x", NULL, NULL },
                { "URL=http://x?q={question}", NULL, NULL },
                { "URL=http://x/{question}/{unit:a b/ü{}?city={city:New York}", NULL, NULL },
                { "URL=http+unix://%2Frun%2Fx.sock/{question}", NULL, NULL },
                { "URL=simulate:", NULL, NULL },
                { "URL=simulate:?delay=2s&bytes=10", NULL, NULL },
                { "URL=", NULL, NULL }, /* as if it were not there */

                /* What stands in the text counts, not what is rendered. */
                { "URL=http://x/{question}/%zz", "%", "hexadecimal" },
                { "URL=http://x/{city:New York}/{question}/a b", " b", "percent-encoded" },
                { "URL=http://x/{city:a}#top", "#", "fragment" },
                { "URL=http://x/%4{digit}", "%", "hexadecimal" },
                { "URL=http://user@x/{question}", "@", "user names" },

                { "URL=http://{host}/", "{host}", "the host must not depend on parameters" },
                { "URL=http://x{host:y}:80/", "{host", "the host must not depend on parameters" },
                { "URL=http://x:{port}/", "{port}", "the host must not depend on parameters" },
                { "URL={scheme}://x/", "{scheme}", "the host must not depend on parameters" },
                { "URL={url}", "{url}", "the host must not depend on parameters" },
                { "URL=http+unix://%2Frun%2F{name}/", "{name}", "the host must not depend" },
                { "URL=simulate:?delay={delay:2s}", "{delay", "must not depend on parameters" },

                { "URL=http://x/{", "{", "no placeholder" },
                { "URL=http://x/a}b", "}", "no placeholder" },
                { "URL=http://x/{7}", "{7}", "no placeholder" },
                { "URL=http://x/?key={credential:KEY}", "{credential", "credentials" },

                { "URL=ftp://x/", "ftp", "unknown scheme" },
                { "URL=x", "x", "unknown scheme" },
                { "URL=http://:80/", ":80", "the parts of a host name" },
                { "URL=simulate:?speed=9", "?speed", "simulate: knows" },
                { "URL=simulate:?status=99", "?status", "between 200 and 599" },
        };

        for (size_t i = 0; i < ELEMENTSOF(urls); i++)
                check_setting(source_check_url, urls[i].setting, urls[i].offence, urls[i].reason);
}

static void test_check_body(void **state) {
        check_setting(source_check_body, "Body={\"q\": \"{question}\", \"n\": {}}", NULL, NULL);
        check_setting(source_check_body, "Body=", NULL, NULL);
        check_setting(source_check_body, "Body={\"key\": \"{credential:KEY}\"}", "{credential",
                      "credentials");
        /* It does not matter what the URL is. */
        check_setting(source_check_body, "URL=nonsense", NULL, NULL);
}

/* ---- the table ---- */

static SourceTable *make_table(const Config *config) {
        SourceTable *table = NULL;

        assert_int_equal(source_table_new(&table, config, arena, io, 7), 0);
        return table;
}

static void test_table(void **state) {
        static const char *const order[] = { "high", "a", "b", "z", "low" };
        Config *config = make_config();

        make_config_source(config, "z", SETTINGS("URL=http://x/", "Engine=none"));
        make_config_source(config, "low", SETTINGS("URL=simulate:?delay=3s", "Priority=-1"));
        make_config_source(config, "b", SETTINGS("URL=http://[::1]:81/"));
        make_config_source(config, "high", SETTINGS("URL=http://x/", "Priority=5"));
        make_config_source(config, "a", SETTINGS("URL=http://x/"));
        config->engine = ENGINE_SPIN;
        SourceTable *table = make_table(config);

        assert_int_equal(table->count, ELEMENTSOF(order));
        for (size_t i = 0; i < table->count; i++) {
                assert_string_equal(table->sources[i]->name, order[i]);
                assert_ptr_equal(source_table_find(table, order[i]), table->sources[i]);
        }
        assert_null(source_table_find(table, "nobody"));
        assert_int_equal(source_table_find(table, "z")->engine, ENGINE_NONE);
        assert_int_equal(source_table_find(table, "a")->engine, ENGINE_SPIN);
        assert_int_equal(source_table_find(table, "low")->simulation.delay_ns, 3 * NSEC_PER_SEC);
        assert_null(source_table_find(table, "low")->head);
        assert_null(source_table_find(table, "a")->rules);
        assert_null(source_table_free(table));
        assert_null(source_table_free(NULL));
        config_free(config);
}

static void test_rules(void **state) {
        Config *config = make_config();
        SourceRules rules = {};

        make_config_source(
                        config, "x",
                        SETTINGS("URL=http://x/", "Select=/a", "Success=/b", "Empty=/c", "Title=/d",
                                 "Link=/e"));
        make_config_source(config, "y", SETTINGS("URL=http://x/", "Link=/only"));
        SourceTable *table = make_table(config);

        const ArenaBlock *block = source_table_find(table, "x")->rules;
        assert_int_equal(rules_unpack(arena_block_data(block), block->size, &rules), 0);
        assert_string_equal(rules.select, "/a");
        assert_string_equal(rules.success, "/b");
        assert_string_equal(rules.empty, "/c");
        assert_string_equal(rules.title, "/d");
        assert_string_equal(rules.link, "/e");
        block = source_table_find(table, "y")->rules;
        assert_int_equal(rules_unpack(arena_block_data(block), block->size, &rules), 0);
        assert_null(rules.select);
        assert_string_equal(rules.link, "/only");
        source_table_free(table);
        config_free(config);
}

static int table_error(const char *const settings[]) {
        Config *config = make_config();
        SourceTable *table = NULL;

        make_config_source(config, "good", SETTINGS("URL=http://x/"));
        make_config_source(config, "x", settings);
        int r = source_table_new(&table, config, arena, io, 7);
        assert_null(table);
        config_free(config);
        return r;
}

static void test_table_refused(void **state) {
        ArenaBlock *all = NULL;

        assert_int_equal(table_error(SETTINGS("URL=http://{host}/")), -EINVAL);
        assert_int_equal(table_error(SETTINGS("URL=http://x/", "Body={credential:K}")), -EINVAL);
        assert_int_equal(arena_alloc(arena, arena_size(arena), &all), 0);
        assert_int_equal(table_error(SETTINGS("URL=http://x/", "Select=/a")), -ENOBUFS);
        arena_block_unref(all);
}

/* ---- requests ---- */

/* What source "x" with these settings sends. */
static int
render(const char *const settings[], const TemplateValue values[], size_t n, Buffer *out,
       char **ret_missing) {
        Config *config = make_config();
        const char *missing = NULL;

        make_config_source(config, "x", settings);
        free(config->user_agent);
        config->user_agent = strdup("test/1");
        SourceTable *table = make_table(config);
        int r = source_render_request(table->sources[0], values, n, out, &missing);
        if (ret_missing)
                *ret_missing = missing ? strdup(missing) : NULL;
        source_table_free(table);
        config_free(config);
        return r;
}

static void expect_request(const char *const settings[], const char *expected) {
        const TemplateValue values[] = { value("question", "say \"hi\" & go"), value("n", "7") };
        Buffer out = {};

        assert_int_equal(render(settings, values, ELEMENTSOF(values), &out, NULL), 0);
        assert_text(&out, expected);
}

static void test_request(void **state) {
        expect_request(SETTINGS("URL=http://Example.org:8080/a/{n}?q={question}&c={city:New York}"),
                       "GET /a/7?q=say%20%22hi%22%20%26%20go&c=New%20York HTTP/1.1\r\n"
                       "Host: example.org:8080\r\n"
                       "User-Agent: test/1\r\n"
                       "Accept: application/json, text/html;q=0.9, text/*;q=0.8, */*;q=0.1\r\n"
                       "Accept-Encoding: gzip, deflate\r\n"
                       "\r\n");
        expect_request(SETTINGS("URL=http://[::1]?q={n}", "Header=user-agent: other",
                                "Header=ACCEPT: */*", "Header=Accept-Encoding: identity",
                                "Header=X-Key: k"),
                       "GET /?q=7 HTTP/1.1\r\nHost: [::1]\r\nuser-agent: other\r\nACCEPT: */*\r\n"
                       "Accept-Encoding: identity\r\nX-Key: k\r\n\r\n");
        expect_request(SETTINGS("URL=http+unix://%2Frun%2Fx.sock", "Method=POST",
                                "Header=User-Agent: u", "Header=Accept: a",
                                "Header=Accept-Encoding: e", "Body={\"q\": \"{question}\"}"),
                       "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                       "User-Agent: u\r\nAccept: a\r\nAccept-Encoding: e\r\nContent-Length: 24\r\n\r\n"
                       "{\"q\": \"say \\\"hi\\\" & go\"}");
        expect_request(SETTINGS("URL=http://x/", "Method=POST", "Header=User-Agent: u",
                                "Header=Accept: a", "Header=Accept-Encoding: e",
                                "Header=Content-Type: text/plain", "Body={n}"),
                       "POST / HTTP/1.1\r\nHost: x\r\nUser-Agent: u\r\nAccept: a\r\nAccept-Encoding: e\r\n"
                       "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\n7");
}

static void test_request_refused(void **state) {
        static char text[200000];
        const TemplateValue values[] = { value("a", "1"), { "long", text, sizeof(text) } };
        Buffer out = {};
        char *missing = NULL;

        memset(text, ' ', sizeof(text));
        assert_int_equal(render(SETTINGS("URL=http://x/{a}{b}"), values, 2, &out, &missing), -ENOENT);
        assert_string_equal(missing, "b");
        free(missing);
        assert_int_equal(
                        render(SETTINGS("URL=http://x/", "Method=POST", "Body={a}{c}"), values, 2,
                               &out, &missing),
                        -ENOENT);
        assert_string_equal(missing, "c");
        free(missing);
        assert_int_equal(render(SETTINGS("URL=http://x/{long}"), values, 2, &out, NULL), -EMSGSIZE);
        buffer_deinit(&out);
}

/* ---- secrets ---- */

static void expect_url(const char *setting, const char *expected) {
        const TemplateValue values[] = { value("question", "a&token=b"), value("secret", "s3cret") };
        Config *config = make_config();
        const char *missing = NULL;
        Buffer out = {};

        make_config_source(config, "x", SETTINGS(setting));
        SourceTable *table = make_table(config);
        assert_int_equal(source_render_url(table->sources[0], values, 2, &out, &missing), 0);
        assert_text(&out, expected);
        source_table_free(table);
        config_free(config);
}

static void test_masked_url(void **state) {
        expect_url("URL=http://x/{question}", "http://x/a%26token%3Db");
        expect_url("URL=http://x/?q={question}&API_Key={secret}&n=1",
                   "http://x/?q=a%26token%3Db&API_Key=***&n=1");
        expect_url("URL=http://x/?appid=1&accessToken=2&pass=3&password=4&X-Signature=5",
                   "http://x/?appid=***&accessToken=***&pass=3&password=***&X-Signature=***");
        expect_url("URL=http://x/?token", "http://x/?token");
        expect_url("URL=http://x/?token=", "http://x/?token=***");
        expect_url("URL=http://x/?&&a=1&", "http://x/?&&a=1&");
        expect_url("URL=simulate:?delay=1s", "simulate:?delay=1s");
}

static void test_url_missing(void **state) {
        Config *config = make_config();
        const char *missing = NULL;
        Buffer out = {};

        make_config_source(config, "x", SETTINGS("URL=http://x/{who}"));
        SourceTable *table = make_table(config);
        assert_int_equal(source_render_url(table->sources[0], NULL, 0, &out, &missing), -ENOENT);
        assert_string_equal(missing, "who");
        assert_int_equal(out.size, 0);
        source_table_free(table);
        config_free(config);
}

/* ---- what is shown ---- */

static json_t *show(const Source *source, bool details) {
        Buffer out = {};
        JsonWriter w = json_writer(&out);
        json_error_t error;

        json_begin_object(&w, NULL);
        source_write(source, io_now(io), io_unix_ms(io), &w, details);
        json_end_object(&w);
        CLEANUP_FREE char *text = take_text(&out);
        json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
        if (!json)
                fail_msg("%s: %s", error.text, text);
        return json;
}

static const char *text_of(const json_t *json, const char *key) {
        return json_string_value(json_object_get(json, key));
}

static json_int_t number_of(const json_t *json, const char *key) {
        const json_t *value = json_object_get(json, key);

        assert_true(json_is_integer(value));
        return json_integer_value(value);
}

static void test_write(void **state) {
        Config *config = make_config();

        make_config_source(
                        config, "x",
                        SETTINGS("URL=http://x/{question}?token=hush", "Class=required",
                                 "Description=A \"source\"", "TimeoutSec=1500ms", "Enabled=no",
                                 "Header=Authorization: Bearer hush", "Header=Accept: */*",
                                 "Header=X-Api-Key:hush"));
        SourceTable *table = make_table(config);
        Source *source = table->sources[0];
        source->in_flight = 3;
        source_count(source, COUNTER_REQUESTS);
        source_count(source, COUNTER_REQUESTS);

        json_t *json = show(source, /* details= */ false);
        assert_string_equal(text_of(json, "name"), "x");
        assert_string_equal(text_of(json, "description"), "A \"source\"");
        assert_string_equal(text_of(json, "url"), "http://x/{question}?token=***");
        assert_string_equal(text_of(json, "class"), "required");
        assert_string_equal(text_of(json, "engine"), "digest");
        assert_true(json_is_false(json_object_get(json, "enabled")));
        assert_int_equal(json_integer_value(json_object_get(json, "in_flight")), 3);
        assert_string_equal(text_of(json_object_get(json, "breaker"), "state"), "closed");
        assert_null(json_object_get(json, "configuration"));
        assert_null(json_object_get(json, "limits"));
        assert_null(json_object_get(json, "counters"));
        json_decref(json);

        json = show(source, /* details= */ true);
        const json_t *configuration = json_object_get(json, "configuration");
        const json_t *headers = json_object_get(configuration, "Header");
        assert_string_equal(text_of(json, "path"), "/etc/muster/sources.d/x.source");
        assert_string_equal(text_of(configuration, "TimeoutSec"), "1.5s");
        assert_null(json_object_get(configuration, "URL"));
        assert_int_equal(json_array_size(headers), 3);
        assert_string_equal(json_string_value(json_array_get(headers, 0)), "Authorization: ***");
        assert_string_equal(json_string_value(json_array_get(headers, 1)), "Accept: */*");
        assert_string_equal(json_string_value(json_array_get(headers, 2)), "X-Api-Key: ***");
        const json_t *counters = json_object_get(json, "counters");
        for (unsigned i = 0; i < COUNTER_COUNT; i++)
                assert_int_equal(
                                number_of(counters, counter_name((SourceCounter) i)),
                                i == COUNTER_REQUESTS ? 2 : 0);
        json_decref(json);
        source_table_free(table);
        config_free(config);
}

static void test_record(void **state) {
        Config *config = make_config();

        make_config_source(config, "x", SETTINGS("URL=http://x/"));
        SourceTable *table = make_table(config);
        Source *source = table->sources[0];

        source->verdicts[VERDICT_OK] = 2;
        source->verdicts[VERDICT_TIMEOUT] = 1;
        source->bytes = 108;
        latency_add(&source->latency, 10 * NSEC_PER_MSEC);

        json_t *json = show(source, /* details= */ true);
        const json_t *counters = json_object_get(json, "counters");
        const json_t *verdicts = json_object_get(counters, "verdicts");
        assert_int_equal(json_object_size(verdicts), 2);
        assert_int_equal(number_of(verdicts, "ok"), 2);
        assert_int_equal(number_of(verdicts, "timeout"), 1);
        assert_int_equal(number_of(counters, "bytes"), 108);
        const json_t *latency = json_object_get(json, "latency");
        assert_int_equal(number_of(latency, "count"), 1);
        double p50 = json_number_value(json_object_get(latency, "p50_ms"));
        assert_true(p50 >= 10 && p50 < 11);
        json_decref(json);
        source_table_free(table);
        config_free(config);
}

static void expect_breaker(const Source *source, const char *state, unsigned failures, uint64_t open_ms) {
        json_t *json = show(source, /* details= */ false);
        const json_t *breaker = json_object_get(json, "breaker");

        assert_string_equal(text_of(breaker, "state"), state);
        assert_int_equal(number_of(breaker, "failures"), failures);
        assert_int_equal(json_number_value(json_object_get(breaker, "open_ms")), open_ms);
        assert_int_equal(
                        json_is_true(json_object_get(breaker, "forced")),
                        source->breaker.force != BREAKER_AUTO);
        json_decref(json);
}

static void test_breaker(void **state) {
        Config *config = make_config();
        uint64_t now = io_now(io);

        make_config_source(config, "x", SETTINGS("URL=http://x/", "Failures=2", "OpenSec=1500ms"));
        SourceTable *table = make_table(config);
        Source *source = table->sources[0];
        BreakerTicket ticket = {};

        assert_int_equal(source->breaker_policy.failures, 2);
        for (unsigned i = 0; i < 2; i++) {
                expect_breaker(source, "closed", i, 0);
                assert_true(breaker_admit(&source->breaker, &source->breaker_policy, now, 0, &ticket));
                (void) breaker_failure(
                                &source->breaker, &source->breaker_policy, ticket, now,
                                /* defer= */ false);
        }
        expect_breaker(source, "open", 2, 1500);
        assert_true(breaker_force(&source->breaker, BREAKER_FORCED_CLOSED, now));
        expect_breaker(source, "closed", 0, 0);
        source_table_free(table);
        config_free(config);
}

/* ---- limits ---- */

static void test_limits(void **state) {
        Config *config = make_config();
        uint64_t now = io_now(io), unix_ms = io_unix_ms(io);
        GatePass pass = {};

        make_config_source(
                        config, "x",
                        SETTINGS("URL=http://x/", "Daily=3", "Concurrency=2", "Rate=10/2s",
                                 "MinIntervalSec=50ms"));
        make_config_source(config, "y", SETTINGS("URL=http://x/"));
        SourceTable *table = make_table(config);
        Source *source = source_table_find(table, "x");

        assert_int_equal(source->gate.places, 2);
        assert_int_equal(source->gate.policy.tokens, 10);
        assert_int_equal(source->gate.policy.period_ns, 2 * NSEC_PER_SEC);
        assert_int_equal(source->gate.policy.interval_ns, 50 * NSEC_PER_MSEC);

        assert_int_equal(gate_enter(&source->gate, &pass), 0);
        assert_true(daily_take(&source->daily, 3, unix_ms));
        assert_true(retry_budget_take(&source->budget, now));
        source->hold_until = now + 250 * NSEC_PER_MSEC;
        json_t *json = show(source, /* details= */ true);
        const json_t *limits = json_object_get(json, "limits");
        assert_int_equal(number_of(limits, "inside"), 1);
        assert_int_equal(number_of(limits, "waiting"), 0);
        assert_int_equal(number_of(limits, "daily_left"), 2);
        assert_int_equal(number_of(limits, "retries_left"), RETRY_BUDGET_LEAST - 1);
        assert_int_equal(json_number_value(json_object_get(limits, "hold_ms")), 250);
        json_decref(json);
        gate_leave(&source->gate, &pass, /* unused= */ false);

        json = show(source_table_find(table, "y"), /* details= */ true);
        limits = json_object_get(json, "limits");
        assert_null(json_object_get(limits, "daily_left"));
        assert_null(json_object_get(limits, "hold_ms"));
        assert_int_equal(number_of(limits, "inside"), 0);
        json_decref(json);
        source_table_free(table);
        config_free(config);
}

static void test_daily_left(void **state) {
        const uint64_t day = 86400000, now = 1000 * day + 5;
        Config *config = make_config();

        make_config_source(config, "none", SETTINGS("URL=http://x/"));
        make_config_source(config, "two", SETTINGS("URL=http://x/", "Daily=2"));
        SourceTable *table = make_table(config);
        Source *none = source_table_find(table, "none"), *two = source_table_find(table, "two");

        assert_true(source_daily_left(none, now) == UINT64_MAX);
        assert_int_equal(source_daily_left(two, now), 2);
        assert_true(daily_take(&two->daily, 2, now));
        assert_int_equal(source_daily_left(two, now), 1);
        assert_true(daily_take(&two->daily, 2, now));
        assert_int_equal(source_daily_left(two, now + day - 6), 0);
        assert_int_equal(source_daily_left(two, now + day - 5), 2);
        two->daily = (DailyQuota){ .day = 1000, .used = 7 }; /* the limit was lowered since */
        assert_int_equal(source_daily_left(two, now), 0);
        source_table_free(table);
        config_free(config);
}

/* ---- policies ---- */

static void test_freshness(void **state) {
        Config *config = make_config();

        config->cache_ttl = 7 * NSEC_PER_SEC;
        config->cache_stale_revalidate = 8 * NSEC_PER_SEC;
        config->cache_stale_error = 9 * NSEC_PER_SEC;
        make_config_source(config, "common", SETTINGS("URL=http://x/"));
        make_config_source(config, "own", SETTINGS("URL=http://x/"));
        config->sources[1]->cache_ttl = 0;
        config->sources[1]->cache_stale_error = NSEC_PER_SEC;
        SourceTable *table = make_table(config);
        const FreshnessPolicy *common = &source_table_find(table, "common")->freshness;
        const FreshnessPolicy *own = &source_table_find(table, "own")->freshness;

        assert_true(common->ttl_ns == 7 * NSEC_PER_SEC);
        assert_true(common->stale_while_revalidate_ns == 8 * NSEC_PER_SEC);
        assert_true(common->stale_if_error_ns == 9 * NSEC_PER_SEC);
        assert_true(own->ttl_ns == 0);
        assert_true(own->stale_while_revalidate_ns == 8 * NSEC_PER_SEC);
        assert_true(own->stale_if_error_ns == NSEC_PER_SEC);
        source_table_free(table);
        config_free(config);
}

/* Sources of one scheme, host and port fail together. */
static void test_origin(void **state) {
        Config *config = make_config();

        make_config_source(config, "a", SETTINGS("URL=http://x/1"));
        make_config_source(config, "b", SETTINGS("URL=http://X:80/2?q={question}"));
        make_config_source(config, "c", SETTINGS("URL=http://x:81/1"));
        make_config_source(config, "d", SETTINGS("URL=simulate:?delay=1s"));
        make_config_source(config, "e", SETTINGS("URL=simulate:?delay=1s"));
        SourceTable *table = make_table(config);

        for (size_t i = 0; i < table->count; i++)
                assert_true(table->sources[i]->origin != 0);
        assert_true(table->sources[0]->origin == table->sources[1]->origin);
        assert_true(table->sources[0]->origin != table->sources[2]->origin);
        assert_true(table->sources[3]->origin != table->sources[4]->origin);
        source_table_free(table);
        config_free(config);
}

static void test_fallback(void **state) {
        Config *config = make_config();

        make_config_source(config, "a", SETTINGS("URL=http://x/"));
        make_config_source(config, "b", SETTINGS("URL=http://x/"));
        config->sources[0]->fallback_source = strdup("b");
        SourceTable *table = make_table(config);

        assert_ptr_equal(source_table_find(table, "a")->fallback, source_table_find(table, "b"));
        assert_null(source_table_find(table, "b")->fallback);
        source_table_free(table);
        config_free(config);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_check_url),
                cmocka_unit_test(test_check_body),
                cmocka_unit_test_setup_teardown(test_table, setup, teardown),
                cmocka_unit_test_setup_teardown(test_rules, setup, teardown),
                cmocka_unit_test_setup_teardown(test_table_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_request, setup, teardown),
                cmocka_unit_test_setup_teardown(test_request_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(test_masked_url, setup, teardown),
                cmocka_unit_test_setup_teardown(test_url_missing, setup, teardown),
                cmocka_unit_test_setup_teardown(test_write, setup, teardown),
                cmocka_unit_test_setup_teardown(test_record, setup, teardown),
                cmocka_unit_test_setup_teardown(test_breaker, setup, teardown),
                cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(test_daily_left, setup, teardown),
                cmocka_unit_test_setup_teardown(test_freshness, setup, teardown),
                cmocka_unit_test_setup_teardown(test_origin, setup, teardown),
                cmocka_unit_test_setup_teardown(test_fallback, setup, teardown),
        };
        return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}
