/* SPDX-License-Identifier: MIT */
/* Unmounting by path, from outside of the sandbox. */
#ifndef POPFS_CLI_UNMOUNT_H
#define POPFS_CLI_UNMOUNT_H

#include "popfs/base.h"

/* Lazily, as root by itself and as anybody else through fusermount3, which it waits for.
 * FAULT_DISK. */
enum fault unmount_run(const char *mountpoint, struct failure *ret_failure);

#endif
