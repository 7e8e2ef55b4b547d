/* SPDX-License-Identifier: MIT */
/* When a message was written, from headers as they come. */
#include "popfs/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NO_TIME (-1)

static int64_t time_of(const char *header)
{
    int64_t seconds = NO_TIME;
    bool found = mail_header_time(slice_from_string(header), &seconds);
    assert_int_equal(found, seconds != NO_TIME);
    return seconds;
}

static void the_date_field_counts(void **state)
{
    (void)state;
    assert_int_equal(time_of("From: a@b\r\nDate: Sun, 22 Nov 2026 14:30:00 +0100\r\n\r\n"),
                     1795354200);
    assert_int_equal(time_of("date:Sun, 22 Nov 2026 13:30:00 GMT\n\nbody"), 1795354200);
}

static void a_folded_date_is_read_whole(void **state)
{
    (void)state;
    assert_int_equal(time_of("Date: Sun, 22 Nov 2026\r\n\t14:30:00 +0100\r\n\r\n"), 1795354200);
}

static void odd_forms_that_real_mails_have_are_read(void **state)
{
    (void)state;
    assert_int_equal(time_of("Date: 22 Nov 26 14:30 +0100\r\n\r\n"), 1795354200);
    assert_int_equal(time_of("Date: Sun, 22 Nov 2026 14:30:00 +0100 (CET)\r\n\r\n"), 1795354200);
}

static void without_a_date_the_newest_received_counts(void **state)
{
    (void)state;
    assert_int_equal(time_of("Received: from x by y; Sun, 22 Nov 2026 13:30:00 +0000\r\n"
                             "Received: from a by b;\r\n  Sat, 21 Nov 2026 13:30:00 +0000\r\n"
                             "Subject: x\r\n\r\n"),
                     1795354200);
    assert_int_equal(time_of("Received: from x by y; Sun, 22 Nov 2026 13:30:00 +0000\r\n"
                             "Date: nonsense\r\n\r\n"),
                     1795354200);
}

static void a_date_in_the_body_does_not_count(void **state)
{
    (void)state;
    assert_int_equal(time_of("Subject: x\r\n\r\nDate: Sun, 22 Nov 2026 14:30:00 +0100\r\n"),
                     NO_TIME);
}

static void a_date_that_continues_another_field_does_not_count(void **state)
{
    (void)state;
    assert_int_equal(time_of("Subject: x\r\n Date: Sun, 22 Nov 2026 14:30:00 +0100\r\n\r\n"),
                     NO_TIME);
}

static void nonsense_gives_no_time(void **state)
{
    (void)state;
    assert_int_equal(time_of(""), NO_TIME);
    assert_int_equal(time_of("Date"), NO_TIME);
    assert_int_equal(time_of("Date:"), NO_TIME);
    assert_int_equal(time_of("Date: \r\n\r\n"), NO_TIME);
    assert_int_equal(time_of("Received: no semicolon\r\n\r\n"), NO_TIME);
    assert_int_equal(time_of("Date: Thu, 1 Jan 1891 00:00:00 +0000\r\n\r\n"), NO_TIME);
}

static void nul_octets_and_long_fields_do_no_harm(void **state)
{
    (void)state;
    char header[5000];
    int64_t seconds;
    memset(header, 'x', sizeof(header));
    memcpy(header, "Date: ", 6);
    assert_false(mail_header_time((struct slice){header, sizeof(header)}, &seconds));
    assert_true(mail_header_time(
        SLICE_LITERAL("X: \0\r\nDate: Sun, 22 Nov 2026 14:30:00 +0100\r\n"), &seconds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_date_field_counts),
        cmocka_unit_test(a_folded_date_is_read_whole),
        cmocka_unit_test(odd_forms_that_real_mails_have_are_read),
        cmocka_unit_test(without_a_date_the_newest_received_counts),
        cmocka_unit_test(a_date_in_the_body_does_not_count),
        cmocka_unit_test(a_date_that_continues_another_field_does_not_count),
        cmocka_unit_test(nonsense_gives_no_time),
        cmocka_unit_test(nul_octets_and_long_fields_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
