/* SPDX-License-Identifier: MIT */
/*
 * What the model server knows: which message is which, what was deleted and by whom, which octets
 * it sent; time; and that a seed repeats it all.
 */
#include "server_talk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sim_message *message_of(const struct talk *talk, uint64_t serial)
{
    return sim_server_message(talk->server, serial);
}

static struct sim_session_truth last_session(const struct talk *talk)
{
    return sim_server_session(talk->server, sim_server_session_count(talk->server));
}

/* DELE 1, DELE 2 and QUIT, in a session of its own; waits as long as the server takes. */
static void commit_two(struct talk *talk)
{
    talk_enter(talk);
    (void)talk_say_all(talk, "DELE 1|DELE 2");
    talk->patience_ms = 400000;
    (void)talk_say(talk, "QUIT");
    talk->patience_ms = 1000;
}

/* ---- commits ---- */

struct commit {
    enum sim_fault fault;
    int gone; /* of two; -1: any number */
    enum sim_quit quit;
};

static const struct commit commits[] = {
    {SIM_FAULT_COUNT, 2, SIM_QUIT_OK},
    {SIM_FAULT_QUIT_NOTHING, 0, SIM_QUIT_OK},
    {SIM_FAULT_QUIT_PART, -1, SIM_QUIT_OK},
    {SIM_FAULT_QUIT_REFUSED, 0, SIM_QUIT_ERR},
    {SIM_FAULT_QUIT_REFUSED_PART, -1, SIM_QUIT_ERR},
    {SIM_FAULT_QUIT_WORDLESS, 2, SIM_QUIT_CLOSED},
    {SIM_FAULT_QUIT_CUT, 0, SIM_QUIT_CLOSED},
    {SIM_FAULT_QUIT_SLOW, 2, SIM_QUIT_OK},
    {SIM_FAULT_DELE_KEPT, 0, SIM_QUIT_OK},
    {SIM_FAULT_DELE_REFUSED, 0, SIM_QUIT_OK},
};

static void quit_deletes_what_its_fault_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(commits) / sizeof(commits[0]); i++) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct talk talk;
            talk_begin(&talk, commits[i].fault, seed);
            commit_two(&talk);
            struct sim_session_truth session = last_session(&talk);
            int gone = (message_of(&talk, 1)->gone_by == SIM_GONE_DELE) +
                       (message_of(&talk, 2)->gone_by == SIM_GONE_DELE);
            assert_int_equal(session.quit, commits[i].quit);
            if (commits[i].gone >= 0)
                assert_int_equal(gone, commits[i].gone);
            assert_int_equal(sim_server_present_count(talk.server), 3 - gone);
            assert_int_equal(message_of(&talk, 3)->gone_by, SIM_GONE_NOT);
            assert_true(session.ended_ms >= 0);
            talk_end(&talk);
        }
    }
}

static void rows_say_what_became_of_each_dele(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_COUNT, 1);
    commit_two(&talk);
    struct sim_session_truth session = last_session(&talk);
    assert_int_equal(session.row_count, 3);
    assert_int_equal(session.rows[0].dele, SIM_DELE_COMMITTED);
    assert_int_equal(session.rows[2].dele, SIM_DELE_NONE);
    assert_int_equal(message_of(&talk, 1)->gone_session, session.number);
    assert_true(message_of(&talk, 1)->gone_ms >= 0);
    talk_end(&talk);

    talk_begin(&talk, SIM_FAULT_QUIT_NOTHING, 1);
    commit_two(&talk);
    assert_int_equal(last_session(&talk).rows[0].dele, SIM_DELE_KEPT);
    talk_end(&talk);
}

