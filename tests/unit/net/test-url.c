/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka.h"
#include "macro.h"
#include "url.h"

typedef struct Good {
        const char *text;
        UrlScheme scheme;
        const char *host;
        uint16_t port;
        const char *target;
        const char *origin;
        const char *authority;
        bool ipv6;
} Good;

static const Good good[] = {
        { "http://a", URL_HTTP, "a", 80, "/", "http://a:80", "a" },
        { "http://a/", URL_HTTP, "a", 80, "/", "http://a:80", "a" },
        { "http://a?q=1", URL_HTTP, "a", 80, "/?q=1", "http://a:80", "a" },
        { "http://a:80/x", URL_HTTP, "a", 80, "/x", "http://a:80", "a" },
        { "http://a:8080/x?y", URL_HTTP, "a", 8080, "/x?y", "http://a:8080", "a:8080" },
        { "http://a:1/", URL_HTTP, "a", 1, "/", "http://a:1", "a:1" },
        { "http://a:65535/", URL_HTTP, "a", 65535, "/", "http://a:65535", "a:65535" },
        { "http://a:00081", URL_HTTP, "a", 81, "/", "http://a:81", "a:81" },
        { "HTTP://API.Example.ORG/Path", URL_HTTP, "api.example.org", 80, "/Path",
          "http://api.example.org:80", "api.example.org" },
        { "http://example.org./", URL_HTTP, "example.org.", 80, "/", "http://example.org.:80",
          "example.org." },
        { "http://a-b_c.d9/", URL_HTTP, "a-b_c.d9", 80, "/", "http://a-b_c.d9:80", "a-b_c.d9" },
        { "http://xn--bcher-kva.example/", URL_HTTP, "xn--bcher-kva.example", 80, "/",
          "http://xn--bcher-kva.example:80", "xn--bcher-kva.example" },
        { "http://127.0.0.1:9001/weather?city=New%20York&q=a+b", URL_HTTP, "127.0.0.1", 9001,
          "/weather?city=New%20York&q=a+b", "http://127.0.0.1:9001", "127.0.0.1:9001" },
        { "http://255.255.255.255", URL_HTTP, "255.255.255.255", 80, "/",
          "http://255.255.255.255:80", "255.255.255.255" },
        { "http://1a.2b/", URL_HTTP, "1a.2b", 80, "/", "http://1a.2b:80", "1a.2b" },
        { "http://[::1]/", URL_HTTP, "::1", 80, "/", "http://[::1]:80", "[::1]", true },
        { "http://[::1]:81/x", URL_HTTP, "::1", 81, "/x", "http://[::1]:81", "[::1]:81", true },
        { "http://[0:0:0:0:0:0:0:1]", URL_HTTP, "::1", 80, "/", "http://[::1]:80", "[::1]", true },
        { "http://[2001:DB8::A]/", URL_HTTP, "2001:db8::a", 80, "/", "http://[2001:db8::a]:80",
          "[2001:db8::a]", true },
        { "http://[::ffff:127.0.0.1]/", URL_HTTP, "::ffff:127.0.0.1", 80, "/",
          "http://[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]", true },
        { "http://a/b/../c//d;e=f,g@h:i!$&'()*+~-._", URL_HTTP, "a", 80,
          "/b/../c//d;e=f,g@h:i!$&'()*+~-._", "http://a:80", "a" },
        { "http://a/?a=b?c/d", URL_HTTP, "a", 80, "/?a=b?c/d", "http://a:80", "a" },
        { "http://a/%0d%0a%00", URL_HTTP, "a", 80, "/%0d%0a%00", "http://a:80", "a" },
        { "http+unix://%2Frun%2Fx.sock/v1?q", URL_HTTP_UNIX, "/run/x.sock", 0, "/v1?q",
          "http+unix:/run/x.sock", "localhost" },
        { "http+unix://%2frun%2fX.sock", URL_HTTP_UNIX, "/run/X.sock", 0, "/",
          "http+unix:/run/X.sock", "localhost" },
        { "HTTP+UNIX://%2Fa%20b%3A?q", URL_HTTP_UNIX, "/a b:", 0, "/?q",
          "http+unix:/a b:", "localhost" },
        { "simulate:", URL_SIMULATE, "", 0, "", "simulate:", "" },
        { "simulate:?", URL_SIMULATE, "", 0, "", "simulate:", "" },
        { "simulate:?delay=2s&fail=0.5", URL_SIMULATE, "", 0, "delay=2s&fail=0.5", "simulate:", "" },
};

