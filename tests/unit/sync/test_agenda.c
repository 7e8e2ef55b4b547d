/* SPDX-License-Identifier: MIT */
/* When a session ends by itself and when the next may begin; the clock is the test's. */
#include "agenda.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { NOW_MS = 1000000 };

static struct agenda agenda_at_work(int64_t refresh_ms, int64_t idle_ms, int64_t login_delay_s)
{
    struct agenda agenda;
    agenda_init(&agenda, refresh_ms, idle_ms);
    agenda_note_login(&agenda, NOW_MS);
    agenda_note_login_delay(&agenda, login_delay_s);
    agenda_note_listing(&agenda, NOW_MS);
    return agenda;
}

static void nothing_is_due_where_nothing_was_asked_for(void **state)
{
    (void)state;
    struct agenda agenda = agenda_at_work(0, 0, 0);
    assert_false(agenda_refresh_is_due(&agenda, INT64_MAX));
    assert_false(agenda_idle_is_due(&agenda, INT64_MAX));
    assert_int_equal(agenda_next_ms(&agenda, true), -1);
    assert_int_equal(agenda_next_ms(&agenda, false), -1);
}

static void new_mail_is_looked_for_when_the_listing_is_old_enough(void **state)
{
    (void)state;
    struct agenda agenda = agenda_at_work(300, 0, 0);
    assert_false(agenda_refresh_is_due(&agenda, NOW_MS + 299));
    assert_true(agenda_refresh_is_due(&agenda, NOW_MS + 300));
    assert_int_equal(agenda_next_ms(&agenda, false), NOW_MS + 300);
    agenda_note_listing(&agenda, NOW_MS + 310);
    assert_false(agenda_refresh_is_due(&agenda, NOW_MS + 310));
    assert_int_equal(agenda_next_ms(&agenda, true), NOW_MS + 610);
}

static void before_the_first_listing_there_is_nothing_to_refresh(void **state)
{
    (void)state;
    struct agenda agenda;
    agenda_init(&agenda, 300, 0);
    assert_false(agenda_refresh_is_due(&agenda, NOW_MS));
    assert_int_equal(agenda_next_ms(&agenda, false), -1);
    assert_int_equal(agenda_login_from_ms(&agenda), 0);
}

static void what_is_wanted_keeps_a_session_from_being_idle(void **state)
{
    (void)state;
    struct agenda agenda = agenda_at_work(0, 100, 0);
    assert_false(agenda_idle_is_due(&agenda, NOW_MS + 99));
    agenda_note_useful(&agenda, NOW_MS + 50);
    assert_false(agenda_idle_is_due(&agenda, NOW_MS + 149));
    assert_true(agenda_idle_is_due(&agenda, NOW_MS + 150));
    assert_int_equal(agenda_next_ms(&agenda, true), NOW_MS + 150);
    assert_int_equal(agenda_next_ms(&agenda, false), -1);
}

static void login_delay_holds_a_refresh_back(void **state)
{
    (void)state;
    struct agenda agenda = agenda_at_work(300, 0, 2);
    assert_int_equal(agenda_login_from_ms(&agenda), NOW_MS + 2000);
    assert_false(agenda_refresh_is_due(&agenda, NOW_MS + 1999));
    assert_true(agenda_refresh_is_due(&agenda, NOW_MS + 2000));
    assert_int_equal(agenda_next_ms(&agenda, true), NOW_MS + 2000);
}

static void a_login_delay_beyond_a_day_is_cut(void **state)
{
    (void)state;
    struct agenda agenda = agenda_at_work(0, 0, UINT32_MAX);
    assert_int_equal(agenda_login_from_ms(&agenda), NOW_MS + INT64_C(86400000));
}

static void the_sooner_of_the_two_comes_first(void **state)
{
    (void)state;
    struct agenda agenda = agenda_at_work(300, 100, 0);
    assert_int_equal(agenda_next_ms(&agenda, true), NOW_MS + 100);
    agenda_note_useful(&agenda, NOW_MS + 290);
    assert_int_equal(agenda_next_ms(&agenda, true), NOW_MS + 300);
}

static void after_the_end_of_the_mount_sessions_are_short_and_only_for_readers(void **state)
{
    (void)state;
    struct agenda agenda = agenda_at_work(300, 100000, 0);
    agenda_retire(&agenda);
    assert_false(agenda_refresh_is_due(&agenda, NOW_MS + 1000000));
    assert_false(agenda_idle_is_due(&agenda, NOW_MS + 1999));
    assert_true(agenda_idle_is_due(&agenda, NOW_MS + 2000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_due_where_nothing_was_asked_for),
        cmocka_unit_test(new_mail_is_looked_for_when_the_listing_is_old_enough),
        cmocka_unit_test(before_the_first_listing_there_is_nothing_to_refresh),
        cmocka_unit_test(what_is_wanted_keeps_a_session_from_being_idle),
        cmocka_unit_test(login_delay_holds_a_refresh_back),
        cmocka_unit_test(a_login_delay_beyond_a_day_is_cut),
        cmocka_unit_test(the_sooner_of_the_two_comes_first),
        cmocka_unit_test(after_the_end_of_the_mount_sessions_are_short_and_only_for_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
