/* SPDX-License-Identifier: MIT */
/* How a snapshot is made; only maildrop.c makes them. */
#ifndef MAILDROP_SNAPSHOT_H
#define MAILDROP_SNAPSHOT_H

#include "message.h"

struct maildrop_snapshot {
    atomic_uint refs;
    size_t count;
    struct maildrop_message *messages[]; /* one reference each, by rising id */
};

/* Room for `room` messages, count 0; NULL for want of memory. */
struct maildrop_snapshot *snapshot_new(size_t room);
/* Only while nobody else has it. The snapshot, perhaps moved; NULL for want of memory, and then it
 * is as it was. */
struct maildrop_snapshot *snapshot_grow(struct maildrop_snapshot *snapshot, size_t room);
/* Takes a reference of its own. */
void snapshot_add(struct maildrop_snapshot *snapshot, struct maildrop_message *message);

#endif
