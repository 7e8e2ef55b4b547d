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
    struct maildrop_message *message; /* NULL: it is about none */
    /* Replies, exactly once, or turns to another message, on the sync thread. `body` as in struct
     * sync_request. */
    void (*reply)(struct parked *parked, enum fault fault, struct extent body);
    uint64_t told_octets;       /* the size that the kernel had when this request came in */
    struct fuse_file_info info; /* OPEN alone */
    size_t size;                /* READ and WRITE */
    off_t offset;               /* READ alone */
    struct open_message *open;  /* READ of a body that is damaged */
    bool lost_again;            /* the same, for the second time */
    bool by_ioctl;              /* and not by WRITE */
    bool by_file;               /* GETATTR alone: it came from read() */
    /* parked.c's own */
    bool again;
    uintptr_t id; /* travels in a pointer */
    struct parked *next;
    struct parked **link;
};

/* For parked_submit(), with what else it needs filled in by the caller. Replies ENOMEM and gives
 * NULL for want of memory. */
struct parked *
parked_new(struct fs *fs, fuse_req_t req, enum sync_want want, struct maildrop_message *message,
           void (*reply)(struct parked *parked, enum fault fault, struct extent body));
/* Parks the request until sync has answered; replies at once if it has been interrupted. */
void parked_submit(struct parked *parked);
/* In place of a reply, and from there alone: the same request now waits for this message, with the
 * same want. */
void parked_turn_to(struct parked *parked, struct maildrop_message *message,
                    void (*reply)(struct parked *parked, enum fault fault, struct extent body));

#endif
