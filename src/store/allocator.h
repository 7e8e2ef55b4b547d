/* SPDX-License-Identifier: MIT */
/* Whether SQLite's word for want of memory is true. */
#ifndef STORE_ALLOCATOR_H
#define STORE_ALLOCATOR_H

#include <stdbool.h>

/* Before anything else is asked of SQLite. */
void allocator_watch(void);
unsigned allocator_refused_count(void);
/* Has SQLite been refused memory since that count? True if nobody can tell. */
bool allocator_has_refused_since(unsigned count);

#endif
