/* SPDX-License-Identifier: MIT */
/*
 * A dialogue for each fault of the model server, so that a bug of the model is not taken for one of
 * popfs. Three messages are in the maildrop, the fault fires for certain, all others are off.
 */
#include "server_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

enum ending { OPEN, CLOSED, SILENT };

/* In a session that has logged in: the answer to the last command matches the pattern. */
struct dialogue {
    enum sim_fault fault;
    const char *commands;
    const char *pattern; /* of fnmatch(); `*` matches line ends, too */
    enum ending ending;
};

#define HEADER "From: anna*<1@x>\r\n"

static const struct dialogue dialogues[] = {
    /* without a fault */
    {SIM_FAULT_COUNT, "STAT", "+OK 3 *", OPEN},
    {SIM_FAULT_COUNT, "UIDL", "+OK*\r\n1 *\r\n2 *\r\n3 *\r\n.\r\n", OPEN},
    {SIM_FAULT_COUNT, "LIST", "+OK*\r\n1 131\r\n2 68\r\n3 146\r\n.\r\n", OPEN},
    {SIM_FAULT_COUNT, "LIST 1", "+OK 1 131\r\n", OPEN},
    {SIM_FAULT_COUNT, "UIDL 2", "+OK 2 *\r\n", OPEN},
    {SIM_FAULT_COUNT, "RETR 1",
     "+OK 131 octets\r\n" HEADER "\r\nfirst line\r\n..hidden\r\n*\r\n.\r\n", OPEN},
    {SIM_FAULT_COUNT, "RETR 2", "+OK*\r\n\r\nno end\r\n.\r\n", OPEN},
    {SIM_FAULT_COUNT, "RETR 3", "+OK*\r\n..\r\nlast\r\n.\r\n", OPEN},
    {SIM_FAULT_COUNT, "RETR 4", "-ERR*", OPEN},
    {SIM_FAULT_COUNT, "TOP 1 0", "+OK*\r\n" HEADER "\r\n.\r\n", OPEN},
    {SIM_FAULT_COUNT, "TOP 1 2", "+OK*\r\n\r\nfirst line\r\n..hidden\r\n.\r\n", OPEN},
    {SIM_FAULT_COUNT, "DELE 1|LIST", "+OK*\r\n2 *\r\n3 *\r\n.\r\n", OPEN},
    {SIM_FAULT_COUNT, "DELE 1|RETR 1", "-ERR*", OPEN},
    {SIM_FAULT_COUNT, "DELE 1|RSET|STAT", "+OK 3 *", OPEN},
    {SIM_FAULT_COUNT, "NOOP", "+OK*", OPEN},
    {SIM_FAULT_COUNT, "STLS", "-ERR*", OPEN},
    {SIM_FAULT_COUNT, "QUIT", "+OK*\r\n", CLOSED},
    /* traits */
    {SIM_FAULT_NO_TOP, "TOP 1 0", "-ERR*", OPEN},
    {SIM_FAULT_CAPA_HIDES_TOP, "CAPA|TOP 1 0", "+OK*\r\nFrom: anna*", OPEN},
    {SIM_FAULT_NO_UIDL, "UIDL", "-ERR*", OPEN},
    {SIM_FAULT_NO_UIDL_ONE, "UIDL 1", "-ERR*", OPEN},
    {SIM_FAULT_UIDL_ONE_BARE, "UIDL 1", "+OK +([! ])", OPEN},
    {SIM_FAULT_NO_CAPA, "CAPA", "-ERR*", OPEN},
    {SIM_FAULT_NO_PIPELINING, "CAPA", "+OK*\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\n[!P]*", OPEN},
    {SIM_FAULT_UTF8_REFUSED, "CAPA|UTF8", "-ERR*", OPEN},
    {SIM_FAULT_BARE_LF, "RETR 1",
     "+OK*\nFrom: anna@example.org\nSubject*\n..hidden\nthird line\n.\n", OPEN},
    {SIM_FAULT_BARE_LF, "UIDL", "+OK unique ids\n1 *\n.\n", OPEN},
    {SIM_FAULT_BARE_ANSWERS, "NOOP", "+OK\r\n", OPEN},
    {SIM_FAULT_BARE_ANSWERS, "STAT", "+OK 3 *", OPEN},
    {SIM_FAULT_NUMBER_GAPS, "RETR 999999", "-ERR*", OPEN},
    {SIM_FAULT_RENUMBERS_ON_DELE, "DELE 1|LIST", "+OK*\r\n1 68\r\n2 *\r\n.\r\n", OPEN},
    {SIM_FAULT_SHOWS_DELETED, "DELE 1|LIST", "+OK*\r\n1 0\r\n2 *\r\n3 *\r\n.\r\n", OPEN},
    {SIM_FAULT_REWRITES_8BIT, "RETR 2", "+OK*\r\nX-Boundary: =_*\r\n\r\nno end\r\n.\r\n", OPEN},
    {SIM_FAULT_REWRITES_8BIT, "RETR 2|RETR 1", "+OK 131 *" HEADER "\r\n*", OPEN},
    {SIM_FAULT_TOP_BODY, "TOP 1 0", "+OK*\r\nthird line\r\n.\r\n", OPEN},
    {SIM_FAULT_TOP_NO_BLANK, "TOP 1 0", "+OK*\r\nMessage-ID: <1@x>\r\n.\r\n", OPEN},
    {SIM_FAULT_NO_STUFFING, "RETR 3", "+OK*\r\n.\r\nlast\r\n.\r\n", OPEN},
    {SIM_FAULT_NO_STUFFING, "RETR 1", "+OK*\r\nfirst line\r\n.hidden\r\n*", OPEN},
    {SIM_FAULT_LIST_STORED, "LIST", "+OK*\r\n1 131\r\n2 66\r\n3 *", OPEN},
    /* messages */
    {SIM_FAULT_RETR_POISON, "RETR 1|RETR 1", "-ERR*", OPEN},
    {SIM_FAULT_RETR_KILLS, "RETR 1", "", CLOSED},
    {SIM_FAULT_RETR_HANGS, "RETR 1", "", SILENT},
    {SIM_FAULT_RETR_HANGS, "RETR 1|NOOP", "", SILENT},
    {SIM_FAULT_RETR_ALWAYS_SHORT, "RETR 1", "+OK 131 octets\r\n*\r\n.\r\n", OPEN},
    {SIM_FAULT_TOP_POISON, "TOP 1 0|TOP 1 0", "-ERR*", OPEN},
    {SIM_FAULT_TOP_POISON, "TOP 1 0|RETR 1", "+OK*", OPEN},
    {SIM_FAULT_DELE_POISON, "DELE 1|DELE 1", "-ERR*", OPEN},
    {SIM_FAULT_DELE_KILLS, "DELE 1", "", CLOSED},
    {SIM_FAULT_DELE_HANGS, "DELE 1", "", SILENT},
    /* sessions */
    {SIM_FAULT_REORDERED, "UIDL", "+OK*\r\n1 *\r\n2 *\r\n3 *\r\n.\r\n", OPEN},
    {SIM_FAULT_UIDL_EMPTY, "UIDL", "+OK*\r\n[123] \r\n*.\r\n", OPEN},
    {SIM_FAULT_UIDL_OVERLONG, "UIDL", "+OK*LLLLLLLLLLLLLL*\r\n.\r\n", OPEN},
    {SIM_FAULT_LISTING_EMPTY, "STAT", "+OK 0 0\r\n", OPEN},
    {SIM_FAULT_LISTING_EMPTY, "UIDL", "+OK*\r\n.\r\n", OPEN},
    {SIM_FAULT_LISTING_EMPTY, "RETR 1", "-ERR*", OPEN},
    /* answers; those that would spoil the login stand below */
    {SIM_FAULT_UNASKED_ERROR, "NOOP", "+OK*\r\n-ERR [[]SYS/TEMP]*\r\n", CLOSED},
    {SIM_FAULT_SLOW_LINE, "RETR 1", "+OK*third line\r\n.\r\n", OPEN},
    {SIM_FAULT_STAT_ODD, "STAT", "+OK [3m]*[1y]\r\n", OPEN},
    {SIM_FAULT_STAT_REFUSED, "STAT", "-ERR*", OPEN},
    {SIM_FAULT_ROWS_REFUSED, "UIDL", "-ERR*", OPEN},
    {SIM_FAULT_ROWS_REFUSED, "LIST", "-ERR*", OPEN},
    {SIM_FAULT_RETR_REFUSED, "RETR 1", "-ERR*", OPEN},
    {SIM_FAULT_RETR_REFUSED, "RETR 1|TOP 1 0", "+OK*", OPEN},
    {SIM_FAULT_BODY_TEMP, "RETR 1", "-ERR [[]SYS/TEMP]*", OPEN},
    {SIM_FAULT_BODY_TEMP, "TOP 1 0", "-ERR [[]SYS/TEMP]*", OPEN},
    {SIM_FAULT_RETR_EMPTY, "RETR 1", "+OK 131 octets\r\n.\r\n", OPEN},
    {SIM_FAULT_RETR_SHORT, "RETR 1", "+OK 131 octets\r\n*\r\n.\r\n", OPEN},
    {SIM_FAULT_TOP_REFUSED, "TOP 1 0", "-ERR*", OPEN},
    {SIM_FAULT_STRAY_ANSWER, "NOOP", "+OK*\r\n[-+.]*\r\n", OPEN},
    {SIM_FAULT_MISSING_ANSWER, "NOOP", "", OPEN},
    {SIM_FAULT_DOUBLED_ANSWER, "UIDL 1", "+OK 1 *\r\n+OK 1 *\r\n", OPEN},
    {SIM_FAULT_STATUS_IN_BODY, "RETR 1", "+OK 131 octets\r\n*\r\n-ERR [[]SYS/TEMP] read error\r\n",
     OPEN},
    {SIM_FAULT_MISSING_LF, "RETR 1", "+OK*\r\nthird line\r.\r\n", OPEN},
    {SIM_FAULT_DELE_REFUSED, "DELE 1", "-ERR*", OPEN},
    {SIM_FAULT_RSET_REFUSED, "DELE 1|RSET", "-ERR*", OPEN},
    {SIM_FAULT_RSET_REFUSED, "DELE 1|RSET|STAT", "+OK 2 *", OPEN},
    {SIM_FAULT_QUIT_NOTHING, "DELE 1|QUIT", "+OK*\r\n", CLOSED},
    {SIM_FAULT_QUIT_PART, "DELE 1|QUIT", "+OK*\r\n", CLOSED},
    {SIM_FAULT_QUIT_REFUSED, "DELE 1|QUIT", "-ERR*\r\n", CLOSED},
    {SIM_FAULT_QUIT_REFUSED_PART, "DELE 1|QUIT", "-ERR*\r\n", CLOSED},
    {SIM_FAULT_QUIT_WORDLESS, "DELE 1|QUIT", "", CLOSED},
    {SIM_FAULT_QUIT_CUT, "DELE 1|QUIT", "", CLOSED},
    {SIM_FAULT_QUIT_LATE, "DELE 1|QUIT", "+OK*\r\n", CLOSED},
};

