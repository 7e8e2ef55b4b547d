/* SPDX-License-Identifier: MIT */
/*
 * What a new listing changes: the name tables first, then the kernel's caches. Runs on the sync
 * thread.
 */
#include "filesystem.h"

static void changed(void *context, const struct maildrop_changes *changes)
{
    struct fs *fs = context;
    if (changes->appeared_count == 0 && changes->vanished_count == 0)
        return;
    /* The vanished first: a message that takes their place may have the same name. */
    for (size_t i = 0; i < changes->vanished_count; i++)
        place_settle(fs, changes->vanished[i]);
    pthread_mutex_lock(&fs->lock);
    (void)nametable_reserve(&fs->names[PLACE_ROOT], changes->appeared_count);
    pthread_mutex_unlock(&fs->lock);
    for (size_t i = 0; i < changes->appeared_count; i++)
        place_settle(fs, changes->appeared[i]);
    pthread_mutex_lock(&fs->lock);
    fs_root_touch(fs);
    pthread_mutex_unlock(&fs->lock);
    notifier_tell(fs, changes);
}

/* The kernel has the size of LIST; for names, and for who opens, see opened() in ops_message.c. */
static void resized(void *context, struct maildrop_message *message)
{
    struct fs *fs = context;
    if (!gate_enter_to_notify(fs))
        return;
    (void)fuse_lowlevel_notify_inval_inode(fs->session, inode_of_message(message), -1, 0);
    gate_leave(fs);
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
