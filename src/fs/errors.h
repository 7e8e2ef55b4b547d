/* SPDX-License-Identifier: MIT */
/* errors: faults as errno, in one place. Refuses to know FUSE. */
#ifndef POPFS_FS_ERRORS_H
#define POPFS_FS_ERRORS_H

#include "popfs/base.h"

/* What a system call of the user fails with; 0 for FAULT_NONE. */
int errno_from_fault(enum fault fault);
/* The same for a removal or its undoing, where "refused" means that popfs will not do it, and
 * "busy" that a commit is about to do it. */
int errno_from_fault_of_removal(enum fault fault, bool read_only);
/* The same for a file that was to replace a removed message. `fault` is what became of the attempt
 * to take that removal back; the file is refused in any case. */
int errno_from_fault_of_replacement(enum fault fault);

#endif
