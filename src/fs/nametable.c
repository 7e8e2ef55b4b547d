/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing. A slot is a message and 32 bits of its name's hash: enough
 * to move slots without making names again, and to make a name for comparison only when it will
 * almost certainly match. The capacity is no power of two, since doubling would waste half of the
 * memory of a million messages.
 */
#include "nametable.h"

#include <stdlib.h>

enum { CAPACITY_MIN = 64 };

static size_t slot_of(size_t capacity, uint32_t hash)
{
    return (size_t)(((uint64_t)hash * capacity) >> 32);
}

static size_t slot_next(const struct nametable *table, size_t slot)
{
    return slot + 1 == table->capacity ? 0 : slot + 1;
}

/* At most 0.8 full: above, linear probing degrades. */
static bool holds(size_t capacity, size_t count)
{
    return count <= capacity / 5 * 4;
}

void nametable_done(struct nametable *table)
{
    for (size_t i = 0; i < table->capacity; i++)
        maildrop_message_unref(table->messages[i]);
    free(table->messages);
    free(table->hashes);
    *table = (struct nametable){0};
}

uint32_t nametable_hash(struct slice name)
{
    return (uint32_t)hash_bytes(name);
}

static void place(struct nametable *table, uint32_t hash, struct maildrop_message *message)
{
    size_t slot = slot_of(table->capacity, hash);
    while (table->messages[slot] != NULL)
        slot = slot_next(table, slot);
    table->messages[slot] = message;
    table->hashes[slot] = hash;
    table->count++;
}

static bool resize(struct nametable *table, size_t capacity)
{
    struct nametable wider = {.capacity = capacity};
    wider.messages = calloc(capacity, sizeof(*wider.messages));
    wider.hashes = calloc(capacity, sizeof(*wider.hashes));
    if (wider.messages == NULL || wider.hashes == NULL) {
        free(wider.messages);
        free(wider.hashes);
        return false;
    }
    for (size_t i = 0; i < table->capacity; i++)
        if (table->messages[i] != NULL)
            place(&wider, table->hashes[i], table->messages[i]);
    free(table->messages);
    free(table->hashes);
    *table = wider;
    return true;
}

bool nametable_reserve(struct nametable *table, size_t more)
{
    size_t needed = table->count + more;
    if (holds(table->capacity, needed))
        return true;
    size_t capacity = table->capacity + table->capacity / 2;
    if (capacity < CAPACITY_MIN)
        capacity = CAPACITY_MIN;
    if (!holds(capacity, needed))
        capacity = needed / 4 * 5 + 10;
    return resize(table, capacity);
}

bool nametable_add(struct nametable *table, uint32_t hash, struct maildrop_message *message)
{
    if (!nametable_reserve(table, 1))
        return false;
    for (size_t slot = slot_of(table->capacity, hash); table->messages[slot] != NULL;
         slot = slot_next(table, slot))
        if (table->messages[slot] == message)
            return true;
    place(table, hash, maildrop_message_ref(message));
    return true;
}

/* How far `slot` is behind where its hash would like to be. */
static size_t distance(const struct nametable *table, size_t slot)
{
    size_t home = slot_of(table->capacity, table->hashes[slot]);
    return slot >= home ? slot - home : slot + table->capacity - home;
}

/* Moves later slots back over the hole, so that no search ends at it too early. */
static void close_hole(struct nametable *table, size_t hole)
{
    size_t gap = 1;
    for (size_t slot = slot_next(table, hole); table->messages[slot] != NULL;
         slot = slot_next(table, slot), gap++) {
        if (distance(table, slot) < gap)
            continue;
        table->messages[hole] = table->messages[slot];
        table->hashes[hole] = table->hashes[slot];
        table->messages[slot] = NULL;
        hole = slot;
        gap = 0;
    }
}

bool nametable_remove(struct nametable *table, uint32_t hash,
                      const struct maildrop_message *message)
{
    if (table->count == 0)
        return false;
    size_t slot = slot_of(table->capacity, hash);
    while (table->messages[slot] != NULL && table->messages[slot] != message)
        slot = slot_next(table, slot);
    if (table->messages[slot] == NULL)
        return false;
    maildrop_message_unref(table->messages[slot]);
    table->messages[slot] = NULL;
    table->count--;
    close_hole(table, slot);
    return true;
}

static bool is_named(const struct maildrop_message *message, struct slice name)
{
    struct name own;
    return name_encode(maildrop_message_uidl(message), maildrop_message_copy(message), &own) &&
           slice_equal(name_slice(&own), name);
}

struct maildrop_message *nametable_find(const struct nametable *table, uint32_t hash,
                                        struct slice name)
{
    if (table->count == 0)
        return NULL;
    for (size_t slot = slot_of(table->capacity, hash); table->messages[slot] != NULL;
         slot = slot_next(table, slot))
        if (table->hashes[slot] == hash && is_named(table->messages[slot], name))
            return maildrop_message_ref(table->messages[slot]);
    return NULL;
}
