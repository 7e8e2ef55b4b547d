/* SPDX-License-Identifier: MIT */
/* A process beside the daemon, for one thing that the daemon cannot do once it is confined. */
#ifndef POPFS_CLI_HELPER_H
#define POPFS_CLI_HELPER_H

#include "secret.h"

#include <sys/types.h>

/* Fixed when the helper starts, and borrowed: all that is told to it later is "now". */
struct helper_work {
    const char *name; /* of the process, at most 15 octets */
    /* Called in the helper whenever it is asked; may put something into `secret`, which is empty.
     */
    enum fault (*run)(const void *context, struct secret *secret, struct failure *ret_failure);
    void (*end)(const void *context); /* called in the helper when it is let end; may be NULL */
    const void *context;
    bool foreground; /* stay on the terminal */
    bool outlives;   /* a daemon that is killed: `end` is called then, too */
};

/* A zeroed one has not been started. Used by one thread at a time. */
struct helper {
    pid_t child;
    int requests, answers; /* pipes */
};

/*
 * Forks: before any thread is started. `inherited` is wiped in the helper. FAULT_MEMORY.
 */
enum fault helper_start(struct helper *helper, const struct helper_work *work,
                        const struct secret *inherited, struct failure *ret_failure);

/*
 * Lets the helper work and waits, at most `timeout_ms`. What it put into its secret replaces what
 * is in `secret` (NULL: is dropped); if `run` failed, `secret` stays as it was. What `run` says, or
 * FAULT_MEMORY if the helper was not started, has died or took too long; then it is no more.
 */
enum fault helper_ask(struct helper *helper, int64_t timeout_ms, struct secret *secret,
                      struct failure *ret_failure);

/* Lets it end. A zeroed one is fine. */
void helper_end(struct helper *helper);

#endif
