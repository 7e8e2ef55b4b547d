/* SPDX-License-Identifier: MIT */
/* What the files of this folder share. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "popfs/store.h"

struct store {
    char *path;
    int folder;                /* a descriptor that holds the lock */
    uint64_t new_bodies_count; /* names those that are being written */
};

#endif
