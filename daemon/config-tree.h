/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which files of the configuration directories count, and their bytes. */

#include <stddef.h>

#include "config-report.h"

#define CONFIG_FILE_MAX ((size_t) 1 << 20)

/* Directories, the one that wins first. */
typedef struct ConfigTree {
        char *directories[3];
        size_t n_directories;
} ConfigTree;

typedef struct ConfigFound {
        char *name; /* without the folder */
        char *path;
        size_t rank; /* of its directory */
} ConfigFound;

typedef struct ConfigFiles {
        ConfigFound *items;
        size_t count;
        size_t capacity;
} ConfigFiles;

/* With `config_dir` the tree is that directory alone; it must be there, or the report says so and
 * there are no files. -ENOMEM. */
int config_tree_init(ConfigTree *tree, const char *config_dir, const char *root, ConfigReport *report);
void config_tree_deinit(ConfigTree *tree);

/* The one file FOLDER/NAME that counts (folder NULL: of the directories themselves). 0: none, or it
 * is masked; 1: found, the caller frees the path; -ENOMEM. */
int config_tree_find(const ConfigTree *tree, const char *name, char **ret_path);

/* All files of that folder whose names end in `suffix`, one for each name, sorted by name; masked
 * ones are left out. Folders that cannot be read are reported. -ENOMEM. */
int config_tree_list(
                const ConfigTree *tree, const char *folder, const char *suffix,
                ConfigReport *report, ConfigFiles *ret);
void config_files_deinit(ConfigFiles *files);

/* The content of a regular file; the caller frees it. -EINVAL: reported; -ENOMEM. */
int config_tree_read(const char *path, ConfigReport *report, char **ret, size_t *ret_size);
