/* SPDX-License-Identifier: Apache-2.0 */

/* A URL is checked and split in one pass over its parts, left to right; the parts are then
 * written into one block of memory, which `host` begins. What is checked here is what is
 * connected to: the host is stored in its one canonical spelling, so that equal origins are
 * equal strings.
 *
 * Refused although RFC 3986 knows them: user info, fragments, empty ports, percent-encoding
 * and sub-delimiters in a host name, zone identifiers, and numbers in place of a dotted quad
 * ("127.1", "0x7f000001", "017700000001"), which different programs read differently. Paths
 * are not normalised: they go to the server as they were written. */

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "cleanup.h"
#include "macro.h"
#include "url.h"

#define HOST_MAX        253u
#define LABEL_MAX       63u
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *) NULL)->sun_path) - 1)
#define PORT_DIGITS     5
#define HTTP_PORT       80
#define ORIGIN_OVERHEAD      \
        sizeof("http+unix:/" \
               "/[]:65535")

/* The text, how far it has been read, and what is known so far. */
typedef struct Parser {
        const char *text;
        const char *next;
        const char *reason;
        UrlScheme scheme;
        char host[HOST_MAX + 1];
        bool ipv6;
        unsigned port;
} Parser;

static_assert(SOCKET_PATH_MAX <= HOST_MAX, "a socket path fits where a host name does");

static const struct {
        const char *prefix;
        UrlScheme scheme;
} schemes[] = {
        { "http://", URL_HTTP },
        { "http+unix://", URL_HTTP_UNIX },
        { "simulate:", URL_SIMULATE },
};

