/* SPDX-License-Identifier: MIT */
/* What a transcript cannot say: how the session is driven, bounds, secrets, and injected bytes that
 * depend on the cut. */
#include "popfs/pop3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pop3_session *session_of(enum pop3_security security, const char *password)
{
    const struct pop3_options options = {
        .security = security,
        .auth = POP3_AUTH_USER,
        .host = "pop.example.org",
        .user = "alice",
        .password = password,
        .pipeline = true,
    };
    struct pop3_session *session = pop3_session_new(&options);
    assert_non_null(session);
    return session;
}

static void send_all(struct pop3_session *session)
{
    struct slice output;
    while ((output = pop3_session_output(session)).len > 0)
        pop3_session_sent(session, output.len);
}

/* Feeds, and gives the first event; the others must come by next(). */
static struct pop3_event after(struct pop3_session *session, const char *text)
{
    struct pop3_event event;
    pop3_session_feed(session, slice_from_string(text));
    pop3_session_next_event(session, &event);
    return event;
}

static struct pop3_event next(struct pop3_session *session)
{
    struct pop3_event event;
    pop3_session_next_event(session, &event);
    return event;
}

static struct pop3_session *logged_in(bool pipelining)
{
    static const char *const answers[] = {"+OK\r\n", "-ERR\r\n", "+OK\r\n", "+OK\r\n"};
    struct pop3_session *session = session_of(POP3_SECURITY_TLS, "secret");
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(after(session, answers[i]).type, POP3_EVENT_NONE);
        send_all(session);
    }
    struct pop3_event event =
        after(session, pipelining ? "+OK\r\nPIPELINING\r\n.\r\n" : "+OK\r\n.\r\n");
    assert_int_equal(event.type, POP3_EVENT_LOGGED_IN);
    assert_int_equal(next(session).type, POP3_EVENT_NONE);
    return session;
}

static enum fault issue(struct pop3_session *session, enum pop3_command command, uint32_t msgnum)
{
    const struct pop3_request request = {.command = command, .msgnum = msgnum};
    return pop3_session_issue(session, &request);
}

static void assert_failed(struct pop3_session *session, struct pop3_event event, enum fault fault)
{
    assert_int_equal(event.type, POP3_EVENT_FAILED);
    assert_int_equal(event.fault, fault);
    assert_int_equal(pop3_session_state(session), POP3_STATE_CLOSED);
    assert_int_equal(pop3_session_output(session).len, 0);
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_NONE);
    pop3_session_free(session);
}

/* ---- STLS ---- */

static struct pop3_session *before_stls_answer(void)
{
    struct pop3_session *session = session_of(POP3_SECURITY_STLS, "secret");
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_NONE);
    send_all(session);
    assert_int_equal(after(session, "+OK\r\nSTLS\r\nUSER\r\n.\r\n").type, POP3_EVENT_NONE);
    send_all(session);
    return session;
}

static void more_than_one_line_after_stls_is_an_attack(void **state)
{
    static const char *const answers[] = {
        "+OK\r\n+OK\r\n",
        "+OK\r\n+",
        "+OK\r\n\n",
        "+OK\r\n\x16\x03\x01",
    };
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct pop3_session *session = before_stls_answer();
        assert_failed(session, after(session, answers[i]), FAULT_UNTRUSTED);
    }
}

static void bytes_between_stls_and_the_handshake_are_an_attack(void **state)
{
    struct pop3_session *session = before_stls_answer();
    (void)state;
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_SECURE);
    assert_int_equal(next(session).type, POP3_EVENT_NONE);
    assert_int_equal(pop3_session_output(session).len, 0);
    assert_failed(session, after(session, "+"), FAULT_UNTRUSTED);
}

static void an_answer_to_stls_that_came_before_it_was_sent_is_an_attack(void **state)
{
    struct pop3_session *session = session_of(POP3_SECURITY_STLS, "secret");
    (void)state;
    after(session, "+OK\r\n");
    send_all(session);
    assert_failed(session, after(session, "+OK\r\nSTLS\r\n.\r\n+OK begin\r\n"), FAULT_UNTRUSTED);
}

