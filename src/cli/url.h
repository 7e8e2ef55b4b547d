/* SPDX-License-Identifier: MIT */
/* SOURCE, the first operand: pops://[user@]host[:port] or pop3://[user@]host[:port]. */
#ifndef POPFS_CLI_URL_H
#define POPFS_CLI_URL_H

#include "popfs/base.h"

struct url {
    bool tls_first; /* pops: TLS from the first byte; pop3: STLS */
    char *user;     /* decoded; NULL if none was given */
    char *host;     /* an IPv6 address without its brackets; of an international name, its ASCII */
    uint16_t port;  /* 0 if none was given */
};

/* FAULT_REFUSED with a line that never holds what might be a password; FAULT_MEMORY. */
enum fault url_parse(const char *text, struct url *ret_url, struct failure *ret_failure);
void url_done(struct url *url);

/* A user name that may be sent and shown: not empty, no control character. */
bool url_user_is_valid(const char *user);

#endif
