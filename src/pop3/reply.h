/* SPDX-License-Identifier: MIT */
/* The first line of an answer: RFC 1939, 3; response codes of RFC 2449, 8 and RFC 3206; challenges
 * of RFC 5034, 4. */
#ifndef POPFS_POP3_REPLY_H
#define POPFS_POP3_REPLY_H

#include "popfs/pop3.h"

enum pop3_reply_kind { POP3_REPLY_OK, POP3_REPLY_ERR, POP3_REPLY_CHALLENGE };

struct pop3_reply {
    enum pop3_reply_kind kind;
    enum pop3_code code;
    struct slice
        text; /* what follows the status, response code included; of a challenge, the challenge */
};

/* False: this is no status line, and whoever sent it cannot be believed. A challenge only where one
 * may come. */
bool pop3_reply_parse(struct slice line, bool may_be_challenge, struct pop3_reply *ret_reply);
/* What an -ERR means for the session; `codeless` where neither code nor words tell. */
enum fault pop3_reply_fault(const struct pop3_reply *reply, enum fault codeless);
/* The time stamp of a greeting if it is a valid msg-id (RFC 1939, 7), with its brackets; else
 * empty. */
struct slice pop3_reply_stamp(struct slice text);

#endif
