/* SPDX-License-Identifier: MIT */
/*
 * store: what popfs keeps on the local disk: the index (SQLite), the bodies of messages (small ones
 * in packs, others as files), and the journal of pending removals.
 *
 * Knows files and SQL. Refuses to know the network, POP3, FUSE, and when to do things.
 *
 * A store is two private folders (0700) of one account, each held by a lock, so that there is one
 * writer: the cache, which may be lost at any time without harm, and the state, which must not be.
 * Messages go by their id, which the index never gives to another one. Unless a line says "any
 * thread", all calls come from one thread at a time.
 */
#ifndef POPFS_STORE_H
#define POPFS_STORE_H

#include "popfs/base.h"

enum {
    STORE_TEXT_OCTETS_MAX = 200,   /* of a sender or a subject in a report, cut at a character */
    STORE_FIELD_OCTETS_MAX = 4096, /* of a whole field of a header */
    STORE_OWNER_OCTETS = 8192,     /* of what an owner says, a path being part of it */
    STORE_NAME_OCTETS_MAX = 255,   /* of the name that a message is shown by */
};

#define STORE_FREE_OCTETS_MIN (UINT64_C(64) << 20) /* what a mount leaves free */
#define STORE_OCTETS_UNKNOWN UINT64_MAX
#define STORE_TIME_UNKNOWN INT64_MIN

struct store;

/* Strings are borrowed for the call. */
struct store_options {
    const char *folder;       /* holds the caches of all accounts; made (0700) with its parents */
    const char *state_folder; /* the same for their states; NULL: pending removals are forgotten */
    const char *account;      /* "user@host:port" */
    bool clear; /* without TLS, where anybody on the way may have written what comes: bodies, dates,
                   evidence, and the text by which somebody wished that a message goes. So it has
                   folders of its own, and nothing of it is ever seen in a mount with TLS. */
    const char *owner; /* for whoever comes second: "mounted on /home/a/mail by process 12" */
    bool temporary; /* cache=off: the cache is a folder that is nobody's, empty at first, removed at
                       the end; what a killed popfs left of one is swept by the next */
    bool lf;        /* bodies are kept with LF line ends: others, and their sizes, are dropped */
    bool doubts_old; /* an index of version 1 may hold what came without TLS: no more of it is taken
                        over than which messages and wishes there are */
    uint64_t octets_max; /* of all bodies together, also those that are arriving; 0: no limit */
    /* Bodies leave so much of their disk free, or a hundredth of it if that is more, but never more
     * than half of it; 0: they may fill it. */
    uint64_t free_octets_min;
    int64_t bin_s; /* so long the bin, in the state folder, keeps what was deleted; nothing new with
                      a cache that is temporary. 0: nothing, and what is there is removed */
};

/*
 * Takes the folders, and does not look into them yet: until store_begin() has succeeded only
 * store_close() may follow. FAULT_BUSY: another process has the account, and the text says who.
 * FAULT_DISK, FAULT_MEMORY.
 */
enum fault store_open(const struct store_options *options, struct store **ret_store,
                      struct failure *ret_failure);
/* What is said of the owner from now on. Any thread. */
void store_say_owner(const struct store *store, const char *owner);
/* What the owner of a store that another process has said of itself; false if that cannot be read.
 */
bool store_owner(const struct store_options *options, char ret_owner[STORE_OWNER_OCTETS]);
/*
 * Opens what the folder holds; some milliseconds for ten thousand messages. An index that cannot be
 * read or is of a newer version is set aside under another name and begun anew (logged by whoever
 * gets *ret_notice, "" if nothing happened); bodies go with it, pending removals stay. FAULT_DISK,
 * FAULT_MEMORY.
 */
enum fault store_begin(struct store *store, char ret_notice[FAILURE_TEXT_OCTETS],
                       struct failure *ret_failure);
/* Nothing was ever listed: store_close() removes the folder of the account if this store made it.
 */
void store_spare(struct store *store);
/* Flushes, erases what is dead, closes; removes a temporary store. Descriptors that were given out
 * stay readable, but not for the bytes of bodies that have been removed. NULL is fine. */
void store_close(struct store *store);

/*
 * The state folder of the account, for others who have something there that must not be lost: its
 * path and a descriptor, both borrowed until store_close(). NULL and -1 with state=off. It holds
 * `lock` and names that begin with `removals`.
 */
const char *store_state_path(const struct store *store);
int store_state_descriptor(const struct store *store);

