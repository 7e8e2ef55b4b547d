/* SPDX-License-Identifier: MIT */
/*
 * Every system call of the store that is about files. Each function takes and gives what its system
 * call does, errno as well. A test replaces them all when it is linked, to have a disk that fails
 * (tests/sim/disk.c); SQLite has a seam of its own for that (xSetSystemCall).
 *
 * close() is not among them: base closes descriptors, and so do the callers that get an extent.
 */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>

/* ---- opening ---- */

int disk_openat(int folder, const char *path, int flags, mode_t mode);
int disk_memfd_create(const char *name, unsigned flags);
/* F_DUPFD_CLOEXEC, from 3 on. */
int disk_dup(int descriptor);
int disk_dup3(int from, int to, int flags);
int disk_flock(int descriptor, int operation);
FILE *disk_fdopen(int descriptor, const char *mode);

/* ---- octets ---- */

ssize_t disk_read(int file, void *octets, size_t count);
ssize_t disk_pread(int file, void *octets, size_t count, off_t offset);
ssize_t disk_write(int file, const void *octets, size_t count);
ssize_t disk_pwrite(int file, const void *octets, size_t count, off_t offset);
int disk_ftruncate(int file, off_t octets);
int disk_fallocate(int file, int mode, off_t offset, off_t octets);

/* ---- names ---- */

int disk_mkdirat(int folder, const char *path, mode_t mode);
char *disk_mkdtemp(char *path);
int disk_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags);
int disk_renameat(int from_folder, const char *from, int to_folder, const char *to);
int disk_unlinkat(int folder, const char *path, int flags);
int disk_fstat(int descriptor, struct stat *ret_stat);
int disk_fstatat(int folder, const char *path, struct stat *ret_stat, int flags);
/* Of the disk that the file, or folder, is on. */
int disk_fstatvfs(int descriptor, struct statvfs *ret_statvfs);
DIR *disk_fdopendir(int folder);
struct dirent *disk_readdir(DIR *list);
int disk_closedir(DIR *list);

/* ---- what is to outlive a power cut ---- */

int disk_fsync(int descriptor);
int disk_fdatasync(int file);
int disk_syncfs(int descriptor);

#endif
