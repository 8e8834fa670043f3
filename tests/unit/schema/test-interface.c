/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmocka.h"
#include "interface.h"
#include "macro.h"

/* The words of Varlink's grammar (varlink.org). */
#define FIELD_NAME "[A-Za-z](_?[A-Za-z0-9])*"
#define TYPE_NAME  "[A-Z][A-Za-z0-9]*"
#define TYPE       "[?]?(\\[\\]|\\[string\\])*(bool|int|float|string|object|" TYPE_NAME ")"

static char *describe(const char *interface) {
        Buffer out = {};

        assert_int_equal(interface_describe(interface, &out), 0);
        char *text = buffer_steal(&out);
        assert_non_null(text);
        return text;
}

/* Each line of a description is one of these. */
static const char *const lines[] = {
        "^$",
        "^\t?# .+$",
        "^interface [a-z]+(\\.[a-z]+)+$",
        "^type " TYPE_NAME " \\($",
        "^method " TYPE_NAME "\\($",
        "^method " TYPE_NAME "\\(\\) -> (\\(|\\(\\))$",
        "^\\) -> (\\(|\\(\\))$",
        "^\\)$",
        "^\t" FIELD_NAME "(: " TYPE ")?,?$",
        "^error " TYPE_NAME " \\((" FIELD_NAME ": (string|int))?\\)$",
};

static bool line_valid(const char *line) {
        bool found = false;

        for (size_t i = 0; i < ELEMENTSOF(lines) && !found; i++) {
                regex_t pattern;

                assert_int_equal(regcomp(&pattern, lines[i], REG_EXTENDED | REG_NOSUB), 0);
                found = regexec(&pattern, line, 0, NULL, 0) == 0;
                regfree(&pattern);
        }
        return found;
}

static void test_every_line_is_varlink(void **state) {
        for (size_t i = 0; interface_name(i); i++) {
                char *text = describe(interface_name(i)), *rest = text, *line;

                while ((line = strsep(&rest, "\n")))
                        if (!line_valid(line))
                                fail_msg("%s: %s", interface_name(i), line);
                free(text);
        }
}

/* A list that is open has its commas: one after each item but the last. */
static void test_commas(void **state) {
        char *text = describe(IO_MUSTER), *rest = text, *line, last = '(';

        while ((line = strsep(&rest, "\n"))) {
                bool item = line[0] == '\t' && line[1] != '#';

                if (item)
                        assert_true(last == '(' || last == ',');
                if (line[0] == ')')
                        assert_true(last != ',' && last != '(');
                if (item || strchr("(", line[0] ? line[strlen(line) - 1] : 'x'))
                        last = line[0] ? line[strlen(line) - 1] : last;
        }
        free(text);
}

static bool type_named(const char *text, const char *name) {
        char line[128];

        (void) snprintf(line, sizeof(line), "\ntype %s (\n", name);
        return strstr(text, line) != NULL;
}

static const char *bare_type(const char *type) {
        type += type[0] == '?';
        while (type[0] == '[')
                type = strchr(type, ']') + 1;
        return type;
}

static void test_every_type_exists(void **state) {
        char *text = describe(IO_MUSTER), *copy = describe(IO_MUSTER), *rest = copy, *line;

        while ((line = strsep(&rest, "\n"))) {
                const char *member = line[0] == '\t' && line[1] != '#' ? strstr(line, ": ") : NULL;
                const char *type = member ? bare_type(member + 2) : "";

                line[strcspn(line, ",")] = '\0';
                if (type[0] >= 'A' && type[0] <= 'Z' && !type_named(text, type))
                        fail_msg("no type %s", type);
        }
        free(copy);
        free(text);
}

static void test_contents(void **state) {
        static const char *const parts[] = {
                "interface io.muster\n",
                "method Query(\n",
                "\tquestion: string,\n",
                "\tsources: ?[]string,\n",
                "\tparameters: ?[string]string,\n",
                "\tpolicy: ?Policy,\n",
                "\tmax_passages: ?int,\n",
                "\tquorum: ?int,\n",
                "\tcache: ?CacheUse,\n",
                "\tpriority: ?Priority\n) -> (\n",
                "method ListSources() -> (\n",
                "type Verdict (\n",
                "\ttoo_large,\n",
                "error NoSuchSource (source: string)\n",
                "error Stopping ()\n",
        };
        char *text = describe(IO_MUSTER);

        for (size_t i = 0; i < ELEMENTSOF(parts); i++)
                if (!strstr(text, parts[i]))
                        fail_msg("missing: %s", parts[i]);
        assert_null(strstr(text, "GetInfo"));
        free(text);

        text = describe(ORG_VARLINK_SERVICE);
        assert_non_null(strstr(text, "method GetInfo() -> (\n"));
        assert_non_null(strstr(text, "error ExpectedMore ()\n"));
        assert_null(strstr(text, "\ntype "));
        free(text);
}

static void test_no_such_interface(void **state) {
        Buffer out = {};

        assert_int_equal(interface_describe("io.muste", &out), -ENOENT);
        assert_int_equal(out.size, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_every_line_is_varlink), cmocka_unit_test(test_commas),
                cmocka_unit_test(test_every_type_exists),     cmocka_unit_test(test_contents),
                cmocka_unit_test(test_no_such_interface),
        };
        return cmocka_run_group_tests_name("interface", tests, NULL, NULL);
}
