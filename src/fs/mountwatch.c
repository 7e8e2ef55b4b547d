/* SPDX-License-Identifier: MIT */
#include "mountwatch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- pure ---- */

bool mountwatch_may_be_handed_over(const struct mount_row *row, const char *source)
{
    return mounts_row_is_popfs(row) && (mounts_text_is(row->source, "popfs") ||
                                        (source != NULL && mounts_text_is(row->source, source)));
}

/* Several file systems may be it: then none is. */
static bool find_handed_over(struct slice table, const char *source,
                             struct mount_identity *ret_identity)
{
    struct mount_identity found = {.device = ""};
    struct mount_row row;
    while (mounts_take_row(&table, &row)) {
        if (!mountwatch_may_be_handed_over(&row, source))
            continue;
        if (found.device[0] == '\0')
            found = mounts_row_identity(&row);
        else if (!mounts_row_is_same_popfs(&row, &found))
            return false;
    }
    if (found.device[0] == '\0')
        return false;
    *ret_identity = found;
    return true;
}

bool mountwatch_find(struct slice table, const char *device, const char *mountpoint,
                     const char *source, struct mount_identity *ret_identity)
{
    bool found = false;
    struct mount_row row;
    if (device == NULL && strncmp(mountpoint, "/dev/fd/", strlen("/dev/fd/")) == 0)
        return find_handed_over(table, source, ret_identity);
    while (mounts_take_row(&table, &row)) {
        bool is_here = mounts_text_is(row.mountpoint, mountpoint);
        bool may_be = device == NULL ? is_here && mounts_row_is_popfs(&row)
                                     : slice_equal(row.device, slice_from_string(device));
        if (!may_be || (found && !is_here))
            continue;
        *ret_identity = mounts_row_identity(&row);
        found = true;
    }
    return found;
}

bool mountwatch_connection(struct slice fdinfo, char ret_device[MOUNT_DEVICE_OCTETS])
{
    enum { MINOR_BITS = 20 }; /* in the kernel's own dev_t */
    while (fdinfo.len > 0) {
        const char *end = memchr(fdinfo.data, '\n', fdinfo.len);
        struct slice line = {fdinfo.data, end == NULL ? fdinfo.len : (size_t)(end - fdinfo.data)};
        fdinfo = slice_skip(fdinfo, line.len + 1);
        uint64_t number;
        if (!slice_equal(slice_take_word(&line), SLICE_LITERAL("fuse_connection:")) ||
            !slice_to_number(slice_trim(line), UINT32_MAX, &number))
            continue;
        snprintf(ret_device, MOUNT_DEVICE_OCTETS, "%u:%u", (unsigned)(number >> MINOR_BITS),
                 (unsigned)number & ((1U << MINOR_BITS) - 1));
        return true;
    }
    return false;
}

/* ---- files of /proc ---- */

static bool connection_of(int session_descriptor, char ret_device[MOUNT_DEVICE_OCTETS])
{
    char path[64];
    CLEANUP_BUFFER struct buffer text = {0};
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", session_descriptor);
    CLEANUP_CLOSE int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    return descriptor >= 0 && mounts_read(descriptor, &text) &&
           mountwatch_connection(buffer_slice(&text), ret_device);
}

/*
 * The number of the connection tells the file system for sure. Where the kernel does not say it
 * (Linux 6.12 does not), the path does. The path of a mount that mount.fuse3 has made before it
 * started popfs is "/dev/fd/N": such a mount is known only if no other can be it. A mount that
 * another namespace holds is never known.
 */
void mountwatch_start(struct mountwatch *watch, int session_descriptor, const char *mountpoint,
                      const char *source)
{
    char device[MOUNT_DEVICE_OCTETS];
    bool known = connection_of(session_descriptor, device);
    struct mount_identity identity;
    CLEANUP_BUFFER struct buffer table = {0};
    int descriptor = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    *watch = MOUNTWATCH_OFF;
    if (descriptor < 0)
        return;
    if (mounts_read(descriptor, &table) &&
        mountwatch_find(buffer_slice(&table), known ? device : NULL, mountpoint, source, &identity))
        mountwatch_start_at(watch, descriptor, &identity);
    else
        close(descriptor);
}

void mountwatch_start_at(struct mountwatch *watch, int descriptor,
                         const struct mount_identity *identity)
{
    *watch = (struct mountwatch){
        .descriptor = descriptor, .identity = *identity, .state = MOUNTWATCH_MOUNTED};
    mountwatch_read(watch);
    if (watch->state != MOUNTWATCH_MOUNTED)
        mountwatch_done(watch);
}

void mountwatch_done(struct mountwatch *watch)
{
    if (watch->descriptor >= 0)
        close(watch->descriptor);
    *watch = MOUNTWATCH_OFF;
}

/*
 * The options are those of the file system, and the same in every row. Of the flags, those of the
 * own mount count; once that has gone, one mount that can be written to is enough. True: the own
 * mount is there.
 */
static bool take_rows(struct mountwatch *watch, struct slice table)
{
    struct mount_row row;
    bool is_there = false, own_is_read_only = false, all_are = true, file_system_is = false;
    watch->mount_count = 0;
    while (mounts_take_row(&table, &row)) {
        if (!mounts_row_is_same_popfs(&row, &watch->identity))
            continue;
        bool mount_is = mounts_options_have(row.flags, "ro");
        watch->mount_count++;
        all_are &= mount_is;
        file_system_is |= mounts_options_have(row.options, "ro");
        if (row.id != watch->identity.id)
            continue;
        is_there = true;
        own_is_read_only = mount_is;
    }
    if (watch->mount_count > 0)
        watch->read_only = file_system_is || (is_there ? own_is_read_only : all_are);
    return is_there;
}

void mountwatch_read(struct mountwatch *watch)
{
    CLEANUP_BUFFER struct buffer table = {0};
    /* What cannot be read says nothing: the next look will. */
    if (watch->state == MOUNTWATCH_NOTHING_KNOWN || !mounts_read(watch->descriptor, &table))
        return;
    if (take_rows(watch, buffer_slice(&table)) || watch->state != MOUNTWATCH_MOUNTED)
        return;
    watch->state = MOUNTWATCH_UNMOUNTED;
    watch->unmounted_at_ms = clock_now_ms();
}

enum mountwatch_state mountwatch_state(const struct mountwatch *watch)
{
    return watch->state;
}

int mountwatch_left_ms(const struct mountwatch *watch)
{
    if (watch->state != MOUNTWATCH_UNMOUNTED)
        return -1;
    int64_t left_ms = watch->unmounted_at_ms + MOUNTWATCH_PLAIN_MS - clock_now_ms();
    return left_ms > 0 ? (int)left_ms : 0;
}

void mountwatch_be_lazy(struct mountwatch *watch)
{
    watch->state = MOUNTWATCH_UNMOUNTED_LAZILY;
}
