/* SPDX-License-Identifier: MIT */
/* Which message is which in the model server, and what its listings make of that. */
#include "server_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static const struct sim_message *message_of(const struct talk *talk, uint64_t serial)
{
    return sim_server_message(talk->server, serial);
}

static struct sim_session_truth last_session(const struct talk *talk)
{
    return sim_server_session(talk->server, sim_server_session_count(talk->server));
}

static void a_uidl_is_given_again_at_once(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_UIDL_REUSE, 1);
    assert_true(sim_server_delete(talk.server, 1, 0));
    uint64_t serial = sim_server_deliver(talk.server, talk.now_ms);
    assert_int_equal(serial, 4);
    assert_true(slice_equal(message_of(&talk, 4)->uidl, message_of(&talk, 1)->uidl));
    assert_int_equal(message_of(&talk, 4)->replaced, 1);
    assert_int_equal(sim_server_fired_count(talk.server, SIM_FAULT_UIDL_REUSE), 1);
    talk_end(&talk);
}

static void a_uidl_is_given_again_to_a_message_of_the_same_size_or_another(void **state)
{
    int same = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_UIDL_REUSE, seed);
        assert_true(sim_server_delete(talk.server, 1, 0));
        uint64_t serial = sim_server_deliver(talk.server, 0);
        same += message_of(&talk, serial)->octets.len == message_of(&talk, 1)->octets.len;
        assert_int_equal(message_of(&talk, serial)->replaced, 1);
        talk_end(&talk);
    }
    assert_true(same > 10 && same < 50);
}

static void uidls_change_their_owners(void **state)
{
    static const enum sim_fault faults[] = {SIM_FAULT_UIDL_ALL_NEW, SIM_FAULT_UIDL_SHIFTED};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct talk talk;
        talk_begin(&talk, faults[i], 1);
        struct slice before = message_of(&talk, 3)->uidl;
        assert_true(sim_server_delete(talk.server, 1, 0));
        assert_false(sim_server_delete(talk.server, 1, 0));
        talk_enter(&talk);
        assert_false(slice_equal(message_of(&talk, 3)->uidl, before));
        assert_true(slice_equal(message_of(&talk, 3)->uidl, last_session(&talk).rows[1].uidl));
        talk_end(&talk);
    }
}

static void another_message_takes_over_a_uidl(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_BODY_CHANGES, 1);
    talk_enter(&talk);
    assert_int_equal(sim_server_message_count(talk.server), 3);
    talk_enter(&talk);
    assert_int_equal(sim_server_message_count(talk.server), 6);
    assert_int_equal(message_of(&talk, 1)->gone_by, SIM_GONE_TAKEN);
    assert_int_equal(message_of(&talk, 4)->replaced, 1);
    assert_true(slice_equal(message_of(&talk, 4)->uidl, message_of(&talk, 1)->uidl));
    talk_end(&talk);
}

static void listings_show_less_or_contradict_each_other(void **state)
{
    bool was_uidl = false, was_list = false, was_stat = false;
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct talk talk;
        char uidl[256], list[256];
        talk_begin(&talk, SIM_FAULT_LISTINGS_DISAGREE, seed);
        talk_enter(&talk);
        snprintf(uidl, sizeof(uidl), "%s", talk_say(&talk, "UIDL"));
        snprintf(list, sizeof(list), "%s", talk_say(&talk, "LIST"));
        struct sim_session_truth session = last_session(&talk);
        for (size_t i = 0; i < session.row_count; i++) {
            char start[16];
            snprintf(start, sizeof(start), "\r\n%u ", session.rows[i].msgnum);
            assert_int_equal(strstr(uidl, start) != NULL, session.rows[i].in_uidl);
            assert_int_equal(strstr(list, start) != NULL, session.rows[i].in_list);
            was_uidl = was_uidl || !session.rows[i].in_uidl;
            was_list = was_list || !session.rows[i].in_list;
        }
        was_stat = was_stat || strncmp(talk_say(&talk, "STAT"), "+OK 3 ", 6) != 0;
        talk_end(&talk);
    }
    assert_true(was_uidl && was_list && was_stat);
}

static void half_a_listing_is_one_of_messages_that_are_there(void **state)
{
    bool was_less = false;
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_LISTING_HALF, seed);
        talk_enter(&talk);
        was_less = was_less || last_session(&talk).row_count < 3;
        assert_int_equal(sim_server_present_count(talk.server), 3);
        talk_end(&talk);
    }
    assert_true(was_less);
}

