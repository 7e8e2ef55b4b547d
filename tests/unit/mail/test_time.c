/* SPDX-License-Identifier: MIT */
/* When a message was written, from headers as they come. */
#include "popfs/mail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NO_TIME INT64_MIN

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

struct date_row {
    const char *text;
    int64_t seconds; /* or NO_TIME */
};

#define NOON 1795354200 /* 2026-11-22 13:30:00 UTC */

static const struct date_row dates[] = {
    /* RFC 5322, and its obsolete forms */
    {"Sun, 22 Nov 2026 14:30:00 +0100", NOON},
    {"Sun, 22 Nov 2026 08:30:00 -0500", NOON},
    {"Sun, 22 Nov 2026 19:00:00 +0530", NOON},
    {"Sun, 22 Nov 2026 13:30:00 -0000", NOON},
    {"22 Nov 2026 14:30 +0100", NOON},
    {"Sun,22 Nov 2026 14:30:00 +0100", NOON},
    {"Sun , 22  Nov  2026  14:30:00   +0100", NOON},
    {"sun, 22 NOV 2026 14:30:00 +0100", NOON},
    {"Sun, 22 Nov 2026 14:30:00 +0100 (CET)", NOON},
    {"(a) Sun, 22 (b (c \\) d)) Nov 2026 14:30:00 +0100", NOON},
    {"Sun, 22 Nov 2026 14:30:00 (without an end", NOON + 3600},
    {"Sun, 22 Nov 2026 13:30:00 GMT", NOON},
    {"Sun, 22 Nov 2026 13:30:00 UT", NOON},
    {"Sun, 22 Nov 2026 13:30:00 Z", NOON},
    {"Sun, 22 Nov 2026 08:30:00 EST", NOON},
    {"Sun, 22 Nov 2026 06:30:00 PDT", NOON},
    {"Sun, 22 Nov 2026 14:30:00 A", NOON},
    {"Sun, 22 Nov 2026 12:30:00 n", NOON},
    {"Sun, 22 Nov 2026 13:30:00 J", NOON},
    {"Sun, 22 Nov 26 14:30:00 +0100", NOON},
    {"Sun, 22 Nov 126 14:30:00 +0100", NOON},
    {"Sat, 22 Nov 103 14:30:00 +0100", 1069507800},
    {"Sat, 22 Nov 03 14:30:00 +0100", 1069507800},
    {"22 Nov 49 14:30:00 +0100", 2521200600},
    {"22 Nov 50 14:30:00 +0100", -603023400},
    {"22 Nov 99 14:30:00 +0100", 943277400},
    /* zones as programs write them */
    {"Sun, 22 Nov 2026 15:30:00 +02:00", NOON},
    {"Sun, 22 Nov 2026 14:30:00 GMT+0100", NOON},
    {"Sun, 22 Nov 2026 14:30:00 GMT+01:00", NOON},
    {"Sun, 22 Nov 2026 14:30:00 UTC+1", NOON},
    {"Sun, 22 Nov 2026 14:30:00 +100", NOON},
    {"Sun, 22 Nov 2026 14:30:00 +01", NOON},
    {"Sun, 22 Nov 2026 14:30:00 + 0100", NOON},
    {"Sun, 22 Nov 2026 14:30:00+0100", NOON},
    {"Sun, 22 Nov 2026 14:30:00 +0100 EST", NOON},
    {"Sun, 22 Nov 2026 14:30:00 EST +0100", NOON},
    {"Sun, 22 Nov 2026 14:30:00 \"CET\"", NOON},
    {"Sun, 22 Nov 2026 15:30:00 CEST", NOON},
    {"Sun, 22 Nov 2026 22:30:00 JST", NOON},
    {"Sun, 22 Nov 2026 13:30:00", NOON},
    {"Sun, 22 Nov 2026 13:30:00 0100", NOON},
    {"Sun, 22 Nov 2026 13:30:00 XYZ", NOON},
    {"Sun, 22 Nov 2026 13:30:00 +9999", NOON},
    {"Sun, 22 Nov 2026 13:30:00 -2400", NOON},
    {"Sun, 22 Nov 2026 13:30:00 +0060", NOON},
    {"Sun, 22 Nov 2026 13:30:00 +01000", NOON},
    {"Mon, 23 Nov 2026 03:30:00 +1400", NOON},
    /* times as programs write them */
    {"Sun, 22 Nov 2026 14.30.00 +0100", NOON},
    {"Sun, 22 Nov 2026 14.30 +0100", NOON},
    {"Sun, 22 Nov 2026 10.00.00 +0100", NOON - 16200},
    {"Sun, 22 Nov 2026 14:29:60 +0100", NOON},
    {"Thu, 31 Dec 2026 23:59:60 +0000", 1798761600},
    {"Sun, 22 Nov 2026 14:30:00.999 +0100", NOON},
    {"Sun, 22 Nov 2026 14:30:00,5 +0100", NOON},
    {"Sun, 22 Nov 2026 143000 +0100", NOON},
    {"Sun, 22 Nov 2026 1430 +0100", NOON},
    {"Sunday, November 22, 2026 2:30:00 PM +0100", NOON},
    {"Sun, 22 Nov 2026 02:30 pm +0100", NOON},
    {"Sun, 22 Nov 2026 12:30 AM", NOON - 46800},
    {"Sun, 22 Nov 2026 12:30 PM", NOON - 3600},
    {"Sun, 22 Nov 2026 24:00:00 +0000", 1795392000},
    {"22 Nov 2026 at 14:30:00 +0100", NOON},
    {"22 Nov 2026", 1795305600},
    /* other orders */
    {"2026-11-22T13:30:00Z", NOON},
    {"2026-11-22T14:30:00+01:00", NOON},
    {"2026-11-22T08:30:00.123456-05:00", NOON},
    {"2026-11-22 14:30:00 +0100", NOON},
    {"2026-11-22T13:30", NOON},
    {"2026-11-22", 1795305600},
    {"20261122T133000Z", NOON},
    {"20261122133000", NOON},
    {"2026/11/22 13:30:00", NOON},
    {"2026.11.22 13.30.00", NOON},
    {"Sun Nov 22 13:30:00 2026", NOON},
    {"Sun Nov 22 14:30:00 2026 +0100", NOON},
    {"Sun Nov 22 14:30:00 +0100 2026", NOON},
    {"Sun Nov 22 14:30:00 CET 2026", NOON},
    {"22-Nov-2026 14:30:00 +0100", NOON},
    {"Nov. 22nd, 2026 13:30", NOON},
    {"2026 Nov 22 13:30", NOON},
    {"22.11.2026 13:30:00", NOON},
    {"22.11.2026 13.30.00", NOON},
    {"05.06.2026 00:00", 1780617600},
    {"22/11/2026 13:30:00", NOON},
    {"11/22/2026 13:30:00", NOON},
    {"05/06/2026 00:00", 1778025600},
    {"So, 22 Nov 2026 14:30:00 +0100", NOON},
    {"Sun, 30 Sept 2001 00:00:00 +0000", 1001808000},
    {"29 Feb 2024 14:30:00 +0000", 1709217000},
    {"29 Feb 2000 00:00:00 +0000", 951782400},
    /* both ends */
    {"1 Jan 1902 00:00:00 +0000", -2145916800},
    {"31 Dec 1901 23:59:59 +0000", NO_TIME},
    {"Thu, 1 Jan 1970 00:00:00 +0000", 0},
    {"Thu, 1 Jan 1970 00:00:00 +0100", -3600},
    {"7 Feb 2106 06:28:15 +0000", 4294967295},
    {"7 Feb 2106 06:28:16 +0000", NO_TIME},
    {"Sun, 22 Nov 0000 14:30:00 +0100", NO_TIME},
    {"Sun, 22 Nov 0126 14:30:00 +0100", NO_TIME},
    {"1 Jan 9999 00:00:00 +0000", NO_TIME},
    {"1 Jan 12026 00:00:00 +0000", NO_TIME},
    /* no day or no time of the day */
    {"31 Feb 2026 14:30:00 +0100", NO_TIME},
    {"29 Feb 2023 14:30:00 +0000", NO_TIME},
    {"0 Nov 2026 14:30:00 +0100", NO_TIME},
    {"32 Nov 2026 14:30:00 +0100", NO_TIME},
    {"22 Nov 2026 25:30:00 +0100", NO_TIME},
    {"22 Nov 2026 24:00:01 +0100", NO_TIME},
    {"22 Nov 2026 14:61:00 +0100", NO_TIME},
    {"22 Nov 2026 14:30:61 +0100", NO_TIME},
    {"22 Nov 2026 14:030:00 +0100", NO_TIME},
    {"22 Dez 2026 14:30:00 +0100", NO_TIME},
    {"Sun, 22 Nov", NO_TIME},
    {"14:30:00 +0100", NO_TIME},
    {"1795354200", NO_TIME},
    {"99999999999999999999999999999999", NO_TIME},
    {"nonsense", NO_TIME},
    {"+", NO_TIME},
    {"(", NO_TIME},
};

