/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "config-file.h"
#include "config-tree.h"
#include "ini.h"
#include "macro.h"

/* An object (Config, or one SourceConfig) is made of several files: the main one, then its drop-ins
 * in the order of their names. Each assignment sets its field at once, so that the last one counts,
 * and leaves behind where its value stands. When all files of an object are read, the checks that
 * need more than one value follow; they report at the place of the value that counts.
 *
 * Nothing ends the reading but a lack of memory: every problem goes to the report, and what is
 * wrong is left out, so that one run shows all problems of all files. A key whose value was refused
 * is not checked further: one mistake is one line. */

/* Where the value of a key stands; path NULL: no file has set it. */
typedef struct Origin {
        char *path;
        IniPlace *places;
        size_t n_places;
        bool refused;
} Origin;

/* What is being filled, and by which file. */
typedef struct Loader {
        ConfigReport *report;
        void *object;
        const ConfigKey *keys;
        size_t n_keys;
        Origin *origins;     /* one a key */
        const char *path;    /* of the file being read */
        const char *section; /* of the keys table; NULL: an unknown one, whose keys are left out */
        bool unreadable;     /* a file was, so what is missing may be there */
} Loader;

static int
loader_init(Loader *loader, void *object, const ConfigKey *keys, size_t n_keys, ConfigReport *report) {
        *loader = (Loader){ .report = report, .object = object, .keys = keys, .n_keys = n_keys };
        loader->origins = calloc(n_keys, sizeof(*loader->origins));
        return loader->origins ? 0 : -ENOMEM;
}

static void origin_deinit(Origin *origin) {
        free(origin->path);
        free(origin->places);
        *origin = (Origin){};
}

static void loader_deinit(Loader *loader) {
        for (size_t i = 0; i < loader->n_keys; i++)
                origin_deinit(&loader->origins[i]);
        free(loader->origins);
}

static Origin *loader_origin(const Loader *loader, const ConfigKey *key) {
        return &loader->origins[key - loader->keys];
}

static int origin_set(Origin *origin, const char *path, const IniAssignment *assignment) {
        const size_t size = assignment->n_places * sizeof(IniPlace);
        Origin made = { .path = strdup(path), .places = malloc(size) };

        if (!made.path || !made.places) {
                origin_deinit(&made);
                return -ENOMEM;
        }
        memcpy(made.places, assignment->places, size);
        made.n_places = assignment->n_places;
        origin_deinit(origin);
        *origin = made;
        return 0;
}

/* The number of letters to change, add or remove, in any case of letters. */
static size_t edit_distance(const char *a, const char *b) {
        size_t row[33], length = strlen(b);

        if (length >= ELEMENTSOF(row))
                return SIZE_MAX;
        for (size_t j = 0; j <= length; j++)
                row[j] = j;
        for (size_t i = 0; a[i] != '\0'; i++) {
                size_t diagonal = row[0];

                row[0] = i + 1;
                for (size_t j = 0; j < length; j++) {
                        bool same = tolower((unsigned char) a[i]) == tolower((unsigned char) b[j]);
                        size_t changed = same ? diagonal : diagonal + 1;
                        size_t moved = MIN(row[j], row[j + 1]) + 1;

                        diagonal = row[j + 1];
                        row[j + 1] = MIN(changed, moved);
                }
        }
        return row[length];
}

/* The word is a slip of the pen for `meant`: one letter wrong in a short word, two in a longer
 * one. */
static bool is_slip(const char *word, const char *meant) {
        return edit_distance(word, meant) <= (strlen(meant) < 6 ? 1 : 2);
}

static int on_section(void *userdata, const char *name, unsigned line, unsigned column) {
        Loader *loader = userdata;
        const char *near = NULL;

        loader->section = NULL;
        for (size_t i = 0; i < loader->n_keys; i++) {
                const char *known = loader->keys[i].section;

                if (strcmp(known, name) == 0)
                        loader->section = known;
                else if (!near && is_slip(name, known))
                        near = known;
        }
        if (!loader->section)
                config_report_add(
                                loader->report, loader->path, line, column,
                                near ? "unknown section [%s]; did you mean [%s]?" :
                                       "unknown section [%s]",
                                name, near);
        return 0;
}

