/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The life of a worker process: map, confine, then task after task until it is retired. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lane.h"
#include "layout.h"

typedef struct Runner {
        Segment *segment;
        const uint8_t *arena;
        size_t arena_size;
        int doorbell;
        uint64_t spin_ns; /* looked at the lane for so long before sleeping */
        LaneEnd submission;
        LaneEnd completion;
        uint64_t area_offset; /* of the result area; copied from the header, as the next */
        uint64_t area_size;
        uint64_t area_used; /* bytes that the supervisor may still have to read */
} Runner;

/* Maps the arena and the segment. Negative errno; logged. */
int runner_init(Runner *runner, int arena_fd, int segment_fd, int doorbell);
void runner_deinit(Runner *runner);

/* Works until it is retired and its lane is empty: 0. -EBADMSG: the supervisor broke the
 * protocol. */
int runner_run(Runner *runner);

/* All of it, with the descriptors WORKER_FD_*. Returns what to exit with before the sandbox is
 * closed, and exits itself afterwards. */
int runner_main(pid_t supervisor);
