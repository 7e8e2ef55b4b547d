/* SPDX-License-Identifier: MIT */
/*
 * What backups compare. Inode, size, mtime and ctime of a message depend on the message alone, and
 * ctimes differ by nanoseconds, because borg never trusts files that carry the newest ctime of all.
 */
#include "attributes.h"

#include "inode.h"

#include <string.h>

enum { BLOCK_OCTETS = 512, PREFERRED_OCTETS = 4096, NS_PER_S = 1000000000 };

static struct timespec timespec_from_ns(int64_t ns)
{
    return (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = (long)(ns % NS_PER_S)};
}

static void fill(struct stat *stat, const struct attributes_owner *owner, mode_t mode,
                 uint64_t octets)
{
    memset(stat, 0, sizeof(*stat));
    stat->st_mode = mode & ~(owner->umask & 0777);
    stat->st_uid = owner->uid;
    stat->st_gid = owner->gid;
    stat->st_size = (off_t)octets;
    stat->st_blksize = PREFERRED_OCTETS;
    stat->st_blocks = (blkcnt_t)((octets + BLOCK_OCTETS - 1) / BLOCK_OCTETS);
}

uint64_t attributes_message_octets(const struct maildrop_message *message)
{
    bool exact;
    uint64_t octets = maildrop_message_octets(message, &exact);
    return octets > 0 || exact ? octets : 1;
}

double attributes_of_message(const struct attributes_owner *owner,
                             const struct maildrop_message *message, bool size_is_believed,
                             struct stat *ret_stat)
{
    int64_t seconds;
    int64_t first_seen_ns = maildrop_message_first_seen_ns(message);
    bool dated = maildrop_message_time(message, &seconds);
    bool gone = maildrop_message_is_withdrawn(message);
    if (!dated)
        seconds = first_seen_ns / NS_PER_S;

    fill(ret_stat, owner, S_IFREG | (owner->read_only ? 0444 : 0666),
         attributes_message_octets(message));
    ret_stat->st_ino = inode_of_message(message);
    /* What is going still has a name in the trash. */
    ret_stat->st_nlink = gone ? 0 : 1;
    ret_stat->st_mtim.tv_sec = seconds;
    ret_stat->st_atim.tv_sec = seconds;
    ret_stat->st_ctim = timespec_from_ns(first_seen_ns);
    return size_is_believed && dated && !gone ? ATTRIBUTES_FOREVER_S : 0;
}

void attributes_of_entry(const struct attributes_owner *owner, const struct tree_entry *entry,
                         uint64_t octets, int64_t changed_ns, struct stat *ret_stat)
{
    /* Where nothing can be opened for writing, commands come by ioctl(2) on what is open to read.
     */
    bool is_read = owner->read_only && entry->ino == TREE_COMMANDS_INO;
    fill(ret_stat, owner, entry->mode | (is_read ? 0400 : 0), octets);
    ret_stat->st_ino = entry->ino;
    ret_stat->st_nlink = S_ISDIR(entry->mode) ? 2 : 1;
    ret_stat->st_mtim = timespec_from_ns(changed_ns);
    ret_stat->st_atim = ret_stat->st_mtim;
    ret_stat->st_ctim = ret_stat->st_mtim;
}
