/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "log.h"
#include "macro.h"
#include "parse.h"

/* config.def is expanded here into rows, and everything else follows from the row: a key's type
 * names a pair of functions, one that sets its field from text and one that writes it as text. They
 * know nothing of the key but its range, so a new key needs a line in config.def and no code, and a
 * new type needs its pair.
 *
 * A message says what is wrong with the value and what would be right; which key and where is for
 * the caller to say. */

const ConfigKey config_keys[] = {
#define KEY(section, name, field, type, ...) \
        { #section, #name, offsetof(Config, field), CONFIG_##type, __VA_ARGS__ },
#include "config.def"
#undef KEY
};
const size_t n_config_keys = ELEMENTSOF(config_keys);

const ConfigKey source_keys[] = {
#define SOURCE_KEY(section, name, field, type, ...) \
        { #section, #name, offsetof(SourceConfig, field), CONFIG_##type, __VA_ARGS__ },
#include "config.def"
#undef SOURCE_KEY
};
const size_t n_source_keys = ELEMENTSOF(source_keys);

/* The words of the enumerated types; the number that is kept is a word's place. That of an engine
 * is the number by which workers know it. */
static const char *const engine_words[] = { "none", "digest", "spin", NULL };
static const char *const backend_words[] = { "auto", "io_uring", NULL };
static const char *const class_words[] = { "optional", "required", NULL };
static const char *const method_words[] = { "GET", "POST", NULL };

/* Values come from files and may hold anything; a message shows their beginning, escaped. */
#define SHOWN_MAX 80

#define RATE_PERIOD_MAX (86400 * NSEC_PER_SEC)

PRINTF_LIKE(3, 4)
static int refuse(int error, char **ret_message, const char *format, ...) {
        va_list arguments;
        char *message = NULL;

        va_start(arguments, format);
        if (vasprintf(&message, format, arguments) < 0)
                message = NULL;
        va_end(arguments);
        *ret_message = message;
        return error;
}

static int refuse_value(char **ret_message, const char *value, const char *why) {
        char shown[SHOWN_MAX];

        log_escape(shown, sizeof(shown), value, strlen(value));
        return refuse(-EINVAL, ret_message, "\"%s\" %s", shown, why);
}

static char *format_size(uint64_t size) {
        static const char units[] = "KMG";
        char unit[2] = "", *text;

        for (size_t i = 0; units[i] != '\0' && size > 0 && size % 1024 == 0; i++) {
                unit[0] = units[i];
                size /= 1024;
        }
        return asprintf(&text, "%" PRIu64 "%s", size, unit) < 0 ? NULL : text;
}

static char *format_u64(uint64_t value) {
        char *text;
        return asprintf(&text, "%" PRIu64, value) < 0 ? NULL : text;
}

static char *format_i64(int64_t value) {
        char *text;
        return asprintf(&text, "%" PRIi64, value) < 0 ? NULL : text;
}

static char *format_span(uint64_t ns) {
        char text[DURATION_TEXT_MAX];
        return strdup(format_duration(text, ns));
}

/* Takes the two limits as text and frees them. */
static int refuse_range(char **ret_message, const char *value, char *min, char *max) {
        char shown[SHOWN_MAX];

        log_escape(shown, sizeof(shown), value, strlen(value));
        int r = refuse(-ERANGE, ret_message, "\"%s\" is out of range; it must be between %s and %s",
                       shown, min ? min : "?", max ? max : "?");
        free(min);
        free(max);
        return r;
}

static int set_span(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        const uint64_t min = (uint64_t) key->min * NSEC_PER_SEC;
        const uint64_t max = (uint64_t) key->max * NSEC_PER_SEC;
        uint64_t ns = 0;

        int r = parse_duration(value, &ns);
        if (r == -EINVAL)
                return refuse_value(ret_message, value, "is not a time span; write 5, 500ms or 1min");
        if (r < 0 || ns < min || ns > max)
                return refuse_range(ret_message, value, format_span(min), format_span(max));
        *(uint64_t *) field = ns;
        return 0;
}

static char *get_span(const void *field) {
        return format_span(*(const uint64_t *) field);
}

static int set_optional_span(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        if (value[0] != '\0')
                return set_span(field, key, value, ret_message);
        *(uint64_t *) field = 0;
        return 0;
}

static char *get_optional_span(const void *field) {
        return *(const uint64_t *) field == 0 ? strdup("") : get_span(field);
}

static int set_inherited_span(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        if (value[0] != '\0')
                return set_span(field, key, value, ret_message);
        *(uint64_t *) field = CONFIG_SEC_DEFAULT;
        return 0;
}

static char *get_inherited_span(const void *field) {
        return *(const uint64_t *) field == CONFIG_SEC_DEFAULT ? strdup("") : get_span(field);
}

static int set_size(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        const uint64_t min = (uint64_t) key->min, max = (uint64_t) key->max;
        uint64_t size = 0;

        int r = parse_size(value, &size);
        if (r == -EINVAL)
                return refuse_value(
                                ret_message, value,
                                "is not a size; write a number of bytes, or one with K, M or G, as 64M");
        if (r < 0 || size < min || size > max)
                return refuse_range(ret_message, value, format_size(min), format_size(max));
        *(uint64_t *) field = size;
        return 0;
}

static char *get_size(const void *field) {
        return format_size(*(const uint64_t *) field);
}

static int set_count(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        const uint64_t min = (uint64_t) key->min, max = (uint64_t) key->max;
        uint64_t count = 0;

        int r = parse_u64(value, &count);
        if (r == -EINVAL)
                return refuse_value(
                                ret_message, value,
                                key->type == CONFIG_AUTO ? "is neither a whole number nor auto" :
                                                           "is not a whole number");
        if (r < 0 || count < min || count > max)
                return refuse_range(ret_message, value, format_u64(min), format_u64(max));
        *(uint64_t *) field = count;
        return 0;
}

static char *get_count(const void *field) {
        return format_u64(*(const uint64_t *) field);
}

static int set_auto(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        if (strcmp(value, "auto") != 0)
                return set_count(field, key, value, ret_message);
        *(uint64_t *) field = 0;
        return 0;
}

static char *get_auto(const void *field) {
        return *(const uint64_t *) field == 0 ? strdup("auto") : get_count(field);
}

static int set_percentile(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        if (value[0] != '\0' && strcmp(value, "0") != 0)
                return set_count(field, key, value, ret_message);
        *(uint64_t *) field = 0;
        return 0;
}

/* Count and period of "10/1s". -EINVAL, -ERANGE, -ENOMEM without a message. */
static int parse_rate(const ConfigKey *key, const char *value, char **ret_message, RateSpec *ret) {
        const uint64_t min = (uint64_t) key->min, max = (uint64_t) key->max;
        const char *slash = strchrnul(value, '/'), *period = *slash == '/' ? slash + 1 : slash;
        CLEANUP_FREE char *count = strndup(value, (size_t) (slash - value));

        if (!count)
                return -ENOMEM;
        int r = parse_u64(count, &ret->count), q = parse_duration(period, &ret->period_ns);
        if (r == -EINVAL || q == -EINVAL)
                return refuse_value(ret_message, value, "is not a rate; write N/TIME, as 10/1s");
        if (r < 0 || ret->count < min || ret->count > max)
                return refuse_range(ret_message, count, format_u64(min), format_u64(max));
        if (q < 0 || ret->period_ns == 0 || ret->period_ns > RATE_PERIOD_MAX)
                return refuse_range(ret_message, period, format_span(1), format_span(RATE_PERIOD_MAX));
        return 0;
}

static int set_rate(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        RateSpec rate = {};

        int r = value[0] == '\0' ? 0 : parse_rate(key, value, ret_message, &rate);
        if (r == 0)
                *(RateSpec *) field = rate;
        return r;
}

static char *get_rate(const void *field) {
        const RateSpec *rate = field;
        char period[DURATION_TEXT_MAX], *text;

        if (rate->count == 0)
                return strdup("");
        (void) format_duration(period, rate->period_ns);
        return asprintf(&text, "%" PRIu64 "/%s", rate->count, period) < 0 ? NULL : text;
}

static int set_int(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        const bool negative = value[0] == '-';
        uint64_t magnitude = 0;

        int r = parse_u64(value + negative, &magnitude);
        if (r == -EINVAL)
                return refuse_value(ret_message, value, "is not a whole number");

        int64_t number = magnitude > INT64_MAX ? INT64_MAX : (int64_t) magnitude;
        if (negative)
                number = -number;
        if (r < 0 || number < key->min || number > key->max)
                return refuse_range(ret_message, value, format_i64(key->min), format_i64(key->max));
        *(int64_t *) field = number;
        return 0;
}

static char *get_int(const void *field) {
        return format_i64(*(const int64_t *) field);
}

static int set_bool(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        if (parse_bool(value, field) < 0)
                return refuse_value(ret_message, value, "is neither yes nor no");
        return 0;
}

static char *get_bool(const void *field) {
        return strdup(*(const bool *) field ? "yes" : "no");
}

static int new_string(const ConfigKey *key, const char *value, char **ret_message, char **ret) {
        size_t size = strlen(value);

        if (size > (uint64_t) key->max)
                return refuse(-ERANGE, ret_message,
                              "the value has %zu bytes; at most %" PRIi64 " fit", size, key->max);
        char *copy = strdup(value);
        if (!copy)
                return -ENOMEM;
        *ret = copy;
        return 0;
}

static int set_string(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        char **string = field, *copy = NULL;

        if (value[0] != '\0') {
                int r = new_string(key, value, ret_message, &copy);
                if (r < 0)
                        return r;
        }
        free(*string);
        *string = copy;
        return 0;
}

static char *get_string(const void *field) {
        const char *string = *(char *const *) field;
        return strdup(string ? string : "");
}

static int set_pointer(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        bool valid = value[0] == '\0' || value[0] == '/';

        for (const char *tilde = strchr(value, '~'); tilde; tilde = strchr(tilde + 1, '~'))
                valid = valid && (tilde[1] == '0' || tilde[1] == '1');
        if (!valid)
                return refuse_value(
                                ret_message, value,
                                "is not a JSON Pointer (RFC 6901); write /items/0/text, with ~1 for a / "
                                "and ~0 for a ~ within a name");
        return set_string(field, key, value, ret_message);
}

static void list_clear(StringList *list) {
        for (size_t i = 0; i < list->count; i++)
                free(list->items[i]);
        free(list->items);
        *list = (StringList){};
}

static int set_list(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        StringList *list = field;
        CLEANUP_FREE char *copy = NULL;

        if (value[0] == '\0') {
                list_clear(list);
                return 0;
        }
        int r = new_string(key, value, ret_message, &copy);
        if (r < 0)
                return r;
        char **items = reallocarray(list->items, list->count + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        list->items = items;
        list->items[list->count++] = TAKE_PTR(copy);
        return 0;
}

static char *get_list(const void *field) {
        const StringList *list = field;
        char *text = NULL;
        size_t size = 0;

        FILE *out = open_memstream(&text, &size);
        if (!out)
                return NULL;
        for (size_t i = 0; i < list->count; i++)
                fprintf(out, "%s%s", i > 0 ? "\n" : "", list->items[i]);
        if (fclose(out) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

static int word_find(const char *const words[], const char *word) {
        for (int i = 0; words[i]; i++)
                if (strcmp(words[i], word) == 0)
                        return i;
        return -EINVAL;
}

static int set_word(void *field, const char *const words[], const char *value, char **ret_message) {
        char shown[SHOWN_MAX], known[128] = "";
        size_t at = 0;

        int word = word_find(words, value);
        if (word >= 0) {
                *(int *) field = word;
                return 0;
        }
        for (size_t i = 0; words[i]; i++) {
                const char *before = i == 0 ? "" : words[i + 1] ? ", " : " or ";
                int n = snprintf(known + at, sizeof(known) - at, "%s%s", before, words[i]);
                at += (size_t) n;
                assert(at < sizeof(known));
        }
        log_escape(shown, sizeof(shown), value, strlen(value));
        return refuse(-EINVAL, ret_message, "\"%s\" is not known here; write %s", shown, known);
}

static int set_engine(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        /* Only where no engine is the default, there is another to fall back to. */
        if (value[0] == '\0' && key->default_text[0] == '\0') {
                *(int *) field = CONFIG_ENGINE_DEFAULT;
                return 0;
        }
        return set_word(field, engine_words, value, ret_message);
}

static char *get_engine(const void *field) {
        int engine = *(const int *) field;
        return strdup(engine == CONFIG_ENGINE_DEFAULT ? "" : engine_words[engine]);
}

static int set_backend(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        return set_word(field, backend_words, value, ret_message);
}

static char *get_backend(const void *field) {
        return strdup(backend_words[*(const int *) field]);
}

static int set_class(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        return set_word(field, class_words, value, ret_message);
}

static char *get_class(const void *field) {
        return strdup(class_words[*(const int *) field]);
}

static int set_method(void *field, const ConfigKey *key, const char *value, char **ret_message) {
        return set_word(field, method_words, value, ret_message);
}

static char *get_method(const void *field) {
        return strdup(method_words[*(const int *) field]);
}

static const struct {
        int (*set)(void *field, const ConfigKey *key, const char *value, char **ret_message);
        char *(*get)(const void *field);
} types[] = {
        [CONFIG_SEC] = { set_span, get_span },
        [CONFIG_SEC_OPTIONAL] = { set_optional_span, get_optional_span },
        [CONFIG_SEC_INHERIT] = { set_inherited_span, get_inherited_span },
        [CONFIG_SIZE] = { set_size, get_size },
        [CONFIG_COUNT] = { set_count, get_count },
        [CONFIG_AUTO] = { set_auto, get_auto },
        [CONFIG_PERCENTILE] = { set_percentile, get_count },
        [CONFIG_RATE] = { set_rate, get_rate },
        [CONFIG_INT] = { set_int, get_int },
        [CONFIG_BOOL] = { set_bool, get_bool },
        [CONFIG_STRING] = { set_string, get_string },
        [CONFIG_LIST] = { set_list, get_list },
        [CONFIG_ENGINE] = { set_engine, get_engine },
        [CONFIG_BACKEND] = { set_backend, get_backend },
        [CONFIG_CLASS] = { set_class, get_class },
        [CONFIG_METHOD] = { set_method, get_method },
        [CONFIG_POINTER] = { set_pointer, get_string },
};

const ConfigKey *config_key_find(const ConfigKey *keys, size_t n, const char *section, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
                        return &keys[i];
        return NULL;
}

int config_set(void *object, const ConfigKey *key, const char *value, char **ret_message) {
        char *message = NULL;

        int r = types[key->type].set((char *) object + key->offset, key, value, &message);
        if (r < 0)
                *ret_message = message;
        return r;
}

char *config_get_text(const void *object, const ConfigKey *key) {
        return types[key->type].get((const char *) object + key->offset);
}

static int set_defaults(void *object, const ConfigKey *keys, size_t n) {
        for (size_t i = 0; i < n; i++) {
                CLEANUP_FREE char *message = NULL;
                int r = config_set(object, &keys[i], keys[i].default_text, &message);

                assert(r == 0 || r == -ENOMEM);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void free_fields(void *object, const ConfigKey *keys, size_t n) {
        for (size_t i = 0; i < n; i++) {
                void *field = (char *) object + keys[i].offset;

                if (keys[i].type == CONFIG_LIST)
                        list_clear(field);
                else if (keys[i].type == CONFIG_STRING || keys[i].type == CONFIG_POINTER)
                        free(*(char **) field);
        }
}

Config *config_free(Config *config) {
        if (!config)
                return NULL;
        for (size_t i = 0; i < config->n_sources; i++)
                source_config_free(config->sources[i]);
        free(config->sources);
        free_fields(config, config_keys, n_config_keys);
        free(config);
        return NULL;
}

int config_new(Config **ret) {
        Config *config = calloc(1, sizeof(*config));
        if (!config)
                return -ENOMEM;

        int r = set_defaults(config, config_keys, n_config_keys);
        if (r < 0) {
                config_free(config);
                return r;
        }
        *ret = config;
        return 0;
}

SourceConfig *source_config_free(SourceConfig *source) {
        if (!source)
                return NULL;
        free(source->name);
        free(source->path);
        free_fields(source, source_keys, n_source_keys);
        free(source);
        return NULL;
}

int source_config_new(SourceConfig **ret, const char *name, const char *path) {
        SourceConfig *source = calloc(1, sizeof(*source));
        if (!source)
                return -ENOMEM;

        int r = set_defaults(source, source_keys, n_source_keys);
        source->name = strdup(name);
        source->path = strdup(path);
        if (r < 0 || !source->name || !source->path) {
                source_config_free(source);
                return -ENOMEM;
        }
        *ret = source;
        return 0;
}

/* Where a source of that name is, or would have to go. */
static size_t source_place(const Config *config, const char *name) {
        size_t low = 0, high = config->n_sources;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                if (strcmp(config->sources[middle]->name, name) < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

int config_add_source(Config *config, SourceConfig *source) {
        size_t place = source_place(config, source->name);

        if (config_find_source(config, source->name))
                return -EEXIST;
        SourceConfig **sources =
                        reallocarray(config->sources, config->n_sources + 1, sizeof(SourceConfig *));
        if (!sources)
                return -ENOMEM;
        memmove(sources + place + 1, sources + place,
                (config->n_sources - place) * sizeof(SourceConfig *));
        sources[place] = source;
        config->sources = sources;
        config->n_sources++;
        return 0;
}

const SourceConfig *config_find_source(const Config *config, const char *name) {
        size_t place = source_place(config, name);

        if (place == config->n_sources || strcmp(config->sources[place]->name, name) != 0)
                return NULL;
        return config->sources[place];
}

const char *source_class_name(int source_class) {
        return class_words[source_class];
}

const char *request_method_name(int method) {
        return method_words[method];
}

const char *engine_name(int engine) {
        return engine_words[engine];
}

int engine_from_name(const char *name) {
        return word_find(engine_words, name);
}
