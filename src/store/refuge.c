/* SPDX-License-Identifier: MIT */
/*
 * A reader gets his message even when the cache is full or broken, so its bytes must lie somewhere
 * that has a descriptor. Memory is bounded for one body; a larger one takes $TMPDIR. None of these
 * has a name, so nothing of them stays.
 */
#include "refuge.h"

#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COPY_OCTETS_MAX = 1 << 30 };

enum refuge refuge_after(enum refuge refuge, uint64_t octets)
{
    if (refuge == REFUGE_NONE && octets <= REFUGE_MEMORY_OCTETS_MAX)
        return REFUGE_MEMORY;
    return refuge == REFUGE_TMPDIR ? REFUGE_NONE : REFUGE_TMPDIR;
}

static int open_in_tmpdir(void)
{
    char path[4096];
    const char *folder = getenv("TMPDIR");
    if (folder == NULL || folder[0] != '/')
        folder = "/tmp";
    int file = disk_openat(AT_FDCWD, folder, O_TMPFILE | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return file;
    if (snprintf(path, sizeof(path), "%s/popfs-XXXXXX", folder) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    file = disk_mkostemp(path, O_CLOEXEC);
    if (file >= 0)
        disk_unlinkat(AT_FDCWD, path, 0);
    return file;
}

static bool copy(int from, int to, uint64_t octets)
{
    off_t offset = 0;
    while ((uint64_t)offset < octets) {
        uint64_t left = octets - (uint64_t)offset;
        size_t wanted = left < COPY_OCTETS_MAX ? (size_t)left : COPY_OCTETS_MAX;
        ssize_t count = disk_sendfile(to, from, &offset, wanted);
        if (count == 0)
            errno = EIO; /* shorter than it was */
        if (count == 0 || (count < 0 && errno != EINTR))
            return false;
    }
    return true;
}

int refuge_open(enum refuge refuge, int from, uint64_t octets)
{
    int file =
        refuge == REFUGE_MEMORY ? disk_memfd_create("popfs-body", MFD_CLOEXEC) : open_in_tmpdir();
    if (file < 0 || copy(from, file, octets))
        return file;
    int error = errno;
    close(file);
    errno = error;
    return -1;
}
