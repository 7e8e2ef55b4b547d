/* SPDX-License-Identifier: MIT */
/* The ways to log in: their names, what offers them, and which comes first. */
#ifndef POPFS_POP3_MECHANISM_H
#define POPFS_POP3_MECHANISM_H

#include "popfs/pop3.h"

/* Access tokens in place of passwords. */
enum pop3_bearer { POP3_BEARER_NONE, POP3_BEARER_XOAUTH2, POP3_BEARER_OAUTHBEARER };

struct pop3_mechanism {
    const char *word; /* of the option auth= */
    const char *name; /* on the wire and for people */
    bool sasl;
    bool client_first;  /* its first challenge is empty */
    bool two_steps;     /* client first, yet never with the response in the AUTH line */
    bool any_challenge; /* what its challenges say does not matter */
    bool prepares;      /* runs user and password through SASLprep */
    bool proves_server; /* success without the server's proof is no success */
    bool binds;         /* to the TLS connection */
    bool vouched;       /* something else says who it is: the user is whom to act as */
    unsigned secret_at; /* SASL: which response gives a secret or proves one; 0: the connection
                           has done so before */
    enum pop3_bearer bearer;
};

const struct pop3_mechanism *pop3_mechanism(enum pop3_auth auth);

/*
 * What to log in with. `wanted` itself unless it is AUTO; then the strongest that is offered
 * (POP3.md rule 27). False: what is wanted, or anything at all, is not on offer.
 */
bool pop3_mechanism_choose(enum pop3_auth wanted, const struct pop3_capabilities *set,
                           bool has_stamp, bool tls, enum pop3_auth *ret_auth);
/*
 * What a person could ask for after `refused` was: the next in the order of auto that is offered,
 * else the first. False: there is no other that takes a password.
 */
bool pop3_mechanism_next(enum pop3_auth refused, const struct pop3_capabilities *set,
                         bool has_stamp, bool tls, enum pop3_auth *ret_auth);

#endif
