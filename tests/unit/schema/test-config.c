/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "cmocka.h"
#include "config.h"
#include "macro.h"

static const ConfigKey *find(const char *section, const char *name) {
        const ConfigKey *key = config_key_find(config_keys, n_config_keys, section, name);
        return key ? key : config_key_find(source_keys, n_source_keys, section, name);
}

/* Every row of the table: sane, and with a default that its own type reads and writes again. */
static void check_row(void *object, const ConfigKey *key) {
        char *message = NULL;

        assert_true(strlen(key->section) > 0 && strlen(key->name) > 0);
        assert_true(strlen(key->help) > 10 && key->help[strlen(key->help) - 1] == '.');
        assert_true(key->min <= key->max);
        assert_int_equal(config_set(object, key, key->default_text, &message), 0);

        char *text = config_get_text(object, key);
        assert_non_null(text);
        assert_int_equal(config_set(object, key, text, &message), 0);
        char *again = config_get_text(object, key);
        assert_string_equal(text, again);
        free(text);
        free(again);
}

static void test_table(void **state) {
        SourceConfig *source = NULL;
        Config *config = NULL;

        assert_int_equal(config_new(&config), 0);
        assert_int_equal(source_config_new(&source, "weather", "/x/weather.source"), 0);
        for (size_t i = 0; i < n_config_keys; i++) {
                check_row(config, &config_keys[i]);
                assert_ptr_equal(find(config_keys[i].section, config_keys[i].name), &config_keys[i]);
        }
        for (size_t i = 0; i < n_source_keys; i++)
                check_row(source, &source_keys[i]);
        assert_null(find("Source", "Nothing"));
        assert_null(find("Nothing", "URL"));
        assert_null(source_config_free(source));
        assert_null(config_free(config));
        assert_null(source_config_free(NULL));
        assert_null(config_free(NULL));
}

static void test_defaults(void **state) {
        SourceConfig *source = NULL;
        Config *config = NULL;

        assert_int_equal(config_new(&config), 0);
        assert_true(config->workers == 0);
        assert_true(config->query_timeout == 15 * NSEC_PER_SEC);
        assert_true(config->arena_size == 64 << 20);
        assert_string_equal(engine_name(config->engine), "digest");
        assert_int_equal(config->io_backend, IO_CHOICE_AUTO);
        assert_true(config->max_queries == 1024);
        assert_true(config->max_concurrent == 0);
        assert_true(config->cache_ttl == 60 * NSEC_PER_SEC);
        assert_true(config->cache_stale_revalidate == 0 && config->cache_stale_error == 0);
        assert_true(config->cache_entries == 10000);
        config_free(config);

        assert_int_equal(source_config_new(&source, "weather", "/x/weather.source"), 0);
        assert_string_equal(source->name, "weather");
        assert_string_equal(source->path, "/x/weather.source");
        assert_null(source->url);
        assert_true(source->enabled);
        assert_int_equal(source->method, METHOD_GET);
        assert_int_equal(source->class, CLASS_OPTIONAL);
        assert_int_equal(source->engine, CONFIG_ENGINE_DEFAULT);
        assert_int_equal(source->headers.count, 0);
        source_config_free(source);
}

static void test_defaults_of_policies(void **state) {
        SourceConfig *source = NULL;

        assert_int_equal(source_config_new(&source, "weather", "/x/weather.source"), 0);
        assert_true(source->attempts == 3);
        assert_true(source->attempt_timeout == 0);
        assert_true(source->backoff == 100 * NSEC_PER_MSEC);
        assert_true(source->backoff_max == 2 * NSEC_PER_SEC);
        assert_true(source->breaker_failures == 5);
        assert_true(source->breaker_open == 60 * NSEC_PER_SEC);
        assert_true(source->concurrency == 0 && source->min_interval == 0 && source->daily == 0);
        assert_true(source->rate.count == 0);
        assert_true(source->hedge_percentile == 0);
        assert_false(source->adaptive_timeout);
        assert_null(source->fallback_text);
        assert_null(source->fallback_source);
        assert_true(source->cache_ttl == CONFIG_SEC_DEFAULT);
        assert_true(source->cache_stale_revalidate == CONFIG_SEC_DEFAULT);
        assert_true(source->cache_stale_error == CONFIG_SEC_DEFAULT);
        source_config_free(source);
}

