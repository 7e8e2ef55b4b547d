/* SPDX-License-Identifier: MIT */
/* The commands as one table: what they are called, how they are answered, when they may be said. */
#ifndef POPFS_POP3_COMMAND_H
#define POPFS_POP3_COMMAND_H

#include "popfs/pop3.h"

/* What follows a +OK. */
enum pop3_answer {
    POP3_ANSWER_LINE, /* nothing */
    POP3_ANSWER_CAPABILITIES,
    POP3_ANSWER_ROWS,
    POP3_ANSWER_DATA,
};

enum pop3_arguments { POP3_ARGUMENTS_NONE, POP3_ARGUMENTS_MSGNUM, POP3_ARGUMENTS_MSGNUM_LINES };

struct pop3_command_row {
    const char *verb;
    enum pop3_answer answer;
    enum pop3_state state;
    enum pop3_arguments arguments; /* of those that a caller may issue */
    bool secret;                   /* carries a credential: only through the choke point */
};

const struct pop3_command_row *pop3_command_row(enum pop3_command command);
/* The line of a command that a caller issues, without its end, in `out`, of some 40 octets. */
struct slice pop3_command_write(const struct pop3_request *request, char *out, size_t capacity);

#endif
