/* SPDX-License-Identifier: MIT */
/*
 * The kernel is asked which mount a path is in, and not the folder: a folder named .popfs that
 * somebody put into /tmp must not get commands written through its links, and what has been mounted
 * at a path meanwhile must not be unmounted. Refuses to know what a mount holds.
 */
#include "place.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* N of "name=N" among the options. */
static unsigned number_of(struct slice options, const char *name)
{
    const char *at = memmem(options.data, options.len, name, strlen(name));
    uint64_t number = 0;
    if (at == NULL)
        return 0;
    struct slice value = slice_skip(options, (size_t)(at - options.data) + strlen(name));
    const char *comma = memchr(value.data, ',', value.len);
    if (comma != NULL)
        value.len = (size_t)(comma - value.data);
    return slice_to_number(value, UINT32_MAX, &number) ? (unsigned)number : 0;
}

static int take(const struct mount_row *row, struct place *place)
{
    CLEANUP_BUFFER struct buffer path = {0};
    if (!mounts_row_is_popfs(row))
        return ENODEV;
    if (!mounts_text_append(row->mountpoint, &path))
        return ENOMEM;
    if (path.len > sizeof(place->path))
        return ENAMETOOLONG;
    memcpy(place->path, path.data, path.len);
    place->mount = mounts_row_identity(row);
    place->owner = number_of(row->options, "user_id=");
    place->group = number_of(row->options, "group_id=");
    return 0;
}

int place_find(const char *path, struct place *ret_place)
{
    CLEANUP_BUFFER struct buffer table = {0};
    CLEANUP_FREE char *resolved = realpath(path, NULL);
    struct mount_row row;
    if (resolved == NULL)
        return errno;
    int error = mounts_find(resolved, &table, &row, NULL);
    if (error == 0)
        error = take(&row, ret_place);
    if (error == 0)
        ret_place->is_root = strcmp(ret_place->path, resolved) == 0;
    return error;
}

int place_find_source(const char *source, struct place *ret_place)
{
    CLEANUP_BUFFER struct buffer table = {0};
    struct mount_row row;
    struct place place;
    int found = ENODEV, error = mounts_load(&table);
    struct slice rows = buffer_slice(&table);
    while (error == 0 && mounts_take_row(&rows, &row)) {
        if (!mounts_text_is(row.source, source) || take(&row, &place) != 0 ||
            !place_is_there(&place))
            continue;
        place.is_root = true;
        *ret_place = place;
        found = 0;
    }
    return error == 0 ? found : error;
}

static bool is_of(const struct place *place, struct slice device)
{
    return slice_equal(device, slice_from_string(place->mount.device));
}

bool place_is_there(const struct place *place)
{
    CLEANUP_BUFFER struct buffer table = {0};
    struct mount_row row;
    return mounts_find(place->path, &table, &row, NULL) == 0 && row.id == place->mount.id &&
           is_of(place, row.device);
}

bool place_has_file(const struct place *place, int descriptor)
{
    struct stat status;
    char device[MOUNT_DEVICE_OCTETS];
    if (fstat(descriptor, &status) != 0)
        return false;
    snprintf(device, sizeof(device), "%u:%u", major(status.st_dev), minor(status.st_dev));
    return is_of(place, slice_from_string(device));
}

bool place_is_elsewhere(const struct place *place, char **ret_path)
{
    CLEANUP_BUFFER struct buffer table = {0};
    struct mount_row row;
    if (mounts_load(&table) != 0)
        return false;
    struct slice rows = buffer_slice(&table);
    while (mounts_take_row(&rows, &row)) {
        struct buffer path = {0};
        if (row.id == place->mount.id || !is_of(place, row.device))
            continue;
        if (ret_path != NULL && !mounts_text_append(row.mountpoint, &path))
            buffer_done(&path);
        if (ret_path != NULL)
            *ret_path = path.data;
        return true;
    }
    return false;
}

bool place_become_owner(const struct place *place)
{
    return geteuid() == 0 && place->owner != 0 && setgroups(0, NULL) == 0 &&
           setresgid(place->group, place->group, place->group) == 0 &&
           setresuid(place->owner, place->owner, place->owner) == 0;
}
