/* SPDX-License-Identifier: MIT */
/* The two lives of the process: the one that the user waits for, and the one that stays. */
#ifndef POPFS_CLI_DAEMON_H
#define POPFS_CLI_DAEMON_H

#include "popfs/base.h"

#include <sys/types.h>

/* Exit codes, those of mount(8); after the mount was there, EXIT_INCOMPLETE: not all that was
 * removed is gone. */
enum { EXIT_OK = 0, EXIT_USAGE = 1, EXIT_INCOMPLETE = 1, EXIT_SYSTEM = 2, EXIT_MOUNT = 32 };

struct daemon {
    pid_t child; /* in the process that the user waits for: the other; else 0 */
    int pipe;    /* between the two; -1 in the foreground */
};

/* Opens /dev/null where stdin, stdout or stderr are closed, so that no socket gets their numbers.
 */
bool daemon_open_standard_descriptors(void);

/* Closes all above stderr that popfs was started with, but for the `count` in `kept`. */
bool daemon_close_inherited(const int *kept, size_t count);

/* Forks, and both return; false, with a message, if that fails. If the parent is killed before the
 * child has reported, the child gets SIGTERM. */
bool daemon_fork(struct daemon *daemon);
/* In the parent, once: waits until the child has reported or died. Returns the code to exit with;
 * the child's error has then been printed. */
int daemon_wait(struct daemon *daemon);

/*
 * Mounted: leaves the terminal, goes to "/", and lets the parent print `notice`, unless it is "",
 * and end with 0. False if the parent
 * died meanwhile: then nobody knows of this mount, and it should go. True in the foreground, where
 * nothing is done.
 */
bool daemon_report_success(struct daemon *daemon, const char *notice);
/* Not mounted: one line on the user's stderr, and the code that the user's process ends with. */
void daemon_report_failure(struct daemon *daemon, int code, const char *text);

#endif
