/* SPDX-License-Identifier: MIT */
/* popfsctl umount, and umount.fuse.popfs for umount(8). */
#ifndef POPFS_CTL_UMOUNT_H
#define POPFS_CTL_UMOUNT_H

#include "job.h"

/* Neither: commits, unmounts, waits for the end. Either or both: only unmounts. */
enum {
    UMOUNT_LAZY = 1,  /* even if it is in use */
    UMOUNT_FORCE = 2, /* and what waits for the mount gets an error */
};

/* Returns the code to exit with. */
int umount_run(struct job *job, unsigned how);

/* For -N of umount(8): goes on in the mount namespace that the file `path` stands for. */
bool umount_enter_namespace(struct job *job, const char *path);

#endif
