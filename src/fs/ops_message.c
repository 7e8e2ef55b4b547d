/* SPDX-License-Identifier: MIT */
/*
 * Opening and reading messages. OPEN waits, parked, until the body is whole on the local disk; from
 * then on READ is a pread(). So a failed transfer is a failed open, which every backup program
 * notices, and never a hole in a file.
 *
 * A large message of trusted size opens early, as a stream: there READ waits, too, for what has not
 * arrived. What TOP gave may lie in the page cache when the stream is closed, and RETR may differ,
 * so the next open of such a message starts with an empty page cache.
 */
#include "errors.h"
#include "ops.h"
#include "parked.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- handles: where a body is, or a stream, told apart by the lowest bit ---- */

/* Kept in a list, under fs->lock, because the kernel says nothing of what is open when it is
 * unmounted.
 */
struct open_body {
    struct extent extent;
    struct open_body *next, **link;
};

/* 0 for want of memory; then the descriptor is closed. */
static uint64_t handle_of_body(struct fs *fs, struct extent extent)
{
    struct open_body *body = malloc(sizeof(*body));
    if (body == NULL) {
        close(extent.descriptor);
        return 0;
    }
    body->extent = extent;
    body->link = &fs->bodies;
    pthread_mutex_lock(&fs->lock);
    body->next = fs->bodies;
    if (body->next != NULL)
        body->next->link = &body->next;
    fs->bodies = body;
    pthread_mutex_unlock(&fs->lock);
    return (uintptr_t)body | 1;
}

static void body_close(struct fs *fs, struct open_body *body)
{
    pthread_mutex_lock(&fs->lock);
    *body->link = body->next;
    if (body->next != NULL)
        body->next->link = body->link;
    pthread_mutex_unlock(&fs->lock);
    close(body->extent.descriptor);
    free(body);
}

void messages_close(struct fs *fs)
{
    while (fs->bodies != NULL)
        body_close(fs, fs->bodies);
}

static uint64_t handle_of_stream(struct sync_stream *stream)
{
    return (uintptr_t)stream; /* aligned, so the bit is 0 */
}

static bool handle_is_stream(uint64_t handle)
{
    return (handle & 1) == 0;
}

static struct open_body *handle_body(uint64_t handle)
{
    return (struct open_body *)(uintptr_t)(handle & ~UINT64_C(1));
}

static struct sync_stream *handle_stream(uint64_t handle)
{
    return (struct sync_stream *)(uintptr_t)handle;
}

static void message_close(struct fs *fs, uint64_t handle)
{
    if (handle_is_stream(handle))
        sync_stream_close(fs->sync, handle_stream(handle));
    else
        body_close(fs, handle_body(handle));
}

/* ---- opening ---- */

static void reply_open(fuse_req_t req, struct fs *fs, struct fuse_file_info *info, uint64_t handle)
{
    info->fh = handle;
    info->noflush = 1;
    /* The opener has been interrupted meanwhile: no RELEASE will come. */
    if (fuse_reply_open(req, info) != 0)
        message_close(fs, handle);
}

/*
 * LIST said another size than RETR gave, and the kernel still has that of LIST. ESTALE makes it
 * look the name up again and open once more, which nobody sees, so that i_size is right before
 * open() returns; who only splices never asks for the size. The look-up tells the right size, so
 * nobody is sent round twice.
 */
static void opened(fuse_req_t req, struct fs *fs, const struct maildrop_message *message,
                   uint64_t told_octets, struct fuse_file_info *info, uint64_t handle)
{
    if (handle == 0) {
        fuse_reply_err(req, ENOMEM);
    } else if (told_octets == attributes_message_octets(message)) {
        reply_open(req, fs, info, handle);
    } else {
        message_close(fs, handle);
        fuse_reply_err(req, ESTALE);
    }
}

static void open_answered(struct parked *parked, enum fault fault, struct extent body)
{
    struct sync_stream *stream = parked->request.stream;
    if (fault != FAULT_NONE) {
        fuse_reply_err(parked->req, errno_from_fault(fault));
        return;
    }
    /* To empty the page cache would wait for those who wait for octets. */
    if (stream != NULL && sync_stream_was_read(stream))
        parked->info.keep_cache = 1;
    opened(parked->req, parked->fs, parked->message, parked->told_octets, &parked->info,
           stream != NULL ? handle_of_stream(stream) : handle_of_body(parked->fs, body));
}

