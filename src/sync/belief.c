/* SPDX-License-Identifier: MIT */
#include "belief.h"

/* How far `a` is above `b`. */
static size_t above(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

/* Rows that UIDL lacks; one that was skipped may be any of them. */
static size_t missing_in_uidl(const struct belief_listing *listing)
{
    size_t found = listing->uidl_count + listing->uidl_skipped;
    size_t said = listing->said_count == BELIEF_UNKNOWN ? 0 : listing->said_count;
    size_t lacked = listing->list_older;
    /* Without STAT nothing tells mail that came meanwhile from rows that were lost at the end. */
    if (listing->said_count == BELIEF_UNKNOWN)
        lacked += listing->list_newer;
    if (!listing->has_uidl)
        return 0;
    return above(said, found) + above(lacked, listing->uidl_skipped);
}

static size_t missing_in_list(const struct belief_listing *listing)
{
    size_t found = listing->list_count + listing->list_skipped;
    size_t said = listing->said_count == BELIEF_UNKNOWN ? 0 : listing->said_count;
    if (!listing->has_list)
        return 0;
    return above(said, found) + above(listing->uidl_only, listing->list_skipped);
}

bool belief_contradicts_itself(const struct belief_listing *listing)
{
    return missing_in_uidl(listing) + missing_in_list(listing) > 0;
}

/* Empty, or over half of what was there is not. */
static bool has_shrunk(const struct belief_listing *listing)
{
    return listing->known_count > 0 &&
           (listing->usable_count == 0 ||
            !belief_most_are_there(listing->known_count, listing->kept_count));
}

/* One that is missing may be listed without its UIDL. */
static bool hides_known(const struct belief_listing *listing)
{
    return listing->nameless_count > 0 && listing->kept_count < listing->known_count;
}

static bool is_unusable(const struct belief_listing *listing)
{
    bool said_mail = listing->said_count != BELIEF_UNKNOWN && listing->said_count > 0;
    return listing->usable_count == 0 &&
           (said_mail || listing->uidl_count > 0 || listing->list_count > 0);
}

/* Of what was known `b` lacks nothing, or just what `a` lacks. */
static bool keeps_the_same(const struct belief_listing *a, const struct belief_listing *b)
{
    if (b->known_count > 0 && b->kept_count == b->known_count)
        return true;
    return a->known_count == b->known_count && a->kept_count == b->kept_count &&
           a->kept_digest == b->kept_digest;
}

/* Other UIDLs for all that was known, and nothing at all, are two stories. */
static bool are_both_empty(const struct belief_listing *a, const struct belief_listing *b)
{
    return (a->usable_count == 0) == (b->usable_count == 0);
}

/* Mail that came between the two sessions changes none of these, unless nothing was known. */
static bool is_same(const struct belief_listing *a, const struct belief_listing *b)
{
    return are_both_empty(a, b) && missing_in_uidl(a) == missing_in_uidl(b) &&
           missing_in_list(a) == missing_in_list(b) && is_unusable(a) == is_unusable(b) &&
           has_shrunk(a) == has_shrunk(b) && hides_known(a) == hides_known(b) &&
           keeps_the_same(a, b);
}

enum belief_verdict belief_judge(struct belief_doubt *doubt, const struct belief_listing *listing)
{
    bool repeated = doubt->is_held && is_same(&doubt->listing, listing);
    bool contradicts = belief_contradicts_itself(listing);
    bool doubtful =
        contradicts || has_shrunk(listing) || is_unusable(listing) || hides_known(listing);
    *doubt = (struct belief_doubt){listing->strays || doubtful, *listing};
    if (listing->strays)
        return BELIEF_AGAIN;
    if (!doubtful)
        return BELIEF_WHOLE;
    if (!repeated)
        return BELIEF_AGAIN;
    if (is_unusable(listing))
        return BELIEF_UNUSABLE;
    /* A server that goes on contradicting itself in the same way need not say all twice. */
    doubt->is_held = contradicts;
    doubt->listing.known_count = doubt->listing.kept_count = 0;
    doubt->listing.kept_digest = 0;
    return contradicts ? BELIEF_COMMON : BELIEF_WHOLE;
}

size_t belief_unshown_count(const struct belief_listing *listing)
{
    size_t most = listing->uidl_count;
    if (listing->list_count > most)
        most = listing->list_count;
    if (listing->said_count != BELIEF_UNKNOWN && listing->said_count > most)
        most = listing->said_count;
    return above(most, listing->usable_count);
}

bool belief_most_are_there(size_t known_count, size_t kept_count)
{
    return kept_count >= known_count - known_count / 2;
}
