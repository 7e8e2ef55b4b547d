/* SPDX-License-Identifier: MIT */
/*
 * inode: the messages that the kernel holds by inode number, and how often it has looked each up.
 *
 * Refuses to know names and replies. Touched by the FUSE thread alone, so there is no lock.
 *
 * Identifier spaces: an ino lives as long as the mount. 1 is the root, the next few are virtual
 * entries (tree.h), a message has its id plus INODE_MESSAGE_FIRST, so that inode numbers rise in
 * listing order and are never used again. Those from INODE_COMMANDS_FIRST on all mean the file that
 * takes commands; see ops_control.c.
 */
#ifndef POPFS_FS_INODE_H
#define POPFS_FS_INODE_H

#include "popfs/maildrop.h"

enum { INODE_MESSAGE_FIRST = 4096 };
#define INODE_COMMANDS_FIRST ((uint64_t)1 << 62)

uint64_t inode_of_message(const struct maildrop_message *message);
/* False: the root or a virtual entry. */
bool inode_is_message(uint64_t ino);
bool inode_is_commands(uint64_t ino);

struct inode {
    struct maildrop_message *message; /* NULL: free; one reference */
    uint64_t ino;
    uint64_t lookup_count;
    uint64_t told_octets : 63; /* the size that the kernel was given last */
    uint64_t streamed : 1;     /* the page cache may hold what TOP gave */
};

/* A zeroed one is empty and valid. */
struct inodes {
    struct inode *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void inodes_done(struct inodes *inodes);
/* Makes room for `count` messages in all, so that adding them need not move others; may do nothing.
 */
void inodes_reserve(struct inodes *inodes, size_t count);
/* The kernel has been told of this message once more. False for want of memory. */
bool inodes_remember(struct inodes *inodes, struct maildrop_message *message);
/* The kernel has been told this size of it. */
void inodes_tell_octets(struct inodes *inodes, uint64_t ino, uint64_t octets);
/* The size that the kernel has; 0 if it does not know the inode. */
uint64_t inodes_told_octets(const struct inodes *inodes, uint64_t ino);
/* Borrowed until the kernel forgets it; NULL if the kernel has no business to know it. */
struct maildrop_message *inodes_find(const struct inodes *inodes, uint64_t ino);
/* Sets or keeps the mark; returns what it is now. */
bool inodes_set_streamed(struct inodes *inodes, uint64_t ino, bool streamed);
/* Takes the mark off; returns what it was. */
bool inodes_take_streamed(struct inodes *inodes, uint64_t ino);
/* The kernel takes back `lookup_count` of what it was told. */
void inodes_forget(struct inodes *inodes, uint64_t ino, uint64_t lookup_count);

#endif
