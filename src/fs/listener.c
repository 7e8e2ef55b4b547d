/* SPDX-License-Identifier: MIT */
/*
 * What a new listing changes: the name tables first, then the kernel's caches. Runs on the sync
 * thread.
 *
 * The kernel is never told to forget a name. For that it takes the folder's lock, which a process
 * may hold that waits for an answer: fsync() of the root for as long as a commit takes, any look-up
 * for a moment. If popfs is killed in that moment, the thread that tells cannot end, so the device
 * is not closed, so the process waits for ever, and no signal helps either.
 *
 * Instead the inode of what has gone loses its attributes, which takes no lock. Whoever comes by
 * the name then asks for them, or opens, and gets ESTALE, at which the kernel looks the name up
 * anew and nobody sees anything but what it finds. Once: a second ESTALE in a row the program sees.
 * Who only resolves the name (O_PATH, realpath(), inotify) asks popfs nothing, and may find what
 * has gone for as long as names are remembered. New names need no telling: that a name is not there
 * the kernel may not remember.
 */
#include "filesystem.h"

/* A negative offset means: the attributes alone. Those of a folder say, too, whether its cached
 * listing still holds. Errors do not matter: the kernel does not know the inode, or has just been
 * unmounted. Enters the gate anew each time, so that a long list does not hold up unmounting. */
static void tell_attributes(struct fs *fs, uint64_t ino)
{
    if (!gate_enter_to_notify(fs))
        return;
    (void)fuse_lowlevel_notify_inval_inode(fs->session, ino, -1, 0);
    gate_leave(fs);
}

static void changed(void *context, const struct maildrop_changes *changes)
{
    struct fs *fs = context;
    if (changes->appeared_count == 0 && changes->vanished_count == 0)
        return;
    place_settle_changes(fs, changes);
    for (size_t i = 0; i < changes->vanished_count; i++)
        tell_attributes(fs, inode_of_message(changes->vanished[i]));
    tell_attributes(fs, TREE_ROOT_INO);
}

/* The kernel has the size of LIST; for names, and for who opens, see opened() in ops_message.c. */
static void resized(void *context, struct maildrop_message *message)
{
    tell_attributes(context, inode_of_message(message));
}

static enum fault build(struct fs *fs, const struct maildrop_snapshot *snapshot)
{
    size_t count = maildrop_snapshot_count(snapshot);
    if (!nametable_reserve(&fs->names[PLACE_ROOT], count))
        return FAULT_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        enum place place = place_of_message(message);
        struct name name;
        if (place == PLACE_NONE)
            continue;
        if (!place_name(message, &name) ||
            !nametable_add(&fs->names[place], nametable_hash(name_slice(&name)), message))
            return FAULT_MEMORY;
    }
    return FAULT_NONE;
}

/*
 * Listens first and builds under the lock: a change that comes in between waits, and is then
 * applied to a table that has it already or not, which is the same to it.
 */
enum fault listener_start(struct fs *fs)
{
    const struct sync_listener listener = {.changed = changed, .resized = resized, .context = fs};
    sync_set_listener(fs->sync, &listener);
    pthread_mutex_lock(&fs->lock);
    struct maildrop_snapshot *snapshot = sync_snapshot(fs->sync);
    enum fault fault = build(fs, snapshot);
    pthread_mutex_unlock(&fs->lock);
    maildrop_snapshot_unref(snapshot);
    return fault;
}
