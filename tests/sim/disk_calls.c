/* SPDX-License-Identifier: MIT */
/* The functions of src/store/disk.h, on the model disk. */
#include "disk_parts.h"

#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#define BOOT_PATH "/proc/sys/kernel/random/boot_id"
#define DESCRIPTOR_PREFIX "/proc/self/fd/"

enum { SWEEP_EVERY = 64 };

/* ---- descriptors ---- */

/* NULL: not one of this disk. */
static struct sim_node *node_of(int descriptor)
{
    const struct sim_disk *disk = sim_disk_current;
    if (disk == NULL || descriptor < 0 || (size_t)descriptor >= disk->open_count)
        return NULL;
    return disk->open[descriptor];
}

/* The descriptor is one of the node (NULL: of nothing here) from now on; gives it back. */
static int remember(int descriptor, struct sim_node *node)
{
    struct sim_disk *disk = sim_disk_current;
    if (disk == NULL || descriptor < 0)
        return descriptor;
    if ((size_t)descriptor >= disk->open_count) {
        size_t count = (size_t)descriptor + 16;
        disk->open = realloc(disk->open, count * sizeof(disk->open[0]));
        if (disk->open == NULL)
            abort();
        memset(disk->open + disk->open_count, 0,
               (count - disk->open_count) * sizeof(disk->open[0]));
        disk->open_count = count;
    }
    disk->open[descriptor] = node;
    return descriptor;
}

static int open_node(struct sim_node *node, int flags)
{
    char path[64];
    snprintf(path, sizeof(path), DESCRIPTOR_PREFIX "%d", node->file);
    return remember(open(path, flags & (O_ACCMODE | O_APPEND | O_CLOEXEC)), node);
}

/* ---- paths ---- */

struct place {
    struct sim_node *folder; /* NULL: not on this disk */
    struct sim_node *node;   /* NULL: there is none of this name */
    char name[NAME_MAX + 1];
};

/* False and errno if a folder on the way is missing. A path of another disk has no folder. */
static bool find_place(int folder, const char *path, struct place *ret_place)
{
    const size_t prefix = strlen(SIM_DISK_PATH);
    struct sim_disk *disk = sim_disk_current;
    *ret_place = (struct place){.folder = NULL};
    if (disk == NULL)
        return true;
    struct sim_node *node = path[0] == '/' ? disk->nodes.root : node_of(folder);
    if (path[0] == '/') {
        if (strncmp(path, SIM_DISK_PATH, prefix) != 0 ||
            (path[prefix] != '/' && path[prefix] != '\0'))
            return true;
        path += prefix;
    }
    if (node == NULL)
        return true;
    ret_place->folder = ret_place->node = node;
    for (;;) {
        path += strspn(path, "/");
        size_t len = strcspn(path, "/");
        if (len == 0)
            return true;
        if (ret_place->node == NULL || !ret_place->node->is_folder || len > NAME_MAX) {
            errno = len > NAME_MAX ? ENAMETOOLONG : ret_place->node == NULL ? ENOENT : ENOTDIR;
            return false;
        }
        if (len != 1 || path[0] != '.') {
            ret_place->folder = ret_place->node;
            memcpy(ret_place->name, path, len);
            ret_place->name[len] = '\0';
            ret_place->node = sim_node_find(ret_place->folder, ret_place->name, len);
        }
        path += len;
    }
}

static bool may(enum sim_disk_call call, const char *what, const char *name)
{
    return sim_disk_may(sim_disk_current, call, what, name);
}

/* ---- opening ---- */

/* What popfs takes to tell one run of the kernel from another. */
static int open_boot(void)
{
    char text[40];
    if (!may(SIM_DISK_OPEN, "openat", "boot_id"))
        return -1;
    int len = snprintf(text, sizeof(text), "boot-%u\n", sim_disk_current->boots_count);
    int file = memfd_create("popfs-sim-boot", MFD_CLOEXEC);
    if (file < 0 || pwrite(file, text, (size_t)len, 0) != len)
        abort();
    return remember(file, NULL);
}

static bool may_open(struct sim_node *node, int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        errno = EEXIST;
    else if ((flags & O_DIRECTORY) != 0 && !node->is_folder)
        errno = ENOTDIR;
    else if (writes && node->is_folder)
        errno = EISDIR;
    else
        return may(SIM_DISK_OPEN, "openat", node->label);
    return false;
}

static int open_there(struct sim_node *node, int flags)
{
    struct sim_disk *disk = sim_disk_current;
    if (!may_open(node, flags))
        return -1;
    if ((flags & O_TRUNC) != 0 && node->octets > 0) {
        if (!may(SIM_DISK_WRITE, "truncate", node->label) || ftruncate(node->file, 0) != 0)
            return -1;
        sim_node_resized(&disk->nodes, node, 0);
    }
    return open_node(node, flags);
}

