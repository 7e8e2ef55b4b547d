/* SPDX-License-Identifier: MIT */
/* The octets that the model server sent, and when they come. */
#include "server_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static const struct sim_message *message_of(const struct talk *talk, uint64_t serial)
{
    return sim_server_message(talk->server, serial);
}

static void what_was_sent_is_known_octet_by_octet(void **state)
{
    struct talk talk;
    struct slice whole = slice_from_string(talk_messages[0]);
    (void)state;
    talk_begin(&talk, SIM_FAULT_COUNT, 1);
    talk_enter(&talk);
    assert_false(sim_server_has_sent(talk.server, 1, 0, whole, true, true));
    (void)talk_say(&talk, "TOP 1 1");
    assert_false(sim_server_has_sent(talk.server, 1, 0, whole, true, true));
    assert_true(sim_server_has_sent(talk.server, 1, 6, SLICE_LITERAL("anna@"), false, true));
    assert_false(sim_server_has_sent(talk.server, 1, 6, SLICE_LITERAL("anna@"), false, false));
    talk_send(&talk, "RETR 1");
    assert_false(sim_server_has_sent(talk.server, 1, 0, whole, true, false)); /* not taken yet */
    (void)talk_hear(&talk);
    assert_true(sim_server_has_sent(talk.server, 1, 0, whole, true, false));
    assert_true(sim_server_has_sent(talk.server, 1, whole.len, SLICE_LITERAL(""), true, false));
    whole.len--;
    assert_false(sim_server_has_sent(talk.server, 1, 0, whole, true, false));
    assert_true(sim_server_has_sent(talk.server, 1, 0, whole, false, false));
    assert_false(sim_server_has_sent(talk.server, 2, 0, whole, false, false));
    assert_false(sim_server_has_sent(talk.server, 1, 1, whole, false, false));
    (void)talk_say(&talk, "RETR 2");
    assert_true(sim_server_has_sent(talk.server, 2, 66, SLICE_LITERAL("\r\n"), true, false));
    talk_end(&talk);
}

/* Bodies that broke off, or whose end stands in the wrong place, were never sent whole. */
static void a_torn_body_was_not_sent_whole(void **state)
{
    static const enum sim_fault faults[] = {SIM_FAULT_TORN_BODY,      SIM_FAULT_STATUS_IN_BODY,
                                            SIM_FAULT_MISSING_LF,     SIM_FAULT_RETR_SHORT,
                                            SIM_FAULT_RETR_EMPTY,     SIM_FAULT_NO_STUFFING,
                                            SIM_FAULT_MISSING_ANSWER, SIM_FAULT_RETR_ALWAYS_SHORT};
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        for (uint64_t seed = 1; seed <= 50; seed++) {
            struct talk talk;
            struct slice whole = slice_from_string(talk_messages[2]);
            talk_begin(&talk, faults[i], seed);
            talk_enter(&talk);
            (void)talk_say(&talk, "RETR 3");
            assert_false(sim_server_has_sent(talk.server, 3, 0, whole, true, false));
            const struct sim_sent *sent = sim_server_last_sent(talk.server, 3);
            assert_non_null(sent);
            assert_true(sent->wire_begin <= sent->wire_end);
            /* A short body ends in a line end of its own. */
            if (faults[i] != SIM_FAULT_RETR_SHORT && faults[i] != SIM_FAULT_RETR_ALWAYS_SHORT)
                assert_memory_equal(sent->octets.data, whole.data, sent->octets.len);
            talk_end(&talk);
        }
    }
}

static void a_message_that_is_always_short_is_so_at_the_same_place(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_RETR_ALWAYS_SHORT, 5);
    talk_enter(&talk);
    (void)talk_say_all(&talk, "RETR 1|RETR 1");
    const struct sim_sent *sent = sim_server_last_sent(talk.server, 1);
    assert_true(slice_equal(sent->octets, sent->previous->octets));
    assert_true(sent->octets.len < 131);
    talk_end(&talk);
}

