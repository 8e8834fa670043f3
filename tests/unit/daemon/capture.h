/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a call writes to a standard stream. */

#include <stdio.h>
#include <unistd.h>

typedef struct Capture {
        FILE *stream;
        FILE *file;
        int saved; /* where the stream went before */
} Capture;

static inline Capture capture_begin(FILE *stream) {
        (void) fflush(stream);
        Capture capture = { .stream = stream, .file = tmpfile(), .saved = dup(fileno(stream)) };

        assert_non_null(capture.file);
        assert_true(capture.saved >= 0 && dup2(fileno(capture.file), fileno(stream)) >= 0);
        return capture;
}

/* The text, in memory that the next call uses again. */
static inline const char *capture_end(Capture *capture) {
        static char text[16384];

        (void) fflush(capture->stream);
        assert_true(dup2(capture->saved, fileno(capture->stream)) >= 0);
        (void) close(capture->saved);
        rewind(capture->file);
        text[fread(text, 1, sizeof(text) - 1, capture->file)] = '\0';
        (void) fclose(capture->file);
        return text;
}
