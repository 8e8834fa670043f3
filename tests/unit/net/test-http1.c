/* SPDX-License-Identifier: Apache-2.0 */

/* Every vector is read whole, byte by byte, and cut in two at every place; all three must
 * agree in all that can be seen from outside. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka.h"
#include "http1.h"
#include "macro.h"

#define OK "HTTP/1.1 200 OK\r\n"

/* What was seen of one response. */
typedef struct Seen {
        HttpEvent end;
        unsigned heads;
        HttpHead head;
        const char *error;
        size_t consumed;
        char body[4096];
        size_t body_size;
} Seen;

/* Feeds one piece; false when the response has ended. */
static bool see(Seen *seen, HttpReader *reader, const char *data, size_t size) {
        for (;;) {
                size_t consumed = SIZE_MAX;
                seen->end = http_reader_feed(reader, data, size, &consumed);
                assert_true(consumed <= size);
                if (seen->end == HTTP_BODY) {
                        assert_ptr_equal(
                                        (const char *) reader->body + reader->body_size,
                                        data + consumed);
                        assert_true(reader->body_size > 0);
                        assert_true(seen->body_size + reader->body_size <= sizeof(seen->body));
                        memcpy(seen->body + seen->body_size, reader->body, reader->body_size);
                        seen->body_size += reader->body_size;
                }
                data += consumed;
                size -= consumed;
                seen->consumed += consumed;
                if (seen->end == HTTP_HEAD) {
                        seen->heads++;
                        seen->head = reader->head;
                } else if (seen->end != HTTP_BODY) {
                        break;
                }
        }
        if (seen->end == HTTP_NEED_MORE)
                assert_int_equal(size, 0);
        return seen->end == HTTP_NEED_MORE;
}

/* In pieces of `first`, then `rest` bytes each; then the end of the stream. */
static Seen read_response(const char *data, size_t size, size_t first, size_t rest, bool no_body) {
        Seen seen = { 0 };
        HttpReader reader;
        bool more = true;

        http_reader_init(&reader, no_body);
        assert_true(http_reader_untouched(&reader));
        for (size_t n = first; more && size > 0; n = rest) {
                n = MIN(n, size);
                more = see(&seen, &reader, data, n);
                if (n > 0 && seen.end != HTTP_ERROR)
                        assert_false(http_reader_untouched(&reader));
                data += n;
                size -= n;
        }
        if (more)
                seen.end = http_reader_eof(&reader);
        seen.error = seen.end == HTTP_ERROR ? reader.error : NULL;
        http_reader_deinit(&reader);
        return seen;
}

static void assert_same(const Seen *a, const Seen *b, const char *text) {
        if (a->end != b->end || a->heads != b->heads || a->error != b->error ||
            a->body_size != b->body_size || memcmp(a->body, b->body, a->body_size) != 0 ||
            memcmp(&a->head, &b->head, sizeof(a->head)) != 0 ||
            (a->end == HTTP_DONE && a->consumed != b->consumed))
                fail_msg("the cut makes a difference: %s", text);
}

static Seen read_all_ways(const char *text, size_t size, bool no_body) {
        Seen whole = read_response(text, size, size, size, no_body);
        Seen single = read_response(text, size, 1, 1, no_body);
        assert_same(&whole, &single, text);
        for (size_t cut = 1; size < 2000 && cut < size; cut++) {
                Seen halves = read_response(text, size, cut, size, no_body);
                assert_same(&whole, &halves, text);
        }
        return whole;
}

/* ---- good ---- */

typedef struct Good {
        const char *text;
        int status;
        const char *body;
        size_t left; /* bytes after the response */
        bool closes;
        bool no_body;
} Good;

