/* SPDX-License-Identifier: MIT */
/* A process beside the daemon, for one thing that the daemon cannot do once it is confined. */
#ifndef POPFS_CLI_HELPER_H
#define POPFS_CLI_HELPER_H

#include "secret.h"

#include <sys/types.h>

/* All that a helper is ever told. */
enum helper_request {
    HELPER_WORK,
    HELPER_ORDERLY_END, /* has begun: `end` has nothing to make good for a daemon that was killed */
};

enum { HELPER_OCTETS_MAX = 4 << 20 };

/* Fixed when the helper starts, and borrowed. */
struct helper_work {
    const char *name; /* of the process, at most 15 octets */
    /* Called in the helper whenever it is asked to work; may put something into `secret`, which is
     * empty. */
    enum fault (*run)(const void *context, struct secret *secret, struct failure *ret_failure);
    /* Called in the helper when it is let end; may be NULL. */
    void (*end)(const void *context, bool is_orderly);
    const void *context;
    bool foreground; /* stay on the terminal */
    bool outlives;   /* a daemon that is killed: `end` is called then, too */
    /* In place of `run`, for what is no secret: at most HELPER_OCTETS_MAX. */
    enum fault (*read)(const void *context, struct buffer *ret_octets, struct failure *ret_failure);
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

/* The same for a helper with `read`; *ret_octets is to be empty, and stays so on a failure. */
enum fault helper_ask_octets(struct helper *helper, int64_t timeout_ms, struct buffer *ret_octets,
                             struct failure *ret_failure);

/* Tells the helper so, and does not wait. A zeroed one is fine. */
void helper_say_orderly_end(struct helper *helper);

/* Lets it end. A zeroed one is fine. */
void helper_end(struct helper *helper);

#endif
