/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Configurations of tests, made without files. What cannot be made ends the test, also without
 * assertions. */

#include <stdlib.h>
#include <string.h>

#include "config.h"

/* Sets "Key=value". */
static inline void make_setting(SourceConfig *source, const char *setting) {
        size_t size = strcspn(setting, "=");
        char *message = NULL;

        for (size_t i = 0; i < n_source_keys; i++)
                if (strlen(source_keys[i].name) == size &&
                    strncmp(source_keys[i].name, setting, size) == 0) {
                        int r = config_set(source, &source_keys[i], setting + size + 1, &message);
                        if (r != 0)
                                abort();
                        return;
                }
        abort(); /* there is no such key */
}

/* `settings` ends with NULL. */
static inline SourceConfig *make_source(const char *name, const char *const settings[]) {
        SourceConfig *source = NULL;

        int r = source_config_new(&source, name, "/etc/muster/sources.d/x.source");
        if (r != 0)
                abort();
        for (size_t i = 0; settings[i]; i++)
                make_setting(source, settings[i]);
        return source;
}

static inline Config *make_config(void) {
        Config *config = NULL;

        int r = config_new(&config);
        if (r != 0)
                abort();
        return config;
}

static inline void make_config_source(Config *config, const char *name, const char *const settings[]) {
        int r = config_add_source(config, make_source(name, settings));

        if (r != 0)
                abort();
}

#define SETTINGS(...) ((const char *const[]){ __VA_ARGS__, NULL })
