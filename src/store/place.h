/* SPDX-License-Identifier: MIT */
/* The folder of a store: made, checked, locked, swept, removed. */
#ifndef STORE_PLACE_H
#define STORE_PLACE_H

#include "popfs/store.h"

struct place {
    char *path;
    int folder;
    int parent;        /* the folder of all accounts; -1 for a temporary one, and for none */
    bool is_new;       /* this popfs has made the folder of the account */
    bool is_discarded; /* and nothing in it is worth keeping: place_close() removes it */
    int lock; /* of an account's folder; -1 for a temporary one, whose lock is on `folder` */
};

#define PLACE_NONE ((struct place){.folder = -1, .parent = -1, .lock = -1})

struct place_options {
    const char *name;   /* in what is said: "cache" */
    const char *folder; /* of all accounts */
    const char *account, *owner;
    bool clear; /* as in struct store_options */
    bool temporary;
    bool is_cache; /* a folder of an account says so to backups, by CACHEDIR.TAG */
};

/* FAULT_BUSY, FAULT_DISK, FAULT_MEMORY; then there is nothing to close. */
enum fault place_open(const struct place_options *options, struct place *ret_place,
                      struct failure *ret_failure);
/* What a second opener is told; see store_say_owner(). */
void place_say_owner(const struct place *place, const char *owner);
/* What who has the account has said; false where nothing can be read. */
bool place_owner(const struct place_options *options, char ret_owner[STORE_OWNER_OCTETS]);
/* Removes a temporary folder with all that is in it, and likewise one that is new and discarded. */
void place_close(struct place *place);

/* Makes the name of the folder, and the names in it, outlive a power cut. FAULT_DISK. */
enum fault place_sync(const struct place *place, struct failure *ret_failure);

/* fsync() of a folder; false with errno. Some file systems cannot do that for a folder and say
 * EINVAL (9p of older kernels, vboxsf): they keep names as they can, and no more can be had. */
bool place_sync_folder(int folder);

/* Removes what is in a folder, and in the folders in it, but not deeper. */
void place_empty(int folder);
/* Removes the folders in `folder` whose names begin with `prefix`, but for `except` (or NULL). */
void place_sweep(int folder, const char *prefix, const char *except);

#endif