static void top_is_another_header_or_cut(void **state)
{
    bool was_cut = false;
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_TOP_DIFFERS, seed);
        talk_enter(&talk);
        const char *answer = talk_say(&talk, "TOP 1 0");
        assert_true(strstr(answer, "\r\nX-Proxy: passed by\r\nFrom") != NULL ||
                    strstr(answer, "\r\nSubject: [list] one\r\n") != NULL);
        assert_non_null(strstr(talk_say(&talk, "RETR 1"), "octets\r\nFrom: anna"));
        talk_end(&talk);

        talk_begin(&talk, SIM_FAULT_TOP_CUT, seed);
        char mail[2000] = "Subject: ";
        memset(mail + 9, 'x', sizeof(mail) - 10);
        (void)sim_server_deliver_octets(talk.server, slice_from_string(mail), 0);
        talk_enter(&talk);
        answer = talk_say(&talk, "TOP 4 0");
        was_cut = was_cut || strlen(answer) < 1500;
        assert_non_null(strstr(answer, "xx\r\n.\r\n"));
        talk_end(&talk);
    }
    assert_true(was_cut);
}

static void answers_are_slow_or_drip(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_SLOW_ANSWER, seed);
        talk.patience_ms = 400000;
        assert_true(talk_connect(&talk));
        assert_true(talk.now_ms >= 500);
        assert_int_equal(strncmp(talk.heard.data, "+OK", 3), 0);
        talk_end(&talk);

        talk_begin(&talk, SIM_FAULT_DRIP, seed);
        talk.patience_ms = 8000000;
        assert_true(talk_connect(&talk));
        assert_true(talk.now_ms >= 50);
        assert_int_equal(strncmp(talk.heard.data, "+OK", 3), 0);
        talk_end(&talk);

        talk_begin(&talk, SIM_FAULT_LOGIN_SLOW, seed);
        talk.patience_ms = 400000;
        talk_enter(&talk);
        assert_true(talk.now_ms >= 1000);
        talk_end(&talk);
    }
}

/* 1500 octets a second at least; some of them can be taken before the last. */
static void a_slow_line_brings_a_body_in_pieces(void **state)
{
    char body[40001];
    (void)state;
    memset(body, 'b', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_SLOW_LINE, seed);
        (void)sim_server_deliver_octets(talk.server, slice_from_string(body), 0);
        talk_enter(&talk);
        int64_t begin_ms = talk.now_ms;
        talk.patience_ms = 100;
        size_t heard = strlen(talk_say(&talk, "RETR 4"));
        assert_true(heard < 40000);
        talk.patience_ms = 60000;
        while (heard < 40000)
            heard += strlen(talk_hear(&talk));
        assert_true(talk.now_ms >= begin_ms + 200 && talk.now_ms <= begin_ms + 30000);
        talk_end(&talk);

        talk_begin(&talk, SIM_FAULT_SLOW_SERVER, seed);
        talk.patience_ms = 10000;
        talk_enter(&talk);
        assert_true(talk.now_ms >= 300);
        talk_end(&talk);
    }
}

static void an_answer_is_garbled_or_endless(void **state)
{
    bool was_long = false, was_short = false;
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_GARBLED_ANSWER, seed);
        assert_true(talk_connect(&talk));
        assert_true(strncmp(talk.heard.data, "+OK", 3) != 0 || talk.heard.len > 7000);
        was_long = was_long || talk.heard.len > 7000;
        was_short = was_short || talk.heard.len < 20;
        talk_end(&talk);
    }
    assert_true(was_long && was_short);
}

static void an_empty_maildrop_may_have_no_rows(void **state)
{
    bool was_silent = false, was_refused = false;
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_EMPTY_HAS_NO_ROWS, seed);
        for (uint64_t serial = 1; serial <= 3; serial++)
            assert_true(sim_server_delete(talk.server, serial, 0));
        talk_enter(&talk);
        assert_string_equal(talk_say(&talk, "STAT"), "+OK 0 0\r\n");
        const char *answer = talk_say(&talk, "UIDL");
        was_silent = was_silent || answer[0] == '\0';
        was_refused = was_refused || answer[0] == '-';
        talk_end(&talk);
    }
    assert_true(was_silent && was_refused);
}

static void an_idle_session_is_closed(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_COUNT, 1);
    talk_enter(&talk);
    int64_t end_ms = sim_session_next_ms(talk.session);
    assert_true(end_ms > talk.now_ms + 50000 && end_ms <= talk.now_ms + 601000);
    talk.now_ms = end_ms - 10;
    assert_int_equal(strncmp(talk_say(&talk, "NOOP"), "+OK", 3), 0);
    assert_false(talk_is_closed(&talk));
    talk.patience_ms = 700000;
    (void)talk_hear(&talk);
    assert_true(talk_is_closed(&talk));
    talk_end(&talk);
}

