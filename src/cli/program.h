/* SPDX-License-Identifier: MIT */
/* Starts another program. */
#ifndef POPFS_CLI_PROGRAM_H
#define POPFS_CLI_PROGRAM_H

#include <sys/types.h>

/*
 * Runs `program` (looked for in PATH unless it holds a slash) with /dev/null as its input, `output`
 * as its standard output, our stderr, and signals as a new process expects them, whatever popfs has
 * blocked or ignored. Returns 0 or an errno.
 */
int program_start(const char *program, char *const arguments[], int output, pid_t *ret_child);

#endif
