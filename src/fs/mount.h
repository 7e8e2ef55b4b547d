/* SPDX-License-Identifier: MIT */
/* mount: what libfuse is told when mounting, and what is wrong with a mount point, said better than
 * libfuse says it. */
#ifndef POPFS_FS_MOUNT_H
#define POPFS_FS_MOUNT_H

#include "popfs/fs.h"

/* Appends the argument of -o, terminated. False for want of memory. */
bool mount_options_write(const struct fs_options *options, struct buffer *text);
/* N of max_read=N among the options, 0 if it is not there. */
unsigned mount_options_max_read(const char *mount_options);

/* FAULT_DISK with one line that says what to do. */
enum fault mount_point_check(const char *mountpoint, struct failure *ret_failure);

/*
 * True if the kernel checks (default_permissions) everybody whom allow_other lets in: popfs does
 * not look at modes. `own` is NULL where popfs does not know which mount is its own. Then every
 * popfs in the table must be checked, since each may be it. `is_wanted`: allow_other is an option
 * of popfs's own, so a mount that has it must be seen, too: the own one, or where that is not known
 * one that mountwatch_may_be_handed_over().
 */
bool mount_is_guarded(struct slice table, const struct mount_identity *own, const char *source,
                      bool is_wanted);
/* The same for the kernel's table. FAULT_DISK with one line that says what to do. */
enum fault mount_guard_check(const struct mount_identity *own, const char *source, bool is_wanted,
                             struct failure *ret_failure);

/*
 * libfuse's messages go to the log; between mount_messages_keep() and mount_messages_kept() they
 * are kept instead, to become the one line that a failed mount prints. Before the loop runs. The
 * text lives until the next mount_messages_keep().
 */
void mount_messages_keep(void);
const char *mount_messages_kept(void);

#endif