static void assert_ending(const struct talk *talk, enum ending ending)
{
    switch (ending) {
    case OPEN:
        assert_false(talk_is_closed(talk));
        break;
    case CLOSED:
        assert_true(talk_is_closed(talk));
        break;
    case SILENT:
        assert_false(talk_is_closed(talk));
        assert_true(sim_session_next_ms(talk->session) > talk->now_ms + 50000);
        break;
    }
}

static void each_fault_does_what_its_row_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++) {
        const struct dialogue *row = &dialogues[i];
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct talk talk;
            talk_begin(&talk, row->fault, seed);
            talk_enter(&talk);
            const char *answer = talk_say_all(&talk, row->commands);
            if (fnmatch(row->pattern, answer, FNM_EXTMATCH) != 0)
                fail_msg("seed %llu, %s, %s: \"%s\" is not \"%s\"", (unsigned long long)seed,
                         row->fault == SIM_FAULT_COUNT ? "no fault"
                                                       : sim_fault_row(row->fault)->name,
                         row->commands, answer, row->pattern);
            assert_ending(&talk, row->ending);
            if (row->fault != SIM_FAULT_COUNT && row->fault != SIM_FAULT_NUMBER_GAPS &&
                sim_server_fired_count(talk.server, row->fault) == 0)
                fail_msg("%s did not fire", sim_fault_row(row->fault)->name);
            talk_end(&talk);
        }
    }
}

