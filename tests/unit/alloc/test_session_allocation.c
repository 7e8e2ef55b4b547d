/* SPDX-License-Identifier: MIT */
/* Want of memory in a session, at every allocation in turn: it ends with FAULT_MEMORY, or goes on
 * as if a command had not been issued; never with a wrong answer. */
#include "failing.h"
#include "popfs/pop3.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* More commands than the queue has room for at first. */
enum { ANSWERS_MAX = 12, KINDS_COUNT = 8, ROUNDS_COUNT = 3, COMMANDS_COUNT = 24 };

/* What a server says: the greeting, then one text for each line of the client until it is in. */
struct login_dialogue {
    enum pop3_security security;
    enum pop3_auth auth;
    const char *answers[ANSWERS_MAX];
};

#define CAPA_OF(lines) "+OK\r\nTOP\r\nUIDL\r\nPIPELINING\r\nRESP-CODES\r\n" lines ".\r\n"

static const struct login_dialogue logins[] = {
    {POP3_SECURITY_STLS,
     POP3_AUTH_PLAIN,
     {"+OK hello\r\n", CAPA_OF("STLS\r\n"), "+OK begin\r\n", CAPA_OF("SASL PLAIN\r\nUTF8\r\n"),
      "+OK utf8\r\n", "+OK in\r\n", CAPA_OF("")}},
    {POP3_SECURITY_TLS,
     POP3_AUTH_CRAM_MD5,
     {"+OK hello\r\n", CAPA_OF("SASL CRAM-MD5\r\n"), "+ PDE4OTZAeD4=\r\n", "+OK in\r\n",
      CAPA_OF("")}},
    {POP3_SECURITY_NONE,
     POP3_AUTH_LOGIN,
     {"+OK hello\r\n", CAPA_OF("SASL LOGIN\r\n"), "+ VXNlcm5hbWU6\r\n", "+ UGFzc3dvcmQ6\r\n",
      "+OK in\r\n", CAPA_OF("")}},
    {POP3_SECURITY_NONE,
     POP3_AUTH_APOP,
     {"+OK hello <1896.697170952@example.org>\r\n", CAPA_OF("USER\r\n"), "+OK in\r\n",
      CAPA_OF("")}},
    {POP3_SECURITY_TLS,
     POP3_AUTH_USER,
     {"+OK hello\r\n", CAPA_OF("USER\r\n"), "+OK\r\n", "+OK in\r\n", CAPA_OF("")}},
};

/* What it says to a round of the commands. */
static const char answers[] = "+OK 2 300\r\n"
                              "+OK\r\n1 first\r\n2 second\r\n.\r\n"
                              "+OK\r\n1 100\r\n2 200\r\n.\r\n"
                              "+OK\r\n..body\r\n\r\nmore\r\n.\r\n"
                              "+OK\r\nSubject: x\r\n\r\n.\r\n"
                              "-ERR [IN-USE] no\r\n"
                              "+OK\r\n"
                              "+OK\r\n";

static const enum pop3_command commands[KINDS_COUNT] = {
    POP3_STAT, POP3_UIDL, POP3_LIST, POP3_RETR, POP3_TOP, POP3_DELE, POP3_RSET, POP3_NOOP,
};

static const struct login_dialogue *login;

struct run {
    struct pop3_session *session;
    bool logged_in;
    bool failed;
    size_t answered_count;
    size_t octets;
    size_t lines_due; /* lines of the client that wait for an answer */
};

