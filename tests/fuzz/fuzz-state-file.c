/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a state file: what is found lies within them. And any bytes as the content of one:
 * they are found again, and when a byte of their slot is changed, the older content is. */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "state-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char older[] = "the content before";

static void require(bool condition) {
        if (!condition)
                abort();
}

static void decode_any(const uint8_t *data, size_t size) {
        const char *bytes = (const char *) data;
        StateContent content;

        if (state_decode(data, size, &content) <= 0)
                return;
        require(content.data >= bytes + sizeof(StateHeader) && content.size <= STATE_CONTENT_MAX);
        require(content.size <= size - (size_t) (content.data - bytes));
        StateHeader header = state_header(content.generation, content.data, content.size);
        require(memcmp(&header, content.data - sizeof(header), sizeof(header)) == 0);
}

static void put_slot(char *file, uint64_t generation, const void *data, size_t size) {
        char *slot = file + generation % 2 * STATE_SLOT_SIZE;
        StateHeader header = state_header(generation, data, size);

        memcpy(slot, &header, sizeof(header));
        memcpy(slot + sizeof(header), data, size);
}

static void decode_written(const uint8_t *data, size_t size) {
        static char file[STATE_FILE_SIZE];
        char *newer = file + STATE_SLOT_SIZE;
        StateContent content;

        put_slot(file, 6, older, sizeof(older));
        put_slot(file, 7, data, size);
        require(state_decode(file, sizeof(file), &content) == 1);
        require(content.generation == 7 && content.size == size);
        require(memcmp(content.data, data, size) == 0);

        newer[(size * 7 + data[0]) % (sizeof(StateHeader) + size)] ^= (char) (data[size - 1] | 1);
        require(state_decode(file, sizeof(file), &content) == 1);
        require(content.generation == 6 && content.size == sizeof(older));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        decode_any(data, size);
        if (size > 0 && size <= STATE_CONTENT_MAX)
                decode_written(data, size);
        return 0;
}
