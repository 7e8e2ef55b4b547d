/* SPDX-License-Identifier: MIT */
/*
 * fs: the maildrop as a FUSE file system (libfuse3, low-level API).
 *
 * Knows FUSE replies, inodes, file names and errno. Refuses to know net, pop3 and store: it answers
 * from sync's snapshots and turns what needs the network into sync requests. One thread runs the
 * loop and never waits for anything but the kernel.
 */
#ifndef POPFS_FS_H
#define POPFS_FS_H

#include "popfs/base.h"
#include "popfs/sync.h"

#include <sys/types.h>

/* Whether `.popfs` is there. */
enum fs_control {
    FS_CONTROL_HIDDEN,  /* can be entered by name, but is not listed */
    FS_CONTROL_VISIBLE, /* is listed, too */
    FS_CONTROL_OFF,     /* there is none */
};

/* Borrowed for the life of the struct fs. */
struct fs_options {
    const char *mountpoint;
    const char *source;        /* shown by mount and df: "user@host:port" */
    const char *mount_options; /* for libfuse, "nodev,nosuid,max_read=65536"; "" if none */
    bool read_only;
    uint64_t lazy_octets; /* as sync has it: which messages it may give as streams */
    enum fs_control control;
    const char *sandbox; /* for .popfs/status: what the process has given up; NULL: not known */
    bool debug;          /* libfuse's own trace */
    bool allow_other;
    uid_t uid;
    gid_t gid;
    mode_t umask;
    /* Called once mounted, to learn which mount it is, and to take that one away. NULL: the mount
     * was made by somebody else, who takes it away. */
    void (*mounted)(void *context);
    void (*unmount)(void *context);
    void *unmount_context;
};

struct fs;

/* For sync_options.name_of: the name of the file. */
bool fs_name_of(struct slice uidl, uint32_t copy, char ret_name[SYNC_NAME_OCTETS]);

/* Mounts. `sync` has been started and outlives the fs. FAULT_DISK: one line that helps. */
enum fault fs_new(const struct fs_options *options, struct sync *sync, struct fs **ret_fs,
                  struct failure *ret_failure);

/*
 * Answers the kernel until it is unmounted or `stop_descriptor` (a signalfd for SIGTERM, SIGINT,
 * SIGHUP) becomes readable. From then on removals are refused; while some are pending, requests are
 * answered for two seconds at most, because a program may be about to replace what it has removed.
 * Returns FAULT_NONE for either; FAULT_DISK when the connection to the kernel broke, or was cut
 * under a mount with removals. *ret_may_commit, always set: somebody has ended the mount in an
 * orderly way, so that what is going may be deleted. False after a lazy unmount, for a mount that
 * is read-only at the end, and when the connection was cut while the file system was still mounted;
 * the log says so.
 */
enum fault fs_run(struct fs *fs, int stop_descriptor, bool *ret_may_commit,
                  struct failure *ret_failure);

/*
 * Unmounts if the kernel has not done so yet (lazily: open files then get errors). From here on no
 * new removal can come in. Call before sync_stop(), so that the commit knows them all.
 */
void fs_unmount(struct fs *fs);
/* After sync_stop(), when no request is waiting any more. NULL is fine. */
void fs_free(struct fs *fs);

#endif