static void a_late_quit_deletes_after_its_answer(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_QUIT_LATE, 1);
    talk_enter(&talk);
    assert_int_equal(strncmp(talk_say_all(&talk, "DELE 1|QUIT"), "+OK", 3), 0);
    if (message_of(&talk, 1)->gone_ms < 0) {
        talk_enter(&talk); /* no lock is held meanwhile */
        talk.now_ms += 60000;
        (void)talk_say(&talk, "NOOP");
    }
    assert_int_equal(message_of(&talk, 1)->gone_by, SIM_GONE_DELE);
    talk_end(&talk);
}

/* QUIT is received; the client does not wait for its answer. */
static void a_slow_quit_goes_on_when_the_client_has_gone(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_QUIT_SLOW, 1);
    talk_enter(&talk);
    talk_send(&talk, "DELE 1\r\nQUIT");
    talk_drop(&talk);
    assert_int_equal(message_of(&talk, 1)->gone_by, SIM_GONE_NOT);
    int64_t due_ms = sim_server_next_ms(talk.server);
    assert_true(due_ms > talk.now_ms);
    sim_server_advance(talk.server, due_ms);
    assert_int_equal(message_of(&talk, 1)->gone_by, SIM_GONE_DELE);
    assert_int_equal(message_of(&talk, 1)->gone_ms, due_ms);
    assert_int_equal(sim_server_next_ms(talk.server), -1);
    talk_end(&talk);
}

static void without_quit_nothing_is_deleted(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct talk talk;
        talk_begin(&talk, SIM_FAULT_COUNT, seed);
        talk_enter(&talk);
        (void)talk_say_all(&talk, "DELE 1|DELE 2");
        if (seed % 2 == 0)
            talk_drop(&talk);
        sim_server_advance(talk.server, talk.now_ms + 3600000);
        assert_int_equal(sim_server_present_count(talk.server), 3);
        assert_true(last_session(&talk).ended_ms >= 0);
        talk_end(&talk);
    }
}

/* RETR fills the output, so that DELE and QUIT wait unread when the link is cut. */
static void commands_before_a_cut_count_where_the_server_commits_them(void **state)
{
    (void)state;
    for (int commits_them = 0; commits_them <= 1; commits_them++) {
        struct talk talk;
        struct sim_faults faults;
        sim_faults_none(&faults);
        sim_faults_force(&faults, SIM_FAULT_STOPS_READING, 1000);
        if (commits_them)
            sim_faults_force(&faults, SIM_FAULT_CUT_COMMITS, 1000);
        talk_begin_with(&talk, &faults, 1);
        talk_enter(&talk);
        for (int i = 0; i < 100; i++)
            talk_send(&talk, "RETR 1");
        talk_send(&talk, "DELE 2\r\nQUIT");
        talk_drop(&talk);
        sim_server_advance(talk.server, talk.now_ms + 10000);
        assert_int_equal(message_of(&talk, 2)->gone_by,
                         commits_them ? SIM_GONE_DELE : SIM_GONE_NOT);
        talk_end(&talk);
    }
}

static void what_was_read_is_hidden_where_the_server_does_so(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_HIDES_READ, 1);
    talk_enter(&talk);
    (void)talk_say_all(&talk, "RETR 1|TOP 2 0|QUIT");
    sim_server_advance(talk.server, talk.now_ms + 1000);
    assert_int_equal(message_of(&talk, 1)->gone_by, SIM_GONE_HIDDEN);
    assert_int_equal(message_of(&talk, 2)->gone_by, SIM_GONE_NOT);
    talk_end(&talk);
}