static int refuse(Parser *p, const char *at, const char *reason) {
        p->next = at;
        p->reason = reason;
        return -EINVAL;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_alpha(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char to_lower(char c) {
        return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

static int hex_value(char c) {
        if (is_digit(c))
                return c - '0';
        c = to_lower(c);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%XX" stands for, or -1. */
static int percent_value(const char *text) {
        int high = hex_value(text[1]);
        int low = high < 0 ? -1 : hex_value(text[2]);
        return low < 0 ? -1 : high << 4 | low;
}

/* Characters of a path or a query, RFC 3986 section 3.3 and 3.4, without '%'. */
static bool is_target_char(char c) {
        return is_alpha(c) || is_digit(c) || (c != '\0' && strchr("-._~!$&'()*+,;=:@/?", c));
}

static int check_characters(Parser *p) {
        for (const char *c = p->text; *c != '\0'; c++)
                if (*c <= 0x20 || *c > 0x7e)
                        return refuse(p, c,
                                      "blanks, control characters and bytes outside ASCII "
                                      "must be percent-encoded");
        return 0;
}

static int parse_scheme(Parser *p) {
        for (size_t i = 0; i < ELEMENTSOF(schemes); i++) {
                size_t size = strlen(schemes[i].prefix);
                if (strncasecmp(p->text, schemes[i].prefix, size) == 0) {
                        p->scheme = schemes[i].scheme;
                        p->next = p->text + size;
                        return 0;
                }
        }
        p->next = p->text;
        p->reason = "the scheme is not known: http://, http+unix:// and simulate: are";
        return -EPROTONOSUPPORT;
}

/* "127.0.0.1", "1", "0x7f", "1.": what any program might take for a number. */
static bool ends_in_number(const char *host) {
        size_t size = strlen(host);
        size -= size > 0 && host[size - 1] == '.';
        const char *dot = memrchr(host, '.', size), *label = dot ? dot + 1 : host;

        if (label[0] == '0' && label[1] == 'x')
                return true;
        return strspn(label, "0123456789") == (size_t) (host + size - label);
}

static int parse_name(Parser *p, const char *end) {
        const char *start = p->next, *label = start;

        for (const char *c = start; c <= end; c++) {
                if (c < end && (is_alpha(*c) || is_digit(*c) || *c == '-' || *c == '_'))
                        continue;
                if (c < end && *c != '.')
                        return refuse(p, c, "this character cannot stand in a host name");
                bool root = c == end && c == label && c > start; /* "example.org." */
                if (!root && (c == label || (size_t) (c - label) > LABEL_MAX))
                        return refuse(p, label, "the parts of a host name have 1 to 63 characters");
                if (!root && (*label == '-' || c[-1] == '-'))
                        return refuse(p, label, "no part of a host name begins or ends with '-'");
                label = c + 1;
        }
        if ((size_t) (end - start) > HOST_MAX)
                return refuse(p, start, "a host name has at most 253 characters");

        for (const char *c = start; c < end; c++)
                p->host[c - start] = to_lower(*c);
        struct in_addr address;
        if (ends_in_number(p->host) && inet_pton(AF_INET, p->host, &address) != 1)
                return refuse(p, start, "an IPv4 address is written as four decimal numbers");
        p->next = end;
        return 0;
}

static int parse_ipv6(Parser *p, const char *end) {
        const char *start = p->next + 1; /* after '[' */
        const char *close = memchr(start, ']', (size_t) (end - start));
        char text[INET6_ADDRSTRLEN] = "";
        struct in6_addr address;

        if (!close)
                return refuse(p, p->next, "the ']' after the IPv6 address is missing");
        if ((size_t) (close - start) < sizeof(text))
                memcpy(text, start, (size_t) (close - start));
        if (inet_pton(AF_INET6, text, &address) != 1)
                return refuse(p, start, "this is no IPv6 address");
        if (!inet_ntop(AF_INET6, &address, p->host, sizeof(p->host)))
                return -errno;
        p->ipv6 = true;
        p->next = close + 1;
        return 0;
}

static int parse_port(Parser *p, const char *end) {
        p->port = HTTP_PORT;
        if (p->next == end)
                return 0;
        if (*p->next != ':')
                return refuse(p, p->next, "only a port may follow the address");

        const char *digits = p->next + 1;
        unsigned port = 0;
        for (const char *c = digits; c < end; c++) {
                if (!is_digit(*c) || c - digits == PORT_DIGITS)
                        return refuse(p, c, "a port is a number from 1 to 65535");
                port = port * 10 + (unsigned) (*c - '0');
        }
        if (port < 1 || port > UINT16_MAX)
                return refuse(p, digits, "a port is a number from 1 to 65535");
        p->port = port;
        p->next = end;
        return 0;
}

static int parse_host_and_port(Parser *p) {
        const char *end = p->next + strcspn(p->next, "/?#");
        const char *at = memchr(p->next, '@', (size_t) (end - p->next));
        if (at)
                return refuse(p, at, "user names and passwords do not belong into a URL");
        if (p->next == end)
                return refuse(p, p->next, "the host is missing");

        int r;
        if (*p->next == '[') {
                r = parse_ipv6(p, end);
        } else {
                const char *colon = memchr(p->next, ':', (size_t) (end - p->next));
                r = parse_name(p, colon ? colon : end);
        }
        return r < 0 ? r : parse_port(p, end);
}

static int parse_socket_path(Parser *p) {
        size_t n = 0;

        for (; *p->next != '\0' && !strchr("/?#", *p->next); n++) {
                int c = (unsigned char) *p->next;
                if (c == '%')
                        c = percent_value(p->next);
                else if (!is_target_char(*p->next) || c == ':' || c == '@')
                        return refuse(p, p->next, "percent-encode this character of the socket path");
                if (c <= 0)
                        return refuse(p, p->next,
                                      "'%' is followed by two hexadecimal digits, not by 00");
                if (n == SOCKET_PATH_MAX)
                        return refuse(p, p->next, "the socket path is too long");
                p->host[n] = (char) c;
                p->next += *p->next == '%' ? 3 : 1;
        }
        if (p->host[0] != '/')
                return refuse(p, p->text + strlen("http+unix://"),
                              "an absolute socket path is wanted, as in http+unix://%2Frun%2Fx.sock/");
        return 0;
}

static int check_target(Parser *p) {
        for (const char *c = p->next; *c != '\0'; c++) {
                if (*c == '#')
                        return refuse(p, c, "a fragment (#...) is never sent to a server");
                if (*c == '%' ? percent_value(c) < 0 : !is_target_char(*c))
                        return refuse(p, c,
                                      *c == '%' ? "'%' is followed by two hexadecimal digits" :
                                                  "this character must be percent-encoded");
        }
        return 0;
}

static int parse_simulate(Parser *p) {
        if (*p->next == '?')
                p->next++;
        else if (*p->next != '\0')
                return refuse(p, p->next, "options follow as in simulate:?delay=2s&bytes=1024");
        return check_target(p);
}

static int parse(Parser *p) {
        int r = check_characters(p);
        if (r >= 0)
                r = parse_scheme(p);
        if (r < 0)
                return r;
        if (p->scheme == URL_SIMULATE)
                return parse_simulate(p);
        r = p->scheme == URL_HTTP ? parse_host_and_port(p) : parse_socket_path(p);
        return r < 0 ? r : check_target(p);
}

/* Appends a string with its NUL to the block and moves on. */
static char *put(char **block, const char *end, const char *text) {
        char *start = *block;
        size_t size = strlen(text) + 1;
        assert(size <= (size_t) (end - start));
        memcpy(start, text, size);
        *block += size;
        return start;
}

static void describe_origin(const Parser *p, char *origin, char *authority, size_t size) {
        const char *open = p->ipv6 ? "[" : "", *close = p->ipv6 ? "]" : "";

        switch (p->scheme) {
        case URL_HTTP:
                (void) snprintf(origin, size, "http://%s%s%s:%u", open, p->host, close, p->port);
                if (p->port == HTTP_PORT)
                        (void) snprintf(authority, size, "%s%s%s", open, p->host, close);
                else
                        (void) snprintf(authority, size, "%s%s%s:%u", open, p->host, close, p->port);
                break;
        case URL_HTTP_UNIX:
                (void) snprintf(origin, size, "http+unix:%s", p->host);
                (void) snprintf(authority, size, "localhost");
                break;
        case URL_SIMULATE:
                (void) snprintf(origin, size, "simulate:");
                authority[0] = '\0';
                break;
        }
}

static int build(const Parser *p, Url *ret) {
        char origin[HOST_MAX + ORIGIN_OVERHEAD], authority[HOST_MAX + ORIGIN_OVERHEAD];
        bool needs_slash = p->scheme != URL_SIMULATE && *p->next != '/';
        describe_origin(p, origin, authority, sizeof(origin));

        size_t target_size = strlen(p->next) + 1;
        size_t size = strlen(p->host) + 1 + needs_slash + target_size + strlen(origin) + 1 +
                        strlen(authority) + 1;
        char *block = malloc(size), *end = block + size;
        if (!block)
                return -ENOMEM;

        ret->scheme = p->scheme;
        ret->ipv6 = p->ipv6;
        ret->port = (uint16_t) p->port;
        ret->host = put(&block, end, p->host);
        ret->origin = put(&block, end, origin);
        ret->authority = put(&block, end, authority);
        ret->target = block;
        if (needs_slash)
                *block++ = '/';
        (void) put(&block, end, p->next);
        return 0;
}

int url_parse(const char *text, Url *ret, size_t *ret_offset, const char **ret_reason) {
        Parser p = { .text = text };

        int r = parse(&p);
        if (r >= 0)
                r = build(&p, ret);
        if (r < 0 && p.reason) {
                if (ret_offset)
                        *ret_offset = (size_t) (p.next - text);
                if (ret_reason)
                        *ret_reason = p.reason;
        }
        return r;
}

void url_deinit(Url *url) {
        free(url->host); /* the block of them all */
        *url = (Url){ 0 };
}
