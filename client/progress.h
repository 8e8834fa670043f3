/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A query that is watched while it runs: one line a source on the terminal, gone when it ends. */

#include "call.h"
#include "text.h"

typedef struct ProgressRow {
        char *source;
        char *verdict; /* NULL while it runs */
        double ms;     /* since the query began, when the verdict came */
} ProgressRow;

typedef struct Progress {
        ProgressRow *rows;
        size_t count;
        size_t done;
        size_t answered;
} Progress;

/* The sources that the reply to Explain names as to be asked. -ENOMEM. */
int progress_init(Progress *progress, const json_t *plan);
void progress_deinit(Progress *progress);

/* Takes in one event of Query. An unknown source gets a row of its own. -EINVAL, -ENOMEM. */
int progress_event(Progress *progress, const json_t *event, double now_ms);

/* One picture: at most view->rows - 1 lines, none wider than the view. Returns the lines. */
size_t progress_draw(const Progress *progress, Buffer *out, const View *view, double now_ms);

/* Calls Query with `more` and shows the way on the terminal `fd` until the answer (or an error) is
 * there. As caller_receive(); -EINTR: SIGINT, SIGTERM or SIGHUP came, and the process should end as
 * if by the signal in *ret_signal. */
int progress_query(
                Caller *caller, const json_t *parameters, Progress *progress, int fd, Reply *ret,
                int *ret_signal);
