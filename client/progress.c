/* SPDX-License-Identifier: Apache-2.0 */

/* The picture is a summary line and a line per source, drawn again over itself ten times a second
 * while anything runs. Rows keep their places when all fit; otherwise sources that still run are
 * shown, as many as fit, and the summary counts the rest. Every frame is one write. When the
 * terminal changes its width, the lines of the last frame may have been broken into several, so the
 * way back to its first line is counted anew. */

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "fdutil.h"
#include "fields.h"
#include "progress.h"
#include "render.h"

#define FRAME_NS     (NSEC_PER_SEC / 10)
#define NAME_MOST    32
#define ROWS_LEAST   ((size_t) 8)
#define MARK_COLUMNS 4  /* margin, mark, blank */
#define REST_COLUMNS 24 /* time and verdict, with the gaps before them */

typedef struct Screen {
        int fd;
        Buffer plain; /* the frame that is on it, without colours */
} Screen;

static volatile sig_atomic_t caught;

static void on_signal(int number) {
        caught = number;
}

int progress_init(Progress *progress, const json_t *plan) {
        const json_t *sources = json_object_get(plan, "sources");
        size_t count = json_array_size(sources);

        *progress = (Progress){ .rows = calloc(count + 1, sizeof(*progress->rows)) };
        if (!progress->rows)
                return -ENOMEM;
        for (size_t i = 0; i < count; i++) {
                const json_t *source = json_array_get(sources, i);
                const char *name = field_text(source, "source");

                if (!name || !field_true(source, "would_ask"))
                        continue;
                progress->rows[progress->count].source = strdup(name);
                if (!progress->rows[progress->count++].source)
                        return -ENOMEM;
        }
        return 0;
}

void progress_deinit(Progress *progress) {
        for (size_t i = 0; i < progress->count; i++) {
                free(progress->rows[i].source);
                free(progress->rows[i].verdict);
        }
        free(progress->rows);
        *progress = (Progress){ 0 };
}

static ProgressRow *progress_row(Progress *progress, const char *source) {
        for (size_t i = 0; i < progress->count; i++)
                if (strcmp(progress->rows[i].source, source) == 0)
                        return &progress->rows[i];

        ProgressRow *rows =
                        reallocarray(progress->rows, progress->count + 1, sizeof(*progress->rows));
        if (!rows)
                return NULL;
        progress->rows = rows;
        rows[progress->count] = (ProgressRow){ .source = strdup(source) };
        return rows[progress->count].source ? &rows[progress->count++] : NULL;
}

int progress_event(Progress *progress, const json_t *event, double now_ms) {
        const char *source = field_text(event, "source");
        const char *verdict = field_text(json_object_get(event, "result"), "verdict");

        if (!source || !verdict)
                return -EINVAL;
        ProgressRow *row = progress_row(progress, source);
        if (!row)
                return -ENOMEM;
        if (row->verdict)
                return -EINVAL; /* a source is reported once */
        row->verdict = strdup(verdict);
        if (!row->verdict)
                return -ENOMEM;
        row->ms = now_ms;
        progress->done++;
        progress->answered += verdict_is_answered(verdict);
        return 0;
}

static const char *spinner(const View *view, double now_ms) {
        static const char *const unicode[] = { "⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏" };
        static const char *const ascii[] = { "|", "/", "-", "\\" };
        size_t turn = (size_t) (now_ms / 100);

        return view->utf8 ? unicode[turn % ELEMENTSOF(unicode)] : ascii[turn % ELEMENTSOF(ascii)];
}

static const char *mark_of(const View *view, const char *verdict, double now_ms) {
        if (!verdict)
                return spinner(view, now_ms);
        if (verdict_is_answered(verdict))
                return view->utf8 ? "✓" : "+";
        return view->utf8 ? "✗" : "x";
}

