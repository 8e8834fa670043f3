/* SPDX-License-Identifier: Apache-2.0 */

/* json_scan() and jansson must agree on what JSON is. Where they may differ: nesting beyond the
 * scanner's limit, numbers that fit in no machine type, and \u0000, for which jansson refuses valid
 * text; NUL bytes between tokens, which jansson passes over. */

#include <errno.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json-scan.h"

#define DEPTH 1024

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int jansson_differs(const json_error_t *error) {
        enum json_error_code code = json_error_code(error);

        return code == json_error_numeric_overflow || code == json_error_null_character ||
                        code == json_error_null_byte_in_key;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *text = (const char *) data;
        size_t offset = SIZE_MAX;
        json_error_t error;

        int r = json_scan(text ? text : "", size, DEPTH, &offset);
        if (r != 0 && r != -EINVAL && r != -EILSEQ && r != -E2BIG)
                abort();
        if (r == 0 ? offset != SIZE_MAX : offset > size)
                abort();
        if (r == 0 && size > 0 && memchr(text, '\0', size))
                abort();
        if (r == -E2BIG || (size > 0 && memchr(text, '\0', size)))
                return 0;

        json_t *value = json_loadb(text ? text : "", size, JSON_DECODE_ANY, &error);
        if ((r == 0) != (value != NULL) && (value || !jansson_differs(&error)))
                abort();
        json_decref(value);
        return 0;
}