static const Good good[] = {
        { OK "Content-Length: 5\r\n\r\nhello", 200, "hello" },
        { OK "Content-Length: 0\r\n\r\n", 200, "" },
        { OK "Content-Length: 5\r\n\r\nhelloHTTP/1.1", 200, "hello", 8 },
        { OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 200, "hello" },
        { OK "content-length:5\r\n\r\nhello", 200, "hello" },
        { OK "CONTENT-LENGTH: \t 0005 \t\r\n\r\nhello", 200, "hello" },
        { OK "\r\nuntil the end", 200, "until the end", 0, true },
        { OK "\r\n", 200, "", 0, true },
        { "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "" },
        { "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, "" },
        { "HTTP/1.1 200 \xc3\xa4\tb\r\nContent-Length: 0\r\n\r\n", 200, "" },
        { "HTTP/1.2 299 x\r\nContent-Length: 0\r\n\r\n", 299, "" },
        { "HTTP/1.1 599 x\r\nContent-Length: 2\r\n\r\nno", 599, "no" },
        /* connections */
        { OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", 200, "x", 0, true },
        { OK "Connection: Foo, CLOSE\r\nContent-Length: 1\r\n\r\nx", 200, "x", 0, true },
        { OK "Connection: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 200, "x", 0, true },
        { OK "Connection: keep-alive, close\r\nContent-Length: 1\r\n\r\nx", 200, "x", 0, true },
        { OK "Connection: closed\r\nContent-Length: 1\r\n\r\nx", 200, "x" },
        { OK "Connection:\r\nContent-Length: 1\r\n\r\nx", 200, "x" },
        { "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, "x", 0, true },
        { "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx", 200, "x" },
        { "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx", 200, "x", 0, true },
        /* no body */
        { "HTTP/1.1 204 x\r\n\r\nHTTP", 204, "", 4 },
        { "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", 204, "" },
        { "HTTP/1.1 304 x\r\nContent-Length: 12\r\n\r\n", 304, "" },
        { "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", 304, "" },
        { OK "Content-Length: 12\r\n\r\n", 200, "", 0, false, true },
        { OK "Transfer-Encoding: chunked\r\n\r\n", 200, "", 0, false, true },
        { OK "\r\n", 200, "", 0, false, true },
        /* interim */
        { "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 1\r\n\r\nx", 200, "x" },
        { "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" OK
          "Content-Length: 1\r\n\r\nx",
          200, "x" },
        /* chunks */
        { OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello" },
        { OK "Transfer-Encoding: Chunked\r\n\r\n1\r\nh\r\n004\r\nello\r\n000\r\n\r\n", 200, "hello" },
        { OK "Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\nX",
          200, "01234567890123456789", 1 },
        { OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "" },
        { OK "Transfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n1 ; a\r\ny\r\n0;\r\n\r\n", 200, "xy" },
        { OK "Transfer-Encoding: chunked\r\n\r\n1;a=\"\xff;\"\r\nx\r\n0\r\n\r\n", 200, "x" },
        { OK "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nExpires: never\r\nContent-Length: 9\r\n\r\n",
          200, "x" },
        { OK "Transfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n", 200, "\r\n" },
        /* fields that mean nothing here */
        { OK "X: \x80\xff\t y\r\n!#$%&'*+-.^_`|~09azAZ: v\r\nEmpty:\r\nContent-Length: 0\r\n\r\n",
          200, "" },
        { OK "Agf: 1\r\nDatf: 1\r\nExpiret: 1\r\nCache-Controm: no-store\r\nContent-Length: 0\r\n\r\n",
          200, "" },
        { OK "Location: http://b/:c\r\nRetry-Aftex: 1\r\nContent-Length: 0\r\n\r\n", 200, "" },
};

static void test_good(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                const Good *g = &good[i];
                size_t size = strlen(g->text);
                Seen seen = read_all_ways(g->text, size, g->no_body);
                if (seen.end != HTTP_DONE)
                        fail_msg("%s: %s", g->text, seen.error);
                assert_int_equal(seen.heads, 1);
                assert_int_equal(seen.head.status, g->status);
                assert_int_equal(seen.head.keep_alive, !g->closes);
                assert_int_equal(seen.body_size, strlen(g->body));
                assert_memory_equal(seen.body, g->body, seen.body_size);
                assert_int_equal(size - seen.consumed, g->left);
        }
}

/* ---- bad ---- */

#define NUL_SIZE(text) text, sizeof(text) - 1
#define CHUNKED        OK "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
        const char *text;
        size_t size;
        const char *error; /* a part of it */
        unsigned heads;
} bad[] = {
        { NUL_SIZE(""), "without an answer" },
        { NUL_SIZE("H"), "within its answer" },
        { NUL_SIZE("HTTP/1.1 200 OK\r"), "within" },
        { NUL_SIZE(OK), "within" },
        { NUL_SIZE(OK "Content-Length: 5\r\n\r"), "within" },
        { NUL_SIZE(OK "Content-Length: 5\r\n\r\nhell"), "within", 1 },
        { NUL_SIZE("HTTP/1.1 100 Continue\r\n\r\n"), "within" },
        /* status line */
        { NUL_SIZE("\r\n" OK "\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/2 200 OK\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/2.0 200 OK\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("http/1.1 200 OK\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/1.x 200 OK\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/1.10 200 OK\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/1.1  200 OK\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/1.1\t200 OK\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/1.1 2000 OK\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/1.1 20 OK\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/1.1 20\r\n\r\n"), "not HTTP/1" },
        { NUL_SIZE("HTTP/1.1 099 x\r\n\r\n"), "status code" },
        { NUL_SIZE("HTTP/1.1 600 x\r\n\r\n"), "status code" },
        { NUL_SIZE("HTTP/1.1 -20 x\r\n\r\n"), "status code" },
        { NUL_SIZE("HTTP/1.1 200 a\0b\r\n\r\n"), "control character in the status" },
        { NUL_SIZE("HTTP/1.1 200 a\rb\r\n\r\n"), "control character in the status" },
        { NUL_SIZE("220 smtp.example.org ESMTP\r\n"), "not HTTP/1" },
        { NUL_SIZE("\x16\x03\x01\x02\r\n"), "not HTTP/1" },
        /* line ends and folding */
        { NUL_SIZE("HTTP/1.1 200 OK\n\r\n"), "bare LF" },
        { NUL_SIZE(OK "A: b\n\r\n"), "bare LF" },
        { NUL_SIZE(OK "A: b\r\n\n"), "bare LF" },
        { NUL_SIZE(OK "\n"), "bare LF" },
        { NUL_SIZE(OK "A: b\rC: d\r\n\r\n"), "control character" },
        { NUL_SIZE(OK "A: b\r\r\n\r\n"), "control character" },
        { NUL_SIZE(OK "A: b\r\n c\r\n\r\n"), "folded" },
        { NUL_SIZE(OK "A: b\r\n\tc\r\n\r\n"), "folded" },
        { NUL_SIZE(OK " A: b\r\n\r\n"), "folded" },
        /* names and values */
        { NUL_SIZE(OK "A : b\r\n\r\n"), "name of a header" },
        { NUL_SIZE(OK "A\t: b\r\n\r\n"), "name of a header" },
        { NUL_SIZE(OK "Content-Length : 5\r\n\r\nhello"), "name of a header" },
        { NUL_SIZE(OK ": b\r\n\r\n"), "name of a header" },
        { NUL_SIZE(OK "no colon\r\n\r\n"), "name of a header" },
        { NUL_SIZE(OK "nocolon\r\n\r\n"), "name of a header" },
        { NUL_SIZE(OK "A\0: b\r\n\r\n"), "name of a header" },
        { NUL_SIZE(OK "A(b): c\r\n\r\n"), "name of a header" },
        { NUL_SIZE(OK "\xc3\xa4: c\r\n\r\n"), "name of a header" },
        { NUL_SIZE(OK "A: b\0c\r\n\r\n"), "control character" },
        { NUL_SIZE(OK "A: 12345678\x7f\r\n\r\n"), "control character" },
        { NUL_SIZE(OK "A: 1234567\x1b\r\n\r\n"), "control character" },
        /* lengths */
        { NUL_SIZE(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), "two different" },
        { NUL_SIZE(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "both" },
        { NUL_SIZE(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"), "both" },
        { NUL_SIZE(OK "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"), "both" },
        { NUL_SIZE(OK "Content-Length: 5, 5\r\n\r\nhello"), "not a number" },
        { NUL_SIZE(OK "Content-Length: -5\r\n\r\n"), "not a number" },
        { NUL_SIZE(OK "Content-Length: +5\r\n\r\nhello"), "not a number" },
        { NUL_SIZE(OK "Content-Length: 0x5\r\n\r\nhello"), "not a number" },
        { NUL_SIZE(OK "Content-Length: 5 5\r\n\r\nhello"), "not a number" },
        { NUL_SIZE(OK "Content-Length:\r\n\r\n"), "not a number" },
        { NUL_SIZE(OK "Content-Length: 9223372036854775808\r\n\r\n"), "not a number" },
        { NUL_SIZE(OK "Content-Length: 18446744073709551617\r\n\r\n"), "not a number" },
        { NUL_SIZE(OK "Content-Length: 99999999999999999999999\r\n\r\n"), "not a number" },
        /* codings */
        { NUL_SIZE(OK "Transfer-Encoding: gzip\r\n\r\n"), "other than chunked" },
        { NUL_SIZE(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), "other than chunked" },
        { NUL_SIZE(OK "Transfer-Encoding: chunked, gzip\r\n\r\n"), "other than chunked" },
        { NUL_SIZE(OK "Transfer-Encoding: chunked, chunked\r\n\r\n"), "other than chunked" },
        { NUL_SIZE(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
          "other than" },
        { NUL_SIZE(OK "Transfer-Encoding: identity\r\n\r\n"), "other than chunked" },
        { NUL_SIZE(OK "Transfer-Encoding: xchunked\r\n\r\n"), "other than chunked" },
        { NUL_SIZE(OK "Transfer-Encoding: \x0b"
                      "chunked\r\n\r\n"),
          "control character" },
        { NUL_SIZE(OK "Transfer-Encoding:\r\n\r\n"), "other than chunked" },
        { NUL_SIZE("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), "HTTP/1.0" },
        /* a body where none may be */
        { NUL_SIZE("HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\nx"), "body in a response" },
        { NUL_SIZE("HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n"), "body in a response" },
        { NUL_SIZE("HTTP/1.1 100 x\r\nContent-Length: 1\r\n\r\nx"), "body in a response" },
        { NUL_SIZE("HTTP/1.1 101 x\r\nUpgrade: x\r\n\r\n"), "switched" },
        { NUL_SIZE("HTTP/1.1 199 x\r\nTransfer-Encoding: chunked\r\n\r\n"), "body in a response" },
        /* chunks */
        { NUL_SIZE(CHUNKED), "within", 1 },
        { NUL_SIZE(CHUNKED "5\r\nhel"), "within", 1 },
        { NUL_SIZE(CHUNKED "5\r\nhello"), "within", 1 },
        { NUL_SIZE(CHUNKED "5\r\nhello\r\n"), "within", 1 },
        { NUL_SIZE(CHUNKED "5\r\nhello\r\n0\r\n"), "within", 1 },
        { NUL_SIZE(CHUNKED "5\r\nhello\r\n0\r\nA: b\r\n"), "within", 1 },
        { NUL_SIZE(CHUNKED "\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED "-1\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED "+1\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED "0x1\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED " 1\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED "g\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED ";a\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED "8000000000000000\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED "ffffffffffffffff\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED "10000000000000001\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED "000000000000000000000000000001\r\n"), "size is not a number", 1 },
        { NUL_SIZE(CHUNKED "1\nx\r\n"), "bare LF", 1 },
        { NUL_SIZE(CHUNKED "1 \r\nx\r\n"), "extension", 1 },
        { NUL_SIZE(CHUNKED "1 2\r\nx\r\n"), "extension", 1 },
        { NUL_SIZE(CHUNKED "1,2\r\nx\r\n"), "extension", 1 },
        { NUL_SIZE(CHUNKED "1;a\rb\r\nx\r\n"), "extension", 1 },
        { NUL_SIZE(CHUNKED "1\r\nxy"), "does not end", 1 },
        { NUL_SIZE(CHUNKED "1\r\nx\n"), "does not end", 1 },
        { NUL_SIZE(CHUNKED "1\r\nx\ry"), "does not end", 1 },
        { NUL_SIZE(CHUNKED "0\r\nA : b\r\n\r\n"), "name of a header", 1 },
        { NUL_SIZE(CHUNKED "0\r\nA: b\n\r\n"), "bare LF", 1 },
        { NUL_SIZE(CHUNKED "0\r\n folded\r\n\r\n"), "folded", 1 },
};

static void test_bad(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Seen seen = read_all_ways(bad[i].text, bad[i].size, false);
                if (seen.end != HTTP_ERROR || !strstr(seen.error, bad[i].error))
                        fail_msg("%s: %d %s", bad[i].text, seen.end, seen.error ? seen.error : "");
                assert_int_equal(seen.heads, bad[i].heads);
        }
}

/* ---- limits ---- */

/* prefix, then `unit` n times, then suffix. */
static char *repeat(const char *prefix, const char *unit, size_t n, const char *suffix) {
        size_t size = strlen(prefix) + strlen(unit) * n + strlen(suffix) + 1;
        char *text = malloc(size), *next = text;

        assert_non_null(text);
        next = stpcpy(next, prefix);
        while (n-- > 0)
                next = stpcpy(next, unit);
        (void) stpcpy(next, suffix);
        return text;
}

static const struct {
        const char *prefix, *unit;
        size_t n;
        const char *suffix;
        const char *error; /* NULL: good */
} limits[] = {
        { OK "A:", "x", HTTP_LINE_MAX - 2, "\r\nContent-Length: 0\r\n\r\n", NULL },
        { OK "A:", "x", HTTP_LINE_MAX - 1, "\r\nContent-Length: 0\r\n\r\n", "too long" },
        { OK "A:", "x", HTTP_LINE_MAX - 1, "\n", "bare LF" },
        { OK "A:", "x", HTTP_LINE_MAX, "\n", "too long" },
        { OK "A:", "x", 200000, "", "too long" },
        { "", "x", 200000, "", "too long" },
        { "HTTP/1.1 200 ", "x", HTTP_LINE_MAX, "\r\n\r\n", "too long" },
        { OK, "A: b\r\n", HTTP_FIELDS_MAX - 1, "Content-Length: 0\r\n\r\n", NULL },
        { OK, "A: b\r\n", HTTP_FIELDS_MAX, "Content-Length: 0\r\n\r\n", "too many headers" },
        { OK, "A: b\r\n", 100000, "", "too many headers" },
        { CHUNKED "0\r\n", "A: b\r\n", HTTP_FIELDS_MAX - 1, "\r\n", NULL },
        { CHUNKED "0\r\n", "A: b\r\n", HTTP_FIELDS_MAX, "\r\n", "too many headers" },
        { "", "HTTP/1.1 100 x\r\n\r\n", HTTP_INTERIM_MAX, OK "Content-Length: 0\r\n\r\n", NULL },
        { "", "HTTP/1.1 100 x\r\n\r\n", HTTP_INTERIM_MAX + 1, OK "\r\n", "interim" },
        { "", "HTTP/1.1 103 x\r\n\r\n", 100000, "", "interim" },
        { CHUNKED "1;", "x", HTTP_LINE_MAX - 2, "\r\ny\r\n0\r\n\r\n", NULL },
        { CHUNKED "1;", "x", HTTP_LINE_MAX - 1, "\r\ny\r\n0\r\n\r\n", "too long" },
        { CHUNKED "1;", "x", 200000, "", "too long" },
        { CHUNKED, "1;0123456789\r\ny\r\n", 3000, "0\r\n\r\n", NULL },
        { CHUNKED, "1;01234567890123456789012345678901\r\ny\r\n", 3000, "0\r\n\r\n", "too large" },
};

static void test_limits(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                char *text = repeat(limits[i].prefix, limits[i].unit, limits[i].n, limits[i].suffix);
                Seen seen = read_all_ways(text, strlen(text), false);
                if (limits[i].error &&
                    (seen.end != HTTP_ERROR || !strstr(seen.error, limits[i].error)))
                        fail_msg("%zu: %s", i, seen.error ? seen.error : "no error");
                else if (!limits[i].error && seen.end != HTTP_DONE)
                        fail_msg("%zu: %s", i, seen.error);
                free(text);
        }
}

static void test_head_limit(void **state) {
        char *field = repeat("A: ", "x", 8000 - 5, "\r\n");
        char *flood = repeat(OK, field, 8, "Content-Length: 0\r\n\r\n");
        assert_int_equal(read_all_ways(flood, strlen(flood), false).end, HTTP_DONE);
        free(flood);
        flood = repeat(OK, field, 9, "Content-Length: 0\r\n\r\n");
        Seen seen = read_all_ways(flood, strlen(flood), false);
        assert_int_equal(seen.end, HTTP_ERROR);
        assert_non_null(strstr(seen.error, "too large"));
        free(flood);
        free(field);
}

/* ---- meaning of the head ---- */

static HttpHead head_of(const char *fields) {
        char *text = repeat(OK, fields, 1, "Content-Length: 0\r\n\r\n");
        Seen seen = read_all_ways(text, strlen(text), false);
        if (seen.end != HTTP_DONE)
                fail_msg("%s: %s", fields, seen.error);
        free(text);
        return seen.head;
}

static const struct {
        const char *type;
        MediaType media;
        const char *charset;
} types[] = {
        { "application/json", MEDIA_JSON, "" },
        { "Application/JSON; Charset=UTF-8", MEDIA_JSON, "utf-8" },
        { "application/ld+json;charset=utf-8", MEDIA_JSON, "utf-8" },
        { "application/problem+JSON", MEDIA_JSON, "" },
        { "+json", MEDIA_UNKNOWN, "" },
        { "application/jsonp", MEDIA_UNKNOWN, "" },
        { "text/html; charset=ISO-8859-1", MEDIA_HTML, "iso-8859-1" },
        { "application/xhtml+xml", MEDIA_HTML, "" },
        { "text/plain", MEDIA_TEXT, "" },
        { "text/csv ; header=present ; charset=\"latin1\"", MEDIA_TEXT, "latin1" },
        { "text/plain; charset=\"a\\bc\"", MEDIA_TEXT, "abc" },
        { "text/plain; x=\"a;charset=b\\\";\"; charset=c", MEDIA_TEXT, "c" },
        { "text/plain; charset=a; charset=b", MEDIA_TEXT, "a" },
        { "text/plain; charset=", MEDIA_TEXT, "" },
        { "text/plain; charset=\"\"", MEDIA_TEXT, "" },
        { "text/plain; charset=a b", MEDIA_TEXT, "" },
        { "text/plain; charset=\"a", MEDIA_TEXT, "" },
        { "text/plain; charset=\"a\\", MEDIA_TEXT, "" },
        { "text/plain; charset = a", MEDIA_TEXT, "" },
        { "text/plain; charset=0123456789012345678901234567890", MEDIA_TEXT,
          "0123456789012345678901234567890" },
        { "text/plain; charset=01234567890123456789012345678901", MEDIA_TEXT, "" },
        { "text/", MEDIA_UNKNOWN, "" },
        { "image/png", MEDIA_UNKNOWN, "" },
        { "", MEDIA_UNKNOWN, "" },
        { ";", MEDIA_UNKNOWN, "" },
};

static void test_content_type(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(types); i++) {
                char *field = repeat("Content-Type: ", types[i].type, 1, "\r\n");
                HttpHead head = head_of(field);
                assert_int_equal(head.media, types[i].media);
                assert_string_equal(head.charset, types[i].charset);
                free(field);
        }
        HttpHead head = head_of("Content-Type: text/html\r\nContent-Type: application/json\r\n");
        assert_int_equal(head.media, MEDIA_HTML);
        assert_int_equal(head_of("").media, MEDIA_UNKNOWN);
}

static const struct {
        const char *fields;
        ContentCoding coding;
        bool unknown;
} codings[] = {
        { "", CODING_IDENTITY },
        { "Content-Encoding: identity\r\n", CODING_IDENTITY },
        { "Content-Encoding:\r\n", CODING_IDENTITY },
        { "Content-Encoding: gzip\r\n", CODING_GZIP },
        { "content-encoding: X-GZIP\r\n", CODING_GZIP },
        { "Content-Encoding: Deflate\r\n", CODING_DEFLATE },
        { "Content-Encoding: br\r\n", CODING_IDENTITY, true },
        { "Content-Encoding: gzip, gzip\r\n", CODING_IDENTITY, true },
        { "Content-Encoding: gzip\r\nContent-Encoding: gzip\r\n", CODING_GZIP, true },
};

static void test_content_encoding(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(codings); i++) {
                HttpHead head = head_of(codings[i].fields);
                assert_int_equal(head.coding_unknown, codings[i].unknown);
                if (!head.coding_unknown)
                        assert_int_equal(head.coding, codings[i].coding);
        }
}

static void test_retry_after(void **state) {
        assert_int_equal(head_of("").retry_after_s, 0);
        assert_int_equal(head_of("Retry-After: 120\r\n").retry_after_s, 120);
        assert_int_equal(head_of("Retry-After: 4294967296\r\n").retry_after_s, UINT32_MAX);
        assert_int_equal(head_of("Retry-After: 99999999999999999999\r\n").retry_after_s, 0);

        HttpHead head = head_of("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n");
        assert_int_equal(head.retry_after_s, 0);
        assert_int_equal(head.retry_after_at, 946684799);
        assert_int_equal(head_of("Retry-After: 120\r\n").retry_after_at, 0);
        assert_int_equal(head_of("Retry-After: Wed, 31 Dec 1969 23:59:59 GMT\r\n").retry_after_at, 0);
        assert_int_equal(head_of("Retry-After: soon\r\n").retry_after_at, 0);
        assert_int_equal(head_of("Retry-After:\r\n").retry_after_at, 0);
}

static void test_cache_control(void **state) {
        HttpHead head = head_of("");
        CacheControl nothing = { 0 };
        assert_memory_equal(&head.cache, &nothing, sizeof(nothing));

        /* several fields add up */
        head = head_of("Cache-Control: max-age=60, stale-if-error=9\r\n"
                       "cache-control: max-age=50,must-revalidate\r\nCACHE-CONTROL:\r\n");
        assert_true(head.cache.has_max_age && head.cache.has_stale_if_error);
        assert_int_equal(head.cache.max_age_s, 50);
        assert_int_equal(head.cache.stale_if_error_s, 9);
        assert_true(head.cache.must_revalidate);
        assert_false(head.cache.no_store || head.cache.no_cache);
        assert_true(head_of("Cache-Control: no-store\r\n").cache.no_store);
}

static void test_age(void **state) {
        static const struct {
                const char *fields;
                uint32_t age_s;
        } ages[] = {
                { "Age: 0\r\n", 0 },
                { "age:17\r\n", 17 },
                { "Age: 2147483649\r\n", DELTA_SECONDS_MAX },
                { "Age: 99999999999999999999999\r\n", DELTA_SECONDS_MAX },
                { "Age: 5, 7\r\n", 5 },
                { "Age: 5\r\nAge: 7\r\n", 5 },
                { "Age: x\r\nAge: 7\r\n", 0 },
                { "Age: -1\r\n", 0 },
                { "Age: 1.5\r\n", 0 },
                { "Age: \"5\"\r\n", 0 },
                { "Age:\r\n", 0 },
        };

        for (size_t i = 0; i < ELEMENTSOF(ages); i++)
                assert_int_equal(head_of(ages[i].fields).cache.age_s, ages[i].age_s);
}

static void test_expires_and_date(void **state) {
        HttpHead head = head_of("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                "Expires: Sunday, 06-Nov-94 08:50:37 GMT\r\n");
        assert_true(head.cache.has_date && head.cache.has_expires);
        assert_int_equal(head.cache.date_s, 784111777);
        assert_int_equal(head.cache.expires_s, 784111777 + 60);

        head = head_of("Date: today\r\nExpires: 0\r\n");
        assert_false(head.cache.has_date);
        assert_true(head.cache.has_expires);
        assert_int_equal(head.cache.expires_s, -1);
        assert_int_equal(head_of("Expires:\r\n").cache.expires_s, -1);

        /* of several the earliest end, and the first date */
        head = head_of("Expires: Sun, 06 Nov 1994 08:49:39 GMT\r\nDate: x\r\n"
                       "Expires: Sun, 06 Nov 1994 08:49:38 GMT\r\n"
                       "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                       "Date: Sun, 06 Nov 1994 08:49:36 GMT\r\n"
                       "Expires: Sun, 06 Nov 1994 08:49:40 GMT\r\n");
        assert_int_equal(head.cache.expires_s, 784111778);
        assert_int_equal(head.cache.date_s, 784111777);
        head = head_of("Expires: Sun, 06 Nov 1994 08:49:39 GMT\r\nExpires: -1\r\n");
        assert_int_equal(head.cache.expires_s, -1);
}

static void test_head_values(void **state) {
        HttpHead head = head_of("");
        assert_true(head.has_length);
        assert_int_equal(head.minor, 1);
        Seen seen = read_all_ways("HTTP/1.0 302 x\r\n\r\n", strlen("HTTP/1.0 302 x\r\n\r\n"), false);
        assert_false(seen.head.has_length);
        assert_int_equal(seen.head.minor, 0);
        /* what an interim response says is forgotten */
        static const char text[] =
                        "HTTP/1.0 103 x\r\nContent-Type: text/html;charset=a\r\nRetry-After: 9\r\n"
                        "Cache-Control: no-store\r\nAge: 9\r\nExpires: 0\r\n"
                        "Content-Encoding: br\r\n\r\n" OK "Content-Length: 0\r\n\r\n";
        seen = read_all_ways(text, strlen(text), false);
        assert_memory_equal(&seen.head, &head, sizeof(head));
}

/* Ends are final, whatever comes afterwards. */
static void test_after_the_end(void **state) {
        HttpReader reader = { 0 };
        size_t consumed;

        assert_int_equal(http_reader_feed(&reader, "x\n", 2, &consumed), HTTP_ERROR);
        assert_int_equal(http_reader_feed(&reader, OK, 17, &consumed), HTTP_ERROR);
        assert_int_equal(http_reader_eof(&reader), HTTP_ERROR);
        assert_non_null(reader.error);
        http_reader_deinit(&reader);

        http_reader_init(&reader, true);
        assert_int_equal(http_reader_feed(&reader, OK "\r\n", 19, &consumed), HTTP_HEAD);
        assert_int_equal(http_reader_feed(&reader, "x", 1, &consumed), HTTP_DONE);
        assert_int_equal(consumed, 0);
        assert_int_equal(http_reader_eof(&reader), HTTP_DONE);
        http_reader_deinit(&reader);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_head_limit),
                cmocka_unit_test(test_content_type),
                cmocka_unit_test(test_content_encoding),
                cmocka_unit_test(test_retry_after),
                cmocka_unit_test(test_head_values),
                cmocka_unit_test(test_cache_control),
                cmocka_unit_test(test_age),
                cmocka_unit_test(test_expires_and_date),
                cmocka_unit_test(test_after_the_end),
        };
        return cmocka_run_group_tests_name("http1", tests, NULL, NULL);
}
