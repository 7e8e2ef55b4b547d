/* SPDX-License-Identifier: MIT */
/*
 * maildrop: the messages of one maildrop by UIDL, and how a new listing changes what is known of
 * them.
 *
 * Knows identity, order, duplicates, sizes, and what is to go. Refuses to know message numbers
 * (they die with the session), the disk, the network and file names.
 *
 * Identifier spaces: a UIDL is the server's name for a message and lives as long as the message. An
 * id is ours: it rises in listing order, is never used again, and lives as long as the struct
 * maildrop. A position is an index into one snapshot.
 */
#ifndef POPFS_MAILDROP_H
#define POPFS_MAILDROP_H

#include "popfs/base.h"

/* ---- a message: counted, shared by threads ---- */

struct maildrop_message;

struct maildrop_message *maildrop_message_ref(struct maildrop_message *message);
void maildrop_message_unref(struct maildrop_message *message); /* NULL is fine */

/* These four never change, nor whether it is unique. */
uint64_t maildrop_message_id(const struct maildrop_message *message); /* from 1 */
struct slice maildrop_message_uidl(const struct maildrop_message *message);
/* 0 for the first message that has this UIDL, 1 for the next in listing order, … */
uint32_t maildrop_message_copy(const struct maildrop_message *message);
/* True if no other message of its listing has the same UIDL, and the server gave it: then the UIDL
 * proves which message it is. */
bool maildrop_message_is_unique(const struct maildrop_message *message);
/* False if the server gave no usable UIDL, and this one was made up in place of it. */
bool maildrop_message_is_named(const struct maildrop_message *message);
/* When popfs first saw it, in nanoseconds of the epoch; distinct for each message of a maildrop. */
int64_t maildrop_message_first_seen_ns(const struct maildrop_message *message);

/* The size to show; *ret_exact (may be NULL) says whether it is what RETR gave or only what LIST
 * said. */
uint64_t maildrop_message_octets(const struct maildrop_message *message, bool *ret_exact);
/* What LIST said last; 0 if it has said nothing usable yet. */
uint64_t maildrop_message_listed_octets(const struct maildrop_message *message);
/* What the newest listing said; 0 if it said nothing usable, whatever an earlier one did. */
uint64_t maildrop_message_said_octets(const struct maildrop_message *message);
void maildrop_message_learn_octets(struct maildrop_message *message, uint64_t exact_octets);
/* The server may have sent them for another message. */
void maildrop_message_forget_octets(struct maildrop_message *message);

/* True once the message's own date is known or known to be missing; then *ret_seconds never changes
 * again, unless it is forgotten. */
bool maildrop_message_time(const struct maildrop_message *message, int64_t *ret_seconds);
/* The first call decides, later ones are ignored. */
void maildrop_message_learn_time(struct maildrop_message *message, int64_t seconds);
/* The header that told it may be that of another message. */
void maildrop_message_forget_time(struct maildrop_message *message);

/* The user has removed it; it is hidden, and goes at the next commit. */
bool maildrop_message_is_going(const struct maildrop_message *message);
/* The journal of removals has lost lines: it is going only until the user says something else, and
 * no commit takes it along before the user confirms it. */
bool maildrop_message_is_held(const struct maildrop_message *message);
void maildrop_message_confirm(struct maildrop_message *message);
/* It is held no more. False if it was so already. */
bool maildrop_message_set_going(struct maildrop_message *message, bool going);
/* A QUIT that is to delete it has gone out, and no listing has told yet what became of it: nothing
 * can take that back. */
bool maildrop_message_is_leaving(const struct maildrop_message *message);
void maildrop_message_set_leaving(struct maildrop_message *message, bool leaving);
/* It is no longer in the maildrop: a listing lacked it or a commit deleted it. */
bool maildrop_message_is_gone(const struct maildrop_message *message);
/* And nobody is to be shown it any more: maildrop_changes_take_effect() was called. */
bool maildrop_message_is_withdrawn(const struct maildrop_message *message);
/* It has gone, but the listing that lacked it had its UIDL: for another message, as far as can be
 * told. */
bool maildrop_message_is_replaced(const struct maildrop_message *message);

/* ---- its identity: a UIDL is a name and not a proof ---- */

/* What its header proves; false: not known. Another thread may see half of a change, and then has
 * evidence of no message. */
bool maildrop_message_evidence(const struct maildrop_message *message,
                               struct evidence *ret_evidence);
void maildrop_message_learn_evidence(struct maildrop_message *message,
                                     const struct evidence *evidence);
/* The header that told it may be that of another message. */
void maildrop_message_forget_evidence(struct maildrop_message *message);

/* It was set going while the newest listing showed it: its DELE in that session needs no proof. */
bool maildrop_message_is_wished_here(const struct maildrop_message *message);
/* Its header was read in the session of the newest listing, and is the one that was known. */
bool maildrop_message_is_proven(const struct maildrop_message *message);
/* Ends a doubt as well. */
void maildrop_message_note_proven(struct maildrop_message *message);
/* What the newest listing shows could not be proven, and that was said. */
void maildrop_message_note_unprovable(struct maildrop_message *message);
/* It was set going after that: what is shown now is what is meant, whatever it was before. */
bool maildrop_message_is_renewed(const struct maildrop_message *message);
/* Its row in the listing, or its place there, is not what it was: what is known of it may be about
 * another message. */
bool maildrop_message_is_doubted(const struct maildrop_message *message);
void maildrop_message_doubt(struct maildrop_message *message);

