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
#include "ops.h"
#include "parked.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- what is open: a body on the disk, or a stream ---- */

/* Kept in a list, under fs->lock, because the kernel says nothing of what is open when it is
 * unmounted.
 */
struct open_message {
    struct maildrop_message *message; /* a reference */
    struct extent body;               /* without a stream */
    struct extent again;              /* the same once more, where the disk has lost some of it */
    _Atomic bool has_again;
    struct sync_stream *stream; /* NULL: none */
    struct open_message *next, **link;
};

static void give_back(struct fs *fs, struct extent body, struct sync_stream *stream)
{
    if (stream != NULL)
        sync_stream_close(fs->sync, stream);
    cleanup_close(&body.descriptor);
}

/* NULL for want of memory; then body and stream are given back. */
static struct open_message *open_message_new(struct fs *fs, struct maildrop_message *message,
                                             struct extent body, struct sync_stream *stream)
{
    struct open_message *open = malloc(sizeof(*open));
    if (open == NULL) {
        give_back(fs, body, stream);
        return NULL;
    }
    *open = (struct open_message){.message = maildrop_message_ref(message),
                                  .body = body,
                                  .again = EXTENT_NONE,
                                  .stream = stream,
                                  .link = &fs->open_messages};
    pthread_mutex_lock(&fs->lock);
    open->next = fs->open_messages;
    if (open->next != NULL)
        open->next->link = &open->next;
    fs->open_messages = open;
    pthread_mutex_unlock(&fs->lock);
    return open;
}

static void open_message_close(struct fs *fs, struct open_message *open)
{
    pthread_mutex_lock(&fs->lock);
    *open->link = open->next;
    if (open->next != NULL)
        open->next->link = open->link;
    pthread_mutex_unlock(&fs->lock);
    give_back(fs, open->body, open->stream);
    cleanup_close(&open->again.descriptor);
    maildrop_message_unref(open->message);
    free(open);
}

bool message_is_open(struct fs *fs, const struct maildrop_message *message)
{
    pthread_mutex_lock(&fs->lock);
    const struct open_message *open = fs->open_messages;
    while (open != NULL && open->message != message)
        open = open->next;
    pthread_mutex_unlock(&fs->lock);
    return open != NULL;
}

void messages_close(struct fs *fs)
{
    while (fs->open_messages != NULL)
        open_message_close(fs, fs->open_messages);
}

static struct open_message *open_message_of(uint64_t handle)
{
    return (struct open_message *)(uintptr_t)handle;
}

/* ---- opening ---- */

static void reply_open(fuse_req_t req, struct fs *fs, struct fuse_file_info *info,
                       struct open_message *open)
{
    info->fh = (uintptr_t)open;
    info->noflush = 1;
    /* The opener has been interrupted meanwhile: no RELEASE will come. */
    if (fuse_reply_open(req, info) != 0)
        open_message_close(fs, open);
}

/*
 * LIST said another size than RETR gave, and the kernel still has that of LIST. ESTALE makes it
 * look the name up again and open once more, which nobody sees, so that i_size is right before
 * open() returns; who only splices never asks for the size. The look-up tells the right size, so
 * nobody is sent round twice: for the second ESTALE the program would see.
 */
static void opened(fuse_req_t req, struct fs *fs, uint64_t told_octets, struct fuse_file_info *info,
                   struct open_message *open)
{
    if (open == NULL) {
        fuse_reply_err(req, ENOMEM);
    } else if (told_octets == attributes_message_octets(open->message)) {
        reply_open(req, fs, info, open);
    } else {
        open_message_close(fs, open);
        fuse_reply_err(req, ESTALE);
    }
}

static void heir_answered(struct parked *parked, enum fault fault, struct extent body)
{
    give_back(parked->fs, body, parked->request.stream);
    fuse_reply_err(parked->req, fault == FAULT_NONE ? ESTALE : ops_errno(fault, parked->message));
}

/*
 * The name of what has gone may be another one's by now (see listener.c). If so, that one is opened
 * before the kernel is sent to it: its size must be right by the time of the look-up. This is the
 * one whose size is not; NULL: none, and the kernel may be told. A new reference.
 */
static struct maildrop_message *find_inexact_heir(struct fs *fs,
                                                  const struct maildrop_message *gone)
{
    bool is_exact = true;
    struct maildrop_message *heir = place_find_heir(fs, gone);
    if (heir != NULL)
        (void)maildrop_message_octets(heir, &is_exact);
    if (!is_exact)
        return heir;
    maildrop_message_unref(heir);
    return NULL;
}

static void open_failed(struct parked *parked, enum fault fault)
{
    struct maildrop_message *heir = NULL;
    int error = ops_errno(fault, parked->message);
    if (error == ESTALE)
        heir = find_inexact_heir(parked->fs, parked->message);
    if (heir != NULL)
        parked_turn_to(parked, heir, heir_answered);
    else
        fuse_reply_err(parked->req, error);
    maildrop_message_unref(heir);
}

