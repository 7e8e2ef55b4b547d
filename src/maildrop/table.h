/* SPDX-License-Identifier: MIT */
/*
 * UIDLs to small numbers: open addressing, built for one use and thrown away, so that there is
 * nothing to keep in step. The table holds values only; what a value's UIDL is, its owner knows.
 */
#ifndef MAILDROP_TABLE_H
#define MAILDROP_TABLE_H

#include "popfs/base.h"

struct table {
    uint32_t *slots; /* value + 1; 0: free */
    size_t mask;
};

/* For at most `count` values. */
bool table_init(struct table *table, size_t count);
void table_done(struct table *table);

/*
 * for (size_t at = table_first(t, uidl); table_value(t, at, &value); at = table_next(t, at)) gives
 * the candidates for a UIDL, to be compared by the caller; it ends at a free slot, where
 * table_put() may put a new value.
 */
size_t table_first(const struct table *table, struct slice uidl);
bool table_value(const struct table *table, size_t at, uint32_t *ret_value);
size_t table_next(const struct table *table, size_t at);
void table_put(struct table *table, size_t at, uint32_t value);

#endif
