/* SPDX-License-Identifier: MIT */
/*
 * handle: what an open folder or an open virtual file shows. The FUSE thread alone touches handles.
 * They are kept in a list, because the kernel drops the RELEASEs that are under way when it is
 * unmounted.
 */
#ifndef POPFS_FS_HANDLE_H
#define POPFS_FS_HANDLE_H

#include "popfs/base.h"
#include "popfs/maildrop.h"

struct handle {
    /* A folder: what the listing was at the last read of the start; rewinddir() shows what is new
     * (POSIX). */
    struct maildrop_snapshot *snapshot;
    /* A file: its content as of the open. */
    struct buffer content;
    /* handle.c's own */
    struct handle *next;
    struct handle **link;
};

/* Empty, at the head of the list; NULL for want of memory. */
struct handle *handle_new(struct handle **list);
void handle_free(struct handle *handle);

#endif
