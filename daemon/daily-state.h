/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What has been drawn upon Daily= as text for the state file, one line a source: day (of UTC, from
 * 1970), number, name. Pure. */

#include <stddef.h>

#include "source.h"

/* Sources that have been asked; errors stay in the buffer. */
void daily_state_write(const SourceTable *table, Buffer *out);

/* Lines that are not understood and sources that are not known are passed over: a quota that is
 * forgotten is better than a daemon that does not start. */
void daily_state_read(SourceTable *table, const char *text, size_t size);
