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
    bool nameless; /* the UIDL is made up, or will be */
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
    bool *in_list; /* beside rows */
    size_t row_count;
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
    free(listing->in_list);
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
    if (uidl.len > LISTING_NAMES_OCTETS_MAX - offset)
        return FAULT_GARBLED;
    if (!buffer_append(&listing->text, uidl))
        return FAULT_MEMORY;
    if (listing->uidl_count > 0 && uidls[listing->uidl_count - 1].msgnum >= msgnum)
        listing->uidls_rise = false;
    uidls[listing->uidl_count++] =
        (struct uidl_entry){msgnum, (uint32_t)uidl.len, uidl.len == 0, offset};
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
        enum fault fault = listing_add_uidl(listing, msgnum, slice_from_string(name));
        if (fault != FAULT_NONE)
            return fault;
    }
    return FAULT_NONE;
}

static struct slice uidl_text(const struct listing *listing, const struct uidl_entry *entry)
{
    /* Where all ids are empty there is no text. */
    return entry->len == 0 ? SLICE_LITERAL("")
                           : (struct slice){listing->text.data + entry->offset, entry->len};
}

/* Longer than each UIDL that begins as made-up ones do; 0 if there is none. */
static size_t safe_octets(const struct listing *listing)
{
    size_t octets = 0;
    for (size_t i = 0; i < listing->uidl_count; i++) {
        const struct uidl_entry *entry = &listing->uidls[i];
        if (slice_has_prefix_nocase(uidl_text(listing, entry), SLICE_LITERAL("msg-")) &&
            entry->len >= octets)
            octets = entry->len + 1;
    }
    return octets;
}

/* "msg-<n>" for each row without an id, and longer where a UIDL could be the same. */
static enum fault name_nameless(struct listing *listing)
{
    size_t octets = SIZE_MAX;
    for (size_t i = 0; i < listing->uidl_count; i++) {
        struct uidl_entry *entry = &listing->uidls[i];
        char name[32];
        if (!entry->nameless)
            continue;
        if (octets == SIZE_MAX)
            octets = safe_octets(listing);
        entry->offset = listing->text.len;
        snprintf(name, sizeof(name), "msg-%" PRIu32, entry->msgnum);
        if (octets + sizeof(name) > LISTING_NAMES_OCTETS_MAX - listing->text.len)
            return FAULT_GARBLED;
        bool good = buffer_append(&listing->text, slice_from_string(name));
        while (good && listing->text.len - entry->offset < octets)
            good = buffer_append(&listing->text, SLICE_LITERAL("_"));
        if (!good)
            return FAULT_MEMORY;
        entry->len = (uint32_t)(listing->text.len - entry->offset);
    }
    return FAULT_NONE;
}

/*
 * How many entries from `at` on have its number. *ret_named: the one to be shown, of several a row
 * with an id; *ret_same: no two of these differ.
 */
static size_t same_number(const struct listing *listing, size_t at,
                          const struct uidl_entry **ret_named, bool *ret_same)
{
    const struct uidl_entry *named = &listing->uidls[at];
    size_t count = 1;
    *ret_same = true;
    for (; at + count < listing->uidl_count; count++) {
        const struct uidl_entry *entry = &listing->uidls[at + count];
        if (entry->msgnum != named->msgnum)
            break;
        if (named->nameless)
            named = entry;
        else if (!entry->nameless &&
                 !slice_equal(uidl_text(listing, named), uidl_text(listing, entry)))
            *ret_same = false;
    }
    *ret_named = named;
    return count;
}

/* One message: its row, and whether LIST has it, too. */
static void add_row(struct listing *listing, const struct uidl_entry *entry, size_t *sized)
{
    size_t at = listing->row_count++;
    while (*sized < listing->octets_count && listing->octets[*sized].msgnum < entry->msgnum)
        ++*sized;
    bool has_octets =
        *sized < listing->octets_count && listing->octets[*sized].msgnum == entry->msgnum;
    listing->rows[at] = (struct maildrop_row){
        .uidl = uidl_text(listing, entry),
        .octets = has_octets ? listing->octets[*sized].octets : 0,
    };
    if (entry->nameless)
        listing->rows[at].octets |= MAILDROP_MADE_UP;
    listing->in_list[at] = has_octets;
    listing->msgnums[at] = entry->msgnum;
}

