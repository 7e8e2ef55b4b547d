/* SPDX-License-Identifier: MIT */
/*
 * tree: the one table of what is in the file system besides messages: name, kind, mode, how it
 * lists, how it renders. A new view is a new row. Refuses to know FUSE and locks.
 */
#ifndef POPFS_FS_TREE_H
#define POPFS_FS_TREE_H

#include "popfs/base.h"
#include "popfs/fs.h"

#include <sys/types.h>

enum { TREE_ROOT_INO = 1, TREE_FOLDER_INO, TREE_TRASH_INO, TREE_COMMANDS_INO };

struct status_view;

enum tree_listing {
    TREE_LISTS_NOTHING,  /* a file */
    TREE_LISTS_ENTRIES,  /* the rows whose parent it is */
    TREE_LISTS_MESSAGES, /* those, then the messages */
    TREE_LISTS_GOING,    /* those, then the messages that the user has removed */
};

struct tree_entry {
    const char *name;
    uint64_t ino;
    uint64_t parent;
    mode_t mode; /* type and permissions, before the umask */
    enum tree_listing listing;
    /* Files that are read: appends the content; false for want of memory. NULL for others. */
    bool (*render)(const struct status_view *view, struct buffer *content);
};

/* NULL: there is none. */
const struct tree_entry *tree_find(uint64_t ino);
const struct tree_entry *tree_lookup(enum fs_control control, uint64_t parent, struct slice name);
/* The first listed entry of `parent` whose ino is above `ino`. */
const struct tree_entry *tree_listed_after(enum fs_control control, uint64_t parent, uint64_t ino);

#endif