static void the_lock_is_free_when_the_lost_session_was_noticed(void **state)
{
    int refused = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_LOCK_LINGERS, seed);
        talk.patience_ms = 20000;
        talk_enter(&talk);
        talk_drop(&talk);
        assert_true(talk_connect(&talk));
        refused += strncmp(talk_log_in(&talk), "-ERR [IN-USE]", 13) == 0;
        talk_drop(&talk);
        talk.now_ms += 611000;
        talk_enter(&talk);
        talk_end(&talk);

        /* One that vanished holds it until it has been idle for too long. */
        talk_begin(&talk, SIM_FAULT_COUNT, seed);
        talk_enter(&talk);
        sim_session_vanish(talk.session, talk.now_ms);
        talk.session = NULL;
        talk.now_ms += 611000;
        talk_enter(&talk);
        talk_end(&talk);
    }
    assert_true(refused > 5);
}

static void a_login_too_soon_is_refused(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_LOGIN_DELAY, 1);
    talk_enter(&talk);
    talk_drop(&talk);
    assert_true(talk_connect(&talk));
    assert_int_equal(strncmp(talk_log_in(&talk), "-ERR [LOGIN-DELAY]", 18), 0);
    talk.now_ms += 61000;
    talk_enter(&talk);
    talk_end(&talk);
}

static void an_outage_cuts_what_is_open(void **state)
{
    struct talk talk;
    struct sim_faults faults;
    (void)state;
    sim_faults_none(&faults);
    sim_faults_force(&faults, SIM_FAULT_OUTAGE_BEGINS, 1000);
    faults.most[SIM_FAULT_OUTAGE_BEGINS] = 1;
    talk_begin_with(&talk, &faults, 1);
    assert_true(talk_connect(&talk));
    assert_string_equal(talk_say(&talk, "CAPA"), "");
    assert_true(talk_is_closed(&talk));
    assert_false(talk_connect(&talk));
    sim_server_set_behaving(talk.server, talk.now_ms, true);
    talk_enter(&talk);
    talk_end(&talk);
}

static void a_server_that_behaves_heals(void **state)
{
    static const enum sim_fault faults[] = {
        SIM_FAULT_RETR_POISON,   SIM_FAULT_CONNECT_REFUSED, SIM_FAULT_LOGIN_TEMP,
        SIM_FAULT_LISTING_EMPTY, SIM_FAULT_QUIT_NOTHING,    SIM_FAULT_SILENCE,
        SIM_FAULT_RETR_KILLS,    SIM_FAULT_DELE_KEPT,       SIM_FAULT_LOCK_LINGERS};
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct talk talk;
        talk_begin(&talk, faults[i], 1);
        if (talk_connect(&talk))
            (void)talk_log_in(&talk);
        talk_drop(&talk);
        sim_server_set_behaving(talk.server, talk.now_ms, true);
        talk_enter(&talk);
        assert_non_null(strstr(talk_say(&talk, "RETR 1"), "\r\nthird line\r\n.\r\n"));
        assert_int_equal(strncmp(talk_say_all(&talk, "DELE 1|QUIT"), "+OK", 3), 0);
        assert_int_equal(message_of(&talk, 1)->gone_by, SIM_GONE_DELE);
        talk_end(&talk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sent_is_known_octet_by_octet),
        cmocka_unit_test(a_torn_body_was_not_sent_whole),
        cmocka_unit_test(a_message_that_is_always_short_is_so_at_the_same_place),
        cmocka_unit_test(top_is_another_header_or_cut),
        cmocka_unit_test(answers_are_slow_or_drip),
        cmocka_unit_test(a_slow_line_brings_a_body_in_pieces),
        cmocka_unit_test(an_answer_is_garbled_or_endless),
        cmocka_unit_test(an_empty_maildrop_may_have_no_rows),
        cmocka_unit_test(an_idle_session_is_closed),
        cmocka_unit_test(the_lock_is_free_when_the_lost_session_was_noticed),
        cmocka_unit_test(a_login_too_soon_is_refused),
        cmocka_unit_test(an_outage_cuts_what_is_open),
        cmocka_unit_test(a_server_that_behaves_heals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