/* Now and then what nobody can reach any more is let go. */
static struct sim_node *new_node(bool is_folder)
{
    struct sim_disk *disk = sim_disk_current;
    if (disk->nodes.made_count % SWEEP_EVERY == 0)
        sim_disk_sweep(disk);
    return sim_node_new(&disk->nodes, is_folder);
}

static struct sim_node *make(const struct place *place, bool is_folder, const char *what)
{
    struct sim_disk *disk = sim_disk_current;
    if (!may(SIM_DISK_NAME, what, place->name) || !sim_disk_has_room_for_name(disk))
        return NULL;
    struct sim_node *node = new_node(is_folder);
    sim_node_add(place->folder, place->name, node);
    return node;
}

static int open_nameless(int flags)
{
    struct sim_disk *disk = sim_disk_current;
    if (!may(SIM_DISK_NAME, "openat", "(nameless)") || !sim_disk_has_room_for_name(disk))
        return -1;
    return open_node(new_node(false), flags);
}

int disk_openat(int folder, const char *path, int flags, mode_t mode)
{
    struct place place;
    if (sim_disk_current != NULL && strcmp(path, BOOT_PATH) == 0)
        return open_boot();
    if (!find_place(folder, path, &place))
        return -1;
    if (place.folder == NULL)
        return remember(openat(folder, path, flags, mode), NULL);
    if ((flags & O_TMPFILE) == O_TMPFILE)
        return open_nameless(flags);
    if (place.node != NULL)
        return open_there(place.node, flags);
    if ((flags & O_CREAT) != 0)
        place.node = make(&place, false, "create");
    else
        errno = ENOENT;
    return place.node == NULL ? -1 : open_node(place.node, flags);
}

int disk_memfd_create(const char *name, unsigned flags)
{
    if (sim_disk_current != NULL && !may(SIM_DISK_ELSEWHERE, "memfd_create", name))
        return -1;
    return remember(memfd_create(name, flags), NULL);
}

int disk_dup(int descriptor)
{
    return remember(fcntl(descriptor, F_DUPFD_CLOEXEC, 3), node_of(descriptor));
}

int disk_dup3(int from, int to, int flags)
{
    return remember(dup3(from, to, flags), node_of(from));
}

int disk_flock(int descriptor, int operation)
{
    const struct sim_node *node = node_of(descriptor);
    if (node != NULL && !may(SIM_DISK_OPEN, "flock", node->label))
        return -1;
    return flock(descriptor, operation);
}

static ssize_t read_stream(void *cookie, char *octets, size_t count)
{
    return disk_read((int)(intptr_t)cookie, octets, count);
}

static int close_stream(void *cookie)
{
    return close((int)(intptr_t)cookie);
}

/* The store reads by streams, and does not write. */
FILE *disk_fdopen(int descriptor, const char *mode)
{
    const cookie_io_functions_t functions = {.read = read_stream, .close = close_stream};
    if (node_of(descriptor) == NULL)
        return fdopen(descriptor, mode);
    return fopencookie((void *)(intptr_t)descriptor, mode, functions);
}

/* ---- octets ---- */

static bool may_read(int file, const char *what)
{
    const struct sim_node *node = node_of(file);
    return node == NULL || may(SIM_DISK_READ, what, node->label);
}

ssize_t disk_read(int file, void *octets, size_t count)
{
    return may_read(file, "read") ? read(file, octets, count) : -1;
}

ssize_t disk_pread(int file, void *octets, size_t count, off_t offset)
{
    return may_read(file, "pread") ? pread(file, octets, count, offset) : -1;
}

/* How many of the octets are to be written; 0 and errno: none. */
static size_t writable_count(struct sim_node *node, const char *what, off_t offset, size_t count)
{
    struct sim_disk *disk = sim_disk_current;
    if (!may(SIM_DISK_WRITE, what, node->label))
        return 0;
    count = sim_disk_room(disk, node, (uint64_t)offset, count);
    return count == 0 ? 0 : sim_disk_shorten(disk, node, count);
}

static ssize_t written(struct sim_node *node, off_t offset, const void *octets, ssize_t count)
{
    if (count > 0)
        sim_node_written(&sim_disk_current->nodes, node, (uint64_t)offset, octets, (size_t)count);
    return count;
}

ssize_t disk_write(int file, const void *octets, size_t count)
{
    struct sim_node *node = node_of(file);
    if (node == NULL || count == 0)
        return write(file, octets, count);
    bool appends = (fcntl(file, F_GETFL) & O_APPEND) != 0;
    off_t offset = appends ? (off_t)node->octets : lseek(file, 0, SEEK_CUR);
    count = writable_count(node, "write", offset, count);
    return count == 0 ? -1 : written(node, offset, octets, write(file, octets, count));
}

