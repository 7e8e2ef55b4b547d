/* SPDX-License-Identifier: MIT */
#include "place.h"

#include "filesystem.h"

enum place place_of_message(const struct maildrop_message *message)
{
    if (maildrop_message_is_gone(message))
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
static bool settle(struct fs *fs, uint32_t hash, struct maildrop_message *message)
{
    enum place place = place_of_message(message);
    for (size_t i = 0; i < PLACE_COUNT; i++)
        if (i != place)
            (void)nametable_remove(&fs->names[i], hash, message);
    return place == PLACE_NONE || nametable_add(&fs->names[place], hash, message);
}

void place_settle(struct fs *fs, struct maildrop_message *message)
{
    struct name name;
    bool settled = place_name(message, &name);
    if (settled) {
        uint32_t hash = nametable_hash(name_slice(&name));
        pthread_mutex_lock(&fs->lock);
        settled = settle(fs, hash, message);
        pthread_mutex_unlock(&fs->lock);
    }
    if (!settled)
        log_write(LOG_LEVEL_ERROR, "no memory for the name of a message: it cannot be opened");
}

struct maildrop_message *place_find(struct fs *fs, enum place place, struct slice name)
{
    if (place == PLACE_NONE)
        return NULL;
    uint32_t hash = nametable_hash(name);
    pthread_mutex_lock(&fs->lock);
    struct maildrop_message *message = nametable_find(&fs->names[place], hash, name);
    pthread_mutex_unlock(&fs->lock);
    /* What has gone stays in the table until the index knows: to who looks it up again after an
     * ESTALE it is not there. */
    if (message == NULL || place_of_message(message) == place)
        return message;
    maildrop_message_unref(message);
    return NULL;
}

struct maildrop_message *place_find_heir(struct fs *fs, const struct maildrop_message *gone)
{
    struct name name;
    if (maildrop_message_is_going(gone) || !place_name(gone, &name))
        return NULL;
    return place_find(fs, PLACE_ROOT, name_slice(&name));
}