/* ---- before and at the login ---- */

/* What the greeting and the answer to the right password are. */
struct login {
    enum sim_fault fault;
    const char *greeting, *answer;
};

static const struct login logins[] = {
    {SIM_FAULT_COUNT, "+OK*\r\n", "+OK*\r\n"},
    {SIM_FAULT_GREETING_REFUSED, "-ERR*\r\n", NULL},
    {SIM_FAULT_GREETING_GARBLED, "[!-]*", "*"},
    {SIM_FAULT_LOGIN_TEMP, "+OK*", "-ERR [[]SYS/TEMP]*"},
    {SIM_FAULT_LOGIN_PERM, "+OK*", "-ERR [[]SYS/PERM]*"},
    {SIM_FAULT_LOGIN_IN_USE, "+OK*", "-ERR [[]IN-USE]*"},
    {SIM_FAULT_LOGIN_LOCKED, "+OK*", "-ERR [!\\[]*lock*"},
    {SIM_FAULT_LOGIN_AUTH, "+OK*", "-ERR [[]AUTH]*"},
    {SIM_FAULT_LOGIN_REFUSED, "+OK*", "-ERR [!\\[]*"},
    {SIM_FAULT_LOGIN_ECHOES, "+OK*", "-ERR*PASS secret-0\r\n"},
    {SIM_FAULT_LOGIN_AND_ERROR, "+OK*", "+OK*\r\n-ERR [[]SYS/TEMP]*\r\n"},
    {SIM_FAULT_PASSWORD_CHANGED, "+OK*", "-ERR [[]AUTH]*"},
    {SIM_FAULT_SILENCE, "*", NULL},
    {SIM_FAULT_HANG_UP_AFTER, "+OK*\r\n", NULL},
    {SIM_FAULT_CUT, "*", NULL},
};

