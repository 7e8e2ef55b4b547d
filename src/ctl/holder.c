/* SPDX-License-Identifier: MIT */
/*
 * A process that makes a mount namespace (unshare, a container, a service of systemd) takes copies
 * of all mounts with it, and popfs lives until the last copy has gone. The kernel names no holder,
 * so the table of each process is read. Refuses to know what is said of it.
 */
#include "holder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAMESPACES_MAX = 256 /* beyond that, one may be looked into more than once */ };

struct namespaces {
    ino_t seen[NAMESPACES_MAX];
    size_t count;
};

/* True if the process's namespace was looked into already. Others than root cannot tell which that
 * is: then it was not. */
static bool is_seen(struct namespaces *namespaces, pid_t pid)
{
    char path[64];
    struct stat attributes;
    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid);
    if (stat(path, &attributes) != 0)
        return false;
    for (size_t i = 0; i < namespaces->count; i++)
        if (namespaces->seen[i] == attributes.st_ino)
            return true;
    if (namespaces->count < NAMESPACES_MAX)
        namespaces->seen[namespaces->count++] = attributes.st_ino;
    return false;
}

static bool find_row(pid_t pid, const struct place *place, char **ret_path)
{
    char name[64];
    CLEANUP_BUFFER struct buffer table = {0};
    struct mount_row row;
    snprintf(name, sizeof(name), "/proc/%d/mountinfo", (int)pid);
    CLEANUP_CLOSE int descriptor = open(name, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0 || !mounts_read(descriptor, &table))
        return false;
    struct slice rows = buffer_slice(&table);
    while (mounts_take_row(&rows, &row)) {
        struct buffer path = {0};
        /* A namespace that cannot be told from ours has our own mount. */
        if (!mounts_row_is_same_popfs(&row, &place->mount) || row.id == place->mount.id)
            continue;
        if (!mounts_text_append(row.mountpoint, &path))
            buffer_done(&path);
        *ret_path = path.data;
        return true;
    }
    return false;
}

static void read_name(pid_t pid, char *name)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    CLEANUP_CLOSE int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, name, HOLDER_NAME_OCTETS - 1);
    name[got > 0 ? got : 0] = '\0';
    name[strcspn(name, "\n")] = '\0';
}

bool holder_find(const struct place *place, struct holder *ret_holder)
{
    struct namespaces namespaces = {.count = 0};
    DIR *processes = opendir("/proc");
    bool found = false;
    if (processes == NULL)
        return false;
    (void)is_seen(&namespaces, getpid());
    for (struct dirent *entry; !found && (entry = readdir(processes)) != NULL;) {
        pid_t pid = (pid_t)atol(entry->d_name); /* 0 for what is no process */
        char *path = NULL;
        if (pid <= 0 || is_seen(&namespaces, pid) || !find_row(pid, place, &path))
            continue;
        *ret_holder = (struct holder){.pid = pid, .path = path};
        read_name(pid, ret_holder->name);
        found = true;
    }
    closedir(processes);
    return found;
}

void holder_done(struct holder *holder)
{
    free(holder->path);
    *holder = (struct holder){0};
}
