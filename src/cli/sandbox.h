/* SPDX-License-Identifier: MIT */
/* Takes from the daemon what it does not need any more. */
#ifndef POPFS_CLI_SANDBOX_H
#define POPFS_CLI_SANDBOX_H

#include "popfs/base.h"

enum { SANDBOX_TEXT_OCTETS = 80 };

/* Paths are borrowed. */
struct sandbox {
    const char *cache_folder;
    const char *state_folder; /* of the account, NULL where there is none; set it before
                                 sandbox_prepare() */
    const char *tmpdir;       /* TMPDIR, NULL where not set */
    int landlock_abi;         /* 0: not used */
    bool seccomp;
    int ruleset;                    /* of Landlock, once prepared; else -1 */
    void *filter;                   /* of seccomp, once prepared */
    char text[SANDBOX_TEXT_OCTETS]; /* for people: "Landlock (ABI 6) and seccomp" */
};

/* Looks at what this kernel has; uses nothing of it if not `wanted` (sandbox=off). Ends with
 * sandbox_done(). */
void sandbox_init(struct sandbox *sandbox, bool wanted, const char *cache_folder,
                  const char *tmpdir);
/* True if sandbox_enter() takes anything away. */
bool sandbox_confines(const struct sandbox *sandbox);

/* Once in the process that is to be confined, before the first of its threads is. The cache folder
 * and the state folder must be there. FAULT_MEMORY if what the kernel has cannot be used. */
enum fault sandbox_prepare(struct sandbox *sandbox, struct failure *ret_failure);
/*
 * Confines the calling thread, and all that it starts, for good. One thread after the other.
 * FAULT_MEMORY if the kernel refuses: then the thread may be half confined and should end.
 */
enum fault sandbox_enter(const struct sandbox *sandbox, struct failure *ret_failure);
/* Those who are confined stay so. */
void sandbox_done(struct sandbox *sandbox);

#endif
