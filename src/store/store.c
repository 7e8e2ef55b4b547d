/* SPDX-License-Identifier: MIT */
/*
 * The folder of a store: made, locked, swept, removed.
 *
 *     FOLDER/mount-XXXXXX/           one store; flock()ed as long as its popfs lives
 *     FOLDER/mount-XXXXXX/<id>       a body, whole
 *     FOLDER/mount-XXXXXX/new-<n>    a body that is being written
 *
 * The lock is on the folder itself and dies with the process, so a folder whose lock can be had
 * belongs to nobody.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_PREFIX "mount-"

static enum fault disk_failure(struct failure *ret, const char *what, const char *path)
{
    int error = errno;
    return failure_set(ret, FAULT_DISK, "cannot %s %s: %s", what, path, strerror(error));
}

/* mkdir -p, 0700. */
static bool make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool there = mkdir(path, 0700) == 0 || errno == EEXIST;
        *slash = '/';
        if (!there)
            return false;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static void remove_bodies(int folder)
{
    /* A second descriptor, because closedir() closes the one it is given. */
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (list == NULL) {
        if (copy >= 0)
            close(copy);
        return;
    }
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(folder, entry->d_name, 0);
    closedir(list);
}

/* Removes a store whose popfs has died; one that lives holds its lock. */
static void sweep_one(int parent, const char *name)
{
    CLEANUP_CLOSE int folder =
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 || flock(folder, LOCK_EX | LOCK_NB) != 0)
        return;
    remove_bodies(folder);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static void sweep(const char *path)
{
    DIR *list = opendir(path);
    if (list == NULL)
        return;
    for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list))
        if (strncmp(entry->d_name, STORE_PREFIX, strlen(STORE_PREFIX)) == 0)
            sweep_one(dirfd(list), entry->d_name);
    closedir(list);
}

/*
 * Another popfs may sweep the new folder away between mkdtemp() and flock(): then the lock is on a
 * folder that has no name any more, and another is made.
 */
static bool make_own_folder(struct store *store, const char *parent)
{
    for (int attempt = 0; attempt < 16; attempt++) {
        struct stat stat;
        free(store->path);
        if (asprintf(&store->path, "%s/" STORE_PREFIX "XXXXXX", parent) < 0) {
            store->path = NULL;
            errno = ENOMEM;
            return false;
        }
        if (mkdtemp(store->path) == NULL)
            return false;
        store->folder = open(store->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (store->folder >= 0 && flock(store->folder, LOCK_EX | LOCK_NB) == 0 &&
            fstat(store->folder, &stat) == 0 && stat.st_nlink > 0)
            return true;
        if (store->folder >= 0)
            close(store->folder);
        store->folder = -1;
    }
    errno = EBUSY;
    return false;
}

enum fault store_open(const char *folder, struct store **ret_store, struct failure *ret_failure)
{
    CLEANUP_FREE char *path = strdup(folder);
    struct store *store = calloc(1, sizeof(*store));
    if (path == NULL || store == NULL) {
        free(store);
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    store->folder = -1;
    enum fault fault = FAULT_NONE;
    if (!make_folders(path))
        fault = disk_failure(ret_failure, "make the cache folder", folder);
    else
        sweep(folder);
    if (fault == FAULT_NONE && !make_own_folder(store, folder))
        fault = disk_failure(ret_failure, "make a folder in", folder);
    if (fault != FAULT_NONE) {
        free(store->path);
        free(store);
        return fault;
    }
    *ret_store = store;
    return FAULT_NONE;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    remove_bodies(store->folder);
    rmdir(store->path);
    close(store->folder);
    free(store->path);
    free(store);
}
