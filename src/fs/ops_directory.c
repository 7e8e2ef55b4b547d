/* SPDX-License-Identifier: MIT */
/*
 * Listing folders. A cookie says what comes next and not where it stands, so that `rm -r` removes
 * all while it reads:
 *
 *     1, 2         after "." and ".."
 *     2 + ino      after a virtual entry
 *     ino          after a message (above INODE_MESSAGE_FIRST, so above all others)
 */
#include "ops.h"
#include "reply.h"

#include <errno.h>

enum {
    COOKIE_DOT = 1,
    COOKIE_DOT_DOT = 2,
    TOLD_COUNT_MAX = 100000, /* each costs the kernel a kilobyte, even for a plain ls */
};

static struct handle *directory_of(const struct fuse_file_info *info)
{
    return (struct handle *)(uintptr_t)info->fh;
}

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    struct fs *fs = fuse_req_userdata(req);
    struct handle *directory = handle_new(&fs->handles);
    if (directory == NULL) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    directory->snapshot = sync_snapshot(fs->sync);
    info->fh = (uintptr_t)directory;
    /* listener.c and the kernel's own unlink say when the cached listing is out of date. */
    info->cache_readdir = ino == TREE_ROOT_INO;
    info->keep_cache = ino == TREE_ROOT_INO;
    if (fuse_reply_open(req, info) != 0)
        handle_free(directory);
}

void ops_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *info)
{
    (void)ino;
    handle_free(directory_of(info));
    fuse_reply_err(req, 0);
}

/* A reply that is being put together. */
struct listing {
    struct fs *fs;
    enum place place; /* that is listed */
    bool plus;
    char *out;
    size_t len;
    size_t size;
    int error;
};

static bool listing_add(struct listing *listing, const char *name, const struct reply_entry *entry,
                        off_t cookie)
{
    char *out = listing->out + listing->len;
    size_t room = listing->size - listing->len;
    size_t needed = listing->plus ? reply_add_entry(out, room, name, entry, cookie)
                                  : reply_add_name(out, room, name, &entry->attr, cookie);
    if (needed > room)
        return false;
    listing->len += needed;
    return true;
}

/* With `ino` 0 in the entry the kernel takes the type and number, but counts no look-up. */
static bool listing_add_virtual(struct listing *listing, const char *name,
                                const struct tree_entry *entry, off_t cookie)
{
    struct reply_entry reply = {.ino = 0};
    reply.attr.st_ino = entry->ino;
    reply.attr.st_mode = entry->mode;
    return listing_add(listing, name, &reply, cookie);
}

static bool listing_add_plain(struct listing *listing, const struct name *name,
                              const struct maildrop_message *message)
{
    struct reply_entry reply = {.ino = 0};
    reply.attr.st_ino = inode_of_message(message);
    reply.attr.st_mode = S_IFREG;
    return listing_add(listing, name->data, &reply, (off_t)reply.attr.st_ino);
}

static bool listing_add_plus(struct listing *listing, const struct name *name,
                             struct maildrop_message *message)
{
    struct fs *fs = listing->fs;
    struct reply_entry reply = {.ino = inode_of_message(message),
                                .entry_timeout_s = ATTRIBUTES_NAME_S};
    reply.attr_timeout_s = ops_attributes(fs, message, &reply.attr);
    size_t before = listing->len;
    if (!listing_add(listing, name->data, &reply, (off_t)reply.ino))
        return false;
    if (!inodes_remember(&fs->inodes, message)) {
        listing->len = before;
        listing->error = ENOMEM;
        return false;
    }
    inodes_tell_octets(&fs->inodes, reply.ino, (uint64_t)reply.attr.st_size);
    return true;
}

/* Of the message at `position` the kernel is told all, so that it need not ask. */
static bool is_told(const struct listing *listing, size_t position)
{
    return listing->plus && listing->place != PLACE_TRASH && position < TOLD_COUNT_MAX;
}

/* Its name, which a listing that began before must not lack, is another one's by now. */
static bool has_heir(const struct listing *listing, const struct maildrop_message *message)
{
    struct maildrop_message *heir = NULL;
    if (listing->place == PLACE_ROOT && maildrop_message_is_replaced(message))
        heir = place_find_heir(listing->fs, message);
    maildrop_message_unref(heir);
    return heir != NULL;
}

static bool listing_add_message(struct listing *listing, struct maildrop_message *message,
                                size_t position)
{
    struct name name;
    bool is_here = place_of_message(message) == listing->place;
    if (!is_here && !has_heir(listing, message))
        return true;
    if (!place_name(message, &name)) {
        listing->error = ENOMEM;
        return false;
    }
    return is_here && is_told(listing, position) ? listing_add_plus(listing, &name, message)
                                                 : listing_add_plain(listing, &name, message);
}

static bool list_virtual(struct listing *listing, const struct tree_entry *folder, off_t after)
{
    if (after < COOKIE_DOT && !listing_add_virtual(listing, ".", folder, COOKIE_DOT))
        return false;
    if (after < COOKIE_DOT_DOT &&
        !listing_add_virtual(listing, "..", tree_find(folder->parent), COOKIE_DOT_DOT))
        return false;
    uint64_t ino = after > COOKIE_DOT_DOT ? (uint64_t)after - COOKIE_DOT_DOT : 0;
    enum fs_control control = listing->fs->control;
    const struct tree_entry *entry = tree_listed_after(control, folder->ino, ino);
    while (entry != NULL) {
        if (!listing_add_virtual(listing, entry->name, entry, (off_t)entry->ino + COOKIE_DOT_DOT))
            return false;
        entry = tree_listed_after(control, folder->ino, entry->ino);
    }
    return true;
}

static void list_messages(struct listing *listing, const struct maildrop_snapshot *snapshot,
                          off_t after)
{
    uint64_t id = after > INODE_MESSAGE_FIRST ? (uint64_t)after - INODE_MESSAGE_FIRST : 0;
    size_t count = maildrop_snapshot_count(snapshot);
    if (id == 0 && is_told(listing, 0))
        inodes_reserve(&listing->fs->inodes, count < TOLD_COUNT_MAX ? count : TOLD_COUNT_MAX);
    for (size_t i = maildrop_snapshot_after(snapshot, id); i < count; i++)
        if (!listing_add_message(listing, maildrop_snapshot_at(snapshot, i), i))
            return;
}

static void list(struct listing *listing, fuse_ino_t ino, struct handle *directory, off_t after)
{
    const struct tree_entry *folder = tree_find(ino);
    if (folder == NULL) {
        listing->error = ENOENT;
        return;
    }
    if (after == 0) {
        maildrop_snapshot_unref(directory->snapshot);
        directory->snapshot = sync_snapshot(listing->fs->sync);
    }
    if (list_virtual(listing, folder, after) && listing->place != PLACE_NONE)
        list_messages(listing, directory->snapshot, after);
}

static void reply_listing(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                          const struct fuse_file_info *info, bool plus)
{
    struct fs *fs = fuse_req_userdata(req);
    if (!fs_scratch(fs, size)) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    struct listing listing = {
        .fs = fs, .place = place_of_folder(ino), .plus = plus, .out = fs->scratch, .size = size};
    list(&listing, ino, directory_of(info), offset);
    if (listing.len == 0 && listing.error != 0)
        fuse_reply_err(req, listing.error);
    else
        fuse_reply_buf(req, listing.out, listing.len);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 struct fuse_file_info *info)
{
    reply_listing(req, ino, size, offset, info, false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                     struct fuse_file_info *info)
{
    reply_listing(req, ino, size, offset, info, true);
}
