/* SPDX-License-Identifier: MIT */
/*
 * Where bodies lie, and what is made of those that an earlier popfs left. The folder is named for
 * the index.
 *
 *     bodies-GENERATION/<id>.<opening>        one body, whole; kept while the store was open for
 *                                             that time
 *     bodies-GENERATION/pack.<opening>.<n>    small bodies, one after the other (pack.c)
 *     bodies-GENERATION/new-<n>               being written, where files without a name are not
 *                                             known
 *
 * Most mails are small, and a file is dear: on ext4 it takes 100 to 400 µs of processor time to
 * make one and as much again to unlink it, where 4 KiB at the end of an open file take 5 µs. So
 * what arrived whole in the memory that gathers it goes into a pack. A file of their own have large
 * bodies, those that are read while they arrive, and those that found no room in a pack.
 *
 * A body must never be taken for another's, nor a part for the whole:
 *
 * - An id means something in one index only. A new index, or one whose bodies are to be forgotten,
 *   draws a new generation, and folders of others are removed. That change is on the disk before
 *   any body is kept. A record of a pack is signed with the generation as well.
 * - A body may be kept before the row of its message is committed; when the process is killed then,
 *   the index gives the id again. But before the store is open, files without a row are removed,
 *   and the folder is synced, so that a power cut does not bring them back; records without a row
 *   are marked dead.
 * - A file gets its name when it is whole, and a pack is only appended to, by the opening that
 *   began it. Within one run of the kernel all see both so: what a killed popfs leaves of a pack is
 *   whole records and perhaps a part of one, which reaches beyond the end of the file and is cut
 *   off. Where the index does not know a record yet, its header is asked, so that nothing that was
 *   fetched is lost.
 * - After a power cut blocks may be missing, even with the right size. So the index notes under
 *   which boot of the kernel it was opened (again on the disk before any body is kept), and up to
 *   which opening all bodies have been synced, which is what closing does; after another boot,
 *   files and packs of later openings are removed, whole. That the opening is in the name, and not
 *   in the row, is for a body that is evicted and fetched again: the row on the disk may still be
 *   that of the first.
 * - The size must be the one that the caller expects. In a pack the header must be there, alive,
 *   and that of this message: it is looked at each time a body is opened. The bytes are compared
 *   with their checksum once in an opening (check.c).
 *
 * Two records may be for one message, if popfs was killed between the two: the newer counts. A
 * record is never changed while somebody may read it; what is dead is erased when the store is
 * closed, so that mail that was deleted does not stay on the disk.
 */
#include "store.h"

#include "disk.h"
#include "sum.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PACK_OCTETS_MAX = 8 << 20, PACKS_IN_CACHE_LEAST = 16 };

struct adoption {
    struct store *store;
    uint32_t opening_max; /* what is later is not trusted */
    bool removed;         /* a file was */
};

/* ---- the folder ---- */

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

/* One of two for one id was about to take the place of the other. */
static bool find_file(struct adoption *adoption, const char *name, bool *ret_wanted)
{
    struct store *store = adoption->store;
    struct shelf_entry entry = {.is_dirty = true}, other;
    *ret_wanted =
        parse_name(name, &entry.id, &entry.opening) && entry.opening <= adoption->opening_max;
    if (!*ret_wanted)
        return true;
    if (shelf_find(store->shelf, entry.id, &other)) {
        *ret_wanted = other.opening < entry.opening;
        if (!*ret_wanted)
            return true;
        bodies_disown(store, &other);
    }
    return shelf_put(store->shelf, &entry);
}

