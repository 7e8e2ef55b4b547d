/* SPDX-License-Identifier: MIT */
/* Paths that stay right after chdir("/"), and where cache and state are when nobody says so. */
#ifndef POPFS_CLI_PATHS_H
#define POPFS_CLI_PATHS_H

#include "popfs/base.h"

#include <sys/types.h>

/* Each returns a new string; NULL for want of memory or of a current folder. */

/* Relative to the current folder, nothing resolved. */
char *path_absolute(const char *path);
/* Links resolved in as much of it as exists. */
char *path_resolve(const char *path);
/* The first of these that is usable: XDG_CACHE_HOME, HOME, /var/cache for root, TMPDIR, /tmp. NULL
 * where not set. */
char *path_cache_default(const char *xdg_cache_home, const char *home, const char *tmpdir,
                         uid_t uid);

/* The first of these that is usable: XDG_STATE_HOME, HOME, /var/lib for root. False: there is none,
 * for nothing in it may be lost as in /tmp. */
bool path_state_default(const char *xdg_state_home, const char *home, uid_t uid, char **ret_path);

/* Where a mount without a cache keeps its bodies: below TMPDIR or /tmp. */
char *path_temporary(const char *tmpdir, uid_t uid);

/*
 * mount(8) and mount.fuse3 may leave HOME=/root to a popfs that runs as another user: then that
 * user's own home is put in its place. False for want of memory.
 */
bool path_correct_home(void);

/* N of "/dev/fd/N", what a shell writes for <(command) and mount.fuse3 for the device; else -1. */
int path_descriptor(const char *path);

/* True if both are the same or `path` lies below `folder`. Both resolved. */
bool path_is_inside(const char *path, const char *folder);

#endif
