/* SPDX-License-Identifier: MIT */
/* What is said before a refusal. */
#include "advice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const struct advice_facts *facts, enum fault fault, const char *text)
{
    struct failure failure;
    failure_set(&failure, fault, "the server refused the login: no");
    advice_add(facts, &failure);
    assert_string_equal(failure.text, text);
}

static void a_refused_password_names_mechanism_user_source_and_what_to_try(void **state)
{
    (void)state;
    struct advice_facts facts = {.refused = "SCRAM-SHA-256",
                                 .other_auth = "plain",
                                 .user = "alice",
                                 .password_source = "passfile=/etc/p"};
    expect(&facts, FAULT_LOGIN,
           "login by SCRAM-SHA-256 as alice with the password from passfile=/etc/p (if that is "
           "right, try auth=plain): the server refused the login: no");
    facts.other_auth = NULL;
    expect(&facts, FAULT_LOGIN,
           "login by SCRAM-SHA-256 as alice with the password from passfile=/etc/p (are both "
           "right?): the server refused the login: no");
    facts.code = POP3_CODE_SYS_PERM;
    expect(&facts, FAULT_LOGIN,
           "login by SCRAM-SHA-256 as alice with the password from passfile=/etc/p (ask those who "
           "run the server): the server refused the login: no");
}

static void a_refused_token_may_have_expired(void **state)
{
    (void)state;
    const struct advice_facts facts = {
        .refused = "XOAUTH2", .user = "alice", .password_source = "passcmd=", .is_token = true};
    expect(&facts, FAULT_LOGIN,
           "login by XOAUTH2 as alice with the token from passcmd= (has it expired?): the server "
           "refused the login: no");
}

static void a_mechanism_that_is_refused_before_the_password_is_not_about_it(void **state)
{
    (void)state;
    const struct advice_facts facts = {
        .refused = "USER", .other_auth = "plain", .user = "alice", .password_source = "/p"};
    expect(&facts, FAULT_OFFLINE,
           "login by USER as alice (try auth=plain): the server refused the login: no");
}

static void a_maildrop_in_use_is_waited_for(void **state)
{
    (void)state;
    struct advice_facts facts = {.code = POP3_CODE_IN_USE, .refused = "USER", .user = "a"};
    expect(&facts, FAULT_BUSY,
           "end the other mail program or mount that has the maildrop, or wait: the server refused "
           "the login: no");
    facts.code = POP3_CODE_LOGIN_DELAY;
    expect(&facts, FAULT_BUSY, "wait, or use a longer refresh=: the server refused the login: no");
    facts.code = POP3_CODE_SYS_TEMP;
    expect(&facts, FAULT_BUSY, "the server refused the login: no");
}

static void what_was_no_refusal_needs_no_advice(void **state)
{
    (void)state;
    const struct advice_facts facts = {.refused = "", .user = "alice", .password_source = "/p"};
    expect(&facts, FAULT_LOGIN, "the server refused the login: no");
    expect(&facts, FAULT_OFFLINE, "the server refused the login: no");
    expect(&facts, FAULT_GARBLED, "the server refused the login: no");
}

static void another_protocol_is_named(void **state)
{
    (void)state;
    const struct advice_facts facts = {.foreign = "an IMAP server", .refused = ""};
    expect(&facts, FAULT_GARBLED,
           "an IMAP server answers at this port; POP3 is at 995 for pops:// and 110 for pop3://: "
           "the server refused the login: no");
}

static void the_advice_stays_where_the_server_says_much(void **state)
{
    (void)state;
    const struct advice_facts facts = {
        .refused = "PLAIN", .other_auth = "user", .user = "alice\u202e\n", .password_source = "/p"};
    struct failure failure = {.fault = FAULT_LOGIN};
    memset(failure.text, 'x', sizeof(failure.text) - 1);
    advice_add(&facts, &failure);
    assert_int_equal(strlen(failure.text), sizeof(failure.text) - 1);
    static const char start[] =
        "login by PLAIN as alice\\xe2\\x80\\xae\\x0a with the password from /p "
        "(if that is right, try auth=user): xxx";
    assert_memory_equal(failure.text, start, sizeof(start) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_password_names_mechanism_user_source_and_what_to_try),
        cmocka_unit_test(a_refused_token_may_have_expired),
        cmocka_unit_test(a_mechanism_that_is_refused_before_the_password_is_not_about_it),
        cmocka_unit_test(a_maildrop_in_use_is_waited_for),
        cmocka_unit_test(what_was_no_refusal_needs_no_advice),
        cmocka_unit_test(another_protocol_is_named),
        cmocka_unit_test(the_advice_stays_where_the_server_says_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
