/* SPDX-License-Identifier: MIT */
/* Unmounting popfs's own mount, and no other that has come to stand at its path. */
#ifndef POPFS_CLI_UNMOUNT_H
#define POPFS_CLI_UNMOUNT_H

#include "popfs/base.h"

/* Which mount is popfs's own. */
struct unmount_own {
    bool is_noted;                  /* unmount_note() has looked; it looks once */
    struct mount_identity identity; /* empty: it looked in vain */
    uint64_t unique_id;             /* 0: the kernel does not tell */
};

/* Notes which mount is on top at `mountpoint`: right after mounting. FAULT_DISK if that is not a
 * popfs. */
enum fault unmount_note(const char *mountpoint, struct unmount_own *ret_own,
                        struct failure *ret_failure);

/*
 * Unmounts it, wherever it is by now. Lazily, as root by itself and as anybody else through
 * fusermount3, which it waits for. FAULT_NONE also if it has been unmounted already. FAULT_BUSY,
 * with nothing done, if something else is mounted over it or in it, which would go with it.
 * FAULT_DISK if it cannot be done.
 */
enum fault unmount_run(const struct unmount_own *own, struct failure *ret_failure);

/* A popfs is mounted there, on top or not. */
bool unmount_is_needed(const char *mountpoint);

#endif
