/* SPDX-License-Identifier: MIT */
/*
 * What a new listing changes: the name table first, then the kernel's caches. Runs on the sync
 * thread, so that a notification never comes out of a request handler, where the kernel could be
 * waiting for us while we wait for it.
 */
#include "filesystem.h"

static bool name_of(const struct maildrop_message *message, struct name *ret_name)
{
    return name_encode(maildrop_message_uidl(message), maildrop_message_copy(message), ret_name);
}

/* A message that cannot be added for want of memory is missing until the next mount: say so. */
static void add(struct fs *fs, struct maildrop_message *message)
{
    struct name name;
    bool added = name_of(message, &name);
    if (added) {
        uint32_t hash = nametable_hash(name_slice(&name));
        pthread_mutex_lock(&fs->lock);
        added = nametable_add(&fs->names, hash, message);
        pthread_mutex_unlock(&fs->lock);
    }
    if (!added)
        log_write(LOG_LEVEL_ERROR, "no memory for a new message: it cannot be opened");
}

static void take_away(struct fs *fs, struct maildrop_message *message)
{
    struct name name;
    if (!name_of(message, &name))
        return;
    uint32_t hash = nametable_hash(name_slice(&name));
    pthread_mutex_lock(&fs->lock);
    (void)nametable_remove(&fs->names, hash, message);
    pthread_mutex_unlock(&fs->lock);
}

static void update_tables(struct fs *fs, const struct maildrop_changes *changes)
{
    /* The vanished first: a message that takes their place may have the same name. */
    for (size_t i = 0; i < changes->vanished_count; i++)
        take_away(fs, changes->vanished[i]);
    pthread_mutex_lock(&fs->lock);
    (void)nametable_reserve(&fs->names, changes->appeared_count);
    pthread_mutex_unlock(&fs->lock);
    for (size_t i = 0; i < changes->appeared_count; i++)
        add(fs, changes->appeared[i]);
    pthread_mutex_lock(&fs->lock);
    fs_root_touch(fs);
    pthread_mutex_unlock(&fs->lock);
}

/*
 * The kernel may remember what was under this name, or that nothing was. Not notify_delete: it
 * takes the lock of the message's inode, which lseek(2) to the end holds while it waits for a
 * GETATTR that only this thread can answer.
 *
 * Errors do not matter: the kernel has never heard of the name, or has just been unmounted. Each
 * call enters the gate anew, so that a long list does not hold up unmounting.
 */
static bool tell_name(struct fs *fs, const struct maildrop_message *message)
{
    struct name name;
    if (!name_of(message, &name))
        return true;
    if (!gate_enter_to_notify(fs))
        return false;
    (void)fuse_lowlevel_notify_inval_entry(fs->session, TREE_ROOT_INO, name.data, name.len);
    gate_leave(fs);
    return true;
}

static void tell_kernel(struct fs *fs, const struct maildrop_changes *changes)
{
    for (size_t i = 0; i < changes->vanished_count; i++)
        /* What the user has removed is no longer in any cache. */
        if (!maildrop_message_is_going(changes->vanished[i]) &&
            !tell_name(fs, changes->vanished[i]))
            return;
    for (size_t i = 0; i < changes->appeared_count; i++)
        if (!tell_name(fs, changes->appeared[i]))
            return;
    if (!gate_enter_to_notify(fs))
        return;
    /* A negative offset means: the attributes alone. */
    (void)fuse_lowlevel_notify_inval_inode(fs->session, TREE_ROOT_INO, -1, 0);
    gate_leave(fs);
}

static void changed(void *context, const struct maildrop_changes *changes)
{
    struct fs *fs = context;
    if (changes->appeared_count == 0 && changes->vanished_count == 0)
        return;
    update_tables(fs, changes);
    tell_kernel(fs, changes);
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
    if (!nametable_reserve(&fs->names, count))
        return FAULT_MEMORY;
    for (size_t i = 0; i < count; i++) {
        struct maildrop_message *message = maildrop_snapshot_at(snapshot, i);
        struct name name;
        if (maildrop_message_is_going(message))
            continue;
        if (!name_of(message, &name) ||
            !nametable_add(&fs->names, nametable_hash(name_slice(&name)), message))
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
