/* SPDX-License-Identifier: MIT */
/*
 * UIDLs lie one behind the other in one buffer that may move while it grows, so entries hold
 * offsets. Servers list in rising order, so sorting is done only when one did not.
 */
#include "listing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct uidl_entry {
    uint32_t msgnum;
    uint32_t len;
    size_t offset;
};

struct octets_entry {
    uint32_t msgnum;
    uint64_t octets;
};

struct listing {
    struct buffer text;
    struct uidl_entry *uidls;
    size_t uidl_count, uidl_room;
    bool uidls_rise;
    struct octets_entry *octets;
    size_t octets_count, octets_room;
    bool octets_rise;
    struct maildrop_row *rows;
    uint32_t *msgnums;
    size_t hidden_count;
};

struct listing *listing_new(void)
{
    struct listing *listing = calloc(1, sizeof(*listing));
    if (listing != NULL) {
        listing->uidls_rise = true;
        listing->octets_rise = true;
    }
    return listing;
}

void listing_free(struct listing *listing)
{
    if (listing == NULL)
        return;
    buffer_done(&listing->text);
    free(listing->uidls);
    free(listing->octets);
    free(listing->rows);
    free(listing->msgnums);
    free(listing);
}

/* Room for one more entry; the array, moved if need be, or NULL. */
static void *make_room(void *array, size_t count, size_t *room, size_t entry_octets)
{
    if (count < *room)
        return array;
    size_t more = *room == 0 ? 64 : *room * 2;
    void *moved = reallocarray(array, more, entry_octets);
    if (moved != NULL)
        *room = more;
    return moved;
}

enum fault listing_add_uidl(struct listing *listing, uint32_t msgnum, struct slice uidl)
{
    struct uidl_entry *uidls = make_room(listing->uidls, listing->uidl_count, &listing->uidl_room,
                                         sizeof(listing->uidls[0]));
    if (uidls == NULL)
        return FAULT_MEMORY;
    listing->uidls = uidls;
    size_t offset = listing->text.len;
    if (!buffer_append(&listing->text, uidl))
        return FAULT_MEMORY;
    if (listing->uidl_count > 0 && uidls[listing->uidl_count - 1].msgnum >= msgnum)
        listing->uidls_rise = false;
    uidls[listing->uidl_count++] = (struct uidl_entry){msgnum, (uint32_t)uidl.len, offset};
    return FAULT_NONE;
}

enum fault listing_add_octets(struct listing *listing, uint32_t msgnum, uint64_t octets)
{
    struct octets_entry *entries = make_room(listing->octets, listing->octets_count,
                                             &listing->octets_room, sizeof(listing->octets[0]));
    if (entries == NULL)
        return FAULT_MEMORY;
    listing->octets = entries;
    if (listing->octets_count > 0 && entries[listing->octets_count - 1].msgnum >= msgnum)
        listing->octets_rise = false;
    entries[listing->octets_count++] = (struct octets_entry){msgnum, octets};
    return FAULT_NONE;
}

/* By number; rows of one number stay together in the order in which they came. */
static int compare_uidls(const void *a, const void *b)
{
    const struct uidl_entry *x = a;
    const struct uidl_entry *y = b;
    if (x->msgnum != y->msgnum)
        return x->msgnum < y->msgnum ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int compare_octets(const void *a, const void *b)
{
    const struct octets_entry *x = a;
    const struct octets_entry *y = b;
    return x->msgnum < y->msgnum ? -1 : x->msgnum > y->msgnum;
}

static void sort(struct listing *listing)
{
    if (!listing->uidls_rise)
        qsort(listing->uidls, listing->uidl_count, sizeof(listing->uidls[0]), compare_uidls);
    if (!listing->octets_rise)
        qsort(listing->octets, listing->octets_count, sizeof(listing->octets[0]), compare_octets);
}

/* "msg-<n>" for each number of LIST. */
static enum fault make_up(struct listing *listing)
{
    listing->uidl_count = 0;
    for (size_t i = 0; i < listing->octets_count; i++) {
        char name[32];
        uint32_t msgnum = listing->octets[i].msgnum;
        if (i > 0 && msgnum == listing->octets[i - 1].msgnum)
            continue;
        snprintf(name, sizeof(name), "msg-%" PRIu32, msgnum);
        if (listing_add_uidl(listing, msgnum, slice_from_string(name)) != FAULT_NONE)
            return FAULT_MEMORY;
    }
    return FAULT_NONE;
}

static struct slice uidl_text(const struct listing *listing, const struct uidl_entry *entry)
{
    return (struct slice){listing->text.data + entry->offset, entry->len};
}

/* How many entries from `at` on have its number; *ret_same: and all the same UIDL. */
static size_t same_number(const struct listing *listing, size_t at, bool *ret_same)
{
    const struct uidl_entry *first = &listing->uidls[at];
    size_t count = 1;
    *ret_same = true;
    while (at + count < listing->uidl_count && listing->uidls[at + count].msgnum == first->msgnum) {
        if (!slice_equal(uidl_text(listing, first), uidl_text(listing, first + count)))
            *ret_same = false;
        count++;
    }
    return count;
}

enum fault listing_join(struct listing *listing, bool made_up, const struct maildrop_row **ret_rows,
                        const uint32_t **ret_msgnums, size_t *ret_count)
{
    sort(listing);
    if (made_up && make_up(listing) != FAULT_NONE)
        return FAULT_MEMORY;
    listing->rows = calloc(listing->uidl_count + 1, sizeof(listing->rows[0]));
    listing->msgnums = calloc(listing->uidl_count + 1, sizeof(listing->msgnums[0]));
    if (listing->rows == NULL || listing->msgnums == NULL)
        return FAULT_MEMORY;
    size_t count = 0;
    size_t sized = 0;
    bool same;
    for (size_t at = 0, step; at < listing->uidl_count; at += step) {
        const struct uidl_entry *entry = &listing->uidls[at];
        step = same_number(listing, at, &same);
        if (!same) {
            listing->hidden_count++;
            continue;
        }
        while (sized < listing->octets_count && listing->octets[sized].msgnum < entry->msgnum)
            sized++;
        bool has_octets =
            sized < listing->octets_count && listing->octets[sized].msgnum == entry->msgnum;
        listing->rows[count].uidl = uidl_text(listing, entry);
        listing->rows[count].octets = has_octets ? listing->octets[sized].octets : 0;
        listing->msgnums[count++] = entry->msgnum;
    }
    *ret_rows = listing->rows;
    *ret_msgnums = listing->msgnums;
    *ret_count = count;
    return FAULT_NONE;
}

size_t listing_hidden_count(const struct listing *listing)
{
    return listing->hidden_count;
}

size_t listing_uidl_count(const struct listing *listing)
{
    return listing->uidl_count;
}