static void nothing_is_said_between_stls_and_the_handshake(void **state)
{
    struct pop3_session *session = before_stls_answer();
    (void)state;
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_SECURE);
    assert_int_equal(next(session).type, POP3_EVENT_NONE);
    assert_int_equal(pop3_session_output(session).len, 0);
    pop3_session_secured(session);
    assert_true(slice_equal(pop3_session_output(session), SLICE_LITERAL("CAPA\r\n")));
    assert_false(pop3_session_capabilities(session)->user);
    pop3_session_free(session);
}

static void secured_without_being_asked_for_changes_nothing(void **state)
{
    struct pop3_session *session = before_stls_answer();
    (void)state;
    pop3_session_secured(session);
    assert_failed(session, after(session, "-ERR\r\n"), FAULT_UNTRUSTED);
}

/* ---- secrets ---- */

static void line_ends_in_a_password_are_refused_before_the_greeting(void **state)
{
    static const char *const passwords[] = {"a\rb", "a\nb", "secret\r\nDELE 1", "\n"};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct pop3_session *session = session_of(POP3_SECURITY_TLS, passwords[i]);
        assert_failed(session, next(session), FAULT_LOGIN);
    }
}

static void a_sent_password_is_wiped(void **state)
{
    struct pop3_session *session = session_of(POP3_SECURITY_TLS, "very-secret");
    (void)state;
    after(session, "+OK\r\n");
    send_all(session);
    after(session, "-ERR\r\n");
    send_all(session);
    after(session, "+OK\r\n");
    struct slice output = pop3_session_output(session);
    assert_true(slice_equal(output, SLICE_LITERAL("PASS very-secret\r\n")));
    pop3_session_sent(session, 9);
    struct slice rest = pop3_session_output(session);
    assert_true(slice_equal(rest, SLICE_LITERAL("-secret\r\n")));
    pop3_session_sent(session, rest.len);
    for (size_t i = 0; i < output.len; i++)
        assert_int_equal(output.data[i], 0);
    pop3_session_free(session);
}

static void passwords_of_any_other_octet_pass(void **state)
{
    struct pop3_session *session = session_of(POP3_SECURITY_TLS, " p%s\tä\x01 ");
    (void)state;
    after(session, "+OK\r\n");
    send_all(session);
    after(session, "-ERR\r\n");
    send_all(session);
    after(session, "+OK\r\n");
    assert_true(slice_equal(pop3_session_output(session), SLICE_LITERAL("PASS  p%s\tä\x01 \r\n")));
    pop3_session_free(session);
}

/* ---- issuing ---- */

static void commands_go_one_by_one_without_pipelining(void **state)
{
    struct pop3_session *session = logged_in(false);
    (void)state;
    assert_true(pop3_session_may_issue(session));
    assert_int_equal(issue(session, POP3_NOOP, 0), FAULT_NONE);
    assert_false(pop3_session_may_issue(session));
    assert_int_equal(issue(session, POP3_NOOP, 0), FAULT_REFUSED);
    assert_true(slice_equal(pop3_session_output(session), SLICE_LITERAL("NOOP\r\n")));
    send_all(session);
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_STATUS);
    assert_true(pop3_session_may_issue(session));
    pop3_session_free(session);
}

static void pipelining_offered_only_before_login_is_not_used(void **state)
{
    static const char *const answers[] = {"+OK\r\n", "+OK\r\nUSER\r\nTOP\r\nPIPELINING\r\n.\r\n",
                                          "+OK\r\n", "+OK\r\n"};
    struct pop3_session *session = session_of(POP3_SECURITY_TLS, "secret");
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(after(session, answers[i]).type, POP3_EVENT_NONE);
        send_all(session);
    }
    assert_int_equal(after(session, "-ERR\r\n").type, POP3_EVENT_LOGGED_IN);
    assert_true(pop3_session_capabilities(session)->top);
    assert_int_equal(issue(session, POP3_NOOP, 0), FAULT_NONE);
    assert_false(pop3_session_may_issue(session));
    pop3_session_free(session);
}