static void limits_hold_for_a_session(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_DELE_LIMIT, 3);
    for (int i = 0; i < 5; i++)
        (void)sim_server_deliver(talk.server, 0);
    talk_enter(&talk);
    assert_int_equal(strncmp(talk_say(&talk, "DELE 1"), "+OK", 3), 0);
    assert_int_equal(strncmp(talk_say_all(&talk, "DELE 2|DELE 3|DELE 4|DELE 5"), "-ERR", 4), 0);
    talk_end(&talk);

    talk_begin(&talk, SIM_FAULT_RETR_LIMIT, 3);
    talk_enter(&talk);
    assert_int_equal(strncmp(talk_say(&talk, "RETR 1"), "+OK", 3), 0);
    for (int i = 0; i < 8; i++)
        (void)talk_say(&talk, "RETR 2");
    assert_int_equal(strncmp(talk.heard.data, "-ERR", 4), 0);
    talk_end(&talk);

    talk_begin(&talk, SIM_FAULT_COMMAND_LIMIT, 3);
    assert_true(talk_connect(&talk));
    (void)talk_log_in(&talk);
    for (int i = 0; i < 61 && !talk_is_closed(&talk); i++)
        (void)talk_say(&talk, "NOOP");
    assert_true(talk_is_closed(&talk));
    talk_end(&talk);

    talk_begin(&talk, SIM_FAULT_HANGS_UP_ON_ERRORS, 3);
    talk_enter(&talk);
    for (int i = 0; i < 21 && !talk_is_closed(&talk); i++)
        assert_int_equal(strncmp(talk_say(&talk, "BOGUS"), "-ERR", 4), 0);
    assert_true(talk_is_closed(&talk));
    talk_end(&talk);
}

/* ---- identity ---- */

static void a_uidl_is_given_again_at_once(void **state)
{
    struct talk talk;
    (void)state;
    talk_begin(&talk, SIM_FAULT_UIDL_REUSE, 1);
    commit_two(&talk);
    sim_server_advance(talk.server, talk.now_ms + 1000);
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

/* ---- octets ---- */

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
            assert_false(sent->is_whole);
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

/* ---- time ---- */

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
        talk.patience_ms = 400000;
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

/* ---- seeds and names ---- */

struct history {
    uint64_t digest;
    uint32_t fired[SIM_FAULT_COUNT];
};

static void hash_octets(struct history *history, const char *octets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        history->digest = (history->digest ^ (unsigned char)octets[i]) * UINT64_C(0x100000001b3);
}

static void some_command(struct sim_random *random, int step, const struct talk *talk,
                         char line[64])
{
    static const char *const first[] = {"CAPA", "USER user", NULL, "UTF8", "STAT", "UIDL", "LIST"};
    static const char *const forms[] = {"RETR %u", "RETR %u", "TOP %u 0", "TOP %u 3", "UIDL %u",
                                        "LIST %u", "DELE %u", "DELE %u",  "RSET %u",  "NOOP %u",
                                        "LIST",    "UIDL",    "QUIT"};
    unsigned msgnum = 1 + (unsigned)sim_random_below(random, 12);
    if (step == 2)
        snprintf(line, 64, "PASS %s", sim_server_password(talk->server));
    else if (step < 7)
        snprintf(line, 64, "%s", first[step]);
    else {
        const char *form = forms[sim_random_below(random, sizeof(forms) / sizeof(forms[0]))];
        size_t before = strcspn(form, "%");
        if (form[before] == '\0')
            snprintf(line, 64, "%s", form);
        else
            snprintf(line, 64, "%.*s%u%s", (int)before, form, msgnum, form + before + 2);
    }
}

/* Sessions of a client who says this and that; each octet that it takes counts. */
static void live(struct talk *talk, struct sim_random *random, struct history *history)
{
    char line[64];
    if (!talk_connect(talk)) {
        talk->now_ms += 60000;
        return;
    }
    for (int step = 0; step < 40 && !talk_is_closed(talk); step++) {
        some_command(random, step, talk, line);
        const char *answer = talk_say(talk, line);
        hash_octets(history, answer, talk->heard.len);
        if (talk->heard.len == 0 && sim_random_chance(random, 300))
            break;
    }
    if (sim_random_chance(random, 50)) {
        sim_session_vanish(talk->session, talk->now_ms);
        talk->session = NULL;
    }
    talk_drop(talk);
    if (sim_random_chance(random, 400))
        (void)sim_server_deliver(talk->server, talk->now_ms);
    talk->now_ms += (int64_t)sim_random_below(random, 30000);
}

static struct history history_of(const struct sim_faults *faults, uint64_t seed)
{
    struct history history = {.digest = UINT64_C(0xcbf29ce484222325)};
    struct sim_random random = sim_random_from_seed(seed ^ 0x5eed);
    struct talk talk;
    talk_begin_with(&talk, faults, seed);
    talk.patience_ms = 3000;
    for (int i = 0; i < 6; i++)
        (void)sim_server_deliver(talk.server, 0);
    for (int i = 0; i < 8; i++)
        live(&talk, &random, &history);
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        history.fired[i] = sim_server_fired_count(talk.server, (enum sim_fault)i);
    talk_end(&talk);
    return history;
}

static void a_seed_repeats_each_octet(void **state)
{
    struct sim_faults faults;
    struct history first, last = {0};
    (void)state;
    sim_faults_all(&faults);
    for (uint64_t seed = 1; seed <= 50; seed++) {
        first = history_of(&faults, seed);
        struct history again = history_of(&faults, seed);
        assert_memory_equal(&first, &again, sizeof(first));
        assert_true(first.digest != last.digest);
        last = first;
    }
}

/* So that the shrinker can drop what did nothing, and what it keeps stays as it was. */
static void a_fault_that_did_not_fire_can_be_switched_off_without_a_trace(void **state)
{
    struct sim_faults faults, fewer;
    (void)state;
    sim_faults_all(&faults);
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct history history = history_of(&faults, seed);
        fewer = faults;
        for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
            if (history.fired[i] == 0)
                assert_true(sim_faults_without(&fewer, sim_fault_row((enum sim_fault)i)->name));
        assert_true(history_of(&fewer, seed).digest == history.digest);
    }
}