static void test_good(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(good); i++) {
                Url url;
                const char *reason = "";
                int r = url_parse(good[i].text, &url, NULL, &reason);
                if (r < 0)
                        fail_msg("%s: %s", good[i].text, reason);
                assert_int_equal(url.scheme, good[i].scheme);
                assert_string_equal(url.host, good[i].host);
                assert_int_equal(url.port, good[i].port);
                assert_string_equal(url.target, good[i].target);
                assert_string_equal(url.origin, good[i].origin);
                assert_string_equal(url.authority, good[i].authority);
                assert_int_equal(url.ipv6, good[i].ipv6);
                url_deinit(&url);
                assert_null(url.host);
                url_deinit(&url);
        }
}

#define L63 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk"

static const struct {
        const char *text;
        int error;
        size_t offset;
        const char *reason; /* a part of it */
} bad[] = {
        { "", -EPROTONOSUPPORT, 0, "scheme" },
        { "http", -EPROTONOSUPPORT, 0, "scheme" },
        { "http:", -EPROTONOSUPPORT, 0, "scheme" },
        { "http:/a", -EPROTONOSUPPORT, 0, "scheme" },
        { "//a/b", -EPROTONOSUPPORT, 0, "scheme" },
        { "https://a/", -EPROTONOSUPPORT, 0, "scheme" },
        { "file:///etc/passwd", -EPROTONOSUPPORT, 0, "scheme" },
        { "gopher://a/", -EPROTONOSUPPORT, 0, "scheme" },
        { "data:,x", -EPROTONOSUPPORT, 0, "scheme" },
        { "ftp://a", -EPROTONOSUPPORT, 0, "scheme" },
        { " http://a", -EINVAL, 0, "percent-encoded" },
        { "http://a ", -EINVAL, 8, "percent-encoded" },
        { "http://a/b c", -EINVAL, 10, "percent-encoded" },
        { "http://a/\r\nX: y", -EINVAL, 9, "percent-encoded" },
        { "http://a/\x7f", -EINVAL, 9, "percent-encoded" },
        { "http://\xc3\xa9/", -EINVAL, 7, "percent-encoded" },
        { "http://", -EINVAL, 7, "host is missing" },
        { "http:///x", -EINVAL, 7, "host is missing" },
        { "http://?x", -EINVAL, 7, "host is missing" },
        { "http://:80/", -EINVAL, 7, "1 to 63" },
        { "http://user@a/", -EINVAL, 11, "passwords" },
        { "http://user:pw@a/", -EINVAL, 14, "passwords" },
        { "http://@a/", -EINVAL, 7, "passwords" },
        { "http://a#f", -EINVAL, 8, "fragment" },
        { "http://a/b#f", -EINVAL, 10, "fragment" },
        { "http://a/?b#f", -EINVAL, 11, "fragment" },
        { "http://./", -EINVAL, 7, "1 to 63" },
        { "http://.a/", -EINVAL, 7, "1 to 63" },
        { "http://a..b/", -EINVAL, 9, "1 to 63" },
        { "http://a../", -EINVAL, 9, "1 to 63" },
        { "http://-a/", -EINVAL, 7, "'-'" },
        { "http://b.a-/", -EINVAL, 9, "'-'" },
        { "http://" L63 "x/", -EINVAL, 7, "1 to 63" },
        { "http://" L63 "." L63 "." L63 "." L63 "/", -EINVAL, 7, "253" },
        { "http://a%2eb/", -EINVAL, 8, "host name" },
        { "http://a!b/", -EINVAL, 8, "host name" },
        { "http://a,b/", -EINVAL, 8, "host name" },
        { "http://a\\b/", -EINVAL, 8, "host name" },
        { "http://1/", -EINVAL, 7, "IPv4" },
        { "http://127.1/", -EINVAL, 7, "IPv4" },
        { "http://2130706433/", -EINVAL, 7, "IPv4" },
        { "http://0x7f000001/", -EINVAL, 7, "IPv4" },
        { "http://0X7F.1/", -EINVAL, 7, "IPv4" },
        { "http://127.0.0.0x1/", -EINVAL, 7, "IPv4" },
        { "http://0177.0.0.1/", -EINVAL, 7, "IPv4" },
        { "http://127.0.0.01/", -EINVAL, 7, "IPv4" },
        { "http://256.0.0.1/", -EINVAL, 7, "IPv4" },
        { "http://1.2.3.4.5/", -EINVAL, 7, "IPv4" },
        { "http://127.0.0.1./", -EINVAL, 7, "IPv4" },
        { "http://a.1/", -EINVAL, 7, "IPv4" },
        { "http://[::1/", -EINVAL, 7, "']'" },
        { "http://[]/", -EINVAL, 8, "IPv6" },
        { "http://[1]/", -EINVAL, 8, "IPv6" },
        { "http://[::g]/", -EINVAL, 8, "IPv6" },
        { "http://[fe80::1%25eth0]/", -EINVAL, 8, "IPv6" },
        { "http://[v1.a]/", -EINVAL, 8, "IPv6" },
        { "http://[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]/", -EINVAL, 8, "IPv6" },
        { "http://[::1]x/", -EINVAL, 12, "only a port" },
        { "http://::1/", -EINVAL, 7, "1 to 63" },
        { "http://a:/", -EINVAL, 9, "65535" },
        { "http://a:0/", -EINVAL, 9, "65535" },
        { "http://a:65536/", -EINVAL, 9, "65535" },
        { "http://a:123456/", -EINVAL, 14, "65535" },
        { "http://a:8x/", -EINVAL, 10, "65535" },
        { "http://a:-1/", -EINVAL, 9, "65535" },
        { "http://a:80:80/", -EINVAL, 11, "65535" },
        { "http://a/%", -EINVAL, 9, "hexadecimal" },
        { "http://a/%2", -EINVAL, 9, "hexadecimal" },
        { "http://a/%zz", -EINVAL, 9, "hexadecimal" },
        { "http://a/{city}", -EINVAL, 9, "percent-encoded" },
        { "http://a/a[0]", -EINVAL, 10, "percent-encoded" },
        { "http://a/\"", -EINVAL, 9, "percent-encoded" },
        { "http://a/b\\c", -EINVAL, 10, "percent-encoded" },
        { "http+unix://", -EINVAL, 12, "absolute" },
        { "http+unix:///run/x.sock", -EINVAL, 12, "absolute" },
        { "http+unix://run/x", -EINVAL, 12, "absolute" },
        { "http+unix://%2Fa%00b/", -EINVAL, 16, "not by 00" },
        { "http+unix://%2Fa%/", -EINVAL, 16, "not by 00" },
        { "http+unix://%2Fa:80/", -EINVAL, 16, "socket path" },
        { "http+unix://x@%2Fa/", -EINVAL, 13, "socket path" },
        { "http+unix://%2Fa#f", -EINVAL, 16, "fragment" },
        { "http+unix://%2F" L63 L63 "/", -EINVAL, 121, "too long" },
        { "simulate:delay=2s", -EINVAL, 9, "options" },
        { "simulate://x", -EINVAL, 9, "options" },
        { "simulate:?a#b", -EINVAL, 11, "fragment" },
};

