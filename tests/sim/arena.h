/* SPDX-License-Identifier: MIT */
/* arena: memory that is given back as one, when a history ends. */
#ifndef POPFS_SIM_ARENA_H
#define POPFS_SIM_ARENA_H

#include "popfs/base.h"

struct sim_arena_block;

/* A zeroed one is empty and valid. */
struct sim_arena {
    struct sim_arena_block *blocks; /* the first is the one that is being filled */
};

/* Never NULL: want of memory ends the process. Aligned for any type; not zeroed. */
void *sim_arena_take(struct sim_arena *arena, size_t octets);
void *sim_arena_take_zeroed(struct sim_arena *arena, size_t octets);
struct slice sim_arena_copy(struct sim_arena *arena, struct slice bytes);
void sim_arena_done(struct sim_arena *arena);

/* realloc() that ends the process for want of memory. */
void *sim_grow(void *memory, size_t octets);

#endif