/* ---- the index ---- */

struct store_message {
    uint64_t id;
    struct slice uidl;      /* unique in the index */
    uint64_t listed_octets; /* 0: LIST said nothing usable */
    uint64_t exact_octets;  /* as kept; or STORE_OCTETS_UNKNOWN */
    int64_t time_s;         /* or STORE_TIME_UNKNOWN */
    int64_t first_seen_ns;
    struct evidence evidence;
    bool going; /* a pending removal, when the store was opened; store_load() alone tells */
    bool held;  /* and it waits for the user to confirm it: see struct store_removal */
};

/* No message has ever had a higher id than this. */
uint64_t store_last_id(const struct store *store);
/* Every message, by rising id. `each` borrows and returns false to stop (FAULT_MEMORY). */
enum fault store_load(struct store *store,
                      bool (*each)(void *context, const struct store_message *message),
                      void *context, struct failure *ret_failure);

/*
 * These change the index in a transaction that store_flush() commits: what was not flushed when the
 * process dies has not happened. FAULT_DISK, also that of store_flush(), may undo all since the
 * last flush; it leaves the store usable for reading, and later calls may work again. A message
 * whose UIDL the index has already replaces that one.
 */
enum fault store_add(struct store *store, const struct store_message *message,
                     struct failure *ret_failure);
/* The same of many, up to the first that fails; quicker than one by one. */
enum fault store_add_all(struct store *store, const struct store_message *messages, size_t count,
                         struct failure *ret_failure);
enum fault store_learn_octets(struct store *store, uint64_t id, uint64_t exact_octets,
                              struct failure *ret_failure);
/* LIST says another size than before. */
enum fault store_learn_listed(struct store *store, uint64_t id, uint64_t listed_octets,
                              struct failure *ret_failure);
/* UTF-8 without control characters. */
struct store_header {
    int64_t time_s;                 /* or STORE_TIME_UNKNOWN */
    struct slice sender;            /* as reports say it; cut at STORE_TEXT_OCTETS_MAX octets */
    struct slice from, to, subject; /* whole; at most STORE_FIELD_OCTETS_MAX octets each */
    struct evidence evidence;       /* not known: what was learned before stays */
};

enum fault store_learn_header(struct store *store, uint64_t id, const struct store_header *header,
                              struct failure *ret_failure);
/* Evidence that is not known takes back what was learned. */
enum fault store_learn_evidence(struct store *store, uint64_t id, const struct evidence *evidence,
                                struct failure *ret_failure);
/* The messages have left the maildrop: their rows, bodies and pending removals. Only id, UIDL and
 * listed size are looked at; the index need not have the message, and an empty UIDL is that of one
 * for which no wish was noted. */
enum fault store_forget(struct store *store, const struct store_message *messages, size_t count,
                        struct failure *ret_failure);
enum fault store_flush(struct store *store, struct failure *ret_failure);

struct store_summary {
    char from[STORE_TEXT_OCTETS_MAX + 1];
    char subject[STORE_TEXT_OCTETS_MAX + 1];
};

/* Empty texts where nothing is known. */
void store_summary(struct store *store, uint64_t id, struct store_summary *ret_summary);

/* What is known of the server and not of a message ("list-lies"). False if it was never set. */
bool store_fact(struct store *store, const char *name, int64_t *ret_value);
enum fault store_set_fact(struct store *store, const char *name, int64_t value,
                          struct failure *ret_failure);

/* ---- pending removals ---- */

/* All that proves a message without the index. */
struct store_removal {
    struct slice uidl;
    uint64_t listed_octets;     /* 0: LIST said nothing usable */
    struct evidence evidence;   /* octets of 0: there is none */
    int64_t time_s;             /* or STORE_TIME_UNKNOWN */
    struct slice from, subject; /* as in a report; what is beyond STORE_TEXT_OCTETS_MAX is cut */
    bool going;                 /* false: the wish is taken back */
    bool held; /* lines are missing from the journal that may have taken the wish back: it waits for
                  the user to confirm it, by another line that says so no more */
};

/*
 * The user wishes that the message goes, or takes that back. When this returns the wish has been
 * given to the kernel, so it outlives the process; store_flush() makes it outlive a power cut. Any
 * thread; a write of some hundred octets. FAULT_DISK: the wish is not noted.
 */
enum fault store_note_removal(struct store *store, const struct store_removal *removal,
                              struct failure *ret_failure);
