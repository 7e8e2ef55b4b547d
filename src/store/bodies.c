/* SPDX-License-Identifier: MIT */
/*
 * The bodies that are kept, one file each, in a folder that is named for the index.
 *
 *     bodies-GENERATION/<id>.<opening>   whole; kept while the store was open for that time
 *     bodies-GENERATION/new-<n>          being written, where files without a name are not known
 *
 * A body must never be taken for another's, nor a part for the whole:
 *
 * - An id means something in one index only. A new index, or one whose bodies are to be forgotten,
 *   draws a new generation, and folders of others are removed. That change is on the disk before
 *   any body is kept.
 * - A body may be linked before the row of its message is committed; when the process is killed
 *   then, the index gives the id again. But before the store is open, bodies without a row are
 *   removed, and the folder is synced, so that a power cut does not bring them back.
 * - A file gets its name when it is whole, and within one run of the kernel all see it so. After a
 *   power cut its blocks may be missing, even with the right size. So the index notes under which
 *   boot of the kernel it was opened (again on the disk before any body is kept), and up to which
 *   opening all bodies have been synced, which is what closing does; after another boot, bodies of
 *   later openings are removed. That the opening is in the name, and not in the row, is for a body
 *   that is evicted and fetched again: the row on the disk may still be that of the first.
 * - The size must be the one that the caller expects.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void body_name(uint64_t id, uint32_t opening, char ret_name[BODY_NAME_OCTETS])
{
    snprintf(ret_name, BODY_NAME_OCTETS, "%" PRIu64 ".%" PRIu32, id, opening);
}

static bool parse_name(const char *name, uint64_t *ret_id, uint32_t *ret_opening)
{
    const char *dot = strchr(name, '.');
    uint64_t opening;
    if (dot == NULL ||
        !slice_to_number((struct slice){name, (size_t)(dot - name)}, INT64_MAX, ret_id) ||
        !slice_to_number(slice_from_string(dot + 1), UINT32_MAX, &opening) || opening == 0)
        return false;
    *ret_opening = (uint32_t)opening;
    return true;
}

static void unlink_body(const struct store *store, const struct shelf_entry *entry)
{
    char name[BODY_NAME_OCTETS];
    body_name(entry->id, entry->opening, name);
    unlinkat(store->bodies, name, 0);
}

/* ---- what an earlier popfs left ---- */

/* One of two for one id was about to take the place of the other. */
static bool find_file(struct store *store, const char *name, uint32_t opening_max, bool *ret_wanted)
{
    struct shelf_entry entry = {.is_dirty = true}, other;
    *ret_wanted = parse_name(name, &entry.id, &entry.opening) && entry.opening <= opening_max;
    if (!*ret_wanted)
        return true;
    if (shelf_find(store->shelf, entry.id, &other)) {
        *ret_wanted = other.opening < entry.opening;
        if (!*ret_wanted)
            return true;
        unlink_body(store, &other);
    }
    return shelf_put(store->shelf, &entry);
}

