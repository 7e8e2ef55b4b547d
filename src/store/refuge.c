/* SPDX-License-Identifier: MIT */
/*
 * A reader gets his message even when the cache is full or broken, so its bytes must lie somewhere
 * that has a descriptor. That is memory, bounded for one body; no other folder is written to, for
 * nobody has been told of one. It has no name, so nothing of it stays.
 */
#include "refuge.h"

#include "disk.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COPY_OCTETS = 16384 };

static ssize_t write_piece(int to, const char *octets, size_t count, uint64_t offset)
{
    ssize_t written;
    do
        written = disk_pwrite(to, octets, count, (off_t)offset);
    while (written < 0 && errno == EINTR);
    return written;
}

bool refuge_copy(int from, int to, uint64_t octets)
{
    char piece[COPY_OCTETS];
    uint64_t offset = 0;
    while (offset < octets) {
        size_t wanted = octets - offset < sizeof(piece) ? (size_t)(octets - offset) : sizeof(piece);
        ssize_t count = disk_pread(from, piece, wanted, (off_t)offset);
        if (count < 0 && errno == EINTR)
            continue;
        if (count == 0)
            errno = EIO; /* shorter than it was */
        if (count <= 0)
            return false;
        count = write_piece(to, piece, (size_t)count, offset);
        if (count < 0)
            return false;
        offset += (uint64_t)count;
    }
    return true;
}

int refuge_open(int from, uint64_t octets)
{
    int file = disk_memfd_create("popfs-body", MFD_CLOEXEC);
    if (file < 0 || refuge_copy(from, file, octets))
        return file;
    int error = errno;
    close(file);
    errno = error;
    return -1;
}