/* The CAPA is on its way, and so may be whatever it was known to allow. */
static struct pop3_session *entered(void)
{
    static const char *const answers[] = {"+OK\r\n", "+OK\r\nUSER\r\n.\r\n", "+OK\r\n"};
    struct pop3_session *session = session_of(POP3_SECURITY_TLS, "secret");
    pop3_session_assume_pipelining(session);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(after(session, answers[i]).type, POP3_EVENT_NONE);
        send_all(session);
    }
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_LOGGED_IN);
    assert_int_equal(next(session).type, POP3_EVENT_NONE);
    assert_int_equal(issue(session, POP3_STAT, 0), FAULT_NONE);
    assert_int_equal(issue(session, POP3_UIDL, 0), FAULT_NONE);
    assert_true(
        slice_equal(pop3_session_output(session), SLICE_LITERAL("CAPA\r\nSTAT\r\nUIDL\r\n")));
    send_all(session);
    return session;
}

static void what_is_known_of_the_last_capa_is_not_waited_for(void **state)
{
    struct pop3_session *session = entered();
    (void)state;
    struct pop3_event event = after(
        session, "+OK\r\nUIDL\r\nTOP\r\nLOGIN-DELAY 9\r\n.\r\n+OK 3 4\r\n+OK\r\n1 a\r\n.\r\n");
    assert_int_equal(event.command, POP3_STAT);
    assert_int_equal(event.count, 3);
    assert_int_equal(pop3_session_capabilities(session)->login_delay_s, 9);
    assert_false(pop3_session_capabilities(session)->pipelining);
    assert_int_equal(next(session).type, POP3_EVENT_STATUS);
    assert_int_equal(next(session).msgnum, 1);
    assert_int_equal(next(session).type, POP3_EVENT_END);
    assert_int_equal(next(session).type, POP3_EVENT_NONE);
    assert_int_equal(issue(session, POP3_NOOP, 0), FAULT_NONE);
    assert_false(pop3_session_may_issue(session));
    pop3_session_free(session);
}

/* ---- a login that is begun together with CAPA ---- */

static struct pop3_session *expecting(enum pop3_security security, enum pop3_auth auth)
{
    const struct pop3_options options = {
        .security = security, .user = "alice", .password = "secret", .pipeline = true};
    struct pop3_session *session = pop3_session_new(&options);
    assert_non_null(session);
    pop3_session_expect_auth(session, auth);
    return session;
}

static void assert_says(struct pop3_session *session, const char *line)
{
    assert_true(slice_equal(pop3_session_output(session), slice_from_string(line)));
    send_all(session);
}

static void what_the_last_session_chose_goes_out_with_capa(void **state)
{
    struct pop3_session *session = expecting(POP3_SECURITY_TLS, POP3_AUTH_USER);
    (void)state;
    assert_int_equal(pop3_session_anticipation(session), POP3_ANTICIPATION_NONE);
    assert_int_equal(after(session, "+OK <a@b>\r\n").type, POP3_EVENT_NONE);
    assert_says(session, "CAPA\r\nUSER alice\r\n");
    assert_int_equal(pop3_session_anticipation(session), POP3_ANTICIPATION_OPEN);
    assert_int_equal(after(session, "+OK\r\nUSER\r\nPIPELINING\r\n.\r\n").type, POP3_EVENT_NONE);
    assert_int_equal(pop3_session_output(session).len, 0);
    assert_int_equal(pop3_session_anticipation(session), POP3_ANTICIPATION_RIGHT);
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_NONE);
    assert_says(session, "PASS secret\r\n");
    assert_int_equal(pop3_session_anticipation(session), POP3_ANTICIPATION_PROVEN);
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_NONE);
    send_all(session);
    assert_int_equal(after(session, "+OK\r\nUIDL\r\n.\r\n").type, POP3_EVENT_LOGGED_IN);
    assert_int_equal(pop3_session_repeatable_auth(session), POP3_AUTH_USER);
    pop3_session_free(session);
}

