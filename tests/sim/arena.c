/* SPDX-License-Identifier: MIT */
#include "arena.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_OCTETS = 65536 };

struct sim_arena_block {
    struct sim_arena_block *next;
    size_t used, capacity;
    _Alignas(max_align_t) char data[];
};

void *sim_grow(void *memory, size_t octets)
{
    void *grown = realloc(memory, octets);
    if (grown == NULL)
        abort();
    return grown;
}

static struct sim_arena_block *new_block(size_t capacity)
{
    struct sim_arena_block *block = sim_grow(NULL, sizeof(*block) + capacity);
    block->used = 0;
    block->capacity = capacity;
    return block;
}

/* What does not fit and is large gets a block of its own, behind the one that is being filled. */
static struct sim_arena_block *block_for(struct sim_arena *arena, size_t octets)
{
    struct sim_arena_block *first = arena->blocks;
    if (first != NULL && first->capacity - first->used >= octets)
        return first;
    if (first != NULL && octets > BLOCK_OCTETS / 4) {
        struct sim_arena_block *block = new_block(octets);
        block->next = first->next;
        first->next = block;
        return block;
    }
    struct sim_arena_block *block = new_block(octets > BLOCK_OCTETS ? octets : BLOCK_OCTETS);
    block->next = first;
    arena->blocks = block;
    return block;
}

void *sim_arena_take(struct sim_arena *arena, size_t octets)
{
    size_t alignment = _Alignof(max_align_t);
    octets = (octets + alignment - 1) / alignment * alignment;
    struct sim_arena_block *block = block_for(arena, octets);
    void *taken = block->data + block->used;
    block->used += octets;
    return taken;
}

void *sim_arena_take_zeroed(struct sim_arena *arena, size_t octets)
{
    return memset(sim_arena_take(arena, octets), 0, octets);
}

struct slice sim_arena_copy(struct sim_arena *arena, struct slice bytes)
{
    if (bytes.len == 0)
        return (struct slice){"", 0};
    char *copy = sim_arena_take(arena, bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    return (struct slice){copy, bytes.len};
}

void sim_arena_done(struct sim_arena *arena)
{
    while (arena->blocks != NULL) {
        struct sim_arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}
