/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* simulate:?delay=2s&fail=0.5&bytes=1024&status=200: a source without a network, for demonstrations
 * and tests. It answers after `delay` with `bytes` of text, or fails to connect with the
 * probability `fail`. Pure. */

#include <stddef.h>
#include <stdint.h>

typedef struct Simulation {
        uint64_t delay_ns;
        double fail; /* 0 to 1 */
        uint64_t bytes;
        int status;
} Simulation;

/* `query` is what follows '?'. -EINVAL with a static reason. */
int simulation_parse(const char *query, Simulation *ret, const char **ret_reason);

/* Fills `out` with `size` bytes of plain text about the question. */
void simulation_write(
                char *out, size_t size, const char *source, const char *question,
                size_t question_size);
