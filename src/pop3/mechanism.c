/* SPDX-License-Identifier: MIT */
/* The choice is made once: a mechanism that was refused is never followed by a weaker one. Only
 * login.c gives up the binding of one, before anything was proven with it. */
#include "mechanism.h"

#include <string.h>
#include <strings.h>

static const struct pop3_mechanism mechanisms[] = {
    [POP3_AUTH_AUTO] = {.word = "auto", .name = "auto"},
    [POP3_AUTH_USER] = {.word = "user", .name = "USER"},
    [POP3_AUTH_APOP] = {.word = "apop", .name = "APOP"},
    [POP3_AUTH_PLAIN] = {"plain", "PLAIN", .sasl = true, .client_first = true, .secret_at = 1},
    [POP3_AUTH_LOGIN] = {"login", "LOGIN", .sasl = true, .any_challenge = true, .secret_at = 2},
    [POP3_AUTH_CRAM_MD5] = {"cram-md5", "CRAM-MD5", .sasl = true, .prepares = true, .secret_at = 1},
    [POP3_AUTH_SCRAM_SHA_1] = {"scram-sha-1", "SCRAM-SHA-1", .sasl = true, .client_first = true,
                               .prepares = true, .proves_server = true, .secret_at = 2},
    [POP3_AUTH_SCRAM_SHA_256] = {"scram-sha-256", "SCRAM-SHA-256", .sasl = true,
                                 .client_first = true, .prepares = true, .proves_server = true,
                                 .secret_at = 2},
    [POP3_AUTH_SCRAM_SHA_256_PLUS] = {"scram-sha-256-plus", "SCRAM-SHA-256-PLUS", .sasl = true,
                                      .client_first = true, .prepares = true, .proves_server = true,
                                      .binds = true, .secret_at = 2},
    /* Outlook refuses it when the token comes with AUTH. */
    [POP3_AUTH_XOAUTH2] = {"xoauth2", "XOAUTH2", .sasl = true, .client_first = true,
                           .two_steps = true, .bearer = POP3_BEARER_XOAUTH2, .secret_at = 1},
    [POP3_AUTH_OAUTHBEARER] = {"oauthbearer", "OAUTHBEARER", .sasl = true, .client_first = true,
                               .bearer = POP3_BEARER_OAUTHBEARER, .secret_at = 1},
    [POP3_AUTH_EXTERNAL] = {"external", "EXTERNAL", .sasl = true, .client_first = true,
                            .vouched = true},
};

enum { MECHANISM_COUNT = sizeof(mechanisms) / sizeof(mechanisms[0]) };

/*
 * Ended by AUTO. Under TLS a password may be said; in clear, what hides it comes first. Tokens and
 * certificates are not among them: only the user knows that the password is a token.
 */
static const enum pop3_auth order_tls[] = {
    POP3_AUTH_SCRAM_SHA_256_PLUS,
    POP3_AUTH_SCRAM_SHA_256,
    POP3_AUTH_SCRAM_SHA_1,
    POP3_AUTH_PLAIN,
    POP3_AUTH_USER,
    POP3_AUTH_CRAM_MD5,
    POP3_AUTH_LOGIN,
    POP3_AUTH_AUTO,
};
static const enum pop3_auth order_clear[] = {
    POP3_AUTH_SCRAM_SHA_256, POP3_AUTH_SCRAM_SHA_1, POP3_AUTH_APOP,  POP3_AUTH_CRAM_MD5,
    POP3_AUTH_PLAIN,         POP3_AUTH_USER,        POP3_AUTH_LOGIN, POP3_AUTH_AUTO,
};

const struct pop3_mechanism *pop3_mechanism(enum pop3_auth auth)
{
    return &mechanisms[auth];
}

bool pop3_auth_from_word(const char *word, enum pop3_auth *ret_auth)
{
    for (unsigned i = 0; i < MECHANISM_COUNT; i++) {
        if (strcasecmp(word, mechanisms[i].word) == 0) {
            *ret_auth = (enum pop3_auth)i;
            return true;
        }
    }
    return false;
}

static bool is_offered(enum pop3_auth auth, const struct pop3_capabilities *set, bool has_stamp)
{
    switch (auth) {
    case POP3_AUTH_AUTO:
        return false;
    case POP3_AUTH_USER:
        return set->user;
    case POP3_AUTH_APOP:
        return has_stamp;
    case POP3_AUTH_PLAIN:
        return set->sasl_plain;
    case POP3_AUTH_LOGIN:
        return set->sasl_login;
    case POP3_AUTH_CRAM_MD5:
        return set->sasl_cram_md5;
    case POP3_AUTH_SCRAM_SHA_1:
        return set->sasl_scram_sha_1;
    case POP3_AUTH_SCRAM_SHA_256:
        return set->sasl_scram_sha_256;
    case POP3_AUTH_SCRAM_SHA_256_PLUS:
        return set->sasl_scram_sha_256_plus;
    case POP3_AUTH_XOAUTH2:
        return set->sasl_xoauth2;
    case POP3_AUTH_OAUTHBEARER:
        return set->sasl_oauthbearer;
    case POP3_AUTH_EXTERNAL:
        return set->sasl_external;
    }
    return false;
}

/* An incomplete CAPA (perdition) names no way to log in at all; RFC 1939's own is tried then. */
static bool names_no_login(const struct pop3_capabilities *set)
{
    return !set->user && !set->sasl;
}

bool pop3_mechanism_choose(enum pop3_auth wanted, const struct pop3_capabilities *set,
                           bool has_stamp, bool tls, enum pop3_auth *ret_auth)
{
    const enum pop3_auth *order = tls ? order_tls : order_clear;
    enum pop3_auth auth = wanted;
    bool may = is_offered(wanted, set, has_stamp);
    if (wanted == POP3_AUTH_AUTO) {
        while (*order != POP3_AUTH_AUTO && !is_offered(*order, set, has_stamp))
            order++;
        may = *order != POP3_AUTH_AUTO;
        auth = may ? *order : POP3_AUTH_USER;
    }
    /* Without CAPA, what the user asked for is tried; APOP cannot be, without a stamp. */
    if (!may && wanted != POP3_AUTH_AUTO && wanted != POP3_AUTH_APOP)
        may = !set->known;
    if (!may && auth == POP3_AUTH_USER)
        may = names_no_login(set);
    if (may)
        *ret_auth = auth;
    return may;
}

bool pop3_mechanism_next(enum pop3_auth refused, const struct pop3_capabilities *set,
                         bool has_stamp, bool tls, enum pop3_auth *ret_auth)
{
    const enum pop3_auth *order = tls ? order_tls : order_clear;
    bool found = false;
    bool behind = false;
    for (; *order != POP3_AUTH_AUTO; order++) {
        if (*order == refused) {
            behind = true;
        } else if (is_offered(*order, set, has_stamp) && (!found || behind)) {
            *ret_auth = *order;
            found = true;
            if (behind)
                break;
        }
    }
    return found;
}
