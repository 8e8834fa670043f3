/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "macro.h"
#include "template.h"

static const TemplateValue values[] = {
        { "question", "What's \"up\" & où?", sizeof("What's \"up\" & où?") - 1 },
        { "city", "New York", 8 },
        { "empty", "", 0 },
};

static void check_render(const char *text, TemplatePlace place, const char *expected) {
        Template template;
        Buffer out = {};
        const char *missing = NULL;

        assert_int_equal(template_compile(&template, text, place, NULL, NULL), 0);
        assert_int_equal(template_render(&template, values, ELEMENTSOF(values), &out, &missing), 0);
        (void) buffer_append_char(&out, '\0');
        assert_string_equal(out.data, expected);
        buffer_deinit(&out);
        template_deinit(&template);
}

static void test_url(void **state) {
        check_render("http://h/x", TEMPLATE_URL, "http://h/x");
        check_render("http://h/{city}", TEMPLATE_URL, "http://h/New%20York");
        check_render("http://h/?c={city:Paris}&q={question}", TEMPLATE_URL,
                     "http://h/?c=New%20York&q=What%27s%20%22up%22%20%26%20o%C3%B9%3F");
        check_render("http://h/?u={unit:a b/c}", TEMPLATE_URL, "http://h/?u=a%20b%2Fc");
        check_render("http://h/{empty}{empty:x}", TEMPLATE_URL, "http://h/");
        check_render("http://h/{none:}", TEMPLATE_URL, "http://h/");
}

static void test_body(void **state) {
        check_render("{\"q\": \"{question}\", \"n\": {\"a\": 1}}", TEMPLATE_BODY,
                     "{\"q\": \"What's \\\"up\\\" & où?\", \"n\": {\"a\": 1}}");
        check_render("{}{ x }{1}", TEMPLATE_BODY, "{}{ x }{1}");
        check_render("", TEMPLATE_BODY, "");
}

static void test_missing(void **state) {
        Template template;
        Buffer out = {};
        const char *missing = NULL;

        assert_int_equal(template_compile(&template, "http://h/{who}", TEMPLATE_URL, NULL, NULL), 0);
        assert_int_equal(
                        template_render(&template, values, ELEMENTSOF(values), &out, &missing),
                        -ENOENT);
        assert_string_equal(missing, "who");
        buffer_deinit(&out);
        template_deinit(&template);
}

static void check_refused(const char *text, size_t expected_offset) {
        Template template;
        size_t offset = 0;
        const char *reason = NULL;

        assert_int_equal(template_compile(&template, text, TEMPLATE_URL, &offset, &reason), -EINVAL);
        assert_int_equal(offset, expected_offset);
        assert_non_null(reason);
}

static void test_refused(void **state) {
        check_refused("http://h/{", 9);
        check_refused("http://h/}", 9);
        check_refused("http://h/{1}", 9);
        check_refused("http://h/{name", 9);
        check_refused("http://h/a{credential:KEY}", 10);
}

static void test_limit(void **state) {
        Template template;
        Buffer out = BUFFER_INIT(4);
        const char *missing = NULL;

        assert_int_equal(template_compile(&template, "http://h/", TEMPLATE_URL, NULL, NULL), 0);
        assert_int_equal(template_render(&template, NULL, 0, &out, &missing), -EMSGSIZE);
        buffer_deinit(&out);
        template_deinit(&template);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_url),     cmocka_unit_test(test_body),
                cmocka_unit_test(test_missing), cmocka_unit_test(test_refused),
                cmocka_unit_test(test_limit),
        };
        return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
