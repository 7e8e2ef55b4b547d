/* SPDX-License-Identifier: MIT */
/* Which files a confined thread may still open (Landlock). */
#ifndef POPFS_CLI_SANDBOX_FILES_H
#define POPFS_CLI_SANDBOX_FILES_H

#include "popfs/base.h"

/* The version of Landlock that this kernel has; 0 if it has none or does not let us. */
int sandbox_files_abi(void);

/* A descriptor that holds the list, for the caller to close. `tmpdir` may be NULL. FAULT_MEMORY. */
enum fault sandbox_files_prepare(int abi, const char *cache_folder, const char *state_folder,
                                 const char *tmpdir, int *ret_ruleset, struct failure *ret_failure);
/* For the calling thread, which has no_new_privs set. FAULT_MEMORY. */
enum fault sandbox_files_restrict(int ruleset, struct failure *ret_failure);

#endif
