/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the supervisor shows of itself: the replies of GetStatus, ListSources and DescribeSource,
 * and systemd's STATUS= line. */

#include "buffer.h"
#include "supervisor.h"

/* Negative errno. */
int status_write(Supervisor *supervisor, Buffer *out);
int status_list_sources(const Supervisor *supervisor, Buffer *out);
/* -ENOENT. */
int status_describe_source(const Supervisor *supervisor, const char *name, Buffer *out);

/* One line for people. */
#define STATUS_TEXT_MAX 256
void status_text(const Supervisor *supervisor, char out[static STATUS_TEXT_MAX]);
