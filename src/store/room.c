/* SPDX-License-Identifier: MIT */
/*
 * The disk is asked again after a megabyte, because on a file system over the network that is a
 * round trip; near the end it is asked each time. What others write in between is not seen, and
 * need not be: what stays free is much more.
 *
 * The index, the journal and the bin take what stays free: it is there for what must not fail.
 */
#include "room.h"

#include "disk.h"
#include "store.h"

#include <sys/statvfs.h>

#define GRANT_OCTETS (UINT64_C(1) << 20)

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t room_reserve(const struct store *store, uint64_t disk_octets)
{
    uint64_t reserve = store->free_octets_min;
    if (reserve == 0)
        return 0;
    if (reserve < disk_octets / 100)
        reserve = disk_octets / 100;
    return smaller(reserve, disk_octets / 2);
}

/* Where the disk does not say, a write will. */
static uint64_t ask_disk(const struct store *store)
{
    struct statvfs said;
    if (disk_fstatvfs(store->bodies, &said) != 0 || said.f_blocks == 0)
        return UINT64_MAX;
    uint64_t reserve = room_reserve(store, (uint64_t)said.f_blocks * said.f_frsize);
    uint64_t octets = (uint64_t)said.f_bavail * said.f_frsize;
    return octets > reserve ? octets - reserve : 0;
}

static uint64_t occupied(const struct store *store)
{
    return bodies_octets(store) + store->arriving_octets;
}

static uint64_t left_by_limit(const struct store *store)
{
    uint64_t octets = occupied(store);
    if (store->octets_max == 0)
        return UINT64_MAX;
    return octets < store->octets_max ? store->octets_max - octets : 0;
}

enum room room_now(struct store *store, uint64_t octets)
{
    if (left_by_limit(store) < octets)
        return ROOM_NONE_BY_LIMIT;
    return store->granted_octets >= octets || ask_disk(store) >= octets ? ROOM_THERE
                                                                        : ROOM_NONE_ON_DISK;
}

static enum room take(struct store *store, uint64_t octets)
{
    if (left_by_limit(store) < octets)
        return ROOM_NONE_BY_LIMIT;
    if (store->granted_octets < octets) {
        uint64_t left = ask_disk(store);
        if (left < octets)
            return ROOM_NONE_ON_DISK;
        left -= octets;
        store->granted_octets = octets + (left / 2 < GRANT_OCTETS ? 0 : GRANT_OCTETS);
    }
    store->granted_octets -= octets;
    return ROOM_THERE;
}

/* How many octets must go before so many more find room. */
static uint64_t lacking(const struct store *store, uint64_t wanted)
{
    uint64_t octets = occupied(store), on_disk = ask_disk(store), lack = 0;
    if (on_disk < wanted)
        lack = wanted - on_disk;
    if (store->octets_max > 0 && octets + wanted > store->octets_max &&
        lack < octets + wanted - store->octets_max)
        lack = octets + wanted - store->octets_max;
    return lack;
}

bool room_could_be(struct store *store, uint64_t octets)
{
    return room_now(store, octets) == ROOM_THERE || lacking(store, octets) <= bodies_octets(store);
}

bool room_evict(struct store *store, uint64_t octets)
{
    uint64_t all = bodies_octets(store);
    if (octets > all || all == 0)
        return false;
    /* A look at each body for every one that comes would cost more than what goes too early. */
    bodies_evict(store, smaller(all - octets, all / 10 * 9));
    return true;
}

enum room room_make(struct store *store, uint64_t octets, uint64_t wanted)
{
    enum room room = take(store, octets);
    if (room == ROOM_THERE || wanted < octets || !room_evict(store, lacking(store, wanted)))
        return room;
    return take(store, octets);
}
