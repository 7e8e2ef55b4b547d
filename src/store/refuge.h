/* SPDX-License-Identifier: MIT */
/* Where a body goes on that the cache does not take: memory. */
#ifndef STORE_REFUGE_H
#define STORE_REFUGE_H

#include "popfs/base.h"

enum { REFUGE_OCTETS_MAX = 64 * 1024 * 1024 };

/* A file in memory that begins with the first `octets` of `from` (-1 if there are none); -1 and
 * errno. */
int refuge_open(int from, uint64_t octets);
/* Copies the first `octets` of a file to one that is empty. False and errno. */
bool refuge_copy(int from, int to, uint64_t octets);

#endif
