/* SPDX-License-Identifier: MIT */
/* What the command line asks for, with every gap filled: whose maildrop, where, over what, kept
 * where, shown where. */
#ifndef POPFS_CLI_ACCOUNT_H
#define POPFS_CLI_ACCOUNT_H

#include "options.h"
#include "secret.h"

#include "popfs/sync.h"

struct account {
    char *user, *host;
    uint16_t port;
    enum sync_tls tls;
    bool needs_password; /* false: the client certificate stands for it */
    char *shown;         /* "user@host:port", for mount(8) and df(1) */
    char *mountpoint;    /* absolute */
    char *cache;         /* absolute */
    bool cache_off;      /* `cache` is only for as long as the mount lasts */
    char *state;         /* absolute; NULL: state=off */
    char *netrc;         /* NULL: there is no home folder */
};

/*
 * FAULT_REFUSED: the user has to say something else; FAULT_OFFLINE: the mountpoint cannot be used
 * as it is; FAULT_MEMORY. Reads HOME, XDG_CACHE_HOME, XDG_STATE_HOME and TMPDIR, and ~/.netrc if
 * the user is named nowhere else. On any outcome account_done() is the caller's to call.
 */
enum fault account_resolve(const struct options *options, struct account *ret_account,
                           struct failure *ret_failure);
/* Where its password may be; the strings are borrowed from both. Reads CREDENTIALS_DIRECTORY. */
struct secret_sources account_secret_sources(const struct options *options,
                                             const struct account *account);
void account_done(struct account *account);

#endif
