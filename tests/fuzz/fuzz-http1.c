/* SPDX-License-Identifier: Apache-2.0 */

/* A response read at once and the same response cut in two must give the same. The first two
 * bytes of the input say where it is cut; the highest bit of the first, whether the request
 * was HEAD. */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Seen {
        HttpEvent end;
        unsigned heads;
        HttpHead head;
        const char *error;
        size_t consumed;
        uint8_t *body;
        size_t body_size;
} Seen;

static bool feed(Seen *seen, HttpReader *reader, const uint8_t *data, size_t size) {
        size_t consumed;

        do {
                seen->end = http_reader_feed(reader, data, size, &consumed);
                assert(consumed <= size);
                if (seen->end == HTTP_HEAD) {
                        assert(seen->heads++ == 0);
                        seen->head = reader->head;
                } else if (seen->end == HTTP_BODY) {
                        assert(seen->heads == 1 && reader->body_size > 0 &&
                               reader->body_size <= consumed);
                        memcpy(seen->body + seen->body_size, reader->body, reader->body_size);
                        seen->body_size += reader->body_size;
                }
                data += consumed;
                size -= consumed;
                seen->consumed += consumed;
        } while (seen->end == HTTP_HEAD || seen->end == HTTP_BODY);
        assert(seen->end != HTTP_NEED_MORE || size == 0);
        return seen->end == HTTP_NEED_MORE;
}

static Seen read_response(const uint8_t *data, size_t size, size_t cut, bool no_body) {
        Seen seen = { .body = malloc(size + 1) };
        HttpReader reader;

        if (!seen.body)
                abort();
        http_reader_init(&reader, no_body);
        bool more = feed(&seen, &reader, data, cut);
        if (more && cut < size)
                more = feed(&seen, &reader, data + cut, size - cut);
        if (more)
                seen.end = http_reader_eof(&reader);
        assert(seen.end == HTTP_DONE || seen.end == HTTP_ERROR);
        assert(seen.end != HTTP_DONE || (seen.heads == 1 && seen.head.status >= 200));
        seen.error = seen.end == HTTP_ERROR ? reader.error : NULL;
        http_reader_deinit(&reader);
        return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size < 2)
                return 0;
        bool no_body = (data[0] & 0x80) != 0;
        size_t cut = (size_t) (data[0] & 0x7f) << 8 | data[1];
        data += 2;
        size -= 2;

        Seen whole = read_response(data, size, size, no_body);
        Seen halves = read_response(data, size, size > 0 ? cut % size : 0, no_body);
        assert(whole.end == halves.end && whole.heads == halves.heads && whole.error == halves.error);
        assert(memcmp(&whole.head, &halves.head, sizeof(whole.head)) == 0);
        assert(whole.end != HTTP_DONE || whole.consumed == halves.consumed);
        assert(whole.body_size == halves.body_size);
        assert(memcmp(whole.body, halves.body, whole.body_size) == 0);
        free(whole.body);
        free(halves.body);
        return 0;
}