static void report_unknown_key(const Loader *loader, const IniAssignment *assignment) {
        const char *section = loader->section, *key = assignment->key;
        const ConfigKey *near = NULL;

        for (size_t i = 0; i < loader->n_keys; i++) {
                const ConfigKey *known = &loader->keys[i];
                bool here = strcmp(known->section, section) == 0;

                if (!here && strcmp(known->name, key) == 0) {
                        config_report_add(
                                        loader->report, loader->path, assignment->line,
                                        assignment->column,
                                        "unknown key \"%s\" in [%s]; it belongs to [%s]", key,
                                        section, known->section);
                        return;
                }
                if (here && !near && is_slip(key, known->name))
                        near = known;
        }
        config_report_add(
                        loader->report, loader->path, assignment->line, assignment->column,
                        near ? "unknown key \"%s\" in [%s]; did you mean \"%s\"?" :
                               "unknown key \"%s\" in [%s]",
                        key, section, near ? near->name : NULL);
}

static bool is_token(const char *text, size_t size) {
        if (size == 0)
                return false;
        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char) text[i];
                if (c >= 0x80 || (!isalnum(c) && !strchr("!#$%&'*+-.^_`|~", c)))
                        return false;
        }
        return true;
}

/* Control characters need no look: the reader of the file lets none pass but the tab, which is
 * allowed. */
static const char *header_fault(const char *header) {
        static const char *const own[] = { "Host", "Content-Length", "Transfer-Encoding",
                                           "Connection" };
        const char *colon = strchr(header, ':');

        if (!colon)
                return "a header is written as \"Name: value\"";
        size_t size = (size_t) (colon - header);
        if (!is_token(header, size))
                return "a header's name has letters, digits and -, and a colon behind it";
        for (size_t i = 0; i < ELEMENTSOF(own); i++)
                if (strlen(own[i]) == size && strncasecmp(own[i], header, size) == 0)
                        return "muster sets this header itself; remove the line";
        return NULL;
}

static int on_assignment(void *userdata, const IniAssignment *assignment) {
        Loader *loader = userdata;
        const IniPlace *place = &assignment->places[0];
        CLEANUP_FREE char *message = NULL;
        const char *fault = NULL;

        if (!loader->section)
                return 0;
        const ConfigKey *key = config_key_find(
                        loader->keys, loader->n_keys, loader->section, assignment->key);
        if (!key) {
                report_unknown_key(loader, assignment);
                return 0;
        }

        Origin *origin = loader_origin(loader, key);
        int r = origin_set(origin, loader->path, assignment);
        if (r < 0)
                return r;
        r = config_set(loader->object, key, assignment->value, &message);
        if (r == -ENOMEM || (r < 0 && !message))
                return -ENOMEM;
        if (r < 0)
                fault = message;
        else if (key->type == CONFIG_LIST && assignment->value[0] != '\0')
                fault = header_fault(assignment->value); /* Header= is the only list */
        if (fault) {
                origin->refused = true;
                config_report_add(
                                loader->report, loader->path, place->line, place->column, "%s=: %s",
                                key->name, fault);
        }
        return 0;
}

static int on_error(void *userdata, unsigned line, unsigned column, const char *message) {
        Loader *loader = userdata;

        config_report_add(loader->report, loader->path, line, column, "%s", message);
        return 0;
}

/* -ENOMEM; what else is wrong goes to the report. */
static int load_file(Loader *loader, const char *path) {
        static const IniHandler handler = {
                .section = on_section,
                .assignment = on_assignment,
                .error = on_error,
        };
        CLEANUP_FREE char *text = NULL;
        size_t size;

        int r = config_tree_read(path, loader->report, &text, &size);
        if (r < 0) {
                loader->unreadable = true;
                return r == -ENOMEM ? r : 0;
        }
        loader->path = path;
        loader->section = NULL;
        return ini_parse(text, size, &handler, loader);
}