ssize_t disk_pwrite(int file, const void *octets, size_t count, off_t offset)
{
    struct sim_node *node = node_of(file);
    if (node == NULL || count == 0)
        return pwrite(file, octets, count, offset);
    count = writable_count(node, "pwrite", offset, count);
    return count == 0 ? -1 : written(node, offset, octets, pwrite(file, octets, count, offset));
}

int disk_ftruncate(int file, off_t octets)
{
    struct sim_node *node = node_of(file);
    if (node == NULL)
        return ftruncate(file, octets);
    if (!may(SIM_DISK_WRITE, "ftruncate", node->label) || ftruncate(file, octets) != 0)
        return -1;
    if ((uint64_t)octets != node->octets)
        sim_node_resized(&sim_disk_current->nodes, node, (uint64_t)octets);
    return 0;
}

/* Of all modes the store knows one: a hole that leaves the size. */
int disk_fallocate(int file, int mode, off_t offset, off_t octets)
{
    struct sim_node *node = node_of(file);
    if (node == NULL)
        return fallocate(file, mode, offset, octets);
    if (!may(SIM_DISK_WRITE, "fallocate", node->label) ||
        fallocate(file, mode, offset, octets) != 0)
        return -1;
    if ((uint64_t)(offset + octets) > node->octets)
        octets = (off_t)node->octets - offset;
    if (octets > 0)
        written(node, offset, NULL, (ssize_t)octets);
    return 0;
}

/* ---- names ---- */

int disk_mkdirat(int folder, const char *path, mode_t mode)
{
    struct place place;
    if (!find_place(folder, path, &place))
        return -1;
    if (place.folder == NULL)
        return mkdirat(folder, path, mode);
    if (place.node == NULL)
        return make(&place, true, "mkdirat") == NULL ? -1 : 0;
    errno = EEXIST;
    return -1;
}

/* The names are those of a mount that keeps nothing, and as good as any: one at a time is there. */
char *disk_mkdtemp(char *path)
{
    struct place place;
    if (!find_place(AT_FDCWD, path, &place))
        return NULL;
    if (place.folder == NULL)
        return mkdtemp(path);
    snprintf(path + strlen(path) - 6, 7, "%06u", ++sim_disk_current->temporary_count % 1000000);
    return disk_mkdirat(AT_FDCWD, path, 0700) == 0 ? path : NULL;
}

int disk_linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    struct place place;
    if (!find_place(to_folder, to, &place))
        return -1;
    if (place.folder == NULL)
        return linkat(from_folder, from, to_folder, to, flags);
    struct sim_node *node = NULL;
    if (strncmp(from, DESCRIPTOR_PREFIX, strlen(DESCRIPTOR_PREFIX)) == 0)
        node = node_of(atoi(from + strlen(DESCRIPTOR_PREFIX)));
    if (node == NULL || place.node != NULL) {
        errno = node == NULL ? EXDEV : EEXIST;
        return -1;
    }
    if (!may(SIM_DISK_NAME, "linkat", place.name) || !sim_disk_has_room_for_name(sim_disk_current))
        return -1;
    sim_node_add(place.folder, place.name, node);
    return 0;
}

int disk_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    struct place before, after;
    if (!find_place(from_folder, from, &before) || !find_place(to_folder, to, &after))
        return -1;
    if (before.folder == NULL)
        return renameat(from_folder, from, to_folder, to);
    if (before.node == NULL || before.folder != after.folder) {
        errno = before.node == NULL ? ENOENT : EXDEV;
        return -1;
    }
    if (!may(SIM_DISK_NAME, "renameat", after.name))
        return -1;
    sim_node_rename(before.folder, before.name, after.name);
    return 0;
}

int disk_unlinkat(int folder, const char *path, int flags)
{
    struct place place;
    if (!find_place(folder, path, &place))
        return -1;
    if (place.folder == NULL)
        return unlinkat(folder, path, flags);
    bool wants_folder = (flags & AT_REMOVEDIR) != 0;
    if (place.node == NULL)
        errno = ENOENT;
    else if (wants_folder != place.node->is_folder)
        errno = wants_folder ? ENOTDIR : EISDIR;
    else if (place.node->names.count > 0)
        errno = ENOTEMPTY;
    else if (may(SIM_DISK_NAME, "unlinkat", place.name)) {
        sim_node_remove(place.folder, place.name);
        return 0;
    }
    return -1;
}

/* What the memfd behind the node does not know. */
static int stat_node(const struct sim_node *node, struct stat *ret_stat)
{
    if (fstat(node->file, ret_stat) != 0)
        return -1;
    ret_stat->st_mode = node->is_folder ? S_IFDIR | 0700 : S_IFREG | 0600;
    ret_stat->st_nlink = node->links;
    ret_stat->st_uid = geteuid();
    return 0;
}

