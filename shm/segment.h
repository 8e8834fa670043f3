/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Making, mapping and checking of lane segments. */

#include <stddef.h>

#include "layout.h"

/* Supervisor: creates the object (O_EXCL, 0600, unlinked at once, pages reserved), maps it and
 * writes the header. *ret_fd is for the worker; close it after the spawn. Negative errno (-ENOSPC:
 * /dev/shm is full). */
int segment_new(Segment **ret, int *ret_fd, uint64_t result_area_size, uint64_t arena_size);

/* Worker: maps and checks. -EBADMSG: not such a segment. */
int segment_map(Segment **ret, int fd);

/* Either side; takes NULL, returns NULL. */
Segment *segment_unmap(Segment *segment);

static inline void *segment_result_area(const Segment *segment, uint64_t result_offset) {
        return (char *) (uintptr_t) segment + result_offset;
}

/* Creates a POSIX shared-memory object as above and returns its descriptor (read-write), with a
 * second one opened read-only when `ret_read_fd` is not NULL. Used by segment and arena. */
int shm_create(size_t size, int *ret_read_fd);
