/* SPDX-License-Identifier: MIT */
/* popfsctl umount, and umount.fuse.popfs for umount(8). */
#ifndef POPFS_CTL_UMOUNT_H
#define POPFS_CTL_UMOUNT_H

#include "job.h"

enum umount_how {
    UMOUNT_PLAIN, /* commits, unmounts, waits */
    UMOUNT_LAZY,  /* detaches, and does neither of the others */
    UMOUNT_FORCE, /* likewise, and what waits for the mount gets an error */
};

/* Returns the code to exit with. */
int umount_run(struct job *job, enum umount_how how);

/* For -N of umount(8): goes on in the mount namespace that the file `path` stands for. */
bool umount_enter_namespace(struct job *job, const char *path);

#endif
