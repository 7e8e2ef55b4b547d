/* SPDX-License-Identifier: MIT */
/* The command line: letters, operands and the table of -o options. */
#ifndef POPFS_CLI_OPTIONS_H
#define POPFS_CLI_OPTIONS_H

#include "popfs/base.h"

enum option_tls { OPTION_TLS_ON, OPTION_TLS_STARTTLS, OPTION_TLS_OFF };
enum option_use { OPTION_USE_AUTO, OPTION_USE_OFF };
enum option_size { OPTION_SIZE_AUTO, OPTION_SIZE_STRICT };
enum option_eol { OPTION_EOL_CRLF, OPTION_EOL_LF };
enum option_control { OPTION_CONTROL_HIDDEN, OPTION_CONTROL_VISIBLE, OPTION_CONTROL_OFF };
enum option_sandbox { OPTION_SANDBOX_AUTO, OPTION_SANDBOX_OFF };

/* Texts are NULL and numbers OPTION_NOT_GIVEN unless the user gave them; those below a comment have
 * a default. */
enum { OPTION_NOT_GIVEN = -1 };

struct options {
    char *source, *mountpoint; /* the operands, as given */
    bool help, version, foreground, debug;

    char *user, *passcmd, *auth, *pin;
    char *passfile, *cafile, *cert, *key;
    char *cache, *state; /* absolute, or "off" */
    int64_t port;
    int64_t tls; /* enum option_tls */
    bool password_stdin, allow_other, auto_unmount, read_only, prefetch, noquit;

    /* with a default */
    int64_t timeout_s, keepalive_s;
    int64_t refresh_s, idle_s;           /* 0: never */
    int64_t cache_octets_max;            /* 0: no limit */
    int64_t bin_days;                    /* 0: none */
    int64_t lazy_octets;                 /* 0: no message is read while it arrives */
    int64_t pipeline, top;               /* enum option_use */
    int64_t size, eol, control, sandbox; /* enum option_… of each */
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
