/* SPDX-License-Identifier: Apache-2.0 */

/* The reader is a table of steps, one per state. A step takes what it can from the input and
 * either returns an event or HTTP_NEED_MORE, which inside this file means "nothing to tell".
 * Everything but body bytes comes in lines, and a line is judged only when it is whole; that
 * alone makes the result the same however the bytes were cut into reads. A line that lies
 * within one read is parsed where it stands; only one that is split is gathered in
 * reader->line.
 *
 * Rules that decide where a response ends (RFC 9112 section 6.3) are all in end_head(). What a
 * field means is in the `fields` table; fields that are not there are checked for their form
 * and skipped, and trailers are never given a meaning. */

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "http-text.h"
#include "http1.h"
#include "macro.h"
#include "parse.h"

enum {
        STATE_STATUS, /* must be 0: a zeroed reader is fresh */
        STATE_FIELD,
        STATE_LENGTH,
        STATE_UNTIL_CLOSE,
        STATE_CHUNK_SIZE,
        STATE_CHUNK_DATA,
        STATE_CHUNK_END,
        STATE_TRAILER,
        STATE_DONE,
        STATE_FAILED,
};

/* What the fields of the present head have said. */
enum {
        SAW_CLOSE = 1u << 0,
        SAW_KEEP_ALIVE = 1u << 1,
        SAW_CHUNKED = 1u << 2,
        SAW_CODING = 1u << 3,
        SAW_TYPE = 1u << 4,
        SAW_AGE = 1u << 5,
};

typedef struct Input {
        const char *next;
        const char *end;
} Input;

static const bool is_token[256] = {
        ['!'] = true,         ['#' ... '\''] = true, ['*'] = true,         ['+'] = true,
        ['-'] = true,         ['.'] = true,          ['0' ... '9'] = true, ['A' ... 'Z'] = true,
        ['^' ... '`'] = true, ['a' ... 'z'] = true,  ['|'] = true,         ['~'] = true,
};

static HttpEvent fail(HttpReader *reader, const char *why) {
        reader->state = STATE_FAILED;
        reader->error = why;
        return HTTP_ERROR;
}

/* ---- text ---- */

