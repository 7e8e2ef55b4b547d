/* SPDX-License-Identifier: MIT */
/*
 * Logins by an access token, which libgsasl does not speak: Google's XOAUTH2 and RFC 7628's
 * OAUTHBEARER. The client says one message. A server that does not like the token complains in a
 * challenge, wants an answer to that, and only then says -ERR.
 */
#ifndef POPFS_POP3_BEARER_H
#define POPFS_POP3_BEARER_H

#include "mechanism.h"

/* Printable ASCII without blanks (RFC 6750, 2.1, and what is used beyond it): anything else could
 * end the field that it stands in. */
bool pop3_bearer_is_token(const char *text);
/* In base64, to be wiped and given to free(); NULL for want of memory. */
char *pop3_bearer_message(enum pop3_bearer bearer, const struct pop3_options *options);
/* The answer to a complaint, in base64. */
const char *pop3_bearer_answer(enum pop3_bearer bearer);

#endif
