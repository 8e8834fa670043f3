/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A small HTTP server in a process of its own, on IPv4 and IPv6 loopback and on a Unix socket.
 * What it does is in the path of the request:
 *
 *     /ok           "C R": the number of the connection and of the request on it
 *     /close        the same with Connection: close
 *     /old          HTTP/1.0, delimited by the close
 *     /extra        the same as /ok with bytes too many in the same write
 *     /bye          as /ok, then the server closes
 *     /late         as /ok, then, after a moment, bytes that nobody asked for
 *     /reset-reuse  the first request of a connection as /ok, a second one: reset without a byte
 *     /close-reuse  the same, closed
 *     /cut-reuse    the same, closed after three bytes
 *     /fin/N        the first N bytes of a fixed reply (SMALL_REPLY), then closed
 *     /rst/N        the same, then reset
 *     /junk         no HTTP
 *     /hang         nothing
 *     /half         the head and half of the body, then nothing
 *     /barrier/N    answers when N such requests are there
 *     /early        answers and closes at once, however long the request is
 *     /big/N        N bytes of body
 *     /echo         the request's head as body */

#include <sys/types.h>

#define SMALL_REPLY                                             \
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" \
        "5\r\nhello\r\n6\r\n world\r\n0\r\nX-End: yes\r\n\r\n"

typedef struct TestServer {
        pid_t pid;
        unsigned short port;  /* IPv4 */
        unsigned short port6; /* 0: no IPv6 here */
        char path[64];
} TestServer;

void test_server_start(TestServer *server);
void test_server_stop(TestServer *server);
