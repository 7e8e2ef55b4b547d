/* SPDX-License-Identifier: MIT */
/*
 * A listing while it arrives: the rows of UIDL and LIST, joined by message number. Pure.
 *
 * Rows may come in any order and with gaps; a number that UIDL lists twice with different UIDLs is
 * hidden, because nobody can say which message it is (POP3.md rule 7).
 */
#ifndef SYNC_LISTING_H
#define SYNC_LISTING_H

#include "belief.h"
#include "popfs/maildrop.h"

struct listing;

struct listing *listing_new(void); /* NULL for want of memory */
void listing_free(struct listing *listing);

/* All names of a listing have so many octets together at most: a million of 100. */
enum { LISTING_NAMES_OCTETS_MAX = 100 * 1000 * 1000 };

/* FAULT_MEMORY; FAULT_GARBLED: the names become too long. The UIDL is copied; where it is empty,
 * one is made up (POP3.md rule 33). */
enum fault listing_add_uidl(struct listing *listing, uint32_t msgnum, struct slice uidl);
enum fault listing_add_octets(struct listing *listing, uint32_t msgnum, uint64_t octets);

/*
 * Joins what was added, in the order of message numbers: (*ret_rows)[i] is message
 * (*ret_msgnums)[i]; both live as long as the listing. `made_up`: the server has no UIDL; the
 * numbers that LIST gave are named "msg-<n>". FAULT_MEMORY; FAULT_GARBLED, as above.
 */
enum fault listing_join(struct listing *listing, bool made_up, const struct maildrop_row **ret_rows,
                        const uint32_t **ret_msgnums, size_t *ret_count);
/* Takes out of what was joined the messages that only UIDL listed; returns how many are left. */
size_t listing_keep_common(struct listing *listing);
/* Counts what both commands said. After listing_join(); `stat_count`: what STAT said, 0 if nothing.
 */
void listing_count(const struct listing *listing, uint64_t stat_count,
                   struct belief_listing *ret_counts);
/* Gives back the memory that only what stands above needs: after it what was joined remains. */
void listing_trim(struct listing *listing);
/* One line for a fault of the above. */
enum fault listing_failure(enum fault fault, struct failure *ret_failure);
/* Rows of UIDL so far. */
size_t listing_uidl_count(const struct listing *listing);
/* Numbers that were hidden by listing_join(), because they have two UIDLs. */
size_t listing_hidden_count(const struct listing *listing);

#endif