static void every_answer_comes_at_once_and_each_finds_its_command(void **state)
{
    struct pop3_session *session = expecting(POP3_SECURITY_TLS, POP3_AUTH_PLAIN);
    (void)state;
    after(session, "+OK\r\n");
    assert_says(session, "CAPA\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n");
    after(session, "+OK\r\nSASL PLAIN\r\n.\r\n+OK\r\n");
    assert_says(session, "CAPA\r\n");
    assert_int_equal(after(session, "+OK\r\nUIDL\r\n.\r\n").type, POP3_EVENT_LOGGED_IN);
    assert_string_equal(pop3_session_mechanism(session), "PLAIN");
    /* PIPELINING is not offered any more. */
    assert_int_equal(pop3_session_repeatable_auth(session), POP3_AUTH_AUTO);
    pop3_session_free(session);
}

static void a_capa_that_would_lead_to_another_login_ends_the_session(void **state)
{
    static const char *const answers[] = {
        "+OK\r\nUSER\r\nSASL PLAIN SCRAM-SHA-256\r\nPIPELINING\r\n.\r\n",
        "+OK\r\nUSER\r\nPIPELINING\r\n.\r\n",
        "+OK\r\nSASL PLAIN\r\nPIPELINING\r\nUTF8\r\n.\r\n",
        "+OK\r\n.\r\n",
        "-ERR what?\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct pop3_session *session = expecting(POP3_SECURITY_TLS, POP3_AUTH_PLAIN);
        after(session, "+OK\r\n");
        send_all(session);
        struct pop3_event event = after(session, answers[i]);
        assert_int_equal(pop3_session_anticipation(session), POP3_ANTICIPATION_WRONG);
        assert_failed(session, event, FAULT_OFFLINE);
    }
}

static void a_server_that_will_not_talk_is_heard_in_the_place_of_capa(void **state)
{
    struct pop3_session *session = expecting(POP3_SECURITY_TLS, POP3_AUTH_USER);
    (void)state;
    after(session, "+OK\r\n");
    send_all(session);
    assert_failed(session, after(session, "-ERR [SYS/TEMP] later\r\n"), FAULT_BUSY);
}

static void a_refusal_is_one_when_capa_agreed(void **state)
{
    struct pop3_session *session = expecting(POP3_SECURITY_TLS, POP3_AUTH_PLAIN);
    (void)state;
    after(session, "+OK\r\n");
    send_all(session);
    struct pop3_event event = after(session, "+OK\r\nSASL PLAIN\r\n.\r\n-ERR [AUTH] no\r\n");
    assert_int_equal(pop3_session_anticipation(session), POP3_ANTICIPATION_RIGHT);
    assert_failed(session, event, FAULT_LOGIN);
}

static void nothing_is_anticipated_before_tls_or_without_what_it_needs(void **state)
{
    static const enum pop3_auth needy[] = {POP3_AUTH_AUTO, POP3_AUTH_APOP,
                                           POP3_AUTH_SCRAM_SHA_256_PLUS};
    struct pop3_session *session = expecting(POP3_SECURITY_STLS, POP3_AUTH_USER);
    (void)state;
    after(session, "+OK\r\n");
    assert_says(session, "CAPA\r\n");
    after(session, "+OK\r\nSTLS\r\nUSER\r\n.\r\n");
    assert_says(session, "STLS\r\n");
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_SECURE);
    assert_int_equal(next(session).type, POP3_EVENT_NONE);
    pop3_session_secured(session);
    assert_says(session, "CAPA\r\nUSER alice\r\n");
    pop3_session_free(session);
    for (size_t i = 0; i < sizeof(needy) / sizeof(needy[0]); i++) {
        session = expecting(POP3_SECURITY_TLS, needy[i]);
        after(session, "+OK without a stamp\r\n");
        assert_says(session, "CAPA\r\n");
        pop3_session_free(session);
    }
    /* In clear it is not for us to say a password as it is. */
    session = expecting(POP3_SECURITY_NONE, POP3_AUTH_PLAIN);
    after(session, "+OK\r\n");
    assert_says(session, "CAPA\r\n");
    pop3_session_free(session);
    /* Another than the user asks for. */
    session = session_of(POP3_SECURITY_TLS, "secret");
    pop3_session_expect_auth(session, POP3_AUTH_PLAIN);
    after(session, "+OK\r\n");
    assert_says(session, "CAPA\r\n");
    pop3_session_free(session);
}

