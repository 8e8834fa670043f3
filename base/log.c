/* SPDX-License-Identifier: Apache-2.0 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "utf8.h"

/* An entry is put together in one area on the stack, already escaped: pieces "NAME=value", each
 * ended by NUL. The journal gets them as they are, a terminal the message alone (the fields too
 * when debugging). Nothing is allocated, so that "out of memory" can be logged; what does not fit
 * is cut or left out.
 *
 * Entries less urgent than a warning share a token bucket: a source that fails a thousand times a
 * second must not fill the journal, where it would push the useful entries out. Warnings and errors
 * always pass. Entries that were kept back are counted and reported with the next one that passes.
 *
 * The state is that of the program: one thread logs. */

#define MESSAGE_MAX 2048 /* bytes of one message before it is escaped */
#define ENTRY_MAX   12288
#define PIECES_MAX  24
#define BUCKET_MAX  1000                /* entries ... */
#define BUCKET_NS   (10 * NSEC_PER_SEC) /* ... within this time */

static struct {
        const char *identifier;
        LogTarget target;
        int max_level;
        uint64_t refilled; /* when `tokens` was counted last */
        uint64_t tokens;
        uint64_t suppressed;
} state = {
        .target = LOG_TARGET_STDERR,
        .max_level = LOG_INFO,
        .tokens = BUCKET_MAX,
};

typedef struct Entry {
        char area[ENTRY_MAX];
        size_t used;
        struct iovec pieces[PIECES_MAX];
        size_t n_pieces;
        size_t message; /* which of them; the caller's fields follow it */
} Entry;

/* systemd.exec(5): device and inode of the stream, so that a redirected stderr is not taken for
 * it. */
static bool stderr_is_journal(void) {
        const char *text = getenv("JOURNAL_STREAM");
        char expected[48];
        struct stat st;

        if (!text || fstat(STDERR_FILENO, &st) < 0)
                return false;
        (void) snprintf(expected, sizeof(expected), "%llu:%llu", (unsigned long long) st.st_dev,
                        (unsigned long long) st.st_ino);
        return strcmp(text, expected) == 0;
}

void log_open(const char *identifier, LogTarget target, int max_level) {
        if (target == LOG_TARGET_AUTO)
                target = stderr_is_journal() ? LOG_TARGET_JOURNAL : LOG_TARGET_STDERR;
        state.identifier = identifier;
        state.target = target;
        state.max_level = max_level;
}

int log_max_level(void) {
        return state.max_level;
}

static const char *log_identifier(void) {
        return state.identifier ? state.identifier : program_invocation_short_name;
}

/* C0 and C1 controls; what turns the direction of text or ends a line: shown, these would let text
 * from outside look like something else. */
