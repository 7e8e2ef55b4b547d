/* SPDX-License-Identifier: MIT */
/* What the model server deletes, by whose wish, and what it says about it. */
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
