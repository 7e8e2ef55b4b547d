/* SPDX-License-Identifier: MIT */
/*
 * Which bodies are kept, how large they are, and which was used longest ago: a table in memory.
 * One thread changes it; shelf_find() is for any. Knows no files.
 */
#ifndef STORE_SHELF_H
#define STORE_SHELF_H

#include "popfs/base.h"

/* 40 octets: there may be one for every message. */
struct shelf_entry {
    uint64_t id;
    uint64_t octets;
    union {
        uint64_t used; /* in a file of its own: counts up with each use */
        struct {
            uint32_t pack;   /* the number of its pack; the opening is the pack's */
            uint32_t offset; /* of its header */
        };
    };
    uint64_t sum;     /* of its bytes; SUM_NONE: nobody has made one yet */
    uint32_t opening; /* 0: no entry */
    bool is_packed;
    bool is_claimed; /* the index has its message; others do not outlive the opening of the store */
    bool is_dirty;   /* the index does not know yet */
    bool is_checked; /* its bytes have been compared with the sum since the store was opened */
};

struct shelf;

struct shelf *shelf_new(void); /* NULL for want of memory */
void shelf_free(struct shelf *shelf);

/* Makes sure that the next shelf_put() of a new id succeeds. */
bool shelf_reserve(struct shelf *shelf);
/* In the place of one with the same id, if there is one. False for want of memory. */
bool shelf_put(struct shelf *shelf, const struct shelf_entry *entry);
bool shelf_find(struct shelf *shelf, uint64_t id, struct shelf_entry *ret_entry);
void shelf_remove(struct shelf *shelf, uint64_t id);
/* Removes those that `is_wanted` does not want; it runs under a lock. */
void shelf_keep(struct shelf *shelf,
                bool (*is_wanted)(const void *context, const struct shelf_entry *entry),
                const void *context);

/* Each entry by turns, from NULL to NULL; it may be changed, but nothing put or removed meanwhile.
 */
struct shelf_entry *shelf_next(struct shelf *shelf, struct shelf_entry *entry);
/* Whether the index knows it now. */
void shelf_set_dirty(struct shelf *shelf, struct shelf_entry *entry, bool is_dirty);

/* A number for `used` that is higher than all before; and makes those to come higher than this. */
uint64_t shelf_tick(struct shelf *shelf);
void shelf_tick_after(struct shelf *shelf, uint64_t used);
/* The highest one so far. */
uint64_t shelf_now(const struct shelf *shelf);

/* Of bodies in files of their own; of all, and of those that were used after that. */
uint64_t shelf_octets(const struct shelf *shelf);
uint64_t shelf_octets_used_after(const struct shelf *shelf, uint64_t used);
/* Of all. */
size_t shelf_count(const struct shelf *shelf);

#endif
