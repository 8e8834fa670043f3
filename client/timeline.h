/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An answer's timeline, drawn as bars on a time axis. */

#include <jansson.h>

#include "spans.h"
#include "text.h"

/* `timeline` is the member of an answer. -EINVAL when it is none, -ENOMEM. */
int timeline_render(Buffer *out, const View *view, const json_t *timeline);

/* One paragraph: the steps of the path with their lengths. */
void timeline_render_path(Buffer *out, const View *view, const CriticalPath *path);
