/* SPDX-License-Identifier: MIT */
/* The end of the process behind a mount. */
#ifndef POPFS_CTL_ENDING_H
#define POPFS_CTL_ENDING_H

#include "place.h"
#include "report.h"

/* A descriptor for ending_wait(), the caller's to close; -1 if `pid` is not a popfs that can be
 * seen from here. Call it while the mount still answers: the number cannot have been used again
 * then. */
int ending_watch(int64_t pid);
/* True once it has ended. False, and said why, if a signal came, it took five minutes, or another
 * mount namespace keeps the file system of `place`, which has been unmounted here. */
bool ending_wait(int watch, const struct place *place, struct report *report);

#endif
