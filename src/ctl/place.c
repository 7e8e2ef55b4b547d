/* SPDX-License-Identifier: MIT */
/*
 * The kernel's table of mounts is asked, and not the folder: a folder named .popfs that somebody
 * put into /tmp must not get commands written through its links. Refuses to know what a mount
 * holds.
 */
#include "place.h"

#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_OCTETS = 4 * PATH_MAX }; /* paths are written with \040 and the like */

static bool is_popfs(const struct mntent *entry)
{
    return strcmp(entry->mnt_type, "fuse.popfs") == 0;
}

static unsigned number_of(const struct mntent *entry, const char *name)
{
    const char *option = hasmntopt(entry, name);
    const char *value = option == NULL ? NULL : strchr(option, '=');
    return value == NULL ? 0 : (unsigned)strtoul(value + 1, NULL, 10);
}

static void take(const struct mntent *entry, struct place *place)
{
    snprintf(place->path, sizeof(place->path), "%s", entry->mnt_dir);
    place->owner = number_of(entry, "user_id");
    place->group = number_of(entry, "group_id");
}

/* Octets of `folder` if `path` is it or lies in it; 0 if not. */
static size_t covers(const char *folder, const char *path)
{
    size_t len = strlen(folder);
    if (strcmp(folder, "/") == 0)
        return 1;
    bool inside = strncmp(folder, path, len) == 0 && (path[len] == '/' || path[len] == '\0');
    return inside ? len : 0;
}

int place_find(const char *table, const char *path, struct place *ret_place)
{
    char resolved[PATH_MAX], words[ENTRY_OCTETS];
    struct mntent entry;
    size_t longest = 0;
    int error = ENODEV;
    if (realpath(path, resolved) == NULL)
        return errno;
    FILE *file = setmntent(table, "re");
    if (file == NULL)
        return errno;
    while (getmntent_r(file, &entry, words, sizeof(words)) != NULL) {
        size_t len = covers(entry.mnt_dir, resolved);
        /* Of two on the same folder, the later hides the earlier. */
        if (len == 0 || len < longest)
            continue;
        longest = len;
        error = is_popfs(&entry) ? 0 : ENODEV;
        if (error == 0)
            take(&entry, ret_place);
    }
    endmntent(file);
    if (error == 0)
        ret_place->is_root = strcmp(ret_place->path, resolved) == 0;
    return error;
}

int place_find_source(const char *table, const char *source, struct place *ret_place)
{
    char words[ENTRY_OCTETS];
    struct mntent entry;
    int error = ENODEV;
    FILE *file = setmntent(table, "re");
    if (file == NULL)
        return errno;
    while (getmntent_r(file, &entry, words, sizeof(words)) != NULL) {
        if (!is_popfs(&entry) || strcmp(entry.mnt_fsname, source) != 0)
            continue;
        take(&entry, ret_place);
        ret_place->is_root = true;
        error = 0;
    }
    endmntent(file);
    return error;
}
