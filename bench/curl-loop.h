/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libcurl's multi_socket interface on epoll, as one writes it when speed matters. For the
 * comparators. */

#include <curl/curl.h>
#include <stdint.h>

typedef struct Watch Watch;
struct Watch {
        void (*ready)(Watch *watch, uint32_t events);
};

/* `done` gets every transfer that has ended, already removed from the multi handle. */
void curl_loop_init(void (*done)(CURL *easy, CURLcode result));

/* An easy handle with what all of them need: plain HTTP/1.1, a kept connection, a timeout of 5
 * s. */
CURL *curl_loop_easy(const char *url);
void curl_loop_start(CURL *easy);

/* Something else to wait for, level-triggered. */
void curl_loop_watch(Watch *watch, int fd, uint32_t events);

/* Waits for events, delivers them, then the ends of transfers. */
void curl_loop_turn(void);