static void test_rate(void **state) {
        const ConfigKey *key = find("Limits", "Rate");
        SourceConfig *source = NULL;
        char *message = NULL;

        assert_int_equal(source_config_new(&source, "s", "p"), 0);
        assert_int_equal(config_set(source, key, "10/500ms", &message), 0);
        assert_true(source->rate.count == 10);
        assert_true(source->rate.period_ns == 500 * NSEC_PER_MSEC);
        assert_int_equal(config_set(source, key, "", &message), 0);
        assert_true(source->rate.count == 0);
        source_config_free(source);
}

/* What is written, and how the program says it back. */
static const struct {
        const char *section, *name, *value, *text;
} taken[] = {
        { "Source", "TimeoutSec", "0.5", "500ms" },
        { "Source", "TimeoutSec", "1min 30s", "1min 30s" },
        { "Source", "TimeoutSec", "1h", "1h" },
        { "Source", "TimeoutSec", "0", "0" },
        { "Limits", "MaxBytes", "1024", "1K" },
        { "Limits", "MaxBytes", "1025", "1025" },
        { "Limits", "MaxBytes", "1G", "1G" },
        { "Limits", "MaxBytes", "3M", "3M" },
        { "Supervisor", "WorkerTasks", "5", "5" },
        { "Supervisor", "Workers", "auto", "auto" },
        { "Supervisor", "Workers", "64", "64" },
        { "Source", "Priority", "-1000", "-1000" },
        { "Source", "Priority", "7", "7" },
        { "Source", "Enabled", "off", "no" },
        { "Source", "Enabled", "TRUE", "yes" },
        { "Source", "Description", "a ;b # c", "a ;b # c" },
        { "Source", "Description", "", "" },
        { "Source", "Engine", "spin", "spin" },
        { "Source", "Engine", "", "" },
        { "Inference", "Engine", "none", "none" },
        { "Supervisor", "IOBackend", "io_uring", "io_uring" },
        { "Source", "Class", "required", "required" },
        { "Source", "Method", "POST", "POST" },
        { "Result", "Select", "/a~1b/0/~0", "/a~1b/0/~0" },
        { "Result", "Select", "/", "/" },
        { "Result", "Select", "", "" },
        { "Supervisor", "MaxQueries", "1", "1" },
        { "Supervisor", "MaxQueries", "1000000", "1000000" },
        { "Fetch", "MaxConcurrent", "auto", "auto" },
        { "Fetch", "MaxConcurrent", "1", "1" },
        { "Retry", "Attempts", "10", "10" },
        { "Retry", "AttemptTimeoutSec", "", "" },
        { "Retry", "AttemptTimeoutSec", "0", "" },
        { "Retry", "AttemptTimeoutSec", "1h", "1h" },
        { "Retry", "BackoffSec", "0", "0" },
        { "Breaker", "Failures", "0", "0" },
        { "Limits", "Daily", "4000000000", "4000000000" },
        { "Limits", "Rate", "", "" },
        { "Limits", "Rate", "1/1ns", "1/1ns" },
        { "Limits", "Rate", "10/1s", "10/1s" },
        { "Limits", "Rate", "10/ 1.5", "10/1.5s" },
        { "Limits", "Rate", "1000000/1d", "1000000/1d" },
        { "Limits", "Rate", "7/1min 30s", "7/1min 30s" },
        { "Hedge", "Percentile", "", "0" },
        { "Hedge", "Percentile", "0", "0" },
        { "Hedge", "Percentile", "50", "50" },
        { "Hedge", "Percentile", "99", "99" },
        { "Adaptive", "Timeout", "on", "yes" },
        { "Fallback", "Source", "", "" },
};

/* Keys of the cache stand in both files; these are the source's, which knows "not set". */
static const struct {
        const char *value, *text;
        uint64_t ns;
} inherited[] = {
        { "", "", CONFIG_SEC_DEFAULT },
        { "0", "0", 0 },
        { "5", "5s", 5 * NSEC_PER_SEC },
        { "1w", "1w", 604800 * NSEC_PER_SEC },
};

