/* SPDX-License-Identifier: MIT */
/* attributes: what stat() says of a message and of a virtual entry, and for how long the kernel may
 * believe it. */
#ifndef POPFS_FS_ATTRIBUTES_H
#define POPFS_FS_ATTRIBUTES_H

#include "popfs/maildrop.h"
#include "tree.h"

#include <sys/stat.h>

/* Seconds that mean "until told otherwise". */
#define ATTRIBUTES_FOREVER_S 1e9
/* That a name means this message. What has gone the kernel is told (listener.c), but it does not
 * take in what it is told of a message while the reply to its first look-up is under way. */
#define ATTRIBUTES_NAME_S 3600.0

/* Who owns everything, and what the permissions are masked with. */
struct attributes_owner {
    uid_t uid;
    gid_t gid;
    mode_t umask;
    bool read_only;
};

/* The size to show: never 0 for an unknown one, which tar and rsync would store as an empty file.
 */
uint64_t attributes_message_octets(const struct maildrop_message *message);
/*
 * What is known right now, without waiting. Returns how long the kernel may believe it: not at all
 * while the size is not believed or the time is unknown, nor when the message has gone. A size that
 * was believed and that RETR belies is taken back by listener.c.
 */
double attributes_of_message(const struct attributes_owner *owner,
                             const struct maildrop_message *message, bool size_is_believed,
                             struct stat *ret_stat);

/* `octets` is the length of the content, `changed_ns` when it changed, in nanoseconds of the epoch.
 */
void attributes_of_entry(const struct attributes_owner *owner, const struct tree_entry *entry,
                         uint64_t octets, int64_t changed_ns, struct stat *ret_stat);

#endif
