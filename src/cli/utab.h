/* SPDX-License-Identifier: MIT */
/* What umount(8) wants to know of a mount before it asks umount.fuse.popfs. */
#ifndef POPFS_CLI_UTAB_H
#define POPFS_CLI_UTAB_H

#include <stdbool.h>

/* Writes the mount down in /run/mount/utab, as mount(8) does. Root alone may; false: it could not
 * be written, and umount(8) will not know of the helper. */
bool utab_add(const char *source, const char *mountpoint);
/* Strikes it out. Also fine if umount(8) already has. */
bool utab_remove(const char *mountpoint);

#endif
