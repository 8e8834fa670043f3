/* SPDX-License-Identifier: Apache-2.0 */

/* What url_parse() takes it must take apart consistently, and what it builds of it must parse
 * again to the same origin. */

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_http(const Url *url) {
        char *again = NULL;
        Url second;

        if (asprintf(&again, "http://%s%s", url->authority, url->target) < 0)
                abort();
        if (url_parse(again, &second, NULL, NULL) < 0)
                abort();
        assert(strcmp(url->origin, second.origin) == 0 && strcmp(url->target, second.target) == 0);
        assert(url->port == second.port && url->ipv6 == second.ipv6);
        url_deinit(&second);
        free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        char *text = malloc(size + 1);
        const char *reason = NULL;
        size_t offset = SIZE_MAX;
        Url url;

        if (!text)
                return 0;
        if (size > 0)
                memcpy(text, data, size);
        text[size] = '\0';
        int r = url_parse(text, &url, &offset, &reason);
        if (r < 0) {
                assert(reason && offset <= strlen(text));
        } else {
                assert(!strpbrk(url.target, "\r\n #"));
                assert(url.scheme == URL_SIMULATE || url.target[0] == '/');
                assert(url.scheme != URL_HTTP_UNIX || url.host[0] == '/');
                if (url.scheme == URL_HTTP)
                        check_http(&url);
                url_deinit(&url);
        }
        free(text);
        return 0;
}
