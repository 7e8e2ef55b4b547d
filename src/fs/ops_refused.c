/* SPDX-License-Identifier: MIT */
/*
 * Refuses whatever would change a message or make a file, with an errno that touch and mv print
 * well.
 *
 * cp -f, install, tar and vim remove a file in order to put another in its place. popfs refuses
 * the other one, so the user has removed nothing: the removal of that name is taken back, whoever
 * made it. That holds for what the kernel asks popfs. It refuses link() and rename() from another
 * file system by itself: the removal that `cp -al --remove-destination` made before stays pending.
 *
 * The sync thread takes a removal back, as for undelete: the kernel must be told of the name before
 * the program is answered, and listener.c tells it on that thread.
 */
#include "errors.h"
#include "ops.h"
#include "parked.h"

#include <errno.h>
#include <string.h>

void ops_refuse(fuse_req_t req)
{
    const struct fs *fs = fuse_req_userdata(req);
    fuse_reply_err(req, fs->owner.read_only ? EROFS : EPERM);
}

static void log_replacement(const struct maildrop_message *message, enum fault fault)
{
    struct name name;
    const char *shown = place_name(message, &name) ? name.data : "a message";
    if (fault == FAULT_NONE)
        log_write(LOG_LEVEL_WARNING,
                  "%s is not to be deleted any more: the file that was to replace it was refused",
                  shown);
    else if (fault != FAULT_GONE)
        log_write(LOG_LEVEL_ERROR,
                  "%s is still to be deleted, though the file that was to replace it was refused: "
                  "%s",
                  shown, strerror(errno_from_fault_of_replacement(fault)));
}

static void replacement_answered(struct parked *parked, enum fault fault, struct extent body)
{
    (void)body;
    log_replacement(parked->message, fault);
    fuse_reply_err(parked->req, errno_from_fault_of_replacement(fault));
}

/* A new reference to the message whose removal frees this name; NULL: there is none. */
static struct maildrop_message *removed_from(struct fs *fs, fuse_ino_t parent, const char *name)
{
    if (place_of_folder(parent) != PLACE_ROOT)
        return NULL;
    return place_find(fs, PLACE_TRASH, slice_from_string(name));
}

void ops_refuse_name(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fuse_req_userdata(req);
    struct maildrop_message *message = fs->owner.read_only ? NULL : removed_from(fs, parent, name);
    if (message == NULL) {
        ops_refuse(req);
        return;
    }
    struct parked *parked = parked_new(fs, req, SYNC_WANT_RESTORE, message, replacement_answered);
    maildrop_message_unref(message);
    if (parked != NULL)
        parked_submit(parked);
}

void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    (void)mode;
    (void)device;
    ops_refuse_name(req, parent, name);
}

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)mode;
    ops_refuse_name(req, parent, name);
}

void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent;
    (void)name;
    ops_refuse(req);
}

void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target;
    ops_refuse_name(req, parent, name);
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    (void)ino;
    ops_refuse_name(req, new_parent, new_name);
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                struct fuse_file_info *info)
{
    (void)mode;
    (void)info;
    ops_refuse_name(req, parent, name);
}