enum fault listing_join(struct listing *listing, bool made_up, const struct maildrop_row **ret_rows,
                        const uint32_t **ret_msgnums, size_t *ret_count)
{
    sort(listing);
    enum fault fault = made_up ? make_up(listing) : name_nameless(listing);
    if (fault != FAULT_NONE)
        return fault;
    listing->rows = calloc(listing->uidl_count + 1, sizeof(listing->rows[0]));
    listing->msgnums = calloc(listing->uidl_count + 1, sizeof(listing->msgnums[0]));
    listing->in_list = calloc(listing->uidl_count + 1, sizeof(listing->in_list[0]));
    if (listing->rows == NULL || listing->msgnums == NULL || listing->in_list == NULL)
        return FAULT_MEMORY;
    size_t sized = 0;
    bool same;
    const struct uidl_entry *named;
    for (size_t at = 0, step; at < listing->uidl_count; at += step) {
        step = same_number(listing, at, &named, &same);
        if (same)
            add_row(listing, named, &sized);
        else
            listing->hidden_count++;
    }
    *ret_rows = listing->rows;
    *ret_msgnums = listing->msgnums;
    *ret_count = listing->row_count;
    return FAULT_NONE;
}

size_t listing_keep_common(struct listing *listing)
{
    size_t kept = 0;
    for (size_t i = 0; i < listing->row_count; i++) {
        if (!listing->in_list[i])
            continue;
        listing->rows[kept] = listing->rows[i];
        listing->msgnums[kept] = listing->msgnums[i];
        listing->in_list[kept++] = true;
    }
    listing->row_count = kept;
    return kept;
}

/* ---- what both said ---- */

/* Past all entries of its number. */
static size_t next_uidl(const struct listing *listing, size_t at)
{
    uint32_t msgnum = listing->uidls[at].msgnum;
    while (at < listing->uidl_count && listing->uidls[at].msgnum == msgnum)
        at++;
    return at;
}

static size_t next_octets(const struct listing *listing, size_t at)
{
    uint32_t msgnum = listing->octets[at].msgnum;
    while (at < listing->octets_count && listing->octets[at].msgnum == msgnum)
        at++;
    return at;
}

/* As many in both lists as STAT says, and the same: a row that is none of this would be one more.
 */
static bool is_of_one_mind(const struct belief_listing *counts, uint64_t stat_count)
{
    return counts->uidl_count == stat_count && counts->list_count == stat_count &&
           counts->uidl_only + counts->list_older + counts->list_newer == 0;
}

void listing_count(const struct listing *listing, uint64_t stat_count,
                   struct belief_listing *ret_counts)
{
    struct belief_listing counts = {.usable_count = listing->row_count,
                                    .nameless_count = listing->hidden_count};
    for (size_t i = 0; i < listing->row_count; i++)
        counts.nameless_count += (listing->rows[i].octets & MAILDROP_MADE_UP) != 0;
    size_t u = 0, l = 0;
    bool has_gaps = false;
    while (u < listing->uidl_count || l < listing->octets_count) {
        bool has_u = u < listing->uidl_count, has_l = l < listing->octets_count;
        uint32_t uidl = has_u ? listing->uidls[u].msgnum : UINT32_MAX;
        uint32_t octets = has_l ? listing->octets[l].msgnum : UINT32_MAX;
        counts.uidl_count += uidl <= octets;
        counts.list_count += octets <= uidl;
        counts.uidl_only += uidl < octets;
        counts.list_older += octets < uidl && has_u;
        counts.list_newer += octets < uidl && !has_u;
        has_gaps |= (uidl < octets ? uidl : octets) > stat_count;
        size_t past_u = uidl <= octets ? next_uidl(listing, u) : u;
        size_t past_l = octets <= uidl ? next_octets(listing, l) : l;
        counts.strays |= past_u > u + 1 || past_l > l + 1;
        u = past_u;
        l = past_l;
    }
    counts.strays |= has_gaps && !is_of_one_mind(&counts, stat_count);
    *ret_counts = counts;
}

void listing_trim(struct listing *listing)
{
    free(listing->uidls);
    free(listing->octets);
    listing->uidls = NULL;
    listing->octets = NULL;
    listing->uidl_room = listing->octets_room = 0;
}

enum fault listing_failure(enum fault fault, struct failure *ret_failure)
{
    if (fault == FAULT_GARBLED)
        return failure_set(ret_failure, fault,
                           "the UIDLs of the maildrop have more than %d octets together",
                           LISTING_NAMES_OCTETS_MAX);
    return fault == FAULT_NONE ? fault
                               : failure_set(ret_failure, fault, "out of memory for the listing");
}

size_t listing_hidden_count(const struct listing *listing)
{
    return listing->hidden_count;
}

size_t listing_uidl_count(const struct listing *listing)
{
    return listing->uidl_count;
}
