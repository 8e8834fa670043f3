/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Scope-bound ownership: build into a local marked with one of these, hand over last with TAKE_PTR
 * or TAKE_FD. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *pointer) {
        free(*(void **) pointer);
}

static inline void cleanup_close(const int *fd) {
        if (*fd >= 0) {
                int saved = errno;
                (void) close(*fd);
                errno = saved;
        }
}

static inline void cleanup_fclose(FILE **file) {
        if (*file)
                (void) fclose(*file);
}

#define CLEANUP(function) __attribute__((cleanup(function)))
#define CLEANUP_FREE      CLEANUP(cleanup_free)
#define CLEANUP_CLOSE     CLEANUP(cleanup_close)
#define CLEANUP_FCLOSE    CLEANUP(cleanup_fclose)

/* Defines cleanup_NAME() for pointers released by `release`, which must accept NULL. */
#define DEFINE_CLEANUP(type, release)                          \
        static inline void cleanup_##release(type **pointer) { \
                release(*pointer);                             \
        }

#define TAKE_PTR(pointer)                               \
        __extension__({                                 \
                __typeof__(pointer) _taken = (pointer); \
                (pointer) = NULL;                       \
                _taken;                                 \
        })

#define TAKE_FD(fd)                \
        __extension__({            \
                int _taken = (fd); \
                (fd) = -1;         \
                _taken;            \
        })
