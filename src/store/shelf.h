/* SPDX-License-Identifier: MIT */
/*
 * Which bodies are kept, how large they are, and which was used longest ago: a table in memory.
 * One thread changes it; shelf_find() is for any. Knows no files.
 */
#ifndef STORE_SHELF_H
#define STORE_SHELF_H

#include "popfs/base.h"

/* 32 octets: there may be one for every message. */
struct shelf_entry {
    uint64_t id;
    uint64_t octets;
    uint64_t used;    /* counts up with each use; 0: not known yet */
    uint32_t opening; /* 0: no entry */
    bool is_dirty;    /* the index does not know yet */
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
/* Removes those whose `used` is at most this. */
void shelf_remove_used_until(struct shelf *shelf, uint64_t used);

/* Each entry by turns, from NULL to NULL; it may be changed, but nothing put or removed meanwhile.
 */
struct shelf_entry *shelf_next(struct shelf *shelf, struct shelf_entry *entry);
/* The index knows it now. */
void shelf_set_clean(struct shelf *shelf, struct shelf_entry *entry);

/* A number for `used` that is higher than all before; and makes those to come higher than this. */
uint64_t shelf_tick(struct shelf *shelf);
void shelf_tick_after(struct shelf *shelf, uint64_t used);
/* Without those used until then, the others have at most `octets` together. */
uint64_t shelf_used_before(struct shelf *shelf, uint64_t octets);

uint64_t shelf_octets(const struct shelf *shelf);
size_t shelf_count(const struct shelf *shelf);

#endif