/* Over enough seeds each fault fires, and none does once it is switched off, by name or by class.
 */
static void each_fault_fires_and_can_be_switched_off(void **state)
{
    struct sim_faults faults;
    uint32_t fired[SIM_FAULT_COUNT] = {0};
    (void)state;
    sim_faults_all(&faults);
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        struct history history = history_of(&faults, seed);
        for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
            fired[i] += history.fired[i];
    }
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++)
        if (fired[i] == 0)
            fail_msg("%s never fires", sim_fault_row((enum sim_fault)i)->name);

    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        struct sim_faults alone;
        sim_faults_none(&alone);
        sim_faults_force(&alone, (enum sim_fault)i, 1000);
        struct history on = history_of(&alone, 1);
        for (size_t other = 0; other < SIM_FAULT_COUNT; other++)
            assert_true(other == i || on.fired[other] == 0);
        assert_true(sim_faults_without(&alone, sim_fault_row((enum sim_fault)i)->name));
        assert_int_equal(history_of(&alone, 1).fired[i], 0);
        sim_faults_force(&alone, (enum sim_fault)i, 1000);
        assert_true(
            sim_faults_without(&alone, sim_class_name(sim_fault_row((enum sim_fault)i)->class)));
        assert_int_equal(history_of(&alone, 1).fired[i], 0);
    }
    assert_false(sim_faults_without(&faults, "no-such-fault"));
}

static void a_fault_fires_at_most_as_often_as_it_may(void **state)
{
    struct sim_faults faults;
    (void)state;
    sim_faults_none(&faults);
    sim_faults_force(&faults, SIM_FAULT_RETR_REFUSED, 1000);
    assert_true(history_of(&faults, 1).fired[SIM_FAULT_RETR_REFUSED] > 2);
    faults.most[SIM_FAULT_RETR_REFUSED] = 2;
    assert_int_equal(history_of(&faults, 1).fired[SIM_FAULT_RETR_REFUSED], 2);
    faults.most[SIM_FAULT_RETR_REFUSED] = 0;
    assert_int_equal(history_of(&faults, 1).fired[SIM_FAULT_RETR_REFUSED], 0);
}

/* ---- the trace ---- */

