/* SPDX-License-Identifier: MIT */
/*
 * nametable: from a file name to its message in O(1), without keeping the names.
 *
 * Refuses to know inodes, FUSE and locks: the owner locks. 18 octets per message on average, 23 at
 * worst.
 */
#ifndef POPFS_FS_NAMETABLE_H
#define POPFS_FS_NAMETABLE_H

#include "names.h"
#include "popfs/maildrop.h"

/* A zeroed one is empty and valid. */
struct nametable {
    struct maildrop_message **messages; /* NULL: free; one reference each */
    uint32_t *hashes;
    size_t capacity;
    size_t count;
};

void nametable_done(struct nametable *table);

/* What the functions below want to be given, so that it can be worked out before locking. */
uint32_t nametable_hash(struct slice name);

/* Makes room for `more` messages. False for want of memory, with the table as it was. */
bool nametable_reserve(struct nametable *table, size_t more);
/* Adding what is there already changes nothing. False for want of memory. */
bool nametable_add(struct nametable *table, uint32_t hash, struct maildrop_message *message);
/* False if it was not there. */
bool nametable_remove(struct nametable *table, uint32_t hash,
                      const struct maildrop_message *message);
/* A new reference, or NULL. */
struct maildrop_message *nametable_find(const struct nametable *table, uint32_t hash,
                                        struct slice name);

#endif
