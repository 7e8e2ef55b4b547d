/* SPDX-License-Identifier: MIT */
/* Which packs there are, and the one that is appended to. Knows no index. */
#ifndef STORE_PACKS_H
#define STORE_PACKS_H

#include "pack.h"

struct pack {
    uint32_t opening, number; /* its name */
    uint64_t octets;          /* of the file */
    uint64_t live_octets;     /* of the records that are of use */
    uint64_t erased_octets;   /* of the others, as far as they have been erased */
    uint64_t used;            /* like that of a body in a file of its own (shelf.h); its last one */
    bool is_dirty;            /* the index does not know yet */
};

struct packs {
    struct pack *list; /* by rising opening and number, so that the last one is the newest */
    size_t count, capacity;
    uint64_t octets;        /* of all */
    uint64_t octets_max;    /* of one; the body that reaches it is its last */
    int folder;             /* borrowed */
    const char *generation; /* borrowed */
    uint32_t opening;       /* of packs that are begun */
    uint32_t next_number;
    int current; /* the last pack, if it is appended to; -1: a new one is to be begun */
};

void packs_begin(struct packs *packs, int folder, const char *generation, uint32_t opening,
                 uint64_t octets_max);
void packs_done(struct packs *packs);

/* Of an earlier opening; packs_sort() before anything is found. False for want of memory. */
bool packs_add(struct packs *packs, const struct pack *pack);
void packs_sort(struct packs *packs);
/* NULL if there is none. */
struct pack *packs_find(const struct packs *packs, uint32_t opening, uint32_t number);

/* False and errno. Any thread. */
bool packs_open(const struct packs *packs, uint32_t opening, uint32_t number, int flags,
                int *ret_descriptor);
uint64_t packs_seed(const struct packs *packs, const struct pack *pack);

/*
 * Appends a body; `record` begins with room for the header. *ret_pack has it then, and it counts as
 * live there; *ret_extent is where it is, its descriptor the caller's to close. False and errno: it
 * is nowhere.
 */
bool packs_append(struct packs *packs, uint64_t id, char *record, size_t body_octets,
                  struct pack **ret_pack, struct extent *ret_extent);

void packs_drop_used_until(struct packs *packs, uint64_t used);
/* Those of which nothing is of use. */
void packs_drop_dead(struct packs *packs);
/* Octets of those that were used after that. */
uint64_t packs_octets_used_after(const struct packs *packs, uint64_t used);

#endif
