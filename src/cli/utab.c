/* SPDX-License-Identifier: MIT */
/*
 * For root, umount(8) of util-linux 2.38 asks statfs(2) alone for the type, which says "fuse" and
 * not "fuse.popfs", unless utab holds something about the mountpoint: then it reads the kernel's
 * table and finds the helper. Refuses to know what the helper does.
 */
#include "utab.h"

#include <libmount/libmount.h>
#include <stddef.h>

static struct libmnt_fs *make_row(const char *source, const char *mountpoint)
{
    struct libmnt_fs *row = mnt_new_fs();
    if (row == NULL)
        return NULL;
    /* Only mounts with an option for userspace are written down; x-popfs means nothing. _netdev has
     * umount -a -O _netdev find it before the network goes. */
    if (mnt_fs_set_source(row, source) == 0 && mnt_fs_set_target(row, mountpoint) == 0 &&
        mnt_fs_set_fstype(row, "fuse.popfs") == 0 &&
        mnt_fs_set_options(row, "_netdev,x-popfs") == 0)
        return row;
    mnt_unref_fs(row);
    return NULL;
}

/* Adds `row`, or takes away what is said of `mountpoint`; the other is NULL. */
static bool update(const char *mountpoint, struct libmnt_fs *row)
{
    struct libmnt_update *change = mnt_new_update();
    bool good = change != NULL && mnt_update_set_fs(change, 0, mountpoint, row) >= 0 &&
                mnt_update_table(change, NULL) == 0;
    mnt_free_update(change);
    return good;
}

bool utab_add(const char *source, const char *mountpoint)
{
    struct libmnt_fs *row = make_row(source, mountpoint);
    /* One that was killed here has left its own. */
    (void)utab_remove(mountpoint);
    bool good = row != NULL && update(NULL, row);
    mnt_unref_fs(row);
    return good;
}

bool utab_remove(const char *mountpoint)
{
    return update(mountpoint, NULL);
}