static void only_a_login_next_to_a_capa_with_pipelining_is_repeatable(void **state)
{
    static const struct {
        const char *capa;
        enum pop3_auth repeatable;
    } cases[] = {
        {"+OK\r\nUSER\r\nPIPELINING\r\n.\r\n", POP3_AUTH_USER},
        {"+OK\r\nUSER\r\n.\r\n", POP3_AUTH_AUTO},
        {"+OK\r\nUSER\r\nPIPELINING\r\nUTF8\r\n.\r\n", POP3_AUTH_AUTO},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pop3_session *session = session_of(POP3_SECURITY_TLS, "secret");
        after(session, "+OK\r\n");
        send_all(session);
        after(session, cases[i].capa);
        for (int line = 0; line < 4 && pop3_session_output(session).len > 0; line++) {
            bool last = slice_equal(pop3_session_output(session), SLICE_LITERAL("CAPA\r\n"));
            send_all(session);
            after(session, last ? "+OK\r\n.\r\n" : "+OK\r\n");
        }
        assert_int_equal(pop3_session_state(session), POP3_STATE_TRANSACTION);
        assert_int_equal(pop3_session_repeatable_auth(session), cases[i].repeatable);
        pop3_session_free(session);
    }
}

static void a_last_capa_is_heard_also_behind_quit(void **state)
{
    struct pop3_session *session = entered();
    (void)state;
    assert_int_equal(issue(session, POP3_QUIT, 0), FAULT_NONE);
    send_all(session);
    assert_int_equal(after(session, "+OK\r\nTOP\r\n.\r\n+OK 3 4\r\n").command, POP3_STAT);
    assert_int_equal(pop3_session_state(session), POP3_STATE_UPDATE);
    pop3_session_free(session);
}

static void a_last_capa_that_is_refused_allows_no_more_pipelining(void **state)
{
    struct pop3_session *session = entered();
    (void)state;
    assert_int_equal(after(session, "-ERR what?\r\n+OK 3 4\r\n").command, POP3_STAT);
    assert_false(pop3_session_may_issue(session));
    assert_false(pop3_session_capabilities(session)->uidl);
    pop3_session_free(session);
    session = entered();
    assert_failed(session, after(session, "-ERR [SYS/TEMP] no mail today\r\n"), FAULT_BUSY);
}

static void quit_waits_where_nothing_is_pipelined_and_nothing_follows_it(void **state)
{
    (void)state;
    for (int pipelining = 0; pipelining < 2; pipelining++) {
        struct pop3_session *session = logged_in(pipelining);
        assert_int_equal(issue(session, POP3_DELE, 1), FAULT_NONE);
        if (!pipelining) {
            assert_int_equal(issue(session, POP3_QUIT, 0), FAULT_REFUSED);
            send_all(session);
            assert_int_equal(after(session, "+OK\r\n").command, POP3_DELE);
        }
        assert_int_equal(issue(session, POP3_QUIT, 0), FAULT_NONE);
        assert_int_equal(pop3_session_state(session), POP3_STATE_UPDATE);
        assert_int_equal(issue(session, POP3_NOOP, 0), FAULT_REFUSED);
        send_all(session);
        if (pipelining)
            assert_int_equal(after(session, "-ERR\r\n").command, POP3_DELE);
        assert_int_equal(next(session).type, POP3_EVENT_NONE);
        assert_int_equal(after(session, "+OK\r\n").command, POP3_QUIT);
        assert_int_equal(pop3_session_state(session), POP3_STATE_CLOSED);
        pop3_session_free(session);
    }
}

static void what_a_caller_may_not_say_is_refused(void **state)
{
    struct pop3_session *session = logged_in(true);
    (void)state;
    assert_int_equal(issue(session, POP3_RETR, 0), FAULT_REFUSED);
    assert_int_equal(issue(session, POP3_DELE, 2147483648U), FAULT_REFUSED);
    assert_int_equal(issue(session, POP3_PASS, 1), FAULT_REFUSED);
    assert_int_equal(issue(session, POP3_GREETING, 1), FAULT_REFUSED);
    assert_int_equal(pop3_session_output(session).len, 0);
    assert_int_equal(pop3_session_outstanding_count(session), 0);
    pop3_session_free(session);
}

