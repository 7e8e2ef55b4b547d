/* SPDX-License-Identifier: MIT */
/* What a person can do about a failure, in a few words before it. Pure. */
#ifndef SYNC_ADVICE_H
#define SYNC_ADVICE_H

#include "popfs/pop3.h"

struct advice_facts {
    enum pop3_code code;
    const char *refused;    /* the mechanism with which the login was refused; "" if it was not */
    const char *foreign;    /* "an IMAP server", which answers there; NULL */
    const char *other_auth; /* another word for auth=; NULL */
    const char *user;
    const char *password_source; /* "passfile=/etc/p"; NULL: there is no password */
    bool is_token;
};

/* Puts it before the text, whose end is cut if there is no room. Does nothing where there is none.
 */
void advice_add(const struct advice_facts *facts, struct failure *failure);

#endif
