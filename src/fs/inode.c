/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing, as in nametable.c, but keyed by a number of our own making:
 * nobody can choose it, so multiplying is hash enough. The table shrinks again, since `ls -l` of
 * everything and a kernel short of memory fill and empty it.
 */
#include "inode.h"

#include <stdlib.h>

enum { CAPACITY_MIN = 64 };

uint64_t inode_of_message(const struct maildrop_message *message)
{
    return maildrop_message_id(message) + INODE_MESSAGE_FIRST;
}

bool inode_is_message(uint64_t ino)
{
    return ino > INODE_MESSAGE_FIRST && ino < INODE_COMMANDS_FIRST;
}

bool inode_is_commands(uint64_t ino)
{
    return ino >= INODE_COMMANDS_FIRST;
}

void inodes_done(struct inodes *inodes)
{
    for (size_t i = 0; i < inodes->capacity; i++)
        maildrop_message_unref(inodes->slots[i].message);
    free(inodes->slots);
    *inodes = (struct inodes){0};
}

static size_t home_of(const struct inodes *inodes, uint64_t ino)
{
    return (size_t)((ino * 0x9e3779b97f4a7c15) >> 32) & (inodes->capacity - 1);
}

/* The slot of `ino`, or the free one where it would go. */
static size_t slot_of(const struct inodes *inodes, uint64_t ino)
{
    size_t slot = home_of(inodes, ino);
    while (inodes->slots[slot].message != NULL && inodes->slots[slot].ino != ino)
        slot = (slot + 1) & (inodes->capacity - 1);
    return slot;
}

static bool resize(struct inodes *inodes, size_t capacity)
{
    struct inodes other = {.capacity = capacity, .count = inodes->count};
    other.slots = calloc(capacity, sizeof(*other.slots));
    if (other.slots == NULL)
        return false;
    for (size_t i = 0; i < inodes->capacity; i++)
        if (inodes->slots[i].message != NULL)
            other.slots[slot_of(&other, inodes->slots[i].ino)] = inodes->slots[i];
    free(inodes->slots);
    *inodes = other;
    return true;
}

/* Room for one more, at most three quarters full. */
static bool has_room(size_t capacity, size_t count)
{
    return count < capacity / 4 * 3;
}

static bool make_room(struct inodes *inodes)
{
    if (has_room(inodes->capacity, inodes->count))
        return true;
    return resize(inodes, inodes->capacity == 0 ? CAPACITY_MIN : inodes->capacity * 2);
}

void inodes_reserve(struct inodes *inodes, size_t count)
{
    size_t capacity = CAPACITY_MIN;
    while (!has_room(capacity, count))
        capacity *= 2;
    if (capacity > inodes->capacity)
        (void)resize(inodes, capacity);
}

bool inodes_remember(struct inodes *inodes, struct maildrop_message *message)
{
    if (!make_room(inodes))
        return false;
    uint64_t ino = inode_of_message(message);
    struct inode *inode = &inodes->slots[slot_of(inodes, ino)];
    if (inode->message == NULL) {
        *inode = (struct inode){.message = maildrop_message_ref(message), .ino = ino};
        inodes->count++;
    }
    inode->lookup_count++;
    return true;
}

struct maildrop_message *inodes_find(const struct inodes *inodes, uint64_t ino)
{
    return inodes->count == 0 ? NULL : inodes->slots[slot_of(inodes, ino)].message;
}

static struct inode *known(const struct inodes *inodes, uint64_t ino)
{
    struct inode *inode = inodes->count == 0 ? NULL : &inodes->slots[slot_of(inodes, ino)];
    return inode == NULL || inode->message == NULL ? NULL : inode;
}

void inodes_tell_octets(struct inodes *inodes, uint64_t ino, uint64_t octets)
{
    struct inode *inode = known(inodes, ino);
    if (inode != NULL)
        inode->told_octets = octets & INT64_MAX;
}

uint64_t inodes_told_octets(const struct inodes *inodes, uint64_t ino)
{
    const struct inode *inode = known(inodes, ino);
    return inode == NULL ? 0 : inode->told_octets;
}

bool inodes_set_streamed(struct inodes *inodes, uint64_t ino, bool streamed)
{
    struct inode *inode = known(inodes, ino);
    if (inode == NULL)
        return streamed;
    inode->streamed |= streamed;
    return inode->streamed;
}

bool inodes_take_streamed(struct inodes *inodes, uint64_t ino)
{
    struct inode *inode = known(inodes, ino);
    bool streamed = inode != NULL && inode->streamed;
    if (streamed)
        inode->streamed = false;
    return streamed;
}

/* Moves later slots back over the hole, so that no search ends at it too early. */
static void close_hole(struct inodes *inodes, size_t hole)
{
    size_t mask = inodes->capacity - 1;
    for (size_t slot = (hole + 1) & mask; inodes->slots[slot].message != NULL;
         slot = (slot + 1) & mask) {
        size_t away = (slot - home_of(inodes, inodes->slots[slot].ino)) & mask;
        if (away < ((slot - hole) & mask))
            continue;
        inodes->slots[hole] = inodes->slots[slot];
        inodes->slots[slot].message = NULL;
        hole = slot;
    }
}

void inodes_forget(struct inodes *inodes, uint64_t ino, uint64_t lookup_count)
{
    if (inodes->count == 0)
        return;
    size_t slot = slot_of(inodes, ino);
    struct inode *inode = &inodes->slots[slot];
    if (inode->message == NULL)
        return;
    if (inode->lookup_count > lookup_count) {
        inode->lookup_count -= lookup_count;
        return;
    }
    maildrop_message_unref(inode->message);
    inode->message = NULL;
    inodes->count--;
    close_hole(inodes, slot);
    /* A table that cannot shrink for want of memory is merely too large. */
    if (inodes->capacity > CAPACITY_MIN && inodes->count < inodes->capacity / 8)
        (void)resize(inodes, inodes->capacity / 2);
}