static void keep_line(void *context, const char *line)
{
    struct buffer *lines = context;
    assert_true(buffer_printf(lines, "%s\n", line));
}

static void the_trace_names_each_fault_that_fires(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIM_FAULT_COUNT; i++) {
        struct sim_faults faults;
        struct talk talk;
        struct buffer lines = {0};
        struct history history = {0};
        struct sim_random random = sim_random_from_seed(i);
        char name[64];
        sim_faults_none(&faults);
        sim_faults_force(&faults, (enum sim_fault)i, 300);
        if (sim_fault_row((enum sim_fault)i)->scope == SIM_SCOPE_TRAIT)
            faults.per_mille[i] = 1000;
        talk_begin_with(&talk, &faults, i);
        sim_server_set_trace(talk.server, keep_line, &lines);
        for (int session = 0; session < 30; session++)
            live(&talk, &random, &history);
        assert_true(buffer_append(&lines, (struct slice){"", 1}));
        snprintf(name, sizeof(name), "(fault %s)", sim_fault_row((enum sim_fault)i)->name);
        if (sim_server_fired_count(talk.server, (enum sim_fault)i) > 0 &&
            strstr(lines.data, name) == NULL)
            fail_msg("%s is not in the trace", name);
        if (sim_server_fired_count(talk.server, (enum sim_fault)i) == 0 &&
            strstr(lines.data, "(fault ") != NULL)
            fail_msg("%s is in the trace and did not fire", name);
        buffer_done(&lines);
        talk_end(&talk);
    }
}

static void the_trace_reads_well(void **state)
{
    struct talk talk;
    struct buffer lines = {0};
    (void)state;
    talk_begin(&talk, SIM_FAULT_RETR_REFUSED, 1);
    sim_server_set_trace(talk.server, keep_line, &lines);
    talk.now_ms = 12345;
    talk_enter(&talk);
    int64_t now_ms = talk.now_ms;
    char line[100];
    (void)talk_say(&talk, "RETR 1");
    assert_true(buffer_append(&lines, (struct slice){"", 1}));
    assert_non_null(strstr(lines.data, "12.345 s1 * connected\n"));
    assert_non_null(strstr(lines.data, " s1 C: RETR 1\n"));
    assert_null(strstr(lines.data, "secret"));
    snprintf(line, sizeof(line),
             "%lld.%03lld s1 S: -ERR not this one, not now (fault retr-refused)\n",
             (long long)(now_ms / 1000), (long long)(now_ms % 1000));
    assert_non_null(strstr(lines.data, line));
    lines.len = 0;
    sim_server_describe(talk.server, keep_line, &lines);
    assert_true(buffer_append(&lines, (struct slice){"", 1}));
    assert_non_null(
        strstr(lines.data, "fault retr-refused (data, for answers): RETR is refused once"));
    assert_non_null(strstr(lines.data, "message 1, UIDL "));
    buffer_done(&lines);
    talk_end(&talk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quit_deletes_what_its_fault_says),
        cmocka_unit_test(rows_say_what_became_of_each_dele),
        cmocka_unit_test(a_late_quit_deletes_after_its_answer),
        cmocka_unit_test(a_slow_quit_goes_on_when_the_client_has_gone),
        cmocka_unit_test(without_quit_nothing_is_deleted),
        cmocka_unit_test(commands_before_a_cut_count_where_the_server_commits_them),
        cmocka_unit_test(what_was_read_is_hidden_where_the_server_does_so),
        cmocka_unit_test(limits_hold_for_a_session),
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
        cmocka_unit_test(a_seed_repeats_each_octet),
        cmocka_unit_test(a_fault_that_did_not_fire_can_be_switched_off_without_a_trace),
        cmocka_unit_test(each_fault_fires_and_can_be_switched_off),
        cmocka_unit_test(a_fault_fires_at_most_as_often_as_it_may),
        cmocka_unit_test(the_trace_names_each_fault_that_fires),
        cmocka_unit_test(the_trace_reads_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