static void
draw_row(const ProgressRow *row, Buffer *out, const View *view, size_t name_columns, double now_ms) {
        Tone tone = row->verdict ? verdict_tone(row->verdict) : TONE_BLUE;

        text_own(out, view, tone, "  %s", mark_of(view, row->verdict, now_ms));
        (void) buffer_append_char(out, ' ');
        size_t width = text_put(out, view, row->source, strlen(row->source), name_columns);
        text_fill(out, " ", name_columns - width);
        text_own(out, view, row->verdict ? TONE_PLAIN : TONE_FAINT, "  %6.1f s",
                 (row->verdict ? row->ms : now_ms) / 1000);
        if (row->verdict) {
                (void) buffer_append_string(out, "  ");
                tone_begin(out, view, tone);
                (void) text_put(out, view, row->verdict, strlen(row->verdict), 12);
                tone_end(out, view, tone);
        }
        (void) buffer_append_char(out, '\n');
}

/* `unseen` sources run and have no row. */
static void
draw_summary(const Progress *progress, Buffer *out, const View *view, double now_ms, size_t unseen) {
        char text[128];
        int n =
                        snprintf(text, sizeof(text), "%zu of %zu sources done", progress->done,
                                 progress->count);

        if (progress->done > progress->answered)
                n += snprintf(text + n, sizeof(text) - (size_t) n, ", %zu failed",
                              progress->done - progress->answered);
        if (unseen > 0)
                n += snprintf(text + n, sizeof(text) - (size_t) n, ", %zu more running", unseen);
        n += snprintf(text + n, sizeof(text) - (size_t) n, ", %.1f s", now_ms / 1000);
        (void) text_put(out, view, text, (size_t) n,
                        view->columns > 1 ? view->columns - 1 : view->columns);
        (void) buffer_append_char(out, '\n');
}

static size_t name_columns(const Progress *progress, const View *view) {
        size_t widest = 1, most = NAME_MOST;

        for (size_t i = 0; i < progress->count; i++) {
                const char *source = progress->rows[i].source;

                widest = MAX(widest, text_width(view, source, strlen(source)));
        }
        if (view->columns < MARK_COLUMNS + NAME_MOST + REST_COLUMNS)
                most = view->columns > MARK_COLUMNS + REST_COLUMNS + 1 ?
                                view->columns - MARK_COLUMNS - REST_COLUMNS :
                                1;
        return MIN(widest, most);
}

/* Rows for this many sources. More than fit are a crowd, and a crowd gets half the terminal. */
static size_t rows_for(size_t count, const View *view) {
        size_t room = view->rows > 2 ? view->rows - 2 : 0;
        size_t crowd = MAX((size_t) view->rows / 2, ROWS_LEAST);

        /* A terminal too narrow for a row gets the summary alone. */
        if (view->columns <= MARK_COLUMNS + REST_COLUMNS)
                return 0;
        return count <= room ? count : MIN(room, crowd);
}

size_t progress_draw(const Progress *progress, Buffer *out, const View *view, double now_ms) {
        size_t columns = name_columns(progress, view), rows = rows_for(progress->count, view);
        size_t shown = 0, running = 0;

        for (size_t i = 0; i < progress->count && shown < rows; i++) {
                const ProgressRow *row = &progress->rows[i];

                if (row->verdict && rows < progress->count)
                        continue;
                draw_row(row, out, view, columns, now_ms);
                running += !row->verdict;
                shown++;
        }
        draw_summary(progress, out, view, now_ms, progress->count - progress->done - running);
        return shown + 1;
}

/* The lines that the last frame takes up at the present width. */
static size_t screen_lines(const Screen *screen, const View *view) {
        const char *line = screen->plain.data, *end = line + screen->plain.size;
        size_t lines = 0;

        while (line < end) {
                const char *next = memchr(line, '\n', (size_t) (end - line));
                size_t width = text_width(view, line, (size_t) (next - line));

                lines += 1 + (width > 0 && view->columns > 0 ? (width - 1) / view->columns : 0);
                line = next + 1;
        }
        return view->rows > 0 ? MIN(lines, (size_t) view->rows - 1) : lines;
}

