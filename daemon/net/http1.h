/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A strict, incremental reader of HTTP/1.1 responses (RFC 9112). Pure: bytes in, events out,
 * no I/O, no allocation but one bounded line buffer, taken only while a line is split over two
 * reads.
 *
 * Refused, always: bare CR or LF line ends, obs-fold, blanks before the colon, control
 * characters in values, two different lengths, a length together with chunked, transfer
 * codings other than a final chunked, chunk sizes over 2^63, a body where none may be. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshness.h"
#include "layout.h"

#define HTTP_LINE_MAX 8192u /* status line, a header, a chunk-size line */
#define HTTP_HEAD_MAX \
        65536u /* all header bytes of one response, interim ones and trailers included */
#define HTTP_FIELDS_MAX  100u
#define HTTP_INTERIM_MAX 8u /* 1xx responses before the final one */

typedef struct HttpHead {
        int status;
        int minor;       /* HTTP/1.minor */
        bool keep_alive; /* the connection may be used again after this response */
        bool has_length;
        uint64_t length; /* Content-Length, when has_length */
        MediaType media;
        ContentCoding coding;
        bool coding_unknown; /* a Content-Encoding that we do not have */
        char charset[CHARSET_MAX];
        uint32_t retry_after_s; /* Retry-After in seconds; 0: none */
        int64_t retry_after_at; /* Retry-After as a date, in seconds of unix time; 0: none */
        CacheControl cache;     /* Cache-Control, Age, Expires, Date; a malformed one is no error */
} HttpHead;

typedef enum HttpEvent {
        HTTP_NEED_MORE, /* all input consumed */
        HTTP_HEAD,      /* reader->head is complete (once) */
        HTTP_BODY,      /* reader->body, reader->body_size: a piece of the body, inside the input */
        HTTP_DONE,      /* the response is complete; what follows in the input is not its */
        HTTP_ERROR,     /* reader->error says why; the connection is unusable */
} HttpEvent;

typedef struct HttpReader {
        HttpHead head;
        const void *body;
        size_t body_size;
        const char *error; /* static text */
        /* private */
        int state;
        bool request_was_head;
        uint16_t fields;
        uint16_t interim;
        uint32_t head_bytes;
        uint64_t remaining;
        char *line;
        uint32_t line_size;
        uint32_t line_capacity;
        uint32_t flags;
} HttpReader;

/* All-zero is a valid, fresh reader. `no_body`: the request was HEAD. */
void http_reader_init(HttpReader *reader, bool no_body);
void http_reader_deinit(HttpReader *reader);

/* Reads from `data` and says how much of it was consumed; call again until HTTP_NEED_MORE,
 * HTTP_DONE or HTTP_ERROR. */
HttpEvent http_reader_feed(HttpReader *reader, const void *data, size_t size, size_t *ret_consumed);

/* The peer closed: HTTP_DONE when the body is delimited by that, HTTP_ERROR (cut short)
 * otherwise. */
HttpEvent http_reader_eof(HttpReader *reader);

/* True when not a single byte of a response has been read. */
bool http_reader_untouched(const HttpReader *reader);
