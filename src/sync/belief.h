/* SPDX-License-Identifier: MIT */
/*
 * Whether a listing is believed (POP3.md rule 6). Pure.
 *
 * A folder that is empty by mistake makes `rsync --delete` empty the backup, and lets every wish
 * and body go. So a listing that contradicts itself, or lacks most of what was there, counts only
 * when the next session says the same.
 */
#ifndef SYNC_BELIEF_H
#define SYNC_BELIEF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BELIEF_UNKNOWN SIZE_MAX

/* What one session said. STAT was asked first, then UIDL, then LIST: later ones may have more. */
struct belief_listing {
    size_t said_count;   /* by STAT; BELIEF_UNKNOWN if it said nothing of use */
    bool has_uidl;       /* UIDL was answered, or is of no matter because STAT said 0 */
    bool has_list;       /* LIST, as well */
    size_t uidl_count;   /* numbers that UIDL listed */
    size_t list_count;   /* and LIST */
    size_t uidl_only;    /* numbers that UIDL alone listed */
    size_t list_older;   /* that LIST alone listed, and not above all that UIDL did */
    size_t list_newer;   /* and above: mail that came meanwhile, if STAT does not tell otherwise */
    size_t uidl_skipped; /* rows without a number */
    size_t list_skipped;
    size_t usable_count;   /* messages that could be shown: where it contradicts itself, what both
                              UIDL and LIST hold */
    size_t nameless_count; /* numbers that UIDL listed without one id that can be used */
    bool strays;           /* TOPs were guessed behind it, and it holds what may be their answers */
    size_t known_count;    /* messages listed before, less those that popfs asked to delete */
    size_t kept_count;     /* of these, listed again */
    uint64_t kept_digest;  /* which these are; if none was known, which could be shown */
};

enum belief_verdict {
    BELIEF_WHOLE,    /* it replaces the old one */
    BELIEF_COMMON,   /* so it does, although it contradicts itself */
    BELIEF_AGAIN,    /* another session is asked; the old one stays */
    BELIEF_UNUSABLE, /* two sessions have said that there is mail, but none that can be shown */
};

/* What the last session said, if it is to be compared with. */
struct belief_doubt {
    bool is_held;
    struct belief_listing listing;
};

/* STAT, UIDL and LIST cannot all be right. */
bool belief_contradicts_itself(const struct belief_listing *listing);
/* Keeps in *doubt what the next session is to be compared with. */
enum belief_verdict belief_judge(struct belief_doubt *doubt, const struct belief_listing *listing);
/* How many of the messages that STAT, UIDL or LIST told of are not shown. */
size_t belief_unshown_count(const struct belief_listing *listing);
/* True if so many known messages are still there that those which are not have been deleted. With
 * most of them gone at once, the server has given new UIDLs (POP3.md rule 18). */
bool belief_most_are_there(size_t known_count, size_t kept_count);

#endif
