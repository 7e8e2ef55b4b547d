/* SPDX-License-Identifier: MIT */
/* Takes from the daemon what it does not need any more. */
#ifndef POPFS_CLI_SANDBOX_H
#define POPFS_CLI_SANDBOX_H

#include "popfs/base.h"

enum { SANDBOX_TEXT_OCTETS = 80 };

/* Paths are borrowed. */
struct sandbox {
    const char *cache_folder;
    const char *tmpdir; /* TMPDIR, NULL where not set */
    int landlock_abi;   /* 0: not used */
    bool seccomp;
    char text[SANDBOX_TEXT_OCTETS]; /* for people: "Landlock (ABI 6) and seccomp" */
};

/* Looks at what this kernel has; uses nothing of it if not `wanted` (sandbox=off). */
void sandbox_init(struct sandbox *sandbox, bool wanted, const char *cache_folder,
                  const char *tmpdir);
/* True if sandbox_enter() takes anything away. */
bool sandbox_confines(const struct sandbox *sandbox);

/*
 * Confines the calling thread, and all that it starts, for good. The cache folder must be there.
 * FAULT_MEMORY if what the kernel has cannot be used: then the thread may be half confined and
 * should end. Any thread.
 */
enum fault sandbox_enter(const struct sandbox *sandbox, struct failure *ret_failure);

#endif