static void the_login_fails_in_each_of_its_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct talk talk;
            talk_begin(&talk, logins[i].fault, seed);
            talk.patience_ms = 5000;
            assert_true(talk_connect(&talk));
            if (fnmatch(logins[i].greeting, talk.heard.data, 0) != 0)
                fail_msg("row %zu: greeting \"%s\"", i, talk.heard.data);
            if (logins[i].answer != NULL && fnmatch(logins[i].answer, talk_log_in(&talk), 0) != 0)
                fail_msg("row %zu: answer \"%s\"", i, talk.heard.data);
            talk_end(&talk);
        }
    }
}

static void another_try_with_the_new_password_succeeds(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_PASSWORD_CHANGED, 1);
    talk.patience_ms = 5000;
    assert_true(talk_connect(&talk));
    assert_int_equal(strncmp(talk_log_in(&talk), "-ERR", 4), 0);
    assert_string_equal(sim_server_password(talk.server), "secret-1");
    assert_int_equal(strncmp(talk_log_in(&talk), "+OK", 3), 0);
    talk_end(&talk);
}

/* Seeds differ in whether the server has APOP and AUTH PLAIN. */
static void apop_and_plain_let_the_right_password_in(void **state)
{
    bool was_apop = false, was_plain = false;
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct talk talk;
        char digest[DIGEST_MD5_HEX_OCTETS], line[128];
        talk_begin(&talk, SIM_FAULT_COUNT, seed);
        talk.patience_ms = 5000;
        assert_true(talk_connect(&talk));
        const char *stamp = strchr(talk.heard.data, '<');
        if (stamp != NULL) {
            struct slice id = {stamp, (size_t)(strchr(stamp, '>') - stamp) + 1};
            assert_true(digest_md5_hex(id, SLICE_LITERAL("secret-0"), digest));
            snprintf(line, sizeof(line), "APOP user %s", digest);
            assert_int_equal(strncmp(talk_say(&talk, "APOP user 00"), "-ERR [AUTH]", 11), 0);
            assert_int_equal(strncmp(talk_say(&talk, line), "+OK", 3), 0);
            was_apop = true;
        } else if (strstr(talk_say(&talk, "CAPA"), "SASL PLAIN") != NULL) {
            const char *answer = talk_say(&talk, "AUTH PLAIN AHVzZXIAc2VjcmV0LTA=");
            assert_int_equal(strncmp(answer, "+OK", 3), 0);
            was_plain = true;
        }
        talk_end(&talk);
    }
    assert_true(was_apop && was_plain);
}

