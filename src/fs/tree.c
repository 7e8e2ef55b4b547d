/* SPDX-License-Identifier: MIT */
/* The table, and three ways to search it. It is short: walking it is as fast as anything. */
#include "tree.h"

#include "status.h"

#include <sys/stat.h>

enum {
    INO_CONTROL_FOLDER = TREE_ROOT_INO + 1,
    INO_STATUS,
    INO_STATUS_JSON,
};

static const struct tree_entry entries[] = {
    {"", TREE_ROOT_INO, TREE_ROOT_INO, S_IFDIR | 0777, true, TREE_LISTS_MESSAGES, NULL},
    {".popfs", INO_CONTROL_FOLDER, TREE_ROOT_INO, S_IFDIR | 0555, true, TREE_LISTS_ENTRIES, NULL},
    {"status", INO_STATUS, INO_CONTROL_FOLDER, S_IFREG | 0444, false, TREE_LISTS_NOTHING,
     status_render_text},
    {"status.json", INO_STATUS_JSON, INO_CONTROL_FOLDER, S_IFREG | 0444, false, TREE_LISTS_NOTHING,
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

const struct tree_entry *tree_lookup(uint64_t parent, struct slice name)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (entries[i].parent == parent && entries[i].ino != TREE_ROOT_INO &&
            slice_equal(slice_from_string(entries[i].name), name))
            return &entries[i];
    return NULL;
}

const struct tree_entry *tree_listed_after(uint64_t parent, uint64_t ino)
{
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if (entries[i].parent == parent && !entries[i].hidden && entries[i].ino > ino)
            return &entries[i];
    return NULL;
}