/* What has been noted outlives a power cut from now on. FAULT_DISK. */
enum fault store_sync_removals(struct store *store, struct failure *ret_failure);
/* Several at once: a kill leaves all of them or none. */
enum fault store_note_removals(struct store *store, const struct store_removal *removals,
                               size_t count, struct failure *ret_failure);
/* Gives every removal that is pending, oldest wish first, as the journal has them now. `each`
 * borrows and returns false to stop (FAULT_MEMORY). */
enum fault store_load_removals(struct store *store,
                               bool (*each)(void *context, const struct store_removal *removal),
                               void *context, struct failure *ret_failure);
/*
 * No message was going when the mark was taken (any thread): what had been noted is over, and on
 * the disk it is when store_clear_removals() returns. Cheaper than to take each wish back, where
 * many have come true. FAULT_DISK: the wishes may be there still.
 */
uint64_t store_removals_mark(struct store *store);
enum fault store_clear_removals(struct store *store, uint64_t mark, struct failure *ret_failure);

/* ---- bodies ---- */

struct store_body;

/* A body that is being written: a killed popfs leaves nothing of one that is not whole. A full or
 * broken disk is no fault as long as memory can take the bytes, which is up to 64 MiB of one body:
 * it is then not kept. Once nothing takes them, that is a fault of every later call for this body,
 * too: FAULT_FULL for want of room, otherwise FAULT_DISK. FAULT_MEMORY. */
enum fault store_body_new(struct store *store, struct store_body **ret_body,
                          struct failure *ret_failure);
enum fault store_body_append(struct store_body *body, struct slice bytes,
                             struct failure *ret_failure);
uint64_t store_body_octets(const struct store_body *body);
/* The body is said to have so many octets in all. Others go while it arrives as far as that, or
 * little more, needs it, and only if it fits then. Without it they go when it is whole. */
void store_body_expect(struct store_body *body, uint64_t octets);
/*
 * A descriptor of what has been appended and flushed, now and later: a body that is read while it
 * arrives. The caller's to close, but not before the body is kept or freed: when the disk is full,
 * the descriptor becomes one of another file with the same bytes, which a reader does not notice.
 * Once for a body.
 */
enum fault store_body_share(struct store_body *body, int *ret_descriptor,
                            struct failure *ret_failure);
enum fault store_body_flush(struct store_body *body, struct failure *ret_failure);
/* *ret_equal: `bytes` are what the body holds at `offset`; both ends lie within it. Flushes. */
enum fault store_body_compare(struct store_body *body, uint64_t offset, struct slice bytes,
                              bool *ret_equal, struct failure *ret_failure);
/* The body is not wanted: nothing stays. NULL is fine. */
void store_body_free(struct store_body *body);
/*
 * The body is whole: keeps it under `id`, evicting what was used longest ago, and frees the handle,
 * also on failure. *ret_extent is where the bytes are, its descriptor the caller's to close, even
 * when a fault says that the body could not be kept; it is EXTENT_NONE only if bytes are missing.
 * One that is larger than all may be together is not kept, which is no fault of this call.
 */
enum fault store_body_keep(struct store_body *body, uint64_t id, struct extent *ret_extent,
                           struct failure *ret_failure);

enum { STORE_CHECK_OCTETS = 256 * 1024 };

/*
 * Where a kept body of exactly `octets` is, the descriptor the caller's to close; FAULT_GONE if
 * there is none, FAULT_DISK if it cannot be opened. The first open of each compares its bytes with
 * the checksum that was made as it arrived: FAULT_GARBLED if it is damaged (or, on a thread that
 * does not change the store, is just being removed), FAULT_BUSY if it is larger than
 * STORE_CHECK_OCTETS, so that store_check_new() has to do it. *ret_sum is for
 * store_body_note_sound(), or 0. Any thread; touches only the local disk.
 */
enum fault store_body_open(const struct store *store, uint64_t id, uint64_t octets,
                           struct extent *ret_extent, uint64_t *ret_sum);
/* The same without a look at the bytes, for a caller that shows them to nobody. Any thread. */
enum fault store_body_peek(const struct store *store, uint64_t id, uint64_t octets,
                           struct extent *ret_extent);
/* The body was found to be what it was: later opens do not read it. */
void store_body_note_sound(struct store *store, uint64_t id, uint64_t sum);
/* Compares a kept body with its checksum in parts, whether or not that was done before. The faults
 * of store_body_open(), FAULT_MEMORY. Any thread. */
