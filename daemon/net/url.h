/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One URL parser for check and for use (RFC 3986, the parts that sources need). Strict: what
 * it does not understand it refuses. Pure. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum UrlScheme {
        URL_HTTP,
        URL_HTTP_UNIX, /* http+unix://%2Frun%2Fx.sock/path */
        URL_SIMULATE,  /* simulate:?delay=2s&… */
} UrlScheme;

/* The strings lie in one block of memory: url_deinit() frees them all, and none may be freed
 * alone. */
typedef struct Url {
        UrlScheme scheme;
        char *host;    /* lower case; an IPv6 address without brackets; socket path for http+unix */
        bool ipv6;     /* host is an IPv6 literal */
        uint16_t port; /* 80 unless given; 0 for http+unix */
        char *target;  /* origin form, "/" at least, with query; for simulate: what follows '?' */
        char *origin;  /* "http://host:port" or "http+unix:/path": key of connections */
        char *authority; /* value of the Host header */
} Url;

/* -EINVAL with `ret_offset` and `ret_reason` (static text; both may be NULL);
 * -EPROTONOSUPPORT: the scheme is not known; -ENOMEM. User info and fragments are refused;
 * control characters, blanks and bytes above 0x7e too. */
int url_parse(const char *text, Url *ret, size_t *ret_offset, const char **ret_reason);
void url_deinit(Url *url);
