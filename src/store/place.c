/* SPDX-License-Identifier: MIT */
/*
 * Where a store lies, and whose it is.
 *
 *     CACHE/alice@host:110+clear/     the same account without TLS: what came so is for it alone
 *     CACHE/alice@host:995/           one account, 0700; what is not [A-Za-z0-9._@:+-] is %XX
 *         lock                        flock()ed as long as its popfs lives; says whose it is
 *         CACHEDIR.TAG                tells backups that they need not keep it
 *         index.sqlite                what is known of the messages (index.c)
 *         bodies-GENERATION/          bodies (adopt.c)
 *     CACHE/mount~XXXXXX/             the same, of a mount without a cache; the lock is on the
 *                                     folder itself, and no account's folder has a ~ in its name
 *     STATE/alice@host:995/           what must not be lost of the account
 *         lock                        as in the cache: one state may go with several caches
 *         removals                    pending removals (journal.c)
 *
 * A lock dies with its process, so a temporary folder whose lock can be had belongs to nobody. An
 * account's lock is a file because NFS has none for folders. No name here comes from a server.
 */
#include "place.h"

#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define TEMPORARY_PREFIX "mount~"
#define CLEAR_SUFFIX "+clear"
#define CACHE_TAG "CACHEDIR.TAG"

enum { SHOWN_OCTETS = 300 };

static enum fault disk_failure(struct failure *ret, const char *what, const char *path)
{
    int error = errno;
    return failure_set(ret, FAULT_DISK, "cannot %s %s: %s", what, path, strerror(error));
}

/* ---- removing ---- */

static DIR *list_open(int folder)
{
    /* A second descriptor, because closedir() closes the one it is given. */
    int copy = disk_openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *list = copy < 0 ? NULL : disk_fdopendir(copy);
    if (list == NULL && copy >= 0)
        close(copy);
    return list;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int inner_open(int folder, const char *name)
{
    return disk_openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
}

static void remove_files(int folder)
{
    DIR *list = list_open(folder);
    if (list == NULL)
        return;
    for (struct dirent *entry = disk_readdir(list); entry != NULL; entry = disk_readdir(list))
        if (!is_dots(entry->d_name))
            disk_unlinkat(folder, entry->d_name, 0);
    disk_closedir(list);
}

void place_sweep(int folder, const char *prefix, const char *except)
{
    DIR *list = list_open(folder);
    if (list == NULL)
        return;
    for (struct dirent *entry = disk_readdir(list); entry != NULL; entry = disk_readdir(list)) {
        const char *name = entry->d_name;
        if (is_dots(name) || strncmp(name, prefix, strlen(prefix)) != 0 ||
            (except != NULL && strcmp(name, except) == 0))
            continue;
        CLEANUP_CLOSE int inner = inner_open(folder, name);
        if (inner < 0)
            continue;
        remove_files(inner);
        disk_unlinkat(folder, name, AT_REMOVEDIR);
    }
    disk_closedir(list);
}

static void remove_all(int folder)
{
    remove_files(folder);
    place_sweep(folder, "", NULL);
}

/* All that is in it has a name that popfs gives: the user may have a folder of that name, too. */
static bool is_ours(int folder)
{
    static const char *const names[] = {"index.", "removals", "bodies-",
                                        "bin",    "lock",     "CACHEDIR.TAG"};
    DIR *list = list_open(folder);
    bool ours = list != NULL;
    for (struct dirent *entry = list == NULL ? NULL : disk_readdir(list); ours && entry != NULL;
         entry = disk_readdir(list)) {
        ours = is_dots(entry->d_name);
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            ours |= strncmp(entry->d_name, names[i], strlen(names[i])) == 0;
    }
    if (list != NULL)
        disk_closedir(list);
    return ours;
}

/* Removes the folder of a mount whose popfs has died; one that lives holds its lock. */
static void sweep_temporary(int parent, const char *name)
{
    CLEANUP_CLOSE int folder = inner_open(parent, name);
    if (folder < 0 || disk_flock(folder, LOCK_EX | LOCK_NB) != 0 || !is_ours(folder))
        return;
    remove_all(folder);
    disk_unlinkat(parent, name, AT_REMOVEDIR);
}

static void sweep_temporaries(int parent)
{
    DIR *list = list_open(parent);
    if (list == NULL)
        return;
    for (struct dirent *entry = disk_readdir(list); entry != NULL; entry = disk_readdir(list))
        if (strncmp(entry->d_name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0)
            sweep_temporary(parent, entry->d_name);
    disk_closedir(list);
}

/* ---- the folder of all accounts ---- */

bool place_sync_folder(int folder)
{
    if (disk_fsync(folder) == 0)
        return true;
    return errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
}

/* A folder that may not be read cannot be synced either. */
static bool sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    int len = slash == path ? 1 : (int)(slash - path);
    CLEANUP_FREE char *parent = strndup(path, (size_t)len);
    if (parent == NULL)
        return false;
    CLEANUP_CLOSE int folder = disk_openat(AT_FDCWD, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return folder < 0 ? errno == EACCES : place_sync_folder(folder);
}

/* All that is in a new folder would be lost with its name. */
static bool make_folder(const char *path)
{
    if (disk_mkdirat(AT_FDCWD, path, 0700) != 0)
        return errno == EEXIST;
    if (sync_parent(path))
        return true;
    int error = errno;
    disk_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
    errno = error;
    return false;
}

/* mkdir -p, 0700. */
static bool make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool there = make_folder(path);
        *slash = '/';
        if (!there)
            return false;
    }
    return make_folder(path);
}

