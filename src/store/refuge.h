/* SPDX-License-Identifier: MIT */
/* Where a body goes on that the disk of the cache does not take: memory, or another disk. */
#ifndef STORE_REFUGE_H
#define STORE_REFUGE_H

#include "popfs/base.h"

enum refuge { REFUGE_NONE, REFUGE_MEMORY, REFUGE_TMPDIR };

enum { REFUGE_MEMORY_OCTETS_MAX = 64 * 1024 * 1024 };

/* The next to try for a body that is to have `octets` at least; REFUGE_NONE after the last. */
enum refuge refuge_after(enum refuge refuge, uint64_t octets);
/* A file without a name that begins with the first `octets` of `from` (-1 if there are none); -1
 * and errno. */
int refuge_open(enum refuge refuge, int from, uint64_t octets);

#endif
