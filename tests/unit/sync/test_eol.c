/* SPDX-License-Identifier: MIT */
/* eol=lf: each CRLF becomes LF and nothing else changes, however the octets are cut. */
#include "eol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void take(struct buffer *out, struct slice bytes)
{
    assert_true(buffer_append(out, bytes));
}

static void assert_becomes_when_cut_at(struct slice sent, struct slice kept, size_t cut)
{
    struct eol eol = {0};
    CLEANUP_BUFFER struct buffer out = {0};
    struct slice part;
    eol_begin(&eol);
    assert_true(eol_feed(&eol, (struct slice){sent.data, cut}, &part));
    take(&out, part);
    assert_true(eol_feed(&eol, slice_skip(sent, cut), &part));
    take(&out, part);
    take(&out, eol_end(&eol));
    assert_true(slice_equal(buffer_slice(&out), kept));
    eol_done(&eol);
}

static void assert_becomes(struct slice sent, struct slice kept)
{
    for (size_t cut = 0; cut <= sent.len; cut++)
        assert_becomes_when_cut_at(sent, kept, cut);
}

static void each_crlf_becomes_lf(void **state)
{
    (void)state;
    assert_becomes(SLICE_LITERAL("a\r\nb\r\n\r\nc"), SLICE_LITERAL("a\nb\n\nc"));
}

static void a_cr_alone_stays(void **state)
{
    (void)state;
    assert_becomes(SLICE_LITERAL("a\rb"), SLICE_LITERAL("a\rb"));
    assert_becomes(SLICE_LITERAL("a\r\r\nb"), SLICE_LITERAL("a\r\nb"));
    assert_becomes(SLICE_LITERAL("a\r"), SLICE_LITERAL("a\r"));
    assert_becomes(SLICE_LITERAL("\r"), SLICE_LITERAL("\r"));
}

static void an_lf_alone_and_a_nul_stay(void **state)
{
    (void)state;
    assert_becomes(SLICE_LITERAL("a\nb\0c\r\n"), SLICE_LITERAL("a\nb\0c\n"));
    assert_becomes(SLICE_LITERAL(""), SLICE_LITERAL(""));
}

static void a_new_message_owes_nothing_to_the_last(void **state)
{
    (void)state;
    struct eol eol = {0};
    struct slice part;
    eol_begin(&eol);
    assert_true(eol_feed(&eol, SLICE_LITERAL("a\r"), &part));
    eol_begin(&eol);
    assert_true(eol_feed(&eol, SLICE_LITERAL("b"), &part));
    assert_true(slice_equal(part, SLICE_LITERAL("b")));
    assert_int_equal(eol_end(&eol).len, 0);
    eol_done(&eol);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_crlf_becomes_lf),
        cmocka_unit_test(a_cr_alone_stays),
        cmocka_unit_test(an_lf_alone_and_a_nul_stay),
        cmocka_unit_test(a_new_message_owes_nothing_to_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