static const struct {
        const char *section, *name, *value;
        int r;
        const char *message;
} refused[] = {
        { "Source", "TimeoutSec", "5x", -EINVAL, "\"5x\" is not a time span; write 5, 500ms or 1min" },
        { "Source", "TimeoutSec", "", -EINVAL, "\"\" is not a time span; write 5, 500ms or 1min" },
        { "Source", "TimeoutSec", "2h", -ERANGE,
          "\"2h\" is out of range; it must be between 0 and 1h" },
        { "Source", "TimeoutSec", "infinity", -ERANGE,
          "\"infinity\" is out of range; it must be between 0 and 1h" },
        { "Source", "TimeoutSec", "10000y", -ERANGE,
          "\"10000y\" is out of range; it must be between 0 and 1h" },
        { "Limits", "MaxBytes", "8Q", -EINVAL,
          "\"8Q\" is not a size; write a number of bytes, or one with K, M or G, as 64M" },
        { "Limits", "MaxBytes", "0", -ERANGE, "\"0\" is out of range; it must be between 1 and 1G" },
        { "Supervisor", "ArenaSize", "1K", -ERANGE,
          "\"1K\" is out of range; it must be between 1M and 16G" },
        { "Supervisor", "WorkerTasks", "-1", -EINVAL, "\"-1\" is not a whole number" },
        { "Supervisor", "WorkerTasks", "0", -ERANGE,
          "\"0\" is out of range; it must be between 1 and 1000000000" },
        { "Supervisor", "WorkerTasks", "99999999999999999999", -ERANGE,
          "\"99999999999999999999\" is out of range; it must be between 1 and 1000000000" },
        { "Supervisor", "Workers", "many", -EINVAL, "\"many\" is neither a whole number nor auto" },
        { "Supervisor", "Workers", "0", -ERANGE,
          "\"0\" is out of range; it must be between 1 and 64" },
        { "Source", "Priority", "1.5", -EINVAL, "\"1.5\" is not a whole number" },
        { "Source", "Priority", "-", -EINVAL, "\"-\" is not a whole number" },
        { "Source", "Priority", "--5", -EINVAL, "\"--5\" is not a whole number" },
        { "Source", "Priority", "1001", -ERANGE,
          "\"1001\" is out of range; it must be between -1000 and 1000" },
        { "Source", "Priority", "-9223372036854775808", -ERANGE,
          "\"-9223372036854775808\" is out of range; it must be between -1000 and 1000" },
        { "Source", "Priority", "-18446744073709551616", -ERANGE,
          "\"-18446744073709551616\" is out of range; it must be between -1000 and 1000" },
        { "Source", "Enabled", "maybe", -EINVAL, "\"maybe\" is neither yes nor no" },
        { "Source", "Engine", "gpu", -EINVAL,
          "\"gpu\" is not known here; write none, digest or spin" },
        { "Inference", "Engine", "", -EINVAL, "\"\" is not known here; write none, digest or spin" },
        { "Supervisor", "IOBackend", "epoll", -EINVAL,
          "\"epoll\" is not known here; write auto or io_uring" },
        { "Source", "Class", "Required", -EINVAL,
          "\"Required\" is not known here; write optional or required" },
        { "Source", "Method", "get", -EINVAL, "\"get\" is not known here; write GET or POST" },
        { "Result", "Select", "items", -EINVAL, "\"items\" is not a JSON Pointer" },
        { "Result", "Select", "/a~2", -EINVAL, "\"/a~2\" is not a JSON Pointer" },
        { "Result", "Select", "/a~", -EINVAL, "\"/a~\" is not a JSON Pointer" },
        { "Supervisor", "MaxQueries", "0", -ERANGE,
          "\"0\" is out of range; it must be between 1 and 1000000" },
        { "Fetch", "MaxConcurrent", "0", -ERANGE,
          "\"0\" is out of range; it must be between 1 and 1000000" },
        { "Cache", "MaxEntries", "1000001", -ERANGE,
          "\"1000001\" is out of range; it must be between 0 and 1000000" },
        { "Cache", "TTLSec", "", -EINVAL, "\"\" is not a time span; write 5, 500ms or 1min" },
        { "Cache", "TTLSec", "8d", -ERANGE, "\"8d\" is out of range; it must be between 0 and 1w" },
        { "Retry", "Attempts", "0", -ERANGE, "\"0\" is out of range; it must be between 1 and 10" },
        { "Retry", "Attempts", "11", -ERANGE, "\"11\" is out of range; it must be between 1 and 10" },
        { "Retry", "AttemptTimeoutSec", "2h", -ERANGE,
          "\"2h\" is out of range; it must be between 0 and 1h" },
        { "Limits", "Daily", "4000000001", -ERANGE,
          "\"4000000001\" is out of range; it must be between 0 and 4000000000" },
        { "Limits", "Rate", "10", -EINVAL, "\"10\" is not a rate; write N/TIME, as 10/1s" },
        { "Limits", "Rate", "10/", -EINVAL, "\"10/\" is not a rate; write N/TIME, as 10/1s" },
        { "Limits", "Rate", "/1s", -EINVAL, "\"/1s\" is not a rate; write N/TIME, as 10/1s" },
        { "Limits", "Rate", "-1/1s", -EINVAL, "\"-1/1s\" is not a rate; write N/TIME, as 10/1s" },
        { "Limits", "Rate", "1/1/1", -EINVAL, "\"1/1/1\" is not a rate; write N/TIME, as 10/1s" },
        { "Limits", "Rate", "1/s", -EINVAL, "\"1/s\" is not a rate; write N/TIME, as 10/1s" },
        { "Limits", "Rate", "0/1s", -ERANGE,
          "\"0\" is out of range; it must be between 1 and 1000000" },
        { "Limits", "Rate", "1000001/1s", -ERANGE,
          "\"1000001\" is out of range; it must be between 1 and 1000000" },
        { "Limits", "Rate", "99999999999999999999/1s", -ERANGE,
          "\"99999999999999999999\" is out of range; it must be between 1 and 1000000" },
        { "Limits", "Rate", "1/0", -ERANGE, "\"0\" is out of range; it must be between 1ns and 1d" },
        { "Limits", "Rate", "1/25h", -ERANGE,
          "\"25h\" is out of range; it must be between 1ns and 1d" },
        { "Limits", "Rate", "1/infinity", -ERANGE,
          "\"infinity\" is out of range; it must be between 1ns and 1d" },
        { "Hedge", "Percentile", "49", -ERANGE,
          "\"49\" is out of range; it must be between 50 and 99" },
        { "Hedge", "Percentile", "1", -ERANGE, "\"1\" is out of range; it must be between 50 and 99" },
        { "Hedge", "Percentile", "100", -ERANGE,
          "\"100\" is out of range; it must be between 50 and 99" },
        { "Hedge", "Percentile", "p95", -EINVAL, "\"p95\" is not a whole number" },
        { "Source", "Method", "\x1b[31mPUT", -EINVAL,
          "\"\\x1B[31mPUT\" is not known here; write GET or POST" },
};