static bool has_control_bytewise(const char *text, size_t size) {
        for (size_t i = 0; i < size; i++)
                if (((unsigned char) text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
                        return true;
        return false;
}

/* Whether there is a control character other than the tab. Eight bytes at a time: a lane's top
 * bit ends up set when its byte is below 0x20, or 0x7f; tabs are told apart only then. */
static bool has_control(Span span) {
        const uint64_t ones = UINT64_MAX / 255, tops = ones << 7;

        for (; span.size >= sizeof(uint64_t); span.data += sizeof(uint64_t)) {
                uint64_t word;
                memcpy(&word, span.data, sizeof(word));
                uint64_t del = word ^ ones * 0x7f;
                uint64_t hit = ((word - ones * 0x20) & ~word) | ((del - ones) & ~del);
                if ((hit & tops) != 0 && has_control_bytewise(span.data, sizeof(word)))
                        return true;
                span.size -= sizeof(uint64_t);
        }
        return has_control_bytewise(span.data, span.size);
}

static bool parse_decimal(Span span, uint64_t *ret) {
        uint64_t value = 0;

        for (size_t i = 0; i < span.size; i++) {
                if (span.data[i] < '0' || span.data[i] > '9' ||
                    __builtin_mul_overflow(value, 10, &value) ||
                    __builtin_add_overflow(value, (uint64_t) (span.data[i] - '0'), &value))
                        return false;
        }
        if (span.size == 0 || value > INT64_MAX)
                return false;
        *ret = value;
        return true;
}

/* ---- lines ---- */

static int line_append(HttpReader *reader, const char *data, size_t size) {
        size_t needed = reader->line_size + size;
        if (needed > reader->line_capacity) {
                size_t wanted = MAX(needed, (size_t) reader->line_capacity * 2);
                size_t capacity = MIN(wanted, HTTP_LINE_MAX + 2u);
                char *grown = realloc(reader->line, capacity);
                if (!grown)
                        return -ENOMEM;
                reader->line = grown;
                reader->line_capacity = (uint32_t) capacity;
        }
        memcpy(reader->line + reader->line_size, data, size);
        reader->line_size = (uint32_t) needed;
        return 0;
}

static void line_free(HttpReader *reader) {
        free(reader->line);
        reader->line = NULL;
        reader->line_size = reader->line_capacity = 0;
}

/* Takes a line from the input. 1: `ret` is the line without its end; it lives until the next call.
 * 0: it is not whole yet. -EBADMSG: failed. */
static int line_read(HttpReader *reader, Input *input, Span *ret) {
        const char *start = input->next;
        const char *end = memchr(start, '\n', (size_t) (input->end - start));
        size_t size = (size_t) ((end ? end + 1 : input->end) - start);

        input->next += size;
        if (reader->line_size + size > HTTP_LINE_MAX + (end ? 2u : 1u)) {
                (void) fail(reader, "a line of the response is too long");
                return -EBADMSG;
        }
        if ((!end || reader->line_size > 0) && line_append(reader, start, size) < 0) {
                (void) fail(reader, "out of memory");
                return -EBADMSG;
        }
        if (!end)
                return 0;

        Span line = reader->line_size > 0 ? (Span){ reader->line, reader->line_size } :
                                            (Span){ start, size };
        if (line.size < 2 || line.data[line.size - 2] != '\r') {
                (void) fail(reader, "a line of the response ends in a bare LF");
                return -EBADMSG;
        }
        *ret = (Span){ line.data, line.size - 2 };
        return 1;
}

/* ---- fields ---- */

static const char *read_connection(HttpReader *reader, Span value) {
        Span option;
        while (span_next(&value, ',', &option)) {
                if (span_equals(option, "close"))
                        reader->flags |= SAW_CLOSE;
                else if (span_equals(option, "keep-alive"))
                        reader->flags |= SAW_KEEP_ALIVE;
        }
        return NULL;
}

static const char *read_content_length(HttpReader *reader, Span value) {
        uint64_t length;
        if (!parse_decimal(value, &length))
                return "Content-Length is not a number";
        if (reader->head.has_length && reader->head.length != length)
                return "two different Content-Length fields";
        reader->head.has_length = true;
        reader->head.length = length;
        return NULL;
}

static const char *read_transfer_encoding(HttpReader *reader, Span value) {
        if ((reader->flags & SAW_CHUNKED) != 0 || !span_equals(value, "chunked"))
                return "a Transfer-Encoding other than chunked";
        if (reader->head.minor == 0)
                return "Transfer-Encoding in an HTTP/1.0 response";
        reader->flags |= SAW_CHUNKED;
        return NULL;
}

static const char *read_content_encoding(HttpReader *reader, Span value) {
        static const struct {
                const char *name;
                ContentCoding coding;
        } codings[] = {
                { "", CODING_IDENTITY },   { "identity", CODING_IDENTITY }, { "gzip", CODING_GZIP },
                { "x-gzip", CODING_GZIP }, { "deflate", CODING_DEFLATE },
        };
        bool known = false;

        for (size_t i = 0; i < ELEMENTSOF(codings); i++)
                if (span_equals(value, codings[i].name)) {
                        reader->head.coding = codings[i].coding;
                        known = true;
                }
        /* a second field makes a list, and lists of codings are not undone */
        if (!known || (reader->flags & SAW_CODING) != 0)
                reader->head.coding_unknown = true;
        reader->flags |= SAW_CODING;
        return NULL;
}

static MediaType media_type(Span type) {
        static const struct {
                const char *name;
                MediaType media;
        } types[] = {
                { "application/json", MEDIA_JSON },
                { "text/html", MEDIA_HTML },
                { "application/xhtml+xml", MEDIA_HTML },
        };

        for (size_t i = 0; i < ELEMENTSOF(types); i++)
                if (span_equals(type, types[i].name))
                        return types[i].media;
        if (type.size > strlen("+json") &&
            span_equals((Span){ type.data + type.size - strlen("+json"), strlen("+json") }, "+json"))
                return MEDIA_JSON;
        if (type.size > strlen("text/") && span_equals((Span){ type.data, strlen("text/") }, "text/"))
                return MEDIA_TEXT;
        return MEDIA_UNKNOWN;
}

/* Lower case, quotes undone. What is too long or no token is as good as no charset. */
static void read_charset(HttpHead *head, Span value) {
        bool quoted = value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"';
        if (quoted)
                value = (Span){ value.data + 1, value.size - 2 };

        char charset[CHARSET_MAX] = "";
        size_t n = 0;
        for (size_t i = 0; i < value.size; i++) {
                if (quoted && value.data[i] == '\\' && i + 1 < value.size)
                        i++;
                if (n + 1 == sizeof(charset) || !is_token[(unsigned char) value.data[i]])
                        return;
                charset[n++] = to_lower(value.data[i]);
        }
        memcpy(head->charset, charset, sizeof(charset));
}

static const char *read_content_type(HttpReader *reader, Span value) {
        Span part;

        if ((reader->flags & SAW_TYPE) != 0 || !span_next(&value, ';', &part))
                return NULL;
        reader->flags |= SAW_TYPE;
        reader->head.media = media_type(part);
        while (reader->head.charset[0] == '\0' && span_next(&value, ';', &part)) {
                const size_t n = strlen("charset=");
                if (part.size > n && span_equals((Span){ part.data, n }, "charset="))
                        read_charset(&reader->head, (Span){ part.data + n, part.size - n });
        }
        return NULL;
}

/* A date in or before 1970 has passed, which is as good as none. */
static const char *read_retry_after(HttpReader *reader, Span value) {
        uint64_t seconds;
        int64_t at;

        if (parse_decimal(value, &seconds))
                reader->head.retry_after_s = (uint32_t) MIN(seconds, UINT32_MAX);
        else if (http_date_parse(value.data, value.size, &at) == 0)
                reader->head.retry_after_at = MAX(at, 0);
        return NULL;
}

static const char *read_cache_control(HttpReader *reader, Span value) {
        cache_control_read(&reader->head.cache, value.data, value.size);
        return NULL;
}

/* The first one counts, of fields as of members of a list (RFC 9111 section 5.1). */
static const char *read_age(HttpReader *reader, Span value) {
        Span first;

        if ((reader->flags & SAW_AGE) == 0 && span_next(&value, ',', &first))
                (void) delta_seconds_parse(first.data, first.size, &reader->head.cache.age_s);
        reader->flags |= SAW_AGE;
        return NULL;
}

/* What is no date, "0" above all, means expired (RFC 9111 section 5.3). The earliest one counts. */
static const char *read_expires(HttpReader *reader, Span value) {
        CacheControl *cache = &reader->head.cache;
        int64_t at;

        if (http_date_parse(value.data, value.size, &at) < 0)
                at = -1;
        cache->expires_s = cache->has_expires ? MIN(cache->expires_s, at) : at;
        cache->has_expires = true;
        return NULL;
}

/* The first that is a date counts. */
static const char *read_date(HttpReader *reader, Span value) {
        CacheControl *cache = &reader->head.cache;

        if (!cache->has_date)
                cache->has_date = http_date_parse(value.data, value.size, &cache->date_s) == 0;
        return NULL;
}

typedef struct Field {
        const char *name;
        const char *(*read)(HttpReader *reader, Span value); /* NULL, or why the response is bad */
} Field;

/* By the length of the name, which tells them all apart. */
static const Field fields[] = {
        [3] = { "age", read_age },
        [4] = { "date", read_date },
        [7] = { "expires", read_expires },
        [10] = { "connection", read_connection },
        [11] = { "retry-after", read_retry_after },
        [12] = { "content-type", read_content_type },
        [13] = { "cache-control", read_cache_control },
        [14] = { "content-length", read_content_length },
        [16] = { "content-encoding", read_content_encoding },
        [17] = { "transfer-encoding", read_transfer_encoding },
};

/* Checks the form of a field line and splits it. NULL, or what is wrong. */
static const char *field_split(Span line, Span *ret_name, Span *ret_value) {
        size_t n = 0;

        if (is_blank(line.data[0]))
                return "a header is folded over two lines";
        while (n < line.size && is_token[(unsigned char) line.data[n]])
                n++;
        if (n == 0 || n == line.size || line.data[n] != ':')
                return "the name of a header is broken";
        Span value = { line.data + n + 1, line.size - n - 1 };
        if (has_control(value))
                return "a control character in a header";
        *ret_name = (Span){ line.data, n };
        *ret_value = span_trim(value);
        return NULL;
}

static HttpEvent field_line(HttpReader *reader, Span line, bool trailer) {
        Span name, value;

        if (++reader->fields > HTTP_FIELDS_MAX)
                return fail(reader, "too many headers");
        const char *error = field_split(line, &name, &value);
        if (!error && !trailer && name.size < ELEMENTSOF(fields) && fields[name.size].name &&
            span_equals(name, fields[name.size].name))
                error = fields[name.size].read(reader, value);
        return error ? fail(reader, error) : HTTP_NEED_MORE;
}

/* ---- steps ---- */

/* "HTTP/1.1 200 OK"; the reason and the blank before it may be missing. */
static HttpEvent status_line(HttpReader *reader, Span line) {
        static const char version[] = "HTTP/1.";
        static const size_t minor = sizeof(version) - 1, code = minor + 2, end = code + 3;
        uint64_t status;

        if (line.size < end || memcmp(line.data, version, minor) != 0 || line.data[minor] < '0' ||
            line.data[minor] > '9' || line.data[minor + 1] != ' ' ||
            (line.size > end && line.data[end] != ' '))
                return fail(reader, "the answer is not HTTP/1");
        if (!parse_decimal((Span){ line.data + code, 3 }, &status) || status < 100 || status > 599)
                return fail(reader, "the status code is not one");
        if (has_control(line))
                return fail(reader, "a control character in the status line");
        reader->head.status = (int) status;
        reader->head.minor = line.data[minor] - '0';
        reader->state = STATE_FIELD;
        return HTTP_NEED_MORE;
}

static HttpEvent end_interim(HttpReader *reader) {
        if (reader->head.status == 101)
                return fail(reader, "the server switched protocols unasked");
        if (++reader->interim > HTTP_INTERIM_MAX)
                return fail(reader, "too many interim responses");
        reader->head = (HttpHead){ 0 };
        reader->flags = 0;
        reader->state = STATE_STATUS;
        return HTTP_NEED_MORE;
}

static HttpEvent end_head(HttpReader *reader) {
        HttpHead *head = &reader->head;
        bool chunked = (reader->flags & SAW_CHUNKED) != 0;
        bool interim = head->status < 200;

        if (chunked && head->has_length)
                return fail(reader, "both Content-Length and Transfer-Encoding");
        if ((interim || head->status == 204) && (chunked || head->length > 0))
                return fail(reader, "a body in a response that has none");
        if (interim)
                return end_interim(reader);

        bool closes = (reader->flags & SAW_CLOSE) != 0;
        head->keep_alive = !closes && (head->minor > 0 || (reader->flags & SAW_KEEP_ALIVE) != 0);
        if (reader->request_was_head || head->status == 204 || head->status == 304) {
                reader->state = STATE_DONE;
        } else if (chunked) {
                reader->state = STATE_CHUNK_SIZE;
        } else if (head->has_length) {
                reader->state = head->length > 0 ? STATE_LENGTH : STATE_DONE;
                reader->remaining = head->length;
        } else {
                reader->state = STATE_UNTIL_CLOSE;
                head->keep_alive = false;
        }
        return HTTP_HEAD;
}

/* Hexadecimal digits, then nothing or extensions, which are skipped but counted as header bytes. */
static HttpEvent chunk_size_line(HttpReader *reader, Span line) {
        size_t digits = 0;
        while (digits < line.size && is_token[(unsigned char) line.data[digits]])
                digits++;
        uint64_t size;
        if (parse_hex(line.data, digits, &size) < 0 || size > INT64_MAX)
                return fail(reader, "a chunk's size is not a number");

        Span extension = span_trim((Span){ line.data + digits, line.size - digits });
        bool bare = digits == line.size;
        if (!bare && (extension.size == 0 || extension.data[0] != ';' || has_control(extension)))
                return fail(reader, "broken chunk extension");
        reader->head_bytes += (uint32_t) (line.size - digits);
        reader->remaining = size;
        reader->state = size > 0 ? STATE_CHUNK_DATA : STATE_TRAILER;
        return HTTP_NEED_MORE;
}

static HttpEvent judge_line(HttpReader *reader, Span line) {
        if (reader->state == STATE_CHUNK_SIZE)
                return chunk_size_line(reader, line);

        reader->head_bytes += (uint32_t) line.size + 2;
        if (reader->state == STATE_STATUS)
                return status_line(reader, line);
        bool trailer = reader->state == STATE_TRAILER;
        if (line.size > 0)
                return field_line(reader, line, trailer);
        if (!trailer)
                return end_head(reader);
        reader->state = STATE_DONE;
        return HTTP_NEED_MORE;
}

static HttpEvent step_line(HttpReader *reader, Input *input) {
        Span line;

        int r = line_read(reader, input, &line);
        if (r <= 0)
                return r < 0 ? HTTP_ERROR : HTTP_NEED_MORE;
        HttpEvent event = judge_line(reader, line);
        line_free(reader);
        if (event != HTTP_ERROR && reader->head_bytes > HTTP_HEAD_MAX)
                return fail(reader, "the headers are too large");
        return event;
}

static HttpEvent step_body(HttpReader *reader, Input *input) {
        size_t size = (size_t) (input->end - input->next);

        if (reader->state != STATE_UNTIL_CLOSE) {
                size = (size_t) MIN((uint64_t) size, reader->remaining);
                reader->remaining -= size;
        }
        if (reader->state == STATE_LENGTH && reader->remaining == 0) {
                reader->state = STATE_DONE;
        } else if (reader->state == STATE_CHUNK_DATA && reader->remaining == 0) {
                reader->state = STATE_CHUNK_END;
                reader->remaining = strlen("\r\n");
        }
        reader->body = input->next;
        reader->body_size = size;
        input->next += size;
        return HTTP_BODY;
}

/* CRLF after a chunk's bytes; `remaining` counts what is missing of it. */
static HttpEvent step_chunk_end(HttpReader *reader, Input *input) {
        for (; input->next < input->end && reader->remaining > 0; reader->remaining--)
                if (*input->next++ != (reader->remaining == 2 ? '\r' : '\n'))
                        return fail(reader, "a chunk does not end where its size says");
        if (reader->remaining == 0)
                reader->state = STATE_CHUNK_SIZE;
        return HTTP_NEED_MORE;
}

static HttpEvent step_done(HttpReader *reader, Input *input) {
        return HTTP_DONE;
}

static HttpEvent step_failed(HttpReader *reader, Input *input) {
        return HTTP_ERROR;
}

static HttpEvent (*const steps[])(HttpReader *reader, Input *input) = {
        [STATE_STATUS] = step_line,         [STATE_FIELD] = step_line,
        [STATE_LENGTH] = step_body,         [STATE_UNTIL_CLOSE] = step_body,
        [STATE_CHUNK_SIZE] = step_line,     [STATE_CHUNK_DATA] = step_body,
        [STATE_CHUNK_END] = step_chunk_end, [STATE_TRAILER] = step_line,
        [STATE_DONE] = step_done,           [STATE_FAILED] = step_failed,
};

/* ---- the reader ---- */

void http_reader_init(HttpReader *reader, bool no_body) {
        *reader = (HttpReader){ .request_was_head = no_body };
}

void http_reader_deinit(HttpReader *reader) {
        line_free(reader);
}

HttpEvent http_reader_feed(HttpReader *reader, const void *data, size_t size, size_t *ret_consumed) {
        Input input = { data, (const char *) data + size };
        HttpEvent event = HTTP_NEED_MORE;

        while (event == HTTP_NEED_MORE &&
               (input.next < input.end || reader->state == STATE_DONE ||
                reader->state == STATE_FAILED))
                event = steps[reader->state](reader, &input);
        *ret_consumed = (size_t) (input.next - (const char *) data);
        return event;
}

HttpEvent http_reader_eof(HttpReader *reader) {
        if (reader->state == STATE_UNTIL_CLOSE)
                reader->state = STATE_DONE;
        if (reader->state == STATE_DONE)
                return HTTP_DONE;
        if (reader->state == STATE_FAILED)
                return HTTP_ERROR;
        return fail(reader,
                    http_reader_untouched(reader) ?
                                    "the server closed the connection without an answer" :
                                    "the server closed the connection within its answer");
}

bool http_reader_untouched(const HttpReader *reader) {
        return reader->state == STATE_STATUS && reader->head_bytes == 0 && reader->line_size == 0;
}
