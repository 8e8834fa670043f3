/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "cmocka.h"

static void test_append_and_consume(void **state) {
        Buffer buffer = BUFFER_INIT(0);

        for (int i = 0; i < 1000; i++)
                assert_int_equal(buffer_append(&buffer, "0123456789", 10), 0);
        assert_int_equal(buffer.size, 10000);
        assert_true(buffer.capacity >= buffer.size);
        buffer_consume(&buffer, 9995);
        assert_int_equal(buffer.size, 5);
        assert_memory_equal(buffer.data, "56789", 5);
        buffer_consume(&buffer, 0);
        buffer_consume(&buffer, 5);
        assert_int_equal(buffer.size, 0);
        buffer_deinit(&buffer);
        assert_null(buffer.data);
}

static void test_empty_append(void **state) {
        Buffer buffer = BUFFER_INIT(0);

        assert_int_equal(buffer_append(&buffer, NULL, 0), 0);
        assert_int_equal(buffer.size, 0);
        buffer_deinit(&buffer);
}

static void test_limit_is_exact_and_sticky(void **state) {
        Buffer buffer = BUFFER_INIT(100);

        for (int i = 0; i < 100; i++)
                assert_int_equal(buffer_append_char(&buffer, 'x'), 0);
        assert_int_equal(buffer_append_char(&buffer, 'x'), -EMSGSIZE);
        assert_int_equal(buffer.size, 100);
        assert_int_equal(buffer_append(&buffer, "", 0), -EMSGSIZE);
        assert_int_equal(buffer_printf(&buffer, "%d", 1), -EMSGSIZE);
        assert_null(buffer_steal(&buffer));

        buffer_clear(&buffer);
        assert_int_equal(buffer_append_string(&buffer, "again"), 0);
        assert_int_equal(buffer_reserve(&buffer, SIZE_MAX), -EMSGSIZE);
        assert_int_equal(buffer.error, -EMSGSIZE);
        buffer_deinit(&buffer);
        assert_int_equal(buffer.limit, 100);
}

static void test_printf(void **state) {
        Buffer buffer = BUFFER_INIT(0);

        for (int i = 0; i < 100; i++)
                assert_int_equal(buffer_printf(&buffer, "%03d,", i), 0);
        assert_int_equal(buffer.size, 400);
        assert_memory_equal(buffer.data + 396, "099,", 4);
        buffer_deinit(&buffer);
}

static void test_steal(void **state) {
        Buffer buffer = BUFFER_INIT(4);

        assert_int_equal(buffer_append_string(&buffer, "full"), 0);
        char *text = buffer_steal(&buffer);
        assert_string_equal(text, "full");
        free(text);
        assert_null(buffer.data);
        assert_int_equal(buffer.limit, 4);

        text = buffer_steal(&buffer);
        assert_string_equal(text, "");
        free(text);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_append_and_consume),
                cmocka_unit_test(test_empty_append),
                cmocka_unit_test(test_limit_is_exact_and_sticky),
                cmocka_unit_test(test_printf),
                cmocka_unit_test(test_steal),
        };
        return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
