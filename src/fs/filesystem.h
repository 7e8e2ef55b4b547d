/* SPDX-License-Identifier: MIT */
/*
 * filesystem: the state behind the FUSE operations, and its one lock.
 *
 * The FUSE thread (fs_run) runs every operation; the sync thread answers parked requests and
 * reports new listings. `lock` guards what they share, for a few instructions: never over a reply,
 * a notification, I/O or a call of libfuse. The one lock that is taken inside it is sync's own.
 */
#ifndef POPFS_FS_FILESYSTEM_H
#define POPFS_FS_FILESYSTEM_H

#define FUSE_USE_VERSION 314

#include "attributes.h"
#include "handle.h"
#include "inode.h"
#include "mountwatch.h"
#include "nametable.h"
#include "place.h"
#include "popfs/fs.h"

#include <fuse_lowlevel.h>
#include <pthread.h>

/* They take a struct stat, on which libfuse and popfs need not agree: reply.h has others. */
#pragma GCC poison fuse_reply_entry fuse_reply_attr fuse_reply_create
#pragma GCC poison fuse_add_direntry fuse_add_direntry_plus

struct parked;
struct open_message;

enum { PARKED_BUCKET_COUNT = 256 };

/* Whether the kernel is told of changes: see gate.c. */
enum fs_notify {
    FS_NOTIFY_NOT_YET,
    FS_NOTIFY_ON,
    FS_NOTIFY_OVER,
};

struct fs {
    /* Never change after fs_create(). */
    struct sync *sync;
    struct fuse_session *session;
    struct attributes_owner owner;
    const char *mountpoint;
    const char *sandbox; /* NULL: not known */
    enum fs_control control;
    unsigned max_read; /* 0: not given */
    uint64_t lazy_octets;
    void (*mounted)(void *context); /* these as in struct fs_options */
    void (*unmount)(void *context);
    void *unmount_context;

    /* The FUSE thread's own. */
    struct inodes inodes;
    bool is_retired;    /* sync has been told that only readers are left */
    bool keeps;         /* the end of the mount is to delete nothing */
    int64_t stopped_ns; /* when a signal asked for the end, on the monotonic clock; 0: none has.
                           From then on no removal is accepted. */
    uint64_t commands_ino_last;
    struct mountwatch mountwatch;
    struct handle *handles;
    struct fuse_buf received;
    bool lingers;      /* looks for the next request before it sleeps */
    int64_t served_ns; /* when the last one was answered, on the monotonic clock */
    unsigned burst_count;
    char *scratch; /* where replies of READ and READDIR are put together */
    size_t scratch_octets;

    pthread_mutex_t lock;
    struct nametable names[PLACE_COUNT]; /* what LOOKUP finds in the root and in the trash */
    int64_t root_changed_ns; /* mtime of the folders: rises with every change of the listing */
    struct open_message *open_messages;
    struct parked *parked[PARKED_BUCKET_COUNT]; /* by id */
    uintptr_t parked_id_last;
    /* The gate: see gate.c. */
    pthread_cond_t gate_opened;
    size_t gate_users_count;
    enum fs_notify notify;
    bool gate_shut;
};

/* A struct fs without a connection to a kernel; fs_new() mounts it, the unit tests give it a
 * socket. */
enum fault fs_create(const struct fs_options *options, struct sync *sync, struct fs **ret_fs,
                     struct failure *ret_failure);

/* Reads and answers one request of the kernel, if one is there within `timeout_ms` (-1: wait). */
enum serve_result { SERVE_GOES_ON, SERVE_UNMOUNTED, SERVE_STOPPED, SERVE_BROKEN };
enum serve_result fs_serve(struct fs *fs, int stop_descriptor, int timeout_ms, int *ret_errno);

/* Nothing may be deleted now: `ro` was an option, or is a flag of the mount since a remount. */
bool fs_is_read_only(struct fs *fs);
/* The same, or no mount of it is left, so that whoever still has it open comes too late. Returns 0
 * or an errno. */
int fs_commit_refusal(struct fs *fs);
/* False where the kernel does not tell which mount is popfs's own: then neither a remount to ro nor
 * a lazy unmount is seen. */
bool fs_knows_its_mount(const struct fs *fs);

/* At least `octets` of fs->scratch; false for want of memory. */
bool fs_scratch(struct fs *fs, size_t octets);

/* Makes the mtime of the root newer than it was. With the lock held. */
void fs_root_touch(struct fs *fs);

/* ---- gate.c: the sync thread and the session ---- */

/* Around a reply from the sync thread. */
void gate_enter(struct fs *fs);
void gate_leave(struct fs *fs);
/* Around a notification: false, and not entered, before gate_begin() and after gate_close(). */
bool gate_enter_to_notify(struct fs *fs);
/* The kernel has said FUSE_INIT: notifications begin, unless gate_close() was called before. */
void gate_begin(struct fs *fs);
/* No notification begins any more. */
void gate_close(struct fs *fs);
/* True: nobody is inside, and whoever comes waits until gate_open(). */
bool gate_shut(struct fs *fs);
void gate_open(struct fs *fs);

/* ---- listener.c ---- */

/* Builds the name table from the newest listing and follows the changes from there on. */
enum fault listener_start(struct fs *fs);

/* ---- ops: the table given to libfuse ---- */

extern const struct fuse_lowlevel_ops operations;

#endif