/* Whether it will be a stream, sync decides; only large ones can be. */
static void open_parked(fuse_req_t req, struct fs *fs, struct maildrop_message *message,
                        const struct fuse_file_info *info)
{
    struct parked *parked = parked_new(fs, req, SYNC_WANT_OPEN, message, open_answered);
    if (parked == NULL)
        return;
    parked->info = *info;
    parked->info.keep_cache = !inodes_set_streamed(
        &fs->inodes, inode_of_message(message),
        maildrop_message_octets(message, NULL) > fs->lazy_octets && fs->lazy_octets > 0);
    parked_submit(parked);
}

void message_open(fuse_req_t req, struct fs *fs, struct maildrop_message *message,
                  struct fuse_file_info *info)
{
    if (maildrop_message_is_gone(message)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    struct extent body;
    fuse_ino_t ino = inode_of_message(message);
    enum fault fault = sync_body_open(fs->sync, message, &body);
    if (fault == FAULT_NONE) {
        /* The bytes of a message never change. */
        info->keep_cache = !inodes_take_streamed(&fs->inodes, ino);
        opened(req, fs, message, inodes_told_octets(&fs->inodes, ino), info,
               handle_of_body(fs, body));
    } else if (fault == FAULT_GONE) {
        open_parked(req, fs, message, info);
    } else {
        fuse_reply_err(req, errno_from_fault(fault));
    }
}

void message_release(struct fs *fs, uint64_t handle)
{
    message_close(fs, handle);
}

/* ---- reading ---- */

/* From memory: splicing the descriptor takes twice as long (FUSE.md C). */
static void reply_octets(fuse_req_t req, int descriptor, char *buffer, size_t size, off_t offset)
{
    ssize_t got;
    do
        got = pread(descriptor, buffer, size, offset);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        fuse_reply_err(req, EIO);
    else
        fuse_reply_buf(req, buffer, (size_t)got);
}

/* What follows a body in its file is another one's. */
static void reply_body(fuse_req_t req, const struct extent *body, char *buffer, size_t size,
                       off_t offset)
{
    uint64_t left = (uint64_t)offset < body->octets ? body->octets - (uint64_t)offset : 0;
    reply_octets(req, body->descriptor, buffer, size < left ? size : (size_t)left,
                 (off_t)body->offset + offset);
}

/* On the sync thread, whose buffer is not the FUSE thread's. */
static void read_answered(struct parked *parked, enum fault fault, struct extent body)
{
    (void)body;
    CLEANUP_FREE char *buffer = malloc(parked->size + 1);
    if (fault != FAULT_NONE)
        fuse_reply_err(parked->req, errno_from_fault(fault));
    else if (buffer == NULL)
        fuse_reply_err(parked->req, ENOMEM);
    else
        reply_octets(parked->req, sync_stream_descriptor(parked->request.stream), buffer,
                     parked->size, parked->offset);
}

static void read_parked(fuse_req_t req, struct fs *fs, struct sync_stream *stream, size_t size,
                        off_t offset, uint64_t upto)
{
    struct parked *parked =
        parked_new(fs, req, SYNC_WANT_OCTETS, sync_stream_message(stream), read_answered);
    if (parked == NULL)
        return;
    parked->request.stream = stream;
    parked->request.upto = upto;
    parked->size = size;
    parked->offset = offset;
    parked_submit(parked);
}

void message_read(fuse_req_t req, struct fs *fs, uint64_t handle, size_t size, off_t offset)
{
    if (!fs_scratch(fs, size)) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    if (!handle_is_stream(handle)) {
        reply_body(req, &handle_body(handle)->extent, fs->scratch, size, offset);
        return;
    }
    struct sync_stream *stream = handle_stream(handle);
    uint64_t octets = sync_stream_octets(stream);
    uint64_t upto = (uint64_t)offset + size;
    /* Beyond the promised end, too, it must be known first that this is the end. */
    if (upto > octets) {
        upto = octets;
        size = (uint64_t)offset < octets ? (size_t)(octets - (uint64_t)offset) : 0;
    }
    sync_stream_note_read(stream);
    if (upto <= sync_stream_available(stream))
        reply_octets(req, sync_stream_descriptor(stream), fs->scratch, size, offset);
    else
        read_parked(req, fs, stream, size, offset, upto);
}
