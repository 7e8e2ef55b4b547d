/* SPDX-License-Identifier: MIT */
/*
 * Every way of unmounting takes a path, and so takes away what is on top there. So the kernel's
 * table is asked first where the own mount is, and what is on top at that place; a descriptor then
 * stands for the path, so that the place cannot become another one. What is mounted over it between
 * the last look and the system call goes with it: the kernel has no call that spares it. Refuses to
 * know why it is to be unmounted.
 */
#include "unmount.h"

#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

enum fault unmount_note(const char *mountpoint, struct unmount_own *ret_own,
                        struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer table = {0};
    struct mount_row row;
    uint64_t unique_id = 0;
    int error = mounts_find(mountpoint, &table, &row, &unique_id);
    *ret_own = (struct unmount_own){.is_noted = true, .unique_id = unique_id};
    if (error == 0 && !mounts_row_is_popfs(&row))
        error = EBUSY;
    if (error != 0)
        return failure_set(ret_failure, FAULT_DISK, "cannot tell which mount on %s is popfs's: %s",
                           mountpoint, strerror(error));
    ret_own->identity = mounts_row_identity(&row);
    return FAULT_NONE;
}

static bool run_fusermount(char *path)
{
    char program[] = "fusermount3", unmount[] = "-u", quiet[] = "-q", lazy[] = "-z", end[] = "--";
    char *const arguments[] = {program, unmount, quiet, lazy, end, path, NULL};
    pid_t child;
    int status = 0;
    if (program_start(program, arguments, STDERR_FILENO, &child) != 0)
        return false;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static enum fault fail(const char *path, const char *why, struct failure *ret_failure)
{
    return failure_set(ret_failure, FAULT_DISK, "cannot unmount %s: %s", path, why);
}

/* What `place` stands for is popfs's own, and is `path`. */
static enum fault detach(int place, char *path, struct failure *ret_failure)
{
    char pinned[64];
    snprintf(pinned, sizeof(pinned), "/proc/self/fd/%d", place);
    if (umount2(pinned, MNT_DETACH) == 0)
        return FAULT_NONE;
    int error = errno;
    if (error == EPERM && run_fusermount(path))
        return FAULT_NONE;
    return fail(path, error == EPERM ? "fusermount3 failed" : strerror(error), ret_failure);
}

/* A lazy unmount takes all of them away, too. */
static bool carries_others(struct slice table, uint64_t id)
{
    struct mount_row row;
    while (mounts_take_row(&table, &row))
        if (row.parent_id == id)
            return true;
    return false;
}

static bool is_own(int place, const struct unmount_own *own)
{
    uint64_t id, unique_id;
    return mounts_id_of(place, &id) == 0 && id == own->identity.id &&
           (own->unique_id == 0 ||
            (mounts_unique_id_of(place, &unique_id) == 0 && unique_id == own->unique_id));
}

enum fault unmount_run(const struct unmount_own *own, struct failure *ret_failure)
{
    CLEANUP_BUFFER struct buffer table = {0};
    CLEANUP_BUFFER struct buffer path = {0};
    struct mount_row row;
    if (own->identity.id == 0)
        return fail("the mount", "it is not known which one it is", ret_failure);
    int error = mounts_load(&table);
    if (error != 0)
        return fail("the mount", strerror(error), ret_failure);
    if (!mounts_find_row(buffer_slice(&table), &own->identity, &row))
        return FAULT_NONE;
    if (!mounts_text_append(row.mountpoint, &path))
        return fail("the mount", strerror(ENOMEM), ret_failure);
    CLEANUP_CLOSE int place = open(path.data, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0 && errno != ENOTDIR && errno != ELOOP)
        return fail(path.data, strerror(errno), ret_failure);
    if (!carries_others(buffer_slice(&table), own->identity.id) && place >= 0 && is_own(place, own))
        return detach(place, path.data, ret_failure);
    return failure_set(ret_failure, FAULT_BUSY,
                       "%s stays mounted, because something else is mounted over it or in it; it "
                       "answers no more, and umount clears it when the other has gone",
                       path.data);
}

bool unmount_is_needed(const char *mountpoint)
{
    CLEANUP_BUFFER struct buffer table = {0};
    return mounts_load(&table) == 0 && mounts_have_popfs(buffer_slice(&table), mountpoint);
}
