/* SPDX-License-Identifier: MIT */
/* Status lines, response codes, and what a refusal means. */
#include "reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool parses(const char *line, struct pop3_reply *ret_reply)
{
    return pop3_reply_parse(slice_from_string(line), false, ret_reply);
}

static void ok_and_err_are_taken_in_any_case(void **state)
{
    static const struct {
        const char *line;
        enum pop3_reply_kind kind;
        const char *text;
    } rows[] = {
        {"+OK", POP3_REPLY_OK, ""},
        {"+ok ", POP3_REPLY_OK, ""},
        {"+Ok\tready", POP3_REPLY_OK, "ready"},
        {"+OK  two words ", POP3_REPLY_OK, "two words"},
        {"-ERR", POP3_REPLY_ERR, ""},
        {"-err no", POP3_REPLY_ERR, "no"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pop3_reply reply;
        assert_true(parses(rows[i].line, &reply));
        assert_int_equal(reply.kind, rows[i].kind);
        assert_true(slice_equal(reply.text, slice_from_string(rows[i].text)));
    }
}

static void anything_else_is_no_answer(void **state)
{
    static const char *const lines[] = {
        "",       "+",    "+OKAY", "+Okay ready", "+ERR",
        "-OK",    "OK",   "ERR",   " +OK",        "-",
        "-ERROR", "+OK:", "* OK",  "220 hi",      "\x16\x03",
        ".",      "+ OK", "+O",    "-ER",         "\xef\xbb\xbf+OK",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct pop3_reply reply = {.kind = POP3_REPLY_ERR, .code = POP3_CODE_OTHER};
        assert_false(parses(lines[i], &reply));
        assert_int_equal(reply.code, POP3_CODE_OTHER);
    }
}

static void a_challenge_is_taken_only_where_one_may_come(void **state)
{
    struct pop3_reply reply;
    (void)state;
    assert_false(parses("+ abc", &reply));
    assert_true(pop3_reply_parse(SLICE_LITERAL("+ abc "), true, &reply));
    assert_int_equal(reply.kind, POP3_REPLY_CHALLENGE);
    assert_true(slice_equal(reply.text, SLICE_LITERAL("abc")));
    assert_true(pop3_reply_parse(SLICE_LITERAL("+"), true, &reply));
    assert_int_equal(reply.text.len, 0);
    assert_true(pop3_reply_parse(SLICE_LITERAL("+OK"), true, &reply));
    assert_int_equal(reply.kind, POP3_REPLY_OK);
    assert_false(pop3_reply_parse(SLICE_LITERAL("+abc"), true, &reply));
}

static void codes_are_read_and_decide_who_is_at_fault(void **state)
{
    static const struct {
        const char *line;
        enum pop3_code code;
        enum fault fault;
    } rows[] = {
        {"-ERR [IN-USE] x", POP3_CODE_IN_USE, FAULT_BUSY},
        {"-ERR [in-use]", POP3_CODE_IN_USE, FAULT_BUSY},
        {"-ERR [LOGIN-DELAY] x", POP3_CODE_LOGIN_DELAY, FAULT_BUSY},
        {"-ERR [SYS/TEMP] x", POP3_CODE_SYS_TEMP, FAULT_BUSY},
        {"-ERR [SYS/TEMP/DISK] x", POP3_CODE_SYS_TEMP, FAULT_BUSY},
        {"-ERR [SYS/PERM] locked", POP3_CODE_SYS_PERM, FAULT_LOGIN},
        {"-ERR [AUTH] busy", POP3_CODE_AUTH, FAULT_LOGIN},
        {"-ERR [UTF8] x", POP3_CODE_UTF8, FAULT_REFUSED},
        {"-ERR [AUTHOR] x", POP3_CODE_OTHER, FAULT_REFUSED},
        {"-ERR [XYZ] x", POP3_CODE_OTHER, FAULT_REFUSED},
        {"-ERR [] x", POP3_CODE_NONE, FAULT_REFUSED},
        {"-ERR [AUTH x", POP3_CODE_NONE, FAULT_REFUSED},
        {"-ERR x [AUTH]", POP3_CODE_NONE, FAULT_REFUSED},
        {"-ERR maildrop already LOCKED", POP3_CODE_NONE, FAULT_BUSY},
        {"-ERR Busy, try later", POP3_CODE_NONE, FAULT_BUSY},
        {"-ERR mailbox In Use", POP3_CODE_NONE, FAULT_BUSY},
        {"-ERR bus y", POP3_CODE_NONE, FAULT_REFUSED},
        {"-ERR", POP3_CODE_NONE, FAULT_REFUSED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pop3_reply reply;
        assert_true(parses(rows[i].line, &reply));
        assert_int_equal(reply.code, rows[i].code);
        assert_int_equal(pop3_reply_fault(&reply, FAULT_REFUSED), rows[i].fault);
    }
}

static void a_code_stays_in_the_text(void **state)
{
    struct pop3_reply reply;
    (void)state;
    assert_true(parses("-ERR [AUTH] no", &reply));
    assert_true(slice_equal(reply.text, SLICE_LITERAL("[AUTH] no")));
}

static void octets_that_begin_as_a_status_does_are_told(void **state)
{
    static const struct {
        const char *octets;
        bool begins;
    } rows[] = {
        {"+OK\r\n", true},    {"+OK 120 octets\r\nFrom: a", true},
        {"-err\tx", true},    {"-ERR\n", true},
        {"+", true},          {"-ER", true}, /* what follows may be the rest of one */
        {"+OK", true},        {"", false},
        {"+OKAY\r\n", false}, {"-ERROR: x", false},
        {"From: a", false},   {" +OK", false},
        {"+o:", false},       {".", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(pop3_begins_as_status(slice_from_string(rows[i].octets)), rows[i].begins);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ok_and_err_are_taken_in_any_case),
        cmocka_unit_test(anything_else_is_no_answer),
        cmocka_unit_test(a_challenge_is_taken_only_where_one_may_come),
        cmocka_unit_test(codes_are_read_and_decide_who_is_at_fault),
        cmocka_unit_test(a_code_stays_in_the_text),
        cmocka_unit_test(octets_that_begin_as_a_status_does_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