static void a_message_grows_or_changes_its_status(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_SIZE_CHANGES, 1);
    talk_enter(&talk);
    assert_string_equal(talk_say(&talk, "LIST 1"), "+OK 1 131\r\n");
    talk_enter(&talk);
    assert_string_equal(talk_say(&talk, "LIST 1"), "+OK 1 159\r\n");
    assert_non_null(strstr(talk_say(&talk, "RETR 1"), "\r\nX-UIDL: seen-by-the-server\r\n\r\n"));
    talk_end(&talk);

    talk_begin(&talk, SIM_FAULT_STATUS_HEADER, 1);
    talk_enter(&talk);
    assert_non_null(strstr(talk_say(&talk, "RETR 1"), "\r\nStatus: O \r\n\r\nfirst"));
    assert_non_null(strstr(talk_say(&talk, "RETR 1"), "\r\nStatus: O \r\n\r\nfirst"));
    talk_enter(&talk);
    assert_non_null(strstr(talk_say(&talk, "TOP 1 1"), "\r\nStatus: RO\r\n\r\nfirst"));
    assert_string_equal(talk_say(&talk, "LIST 1"), "+OK 1 143\r\n");
    talk_end(&talk);
}

static void rows_are_odd_where_their_fault_says(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_UIDL_TWICE, 1);
    talk_enter(&talk);
    const struct sim_row *rows = last_session(&talk).rows;
    assert_true(slice_equal(rows[0].uidl, rows[1].uidl) ||
                slice_equal(rows[1].uidl, rows[2].uidl) || slice_equal(rows[0].uidl, rows[2].uidl));
    talk_end(&talk);

    talk_begin(&talk, SIM_FAULT_NUMBER_TWICE, 1);
    talk_enter(&talk);
    rows = last_session(&talk).rows;
    assert_int_equal((rows[0].twice != 0) + (rows[1].twice != 0) + (rows[2].twice != 0), 1);
    talk_end(&talk);

    talk_begin(&talk, SIM_FAULT_UIDL_OF_HEADER, 1);
    (void)sim_server_deliver_octets(talk.server, slice_from_string(talk_messages[0]), 0);
    talk_enter(&talk);
    rows = last_session(&talk).rows;
    assert_true(slice_equal(rows[0].uidl, rows[3].uidl));
    assert_false(slice_equal(rows[0].uidl, rows[1].uidl));
    talk_end(&talk);
}

static void mail_that_arrives_is_seen_by_list_alone(void **state)
{
    bool was = false;
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_SEES_ARRIVALS, seed);
        talk_enter(&talk);
        (void)talk_say(&talk, "UIDL");
        (void)sim_server_deliver(talk.server, talk.now_ms);
        (void)talk_say(&talk, "LIST");
        struct sim_session_truth session = last_session(&talk);
        assert_true(session.row_count > 3);
        was = was || !session.rows[session.row_count - 1].in_uidl;
        talk_end(&talk);
    }
    assert_true(was);
}

static void list_is_off_as_its_fault_says(void **state)
{
    bool was_garbage = false, was_negative = false, was_zero = false;
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_LIST_OFF, seed);
        talk_enter(&talk);
        const struct sim_row *rows = last_session(&talk).rows;
        assert_int_not_equal(rows[0].listed_octets, 131);
        assert_int_equal(rows[0].listed_octets - 131, rows[2].listed_octets - 146);
        talk_end(&talk);

        talk_begin(&talk, SIM_FAULT_LIST_NONSENSE, seed);
        talk_enter(&talk);
        const char *answer = talk_say(&talk, "LIST");
        was_garbage = was_garbage || strstr(answer, "%!d(float64=5461)") != NULL;
        was_negative = was_negative || strstr(answer, " -5\r\n") != NULL;
        was_zero = was_zero || strstr(answer, "\r\n1 0\r\n2 0\r\n") != NULL;
        talk_end(&talk);

        talk_begin(&talk, SIM_FAULT_LIST_WRONG, seed);
        talk_enter(&talk);
        assert_true(sim_server_fired_count(talk.server, SIM_FAULT_LIST_WRONG) == 3);
        talk_end(&talk);
    }
    assert_true(was_garbage && was_negative && was_zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_uidl_is_given_again_at_once),
        cmocka_unit_test(a_uidl_is_given_again_to_a_message_of_the_same_size_or_another),
        cmocka_unit_test(uidls_change_their_owners),
        cmocka_unit_test(another_message_takes_over_a_uidl),
        cmocka_unit_test(listings_show_less_or_contradict_each_other),
        cmocka_unit_test(half_a_listing_is_one_of_messages_that_are_there),
        cmocka_unit_test(a_message_grows_or_changes_its_status),
        cmocka_unit_test(rows_are_odd_where_their_fault_says),
        cmocka_unit_test(mail_that_arrives_is_seen_by_list_alone),
        cmocka_unit_test(list_is_off_as_its_fault_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
