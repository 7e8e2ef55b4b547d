/* SPDX-License-Identifier: MIT */
#include "place.h"

#include "filesystem.h"

enum place place_of_message(const struct maildrop_message *message)
{
    if (maildrop_message_is_withdrawn(message))
        return PLACE_NONE;
    return maildrop_message_is_going(message) ? PLACE_TRASH : PLACE_ROOT;
}

enum place place_of_folder(uint64_t ino)
{
    const struct tree_entry *entry = tree_find(ino);
    if (entry == NULL)
        return PLACE_NONE;
    switch (entry->listing) {
    case TREE_LISTS_NOTHING:
    case TREE_LISTS_ENTRIES:
        return PLACE_NONE;
    case TREE_LISTS_MESSAGES:
        return PLACE_ROOT;
    case TREE_LISTS_GOING:
        return PLACE_TRASH;
    }
    return PLACE_NONE;
}

bool place_name(const struct maildrop_message *message, struct name *ret_name)
{
    return name_encode(maildrop_message_uidl(message), maildrop_message_copy(message), ret_name);
}

/* With the lock held: what is found out about the message counts only as long as nobody else moves
 * it. */
static bool settle(struct fs *fs, struct maildrop_message *message)
{
    enum place place = place_of_message(message);
    struct name name;
    if (!place_name(message, &name))
        return false;
    uint32_t hash = nametable_hash(name_slice(&name));
    for (size_t i = 0; i < PLACE_COUNT; i++)
        if (i != place)
            (void)nametable_remove(&fs->names[i], hash, message);
    return place == PLACE_NONE || nametable_add(&fs->names[place], hash, message);
}

static void note_settled(bool settled)
{
    if (!settled)
        log_write(LOG_LEVEL_ERROR, "no memory for the name of a message: it cannot be opened");
}

void place_settle(struct fs *fs, struct maildrop_message *message)
{
    pthread_mutex_lock(&fs->lock);
    bool settled = settle(fs, message);
    pthread_mutex_unlock(&fs->lock);
    note_settled(settled);
}

void place_settle_changes(struct fs *fs, const struct maildrop_changes *changes)
{
    bool settled = true;
    pthread_mutex_lock(&fs->lock);
    maildrop_changes_take_effect(changes);
    /* The vanished first: a message that takes their place may have the same name. */
    for (size_t i = 0; i < changes->vanished_count; i++)
        settled &= settle(fs, changes->vanished[i]);
    (void)nametable_reserve(&fs->names[PLACE_ROOT], changes->appeared_count);
    for (size_t i = 0; i < changes->appeared_count; i++)
        settled &= settle(fs, changes->appeared[i]);
    fs_root_touch(fs);
    pthread_mutex_unlock(&fs->lock);
    note_settled(settled);
}

struct maildrop_message *place_find(struct fs *fs, enum place place, struct slice name)
{
    if (place == PLACE_NONE)
        return NULL;
    uint32_t hash = nametable_hash(name);
    pthread_mutex_lock(&fs->lock);
    struct maildrop_message *message = nametable_find(&fs->names[place], hash, name);
    pthread_mutex_unlock(&fs->lock);
    return message;
}

struct maildrop_message *place_find_heir(struct fs *fs, const struct maildrop_message *gone)
{
    struct name name;
    if (maildrop_message_is_going(gone) || !place_name(gone, &name))
        return NULL;
    return place_find(fs, PLACE_ROOT, name_slice(&name));
}
