/* SPDX-License-Identifier: MIT */
/*
 * Names and attributes. Only GETATTR may park: a LOOKUP that waits holds the folder's lock in the
 * kernel, and with it every other name (libfuse 3.14 never negotiates parallel lookups).
 */
#include "errors.h"
#include "ops.h"
#include "parked.h"
#include "reply.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    /* Requests that wait must not use up the kernel's default of 12. */
    BACKGROUND_COUNT_MAX = 1024,
    STATFS_BLOCK_OCTETS = 4096,
};

void ops_init(void *userdata, struct fuse_conn_info *conn)
{
    struct fs *fs = userdata;
    conn->max_background = BACKGROUND_COUNT_MAX;
    /* A wait for a page that the kernel asked for in the background cannot be interrupted. */
    conn->want &= ~(unsigned)FUSE_CAP_ASYNC_READ;
    /* Not as the kernel thinks best: grep, find and rm list the whole folder before they touch the
     * first file, and by then it has settled for names alone. */
    conn->want &= ~(unsigned)FUSE_CAP_READDIRPLUS_AUTO;
    /* libfuse ends the session if the option of the mount and this differ. */
    if (fs->max_read > 0)
        conn->max_read = fs->max_read;
    gate_begin(fs);
}

/* ---- LOOKUP and FORGET ---- */

static const struct tree_entry *entry_of(uint64_t ino)
{
    return tree_find(inode_is_commands(ino) ? TREE_COMMANDS_INO : ino);
}

double ops_attributes(const struct fs *fs, const struct maildrop_message *message,
                      struct stat *ret_stat)
{
    bool believed = sync_size_is_believed(fs->sync, message);
    return attributes_of_message(&fs->owner, message, believed, ret_stat);
}

int ops_errno(enum fault fault, const struct maildrop_message *message)
{
    return fault == FAULT_GONE && maildrop_message_is_withdrawn(message) ? ESTALE
                                                                         : errno_from_fault(fault);
}

static double names_timeout_s(fuse_ino_t parent)
{
    return parent == TREE_TRASH_INO ? 0 : ATTRIBUTES_NAME_S;
}

static void reply_message(fuse_req_t req, struct fs *fs, fuse_ino_t parent,
                          struct maildrop_message *message)
{
    struct reply_entry entry = {.ino = inode_of_message(message),
                                .entry_timeout_s = names_timeout_s(parent)};
    entry.attr_timeout_s = ops_attributes(fs, message, &entry.attr);
    if (!inodes_remember(&fs->inodes, message)) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    /* What did not arrive will not be forgotten by the kernel either. */
    if (reply_entry(req, &entry) != 0)
        inodes_forget(&fs->inodes, entry.ino, 1);
    else
        inodes_tell_octets(&fs->inodes, entry.ino, (uint64_t)entry.attr.st_size);
}

/* False for want of memory. */
static bool attributes_now(struct fs *fs, const struct tree_entry *entry, struct stat *ret_stat,
                           double *ret_timeout_s)
{
    if (entry->render == NULL) {
        pthread_mutex_lock(&fs->lock);
        int64_t changed_ns = fs->root_changed_ns;
        pthread_mutex_unlock(&fs->lock);
        attributes_of_entry(&fs->owner, entry, 0, changed_ns, ret_stat);
        *ret_timeout_s =
            entry->ino == TREE_ROOT_INO || entry->ino == TREE_FOLDER_INO ? ATTRIBUTES_FOREVER_S : 0;
        return true;
    }
    CLEANUP_BUFFER struct buffer content = {0};
    if (!ops_render(fs, entry, &content))
        return false;
    attributes_of_entry(&fs->owner, entry, content.len, clock_wall_ns(), ret_stat);
    *ret_timeout_s = 0;
    return true;
}