static void a_connection_is_refused_and_an_outage_lasts_for_a_while(void **state)
{
    struct talk talk;
    struct sim_faults faults;
    (void)state;
    talk_begin(&talk, SIM_FAULT_CONNECT_REFUSED, 1);
    assert_false(talk_connect(&talk));
    talk_end(&talk);

    sim_faults_none(&faults);
    sim_faults_force(&faults, SIM_FAULT_OUTAGE, 1000);
    faults.most[SIM_FAULT_OUTAGE] = 1;
    talk_begin_with(&talk, &faults, 1);
    assert_false(talk_connect(&talk));
    talk.now_ms += 19000;
    assert_false(talk_connect(&talk));
    talk.now_ms += 600000;
    assert_true(talk_connect(&talk));
    assert_int_equal(sim_server_fired_count(talk.server, SIM_FAULT_OUTAGE), 1);
    talk_end(&talk);
}

/* Nothing is put behind it, and what was on its way is gone: the client sees the end at once. */
static void an_outage_amid_an_answer_ends_the_session_whatever_else_is_drawn(void **state)
{
    static const enum sim_fault others[] = {SIM_FAULT_UNASKED_ERROR, SIM_FAULT_STRAY_ANSWER,
                                            SIM_FAULT_DOUBLED_ANSWER, SIM_FAULT_GARBLED_ANSWER};
    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct talk talk;
        struct sim_faults faults;
        char octet;
        sim_faults_none(&faults);
        sim_faults_force(&faults, SIM_FAULT_OUTAGE_BEGINS, 1000);
        sim_faults_force(&faults, others[i], 1000);
        talk_begin_with(&talk, &faults, 1);
        sim_server_set_behaving(talk.server, talk.now_ms, true);
        talk_enter(&talk);
        talk_send(&talk, "RETR 1");
        talk.now_ms = sim_session_next_ms(talk.session);
        assert_int_equal(sim_session_take(talk.session, talk.now_ms, &octet, 1), 1);
        sim_server_set_behaving(talk.server, talk.now_ms, false);
        talk_send(&talk, "NOOP");
        assert_int_equal(sim_server_fired_count(talk.server, SIM_FAULT_OUTAGE_BEGINS), 1);
        assert_int_equal(sim_session_take(talk.session, talk.now_ms, &octet, 1), 0);
        assert_true(sim_session_next_ms(talk.session) <= talk.now_ms);
        assert_true(sim_session_is_closed(talk.session, talk.now_ms));
        talk_end(&talk);
    }
}

/* ---- pipelines ---- */

