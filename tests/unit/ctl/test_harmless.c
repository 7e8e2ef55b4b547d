/* SPDX-License-Identifier: MIT */
/* What may reach a terminal and what may not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "harmless.h"

static void expect(const char *text, enum harmless_style style, const char *wanted)
{
    struct buffer out = {0};
    assert_true(harmless_append(&out, slice_from_string(text), style));
    assert_true(slice_equal(buffer_slice(&out), slice_from_string(wanted)));
    buffer_done(&out);
}

static void letters_of_every_script_stay(void **state)
{
    const char *text = "plain \\ \"Žižkov\" 日本 \U0001f600 \U0010ffff";
    (void)state;
    expect(text, HARMLESS_LINE, text);
    expect(text, HARMLESS_LINES, text);
    expect(text, HARMLESS_JSON, text);
    expect("", HARMLESS_LINE, "");
}

static void controls_are_escaped(void **state)
{
    (void)state;
    expect("\x1b[2J\r\x7f", HARMLESS_LINE, "\\x1b[2J\\x0d\\x7f");
    expect("\xc2\x9b\u202e\u2066\ufeff", HARMLESS_LINE,
           "\\xc2\\x9b\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xef\\xbb\\xbf");
    expect("\xc2\x9b\u202e\x1b", HARMLESS_JSON, "\\u009b\\u202e\\u001b");
}

static void a_line_end_stays_only_among_lines(void **state)
{
    (void)state;
    expect("a\nb\t", HARMLESS_LINE, "a\\x0ab\\x09");
    expect("a\nb\t", HARMLESS_LINES, "a\nb\\x09");
    expect("a\nb\t", HARMLESS_JSON, "a\nb\t");
}

static void nul_is_a_control_like_others(void **state)
{
    struct buffer out = {0};
    (void)state;
    assert_true(harmless_append(&out, SLICE_LITERAL("a\0b"), HARMLESS_LINE));
    assert_true(slice_equal(buffer_slice(&out), SLICE_LITERAL("a\\x00b")));
    buffer_done(&out);
}

static void what_is_not_utf8_is_escaped_octet_by_octet(void **state)
{
    (void)state;
    expect("\xff\x80", HARMLESS_LINE, "\\xff\\x80");
    expect("\xc0\xaf", HARMLESS_LINE, "\\xc0\\xaf");                   /* overlong */
    expect("\xe0\x80\xaf", HARMLESS_LINE, "\\xe0\\x80\\xaf");          /* overlong */
    expect("\xed\xa0\x80", HARMLESS_LINE, "\\xed\\xa0\\x80");          /* a surrogate */
    expect("\xf4\x90\x80\x80", HARMLESS_LINE, "\\xf4\\x90\\x80\\x80"); /* beyond Unicode */
    expect("\xe6\x97", HARMLESS_LINE, "\\xe6\\x97");                   /* cut */
    expect("\xc3(", HARMLESS_LINE, "\\xc3(");
    expect("\xff", HARMLESS_JSON, "\\ufffd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_of_every_script_stay),
        cmocka_unit_test(controls_are_escaped),
        cmocka_unit_test(a_line_end_stays_only_among_lines),
        cmocka_unit_test(nul_is_a_control_like_others),
        cmocka_unit_test(what_is_not_utf8_is_escaped_octet_by_octet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