static int load_drop_ins(Loader *loader, const ConfigTree *tree, const char *folder) {
        ConfigFiles files;

        int r = config_tree_list(tree, folder, ".conf", loader->report, &files);
        if (r < 0)
                return r;
        for (size_t i = 0; i < files.count && r == 0; i++)
                r = load_file(loader, files.items[i].path);
        config_files_deinit(&files);
        return r;
}

/* A problem of the value that counts, `offset` bytes into it. */
static void report_value(const Loader *loader, const ConfigKey *key, size_t offset, const char *message) {
        const Origin *origin = loader_origin(loader, key);
        IniPlace place = ini_place(origin->places, origin->n_places, offset);

        config_report_add(
                        loader->report, origin->path, place.line, place.column, "%s=: %s",
                        key->name, message);
}

/* The key, if a file has set it to something that was taken. */
static const ConfigKey *find_set(const Loader *loader, const char *section, const char *name) {
        const ConfigKey *key = config_key_find(loader->keys, loader->n_keys, section, name);

        assert(key);
        const Origin *origin = loader_origin(loader, key);
        return origin->path && !origin->refused ? key : NULL;
}

/* Spans that the table lets be 0, but that mean nothing then. */
static void check_not_zero(const Loader *loader, const char *section, const char *name, uint64_t ns) {
        const ConfigKey *key = find_set(loader, section, name);

        if (key && ns == 0)
                report_value(loader, key, 0, "it must be more than 0");
}

static int apply_check(const Loader *loader, const SourceConfig *source, const ConfigCheck *check) {
        CLEANUP_FREE char *message = NULL;
        const char *name = NULL;
        size_t offset = 0;

        int r = check->check(source, check->userdata, &name, &offset, &message);
        if (r != -EINVAL)
                return r;
        if (!message)
                return -ENOMEM;
        const ConfigKey *key = find_set(loader, "Source", name);
        if (key)
                report_value(loader, key, offset, message);
        return 0;
}

static bool files_have(const ConfigFiles *files, const char *name) {
        for (size_t i = 0; i < files->count; i++)
                if (strcmp(files->items[i].name, name) == 0)
                        return true;
        return false;
}

/* `sources` are the files of all sources, so that the name of one that is read later is known,
 * too. */
static void check_fallback(const Loader *loader, const SourceConfig *source, const ConfigFiles *sources) {
        const ConfigKey *text = find_set(loader, "Fallback", "Text");
        const ConfigKey *other = find_set(loader, "Fallback", "Source");

        if (!other || !source->fallback_source)
                return;
        if (strcmp(source->fallback_source, source->name) == 0)
                report_value(loader, other, 0, "a source cannot stand in for itself");
        else if (!files_have(sources, source->fallback_source))
                report_value(loader, other, 0, "there is no source of this name");
        if (text && source->fallback_text)
                report_value(loader, other, 0,
                             "Text= is given, too; only one of the two can stand in");
}

