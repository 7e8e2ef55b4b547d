/* SPDX-License-Identifier: MIT */
/* What popfsctl ends with; the numbers are those of mount(8) and umount(8). */
#ifndef POPFS_CTL_EXIT_H
#define POPFS_CTL_EXIT_H

enum {
    EXIT_DONE = 0,
    EXIT_USAGE = 1,
    EXIT_INCOMPLETE = 1, /* not done, or not all of it */
    EXIT_SYSTEM = 2,
    EXIT_MOUNT = 32,  /* not unmounted */
    EXIT_SIGNAL = 128 /* and the number of the signal */
};

#endif
