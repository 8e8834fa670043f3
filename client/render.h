/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Replies for people. All are pure: a JSON tree and a View go in, text comes out. What a reply
 * lacks is left out; what it has beyond this program's knowledge is shown as it is, where that is
 * possible. They return 0 or -ENOMEM. */

#include <jansson.h>

#include "text.h"

int render_answer(Buffer *out, const View *view, const json_t *answer);
int render_explain(Buffer *out, const View *view, const json_t *plan);
int render_sources(Buffer *out, const View *view, const json_t *list);
int render_source(Buffer *out, const View *view, const json_t *source);
int render_status(Buffer *out, const View *view, const json_t *status);
int render_event(Buffer *out, const View *view, const json_t *event); /* times are local */
int render_flush(Buffer *out, const View *view, const json_t *flushed);

/* What SetBreaker has done; the setting is one of the interface's. */
void render_breaker(Buffer *out, const View *view, const char *source, const char *setting);

/* A sentence that says what the Varlink error means and what to do; the caller frees. NULL: no
 * memory. */
char *render_error(const char *name, const json_t *parameters);

/* How a verdict is to be taken. */
Tone verdict_tone(const char *verdict);
bool verdict_is_answered(const char *verdict);
