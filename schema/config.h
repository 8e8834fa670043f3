/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The configuration as the program sees it, expanded from config.def. Times are ns, sizes bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct StringList {
        char **items;
        size_t count;
} StringList;

/* At most `count` in each period; count 0: no rate is set. */
typedef struct RateSpec {
        uint64_t count;
        uint64_t period_ns;
} RateSpec;

typedef enum IoBackendChoice {
        IO_CHOICE_AUTO,
        IO_CHOICE_URING,
} IoBackendChoice;

typedef enum SourceClass {
        CLASS_OPTIONAL,
        CLASS_REQUIRED,
} SourceClass;

typedef enum RequestMethod {
        METHOD_GET,
        METHOD_POST,
} RequestMethod;

/* What a source has that leaves a setting to muster.conf. */
#define CONFIG_ENGINE_DEFAULT (-1)
#define CONFIG_SEC_DEFAULT    UINT64_MAX

#define CONFIG_TYPE_SEC          uint64_t
#define CONFIG_TYPE_SEC_OPTIONAL uint64_t
#define CONFIG_TYPE_SEC_INHERIT  uint64_t
#define CONFIG_TYPE_SIZE         uint64_t
#define CONFIG_TYPE_COUNT        uint64_t
#define CONFIG_TYPE_AUTO         uint64_t
#define CONFIG_TYPE_PERCENTILE   uint64_t
#define CONFIG_TYPE_RATE         RateSpec
#define CONFIG_TYPE_INT          int64_t
#define CONFIG_TYPE_BOOL         bool
#define CONFIG_TYPE_STRING       char *
#define CONFIG_TYPE_LIST         StringList
#define CONFIG_TYPE_ENGINE       int
#define CONFIG_TYPE_BACKEND      int
#define CONFIG_TYPE_CLASS        int
#define CONFIG_TYPE_METHOD       int
#define CONFIG_TYPE_POINTER      char *

/* One NAME.source. */
typedef struct SourceConfig {
        char *name;
        char *path; /* of the file it came from */
#define SOURCE_KEY(section, name, field, type, ...) CONFIG_TYPE_##type field;
#include "config.def"
#undef SOURCE_KEY
} SourceConfig;

typedef struct Config {
#define KEY(section, name, field, type, ...) CONFIG_TYPE_##type field;
#include "config.def"
#undef KEY
        SourceConfig **sources; /* sorted by name */
        size_t n_sources;
} Config;

typedef enum ConfigType {
        CONFIG_SEC,
        CONFIG_SEC_OPTIONAL,
        CONFIG_SEC_INHERIT,
        CONFIG_SIZE,
        CONFIG_COUNT,
        CONFIG_AUTO,
        CONFIG_PERCENTILE,
        CONFIG_RATE,
        CONFIG_INT,
        CONFIG_BOOL,
        CONFIG_STRING,
        CONFIG_LIST,
        CONFIG_ENGINE,
        CONFIG_BACKEND,
        CONFIG_CLASS,
        CONFIG_METHOD,
        CONFIG_POINTER,
} ConfigType;

typedef struct ConfigKey {
        const char *section;
        const char *name;
        size_t offset; /* of the field in Config or SourceConfig */
        ConfigType type;
        const char *default_text;
        int64_t min, max;
        const char *help;
} ConfigKey;

extern const ConfigKey config_keys[];
extern const size_t n_config_keys;
extern const ConfigKey source_keys[];
extern const size_t n_source_keys;

const ConfigKey *config_key_find(const ConfigKey *keys, size_t n, const char *section, const char *name);

/* Sets one field from text. 0, or a negative errno with `ret_message` set to a message for people
 * that the caller frees (may be NULL when memory is short). */
int config_set(void *object, const ConfigKey *key, const char *value, char **ret_message);

/* The field as text, as it would stand in a file (a LIST: its items, one a line); the caller
 * frees. */
char *config_get_text(const void *object, const ConfigKey *key);

/* All fields at their defaults. -ENOMEM. */
int config_new(Config **ret);
Config *config_free(Config *config);
int source_config_new(SourceConfig **ret, const char *name, const char *path);
SourceConfig *source_config_free(SourceConfig *source);

/* Insertion in order of name. -EEXIST, -ENOMEM. The config owns it afterwards. */
int config_add_source(Config *config, SourceConfig *source);
const SourceConfig *config_find_source(const Config *config, const char *name);

const char *source_class_name(int source_class);
const char *request_method_name(int method);
const char *engine_name(int engine);
/* -EINVAL */
int engine_from_name(const char *name);