static void output_comes_in_whole_commands_of_bounded_size(void **state)
{
    enum { COUNT = 10000 };
    struct pop3_session *session = logged_in(true);
    size_t lines = 0;
    (void)state;
    for (uint32_t i = 1; i <= COUNT; i++)
        assert_int_equal(issue(session, POP3_RETR, i), FAULT_NONE);
    assert_int_equal(pop3_session_outstanding_count(session), COUNT);
    struct slice output;
    while ((output = pop3_session_output(session)).len > 0) {
        assert_true(output.len <= POP3_OUTPUT_OCTETS_MAX);
        assert_int_equal(output.data[output.len - 1], '\n');
        for (size_t i = 0; i < output.len; i++)
            lines += output.data[i] == '\n';
        pop3_session_sent(session, output.len);
    }
    assert_int_equal(lines, COUNT);
    pop3_session_free(session);
}

static void answers_carry_the_tag_of_their_command(void **state)
{
    struct pop3_session *session = logged_in(true);
    int tags[40];
    (void)state;
    for (uint32_t i = 0; i < 40; i++) {
        const struct pop3_request request = {
            .command = i % 2 == 0 ? POP3_DELE : POP3_RETR, .msgnum = i + 1, .tag = &tags[i]};
        assert_int_equal(pop3_session_issue(session, &request), FAULT_NONE);
    }
    send_all(session);
    for (int i = 0; i < 40; i += 2) {
        struct pop3_event event =
            after(session, i % 4 == 0 ? "-ERR\r\n+OK\r\nx\r\n.\r\n" : "+OK\r\n+OK\r\nx\r\n.\r\n");
        assert_ptr_equal(event.tag, &tags[i]);
        assert_int_equal(event.ok, i % 4 != 0);
        for (int k = 0; k < 3; k++)
            assert_ptr_equal(next(session).tag, &tags[i + 1]);
        assert_int_equal(next(session).type, POP3_EVENT_NONE);
    }
    assert_int_equal(pop3_session_outstanding_count(session), 0);
    pop3_session_free(session);
}

static void an_answer_that_came_before_its_command_was_sent_is_none(void **state)
{
    struct pop3_session *session = logged_in(true);
    (void)state;
    assert_int_equal(issue(session, POP3_RETR, 1), FAULT_NONE);
    assert_failed(session, after(session, "+OK\r\n"), FAULT_GARBLED);
}

static void what_was_fed_before_a_command_is_not_its_answer(void **state)
{
    struct pop3_session *session = logged_in(true);
    (void)state;
    assert_int_equal(issue(session, POP3_NOOP, 0), FAULT_NONE);
    send_all(session);
    assert_int_equal(after(session, "+OK\r\n+OK\r\n").type, POP3_EVENT_STATUS);
    assert_int_equal(issue(session, POP3_DELE, 1), FAULT_NONE);
    send_all(session);
    assert_failed(session, next(session), FAULT_GARBLED);
}

/* ---- bounds ---- */

static void a_listing_of_more_than_a_million_rows_is_an_error(void **state)
{
    struct pop3_session *session = logged_in(true);
    struct pop3_event event = {0};
    (void)state;
    issue(session, POP3_LIST, 0);
    send_all(session);
    assert_int_equal(after(session, "+OK\r\n").type, POP3_EVENT_STATUS);
    for (uint32_t i = 1; i <= POP3_LISTING_ROWS_MAX; i++) {
        char row[32];
        snprintf(row, sizeof(row), "%u 5\r\n", i);
        event = after(session, row);
        if (event.type != POP3_EVENT_ROW || event.msgnum != i)
            fail_msg("row %u", i);
        next(session);
    }
    assert_failed(session, after(session, "1000001 5\r\n"), FAULT_GARBLED);
}