static void a_pipeline_is_answered_in_order(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_COUNT, 1);
    talk_enter(&talk);
    talk_send(&talk, "LIST 1\r\nLIST 2\r\nNOOP\r\nLIST 1");
    assert_int_equal(
        fnmatch("+OK 1 131\r\n+OK 2 *\r\n+OK nothing*\r\n+OK 1 131\r\n", talk_hear(&talk), 0), 0);
    talk_end(&talk);
}

static void what_comes_behind_pass_is_lost_where_the_server_is_deaf(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_DEAF_BEHIND_PASS, 1);
    assert_true(talk_connect(&talk));
    talk_send(&talk, "USER user\r\nPASS secret-0\r\nSTAT");
    assert_int_equal(fnmatch("+OK*\r\n+OK logged in\r\n", talk_hear(&talk), 0), 0);
    assert_int_equal(fnmatch("+OK 3 *\r\n", talk_say(&talk, "STAT"), 0), 0);
    talk_end(&talk);

    talk_begin(&talk, SIM_FAULT_DEAF_BEHIND_CAPA, 1);
    assert_true(talk_connect(&talk));
    talk_send(&talk, "CAPA\r\nUSER user");
    assert_int_equal(fnmatch("+OK*\r\n.\r\n", talk_hear(&talk), 0), 0);
    assert_int_equal(fnmatch("+OK*\r\n", talk_say(&talk, "USER user"), 0), 0);
    talk_end(&talk);
}

static void a_pipeline_kills_some_servers(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_PIPELINING_KILLS, 1);
    talk_enter(&talk);
    assert_int_equal(strncmp(talk_say(&talk, "NOOP"), "+OK", 3), 0);
    talk_send(&talk, "NOOP\r\nNOOP");
    assert_int_equal(fnmatch("+OK nothing done\r\n", talk_hear(&talk), 0), 0);
    assert_true(talk_is_closed(&talk));
    talk_end(&talk);
}

static void pipelining_that_comes_late_is_in_the_second_capa_alone(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_PIPELINING_LATE, 1);
    assert_true(talk_connect(&talk));
    assert_null(strstr(talk_say(&talk, "CAPA"), "PIPELINING"));
    (void)talk_log_in(&talk);
    assert_non_null(strstr(talk_say(&talk, "CAPA"), "\r\nPIPELINING\r\n"));
    talk_end(&talk);
}

/* Answers of 5 KiB wait: nothing more is executed until they were read. */
static void a_server_that_stops_reading_goes_on_when_its_answers_are_read(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_STOPS_READING, 1);
    talk_enter(&talk);
    for (int i = 0; i < 100; i++)
        talk_send(&talk, "RETR 1");
    talk_send(&talk, "DELE 2");
    struct sim_session_truth truth = sim_server_session(talk.server, 1);
    assert_int_equal(truth.rows[1].dele, SIM_DELE_NONE);
    (void)talk_hear(&talk);
    assert_int_equal(truth.rows[1].dele, SIM_DELE_MARKED);
    assert_true(sim_server_fired_count(talk.server, SIM_FAULT_STOPS_READING) > 0);
    talk_end(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_does_what_its_row_says),
        cmocka_unit_test(the_login_fails_in_each_of_its_ways),
        cmocka_unit_test(another_try_with_the_new_password_succeeds),
        cmocka_unit_test(apop_and_plain_let_the_right_password_in),
        cmocka_unit_test(a_connection_is_refused_and_an_outage_lasts_for_a_while),
        cmocka_unit_test(an_outage_amid_an_answer_ends_the_session_whatever_else_is_drawn),
        cmocka_unit_test(a_pipeline_is_answered_in_order),
        cmocka_unit_test(what_comes_behind_pass_is_lost_where_the_server_is_deaf),
        cmocka_unit_test(a_pipeline_kills_some_servers),
        cmocka_unit_test(pipelining_that_comes_late_is_in_the_second_capa_alone),
        cmocka_unit_test(a_server_that_stops_reading_goes_on_when_its_answers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
