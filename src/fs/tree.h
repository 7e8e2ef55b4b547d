/* SPDX-License-Identifier: MIT */
/*
 * tree: the one table of what is in the file system besides messages: name, kind, mode, how it
 * lists, how it renders. A new view is a new row. Refuses to know FUSE and locks.
 */
#ifndef POPFS_FS_TREE_H
#define POPFS_FS_TREE_H

#include "popfs/base.h"
#include "popfs/sync.h"

#include <sys/types.h>

enum { TREE_ROOT_INO = 1 };

enum tree_listing {
    TREE_LISTS_NOTHING,  /* a file */
    TREE_LISTS_ENTRIES,  /* the rows whose parent it is, without the hidden ones */
    TREE_LISTS_MESSAGES, /* those, then the messages */
};

struct tree_entry {
    const char *name;
    uint64_t ino;
    uint64_t parent;
    mode_t mode; /* type and permissions, before the umask */
    bool
        hidden; /* can be looked up, but is not listed: tar, grep -r and indexers do not enter it */
    enum tree_listing listing;
    /* Files: appends the content; false for want of memory. NULL for folders. */
    bool (*render)(const struct sync_status *status, struct buffer *content);
};

/* NULL: there is none. */
const struct tree_entry *tree_find(uint64_t ino);
const struct tree_entry *tree_lookup(uint64_t parent, struct slice name);
/* The first listed entry of `parent` whose ino is above `ino`. */
const struct tree_entry *tree_listed_after(uint64_t parent, uint64_t ino);

#endif