static bool find_pack(struct adoption *adoption, const char *name, bool *ret_wanted)
{
    struct store *store = adoption->store;
    struct pack pack = {.is_dirty = true};
    struct stat stat;
    *ret_wanted = pack_name_parse(name, &pack.opening, &pack.number) &&
                  pack.opening <= adoption->opening_max &&
                  disk_fstatat(store->bodies, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
                  S_ISREG(stat.st_mode) && stat.st_size <= UINT32_MAX;
    if (!*ret_wanted)
        return true;
    pack.octets = (uint64_t)stat.st_size;
    return packs_add(&store->packs, &pack);
}

static bool find_name(struct adoption *adoption, const char *name)
{
    bool wanted;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return true;
    bool memory = find_pack(adoption, name, &wanted);
    if (memory && !wanted)
        memory = find_file(adoption, name, &wanted);
    if (memory && !wanted) {
        disk_unlinkat(adoption->store->bodies, name, 0);
        adoption->removed = true;
    }
    return memory;
}

static enum fault find_names(struct adoption *adoption, struct failure *ret_failure)
{
    int copy = disk_openat(adoption->store->bodies, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    DIR *list = copy < 0 ? NULL : disk_fdopendir(copy);
    if (list == NULL) {
        cleanup_close(&copy);
        return failure_set(ret_failure, FAULT_DISK, "cannot read the folder of bodies: %s",
                           strerror(errno));
    }
    bool memory = true;
    for (struct dirent *entry = disk_readdir(list); memory && entry != NULL;
         entry = disk_readdir(list))
        memory = find_name(adoption, entry->d_name);
    disk_closedir(list);
    packs_sort(&adoption->store->packs);
    return memory ? FAULT_NONE : failure_set(ret_failure, FAULT_MEMORY, "out of memory");
}

/* ---- packs that the index may not know all of ---- */

static bool put_record(struct store *store, struct pack *pack, const struct pack_record *record)
{
    const struct shelf_entry entry = {.id = record->id,
                                      .octets = record->octets,
                                      .pack = pack->number,
                                      .offset = (uint32_t)record->offset,
                                      .opening = pack->opening,
                                      .is_packed = true,
                                      .is_dirty = true};
    struct shelf_entry other;
    if (shelf_find(store->shelf, entry.id, &other)) {
        if (!other.is_packed && other.opening > entry.opening)
            return true;
        bodies_disown(store, &other);
    }
    pack->live_octets += bodies_record_octets(record->octets);
    return shelf_put(store->shelf, &entry);
}

static bool scan(struct store *store, struct pack *pack)
{
    CLEANUP_CLOSE int file = -1;
    struct pack_record record;
    uint64_t seed = packs_seed(&store->packs, pack), offset = 0;
    bool memory = true;
    if (!packs_open(&store->packs, pack->opening, pack->number, O_RDWR, &file))
        return true;
    while (memory && pack_read(file, seed, offset, pack->octets, &record)) {
        memory = record.is_dead || put_record(store, pack, &record);
        offset = pack_end(&record);
    }
    if (memory && offset < pack->octets && disk_ftruncate(file, (off_t)offset) == 0) {
        store->packs.octets -= pack->octets - offset;
        pack->octets = offset;
    }
    return memory;
}

/* Of the openings whose close did not tell the index everything. */
static bool is_to_be_scanned(const struct store *store, const struct pack *pack)
{
    return pack->opening > store->state.synced;
}

static enum fault scan_packs(struct store *store, struct failure *ret_failure)
{
    for (size_t i = 0; i < store->packs.count; i++)
        if (is_to_be_scanned(store, &store->packs.list[i]) && !scan(store, &store->packs.list[i]))
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    return FAULT_NONE;
}

/* ---- rows ---- */

struct row {
    uint64_t id;
    uint64_t exact_octets;
    uint64_t used;
    uint64_t pack;  /* its key; unknown: none */
    uint64_t place; /* of the header */
    uint64_t sum;   /* or SUM_NONE */
};

/* The index was not told of the body, so the body is asked. */
static void measure(const struct store *store, struct shelf_entry *entry)
{
    char name[BODY_NAME_OCTETS];
    struct stat stat;
    body_name(entry->id, entry->opening, name);
    entry->is_dirty = true;
    entry->octets = 0;
    entry->sum = SUM_NONE;
    if (disk_fstatat(store->bodies, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(stat.st_mode))
        entry->octets = (uint64_t)stat.st_size;
}

static void claim_file(struct store *store, const struct row *row, struct shelf_entry *entry)
{
    entry->octets = row->exact_octets;
    entry->used = row->used;
    entry->sum = row->sum;
    entry->is_dirty = false;
    shelf_tick_after(store->shelf, row->used);
    if (row->exact_octets == STORE_OCTETS_UNKNOWN || row->used == 0)
        measure(store, entry);
    if (row->used == 0)
        entry->used = UINT64_MAX; /* in the last moments of the popfs before */
}

/* False if the row tells of no body in a pack that is there. */
static bool find_record(struct store *store, const struct row *row, struct shelf_entry *ret_entry)
{
    if (row->pack == STORE_OCTETS_UNKNOWN || row->exact_octets > UINT32_MAX ||
        row->place > UINT32_MAX)
        return false;
    struct pack *pack = packs_find(&store->packs, (uint32_t)(row->pack >> 32), (uint32_t)row->pack);
    uint64_t octets = bodies_record_octets(row->exact_octets);
    /* What is not in a pack that was scanned, is not. */
    if (pack == NULL || is_to_be_scanned(store, pack))
        return false;
    if (row->place + octets > pack->octets) {
        store->torn_count++;
        return false;
    }
    pack->live_octets += octets;
    *ret_entry = (struct shelf_entry){.id = row->id,
                                      .octets = row->exact_octets,
                                      .pack = pack->number,
                                      .offset = (uint32_t)row->place,
                                      .sum = row->sum,
                                      .opening = pack->opening,
                                      .is_packed = true};
    return true;
}

/* The row of a record that was scanned may be that of one before it. */
static void claim_scanned(const struct row *row, struct shelf_entry *entry)
{
    if (row->pack == bodies_pack_key(entry->opening, entry->pack) && row->place == entry->offset)
        entry->sum = row->sum;
}

/* What the index knows of a body that is there. */
static bool take_in(struct store *store, const struct row *row)
{
    struct shelf_entry entry;
    if (shelf_find(store->shelf, row->id, &entry)) {
        if (entry.is_packed)
            claim_scanned(row, &entry);
        else
            claim_file(store, row, &entry);
    } else if (!find_record(store, row, &entry)) {
        return true;
    }
    entry.is_claimed = true;
    return shelf_put(store->shelf, &entry);
}

static enum fault find_rows(struct store *store, struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_SIZES);
    bool row = shelf_count(store->shelf) > 0 || store->packs.count > 0;
    while (row) {
        enum fault fault = index_row(&store->index, INDEX_SIZES, SQLITE_OK, &row, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
        if (!row)
            break;
        const struct row found = {
            .id = index_column_octets(statement, 0),
            .exact_octets = index_column_octets(statement, 1),
            .used = (uint64_t)sqlite3_column_int64(statement, 2),
            .pack = index_column_octets(statement, 3),
            .place = index_column_octets(statement, 4),
            .sum = (uint64_t)sqlite3_column_int64(statement, 5), /* of NULL 0 */
        };
        if (!take_in(store, &found)) {
            index_end(&store->index, INDEX_SIZES);
            return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
        }
    }
    return FAULT_NONE;
}

/* What the index knows of packs. If it knows of some that are not there, it forgets all, and learns
 * of those that are when the store is open. */
static enum fault find_pack_rows(struct store *store, struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_PACKS);
    bool row = true, forget = false;
    for (;;) {
        enum fault fault = index_row(&store->index, INDEX_PACKS, SQLITE_OK, &row, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
        if (!row)
            break;
        uint64_t key = index_column_octets(statement, 0);
        struct pack *pack = packs_find(&store->packs, (uint32_t)(key >> 32), (uint32_t)key);
        forget |= pack == NULL;
        if (pack == NULL)
            continue;
        pack->used = (uint64_t)sqlite3_column_int64(statement, 1);
        pack->erased_octets = (uint64_t)sqlite3_column_int64(statement, 2);
        pack->is_dirty = false;
        shelf_tick_after(store->shelf, pack->used);
    }
    for (size_t i = 0; forget && i < store->packs.count; i++)
        store->packs.list[i].is_dirty = true;
    return forget ? index_change(&store->index, INDEX_FORGET_PACKS, SQLITE_OK, ret_failure)
                  : FAULT_NONE;
}

/* ---- what nobody claims ---- */

static bool is_claimed(const void *context, const struct shelf_entry *entry)
{
    (void)context;
    return entry->is_claimed;
}

/* The id will be given to another message, and the record must not be found again by its row. */
static void mark_unclaimed(const struct store *store, const struct pack *pack)
{
    CLEANUP_CLOSE int file = -1;
    struct pack_record record;
    struct shelf_entry entry;
    uint64_t seed = packs_seed(&store->packs, pack), offset = 0;
    if (!packs_open(&store->packs, pack->opening, pack->number, O_RDWR, &file))
        return;
    for (; pack_read(file, seed, offset, pack->octets, &record); offset = pack_end(&record))
        if (!record.is_dead && (!shelf_find(store->shelf, record.id, &entry) || !entry.is_claimed))
            (void)pack_mark_dead(file, seed, &record);
}

static size_t drop_unclaimed(struct store *store)
{
    size_t count = 0, packed_count = 0;
    for (struct shelf_entry *entry = shelf_next(store->shelf, NULL); entry != NULL;
         entry = shelf_next(store->shelf, entry)) {
        if (entry->is_claimed)
            continue;
        bodies_disown(store, entry);
        count++;
        packed_count += entry->is_packed;
    }
    for (size_t i = 0; packed_count > 0 && i < store->packs.count; i++)
        if (is_to_be_scanned(store, &store->packs.list[i]))
            mark_unclaimed(store, &store->packs.list[i]);
    shelf_keep(store->shelf, is_claimed, NULL);
    return count;
}

/* Those of the last moments of the popfs before have been used last. */
static void give_uses(struct store *store)
{
    for (struct shelf_entry *entry = shelf_next(store->shelf, NULL); entry != NULL;
         entry = shelf_next(store->shelf, entry))
        if (!entry->is_packed && entry->used == UINT64_MAX)
            entry->used = shelf_tick(store->shelf);
    for (size_t i = 0; i < store->packs.count; i++)
        if (store->packs.list[i].used == 0)
            store->packs.list[i].used = shelf_tick(store->shelf);
}

static void sort_out(struct adoption *adoption)
{
    struct store *store = adoption->store;
    size_t packs_count = store->packs.count;
    adoption->removed |= drop_unclaimed(store) > 0;
    packs_drop_dead(&store->packs);
    give_uses(store);
    if (!store->is_temporary && (adoption->removed || store->packs.count < packs_count))
        disk_fsync(store->bodies);
}

/* ---- opening ---- */

static uint64_t pack_octets_max(const struct store *store)
{
    uint64_t part = store->octets_max / PACKS_IN_CACHE_LEAST;
    return store->octets_max > 0 && part < PACK_OCTETS_MAX ? part : PACK_OCTETS_MAX;
}

static enum fault open_folder(struct store *store, struct failure *ret_failure)
{
    char name[sizeof(BODIES_PREFIX) + INDEX_WORD_OCTETS];
    snprintf(name, sizeof(name), BODIES_PREFIX "%s", store->state.generation);
    place_sweep(store->place.folder, BODIES_PREFIX, name);
    if (disk_mkdirat(store->place.folder, name, 0700) == 0 || errno == EEXIST)
        store->bodies = disk_openat(store->place.folder, name,
                                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (store->bodies < 0)
        return failure_set(ret_failure, FAULT_DISK, "cannot make the folder of bodies in %s: %s",
                           store->place.path, strerror(errno));
    packs_begin(&store->packs, store->bodies, store->state.generation, store->state.opening,
                pack_octets_max(store));
    return FAULT_NONE;
}

enum fault bodies_open(struct store *store, uint32_t opening_max, struct failure *ret_failure)
{
    struct adoption adoption = {.store = store, .opening_max = opening_max};
    store->shelf = shelf_new();
    if (store->shelf == NULL)
        return failure_set(ret_failure, FAULT_MEMORY, "out of memory");
    enum fault fault = open_folder(store, ret_failure);
    if (fault == FAULT_NONE)
        fault = find_names(&adoption, ret_failure);
    if (fault == FAULT_NONE)
        fault = scan_packs(store, ret_failure);
    if (fault == FAULT_NONE)
        fault = find_rows(store, ret_failure);
    if (fault == FAULT_NONE)
        fault = find_pack_rows(store, ret_failure);
    if (fault == FAULT_NONE)
        sort_out(&adoption);
    return fault;
}