static void open_answered(struct parked *parked, enum fault fault, struct extent body)
{
    struct sync_stream *stream = parked->request.stream;
    if (fault != FAULT_NONE) {
        open_failed(parked, fault);
        return;
    }
    /* To empty the page cache would wait for those who wait for octets. */
    if (stream != NULL && sync_stream_was_read(stream))
        parked->info.keep_cache = 1;
    opened(parked->req, parked->fs, parked->told_octets, &parked->info,
           open_message_new(parked->fs, parked->message, body, stream));
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

static void open_stale(fuse_req_t req, struct fs *fs, const struct maildrop_message *gone)
{
    struct maildrop_message *heir = find_inexact_heir(fs, gone);
    struct parked *parked =
        heir == NULL ? NULL : parked_new(fs, req, SYNC_WANT_OPEN, heir, heir_answered);
    if (heir == NULL)
        fuse_reply_err(req, ESTALE);
    else if (parked != NULL)
        parked_submit(parked);
    maildrop_message_unref(heir);
}

void message_open(fuse_req_t req, struct fs *fs, struct maildrop_message *message,
                  struct fuse_file_info *info)
{
    if (maildrop_message_is_withdrawn(message)) {
        open_stale(req, fs, message);
        return;
    }
    struct extent body;
    fuse_ino_t ino = inode_of_message(message);
    if (sync_body_open(fs->sync, message, &body) == FAULT_NONE) {
        /* The bytes of a message never change. */
        info->keep_cache = !inodes_take_streamed(&fs->inodes, ino);
        opened(req, fs, inodes_told_octets(&fs->inodes, ino), info,
               open_message_new(fs, message, body, NULL));
    } else {
        /* Where the cache is damaged, too: the server has it. */
        open_parked(req, fs, message, info);
    }
}

void message_release(struct fs *fs, uint64_t handle)
{
    open_message_close(fs, open_message_of(handle));
}

/* ---- reading ---- */

/* False if not all of it could be read. From memory: splicing the descriptor takes twice as long
 * (FUSE.md C). */
static bool read_whole(int descriptor, char *buffer, size_t size, off_t offset)
{
    size_t filled = 0;
    while (filled < size) {
        ssize_t got = pread(descriptor, buffer + filled, size - filled, offset + (off_t)filled);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        if (got > 0)
            filled += (size_t)got;
    }
    return true;
}

/* All of `size` is there, or the file has been damaged: the kernel would take what is left for the
 * whole. */
static void reply_octets(fuse_req_t req, int descriptor, char *buffer, size_t size, off_t offset)
{
    if (read_whole(descriptor, buffer, size, offset))
        fuse_reply_buf(req, buffer, size);
    else
        fuse_reply_err(req, EIO);
}

/* ---- reading what the disk has lost ---- */

/*
 * The reader may have had octets of the body already, so it goes on only if the whole body is the
 * same as before. The old descriptor stays open: the FUSE thread may be reading from it. Runs on
 * the sync thread.
 */
static void take_again(struct open_message *open, struct extent *body)
{
    if (body->sum != open->body.sum || body->octets != open->body.octets ||
        atomic_load(&open->has_again))
        return;
    open->again = *body;
    body->descriptor = -1;
    atomic_store_explicit(&open->has_again, true, memory_order_release);
}

static void again_answered(struct parked *parked, enum fault fault, struct extent body)
{
    struct open_message *open = parked->open;
    CLEANUP_FREE char *buffer = malloc(parked->size + 1);
    if (fault != FAULT_NONE) {
        fuse_reply_err(parked->req, ops_errno(fault, parked->message));
        return;
    }
    take_again(open, &body);
    cleanup_close(&body.descriptor);
    if (buffer == NULL)
        fuse_reply_err(parked->req, ENOMEM);
    else if (!atomic_load(&open->has_again))
        fuse_reply_err(parked->req, EIO);
    else
        reply_octets(parked->req, open->again.descriptor, buffer, parked->size,
                     (off_t)open->again.offset + parked->offset);
}

/* The kept body has been compared, and dropped if it is damaged. */
static void verified_answered(struct parked *parked, enum fault fault, struct extent body)
{
    (void)body;
    if (fault != FAULT_NONE) {
        fuse_reply_err(parked->req, ops_errno(fault, parked->message));
        return;
    }
    if (parked->open->body.sum == 0 || parked->lost_again) {
        fuse_reply_err(parked->req, EIO);
        return;
    }
    parked->request.want = SYNC_WANT_BODY;
    parked_turn_to(parked, parked->message, again_answered);
}

static void read_again(fuse_req_t req, struct fs *fs, struct open_message *open, bool lost_again,
                       size_t size, off_t offset)
{
    struct parked *parked = parked_new(fs, req, SYNC_WANT_VERIFY, open->message, verified_answered);
    if (parked == NULL)
        return;
    /* If other octets come, the next open must find none of these in the page cache. */
    (void)inodes_set_streamed(&fs->inodes, inode_of_message(open->message), true);
    parked->open = open;
    parked->lost_again = lost_again;
    parked->size = size;
    parked->offset = offset;
    parked_submit(parked);
}

/* What follows a body in its file is another one's. */
static void reply_body(fuse_req_t req, struct fs *fs, struct open_message *open, size_t size,
                       off_t offset)
{
    bool has_again = atomic_load_explicit(&open->has_again, memory_order_acquire);
    const struct extent *body = has_again ? &open->again : &open->body;
    uint64_t left = (uint64_t)offset < body->octets ? body->octets - (uint64_t)offset : 0;
    if (size > left)
        size = (size_t)left;
    if (read_whole(body->descriptor, fs->scratch, size, (off_t)body->offset + offset))
        fuse_reply_buf(req, fs->scratch, size);
    else
        read_again(req, fs, open, has_again, size, offset);
}

/* ---- reading a stream ---- */

/* On the sync thread, whose buffer is not the FUSE thread's. */
static void read_answered(struct parked *parked, enum fault fault, struct extent body)
{
    (void)body;
    CLEANUP_FREE char *buffer = malloc(parked->size + 1);
    if (fault != FAULT_NONE)
        fuse_reply_err(parked->req, ops_errno(fault, parked->message));
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
    struct open_message *open = open_message_of(handle);
    struct sync_stream *stream = open->stream;
    if (stream == NULL) {
        reply_body(req, fs, open, size, offset);
        return;
    }
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
