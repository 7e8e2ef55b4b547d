/* SPDX-License-Identifier: MIT */
/* The bodies that are kept: opened, used, evicted, and removed. adopt.c says what lies where. */
#include "store.h"

#include "disk.h"
#include "sum.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void body_name(uint64_t id, uint32_t opening, char ret_name[BODY_NAME_OCTETS])
{
    snprintf(ret_name, BODY_NAME_OCTETS, "%" PRIu64 ".%" PRIu32, id, opening);
}

uint64_t bodies_pack_key(uint32_t opening, uint32_t number)
{
    return (uint64_t)opening << 32 | number;
}

uint64_t bodies_record_octets(uint64_t body_octets)
{
    return PACK_HEADER_OCTETS + body_octets;
}

void bodies_close(struct store *store)
{
    packs_done(&store->packs);
    cleanup_close(&store->bodies);
    store->bodies = -1;
    shelf_free(store->shelf);
    store->shelf = NULL;
}

/* ---- leaving ---- */

void bodies_disown(struct store *store, const struct shelf_entry *entry)
{
    char name[BODY_NAME_OCTETS];
    if (!entry->is_packed) {
        body_name(entry->id, entry->opening, name);
        disk_unlinkat(store->bodies, name, 0);
        return;
    }
    struct pack *pack = packs_find(&store->packs, entry->opening, entry->pack);
    uint64_t octets = bodies_record_octets(entry->octets);
    if (pack != NULL)
        pack->live_octets -= octets < pack->live_octets ? octets : pack->live_octets;
}

static void remove_body(struct store *store, const struct shelf_entry *entry)
{
    shelf_remove(store->shelf, entry->id);
    bodies_disown(store, entry);
    packs_drop_dead(&store->packs);
}

void bodies_forget(struct store *store, uint64_t id)
{
    struct shelf_entry entry;
    if (shelf_find(store->shelf, id, &entry))
        remove_body(store, &entry);
}

/* So that it does not come back when popfs is killed; that is all, so a failure does no harm. */
static void mark_dead(const struct store *store, const struct shelf_entry *entry)
{
    CLEANUP_CLOSE int file = -1;
    const struct pack_record record = {entry->id, entry->octets, entry->offset, true};
    const struct pack *pack = packs_find(&store->packs, entry->opening, entry->pack);
    if (pack != NULL && packs_open(&store->packs, pack->opening, pack->number, O_WRONLY, &file))
        (void)pack_mark_dead(file, packs_seed(&store->packs, pack), &record);
}

/* Else the next opening looks for the body where zeros are by then, and calls that damage. */
static void clear_place(struct store *store, uint64_t id)
{
    int bad = sqlite3_bind_int64(index_use(&store->index, INDEX_NO_BODY), 1, (int64_t)id);
    (void)index_change(&store->index, INDEX_NO_BODY, bad, NULL);
}

void store_body_remove(struct store *store, uint64_t id)
{
    struct shelf_entry entry;
    if (!shelf_find(store->shelf, id, &entry))
        return;
    if (entry.is_packed)
        mark_dead(store, &entry);
    clear_place(store, id);
    remove_body(store, &entry);
}

/* ---- eviction ---- */

uint64_t bodies_octets(const struct store *store)
{
    return shelf_octets(store->shelf) + store->packs.octets;
}

