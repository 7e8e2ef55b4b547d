/* SPDX-License-Identifier: MIT */
/*
 * The checksum of a body: XXH3 with 64 bits. It finds damage by a disk, and is no proof against
 * somebody who can write to the cache. Knows no files.
 */
#ifndef STORE_SUM_H
#define STORE_SUM_H

#include "popfs/base.h"

#define SUM_NONE UINT64_C(0) /* no bytes have this one */

/* A sum of bytes that come in parts. */
struct sum;

struct sum *sum_new(void); /* NULL for want of memory */
void sum_free(struct sum *sum);
void sum_add(struct sum *sum, struct slice bytes);
uint64_t sum_value(const struct sum *sum);
/* The same for bytes that are all there. */
uint64_t sum_of(struct slice bytes);

#endif
