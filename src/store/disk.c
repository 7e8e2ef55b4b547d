/* SPDX-License-Identifier: MIT */
#include "disk.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

int disk_openat(int folder, const char *path, int flags, mode_t mode)
{
    return openat(folder, path, flags, mode);
}

int disk_memfd_create(const char *name, unsigned flags)
{
    return memfd_create(name, flags);
}

int disk_dup(int descriptor)
{
    return fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
}

int disk_dup3(int from, int to, int flags)
{
    return dup3(from, to, flags);
}

int disk_flock(int descriptor, int operation)
{
    return flock(descriptor, operation);
}

FILE *disk_fdopen(int descriptor, const char *mode)
{
    return fdopen(descriptor, mode);
}

ssize_t disk_read(int file, void *octets, size_t count)
{
    return read(file, octets, count);
}

ssize_t disk_pread(int file, void *octets, size_t count, off_t offset)
{
    return pread(file, octets, count, offset);
}

ssize_t disk_write(int file, const void *octets, size_t count)
{
    return write(file, octets, count);
}

ssize_t disk_pwrite(int file, const void *octets, size_t count, off_t offset)
{
    return pwrite(file, octets, count, offset);
}

int disk_ftruncate(int file, off_t octets)
{
    return ftruncate(file, octets);
}

int disk_fallocate(int file, int mode, off_t offset, off_t octets)
{
    return fallocate(file, mode, offset, octets);
}

int disk_mkdirat(int folder, const char *path, mode_t mode)
{
    return mkdirat(folder, path, mode);
}

char *disk_mkdtemp(char *path)
{
    return mkdtemp(path);
}

int disk_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    return linkat(from_folder, from, to_folder, to, flags);
}

int disk_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    return renameat(from_folder, from, to_folder, to);
}

int disk_unlinkat(int folder, const char *path, int flags)
{
    return unlinkat(folder, path, flags);
}

int disk_fstat(int descriptor, struct stat *ret_stat)
{
    return fstat(descriptor, ret_stat);
}

int disk_fstatat(int folder, const char *path, struct stat *ret_stat, int flags)
{
    return fstatat(folder, path, ret_stat, flags);
}

int disk_fstatvfs(int descriptor, struct statvfs *ret_statvfs)
{
    return fstatvfs(descriptor, ret_statvfs);
}

DIR *disk_fdopendir(int folder)
{
    return fdopendir(folder);
}

struct dirent *disk_readdir(DIR *list)
{
    return readdir(list);
}

int disk_closedir(DIR *list)
{
    return closedir(list);
}

int disk_fsync(int descriptor)
{
    return fsync(descriptor);
}

int disk_fdatasync(int file)
{
    return fdatasync(file);
}

int disk_syncfs(int descriptor)
{
    return syncfs(descriptor);
}
