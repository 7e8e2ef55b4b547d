/* SPDX-License-Identifier: MIT */
/* Where a popfs is mounted, which mount that is, and by whom. */
#ifndef POPFS_CTL_PLACE_H
#define POPFS_CTL_PLACE_H

#include "popfs/base.h"

#include <limits.h>
#include <sys/types.h>

struct place {
    char path[PATH_MAX]; /* of the mount point, without links */
    struct mount_identity mount;
    uid_t owner; /* whom alone the kernel lets in, unless allow_other */
    gid_t group;
    bool is_root; /* what was looked for is the mount point itself */
};

/* These ask the kernel alone; the mount itself is not touched unless `path` lies below its root. */

/* The mount that `path` is in. 0, or an errno: ENODEV if that is not a popfs. */
int place_find(const char *path, struct place *ret_place);
/* The last mount of this source that no other hides; ENODEV if there is none. */
int place_find_source(const char *source, struct place *ret_place);

/* The path still leads to that mount. */
bool place_is_there(const struct place *place);
/* An open file lies on that mount's file system. */
bool place_has_file(const struct place *place, int descriptor);
/* The file system has another mount in this namespace; *ret_path (may be NULL) is where, the
 * caller's to free. */
bool place_is_elsewhere(const struct place *place, char **ret_path);
/* The kernel keeps root out of a mount without allow_other; the one who mounted it is let in. False
 * if this process is not root's, or that one is root. */
bool place_become_owner(const struct place *place);

#endif
