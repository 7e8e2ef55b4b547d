/* SPDX-License-Identifier: MIT */
/*
 * Opening and reading. OPEN of a message waits, parked, until the body is whole on the local disk;
 * from then on READ is a pread(). So a failed transfer is a failed open, which every backup program
 * notices, and never a hole in a file.
 *
 * The handle of a message is a descriptor, that of a virtual file its content as of the open.
 */
#include "errors.h"
#include "ops.h"
#include "parked.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- messages ---- */

static void reply_body(fuse_req_t req, struct fuse_file_info *info, int descriptor)
{
    info->fh = (uint64_t)descriptor;
    info->keep_cache = 1; /* the bytes of a message never change */
    info->noflush = 1;
    /* The opener has been interrupted meanwhile: no RELEASE will come. */
    if (fuse_reply_open(req, info) != 0)
        close(descriptor);
}

/*
 * LIST said another size than RETR gave, and the kernel still has that of LIST. ESTALE makes it
 * look the name up again and open once more, which nobody sees, so that i_size is right before
 * open() returns; who only splices never asks for the size. The look-up tells the right size, so
 * nobody is sent round twice.
 */
static bool was_told_wrong(uint64_t told_octets, const struct maildrop_message *message)
{
    return told_octets != attributes_message_octets(message);
}

static void open_answered(struct parked *parked, enum fault fault, int descriptor)
{
    if (fault != FAULT_NONE) {
        fuse_reply_err(parked->req, errno_from_fault(fault));
    } else if (was_told_wrong(parked->told_octets, parked->message)) {
        close(descriptor);
        fuse_reply_err(parked->req, ESTALE);
    } else {
        reply_body(parked->req, &parked->info, descriptor);
    }
}

static void open_message(fuse_req_t req, struct fs *fs, struct maildrop_message *message,
                         struct fuse_file_info *info)
{
    if (maildrop_message_is_gone(message)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    int descriptor;
    enum fault fault = sync_body_open(fs->sync, message, &descriptor);
    if (fault == FAULT_NONE &&
        was_told_wrong(inodes_told_octets(&fs->inodes, inode_of_message(message)), message)) {
        close(descriptor); /* read-ahead brought it, and nobody has looked since */
        fuse_reply_err(req, ESTALE);
    } else if (fault == FAULT_NONE)
        reply_body(req, info, descriptor);
    else if (fault == FAULT_GONE)
        parked_submit(fs, req, SYNC_WANT_BODY, message, info, open_answered);
    else
        fuse_reply_err(req, errno_from_fault(fault));
}

static void read_message(fuse_req_t req, struct fs *fs, int descriptor, size_t size, off_t offset)
{
    if (!fs_scratch(fs, size)) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    ssize_t got;
    do
        got = pread(descriptor, fs->scratch, size, offset);
    while (got < 0 && errno == EINTR);
    /* From memory: splicing the descriptor takes twice as long (FUSE.md C). */
    if (got < 0)
        fuse_reply_err(req, EIO);
    else
        fuse_reply_buf(req, fs->scratch, (size_t)got);
}

/* ---- virtual files ---- */

bool ops_render(struct fs *fs, const struct tree_entry *entry, struct buffer *content)
{
    struct sync_status status;
    sync_status(fs->sync, &status);
    return entry->render(&status, content);
}

static void content_free(struct buffer *content)
{
    if (content != NULL)
        buffer_done(content);
    free(content);
}

static void open_virtual(fuse_req_t req, struct fs *fs, const struct tree_entry *entry,
                         struct fuse_file_info *info)
{
    struct buffer *content = calloc(1, sizeof(*content));
    if (content == NULL || !ops_render(fs, entry, content)) {
        content_free(content);
        fuse_reply_err(req, ENOMEM);
        return;
    }
    info->fh = (uintptr_t)content;
    info->direct_io = 1; /* the length that stat gave belongs to another moment */
    info->noflush = 1;
    if (fuse_reply_open(req, info) != 0)
        content_free(content);
}

static struct buffer *content_of(const struct fuse_file_info *info)
{
    return (struct buffer *)(uintptr_t)info->fh;
}

static void read_virtual(fuse_req_t req, const struct buffer *content, size_t size, off_t offset)
{
    struct slice rest = slice_skip(buffer_slice(content), (size_t)offset);
    fuse_reply_buf(req, rest.data, rest.len < size ? rest.len : size);
}

/* ---- both ---- */

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct fs *fs = fuse_req_userdata(req);
    if ((info->flags & O_ACCMODE) != O_RDONLY || (info->flags & O_TRUNC) != 0) {
        ops_refuse(req);
        return;
    }
    struct maildrop_message *message = inodes_find(&fs->inodes, ino);
    if (message != NULL) {
        open_message(req, fs, message, info);
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
        read_message(req, fuse_req_userdata(req), (int)info->fh, size, offset);
    else
        read_virtual(req, content_of(info), size, offset);
}

void ops_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    if (inode_is_message(ino))
        close((int)info->fh);
    else
        content_free(content_of(info));
    fuse_reply_err(req, 0);
}
