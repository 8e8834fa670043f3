/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Reads the configuration tree: muster.conf, sources.d/NAME.source and the drop-ins of both. */

#include "config-report.h"
#include "config.h"

/* Checks one value whose form another layer knows. 0; -EINVAL with the key's name (a key of
 * [Source]), the offset of the offence in its value and a message that the loader frees;
 * -ENOMEM. */
typedef struct ConfigCheck {
        int (*check)(const SourceConfig *source, void *userdata, const char **key_name,
                     size_t *offset_in_value, char **message);
        void *userdata;
} ConfigCheck;

typedef struct ConfigOptions {
        const ConfigCheck *checks; /* each is applied to each source */
        size_t n_checks;
        const char *root; /* goes before the installed directories; NULL: nothing */
} ConfigOptions;

/* Reads the tree below `config_dir`, or that of the installed directories when it is NULL.
 * `options` may be NULL. 0; -EINVAL when the report holds a problem; -ENOMEM. */
int config_load(const char *config_dir, const ConfigOptions *options, Config **ret,
                ConfigReport *report);
