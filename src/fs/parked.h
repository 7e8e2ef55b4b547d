/* SPDX-License-Identifier: MIT */
/*
 * parked: FUSE requests that wait for sync.
 *
 * The FUSE thread parks them and goes on; the sync thread answers them; an interrupt from the
 * kernel, which arrives on the FUSE thread, asks sync for an early answer.
 */
#ifndef POPFS_FS_PARKED_H
#define POPFS_FS_PARKED_H

#include "filesystem.h"

struct parked {
    struct sync_request request; /* first: sync gives back its address */
    struct fs *fs;
    fuse_req_t req;
    struct maildrop_message *message;
    /* Replies, exactly once, on the sync thread. `descriptor` as in struct sync_request. */
    void (*reply)(struct parked *parked, enum fault fault, int descriptor);
    uint64_t told_octets;       /* the size that the kernel had when this request came in */
    struct fuse_file_info info; /* OPEN alone */
    /* parked.c's own */
    uint64_t id;
    struct parked *next;
    struct parked **link;
};

/* Parks `req` until sync has answered; replies at once if there is no memory or it has been
 * interrupted. */
void parked_submit(struct fs *fs, fuse_req_t req, enum sync_want want,
                   struct maildrop_message *message, const struct fuse_file_info *info,
                   void (*reply)(struct parked *parked, enum fault fault, int descriptor));

#endif