/* The object that the key belongs to. */
static void *new_object(const ConfigKey *key) {
        SourceConfig *source = NULL;
        Config *config = NULL;

        if (key >= config_keys && key < config_keys + n_config_keys) {
                assert_int_equal(config_new(&config), 0);
                return config;
        }
        assert_int_equal(source_config_new(&source, "s", "p"), 0);
        return source;
}

static void free_object(const ConfigKey *key, void *object) {
        if (key >= config_keys && key < config_keys + n_config_keys)
                config_free(object);
        else
                source_config_free(object);
}

static void test_taken(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(taken); i++) {
                const ConfigKey *key = find(taken[i].section, taken[i].name);
                void *object = new_object(key);
                char *message = NULL;

                assert_int_equal(config_set(object, key, taken[i].value, &message), 0);
                char *text = config_get_text(object, key);
                assert_string_equal(text, taken[i].text);
                free(text);
                free_object(key, object);
        }
}

static void test_refused(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                const ConfigKey *key = find(refused[i].section, refused[i].name);
                void *object = new_object(key);
                char *before = config_get_text(object, key), *message = NULL;

                assert_int_equal(config_set(object, key, refused[i].value, &message), refused[i].r);
                assert_non_null(message);
                if (strncmp(message, refused[i].message, strlen(refused[i].message)) != 0)
                        fail_msg("%s", message);
                /* The field is untouched. */
                char *after = config_get_text(object, key);
                assert_string_equal(before, after);
                free(before);
                free(after);
                free(message);
                free_object(key, object);
        }
}

static void test_inherited(void **state) {
        const ConfigKey *key = config_key_find(source_keys, n_source_keys, "Cache", "TTLSec");
        SourceConfig *source = NULL;
        char *message = NULL;

        assert_int_equal(source_config_new(&source, "s", "p"), 0);
        for (size_t i = 0; i < ELEMENTSOF(inherited); i++) {
                assert_int_equal(config_set(source, key, inherited[i].value, &message), 0);
                assert_true(source->cache_ttl == inherited[i].ns);
                char *text = config_get_text(source, key);
                assert_string_equal(text, inherited[i].text);
                free(text);
        }
        assert_int_equal(config_set(source, key, "infinity", &message), -ERANGE);
        assert_string_equal(message, "\"infinity\" is out of range; it must be between 0 and 1w");
        free(message);
        source_config_free(source);
}

