/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "list.h"

typedef struct Item {
        List node;
        char name;
} Item;

static void expect(const List *list, const char *names) {
        size_t n = 0;

        LIST_FOREACH(node, list)
                assert_int_equal(LIST_ENTRY(node, Item, node)->name, names[n++]);
        assert_int_equal(n, strlen(names));
}

static void test_order_and_removal(void **state) {
        List list = LIST_INIT(list);
        Item a = { .name = 'a' }, b = { .name = 'b' }, c = { .name = 'c' };

        assert_true(list_empty(&list));
        assert_null(LIST_FIRST(&list, Item, node));
        list_append(&list, &b.node);
        list_append(&list, &c.node);
        list_prepend(&list, &a.node);
        expect(&list, "abc");
        assert_ptr_equal(LIST_FIRST(&list, Item, node), &a);

        list_remove(&b.node);
        list_remove(&b.node);
        expect(&list, "ac");
        list_insert_before(&c.node, &b.node);
        expect(&list, "abc");
        LIST_FOREACH_SAFE(node, &list)
                list_remove(node);
        assert_true(list_empty(&list));
}

static void test_move(void **state) {
        List from = LIST_INIT(from), to = LIST_INIT(to);
        Item a = { .name = 'a' }, b = { .name = 'b' };

        list_move(&to, &from);
        assert_true(list_empty(&to));
        list_append(&from, &a.node);
        list_append(&from, &b.node);
        list_move(&to, &from);
        assert_true(list_empty(&from));
        expect(&to, "ab");
        list_remove(&a.node);
        expect(&to, "b");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_order_and_removal),
                cmocka_unit_test(test_move),
        };
        return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
