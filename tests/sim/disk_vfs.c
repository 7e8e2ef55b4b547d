/* SPDX-License-Identifier: MIT */
/*
 * SQLite's way to the model disk: what its VFS for Unix does, by the same calls, without locks (the
 * store has the only connection, and says so: locking_mode = EXCLUSIVE) and without shared memory.
 */
#include "disk_parts.h"

#include "store/allocator.h"
#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_OCTETS_MAX = 512, SECTOR_OCTETS = 4096 };

struct vfs_file {
    sqlite3_file base;
    int descriptor;
    bool syncs_folder; /* with the first sync, since it has been made */
    char path[PATH_OCTETS_MAX];
};

static struct vfs_file *file_of(sqlite3_file *file)
{
    return (struct vfs_file *)file;
}

static int failure(int code, int full_code)
{
    return errno == ENOSPC ? full_code : code;
}

/* ---- files ---- */

static int vfs_close(sqlite3_file *file)
{
    close(file_of(file)->descriptor);
    return SQLITE_OK;
}

static int vfs_read(sqlite3_file *file, void *octets, int count, sqlite3_int64 offset)
{
    char *place = octets;
    while (count > 0) {
        ssize_t got = disk_pread(file_of(file)->descriptor, place, (size_t)count, offset);
        if (got < 0)
            return SQLITE_IOERR_READ;
        if (got == 0) {
            memset(place, 0, (size_t)count);
            return SQLITE_IOERR_SHORT_READ;
        }
        place += got;
        offset += got;
        count -= (int)got;
    }
    return SQLITE_OK;
}

static int vfs_write(sqlite3_file *file, const void *octets, int count, sqlite3_int64 offset)
{
    const char *place = octets;
    while (count > 0) {
        ssize_t put = disk_pwrite(file_of(file)->descriptor, place, (size_t)count, offset);
        if (put < 0)
            return failure(SQLITE_IOERR_WRITE, SQLITE_FULL);
        place += put;
        offset += put;
        count -= (int)put;
    }
    return SQLITE_OK;
}

static int vfs_truncate(sqlite3_file *file, sqlite3_int64 octets)
{
    return disk_ftruncate(file_of(file)->descriptor, octets) == 0 ? SQLITE_OK
                                                                  : SQLITE_IOERR_TRUNCATE;
}

static int open_folder_of(const char *path)
{
    char folder[PATH_OCTETS_MAX];
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    return disk_openat(AT_FDCWD, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

static int vfs_sync(sqlite3_file *file, int flags)
{
    struct vfs_file *self = file_of(file);
    (void)flags;
    if (disk_fdatasync(self->descriptor) != 0)
        return SQLITE_IOERR_FSYNC;
    if (!self->syncs_folder)
        return SQLITE_OK;
    int folder = open_folder_of(self->path);
    if (folder >= 0) {
        (void)disk_fsync(folder); /* SQLite does not look at this one either */
        close(folder);
    }
    self->syncs_folder = false;
    return SQLITE_OK;
}

static int vfs_file_size(sqlite3_file *file, sqlite3_int64 *ret_octets)
{
    struct stat stat;
    if (disk_fstat(file_of(file)->descriptor, &stat) != 0)
        return SQLITE_IOERR_FSTAT;
    *ret_octets = stat.st_size;
    return SQLITE_OK;
}

static int vfs_lock(sqlite3_file *file, int level)
{
    (void)file;
    (void)level;
    return SQLITE_OK;
}

static int vfs_check_reserved_lock(sqlite3_file *file, int *ret_locked)
{
    (void)file;
    *ret_locked = 0;
    return SQLITE_OK;
}

static int vfs_file_control(sqlite3_file *file, int operation, void *argument)
{
    (void)file;
    (void)operation;
    (void)argument;
    return SQLITE_NOTFOUND;
}

static int vfs_sector_size(sqlite3_file *file)
{
    (void)file;
    return SECTOR_OCTETS;
}

static int vfs_device_characteristics(sqlite3_file *file)
{
    (void)file;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 1,
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_file_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_lock,
    .xCheckReservedLock = vfs_check_reserved_lock,
    .xFileControl = vfs_file_control,
    .xSectorSize = vfs_sector_size,
    .xDeviceCharacteristics = vfs_device_characteristics,
};

/* ---- names ---- */

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename path, sqlite3_file *file, int flags,
                    int *ret_flags)
{
    struct vfs_file *self = file_of(file);
    int mode = (flags & SQLITE_OPEN_READWRITE) != 0 ? O_RDWR : O_RDONLY;
    bool makes = (flags & SQLITE_OPEN_CREATE) != 0;
    (void)vfs;
    *self = (struct vfs_file){.descriptor = -1};
    /* A store keeps its temporary files in memory. */
    if (path == NULL || strlen(path) >= sizeof(self->path))
        return SQLITE_CANTOPEN;
    snprintf(self->path, sizeof(self->path), "%s", path);
    self->descriptor = disk_openat(AT_FDCWD, path, mode | O_CLOEXEC | (makes ? O_CREAT : 0), 0600);
    if (self->descriptor < 0)
        return SQLITE_CANTOPEN;
    self->syncs_folder =
        makes && (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL));
    if (ret_flags != NULL)
        *ret_flags = flags;
    self->base.pMethods = &methods;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int syncs_folder)
{
    (void)vfs;
    if (disk_unlinkat(AT_FDCWD, path, 0) != 0)
        return errno == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
    if (syncs_folder == 0)
        return SQLITE_OK;
    int folder = open_folder_of(path);
    if (folder < 0)
        return SQLITE_OK;
    int result = disk_fsync(folder);
    close(folder);
    return result == 0 ? SQLITE_OK : SQLITE_IOERR_DIR_FSYNC;
}

/* A database or journal that is empty counts as none. */
static int vfs_access(sqlite3_vfs *vfs, const char *path, int flags, int *ret_there)
{
    struct stat stat;
    (void)vfs;
    bool is_there = disk_fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) == 0;
    *ret_there = is_there && (flags != SQLITE_ACCESS_EXISTS || stat.st_size > 0);
    return SQLITE_OK;
}

static int vfs_full_pathname(sqlite3_vfs *vfs, const char *path, int room, char *ret_path)
{
    (void)vfs;
    return snprintf(ret_path, (size_t)room, "%s", path) < room ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* The salt of its log; one history has the same each time. */
static int vfs_randomness(sqlite3_vfs *vfs, int count, char *ret_octets)
{
    (void)vfs;
    sim_random_fill(&sim_disk_current->random, ret_octets, (size_t)count);
    return count;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds;
}

static int vfs_current_time(sqlite3_vfs *vfs, double *ret_day)
{
    (void)vfs;
    *ret_day = 2460000.5;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int count, char *ret_text)
{
    (void)vfs;
    (void)count;
    (void)ret_text;
    return errno;
}

void sim_disk_vfs_use(bool is_used)
{
    static sqlite3_vfs vfs = {
        .iVersion = 1,
        .szOsFile = sizeof(struct vfs_file),
        .mxPathname = PATH_OCTETS_MAX,
        .zName = "popfs-sim",
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_pathname,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_current_time,
        .xGetLastError = vfs_last_error,
    };
    allocator_watch(); /* which must come before anything else */
    if (is_used)
        sqlite3_vfs_register(&vfs, 1);
    else
        sqlite3_vfs_unregister(&vfs);
    /* What it draws from is filled anew, by xRandomness, when it is needed next. */
    sqlite3_randomness(0, NULL);
}
