/* SPDX-License-Identifier: MIT */
/* Which system calls a confined thread may still make (seccomp). */
#ifndef POPFS_CLI_SANDBOX_CALLS_H
#define POPFS_CLI_SANDBOX_CALLS_H

#include "popfs/base.h"

/* False if this kernel has no seccomp filters or does not let us. */
bool sandbox_calls_are_known(void);

/* The list; one for each process, which it names. FAULT_MEMORY. */
enum fault sandbox_calls_prepare(void **ret_filter, struct failure *ret_failure);
/* NULL is fine. */
void sandbox_calls_done(void *filter);
/* For the calling thread, which has no_new_privs set. Not at the same time as in another.
 * FAULT_MEMORY. */
enum fault sandbox_calls_restrict(void *filter, struct failure *ret_failure);

#endif
