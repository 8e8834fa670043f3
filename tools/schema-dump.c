/* SPDX-License-Identifier: Apache-2.0 */

/* Prints what the tables of schema/ say, for people: fragments of manual pages and sample
 * configuration. So that no page can contradict the program, and no key can be without its entry.
 *
 * `schema-dump FRAGMENT` prints one fragment; `schema-dump expand FILE` prints a page whose lines
 * of the form @FRAGMENT@ are replaced. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "macro.h"
#include "vocabulary.h"

/* Text for scdoc, where these characters mean something. */
static void print_scdoc(const char *text) {
        for (; *text != '\0'; text++) {
                if (strchr("\\*_", *text))
                        putchar('\\');
                putchar(*text);
        }
}

/* A number as a value of the key's type. */
static void print_limit(ConfigType type, int64_t limit) {
        const ConfigKey key = { .type = type };
        const uint64_t value = (uint64_t) limit * (type == CONFIG_SEC ? NSEC_PER_SEC : 1);
        CLEANUP_FREE char *text = config_get_text(&value, &key);

        if (!text)
                abort();
        printf("%s", text);
}

static void print_range(const ConfigKey *key, const char *what, ConfigType type) {
        printf("%s from ", what);
        print_limit(type, key->min);
        printf(" to ");
        print_limit(type, key->max);
}

/* What may stand behind the '='. The words of enumerations are in the help. */
static void print_values(const ConfigKey *key) {
        switch (key->type) {
        case CONFIG_SEC:
        case CONFIG_SEC_OPTIONAL:
        case CONFIG_SEC_INHERIT:
                print_range(key, "A time span", CONFIG_SEC);
                break;
        case CONFIG_SIZE:
                print_range(key, "A size", CONFIG_SIZE);
                break;
        case CONFIG_COUNT:
                print_range(key, "A whole number", CONFIG_COUNT);
                break;
        case CONFIG_AUTO:
                print_range(key, "_auto_ or a whole number", CONFIG_COUNT);
                break;
        case CONFIG_PERCENTILE:
                print_range(key, "_0_ or a whole number", CONFIG_COUNT);
                break;
        case CONFIG_RATE:
                print_range(key, "A rate _N/TIME_ with N", CONFIG_COUNT);
                break;
        case CONFIG_INT:
                print_range(key, "A whole number", CONFIG_INT);
                break;
        case CONFIG_BOOL:
                printf("_yes_ or _no_");
                break;
        case CONFIG_STRING:
        case CONFIG_LIST:
                printf("Text of at most %" PRIi64 " bytes", key->max);
                break;
        case CONFIG_POINTER:
                printf("A JSON Pointer (RFC 6901) such as _/items/0/text_");
                break;
        case CONFIG_ENGINE:
        case CONFIG_BACKEND:
        case CONFIG_CLASS:
        case CONFIG_METHOD:
                return;
        }
        printf(". ");
}

static void print_keys(const ConfigKey keys[], size_t n) {
        const char *section = "";

        for (size_t i = 0; i < n; i++) {
                const ConfigKey *key = &keys[i];

                if (strcmp(section, key->section) != 0)
                        printf("## [%s]\n\n", key->section);
                section = key->section;
                printf("*%s=*\n\t", key->name);
                print_scdoc(key->help);
                printf(" ");
                print_values(key);
                if (key->default_text[0] != '\0') {
                        printf("Default: ");
                        print_scdoc(key->default_text);
                        printf(".\n\n");
                } else
                        printf("Not set by default.\n\n");
        }
}

static void print_sample(const ConfigKey keys[], size_t n) {
        const char *section = "";

        for (size_t i = 0; i < n; i++) {
                if (strcmp(section, keys[i].section) != 0)
                        printf("\n[%s]\n", keys[i].section);
                section = keys[i].section;
                printf("# %s\n#%s=%s\n", keys[i].help, keys[i].name, keys[i].default_text);
        }
}

static void print_keys_conf(void) {
        print_keys(config_keys, n_config_keys);
}

static void print_keys_source(void) {
        print_keys(source_keys, n_source_keys);
}

static void print_sample_conf(void) {
        printf("# muster.conf: settings of musterd, see muster.conf(5). Shown are the defaults.\n");
        print_sample(config_keys, n_config_keys);
}

static void print_sample_source(void) {
        printf("# NAME.source: a source of muster, see muster.source(5). Shown are the defaults; URL= is\n"
               "# needed.\n");
        print_sample(source_keys, n_source_keys);
}

static void print_row(const char *name, const char *help) {
        printf("|  *");
        print_scdoc(name);
        printf("*\n:  ");
        print_scdoc(help);
        printf("\n");
}

static void print_verdicts(void) {
        printf("|[ *Verdict*\n:< *Meaning*\n");
        for (int i = 0; i < VERDICT_COUNT; i++)
                print_row(verdict_name((Verdict) i), verdict_help((Verdict) i));
}

static void print_stages(void) {
        printf("|[ *Stage*\n:< *What takes the time*\n");
        for (int i = 0; i < STAGE_COUNT; i++)
                print_row(stage_name((Stage) i), stage_help((Stage) i));
}

static void print_counters(void) {
        printf("|[ *Counter*\n:< *What it counts*\n");
        for (int i = 0; i < COUNTER_COUNT; i++)
                print_row(counter_name((SourceCounter) i), counter_help((SourceCounter) i));
}

static const struct {
        const char *name;
        void (*print)(void);
} fragments[] = {
        { "keys-conf", print_keys_conf },     { "keys-source", print_keys_source },
        { "sample-conf", print_sample_conf }, { "sample-source", print_sample_source },
        { "verdicts", print_verdicts },       { "stages", print_stages },
        { "counters", print_counters },
};

/* -1: there is no such fragment. */
static int print_fragment(const char *name, size_t size) {
        for (size_t i = 0; i < ELEMENTSOF(fragments); i++)
                if (strlen(fragments[i].name) == size && memcmp(fragments[i].name, name, size) == 0) {
                        fragments[i].print();
                        return 0;
                }
        fprintf(stderr, "schema-dump: no fragment is named \"%.*s\"; there are:", (int) size, name);
        for (size_t i = 0; i < ELEMENTSOF(fragments); i++)
                fprintf(stderr, " %s", fragments[i].name);
        fprintf(stderr, "\n");
        return -1;
}

static int expand(const char *path) {
        CLEANUP_FCLOSE FILE *file = fopen(path, "re");
        CLEANUP_FREE char *line = NULL;
        size_t capacity = 0;
        ssize_t size;

        if (!file) {
                fprintf(stderr, "schema-dump: %s: %m\n", path);
                return -1;
        }
        while ((size = getline(&line, &capacity, file)) > 0) {
                if (line[size - 1] == '\n')
                        size--;
                if (size > 2 && line[0] == '@' && line[size - 1] == '@') {
                        if (print_fragment(line + 1, (size_t) size - 2) < 0)
                                return -1;
                } else
                        printf("%.*s\n", (int) size, line);
        }
        return ferror(file) ? -1 : 0;
}

int main(int argc, char **argv) {
        int r = -1;

        if (argc == 3 && strcmp(argv[1], "expand") == 0)
                r = expand(argv[2]);
        else if (argc == 2)
                r = print_fragment(argv[1], strlen(argv[1]));
        else
                fprintf(stderr, "Usage: schema-dump FRAGMENT | schema-dump expand FILE\n");
        if (fflush(stdout) != 0)
                r = -1;
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
