/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a configuration file: read, and each value given to the key of its name in both
 * tables. What was taken must be written as text that is taken again and means the same; what was
 * refused must have a message. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "ini.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Objects {
        Config *config;
        SourceConfig *source;
        char section[64];
} Objects;

static void require(bool condition) {
        if (!condition)
                abort();
}

static void try_value(void *object, const ConfigKey *key, const char *value) {
        char *message = NULL;

        int r = config_set(object, key, value, &message);
        require((r == 0) == (message == NULL));
        free(message);
        if (r < 0)
                return;

        char *text = config_get_text(object, key);
        require(text);
        /* A list grows with each value and has no text of its own form. */
        if (key->type != CONFIG_LIST) {
                require(config_set(object, key, text, &message) == 0);
                char *again = config_get_text(object, key);
                require(again && strcmp(text, again) == 0);
                free(again);
        }
        free(text);
}

static int on_section(void *userdata, const char *name, unsigned line, unsigned column) {
        Objects *objects = userdata;
        size_t size = strlen(name);

        require(line > 0 && column > 0 && size > 0);
        objects->section[0] = '\0';
        if (size < sizeof(objects->section))
                memcpy(objects->section, name, size + 1);
        return 0;
}

static int on_assignment(void *userdata, const IniAssignment *assignment) {
        Objects *objects = userdata;

        IniPlace end = ini_place(assignment->places, assignment->n_places, strlen(assignment->value));
        require(assignment->line > 0 && assignment->column > 0 && assignment->n_places > 0);
        require(end.line >= assignment->line && end.column > 0);

        const ConfigKey *key = config_key_find(
                        config_keys, n_config_keys, objects->section, assignment->key);
        if (key)
                try_value(objects->config, key, assignment->value);
        key = config_key_find(source_keys, n_source_keys, objects->section, assignment->key);
        if (key)
                try_value(objects->source, key, assignment->value);
        return 0;
}

static int on_error(void *userdata, unsigned line, unsigned column, const char *message) {
        require(line > 0 && column > 0 && message);
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const IniHandler handler = { on_section, on_assignment, on_error };
        Objects objects = {};

        require(config_new(&objects.config) == 0);
        require(source_config_new(&objects.source, "fuzz", "fuzz.source") == 0);
        require(ini_parse(data ? (const char *) data : "", size, &handler, &objects) == 0);
        source_config_free(objects.source);
        config_free(objects.config);
        return 0;
}
