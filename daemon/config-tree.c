/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "config-tree.h"

/* The precedence is systemd's: of files with the same name in the same folder the one in the first
 * directory counts and the others do not exist; a symbolic link to /dev/null counts as well, and
 * then there is none. Names that begin with a dot and names with another ending (editors leave them
 * behind) are no configuration. */

static void free_closedir(DIR *directory) {
        if (directory)
                (void) closedir(directory);
}

DEFINE_CLEANUP(DIR, free_closedir)

int config_tree_init(ConfigTree *tree, const char *config_dir, const char *root, ConfigReport *report) {
        static const char *const installed[] = {
                MUSTER_SYSCONFDIR,
                "/run/muster.d",
                "/usr/lib/muster",
        };
        struct stat st;

        *tree = (ConfigTree){};
        if (config_dir && stat(config_dir, &st) < 0) {
                config_report_add(report, config_dir, 1, 1, "the directory cannot be used: %m");
                return 0;
        }
        if (config_dir && !S_ISDIR(st.st_mode)) {
                config_report_add(report, config_dir, 1, 1, "this is not a directory");
                return 0;
        }
        if (config_dir) {
                tree->directories[0] = strdup(config_dir);
                tree->n_directories = 1;
                return tree->directories[0] ? 0 : -ENOMEM;
        }
        for (size_t i = 0; i < ELEMENTSOF(installed); i++) {
                if (asprintf(&tree->directories[i], "%s%s", root ? root : "", installed[i]) < 0) {
                        config_tree_deinit(tree);
                        return -ENOMEM;
                }
                tree->n_directories++;
        }
        return 0;
}

void config_tree_deinit(ConfigTree *tree) {
        for (size_t i = 0; i < tree->n_directories; i++)
                free(tree->directories[i]);
        *tree = (ConfigTree){};
}

static bool is_masked(const char *path) {
        struct stat st;
        return stat(path, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

int config_tree_find(const ConfigTree *tree, const char *name, char **ret_path) {
        for (size_t i = 0; i < tree->n_directories; i++) {
                CLEANUP_FREE char *path = NULL;
                struct stat st;

                if (asprintf(&path, "%s/%s", tree->directories[i], name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                /* A dangling link is there, and reading it will tell. */
                if (lstat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
                        continue;
                if (is_masked(path))
                        return 0;
                *ret_path = TAKE_PTR(path);
                return 1;
        }
        return 0;
}

void config_files_deinit(ConfigFiles *files) {
        for (size_t i = 0; i < files->count; i++) {
                free(files->items[i].name);
                free(files->items[i].path);
        }
        free(files->items);
        *files = (ConfigFiles){};
}

static int files_add(ConfigFiles *files, const char *folder, const char *name, size_t rank) {
        if (files->count == files->capacity) {
                size_t capacity = files->capacity > 0 ? 2 * files->capacity : 16;
                ConfigFound *items = reallocarray(files->items, capacity, sizeof(*items));
                if (!items)
                        return -ENOMEM;
                files->items = items;
                files->capacity = capacity;
        }

        ConfigFound found = { .name = strdup(name), .rank = rank };
        if (!found.name || asprintf(&found.path, "%s/%s", folder, name) < 0) {
                free(found.name);
                return -ENOMEM;
        }
        files->items[files->count++] = found;
        return 0;
}

static bool has_suffix(const char *name, const char *suffix) {
        size_t size = strlen(name), suffix_size = strlen(suffix);
        return size > suffix_size && strcmp(name + size - suffix_size, suffix) == 0;
}

/* Everything of one folder, in no order. */
static int
list_folder(const char *path, const char *suffix, size_t rank, ConfigReport *report,
            ConfigFiles *files) {
        CLEANUP(cleanup_free_closedir) DIR *directory = opendir(path);
        if (!directory) {
                if (errno != ENOENT)
                        config_report_add(report, path, 1, 1, "the directory cannot be read: %m");
                return errno == ENOMEM ? -ENOMEM : 0;
        }
        for (struct dirent *entry; (entry = readdir(directory));) {
                if (entry->d_name[0] == '.' || !has_suffix(entry->d_name, suffix))
                        continue;
                int r = files_add(files, path, entry->d_name, rank);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int compare_found(const void *a, const void *b) {
        const ConfigFound *x = a, *y = b;
        int order = strcmp(x->name, y->name);

        return order != 0 ? order : (x->rank > y->rank) - (x->rank < y->rank);
}

/* Keeps the first of each name, unless that one is masked. The items are sorted. */
static void files_settle(ConfigFiles *files) {
        size_t kept = 0;

        for (size_t i = 0, next; i < files->count; i = next) {
                ConfigFound *items = files->items, winner = items[i];

                for (next = i + 1; next < files->count; next++) {
                        if (strcmp(items[next].name, winner.name) != 0)
                                break;
                        free(items[next].name);
                        free(items[next].path);
                }
                if (is_masked(winner.path)) {
                        free(winner.name);
                        free(winner.path);
                } else
                        items[kept++] = winner;
        }
        files->count = kept;
}

int config_tree_list(
                const ConfigTree *tree, const char *folder, const char *suffix,
                ConfigReport *report, ConfigFiles *ret) {
        ConfigFiles files = {};

        for (size_t i = 0; i < tree->n_directories; i++) {
                CLEANUP_FREE char *path = NULL;
                int r = -ENOMEM;

                if (asprintf(&path, "%s/%s", tree->directories[i], folder) >= 0)
                        r = list_folder(path, suffix, i, report, &files);
                else
                        path = NULL;
                if (r < 0) {
                        config_files_deinit(&files);
                        return r;
                }
        }
        if (files.count > 0)
                qsort(files.items, files.count, sizeof(*files.items), compare_found);
        files_settle(&files);
        *ret = files;
        return 0;
}

/* Opens nothing that could make us wait: a FIFO opens at once without O_NONBLOCK's opposite end. */
static int open_regular(const char *path, ConfigReport *report) {
        CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        struct stat st;

        if (fd < 0 && errno == EACCES)
                config_report_add(
                                report, path, 1, 1,
                                "permission to read the file is denied; give it to the user that musterd runs as "
                                "(chmod, chown)");
        else if (fd < 0 || fstat(fd, &st) < 0)
                config_report_add(report, path, 1, 1, "the file cannot be read: %m");
        else if (!S_ISREG(st.st_mode))
                config_report_add(
                                report, path, 1, 1, "this is %s; a regular file is needed",
                                S_ISDIR(st.st_mode) ? "a directory" : "no regular file");
        else
                return TAKE_FD(fd);
        return -EINVAL;
}

int config_tree_read(const char *path, ConfigReport *report, char **ret, size_t *ret_size) {
        CLEANUP_CLOSE int fd = open_regular(path, report);
        if (fd < 0)
                return fd;

        /* One byte more than is allowed tells whether the file is too long, whatever its size
         * says. */
        CLEANUP_FREE char *text = malloc(CONFIG_FILE_MAX + 1);
        size_t size = 0;
        ssize_t n = 0;
        if (!text)
                return -ENOMEM;
        do {
                size += (size_t) n;
                n = read(fd, text + size, CONFIG_FILE_MAX + 1 - size);
        } while (n > 0);

        if (n < 0) {
                config_report_add(report, path, 1, 1, "the file cannot be read: %m");
                return -EINVAL;
        }
        if (size > CONFIG_FILE_MAX) {
                config_report_add(report, path, 1, 1, "the file is longer than 1 MiB");
                return -EINVAL;
        }
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}
