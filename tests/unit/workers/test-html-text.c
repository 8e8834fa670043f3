/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "cmocka.h"
#include "html-text.h"

static void check(const char *html, const char *text, const char *title) {
        Buffer out = BUFFER_INIT(0), title_buffer = BUFFER_INIT(0);
        TextWriter writer = text_writer(&out), title_writer = text_writer(&title_buffer);
        size_t size = strlen(html);
        char *exact = test_malloc(size + 1); /* one byte that is not read would be no finding */

        memcpy(exact, html, size);
        html_write_text(exact, size, &writer, &title_writer);
        (void) buffer_append_char(&out, '\0');
        (void) buffer_append_char(&title_buffer, '\0');
        assert_string_equal(out.data, text);
        assert_string_equal(title_buffer.data, title);
        test_free(exact);
        buffer_deinit(&out);
        buffer_deinit(&title_buffer);
}

static void test_text(void **state) {
        static const char *const cases[][2] = {
                { "plain", "plain" },
                { "<p>one</p><p>two</p>", "one\ntwo" },
                { "a<br>b<BR/>c", "a\nb\nc" },
                { "a <b>bold</b> word", "a bold word" },
                { "wo<i>rd</i>", "word" },
                { "<tr><td>a</td><td>b</td></tr><tr><td>c</td></tr>", "a b\nc" },
                { "a<script>if (a < b) { x = '<p>'; }</script>b", "a b" },
                { "a<style>p { }</STYLE >b", "a b" },
                { "a<noscript><p>off</p></noscript>b", "a b" },
                { "a<script>never closed", "a" },
                { "a<script></scripty></script>b", "a b" },
                { "a<!-- b -- > <p> -->c", "ac" },
                { "a<!-->b", "ab" },
                { "a<!-- open", "a" },
                { "<!DOCTYPE html>a<?php x ?>b", "ab" },
                { "a<a title=\"x>y\" href='>'>b</a>", "ab" },
                { "a<a title = \"never closed>b", "a" },
                { "a<a b'c>d", "ad" }, /* a quote that opens no value */
                { "a<a =>b", "ab" },
                { "a<a b= >c", "ac" },
                { "a<a b=", "a" },
                { "a<b", "a" },
                { "a < b and c <3", "a < b and c <3" },
                { "a </ b", "a </ b" },
                { "<", "<" },
                { "<p", "" },
                { "</", "</" },
                { "<!", "" },
                { "<customelement-of-some-length>x</customelement-of-some-length>", "x" },
                { "", "" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check(cases[i][0], cases[i][1], "");
}

static void test_references(void **state) {
        static const char *const cases[][2] = {
                { "a &amp; b &lt;p&gt; &quot;q&quot;", "a & b <p> \"q\"" },
                { "&eacute;&Eacute;&euro;&hellip;&zwnj;&AElig;",
                  "\u00e9\u00c9\u20ac\u2026\u200c\u00c6" },
                { "&#65;&#x42;&#X43;", "ABC" },
                { "&#128;&#x99;", "\u20ac\u2122" }, /* windows-1252 */
                { "&#x81;", "\ufffd" },
                { "&#0;&#xd800;&#x110000;&#99999999;", "\ufffd\ufffd\ufffd\ufffd" },
                { "&#x1f600;", "\U0001f600" },
                { "a&nbsp;b", "a b" },
                { "a&#1;b", "a b" },
                { "soft&shy;ly", "softly" },
                { "&unknown; & &; &# &#; &#x; &#xg; &#1a; &amp",
                  "&unknown; & &; &# &#; &#x; &#xg; &#1a; &amp" },
                { "&averyveryverylongname;", "&averyveryverylongname;" },
                { "&lt;script&gt;", "<script>" },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check(cases[i][0], cases[i][1], "");
}

static void test_title(void **state) {
        check("<head><title> A &amp;\n B <i></title></head><body>c", "c", "A & B <i>");
        check("<title>one</title><svg><title>two</title></svg>x<title>three</title>", "x\nthree",
              "one");
        check("<title>never closed <p>a", "", "never closed <p>a");
        check("</title>a", "a", "");
}

static void test_no_title_wanted(void **state) {
        Buffer out = BUFFER_INIT(0);
        TextWriter writer = text_writer(&out);

        html_write_text("<title>t</title>x", 17, &writer, NULL);
        assert_int_equal(out.size, 3);
        assert_memory_equal(out.data, "t\nx", 3);
        buffer_deinit(&out);
}

/* Each of these would take minutes if any search began anew. */
static void test_hostile(void **state) {
        static const char *const patterns[] = {
                "<", "<div>", "<a b=\"", "<!--", "<script>",    "<title>",
                "&", "&#",    "</",      "<a =", "<svg></svg>",
        };
        size_t size = 1 << 20;
        char *html = test_malloc(size);

        for (size_t i = 0; i < ELEMENTSOF(patterns); i++) {
                size_t n = strlen(patterns[i]);
                for (size_t k = 0; k < size; k++)
                        html[k] = patterns[i][k % n];
                Buffer out = BUFFER_INIT(0);
                TextWriter writer = text_writer(&out);
                html_write_text(html, size, &writer, NULL);
                assert_true(out.size <= size);
                buffer_deinit(&out);
        }
        test_free(html);
}

static void test_looks(void **state) {
        static const struct {
                const char *text;
                bool begins, fragment;
        } cases[] = {
                { "<!DOCTYPE html><p>", true, true },
                { " \n<html>", true, false },
                { "<?xml version='1.0'?>", true, false },
                { "text <b>bold</b>", false, true },
                { "a<br>b", false, true },
                { "a &amp; b", false, true },
                { "a & b; c", false, false },
                { "if a < b and b > c", false, false },
                { "<3", false, false },
                { "< p>", false, false },
                { "", false, false },
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                size_t size = strlen(cases[i].text);
                assert_int_equal(html_begins(cases[i].text, size), cases[i].begins);
                assert_int_equal(html_is_fragment(cases[i].text, size), cases[i].fragment);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text),    cmocka_unit_test(test_references),
                cmocka_unit_test(test_title),   cmocka_unit_test(test_no_title_wanted),
                cmocka_unit_test(test_hostile), cmocka_unit_test(test_looks),
        };
        return cmocka_run_group_tests_name("html-text", tests, NULL, NULL);
}
