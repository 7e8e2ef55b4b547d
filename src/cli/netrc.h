/* SPDX-License-Identifier: MIT */
/* ~/.netrc, as ftp(1) and curl write it. Pure: text in, entry out. */
#ifndef POPFS_CLI_NETRC_H
#define POPFS_CLI_NETRC_H

#include "popfs/base.h"

struct netrc_entry {
    struct slice login;    /* empty if it has none */
    struct slice password; /* empty if it has none */
};

/*
 * The first entry for `host`, or "default" where it stands, that helps: for `user`, it has a
 * password and the same login or none; with `user` NULL, it has a login. Quoted words are unquoted
 * in place, so `text` changes; the entry points into it.
 */
bool netrc_find(char *text, size_t len, const char *host, const char *user,
                struct netrc_entry *ret_entry);

#endif
