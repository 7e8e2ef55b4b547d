/* SPDX-License-Identifier: MIT */
/* The ways to log in by their words, in an order that corpora can rely on: new ones at the end. */
#ifndef POPFS_FUZZ_MECHANISMS_H
#define POPFS_FUZZ_MECHANISMS_H

#include "popfs/pop3.h"

static const char *const mechanism_words[] = {
    "auto",
    "user",
    "apop",
    "plain",
    "login",
    "cram-md5",
    "scram-sha-1",
    "scram-sha-256",
    "xoauth2",
    "oauthbearer",
    "scram-sha-256-plus",
    "external",
};

enum { MECHANISM_WORDS_COUNT = sizeof(mechanism_words) / sizeof(mechanism_words[0]) };

/* False for one that this build does not have. */
static inline bool mechanism_pick(unsigned octet, enum pop3_auth *ret_auth)
{
    return pop3_auth_from_word(mechanism_words[octet % MECHANISM_WORDS_COUNT], ret_auth);
}

#endif
