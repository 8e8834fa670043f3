/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "interface.h"
#include "macro.h"
#include "options.h"
#include "output.h"
#include "parse.h"
#include "utf8.h"

#define HELP_COLUMN 27
#define REPEAT_MOST 1000

typedef struct OptionRow {
        char letter; /* 0: none */
        const char *name, *metavar, *help;
} OptionRow;

static const OptionRow rows[] = {
#define OPTION_ROW(...) { __VA_ARGS__ },
#define OPTION(program, id, letter, name, metavar, help) \
        OPTION_IF_##program([OPTION_##id] = OPTION_ROW(letter, "--" name, metavar, help))
#include "options.def"
#undef OPTION
#undef OPTION_ROW
};

void options_deinit(Options *options) {
        json_decref(options->sources);
        json_decref(options->parameters);
        *options = (Options){ 0 };
}

const char *options_name(uint64_t bits) {
        return rows[__builtin_ctzll(bits)].name;
}

void options_help(Buffer *out, uint64_t wanted) {
        char left[64];

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                if (!(wanted & UINT64_C(1) << i))
                        continue;
                (void) snprintf(left, sizeof(left), "  %c%c %s%s%s", rows[i].letter ? '-' : ' ',
                                rows[i].letter ? rows[i].letter : ' ', rows[i].name,
                                rows[i].metavar ? "=" : "", rows[i].metavar ? rows[i].metavar : "");
                (void) buffer_printf(out, "%-*s%s\n", HELP_COLUMN, left, rows[i].help);
        }
}

static int refuse(OptionId id, const char *value, const char *wanted) {
        complain("%s=%s: %s", rows[id].name, value, wanted);
        return -EINVAL;
}

static int parse_json_mode(const char *value, JsonMode *ret) {
        static const char *const names[] = {
                [JSON_OFF] = "off",
                [JSON_SHORT] = "short",
                [JSON_PRETTY] = "pretty",
        };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (strcmp(value, names[i]) == 0) {
                        *ret = (JsonMode) i;
                        return 0;
                }
        return refuse(OPTION_JSON, value, "is none of off, short, pretty");
}

static int parse_deadline(const char *value, uint64_t *ret) {
        uint64_t ns = 0;

        if (parse_duration(value, &ns) < 0 || ns == 0 || ns == TIME_INFINITY)
                return refuse(OPTION_DEADLINE, value, "is no time span, as 5s, 500ms or 1min 30s");
        *ret = ns / NSEC_PER_MSEC + (ns % NSEC_PER_MSEC > 0);
        return 0;
}

static int parse_repeat(const char *value, uint64_t *ret) {
        uint64_t count = 0;

        if (parse_u64(value, &count) < 0 || count == 0 || count > REPEAT_MOST)
                return refuse(OPTION_REPEAT, value, "is no number from 1 to 1000");
        *ret = count;
        return 0;
}

static int parse_number(OptionId id, const char *value, uint64_t *ret) {
        if (parse_u64(value, ret) >= 0 && *ret <= INT64_MAX)
                return 0;
        return refuse(id, value, "is no number");
}

/* One of the values that the interface has for it. */
static int parse_choice(OptionId id, const char *value, const char *type, const char **ret) {
        size_t n;
        const InterfaceField *choices = interface_fields(USE_VALUE, type, &n);
        Buffer wanted = BUFFER_INIT(0);

        *ret = value;
        if (interface_value(type, value) >= 0)
                return 0;
        for (size_t i = 0; i < n; i++)
                (void) buffer_printf(&wanted, "%s%s", i > 0 ? ", " : "is none of ", choices[i].name);
        CLEANUP_FREE char *text = buffer_steal(&wanted);
        return text ? refuse(id, value, text) : -ENOMEM;
}

static int add_source(const char *value, json_t **sources) {
        if (!*sources)
                *sources = json_array();
        return json_array_append_new(*sources, json_pack("s", value)) < 0 ? -ENOMEM : 0;
}

