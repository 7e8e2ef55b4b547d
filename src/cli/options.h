/* SPDX-License-Identifier: MIT */
/* The command line: letters, operands and the table of -o options. */
#ifndef POPFS_CLI_OPTIONS_H
#define POPFS_CLI_OPTIONS_H

#include "popfs/base.h"

enum option_tls { OPTION_TLS_ON, OPTION_TLS_STARTTLS, OPTION_TLS_OFF };
enum option_use { OPTION_USE_AUTO, OPTION_USE_OFF };

/* Texts are NULL and numbers OPTION_NOT_GIVEN unless the user gave them; those below a comment have
 * a default. */
enum { OPTION_NOT_GIVEN = -1 };

struct options {
    char *source, *mountpoint; /* the operands, as given */
    bool help, version, foreground, debug;

    char *user, *passcmd, *auth, *pin;
    char *passfile, *cafile, *cert, *key, *cache; /* absolute */
    int64_t port;
    int64_t tls; /* enum option_tls */
    bool password_stdin, allow_other, read_only, prefetch;

    /* with a default */
    int64_t timeout_s, keepalive_s;
    int64_t lazy_octets;   /* 0: no message is read while it arrives */
    int64_t pipeline, top; /* enum option_use */
    int64_t uid, gid, umask;
    int64_t max_read; /* checked here, used by libfuse alone: it is in `kernel` */

    /* mount words for the kernel and fusermount3, comma-separated, not terminated */
    struct buffer kernel;
};

/*
 * FAULT_REFUSED with a line for the user, FAULT_MEMORY. With `help` or `version` the operands may
 * be missing. On any outcome options_done() is the caller's to call.
 */
enum fault options_parse(int argc, char **argv, struct options *ret_options,
                         struct failure *ret_failure);
void options_done(struct options *options);

#endif