/* Without those used until then, the others have at most `octets` together. */
static uint64_t used_before(const struct store *store, uint64_t octets)
{
    uint64_t low = 0, high = shelf_now(store->shelf); /* nothing has been used after that */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (shelf_octets_used_after(store->shelf, middle) +
                packs_octets_used_after(&store->packs, middle) <=
            octets)
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

struct eviction {
    const struct store *store;
    uint64_t used;
};

static bool stays(const void *context, const struct shelf_entry *entry)
{
    const struct eviction *eviction = context;
    if (entry->is_packed)
        return packs_find(&eviction->store->packs, entry->opening, entry->pack) != NULL;
    return entry->used > eviction->used;
}

void bodies_evict(struct store *store, uint64_t octets)
{
    const struct eviction eviction = {store, used_before(store, octets)};
    packs_drop_used_until(&store->packs, eviction.used);
    for (struct shelf_entry *entry = shelf_next(store->shelf, NULL); entry != NULL;
         entry = shelf_next(store->shelf, entry))
        if (!entry->is_packed && entry->used <= eviction.used)
            bodies_disown(store, entry);
    shelf_keep(store->shelf, stays, &eviction);
}

void bodies_evict_surplus(struct store *store)
{
    uint64_t most = store->octets_max, arriving = store->arriving_octets;
    if (most > 0 && bodies_octets(store) + arriving > most)
        bodies_evict(store, most / 10 * 9 > arriving ? most / 10 * 9 - arriving : 0);
}

/* ---- erasing ---- */

static bool is_live(const struct store *store, const struct pack *pack,
                    const struct pack_record *record)
{
    struct shelf_entry entry;
    return !record->is_dead && shelf_find(store->shelf, record->id, &entry) && entry.is_packed &&
           entry.opening == pack->opening && entry.pack == pack->number &&
           entry.offset == record->offset;
}

/* The mark first: whoever walks through the pack must find the end of what has been erased. */
static bool erase_run(int file, uint64_t seed, const struct pack_record *run)
{
    return pack_mark_dead(file, seed, run) && pack_erase(file, run);
}

/* What is dead side by side becomes one record, so that whole blocks become free. False if
 * something of it may be left. */
static bool erase_pack(const struct store *store, const struct pack *pack, int file)
{
    uint64_t seed = packs_seed(&store->packs, pack), offset = 0;
    struct pack_record record, run = {0};
    bool in_run = false, erased = true;
    while (erased && pack_read(file, seed, offset, pack->octets, &record)) {
        offset = pack_end(&record);
        if (is_live(store, pack, &record)) {
            erased = !in_run || erase_run(file, seed, &run);
            in_run = false;
        } else if (in_run) {
            run.octets = offset - run.offset - PACK_HEADER_OCTETS;
        } else {
            run = record;
            in_run = true;
        }
    }
    if (erased && in_run)
        erased = erase_run(file, seed, &run);
    return erased && offset == pack->octets;
}

static bool is_to_be_erased(const struct pack *pack)
{
    return pack->octets - pack->live_octets != pack->erased_octets;
}

bool bodies_have_dead(const struct store *store)
{
    size_t i = 0;
    while (i < store->packs.count && !is_to_be_erased(&store->packs.list[i]))
        i++;
    return i < store->packs.count;
}

void bodies_erase_dead(struct store *store)
{
    for (size_t i = 0; i < store->packs.count; i++) {
        struct pack *pack = &store->packs.list[i];
        CLEANUP_CLOSE int file = -1;
        if (!is_to_be_erased(pack) ||
            !packs_open(&store->packs, pack->opening, pack->number, O_RDWR, &file) ||
            !erase_pack(store, pack, file))
            continue;
        pack->erased_octets = pack->octets - pack->live_octets;
        pack->is_dirty = true;
        store->is_synced = false;
    }
}

/* ---- use ---- */

static enum fault open_file(const struct store *store, const struct shelf_entry *entry,
                            uint64_t octets, int *ret_descriptor)
{
    char name[BODY_NAME_OCTETS];
    struct stat stat;
    body_name(entry->id, entry->opening, name);
    CLEANUP_CLOSE int descriptor =
        disk_openat(store->bodies, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0);
    if (descriptor < 0)
        return errno == ENOENT ? FAULT_GONE : FAULT_DISK;
    if (disk_fstat(descriptor, &stat) != 0)
        return FAULT_DISK;
    if (!S_ISREG(stat.st_mode) || (uint64_t)stat.st_size != octets)
        return FAULT_GARBLED;
    *ret_descriptor = descriptor;
    descriptor = -1;
    return FAULT_NONE;
}

/* The header is looked at each time: it costs a microsecond, and nothing else has to remember
 * whether this pack has been found to be whole. */
static enum fault open_packed(const struct store *store, const struct shelf_entry *entry,
                              uint64_t octets, int *ret_descriptor)
{
    CLEANUP_CLOSE int descriptor = -1;
    struct pack_record record;
    struct stat stat;
    const struct pack pack = {.opening = entry->opening, .number = entry->pack};
    if (!packs_open(&store->packs, pack.opening, pack.number, O_RDONLY, &descriptor))
        return errno == ENOENT ? FAULT_GONE : FAULT_DISK;
    if (disk_fstat(descriptor, &stat) != 0)
        return FAULT_DISK;
    if (!S_ISREG(stat.st_mode) || !pack_read(descriptor, packs_seed(&store->packs, &pack),
                                             entry->offset, (uint64_t)stat.st_size, &record))
        return FAULT_GARBLED;
    if (record.is_dead || record.id != entry->id || record.octets != octets)
        return FAULT_GONE;
    *ret_descriptor = descriptor;
    descriptor = -1;
    return FAULT_NONE;
}

enum fault bodies_find(const struct store *store, uint64_t id, uint64_t octets,
                       struct shelf_entry *ret_entry, struct extent *ret_extent)
{
    int descriptor;
    if (!shelf_find(store->shelf, id, ret_entry) || ret_entry->octets != octets)
        return FAULT_GONE;
    enum fault fault = ret_entry->is_packed ? open_packed(store, ret_entry, octets, &descriptor)
                                            : open_file(store, ret_entry, octets, &descriptor);
    if (fault != FAULT_NONE)
        return fault;
    uint64_t offset = ret_entry->is_packed ? ret_entry->offset + PACK_HEADER_OCTETS : 0;
    *ret_extent = (struct extent){.descriptor = descriptor, .offset = offset, .octets = octets};
    return FAULT_NONE;
}

bool store_body_is_there(const struct store *store, uint64_t id, uint64_t octets)
{
    struct shelf_entry entry;
    struct extent extent;
    if (bodies_find(store, id, octets, &entry, &extent) != FAULT_NONE)
        return false;
    cleanup_close(&extent.descriptor);
    return true;
}

bool store_body_is_kept(const struct store *store, uint64_t id, uint64_t octets)
{
    struct shelf_entry entry;
    return shelf_find(store->shelf, id, &entry) && entry.octets == octets;
}

void store_body_note_used(struct store *store, uint64_t id)
{
    struct shelf_entry entry;
    if (!shelf_find(store->shelf, id, &entry))
        return;
    if (entry.is_packed) {
        struct pack *pack = packs_find(&store->packs, entry.opening, entry.pack);
        pack->used = shelf_tick(store->shelf);
        pack->is_dirty = true;
        return;
    }
    entry.used = shelf_tick(store->shelf);
    entry.is_dirty = true;
    shelf_put(store->shelf, &entry);
}

/* ---- what the index is told ---- */

static enum fault write_place(struct store *store, const struct shelf_entry *entry,
                              struct failure *ret_failure)
{
    sqlite3_stmt *statement = index_use(&store->index, INDEX_USED);
    int bad = sqlite3_bind_int64(statement, 1, (int64_t)entry->id) |
              sqlite3_bind_int64(statement, 2, (int64_t)entry->octets);
    if (entry->is_packed)
        bad |= sqlite3_bind_int64(statement, 4,
                                  (int64_t)bodies_pack_key(entry->opening, entry->pack)) |
               sqlite3_bind_int64(statement, 5, (int64_t)entry->offset);
    else
        bad |= sqlite3_bind_int64(statement, 3, (int64_t)entry->used);
    if (entry->sum != SUM_NONE)
        bad |= sqlite3_bind_int64(statement, 6, (int64_t)entry->sum);
    return index_change(&store->index, INDEX_USED, bad, ret_failure);
}

static enum fault write_packs(struct store *store, struct failure *ret_failure)
{
    enum fault fault = FAULT_NONE;
    for (size_t i = 0; i < store->packs.count && fault == FAULT_NONE; i++) {
        struct pack *pack = &store->packs.list[i];
        if (!pack->is_dirty)
            continue;
        sqlite3_stmt *statement = index_use(&store->index, INDEX_SET_PACK);
        int bad = sqlite3_bind_int64(statement, 1,
                                     (int64_t)bodies_pack_key(pack->opening, pack->number)) |
                  sqlite3_bind_int64(statement, 2, (int64_t)pack->used) |
                  sqlite3_bind_int64(statement, 3, (int64_t)pack->erased_octets);
        fault = index_change(&store->index, INDEX_SET_PACK, bad, ret_failure);
        if (fault == FAULT_NONE)
            pack->is_dirty = false;
    }
    return fault;
}

/* The index may have undone what was written: which bodies are kept, and which were removed. */
static enum fault write_anew(struct store *store, struct failure *ret_failure)
{
    for (struct shelf_entry *entry = shelf_next(store->shelf, NULL); entry != NULL;
         entry = shelf_next(store->shelf, entry))
        shelf_set_dirty(store->shelf, entry, true);
    for (size_t i = 0; i < store->packs.count; i++)
        store->packs.list[i].is_dirty = true;
    store->index.has_failed = false;
    return index_change(&store->index, INDEX_NO_BODIES, SQLITE_OK, ret_failure);
}

enum fault bodies_write_uses(struct store *store, struct failure *ret_failure)
{
    if (store->is_temporary)
        return FAULT_NONE;
    if (store->index.has_failed && write_anew(store, ret_failure) != FAULT_NONE)
        return FAULT_DISK;
    for (struct shelf_entry *entry = shelf_next(store->shelf, NULL); entry != NULL;
         entry = shelf_next(store->shelf, entry)) {
        if (!entry->is_dirty)
            continue;
        enum fault fault = write_place(store, entry, ret_failure);
        if (fault != FAULT_NONE)
            return fault;
        shelf_set_dirty(store->shelf, entry, false);
    }
    return write_packs(store, ret_failure);
}

void store_usage(const struct store *store, struct store_usage *ret_usage)
{
    *ret_usage = (struct store_usage){
        .folder = store->place.path,
        .octets = bodies_octets(store),
        .octets_max = store->octets_max,
        .body_count = shelf_count(store->shelf),
        .bin_folder = store->bin_path,
        .bin_octets = store->bin.octets,
        .bin_octets_max = store->bin.octets_max,
        .bin_count = store->bin.body_count,
    };
}