static int add_parameter(const char *value, json_t **parameters) {
        const char *equals = strchr(value, '=');

        if (!equals || equals == value)
                return refuse(OPTION_PARAM, value, "is not of the form NAME=VALUE");
        CLEANUP_FREE char *key = strndup(value, (size_t) (equals - value));
        if (!*parameters)
                *parameters = json_object();
        if (!key || json_object_set_new(*parameters, key, json_pack("s", equals + 1)) < 0)
                return -ENOMEM;
        return 0;
}

static int option_apply(Options *options, OptionId id, const char *value) {
        options->given |= UINT64_C(1) << id;
        if (id == OPTION_NO_CACHE)
                options->cache = "bypass";
        if (!value)
                return 0;
        if (!utf8_valid(value, strlen(value)))
                return refuse(id, value, "is not UTF-8");

        switch (id) {
        case OPTION_SOCKET:
                options->socket = value;
                return 0;
        case OPTION_JSON:
                return parse_json_mode(value, &options->json);
        case OPTION_SOURCE:
                return add_source(value, &options->sources);
        case OPTION_PARAM:
                return add_parameter(value, &options->parameters);
        case OPTION_DEADLINE:
                return parse_deadline(value, &options->deadline_ms);
        case OPTION_POLICY:
                return parse_choice(id, value, "Policy", &options->policy);
        case OPTION_MAX_PASSAGES:
                return parse_number(id, value, &options->max_passages);
        case OPTION_QUORUM:
                return parse_number(id, value, &options->quorum);
        case OPTION_CACHE:
                return parse_choice(id, value, "CacheUse", &options->cache);
        case OPTION_PRIORITY:
                return parse_choice(id, value, "Priority", &options->priority);
        case OPTION_REPEAT:
                return parse_repeat(value, &options->repeat);
        case OPTION_HELP:
        case OPTION_VERSION:
        case OPTION_NO_PAGER:
        case OPTION_NO_CACHE:
        case OPTION_TIMELINE:
        case OPTION_COUNT:
                return 0;
        }
        return 0;
}

/* What getopt_long() did not take: `code` is '?' or ':'. */
static int complain_of(int code, char *argv[]) {
        const char *word = argv[optind - 1];

        if (code == ':')
                complain("%s needs a value; musterctl --help shows which", word);
        else if (optopt > 0 && optopt < 0x80)
                complain("there is no option -%c; musterctl --help lists them", optopt);
        else if (optopt > 0)
                complain("%s: this option takes no value", word);
        else
                complain("there is no option %s, or more than one begins so; "
                         "musterctl --help lists them",
                         word);
        return -EINVAL;
}

#define LONG_BASE 0x100 /* above all characters */

int options_parse(int argc, char *argv[], Options *ret) {
        CLEANUP(options_deinit) Options options = { .repeat = 1 };
        struct option longs[ELEMENTSOF(rows) + 1] = { 0 };
        char letters[ELEMENTSOF(rows) + 2] = ":";
        size_t n_letters = 1;
        int code, r = 0;

        for (size_t i = 0; i < ELEMENTSOF(rows); i++) {
                longs[i] = (struct option){
                        .name = rows[i].name + 2,
                        .has_arg = rows[i].metavar ? required_argument : no_argument,
                        .val = LONG_BASE + (int) i,
                };
                assert(!rows[i].letter || !rows[i].metavar);
                if (rows[i].letter)
                        letters[n_letters++] = rows[i].letter;
        }

        optind = 0; /* begin anew, even when this is not the first command line */
        opterr = 0;
        while (r >= 0 && (code = getopt_long(argc, argv, letters, longs, NULL)) >= 0) {
                size_t id = code >= LONG_BASE ? (size_t) code - LONG_BASE : 0;

                if (code == '?' || code == ':')
                        return complain_of(code, argv);
                while (code < LONG_BASE && rows[id].letter != code)
                        id++;
                r = option_apply(&options, (OptionId) id, optarg);
        }
        if (r < 0)
                return r;
        options.words = argv + optind;
        options.n_words = (size_t) (argc - optind);
        *ret = options;
        options = (Options){ 0 };
        return 0;
}