static void dates_as_programs_write_them_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        char header[200];
        (void)snprintf(header, sizeof(header), "Date: %s\r\n\r\n", dates[i].text);
        int64_t seconds = time_of(header);
        if (seconds != dates[i].seconds)
            fail_msg("%s: %lld", dates[i].text, (long long)seconds);
        (void)snprintf(header, sizeof(header), "Received: from a; %s\r\n\r\n", dates[i].text);
        assert_true(time_of(header) == dates[i].seconds);
    }
}

static void a_date_that_cannot_be_is_replaced_by_the_newest_received(void **state)
{
    (void)state;
    assert_int_equal(time_of("Received: from x by y; Sun, 22 Nov 2026 13:30:00 +0000\r\n"
                             "Date: Sun, 22 Nov 0000 14:30:00 +0100\r\n\r\n"),
                     NOON);
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
        cmocka_unit_test(dates_as_programs_write_them_are_read),
        cmocka_unit_test(a_date_that_cannot_be_is_replaced_by_the_newest_received),
        cmocka_unit_test(without_a_date_the_newest_received_counts),
        cmocka_unit_test(a_date_in_the_body_does_not_count),
        cmocka_unit_test(a_date_that_continues_another_field_does_not_count),
        cmocka_unit_test(nonsense_gives_no_time),
        cmocka_unit_test(nul_octets_and_long_fields_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