static void note_event(struct run *run, const struct pop3_event *event)
{
    assert_false(run->failed);
    switch (event->type) {
    case POP3_EVENT_FAILED:
        assert_int_equal(event->fault, FAULT_MEMORY);
        assert_string_equal(event->text.data, "out of memory");
        run->failed = true;
        break;
    case POP3_EVENT_LOGGED_IN:
        run->logged_in = true;
        break;
    case POP3_EVENT_SECURE:
        pop3_session_secured(run->session);
        break;
    case POP3_EVENT_STATUS:
        assert_int_equal(event->command, commands[run->answered_count % KINDS_COUNT]);
        assert_int_equal(event->ok, event->command != POP3_DELE);
        if (!event->ok || event->command == POP3_STAT || event->command > POP3_TOP)
            run->answered_count++;
        break;
    case POP3_EVENT_END:
        run->answered_count++;
        break;
    case POP3_EVENT_ROW:
    case POP3_EVENT_DATA:
        run->octets += event->text.len;
        break;
    case POP3_EVENT_BAD_ROW:
        fail_msg("no row here is bad");
        break;
    case POP3_EVENT_TRACE:
    case POP3_EVENT_NONE:
        break;
    }
}

static void send_all(struct run *run)
{
    struct slice output;
    while ((output = pop3_session_output(run->session)).len > 0) {
        for (size_t i = 0; i < output.len; i++)
            run->lines_due += output.data[i] == '\n';
        pop3_session_sent(run->session, output.len);
    }
}

/* In pieces, so that lines are kept from one to the next. */
static void feed(struct run *run, const char *text)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len; at += 5) {
        struct pop3_event event;
        pop3_session_feed(run->session, (struct slice){text + at, len - at < 5 ? len - at : 5});
        while (pop3_session_next_event(run->session, &event) != POP3_EVENT_NONE)
            note_event(run, &event);
    }
    send_all(run);
}

static void log_in(struct run *run)
{
    feed(run, login->answers[0]);
    for (size_t i = 1; i < ANSWERS_MAX && login->answers[i] != NULL && !run->failed; i++) {
        assert_int_equal(run->lines_due, 1);
        run->lines_due = 0;
        feed(run, login->answers[i]);
    }
    assert_int_equal(run->logged_in, !run->failed);
}

/* A command that could not be issued has not been: it is just issued again. */
static bool issue_all(struct run *run)
{
    bool had_all = true;
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        struct pop3_request request = {
            .command = commands[i % KINDS_COUNT], .msgnum = 1, .lines = 9};
        enum fault fault = pop3_session_issue(run->session, &request);
        if (fault != FAULT_NONE) {
            assert_int_equal(fault, FAULT_MEMORY);
            assert_int_equal(pop3_session_outstanding_count(run->session), i);
            had_all = false;
            failing_pause();
            assert_int_equal(pop3_session_issue(run->session, &request), FAULT_NONE);
            failing_go_on();
        }
    }
    send_all(run);
    assert_int_equal(run->lines_due, COMMANDS_COUNT);
    return had_all;
}

static bool run_session(void)
{
    const struct pop3_options options = {
        .security = login->security,
        .auth = login->auth,
        .host = "pop.example.org",
        .user = "alice",
        .password = "0pen-sesame",
        .pipeline = true,
        .trace = true,
    };
    struct run run = {.session = pop3_session_new(&options)};
    if (run.session == NULL)
        return false;
    bool had_all = true;
    log_in(&run);
    if (!run.failed) {
        had_all = issue_all(&run);
        for (size_t i = 0; i < ROUNDS_COUNT; i++)
            feed(&run, answers);
    }
    if (!run.failed) {
        assert_int_equal(run.answered_count, COMMANDS_COUNT);
        assert_int_equal(run.octets, ROUNDS_COUNT * strlen("firstsecond.body\r\n\r\nmore\r\n"
                                                           "Subject: x\r\n\r\n"));
    } else {
        assert_int_equal(pop3_session_state(run.session), POP3_STATE_CLOSED);
        assert_int_equal(pop3_session_output(run.session).len, 0);
    }
    pop3_session_free(run.session);
    return had_all && !run.failed;
}

static void a_session_ends_with_memory_or_goes_on(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        login = &logins[i];
        fail_each_allocation(run_session);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_ends_with_memory_or_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
