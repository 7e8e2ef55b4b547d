/* SPDX-License-Identifier: MIT */
/* Why a certificate or a key was not accepted, as one line that says what to do. */
#ifndef POPFS_NET_VERDICT_H
#define POPFS_NET_VERDICT_H

#include "popfs/base.h"

#include <openssl/x509.h>

/* Whose certificate it is; `host` is escaped. */
struct net_verdict_case {
    const char *host;
    bool has_cafile;
};

/*
 * `error` is an X509_V_ERR_ value found `depth` certificates above the server's; `cert` is the one
 * in question and may be NULL. Always FAULT_UNTRUSTED, or FAULT_MEMORY.
 */
enum fault net_verdict_set(const struct net_verdict_case *of, int error, int depth, X509 *cert,
                           struct failure *ret_failure);

#endif