/* A server that does not stuff dots. */
static void a_message_does_not_end_before_octets_that_answer_nothing(void **state)
{
    static const char *const rests[] = {"B", "B\r\n.\r\n", "+OK\r\n", "-ERR\r\n", "\r\n", "."};
    static const enum pop3_command commands[] = {POP3_RETR, POP3_TOP};
    (void)state;
    for (size_t i = 0; i < 12; i++) {
        struct pop3_session *session = logged_in(i % 2 == 0);
        char text[40];
        assert_int_equal(issue(session, commands[i / 6], 1), FAULT_NONE);
        send_all(session);
        snprintf(text, sizeof(text), "+OK\r\nA\r\n.\r\n%s", rests[i % 6]);
        assert_int_equal(after(session, text).type, POP3_EVENT_STATUS);
        assert_int_equal(next(session).type, POP3_EVENT_DATA);
        assert_failed(session, next(session), FAULT_GARBLED);
    }
}

static void octets_behind_a_message_that_answer_the_next_command_do_no_harm(void **state)
{
    struct pop3_session *session = logged_in(true);
    (void)state;
    assert_int_equal(issue(session, POP3_RETR, 7), FAULT_NONE);
    assert_int_equal(issue(session, POP3_UIDL_ONE, 7), FAULT_NONE);
    assert_true(slice_equal(pop3_session_output(session), SLICE_LITERAL("RETR 7\r\nUIDL 7\r\n")));
    send_all(session);
    assert_int_equal(after(session, "+OK\r\nA\r\n.\r\n+OK 7 abc\r\n").type, POP3_EVENT_STATUS);
    assert_int_equal(next(session).type, POP3_EVENT_DATA);
    assert_int_equal(next(session).type, POP3_EVENT_END);
    struct pop3_event event = next(session);
    assert_int_equal(event.type, POP3_EVENT_STATUS);
    assert_int_equal(event.command, POP3_UIDL_ONE);
    assert_true(event.ok);
    assert_true(slice_equal(event.text, SLICE_LITERAL("7 abc")));
    assert_int_equal(pop3_session_outstanding_count(session), 0);
    pop3_session_free(session);
}

static void a_line_of_ten_mebibytes_inside_a_mail_is_data(void **state)
{
    enum { PIECE = 65536, PIECES = 160 };
    static char piece[PIECE];
    struct pop3_session *session = logged_in(true);
    size_t octets = 0;
    (void)state;
    memset(piece, '.', sizeof(piece));
    issue(session, POP3_RETR, 1);
    send_all(session);
    assert_int_equal(after(session, "+OK\r\nx").type, POP3_EVENT_STATUS);
    assert_int_equal(next(session).type, POP3_EVENT_DATA);
    assert_int_equal(next(session).type, POP3_EVENT_NONE);
    for (int i = 0; i < PIECES; i++) {
        pop3_session_feed(session, (struct slice){piece, sizeof(piece)});
        struct pop3_event event = next(session);
        assert_int_equal(event.type, POP3_EVENT_DATA);
        assert_ptr_equal(event.text.data, piece);
        octets += event.text.len;
        assert_int_equal(next(session).type, POP3_EVENT_NONE);
    }
    assert_int_equal(octets, (size_t)PIECE * PIECES);
    assert_int_equal(after(session, "\r\n.\r\n").type, POP3_EVENT_DATA);
    assert_int_equal(next(session).type, POP3_EVENT_END);
    pop3_session_free(session);
}

static void feeding_before_all_is_used_up_is_an_error_not_a_loss(void **state)
{
    struct pop3_session *session = logged_in(true);
    (void)state;
    issue(session, POP3_RETR, 1);
    send_all(session);
    assert_int_equal(after(session, "+OK\r\nx\r\n.\r\n").type, POP3_EVENT_STATUS);
    assert_failed(session, after(session, "more"), FAULT_GARBLED);
}

static void states_and_commands_have_names(void **state)
{
    struct pop3_session *session = session_of(POP3_SECURITY_TLS, "secret");
    (void)state;
    assert_string_equal(pop3_state_name(pop3_session_state(session)), "greeting");
    assert_string_equal(pop3_session_mechanism(session), "");
    after(session, "+OK\r\n");
    assert_string_equal(pop3_state_name(pop3_session_state(session)), "authorization");
    assert_string_equal(pop3_state_name(POP3_STATE_TRANSACTION), "transaction");
    assert_string_equal(pop3_state_name(POP3_STATE_UPDATE), "update");
    assert_string_equal(pop3_state_name(POP3_STATE_CLOSED), "closed");
    for (enum pop3_command command = POP3_GREETING; command <= POP3_QUIT; command++)
        assert_true(strlen(pop3_command_name(command)) >= 3);
    pop3_session_free(session);
}

