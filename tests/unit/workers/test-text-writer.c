/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "text-writer.h"

static void expect(const Buffer *out, const char *text) {
        assert_int_equal(out->size, strlen(text));
        assert_memory_equal(out->data, text, out->size);
}

static void test_collapses(void **state) {
        static const struct {
                const char *in, *out;
        } cases[] = {
                { "a", "a" },
                { "  a \t\r\n b  ", "a b" },
                { "a\x01\x7f\x1f"
                  "b",
                  "a b" },
                { "a\u00a0\u00a0b", "a b" }, /* no-break spaces */
                { "a\xc2\x85"
                  "b",
                  "a b" }, /* C1 */
                { "soft\u00adhyphen", "softhyphen" },
                { "\u00a9 \u00e9", "\u00a9 \u00e9" }, /* two bytes that stay */
                { "   ", NULL },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                Buffer out = BUFFER_INIT(0);
                TextWriter writer = text_writer(&out);
                text_put(&writer, cases[i].in, strlen(cases[i].in));
                if (cases[i].out)
                        expect(&out, cases[i].out);
                else
                        assert_int_equal(out.size, 0);
                buffer_deinit(&out);
        }
}

static void test_gaps(void **state) {
        Buffer out = BUFFER_INIT(0);
        TextWriter writer = text_writer(&out);

        text_break(&writer); /* none at the beginning */
        text_put(&writer, "a", 1);
        text_space(&writer);
        text_break(&writer); /* the break wins over the blank */
        text_space(&writer);
        text_put(&writer, " b", 2);
        text_break(&writer); /* none at the end */
        expect(&out, "a\nb");

        writer = text_writer(&out); /* another text in the same buffer begins without a gap */
        text_break(&writer);
        text_put(&writer, "c", 1);
        expect(&out, "a\nbc");
        buffer_deinit(&out);
}

static void test_cut_lead_byte(void **state) {
        Buffer out = BUFFER_INIT(0);
        TextWriter writer = text_writer(&out);

        text_put(&writer, "a\xc2", 2); /* not UTF-8, yet nothing is read past it */
        expect(&out, "a");
        buffer_deinit(&out);
}

static void test_limit(void **state) {
        Buffer out = BUFFER_INIT(4);
        TextWriter writer = text_writer(&out);

        text_put(&writer, "abc def", 7);
        assert_int_equal(out.error, -EMSGSIZE);
        expect(&out, "abc ");
        buffer_deinit(&out);
}

static void test_controls(void **state) {
        static const char plain[] = "tab\t line\r\n caf\u00e9 \u00a0";
        static const char dirty[] = "a\0b\xc2\x85"
                                    "c\x1b[d";
        Buffer out = BUFFER_INIT(0);

        assert_false(text_has_controls(plain, strlen(plain)));
        assert_true(text_has_controls(dirty, sizeof(dirty) - 1));
        assert_int_equal(text_replace_controls(plain, strlen(plain), &out), 0);
        expect(&out, plain);
        buffer_clear(&out);
        assert_int_equal(text_replace_controls(dirty, sizeof(dirty) - 1, &out), 0);
        expect(&out, "a b c [d");
        buffer_deinit(&out);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_collapses),     cmocka_unit_test(test_gaps),
                cmocka_unit_test(test_cut_lead_byte), cmocka_unit_test(test_limit),
                cmocka_unit_test(test_controls),
        };
        return cmocka_run_group_tests_name("text-writer", tests, NULL, NULL);
}
