/* SPDX-License-Identifier: MIT */
/* Nothing may follow PASS or the last line of AUTH: courier, mailfront, solid-pop3d and perdition
 * lose it. The login sends one line at a time, and QUIT ends the state in which commands are
 * issued, so that no row has to say so. */
#include "command.h"

#include <stdio.h>

#define AUTHORIZATION POP3_STATE_AUTHORIZATION
#define TRANSACTION POP3_STATE_TRANSACTION

static const struct pop3_command_row rows[] = {
    [POP3_GREETING] = {"greeting", .state = POP3_STATE_GREETING},
    [POP3_CAPA] = {"CAPA", .answer = POP3_ANSWER_CAPABILITIES, .state = AUTHORIZATION},
    [POP3_STLS] = {"STLS", .state = AUTHORIZATION},
    [POP3_USER] = {"USER", .state = AUTHORIZATION, .secret = true},
    [POP3_PASS] = {"PASS", .state = AUTHORIZATION, .secret = true},
    [POP3_APOP] = {"APOP", .state = AUTHORIZATION, .secret = true},
    [POP3_AUTH] = {"AUTH", .state = AUTHORIZATION, .secret = true},
    [POP3_UTF8] = {"UTF8", .state = AUTHORIZATION},
    [POP3_STAT] = {"STAT", .state = TRANSACTION},
    [POP3_UIDL] = {"UIDL", .answer = POP3_ANSWER_ROWS, .state = TRANSACTION},
    [POP3_UIDL_ONE] = {"UIDL", .state = TRANSACTION, .arguments = POP3_ARGUMENTS_MSGNUM},
    [POP3_LIST] = {"LIST", .answer = POP3_ANSWER_ROWS, .state = TRANSACTION},
    [POP3_RETR] = {"RETR", .answer = POP3_ANSWER_DATA, .state = TRANSACTION,
                   .arguments = POP3_ARGUMENTS_MSGNUM},
    [POP3_TOP] = {"TOP", .answer = POP3_ANSWER_DATA, .state = TRANSACTION,
                  .arguments = POP3_ARGUMENTS_MSGNUM_LINES},
    [POP3_DELE] = {"DELE", .state = TRANSACTION, .arguments = POP3_ARGUMENTS_MSGNUM},
    [POP3_RSET] = {"RSET", .state = TRANSACTION},
    [POP3_NOOP] = {"NOOP", .state = TRANSACTION},
    [POP3_QUIT] = {"QUIT", .state = TRANSACTION},
};

const struct pop3_command_row *pop3_command_row(enum pop3_command command)
{
    return &rows[command];
}

struct slice pop3_command_write(const struct pop3_request *request, char *out, size_t capacity)
{
    const struct pop3_command_row *row = pop3_command_row(request->command);
    switch (row->arguments) {
    case POP3_ARGUMENTS_NONE:
        snprintf(out, capacity, "%s", row->verb);
        break;
    case POP3_ARGUMENTS_MSGNUM:
        snprintf(out, capacity, "%s %u", row->verb, request->msgnum);
        break;
    case POP3_ARGUMENTS_MSGNUM_LINES:
        snprintf(out, capacity, "%s %u %u", row->verb, request->msgnum, request->lines);
        break;
    }
    return slice_from_string(out);
}

const char *pop3_command_name(enum pop3_command command)
{
    return rows[command].verb;
}

const char *pop3_state_name(enum pop3_state state)
{
    static const char *const names[] = {
        [POP3_STATE_GREETING] = "greeting",       [POP3_STATE_AUTHORIZATION] = "authorization",
        [POP3_STATE_TRANSACTION] = "transaction", [POP3_STATE_UPDATE] = "update",
        [POP3_STATE_CLOSED] = "closed",
    };
    return names[state];
}