struct store_check;
enum fault store_check_new(const struct store *store, uint64_t id, uint64_t octets,
                           struct store_check **ret_check);
/* Reads STORE_CHECK_OCTETS more. FAULT_BUSY: that was not all. FAULT_NONE: it is sound, and
 * *ret_sum is for store_body_note_sound(). FAULT_GARBLED. */
enum fault store_check_go_on(struct store_check *check, uint64_t *ret_sum);
void store_check_free(struct store_check *check); /* NULL is fine */
/* Whether a body of so many octets can be opened, whatever its bytes are. Any thread. */
bool store_body_is_there(const struct store *store, uint64_t id, uint64_t octets);
/* Whether that is likely to work: the disk is not asked. Any thread. */
bool store_body_is_kept(const struct store *store, uint64_t id, uint64_t octets);
/* It was read: it is evicted later than others. */
void store_body_note_used(struct store *store, uint64_t id);
void store_body_remove(struct store *store, uint64_t id);
/* False after the disk turned out to be broken, or to have no room for any body, until one could be
 * kept again: reading ahead would fetch in vain. */
bool store_is_keeping(const struct store *store);
/* Whether a body of so many octets could be kept, if others went for it. */
bool store_could_keep(struct store *store, uint64_t octets);
/* Whether so many octets more can be kept and nothing need go for them. */
bool store_has_room(struct store *store, uint64_t octets);

struct store_usage {
    const char *folder;          /* of the account; borrowed from the store */
    uint64_t octets, octets_max; /* packs count as a whole */
    size_t body_count;
    const char *bin_folder; /* for store_bin_each(); NULL: there is none. Borrowed likewise */
    uint64_t bin_octets, bin_octets_max;
    size_t bin_count; /* of bodies; both are 0 before the first store_bin_expire() */
};
void store_usage(const struct store *store, struct store_usage *ret_usage);

/* ---- the bin ---- */

/* A body in the bin: it outlives its message, which the user had deleted. UTF-8 without control
 * characters. */
struct store_deleted {
    struct slice name;          /* as the message was shown; at most STORE_NAME_OCTETS_MAX octets */
    int64_t deleted_s;          /* of the epoch */
    int64_t time_s;             /* of the message; or STORE_TIME_UNKNOWN */
    struct slice from, subject; /* as in a report; empty where nothing is known */
    uint64_t octets;            /* of the body */
    bool lf;                    /* whose line ends are LF */
    struct {
        uint64_t number, offset;
        uint64_t sum; /* of the body, if has_sum */
        bool has_sum;
        bool is_link; /* the body has a file of its own */
    } place;
};

/* Puts the body into the bin that is kept under this id; without one, does nothing. What was
 * deleted before makes room. FAULT_REFUSED: the body is larger than the bin may be. FAULT_DISK: it
 * is not there, nor are those that follow before store_bin_settle(). FAULT_MEMORY. No fault keeps
 * the message from being forgotten. */
enum fault store_bin_keep(struct store *store, uint64_t id, struct slice name, int64_t time_s,
                          int64_t now_s, struct failure *ret_failure);
/*
 * What is put there from now on is not to be seen, nor there after a kill, before the second says
 * that it is wanted; otherwise it is dropped. For messages whose end is expected, so that most of
 * the work is done while that is waited for.
 */
void store_bin_begin_ahead(struct store *store);
enum fault store_bin_end_ahead(struct store *store, bool is_wanted, struct failure *ret_failure);
/* What was put there outlives the process, and may be forgotten. FAULT_DISK: not all of it. */
enum fault store_bin_settle(struct store *store, struct failure *ret_failure);
/* Drops what has been kept long enough. The first time it looks what is there, which takes a
 * millisecond for a thousand bodies. */
void store_bin_expire(struct store *store, int64_t now_s);

/*
 * The bin of any folder, whether a store is open there or not. These return 0 or an errno, and
 * trust nothing that the folder holds.
 *
 * Gives every body that is whole, those first that were deleted first. `each` borrows and returns
 * false to stop. ENOENT: there is no bin.
 */
int store_bin_each(const char *folder,
                   bool (*each)(void *context, const struct store_deleted *deleted), void *context);
/* Writes the body to a file that is empty. EBADMSG: it is not the one that was kept; ENOENT: it has
 * been dropped meanwhile. */
int store_bin_read(const char *folder, const struct store_deleted *deleted, int file);

#endif
