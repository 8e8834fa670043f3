/* SPDX-License-Identifier: Apache-2.0 */

/* Lookups in JSON and its text. The first line is a JSON Pointer, the rest the document. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json-scan.h"
#include "json-slice.h"
#include "utf8.h"

#define REQUIRE(condition)        \
        do {                      \
                if (!(condition)) \
                        abort();  \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_value(JsonSlice value) {
        Buffer compact = BUFFER_INIT(0), text = BUFFER_INIT(0), scalar = BUFFER_INIT(0);
        TextWriter writer = text_writer(&text);

        REQUIRE(json_compact(value, &compact) == 0);
        REQUIRE(compact.size <= value.size);
        REQUIRE(json_scan(compact.data, compact.size, JSON_DEPTH_MAX, NULL) == 0);
        json_write_text(value, &writer);
        REQUIRE(text.error == 0 && text.size <= 2 * value.size + 8);
        REQUIRE(text.size == 0 || json_has_content(value));
        REQUIRE(!json_is_empty(value) || !json_has_content(value));
        REQUIRE(text.size == 0 || utf8_valid(text.data, text.size));
        REQUIRE(json_scalar_text(value, &scalar) == 0);
        REQUIRE(scalar.size == 0 || utf8_valid(scalar.data, scalar.size));
        buffer_deinit(&compact);
        buffer_deinit(&text);
        buffer_deinit(&scalar);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
        if (!line)
                return 0;

        char *pointer = strndup((const char *) data, (size_t) (line - data));
        const char *json = (const char *) line + 1;
        size_t json_size = size - (size_t) (line - data) - 1;
        JsonSlice found;
        REQUIRE(pointer);
        if (json_scan(json, json_size, JSON_DEPTH_MAX, NULL) == 0) {
                JsonSlice root = json_slice(json, json_size);
                check_value(root);
                if (json_resolve(root, pointer, &found)) {
                        REQUIRE(found.text >= root.text &&
                                found.text + found.size <= root.text + root.size);
                        check_value(found);
                }
        }
        free(pointer);
        return 0;
}
