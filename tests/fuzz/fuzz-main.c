/* SPDX-License-Identifier: Apache-2.0 */

/* Stands in for libFuzzer: feeds a target every file of the directories (or files) given, which
 * makes a corpus a regression test under any compiler and sanitizer. */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned n_inputs;

static int run_file(const char *path) {
        FILE *file = fopen(path, "re");
        if (!file) {
                perror(path);
                return -1;
        }

        char *data = NULL;
        size_t size = 0, n;
        char chunk[65536];
        while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
                char *grown = realloc(data, size + n);
                if (!grown)
                        abort();
                data = grown;
                for (size_t i = 0; i < n; i++)
                        data[size + i] = chunk[i];
                size += n;
        }
        (void) fclose(file);

        (void) LLVMFuzzerTestOneInput((const uint8_t *) data, size);
        n_inputs++;
        free(data);
        return 0;
}

static int run_path(const char *path) {
        struct stat st;
        if (stat(path, &st) < 0) {
                perror(path);
                return -1;
        }
        if (!S_ISDIR(st.st_mode))
                return run_file(path);

        DIR *directory = opendir(path);
        if (!directory) {
                perror(path);
                return -1;
        }
        int r = 0;
        for (struct dirent *entry; r == 0 && (entry = readdir(directory));) {
                char child[4096];
                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
                r = run_path(child);
        }
        (void) closedir(directory);
        return r;
}

int main(int argc, char **argv) {
        for (int i = 1; i < argc; i++)
                if (run_path(argv[i]) < 0)
                        return EXIT_FAILURE;
        if (n_inputs == 0) {
                fprintf(stderr, "no input given: the corpus is missing\n");
                return EXIT_FAILURE;
        }
        printf("%u inputs replayed\n", n_inputs);
        return EXIT_SUCCESS;
}
