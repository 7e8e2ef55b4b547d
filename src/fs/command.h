/* SPDX-License-Identifier: MIT */
/* command: what can be written to .popfs/control. Pure. */
#ifndef POPFS_FS_COMMAND_H
#define POPFS_FS_COMMAND_H

#include "popfs/base.h"

enum { COMMAND_OCTETS_MAX = 4096 }; /* a page, more than any name */

enum command_verb {
    COMMAND_COMMIT,
    COMMAND_SETTLE, /* the same, but for what waits for COMMIT: an unmount is no confirmation */
    COMMAND_REFRESH,
    COMMAND_ROLLBACK,
    COMMAND_UNDELETE,
    COMMAND_PREFETCH,
    COMMAND_VERIFY,
    COMMAND_KEEP, /* the end of the mount deletes nothing */
};

struct command {
    enum command_verb verb;
    struct slice name; /* of a message, borrowed from the line; empty: none was given */
};

/* One line, with or without its end. False: unknown, too long, more than one line, a name missing
 * or too many. */
bool command_parse(struct slice line, struct command *ret_command);

/* It changes what is deleted on the server. */
bool command_is_about_removal(enum command_verb verb);

#endif