/* Looking for secrets costs: a million bad rows, of which five are logged, took an hour. */
static void only_what_is_shown_is_looked_through_for_secrets(void **state)
{
    char out[40];
    (void)state;
    struct pop3_session *session = logged_in(true);
    assert_int_equal(issue(session, POP3_UIDL, 0), FAULT_NONE);
    send_all(session);
    struct pop3_event event = after(session, "+OK secret\r\nsecret\r\n.\r\n");
    assert_int_equal(event.type, POP3_EVENT_STATUS);
    assert_true(slice_equal(event.text, SLICE_LITERAL("secret")));
    event = next(session);
    assert_int_equal(event.type, POP3_EVENT_BAD_ROW);
    assert_true(slice_equal(event.text, SLICE_LITERAL("secret")));
    assert_string_equal(pop3_session_show(session, event.text, out, sizeof(out)), "***");
    pop3_session_free(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_than_one_line_after_stls_is_an_attack),
        cmocka_unit_test(bytes_between_stls_and_the_handshake_are_an_attack),
        cmocka_unit_test(an_answer_to_stls_that_came_before_it_was_sent_is_an_attack),
        cmocka_unit_test(nothing_is_said_between_stls_and_the_handshake),
        cmocka_unit_test(secured_without_being_asked_for_changes_nothing),
        cmocka_unit_test(line_ends_in_a_password_are_refused_before_the_greeting),
        cmocka_unit_test(a_sent_password_is_wiped),
        cmocka_unit_test(passwords_of_any_other_octet_pass),
        cmocka_unit_test(commands_go_one_by_one_without_pipelining),
        cmocka_unit_test(pipelining_offered_only_before_login_is_not_used),
        cmocka_unit_test(what_is_known_of_the_last_capa_is_not_waited_for),
        cmocka_unit_test(what_the_last_session_chose_goes_out_with_capa),
        cmocka_unit_test(every_answer_comes_at_once_and_each_finds_its_command),
        cmocka_unit_test(a_capa_that_would_lead_to_another_login_ends_the_session),
        cmocka_unit_test(a_server_that_will_not_talk_is_heard_in_the_place_of_capa),
        cmocka_unit_test(a_refusal_is_one_when_capa_agreed),
        cmocka_unit_test(nothing_is_anticipated_before_tls_or_without_what_it_needs),
        cmocka_unit_test(only_a_login_next_to_a_capa_with_pipelining_is_repeatable),
        cmocka_unit_test(a_last_capa_is_heard_also_behind_quit),
        cmocka_unit_test(a_last_capa_that_is_refused_allows_no_more_pipelining),
        cmocka_unit_test(quit_waits_where_nothing_is_pipelined_and_nothing_follows_it),
        cmocka_unit_test(what_a_caller_may_not_say_is_refused),
        cmocka_unit_test(output_comes_in_whole_commands_of_bounded_size),
        cmocka_unit_test(answers_carry_the_tag_of_their_command),
        cmocka_unit_test(an_answer_that_came_before_its_command_was_sent_is_none),
        cmocka_unit_test(what_was_fed_before_a_command_is_not_its_answer),
        cmocka_unit_test(a_listing_of_more_than_a_million_rows_is_an_error),
        cmocka_unit_test(a_line_of_ten_mebibytes_inside_a_mail_is_data),
        cmocka_unit_test(a_message_does_not_end_before_octets_that_answer_nothing),
        cmocka_unit_test(octets_behind_a_message_that_answer_the_next_command_do_no_harm),
        cmocka_unit_test(feeding_before_all_is_used_up_is_an_error_not_a_loss),
        cmocka_unit_test(only_what_is_shown_is_looked_through_for_secrets),
        cmocka_unit_test(states_and_commands_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