static void reply_virtual(fuse_req_t req, struct fs *fs, const struct tree_entry *entry)
{
    struct reply_entry reply = {.ino = entry->ino, .entry_timeout_s = ATTRIBUTES_FOREVER_S};
    if (entry->ino == TREE_COMMANDS_INO) {
        reply.ino = ++fs->commands_ino_last;
        reply.entry_timeout_s = 0;
    }
    if (attributes_now(fs, entry, &reply.attr, &reply.attr_timeout_s))
        reply_entry(req, &reply);
    else
        fuse_reply_err(req, ENOMEM);
}

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fs *fs = fuse_req_userdata(req);
    struct slice text = slice_from_string(name);
    if (text.len > NAME_OCTETS_MAX) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    const struct tree_entry *entry = tree_lookup(fs->control, parent, text);
    if (entry != NULL) {
        reply_virtual(req, fs, entry);
        return;
    }
    struct maildrop_message *message = place_find(fs, place_of_folder(parent), text);
    if (message == NULL)
        fuse_reply_err(req, ENOENT); /* not to be remembered: see listener.c */
    else
        reply_message(req, fs, parent, message);
    maildrop_message_unref(message);
}

void ops_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookup_count)
{
    struct fs *fs = fuse_req_userdata(req);
    if (inode_is_message(ino))
        inodes_forget(&fs->inodes, ino, lookup_count);
    fuse_reply_none(req);
}

void ops_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    struct fs *fs = fuse_req_userdata(req);
    for (size_t i = 0; i < count; i++)
        if (inode_is_message(forgets[i].ino))
            inodes_forget(&fs->inodes, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

/* ---- GETATTR ---- */

static void reply_message_attributes(fuse_req_t req, const struct fs *fs,
                                     const struct maildrop_message *message)
{
    struct stat stat;
    double timeout_s = ops_attributes(fs, message, &stat);
    reply_attributes(req, &stat, timeout_s);
}

/* Whoever took its size for that of its name would be wrong. */
static bool heir_has_another_size(struct fs *fs, const struct maildrop_message *gone)
{
    struct maildrop_message *heir = place_find_heir(fs, gone);
    bool differs =
        heir != NULL && (!sync_size_is_believed(fs->sync, heir) ||
                         attributes_message_octets(heir) != attributes_message_octets(gone));
    maildrop_message_unref(heir);
    return differs;
}

/*
 * It has gone, and who asks is to look its name up anew. Not those who have it open: read() asks by
 * the open file, but fstat() by the inode as stat() does, so they cannot be told apart, and fstat()
 * fails, too, where stat() of the name would say a wrong size.
 */
static bool is_stale(struct fs *fs, const struct maildrop_message *message, bool by_file)
{
    if (!maildrop_message_is_withdrawn(message))
        return false;
    return !message_is_open(fs, message) || (!by_file && heir_has_another_size(fs, message));
}

/* What was waited for is known, but meanwhile it may have gone. */
static void reply_waited_for(const struct parked *parked)
{
    if (is_stale(parked->fs, parked->message, parked->by_file))
        fuse_reply_err(parked->req, ESTALE);
    else
        reply_message_attributes(parked->req, parked->fs, parked->message);
}

/* The size could not be had: no size that may be wrong is given out. */
static void getattr_size_answered(struct parked *parked, enum fault fault, struct extent body)
{
    cleanup_close(&body.descriptor);
    if (fault != FAULT_NONE)
        fuse_reply_err(parked->req, ops_errno(fault, parked->message));
    else
        reply_waited_for(parked);
}

/* `ls -l` works without the server: then it shows when the message was first seen, uncached. */
static void getattr_time_answered(struct parked *parked, enum fault fault, struct extent body)
{
    (void)body;
    if (fault == FAULT_CANCELED)
        fuse_reply_err(parked->req, EINTR);
    else
        reply_waited_for(parked);
}

static void park(struct fs *fs, fuse_req_t req, enum sync_want want,
                 struct maildrop_message *message, bool by_file,
                 void (*reply)(struct parked *parked, enum fault fault, struct extent body))
{
    struct parked *parked = parked_new(fs, req, want, message, reply);
    if (parked == NULL)
        return;
    parked->by_file = by_file;
    parked_submit(parked);
}

static void getattr_message(fuse_req_t req, struct fs *fs, struct maildrop_message *message,
                            bool by_file)
{
    int64_t seconds;
    bool believed = sync_size_is_believed(fs->sync, message);
    bool gone = maildrop_message_is_withdrawn(message);
    if (is_stale(fs, message, by_file) || (gone && !believed))
        fuse_reply_err(req, ESTALE);
    else if (gone)
        reply_message_attributes(req, fs, message);
    else if (!believed)
        park(fs, req, SYNC_WANT_BODY, message, by_file, getattr_size_answered);
    else if (!maildrop_message_time(message, &seconds))
        park(fs, req, SYNC_WANT_TIME, message, by_file, getattr_time_answered);
    else
        reply_message_attributes(req, fs, message);
}

static void reply_entry_attributes(fuse_req_t req, struct fs *fs, const struct tree_entry *entry)
{
    struct stat stat;
    double timeout_s;
    if (entry == NULL)
        fuse_reply_err(req, ENOENT);
    else if (!attributes_now(fs, entry, &stat, &timeout_s))
        fuse_reply_err(req, ENOMEM);
    else
        reply_attributes(req, &stat, timeout_s);
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct fs *fs = fuse_req_userdata(req);
    struct maildrop_message *message = inodes_find(&fs->inodes, ino);
    if (message != NULL) {
        getattr_message(req, fs, message, info != NULL);
        return;
    }
    reply_entry_attributes(req, fs, entry_of(ino));
}

/* ---- ACCESS, SETATTR and STATFS ---- */

/* Asked for access(2) and chdir(2) alone, of the one user who may come in at all. */
void ops_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
    struct fs *fs = fuse_req_userdata(req);
    const struct maildrop_message *message = inodes_find(&fs->inodes, ino);
    const struct tree_entry *entry = entry_of(ino);
    bool is_folder = entry != NULL && S_ISDIR(entry->mode);
    if (message != NULL && is_stale(fs, message, false))
        fuse_reply_err(req, ESTALE);
    else
        fuse_reply_err(req, (mask & X_OK) != 0 && !is_folder ? EACCES : 0);
}

