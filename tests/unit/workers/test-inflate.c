/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "cmocka.h"
#include "inflate.h"

#define BITS_GZIP (MAX_WBITS + 16)

static Buffer out, error;

static int setup(void **state) {
        buffer_deinit(&out);
        buffer_deinit(&error);
        return 0;
}

/* Compresses; the caller frees. */
static uint8_t *pack(const void *data, size_t size, int bits, size_t *ret_size) {
        z_stream stream = { 0 };
        assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
        size_t room = deflateBound(&stream, size);
        uint8_t *packed = malloc(room);
        assert_non_null(packed);
        stream.next_in = (Bytef *) (uintptr_t) data;
        stream.avail_in = (uInt) size;
        stream.next_out = packed;
        stream.avail_out = (uInt) room;
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        *ret_size = room - stream.avail_out;
        (void) deflateEnd(&stream);
        return packed;
}

/* Text that does not compress well. */
static char *noise(size_t size) {
        char *data = malloc(size);
        uint32_t x = 1;
        assert_non_null(data);
        for (size_t i = 0; i < size; i++) {
                x = x * 1664525 + 1013904223;
                data[i] = (char) (x >> 24);
        }
        return data;
}

static void test_formats(void **state) {
        static const struct {
                ContentCoding coding;
                int bits;
        } formats[] = {
                { CODING_GZIP, BITS_GZIP },
                { CODING_DEFLATE, MAX_WBITS },
                { CODING_DEFLATE, -MAX_WBITS },
        };
        size_t size = 300000, packed_size;
        char *data = noise(size);

        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                uint8_t *packed = pack(data, size, formats[i].bits, &packed_size);
                (void) setup(NULL);
                assert_int_equal(
                                inflate_document(
                                                formats[i].coding, packed, packed_size, size, &out,
                                                &error),
                                0);
                assert_int_equal(out.size, size);
                assert_memory_equal(out.data, data, size);
                assert_int_equal(error.size, 0);

                (void) setup(NULL); /* one byte more than allowed */
                assert_int_equal(
                                inflate_document(
                                                formats[i].coding, packed, packed_size, size - 1,
                                                &out, &error),
                                -EMSGSIZE);
                assert_non_null(memmem(error.data, error.size, "MaxBytes=", 9));
                free(packed);
        }
        free(data);
}

static void test_truncated_anywhere(void **state) {
        size_t packed_size;
        uint8_t *packed = pack("hello hello hello", 17, BITS_GZIP, &packed_size);

        for (size_t i = 0; i < packed_size; i++) {
                uint8_t *cut = malloc(i + 1); /* so that a sanitizer sees any byte read past it */
                assert_non_null(cut);
                memcpy(cut, packed, i);
                (void) setup(NULL);
                assert_int_equal(inflate_document(CODING_GZIP, cut, i, 1000, &out, &error), -EBADMSG);
                assert_true(error.size > 0);
                free(cut);
        }
        free(packed);
}

static void test_damaged(void **state) {
        size_t size;
        uint8_t *packed = pack("hello hello hello", 17, BITS_GZIP, &size);

        packed[size - 6] ^= 0xff; /* the checksum */
        assert_int_equal(inflate_document(CODING_GZIP, packed, size, 1000, &out, &error), -EBADMSG);
        assert_non_null(memmem(error.data, error.size, "damaged", 7));
        free(packed);
        (void) setup(NULL);
        assert_int_equal(
                        inflate_document(
                                        CODING_GZIP, (const uint8_t *) "plain text", 10, 1000, &out,
                                        &error),
                        -EBADMSG);
}

static void test_members_and_garbage(void **state) {
        size_t size;
        uint8_t *packed = pack("twice", 5, BITS_GZIP, &size), *both = malloc(2 * size);

        assert_non_null(both);
        memcpy(both, packed, size);
        memcpy(both + size, packed, size);
        assert_int_equal(inflate_document(CODING_GZIP, both, 2 * size, 1000, &out, &error), 0);
        assert_int_equal(out.size, 10);
        assert_memory_equal(out.data, "twicetwice", 10);

        (void) setup(NULL);
        both[size] = 0;
        assert_int_equal(inflate_document(CODING_GZIP, both, 2 * size, 1000, &out, &error), -EBADMSG);
        assert_non_null(memmem(error.data, error.size, "followed", 8));
        free(packed);

        (void) setup(NULL); /* the zlib format has no members */
        packed = pack("once", 4, MAX_WBITS, &size);
        memcpy(both, packed, size);
        both[size] = 0x1f;
        assert_int_equal(inflate_document(CODING_DEFLATE, both, size + 1, 1000, &out, &error), -EBADMSG);
        free(packed);
        free(both);
}

static void test_bomb(void **state) {
        size_t size = 4 << 20, packed_size;
        char *zeros = calloc(1, size);
        assert_non_null(zeros);
        uint8_t *packed = pack(zeros, size, BITS_GZIP, &packed_size);

        assert_int_equal(
                        inflate_document(CODING_GZIP, packed, packed_size, size, &out, &error),
                        -EMSGSIZE);
        assert_true(out.size < size);
        free(packed);

        (void) setup(NULL); /* small ones may be that repetitive */
        packed = pack(zeros, 1 << 20, BITS_GZIP, &packed_size);
        assert_int_equal(inflate_document(CODING_GZIP, packed, packed_size, size, &out, &error), 0);
        assert_int_equal(out.size, 1 << 20);
        free(packed);
        free(zeros);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_formats, setup, setup),
                cmocka_unit_test_setup_teardown(test_truncated_anywhere, setup, setup),
                cmocka_unit_test_setup_teardown(test_damaged, setup, setup),
                cmocka_unit_test_setup_teardown(test_members_and_garbage, setup, setup),
                cmocka_unit_test_setup_teardown(test_bomb, setup, setup),
        };
        return cmocka_run_group_tests_name("inflate", tests, NULL, NULL);
}
