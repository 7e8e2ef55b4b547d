/* SPDX-License-Identifier: MIT */
/* The table, and three ways to search it. It is short: walking it is as fast as anything. */
#include "tree.h"

#include "status.h"

#include <sys/stat.h>

enum { INO_STATUS = TREE_COMMANDS_INO + 1, INO_STATUS_JSON };

/* By rising ino. `status` is for whoever may read mail; commands are for the owner alone. */
static const struct tree_entry entries[] = {
    {"", TREE_ROOT_INO, TREE_ROOT_INO, S_IFDIR | 0777, TREE_LISTS_MESSAGES, NULL},
    {".popfs", TREE_FOLDER_INO, TREE_ROOT_INO, S_IFDIR | 0555, TREE_LISTS_ENTRIES, NULL},
    {"trash", TREE_TRASH_INO, TREE_FOLDER_INO, S_IFDIR | 0777, TREE_LISTS_GOING, NULL},
    {"control", TREE_COMMANDS_INO, TREE_FOLDER_INO, S_IFREG | 0200, TREE_LISTS_NOTHING, NULL},
    {"status", INO_STATUS, TREE_FOLDER_INO, S_IFREG | 0444, TREE_LISTS_NOTHING, status_render_text},
    {"status.json", INO_STATUS_JSON, TREE_FOLDER_INO, S_IFREG | 0444, TREE_LISTS_NOTHING,
     status_render_json},
};

enum { ENTRY_COUNT = sizeof(entries) / sizeof(entries[0]) };

const struct tree_entry *tree_find(uint64_t ino)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (entries[i].ino == ino)
            return &entries[i];
    return NULL;
}

/* The root is in no folder. */
static bool is_in(const struct tree_entry *entry, uint64_t parent)
{
    return entry->parent == parent && entry->ino != TREE_ROOT_INO;
}

const struct tree_entry *tree_lookup(enum fs_control control, uint64_t parent, struct slice name)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (is_in(&entries[i], parent) && slice_equal(slice_from_string(entries[i].name), name))
            return entries[i].ino == TREE_FOLDER_INO && control == FS_CONTROL_OFF ? NULL
                                                                                  : &entries[i];
    return NULL;
}

const struct tree_entry *tree_listed_after(enum fs_control control, uint64_t parent, uint64_t ino)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        bool listed = entries[i].ino != TREE_FOLDER_INO || control == FS_CONTROL_VISIBLE;
        if (is_in(&entries[i], parent) && listed && entries[i].ino > ino)
            return &entries[i];
    }
    return NULL;
}
