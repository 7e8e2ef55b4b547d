/* SPDX-License-Identifier: MIT */
/* An allocator that fails when it is told to. Linked with --wrap, so that it stands before what
 * popfs itself allocates, and not before its libraries. */
#ifndef POPFS_ALLOC_FAILING_H
#define POPFS_ALLOC_FAILING_H

#include <stdbool.h>

/*
 * Runs `scenario` with its first allocation failing, then with its second, and so on until it gets
 * through without a failure; first with one failure each time, then with all that follow failing as
 * well. `scenario` returns true if it had all the memory that it wanted.
 */
void fail_each_allocation(bool (*scenario)(void));

/* For what a scenario prepares and looks at: while paused, nothing fails or is counted. */
void failing_pause(void);
void failing_go_on(void);

#endif
