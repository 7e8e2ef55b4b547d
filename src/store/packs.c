/* SPDX-License-Identifier: MIT */
/*
 * A pack is appended to by the opening that began it and by no other, one body after the other,
 * until it is large enough. So a pack that a killed popfs leaves is whole records and perhaps a
 * part of one at its end, and one opening's packs are trusted or dropped together (adopt.c).
 */
#include "packs.h"

#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

void packs_begin(struct packs *packs, int folder, const char *generation, uint32_t opening,
                 uint64_t octets_max)
{
    *packs = (struct packs){
        .octets_max = octets_max,
        .folder = folder,
        .generation = generation,
        .opening = opening,
        .current = -1,
    };
}

static void end_current(struct packs *packs)
{
    cleanup_close(&packs->current);
    packs->current = -1;
}

void packs_done(struct packs *packs)
{
    end_current(packs);
    free(packs->list);
    *packs = (struct packs){.folder = -1, .current = -1};
}

/* ---- the list ---- */

bool packs_add(struct packs *packs, const struct pack *pack)
{
    if (packs->count == packs->capacity) {
        size_t capacity = packs->capacity == 0 ? 16 : packs->capacity * 2;
        struct pack *list = reallocarray(packs->list, capacity, sizeof(*list));
        if (list == NULL) {
            errno = ENOMEM;
            return false;
        }
        packs->list = list;
        packs->capacity = capacity;
    }
    packs->list[packs->count++] = *pack;
    packs->octets += pack->octets;
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct pack *left = a, *right = b;
    if (left->opening != right->opening)
        return left->opening < right->opening ? -1 : 1;
    if (left->number != right->number)
        return left->number < right->number ? -1 : 1;
    return 0;
}

void packs_sort(struct packs *packs)
{
    if (packs->count > 1)
        qsort(packs->list, packs->count, sizeof(*packs->list), compare);
}

struct pack *packs_find(const struct packs *packs, uint32_t opening, uint32_t number)
{
    const struct pack key = {.opening = opening, .number = number};
    if (packs->count == 0)
        return NULL;
    return bsearch(&key, packs->list, packs->count, sizeof(*packs->list), compare);
}

static void pack_unlink(const struct packs *packs, const struct pack *pack)
{
    char name[PACK_NAME_OCTETS];
    pack_name(pack->opening, pack->number, name);
    disk_unlinkat(packs->folder, name, 0);
}

static void drop(struct packs *packs, bool (*is_unwanted)(const struct pack *pack, uint64_t used),
                 uint64_t used)
{
    size_t kept = 0;
    for (size_t i = 0; i < packs->count; i++) {
        const struct pack *pack = &packs->list[i];
        if (!is_unwanted(pack, used)) {
            packs->list[kept++] = *pack;
            continue;
        }
        pack_unlink(packs, pack);
        packs->octets -= pack->octets;
        if (i + 1 == packs->count)
            end_current(packs);
    }
    packs->count = kept;
}

static bool is_used_until(const struct pack *pack, uint64_t used)
{
    return pack->used <= used;
}

void packs_drop_used_until(struct packs *packs, uint64_t used)
{
    drop(packs, is_used_until, used);
}

static bool is_dead(const struct pack *pack, uint64_t used)
{
    (void)used;
    return pack->live_octets == 0;
}

void packs_drop_dead(struct packs *packs)
{
    drop(packs, is_dead, 0);
}

uint64_t packs_octets_used_after(const struct packs *packs, uint64_t used)
{
    uint64_t octets = 0;
    for (size_t i = 0; i < packs->count; i++)
        if (packs->list[i].used > used)
            octets += packs->list[i].octets;
    return octets;
}

/* ---- files ---- */

bool packs_open(const struct packs *packs, uint32_t opening, uint32_t number, int flags,
                int *ret_descriptor)
{
    char name[PACK_NAME_OCTETS];
    pack_name(opening, number, name);
    int descriptor = disk_openat(packs->folder, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return false;
    *ret_descriptor = descriptor;
    return true;
}

uint64_t packs_seed(const struct packs *packs, const struct pack *pack)
{
    return pack_seed(packs->generation, pack->opening, pack->number);
}

static bool begin_pack(struct packs *packs)
{
    const struct pack pack = {.opening = packs->opening, .number = packs->next_number++};
    end_current(packs);
    if (!packs_open(packs, pack.opening, pack.number, O_RDWR | O_CREAT | O_EXCL, &packs->current))
        return false;
    if (packs_add(packs, &pack))
        return true;
    pack_unlink(packs, &pack);
    end_current(packs);
    errno = ENOMEM;
    return false;
}

/* What is torn must not stay where the next record would follow it. */
static void take_back(struct packs *packs, const struct pack *pack)
{
    int error = errno;
    if (disk_ftruncate(packs->current, (off_t)pack->octets) != 0)
        end_current(packs);
    packs_drop_dead(packs); /* it may have been its first */
    errno = error;
}

static bool write_record(struct packs *packs, const struct pack *pack, const char *record,
                         size_t len)
{
    ssize_t count;
    do
        count = disk_pwrite(packs->current, record, len, (off_t)pack->octets);
    while (count < 0 && errno == EINTR);
    if (count == (ssize_t)len)
        return true;
    if (count >= 0)
        errno = ENOSPC;
    take_back(packs, pack);
    return false;
}

bool packs_append(struct packs *packs, uint64_t id, char *record, size_t body_octets,
                  struct pack **ret_pack, struct extent *ret_extent)
{
    bool is_full = packs->current >= 0 && packs->list[packs->count - 1].octets >= packs->octets_max;
    if ((packs->current < 0 || is_full) && !begin_pack(packs))
        return false;
    struct pack *pack = &packs->list[packs->count - 1];
    const struct pack_record header = {.id = id, .octets = body_octets, .offset = pack->octets};
    pack_header(packs_seed(packs, pack), &header, record);
    CLEANUP_CLOSE int descriptor = disk_dup(packs->current);
    if (descriptor < 0 || !write_record(packs, pack, record, PACK_HEADER_OCTETS + body_octets))
        return false;
    pack->octets = pack_end(&header);
    pack->live_octets += PACK_HEADER_OCTETS + body_octets;
    packs->octets += PACK_HEADER_OCTETS + body_octets;
    *ret_pack = pack;
    *ret_extent = (struct extent){.descriptor = descriptor,
                                  .offset = header.offset + PACK_HEADER_OCTETS,
                                  .octets = body_octets};
    descriptor = -1;
    return true;
}