int disk_fstatvfs(int descriptor, struct statvfs *ret_statvfs)
{
    const struct sim_node *node = node_of(descriptor);
    if (node == NULL)
        return fstatvfs(descriptor, ret_statvfs);
    if (!may(SIM_DISK_OPEN, "fstatvfs", node->label))
        return -1;
    *ret_statvfs = (struct statvfs){.f_bsize = SIM_PAGE_OCTETS, .f_frsize = SIM_PAGE_OCTETS};
    sim_disk_tell_room(sim_disk_current, &ret_statvfs->f_blocks, &ret_statvfs->f_bavail);
    ret_statvfs->f_bfree = ret_statvfs->f_bavail;
    return 0;
}

int disk_fstat(int descriptor, struct stat *ret_stat)
{
    const struct sim_node *node = node_of(descriptor);
    if (node == NULL)
        return fstat(descriptor, ret_stat);
    return may(SIM_DISK_OPEN, "fstat", node->label) ? stat_node(node, ret_stat) : -1;
}

int disk_fstatat(int folder, const char *path, struct stat *ret_stat, int flags)
{
    struct place place;
    if (!find_place(folder, path, &place))
        return -1;
    if (place.folder == NULL)
        return fstatat(folder, path, ret_stat, flags);
    if (place.node == NULL)
        errno = ENOENT;
    if (place.node == NULL || !may(SIM_DISK_OPEN, "fstatat", place.node->label))
        return -1;
    return stat_node(place.node, ret_stat);
}

/* ---- lists ---- */

struct list {
    DIR *real;    /* of another disk; NULL: of this one */
    int folder;   /* closed at the end */
    char **names; /* as they were when it was opened */
    size_t count, next;
    struct dirent entry;
};

DIR *disk_fdopendir(int folder)
{
    const struct sim_node *node = node_of(folder);
    if (node != NULL && !node->is_folder)
        errno = ENOTDIR;
    if (node != NULL && (!node->is_folder || !may(SIM_DISK_OPEN, "fdopendir", node->label)))
        return NULL;
    struct list *list = calloc(1, sizeof(*list));
    if (list == NULL)
        abort();
    list->folder = folder;
    if (node == NULL) {
        list->real = fdopendir(folder);
        if (list->real != NULL)
            return (DIR *)list;
        free(list);
        return NULL;
    }
    list->names = calloc(node->names.count + 1, sizeof(char *));
    for (size_t i = 0; list->names != NULL && i < node->names.count; i++)
        list->names[list->count++] = strdup(node->names.list[i].text);
    return (DIR *)list;
}

struct dirent *disk_readdir(DIR *directory)
{
    struct list *list = (struct list *)directory;
    if (list->real != NULL)
        return readdir(list->real);
    if (list->next == 0 && !may_read(list->folder, "readdir"))
        return NULL;
    size_t place = list->next++;
    if (place >= list->count + 2)
        return NULL;
    const char *name = place == 0 ? "." : place == 1 ? ".." : list->names[place - 2];
    snprintf(list->entry.d_name, sizeof(list->entry.d_name), "%s", name);
    return &list->entry;
}

int disk_closedir(DIR *directory)
{
    struct list *list = (struct list *)directory;
    int result = list->real != NULL ? closedir(list->real) : close(list->folder);
    for (size_t i = 0; i < list->count; i++)
        free(list->names[i]);
    free(list->names);
    free(list);
    return result;
}

/* ---- what is to outlive a power cut ---- */

static int sync_node(struct sim_node *node, const char *what)
{
    struct sim_disk *disk = sim_disk_current;
    bool done = may(SIM_DISK_SYNC, what, node->label);
    if (done)
        sim_node_synced(node);
    else if (!disk->is_out)
        sim_node_not_synced(node, &disk->random);
    return done ? 0 : -1;
}

int disk_fsync(int descriptor)
{
    struct sim_node *node = node_of(descriptor);
    return node == NULL ? fsync(descriptor) : sync_node(node, "fsync");
}

int disk_fdatasync(int file)
{
    struct sim_node *node = node_of(file);
    return node == NULL ? fdatasync(file) : sync_node(node, "fdatasync");
}

int disk_syncfs(int descriptor)
{
    struct sim_disk *disk = sim_disk_current;
    if (node_of(descriptor) == NULL)
        return syncfs(descriptor);
    bool done = may(SIM_DISK_SYNC, "syncfs", "(all)");
    for (struct sim_node *node = disk->nodes.first; node != NULL; node = node->next) {
        if (done)
            sim_node_synced(node);
        else if (!disk->is_out)
            sim_node_not_synced(node, &disk->random);
    }
    return done ? 0 : -1;
}
