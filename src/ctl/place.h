/* SPDX-License-Identifier: MIT */
/* Where a popfs is mounted, and by whom. */
#ifndef POPFS_CTL_PLACE_H
#define POPFS_CTL_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct place {
    char path[PATH_MAX]; /* of the mount point, without links */
    uid_t owner;         /* whom alone the kernel lets in, unless allow_other */
    gid_t group;
    bool is_root; /* what was looked for is the mount point itself */
};

/*
 * The mount that `path` is in. 0, or an errno: ENODEV if that is not a popfs. `table` is
 * /proc/self/mounts. The mount itself is not touched unless `path` lies below its root.
 */
int place_find(const char *table, const char *path, struct place *ret_place);
/* The last mount of this source; ENODEV if there is none. */
int place_find_source(const char *table, const char *source, struct place *ret_place);

#endif