/* ---- a snapshot: what one listing held, immutable, counted, sorted by id ---- */

struct maildrop_snapshot;

struct maildrop_snapshot *maildrop_snapshot_ref(struct maildrop_snapshot *snapshot);
void maildrop_snapshot_unref(struct maildrop_snapshot *snapshot); /* NULL is fine */
size_t maildrop_snapshot_count(const struct maildrop_snapshot *snapshot);
/* Borrowed from the snapshot. */
struct maildrop_message *maildrop_snapshot_at(const struct maildrop_snapshot *snapshot,
                                              size_t position);
/* The first position whose id is above `id`; the count if there is none. */
size_t maildrop_snapshot_after(const struct maildrop_snapshot *snapshot, uint64_t id);
/* The position of the message with this id; false if there is none. */
bool maildrop_snapshot_find(const struct maildrop_snapshot *snapshot, uint64_t id,
                            size_t *ret_position);

/* ---- the maildrop: used by one thread ---- */

struct maildrop;

struct maildrop *maildrop_new(void); /* NULL for want of memory */
void maildrop_free(struct maildrop *maildrop);

/* What is known from an earlier mount. */
struct maildrop_known {
    uint64_t id;                  /* above those restored before */
    struct slice uidl;            /* no other has it */
    uint64_t listed_octets;       /* 0: unknown */
    const uint64_t *exact_octets; /* NULL: unknown */
    const int64_t *time_s;        /* NULL: unknown */
    struct evidence evidence;     /* all 0: unknown */
    int64_t first_seen_ns;
    bool going, held;
};

/* Before the first listing: the message is in the snapshot from now on, to be confirmed by it.
 * FAULT_MEMORY. */
enum fault maildrop_restore(struct maildrop *maildrop, const struct maildrop_known *known);
/* New messages get ids above this one. */
void maildrop_begin_after(struct maildrop *maildrop, uint64_t last_id);

/* One row of a complete listing, in the server's order. `uidl` is not empty. */
struct maildrop_row {
    struct slice uidl;
    uint64_t octets; /* 0: unknown. With MAILDROP_MADE_UP: `uidl` is, for this listing alone */
};
#define MAILDROP_MADE_UP (UINT64_C(1) << 63)

struct maildrop_changes {
    size_t appeared_count;
    struct maildrop_message **appeared; /* owned by the new snapshot; by rising id */
    size_t vanished_count;
    struct maildrop_message **vanished; /* one reference each */
    size_t relisted_count;              /* LIST says another size of them than before */
    struct maildrop_message **relisted; /* owned by the new snapshot */
};

/*
 * Replaces what is known by what a complete listing says, all or nothing. A row and a known message
 * are the same when the UIDL is unique, then and now, whatever LIST says of its size. A message
 * whose size or place among those that stay is not what it was is doubted from now on. Copies of
 * one UIDL are taken to be what they were, and doubted, where there are as many as before and there
 * is evidence to tell; not one that is going, so that nothing is deleted by mistake. All others are
 * new messages, and the old ones have gone. With `same_identity` false no row is a known message:
 * the UIDLs were made up for one session. `now_ns` becomes first_seen of new messages, one
 * nanosecond apart.
 *
 * On FAULT_NONE ret_by_row[i] is the message of rows[i], borrowed from the new snapshot, and the
 * caller calls maildrop_changes_done(). FAULT_MEMORY otherwise.
 */
enum fault maildrop_apply(struct maildrop *maildrop, const struct maildrop_row *rows, size_t count,
                          bool same_identity, int64_t now_ns, struct maildrop_message **ret_by_row,
                          struct maildrop_changes *ret_changes);
/* From now on what has vanished is withdrawn. What comes between is for the one who applied the
 * changes, and others go on seeing what was there before, in whole: what vanished may have its name
 * from what takes its place. */
void maildrop_changes_take_effect(const struct maildrop_changes *changes);
void maildrop_changes_done(struct maildrop_changes *changes);

/*
 * The header of this message of the newest listing is another one than was known: the message has
 * gone, and a new one has its row. On FAULT_NONE the caller calls maildrop_changes_done(). The one
 * that appeared is borrowed from the new snapshot. FAULT_MEMORY.
 */
enum fault maildrop_replace(struct maildrop *maildrop, struct maildrop_message *message,
                            int64_t now_ns, struct maildrop_changes *ret_changes);

/* What a listing that is not applied yet leaves of what is known. Messages that are leaving are not
 * counted. */
struct maildrop_comparison {
    size_t known_count;
    size_t kept_count;       /* of these, whose UIDL is listed */
    size_t going_count;      /* of the known ones */
    size_t going_kept_count; /* of these, whose UIDL is listed */
    size_t new_count;        /* UIDLs that are listed and were not known */
    uint64_t kept_digest;    /* which were kept; if none was known, which are listed */
};
/* FAULT_MEMORY. */
enum fault maildrop_compare(const struct maildrop *maildrop, const struct maildrop_row *rows,
                            size_t count, struct maildrop_comparison *ret_comparison);

/* A commit deleted these: takes them out of the snapshot and marks them gone. */
enum fault maildrop_forget(struct maildrop *maildrop, struct maildrop_message *const *messages,
                           size_t count);

/* A new reference to what the last listing held; never NULL, empty before the first. */
struct maildrop_snapshot *maildrop_snapshot(struct maildrop *maildrop);

#endif
