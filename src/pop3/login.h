/* SPDX-License-Identifier: MIT */
/*
 * The way from the greeting to TRANSACTION: what to say next, given what was answered. A pure state
 * machine: knows the order, not the bytes. Refuses to know queues, buffers and TLS itself.
 *
 *   GREETING -> CAPA -> [STLS -> HANDSHAKE -> CAPA] -> [UTF8] -> USER, PASS | APOP | SASL ->
 * CAPA_LAST -> finished
 *
 * The last CAPA is not waited for where the caller knows what it will say, and the one before the
 * login neither, where the caller knows what will be chosen: it is then compared with that.
 */
#ifndef POPFS_POP3_LOGIN_H
#define POPFS_POP3_LOGIN_H

#include "reply.h"
#include "sasl.h"

enum pop3_login_step {
    POP3_LOGIN_GREETING,
    POP3_LOGIN_CAPA,
    POP3_LOGIN_STLS,
    POP3_LOGIN_HANDSHAKE,
    POP3_LOGIN_UTF8,
    POP3_LOGIN_USER,
    POP3_LOGIN_PASS,
    POP3_LOGIN_APOP,
    POP3_LOGIN_SASL,
    POP3_LOGIN_SASL_ABORT,
    POP3_LOGIN_CAPA_LAST,
};

/* What to do next. */
enum pop3_login_verdict {
    POP3_LOGIN_SEND,    /* `line` */
    POP3_LOGIN_SEND_ON, /* `line`, then pop3_login_go_on() */
    POP3_LOGIN_WAIT,    /* for the next answer */
    POP3_LOGIN_ENTER,   /* `line`, and be in TRANSACTION: its answer is still to be told */
    POP3_LOGIN_SECURE,  /* the handshake, then pop3_login_secured() */
    POP3_LOGIN_FINISHED,
    POP3_LOGIN_FAILED, /* `failure`, `code` */
};

enum { POP3_LOGIN_PARTS_MAX = 5 };

struct pop3_login_line {
    enum pop3_command command;
    bool continues; /* a further line of the AUTH that is outstanding */
    /* One after the other, without line end; borrowed from the login until it is told more. */
    struct slice parts[POP3_LOGIN_PARTS_MAX];
    size_t count;
    size_t shown_count; /* the parts after these are secret */
};

struct pop3_login {
    struct pop3_options options; /* strings borrowed */
    struct pop3_veil *veil;      /* borrowed */
    enum pop3_login_step step;
    bool tls;
    struct pop3_binding binding;
    struct pop3_capabilities capabilities;
    struct buffer stamp;
    char digest[DIGEST_MD5_HEX_OCTETS];
    const struct pop3_mechanism *mechanism; /* NULL until chosen */
    enum pop3_auth chosen;                  /* the same */
    enum pop3_auth expected;                /* AUTO: nothing */
    enum pop3_anticipation anticipation;
    bool repeatable; /* the next session may expect `chosen` */
    struct pop3_sasl *sasl;
    bool assumes_pipelining;          /* the last CAPA is not waited for */
    struct pop3_capabilities offered; /* before the assumption */
    bool response_held;               /* the first response did not fit into the AUTH line */
    unsigned response_count;          /* of this SASL exchange, that have been said */
    bool unbound;         /* under auto, -PLUS is no choice where the form without it is offered */
    bool binding_refused; /* by the server, in this session: why it is unbound */
    bool refused;         /* by the server, and `mechanism` is what was tried */
    enum pop3_auth other; /* then: what else a person could try; AUTO: nothing */
    struct slice response;
    struct pop3_login_line line;
    struct failure failure;
    enum pop3_code code;
};

void pop3_login_init(struct pop3_login *login, const struct pop3_options *options,
                     struct pop3_veil *veil);
/* Wipes. */
void pop3_login_done(struct pop3_login *login);
/* The first line of an answer; with +OK to CAPA, pop3_login_learn() is told instead. */
enum pop3_login_verdict pop3_login_hear(struct pop3_login *login, const struct pop3_reply *reply);
enum pop3_login_verdict pop3_login_learn(struct pop3_login *login,
                                         const struct pop3_capabilities *set);
/* What an -ERR means, also one that answers nothing. Before a secret was said it is an outage,
 * whatever its code says of accounts (POP3.md rule 35). */
enum fault pop3_login_outage(const struct pop3_login *login, const struct pop3_reply *reply,
                             enum fault codeless);
enum pop3_binding_state pop3_login_binding(const struct pop3_login *login);
enum pop3_login_verdict pop3_login_secured(struct pop3_login *login);
/* After POP3_LOGIN_SEND_ON. */
enum pop3_login_verdict pop3_login_go_on(struct pop3_login *login);

#endif
