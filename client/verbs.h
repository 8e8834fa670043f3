/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* musterctl from its command line to its exit status. */

#define SOCKET_DEFAULT "/run/muster/io.muster"

typedef enum ExitStatus {
        STATUS_SUCCESS,
        STATUS_FAILED,      /* the query failed, or the call was refused */
        STATUS_USAGE,       /* the command line is wrong */
        STATUS_UNREACHABLE, /* no daemon, or it went away */
} ExitStatus;

int musterctl_run(int argc, char *argv[]);
