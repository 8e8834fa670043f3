/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Confines the process for good: afterwards it computes on the memory it has, waits on its futex
 * and rings its doorbell, and any other system call ends it. Both functions log what fails. */

#include <stddef.h>
#include <sys/types.h>

/* First thing of all: ties this process's life to the supervisor's, makes it the first victim when
 * memory runs out, and sets malloc() up for a life without madvise(2) and mremap(2). Negative
 * errno; -ESRCH: the supervisor is gone already. */
int sandbox_begin(pid_t supervisor);

/* Last thing before the first task, when everything is mapped, loaded and allocated; `mapped` is
 * the size of the shared mappings, on top of which the memory limit stands. Closes every descriptor
 * but `doorbell`. Returns 0; a failure before stderr is closed is a negative errno, one after it
 * exits with WORKER_EXIT_FILTER. */
int sandbox_enter(int doorbell, size_t mapped);