/* The size that a SETATTR asks for, from the request as the kernel sent it: libfuse puts it into a
 * struct stat, which it may see otherwise than popfs does (reply.h). */
static uint64_t asked_octets(const struct fs *fs)
{
    struct fuse_setattr_in asked;
    memcpy(&asked, (const char *)fs->received.mem + sizeof(struct fuse_in_header), sizeof(asked));
    return asked.size;
}

/* No to all, but that a shell empties .popfs/control before it writes to it. */
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                 struct fuse_file_info *info)
{
    (void)attr;
    (void)info;
    struct fs *fs = fuse_req_userdata(req);
    const int owned = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID;
    if (inode_is_commands(ino) && (to_set & FUSE_SET_ATTR_SIZE) != 0 && asked_octets(fs) == 0 &&
        (to_set & owned) == 0)
        reply_entry_attributes(req, fs, entry_of(ino));
    else
        ops_refuse(req);
}

void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    struct fs *fs = fuse_req_userdata(req);
    struct sync_status status;
    sync_status(fs->sync, &status);
    uint64_t blocks = (status.message_octets + STATFS_BLOCK_OCTETS - 1) / STATFS_BLOCK_OCTETS;
    /* Nothing can be written here. If nothing were free, either, df would say 100 %, at which
     * whoever watches disks gives the alarm. */
    const struct statvfs statvfs = {
        .f_bsize = STATFS_BLOCK_OCTETS,
        .f_frsize = STATFS_BLOCK_OCTETS,
        .f_blocks = blocks,
        .f_bfree = blocks,
        .f_files = status.message_count,
        .f_ffree = status.message_count,
        .f_namemax = NAME_OCTETS_MAX,
    };
    fuse_reply_statfs(req, &statvfs);
}