/* Whoever else could write there could give us mail that nobody sent, or our removals to come. */
static enum fault check_ours(int folder, const char *name, const char *path,
                             struct failure *ret_failure)
{
    struct stat stat;
    if (disk_fstat(folder, &stat) != 0)
        return disk_failure(ret_failure, "look at", path);
    if (stat.st_uid != geteuid())
        return failure_set(ret_failure, FAULT_DISK, "the %s folder %s belongs to another user",
                           name, path);
    if ((stat.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return failure_set(ret_failure, FAULT_DISK,
                           "others may write to the %s folder %s: chmod go-w it", name, path);
    return FAULT_NONE;
}

static enum fault parent_failure(const struct place_options *options, const char *what,
                                 struct failure *ret_failure)
{
    int error = errno;
    return failure_set(ret_failure, FAULT_DISK,
                       "cannot %s the %s folder %s: %s; -o %s= names another", what, options->name,
                       options->folder, strerror(error), options->name);
}

/*
 * A link to another disk is fine if it is ours or root's. Anybody may make one in /tmp, where this
 * name can be foreseen, but not put it in the place of ours.
 */
static enum fault parent_open(const struct place_options *options, int *ret_folder,
                              struct failure *ret_failure)
{
    struct stat stat;
    const char *path = options->folder;
    CLEANUP_FREE char *copy = strdup(path);
    if (copy == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    if (!make_folders(copy) || disk_fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        return parent_failure(options, "make", ret_failure);
    bool is_link = S_ISLNK(stat.st_mode) && (stat.st_uid == geteuid() || stat.st_uid == 0);
    CLEANUP_CLOSE int folder = disk_openat(
        AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (is_link ? 0 : O_NOFOLLOW), 0);
    if (folder < 0)
        return parent_failure(options, "open", ret_failure);
    enum fault fault = check_ours(folder, options->name, path, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    *ret_folder = folder;
    folder = -1;
    return FAULT_NONE;
}

/* ---- the folder of one account ---- */

static bool is_plain(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("._@:+-", c) != NULL);
}

/* FOLDER/ACCOUNT; NULL for want of memory. */
static char *account_path(const struct place_options *options)
{
    struct buffer path = {0};
    bool done = buffer_printf(&path, "%s/", options->folder);
    for (const char *c = options->account; done && *c != '\0'; c++) {
        if (is_plain(*c) && (c > options->account || *c != '.'))
            done = buffer_append(&path, (struct slice){c, 1});
        else
            done = buffer_printf(&path, "%%%02X", (unsigned)(unsigned char)*c);
    }
    const char *suffix = options->clear ? CLEAR_SUFFIX : "";
    if (done && buffer_append(&path, (struct slice){suffix, strlen(suffix) + 1}))
        return path.data;
    buffer_done(&path);
    return NULL;
}

/* Host names have no case: what popfs 0.1 kept under "Host" is found. The user name has one. */
static bool is_same_account(const char *a, const char *b)
{
    const char *host_a = strrchr(a, '@');
    const char *host_b = strrchr(b, '@');
    return host_a != NULL && host_b != NULL && host_a - a == host_b - b &&
           memcmp(a, b, (size_t)(host_a - a)) == 0 &&
           slice_equal_nocase(slice_from_string(host_a), slice_from_string(host_b));
}

/* The folder of the account, be its host written in another case; NULL for want of memory. */
static char *account_find(const struct place_options *options)
{
    struct stat stat;
    char *path = account_path(options);
    if (path == NULL || disk_fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) == 0)
        return path;
    CLEANUP_CLOSE int parent =
        disk_openat(AT_FDCWD, options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *list = parent < 0 ? NULL : list_open(parent);
    char *name = path + strlen(options->folder) + 1;
    for (struct dirent *entry = list == NULL ? NULL : disk_readdir(list); entry != NULL;
         entry = disk_readdir(list))
        if (is_same_account(entry->d_name, name)) {
            memcpy(name, entry->d_name, strlen(name));
            break;
        }
    if (list != NULL)
        disk_closedir(list);
    return path;
}

/* "alice@host:995 is already mounted on /home/a/mail by process 12", in the words of whoever has
 * it. */
static enum fault busy_failure(int lock, const char *account, struct failure *ret_failure)
{
    char owner[SHOWN_OCTETS], shown_account[SHOWN_OCTETS], shown[SHOWN_OCTETS];
    ssize_t count = disk_pread(lock, owner, sizeof(owner), 0);
    struct slice text = {owner, count > 0 ? (size_t)count : 0};
    text_show(slice_from_string(account), shown_account, sizeof(shown_account));
    /* The lock is taken a moment before the text is written. */
    if (text.len == 0)
        return failure_set(ret_failure, FAULT_BUSY, "%s is already mounted", shown_account);
    return failure_set(ret_failure, FAULT_BUSY, "%s is already %s", shown_account,
                       text_show(text, shown, sizeof(shown)));
}

static enum fault account_lock(struct place *place, const struct place_options *options,
                               struct failure *ret_failure)
{
    place->lock =
        disk_openat(place->folder, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (place->lock < 0)
        return disk_failure(ret_failure, "make a lock in", place->path);
    if (disk_flock(place->lock, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            return busy_failure(place->lock, options->account, ret_failure);
        return disk_failure(ret_failure, "lock", place->path);
    }
    place_say_owner(place, options->owner);
    return FAULT_NONE;
}

/* Backups that leave caches out look for it (bford.info/cachedir). It is a courtesy, like the text
 * in the lock. Not in the folder above: the user may have other things there. */
static void tag_cache(int folder)
{
    static const char text[] =
        "Signature: 8a477f597d28d172789f06886806bc55\n"
        "# This file is a cache directory tag created by popfs.\n"
        "# For information about cache directory tags see https://bford.info/cachedir/\n";
    CLEANUP_CLOSE int file =
        disk_openat(folder, CACHE_TAG, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file >= 0 && disk_write(file, text, sizeof(text) - 1) != (ssize_t)sizeof(text) - 1)
        disk_unlinkat(folder, CACHE_TAG, 0);
}

void place_say_owner(const struct place *place, const char *owner)
{
    /* The text is a courtesy: that it cannot be written is no reason to refuse. */
    if (place->lock >= 0 && disk_ftruncate(place->lock, 0) == 0)
        (void)disk_pwrite(place->lock, owner, strnlen(owner, STORE_OWNER_OCTETS - 1), 0);
}

bool place_owner(const struct place_options *options, char ret_owner[STORE_OWNER_OCTETS])
{
    CLEANUP_FREE char *path = account_find(options);
    CLEANUP_CLOSE int folder =
        path == NULL
            ? -1
            : disk_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    CLEANUP_CLOSE int lock =
        folder < 0 ? -1 : disk_openat(folder, "lock", O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    ssize_t count = lock < 0 ? -1 : disk_pread(lock, ret_owner, STORE_OWNER_OCTETS - 1, 0);
    ret_owner[count > 0 ? count : 0] = '\0';
    return count > 0;
}

static void release(struct place *place)
{
    cleanup_close(&place->lock);
    cleanup_close(&place->folder);
    cleanup_close(&place->parent);
    free(place->path);
    *place = PLACE_NONE;
}

/*
 * popfs 0.1 did not keep apart what came without TLS, and set no tag. The first mount without TLS
 * takes such a folder over, with the ids and times that backups go by: a mount with TLS would
 * believe none of them.
 */
static enum fault take_over_unsuffixed(const struct place_options *options,
                                       struct failure *ret_failure)
{
    struct place_options old_options = *options;
    old_options.clear = false;
    struct place old = PLACE_NONE;
    CLEANUP_FREE char *path = account_find(options);
    old.path = account_find(&old_options);
    enum fault fault = FAULT_NONE;
    struct stat stat;
    if (path == NULL || old.path == NULL)
        fault = failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    else if (disk_fstatat(AT_FDCWD, path, &stat, AT_SYMLINK_NOFOLLOW) != 0)
        old.folder =
            disk_openat(AT_FDCWD, old.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (old.folder >= 0 && disk_fstatat(old.folder, CACHE_TAG, &stat, AT_SYMLINK_NOFOLLOW) != 0) {
        fault = account_lock(&old, &old_options, ret_failure);
        if (fault == FAULT_NONE && disk_renameat(AT_FDCWD, old.path, AT_FDCWD, path) != 0)
            fault = disk_failure(ret_failure, "rename", old.path);
    }
    release(&old);
    return fault;
}

static enum fault account_open(struct place *place, const struct place_options *options,
                               struct failure *ret_failure)
{
    if (options->is_cache && options->clear) {
        enum fault taken = take_over_unsuffixed(options, ret_failure);
        if (taken != FAULT_NONE)
            return taken;
    }
    place->path = account_find(options);
    if (place->path == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    /* A popfs that made the folder above may have been killed before it synced its name. */
    bool is_new = disk_mkdirat(AT_FDCWD, place->path, 0700) == 0;
    place->is_new = is_new;
    if (!is_new && errno != EEXIST)
        return disk_failure(ret_failure, "make", place->path);
    if (is_new && !sync_parent(options->folder))
        return disk_failure(ret_failure, "sync what holds", options->folder);
    place->folder =
        disk_openat(AT_FDCWD, place->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (place->folder < 0)
        return disk_failure(ret_failure, "open", place->path);
    enum fault fault = check_ours(place->folder, options->name, place->path, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    fault = account_lock(place, options, ret_failure);
    if (fault == FAULT_NONE && options->is_cache)
        tag_cache(place->folder);
    return fault;
}

/*
 * Another popfs may sweep the new folder away between mkdtemp() and flock(): then the lock is on a
 * folder that has no name any more, and another is made.
 */
static bool make_temporary(struct place *place, const char *parent)
{
    for (int attempt = 0; attempt < 16; attempt++) {
        struct stat stat;
        free(place->path);
        if (asprintf(&place->path, "%s/" TEMPORARY_PREFIX "XXXXXX", parent) < 0) {
            place->path = NULL;
            errno = ENOMEM;
            return false;
        }
        if (disk_mkdtemp(place->path) == NULL)
            return false;
        place->folder =
            disk_openat(AT_FDCWD, place->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
        if (place->folder >= 0 && disk_flock(place->folder, LOCK_EX | LOCK_NB) == 0 &&
            disk_fstat(place->folder, &stat) == 0 && stat.st_nlink > 0)
            return true;
        if (place->folder >= 0)
            close(place->folder);
        place->folder = -1;
    }
    errno = EBUSY;
    return false;
}

enum fault place_open(const struct place_options *options, struct place *ret_place,
                      struct failure *ret_failure)
{
    struct place place = PLACE_NONE;
    CLEANUP_CLOSE int parent = -1;
    enum fault fault = parent_open(options, &parent, ret_failure);
    if (fault != FAULT_NONE)
        return fault;
    sweep_temporaries(parent);
    if (!options->temporary)
        fault = account_open(&place, options, ret_failure);
    else if (!make_temporary(&place, options->folder))
        fault = disk_failure(ret_failure, "make a folder in", options->folder);
    if (fault != FAULT_NONE) {
        release(&place);
        return fault;
    }
    *ret_place = place;
    if (!options->temporary) {
        ret_place->parent = parent;
        parent = -1;
    }
    return FAULT_NONE;
}

enum fault place_sync(const struct place *place, struct failure *ret_failure)
{
    if (place_sync_folder(place->folder) && (place->parent < 0 || place_sync_folder(place->parent)))
        return FAULT_NONE;
    return disk_failure(ret_failure, "sync", place->path);
}

void place_close(struct place *place)
{
    if (place->folder >= 0 && (place->lock < 0 || (place->is_new && place->is_discarded))) {
        remove_all(place->folder);
        disk_unlinkat(AT_FDCWD, place->path, AT_REMOVEDIR);
    }
    release(place);
}