/* Goes over the last frame line by line, with the next or, when `progress` is NULL, with nothing.
 * The screen is never cleared as a whole: some terminals take that for a new page. */
static void
screen_compose(Screen *screen, Buffer *out, const View *view, const Progress *progress,
               double now_ms) {
        size_t before = screen_lines(screen, view), lines = 0;
        View plain = *view;
        Buffer frame = BUFFER_INIT(0);

        plain.color = false;
        buffer_clear(&screen->plain);
        if (progress) {
                (void) progress_draw(progress, &screen->plain, &plain, now_ms);
                lines = progress_draw(progress, &frame, view, now_ms);
        }
        if (before > 0)
                (void) buffer_printf(out, "\033[%zuA", before);
        (void) buffer_append_char(out, '\r');
        for (size_t i = 0; i < frame.size; i++) {
                if (frame.data[i] == '\n')
                        (void) buffer_append_string(out, "\033[K");
                (void) buffer_append_char(out, frame.data[i]);
        }
        if (before > lines) {
                text_fill(out, "\033[K\n", before - lines);
                (void) buffer_printf(out, "\033[%zuA", before - lines);
        }
        if (frame.error < 0 || screen->plain.error < 0)
                out->error = -ENOMEM;
        buffer_deinit(&frame);
}

static int screen_update(Screen *screen, const Progress *progress, double now_ms) {
        View view = view_of(screen->fd);
        Buffer out = BUFFER_INIT(0);

        screen_compose(screen, &out, &view, progress, now_ms);
        int r = out.error < 0 ? out.error : fd_write_all(screen->fd, out.data, out.size);
        buffer_deinit(&out);
        return r;
}

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGWINCH };

/* A signal only has to wake the wait up; what it means is looked at there. */
static void signals_catch(struct sigaction before[]) {
        struct sigaction action = { .sa_handler = on_signal };

        caught = 0;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaction(signals[i], &action, &before[i]);
}

static void signals_restore(const struct sigaction before[]) {
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaction(signals[i], &before[i], NULL);
}

/* Until the last reply. */
static int progress_follow(Caller *caller, Progress *progress, Screen *screen, Reply *ret) {
        uint64_t start = caller_now(), frame = start;

        for (;;) {
                CLEANUP(reply_deinit) Reply reply = { 0 };
                uint64_t now = caller_now();
                int r;

                if (now >= frame) {
                        r = screen_update(screen, progress, time_to_ms(now - start));
                        if (r < 0)
                                return r;
                        frame = now + FRAME_NS;
                }
                r = caller_receive(caller, time_sub(frame, now), &reply);
                if (caught != 0 && caught != SIGWINCH)
                        return -EINTR;
                if (r == -ETIMEDOUT || r == -EINTR)
                        continue;
                if (r < 0)
                        return r;
                if (!reply.continues) {
                        *ret = reply;
                        reply = (Reply){ 0 };
                        return 0;
                }
                /* An event that says nothing is no reason to give the answer up. */
                const json_t *event = json_object_get(reply.parameters, "event");
                if (progress_event(progress, event, time_to_ms(caller_now() - start)) == -ENOMEM)
                        return -ENOMEM;
        }
}

int progress_query(
                Caller *caller, const json_t *parameters, Progress *progress, int fd, Reply *ret,
                int *ret_signal) {
        struct sigaction before[ELEMENTSOF(signals)];
        Screen screen = { .fd = fd };
        int r;

        signals_catch(before);
        r = caller_send(caller, "io.muster.Query", parameters, /* more= */ true);
        if (r >= 0)
                r = progress_follow(caller, progress, &screen, ret);
        (void) screen_update(&screen, NULL, 0);
        signals_restore(before);
        buffer_deinit(&screen.plain);
        if (r == -EINTR)
                *ret_signal = caught;
        return r;
}
