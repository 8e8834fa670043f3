/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "fdutil.h"
#include "output.h"

/* -F: leave at once when it fits, -R: colours, -S: do not wrap tables, -X: leave the screen as it
 * is. */
#define LESS_OPTIONS "FRSX"

static size_t count_lines(const Buffer *text) {
        size_t lines = 0;

        for (size_t i = 0; i < text->size; i++)
                lines += text->data[i] == '\n';
        return lines;
}

/* NULL: do not page. */
static const char *pager_command(void) {
        static const char *const variables[] = { "MUSTER_PAGER", "PAGER" };

        for (size_t i = 0; i < ELEMENTSOF(variables); i++) {
                const char *command = getenv(variables[i]);

                if (command)
                        return *command ? command : NULL;
        }
        return "less";
}

/* -ENOENT when there is no pager to be had; a pager that is left early is no failure. */
static int output_page(const Buffer *text) {
        const char *command = pager_command();

        if (!command)
                return -ENOENT;
        (void) setenv("LESS", LESS_OPTIONS, /* overwrite= */ 0);

        void (*before)(int) = signal(SIGPIPE, SIG_IGN);
        /* The user's own command line, to be read by a shell. NOLINTNEXTLINE(cert-env33-c) */
        FILE *pager = popen(command, "we");
        if (!pager) {
                (void) signal(SIGPIPE, before);
                return -errno;
        }
        (void) fwrite(text->data, 1, text->size, pager);
        int status = pclose(pager);
        (void) signal(SIGPIPE, before);

        bool missing = status >= 0 && WIFEXITED(status) && WEXITSTATUS(status) == 127;
        return missing ? -ENOENT : 0;
}

int output_write(const Buffer *text, const View *view, bool page) {
        if (text->error < 0)
                return text->error;
        if (page && view->terminal && count_lines(text) >= view->rows && output_page(text) >= 0)
                return 0;
        return fd_write_all(STDOUT_FILENO, text->data, text->size);
}

void complain(const char *format, ...) {
        View view = view_of(STDERR_FILENO);
        Buffer line = BUFFER_INIT(0);
        CLEANUP_FREE char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        int n = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (n < 0) {
                text = NULL;
                return;
        }
        text_own(&line, &view, TONE_BAD, "musterctl:");
        (void) buffer_append_char(&line, ' ');
        (void) text_put(&line, &view, text, (size_t) n, 0);
        (void) buffer_append_char(&line, '\n');
        if (line.error == 0)
                (void) fd_write_all(STDERR_FILENO, line.data, line.size);
        buffer_deinit(&line);
}

void status_line(const char *text) {
        View view = view_of(STDERR_FILENO);
        Buffer line = BUFFER_INIT(0);

        if (!view.terminal)
                return;
        (void) buffer_append_string(&line, "\r\033[K");
        if (text)
                (void) text_put(&line, &view, text, strlen(text), view.columns - 1);
        if (line.error == 0)
                (void) fd_write_all(STDERR_FILENO, line.data, line.size);
        buffer_deinit(&line);
}