static int
check_source(const Loader *loader, const SourceConfig *source, const ConfigFiles *sources,
             const ConfigOptions *options) {
        const ConfigKey *body = find_set(loader, "Source", "Body");
        const ConfigKey *url = config_key_find(loader->keys, loader->n_keys, "Source", "URL");

        if (find_set(loader, "Source", "URL") && !source->url)
                report_value(loader, url, 0, "it must not be empty");
        else if (!loader_origin(loader, url)->path && !loader->unreadable)
                config_report_add(loader->report, source->path, 1, 1, "[Source] URL= is missing");
        if (body && source->body && source->method != METHOD_POST)
                report_value(loader, body, 0, "a body is sent only with Method=POST");
        check_not_zero(loader, "Source", "TimeoutSec", source->timeout);
        check_not_zero(loader, "Breaker", "OpenSec", source->breaker_open);
        check_fallback(loader, source, sources);

        for (size_t i = 0; options && i < options->n_checks; i++) {
                int r = apply_check(loader, source, &options->checks[i]);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Becomes a key of replies, a word of command lines and a part of file names. */
static bool is_source_name(const char *name) {
        size_t size = strlen(name);

        for (size_t i = 0; i < size; i++) {
                unsigned char c = (unsigned char) name[i];
                if (c >= 0x80 || (!isalnum(c) && !strchr("_.-", c)))
                        return false;
        }
        return size >= 1 && size <= 64;
}

/* The one of `sources` at that index. */
static int
load_source(const ConfigTree *tree, const ConfigOptions *options, const ConfigFiles *sources,
            size_t index, ConfigReport *report, SourceConfig **ret) {
        const char *name = sources->items[index].name, *path = sources->items[index].path;
        CLEANUP_FREE char *folder = NULL;
        SourceConfig *source = NULL;
        Loader loader;

        int r = source_config_new(&source, name, path);
        if (r < 0)
                return r;
        r = loader_init(&loader, source, source_keys, n_source_keys, report);
        if (r == 0)
                r = load_file(&loader, path);
        if (r == 0 && asprintf(&folder, "sources.d/%s.source.d", name) < 0) {
                folder = NULL;
                r = -ENOMEM;
        }
        if (r == 0)
                r = load_drop_ins(&loader, tree, folder);
        if (r == 0)
                r = check_source(&loader, source, sources, options);
        loader_deinit(&loader);
        if (r < 0)
                source_config_free(source);
        else
                *ret = source;
        return r;
}

static int
load_sources(Config *config, const ConfigTree *tree, const ConfigOptions *options,
             ConfigReport *report) {
        ConfigFiles files;

        int r = config_tree_list(tree, "sources.d", ".source", report, &files);
        if (r < 0)
                return r;
        for (size_t i = 0; i < files.count; i++) {
                char *name = files.items[i].name;
                name[strlen(name) - strlen(".source")] = '\0';
        }
        for (size_t i = 0; i < files.count && r == 0; i++) {
                const ConfigFound *file = &files.items[i];
                SourceConfig *source = NULL;

                if (!is_source_name(file->name))
                        config_report_add(
                                        report, file->path, 1, 1,
                                        "the name of a source has 1 to 64 letters, digits, _ . or -; rename the file");
                r = load_source(tree, options, &files, i, report, &source);
                if (r == 0)
                        r = config_add_source(config, source);
                if (r < 0)
                        source_config_free(source);
        }
        config_files_deinit(&files);
        return r;
}

static int load_main(Config *config, const ConfigTree *tree, ConfigReport *report) {
        CLEANUP_FREE char *path = NULL;
        Loader loader;

        int r = loader_init(&loader, config, config_keys, n_config_keys, report);
        if (r < 0)
                return r;
        r = config_tree_find(tree, "muster.conf", &path);
        if (r > 0)
                r = load_file(&loader, path);
        if (r == 0)
                r = load_drop_ins(&loader, tree, "muster.conf.d");
        if (r == 0) {
                check_not_zero(&loader, "Supervisor", "QueryTimeoutSec", config->query_timeout);
                check_not_zero(&loader, "Inference", "TimeoutSec", config->task_timeout);
        }
        loader_deinit(&loader);
        return r;
}

int config_load(const char *config_dir, const ConfigOptions *options, Config **ret,
                ConfigReport *report) {
        Config *config = NULL;
        ConfigTree tree;

        int r = config_tree_init(&tree, config_dir, options ? options->root : NULL, report);
        if (r < 0)
                return r;
        r = config_new(&config);
        if (r == 0)
                r = load_main(config, &tree, report);
        if (r == 0)
                r = load_sources(config, &tree, options, report);
        if (r == 0)
                r = report->error;
        if (r == 0 && report->n_problems > 0)
                r = -EINVAL;
        config_tree_deinit(&tree);
        if (r < 0)
                config_free(config);
        else
                *ret = config;
        return r;
}