static void test_bad(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                Url url = { .port = 4711 };
                const char *reason = NULL;
                size_t offset = SIZE_MAX;
                int r = url_parse(bad[i].text, &url, &offset, &reason);
                if (r != bad[i].error || offset != bad[i].offset || !strstr(reason, bad[i].reason))
                        fail_msg("%s: %d at %zu: %s", bad[i].text, r, offset, reason ? reason : "-");
                assert_int_equal(url.port, 4711);
                assert_int_equal(url_parse(bad[i].text, &url, NULL, NULL), bad[i].error);
        }
}

static void test_longest(void **state) {
        static const char host[] =
                        L63 "." L63 "." L63 "."
                            "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi";
        char text[512];
        Url url;

        (void) snprintf(text, sizeof(text), "http://%s:65535/", host);
        assert_int_equal(strlen(host), 253);
        assert_int_equal(url_parse(text, &url, NULL, NULL), 0);
        assert_string_equal(url.host, host);
        url_deinit(&url);

        (void) snprintf(text, sizeof(text), "http+unix://%%2F%.106s", host);
        assert_int_equal(url_parse(text, &url, NULL, NULL), 0);
        assert_int_equal(strlen(url.host), 107);
        url_deinit(&url);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_good),
                cmocka_unit_test(test_bad),
                cmocka_unit_test(test_longest),
        };
        return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
