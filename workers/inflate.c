/* SPDX-License-Identifier: Apache-2.0 */

/* The sizes a stream claims are not believed: memory grows with what really comes out. A gzip
 * document may have several members (RFC 1952, 2.2). `deflate` ought to be the zlib format (RFC
 * 9110, 8.4.1.2), but some servers send the bare stream, so the first two bytes decide. */

#include <errno.h>

#define ZLIB_CONST
#include <zlib.h>

#include "cleanup.h"
#include "inflate.h"

#define WINDOW_RAW   (-MAX_WBITS)
#define WINDOW_ZLIB  MAX_WBITS
#define WINDOW_GZIP  (MAX_WBITS + 16)
#define CHUNK_MIN    (16u << 10)
#define RATIO_MAX    100u       /* deflate itself reaches 1,032 */
#define RATIO_EXEMPT (1u << 20) /* small documents may be as repetitive as they like */
#define FEED_MAX     (1u << 30) /* zlib counts in 32 bits */

static void cleanup_stream(z_stream *stream) {
        (void) inflateEnd(stream); /* harmless on one that was never set up */
}

static int window_bits(ContentCoding coding, const uint8_t *data, size_t size) {
        if (coding == CODING_GZIP)
                return WINDOW_GZIP;
        bool zlib = size >= 2 && (data[0] & 0x0f) == Z_DEFLATED &&
                        ((unsigned) data[0] << 8 | data[1]) % 31 == 0;
        return zlib ? WINDOW_ZLIB : WINDOW_RAW;
}

static int complain(Buffer *error, int r, const char *message, size_t position) {
        (void) buffer_printf(
                        error, "compressed document %s (at byte %zu of what was received)", message,
                        position);
        return r;
}

/* One call of inflate() into whatever room there is; `out` may grow to one byte over `max`,
 * which tells "just full" from "too much". */
static int inflate_some(z_stream *stream, size_t max, Buffer *out) {
        size_t room = out->capacity - out->size;
        if (room == 0) {
                size_t more = MAX((size_t) CHUNK_MIN, out->size / 2);
                int r = buffer_reserve(out, MIN(more, max + 1 - out->size));
                if (r < 0)
                        return r;
                room = out->capacity - out->size;
        }
        room = MIN(room, max + 1 - out->size);
        room = MIN(room, (size_t) FEED_MAX);

        stream->next_out = (Bytef *) out->data + out->size;
        stream->avail_out = (uInt) room;
        int z = inflate(stream, Z_NO_FLUSH);
        out->size += room - stream->avail_out;
        if (out->size > max)
                return -EMSGSIZE;
        if (z == Z_MEM_ERROR)
                return -ENOMEM;
        if (z == Z_STREAM_END)
                return 1;
        if (z == Z_OK)
                return 0;
        return z == Z_BUF_ERROR ? -ENODATA : -EBADMSG;
}

/* All members. The loop ends since each turn consumes, produces or fails. */
static int
inflate_members(z_stream *stream, ContentCoding coding, const uint8_t *data, size_t size,
                size_t max, Buffer *out, Buffer *error) {
        stream->next_in = data;
        for (;;) {
                size_t used = (size_t) (stream->next_in - data);
                stream->avail_in = (uInt) MIN(size - used, (size_t) FEED_MAX);
                int r = inflate_some(stream, max, out);
                used = (size_t) (stream->next_in - data);

                if (r == -EMSGSIZE)
                        return complain(error, r, "is larger than MaxBytes= allows", used);
                if (r == -ENODATA)
                        return complain(error, -EBADMSG, "ends early", used);
                if (r == -EBADMSG)
                        return complain(error, r, "is damaged", used);
                if (r < 0)
                        return r;
                if (out->size > RATIO_EXEMPT && out->size / RATIO_MAX > used)
                        return complain(error, -EMSGSIZE, "expands more than a hundredfold", used);
                if (r == 0)
                        continue;
                if (used == size)
                        return 0;
                if (coding != CODING_GZIP || data[used] != 0x1f)
                        return complain(error, -EBADMSG, "is followed by other bytes", used);
                (void) inflateReset(stream);
        }
}

int inflate_document(
                ContentCoding coding, const uint8_t *data, size_t size, size_t max, Buffer *out,
                Buffer *error) {
        CLEANUP(cleanup_stream) z_stream stream = { 0 };

        assert(coding == CODING_GZIP || coding == CODING_DEFLATE);
        assert(max < SIZE_MAX);
        if (inflateInit2(&stream, window_bits(coding, data, size)) != Z_OK)
                return -ENOMEM;
        return inflate_members(&stream, coding, data, size, max, out, error);
}
