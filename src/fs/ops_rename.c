/* SPDX-License-Identifier: MIT */
/*
 * Removing and restoring: rm, and mv into the trash and out of it. Nothing here touches the
 * network: what goes is deleted by a commit.
 */
#include "errors.h"
#include "ops.h"
#include "parked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static void reply_moved(fuse_req_t req, struct fs *fs, struct maildrop_message *message,
                        enum fault fault)
{
    if (fault == FAULT_NONE) {
        place_settle(fs, message);
        pthread_mutex_lock(&fs->lock);
        fs_root_touch(fs);
        pthread_mutex_unlock(&fs->lock);
    }
    fuse_reply_err(req, errno_from_fault_of_removal(fault, fs->owner.read_only));
}

/*
 * Refused after a signal: the mount ends soon, and may not hear any more of a file that is to
 * replace the removed one.
 */
static void remove_message(fuse_req_t req, struct fs *fs, struct maildrop_message *message)
{
    if (fs->stopped_ns != 0)
        fuse_reply_err(req, EBUSY);
    else
        reply_moved(req, fs, message, sync_remove(fs->sync, message));
}

void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fuse_req_userdata(req);
    struct slice text = slice_from_string(name);
    enum place place = place_of_folder(parent);
    if (place == PLACE_TRASH || tree_lookup(fs->control, parent, text) != NULL) {
        ops_refuse(req);
        return;
    }
    struct maildrop_message *message = place_find(fs, place, text);
    if (message == NULL)
        fuse_reply_err(req, ENOENT);
    else
        remove_message(req, fs, message);
    maildrop_message_unref(message);
}

static bool is_taken(struct fs *fs, enum place place, struct slice name)
{
    struct maildrop_message *message = place_find(fs, place, name);
    maildrop_message_unref(message);
    return message != NULL;
}

static void restored(struct parked *parked, enum fault fault, struct extent body)
{
    (void)body;
    fuse_reply_err(parked->req, errno_from_fault_of_removal(fault, parked->fs->owner.read_only));
}

/* Answered when it is on the disk: who has moved a message out of the trash need not fear a power
 * cut. listener.c settles its place. */
static void restore_message(fuse_req_t req, struct fs *fs, struct maildrop_message *message)
{
    struct parked *parked = parked_new(fs, req, SYNC_WANT_RESTORE, message, restored);
    if (parked != NULL)
        parked_submit(parked);
}

static void move(fuse_req_t req, struct fs *fs, enum place from, struct slice name)
{
    enum place to = from == PLACE_TRASH ? PLACE_ROOT : PLACE_TRASH;
    struct maildrop_message *message = place_find(fs, from, name);
    if (message == NULL)
        fuse_reply_err(req, ENOENT);
    else if (is_taken(fs, to, name))
        fuse_reply_err(req, EEXIST);
    else if (to == PLACE_TRASH)
        remove_message(req, fs, message);
    else
        restore_message(req, fs, message);
    maildrop_message_unref(message);
}

/* A message keeps its name, and nothing is ever replaced, with RENAME_NOREPLACE or without. */
void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                const char *new_name, unsigned flags)
{
    struct fs *fs = fuse_req_userdata(req);
    struct slice text = slice_from_string(name);
    enum place from = place_of_folder(parent);
    enum place to = place_of_folder(new_parent);
    bool moves = from != PLACE_NONE && to != PLACE_NONE && from != to &&
                 (flags & ~(unsigned)RENAME_NOREPLACE) == 0 &&
                 slice_equal(text, slice_from_string(new_name)) &&
                 tree_lookup(fs->control, parent, text) == NULL;
    /* Both names are there: no removal has freed either. */
    if (!fs->owner.read_only && (flags & RENAME_EXCHANGE) != 0)
        fuse_reply_err(req, EINVAL);
    else if (fs->owner.read_only || !moves)
        ops_refuse_name(req, new_parent, new_name);
    else
        move(req, fs, from, text);
}
