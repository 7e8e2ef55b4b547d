/* SPDX-License-Identifier: MIT */
/* Rows of UIDL and LIST (POP3.md rules 7 and 9). */
#include "listing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void assert_uidl(const char *line, uint32_t msgnum, const char *uidl)
{
    uint32_t number = 0;
    struct slice text = {NULL, 0};
    assert_true(pop3_listing_parse_uidl(slice_from_string(line), &number, &text));
    assert_int_equal(number, msgnum);
    assert_true(slice_equal(text, slice_from_string(uidl)));
}

static void a_uidl_is_taken_as_it_stands(void **state)
{
    (void)state;
    assert_uidl("1 abc", 1, "abc");
    assert_uidl("2147483647 x", INT32_MAX, "x");
    assert_uidl("3 ../../etc/passwd", 3, "../../etc/passwd");
    assert_uidl("4 %00\x80\xff\x1b", 4, "%00\x80\xff\x1b");
    assert_uidl("007 +OK", 7, "+OK");
}

static void blanks_and_a_status_around_a_row_do_no_harm(void **state)
{
    (void)state;
    assert_uidl(" \t1\t \tabc \t", 1, "abc");
    assert_uidl("+OK 1 abc", 1, "abc");
    assert_uidl("+ok\t1  abc", 1, "abc");
}

static void rows_that_make_no_sense_are_told(void **state)
{
    static const char *const lines[] = {
        "",
        " ",
        "abc",
        "0 abc",
        "-1 abc",
        "+1 abc",
        "1abc",
        "1.5 x",
        "+OK",
        "2147483648 x",
        "99999999999999999999999999 x",
        "+OK1 x",
        "-ERR",
        ".",
        "+OK +OK 1 x",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        uint32_t msgnum = 77;
        struct slice uidl = {"kept", 4};
        assert_false(pop3_listing_parse_uidl(slice_from_string(lines[i]), &msgnum, &uidl));
        assert_int_equal(msgnum, 77);
        assert_int_equal(uidl.len, 4);
    }
}

static void a_uidl_may_have_500_octets_and_no_more(void **state)
{
    char line[3 + POP3_UIDL_OCTETS_MAX + 1];
    uint32_t msgnum;
    struct slice uidl;
    (void)state;
    memset(line, 'u', sizeof(line));
    memcpy(line, "1 ", 2);
    assert_true(
        pop3_listing_parse_uidl((struct slice){line, 2 + POP3_UIDL_OCTETS_MAX}, &msgnum, &uidl));
    assert_int_equal(uidl.len, POP3_UIDL_OCTETS_MAX);
    assert_true(
        pop3_listing_parse_uidl((struct slice){line, 3 + POP3_UIDL_OCTETS_MAX}, &msgnum, &uidl));
    assert_int_equal(msgnum, 1);
    assert_int_equal(uidl.len, 0);
}

static void a_row_without_an_id_tells_its_number(void **state)
{
    (void)state;
    assert_uidl("1", 1, "");
    assert_uidl("2 ", 2, "");
    assert_uidl("+OK 3 \t", 3, "");
}

static void a_size_that_makes_no_sense_is_unknown(void **state)
{
    static const struct {
        const char *line;
        uint64_t octets;
    } rows[] = {
        {"5 120", 120},
        {"+OK 5  120  more", 120},
        {"5 0", 0},
        {"5", 0},
        {"5 -1", 0},
        {"5 5461.5", 0},
        {"5 %!d(float64=5461)", 0},
        {"5 9223372036854775807", INT64_MAX},
        {"5 9223372036854775808", 0},
        {"5 1e9", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t msgnum = 0;
        uint64_t octets = 1;
        assert_true(pop3_listing_parse_list(slice_from_string(rows[i].line), &msgnum, &octets));
        assert_int_equal(msgnum, 5);
        assert_int_equal(octets, rows[i].octets);
    }
}

static void what_stat_says_is_taken_or_unknown(void **state)
{
    static const struct {
        const char *text;
        uint32_t count;
        uint64_t octets;
    } rows[] = {
        {"2 320", 2, 320},
        {" 2 \t320 and more", 2, 320},
        {"0 0", 0, 0},
        {"0", 0, 0},
        {"2 -320", 2, 0},
        {"-2 320", UINT32_MAX, 320},
        {"", UINT32_MAX, 0},
        {"two messages", UINT32_MAX, 0},
        {"4294967295 9223372036854775807", UINT32_MAX, INT64_MAX},
        {"4294967296 9223372036854775808", UINT32_MAX, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t count = 77;
        uint64_t octets = 78;
        pop3_listing_parse_stat(slice_from_string(rows[i].text), &count, &octets);
        assert_int_equal(count, rows[i].count);
        assert_int_equal(octets, rows[i].octets);
    }
}

static void the_answer_to_uidl_with_a_number_names_a_message(void **state)
{
    static const struct {
        const char *text;
        uint32_t msgnum;
        const char *uidl;
        bool names;
    } rows[] = {
        {"5 abc", 5, "abc", true},
        {" 5 \tabc ", 5, "abc", true},
        {"+OK 5 abc", 5, "abc", true},
        {"abc", 5, "abc", true}, /* twisted */
        {"17", 5, "17", true},
        {"5 17", 5, "17", true},
        {"5 a b\tc", 5, "a b\tc", true},
        {"5 abd", 5, "abc", false},
        {"5 abcd", 5, "abc", false},
        {"5 ab", 5, "abc", false},
        {"6 abc", 5, "abc", false},
        {"5abc", 5, "abc", false},
        {"5", 5, "abc", false},
        {"", 5, "abc", false},
        {"5", 5, "", false},
        {"", 5, "", false},
        {"120 octets", 120, "abc", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(pop3_uidl_names(slice_from_string(rows[i].text), rows[i].msgnum,
                                         slice_from_string(rows[i].uidl)),
                         rows[i].names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_uidl_is_taken_as_it_stands),
        cmocka_unit_test(blanks_and_a_status_around_a_row_do_no_harm),
        cmocka_unit_test(rows_that_make_no_sense_are_told),
        cmocka_unit_test(a_uidl_may_have_500_octets_and_no_more),
        cmocka_unit_test(a_row_without_an_id_tells_its_number),
        cmocka_unit_test(a_size_that_makes_no_sense_is_unknown),
        cmocka_unit_test(what_stat_says_is_taken_or_unknown),
        cmocka_unit_test(the_answer_to_uidl_with_a_number_names_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
