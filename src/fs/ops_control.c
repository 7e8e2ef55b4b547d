/* SPDX-License-Identifier: MIT */
/*
 * Wishes that are not about one file: .popfs/control, where each write is a command and returns
 * when it has been carried out, and fsync() of the root.
 *
 * While a write is on, the kernel keeps every other write to the same inode waiting, where no
 * signal reaches it. So each look-up of the file gives another inode number, and a commit need not
 * wait for a prefetch of hours.
 */
#include "command.h"
#include "errors.h"
#include "ops.h"
#include "parked.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* ---- .popfs/control ---- */

/* The kernel looks at the mode only with default_permissions. */
static bool may_read(fuse_req_t req, struct fs *fs)
{
    uid_t uid = fuse_req_ctx(req)->uid;
    return fs_is_read_only(fs) && (uid == 0 || uid == fs->owner.uid);
}

void control_open(fuse_req_t req, struct fs *fs, struct fuse_file_info *info)
{
    int access = info->flags & O_ACCMODE;
    if (access != O_WRONLY && (access != O_RDONLY || !may_read(req, fs))) {
        fuse_reply_err(req, EACCES);
        return;
    }
    info->fh = 0;
    info->direct_io = 1; /* a write comes as one, and at once */
    info->noflush = 1;
    fuse_reply_open(req, info);
}

static int errno_of_command(const struct sync_request *request, enum fault fault)
{
    if (request->want == SYNC_WANT_PREFETCH && fault == FAULT_DISK)
        return ENOSPC;
    return request->want == SYNC_WANT_RESTORE ? errno_from_fault_of_removal(fault, false)
                                              : errno_from_fault(fault);
}

static void command_answered(struct parked *parked, enum fault fault, struct extent body)
{
    cleanup_close(&body.descriptor);
    if (fault == FAULT_NONE && parked->by_ioctl)
        fuse_reply_ioctl(parked->req, 0, NULL, 0);
    else if (fault == FAULT_NONE)
        fuse_reply_write(parked->req, parked->size);
    else
        fuse_reply_err(parked->req, errno_of_command(&parked->request, fault));
}

static enum sync_want want_of(const struct command *command)
{
    switch (command->verb) {
    case COMMAND_COMMIT:
    case COMMAND_SETTLE:
        return SYNC_WANT_COMMIT;
    case COMMAND_REFRESH:
        return SYNC_WANT_REFRESH;
    case COMMAND_ROLLBACK:
    case COMMAND_UNDELETE:
        return SYNC_WANT_RESTORE;
    case COMMAND_VERIFY:
        return SYNC_WANT_VERIFY;
    case COMMAND_PREFETCH:
    case COMMAND_KEEP:
        break;
    }
    return command->name.len > 0 ? SYNC_WANT_BODY : SYNC_WANT_PREFETCH;
}

/* A new reference; NULL: there is none of that name, or none that the command is for. */
static struct maildrop_message *message_of(struct fs *fs, const struct command *command)
{
    struct maildrop_message *message = place_find(fs, PLACE_TRASH, command->name);
    if (message == NULL && (command->verb == COMMAND_PREFETCH || command->verb == COMMAND_VERIFY))
        message = place_find(fs, PLACE_ROOT, command->name);
    return message;
}

/* A `size` of 0: it came by ioctl(2). */
static void submit(fuse_req_t req, struct fs *fs, const struct command *command, size_t size)
{
    struct maildrop_message *message = NULL;
    if (command->name.len > 0 && (message = message_of(fs, command)) == NULL) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    struct parked *parked = parked_new(fs, req, want_of(command), message, command_answered);
    maildrop_message_unref(message);
    if (parked == NULL)
        return;
    parked->size = size;
    parked->request.confirms = command->verb == COMMAND_COMMIT;
    parked->by_ioctl = size == 0;
    parked_submit(parked);
}

/* `umount -l` of a mount that nobody uses looks like `umount` to us: umount.fuse.popfs says so. */
static void keep(fuse_req_t req, struct fs *fs, size_t size)
{
    fs->keeps = true;
    fuse_reply_write(req, size);
}

void ops_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
               struct fuse_file_info *info)
{
    (void)offset;
    (void)info;
    struct fs *fs = fuse_req_userdata(req);
    struct command command;
    int refusal;
    if (!inode_is_commands(ino))
        ops_refuse(req);
    else if (!command_parse((struct slice){data, size}, &command))
        fuse_reply_err(req, EINVAL);
    else if (command_is_about_removal(command.verb) && fs_is_read_only(fs))
        fuse_reply_err(req, EROFS);
    else if (want_of(&command) == SYNC_WANT_COMMIT && (refusal = fs_commit_refusal(fs)) != 0)
        fuse_reply_err(req, refusal);
    else if (command.verb == COMMAND_KEEP)
        keep(req, fs, size);
    else
        submit(req, fs, &command, size);
}

/* Only what removes nothing: whoever may only read may have read what the server has. */
void ops_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int number, void *argument,
               struct fuse_file_info *info, unsigned flags, const void *in, size_t in_octets,
               size_t out_octets)
{
    (void)argument, (void)info, (void)flags, (void)out_octets;
    struct fs *fs = fuse_req_userdata(req);
    struct command command;
    if (!inode_is_commands(ino) || number != CONTROL_COMMAND ||
        in_octets != sizeof(struct control_line)) {
        fuse_reply_err(req, ENOTTY);
        return;
    }
    const char *text = in;
    if (!command_parse((struct slice){text, strnlen(text, in_octets)}, &command))
        fuse_reply_err(req, EINVAL);
    else if (command.verb != COMMAND_REFRESH && command.verb != COMMAND_PREFETCH)
        fuse_reply_err(req, EROFS);
    else
        submit(req, fs, &command, 0);
}

/* ---- fsync() of a folder ---- */

static void commit_answered(struct parked *parked, enum fault fault, struct extent body)
{
    (void)body;
    fuse_reply_err(parked->req, errno_from_fault(fault));
}

/* A reader may open the folder. Only the owner and root may make removals final. */
static bool may_commit(fuse_req_t req, const struct fs *fs)
{
    uid_t uid = fuse_req_ctx(req)->uid;
    return uid == 0 || uid == fs->owner.uid;
}

void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *info)
{
    (void)data_only;
    (void)info;
    struct fs *fs = fuse_req_userdata(req);
    struct sync_status status;
    sync_status(fs->sync, &status);
    if (ino == TREE_ROOT_INO && !may_commit(req, fs)) {
        fuse_reply_err(req, EACCES);
        return;
    }
    if (ino != TREE_ROOT_INO || status.going_count == 0) {
        fuse_reply_err(req, 0);
        return;
    }
    /* A remount to ro is not seen where the own mount is not known. */
    int refusal = fs_commit_refusal(fs);
    if (refusal == 0 && !fs_knows_its_mount(fs))
        refusal = EPERM;
    if (refusal != 0) {
        fuse_reply_err(req, refusal);
        return;
    }
    struct parked *parked = parked_new(fs, req, SYNC_WANT_COMMIT, NULL, commit_answered);
    if (parked != NULL)
        parked_submit(parked);
}