static enum fault find_files(struct store *store, uint32_t opening_max, bool *ret_removed,
                             struct failure *ret_failure)
{
    int copy = openat(store->bodies, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    if (list == NULL) {
        cleanup_close(&copy);
        return failure_set(ret_failure, FAULT_DISK, "cannot read the folder of bodies: %s",
                           strerror(errno));
    }
    bool memory = true;
    for (struct dirent *entry = readdir(list); memory && entry != NULL; entry = readdir(list)) {
        bool wanted;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        memory = find_file(store, entry->d_name, opening_max, &wanted);
        if (!wanted) {
            unlinkat(store->bodies, entry->d_name, 0);
            *ret_removed = true;
        }
    }
    closedir(list);
    return memory ? FAULT_NONE : failure_set(ret_failure, FAULT_MEMORY, "out of memory");
}

/* The index was not told of the body, so the body is asked. */
static void measure(const struct store *store, struct shelf_entry *entry)
{
    char name[BODY_NAME_OCTETS];
    struct stat stat;
    body_name(entry->id, entry->opening, name);
    entry->is_dirty = true;
    entry->octets = 0;
    if (fstatat(store->bodies, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(stat.st_mode))
        entry->octets = (uint64_t)stat.st_size;
}

/* What the index knows of a body that is there. */
static bool take_in(struct store *store, uint64_t id, uint64_t exact_octets, uint64_t used)
{
    struct shelf_entry entry;
    if (!shelf_find(store->shelf, id, &entry))
        return true;
    entry.octets = exact_octets;
    entry.used = used;
    entry.is_dirty = false;
    shelf_tick_after(store->shelf, used);
    if (exact_octets == STORE_OCTETS_UNKNOWN || used == 0)
        measure(store, &entry);
    if (used == 0)
        entry.used = UINT64_MAX; /* in the last moments of the popfs before */
    return shelf_put(store->shelf, &entry);
}

static enum fault find_rows(struct store *store, struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_SIZES);
    bool row = shelf_count(store->shelf) > 0;
    while (row) {
        enum fault fault = index_row(&store->index, INDEX_SIZES, SQLITE_OK, &row, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
        if (row &&
            !take_in(store, index_column_octets(statement, 0), index_column_octets(statement, 1),
                     (uint64_t)sqlite3_column_int64(statement, 2)))
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    }
    return FAULT_NONE;
}

/* Those with this use or an earlier one. */
static void drop(struct store *store, uint64_t used)
{
    for (struct shelf_entry *entry = shelf_next(store->shelf, NULL); entry != NULL;
         entry = shelf_next(store->shelf, entry))
        if (entry->used <= used)
            unlink_body(store, entry);
    shelf_remove_used_until(store->shelf, used);
}

/* Those that no row has claimed are still without a use. */
static void sort_out(struct store *store, bool removed)
{
    size_t count = shelf_count(store->shelf);
    drop(store, 0);
    for (struct shelf_entry *entry = shelf_next(store->shelf, NULL); entry != NULL;
         entry = shelf_next(store->shelf, entry))
        if (entry->used == UINT64_MAX)
            entry->used = shelf_tick(store->shelf);
    if (!store->is_temporary && (removed || shelf_count(store->shelf) < count))
        fsync(store->bodies);
}

enum fault bodies_open(struct store *store, uint32_t opening_max, struct failure *ret_failure)
{
    char name[sizeof(BODIES_PREFIX) + INDEX_WORD_OCTETS];
    bool removed = false;
    snprintf(name, sizeof(name), BODIES_PREFIX "%s", store->state.generation);
    place_sweep(store->place.folder, BODIES_PREFIX, name);
    store->shelf = shelf_new();
    if (store->shelf == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    if (mkdirat(store->place.folder, name, 0700) == 0 || errno == EEXIST)
        store->bodies =
            openat(store->place.folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (store->bodies < 0)
        return failure_set(ret_failure, FAULT_DISK, "cannot make the folder of bodies in %s: %s",
                           store->place.path, strerror(errno));
    enum fault fault = find_files(store, opening_max, &removed, ret_failure);
    if (fault == FAULT_NONE)
        fault = find_rows(store, ret_failure);
    if (fault == FAULT_NONE)
        sort_out(store, removed);
    return fault;
}

void bodies_close(struct store *store)
{
    cleanup_close(&store->bodies);
    store->bodies = -1;
    shelf_free(store->shelf);
    store->shelf = NULL;
}

/* ---- eviction ---- */

void bodies_evict(struct store *store, uint64_t octets)
{
    drop(store, shelf_used_before(store->shelf, octets));
}

void bodies_evict_surplus(struct store *store)
{
    if (store->octets_max > 0 && shelf_octets(store->shelf) > store->octets_max)
        bodies_evict(store, store->octets_max / 10 * 9);
}

void store_body_remove(struct store *store, uint64_t id)
{
    struct shelf_entry entry;
    if (!shelf_find(store->shelf, id, &entry))
        return;
    unlink_body(store, &entry);
    shelf_remove(store->shelf, id);
}

/* ---- use ---- */

enum fault store_body_open(const struct store *store, uint64_t id, uint64_t octets,
                           int *ret_descriptor)
{
    char name[BODY_NAME_OCTETS];
    struct shelf_entry entry;
    struct stat stat;
    if (!shelf_find(store->shelf, id, &entry))
        return FAULT_GONE;
    body_name(id, entry.opening, name);
    CLEANUP_CLOSE int descriptor = openat(store->bodies, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0)
        return errno == ENOENT ? FAULT_GONE : FAULT_DISK;
    if (fstat(descriptor, &stat) != 0 || !S_ISREG(stat.st_mode) || (uint64_t)stat.st_size != octets)
        return FAULT_GONE;
    *ret_descriptor = descriptor;
    descriptor = -1;
    return FAULT_NONE;
}

void store_body_note_used(struct store *store, uint64_t id)
{
    struct shelf_entry entry;
    if (!shelf_find(store->shelf, id, &entry))
        return;
    entry.used = shelf_tick(store->shelf);
    entry.is_dirty = true;
    shelf_put(store->shelf, &entry);
}

enum fault bodies_write_uses(struct store *store, struct failure *ret_failure)
{
    if (store->is_temporary)
        return FAULT_NONE;
    for (struct shelf_entry *entry = shelf_next(store->shelf, NULL); entry != NULL;
         entry = shelf_next(store->shelf, entry)) {
        if (!entry->is_dirty)
            continue;
        sqlite3_stmt *statement = index_use(&store->index, INDEX_USED);
        int bad = sqlite3_bind_int64(statement, 1, (int64_t)entry->id) |
                  sqlite3_bind_int64(statement, 2, (int64_t)entry->used) |
                  sqlite3_bind_int64(statement, 3, (int64_t)entry->octets);
        enum fault fault = index_change(&store->index, INDEX_USED, bad, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
        shelf_set_clean(store->shelf, entry);
    }
    return FAULT_NONE;
}

void store_usage(const struct store *store, struct store_usage *ret_usage)
{
    *ret_usage = (struct store_usage){
        .folder = store->place.path,
        .octets = shelf_octets(store->shelf),
        .octets_max = store->octets_max,
        .body_count = shelf_count(store->shelf),
    };
}
