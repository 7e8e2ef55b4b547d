/* SPDX-License-Identifier: MIT */
/* How much more of bodies the cache takes: by its own limit, and by what stays free on its disk. */
#ifndef STORE_ROOM_H
#define STORE_ROOM_H

#include "popfs/base.h"

enum room { ROOM_THERE, ROOM_NONE_ON_DISK, ROOM_NONE_BY_LIMIT };

struct store;

/* Whether so many octets find room now; and whether they would if others went. */
enum room room_now(struct store *store, uint64_t octets);
bool room_could_be(struct store *store, uint64_t octets);
/*
 * The same for a body of which so many octets come now, and `wanted` before it is whole. If there
 * is none, what was used longest ago goes, as far as that makes room for all that is wanted;
 * otherwise, and with `wanted` of 0, nothing goes. What is there is the caller's to write.
 */
enum room room_make(struct store *store, uint64_t octets, uint64_t wanted);
/* What was used longest ago goes, so many octets of it or more, if there are so many. */
bool room_evict(struct store *store, uint64_t octets);
/* What a disk of so many octets has to have free still. */
uint64_t room_reserve(const struct store *store, uint64_t disk_octets);

#endif
