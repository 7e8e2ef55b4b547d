/* SPDX-License-Identifier: MIT */
/* What fuse_session_unmount() of libfuse would do. Refuses to know whose mount it is. */
#include "unmount.h"

#include "program.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static bool run_fusermount(const char *mountpoint)
{
    char program[] = "fusermount3", unmount[] = "-u", quiet[] = "-q", lazy[] = "-z", end[] = "--";
    CLEANUP_FREE char *path = strdup(mountpoint);
    char *const arguments[] = {program, unmount, quiet, lazy, end, path, NULL};
    pid_t child;
    int status = 0;
    if (path == NULL || program_start(program, arguments, STDERR_FILENO, &child) != 0)
        return false;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

enum fault unmount_run(const char *mountpoint, struct failure *ret_failure)
{
    if (umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        return FAULT_NONE;
    int error = errno;
    if (error == EPERM && run_fusermount(mountpoint))
        return FAULT_NONE;
    return failure_set(ret_failure, FAULT_DISK, "cannot unmount %s: %s", mountpoint,
                       error == EPERM ? "fusermount3 failed" : strerror(error));
}