static void test_too_long(void **state) {
        const ConfigKey *key = find("Source", "Description"), *header = find("Source", "Header");
        static char text[5000];
        SourceConfig *source = NULL;
        char *message = NULL;

        assert_int_equal(source_config_new(&source, "s", "p"), 0);
        memset(text, 'x', 1024);
        assert_int_equal(config_set(source, key, text, &message), 0);
        text[1024] = 'x';
        assert_int_equal(config_set(source, key, text, &message), -ERANGE);
        assert_string_equal(message, "the value has 1025 bytes; at most 1024 fit");
        free(message);
        assert_int_equal(strlen(source->description), 1024);

        memset(text, 'x', 4097);
        assert_int_equal(config_set(source, header, text, &message), -ERANGE);
        free(message);
        assert_int_equal(source->headers.count, 0);

        /* A message shows the beginning of a long value only. */
        assert_int_equal(config_set(source, find("Source", "Class"), text, &message), -EINVAL);
        assert_true(strlen(message) < 200);
        free(message);
        source_config_free(source);
}

static void test_list(void **state) {
        const ConfigKey *key = find("Source", "Header");
        SourceConfig *source = NULL;
        char *message = NULL;

        assert_int_equal(source_config_new(&source, "s", "p"), 0);
        assert_int_equal(config_set(source, key, "A: 1", &message), 0);
        assert_int_equal(config_set(source, key, "B: 2", &message), 0);
        assert_int_equal(source->headers.count, 2);
        char *text = config_get_text(source, key);
        assert_string_equal(text, "A: 1\nB: 2");
        free(text);
        assert_int_equal(config_set(source, key, "", &message), 0);
        assert_int_equal(source->headers.count, 0);
        assert_int_equal(config_set(source, key, "C: 3", &message), 0);
        assert_string_equal(source->headers.items[0], "C: 3");
        source_config_free(source);
}

static void test_sources_in_order(void **state) {
        enum {
                N = 200
        };
        Config *config = NULL;
        SourceConfig *again = NULL;
        char name[16];

        assert_int_equal(config_new(&config), 0);
        assert_null(config_find_source(config, "s000"));
        for (int i = 0; i < N; i++) {
                SourceConfig *source = NULL;

                snprintf(name, sizeof(name), "s%03d", i * 77 % N);
                assert_int_equal(source_config_new(&source, name, "p"), 0);
                assert_int_equal(config_add_source(config, source), 0);
        }
        for (size_t i = 0; i < N; i++) {
                snprintf(name, sizeof(name), "s%03zu", i);
                assert_string_equal(config->sources[i]->name, name);
                assert_ptr_equal(config_find_source(config, name), config->sources[i]);
        }
        assert_null(config_find_source(config, "s"));
        assert_null(config_find_source(config, "t"));

        assert_int_equal(source_config_new(&again, "s005", "p"), 0);
        assert_int_equal(config_add_source(config, again), -EEXIST);
        assert_int_equal(config->n_sources, N);
        source_config_free(again);
        config_free(config);
}

static void test_names(void **state) {
        assert_string_equal(source_class_name(CLASS_REQUIRED), "required");
        assert_string_equal(request_method_name(METHOD_POST), "POST");
        assert_string_equal(engine_name(engine_from_name("digest")), "digest");
        assert_string_equal(engine_name(engine_from_name("none")), "none");
        assert_string_equal(engine_name(engine_from_name("spin")), "spin");
        assert_int_equal(engine_from_name("Spin"), -EINVAL);
        assert_int_equal(engine_from_name(""), -EINVAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_table),
                cmocka_unit_test(test_defaults),
                cmocka_unit_test(test_defaults_of_policies),
                cmocka_unit_test(test_rate),
                cmocka_unit_test(test_taken),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_inherited),
                cmocka_unit_test(test_too_long),
                cmocka_unit_test(test_list),
                cmocka_unit_test(test_sources_in_order),
                cmocka_unit_test(test_names),
        };
        return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
