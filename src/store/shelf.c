/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing, at most 0.8 full; as in the file system's table of names the
 * capacity is no power of two, since doubling would waste half of the memory. There is no list by
 * age: an eviction takes a tenth of all at once, so it can afford to look at every entry.
 *
 * The lock is held by who changes the table and by who looks something up on another thread; the
 * thread that changes it reads without.
 */
#include "shelf.h"

#include <pthread.h>
#include <stdlib.h>

enum { CAPACITY_MIN = 64 };

struct shelf {
    pthread_mutex_t lock;
    struct shelf_entry *slots;
    size_t capacity;
    size_t count;
    uint64_t octets;
    uint64_t clock;
};

struct shelf *shelf_new(void)
{
    struct shelf *shelf = calloc(1, sizeof(*shelf));
    if (shelf != NULL)
        pthread_mutex_init(&shelf->lock, NULL);
    return shelf;
}

void shelf_free(struct shelf *shelf)
{
    if (shelf == NULL)
        return;
    pthread_mutex_destroy(&shelf->lock);
    free(shelf->slots);
    free(shelf);
}

static uint64_t file_octets(const struct shelf_entry *entry)
{
    return entry->is_packed ? 0 : entry->octets;
}

/* Ids are ours and rise, so that a multiplication spreads them. */
static size_t home_of(size_t capacity, uint64_t id)
{
    uint64_t hash = (id * 0x9e3779b97f4a7c15U) >> 32;
    return (size_t)((hash * capacity) >> 32);
}

static size_t slot_next(const struct shelf *shelf, size_t slot)
{
    return slot + 1 == shelf->capacity ? 0 : slot + 1;
}

/* Where the id is or would be. */
static size_t slot_of(const struct shelf *shelf, uint64_t id)
{
    size_t slot = home_of(shelf->capacity, id);
    while (shelf->slots[slot].opening != 0 && shelf->slots[slot].id != id)
        slot = slot_next(shelf, slot);
    return slot;
}

static struct shelf_entry *entry_of(struct shelf *shelf, uint64_t id)
{
    if (shelf->count == 0)
        return NULL;
    struct shelf_entry *entry = &shelf->slots[slot_of(shelf, id)];
    return entry->opening == 0 ? NULL : entry;
}

bool shelf_reserve(struct shelf *shelf)
{
    if (shelf->count < shelf->capacity / 5 * 4)
        return true;
    struct shelf wider = {.capacity = shelf->capacity + shelf->capacity / 2};
    if (wider.capacity < CAPACITY_MIN)
        wider.capacity = CAPACITY_MIN;
    wider.slots = calloc(wider.capacity, sizeof(*wider.slots));
    if (wider.slots == NULL)
        return false;
    for (size_t i = 0; i < shelf->capacity; i++)
        if (shelf->slots[i].opening != 0)
            wider.slots[slot_of(&wider, shelf->slots[i].id)] = shelf->slots[i];
    struct shelf_entry *old = shelf->slots;
    pthread_mutex_lock(&shelf->lock);
    shelf->slots = wider.slots;
    shelf->capacity = wider.capacity;
    pthread_mutex_unlock(&shelf->lock);
    free(old);
    return true;
}

bool shelf_put(struct shelf *shelf, const struct shelf_entry *entry)
{
    if (!shelf_reserve(shelf))
        return false;
    pthread_mutex_lock(&shelf->lock);
    struct shelf_entry *slot = &shelf->slots[slot_of(shelf, entry->id)];
    if (slot->opening == 0)
        shelf->count++;
    else
        shelf->octets -= file_octets(slot);
    shelf->octets += file_octets(entry);
    *slot = *entry;
    pthread_mutex_unlock(&shelf->lock);
    return true;
}

bool shelf_find(struct shelf *shelf, uint64_t id, struct shelf_entry *ret_entry)
{
    pthread_mutex_lock(&shelf->lock);
    const struct shelf_entry *entry = entry_of(shelf, id);
    if (entry != NULL)
        *ret_entry = *entry;
    pthread_mutex_unlock(&shelf->lock);
    return entry != NULL;
}

/* How far the entry of a slot is behind where it would like to be. */
static size_t distance(const struct shelf *shelf, size_t slot)
{
    size_t home = home_of(shelf->capacity, shelf->slots[slot].id);
    return slot >= home ? slot - home : slot + shelf->capacity - home;
}

/* Moves later entries back over the hole, so that no search ends at it too early. */
static void take_out(struct shelf *shelf, size_t hole)
{
    size_t gap = 1;
    shelf->count--;
    shelf->octets -= file_octets(&shelf->slots[hole]);
    shelf->slots[hole].opening = 0;
    for (size_t slot = slot_next(shelf, hole); shelf->slots[slot].opening != 0;
         slot = slot_next(shelf, slot), gap++) {
        if (distance(shelf, slot) < gap)
            continue;
        shelf->slots[hole] = shelf->slots[slot];
        shelf->slots[slot].opening = 0;
        hole = slot;
        gap = 0;
    }
}

void shelf_remove(struct shelf *shelf, uint64_t id)
{
    pthread_mutex_lock(&shelf->lock);
    const struct shelf_entry *entry = entry_of(shelf, id);
    if (entry != NULL)
        take_out(shelf, (size_t)(entry - shelf->slots));
    pthread_mutex_unlock(&shelf->lock);
}

void shelf_keep(struct shelf *shelf,
                bool (*is_wanted)(const void *context, const struct shelf_entry *entry),
                const void *context)
{
    pthread_mutex_lock(&shelf->lock);
    /* Another entry may have moved into the slot; one that moves from the first slots to the last
     * has been looked at already, which does no harm. */
    for (size_t slot = 0; slot < shelf->capacity; slot++)
        while (shelf->slots[slot].opening != 0 && !is_wanted(context, &shelf->slots[slot]))
            take_out(shelf, slot);
    pthread_mutex_unlock(&shelf->lock);
}

struct shelf_entry *shelf_next(struct shelf *shelf, struct shelf_entry *entry)
{
    size_t slot = entry == NULL ? 0 : (size_t)(entry - shelf->slots) + 1;
    while (slot < shelf->capacity && shelf->slots[slot].opening == 0)
        slot++;
    return slot < shelf->capacity ? &shelf->slots[slot] : NULL;
}

void shelf_set_dirty(struct shelf *shelf, struct shelf_entry *entry, bool is_dirty)
{
    pthread_mutex_lock(&shelf->lock);
    entry->is_dirty = is_dirty;
    pthread_mutex_unlock(&shelf->lock);
}

uint64_t shelf_tick(struct shelf *shelf)
{
    return ++shelf->clock;
}

void shelf_tick_after(struct shelf *shelf, uint64_t used)
{
    if (shelf->clock < used)
        shelf->clock = used;
}

uint64_t shelf_now(const struct shelf *shelf)
{
    return shelf->clock;
}

uint64_t shelf_octets_used_after(const struct shelf *shelf, uint64_t used)
{
    uint64_t octets = 0;
    for (size_t slot = 0; slot < shelf->capacity; slot++) {
        const struct shelf_entry *entry = &shelf->slots[slot];
        if (entry->opening != 0 && !entry->is_packed && entry->used > used)
            octets += entry->octets;
    }
    return octets;
}

uint64_t shelf_octets(const struct shelf *shelf)
{
    return shelf->octets;
}

size_t shelf_count(const struct shelf *shelf)
{
    return shelf->count;
}
