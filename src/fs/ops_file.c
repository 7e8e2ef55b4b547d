/* SPDX-License-Identifier: MIT */
/* Opening and reading: messages are in ops_message.c, virtual files here. The handle of a virtual
 * file is its content as of the open. */
#include "ops.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static bool load_damages(struct fs *fs, size_t count, struct status_view *view,
                         struct maildrop_message ***ret_damages)
{
    if (count == 0)
        return true;
    *ret_damages = calloc(SYNC_DAMAGES_MAX, sizeof(**ret_damages));
    if (*ret_damages == NULL)
        return false;
    view->damages = *ret_damages;
    view->damage_count = sync_damages(fs->sync, *ret_damages, SYNC_DAMAGES_MAX);
    return true;
}

bool ops_render(struct fs *fs, const struct tree_entry *entry, struct buffer *content)
{
    struct sync_status status;
    CLEANUP_FREE struct sync_removal_failure *failures = NULL;
    CLEANUP_FREE struct maildrop_message **damages = NULL;
    size_t failure_count = 0;
    sync_status(fs->sync, &status);
    if (status.commit_failed_count > 0) {
        failures = calloc(SYNC_FAILURES_MAX, sizeof(*failures));
        if (failures == NULL)
            return false;
        failure_count = sync_commit_failures(fs->sync, failures, SYNC_FAILURES_MAX);
    }
    struct status_view view = {.sync = &status,
                               .pid = getpid(),
                               .mountpoint = fs->mountpoint,
                               .read_only = fs_is_read_only(fs),
                               .sandbox = fs->sandbox,
                               .failures = failures,
                               .failure_count = failure_count};
    bool rendered =
        load_damages(fs, status.damaged_count, &view, &damages) && entry->render(&view, content);
    for (size_t i = 0; i < failure_count; i++)
        maildrop_message_unref(failures[i].message);
    for (size_t i = 0; i < view.damage_count; i++)
        maildrop_message_unref(damages[i]);
    return rendered;
}

static struct handle *handle_of(const struct fuse_file_info *info)
{
    return (struct handle *)(uintptr_t)info->fh;
}

static void open_virtual(fuse_req_t req, struct fs *fs, const struct tree_entry *entry,
                         struct fuse_file_info *info)
{
    struct handle *handle = handle_new(&fs->handles);
    if (handle == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    info->fh = (uintptr_t)handle;
    info->direct_io = 1; /* the length that stat gave belongs to another moment */
    info->noflush = 1;
    int error = ops_render(fs, entry, &handle->content) ? 0 : ENOMEM;
    if (error == 0 && fuse_reply_open(req, info) == 0)
        return;
    handle_free(handle);
    if (error != 0)
        fuse_reply_err(req, error);
}

static void read_virtual(fuse_req_t req, const struct buffer *content, size_t size, off_t offset)
{
    size_t skipped = (uint64_t)offset < content->len ? (size_t)offset : content->len;
    struct slice rest = slice_skip(buffer_slice(content), skipped);
    fuse_reply_buf(req, rest.data, rest.len < size ? rest.len : size);
}

/* ---- both ---- */

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct fs *fs = fuse_req_userdata(req);
    if (inode_is_commands(ino)) {
        control_open(req, fs, info);
        return;
    }
    if ((info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC) != 0) {
        ops_refuse(req);
        return;
    }
    struct maildrop_message *message = inodes_find(&fs->inodes, ino);
    if (message != NULL) {
        message_open(req, fs, message, info);
        return;
    }
    const struct tree_entry *entry = tree_find(ino);
    if (entry != NULL && entry->render != NULL)
        open_virtual(req, fs, entry, info);
    else
        fuse_reply_err(req, ENOENT);
}

void ops_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
              struct fuse_file_info *info)
{
    if (inode_is_message(ino))
        message_read(req, fuse_req_userdata(req), info->fh, size, offset);
    else if (inode_is_commands(ino))
        fuse_reply_err(req, EACCES);
    else
        read_virtual(req, &handle_of(info)->content, size, offset);
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    if (inode_is_message(ino))
        message_release(fuse_req_userdata(req), info->fh);
    else if (!inode_is_commands(ino))
        handle_free(handle_of(info));
    fuse_reply_err(req, 0);
}
