/* SPDX-License-Identifier: MIT */
/* APOP: the stamp of a greeting, and the worked example of RFC 1939, 7. */
#include "login.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void the_example_of_rfc_1939_comes_out(void **state)
{
    char digest[DIGEST_MD5_HEX_OCTETS];
    (void)state;
    assert_true(digest_md5_hex(SLICE_LITERAL("<1896.697170952@dbc.mtview.ca.us>"),
                               SLICE_LITERAL("tanstaaf"), digest));
    assert_string_equal(digest, "c4c9334bac560ecc979e58001b3e22fb");
}

static void assert_stamp(const char *greeting, const char *stamp)
{
    struct slice found = pop3_reply_stamp(slice_from_string(greeting));
    assert_int_equal(found.len, strlen(stamp));
    assert_memory_equal(found.data, stamp, found.len);
}

static void a_stamp_is_found_wherever_it_stands(void **state)
{
    (void)state;
    assert_stamp("<a@b>", "<a@b>");
    assert_stamp("POP3 ready <1896.697170952@dbc.mtview.ca.us> bye",
                 "<1896.697170952@dbc.mtview.ca.us>");
    assert_stamp("<not one> <x@y> <z@z>", "<x@y>");
    assert_stamp("<<a@b>", "<a@b>");
}

static void what_is_no_msg_id_is_no_stamp(void **state)
{
    static const char *const greetings[] = {
        "",     "ready",  "<>",      "<@>",     "<a@>",      "<@b>",      "<ab>",      "<a@b",
        "a@b>", "<a @b>", "<a@b c>", "<a@b@c>", "<a\x80@b>", "<a@b\x01>", "<a@b\x7f>",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(greetings) / sizeof(greetings[0]); i++)
        assert_stamp(greetings[i], "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_rfc_1939_comes_out),
        cmocka_unit_test(a_stamp_is_found_wherever_it_stands),
        cmocka_unit_test(what_is_no_msg_id_is_no_stamp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
