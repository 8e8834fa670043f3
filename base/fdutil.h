/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Sets O_NONBLOCK and FD_CLOEXEC on a descriptor made by somebody else. Negative errno. */
int fd_prepare(int fd);

/* Raises the soft RLIMIT_NOFILE to the hard limit and returns the limit in force, or a negative
 * errno. */
int64_t fd_raise_limit(void);

/* Writes all of it to a blocking descriptor. Negative errno. */
int fd_write_all(int fd, const void *data, size_t size);