static bool is_unsafe(uint32_t c) {
        return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || c == 0x200e || c == 0x200f ||
                        (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

char *log_escape(char *out, size_t size, const char *text, size_t text_size) {
        static const char digits[] = "0123456789ABCDEF";
        size_t at = 0, length;

        assert(size > 0);
        for (size_t i = 0; i < text_size; i += length) {
                uint32_t c;

                length = utf8_decode(text + i, text_size - i, &c);
                bool escape = length == 0 || is_unsafe(c);
                if (length == 0)
                        length = 1;

                if (at + length * (escape ? 4 : 1) >= size)
                        break;
                for (size_t k = i; k < i + length; k++)
                        if (escape) {
                                unsigned char byte = (unsigned char) text[k];
                                out[at++] = '\\';
                                out[at++] = 'x';
                                out[at++] = digits[byte >> 4];
                                out[at++] = digits[byte & 15];
                        } else
                                out[at++] = text[k];
        }
        out[at] = '\0';
        return out;
}

/* writev() does not write to what it is given, though its type says so. */
static struct iovec text_piece(const char *text) {
        union {
                const char *in;
                void *out;
        } base = { .in = text };
        return (struct iovec){ .iov_base = base.out, .iov_len = strlen(text) };
}

/* Adds "NAME=value", unless there is no room for the name and something of the value. */
static void entry_add(Entry *entry, const char *name, const char *value) {
        size_t name_size = strlen(name), room = sizeof(entry->area) - entry->used;
        char *piece = entry->area + entry->used;

        if (entry->n_pieces == PIECES_MAX || room < name_size + 16)
                return;
        char *at = mempcpy(piece, name, name_size);
        *at = '=';
        (void) log_escape(at + 1, room - name_size - 1, value, strlen(value));

        size_t size = strlen(piece);
        entry->pieces[entry->n_pieces++] = (struct iovec){ .iov_base = piece, .iov_len = size };
        entry->used += size + 1;
}

/* The message and, if wanted, the fields behind it. One system call a line, so that lines of
 * several processes do not mix. There is nobody to tell a failure. */
static void entry_to_stderr(const Entry *entry, bool with_fields) {
        struct iovec line[2 * PIECES_MAX + 2], message = entry->pieces[entry->message];
        int n = 0;

        message.iov_base = (char *) message.iov_base + strlen("MESSAGE=");
        message.iov_len -= strlen("MESSAGE=");
        line[n++] = text_piece(log_identifier());
        line[n++] = text_piece(": ");
        line[n++] = message;
        for (size_t i = entry->message + 1; with_fields && i < entry->n_pieces; i++) {
                line[n++] = text_piece(" ");
                line[n++] = entry->pieces[i];
        }
        line[n++] = text_piece("\n");
        ssize_t written = writev(STDERR_FILENO, line, n);
        (void) written;
}

/* `text` is what came out of the caller's format. */
static void log_write(int level, const char *message_id, const LogField fields[], const char *text) {
        static const char *const priorities[] = { "0", "1", "2", "3", "4", "5", "6", "7" };
        Entry entry;
        entry.used = entry.n_pieces = 0;

        entry_add(&entry, "PRIORITY", priorities[level]);
        entry_add(&entry, "SYSLOG_IDENTIFIER", log_identifier());
        if (message_id)
                entry_add(&entry, "MESSAGE_ID", message_id);
        entry.message = entry.n_pieces;
        entry_add(&entry, "MESSAGE", text);
        for (const LogField *field = fields; field && field->name; field++)
                if (field->value)
                        entry_add(&entry, field->name, field->value);

        if (state.target == LOG_TARGET_STDERR ||
            sd_journal_sendv(entry.pieces, (int) entry.n_pieces) < 0)
                entry_to_stderr(&entry, state.max_level >= LOG_DEBUG);
}

/* Takes a token; false when there is none. */
static bool bucket_take(void) {
        const uint64_t interval = BUCKET_NS / BUCKET_MAX;
        struct timespec ts;

        (void) clock_gettime(CLOCK_MONOTONIC, &ts);
        uint64_t now = (uint64_t) ts.tv_sec * NSEC_PER_SEC + (uint64_t) ts.tv_nsec;
        uint64_t earned = time_sub(now, state.refilled) / interval;

        state.tokens = MIN(state.tokens + earned, (uint64_t) BUCKET_MAX);
        state.refilled += earned * interval;
        if (state.tokens == 0)
                return false;
        state.tokens--;
        return true;
}

static bool log_admit(int level) {
        char text[96];

        if (level > state.max_level || state.target == LOG_TARGET_NULL)
                return false;
        if (level > LOG_WARNING && !bucket_take()) {
                state.suppressed++;
                return false;
        }
        if (state.suppressed > 0 && bucket_take()) {
                (void) snprintf(text, sizeof(text),
                                "%llu entries were left out: more than %d in 10 s",
                                (unsigned long long) state.suppressed, BUCKET_MAX);
                state.suppressed = 0;
                log_write(LOG_NOTICE, NULL, NULL, text);
        }
        return true;
}

void log_fields(int level, const char *message_id, const LogField fields[], const char *format, ...) {
        char text[MESSAGE_MAX];
        va_list arguments;
        int saved = errno;

        assert(level >= LOG_EMERG && level <= LOG_DEBUG);
        if (!log_admit(level))
                return;
        errno = saved; /* for %m */
        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        log_write(level, message_id, fields, text);
        errno = saved;
}

int log_errno(int error, const char *format, ...) {
        char text[MESSAGE_MAX / 2];
        va_list arguments;

        va_start(arguments, format);
        (void) vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        errno = -error;
        log_error("%s: %m", text);
        return error;
}
